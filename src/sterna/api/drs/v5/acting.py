"""What is done with tasks of v5: one action for one task, or for each of some.

Some actions are done when they are answered; the others are begun, and their query id asks how it went.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from sterna.api.drs import prechecks, tasks, verbs
from sterna.api.drs.actions import Action, check
from sterna.api.drs.endpoints import endpoint_of, shown_addresses
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.prechecks import item_name
from sterna.api.drs.v5 import bodies
from sterna.api.drs.v5.compared import DEPTHS
from sterna.api.drs.v5.doing import RESPONSES, each
from sterna.api.drs.v5.finding import QUERY, TaskDep, is_uuid, note_query
from sterna.api.drs.v5.plans import SKIPPED, said_of
from sterna.api.drs.v5.reading import moment_ms
from sterna.api.drs.v5.selecting import names_of
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.api.language import chosen
from sterna.core.change import Name
from sterna.core.errors import NotFound
from sterna.core.finding import Severity
from sterna.core.job import Failure, Job
from sterna.core.plan import Endpoint

Json = dict[str, Any]

ILLEGAL = "DRS.M00304"

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)

_REFUSED = "column_limit, reload_parameters, bind_eip, unbind_eip, set_readonly, cloud_connection and diagnosis"


@routes.post(
    "/jobs/{job_id}/action",
    name="ExecuteJobAction",
    openapi_extra={PARTLY: f"{_REFUSED} are refused with DRS.10000001"},
)
async def act(front: FrontDep, job: TaskDep, body: bodies.ExecuteAction) -> Response:
    """Do something with a task."""
    id = await _act(front, job, body.job)
    return JSONResponse({"query_id": id}, 202) if id else JSONResponse({"status": "success"})


@routes.post("/jobs/action", name="BatchExecuteJobActions", openapi_extra={PARTLY: "as ExecuteJobAction"})
async def act_many(front: FrontDep, request: Request, project_id: str, body: bodies.ExecuteActions) -> Response:
    """Do something with each of some tasks. Each has its own outcome."""
    language = chosen(request.headers.get("x-language"))
    rows = []
    for wanted in body.jobs:

        async def one(job: Job, wanted: bodies.Action = wanted) -> Json | None:
            id = await _act(front, job, wanted)
            return {"query_id": id} if id else None

        rows.append(await each(front, project_id, wanted.job_id, one, language))
    begun = any("query_id" in row for row in rows)
    return JSONResponse({"jobs": rows}, 202 if begun else 200)


@routes.post("/jobs/{job_id}/stop", name="StopJobAction")
async def stop(front: FrontDep, job: TaskDep, body: bodies.Stop) -> Json:
    """End a task: once everything is carried over, or at once."""
    await _end(front, job, force=body.is_force_stop)
    return {"status": "success", "id": job.id, "name": job.name}


@routes.post("/jobs/batch-stop", name="BatchStopJobsAction")
async def stop_many(front: FrontDep, request: Request, project_id: str, body: bodies.StopMany) -> Json:
    """End tasks. Each has its own outcome."""
    language = chosen(request.headers.get("x-language"))
    rows = []
    for wanted in body.jobs:

        async def one(job: Job, force: bool = wanted.is_force_stop) -> None:
            await _end(front, job, force=force)

        rows.append(await each(front, project_id, wanted.job_id, one, language))
    return {"jobs": rows}


async def _end(front: Front, job: Job, *, force: bool) -> None:
    await (verbs.force if force else verbs.terminate)(front, job, ILLEGAL)


async def _act(front: Front, job: Job, wanted: bodies.Action) -> str:
    """Do it, or begin it: then a query id is returned. Raises Told, Refused."""
    action = _ACTIONS.get(wanted.action_name)
    if action is None:
        raise Told("DRS.10000001.unsupported", f"ExecuteJobAction {wanted.action_name}")
    return await action(front, job, wanted.action_params) or ""


async def _start(front: Front, job: Job, params: bodies.ActionParams) -> None:
    await verbs.start(front, job, moment_ms(params.start_time or ""), ILLEGAL)


async def _pause(front: Front, job: Job, params: bodies.ActionParams) -> None:
    await verbs.pause(front, job, ILLEGAL)


async def _restart(front: Front, job: Job, params: bodies.ActionParams) -> None:
    if params.is_sync_re_edit:
        raise Told("DRS.M00401", tasks.link(front, job).engine_type)
    await verbs.retry(front, job, ILLEGAL)


async def _reset(front: Front, job: Job, params: bodies.ActionParams) -> None:
    await verbs.reset(front, job, ILLEGAL)


async def _terminate(front: Front, job: Job, params: bodies.ActionParams) -> None:
    await _end(front, job, force=params.force_delete)


# Checks.


async def _precheck(front: Front, job: Job, params: bodies.ActionParams) -> str:
    check(job, Action.PRECHECK, front.desk.clock())
    await prechecks.begin(front, job)
    return await note_query(front, job, "precheck")


async def _skip(front: Front, job: Job, params: bodies.ActionParams) -> None:
    """Only what warns can be skipped: what has failed would fail again at the start."""
    if params.skip_precheck_info is None:
        raise Told("DRS.M00201", "skip_precheck_info")
    found = {item_name(it.check): it.severity for it in await front.store.findings(job.id)}
    wanted = params.skip_precheck_info.skipped_precheck_list
    if any(found.get(item) is not Severity.ALARM for item in wanted):
        raise Told("DRS.M00202", "skipped_precheck_list")
    await front.store.describe(job.id, extra={SKIPPED: wanted})


async def _network(front: Front, job: Job, params: bodies.ActionParams) -> str:
    """Try to log in, to the servers that are named or to the task's own."""
    check(job, Action.RENAME, front.desk.clock())
    plan = tasks.plan(job)
    ends = [await _tried(front, job, side) for side in params.endpoints] or [plan.source, plan.target]
    id = str(uuid4())
    await note_query(front, job, "network", id, results=[])
    front.desk.background.begin((QUERY, job.id, id), _try_all(front, job, id, ends))
    return id


