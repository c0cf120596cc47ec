"""What every store promises about jobs."""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from sterna.core.change import Position
from sterna.core.errors import Fenced, IllegalMove, Invalid, NotFound
from sterna.core.event import Event, Level
from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, Failure, Job, JobId, Phase, Wish, allowed
from sterna.core.progress import Progress
from sterna.core.stores import Store
from sterna.store.rules import now_ms
from tests.contract.power import PowerCut, PowerLost
from tests.contract.stores import PLAN, a_job

Call = Callable[[], Awaitable[object]]

NOBODY = JobId("nobody")
FAILURE = Failure("STERNA.2001", "Wrong password for ü\0\ud800", "Mend it")


async def added(store: Store, **facts: object) -> Job:
    job = a_job(**facts)
    await store.add_job(job)
    return job


async def codes(store: Store, job: Job) -> list[str]:
    return [event.code for event in (await store.events(job.id, newest=False))[1]]


async def test_a_job_comes_back_as_it_was_added(store: Store) -> None:
    job = await added(
        store,
        name="ünï",
        extra={"subnet": ["a", {"b": None}], "n": 1.5},
        description="Line\nline",
        failure=Failure("C", "why", "what"),
        phase=Phase.COPY,
        condition=Condition.FAILED,
        wish=Wish.RUN,
        asked=3,
        answered=2,
        epoch=7,
        ended_ms=9,
        starts_ms=10,
    )
    assert await store.job(job.id) == job
    assert await store.jobs() == (1, [job])


async def test_a_job_without_a_plan_comes_back_without_one(store: Store) -> None:
    job = await added(store, plan=None)
    assert (await store.job(job.id)).plan is None


async def test_an_id_is_given_once(store: Store) -> None:
    job = await added(store)
    with pytest.raises(Invalid):
        await store.add_job(job)


async def test_what_a_caller_does_to_its_copy_changes_nothing(store: Store) -> None:
    job = await added(store, extra={"list": [1]})
    job.extra["list"] = "other"
    (await store.job(job.id)).extra.clear()
    assert (await store.job(job.id)).extra == {"list": [1]}


async def test_an_unknown_job_is_not_found_by_any_call(store: Store) -> None:
    calls: list[Call] = [
        lambda: store.job(NOBODY),
        lambda: store.describe(NOBODY, name="x"),
        lambda: store.delete_job(NOBODY),
        lambda: store.ask(NOBODY, Wish.RUN),
        lambda: store.answer(NOBODY, 1),
        lambda: store.begin(NOBODY),
        lambda: store.report(NOBODY, Phase.COPY, Condition.RUNNING, epoch=1),
        lambda: store.position(NOBODY, "follow"),
        lambda: store.positions(NOBODY),
        lambda: store.advance(NOBODY, "follow", Position("1"), epoch=1),
        lambda: store.forget(NOBODY, epoch=1),
        lambda: store.progress(NOBODY),
        lambda: store.set_progress(NOBODY, Progress(), epoch=1),
        lambda: store.add_events([Event(NOBODY, 1, Level.INFO, "c", "m")]),
        lambda: store.events(NOBODY),
        lambda: store.set_findings(NOBODY, []),
        lambda: store.findings(NOBODY),
        lambda: store.put_note(NOBODY, "comparison", "1", {}),
        lambda: store.notes(NOBODY, "comparison"),
        lambda: store.remove_note(NOBODY, "comparison", "1"),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call()
    with pytest.raises(NotFound):
        await store.job(JobId("\0\ud800"))


async def test_jobs_are_listed_newest_first_and_in_pages(store: Store) -> None:
    ages = [5, 1, 9, 5, 5]
    jobs = [await added(store, name=f"j{place}", created_ms=age) for place, age in enumerate(ages)]
    total, listed = await store.jobs()
    assert (total, [job.name for job in listed]) == (5, ["j2", "j4", "j3", "j0", "j1"])
    total, listed = await store.jobs(offset=1, limit=2)
    assert (total, [job.name for job in listed]) == (5, ["j4", "j3"])
    assert await store.jobs(offset=10**30, limit=10**30) == (5, [])
    assert await store.jobs(limit=0) == (5, [])
    assert jobs[2] == (await store.jobs(offset=-3, limit=1))[1][0]


async def test_jobs_are_found_by_project_and_kind(store: Store) -> None:
    await added(store, project_id="p", kind="cli", name="a")
    await added(store, project_id="q", kind="cli", name="b")
    await added(store, project_id="q", kind="dcs-online", name="c")
    assert [job.name for job in (await store.jobs("q"))[1]] == ["c", "b"]
    assert [job.name for job in (await store.jobs("q", kinds=["cli", "x"]))[1]] == ["b"]
    assert (await store.jobs("nowhere"))[0] == 0


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ("", {"Shop_1", "shop%2", "back\\slash", "Ärger"}),
        ("hop", {"Shop_1", "shop%2"}),
        ("Shop", {"Shop_1"}),
        ("SHOP", set()),
        ("_", {"Shop_1"}),
        ("%", {"shop%2"}),
        ("\\", {"back\\slash"}),
        ("är", set()),
        ("Är", {"Ärger"}),
        ("\0", set()),
    ],
)
async def test_a_name_is_found_by_any_part_of_it_telling_case_apart(
    store: Store, part: str, found: set[str]
) -> None:
    for name in ("Shop_1", "shop%2", "back\\slash", "Ärger"):
        await added(store, name=name)
    total, listed = await store.jobs(name=part)
    assert total == len(found)
    assert {job.name for job in listed} == found


