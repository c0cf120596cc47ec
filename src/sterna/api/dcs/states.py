"""The words of DCS for where a migration task is, read off the job's facts and never stored.

The words and their meanings are those of "Querying Details of a Data Migration Task"; INCRMIGEATING is spelt so on
the wire, and clients wait for exactly that.
"""

from enum import StrEnum

from sterna.core.job import Condition, Job, Phase, Wish
from sterna.core.plan import Mode


class Status(StrEnum):
    RUNNING = "RUNNING"  #: waits to be configured
    MIGRATING = "MIGRATING"  #: files are being imported, or about to be
    FULLMIGRATING = "FULLMIGRATING"  #: the full copy is being made, or about to be
    INCRMIGEATING = "INCRMIGEATING"  #: changes are being carried over
    TERMINATING = "TERMINATING"  #: being stopped
    TERMINATED = "TERMINATED"  #: stopped by the user
    SUCCESS = "SUCCESS"  #: ended by itself, complete
    FAILED = "FAILED"
    DELETED = "DELETED"


MIGRATING = (Status.MIGRATING, Status.FULLMIGRATING, Status.INCRMIGEATING, Status.TERMINATING)
"""A runner is at work, or will be."""

STOPPABLE = (Status.MIGRATING, Status.FULLMIGRATING, Status.INCRMIGEATING, Status.FAILED)
RESTARTABLE = (Status.TERMINATED, Status.FAILED)

_ENDING = (Wish.STOP, Wish.FINISH, Wish.PAUSE)


def status(job: Job) -> Status:
    """The one word for a job."""
    found = _status(job)
    return Status.MIGRATING if found is Status.FULLMIGRATING and imports(job) else found


def imports(job: Job) -> bool:
    """Whether it brings files, not what a server holds."""
    return job.plan is not None and bool(job.plan.source.files)


def _status(job: Job) -> Status:
    if job.deleted:
        return Status.DELETED
    if job.wished:
        return Status.FULLMIGRATING if job.wish is Wish.RUN else Status.TERMINATING
    match job.condition:
        case Condition.IDLE:
            return Status.RUNNING
        case Condition.RUNNING:
            return _at_work(job)
        case Condition.PAUSED:
            return Status.TERMINATED
        case Condition.FAILED:
            return Status.FAILED
        case Condition.DONE:
            return _ended(job)


def _at_work(job: Job) -> Status:
    """A full copy that closes by itself is still migrating: nobody stopped it."""
    if job.wish in _ENDING:
        return Status.TERMINATING
    if job.phase is Phase.CLOSE:
        return Status.TERMINATING if _incremental(job) else Status.FULLMIGRATING
    return Status.INCRMIGEATING if job.phase is Phase.FOLLOW else Status.FULLMIGRATING


def _ended(job: Job) -> Status:
    """A stop cuts a task short; a cut-over is how an incremental one is meant to end, and is a stop to clients."""
    stopped = job.wish is Wish.STOP or (job.wish is Wish.FINISH and _incremental(job))
    return Status.TERMINATED if stopped else Status.SUCCESS


def _incremental(job: Job) -> bool:
    return job.plan is not None and job.plan.mode is Mode.INCREMENTAL
