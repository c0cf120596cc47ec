"""Backup migration in v5: tasks are created, listed, shown, renamed and deleted."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from sterna.api.drs.backup import bodies, views
from sterna.api.drs.backup.chain import Why
from sterna.api.drs.backup.filters import Wanted, chosen, in_order
from sterna.api.drs.backup.finding import all_of, change, delete, find
from sterna.api.drs.backup.making import Codes, check_name, make
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.ids import new_backup_id
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.v5.doing import RESPONSES, TAKEN
from sterna.api.drs.v5.finding import UNKNOWN, Filter, default_of_empty
from sterna.api.errors import Told
from sterna.api.front import FrontDep
from sterna.core.job import Job

Json = dict[str, Any]

MOST_INSTANCES = 10
LARGEST = 65535

CODES = Codes(
    taken=TAKEN,
    instance=("DRS.M05006", "target_db_info.target_instance_id"),
    bucket=("DRS.M00202", "backup_info.bucket_name"),
    chain={Why.NONE: "DRS.M00300.nochain", Why.WAITS: "DRS.M00300.waits", Why.SEVERAL: "DRS.M00300.chains"},
)

routes = APIRouter(
    route_class=DrsRoute, prefix="/v5/{project_id}/backup-migration-jobs", tags=["DRS v5"], responses=RESPONSES
)


async def _of_path(front: FrontDep, project_id: str, job_id: str) -> Job:
    return await find(front, project_id, job_id, UNKNOWN)


TaskDep = Annotated[Job, Depends(_of_path)]


@routes.post(
    "",
    name="CreateReplicationJob",
    openapi_extra={PARTLY: "from registered buckets; file_source RDS is refused"},
)
async def create(front: FrontDep, project_id: str, body: bodies.CreateBackup) -> Json:
    """Restore SQL Server backups from a bucket into a registered instance. The task starts at once."""
    job = await make(front, project_id, new_backup_id(), body.new(), CODES)
    return {"job_id": job.id}


@routes.get("", name="ListReplicationJobs")
async def list_jobs(
    front: FrontDep,
    project_id: str,
    name: Annotated[Filter, Query(description="A part of the name.")] = "",
    state: Annotated[Filter, Query(alias="status")] = "",
    dbs_instance_ids: Annotated[list[str] | None, Query()] = None,
    description: Filter = "",
    create_at: Annotated[Filter, Query(description="A day or a moment, or two with a comma between.")] = "",
    completed_at: Filter = "",
    enterprise_project_id: Filter = "",
    tags: Annotated[Filter, Query(description="key=value or key, with commas between, or JSON.")] = "",
    limit: Annotated[int, Query(ge=0, le=LARGEST), default_of_empty(10)] = 10,
    offset: Annotated[int, Query(ge=0, le=LARGEST), default_of_empty(0)] = 0,
    sort_key: Filter = "",
    sort_dir: Filter = "",
) -> Json:
    """The project's tasks of backup migration, newest first unless it is said otherwise."""
    ids = tuple(id.strip() for text in dbs_instance_ids or () for id in text.split(",") if id.strip())
    if len(ids) > MOST_INSTANCES:
        raise Told("DRS.M00202", "dbs_instance_ids")
    wanted = Wanted(name, state, ids, description, create_at, completed_at, enterprise_project_id, tags)
    found = in_order(chosen(await all_of(front, project_id), wanted), sort_key, sort_dir)
    return {"count": len(found), "jobs": [views.listed(job) for job in found[offset : offset + limit]]}


@routes.get("/{job_id}", name="ShowReplicationJob")
async def show(job: TaskDep) -> Json:
    """What was asked for, and how it went."""
    return views.detail(job)


@routes.put("/{job_id}", name="UpdateReplicationJob", response_class=Response)
async def update(front: FrontDep, project_id: str, job: TaskDep, body: bodies.UpdateBackup) -> Response:
    """Give a task another name, and another description if one is sent."""
    if body.name != job.name and not bodies.is_name(body.name):
        raise Told("DRS.M00202", "name")
    async with front.turn:
        if body.name != job.name:
            others = [it for it in await all_of(front, project_id) if it.id != job.id]
            check_name(others, body.name, TAKEN)
        await change(front, job, name=body.name, description=body.description)
    return Response(status_code=200)


@routes.delete("/{job_id}", name="DeleteReplicationJob")
async def remove(front: FrontDep, job: TaskDep) -> Json:
    """Take away a task that has ended."""
    await delete(front, job, "DRS.M00304")
    return {}