async def test_a_job_is_due_while_it_runs_or_a_wish_is_open(store: Store) -> None:
    await added(store, condition=Condition.DONE, wish=Wish.RUN, asked=1, answered=1)
    running = await added(store, condition=Condition.RUNNING, wish=Wish.RUN, asked=1, answered=1)
    wished = await added(store, condition=Condition.PAUSED, wish=Wish.STOP, asked=2, answered=1)
    await added(store, condition=Condition.PAUSED, wish=Wish.STOP, asked=2, answered=1, deleted=True)
    assert list(await store.due()) == [running.id, wished.id]


@pytest.mark.parametrize(
    ("wish", "condition", "starts_in_ms", "due"),
    [
        (Wish.RUN, Condition.IDLE, 3_600_000, False),
        (Wish.RUN, Condition.PAUSED, 3_600_000, False),
        (Wish.RUN, Condition.IDLE, -1, True),
        (Wish.RUN, Condition.RUNNING, 3_600_000, True),
        (Wish.PAUSE, Condition.IDLE, 3_600_000, True),
        (Wish.STOP, Condition.PAUSED, 3_600_000, True),
        (Wish.FINISH, Condition.IDLE, 3_600_000, True),
    ],
)
async def test_a_wish_to_run_waits_for_its_time_and_nothing_else_does(
    store: Store, wish: Wish, condition: Condition, starts_in_ms: int, due: bool
) -> None:
    starts_ms = now_ms() + starts_in_ms
    job = await added(store, wish=wish, condition=condition, asked=1, starts_ms=starts_ms)
    assert list(await store.due()) == ([job.id] if due else [])


async def test_the_time_of_a_start_can_be_changed_and_taken_away(store: Store) -> None:
    job = await added(store, wish=Wish.RUN, asked=1)
    await store.describe(job.id, starts_ms=now_ms() + 3_600_000)
    await store.describe(job.id, name="other")
    assert list(await store.due()) == []
    assert (await store.job(job.id)).starts_ms > now_ms()
    await store.describe(job.id, starts_ms=0)
    assert list(await store.due()) == [job.id]


async def test_describing_changes_only_what_is_given_and_merges_extra(store: Store) -> None:
    job = await added(store, description="old", extra={"a": 1, "b": 2})
    plan = replace(PLAN, source=replace(PLAN.source, password="new"))
    await store.describe(job.id, name="new", extra={"b": 3, "c": None})
    await store.describe(job.id, plan=plan)
    now = await store.job(job.id)
    assert (now.name, now.description, now.plan) == ("new", "old", plan)
    assert now.extra == {"a": 1, "b": 3, "c": None}
    assert now.updated_ms > job.updated_ms
    assert (now.phase, now.wish, now.asked) == (job.phase, job.wish, job.asked)


