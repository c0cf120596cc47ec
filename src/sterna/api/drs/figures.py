"""How far a task is, in the figures of DRS. What is not known is -1 or empty, never 0."""

from dataclasses import dataclass

from sterna.api.drs.states import Status, status
from sterna.core.job import Condition, Job, Phase, Wish
from sterna.core.progress import Progress

FRESH_MS = 10_000
"""For so long a lag is believed: a runner that works renews it every other second."""

_BEFORE = (Status.CONFIGURATION, Status.WAITING_FOR_START)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one task."""

    percent: int
    """Of the copy."""
    struct_percent: int
    index_percent: int
    lag_ms: int
    """How far the target is behind; -1: not known, or nothing is followed."""
    remaining_s: int
    """Until the copy is complete; -1: not known."""
    at_ms: int
    """When this was so; 0: never."""
    rows_per_s: int
    bytes_per_s: int


def figures(job: Job, progress: Progress, now_ms: int) -> Figures:
    """The figures of a task."""
    if _not_begun(job, now_ms):
        return Figures(0, 0, 0, -1, -1, 0, 0, 0)
    copied = job.phase is Phase.FOLLOW or status(job, now_ms) is Status.FULL_TRANSFER_COMPLETE
    percent = 100 if copied else progress.percent
    at_work = job.condition is Condition.RUNNING and now_ms - progress.at_ms < FRESH_MS
    following = job.phase is Phase.FOLLOW
    rate = progress.changes_per_s if following else progress.rows_per_s
    return Figures(
        percent=percent,
        struct_percent=100 if copied or job.phase is Phase.COPY or percent else 0,
        index_percent=100 if percent == 100 else 0,
        lag_ms=progress.lag_ms if following and at_work else -1,
        remaining_s=0 if percent == 100 else progress.eta_s,
        at_ms=progress.at_ms,
        rows_per_s=round(max(0.0, rate)) if at_work else 0,
        bytes_per_s=round(max(0.0, progress.bytes_per_s)) if at_work else 0,
    )


def _not_begun(job: Job, now_ms: int) -> bool:
    """Not started yet, or asked to run anew: what an earlier run left counts no more."""
    anew = job.wished and job.wish is Wish.RUN and job.condition in (Condition.IDLE, Condition.DONE)
    return anew or status(job, now_ms) in _BEFORE
