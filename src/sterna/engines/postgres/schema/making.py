"""Running a blueprint's statements on the target: one by one before the data, in parallel after it."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from heapq import heappop, heappush

import psycopg
from psycopg import errors as pg

from sterna.core.errors import NeedsOperator
from sterna.core.event import Level
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection, sqlstate
from sterna.engines.postgres.schema.present import Present, present
from sterna.engines.postgres.schema.things import Blueprint, LeftOut, Order, Statement

Connect = Callable[[], AbstractAsyncContextManager[Connection]]

TOGETHER = 100
"""Statements in one transaction: few commits, and far fewer locks than a server has room for by default."""
TRIES = 5
_MB = 1024 * 1024
_FATAL = ("08", "53", "57", "58")
"""Classes of SQLSTATE that say nothing about the statement."""
_GONE = ("3F000", "42P01", "42703", "42704", "42883")
"""SQLSTATEs for a schema, table, column, type or function that is not there."""


async def make_before(target: Connection, blueprint: Blueprint, tell: Teller) -> tuple[LeftOut, ...]:
    """Make what the rows need. What is there already is left as it is. ``target`` is in autocommit mode.

    Gives all that was left out, and tells of each. Raises NeedsOperator, AccessDenied for a table, type or
    sequence that cannot be made.
    """
    tell_left_out(blueprint.left_out, tell)
    await _ready(target)
    roles = frozenset(("role", name) for (name,) in await (await target.execute(_ROLES)).fetchall())
    failed = await _one_by_one(target, blueprint.before, await present(target) | roles, tell)
    return (*blueprint.left_out, *failed)


_ROLES = "SELECT rolname::text FROM pg_roles"


HELD = ("foreign key", "trigger", "rule", "policy", "row security")
"""Kinds that act on whoever may not set session_replication_role."""


async def make_after(
    connect: Connect, blueprint: Blueprint, tell: Teller, at_once: int, *, held: bool = False
) -> tuple[LeftOut, ...]:
    """Make what is better made after the data, on ``at_once`` connections; goes on where it was cut.

    ``connect`` gives a connection in autocommit mode to the target's database. ``held``: leave what would act on
    changes that are applied without session_replication_role, and all grants and owners, to ``make_last``. Raises
    NeedsOperator for a key, an index or a constraint that cannot be made; anything else that cannot is told of
    and given back.
    """
    kept_back = HELD if held else ()
    after = [each for each in blueprint.after if each.kind not in kept_back and not each.last]
    endings = [each for each in blueprint.endings if not each.last]
    return await _make_all(connect, after, () if held else endings, tell, at_once)


EARLY = ("key", "index")


async def make_early(
    connect: Connect, blueprint: Blueprint, tell: Teller, at_once: int, tables: Collection[int]
) -> None:
    """Make the keys and indexes of some tables that are full, while others are not; ``make_after`` makes the rest.

    ``tables``: oids on the source. Raises what ``make_after`` raises.
    """
    full = {f"pg_class/{oid}" for oid in tables}
    later = {each.number for each in blueprint.after}
    chosen: dict[int, Statement] = {}
    for each in blueprint.after:
        of = {*each.locks, *each.shares}
        ready = chosen.keys() >= later.intersection(each.needs)
        if each.kind in EARLY and not each.last and of and of <= full and ready:
            chosen[each.number] = each
    if chosen:
        await _make_all(connect, list(chosen.values()), (), tell, at_once)


async def make_last(
    connect: Connect, blueprint: Blueprint, tell: Teller, at_once: int, *, held: bool = True
) -> tuple[LeftOut, ...]:
    """Make, when no more changes are applied, what ``make_after`` left, with the same ``held``. Twice is once.

    Only that: whatever else is not there was taken away since, as on the source. What is to be made of something
    that was taken away is told of and given back.
    """
    kept_back = HELD if held else ()
    after = [each for each in blueprint.after if each.kind in kept_back or each.last]
    endings = [each for each in blueprint.endings if held or each.last]
    return await _make_all(connect, after, endings, tell, at_once, late=True)


async def _make_all(
    connect: Connect,
    after: Sequence[Statement],
    endings: Sequence[Statement],
    tell: Teller,
    at_once: int,
    *,
    late: bool = False,
) -> tuple[LeftOut, ...]:
    async with connect() as target:
        await _ready(target)
        there = await present(target)
        workshop = _Workshop([each for each in after if _to_do(each, there)], there, tell, late)
        await workshop.run(connect, at_once, target)
        failed = await _one_by_one(target, endings, there, tell)
    return (*workshop.left_out, *failed)


def tell_left_out(left_out: Sequence[LeftOut], tell: Teller) -> None:
    """An event for each thing that is not moved."""
    for each in left_out:
        message = f"Not moved: {each.kind} {each.name}: {each.why}"
        tell(Level.WARN, "postgres.left_out", message, kind=each.kind, name=each.name, why=each.why)


async def _ready(target: Connection) -> None:
    """Bodies of functions may name what does not exist yet; indexes are built with the memory there is."""
    await target.execute("SET check_function_bodies = off")
    await target.execute("SET default_tablespace = ''")


def _to_do(statement: Statement, there: Present) -> bool:
    return bool(_orders_to_do(statement, there))


def _orders_to_do(statement: Statement, there: Present) -> Sequence[Order]:
    """Those whose things are not there yet. What only adds to the first order's thing was done with it."""
    missing = [order for order in statement.orders if (order.type, order.identity) not in there]
    if statement.orders and statement.orders[0] not in missing:
        return [order for order in missing if order.type]
    return missing