@pytest.mark.parametrize(("phase", "condition"), list(itertools.product(Phase, Condition)))
async def test_a_wish_is_taken_exactly_when_it_is_allowed(
    phase: Phase, condition: Condition, store: Store
) -> None:
    for before, seen, plan, wish in itertools.product(Wish, (True, False), (PLAN, None), Wish):
        job = await added(
            store, phase=phase, condition=condition, wish=before, asked=2, answered=2 if seen else 1, plan=plan
        )
        if not allowed(job, wish):
            with pytest.raises(IllegalMove):
                await store.ask(job.id, wish)
            assert await store.job(job.id) == job
            assert await codes(store, job) == []
            continue
        await store.ask(job.id, wish)
        now = await store.job(job.id)
        assert now == replace(job, wish=wish, asked=3, updated_ms=now.updated_ms)
        assert await codes(store, job) == ["job.asked"]


async def test_of_two_who_ask_at_once_one_is_refused(store: Store) -> None:
    job = await added(store)
    answers = await asyncio.gather(*(store.ask(job.id, Wish.RUN) for _ in range(4)), return_exceptions=True)
    assert [type(answer) for answer in answers if answer].count(IllegalMove) == 3
    assert (await store.job(job.id)).asked == 1


async def test_an_answer_never_goes_back_nor_ahead_of_what_was_asked(store: Store) -> None:
    job = await added(store, asked=5, answered=2, wish=Wish.PAUSE, condition=Condition.RUNNING, phase=Phase.COPY)
    await store.answer(job.id, 4)
    await store.answer(job.id, 3)
    assert (await store.job(job.id)).answered == 4
    await store.answer(job.id, 99)
    assert await store.job(job.id) == replace(job, answered=5)


@pytest.mark.parametrize("condition", list(Condition))
@pytest.mark.parametrize("phase", list(Phase))
async def test_a_run_begins_where_the_job_was_unless_it_had_ended(
    store: Store, phase: Phase, condition: Condition
) -> None:
    job = await added(
        store, phase=phase, condition=condition, wish=Wish.RUN, asked=2, answered=1, failure=FAILURE, ended_ms=5
    )
    await store.advance(job.id, "follow", Position("9"), epoch=0)
    await store.set_progress(job.id, Progress(rows=9), epoch=0)
    assert await store.begin(job.id) == 1
    now = await store.job(job.id)
    anew = condition is Condition.DONE
    expected = Phase.PREPARE if anew or phase is Phase.DRAFT else phase
    assert (now.phase, now.condition, now.epoch) == (expected, Condition.RUNNING, 1)
    assert (now.asked, now.answered, now.wish) == (2, 2, Wish.RUN)
    assert (now.failure, now.ended_ms) == (None, None)
    assert await store.positions(job.id) == ({} if anew else {"follow": "9"})
    assert await store.progress(job.id) == (Progress() if anew else Progress(rows=9))
    event = (await store.events(job.id))[1][0]
    assert (event.code, event.message) == ("job.began", f"{phase} {condition} -> {expected} RUNNING")


async def test_a_run_can_begin_again_after_a_crash_and_fences_the_first(store: Store) -> None:
    job = await added(store)
    first = await store.begin(job.id)
    second = await store.begin(job.id)
    assert (first, second) == (1, 2)
    calls: list[Call] = [
        lambda: store.report(job.id, Phase.CLOSE, Condition.DONE, epoch=first),
        lambda: store.advance(job.id, "follow", Position("1"), epoch=first),
        lambda: store.set_progress(job.id, Progress(rows=1), epoch=first),
        lambda: store.forget(job.id, epoch=first),
    ]
    await store.advance(job.id, "copy:1", Position("2"), epoch=second)
    for call in calls:
        with pytest.raises(Fenced):
            await call()
    now = await store.job(job.id)
    assert (now.phase, now.condition) == (Phase.PREPARE, Condition.RUNNING)
    assert await store.positions(job.id) == {"copy:1": "2"}
    assert await store.progress(job.id) == Progress()
    assert await codes(store, job) == ["job.began", "job.began"]


