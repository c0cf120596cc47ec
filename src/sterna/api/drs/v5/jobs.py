"""Tasks of v5: created, listed, shown, cloned and deleted."""

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from sterna.api.drs import tasks, verbs
from sterna.api.drs.actions import Action, check
from sterna.api.drs.backup import finding as backups
from sterna.api.drs.backup import making
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.facts import facts_of
from sterna.api.drs.ids import new_task_id
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.states import RELEASED, Status, spelt, status
from sterna.api.drs.times import iso
from sterna.api.drs.v5 import bodies, plans, views
from sterna.api.drs.v5.details import Wanted, shown
from sterna.api.drs.v5.doing import RESPONSES, TAKEN, each
from sterna.api.drs.v5.finding import UNKNOWN, Filter, Limit, Offset, TaskDep, task
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.api.language import chosen
from sterna.core.job import Job
from sterna.jobs.policies import KEY as POLICY

Json = dict[str, Any]

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)


@routes.post(
    "/jobs",
    name="CreateJob",
    openapi_extra={PARTLY: "PostgreSQL and Redis; migration and sync; FULL_TRANS and FULL_INCR_TRANS"},
)
async def create(front: FrontDep, project_id: str, body: bodies.CreateJob) -> Json:
    """Create a task, which then waits to be started."""
    wanted = body.job
    base, source, target = wanted.base_info, wanted.source_endpoint[0], wanted.target_endpoint[0]
    node = bodies.kept(wanted.node_info)
    facts = plans.facts_of(base, source, target, node)
    sides = plans.said_of(source), plans.said_of(target)
    job = await tasks.create(front, project_id, base.name, base.description, facts, *sides, taken=TAKEN)
    await front.store.describe(job.id, extra=plans.own_facts(base, source, target, node))
    return _created(job, "false")


@routes.post("/jobs/clone", name="CopyJob", status_code=202)
async def clone(front: FrontDep, project_id: str, body: bodies.Clone) -> Json:
    """Describe another task as this one is, with its servers and passwords."""
    job = await task(front, project_id, body.job_id)
    check(job, Action.CLONE, front.desk.clock())
    async with front.turn:
        await tasks.check_name(front, project_id, body.name, taken=TAKEN)
        copy = await front.desk.create(
            project_id,
            tasks.KIND,
            body.name,
            description=job.description,
            plan=job.plan,
            extra={key: value for key, value in job.extra.items() if key not in (RELEASED, plans.START, POLICY)},
            id=new_task_id(facts_of(job).db_use_type, tasks.link(front, job).engine),
        )
    return _created(copy, True)


def _created(job: Job, is_clone: str | bool) -> Json:
    """A new task's answer; ``is_clone_job`` is text for one that is created and a boolean for a clone."""
    return {
        "id": job.id,
        "name": job.name,
        "status": Status.CREATING,
        "create_time": iso(job.created_ms),
        "is_clone_job": is_clone,
    }


_SORTS: dict[str, Callable[[Job, int], Any]] = {
    "name": lambda job, now: job.name.lower(),
    "status": status,
    "create_time": lambda job, now: job.created_ms,
    "net_type": lambda job, now: facts_of(job).net_type,
    "job_direction": lambda job, now: facts_of(job).job_direction,
    "pay_mode": lambda job, now: facts_of(job).charging_mode,
}


@routes.get("/jobs", name="ListJobs")
async def list_jobs(
    front: FrontDep,
    project_id: str,
    job_type: Literal["migration", "sync", "cloudDataGuard", "replay"],
    name: Annotated[Filter, Query(description="A name's part, an id, or ids with commas between.")] = "",
    state: Annotated[Filter, Query(alias="status")] = "",
    engine_type: Filter = "",
    net_type: Filter = "",
    enterprise_project_id: Filter = "",
    offset: Offset = 0,
    limit: Limit = 10,
    sort_key: Filter = "create_time",
    sort_dir: Filter = "desc",
    instance_ids: Annotated[list[str] | None, Query(max_length=10)] = None,
    instance_ip: Filter = "",
) -> Json:
    """The project's tasks of a kind, newest first."""
    if sort_key not in ("", *_SORTS):
        raise Told("DRS.M00202", "sort_key")
    if sort_dir not in ("", "asc", "desc"):
        raise Told("DRS.M00202", "sort_dir")
    now, wanted = front.desk.clock(), _spelt(state)
    facts = {"engine_type": engine_type, "net_type": net_type, "enterprise_project_id": enterprise_project_id}
    found = [
        job
        for job in await tasks.all_of(front, project_id)
        if _is(job, {"db_use_type": job_type, **facts})
        and _named(job, name)
        and wanted in (None, status(job, now))
        and _uses(job, [id for id in instance_ids or () if id], instance_ip)
    ]
    key = _SORTS[sort_key or "create_time"]
    found.sort(key=lambda job: key(job, now), reverse=sort_dir != "asc")
    return {"total_count": len(found), "jobs": [views.listed(job, now) for job in found[offset : offset + limit]]}


