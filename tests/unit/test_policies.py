"""Comparisons by a policy: when they are due, and that the service begins each of them once."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sterna.core.comparison import Depth
from sterna.core.errors import Invalid
from sterna.core.job import Condition, Job, Phase, Wish
from sterna.jobs.background import Background
from sterna.jobs.comparing import Comparing, ComparisonRun, Stage
from sterna.jobs.desk import Desk
from sterna.jobs.policies import ComparePolicy, policy_of
from sterna.jobs.scheduling import MOST_KEPT, Scheduling
from tests.unit.test_desk import Office, until

EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)


def at(text: str) -> int:
    """Epoch milliseconds of a moment in UTC. 2023-06-12 was a Monday."""
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def policy(begin: int = 8, end: int = 10, *depths: Depth, **more: Any) -> ComparePolicy:
    """From one full hour to another."""
    made = ComparePolicy(depths or (Depth.ROWS,), EVERY_DAY, begin * 3600, end * 3600)
    return replace(made, **more)


MONDAYS = policy(days=(1,))
HOURLY = policy(every_h=1)
BY_NIGHT = policy(23, 4, days=(1,), every_h=2)


# When.


@pytest.mark.parametrize(
    ("wanted", "now", "expected"),
    [
        (policy(), "2023-06-12 07:59:59.999", "2023-06-12 08:00"),
        (policy(), "2023-06-12 08:00", "2023-06-13 08:00"),
        (MONDAYS, "2023-06-12 07:00", "2023-06-12 08:00"),
        (MONDAYS, "2023-06-12 08:00", "2023-06-19 08:00"),
        (MONDAYS, "2023-06-13 00:00", "2023-06-19 08:00"),
        (policy(days=(3, 7)), "2023-06-12 09:00", "2023-06-14 08:00"),
        (policy(days=(3, 7)), "2023-06-14 09:00", "2023-06-18 08:00"),
        (HOURLY, "2023-06-12 08:30", "2023-06-12 09:00"),
        (HOURLY, "2023-06-12 09:00", "2023-06-13 08:00"),
        (policy(every_h=24), "2023-06-12 08:30", "2023-06-13 08:00"),
        (BY_NIGHT, "2023-06-12 23:00", "2023-06-13 01:00"),
        (BY_NIGHT, "2023-06-13 01:00", "2023-06-13 03:00"),
        (BY_NIGHT, "2023-06-13 03:00", "2023-06-19 23:00"),
        (policy(), "2024-02-28 12:00", "2024-02-29 08:00"),
        (policy(), "2023-12-31 12:00", "2024-01-01 08:00"),
    ],
)
def test_the_next_time(wanted: ComparePolicy, now: str, expected: str) -> None:
    assert wanted.next(at(now)) == at(expected)


@pytest.mark.parametrize(
    ("wanted", "now", "expected"),
    [
        (policy(), "2023-06-12 07:59:59", None),
        (policy(), "2023-06-12 08:00", "2023-06-12 08:00"),
        (policy(), "2023-06-12 09:59:59", "2023-06-12 08:00"),
        (policy(), "2023-06-12 10:00", None),
        (MONDAYS, "2023-06-13 08:30", None),
        (HOURLY, "2023-06-12 09:59", "2023-06-12 09:00"),
        (HOURLY, "2023-06-12 10:00:30", None),
        (BY_NIGHT, "2023-06-13 00:59", "2023-06-12 23:00"),
        (BY_NIGHT, "2023-06-13 03:59", "2023-06-13 03:00"),
        (BY_NIGHT, "2023-06-13 04:00", None),
        (BY_NIGHT, "2023-06-13 23:30", None),
        (policy(end_s=8 * 3600 + 1), "2023-06-12 08:00:30", "2023-06-12 08:00"),
        (policy(end_s=8 * 3600 + 1), "2023-06-12 08:01:00", None),
    ],
)
def test_the_time_that_is_due_while_the_window_is_open(
    wanted: ComparePolicy, now: str, expected: str | None
) -> None:
    assert wanted.last(at(now)) == (at(expected) if expected else None)


def test_no_time_before_the_policy_was_set_counts() -> None:
    now = at("2023-06-12 08:30")
    assert policy(since_ms=now).last(now) is None
    assert policy(since_ms=at("2023-06-12 08:00")).last(now) == at("2023-06-12 08:00")


@pytest.fixture(params=["Europe/Berlin", "Asia/Shanghai", "America/St_Johns"])
def _elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The service runs in another time zone."""
    with monkeypatch.context() as changed:
        changed.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_elsewhere")
