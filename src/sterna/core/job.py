"""A job's facts: where it is, how it is, and what was asked of it. Every API reads its own words off these."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from sterna.core.plan import Plan

JobId = NewType("JobId", str)
ProjectId = NewType("ProjectId", str)


class Phase(StrEnum):
    """How far the operation is. Written by the runner alone."""

    DRAFT = "DRAFT"  #: described, not started
    PREPARE = "PREPARE"  #: checks, the mark in the source's log, the shape on the target
    COPY = "COPY"  #: everything that is there
    FOLLOW = "FOLLOW"  #: everything that changes
    CLOSE = "CLOSE"  #: taking away what was left on the servers; then the end


class Condition(StrEnum):
    """How the job is. Written by the runner alone."""

    IDLE = "IDLE"  #: nobody works on it
    RUNNING = "RUNNING"  #: a runner works on it
    PAUSED = "PAUSED"  #: stopped by a wish, goes on from its position
    FAILED = "FAILED"  #: stopped by an error that a person must look at, goes on from its position
    DONE = "DONE"  #: ended


class Wish(StrEnum):
    """What was asked last. Written by the API alone."""

    NONE = "NONE"
    RUN = "RUN"
    PAUSE = "PAUSE"
    STOP = "STOP"  #: end it: drain nothing more, clean up
    FINISH = "FINISH"  #: cut over: end it once nothing is left to apply


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job stopped: a stable code, a sentence, and what to do. Never a password."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """One migration as the store knows it."""

    id: JobId
    project_id: ProjectId
    kind: str
    """Which API made it: ``dcs-online`` , ``cli`` … It decides the words, nothing else."""
    name: str
    description: str
    plan: Plan | None
    """None until it is configured."""
    extra: dict[str, object]
    """What the API that made it wants back unchanged (subnet ids and the like)."""
    phase: Phase
    condition: Condition
    wish: Wish
    asked: int
    """Counts wishes; a wish is new while ``asked > answered``."""
    answered: int
    epoch: int
    """Counts runs; the target refuses a writer whose epoch is older."""
    failure: Failure | None
    created_ms: int
    updated_ms: int
    ended_ms: int | None = None
    deleted: bool = False
    starts_ms: int = 0
    """A wish to run is carried out from then on, epoch milliseconds; 0: at once."""

    @property
    def wished(self) -> bool:
        """True while the runner has not answered the last wish."""
        return self.asked > self.answered


_RUNNING = (Condition.RUNNING,)


def allowed(job: Job, wish: Wish) -> bool:
    """Whether this may be asked now.

    RUN starts a described job, goes on after a pause or a failure, and runs an ended job anew.
    PAUSE and FINISH need a job that runs; STOP needs one that has begun and not ended.
    """
    stopping = job.wished and job.wish in (Wish.STOP, Wish.FINISH)
    waiting = job.wished and job.wish is Wish.RUN
    match wish:
        case Wish.NONE:
            return False
        case Wish.RUN:
            return job.plan is not None and not stopping and not waiting and job.condition not in _RUNNING
        case Wish.PAUSE | Wish.FINISH:
            return (
                (waiting or job.condition is Condition.RUNNING) and not stopping and job.phase is not Phase.CLOSE
            )
        case Wish.STOP:
            begun = waiting or job.condition in (Condition.RUNNING, Condition.PAUSED, Condition.FAILED)
            return begun and not (job.wished and job.wish is Wish.STOP)
