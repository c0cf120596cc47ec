"""Tags of tasks: the newer calls, and the older ones that Terraform makes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Response

from sterna.api.drs import tasks
from sterna.api.drs.backup import finding as backups
from sterna.api.drs.backup.states import noted_end
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.facts import facts_of
from sterna.api.drs.fields import MOST_TAGS
from sterna.api.drs.v5 import tag_bodies, views
from sterna.api.drs.v5.doing import RESPONSES
from sterna.api.drs.v5.finding import UNKNOWN, Limit, Offset, task
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.core.job import Job

Json = dict[str, Any]
Kind = Literal["migration", "sync", "cloudDataGuard", "subscription", "backupMigration", "replay"]

BACKUPS = "backupMigration"

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)


@routes.post("/{resource_type}/{resource_id}/tags/create", name="BatchCreateTags", status_code=204)
async def add(
    front: FrontDep, project_id: str, resource_type: Kind, resource_id: str, body: tag_bodies.TagList
) -> Response:
    """Give a task tags; one with the same key is replaced."""
    await _change(front, project_id, resource_type, resource_id, partial(_added, body.tags))
    return Response(status_code=204)


@routes.post("/{resource_type}/{resource_id}/tags/delete", name="BatchDeleteTags", status_code=204)
async def remove(
    front: FrontDep, project_id: str, resource_type: Kind, resource_id: str, body: tag_bodies.TagList
) -> Response:
    """Take tags away, by their keys. Those that are not there are passed over."""
    await _change(front, project_id, resource_type, resource_id, partial(_without, body.tags))
    return Response(status_code=204)


@routes.post("/jobs/{resource_type}/{job_id}/tags/action", name="BatchTagAction", status_code=204)
async def change(
    front: FrontDep, project_id: str, resource_type: Kind, job_id: str, body: tag_bodies.TagAction
) -> Response:
    """Give a task tags, or take them away."""
    how = _added if body.action == "create" else _without
    await _change(front, project_id, resource_type, job_id, partial(how, body.tags))
    return Response(status_code=204)


@routes.get("/{resource_type}/{resource_id}/tags", name="ListInstanceTags")
async def of_task(front: FrontDep, project_id: str, resource_type: Kind, resource_id: str) -> Json:
    """A task's tags."""
    return {"tags": _tags(await _of_kind(front, project_id, resource_type, resource_id))}


@routes.get("/jobs/{resource_type}/{job_id}/tags", name="ShowInstanceTags")
async def of_task_older(front: FrontDep, project_id: str, resource_type: Kind, job_id: str) -> Json:
    """A task's tags."""
    return {"tags": _tags(await _of_kind(front, project_id, resource_type, job_id))}


@routes.get("/{resource_type}/tags", name="ListTags")
async def of_project(front: FrontDep, project_id: str, resource_type: Kind) -> Json:
    """All tags of the project's tasks of a kind."""
    return {"tags": await _all(front, project_id, resource_type)}


@routes.get("/jobs/{resource_type}/tags", name="ListProjectTags")
async def of_project_older(front: FrontDep, project_id: str, resource_type: Kind) -> Json:
    """All tags of the project's tasks of a kind, with their number."""
    found = await _all(front, project_id, resource_type)
    return {"count": len(found), "tags": found}


@routes.post("/{resource_type}/resource-instances/filter", name="ListInstanceByTags")
async def find(
    front: FrontDep,
    project_id: str,
    resource_type: Kind,
    body: tag_bodies.FindByTags,
    offset: Offset = 0,
    limit: Limit = 1000,
) -> Json:
    """The tasks that have these tags."""
    found = [job for job in await _kind(front, project_id, resource_type) if _fits(job, body)]
    rows = [
        {"resource_id": job.id, "resource_name": job.name, "resource_detail": "", "tags": _tags(job)}
        for job in found[offset : offset + limit]
    ]
    return {"total_count": len(found), "resources": rows}


@routes.post("/{resource_type}/resource-instances/count", name="CountInstanceByTags")
async def count(front: FrontDep, project_id: str, resource_type: Kind, body: tag_bodies.FindByTags) -> Json:
    """How many tasks have these tags."""
    return {"total_count": sum(_fits(job, body) for job in await _kind(front, project_id, resource_type))}


async def _of_kind(front: Front, project_id: str, kind: str, id: str) -> Job:
    if kind == BACKUPS:
        return await backups.find(front, project_id, id, UNKNOWN)
    job = await task(front, project_id, id)
    if facts_of(job).db_use_type != kind:
        raise Told(UNKNOWN)
    return job


async def _kind(front: Front, project_id: str, kind: str) -> Sequence[Job]:
    if kind == BACKUPS:
        return await backups.all_of(front, project_id)
    return [job for job in await tasks.all_of(front, project_id) if facts_of(job).db_use_type == kind]


def _tags(job: Job) -> list[Json]:
    return views.tags_of(facts_of(job))


def _by_key(job: Job) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in _tags(job)}


async def _change(
    front: Front, project_id: str, kind: str, id: str, how: Callable[[Mapping[str, str]], Mapping[str, str]]
) -> None:
    """Change a task's tags, by key. Of two who do so at once the second sees what the first has done."""
    async with front.turn:
        job = await _of_kind(front, project_id, kind, id)
        rows = [{"key": key, "value": value} for key, value in how(_by_key(job)).items()]
        ended = noted_end(job) if job.kind == backups.KIND else {}
        await front.store.describe(job.id, extra={"tags": rows, **ended})


def _added(given: Sequence[tag_bodies.ResourceTag], known: Mapping[str, str]) -> Mapping[str, str]:
    tags = {**known, **{tag.key: tag.value for tag in given}}
    if len(tags) > MOST_TAGS:
        raise Told("DRS.M00271")
    return tags


def _without(given: Sequence[tag_bodies.ResourceTag], known: Mapping[str, str]) -> Mapping[str, str]:
    gone = {tag.key for tag in given}
    return {key: value for key, value in known.items() if key not in gone}


async def _all(front: Front, project_id: str, kind: str) -> list[Json]:
    found: dict[str, list[str]] = {}
    for job in await _kind(front, project_id, kind):
        for key, value in _by_key(job).items():
            values = found.setdefault(key, [])
            if value not in values:
                values.append(value)
    return [{"key": key, "values": values} for key, values in sorted(found.items())]


def _fits(job: Job, wanted: tag_bodies.FindByTags) -> bool:
    """All keys count, and of each key any of its values; no values: any."""
    known = _by_key(job)
    if wanted.without_any_tag:
        return not known
    tagged = all(it.key in known and (not it.values or known[it.key] in it.values) for it in wanted.tags)
    return tagged and all(it.key == "resource_name" and it.value in job.name for it in wanted.matches)