def test_times_are_in_utc_wherever_the_service_runs() -> None:
    """Also on the days on which clocks are changed there: 26 March and 29 October 2023 in Europe."""
    for day in ("2023-03-26", "2023-10-29"):
        assert policy(1, 2).next(at(f"{day} 00:30")) == at(f"{day} 01:00")
        assert policy(0, 5, every_h=1).next(at(f"{day} 01:00")) == at(f"{day} 02:00")


@pytest.mark.parametrize("bad", [{"depths": ()}, {"days": (1, 1)}, {"days": (0,)}, {"end_s": 8 * 3600}])
def test_a_policy_that_makes_no_sense_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        policy(**bad)


@pytest.mark.parametrize("bad", [{"begin_s": -1}, {"end_s": 86400}, {"every_h": 25}])
def test_times_out_of_bounds_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        policy(**bad)


# What the service does.


@dataclass
class Clock:
    """Stands still until a test sets it."""

    now: int

    def __call__(self) -> int:
        return self.now


@dataclass
class Planned:
    """An office whose clock a test sets, and a job that follows its source."""

    office: Office
    clock: Clock
    job: Job

    @property
    def desk(self) -> Desk:
        return self.office.desk

    async def set(self, wanted: ComparePolicy | None) -> None:
        await self.desk.set_compare_policy(self.job, wanted)

    async def look_at(self, text: str) -> list[ComparisonRun]:
        """Look around at this moment. All comparisons."""
        self.clock.now = at(text)
        await self.scheduling().look_around()
        return await self.runs()

    def scheduling(self) -> Scheduling:
        desk = self.desk
        comparing = Comparing(desk.store, desk.engines, desk.clock, desk.background)
        return Scheduling(desk.store, comparing, desk.clock, desk.background)

    async def runs(self) -> list[ComparisonRun]:
        return list(await self.desk.comparisons(self.job))

    async def ended(self) -> list[ComparisonRun]:
        return list(await until(self.runs, lambda runs: not any(run.open for run in runs)))

    async def left_out(self) -> list[str]:
        events = (await self.office.store.events(self.job.id))[1]
        return [event.message for event in events if event.code == "compare.left_out"]

    async def is_now(self, phase: Phase, condition: Condition) -> None:
        epoch = (await self.office.store.job(self.job.id)).epoch
        await self.office.store.report(self.job.id, phase, condition, epoch=epoch)


@pytest.fixture
async def planned() -> AsyncIterator[Planned]:
    clock = Clock(at("2023-06-12 00:00"))
    office = Office(clock=clock)
    planned = Planned(office, clock, await follower(office))
    yield planned
    for desk in office.desks:
        await desk.close()


async def follower(office: Office) -> Job:
    job = await office.desk.create("p", "test", "job", plan=office.plan, extra={})
    await office.desk.run(job)
    epoch = await office.store.begin(job.id)
    await office.store.report(job.id, Phase.FOLLOW, Condition.RUNNING, epoch=epoch)
    return await office.store.job(job.id)


async def test_a_job_is_compared_once_for_each_time(planned: Planned) -> None:
    await planned.set(policy())
    assert await planned.look_at("2023-06-12 07:59") == []
    (run,) = await planned.look_at("2023-06-12 08:00")
    assert (run.depth, run.created_ms) == (Depth.ROWS, at("2023-06-12 08:00"))
    assert [it.stage for it in await planned.ended()] == [Stage.DONE]
    assert len(await planned.look_at("2023-06-12 08:00:10")) == 1
    assert len(await planned.look_at("2023-06-12 12:00")) == 1
    assert len(await planned.look_at("2023-06-13 08:00:05")) == 2
    assert await planned.left_out() == []


async def test_comparisons_of_several_kinds_come_one_after_the_other(planned: Planned) -> None:
    planned.office.engine.hold.clear()
    await planned.set(policy(8, 10, Depth.CONTENTS, Depth.OBJECTS))
    await planned.look_at("2023-06-12 08:00")
    (run,) = await planned.look_at("2023-06-12 08:00:10")
    assert run.depth is Depth.CONTENTS
    planned.office.engine.hold.set()
    await planned.ended()
    await planned.look_at("2023-06-12 08:00:20")
    assert [run.depth for run in await planned.ended()] == [Depth.CONTENTS, Depth.OBJECTS]
    assert len(await planned.look_at("2023-06-12 08:00:30")) == 2


