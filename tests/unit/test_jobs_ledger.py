"""The figures on a job's page are true to what was done, and show whether anybody still looks."""

import asyncio
import time
from dataclasses import replace

import pytest

from sterna.core.job import Condition, JobId, Phase
from sterna.core.plan import Endpoint, Pace, Plan, Window
from sterna.flow.progress import Meter
from sterna.jobs.desk import Desk
from sterna.jobs.ledger import SIGN_OF_LIFE_MS, Ledger
from sterna.store.memory import MemoryStore
from tests.api.service import NoEngine

PLAN = Plan(Endpoint("redis", (("a", 1),)), Endpoint("redis", (("b", 2),)))


class Wall:
    now = 5_000

    def __call__(self) -> int:
        return self.now


async def begun(wall: Wall) -> Ledger:
    """The page of a job that has just begun to run."""
    store = MemoryStore()
    desk = Desk(store, {"redis": NoEngine()})
    job = await desk.create("p", "cli", "moves", plan=PLAN)
    await desk.run(job)
    await store.begin(job.id)
    return Ledger(
        store, await store.job(job.id), clock=lambda: 0.0, wall=wall, meter=Meter(clock=lambda: 0.0, wall=wall)
    )


async def test_figures_that_stay_the_same_are_written_now_and_then() -> None:
    wall = Wall()
    ledger = await begun(wall)
    seen = []
    for step in (0, 100, SIGN_OF_LIFE_MS - 101, 1):
        wall.now += step
        await ledger.write_progress()
        seen.append((await ledger.store.progress(JobId(ledger.job.id))).at_ms)
    assert seen == [5_000, 5_000, 5_000, 5_000 + SIGN_OF_LIFE_MS]


async def test_a_window_holds_by_the_local_time_of_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Etc/GMT-3")  # three hours ahead of UTC, whatever the sign says
    time.tzset()
    try:
        wall = Wall()
        ledger = await begun(wall)
        pace = Pace(1, 2, (Window(4 * 60, 4 * 60 + 59, 7),))
        ledger.see(replace(ledger.job, plan=replace(PLAN, pace=pace)))
        rates = []
        for minute in (59, 60, 119, 120):
            wall.now = minute * 60_000
            rates.append((ledger.copy_rate(), ledger.follow_rate()))
        assert rates == [(1, 2), (7, 7), (7, 7), (1, 2)]
    finally:
        monkeypatch.undo()
        time.tzset()


async def test_a_copy_that_is_cut_short_does_not_become_complete() -> None:
    for stopped, percent in ((True, 40), (False, 100)):
        ledger = await begun(Wall())
        await ledger.enter(Phase.COPY)
        ledger.meter.note(bytes=40, bytes_total=100)
        if stopped:
            ledger.stop.set()
        await ledger.enter(Phase.CLOSE)
        assert ledger.meter.read().percent == percent


async def test_a_phase_that_is_cut_short_while_it_is_written_is_known_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ledger = await begun(Wall())
    written = asyncio.Event()
    report = ledger.store.report

    async def slow(*words: object, **more: object) -> None:
        await report(*words, **more)  # type: ignore[arg-type]
        written.set()
        await asyncio.sleep(0.01)

    monkeypatch.setattr(ledger.store, "report", slow)
    entering = asyncio.ensure_future(ledger.enter(Phase.FOLLOW))
    await written.wait()
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    await ledger.end(Condition.PAUSED)
    job = await ledger.store.job(ledger.job.id)
    assert (job.phase, job.condition) == (Phase.FOLLOW, Condition.PAUSED)
