"""Makes a database's shape on the target: before its data, after it, and at the end."""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from sterna.core.errors import NeedsOperator, Trouble
from sterna.core.event import Level
from sterna.core.plan import Mode, Path, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres.connection import Connection, connected
from sterna.engines.postgres.names import literal, own, quoted
from sterna.engines.postgres.schema import (
    Blueprint,
    draw,
    load,
    make_after,
    make_before,
    make_early,
    make_last,
    save,
)
from sterna.engines.postgres.schema.things import Sequence as Counter
from sterna.engines.postgres.sequences import MARGIN, set_sequences

BUILDERS = 4
"""How many indexes and the like are made at the same time."""
EARLY_BUILDERS = 2
"""The same while other tables are still copied."""
_ROOT_SINCE = 120000


@dataclass(frozen=True)
class Building:
    """One database of the source, and its place on the target."""

    plan: Plan
    room: Room
    tell: Teller
    database: str
    to: str

    async def draw(self, target: Connection) -> Blueprint:
        """Read the source's schema and keep it. ``target``: a connection to any database there."""
        async with self._source() as source:
            blueprint = await draw(source, target, self.plan, self.database)
        save(self.room.folder, blueprint)
        return blueprint

    async def before(self, target: Connection, blueprint: Blueprint) -> None:
        """Make what the rows need."""
        await make_before(target, blueprint, self.tell)

    async def early(self, tables: Mapping[Path, int]) -> Sequence[Path]:
        """Gather statistics of tables that are full, with their oids on the source; make their keys and indexes.

        Gives those of which statistics were gathered: not those that others are a part of.
        """
        blueprint = load(self.room.folder, self.database)
        if blueprint is None:
            return ()
        async with self._target() as target:
            alone = await _standing_alone(target, list(tables))
            names = await _to_analyze(target, alone)
        await self._analyze(names, EARLY_BUILDERS)
        await make_early(self._target, blueprint, self.tell, EARLY_BUILDERS, tables.values())
        return alone

    async def after(self, tables: Sequence[Path], *, held: bool) -> None:
        """Gather statistics of the tables, then make what is better made once they are full.

        ``held``: without what would act on changes that are still to be applied.
        """
        async with self._target() as target:
            blueprint = load(self.room.folder, self.database) or await self.draw(target)
            names = await _to_analyze(target, [path for path in tables if path[0] == self.to])
        await self._analyze(names, BUILDERS)
        await make_after(self._target, blueprint, self.tell, BUILDERS, held=held)

    async def _analyze(self, names: Sequence[str], at_once: int) -> None:
        """Gather the statistics of tables, several at once."""
        waiting = deque(names)

        async def work() -> None:
            async with self._target() as target:
                while waiting:
                    await target.execute(f"ANALYZE {waiting.popleft()}".encode())

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(at_once, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def last(self, *, held: bool) -> None:
        """Nothing more will be written: what was held back, sequences, materialised views."""
        blueprint, today = load(self.room.folder, self.database), None
        async with self._target() as target:
            if self.plan.mode is Mode.INCREMENTAL or blueprint is None:
                today = await self._drawn_late(target, known=blueprint is not None)
            blueprint = blueprint or today
            if blueprint is None:
                return
            await make_last(self._target, blueprint, self.tell, BUILDERS, held=held)
            await self._set_sequences(target, (today or blueprint).sequences)
            if self.plan.mode is Mode.INCREMENTAL:
                await self._refresh(target, today or blueprint)

    async def _drawn_late(self, target: Connection, *, known: bool) -> Blueprint | None:
        """The source's schema of today: there may be more than when it was kept. None: the source is gone."""
        try:
            async with self._source() as source:
                return await draw(source, target, self.plan, self.database)
        except (Trouble, TimeoutError) as trouble:
            if known:
                return None
            message = (
                f"Sequences, triggers and views of {self.database} stay as they are: what was noted of them is "
                f"gone, and the source cannot be asked. {trouble}"
            )
            self.tell(Level.WARN, "postgresql.last.unknown", message, database=self.database)
            return None

    async def _set_sequences(self, target: Connection, sequences: Sequence[Counter]) -> None:
        margin = _margin(self.plan) if self.plan.mode is Mode.INCREMENTAL else 0
        try:
            async with self._source() as source:
                await set_sequences(source, target, sequences, margin, self.tell)
        except (Trouble, TimeoutError):
            await set_sequences(None, target, sequences, margin, self.tell)

    async def _refresh(self, target: Connection, blueprint: Blueprint) -> None:
        """Materialised views show what they showed when they were made: once more, in the order of their needs."""
        for statement in blueprint.after:
            if statement.kind == "materialized view":
                for order in statement.orders:
                    if order.type == statement.kind and await _filled(target, order.identity):
                        await target.execute(f"REFRESH MATERIALIZED VIEW {order.identity}".encode())

    def _source(self) -> AbstractAsyncContextManager[Connection]:
        return connected(self.plan.source, self.database, purpose=f"{own(self.room.job_id)} schema")

    def _target(self) -> AbstractAsyncContextManager[Connection]:
        return connected(self.plan.target, self.to, purpose=f"{own(self.room.job_id)} schema")


def _margin(plan: Plan) -> int:
    given = plan.options.get("sequence_margin", str(MARGIN))
    if not given.isdecimal():
        raise NeedsOperator(f"The option sequence_margin is no whole number: {given}")
    return int(given)


async def _filled(target: Connection, view: str) -> bool:
    query = f"SELECT relispopulated FROM pg_class WHERE oid = to_regclass({literal(view)})"
    row = await (await target.execute(query.encode())).fetchone()
    return bool(row and row[0])


async def _standing_alone(target: Connection, tables: Sequence[Path]) -> list[Path]:
    """Those that are no partitions and that no other table inherits from: nothing else belongs to their rows."""
    names = ", ".join(literal(quoted(*path[1:])) for path in tables)
    query = (
        f"SELECT t.number FROM unnest(ARRAY[{names}]) WITH ORDINALITY AS t(name, number) "
        "JOIN pg_class c ON c.oid = to_regclass(t.name) WHERE NOT c.relispartition "
        "AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = c.oid)"
    )
    rows = await (await target.execute(query.encode())).fetchall()
    return [tables[number - 1] for (number,) in rows]


async def _to_analyze(target: Connection, tables: Sequence[Path]) -> Sequence[str]:
    """The tables as SQL writes them, the largest first; a root instead of its leaves, which are read with it."""
    names = [literal(quoted(*path[1:])) for path in tables]
    if not names:
        return []
    root = "c.oid"
    if target.info.server_version >= _ROOT_SINCE:
        root = "coalesce(pg_partition_root(c.oid), c.oid)"
    query = (
        f"SELECT {root}::regclass::text FROM unnest(ARRAY[{', '.join(names)}]) AS t(name) "
        "JOIN pg_class c ON c.oid = to_regclass(t.name) GROUP BY 1 ORDER BY sum(pg_relation_size(c.oid)) DESC"
    )
    return [name for (name,) in await (await target.execute(query.encode())).fetchall()]