async def test_none_begins_after_the_window_and_that_is_told(planned: Planned) -> None:
    planned.office.engine.hold.clear()
    await planned.set(policy(8, 10, Depth.ROWS, Depth.CONTENTS))
    await planned.look_at("2023-06-12 08:00")
    planned.clock.now = at("2023-06-12 10:00")
    planned.office.engine.hold.set()
    await planned.ended()
    assert len(await planned.look_at("2023-06-12 10:00:01")) == 1
    assert await planned.left_out() == [
        "The comparison of 2023-06-12 08:00:00 UTC is left out: it is too late for contents"
    ]
    assert len(await planned.look_at("2023-06-12 10:00:10")) == 1
    assert len(await planned.left_out()) == 1
    assert len(await planned.look_at("2023-06-13 08:00")) == 2


async def test_a_time_is_left_out_while_another_comparison_is_at_work(planned: Planned) -> None:
    planned.office.engine.hold.clear()
    await planned.set(HOURLY)
    await planned.look_at("2023-06-12 08:00")
    assert len(await planned.look_at("2023-06-12 09:00")) == 1
    assert await planned.left_out() == [
        "The comparison of 2023-06-12 09:00:00 UTC is left out: another one is at work"
    ]
    planned.office.engine.hold.set()
    await planned.ended()
    assert len(await planned.look_at("2023-06-12 09:30")) == 1


async def test_a_comparison_that_is_at_work_gives_way_if_the_policy_says_so(planned: Planned) -> None:
    planned.office.engine.hold.clear()
    await planned.set(policy(every_h=1, cover=True))
    await planned.look_at("2023-06-12 08:00")
    runs = await planned.look_at("2023-06-12 09:00")
    assert [run.stage is Stage.CANCELLED for run in runs] == [True, False]
    assert await planned.left_out() == []


async def test_a_repair_never_gives_way(planned: Planned) -> None:
    planned.office.engine.hold.clear()
    await planned.set(policy(cover=True))
    await planned.desk.begin_compare(planned.job, Depth.CONTENTS, repair=True)
    (run,) = await planned.look_at("2023-06-12 08:00")
    assert (run.repair, run.open) == (True, True)
    assert len(await planned.left_out()) == 1


async def test_a_comparison_that_waits_for_its_own_time_is_in_nobodys_way(planned: Planned) -> None:
    later = await planned.desk.begin_compare(planned.job, Depth.ROWS, at_ms=at("2023-06-14 00:00"))
    await planned.set(policy(cover=True))
    runs = await planned.look_at("2023-06-12 08:00")
    assert [(run.id == later, run.stage is Stage.CANCELLED) for run in runs] == [(True, False), (False, False)]


@pytest.mark.parametrize(
    ("phase", "condition"),
    [
        (Phase.COPY, Condition.RUNNING),
        (Phase.FOLLOW, Condition.PAUSED),
        (Phase.FOLLOW, Condition.FAILED),
        (Phase.CLOSE, Condition.RUNNING),
        (Phase.CLOSE, Condition.DONE),
    ],
)
async def test_only_a_job_that_follows_is_compared(planned: Planned, phase: Phase, condition: Condition) -> None:
    await planned.set(policy())
    await planned.is_now(phase, condition)
    assert await planned.look_at("2023-06-12 08:00") == []


@pytest.mark.parametrize("wish", [Wish.PAUSE, Wish.STOP, Wish.FINISH])
async def test_a_job_that_is_asked_to_end_or_pause_is_not_compared(planned: Planned, wish: Wish) -> None:
    await planned.set(policy())
    await planned.office.store.ask(planned.job.id, wish)
    assert await planned.look_at("2023-06-12 08:00") == []


async def test_a_job_that_follows_again_is_compared_within_the_window(planned: Planned) -> None:
    await planned.set(policy())
    await planned.is_now(Phase.FOLLOW, Condition.PAUSED)
    assert await planned.look_at("2023-06-12 08:00") == []
    await planned.is_now(Phase.FOLLOW, Condition.RUNNING)
    assert len(await planned.look_at("2023-06-12 09:59")) == 1


@pytest.mark.parametrize(("back", "expected"), [("2023-06-20 09:30", 1), ("2023-06-20 10:30", 0)])
async def test_what_was_missed_while_the_service_was_away_is_made_up_for_once_at_most(
    planned: Planned, back: str, expected: int
) -> None:
    await planned.set(policy(8, 10, every_h=1))
    await planned.desk.close()
    planned.office.another()
    assert len(await planned.look_at(back)) == expected
    await planned.ended()
    assert len(await planned.look_at(back)) == expected


