"""What every engine promises: its source, its log and its sink."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import pytest

from sterna.core.change import Batch, Change, Delete, Name, Position, Put, Truncate
from sterna.core.errors import Fenced, KeyConflict, PositionGone, StartAgain, Unreachable
from sterna.core.event import Level
from sterna.core.finding import Severity
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Plan
from sterna.core.ports import Engine, Log, Room, Sink, Source
from sterna.engines.memory.database import Database, add
from sterna.engines.memory.engine import MemoryEngine, endpoint
from sterna.engines.memory.source import Habits
from tests.contract.postgres_bench import PostgresBench
from tests.contract.redis_bench import RedisBench
from tests.effort import PATIENCE
from tests.servers.postgres import PostgresServer, Unavailable, running

TABLE, OTHER = Name(("d", "one")), Name(("d", "two"))


class Bench(Protocol):
    """An engine with two servers of its own, and a client of them."""

    plan: Plan

    @property
    def engine(self) -> Engine: ...

    def put(self, *ids: int) -> None:
        """A client writes rows to the source, in one transaction."""
        ...

    def remove(self, *ids: int) -> None: ...
    def increase(self, id: int) -> None:
        """A change that must be applied exactly once."""
        ...

    def same(self) -> bool: ...
    def lose_log(self) -> None:
        """The source forgets all changes so far."""
        ...

    def hang_up(self) -> None:
        """The source answers nobody."""
        ...

    def clean(self) -> bool:
        """Whether neither server holds anything of Sterna's own."""
        ...


@dataclass
class MemoryBench:
    source: Database = field(default_factory=lambda: Database("s"))
    target: Database = field(default_factory=lambda: Database("t"))
    plan: Plan = field(default_factory=lambda: Plan(endpoint("source"), endpoint("target")))

    def __post_init__(self) -> None:
        habits = Habits(pieces=3, chunk=4, batch=3, beat=0.02, look=0.002)
        self.engine: Engine = MemoryEngine({"source": self.source, "target": self.target}, habits)

    def put(self, *ids: int) -> None:
        self.source.apply(*(Put(TABLE, {"id": id, "n": 0}) for id in ids))

    def remove(self, *ids: int) -> None:
        self.source.apply(*(Delete(TABLE, {"id": id}) for id in ids))

    def increase(self, id: int) -> None:
        self.source.apply(add(TABLE, id, "n", 1))

    def same(self) -> bool:
        return self.source.contents() == self.target.contents()

    def lose_log(self) -> None:
        self.source.replace("elsewhere")

    def hang_up(self) -> None:
        self.source.down()

    def clean(self) -> bool:
        return not [*self.source.leftovers(), *self.target.leftovers()]


def redis_bench(request: pytest.FixtureRequest) -> Bench:
    start = request.getfixturevalue("redis_server")
    return RedisBench(start(), start("redis70"))


@pytest.fixture(scope="module")
def postgres_pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers that all tests share."""
    with ExitStack() as stack:
        try:
            yield stack.enter_context(running("pg18")), stack.enter_context(running("pg15"))
        except Unavailable as reason:
            pytest.skip(str(reason))


def postgres_bench(request: pytest.FixtureRequest) -> Bench:
    return PostgresBench(*request.getfixturevalue("postgres_pair"))


BENCHES: dict[str, Callable[[pytest.FixtureRequest], Bench]] = {
    "memory": lambda _: MemoryBench(),
    "redis": redis_bench,
    "postgresql": postgres_bench,
}


def silent(level: Level, code: str, message: str, **fields: str) -> None:
    """Nobody listens."""


@pytest.fixture(
    params=["memory", *(pytest.param(name, marks=pytest.mark.server) for name in ("redis", "postgresql"))]
)
def bench(request: pytest.FixtureRequest) -> Bench:
    bench = BENCHES[request.param](request)
    bench.put(*range(40))
    return bench


def room(folder: Path, epoch: int = 1) -> Room:
    return Room(JobId("j"), epoch, folder)


def source_of(bench: Bench, folder: Path) -> AbstractAsyncContextManager[Source]:
    return bench.engine.source(bench.plan, room(folder), silent)


def sink_of(bench: Bench, folder: Path, epoch: int = 1) -> AbstractAsyncContextManager[Sink]:
    return bench.engine.sink(bench.plan, room(folder, epoch), silent)


async def copy(source: Source, sink: Sink) -> None:
    for name in await source.names():
        for part in await source.parts(name):
            async for chunk in source.copy(part, sink.formats):
                await sink.load(part, chunk)


async def changes(batches: AsyncIterator[Batch], sink: Sink, enough: Callable[[], bool]) -> Batch:
    """Write what comes until it is enough; the last batch."""
    async with asyncio.timeout(PATIENCE), aclosing(batches):  # type: ignore[type-var]
        async for batch in batches:
            if batch.changes:
                await sink.write(batch)
            if enough():
                return batch
    raise AssertionError("a log ends by itself")


async def next_of(batches: AsyncIterator[Batch], kind: Callable[[Batch], bool]) -> Batch:
    async with asyncio.timeout(PATIENCE), aclosing(batches):  # type: ignore[type-var]
        async for batch in batches:
            if kind(batch):
                return batch
    raise AssertionError("a log ends by itself")


async def nothing_left(log: Log, after: Position) -> None:
    """Wait for a batch that nothing comes after. A server's log also grows by itself, so not any one will do."""
    async with asyncio.timeout(PATIENCE), aclosing(log.follow(after)) as batches:  # type: ignore[type-var]
        async for batch in batches:
            if await log.lag(batch.position) == 0:
                return


