"""Makes drafted tables on the target: empty before the rows, their keys and the rest after them."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import psycopg
from psycopg import errors as pg

from sterna.core.errors import KeyConflict, Unsupported
from sterna.core.event import Level
from sterna.core.plan import Conflict, Path
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection, sqlstate
from sterna.engines.postgres.foreign.drafts import Drafted, Left, Order
from sterna.engines.postgres.names import quoted, shown
from sterna.engines.postgres.schema.making import give_memory

BUILDERS = 4
"""How many indexes and the like are made at the same time."""
TRIES = 5
_FATAL = ("", "08", "25", "28", "53", "57", "58")
"""Classes of SQLSTATE that say nothing about the statement, but about the server and the session."""
_NOT_NOW = ("42501", "55006", "55P03")
"""The same of single ones: rights that are missing, something that others use or hold."""
_VIOLATED = ("23514", "23503")
_NAMED = 5
_DROPS = {"r": "TABLE", "p": "TABLE", "f": "FOREIGN TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW", "S": "SEQUENCE"}
_LOCK_SECONDS = 60

AT_ONCE = 100
"""Tables that are dropped or made in one transaction."""

T = TypeVar("T")
Connect = Callable[[], AbstractAsyncContextManager[Connection]]
Transaction = Callable[[], AbstractAsyncContextManager[None]]


async def create_database(target: Connection, name: str) -> bool:
    """Make a database for any text; False: it is there already. ``target``: any database's, in autocommit mode.

    Raises Unsupported where the server can have none in UTF-8.
    """
    found = await target.execute("SELECT FROM pg_database WHERE datname = %s", (name,))
    if await found.fetchone() is not None:
        return False
    start = f"CREATE DATABASE {quoted(name)} TEMPLATE template0 ENCODING 'UTF8'"
    try:
        await target.execute(start.encode())
    except pg.DuplicateDatabase:
        return False
    except (pg.InvalidParameterValue, pg.WrongObjectType, pg.FeatureNotSupported):
        # The server's own locale is one of another encoding.
        try:
            await target.execute(f"{start} LC_COLLATE 'C' LC_CTYPE 'C'".encode())
        except (pg.InvalidParameterValue, pg.FeatureNotSupported) as error:
            raise Unsupported(f"The target cannot have a database in UTF-8: {error}") from error
    return True


@dataclass(frozen=True, slots=True)
class InTheWay:
    """Something on the target that has the name of a table that is to be made."""

    path: Path
    kind: str
    """A letter of ``pg_class.relkind``."""
    oid: int = 0

    @property
    def drop(self) -> str:
        """What takes it away; empty: nothing does."""
        return f"DROP {_DROPS[self.kind]} {quoted(*self.path[1:])}" if self.kind in _DROPS else ""


async def in_the_way(target: Connection, tables: Sequence[Drafted]) -> Sequence[InTheWay]:
    """What of a target's database has the tables' names."""
    schemas = sorted({each.to[1] for each in tables})
    wanted = {each.to[1:]: each.to for each in tables}
    query = """
        SELECT n.nspname::text, c.relname::text, c.relkind::text, c.oid::bigint
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY (%s)"""
    rows = await (await target.execute(query, (schemas,))).fetchall()
    found = [
        InTheWay(wanted[schema, name], kind, oid) for schema, name, kind, oid in rows if (schema, name) in wanted
    ]
    return sorted(found, key=lambda each: each.path)


def settle(found: Iterable[InTheWay], ours: set[Path], conflict: Conflict) -> Sequence[InTheWay]:
    """What has to go. Raises KeyConflict where the operator wants nothing to go, Unsupported where it cannot."""
    found = list(found)
    strange = [each for each in found if each.path not in ours]
    if strange and conflict is not Conflict.OVERWRITE:
        raise KeyConflict(
            f"The target already has {named(strange)}",
            hint="Drop them there, choose another name for the database, or let them be overwritten.",
        )
    lasting = [each for each in found if not each.drop]
    if lasting:
        raise Unsupported(f"Something else on the target has the name of a table: {named(lasting)}")
    return found


def named(things: Sequence[InTheWay]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(things) - _NAMED} more" if len(things) > _NAMED else ""
    return ", ".join(shown(each.path) for each in things[:_NAMED]) + more


async def drop(target: Connection, things: Sequence[InTheWay], mine: Transaction) -> None:
    """Take them away, each transaction in ``mine``. Raises Unsupported where something needs them.

    All at once, if they are few; many go in groups, as each takes locks, of which a server has some thousands.
    """
    if len(things) > AT_ONCE:
        if needed := await needing(target, things):
            raise _needed(f"{', '.join(needed[:_NAMED])}")
        for keys in batched(await _keys_among(target, things), AT_ONCE):
            await _run(target, mine, keys)
    tables = [each for each in things if each.kind in "rp"]
    others = [each.drop for each in things if each.kind not in "rp"]
    groups = [others, *([_drop_tables(some)] for some in batched(tables, AT_ONCE))]
    try:
        for group in [[sql for some in groups for sql in some]] if len(things) <= AT_ONCE else groups:
            await _run(target, mine, group)
    except pg.DependentObjectsStillExist as error:
        raise _needed((error.diag.message_detail or "").partition("\n")[0]) from error


def batched(things: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """In groups of so many, the last one shorter."""
    for at in range(0, len(things), size):
        yield things[at : at + size]


async def _run(target: Connection, mine: Transaction, orders: Sequence[str]) -> None:
    if not orders:
        return
    async with mine():
        await target.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECONDS}s'")
        for order in orders:
            await target.execute(order.encode())


def _drop_tables(tables: Sequence[InTheWay]) -> str:
    """Those that are gone with others, as their partitions, are no fault."""
    return f"DROP TABLE IF EXISTS {', '.join(quoted(*each.path[1:]) for each in tables)}"


async def _keys_among(target: Connection, things: Sequence[InTheWay]) -> Sequence[str]:
    """What drops the foreign keys between them, so that they can go in any order."""
    rows = await target.execute(_KEYS_AMONG, {"oids": [each.oid for each in things]})
    return [
        f"ALTER TABLE {quoted(schema, table)} DROP CONSTRAINT {quoted(name)}"
        for schema, table, name in await rows.fetchall()
    ]


_KEYS_AMONG = """
    SELECT n.nspname::text, c.relname::text, k.conname::text
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype = 'f' AND k.conrelid = ANY (%(oids)s) AND k.confrelid = ANY (%(oids)s)
       AND k.conrelid <> k.confrelid AND k.coninhcount = 0
     ORDER BY 1, 2, 3"""


def _needed(what: str) -> Unsupported:
    return Unsupported(
        f"Tables on the target cannot be replaced, as other things there need them: {what}",
        hint="Drop what needs them, or choose another name for the database on the target.",
    )


async def needing(target: Connection, things: Sequence[InTheWay]) -> Sequence[str]:
    """What else on the target keeps them from being taken away, as people call it. Nothing is locked for it."""
    rows = await (await target.execute(_NEEDING, {"oids": [each.oid for each in things]})).fetchall()
    return [name for (name,) in rows]


_NEEDING = """
    SELECT DISTINCT coalesce('view ' || r.ev_class::regclass, pg_describe_object(d.classid, d.objid, d.objsubid))
      FROM pg_depend d
      LEFT JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
      LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
      LEFT JOIN pg_attrdef a ON d.classid = 'pg_attrdef'::regclass AND a.oid = d.objid
     WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s) AND d.deptype = 'n'
       AND NOT coalesce(r.ev_class, k.conrelid, a.adrelid,
                        CASE d.classid WHEN 'pg_class'::regclass THEN d.objid END, 0) = ANY (%(oids)s)
    UNION
    SELECT pg_get_userbyid(c.relowner) || ', who owns ' || c.oid::regclass
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.oid = ANY (%(oids)s)
       AND NOT (pg_has_role(c.relowner, 'USAGE') OR pg_has_role(n.nspowner, 'USAGE'))
     ORDER BY 1"""
"""A view has a rule that needs its tables, a foreign key is a constraint, a computed column needs its table; and
nobody drops what is another's."""