async def test_what_was_left_over_days_ago_does_not_keep_the_next_time_waiting(planned: Planned) -> None:
    await planned.set(policy(8, 10, Depth.ROWS, Depth.CONTENTS))
    await planned.look_at("2023-06-12 08:00")
    await planned.ended()
    runs = await planned.look_at("2023-06-15 08:00")
    assert [run.depth for run in runs] == [Depth.ROWS, Depth.ROWS]


async def test_a_restart_repeats_no_comparison_and_forgets_none(planned: Planned) -> None:
    planned.office.engine.hold.clear()
    await planned.set(policy(8, 10, Depth.ROWS, Depth.CONTENTS))
    (before,) = await planned.look_at("2023-06-12 08:00")
    await planned.desk.close()
    planned.office.another()
    (after,) = await planned.look_at("2023-06-12 08:05")
    assert (after.id, after.open) == (before.id, True)
    planned.office.engine.hold.set()
    await planned.ended()
    await planned.look_at("2023-06-12 08:06")
    assert [run.depth for run in await planned.ended()] == [Depth.ROWS, Depth.CONTENTS]


async def test_a_service_that_died_before_it_remembered_begins_nothing_twice(planned: Planned) -> None:
    await planned.set(policy())
    await planned.look_at("2023-06-12 08:00")
    await planned.ended()
    await planned.office.store.remove_note(planned.job.id, "compare_policy", "turn")
    assert len(await planned.look_at("2023-06-12 08:01")) == 1


async def test_another_policy_counts_from_when_it_was_set(planned: Planned) -> None:
    await planned.set(policy())
    await planned.look_at("2023-06-12 08:00")
    await planned.ended()
    planned.clock.now = at("2023-06-12 09:00")
    await planned.set(policy(every_h=1))
    assert [run.depth for run in await planned.look_at("2023-06-12 09:00:10")] == [Depth.ROWS, Depth.ROWS]
    await planned.ended()
    assert len(await planned.look_at("2023-06-12 09:30")) == 2
    planned.clock.now = at("2023-06-12 09:40")
    await planned.set(None)
    assert len(await planned.look_at("2023-06-13 08:00")) == 2
    assert policy_of(await planned.office.store.job(planned.job.id)) is None


async def test_old_comparisons_of_a_policy_are_forgotten_and_others_are_not(planned: Planned) -> None:
    mine = await planned.desk.begin_compare(planned.job, Depth.ROWS)
    await planned.set(policy(0, 23, every_h=1))
    for number in range(MOST_KEPT + 3):
        day, hour = divmod(number, 23)
        planned.clock.now = at(f"2023-06-{13 + day} {hour:02}:00")
        await planned.scheduling().look_around()
        await planned.ended()
    runs = await planned.runs()
    assert len(runs) == MOST_KEPT + 1
    assert runs[0].id == mine
    assert runs[1].created_ms == at("2023-06-13 03:00")


async def test_trouble_with_one_job_keeps_nobody_from_another(planned: Planned) -> None:
    await planned.office.store.describe(planned.job.id, extra={"compare_policy": {"nonsense": 1}})
    planned.job = await follower(planned.office)
    await planned.set(policy())
    assert len(await planned.look_at("2023-06-12 08:00")) == 1


async def test_a_job_that_was_deleted_is_passed_over(planned: Planned) -> None:
    await planned.set(policy())
    await planned.is_now(Phase.CLOSE, Condition.DONE)
    await planned.desk.delete(planned.job)
    planned.clock.now = at("2023-06-12 08:00")
    await planned.scheduling().look_around()
    assert await planned.office.store.notes(planned.job.id, "comparison") == {}


async def test_the_service_looks_by_itself_and_ends_with_the_desk(planned: Planned) -> None:
    await planned.set(policy())
    planned.clock.now = at("2023-06-12 08:00")
    desk = Desk(planned.office.store, planned.desk.engines, planned.desk.clock, Background(0.005, look=0.005))
    desk.resume()
    (run,) = await until(planned.runs, bool)
    await until(lambda: desk.comparison(planned.job, run.id), lambda run: not run.open)
    await desk.close()
    assert not desk.background.works(("policies",))
    assert asyncio.all_tasks() == {asyncio.current_task()}
