"""Tasks of backup migration of a project: finding, changing and deleting them, whichever version made them."""

from sterna.api.drs.backup.states import FINISHED, noted_end, status
from sterna.api.drs.ids import is_task_id
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.errors import NotFound
from sterna.core.job import Condition, Job, JobId, Phase

KIND = "drs-backup"

CLEANING_S = 40.0
"""How long a deletion waits for a run to take away what a failed task left on its target."""


async def find(front: Front, project_id: str, id: str, unknown: str) -> Job:
    """A task of the project. Raises Told: a deleted one or another project's is as if it did not exist."""
    try:
        job = await front.store.job(JobId(id)) if is_task_id(id) else None
    except NotFound:
        job = None
    if job is None or job.deleted or job.project_id != project_id or job.kind != KIND:
        raise Told(unknown)
    return job


async def all_of(front: Front, project_id: str, *, deleted: bool = False) -> list[Job]:
    """All tasks of a project, newest first; those that are deleted only if ``deleted``."""
    return list((await front.store.jobs(project_id, kinds=(KIND,), deleted=deleted))[1])


async def change(front: Front, job: Job, *, name: str, description: str | None = None) -> None:
    """Give a task another name, and another description if there is one."""
    await front.store.describe(job.id, name=name, description=description, extra=noted_end(job))


async def delete(front: Front, job: Job, unfinished: str) -> None:
    """Forget a task that has ended. Raises Told, and IllegalMove if it began again in between.

    One that failed while it was writing is ended first, so that nothing of it stays on its target.
    """
    if status(job) not in FINISHED:
        raise Told(unfinished)
    if job.condition is Condition.FAILED and job.phase not in (Phase.DRAFT, Phase.PREPARE):
        if not job.wished:
            await front.desk.stop(job)
        await front.desk.stopped(job, CLEANING_S)
    await front.desk.delete(job, forced=True)