def _spelt(word: str) -> Status | None:
    """The state that is asked for; None: any. Raises Told."""
    try:
        return spelt(word) if word else None
    except ValueError as wrong:
        raise Told("DRS.M00202", "status") from wrong


def _is(job: Job, wanted: dict[str, str]) -> bool:
    facts = facts_of(job)
    return all(value in ("", getattr(facts, name)) for name, value in wanted.items())


def _named(job: Job, text: str) -> bool:
    ids = [it.strip() for it in text.split(",")]
    return job.id in ids or text.lower() in job.name.lower()


def _uses(job: Job, instance_ids: list[str], ip: str) -> bool:
    ends = (job.plan.source, job.plan.target) if job.plan else ()
    of_instance = not instance_ids or any(end.instance_id in instance_ids for end in ends)
    return of_instance and (not ip or any(ip == host for end in ends for host, _ in end.addresses))


@routes.get("/jobs/{job_id}", name="ShowJobDetail")
async def show(front: FrontDep, job: TaskDep, wanted: Annotated[Wanted, Query()]) -> Json:
    """One side of a task, which its type names: what it is, how far, what was checked, compared or told."""
    return {"job": await shown(front, job, wanted)}


@routes.get("/jobs/{job_id}/actions", name="ShowActions")
async def show_actions(front: FrontDep, job: TaskDep) -> Json:
    """What may be done with a task now."""
    return {"job_action": views.action_of(job, front.desk.clock())}


@routes.delete("/jobs/{job_id}", name="DeleteJob", response_class=Response)
async def delete(front: FrontDep, job: TaskDep) -> Response:
    """Take away a task that has ended, or was never started."""
    await _delete(front, job)
    return Response(status_code=200)


@routes.delete("/jobs", name="BatchDeleteJobsById")
async def delete_many(front: FrontDep, request: Request, project_id: str, body: bodies.DeleteMany) -> Json:
    """Take away tasks. Each has its own outcome."""
    language = chosen(request.headers.get("x-language"))

    async def one(job: Job) -> None:
        await _delete(front, job)

    return {"jobs": [await each(front, project_id, id, one, language, UNKNOWN) for id in body.jobs]}


async def _delete(front: Front, job: Job) -> None:
    """One that was never started leaves nothing behind, so it needs not be ended first: Terraform does not."""
    if status(job, front.desk.clock()) is Status.CONFIGURATION:
        await verbs.force(front, job)
        job = await front.store.job(job.id)
    await verbs.delete(front, job, refusal="DRS.M00304")


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,49}")
_OFFLINE_NAME = re.compile(r"[A-Za-z0-9_-]{4,80}")


@routes.post("/jobs/name-validation", name="ValidateJobName")
async def validate_name(front: FrontDep, project_id: str, body: bodies.CheckName) -> Json:
    """Whether a task may have this name."""
    offline = body.type == "offline"
    form = _OFFLINE_NAME if offline else _NAME
    if not form.fullmatch(body.name):
        raise Told("DRS.M00202", "name")
    if offline:
        making.check_name(await backups.all_of(front, project_id), body.name, TAKEN)
    else:
        await tasks.check_name(front, project_id, body.name, taken=TAKEN)
    return {"is_valid": True}


@routes.get("/jobs/{job_id}/monitor-data", name="ShowMonitorData")
async def monitor(front: FrontDep, job: TaskDep) -> Json:
    """How fast a task is now."""
    return views.monitor_data(job, await front.desk.progress(job), front.desk.clock())


@routes.get("/jobs/{job_id}/timelines", name="ShowTimeline")
async def timelines(front: FrontDep, job: TaskDep, offset: Offset = 0, limit: Limit = 10) -> Json:
    """What was asked of a task, newest first."""
    _, events = await front.store.events(job.id, limit=views.HISTORY)
    asked = [views.timeline(event) for event in events if event.code in views.OPERATIONS]
    return {"count": len(asked), "timelines": asked[offset : offset + limit]}
