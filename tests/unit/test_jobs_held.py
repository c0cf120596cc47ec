"""A source outlives a fault of the target, and is opened anew if it may be what is broken."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

from sterna.core.ports import Source
from sterna.jobs.held import Held
from sterna.jobs.tempo import Tempo


class Stage:
    def __init__(self) -> None:
        self.now = 1000.0
        self.opened = self.closed = 0
        self.held = Held(self.open, Tempo(calm=60.0), lambda: self.now)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Source]:
        self.opened += 1
        yield cast(Source, object())
        self.closed += 1


async def test_it_is_the_same_source_after_one_fault_however_long_the_target_is_away() -> None:
    stage = Stage()
    source = await stage.held.source()
    for _ in range(5):  # only the first of them had asked for the source
        await stage.held.over_a_fault()
    assert await stage.held.source() is source
    assert (stage.opened, stage.closed) == (1, 0)


async def test_a_second_fault_soon_after_closes_it_and_a_late_one_does_not() -> None:
    stage = Stage()
    for wait, opened in ((0, 1), (61, 1), (61, 1), (5, 1), (0, 2)):
        stage.now += wait
        await stage.held.source()
        assert stage.opened == opened
        await stage.held.over_a_fault()
    await stage.held.close()
    await stage.held.close()
    assert stage.closed == 2
