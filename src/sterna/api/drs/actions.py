"""What may be done with a task in which state, and the doing of what v3 and v5 share."""

from collections.abc import Sequence

from sterna.api.drs.states import RELEASED, Status, status
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.job import Job

S = Status

LIVE = (
    S.STARTJOBING,
    S.START_JOB_FAILED,
    S.PAUSING,
    S.FULL_TRANSFER_STARTED,
    S.FULL_TRANSFER_FAILED,
    S.FULL_TRANSFER_COMPLETE,
    S.INCRE_TRANSFER_STARTED,
    S.INCRE_TRANSFER_FAILED,
)
STARTABLE = (S.CONFIGURATION, S.WAITING_FOR_START)
DESCRIBABLE = (S.CONFIGURATION,)
PAUSABLE = (S.FULL_TRANSFER_STARTED, S.INCRE_TRANSFER_STARTED)
RETRYABLE = (S.PAUSING, S.START_JOB_FAILED, S.FULL_TRANSFER_FAILED, S.INCRE_TRANSFER_FAILED)
RESETTABLE = (S.PAUSING, S.FULL_TRANSFER_FAILED, S.INCRE_TRANSFER_FAILED)
CHECKABLE = (S.CONFIGURATION, S.PAUSING, S.START_JOB_FAILED, S.INCRE_TRANSFER_STARTED, *RESETTABLE)
COMPARABLE = (S.FULL_TRANSFER_COMPLETE, S.INCRE_TRANSFER_STARTED, S.INCRE_TRANSFER_FAILED, S.PAUSING)
RENAMABLE = (S.CREATING, *STARTABLE, *LIVE)
TERMINABLE = (S.CREATING, *STARTABLE, *LIVE)
FORCIBLY_TERMINABLE = (*TERMINABLE, S.RELEASE_RESOURCE_STARTED, S.RELEASE_RESOURCE_FAILED)
DELETABLE = (S.CREATE_FAILED, S.RELEASE_RESOURCE_COMPLETE)
CLONABLE = (*(it for it in LIVE if it is not S.STARTJOBING), S.RELEASE_RESOURCE_COMPLETE)

_WORDS = (
    "CREATE", "START", "CHANGE", "CHOOSE_OBJECT", "PRE_CHECK", "QUERY_PRE_CHECK", "CHANGE_MODE", "FREE_RESOURCE",
    "MODIFY_DB_CONFIG", "API_CONFIGURATION_ACTION", "RESET_DB_PWD", "MODIFY_CONFIGURATION", "PAUSE", "RETRY",
    "RESET", "DELETE", "CLONE", "SWITCH_OVER", "MODIFY_SPECIFICATION_ID", "JUMP_RETRY", "START_INCR",
    "MODIFY_TASK_NUMBER", "CONTINUE_JOB", "STOP_JOB", "CONTINUE_CAPTURE", "STOP_CAPTURE", "CONTINUE_APPLY",
    "STOP_APPLY", "PAY_ORDER", "UNSUBSCRIBE", "TO_PERIOD", "TO_RENEW", "ORDER_INFO", "CHANGE_FLAVOR",
)  # fmt: skip

_WHERE = {
    "START": STARTABLE,
    "CHANGE": STARTABLE,
    "CHOOSE_OBJECT": (S.CONFIGURATION,),
    "PRE_CHECK": CHECKABLE,
    "QUERY_PRE_CHECK": CHECKABLE,
    "CHANGE_MODE": (S.CONFIGURATION,),
    "FREE_RESOURCE": TERMINABLE,
    "MODIFY_DB_CONFIG": (S.CONFIGURATION, *RETRYABLE),
    "API_CONFIGURATION_ACTION": (S.CONFIGURATION,),
    "RESET_DB_PWD": (*LIVE,),
    "MODIFY_CONFIGURATION": (*LIVE,),
    "PAUSE": PAUSABLE,
    "RETRY": RETRYABLE,
    "RESET": RESETTABLE,
    "DELETE": DELETABLE,
    "CLONE": CLONABLE,
}


def job_action(job: Job, now_ms: int) -> dict[str, object]:
    """The documented block that says what may be done with a task now."""
    now = status(job, now_ms)
    available = [word for word in _WORDS if word == "CREATE" or now in _WHERE.get(word, ())]
    return {
        "available_actions": available,
        "unavailable_actions": [word for word in _WORDS if word not in available],
        "current_action": _current(job, now),
    }


def _current(job: Job, now: Status) -> str | None:
    """What is being done to it at this moment; None: nothing."""
    if now is S.RELEASE_RESOURCE_STARTED:
        return "FREE_RESOURCE"
    pausing = now in PAUSABLE and job.wish == "PAUSE"
    return "STOP_JOB" if pausing else "START" if now is S.STARTJOBING else None


def require(job: Job, legal: Sequence[Status], now_ms: int) -> Status:
    """The task's state, if it is one of these. Raises Told."""
    now = status(job, now_ms)
    if now not in legal:
        raise Told("DRS.M00304")
    return now


async def start(front: Front, job: Job, at_ms: int = 0) -> None:
    """Start it, not before ``at_ms``; one that waits gets this time instead. Raises Told, Refused."""
    require(job, STARTABLE, front.desk.clock())
    await front.desk.run(job, at_ms)


async def pause(front: Front, job: Job) -> None:
    """Stop it where it is, to go on later. Raises Told, Refused."""
    require(job, PAUSABLE, front.desk.clock())
    await front.desk.pause(job)


async def retry(front: Front, job: Job) -> None:
    """Let a paused or failed one go on. Raises Told, Refused."""
    require(job, RETRYABLE, front.desk.clock())
    await front.desk.run(job)


async def reset(front: Front, job: Job) -> None:
    """Let a paused or failed one copy everything anew. Raises Told, Refused."""
    require(job, RESETTABLE, front.desk.clock())
    await front.desk.reset(job)


async def terminate(front: Front, job: Job, *, force: bool) -> None:
    """End it. One that follows changes first drains them, unless forced. Raises Told, Refused."""
    now = require(job, FORCIBLY_TERMINABLE if force else TERMINABLE, front.desk.clock())
    if now in (S.CONFIGURATION, S.FULL_TRANSFER_COMPLETE):
        await front.store.describe(job.id, extra={RELEASED: True})
    elif now is S.INCRE_TRANSFER_STARTED and not force:
        await front.desk.finish(job)
    else:
        await front.desk.stop(job)


async def delete(front: Front, job: Job, legal: Sequence[Status] = DELETABLE) -> None:
    """Take it away. Raises Told, Refused."""
    require(job, legal, front.desk.clock())
    await front.desk.delete(job)
