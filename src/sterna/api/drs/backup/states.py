"""The words of backup migration for where a task is, read off the job's facts and never stored."""

from enum import StrEnum

from sterna.core.errors import ChecksFailed
from sterna.core.job import Condition, Job, Wish

LONGEST_LOG = 512
"""Letters that a task's error log may have."""

ENDED = "backup_ended"
"""In ``Job.extra``: of which run it was noted when it had failed, and that moment, epoch milliseconds."""


class Status(StrEnum):
    TRANSFERRING = "TRANSFERRING"  #: being restored, or about to be
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    PRECHECK_FAILED = "PRECHECK FAILED"  #: the checks before found what must be mended first


FINISHED = frozenset({Status.SUCCESS, Status.FAILED, Status.PRECHECK_FAILED})


def status(job: Job) -> Status:
    """The one word for a job, as v5 has it."""
    if job.wished and job.wish is Wish.RUN:
        return Status.TRANSFERRING
    match job.condition:
        case Condition.DONE:
            return Status.FAILED if job.wish is Wish.STOP else Status.SUCCESS
        case Condition.FAILED:
            checks = job.failure is not None and job.failure.code == ChecksFailed.code
            return Status.PRECHECK_FAILED if checks else Status.FAILED
        case _:
            return Status.TRANSFERRING


def old_status(job: Job) -> Status:
    """The same in v1.0, which has no word of its own for failed checks."""
    now = status(job)
    return Status.FAILED if now is Status.PRECHECK_FAILED else now


def spelt(text: str) -> Status:
    """The status that a client means, in any case; pages of 2018 spell one with a single R. Raises ValueError."""
    word = text.strip().upper()
    return Status.TRANSFERRING if word == "TRANSFERING" else Status(word.replace("_", " "))


def error_log(job: Job) -> str:
    """Why a task failed and what to do; empty for one that did not. Of what is too long both are told in part."""
    if status(job) not in (Status.FAILED, Status.PRECHECK_FAILED):
        return ""
    if job.failure is None:
        return "The task was stopped before it had ended."
    message, hint = job.failure.message, job.failure.hint
    if not hint:
        return _cut(message, LONGEST_LOG)
    end = "" if message.endswith((".", "!", "?", "…")) else "."
    hint = _cut(hint, LONGEST_LOG // 2)
    return f"{_cut(f'{message}{end}', LONGEST_LOG - len(hint) - 1)} {hint}"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def finish_ms(job: Job) -> int:
    """When a task ended, epoch milliseconds; 0: it has not."""
    if job.ended_ms:
        return job.ended_ms
    if status(job) not in FINISHED:
        return 0
    return _noted(job) or job.updated_ms


def noted_end(job: Job) -> dict[str, object]:
    """What is to be noted with a change of a job's description, which moves the time of its last change."""
    failed = job.condition is Condition.FAILED
    return {ENDED: [job.epoch, _noted(job) or job.updated_ms]} if failed else {}


def _noted(job: Job) -> int:
    kept = job.extra.get(ENDED)
    return int(kept[1]) if isinstance(kept, list) and kept[0] == job.epoch else 0