async def _one_by_one(
    target: Connection, statements: Sequence[Statement], there: Present, tell: Teller
) -> Sequence[LeftOut]:
    """In order, many in one transaction. Only where one of them fails does each get a savepoint of its own."""
    to_do = [each for each in statements if _to_do(each, there)]
    failed: list[LeftOut] = []
    for first in range(0, len(to_do), TOGETHER):
        some = to_do[first : first + TOGETHER]
        sql = [order.sql for each in some for order in _orders_to_do(each, there)]
        try:
            async with target.transaction():
                await target.execute(";\n".join(sql).encode(), prepare=False)
        except psycopg.Error as error:
            if sqlstate(error)[:2] in ("", *_FATAL):
                raise
            failed += await _one_by_one_apart(target, some, there, tell)
    return failed


async def _one_by_one_apart(
    target: Connection, statements: Sequence[Statement], there: Present, tell: Teller
) -> Sequence[LeftOut]:
    failed: list[LeftOut] = []
    async with target.transaction():
        for statement in statements:
            failed += await _make(target, statement, there, tell)
    return failed


async def _make(
    target: Connection, statement: Statement, there: Present, tell: Teller, *, late: bool = False
) -> Sequence[LeftOut]:
    """Run a statement's orders, all or none. What the server says against one that is not essential is told, and
    where it comes ``late`` that what it is about is gone."""
    sql = ";\n".join(order.sql for order in _orders_to_do(statement, there))
    try:
        async with target.transaction():
            await target.execute(sql.encode(), prepare=False)
    except psycopg.Error as error:
        state = sqlstate(error)
        essential = statement.essential and not (late and state in _GONE)
        if state[:2] in _FATAL or state in ("", "40P01", "55P03") or essential:
            raise _failure(statement, error) from error
        said = LeftOut(statement.kind, statement.name, str(error).partition("\n")[0])
        tell_left_out([said], tell)
        return [said]
    return []


def _failure(statement: Statement, error: psycopg.Error) -> Exception:
    """The error itself where the caller knows what it means; else one that names the object."""
    state = sqlstate(error)
    if state[:2] in (*_FATAL, "40") or state in ("", "55P03", "42501"):
        return error
    said = error.diag.message_primary or str(error)
    hint = "Mend the data or the definition on the source, or make the object on the target by hand; then go on."
    return NeedsOperator(
        f"The {statement.kind} {statement.name} cannot be made on the target ({state}): {said}", hint=hint
    )


