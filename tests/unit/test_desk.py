"""What the APIs ask of jobs beside running them: starts in time, checks, comparisons."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest

from sterna.core.change import Delete, Name, Put
from sterna.core.comparison import Comparison, Depth
from sterna.core.errors import IllegalMove, Invalid, NotFound, Unreachable
from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, Job, JobId, Wish
from sterna.core.plan import Endpoint, Pace, Picked, Plan, Selection, Window
from sterna.core.ports import Check
from sterna.engines.memory.database import Database
from sterna.engines.memory.engine import MemoryEngine, endpoint
from sterna.jobs.background import Background
from sterna.jobs.checking import Checked, CheckState
from sterna.jobs.comparing import MOST, MOST_BYTES, ComparisonRun, Stage
from sterna.jobs.desk import Desk
from sterna.jobs.sanity import check_plan
from sterna.jobs.unexpected import UNEXPECTED
from sterna.store.memory import MemoryStore
from sterna.store.rules import now_ms
from tests.effort import PATIENCE

ORDERS, STOCK = Name(("shop", "orders")), Name(("shop", "stock"))
HOUR = 3_600_000
T = TypeVar("T")


@dataclass
class Gate:
    """A check that waits to be let through, and then finds what it is told to."""

    name: str
    opened: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: Exception | None = None

    async def run(self) -> Sequence[Finding]:
        await self.opened.wait()
        if self.trouble:
            raise self.trouble
        return [Finding(self.name, Severity.PASSED, "fine", group="network")]


@dataclass(frozen=True)
class Engine(MemoryEngine):
    """The memory engine with other checks, and a comparison that can be held up."""

    gates: list[Gate] = field(default_factory=list)
    at_work: list[Plan] = field(default_factory=list)
    """One for each comparison that is being made."""
    hold: asyncio.Event = field(default_factory=asyncio.Event)
    trouble: list[Exception] = field(default_factory=list)

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return self.gates or super().checks(plan, job_id)

    async def compare(self, plan: Plan, **how: Any) -> Comparison:
        self.at_work.append(plan)
        try:
            await self.hold.wait()
            if self.trouble:
                raise self.trouble[0]
            return await super().compare(plan, **how)
        finally:
            self.at_work.remove(plan)

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        if self.trouble:
            raise self.trouble[0]
        await self.hold.wait()
        return await super().probe(endpoint)


@dataclass
class Office:
    """A desk, its servers, and others that look into the same store."""

    source: Database = field(default_factory=lambda: Database("s"))
    target: Database = field(default_factory=lambda: Database("t"))
    store: MemoryStore = field(default_factory=MemoryStore)
    clock: Callable[[], int] = now_ms
    desks: list[Desk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.engine = Engine({"source": self.source, "target": self.target})
        self.engine.hold.set()
        self.plan = Plan(endpoint("source"), endpoint("target"))
        self.desk = self.another()

    def another(self, stale: float = 20.0, sign: float = 5.0) -> Desk:
        """What a service has after a restart, or another service."""
        self.desk = Desk(self.store, {"memory": self.engine}, self.clock, Background(0.005, sign, stale))
        self.desks.append(self.desk)
        return self.desk

    async def job(self) -> Job:
        return await self.desk.create("p", "test", "job", plan=self.plan)

    async def compared(self, job: Job, id: str) -> ComparisonRun:
        """Once it has ended."""
        return await until(lambda: self.desk.comparison(job, id), lambda run: not run.open)

    async def checked(self, job: Job) -> CheckState:
        """Once all are done."""
        found = await until(lambda: self.desk.check_state(job), lambda it: it and it.state is not Checked.RUNNING)
        assert found
        return found


@pytest.fixture
async def office() -> AsyncIterator[Office]:
    office = Office()
    yield office
    for desk in office.desks:
        await desk.close()


async def until(look: Callable[[], Awaitable[T]], fact: Callable[[T], object]) -> T:
    """Wait for a fact in what is seen; fails if it does not come."""
    end = time.monotonic() + PATIENCE
    while not fact(seen := await look()):
        assert time.monotonic() < end, f"it never came true: {seen}"
        await asyncio.sleep(0.002)
    return seen


async def soon(fact: Callable[[], object]) -> None:
    async def look() -> object:
        return fact()

    await until(look, bool)


# Jobs.


async def test_a_job_may_be_given_its_id_once(office: Office) -> None:
    job = await office.desk.create("p", "test", "job", id="0123jb101")
    assert (job.id, (await office.desk.get("p", "0123jb101")).name) == ("0123jb101", "job")
    with pytest.raises(Invalid):
        await office.desk.create("p", "test", "job", id="0123jb101")


async def test_a_job_can_be_asked_to_run_with_its_creation(office: Office) -> None:
    """In one step: there is no moment in which it is there and nobody would ever run it."""
    job = await office.desk.create("p", "test", "at once", plan=office.plan, start=True)
    assert (job.wish, job.wished) == (Wish.RUN, True)
    assert job.id in await office.store.due()
    codes = [event.code for event in (await office.store.events(job.id))[1]]
    assert sorted(codes) == ["job.created", "job.run"]


async def test_a_job_that_is_to_run_later_is_not_due_before(office: Office) -> None:
    job = await office.job()
    await office.desk.run(job, at_ms=now_ms() + HOUR)
    job = await office.store.job(job.id)
    assert (job.wish, office.desk.waits(job)) == (Wish.RUN, True)
    assert await office.store.due() == []
    messages = [event.message for event in (await office.store.events(job.id))[1]]
    assert any("UTC" in message for message in messages)


async def test_a_job_that_waits_can_be_told_another_time_or_to_run_at_once(office: Office) -> None:
    job = await office.job()
    await office.desk.run(job, at_ms=now_ms() + HOUR)
    later = now_ms() + 2 * HOUR
    await office.desk.run(await office.store.job(job.id), at_ms=later)
    job = await office.store.job(job.id)
    assert (job.starts_ms, job.asked) == (later, 1)
    await office.desk.run(job)
    assert await office.store.due() == [job.id]
    with pytest.raises(IllegalMove):
        await office.desk.run(await office.store.job(job.id))


async def test_a_job_that_waits_can_be_stopped_and_need_not_wait_for_that(office: Office) -> None:
    job = await office.job()
    await office.desk.run(job, at_ms=now_ms() + HOUR)
    await office.desk.stop(await office.store.job(job.id))
    assert await office.store.due() == [job.id]


async def test_a_time_that_has_passed_is_now(office: Office) -> None:
    job = await office.job()
    await office.desk.run(job, at_ms=now_ms() - 1)
    assert await office.store.due() == [job.id]


async def test_a_running_job_is_not_told_to_run_later(office: Office) -> None:
    job = await office.job()
    await office.desk.run(job)
    await office.store.begin(job.id)
    running = await office.store.job(job.id)
    with pytest.raises(IllegalMove):
        await office.desk.run(running, at_ms=now_ms() + HOUR)
    assert await office.store.job(job.id) == running


# What makes no sense.


@pytest.mark.parametrize(
    "selection",
    [
        Selection(objects=(Picked(()),)),
        Selection(objects=(Picked(("a", "b", "c", "d")),)),
        Selection(objects=(Picked(("a", "")),)),
        Selection(objects=(Picked(("a\0",)),)),
        Selection(objects=(Picked(("a", "b"), ("a",)),)),
        Selection(objects=(Picked(("a", "b"), ("a", "")),)),
        Selection(objects=(Picked(("a", "b"), columns=("c",)),)),
        Selection(objects=(Picked(("a",), where="id > 1"),)),
        Selection(objects=(Picked(("a", "b", "c"), columns=("x", "x")),)),
        Selection(objects=(Picked(("a", "b", "c"), columns=("",)),)),
        Selection(objects=(Picked(("a",)), Picked(("a",), ("b",)))),
        Selection(objects=(Picked(("a",), ("c",)), Picked(("b",), ("c",)))),
        Selection(objects=(Picked(("a",), ("c",)), Picked(("c",)))),
        Selection(objects=(Picked(("a",), ("z",)), Picked(("a", "b", "c")), Picked(("z", "b", "c")))),
        Selection(without=((),)),
        Selection(without=(("a", "\0"),)),
    ],
)
async def test_a_selection_that_makes_no_sense_is_refused(office: Office, selection: Selection) -> None:
    with pytest.raises(Invalid):
        await office.desk.create("p", "test", "job", plan=replace(office.plan, selection=selection))


@pytest.mark.parametrize(
    "pace",
    [Pace(-1), Pace(0, -1), Pace(windows=(Window(0, 1440, 1),)), Pace(windows=(Window(0, 1, -1),))],
)
def test_a_pace_that_makes_no_sense_is_refused(office: Office, pace: Pace) -> None:
    with pytest.raises(Invalid) as refusal:
        check_plan(replace(office.plan, pace=pace))
    assert refusal.value.field == "pace"


def test_selections_that_make_sense_are_taken(office: Office) -> None:
    objects = (
        Picked(("a",), ("z",)),
        Picked(("a", "s", "t"), (), ("x", "y"), "x > 1"),
        Picked(("a", "s", "u"), ("z", "s", "t2")),
        Picked(("b", "s.x", '"t"')),
    )
    selection = Selection(objects=objects, without=(("a", "s", "v"), ("b", "q")))
    check_plan(replace(office.plan, selection=selection, pace=Pace(1, 2, (Window(1439, 0, 3),))))


# An endpoint.


async def test_an_endpoint_that_answers_has_no_failure(office: Office) -> None:
    assert await office.desk.check_endpoint(office.plan.source) is None


async def test_an_endpoint_that_does_not_answer_says_why(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = await office.desk.check_endpoint(Endpoint("oracle", (("h", 1),)))
    assert unknown
    assert unknown.code == Invalid.code
    office.engine.hold.clear()
    monkeypatch.setattr("sterna.jobs.desk.PROBE_LIMIT", 0.01)
    silent = await office.desk.check_endpoint(office.plan.source)
    assert silent
    assert (silent.code, "source:0" in silent.message) == (Unreachable.code, True)
    office.engine.trouble.append(Unreachable("no route"))
    refused = await office.desk.check_endpoint(office.plan.source)
    assert refused
    assert refused.message == "no route"


# Checks.


async def test_findings_are_stored_as_the_checks_go_on(office: Office) -> None:
    job = await office.job()
    assert await office.desk.check_state(job) is None
    one, two = Gate("one"), Gate("two")
    office.engine.gates.extend([one, two])
    await office.desk.begin_check(job)
    one.opened.set()
    state = await until(lambda: office.desk.check_state(job), lambda state: state and state.done == 1)
    assert state
    assert (state.state, state.total, state.percent) == (Checked.RUNNING, 2, 50)
    assert [finding.check for finding in await office.store.findings(job.id)] == ["one"]
    two.opened.set()
    state = await office.checked(job)
    assert (state.state, state.done, state.total, state.percent) == (Checked.DONE, 2, 2, 100)
    assert [(it.check, it.group) for it in await office.store.findings(job.id)] == [
        ("one", "network"),
        ("two", "network"),
    ]


async def test_a_check_that_cannot_look_is_a_finding(office: Office) -> None:
    job = await office.job()
    gate = Gate("blind", trouble=IllegalMove("not now"))
    gate.opened.set()
    office.engine.gates.append(gate)
    await office.desk.begin_check(job)
    assert (await office.checked(job)).state is Checked.DONE
    (finding,) = await office.store.findings(job.id)
    assert (finding.severity, finding.evidence) == (Severity.FAILED, "not now")


async def test_checks_that_break_say_so(office: Office) -> None:
    job = await office.job()
    gate = Gate("bug", trouble=ZeroDivisionError("secret"))
    gate.opened.set()
    office.engine.gates.append(gate)
    await office.desk.begin_check(job)
    state = await office.checked(job)
    assert state.failure
    assert (state.state, state.failure.code) == (Checked.BROKEN, UNEXPECTED)
    assert "secret" not in str(await office.store.notes(job.id, "check"))


async def test_checks_that_begin_anew_forget_what_was_found(office: Office) -> None:
    job = await office.job()
    one, two = Gate("one"), Gate("two")
    one.opened.set()
    office.engine.gates.extend([one, two])
    await office.desk.begin_check(job)
    await until(lambda: office.store.findings(job.id), len)
    office.engine.gates[:] = [two]
    await office.desk.begin_check(job)
    assert await office.store.findings(job.id) == ()
    two.opened.set()
    await office.checked(job)
    assert [finding.check for finding in await office.store.findings(job.id)] == ["two"]


async def test_a_job_without_a_plan_cannot_be_checked(office: Office) -> None:
    job = await office.desk.create("p", "test", "job")
    with pytest.raises(IllegalMove):
        await office.desk.begin_check(job)


async def test_checks_that_a_restart_cut_begin_again_when_asked_for(office: Office) -> None:
    job = await office.job()
    gate = Gate("one")
    office.engine.gates.append(gate)
    await office.desk.begin_check(job)
    await office.desk.close()
    gate.opened.set()
    office.another()
    state = await office.desk.check_state(job)
    assert state
    assert state.state is Checked.RUNNING
    assert (await office.checked(job)).state is Checked.DONE


async def test_checks_that_another_service_is_at_are_left_to_it(office: Office) -> None:
    job = await office.job()
    gate = Gate("one")
    office.engine.gates.append(gate)
    first = office.desk
    await first.begin_check(job)
    second = office.another()
    assert await second.check_state(job)
    assert not second.background.works(("check", job.id))
    assert first.background.works(("check", job.id))


async def test_checks_of_a_service_that_died_are_taken_over(office: Office) -> None:
    job = await office.job()
    gate = Gate("one")
    office.engine.gates.append(gate)
    body = {"state": "running", "done": 0, "total": 1, "by": "another", "at_ms": now_ms() - 1000}
    await office.store.put_note(job.id, "check", "state", body)
    office.another(stale=60.0)
    await office.desk.check_state(job)
    assert not office.desk.background.works(("check", job.id))
    office.another(stale=0.5)
    await office.desk.check_state(job)
    assert office.desk.background.works(("check", job.id))


# Comparisons.


def fill(*databases: Database, rows: int = 3) -> None:
    for database, name in itertools.product(databases, (ORDERS, STOCK)):
        database.apply(*(Put(name, {"id": id, "n": id}) for id in range(rows)))


async def test_a_comparison_tells_of_each_table_and_of_what_differs(office: Office) -> None:
    fill(office.source, office.target)
    office.source.apply(Put(ORDERS, {"id": 1, "n": 7}), Delete(ORDERS, {"id": 2}))
    job = await office.job()
    id = await office.desk.begin_compare(job, Depth.CONTENTS)
    run = await office.compared(job, id)
    assert (run.id, run.stage, run.depth, run.equal) == (id, Stage.DONE, Depth.CONTENTS, False)
    assert [(it.name, it.source_rows, it.target_rows, it.different) for it in run.tables] == [
        (ORDERS, 2, 3, 2),
        (STOCK, 3, 3, 0),
    ]
    assert [(it.name, it.kind) for it in run.differences] == [
        ("shop.orders/1", "value"),
        ("shop.orders/2", "extra"),
    ]
    assert run.objects == {"tables": (2, 2)}
    assert 0 < run.created_ms <= run.begun_ms <= run.ended_ms
    assert await office.desk.comparisons(job) == [run]


@pytest.mark.parametrize(("depth", "different"), [(Depth.OBJECTS, 0), (Depth.ROWS, 1), (Depth.CONTENTS, 2)])
async def test_a_comparison_looks_as_closely_as_it_is_told_to(
    office: Office, depth: Depth, different: int
) -> None:
    fill(office.source, office.target)
    office.source.apply(Put(ORDERS, {"id": 1, "n": 7}), Delete(ORDERS, {"id": 2}), Put(STOCK, {"id": 9}))
    job = await office.job()
    run = await office.compared(job, await office.desk.begin_compare(job, depth, [ORDERS]))
    assert ([table.name for table in run.tables], run.different) == ([ORDERS], different)


async def test_two_comparisons_are_at_work_at_most(office: Office) -> None:
    office.engine.hold.clear()
    job, other = await office.job(), await office.job()
    ids = [await office.desk.begin_compare(each, Depth.ROWS) for each in (job, other, job)]
    await soon(lambda: len(office.engine.at_work) == 2)
    assert (await office.desk.comparison(job, ids[2])).stage is Stage.WAITING
    office.engine.hold.set()
    assert (await office.compared(job, ids[2])).stage is Stage.DONE


async def test_a_comparison_waits_for_its_time(office: Office) -> None:
    job = await office.job()
    id = await office.desk.begin_compare(job, Depth.ROWS, at_ms=now_ms() + HOUR)
    soon_id = await office.desk.begin_compare(job, Depth.ROWS, at_ms=now_ms() + 20)
    run = await office.compared(job, soon_id)
    assert run.begun_ms >= run.starts_ms
    assert (await office.desk.comparison(job, id)).stage is Stage.WAITING
    assert [run.id for run in await office.desk.comparisons(job)] == [id, soon_id]


async def test_a_comparison_can_be_cancelled_once(office: Office) -> None:
    office.engine.hold.clear()
    job = await office.job()
    waiting = await office.desk.begin_compare(job, Depth.ROWS, at_ms=now_ms() + HOUR)
    running = await office.desk.begin_compare(job, Depth.ROWS)
    await soon(lambda: office.engine.at_work)
    for id in (waiting, running):
        await office.desk.cancel_compare(job, id)
        run = await office.desk.comparison(job, id)
        assert (run.stage, run.ended_ms > 0) == (Stage.CANCELLED, True)
        with pytest.raises(IllegalMove):
            await office.desk.cancel_compare(job, id)
    assert office.engine.at_work == []


async def test_a_comparison_that_failed_says_why(office: Office) -> None:
    job = await office.job()
    office.engine.trouble.append(Unreachable("no route"))
    run = await office.compared(job, await office.desk.begin_compare(job, Depth.ROWS))
    assert run.failure
    assert (run.stage, run.failure.message) == (Stage.FAILED, "no route")
    office.engine.trouble[0] = ZeroDivisionError("secret")
    run = await office.compared(job, await office.desk.begin_compare(job, Depth.ROWS))
    assert run.failure
    assert (run.stage, run.failure.code) == (Stage.FAILED, UNEXPECTED)
    assert "secret" not in str(await office.store.notes(job.id, "comparison"))


async def test_an_unknown_comparison_is_not_found(office: Office) -> None:
    job, other = await office.job(), await office.job()
    id = await office.desk.begin_compare(other, Depth.ROWS)
    for call in (office.desk.comparison, office.desk.cancel_compare, office.desk.repair):
        with pytest.raises(NotFound):
            await call(job, id)
    assert await office.desk.comparisons(job) == []


async def test_what_differs_can_be_repaired(office: Office) -> None:
    fill(office.source, office.target)
    office.source.apply(Put(ORDERS, {"id": 1, "n": 7}), Delete(ORDERS, {"id": 2}))
    job = await office.job()
    id = await office.desk.begin_compare(job, Depth.ROWS)
    await office.compared(job, id)
    mended = await office.compared(job, await office.desk.repair(job, id))
    assert (mended.only, mended.repair, mended.equal, mended.repaired) == ((ORDERS,), True, True, 2)
    assert office.source.contents() == office.target.contents()
    with pytest.raises(IllegalMove):
        await office.desk.repair(job, mended.id)


async def test_a_repair_looks_at_the_contents(office: Office) -> None:
    job = await office.job()
    with pytest.raises(Invalid):
        await office.desk.begin_compare(job, Depth.ROWS, repair=True)
    with pytest.raises(IllegalMove):
        await office.desk.begin_compare(await office.desk.create("p", "test", "job"), Depth.ROWS)


@pytest.mark.parametrize("waits", [False, True])
async def test_a_comparison_that_a_restart_cut_begins_again(office: Office, waits: bool) -> None:
    at_ms = now_ms() + HOUR if waits else 0
    fill(office.source)
    office.engine.hold.clear()
    job = await office.job()
    id = await office.desk.begin_compare(job, Depth.CONTENTS, [ORDERS], at_ms=at_ms)
    if not at_ms:
        await soon(lambda: office.engine.at_work)
    await office.desk.close()
    assert office.engine.at_work == []
    office.engine.hold.set()
    office.another().resume()
    if at_ms:
        await soon(lambda: office.desk.background.works(("comparison", job.id, id)))
        assert (await office.desk.comparison(job, id)).starts_ms == at_ms
    else:
        ended = await until(lambda: office.store.notes(job.id, "comparison"), lambda it: it[id]["state"] == "done")
        assert ended[id]["different"] == 3


async def test_a_comparison_of_a_deleted_job_ends_without_a_word(office: Office) -> None:
    office.engine.hold.clear()
    job = await office.job()
    id = await office.desk.begin_compare(job, Depth.ROWS)
    await soon(lambda: office.engine.at_work)
    await office.desk.delete(job)
    office.another(sign=0.01)
    office.engine.hold.set()
    first = office.desks[0]
    await soon(lambda: not first.background.works(("comparison", job.id, id)))
    assert await office.store.notes(job.id, "comparison") == {}


async def test_tables_that_are_done_are_seen_before_the_end(office: Office) -> None:
    fill(office.source, office.target)
    office.source.slow(0.05)
    job = await office.job()
    id = await office.desk.begin_compare(job, Depth.ROWS)
    run = await until(lambda: office.desk.comparison(job, id), lambda run: run.tables)
    assert (run.stage, len(run.tables)) == (Stage.RUNNING, 1)
    await office.compared(job, id)


async def test_no_more_differences_are_kept_than_there_is_room_for(office: Office) -> None:
    fill(office.source, rows=MOST)
    job = await office.job()
    run = await office.compared(job, await office.desk.begin_compare(job, Depth.CONTENTS))
    assert (run.different, len(run.differences)) == (2 * MOST, MOST)
    office.source.apply(*(Put(STOCK, {"id": "x" * 1000 + str(id)}) for id in range(MOST)))
    job = await office.job()
    run = await office.compared(job, await office.desk.begin_compare(job, Depth.CONTENTS, [STOCK]))
    assert run.different == 2 * MOST
    assert len(run.differences) < MOST or sum(len(it.name) for it in run.differences) < MOST_BYTES


async def test_no_password_is_in_a_note(office: Office) -> None:
    plan = replace(office.plan, source=replace(office.plan.source, password="tern-secret"))
    job = await office.desk.create("p", "test", "job", plan=plan)
    office.engine.trouble.append(ZeroDivisionError("tern-secret"))
    await office.compared(job, await office.desk.begin_compare(job, Depth.ROWS))
    await office.desk.begin_check(job)
    await office.checked(job)
    for kind in ("check", "comparison"):
        assert "tern-secret" not in str(await office.store.notes(job.id, kind))


async def test_a_job_runs_on_while_it_is_compared(office: Office) -> None:
    office.engine.hold.clear()
    job = await office.job()
    await office.desk.begin_compare(job, Depth.ROWS)
    await office.desk.run(job)
    assert await office.store.due() == [job.id]
    await office.store.begin(job.id)
    assert (await office.store.job(job.id)).condition is Condition.RUNNING