async def test_of_many_runs_that_begin_at_once_each_has_its_own_epoch(store: Store) -> None:
    job = await added(store)
    epochs = await asyncio.gather(*(store.begin(job.id) for _ in range(5)))
    assert sorted(epochs) == [1, 2, 3, 4, 5]


async def test_a_report_moves_the_job_and_leaves_the_wish_alone(store: Store) -> None:
    job = await added(store)
    await store.ask(job.id, Wish.RUN)
    epoch = await store.begin(job.id)
    await store.ask(job.id, Wish.PAUSE)
    await store.report(job.id, Phase.COPY, Condition.RUNNING, epoch=epoch)
    now = await store.job(job.id)
    assert (now.phase, now.condition, now.wish, now.asked, now.answered) == (
        Phase.COPY,
        "RUNNING",
        Wish.PAUSE,
        2,
        1,
    )
    assert now.wished
    assert [(event.code, event.message) for event in (await store.events(job.id))[1]] == [
        ("job.moved", "PREPARE RUNNING -> COPY RUNNING"),
        ("job.asked", "PAUSE"),
        ("job.began", "DRAFT IDLE -> PREPARE RUNNING"),
        ("job.asked", "RUN"),
    ]


async def test_the_same_report_again_writes_nothing(store: Store) -> None:
    job = await added(store)
    epoch = await store.begin(job.id)
    await store.report(job.id, Phase.COPY, Condition.FAILED, FAILURE, epoch=epoch)
    once = await store.job(job.id)
    await store.report(job.id, Phase.COPY, Condition.FAILED, FAILURE, epoch=epoch)
    assert await store.job(job.id) == once
    assert once.failure == FAILURE
    assert await codes(store, job) == ["job.began", "job.moved"]


async def test_a_failure_is_an_error_in_the_history(store: Store) -> None:
    job = await added(store)
    await store.report(job.id, Phase.COPY, Condition.FAILED, FAILURE, epoch=await store.begin(job.id))
    total, errors = await store.events(job.id, level=Level.ERROR)
    assert total == 1
    assert errors[0].fields == {"epoch": "1", "failure": "STERNA.2001"}


async def test_the_end_has_a_time_that_a_new_run_takes_away(store: Store) -> None:
    job = await added(store)
    epoch = await store.begin(job.id)
    await store.report(job.id, Phase.CLOSE, Condition.RUNNING, epoch=epoch)
    assert (await store.job(job.id)).ended_ms is None
    await store.report(job.id, Phase.CLOSE, Condition.DONE, epoch=epoch)
    ended = (await store.job(job.id)).ended_ms
    assert ended is not None
    assert ended > 1_700_000_000_000
    await store.begin(job.id)
    assert (await store.job(job.id)).ended_ms is None


async def test_positions_come_back_exactly_by_lane(store: Store) -> None:
    job = await added(store)
    odd = Position('{"a":"\\n\n\0\ud800ü€"}')
    assert await store.position(job.id, "follow") is None
    await store.advance(job.id, "follow", Position("1"), epoch=0)
    await store.advance(job.id, "follow", odd, epoch=0)
    await store.advance(job.id, "copy:\\x00\0", Position(""), epoch=0)
    assert await store.position(job.id, "follow") == odd
    assert await store.positions(job.id) == {"follow": odd, "copy:\\x00\0": ""}
    await store.forget(job.id, epoch=0)
    assert await store.positions(job.id) == {}


async def test_one_job_says_nothing_about_another(store: Store) -> None:
    one, other = await added(store), await added(store)
    await store.advance(one.id, "follow", Position("1"), epoch=0)
    await store.begin(one.id)
    await store.set_findings(one.id, [Finding("c", Severity.PASSED, "e")])
    await store.set_progress(one.id, Progress(rows=1), epoch=1)
    assert await store.job(other.id) == other
    assert await store.positions(other.id) == {}
    assert await store.events(other.id) == (0, [])
    assert await store.findings(other.id) in ([], ())
    assert await store.progress(other.id) == Progress()
    await store.forget(other.id, epoch=0)
    assert await store.positions(one.id) == {"follow": "1"}