async def make_schemas(target: Connection, names: Iterable[str]) -> None:
    """Those that are missing."""
    rows = await (await target.execute("SELECT nspname::text FROM pg_namespace")).fetchall()
    there = {name for (name,) in rows}
    for name in sorted(set(names) - there):
        await target.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(name)}".encode())


def _fatal(error: psycopg.Error) -> bool:
    """Whether something else than the statement has to be mended: then it is not left out, but made later."""
    state = sqlstate(error)
    return state[:2] in _FATAL or state in _NOT_NOW


async def make_table(target: Connection, table: Drafted, tell: Teller) -> None:
    """Make it empty, with its defaults and comments, within the caller's transaction."""
    whole = await _create(target, table, tell)
    for name, sql, text in table.defaults:
        await _or_tell(target, sql, Left("default", f"{shown(table.source.path)}.{name}", text, ""), tell)
    for sql in table.comments:
        if whole:
            await target.execute(sql.encode())
        else:
            await _or_tell(target, sql, Left("comment", shown(table.source.path), sql, ""), tell)


async def _create(target: Connection, table: Drafted, tell: Teller) -> bool:
    """Whether its computed columns are computed, as far as they have a counterpart."""
    try:
        async with target.transaction():
            await target.execute(table.create.encode())
        return True
    except psycopg.Error as error:
        if _fatal(error) or table.create == table.create_plainly:
            raise
        await target.execute(table.create_plainly.encode())
        why = f"an ordinary column with the values of now, or none: {_said(error)}"
        at = shown(table.source.path)
        tell_left([Left("computed column", f"{at}.{name}", text, why) for name, text in table.computed], tell)
        return False


async def _or_tell(target: Connection, sql: str, left: Left, tell: Teller) -> None:
    try:
        async with target.transaction():
            await target.execute(sql.encode())
    except psycopg.Error as error:
        if _fatal(error):
            raise
        tell_left([Left(left.kind, left.name, left.text, _said(error))], tell)


