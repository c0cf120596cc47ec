"""The policy of a task of v5: that its two sides are compared by themselves, again and again.

Fields, values and what is mandatory when are those of the vendor's API reference (UpdateComparePolicy and
ShowComparePolicy, December 2025) and of its SDK; the times of the window are in UTC. The reference writes the
action that ends a policy as ``closed`` in its table and as ``close`` in its sample: both are taken. It names no
bounds for the hours between two comparisons: 1 to 24 are taken, as a window lasts less than a day.
"""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from sterna.api.drs.actions import Action, check
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.fields import Body, Text
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.times import iso
from sterna.api.drs.v5.doing import RESPONSES
from sterna.api.drs.v5.finding import TaskDep
from sterna.api.errors import Told
from sterna.api.front import FrontDep
from sterna.core.comparison import Depth
from sterna.core.job import Job
from sterna.core.plan import Mode
from sterna.jobs.policies import MOST_HOURS, ComparePolicy, policy_of

Json = dict[str, Any]

DEPTHS = {"object_comparison": Depth.OBJECTS, "lines": Depth.ROWS, "contents": Depth.CONTENTS}
WORDS = {depth: word for word, depth in DEPTHS.items()}
NORMAL: Literal["normal"] = "normal"
"""Each table with its own, not many with one."""

_PERIOD = re.compile(r"\* \* [1-7](,[1-7])*")
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)


def _period(text: str) -> str:
    if not _PERIOD.fullmatch(text) or len(set(_days(text))) != len(_days(text)):
        raise ValueError("malformed")
    return text


def _days(period: str) -> list[str]:
    return period.removeprefix("* * ").split(",")


def _clock(text: str) -> str:
    if not _CLOCK.fullmatch(text):
        raise ValueError("malformed")
    return text


def _distinct(types: list[str]) -> list[str]:
    if len(set(types)) != len(types):
        raise PydanticCustomError("DRS.M00301", "twice", {"field": "compare_type"})
    return types


Period = Annotated[Text, AfterValidator(_period)]
"""``* * 1,3,5``: days of the week from Monday on."""
Clock = Annotated[Text, AfterValidator(_clock)]
"""``08:00:00``, in UTC."""
Types = Annotated[
    list[Literal["object_comparison", "lines", "contents", "account"]],
    Field(min_length=1),
    AfterValidator(_distinct),
]


class SetComparePolicy(Body):
    """Compares a task again and again, or no longer."""

    action: Literal["open", "closed", "close"]
    period: Period | None = Field(None, examples=["* * 1,3,5"])
    begin_time: Clock | None = Field(None, examples=["00:00:00"])
    end_time: Clock | None = Field(None, examples=["04:00:00"])
    compare_type: Types | None = None
    compare_policy: Literal["normal", "manyToOne"] = NORMAL
    interval_hour: Annotated[int, Field(ge=1, le=MOST_HOURS)] | None = None
    conflict_strategy: Literal["cover", "ignore"] | None = None


@routes.put(
    "/jobs/{job_id}/compare-policy",
    name="UpdateComparePolicy",
    openapi_extra={
        PARTLY: "compare_type account, compare_policy manyToOne and FULL_TRANS tasks are refused with DRS.10000001"
    },
)
async def update(front: FrontDep, job: TaskDep, body: SetComparePolicy) -> Json:
    """Compare a task by itself while its changes are followed, on some days at some hours; or no longer."""
    if body.action == "open":
        policy = _policy(body)
        if _copies_once(job):
            raise Told("DRS.10000001.unsupported", "UpdateComparePolicy FULL_TRANS")
        check(job, Action.RENAME, front.desk.clock())
        await front.desk.set_compare_policy(job, policy)
    elif policy_of(job):
        await front.desk.set_compare_policy(job, None)
    return {}


@routes.get("/jobs/{job_id}/compare-policy", name="ShowComparePolicy")
async def show(front: FrontDep, job: TaskDep) -> Json:
    """By which policy a task is compared, and when it is the next time."""
    policy = policy_of(job)
    if policy:
        return _shown(policy, front.desk.clock())
    return {"status": "NO_SUPPORT" if _copies_once(job) else "CLOSED"}


def _policy(body: SetComparePolicy) -> ComparePolicy:
    """What is asked for. Raises Told."""
    for field in ("period", "begin_time", "end_time", "compare_type"):
        if getattr(body, field) is None:
            raise Told("DRS.M00201", field)
    begin, end, types = body.begin_time or "", body.end_time or "", body.compare_type or []
    if begin == end:
        raise Told("DRS.M00306")
    if "account" in types:
        raise Told("DRS.10000001.unsupported", "UpdateComparePolicy compare_type account")
    if body.compare_policy != NORMAL:
        raise Told("DRS.10000001.unsupported", f"UpdateComparePolicy compare_policy {body.compare_policy}")
    return ComparePolicy(
        depths=tuple(DEPTHS[word] for word in types),
        days=tuple(int(day) for day in _days(body.period or "")),
        begin_s=_second(begin),
        end_s=_second(end),
        every_h=body.interval_hour or 0,
        cover=None if body.conflict_strategy is None else body.conflict_strategy == "cover",
    )


def _copies_once(job: Job) -> bool:
    """Such a task has no changes to follow: it is never where it would be compared."""
    return job.plan is not None and job.plan.mode is Mode.FULL


def _shown(policy: ComparePolicy, now_ms: int) -> Json:
    """As the documented sample has it; what was not said is left out."""
    shown: Json = {
        "status": "OPEN",
        "period": f"* * {','.join(str(day) for day in policy.days)}",
        "begin_time": _time(policy.begin_s),
        "end_time": _time(policy.end_s),
        "compare_type": [WORDS[depth] for depth in policy.depths],
        "compare_policy": NORMAL,
        "next_compare_time": iso(policy.next(now_ms)),
    }
    if policy.every_h:
        shown["interval_hour"] = policy.every_h
    if policy.cover is not None:
        shown["conflict_strategy"] = "cover" if policy.cover else "ignore"
    return shown


def _second(text: str) -> int:
    hours, minutes, seconds = (int(it) for it in text.split(":"))
    return hours * 3600 + minutes * 60 + seconds


def _time(second: int) -> str:
    return f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
