"""What is done with a task, whichever version of the API asks: each checks that it is legal, then asks the desk.

All raise Told, and IllegalMove where the task moved on in between.
"""

from sterna.api.drs.actions import Action, check
from sterna.api.drs.endpoints import complete
from sterna.api.drs.states import RELEASED, Status
from sterna.api.drs.tasks import now
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.job import Condition, Job, Phase, Wish

BUSY = "DRS.M01504"


async def start(front: Front, job: Job, at_ms: int = 0, refusal: str = "DRS.M00304") -> None:
    """Start it, at once or at a time in epoch milliseconds; one that waits for its time can be given another."""
    check(job, Action.START, front.desk.clock(), refusal)
    if not complete(job.plan):
        raise Told("DRS.M00305.endpoint")
    await front.desk.run(job, at_ms=at_ms if at_ms > front.desk.clock() else 0)


async def pause(front: Front, job: Job, refusal: str = BUSY) -> None:
    """Let it rest where it is."""
    check(job, Action.PAUSE, front.desk.clock(), refusal)
    if job.condition is Condition.FAILED:
        await front.desk.rest(job)
    else:
        await front.desk.pause(job)


async def retry(front: Front, job: Job, refusal: str = BUSY) -> None:
    """Let it go on from where it is."""
    check(job, Action.RETRY, front.desk.clock(), refusal)
    await front.desk.run(job)


async def reset(front: Front, job: Job, refusal: str = BUSY) -> None:
    """Let it copy everything anew."""
    check(job, Action.RESET, front.desk.clock(), refusal)
    await front.desk.reset(job)


async def terminate(front: Front, job: Job, refusal: str = BUSY) -> None:
    """End it: with everything carried over if it follows changes, else where it is."""
    check(job, Action.TERMINATE, front.desk.clock(), refusal)
    if job.condition is Condition.RUNNING and job.phase is Phase.FOLLOW:
        await front.desk.finish(job)
    else:
        await _end(front, job)


async def force(front: Front, job: Job, refusal: str = BUSY) -> None:
    """End it where it is, also while it is being ended. One that has ended already stays so."""
    if now(front, job) is Status.RELEASE_RESOURCE_COMPLETE:
        return
    check(job, Action.FORCE, front.desk.clock(), refusal)
    await _end(front, job)


async def delete(front: Front, job: Job, refusal: str = BUSY) -> None:
    """Forget a task that has ended."""
    check(job, Action.DELETE, front.desk.clock(), refusal)
    await front.desk.delete(job)


async def _end(front: Front, job: Job) -> None:
    """Stop it. One that never ran or has nothing left to be done is only noted as ended."""
    if job.wished and job.wish is Wish.STOP:
        return
    over = job.condition is Condition.DONE and not (job.wished and job.wish is Wish.RUN)
    if over or (job.condition is Condition.IDLE and not job.wished):
        await front.store.describe(job.id, extra={RELEASED: front.desk.clock()})
    else:
        await front.desk.stop(job)
