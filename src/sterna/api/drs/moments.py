"""When a task began, and when its copy was complete: read off its history."""

from dataclasses import dataclass

from sterna.core.event import Event
from sterna.core.job import Job, Wish
from sterna.core.plan import Mode
from sterna.core.stores import JobStore

FIRST_EVENTS = 50
LAST_EVENTS = 1000
"""As far as the history is looked through from either end."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Epoch milliseconds; 0: not yet, or too long ago to be told."""

    started_ms: int = 0
    """When it was first at work."""
    copied_ms: int = 0
    """When the copy was complete the last time."""


async def moments_of(store: JobStore, job: Job) -> Moments:
    """The moments of a job."""
    if job.epoch == 0:
        return Moments()
    _, first = await store.events(job.id, limit=FIRST_EVENTS, newest=False)
    _, last = await store.events(job.id, limit=LAST_EVENTS)
    started = next((it.at_ms for it in first if it.code == "job.began"), 0)
    return Moments(started, next((it.at_ms for it in last if _copied(it, _next_phase(job))), 0))


def _next_phase(job: Job) -> str:
    """What comes after a complete copy; empty where it cannot be told apart from one that was cut short."""
    if job.plan is None or job.plan.mode is Mode.INCREMENTAL:
        return "FOLLOW"
    return "" if job.wish in (Wish.STOP, Wish.FINISH) else "CLOSE"


def _copied(event: Event, phase: str) -> bool:
    """Whether this is the move out of a complete copy."""
    from_copy = event.code == "job.moved" and event.message.startswith("COPY ")
    return bool(phase) and from_copy and f"-> {phase} " in event.message
