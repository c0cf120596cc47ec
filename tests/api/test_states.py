"""Every combination of facts that a job can have has one word of DCS, and it is the right one."""

import itertools
from dataclasses import replace

import pytest

from sterna.api.dcs.states import MIGRATING, RESTARTABLE, STOPPABLE, Status, status
from sterna.core.job import Condition, Job, JobId, Phase, ProjectId, Wish, allowed
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile

PLAN = Plan(Endpoint("redis", (("a", 1),)), Endpoint("redis", (("b", 2),)))
DRAFT = Job(
    id=JobId("1" * 32),
    project_id=ProjectId("2" * 32),
    kind="dcs-online",
    name="name",
    description="",
    plan=PLAN,
    extra={},
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


def job(
    phase: Phase, condition: Condition, wish: Wish = Wish.RUN, *, new: bool = False, mode: Mode = Mode.INCREMENTAL
) -> Job:
    plan = replace(PLAN, mode=mode)
    return replace(
        DRAFT, plan=plan, phase=phase, condition=condition, wish=wish, asked=1, answered=0 if new else 1
    )


def importing(phase: Phase, condition: Condition, wish: Wish = Wish.RUN, *, new: bool = False) -> Job:
    files = Endpoint("redis", (), files=(StoredFile("b", "dump.rdb"),))
    found = job(phase, condition, wish, new=new, mode=Mode.FULL)
    return replace(found, kind="dcs-import", plan=replace(PLAN, source=files, mode=Mode.FULL))


def reachable() -> set[tuple[Phase, Condition, Wish, bool, Mode]]:
    """All facts that wishes and the runner can bring about, from a new job on."""
    seen: set[tuple[Phase, Condition, Wish, bool, Mode]] = set()
    open_ends = [(Phase.DRAFT, Condition.IDLE, Wish.NONE, False, mode) for mode in Mode]
    while open_ends:
        facts = open_ends.pop()
        if facts in seen:
            continue
        seen.add(facts)
        phase, condition, wish, new, mode = facts
        now = job(phase, condition, wish, new=new, mode=mode)
        open_ends += [(phase, condition, it, True, mode) for it in Wish if allowed(now, it)]
        if new:
            fresh = phase is Phase.DRAFT or condition is Condition.DONE
            open_ends.append((Phase.PREPARE if fresh else phase, Condition.RUNNING, wish, False, mode))
            open_ends.append((phase, condition, wish, False, mode))
        if condition is Condition.RUNNING:
            later = [it for it in Phase if it is not Phase.DRAFT]
            open_ends += [(it, Condition.RUNNING, wish, new, mode) for it in later]
            open_ends += [(it, Condition.FAILED, wish, new, mode) for it in later]
            open_ends += [(it, Condition.PAUSED, wish, new, mode) for it in later if wish is Wish.PAUSE]
            open_ends.append((Phase.CLOSE, Condition.DONE, wish, new, mode))
    return seen


def expected(phase: Phase, condition: Condition, wish: Wish, new: bool, mode: Mode) -> str:
    """The table again, in other words: first what was just asked, then what the runner says."""
    ending = wish in (Wish.STOP, Wish.FINISH, Wish.PAUSE)
    if new:
        return "TERMINATING" if ending else "FULLMIGRATING"
    if condition is Condition.RUNNING:
        following = {
            Phase.FOLLOW: "INCRMIGEATING",
            Phase.CLOSE: "TERMINATING" if mode is Mode.INCREMENTAL else None,
        }
        return "TERMINATING" if ending else following.get(phase) or "FULLMIGRATING"
    cut_short = wish is Wish.STOP or (wish is Wish.FINISH and mode is Mode.INCREMENTAL)
    return {
        Condition.IDLE: "RUNNING",
        Condition.PAUSED: "TERMINATED",
        Condition.FAILED: "FAILED",
        Condition.DONE: "TERMINATED" if cut_short else "SUCCESS",
    }[condition]


def test_every_reachable_combination_of_facts_has_its_word() -> None:
    walked = reachable()
    assert len(walked) > 100
    for phase, condition, wish, new, mode in walked:
        word = status(job(phase, condition, wish, new=new, mode=mode))
        assert word.value == expected(phase, condition, wish, new, mode), (phase, condition, wish, new, mode)


def test_every_reachable_combination_of_an_import_has_a_word_of_an_import() -> None:
    for phase, condition, wish, new, mode in reachable():
        if mode is Mode.FULL and phase is not Phase.FOLLOW:
            word = expected(phase, condition, wish, new, mode)
            wanted = "MIGRATING" if word == "FULLMIGRATING" else word
            assert status(importing(phase, condition, wish, new=new)).value == wanted


def test_even_an_unreachable_combination_has_some_word() -> None:
    for phase, condition, wish, new, mode in itertools.product(Phase, Condition, Wish, (False, True), Mode):
        assert status(job(phase, condition, wish, new=new, mode=mode)) in Status
        assert status(replace(job(phase, condition, wish, new=new, mode=mode), deleted=True)) is Status.DELETED
        assert status(replace(job(phase, condition, wish, new=new), plan=None)) in Status


@pytest.mark.parametrize(
    ("facts", "word"),
    [
        (DRAFT, "RUNNING"),
        (replace(DRAFT, plan=None), "RUNNING"),
        (job(Phase.DRAFT, Condition.IDLE, new=True), "FULLMIGRATING"),
        (job(Phase.PREPARE, Condition.RUNNING), "FULLMIGRATING"),
        (job(Phase.COPY, Condition.RUNNING), "FULLMIGRATING"),
        (job(Phase.FOLLOW, Condition.RUNNING), "INCRMIGEATING"),
        (job(Phase.FOLLOW, Condition.RUNNING, Wish.STOP, new=True), "TERMINATING"),
        (job(Phase.FOLLOW, Condition.RUNNING, Wish.STOP), "TERMINATING"),
        (job(Phase.CLOSE, Condition.DONE, Wish.STOP), "TERMINATED"),
        (job(Phase.CLOSE, Condition.DONE, Wish.FINISH), "TERMINATED"),
        (job(Phase.CLOSE, Condition.RUNNING, mode=Mode.FULL), "FULLMIGRATING"),
        (job(Phase.CLOSE, Condition.DONE, mode=Mode.FULL), "SUCCESS"),
        (job(Phase.CLOSE, Condition.DONE, Wish.STOP, mode=Mode.FULL), "TERMINATED"),
        (job(Phase.CLOSE, Condition.DONE, Wish.RUN, new=True, mode=Mode.FULL), "FULLMIGRATING"),
        (job(Phase.FOLLOW, Condition.PAUSED, Wish.PAUSE), "TERMINATED"),
        (job(Phase.COPY, Condition.FAILED), "FAILED"),
        (importing(Phase.DRAFT, Condition.IDLE, new=True), "MIGRATING"),
        (importing(Phase.PREPARE, Condition.RUNNING), "MIGRATING"),
        (importing(Phase.COPY, Condition.RUNNING), "MIGRATING"),
        (importing(Phase.CLOSE, Condition.RUNNING), "MIGRATING"),
        (importing(Phase.CLOSE, Condition.DONE), "SUCCESS"),
        (importing(Phase.COPY, Condition.FAILED), "FAILED"),
        (importing(Phase.COPY, Condition.RUNNING, Wish.STOP), "TERMINATING"),
        (importing(Phase.CLOSE, Condition.DONE, Wish.STOP), "TERMINATED"),
    ],
)
def test_the_words_of_a_life(facts: Job, word: str) -> None:
    assert status(facts).value == word


def test_a_task_can_be_stopped_exactly_where_the_core_allows_it() -> None:
    """But for a stopping or paused one, which counts as stopped already."""
    for phase, condition, wish, new, mode in reachable():
        facts = job(phase, condition, wish, new=new, mode=mode)
        if status(facts) in STOPPABLE:
            assert allowed(facts, Wish.STOP), facts
        if status(facts) in RESTARTABLE:
            assert allowed(facts, Wish.RUN), facts
        if facts.condition is Condition.RUNNING:
            assert status(facts) in MIGRATING, facts
