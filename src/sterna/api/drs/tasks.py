"""Tasks of a project: finding them, making them, naming them."""

from collections.abc import Mapping
from dataclasses import replace

from sterna.api.drs.endpoints import Said, endpoint_of
from sterna.api.drs.facts import Facts, facts_of
from sterna.api.drs.ids import is_task_id, new_task_id
from sterna.api.drs.links import Link, link_of, mode_of
from sterna.api.drs.states import Status, status
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.errors import NotFound
from sterna.core.job import Job, JobId
from sterna.core.plan import Endpoint, Plan

KIND = "drs"

UNKNOWN = "DRS.M00289"
GONE = "DRS.M05004"
TAKEN = "DRS.M00277"


async def find(front: Front, project_id: str, id: str, *, unknown: str = UNKNOWN, gone: str = GONE) -> Job:
    """A task of the project. Raises Told: one of another project is as if it did not exist."""
    job = await find_any(front, project_id, id, unknown=unknown)
    if job.deleted:
        raise Told(gone)
    return job


async def find_any(front: Front, project_id: str, id: str, *, unknown: str = UNKNOWN) -> Job:
    """The same, also if it was deleted."""
    try:
        job = await front.store.job(JobId(id)) if is_task_id(id) else None
    except NotFound:
        job = None
    if job is None or job.project_id != project_id or job.kind != KIND:
        raise Told(unknown)
    return job


async def all_of(front: Front, project_id: str) -> list[Job]:
    """All tasks of a project that are not deleted, newest first."""
    return list((await front.store.jobs(project_id, kinds=(KIND,)))[1])


async def check_name(front: Front, project_id: str, name: str, but: str = "", *, taken: str = TAKEN) -> None:
    """Raises Told if another task of the project has the name, in whatever case. ``but``: the id of its owner."""
    for job in await all_of(front, project_id):
        if job.name.lower() == name.lower() and job.id != but:
            raise Told(taken)


async def create(
    front: Front,
    project_id: str,
    name: str,
    description: str,
    facts: Facts,
    source: Said,
    target: Said,
    *,
    taken: str = TAKEN,
) -> Job:
    """A new task, to be configured. Raises Told for what cannot be moved, and for a name that is taken."""
    link = link_of(facts.engine_type, facts.db_use_type, front.desk.engines)
    mode = mode_of(facts.task_type)
    await check_name(front, project_id, name, taken=taken)
    plan = Plan(
        await endpoint_of(front.store, project_id, link, source),
        await endpoint_of(front.store, project_id, link, target),
        mode,
    )
    async with front.turn:
        await check_name(front, project_id, name, taken=taken)  # once more: nobody else may take it now
        return await front.desk.create(
            project_id,
            KIND,
            name,
            description=description,
            plan=plan,
            extra=replace(facts, source=kept(source, plan.source), target=kept(target, plan.target)).extra(),
            id=new_task_id(facts.db_use_type, link.engine),
        )


def link(front: Front, job: Job) -> Link:
    """What kind of task it is."""
    facts = facts_of(job)
    return link_of(facts.engine_type, facts.db_use_type, front.desk.engines)


def plan(job: Job) -> Plan:
    """The plan that every task has from its creation on, though its sides may have no address yet."""
    assert job.plan is not None
    return job.plan


async def set_endpoints(front: Front, job: Job, source: Said | None, target: Said | None) -> Job:
    """Say more, or anew, what the two sides are. Raises Told, and IllegalMove while it runs."""
    kind, before, facts = link(front, job), plan(job), facts_of(job)
    after, said = before, dict[str, object]()
    if source:
        endpoint = await endpoint_of(front.store, job.project_id, kind, source, before.source)
        after, said["source"] = replace(after, source=endpoint), {**facts.source, **kept(source, endpoint)}
    if target:
        endpoint = await endpoint_of(front.store, job.project_id, kind, target, before.target)
        after, said["target"] = replace(after, target=endpoint), {**facts.target, **kept(target, endpoint)}
    return await front.desk.configure(job, after, **said)


def kept(said: Said, endpoint: Endpoint) -> Mapping[str, str]:
    """What of an endpoint is given back as it was said."""
    facts = {name: value for name, value in said.facts if value}
    return facts | ({"inst_name": endpoint.name} if endpoint.name else {})


def now(front: Front, job: Job) -> Status:
    """The task's status at this moment."""
    return status(job, front.desk.clock())
