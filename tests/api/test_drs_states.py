"""Every combination of facts that a job can have has one word of DRS, and it is the right one."""

from dataclasses import replace

import pytest

from sterna.api.drs.actions import CODES, LEGAL, Action, job_action, legal
from sterna.api.drs.states import ENDED, RELEASED, Status, pausing, spelt, status
from sterna.core.job import Condition, Job, JobId, Phase, ProjectId, Wish, allowed
from sterna.core.plan import Endpoint, Mode, Plan

NOW = 1_000_000
PLAN = Plan(Endpoint("postgresql", (("a", 1),)), Endpoint("postgresql", (("b", 2),)))
NEW = Job(
    id=JobId("11111111-1111-1111-1111-1111111jb20p"),
    project_id=ProjectId("2" * 32),
    kind="drs",
    name="name",
    description="",
    plan=PLAN,
    extra={"db_use_type": "sync"},
    phase=Phase.DRAFT,
    condition=Condition.IDLE,
    wish=Wish.NONE,
    asked=0,
    answered=0,
    epoch=0,
    failure=None,
    created_ms=1,
    updated_ms=1,
)

Facts = tuple[Phase, Condition, Wish, bool, Mode, bool]
"""Phase, condition, the last wish, whether it is new, the mode, and whether a time to start was named."""


def job(facts: Facts) -> Job:
    phase, condition, wish, new, mode, later = facts
    return replace(
        NEW,
        plan=replace(PLAN, mode=mode),
        phase=phase,
        condition=condition,
        wish=wish,
        asked=1,
        answered=0 if new else 1,
        starts_ms=NOW + 1 if later else 0,
    )


def reachable() -> set[Facts]:
    """All facts that wishes and the runner can bring about, from a new job on."""
    seen: set[Facts] = set()
    open_ends: list[Facts] = [(Phase.DRAFT, Condition.IDLE, Wish.NONE, False, mode, False) for mode in Mode]
    while open_ends:
        facts = open_ends.pop()
        if facts in seen:
            continue
        seen.add(facts)
        open_ends += _next(facts)
    return seen


def _next(facts: Facts) -> list[Facts]:
    phase, condition, wish, new, mode, later = facts
    found: list[Facts] = []
    for it in Wish:
        if allowed(job(facts), it):
            found.append((phase, condition, it, True, mode, False))
            if it is Wish.RUN:
                found.append((phase, condition, it, True, mode, True))
    if new and not (wish is Wish.RUN and later):
        fresh = phase is Phase.DRAFT or condition is Condition.DONE
        found.append((Phase.PREPARE if fresh else phase, Condition.RUNNING, wish, False, mode, later))
    if new and wish in (Wish.PAUSE, Wish.FINISH):
        found.append((phase, condition, wish, False, mode, later))
    if condition is Condition.RUNNING:
        found += _moves(facts)
    return found


def _moves(facts: Facts) -> list[Facts]:
    """What a runner can report."""
    _, _, wish, new, mode, later = facts
    phases = [Phase.PREPARE, Phase.COPY, Phase.CLOSE] + ([Phase.FOLLOW] if mode is Mode.INCREMENTAL else [])
    if mode is Mode.INCREMENTAL and wish not in (Wish.STOP, Wish.FINISH):
        phases.remove(Phase.CLOSE)  # changes are followed until somebody ends it
    found: list[Facts] = [(it, Condition.RUNNING, wish, new, mode, later) for it in phases]
    found += [(it, Condition.FAILED, wish, new, mode, later) for it in phases]
    if wish is Wish.PAUSE:
        found += [(it, Condition.PAUSED, wish, new, mode, later) for it in phases if it is not Phase.CLOSE]
    if Phase.CLOSE in phases:
        found.append((Phase.CLOSE, Condition.DONE, wish, new, mode, later))
    return found


def expected(facts: Facts) -> str:
    """The table again, in other words: first what was just asked, then what the runner says."""
    phase, condition, wish, new, mode, later = facts
    ending = wish in (Wish.STOP, Wish.FINISH)
    once = mode is Mode.FULL
    if new and ending:
        return "RELEASE_RESOURCE_STARTED"
    if new and wish is Wish.RUN:
        return "WAITING_FOR_START" if later and condition is Condition.IDLE else "STARTJOBING"
    if condition is Condition.IDLE:
        return "STARTJOBING" if new else "CONFIGURATION"
    if condition is Condition.PAUSED:
        return "PAUSING"
    if condition is Condition.DONE:
        return "FULL_TRANSFER_COMPLETE" if once and not ending else "RELEASE_RESOURCE_COMPLETE"
    if condition is Condition.FAILED:
        closing = "FULL_TRANSFER_FAILED" if once and not ending else "RELEASE_RESOURCE_FAILED"
        words = {"PREPARE": "START_JOB_FAILED", "COPY": "FULL_TRANSFER_FAILED", "FOLLOW": "INCRE_TRANSFER_FAILED"}
        return words.get(phase, closing)
    if ending:
        return "RELEASE_RESOURCE_STARTED"
    words = {"PREPARE": "STARTJOBING", "COPY": "FULL_TRANSFER_STARTED", "FOLLOW": "INCRE_TRANSFER_STARTED"}
    return words.get(phase, "FULL_TRANSFER_STARTED" if once else "RELEASE_RESOURCE_STARTED")


