"""The power fails before and after every write to the store of a whole job, while clients write to the source.

At the end the target is what the source is, and what must be applied exactly once was. And the other way round:
faults put into the order of things on purpose are found out by this very journey.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from sterna.core.change import Batch, Delete, Position, Put
from sterna.core.errors import IllegalMove
from sterna.core.job import Job, JobId
from sterna.core.plan import Conflict, Plan, Resume
from sterna.core.ports import Room, Sink, Source, Teller
from sterna.engines.memory.database import Database, add
from sterna.engines.memory.engine import MemoryEngine
from sterna.engines.memory.sink import MemorySink
from sterna.engines.memory.source import MemoryLog, MemorySource
from sterna.jobs import steps
from sterna.jobs.ledger import Ledger
from sterna.store.memory import MemoryStore
from tests.contract.power import PowerCut, PowerLost
from tests.effort import PATIENCE
from tests.journeys.stage import HASTE, ORDERS, QUICK, STOCK, Condition, Phase, Stage, Wish, fill, reached

pytestmark = pytest.mark.long

SLOWER = replace(QUICK, look=0.01, beat=0.02)
FINE = replace(HASTE, chunk=5)
WRITES = 30
"""How many transactions the clients make while the job runs."""


@dataclass(frozen=True)
class Verdict:
    """How a journey ended. ``lost``: the power did fail on the way."""

    lost: bool
    trouble: str


async def clients(stage: Stage) -> None:
    """Writes of all kinds, of which adding is the one that shows whether it was applied twice."""
    for turn in range(WRITES):
        if stage.adding:
            stage.source.apply(add(ORDERS, turn % 7, "n", 1), add(STOCK, turn, "n", turn))
        stage.source.apply(Put(STOCK, {"id": f"w{turn}", "n": turn}), Delete(ORDERS, {"id": 30 + turn % 10}))
        await asyncio.sleep(0.003)


async def journey(stage: Stage, at: int, before: bool) -> Verdict:
    """A whole job whose power fails at one write, then goes on with a new run."""
    fill(stage.source, 40)
    stage.target.slow(0.002)
    job = await stage.job(resume=Resume.MANUAL)
    cut = PowerCut(stage.store, at, before)
    writing = asyncio.create_task(clients(stage))
    ending = asyncio.create_task(cutover(stage, job, writing))
    try:
        async with asyncio.timeout(PATIENCE):
            await runs(stage, job, cut)
            await ending
    except TimeoutError:
        return Verdict(cut.lost, "it never ended")
    finally:
        writing.cancel()
        ending.cancel()
        await asyncio.gather(writing, ending, return_exceptions=True)
    return Verdict(cut.lost, await judge(stage, job))


async def cutover(stage: Stage, job: Job, writing: asyncio.Task[None]) -> None:
    """Ask for the cutover once the clients are done and the job can take it."""
    await asyncio.wait({writing})
    while (now := await stage.now(job)).condition is not Condition.FAILED:
        try:
            await stage.desk.finish(now)
            break
        except IllegalMove:
            await asyncio.sleep(0.005)


async def runs(stage: Stage, job: Job, cut: PowerCut) -> None:
    """One run that loses its power, perhaps, and as many after it as it takes."""
    try:
        await stage.runner(job, cut).run()
    except PowerLost:
        while (now := await stage.now(job)).condition in (Condition.IDLE, Condition.RUNNING) or now.wished:
            await stage.runner(job).run()


async def judge(stage: Stage, job: Job) -> str:
    now = await stage.now(job)
    if now.condition is not Condition.DONE:
        return f"it ended {now.condition}: {now.failure}"
    if stage.source.contents() != stage.target.contents():
        return "the target is not what the source is"
    left = [*stage.source.leftovers(), *stage.target.leftovers()]
    return f"left behind: {left}" if left else ""


async def everywhere(make: Callable[[], Stage], before: bool, *, at_once: int = 12) -> Sequence[tuple[int, str]]:
    """Where a power cut leads to trouble, over all writes of a job: the number of the write, and what it was."""
    found: list[tuple[int, str]] = []
    for first in range(1, 1000, at_once):
        verdicts = await asyncio.gather(*(journey(make(), first + n, before) for n in range(at_once)))
        found += [(first + n, verdict.trouble) for n, verdict in enumerate(verdicts) if verdict.trouble]
        if found or not any(verdict.lost for verdict in verdicts):
            assert found or first > 30, "a whole job has more writes than that"
            break
    return found


def plain(folder: Path) -> Callable[[], Stage]:
    return lambda: Stage(folder, tempo=SLOWER, habits=FINE)


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_no_power_cut_loses_or_repeats_a_change(tmp_path: Path, before: bool) -> None:
    assert await everywhere(plain(tmp_path), before) == []


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
async def test_a_target_that_keeps_no_positions_loses_nothing_either(tmp_path: Path, before: bool) -> None:
    assert await everywhere(forgetful(tmp_path), before) == []


async def test_the_power_cuts_reach_every_phase(tmp_path: Path) -> None:
    stage = plain(tmp_path)()
    assert await journey(stage, 0, True) == Verdict(False, "")
    messages = [event.message for event in (await stage.store.events(JobId(await only(stage)), limit=999))[1]]
    for phase in ("PREPARE", "COPY", "FOLLOW", "CLOSE"):
        assert any(f"-> {phase} " in message for message in messages)


async def only(stage: Stage) -> str:
    return (await stage.store.jobs())[1][0].id


# Faults put in on purpose.


@dataclass(frozen=True)
class Warped(MemoryEngine):
    """A memory engine whose logs are of another kind."""

    log: type[MemoryLog] = MemoryLog

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        return self._warp(super().source(plan, room, tell))

    @asynccontextmanager
    async def _warp(self, opening: AbstractAsyncContextManager[Any]) -> AsyncIterator[Source]:
        kind = self.log

        class WarpedSource(MemorySource):
            @property
            def log(self) -> MemoryLog:
                return kind(self.database, self.room.job_id, self.habits)

        async with opening as source:
            yield WarpedSource(source.database, source.room, source.habits)


def warped(folder: Path, log: type[MemoryLog]) -> Callable[[], Stage]:
    def make() -> Stage:
        stage = Stage(folder, tempo=SLOWER, habits=FINE)
        stage.engines["memory"] = Warped({"source": stage.source, "target": stage.target}, FINE, log)
        return stage

    return make


class Forgetful(MemorySink):
    """A target that keeps no positions: those in the store are all there is."""

    async def position(self, lane: str) -> Position | None:
        return None


@dataclass(frozen=True)
class ForgetfulEngine(MemoryEngine):
    """A memory engine whose targets keep no positions."""

    @asynccontextmanager
    async def _sink(self, database: Database, room: Room, conflict: Conflict) -> AsyncIterator[Sink]:
        yield Forgetful(database, room, conflict)


def forgetful(folder: Path) -> Callable[[], Stage]:
    def make() -> Stage:
        stage = Stage(folder, tempo=replace(SLOWER, beat=0.0), habits=FINE, adding=False)
        stage.engines["memory"] = ForgetfulEngine({"source": stage.source, "target": stage.target}, FINE)
        return stage

    return make


async def test_remembering_before_writing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def pump(batches: AsyncIterator[Batch], sink: Sink, landed: Any, **_: object) -> None:
        async for batch in batches:
            enough = await landed(batch)
            if batch.changes:
                await sink.write(batch)
            if enough:
                return

    monkeypatch.setattr(steps, "pump", pump)
    assert await everywhere(forgetful(tmp_path), False)


class Hasty(MemoryLog):
    """Lets the source forget what is only read."""

    async def follow(self, after: Position) -> AsyncIterator[Batch]:
        async for batch in super().follow(after):
            await self.confirm(batch.position)
            yield batch


async def test_letting_the_source_forget_too_early_is_found_out(tmp_path: Path) -> None:
    assert await everywhere(warped(tmp_path, Hasty), True)


async def test_an_anchor_after_the_copy_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = steps.Copy._complete

    async def late(self: steps.Copy, ledger: Ledger) -> None:
        assert self.source.log
        await ledger.put(steps.ANCHOR, await self.source.log.anchor())
        await right(self, ledger)

    monkeypatch.setattr(steps.Copy, "_complete", late)
    for _ in range(20):  # only what the clients write during the copy is lost, and they may be done before it
        found = await journey(plain(tmp_path)(), 0, True)
        if found.trouble:
            break
    assert found.trouble == "the target is not what the source is"


class Silent(MemoryLog):
    """Says nothing while the source is quiet."""

    async def follow(self, after: Position) -> AsyncIterator[Batch]:
        async for batch in super().follow(after):
            if batch.changes:
                yield batch


async def quiet_cutover(stage: Stage, within: float) -> bool:
    """Whether a job on a quiet source can be cut over, in so many seconds."""
    fill(stage.source)
    job = await stage.job()
    run = asyncio.create_task(stage.runner(job).run())
    await reached(stage, job, Phase.FOLLOW)
    await stage.desk.finish(await stage.now(job))
    await asyncio.wait({run}, timeout=within)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return (await stage.now(job)).condition is Condition.DONE


async def test_a_quiet_log_without_a_sign_of_life_is_found_out(tmp_path: Path) -> None:
    assert await quiet_cutover(plain(tmp_path)(), PATIENCE)
    assert not await quiet_cutover(warped(tmp_path, Silent)(), 1)


class Interrupted(MemoryStore):
    """A pause is asked for at the very moment in which a phase is reported."""

    async def report(self, id: JobId, phase: Phase, *rest: Any, **named: Any) -> None:
        old = await self.job(id)
        if phase is Phase.COPY and not old.wished and old.wish is Wish.RUN:
            await self.ask(id, Wish.PAUSE)
        await super().report(id, phase, *rest, **named)
        self.overwrite(old)

    def overwrite(self, old: Job) -> None:
        """Nothing here; what the API wrote stays."""


class Overwriting(Interrupted):
    """Writes the wish together with the phase, as it was when the report was begun."""

    def overwrite(self, old: Job) -> None:
        now = self._jobs[old.id]
        self._jobs[old.id] = replace(now, wish=old.wish, asked=old.asked)


async def paused(stage: Stage, within: float) -> bool:
    """Whether the pause that ``Interrupted`` asks for is carried out, in so many seconds."""
    fill(stage.source)
    job = await stage.job()
    run = asyncio.create_task(stage.runner(job).run())
    await asyncio.wait({run}, timeout=within)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    return (await stage.now(job)).condition is Condition.PAUSED


async def test_a_report_that_overwrites_a_wish_is_found_out(tmp_path: Path) -> None:
    assert await paused(Stage(tmp_path, store=Interrupted()), PATIENCE)
    assert not await paused(Stage(tmp_path, store=Overwriting()), 1)
