"""The words of DRS for where a task is, read off the job's facts and never stored.

The words are those of the task list of DRS v3 and v5. ``PAUSING`` is its word for paused. A task that copies once
rests in ``FULL_TRANSFER_COMPLETE`` until somebody ends it; that it was ended is noted in the job's ``extra``,
since for the runner it has ended long before.
"""

from enum import StrEnum

from sterna.core.job import Condition, Job, Phase, Wish
from sterna.core.plan import Mode

RELEASED = "released_ms"
"""In ``Job.extra``: when a task was ended that had nothing left to be done, epoch milliseconds."""


class Status(StrEnum):
    CREATING = "CREATING"
    CREATE_FAILED = "CREATE_FAILED"
    CONFIGURATION = "CONFIGURATION"  #: waits to be configured and started
    STARTJOBING = "STARTJOBING"  #: being started
    WAITING_FOR_START = "WAITING_FOR_START"  #: will be started at a time that was named
    START_JOB_FAILED = "START_JOB_FAILED"
    PAUSING = "PAUSING"  #: paused
    FULL_TRANSFER_STARTED = "FULL_TRANSFER_STARTED"
    FULL_TRANSFER_FAILED = "FULL_TRANSFER_FAILED"
    FULL_TRANSFER_COMPLETE = "FULL_TRANSFER_COMPLETE"
    INCRE_TRANSFER_STARTED = "INCRE_TRANSFER_STARTED"
    INCRE_TRANSFER_FAILED = "INCRE_TRANSFER_FAILED"
    RELEASE_RESOURCE_STARTED = "RELEASE_RESOURCE_STARTED"  #: being ended
    RELEASE_RESOURCE_FAILED = "RELEASE_RESOURCE_FAILED"
    RELEASE_RESOURCE_COMPLETE = "RELEASE_RESOURCE_COMPLETE"  #: ended
    REBUILD_NODE_STARTED = "REBUILD_NODE_STARTED"
    REBUILD_NODE_FAILED = "REBUILD_NODE_FAILED"
    CHANGE_JOB_STARTED = "CHANGE_JOB_STARTED"
    CHANGE_JOB_FAILED = "CHANGE_JOB_FAILED"
    DELETED = "DELETED"
    CHILD_TRANSFER_STARTING = "CHILD_TRANSFER_STARTING"
    CHILD_TRANSFER_STARTED = "CHILD_TRANSFER_STARTED"
    CHILD_TRANSFER_COMPLETE = "CHILD_TRANSFER_COMPLETE"
    CHILD_TRANSFER_FAILED = "CHILD_TRANSFER_FAILED"
    RELEASE_CHILD_TRANSFER_STARTED = "RELEASE_CHILD_TRANSFER_STARTED"
    RELEASE_CHILD_TRANSFER_COMPLETE = "RELEASE_CHILD_TRANSFER_COMPLETE"
    NODE_UPGRADE_START = "NODE_UPGRADE_START"
    NODE_UPGRADE_COMPLETE = "NODE_UPGRADE_COMPLETE"
    NODE_UPGRADE_FAILED = "NODE_UPGRADE_FAILED"


ENDED = frozenset({Status.RELEASE_RESOURCE_COMPLETE, Status.CREATE_FAILED, Status.RELEASE_CHILD_TRANSFER_COMPLETE})
"""Nothing is left to be ended: the task may be deleted."""

_SPELLINGS = {"PAUSEING": Status.PAUSING, "STARTJOB_FAILED": Status.START_JOB_FAILED}
_ENDING = (Wish.STOP, Wish.FINISH)
_COPIES = {
    Phase.DRAFT: Status.STARTJOBING,
    Phase.PREPARE: Status.STARTJOBING,
    Phase.COPY: Status.FULL_TRANSFER_STARTED,
    Phase.FOLLOW: Status.INCRE_TRANSFER_STARTED,
}
_FAILS = {
    Phase.DRAFT: Status.START_JOB_FAILED,
    Phase.PREPARE: Status.START_JOB_FAILED,
    Phase.COPY: Status.FULL_TRANSFER_FAILED,
    Phase.FOLLOW: Status.INCRE_TRANSFER_FAILED,
}


def status(job: Job, now_ms: int) -> Status:
    """The one word for a job."""
    if job.deleted:
        return Status.DELETED
    if job.extra.get(RELEASED):
        return Status.RELEASE_RESOURCE_COMPLETE
    if job.wished:
        asked = _asked(job, now_ms)
        if asked:
            return asked
    match job.condition:
        case Condition.IDLE:
            return Status.CONFIGURATION
        case Condition.RUNNING:
            return _at_work(job)
        case Condition.PAUSED:
            return Status.PAUSING
        case Condition.FAILED:
            return _failed(job)
        case Condition.DONE:
            ended = not _once(job) or job.wish in _ENDING
            return Status.RELEASE_RESOURCE_COMPLETE if ended else Status.FULL_TRANSFER_COMPLETE


def spelt(text: str) -> Status:
    """The status that a client means; two words have a second spelling in the documents. Raises ValueError."""
    return _SPELLINGS.get(text) or Status(text)


def pausing(job: Job) -> bool:
    """Whether it was asked to pause and still runs."""
    return job.condition is Condition.RUNNING and job.wish is Wish.PAUSE


def _asked(job: Job, now_ms: int) -> Status | None:
    """What a wish makes of it that no runner has answered yet; None: nothing."""
    idle = job.condition is Condition.IDLE
    match job.wish:
        case Wish.STOP | Wish.FINISH:
            return Status.RELEASE_RESOURCE_STARTED
        case Wish.RUN:
            return Status.WAITING_FOR_START if idle and job.starts_ms > now_ms else Status.STARTJOBING
        case _:
            return Status.STARTJOBING if idle else None


def _at_work(job: Job) -> Status:
    """A copy that is made once closes by itself: nobody ended it."""
    if job.wish in _ENDING:
        return Status.RELEASE_RESOURCE_STARTED
    if job.phase is Phase.CLOSE:
        return Status.FULL_TRANSFER_STARTED if _once(job) else Status.RELEASE_RESOURCE_STARTED
    return _COPIES[job.phase]


def _failed(job: Job) -> Status:
    if job.phase is not Phase.CLOSE:
        return _FAILS[job.phase]
    by_itself = _once(job) and job.wish not in _ENDING
    return Status.FULL_TRANSFER_FAILED if by_itself else Status.RELEASE_RESOURCE_FAILED


def _once(job: Job) -> bool:
    return job.plan is not None and job.plan.mode is Mode.FULL
