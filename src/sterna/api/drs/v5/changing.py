"""Changes of a task of v5: what it is called, where it goes from and to, what of it, and how."""

from typing import TypeVar

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from sterna.api.drs import settings, tasks
from sterna.api.drs.actions import Action, check
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.speed import Limit
from sterna.api.drs.states import Status, status
from sterna.api.drs.v5 import bodies, plans
from sterna.api.drs.v5.doing import RESPONSES, TAKEN
from sterna.api.drs.v5.finding import TaskDep, note_query
from sterna.api.drs.v5.selecting import infos_of, selection_of
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
            async with front.turn:
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
    policy, limits = params.policy_config, params.speed_limit
    if policy is not None:
        if policy.index_trans is False:
            raise Told("DRS.M00305.indexes")
        await settings.set_policy(
            front, job, policy.conflict_policy, policy.ddl_trans, policy.filter_ddl_policy or None
        )
        await front.store.describe(job.id, extra={plans.POLICY: bodies.kept(policy)})
    if limits is not None:
        said = [Limit(it.begin, it.end, it.speed) for it in limits]
        await settings.limit_speed(front, await front.store.job(job.id), said)


async def _select(front: Front, job: Job, params: bodies.Params) -> str:
    """Take these objects alone. Returns a query id. Raises Told, Refused."""
    wanted = _given(params.db_object, "db_object")
    selection = selection_of(tasks.link(front, job).engine, wanted)
    whole = wanted.object_scope == "database"
    await settings.choose(front, job, selection, infos_of(selection), sync_database=whole)
    await front.store.describe(job.id, extra={plans.OBJECTS: bodies.kept(wanted)})
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
