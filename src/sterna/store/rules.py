"""What each call does to a job, as values in and values out: every store keeps these same rules."""

import time
from dataclasses import replace

from sterna.core.errors import Fenced, IllegalMove
from sterna.core.event import Event, Level
from sterna.core.job import Condition, Failure, Job, Phase, Wish, allowed
from sterna.core.people import User
from sterna.core.plan import Plan

MOST_EVENTS = 10_000
"""How many events are kept for each job; the oldest go first."""


def now_ms() -> int:
    """Epoch milliseconds."""
    return time.time_ns() // 1_000_000


def ask(job: Job, wish: Wish, now: int) -> Job:
    """The wish and its number, nothing else. Raises IllegalMove."""
    if not allowed(job, wish):
        raise IllegalMove(f"Job {job.id} cannot {wish} now: {job.phase} {job.condition}")
    return replace(job, wish=wish, asked=job.asked + 1, updated_ms=now)


def answer(job: Job, asked: int) -> Job:
    """Wishes up to this number are seen. An older number changes nothing, a wish never asked is not answered."""
    return replace(job, answered=max(job.answered, min(asked, job.asked)))


def starts_anew(job: Job) -> bool:
    """Whether the next run copies everything again instead of going on."""
    return job.condition is Condition.DONE


def begin(job: Job, now: int) -> Job:
    """A run with a higher epoch. An ended or never started job begins in PREPARE, any other goes on where it was.

    The wish itself stays readable: a run that finds PAUSE, STOP or FINISH as the last wish has to carry it out,
    answered or not, since it was asked after the RUN that the run began for.
    """
    phase = Phase.PREPARE if starts_anew(job) or job.phase is Phase.DRAFT else job.phase
    return replace(
        job,
        phase=phase,
        condition=Condition.RUNNING,
        answered=job.asked,
        epoch=job.epoch + 1,
        failure=None,
        ended_ms=None,
        updated_ms=now,
    )


def report(job: Job, phase: Phase, condition: Condition, failure: Failure | None, now: int) -> Job:
    """Where the runner says it is. The same again changes nothing."""
    if (job.phase, job.condition, job.failure) == (phase, condition, failure):
        return job
    ended = (job.ended_ms or now) if condition is Condition.DONE else None
    return replace(job, phase=phase, condition=condition, failure=failure, ended_ms=ended, updated_ms=now)


def due(job: Job, now: int) -> bool:
    """Whether it needs a run. A wish to run may wait for its time; one to stop, or a job that runs, does not."""
    waiting = job.wish is Wish.RUN and job.starts_ms > now
    return not job.deleted and (job.condition is Condition.RUNNING or (job.wished and not waiting))


def delete(job: Job, now: int) -> Job:
    """Hidden, and its passwords gone. Raises IllegalMove while it runs or is about to."""
    if job.condition is Condition.RUNNING or (job.wished and job.wish is Wish.RUN):
        raise IllegalMove(f"Job {job.id} is running; stop it first")
    return replace(job, deleted=True, plan=without_passwords(job.plan), updated_ms=now)


def fence(job: Job, epoch: int) -> None:
    """Raises Fenced if a later run than this one has begun."""
    fence_epoch(job.id, job.epoch, epoch)


def fence_epoch(id: str, newest: int, epoch: int) -> None:
    """The same for who knows the job's epoch alone."""
    if epoch < newest:
        raise Fenced(f"Run {epoch} of job {id} was replaced by run {newest}")


def without_passwords(plan: Plan | None) -> Plan | None:
    if plan is None:
        return None
    return replace(plan, source=replace(plan.source, password=""), target=replace(plan.target, password=""))


def distinct(user: User) -> User:
    """Each project once."""
    return replace(user, project_ids=tuple(dict.fromkeys(user.project_ids)))


def voids_tokens(before: User, after: User) -> bool:
    """Whether tokens that the user got so far prove nothing any more."""
    return before.password_hash != after.password_hash or not after.enabled


def began(before: Job, after: Job) -> Event:
    return Event(
        after.id, after.updated_ms, Level.INFO, "job.began", _move(before, after), {"epoch": str(after.epoch)}
    )


def moved(before: Job, after: Job) -> Event:
    fields = {"epoch": str(after.epoch)}
    if after.failure:
        fields["failure"] = after.failure.code
    level = Level.ERROR if after.condition is Condition.FAILED else Level.INFO
    return Event(after.id, after.updated_ms, level, "job.moved", _move(before, after), fields)


def asked(after: Job) -> Event:
    return Event(
        after.id, after.updated_ms, Level.INFO, "job.asked", after.wish.value, {"asked": str(after.asked)}
    )


def deleted(after: Job) -> Event:
    return Event(after.id, after.updated_ms, Level.INFO, "job.deleted", "Deleted")


def _move(before: Job, after: Job) -> str:
    return f"{before.phase} {before.condition} -> {after.phase} {after.condition}"
