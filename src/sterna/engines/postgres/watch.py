"""Looks after a job's slots and tables while it runs, beside the stream of changes.

- How much log the slots make the source keep. Option ``slot_limit_mb``: more than that, and they are dropped:
  the source's disk matters more than the job (0, the default: never). Half of it is told; without a limit 1 GB and
  every doubling of it.
- Where no event trigger may be made: whether the selected tables still have the shape that they had.
- Whether a database came that would have been selected.
- Tables whose changed rows the log cannot tell (no key, no REPLICA IDENTITY FULL): whether rows of them were
  updated or deleted. Only the server's statistics know, which count a change that was rolled back too; it is told.
"""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sterna.core.errors import Invalid, Retryable, Trouble
from sterna.core.event import Level
from sterna.core.plan import Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres import slots
from sterna.engines.postgres.catalogue import Table, databases, tables
from sterna.engines.postgres.connection import Connection, connected
from sterna.engines.postgres.names import own, shown
from sterna.engines.postgres.publication import blind, names

LOOK_S = 10.0
SHAPES_EVERY = 3
"""Tables are looked at once in so many looks."""
FIRST_WORD = 1 << 30
_FILE = "postgres-tables.json"


def limit_of(plan: Plan) -> int:
    """The option ``slot_limit_mb`` in bytes; 0: none. Raises Invalid."""
    given = plan.options.get("slot_limit_mb", "0") or "0"
    if not given.isdecimal():
        raise Invalid("slot_limit_mb", "slot_limit_mb must be a whole number of megabytes; 0: no limit")
    return int(given) << 20


@dataclass
class Watch:
    """Runs until it is cancelled; what it finds is in its fields."""

    plan: Plan
    room: Room
    tell: Teller
    woken: Callable[[], None]
    """Called when there is something new."""
    lost: str = ""
    """Why a slot was dropped; empty: none was."""
    seen: list[tuple[str, str]] = field(default_factory=list)
    """Database and JSON (``ddl.py``) of changes of shape that no trigger saw; whoever takes one removes it."""
    _said: int = 0
    _strange: set[str] = field(default_factory=set)
    """Databases that were told of."""
    _known: dict[str, dict[str, object]] = field(default_factory=dict)
    """Of each database what the last look found."""
    _settled: dict[str, Mapping[str, list[str]]] = field(default_factory=dict)
    """The shapes that nobody needs to be told of any more."""
    _unsettled: Counter[str] = field(default_factory=Counter)
    """How many changes of shape of a database were found, and are not settled."""

    async def run(self) -> None:
        """Look every ``LOOK_S``; a source that cannot be reached now is looked at later."""
        looks = 0
        while True:
            try:
                await self.slots()
                if looks % SHAPES_EVERY == 0:
                    await self.tables()
                    await self.databases()
                looks += 1
            except Retryable:
                looks = 0
            except Trouble as trouble:
                self.tell(Level.WARN, "postgres.not_watched", f"The source's slots cannot be looked at: {trouble}")
                return
            await asyncio.sleep(LOOK_S)

    async def slots(self) -> None:
        """How much log the job's slots hold back. Drops them all where it is more than is allowed."""
        limit = limit_of(self.plan)
        async with connected(self.plan.source) as connection:
            held = await _held(connection, str(self.room.job_id))
            if limit and held > limit:
                for slot in await slots.found(connection, str(self.room.job_id)):
                    await slots.dropped(connection, slot)
                # Only now: what is lost ends the job, and with it this look-out.
                self.lost = (
                    f"The job's slots made the source keep {held >> 20} MB of its log, more than slot_limit_mb "
                    f"allows ({limit >> 20} MB), and were dropped"
                )
                self.tell(Level.ERROR, "postgres.slot_dropped", self.lost, held_mb=str(held >> 20))
                self.woken()
            else:
                self._say(held, limit)

    def _say(self, held: int, limit: int) -> None:
        first = limit // 2 if limit else FIRST_WORD
        if held < first:
            self._said = 0
        elif held >= max(first, 2 * self._said):
            self._said = held
            message = f"The job makes the source keep {held >> 20} MB of its write-ahead log"
            self.tell(Level.WARN, "postgres.slot_holds", message, held_mb=str(held >> 20))

    async def tables(self) -> None:
        """What became of the tables since the last look, in databases without a trigger and of tables without
        key."""
        if not self._known:
            self._known = load(self.room.folder)
            self._settled = {database: _shapes(facts) for database, facts in self._known.items()}
        for database, before in list(self._known.items()):
            async with connected(self.plan.source, database) as connection:
                triggered = before["triggered"] is True
                now = await look(connection, database, self.plan, triggered=triggered)
                left = set() if triggered else await _unfollowed(connection, database, self.plan, self.room)
            self._compare(database, before, now, left)
            self._known[database] = now
            if not self._unsettled[database]:
                self._settled[database] = _shapes(now)
        if self._known:
            self._save()

    async def databases(self) -> None:
        """Tells of databases that would be selected, but came after the mark."""
        async with connected(self.plan.source) as connection:
            followed = {slot.database for slot in await slots.found(connection, str(self.room.job_id))}
        for name in await databases(self.plan.source, self.plan.selection):
            if followed and name not in followed | self._strange:
                self._strange.add(name)
                message = f"The database {name} came to the source after the job began: it is not moved"
                self.tell(Level.WARN, "postgres.database_new", message, database=name)

    def settle(self, database: str) -> None:
        """One of the changes of shape that were told of a database is on the target, or a person knows of it.

        Until then it is in no file, so that a run that comes after a crash sees it again.
        """
        self._unsettled[database] -= 1
        if not self._unsettled[database]:
            self._settled[database] = _shapes(self._known[database])
            self._save()

    def forget(self) -> None:
        """A new mark begins: nothing is known, and what was found counts no more."""
        self.lost = ""
        self.seen.clear()
        self._known, self._settled = {}, {}
        self._unsettled.clear()

    def _save(self) -> None:
        facts = {name: {**found, "shapes": self._settled[name]} for name, found in self._known.items()}
        save(self.room.folder, facts)

    def _compare(
        self, database: str, before: Mapping[str, object], now: Mapping[str, object], left: set[str]
    ) -> None:
        for path, count in _counts(now).items():
            more = count - _counts(before).get(path, count)
            if more > 0:
                message = (
                    f"{more} rows of {database}.{path} were updated or deleted, which the source's log cannot "
                    "tell: the table has no key. The target does not have these changes"
                )
                self.tell(Level.WARN, "postgres.blind_changes", message, table=f"{database}.{path}")
        if not now["triggered"] and before["shapes"] != now["shapes"]:
            self._unsettled[database] += 1
            self.seen.append((database, _look(_shapes(before), _shapes(now), left)))
            self.woken()