async def test_figures_and_findings_come_back(store: Store) -> None:
    job = await added(store)
    figures = Progress("COPY", 1, 2, 3, 4, 5, 6, 1.5, 2.5, 3.5, 7, 8, 9, 10, 11, 12, 13, 14)
    found = [Finding("a", Severity.FAILED, "x is \0y", "mend", "network"), Finding("b", Severity.PASSED, "fine")]
    await store.set_progress(job.id, figures, epoch=0)
    await store.set_findings(job.id, found)
    await store.set_findings(job.id, found)
    assert await store.progress(job.id) == figures
    assert list(await store.findings(job.id)) == found


async def test_notes_come_back_by_kind_oldest_first(store: Store) -> None:
    job, other = await added(store), await added(store)
    odd = {"text": "ü\0\ud800", "list": [1, {"a": None}], "n": 1.5}
    await store.put_note(job.id, "comparison", "b\0\ud800", odd)
    await store.put_note(job.id, "comparison", "a", {"n": 1})
    await store.put_note(job.id, "check", "a", {"n": 2})
    await store.put_note(other.id, "comparison", "c", {})
    await store.put_note(job.id, "comparison", "a", {"n": 3})
    await store.put_note(job.id, "comparison", "b\0\ud800", {**odd, "n": 4})
    notes = await store.notes(job.id, "comparison")
    assert list(notes.items()) == [("b\0\ud800", {**odd, "n": 4}), ("a", {"n": 3})]
    assert await store.notes(job.id, "check") == {"a": {"n": 2}}
    assert await store.notes(job.id, "nothing") == {}


async def test_a_note_is_removed_once_or_twice_and_alone(store: Store) -> None:
    job = await added(store)
    for kind, key in (("comparison", "a"), ("comparison", "b"), ("check", "a")):
        await store.put_note(job.id, kind, key, {})
    for _ in range(2):
        await store.remove_note(job.id, "comparison", "a")
    assert (await store.notes(job.id, "comparison"), await store.notes(job.id, "check")) == ({"b": {}}, {"a": {}})


async def test_what_a_caller_does_to_its_copy_of_a_note_changes_nothing(store: Store) -> None:
    job = await added(store)
    body: dict[str, object] = {"list": [1]}
    await store.put_note(job.id, "comparison", "a", body)
    body["list"] = "other"
    found = await store.notes(job.id, "comparison")
    assert found == {"a": {"list": [1]}}
    next(iter(found.values()))["list"].append(2)  # type: ignore[attr-defined]
    assert await store.notes(job.id, "comparison") == {"a": {"list": [1]}}


async def test_of_many_who_write_one_note_at_once_one_is_kept(store: Store) -> None:
    job = await added(store)
    await asyncio.gather(*(store.put_note(job.id, "comparison", "a", {"n": n}) for n in range(5)))
    notes = await store.notes(job.id, "comparison")
    assert list(notes) == ["a"]
    assert notes["a"]["n"] in range(5)


async def test_notes_go_with_their_job(store: Store) -> None:
    job, other = await added(store), await added(store)
    for each in (job, other):
        await store.put_note(each.id, "comparison", "a", {"secret": 1})
    await store.delete_job(job.id)
    assert await store.notes(job.id, "comparison") == {}
    assert await store.notes(other.id, "comparison") == {"a": {"secret": 1}}
    for call in (store.put_note(job.id, "comparison", "a", {}), store.remove_note(job.id, "comparison", "a")):
        with pytest.raises(NotFound):
            await call