@pytest.mark.parametrize("facts", sorted(reachable()), ids=lambda it: "-".join(map(str, it)))
def test_every_reachable_state_has_its_word(facts: Facts) -> None:
    assert status(job(facts), NOW) == expected(facts)


def test_all_that_can_be_reached_is_looked_at() -> None:
    words = {status(job(facts), NOW) for facts in reachable()}
    assert words == set(Status) - {
        it
        for it in Status
        if it.startswith(("CREAT", "REBUILD", "CHANGE", "CHILD", "RELEASE_CHILD", "NODE", "DEL"))
    }


def test_a_task_that_was_ended_without_work_or_deleted_says_so() -> None:
    assert status(replace(NEW, extra={RELEASED: 5}), NOW) is Status.RELEASE_RESOURCE_COMPLETE
    assert status(replace(NEW, extra={RELEASED: 5}, deleted=True), NOW) is Status.DELETED


def test_a_task_waits_until_its_time_has_come() -> None:
    waiting = job((Phase.DRAFT, Condition.IDLE, Wish.RUN, True, Mode.FULL, True))
    assert status(waiting, NOW) is Status.WAITING_FOR_START
    assert status(waiting, NOW + 1) is Status.STARTJOBING


@pytest.mark.parametrize(
    ("action", "wish"), [(Action.START, Wish.RUN), (Action.RETRY, Wish.RUN), (Action.FORCE, Wish.STOP)]
)
def test_what_is_legal_is_carried_out(action: Action, wish: Wish) -> None:
    """An action that a state allows is one that the job allows, or one that needs no runner."""
    for facts in reachable():
        now = job(facts)
        if not legal(now, action, NOW) or allowed(now, wish):
            continue
        over = now.condition is Condition.DONE or (now.condition is Condition.IDLE and not now.wished)
        again = now.wish is wish and now.wished
        passing = now.condition is Condition.IDLE and now.wished  # a runner is about to see it
        assert again or (action is Action.FORCE and (over or passing)), facts


def test_a_pause_is_legal_only_where_it_is_one() -> None:
    for facts in reachable():
        now = job(facts)
        if legal(now, Action.PAUSE, NOW):
            assert allowed(now, Wish.PAUSE) or now.condition is Condition.FAILED, facts


def test_every_task_can_be_ended_and_then_deleted() -> None:
    for facts in reachable():
        now = status(job(facts), NOW)
        assert now in ENDED or now in LEGAL[Action.FORCE], now
    assert LEGAL[Action.DELETE] == ENDED


def test_a_migration_that_is_paused_is_not_copied_anew() -> None:
    paused = job((Phase.COPY, Condition.PAUSED, Wish.PAUSE, False, Mode.INCREMENTAL, False))
    assert legal(paused, Action.RESET, NOW)
    assert not legal(replace(paused, extra={"db_use_type": "migration"}), Action.RESET, NOW)


SAMPLES = {
    "CONFIGURATION": "CREATE START CHANGE CHOOSE_OBJECT PRE_CHECK CHANGE_MODE FREE_RESOURCE MODIFY_DB_CONFIG "
    "API_CONFIGURATION_ACTION",
    "INCRE_TRANSFER_FAILED": "CREATE CHOOSE_OBJECT PRE_CHECK CHANGE_MODE FREE_RESOURCE MODIFY_DB_CONFIG "
    "RESET_DB_PWD MODIFY_CONFIGURATION PAUSE RETRY RESET",
    "RELEASE_RESOURCE_COMPLETE": "CREATE DELETE PRE_CHECK CHANGE_MODE MODIFY_DB_CONFIG CLONE",
}
"""The documented lists of available actions."""

STATES = {
    "CONFIGURATION": (Phase.DRAFT, Condition.IDLE, Wish.NONE),
    "INCRE_TRANSFER_FAILED": (Phase.FOLLOW, Condition.FAILED, Wish.RUN),
    "RELEASE_RESOURCE_COMPLETE": (Phase.CLOSE, Condition.DONE, Wish.STOP),
}


@pytest.mark.parametrize("word", SAMPLES)
def test_the_documented_samples_of_actions_are_right(word: str) -> None:
    now = job((*STATES[word], False, Mode.INCREMENTAL, False))
    assert status(now, NOW) == word
    actions = job_action(now, NOW)
    assert set(actions["available_actions"]) == set(SAMPLES[word].split())  # type: ignore[call-overload]
    assert "current_action" not in actions


def test_actions_are_available_or_not_and_a_pause_under_way_is_told() -> None:
    for facts in reachable():
        now = job(facts)
        actions = job_action(now, NOW)
        both = [*actions["available_actions"], *actions["unavailable_actions"]]  # type: ignore[misc]
        assert sorted(both) == sorted(CODES)
        assert actions.get("current_action") == ("STOP_JOB" if pausing(now) else None)


def test_both_spellings_of_the_documents_are_understood() -> None:
    assert spelt("PAUSEING") is Status.PAUSING
    assert spelt("STARTJOB_FAILED") is Status.START_JOB_FAILED
    assert spelt("CONFIGURATION") is Status.CONFIGURATION
    with pytest.raises(ValueError, match="RUNNING"):
        spelt("RUNNING")
