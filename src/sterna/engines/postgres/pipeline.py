"""Many statements to a server in one round trip, with parameters in text form as they came from the log.

libpq's pipeline mode by hand: psycopg's own adapts every value by its Python type, which costs more than the
statement, and would have to be told that these bytes are not bytea.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import errors, generators, pq
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait

from sterna.engines.postgres.connection import Connection

MOST_PREPARED = 400
"""Statements that a session keeps prepared; each costs the server tens of kilobytes."""
_MOST_AT_ONCE = 64 * 1024
"""Bytes of parameters that are sent before answers are looked at."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A text with ``$1`` … and the types that its parameters have on the server."""

    text: str
    types: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A statement with its values."""

    statement: Statement
    values: Sequence[bytes | None] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What a statement did: how many rows it touched or gave, and those it gave."""

    count: int
    rows: Sequence[tuple[bytes | None, ...]] = ()


class StepFailed(Exception):
    """A statement failed, and none after it ran. ``done``: what those before it did; ``cause``: the driver's."""

    def __init__(self, done: "Sequence[Done]", cause: psycopg.Error) -> None:
        self.done = done
        self.cause = cause
        super().__init__(str(cause))


Look = Callable[["Sequence[Done] | psycopg.Error"], None]
"""Hears what steps did, or why one of them failed; raises where that is not as it should be."""


@dataclass(slots=True)
class _Send:
    """One or several messages to the server, and how many answers come."""

    calls: list[Callable[[], None]]
    size: int = 0

    def __call__(self) -> None:
        for call in self.calls:
            call()


class Pipeline:
    """Runs prepared statements on a connection; nobody else may use it meanwhile.

    Answers are kept in memory whole: it is meant for changes and small answers.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        # psycopg ends all prepared statements, ours too, when one of its own has seen an ALTER, DROP or ROLLBACK.
        connection.prepare_threshold = None
        self._names: dict[Statement, bytes] = {}
        self._number = 0
        self._first: tuple[Sequence[Step], Look] | None = None

    def first(self, steps: Sequence[Step], look: Look) -> None:
        """Send these with whatever runs next, before it. ``look`` hears of them; ``run`` raises what it raises."""
        self._first = steps, look

    async def begun(self) -> None:
        """What ``first`` left to be sent has run."""
        if self._first:
            await self.run()

    async def run(self, *steps: Step) -> list[Done]:
        """Run them all, in order, in one round trip. Raises StepFailed, and psycopg's error for a lost server."""
        if self._first is None:
            return await self._run(steps)
        (opening, look), self._first = self._first, None
        try:
            done = await self._run([*opening, *steps])
        except StepFailed as failure:
            if len(failure.done) < len(opening):
                look(failure.cause)
                raise failure.cause from None
            look(failure.done[: len(opening)])
            raise StepFailed(failure.done[len(opening) :], failure.cause) from failure.cause
        look(done[: len(opening)])
        return done[len(opening) :]

    async def _run(self, steps: Sequence[Step]) -> list[Done]:
        calls: list[Callable[[], None]] = []
        sizes: list[int] = []
        answers: list[bool] = []  # for each call, whether its answer is a step's
        fresh: list[Statement] = []
        pgconn = self._connection.pgconn
        for step in steps:
            for call in self._prepared(pgconn, step.statement, fresh):
                calls.append(call)
                sizes.append(len(step.statement.text))
                answers.append(False)
            calls.append(_execution(pgconn, self._names[step.statement], step.values))
            sizes.append(sum(map(len, filter(None, step.values))))
            answers.append(True)
        try:
            results = await self._communicate(pgconn, _gathered(calls, sizes), len(calls))
            return _told(results, answers)
        except BaseException:
            for statement in fresh:
                self._names.pop(statement, None)
            raise

    def forget(self) -> None:
        """Types may have changed: prepare everything anew."""
        self._names.clear()

    def _prepared(self, pgconn: PGconn, statement: Statement, fresh: list[Statement]) -> list[Callable[[], None]]:
        """What has to be sent before the statement can run: nothing, or its text, and an old one's end."""
        name = self._names.pop(statement, None)
        if name is not None:
            self._names[statement] = name  # the last used stand last
            return []
        calls = []
        if len(self._names) >= MOST_PREPARED:
            oldest = next(iter(self._names))
            calls.append(_ending(pgconn, self._names.pop(oldest)))
        self._number += 1
        name = self._names[statement] = b"sterna_apply_%d" % self._number
        fresh.append(statement)
        return [*calls, _preparation(pgconn, name, statement)]

    async def _communicate(
        self, pgconn: PGconn, sends: deque[Callable[[], None]], count: int
    ) -> list[list[PGresult]]:
        sends.append(pgconn.pipeline_sync)
        pgconn.enter_pipeline_mode()
        results: list[list[PGresult]] = await self._connection.wait(_all_results(pgconn, sends, count + 1))
        pgconn.exit_pipeline_mode()
        return results[:-1]


def _all_results(pgconn: PGconn, sends: deque[Callable[[], None]], count: int) -> PQGen[list[list[PGresult]]]:
    results: list[list[PGresult]] = yield from generators.pipeline_communicate(pgconn, sends)
    # It ends with the last call, whether or not the socket took all of it; and who fetches does not send.
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    while len(results) < count:
        results.append((yield from generators.fetch_many(pgconn)))
    return results


def _execution(pgconn: PGconn, name: bytes, values: Sequence[bytes | None]) -> Callable[[], None]:
    return lambda: pgconn.send_query_prepared(name, values)


def _preparation(pgconn: PGconn, name: bytes, statement: Statement) -> Callable[[], None]:
    return lambda: pgconn.send_prepare(name, statement.text.encode(), statement.types)


def _ending(pgconn: PGconn, name: bytes) -> Callable[[], None]:
    return lambda: pgconn.send_query_params(b"DEALLOCATE " + name, None)


def _gathered(calls: list[Callable[[], None]], sizes: list[int]) -> deque[Callable[[], None]]:
    """Several calls as one, since a wait for the socket stands between any two."""
    sends: deque[Callable[[], None]] = deque()
    current = _Send([])
    for call, size in zip(calls, sizes, strict=True):
        if current.calls and (current.size + size > _MOST_AT_ONCE or len(current.calls) >= 100):
            sends.append(current)
            current = _Send([])
        current.calls.append(call)
        current.size += size
    if current.calls:
        sends.append(current)
    return sends


def _told(results: list[list[PGresult]], answers: list[bool]) -> list[Done]:
    found: list[Done] = []
    for (result, *_), wanted in zip(results, answers, strict=True):
        if result.status in (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_ABORTED):
            raise StepFailed(found, errors.error_from_result(result))
        if wanted:
            found.append(_done(result))
    return found


def _done(result: PGresult) -> Done:
    if result.status == pq.ExecStatus.TUPLES_OK:
        wide = range(result.nfields)
        rows = [tuple(result.get_value(row, column) for column in wide) for row in range(result.ntuples)]
        return Done(len(rows), rows)
    return Done(result.command_tuples or 0)
