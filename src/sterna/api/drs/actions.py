"""What may be done with a task when: the one table that v3 and v5 share."""

from collections.abc import Mapping
from enum import StrEnum

from sterna.api.drs.states import ENDED, Status, pausing, status
from sterna.api.errors import Told
from sterna.core.job import Job, Phase


class Action(StrEnum):
    """What a client may ask of a task."""

    RENAME = "rename"  #: name, description, notifications, tags
    CONFIGURE = "configure"  #: endpoints, objects, policies
    PRECHECK = "precheck"
    START = "start"
    SPEED = "speed"
    PASSWORD = "password"
    PAUSE = "pause"
    RETRY = "retry"
    RESET = "reset"  #: copy everything anew
    COMPARE = "compare"
    TERMINATE = "terminate"
    FORCE = "force_terminate"
    DELETE = "delete"
    CLONE = "clone"


_S = Status
_FAILED = frozenset({_S.FULL_TRANSFER_FAILED, _S.INCRE_TRANSFER_FAILED})
_MOVING = frozenset({_S.FULL_TRANSFER_STARTED, _S.FULL_TRANSFER_COMPLETE, _S.INCRE_TRANSFER_STARTED})
_BEGUN = _MOVING | _FAILED | {_S.STARTJOBING, _S.START_JOB_FAILED, _S.PAUSING}
_ENDING = frozenset({_S.RELEASE_RESOURCE_STARTED, _S.RELEASE_RESOURCE_FAILED})
_WAITING = frozenset({_S.CONFIGURATION, _S.WAITING_FOR_START})
_LIVE = _BEGUN | _WAITING

LEGAL: Mapping[Action, frozenset[Status]] = {
    Action.RENAME: _LIVE,
    Action.CONFIGURE: frozenset({_S.CONFIGURATION}),
    Action.PRECHECK: frozenset(
        {_S.CONFIGURATION, _S.START_JOB_FAILED, _S.PAUSING, _S.INCRE_TRANSFER_STARTED} | _FAILED
    ),
    Action.START: _WAITING,
    Action.SPEED: _LIVE,
    Action.PASSWORD: _BEGUN,
    Action.PAUSE: frozenset({_S.FULL_TRANSFER_STARTED, _S.INCRE_TRANSFER_STARTED} | _FAILED),
    Action.RETRY: frozenset({_S.START_JOB_FAILED, _S.PAUSING} | _FAILED),
    Action.RESET: frozenset({_S.PAUSING} | _FAILED),
    Action.COMPARE: frozenset({_S.INCRE_TRANSFER_STARTED, _S.FULL_TRANSFER_COMPLETE}),
    Action.TERMINATE: _LIVE,
    Action.FORCE: _LIVE | _ENDING,
    Action.DELETE: ENDED,
    Action.CLONE: (_BEGUN | _ENDING | {_S.RELEASE_RESOURCE_COMPLETE}) - {_S.STARTJOBING},
}
"""In which states each is legal. A task that copies once and is complete has nothing left that could be paused."""


def legal(job: Job, action: Action, now_ms: int) -> bool:
    """Whether this may be asked of the task now."""
    now = status(job, now_ms)
    if action is Action.RESET and now is _S.PAUSING and job.extra.get("db_use_type") != "sync":
        return False
    if action in _NOT_WHILE_CLOSING and job.phase is Phase.CLOSE:
        return False
    return now in LEGAL[action] and not (pausing(job) and action in _NOT_WHILE_PAUSING)


_NOT_WHILE_PAUSING = (Action.PAUSE, Action.RETRY, Action.RESET, Action.COMPARE)
_NOT_WHILE_CLOSING = (Action.PAUSE, Action.RESET)
"""A task that copies once and is complete but for its end shows itself as still copying."""


def check(job: Job, action: Action, now_ms: int, refusal: str = "DRS.M00304") -> None:
    """Raises Told with the code ``refusal`` if this may not be asked now."""
    if not legal(job, action, now_ms):
        raise Told(refusal)


# The same for the buttons of a console: the codes of ``job_action``.

CODES = (
    "CREATE",
    "CHOOSE_OBJECT",
    "PRE_CHECK",
    "CHANGE_MODE",
    "FREE_RESOURCE",
    "MODIFY_DB_CONFIG",
    "RESET_DB_PWD",
    "MODIFY_CONFIGURATION",
    "PAUSE",
    "START",
    "CHANGE",
    "RETRY",
    "RESET",
    "DELETE",
    "QUERY_PRE_CHECK",
    "SWITCH_OVER",
    "MODIFY_SPECIFICATION_ID",
    "JUMP_RETRY",
    "START_INCR",
    "MODIFY_TASK_NUMBER",
    "CONTINUE_JOB",
    "STOP_JOB",
    "CONTINUE_CAPTURE",
    "STOP_CAPTURE",
    "CONTINUE_APPLY",
    "API_CONFIGURATION_ACTION",
    "STOP_APPLY",
    "PAY_ORDER",
    "UNSUBSCRIBE",
    "TO_PERIOD",
    "TO_RENEW",
    "ORDER_INFO",
    "CHANGE_FLAVOR",
    "CLONE",
)

_NEEDS: Mapping[str, Action] = {
    "START": Action.START,
    "RESET_DB_PWD": Action.PASSWORD,
    "PAUSE": Action.PAUSE,
    "RETRY": Action.RETRY,
    "RESET": Action.RESET,
    "FREE_RESOURCE": Action.TERMINATE,
    "DELETE": Action.DELETE,
    "CLONE": Action.CLONE,
    "CHANGE": Action.CONFIGURE,
    "API_CONFIGURATION_ACTION": Action.CONFIGURE,
}
_EVERYWHERE = ("CREATE", "PRE_CHECK", "CHANGE_MODE", "MODIFY_DB_CONFIG")
"""Codes that the documented samples show in every state."""

_CHOOSES = frozenset({_S.CONFIGURATION} | _FAILED)
_CONFIGURES = _MOVING | _FAILED | {_S.PAUSING}


def job_action(job: Job, now_ms: int) -> dict[str, object]:
    """``available_actions``, ``unavailable_actions``, and ``current_action`` while something is under way."""
    available = [code for code in CODES if _offered(job, code, now_ms)]
    listed: dict[str, object] = {
        "available_actions": available,
        "unavailable_actions": [code for code in CODES if code not in available],
    }
    return listed | ({"current_action": "STOP_JOB"} if pausing(job) else {})


def _offered(job: Job, code: str, now_ms: int) -> bool:
    now = status(job, now_ms)
    if code == "CHOOSE_OBJECT":
        return now in _CHOOSES
    if code == "MODIFY_CONFIGURATION":
        return now in _CONFIGURES
    if code == "CLONE":
        return now is Status.RELEASE_RESOURCE_COMPLETE
    return code in _EVERYWHERE or (code in _NEEDS and legal(job, _NEEDS[code], now_ms))
