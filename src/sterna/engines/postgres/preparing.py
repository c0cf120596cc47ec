"""Makes the target ready for a copy: databases, tables, and what becomes of rows that are there already."""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import errors as pg

from sterna.core.errors import KeyConflict, Unsupported
from sterna.core.event import Level
from sterna.core.plan import Conflict, Path, Place, Plan, Selection
from sterna.core.ports import Teller
from sterna.engines.postgres.catalogue import Column, Table, tables, taken
from sterna.engines.postgres.checkpoint import Checkpoint
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import quoted, shown

_NAMED = 5
"""How many of the tables that are in the way an error names."""
_AT_ONCE = 200
_LOCK_SECONDS = 60
_USER_TYPES = 10000


@dataclass(frozen=True)
class Preparing:
    """The tables of one database of the source, and where they go."""

    plan: Plan
    database: str
    tables: Sequence[Table]
    tell: Teller

    @classmethod
    async def read(cls, source: Connection, plan: Plan, database: str, tell: Teller) -> "Preparing":
        return cls(plan, database, await tables(source, database, plan.selection), tell)

    @property
    def places(self) -> Mapping[Path, tuple[Table, Place]]:
        """Each table by its path on the target."""
        found = {}
        for table in self.tables:
            place = taken(self.plan.selection, table.path, table.root)
            if place:
                found[place.to] = table, place
        return found

    async def look(self, target: Connection, database: str, ours: set[Path], *, replica: bool) -> set[Path]:
        """The tables of the target that hold rows of others, all of which may stay or go as the plan says.

        ``replica``: the rows can be written with session_replication_role. Raises KeyConflict, Unsupported.
        Changes nothing.
        """
        places = self.places
        there = {
            table.path: table for table in await tables(target, database, Selection()) if table.path in places
        }
        for path, table in there.items():
            _fits(*places[path], table)
        await _quiet(target, there, replica=replica)
        strange = await _with_rows(target, [path for path in there if path not in ours])
        if strange and self.plan.conflict is Conflict.STOP:
            raise KeyConflict(f"The target already holds rows in {_named(strange)}")
        return strange

    async def empty(self, target: Connection, checkpoint: Checkpoint, strange: set[Path]) -> None:
        """Empty what is the job's to empty, and note which tables are its own from now on."""
        stay = strange if self.plan.conflict is Conflict.SKIP else set()
        ours = [path for path in self.places if path not in stay]
        filled = await _with_rows(target, ours)
        if filled:
            await _truncate(target, sorted(filled))
        await checkpoint.fill(ours)
        if stay:
            self.tell(
                Level.WARN,
                "postgresql.rows.stay",
                f"Rows that the target has in {_named(stay)} stay as they are, also those of an earlier copy",
            )


def _fits(table: Table, place: Place, there: Table) -> None:
    """Raises Unsupported where a table of the target cannot take the rows."""
    columns = {column.name: column for column in there.columns}
    for column in table.written:
        if place.columns and column.name not in place.columns:
            continue
        other = columns.get(column.name)
        if other is None or other.generated or not _same_type(column, other):
            raise Unsupported(
                f"{shown(there.path)} on the target has other columns: {column.name} is {column.type} here, "
                f"there it is {'missing' if other is None else 'generated' if other.generated else other.type}",
                hint="Change the table on the target, drop it, or choose another name for it.",
            )


async def _quiet(target: Connection, tables: Mapping[Path, Table], *, replica: bool) -> None:
    """Raises Unsupported where something on the target would act on the rows: what it does comes from the source
    already, and would be there twice."""
    words = {"tables": [each.oid for each in tables.values()], "firing": ["A", "R"] if replica else ["A", "O"]}
    rows = await (await target.execute(_ACTING, words)).fetchall()
    if not rows:
        return
    named = ", ".join(f"{what} on {table}" for what, table in rows[:_NAMED])
    more = f" and {len(rows) - _NAMED} more" if len(rows) > _NAMED else ""
    hint = "Drop or disable them on the target until the job has ended"
    if not replica:
        hint += ", or let its user: GRANT SET ON PARAMETER session_replication_role TO " + quoted(target.info.user)
    raise Unsupported(
        f"The target has what would act on the rows that are written: {named}{more}", hint=f"{hint}."
    )


_ACTING = """
    SELECT CASE WHEN t.tgisinternal THEN format('foreign key %%I', k.conname)
                ELSE format('trigger %%I', t.tgname) END,
           t.tgrelid::regclass::text
      FROM pg_trigger t LEFT JOIN pg_constraint k ON k.oid = t.tgconstraint
     WHERE t.tgrelid = ANY (%(tables)s) AND t.tgenabled = ANY (%(firing)s)
       AND (NOT t.tgisinternal OR k.contype = 'f')
    UNION
    SELECT format('rule %%I', r.rulename), r.ev_class::regclass::text
      FROM pg_rewrite r
     WHERE r.ev_class = ANY (%(tables)s) AND r.ev_enabled = ANY (%(firing)s) AND r.ev_type <> '1'
     ORDER BY 2, 1"""
"""A foreign key has triggers on both of its tables."""


def _same_type(one: Column, other: Column) -> bool:
    if one.type == other.type:
        return True
    own = one.type_oid >= _USER_TYPES and other.type_oid >= _USER_TYPES
    return own and one.type.rpartition(".")[2] == other.type.rpartition(".")[2]


def _named(paths: set[Path]) -> str:
    names = [shown(path) for path in sorted(paths)]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


async def _with_rows(target: Connection, paths: Sequence[Path]) -> set[Path]:
    """Those that exist and hold rows."""
    found = set()
    for at in range(0, len(paths), _AT_ONCE):
        some = paths[at : at + _AT_ONCE]
        asked = ", ".join(f"EXISTS (SELECT FROM ONLY {quoted(*path[1:])})" for path in some)
        row = await (await target.execute(f"SELECT ARRAY[{asked}]")).fetchone()
        found |= {path for path, holds in zip(some, row[0] if row else [], strict=True) if holds}
    return found


async def _truncate(target: Connection, paths: Sequence[Path]) -> None:
    """Empty all of them together; one by one where a table that is not moved refers to one."""
    names = [quoted(*path[1:]) for path in paths]
    async with target.transaction():
        await target.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        try:
            async with target.transaction():
                await target.execute("TRUNCATE ONLY " + ", ONLY ".join(names))
        except pg.FeatureNotSupported:
            await target.execute("SET LOCAL session_replication_role = replica")
            for name in names:
                await target.execute(f"DELETE FROM ONLY {name}")