async def test_events_are_numbered_in_order_filtered_and_paged(store: Store) -> None:
    job = await added(store)
    levels = [Level.INFO, Level.WARN, Level.INFO, Level.ERROR, Level.INFO]
    events = [Event(job.id, 100 - n, level, f"c{n}", "m", {"n": str(n)}) for n, level in enumerate(levels)]
    await store.add_events(events[:2])
    await store.add_events([])
    await store.add_events(events[2:])
    total, listed = await store.events(job.id)
    assert (total, [event.code for event in listed]) == (5, ["c4", "c3", "c2", "c1", "c0"])
    assert len({event.seq for event in listed}) == 5
    assert sorted(listed, key=lambda event: -event.seq) == list(listed)
    assert [replace(event, seq=0) for event in reversed(listed)] == events
    total, listed = await store.events(job.id, level=Level.INFO, newest=False, offset=1, limit=1)
    assert (total, [event.code for event in listed]) == (3, ["c2"])


async def test_events_of_which_one_has_no_job_are_all_refused(store: Store) -> None:
    job = await added(store)
    with pytest.raises(NotFound):
        await store.add_events([Event(id, 1, Level.INFO, "c", "m") for id in (job.id, NOBODY)])
    assert await store.events(job.id) == (0, [])


async def test_the_ten_thousand_newest_events_of_a_job_are_kept(store: Store) -> None:
    job, other = await added(store), await added(store)
    await store.add_events([Event(other.id, 0, Level.INFO, "kept", "m")])
    for start in (0, 6_000):
        await store.add_events([Event(job.id, n, Level.INFO, "c", "m") for n in range(start, start + 6_000)])
    await store.begin(job.id)
    total, newest = await store.events(job.id, limit=2)
    oldest = (await store.events(job.id, limit=1, newest=False))[1][0]
    assert total == 10_000
    assert [event.code for event in newest] == ["job.began", "c"]
    assert oldest.at_ms == 2_001
    assert (await store.events(other.id))[0] == 1


@pytest.mark.parametrize(
    "facts",
    [{"condition": Condition.RUNNING}, {"wish": Wish.RUN, "asked": 1}],
)
async def test_a_job_that_runs_or_is_about_to_cannot_be_deleted(store: Store, facts: dict[str, object]) -> None:
    job = await added(store, **facts)
    with pytest.raises(IllegalMove):
        await store.delete_job(job.id)
    assert await store.job(job.id) == job


async def test_a_deleted_job_is_hidden_and_keeps_neither_positions_nor_passwords(store: Store) -> None:
    job = await added(store, condition=Condition.PAUSED, phase=Phase.FOLLOW)
    await store.advance(job.id, "follow", Position("1"), epoch=0)
    await store.delete_job(job.id)
    assert await store.jobs() == (0, [])
    gone = await store.job(job.id)
    assert gone.deleted
    assert await store.jobs(gone.project_id, kinds=(gone.kind,), deleted=True) == (1, [gone])
    assert gone.plan is not None
    assert (gone.plan.source.password, gone.plan.target.password) == ("", "")
    assert gone.plan.source.user == "reader"
    assert await store.positions(job.id) == {}
    assert await codes(store, job) == ["job.deleted"]
    calls: list[Call] = [
        lambda: store.ask(job.id, Wish.RUN),
        lambda: store.begin(job.id),
        lambda: store.describe(job.id, plan=PLAN),
        lambda: store.delete_job(job.id),
        lambda: store.advance(job.id, "follow", Position("2"), epoch=0),
        lambda: store.report(job.id, Phase.COPY, Condition.RUNNING, epoch=0),
    ]
    for call in calls:
        with pytest.raises(NotFound):
            await call()


async def test_no_password_shows_in_what_is_printed(store: Store) -> None:
    job = await added(store)
    assert "secret" not in repr(await store.job(job.id)) + repr(store)
    assert json.dumps("secret") not in str(await store.events(job.id))


@pytest.mark.parametrize("before", [True, False])
async def test_a_power_cut_carries_the_write_out_or_not_and_ends_everything(store: Store, before: bool) -> None:
    cut = PowerCut(store, at=2, before=before)
    job = await added(cut)
    with pytest.raises(PowerLost):
        await cut.ask(job.id, Wish.RUN)
    assert (cut.writes, cut.lost) == (2, True)
    assert (await store.job(job.id)).asked == (0 if before else 1)
    for call in (cut.begin, cut.job):
        with pytest.raises(PowerLost):
            await call(job.id)
    assert (await store.job(job.id)).epoch == 0
