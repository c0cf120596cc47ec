"""Every combination of facts that a job can have has one word of backup migration, and it is the right one."""

from dataclasses import replace

import pytest

from sterna.api.drs.backup.states import (
    FINISHED,
    Status,
    error_log,
    finish_ms,
    noted_end,
    old_status,
    spelt,
    status,
)
from sterna.core.job import Condition, Failure, Job, Phase, Wish, allowed
from tests.api.test_drs_backup_seed import NEW
from tests.api.test_drs_states import PLAN

CHECKS = Failure("STERNA.2008", "The checks failed", "Mend it.")
BROKEN = Failure("STERNA.2003", "Torn")

Facts = tuple[Phase, Condition, Wish, bool, bool]
"""Phase, condition, the last wish, whether it is new, and whether a failure is that of the checks."""

BEGINNING: Facts = (Phase.DRAFT, Condition.IDLE, Wish.RUN, True, False)
PHASES = (Phase.PREPARE, Phase.COPY, Phase.CLOSE)


def job(facts: Facts) -> Job:
    phase, condition, wish, new, checks = facts
    failed = condition is Condition.FAILED
    return replace(
        NEW,
        plan=PLAN,
        phase=phase,
        condition=condition,
        wish=wish,
        asked=1,
        answered=0 if new else 1,
        failure=(CHECKS if checks else BROKEN) if failed else None,
        ended_ms=5 if condition is Condition.DONE else None,
        updated_ms=7,
    )


def reachable() -> set[Facts]:
    """All facts that wishes (from the command line too) and the runner can bring about, from a new task on."""
    seen: set[Facts] = set()
    open_ends = [BEGINNING]
    while open_ends:
        facts = open_ends.pop()
        if facts not in seen:
            seen.add(facts)
            open_ends += following(facts)
    return seen


def following(facts: Facts) -> list[Facts]:
    phase, condition, wish, new, checks = facts
    found: list[Facts] = [(phase, condition, it, True, checks) for it in Wish if allowed(job(facts), it)]
    if new:
        fresh = phase is Phase.DRAFT or condition is Condition.DONE
        found.append((Phase.PREPARE if fresh else phase, Condition.RUNNING, wish, False, False))
    if condition is Condition.RUNNING:
        found += [(it, Condition.RUNNING, wish, new, False) for it in PHASES]
        found += [(it, Condition.FAILED, wish, new, it is Phase.PREPARE) for it in PHASES]
        found += [(it, Condition.PAUSED, wish, new, False) for it in PHASES[:2] if wish is Wish.PAUSE]
        found.append((Phase.CLOSE, Condition.DONE, wish, new, False))
    return found


def expected(facts: Facts) -> str:
    """The table again, in other words."""
    _, condition, wish, new, checks = facts
    if condition in (Condition.IDLE, Condition.RUNNING, Condition.PAUSED) or (new and wish is Wish.RUN):
        return "TRANSFERRING"
    if condition is Condition.FAILED:
        return "PRECHECK FAILED" if checks else "FAILED"
    return "FAILED" if wish is Wish.STOP else "SUCCESS"


@pytest.mark.parametrize("facts", sorted(reachable()), ids=lambda it: "-".join(map(str, it)))
def test_every_reachable_state_has_its_word(facts: Facts) -> None:
    now = job(facts)
    assert status(now) == expected(facts)
    assert old_status(now) == expected(facts).replace("PRECHECK ", "")
    assert bool(error_log(now)) == ("FAILED" in expected(facts))
    assert bool(finish_ms(now)) == (status(now) in FINISHED or now.ended_ms is not None)


def test_all_words_can_be_reached() -> None:
    assert {status(job(facts)) for facts in reachable()} == set(Status)


def test_the_end_of_a_failed_run_is_that_of_its_failure() -> None:
    failed = job((Phase.COPY, Condition.FAILED, Wish.RUN, False, False))
    assert finish_ms(failed) == 7
    renamed = replace(failed, extra=noted_end(failed), updated_ms=9)
    assert finish_ms(renamed) == 7
    assert finish_ms(replace(renamed, epoch=renamed.epoch + 1)) == 9, "a later run failed later"
    assert noted_end(job((Phase.CLOSE, Condition.DONE, Wish.RUN, False, False))) == {}


def test_both_spellings_of_the_documents_are_understood() -> None:
    assert spelt("transfering") is Status.TRANSFERRING
    assert spelt("precheck failed") is spelt("PRECHECK_FAILED") is Status.PRECHECK_FAILED
    with pytest.raises(ValueError, match="DONE"):
        spelt("done")
