"""The words of DRS for where a task is, read off the job's facts and never stored; v3 and v5 share them.

``PAUSING`` means paused. A full task rests in FULL_TRANSFER_COMPLETE until somebody ends it. ``released`` in the job's
``extra`` says that somebody did, for jobs that no runner has to be asked to end.
"""

from enum import StrEnum

from sterna.core.job import Condition, Job, Phase, Wish
from sterna.core.plan import Mode


class Status(StrEnum):
    CREATING = "CREATING"
    CREATE_FAILED = "CREATE_FAILED"
    CONFIGURATION = "CONFIGURATION"  #: waits to be described and started
    WAITING_FOR_START = "WAITING_FOR_START"  #: started, for a later time
    STARTJOBING = "STARTJOBING"  #: about to copy, or to go on
    START_JOB_FAILED = "START_JOB_FAILED"
    PAUSING = "PAUSING"  #: paused
    FULL_TRANSFER_STARTED = "FULL_TRANSFER_STARTED"
    FULL_TRANSFER_FAILED = "FULL_TRANSFER_FAILED"
    FULL_TRANSFER_COMPLETE = "FULL_TRANSFER_COMPLETE"
    INCRE_TRANSFER_STARTED = "INCRE_TRANSFER_STARTED"
    INCRE_TRANSFER_FAILED = "INCRE_TRANSFER_FAILED"
    RELEASE_RESOURCE_STARTED = "RELEASE_RESOURCE_STARTED"
    RELEASE_RESOURCE_FAILED = "RELEASE_RESOURCE_FAILED"
    RELEASE_RESOURCE_COMPLETE = "RELEASE_RESOURCE_COMPLETE"
    DELETED = "DELETED"


RELEASED = "released"
"""The key in ``Job.extra``."""

_ENDING = (Wish.STOP, Wish.FINISH)


def status(job: Job, now_ms: int) -> Status:
    """The one word for a job at this moment."""
    if job.deleted:
        return Status.DELETED
    if job.extra.get(RELEASED):
        return Status.RELEASE_RESOURCE_COMPLETE
    if job.wished and job.condition is not Condition.RUNNING:
        return _asked(job, now_ms)
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
            return _ended(job)


def _asked(job: Job, now_ms: int) -> Status:
    """A wish that no runner has taken up."""
    if job.wish in _ENDING:
        return Status.RELEASE_RESOURCE_STARTED
    return Status.WAITING_FOR_START if job.starts_ms > now_ms else Status.STARTJOBING


def _at_work(job: Job) -> Status:
    if job.wish in _ENDING:
        return Status.RELEASE_RESOURCE_STARTED
    match job.phase:
        case Phase.DRAFT | Phase.PREPARE:
            return Status.STARTJOBING
        case Phase.COPY:
            return Status.FULL_TRANSFER_STARTED
        case Phase.FOLLOW:
            return Status.INCRE_TRANSFER_STARTED
        case Phase.CLOSE:
            return Status.RELEASE_RESOURCE_STARTED if incremental(job) else Status.FULL_TRANSFER_STARTED


def _failed(job: Job) -> Status:
    match job.phase:
        case Phase.DRAFT | Phase.PREPARE:
            return Status.START_JOB_FAILED
        case Phase.COPY:
            return Status.FULL_TRANSFER_FAILED
        case Phase.FOLLOW:
            return Status.INCRE_TRANSFER_FAILED
        case Phase.CLOSE:
            by_itself = job.wish not in _ENDING and not incremental(job)
            return Status.FULL_TRANSFER_FAILED if by_itself else Status.RELEASE_RESOURCE_FAILED


def _ended(job: Job) -> Status:
    """A full copy that nobody stopped is complete; a cut-over that came while it ended changes nothing."""
    complete = not incremental(job) and job.wish is not Wish.STOP
    return Status.FULL_TRANSFER_COMPLETE if complete else Status.RELEASE_RESOURCE_COMPLETE


def incremental(job: Job) -> bool:
    """Whether the task goes on with changes after the copy."""
    return job.plan is not None and job.plan.mode is Mode.INCREMENTAL