@dataclass
class _Workshop:
    """Hands out statements to workers: the biggest whose needs are done and whose tables are free."""

    to_do: Sequence[Statement]
    there: Present
    tell: Teller
    late: bool = False
    left_out: list[LeftOut] = field(default_factory=list)
    _waiting: dict[int, int] = field(default_factory=dict)
    """Of each statement that is not ready: how many others it still needs."""
    _needed_by: dict[int, list[Statement]] = field(default_factory=lambda: defaultdict(list))
    _ready: list[tuple[int, int, Statement]] = field(default_factory=list)
    """A heap: the biggest first."""
    _locked: set[str] = field(default_factory=set)
    _shared: Counter[str] = field(default_factory=Counter)
    _left: int = 0
    _changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        numbers = {each.number for each in self.to_do}
        self._left = len(numbers)
        for each in self.to_do:
            needs = numbers.intersection(each.needs)
            self._waiting[each.number] = len(needs)
            for number in needs:
                self._needed_by[number].append(each)
            if not needs:
                self._offer(each)

    def _offer(self, statement: Statement) -> None:
        heappush(self._ready, (-statement.weight, statement.number, statement))

    async def run(self, connect: Connect, at_once: int, first: Connection) -> None:
        """Raises the first worker's error; the others are cancelled, and their transactions with them."""
        workers = max(1, min(at_once, len(self.to_do)))
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._work(first, at_once))
                for _ in range(workers - 1):
                    group.create_task(self._work_apart(connect, at_once))
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several

    async def _work_apart(self, connect: Connect, at_once: int) -> None:
        async with connect() as target:
            await _ready(target)
            await self._work(target, at_once)

    async def _work(self, target: Connection, at_once: int) -> None:
        await give_memory(target, at_once)
        while (statement := await self._next()) is not None:
            self.left_out += await self._try(target, statement)
            await self._done(statement)

    async def _try(self, target: Connection, statement: Statement) -> Sequence[LeftOut]:
        """A deadlock with a reader of the target's own is tried again; PostgreSQL found it within a second."""
        for _ in range(TRIES - 1):
            try:
                return await _make(target, statement, self.there, self.tell, late=self.late)
            except pg.DeadlockDetected:
                continue
        return await _make(target, statement, self.there, self.tell, late=self.late)

    async def _next(self) -> Statement | None:
        async with self._changed:
            while self._left:
                if (statement := self._take()) is not None:
                    return statement
                await self._changed.wait()
        return None

    def _take(self) -> Statement | None:
        """The biggest that is ready and free; those passed over stay ready."""
        passed = []
        found = None
        while self._ready and found is None:
            offered = heappop(self._ready)
            if self._is_free(offered[2]):
                found = offered[2]
            else:
                passed.append(offered)
        for offered in passed:
            heappush(self._ready, offered)
        if found:
            self._locked |= set(found.locks)
            self._shared.update(found.shares)
        return found

    async def _done(self, statement: Statement) -> None:
        async with self._changed:
            self._left -= 1
            self._locked -= set(statement.locks)
            self._shared.subtract(statement.shares)
            for each in self._needed_by.pop(statement.number, ()):
                self._waiting[each.number] -= 1
                if not self._waiting[each.number]:
                    self._offer(each)
            self._changed.notify_all()

    def _is_free(self, statement: Statement) -> bool:
        busy = any(table in self._locked or self._shared[table] > 0 for table in statement.locks)
        return not busy and not any(table in self._locked for table in statement.shares)


async def give_memory(target: Connection, at_once: int) -> None:
    """Half of the shared buffers for all builders together, at most 1 GB each and at least what is set."""
    query = """
        SELECT setting::bigint * 1024,
               (SELECT setting::bigint * 8192 FROM pg_settings WHERE name = 'shared_buffers')
          FROM pg_settings WHERE name = 'maintenance_work_mem'"""
    row = await (await target.execute(query)).fetchone()
    assert row, "every server has maintenance_work_mem"
    wanted = max(row[0], min(1024 * _MB, row[1] // (2 * at_once)))
    await target.execute(f"SET maintenance_work_mem = '{wanted // 1024}kB'".encode())