def _counts(facts: Mapping[str, object]) -> Mapping[str, int]:
    found = facts["changed"]
    return found if isinstance(found, dict) else {}


def _shapes(facts: Mapping[str, object]) -> Mapping[str, list[str]]:
    found = facts["shapes"]
    return found if isinstance(found, dict) else {}


def _look(before: Mapping[str, list[str]], now: Mapping[str, list[str]], left: set[str]) -> str:
    changed = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    objects = [
        {
            "type": "table",
            "schema": (now.get(name) or before[name])[0],
            "identity": name,
            "table": (now.get(name) or before[name])[:2],
            "root": None,
            "shape": now[name][2] if name in now else "",
        }
        for name in changed[:100]
    ]
    words = {"event": "look", "tag": "", "query": "", "context": "", "search_path": "", "user": ""}
    if lost := sorted(left.intersection(changed)):
        words["trouble"] = (
            f"rows of {', '.join(lost[:5])} are not followed: only a job that begins anew takes them"
        )
    return json.dumps({**words, "objects": objects}, ensure_ascii=False)


async def _unfollowed(connection: Connection, database: str, plan: Plan, room: Room) -> set[str]:
    """The selected tables whose changes the job's slot does not hand out."""
    query = "SELECT schemaname::text, tablename::text FROM pg_publication_tables WHERE pubname = ANY (%s)"
    rows = await (await connection.execute(query, (list(names(str(room.job_id))),))).fetchall()
    published = {(schema, name) for schema, name in rows}
    found = [table for table in await tables(connection, database, plan.selection) if not table.unlogged]
    return {shown(table.path[1:]) for table in found if table.path[1:] not in published}


async def _held(connection: Connection, job_id: str) -> int:
    """Bytes of log behind the present that the slot of the job that is furthest behind needs."""
    query = """
        SELECT COALESCE(max(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                            ELSE pg_current_wal_lsn() END, restart_lsn)), 0)::bigint
          FROM pg_replication_slots WHERE slot_name ~ %s"""
    (row,) = await (await connection.execute(query, (f"^{own(job_id)}_[0-9a-f]{{8}}$",))).fetchall()
    return int(row[0])


async def look(connection: Connection, database: str, plan: Plan, *, triggered: bool) -> dict[str, object]:
    """What is compared with the next look. ``triggered``: an event trigger sees changes of shape."""
    found = await tables(connection, database, plan.selection)
    shapes = {} if triggered else {shown(table.path[1:]): [*table.path[1:], digest(table)] for table in found}
    blinds = {table.oid: shown(table.path[1:]) for table in found if blind(table) and not table.unlogged}
    query = "SELECT relid, n_tup_upd + n_tup_del FROM pg_stat_user_tables WHERE relid = ANY (%s)"
    rows = await (await connection.execute(query, (list(blinds),))).fetchall() if blinds else []
    return {"triggered": triggered, "shapes": shapes, "changed": {blinds[oid]: count for oid, count in rows}}


def digest(table: Table) -> str:
    """The same as long as it is the same table, with the same name, columns and key."""
    facts = (table.oid, table.path, table.root, table.columns, table.key, table.identity)
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def load(folder: Path) -> dict[str, dict[str, object]]:
    """What the last look found; nothing where the folder is new."""
    try:
        found = json.loads((folder / _FILE).read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def save(folder: Path, found: Mapping[str, Mapping[str, object]]) -> None:
    """Keep what a look found, for the next look of any run."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / f"{_FILE}.new"
    partial.write_text(json.dumps(found))
    partial.replace(folder / _FILE)