def tell_left(left: Sequence[Left], tell: Teller) -> None:
    """An event for each thing that is not as on the source, and one for those that are too many."""
    if len(left) > MOST_TOLD:
        counted = Counter(each.kind for each in left[MOST_TOLD:])
        rest = ", ".join(f"{count} × {kind}" for kind, count in sorted(counted.items()))
        tell(Level.WARN, "schema.left", f"Not moved either, besides those that are named: {rest}", kind="more")
    for each in left[:MOST_TOLD]:
        message = f"Not moved: {each.kind} {each.name}: {each.why}"
        text = each.text
        if len(text) > LONGEST_TOLD:
            text = f"{text[:LONGEST_TOLD]}… ({len(text) - LONGEST_TOLD} more letters)"
        tell(Level.WARN, "schema.left", message, kind=each.kind, name=each.name, why=each.why, text=text)


def tell_compared(names: Sequence[str], tell: Teller) -> None:
    """What compares texts otherwise here, in one event."""
    if names:
        more = f" and {len(names) - MOST_TOLD} more" if len(names) > MOST_TOLD else ""
        message = (
            "Keys, conditions and computed columns that compare texts: PostgreSQL does by case, accents "
            f"and blanks at the end, SQL Server by their collation: {', '.join(names[:MOST_TOLD])}{more}"
        )
        tell(Level.WARN, "schema.compares", message, count=str(len(names)))


MOST_TOLD = 2000
"""Things that get an event of their own."""
LONGEST_TOLD = 16 << 10
"""Letters of a definition that an event holds."""


# After the rows.


@dataclass(frozen=True)
class Finisher:
    """Makes what is better made once a database's rows are there; goes on where it was cut."""

    connect: Connect
    """A connection in autocommit mode to the target's database."""
    tables: Sequence[Drafted]
    tell: Teller

    async def run(self) -> None:
        async with self.connect() as target:
            there = await _present(target)
        await self._each([partial(self._indexes, table, there) for table in self.tables])
        await self._each(
            [partial(self._order, each, there) for table in self.tables for each in table.constraints]
        )

    async def _each(self, works: Sequence[Callable[[Connection], Awaitable[None]]]) -> None:
        """All of them, several at once, each on a connection of its own."""
        waiting = deque(works)

        async def work() -> None:
            async with self.connect() as target:
                await give_memory(target, BUILDERS)
                while waiting:
                    await waiting.popleft()(target)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(BUILDERS, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def _indexes(self, table: Drafted, there: set[Path], target: Connection) -> None:
        for order in table.indexes:
            await self._order(order, there, target)
        name = quoted(*table.to[1:])
        for column, sql, following in table.identities:
            left = Left("next number", f"{shown(table.source.path)}.{column}", following, "")
            await _or_tell(target, sql, left, self.tell)
        await target.execute(f"ANALYZE {name}".encode())

    async def _order(self, order: Order, there: set[Path], target: Connection) -> None:
        sort = "index" if order.kind == "index" else "constraint"
        names = {(*order.table[1:], sort, name) for name in (order.name, order.other_name)}
        if not names.isdisjoint(there):
            return None
        for _ in range(TRIES - 1):
            try:
                return await self._made(order, target)
            except pg.DeadlockDetected:
                continue
        await self._made(order, target)
        return None

    async def _made(self, order: Order, target: Connection) -> None:
        try:
            await target.execute(order.sql.encode())
        except pg.DeadlockDetected:
            raise
        except psycopg.Error as error:
            if _fatal(error):
                raise
            if order.other_sql and isinstance(error, pg.DuplicateTable | pg.DuplicateObject):
                message = f"{order.name} is taken on the target: the {order.kind} is called {order.other_name}"
                self.tell(Level.WARN, "schema.renamed", message, name=order.name, to=order.other_name)
                return await self._made(_otherwise(order), target)
            name = f"{shown(order.table)}.{order.name}"
            if order.lenient and sqlstate(error) in _VIOLATED:
                await target.execute(order.lenient.encode())
                message = f"Rows that were moved do not hold to {order.kind} {name}: it counts for new ones alone"
                self.tell(Level.WARN, "schema.unproven", message, kind=order.kind, name=name, text=order.source)
                return None
            tell_left([Left(order.kind, name, order.source, _said(error))], self.tell)


def _otherwise(order: Order) -> Order:
    lenient = f"{order.other_sql} NOT VALID" if order.lenient else ""
    return replace(order, name=order.other_name, sql=order.other_sql, lenient=lenient, other_name="", other_sql="")


async def _present(target: Connection) -> set[Path]:
    """Schema, table, whether it is a constraint or an index, and name of each that there is."""
    rows = await (await target.execute(_PRESENT)).fetchall()
    return {tuple(row) for row in rows}


# From 18 on, NOT NULL has a name of its own, which is that of a column and no order's.
_PRESENT = """
    SELECT n.nspname::text, c.relname::text, 'constraint', k.conname::text
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype <> 'n'
    UNION
    SELECT n.nspname::text, c.relname::text, 'index', x.relname::text
      FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indisvalid"""


def _said(error: psycopg.Error) -> str:
    return error.diag.message_primary or str(error).partition("\n")[0]