async def _tried(front: Front, job: Job, side: bodies.Side) -> Endpoint:
    plan = tasks.plan(job)
    before = plan.source if side.endpoint_role == "so" else plan.target
    return await endpoint_of(front.store, job.project_id, tasks.link(front, job), said_of(side), before)


async def _try_all(front: Front, job: Job, id: str, ends: list[Endpoint]) -> None:
    results: list[Json] = []
    for end in ends:
        results.append(_tried_row(end, await front.desk.check_endpoint(end) if end.addresses else _NOWHERE))
        await note_query(front, job, "network", id, results=results)


_NOWHERE = Failure("DRS.M00201", "The address is not known yet")


def _tried_row(end: Endpoint, failure: Failure | None) -> Json:
    return {
        "ip": shown_addresses(end)[0],
        "success": failure is None,
        "status": "failed" if failure else "success",
        "result": None,
        "error_code": failure.code if failure else None,
        "error_msg": f"{failure.message} {failure.hint}".strip() if failure else None,
    }


# Comparisons and repairs.


async def _compare(front: Front, job: Job, params: bodies.ActionParams) -> str:
    wanted = params.compare_task_param
    check(job, Action.COMPARE, front.desk.clock())
    if wanted.type is None:
        raise Told("DRS.M00201", "type")
    if wanted.data_process_info:
        raise Told("DRS.10000001.unsupported", "ExecuteJobAction create_compare data_process_info")
    at_ms = moment_ms(wanted.start_time or "")
    return await front.desk.begin_compare(job, DEPTHS[wanted.type], names_of(wanted.db_object), at_ms=at_ms)


async def _cancel_compare(front: Front, job: Job, params: bodies.ActionParams) -> None:
    id = params.compare_task_param.compare_task_id
    await _known_comparison(front, job, id, "compare_task_id")
    await front.desk.cancel_compare(job, id)


async def _known_comparison(front: Front, job: Job, id: str, field: str) -> None:
    try:
        await front.desk.comparison(job, id if is_uuid(id) else "")
    except NotFound as missing:
        raise Told("DRS.M00202", field) from missing


async def _repair(front: Front, job: Job, params: bodies.ActionParams) -> None:
    """Mend what a comparison of the contents found different: all of it, or some tables."""
    check(job, Action.COMPARE, front.desk.clock())
    wanted = params.repair_info
    await _known_comparison(front, job, wanted.query_id, "query_id")
    if not wanted.objects:
        await front.desk.repair(job, wanted.query_id)
        return
    names = [_named(it) for it in wanted.objects]
    await front.desk.begin_compare(job, DEPTHS["contents"], names, repair=True)


def _named(it: bodies.RepairObject) -> Name:
    return Name(tuple(word for word in (it.database, it.schema_name, it.table) if word))


async def _stop_repair(front: Front, job: Job, params: bodies.ActionParams) -> None:
    open_ones = [run for run in await front.desk.comparisons(job) if run.repair and run.open]
    if not open_ones:
        raise Told(ILLEGAL)
    for run in open_ones:
        await front.desk.cancel_compare(job, run.id)


async def _set_writable(front: Front, job: Job, params: bodies.ActionParams) -> str:
    """The target is never set read-only here, so it is done as soon as it is asked for."""
    return await note_query(front, job, "is_writable")


_ACTIONS: Mapping[str, Callable[[Front, Job, bodies.ActionParams], Awaitable[str | None]]] = {
    "start": _start,
    "stop": _pause,
    "restart": _restart,
    "reset": _reset,
    "terminate": _terminate,
    "precheck": _precheck,
    "skip_precheck": _skip,
    "network": _network,
    "create_compare": _compare,
    "cancel_compare": _cancel_compare,
    "start_repair": _repair,
    "stop_repair": _stop_repair,
    "set_writable": _set_writable,
}
"""What is offered of the documented ones."""
