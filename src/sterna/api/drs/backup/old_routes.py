"""Backup migration in v1.0: the same tasks as v5 has. Its pages spell the version in the path in two ways."""

from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends, Query, Response

from sterna.api.drs.backup import old_bodies, old_views
from sterna.api.drs.backup.chain import Why
from sterna.api.drs.backup.finding import all_of, delete, find
from sterna.api.drs.backup.making import Codes, make
from sterna.api.drs.backup.states import old_status, spelt
from sterna.api.drs.entry import OldDrsRoute
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.v5.finding import LARGEST_OFFSET, Filter, default_of_empty
from sterna.api.errors import GatewayError, OldDrsError, Told
from sterna.api.front import FrontDep
from sterna.core.job import Job

Json = dict[str, Any]

LARGEST_PAGE = 500

CODES = Codes(
    taken="DRS.0100.taken",
    instance=("DRS.0100", "instance_id"),
    bucket=("DRS.0100", "backup.bucket_name"),
    chain={Why.NONE: "DRS.0100.nochain", Why.WAITS: "DRS.0100.waits", Why.SEVERAL: "DRS.0100.chains"},
)

_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": OldDrsError},
    401: {"model": GatewayError},
    403: {"model": OldDrsError},
    404: {"model": OldDrsError},
    500: {"model": OldDrsError},
}

routes = APIRouter(route_class=OldDrsRoute, tags=["DRS v1.0"], responses=_RESPONSES)


async def _of_path(front: FrontDep, project_id: str, task_id: str) -> Job:
    return await find(front, project_id, task_id, "DRS.0016")


TaskDep = Annotated[Job, Depends(_of_path)]


@routes.post("/v1.0/{project_id}/replication_task", include_in_schema=False)
@routes.post(
    "/v2.0/{project_id}/replication_task",
    name="CreateReplicationTaskV1",
    openapi_extra={PARTLY: "from registered buckets; source rds is refused"},
)
async def create(front: FrontDep, project_id: str, body: old_bodies.CreateTask) -> Json:
    """Restore SQL Server backups from a bucket into a registered instance. The task starts at once."""
    job = await make(front, project_id, str(uuid4()), body.new(), CODES)
    return {"task_id": job.id}


@routes.get("/v2.0/{project_id}/replication_task/{task_id}", include_in_schema=False)
@routes.get("/v1.0/{project_id}/replication_task/{task_id}", name="ShowReplicationTaskV1")
async def show(job: TaskDep) -> Json:
    """What was asked for, and how it went."""
    return old_views.detail(job)


@routes.get("/v2.0/{project_id}/replication_tasks/offline", include_in_schema=False)
@routes.get("/v1.0/{project_id}/replication_tasks/offline", include_in_schema=False)
@routes.get("/v2.0/{project_id}/replication_tasks", include_in_schema=False)
@routes.get("/v1.0/{project_id}/replication_tasks", name="ListReplicationTasksV1")
async def list_tasks(
    front: FrontDep,
    project_id: str,
    state: Annotated[Filter, Query(alias="status")] = "",
    name: Annotated[Filter, Query(description="A part of the name.")] = "",
    curpage: Annotated[int, Query(ge=1, le=LARGEST_OFFSET), default_of_empty(1)] = 1,
    perpage: Annotated[int, Query(ge=1, le=LARGEST_PAGE), default_of_empty(10)] = 10,
) -> Json:
    """The project's tasks of backup migration, newest first."""
    try:
        wanted = spelt(state) if state else None
    except ValueError as wrong:
        raise Told("DRS.0100", "status") from wrong
    found = [
        job
        for job in await all_of(front, project_id)
        if name.lower() in job.name.lower() and wanted in (None, old_status(job))
    ]
    begin = (curpage - 1) * perpage
    return old_views.page(len(found), found[begin : begin + perpage])


@routes.delete("/v2.0/{project_id}/replication_task/{task_id}", include_in_schema=False)
@routes.delete("/v1.0/{project_id}/replication_task/{task_id}", name="DeleteReplicationTaskV1")
async def remove(front: FrontDep, job: TaskDep) -> Response:
    """Take away a task that has ended."""
    await delete(front, job, "DRS.0100.unfinished")
    return Response(status_code=200)
