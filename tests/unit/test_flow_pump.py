"""The pump writes first and remembers then, reads ahead within bounds, and stops between two batches."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import pytest

from sterna.core.change import VALUES, Batch, Chunk, Delete, Format, Name, Part, Position
from sterna.core.errors import Unreachable
from sterna.flow.copying import Copier
from sterna.flow.pacing import Limit
from sterna.flow.pump import pump
from sterna.flow.reading import ahead
from tests.effort import PATIENCE
from tests.journeys.stage import until
from tests.unit.test_flow_pacing import Clock

NAME = Name(("t",))


def batch(number: int, *, empty: bool = False) -> Batch:
    return Batch([] if empty else [Delete(NAME, {"id": number})], Position(str(number)), size=10)


@dataclass
class Sink:
    """Notes what it was given, in order, together with what was remembered."""

    story: list[str] = field(default_factory=list)
    hold: asyncio.Event | None = None
    breaks_at: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    formats: Sequence[Format] = (VALUES,)

    async def write(self, batch: Batch) -> None:
        self.begun.set()
        if self.hold:
            await self.hold.wait()
        if batch.position == self.breaks_at:
            raise Unreachable()
        self.story.append(f"write {batch.position}")

    async def load(self, part: Part, chunk: Chunk) -> None:
        await asyncio.sleep(0)
        if chunk.position == self.breaks_at:
            raise Unreachable()
        self.story.append(f"load {part.id} {chunk.position}")

    async def landed(self, batch: Batch) -> bool:
        self.story.append(f"landed {batch.position}")
        return batch.position == "9"


async def some(*batches: Batch) -> AsyncIterator[Batch]:
    for one in batches:
        yield one


async def endless() -> AsyncIterator[Batch]:
    number = 0
    while True:
        number += 1
        yield batch(number)
        await asyncio.sleep(0)


async def nothing() -> AsyncIterator[Batch]:
    await asyncio.Event().wait()
    yield batch(0)


async def test_a_batch_is_written_and_then_remembered_and_an_empty_one_only_remembered() -> None:
    sink = Sink()
    await pump(some(batch(1), batch(2, empty=True), batch(3)), sink, sink.landed, stop=asyncio.Event())  # type: ignore[arg-type]
    assert sink.story == ["write 1", "landed 1", "landed 2", "write 3", "landed 3"]


async def test_it_ends_when_the_one_who_remembers_has_enough() -> None:
    sink = Sink()
    await pump(endless(), sink, sink.landed, stop=asyncio.Event())  # type: ignore[arg-type]
    assert sink.story[-1] == "landed 9"


async def test_what_was_not_written_is_not_remembered() -> None:
    sink = Sink(breaks_at="2")
    with pytest.raises(Unreachable):
        await pump(endless(), sink, sink.landed, stop=asyncio.Event())  # type: ignore[arg-type]
    assert sink.story == ["write 1", "landed 1"]


def piece(number: int, *, empty: bool = False, more: bool = True) -> Batch:
    return replace(batch(number, empty=empty), more=more)


async def test_of_a_transaction_in_pieces_only_the_last_one_is_remembered() -> None:
    sink = Sink()
    wrote: list[str] = []
    pieces = some(piece(1), piece(2), batch(3), batch(4, empty=True))
    await pump(
        pieces,
        sink,  # type: ignore[arg-type]
        sink.landed,
        stop=asyncio.Event(),
        wrote=lambda batch: wrote.append(batch.position),
    )
    assert sink.story == ["write 1", "write 2", "write 3", "landed 3", "landed 4"]
    assert wrote == ["1", "2", "3"]


async def test_a_last_piece_without_changes_still_ends_its_transaction() -> None:
    sink = Sink()
    await pump(some(piece(1), batch(2, empty=True)), sink, sink.landed, stop=asyncio.Event())  # type: ignore[arg-type]
    assert sink.story == ["write 1", "write 2", "landed 2"]


async def test_while_a_limit_holds_the_next_batch_up_the_last_one_is_told_of_again() -> None:
    sink, clock = Sink(), Clock()
    limit = Limit(10, clock, clock.sleep)
    batches = some(replace(batch(1), size=25), piece(2), piece(3), batch(9))
    await pump(batches, sink, sink.landed, stop=asyncio.Event(), limit=limit)  # type: ignore[arg-type]
    assert sink.story == [
        "write 1",
        "landed 1",
        "landed 1",
        "landed 1",
        "write 2",
        "write 3",
        "write 9",
        "landed 9",
    ]


async def test_a_cutover_while_a_limit_holds_a_batch_up_does_not_leave_it_out() -> None:
    sink, clock = Sink(), Clock()
    batches = some(replace(batch(1), size=25), batch(2))
    enough = False

    async def landed(batch: Batch) -> bool:
        nonlocal enough
        enough, before = True, enough
        return before

    await pump(batches, sink, landed, stop=asyncio.Event(), limit=Limit(10, clock, clock.sleep))  # type: ignore[arg-type]
    assert sink.story == ["write 1", "write 2"]


async def test_a_stop_is_noticed_while_nothing_comes() -> None:
    sink, stop = Sink(), asyncio.Event()
    pumping = asyncio.create_task(pump(nothing(), sink, sink.landed, stop=stop))  # type: ignore[arg-type]
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(PATIENCE):
        await pumping


async def test_a_stop_waits_for_the_batch_that_is_being_written() -> None:
    sink, stop = Sink(hold=asyncio.Event()), asyncio.Event()
    pumping = asyncio.create_task(pump(endless(), sink, sink.landed, stop=stop))  # type: ignore[arg-type]
    await sink.begun.wait()
    stop.set()
    await asyncio.sleep(0.01)
    assert not pumping.done()
    assert sink.hold
    sink.hold.set()
    await pumping
    assert sink.story == ["write 1", "landed 1"]


async def test_reading_ahead_is_bounded_by_bytes_and_closes_what_it_reads() -> None:
    read: list[int] = []
    closed = asyncio.Event()

    async def numbers() -> AsyncIterator[int]:
        try:
            for number in range(1000):
                read.append(number)
                yield number
        finally:
            closed.set()

    async with aclosing(ahead(numbers(), lambda _: 10, asyncio.Event(), most=50)) as ready:
        assert await anext(ready) == 0
        await until(lambda: len(read) >= 5)
        await asyncio.sleep(0.01)
        assert len(read) <= 7
    assert closed.is_set()


async def test_while_one_batch_is_written_a_log_can_gather_the_next_ones() -> None:
    read: list[int] = []

    async def many() -> AsyncIterator[Batch]:
        for number in range(8):
            read.append(number)
            yield batch(number)

    sink = Sink(hold=asyncio.Event())
    pumping = asyncio.create_task(pump(many(), sink, sink.landed, stop=asyncio.Event()))  # type: ignore[arg-type]
    await until(lambda: len(read) == 2)
    await asyncio.sleep(0.01)
    assert read == [0, 1]
    assert sink.hold
    sink.hold.set()
    await pumping
    assert len(sink.story) == 16


async def test_an_error_comes_after_what_was_read_before_it() -> None:
    async def broken() -> AsyncIterator[int]:
        yield 1
        yield 2
        raise Unreachable()

    ready = ahead(broken(), lambda _: 1, asyncio.Event())
    assert [await anext(ready), await anext(ready)] == [1, 2]
    with pytest.raises(Unreachable):
        await anext(ready)


@dataclass
class Source:
    """Parts of five chunks each; counts how many are read at the same time."""

    open: int = 0
    most: int = 0

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for number in range(int(after or -1) + 1, 5):
                yield Chunk(VALUES, [], 1, 10, Position(str(number)))
                await asyncio.sleep(0)
        finally:
            self.open -= 1


PARTS = [Part(str(number), NAME) for number in range(6)]


async def test_parts_are_copied_several_at_a_time_and_each_from_its_own_position() -> None:
    source, sink = Source(), Sink()
    copier = Copier(source, sink, Limit(), asyncio.Event(), at_once=3)  # type: ignore[arg-type]

    async def after(part: Part) -> Position | None:
        return Position("2") if part.id == "0" else None

    async def landed(part: Part, chunk: Chunk) -> None:
        assert sink.story[-1] == f"load {part.id} {chunk.position}"

    await copier.copy(PARTS, after, landed)
    assert source.most == 3
    assert len(sink.story) == 2 + 5 * 5
    for part in PARTS[1:]:
        mine = [line for line in sink.story if line.startswith(f"load {part.id} ")]
        assert mine == [f"load {part.id} {number}" for number in range(5)]


async def test_one_part_that_fails_ends_the_others_with_its_own_error() -> None:
    source, sink = Source(), Sink(breaks_at="3")
    copier = Copier(source, sink, Limit(), asyncio.Event())  # type: ignore[arg-type]
    with pytest.raises(Unreachable):
        await copier.copy(PARTS, no_position, nobody)
    await until(lambda: source.open == 0)


async def test_a_stopped_copy_ends_between_two_chunks() -> None:
    source, sink, stop = Source(), Sink(), asyncio.Event()

    async def landed(part: Part, chunk: Chunk) -> None:
        stop.set()

    await Copier(source, sink, Limit(), stop, at_once=1).copy(PARTS, no_position, landed)  # type: ignore[arg-type]
    assert sink.story == ["load 0 0"]
    assert source.open == 0


async def no_position(part: Part) -> Position | None:
    return None


async def nobody(part: Part, chunk: Chunk) -> None:
    """Hears of a chunk and does nothing."""
