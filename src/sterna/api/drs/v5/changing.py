"""Changes of a task of v5: what it is called, where it goes from and to, what of it, and how."""

from dataclasses import replace
from typing import TypeVar

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from sterna.api.drs import tasks
from sterna.api.drs.actions import Action, check
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.states import Status, status
from sterna.api.drs.v5 import bodies, plans
from sterna.api.drs.v5.doing import RESPONSES, TAKEN
from sterna.api.drs.v5.finding import TaskDep, note_query
from sterna.api.drs.v5.selecting import selection_of
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.core.job import Job

T = TypeVar("T")

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)


@routes.put(
    "/jobs/{job_id}",
    name="UpdateJob",
    openapi_extra={PARTLY: "objects of a task that was started are not changed (DRS.M00304)"},
)
async def update(front: FrontDep, job: TaskDep, body: bodies.UpdateJob) -> Response:
    """Change one thing about a task."""
    params, now = body.job.params, front.desk.clock()
    match body.job.type:
        case "name" | "description" | "expired_days" | "notify":
            check(job, Action.RENAME, now)
            await _redescribe(front, job, body.job.type, params)
        case "re_create":
            check(job, Action.CONFIGURE, now)
        case "endpoint":
            await _move(front, job, params)
        case "policy":
            await _set_policy(front, job, params)
        case "db_object":
            check(job, Action.CONFIGURE, now)
            id = await _select(front, job, params)
            return JSONResponse({"id": id, "status": "pending"}, 202)
        case "all" | "network" | "precheck":
            await _set_all(front, job, params)
    return JSONResponse({})


async def _redescribe(front: Front, job: Job, kind: str, params: bodies.Params) -> None:
    base, store = params.base_info, front.store
    match kind:
        case "name":
            name = _given(base.name, "name")
            await tasks.check_name(front, job.project_id, name, job.id, taken=TAKEN)
            await store.describe(job.id, name=name)
        case "description":
            await store.describe(job.id, description=base.description or "")
        case "expired_days":
            await store.describe(job.id, extra={"expired_days": _given(base.expired_days, "expired_days")})
        case _:
            notify = _given(params.alarm_notify, "alarm_notify")
            await store.describe(job.id, extra={"alarm_notify": bodies.kept(notify)})


def _given(value: T | None, field: str) -> T:
    if value is None:
        raise Told("DRS.M00201", field)
    return value


async def _move(front: Front, job: Job, params: bodies.Params) -> None:
    """Other servers, users or passwords; also while a task rests. Raises Told, Refused."""
    if status(job, front.desk.clock()) is not Status.CONFIGURATION:
        check(job, Action.RETRY, front.desk.clock())
    source = params.source_endpoint[0] if params.source_endpoint else None
    target = params.target_endpoint[0] if params.target_endpoint else None
    said = [plans.said_of(side) if side else None for side in (source, target)]
    await tasks.set_endpoints(front, job, *said)
    sides = {plans.SOURCE: source, plans.TARGET: target}
    await front.store.describe(job.id, extra={key: bodies.kept(side) for key, side in sides.items() if side})


async def _set_policy(front: Front, job: Job, params: bodies.Params) -> None:
    """What happens to rows that are there already, and how fast it goes. Raises Told, Refused."""
    plan, now = tasks.plan(job), front.desk.clock()
    if params.policy_config is not None:
        check(job, Action.CONFIGURE, now)
        plan = plans.with_policy(plan, params.policy_config)
        await front.desk.configure(job, plan, **plans.policy_facts(params.policy_config))
    if params.speed_limit is not None:
        check(job, Action.SPEED, now)
        plan = replace(plan, pace=plans.pace_of(params.speed_limit))
        limits = [limit.model_dump() for limit in params.speed_limit]
        await front.store.describe(job.id, plan=plan, extra={"speed_limit": limits})


async def _select(front: Front, job: Job, params: bodies.Params) -> str:
    """Take these objects alone. Returns a query id. Raises Told, Refused."""
    wanted, plan = _given(params.db_object, "db_object"), tasks.plan(job)
    plan = replace(plan, selection=selection_of(plan.source.engine, wanted))
    facts = {plans.OBJECTS: bodies.kept(wanted), "object_switch": wanted.object_scope != "all"}
    await front.desk.configure(job, plan, **facts)
    return await note_query(front, job, "saving")


async def _set_all(front: Front, job: Job, params: bodies.Params) -> None:
    """Whatever is given, one after the other. Raises Told, Refused."""
    check(job, Action.CONFIGURE, front.desk.clock())
    if params.source_endpoint or params.target_endpoint:
        await _move(front, job, params)
    await _set_policy(front, await front.store.job(job.id), params)
    if params.db_object is not None:
        await _select(front, await front.store.job(job.id), params)
    if params.alarm_notify is not None:
        await _redescribe(front, job, "notify", params)