async def test_what_is_there_at_the_anchor_is_copied_and_what_changes_follows(
    bench: Bench, tmp_path: Path
) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        assert source.log
        await sink.claim()
        anchor = await source.log.anchor()
        bench.increase(3)
        bench.remove(4)
        await sink.prepare()
        await copy(source, sink)
        await sink.copied(anchor)
        bench.increase(3)
        last = await changes(source.log.follow(anchor), sink, bench.same)
        await source.log.confirm(last.position)
        await nothing_left(source.log, last.position)
        await source.log.release()
        await source.log.release()
        await sink.finish()
    assert bench.same()
    assert bench.clean()


async def test_a_part_goes_on_after_any_chunk(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        assert source.log
        await sink.claim()
        await source.log.anchor()
        await sink.prepare()
        for name in await source.names():
            for part in await source.parts(name):
                whole = [chunk async for chunk in source.copy(part, sink.formats)]
                for number, chunk in enumerate(whole):
                    rest = [c async for c in source.copy(part, sink.formats, chunk.position)]
                    assert rest == whole[number + 1 :]
                    await sink.load(part, chunk)
                    assert await sink.position(f"copy:{part.id}") in (chunk.position, None)
    assert bench.same()


async def test_parts_are_the_same_every_time_and_have_ids_of_their_own(bench: Bench, tmp_path: Path) -> None:
    async with source_of(bench, tmp_path) as source:
        assert source.log
        await source.log.anchor()
        parts = [part for name in await source.names() for part in await source.parts(name)]
        again = [part for name in await source.names() for part in await source.parts(name)]
    assert parts == again
    assert len({part.id for part in parts}) == len(parts)


async def copied(bench: Bench, source: Source, sink: Sink) -> Position:
    """The state in which changes begin to follow, and from where."""
    assert source.log
    await sink.claim()
    anchor = await source.log.anchor()
    await sink.prepare()
    await copy(source, sink)
    await sink.copied(anchor)
    return anchor


async def test_writing_a_batch_twice_is_writing_it_once(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        anchor = await copied(bench, source, sink)
        bench.increase(1)
        assert source.log
        batch = await next_of(source.log.follow(anchor), lambda batch: bool(batch.changes))
        await sink.write(batch)
        async with sink_of(bench, tmp_path, 2) as later:
            await later.claim()
            kept = await later.position("follow")
            assert kept == batch.position
            await changes(source.log.follow(kept), later, bench.same)


async def test_a_quiet_log_says_that_it_lives(bench: Bench, tmp_path: Path) -> None:
    async with source_of(bench, tmp_path) as source:
        assert source.log
        anchor = await source.log.anchor()
        batch = await next_of(source.log.follow(anchor), lambda batch: True)
    assert not batch.changes


async def test_a_position_that_is_gone_is_found_before_anything_is_changed(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        anchor = await copied(bench, source, sink)
        assert source.log
        await source.log.resume(anchor)
    bench.lose_log()
    async with source_of(bench, tmp_path) as source:
        assert source.log
        with pytest.raises(PositionGone):
            await source.log.resume(anchor)
        with pytest.raises(PositionGone):
            await next_of(source.log.follow(anchor), lambda batch: True)


async def test_an_older_writer_is_refused_by_the_target(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as old, source_of(bench, tmp_path) as source:
        anchor = await copied(bench, source, old)
        assert source.log
        bench.increase(1)
        batch = await next_of(source.log.follow(anchor), lambda batch: bool(batch.changes))
        async with sink_of(bench, tmp_path, 2) as new:
            await new.claim()
            for call in (old.claim(), old.write(batch), old.copied(anchor), old.finish()):
                with pytest.raises(Fenced):
                    await call
            assert await new.position("follow") == anchor


async def test_an_older_writer_is_refused_after_the_job_has_ended(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as old, source_of(bench, tmp_path) as source:
        anchor = await copied(bench, source, old)
        assert source.log
        bench.increase(1)
        batch = await next_of(source.log.follow(anchor), lambda batch: bool(batch.changes))
        async with sink_of(bench, tmp_path, 2) as new:
            await new.claim()
            await new.finish()
            await new.finish()
        with pytest.raises(Fenced):
            await old.write(batch)


async def test_preparing_forgets_all_lanes(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        await copied(bench, source, sink)
        await sink.prepare()
        assert await sink.position("follow") is None


async def test_rows_deleted_between_two_copies_do_not_stay(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        await copied(bench, source, sink)
        bench.remove(*range(10))
        await copied(bench, source, sink)
    assert bench.same()


async def test_a_source_that_does_not_answer_is_unreachable(bench: Bench, tmp_path: Path) -> None:
    bench.hang_up()

    async def anchored() -> None:
        async with source_of(bench, tmp_path) as source:
            assert source.log
            await source.log.anchor()

    with pytest.raises(Unreachable):
        await anchored()


async def test_a_comparison_names_what_differs(bench: Bench, tmp_path: Path) -> None:
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        await copied(bench, source, sink)
    assert (await bench.engine.compare(bench.plan)).equal
    bench.increase(5)
    bench.remove(6)
    found = await bench.engine.compare(bench.plan, most=1)
    assert (found.equal, found.different, len(found.differences)) == (False, 2, 1)


# The memory engine's own.


async def test_a_snapshot_that_went_with_its_connection_starts_the_copy_again(tmp_path: Path) -> None:
    bench = MemoryBench(Database("s", lasting=False))
    bench.put(1, 2, 3)
    async with source_of(bench, tmp_path) as source:
        await source.log.anchor()  # type: ignore[union-attr]
    async with source_of(bench, tmp_path) as source:
        with pytest.raises(StartAgain):
            await source.names()


async def test_a_log_keeps_no_more_than_its_retention(tmp_path: Path) -> None:
    bench = MemoryBench(Database("s", retention=3))
    async with source_of(bench, tmp_path) as source:
        assert source.log
        anchor = await source.log.anchor()
        for id in range(3):
            bench.put(id)
        await source.log.resume(anchor)
        bench.put(4)
        with pytest.raises(PositionGone):
            await source.log.resume(anchor)


async def test_the_target_must_be_empty_where_the_plan_says_so(tmp_path: Path) -> None:
    bench = MemoryBench()
    bench.plan = replace(bench.plan, conflict=Conflict.STOP)
    bench.target.apply(Put(OTHER, {"id": 1}))
    found = [finding for check in bench.engine.checks(bench.plan) for finding in await check.run()]
    assert [finding.severity for finding in found].count(Severity.FAILED) == 1
    async with sink_of(bench, tmp_path) as sink:
        await sink.claim()
        with pytest.raises(KeyConflict):
            await sink.prepare()


def all_kinds() -> Sequence[Change]:
    return [Put(OTHER, {"id": 1}), Put(OTHER, {"id": 2}, {"id": 1}), Truncate(TABLE), Put(TABLE, {"id": "x"})]


async def test_a_table_is_emptied_and_a_key_moves(tmp_path: Path) -> None:
    bench = MemoryBench()
    bench.put(1, 2)
    async with sink_of(bench, tmp_path) as sink, source_of(bench, tmp_path) as source:
        anchor = await copied(bench, source, sink)
        bench.source.apply(*all_kinds())
        assert source.log
        await changes(source.log.follow(anchor), sink, bench.same)
    assert bench.target.contents() == {OTHER: {2: {"id": 2}}, TABLE: {"x": {"id": "x"}}}
