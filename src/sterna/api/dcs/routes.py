"""The routes of DCS migration tasks. Each is a sentence: find the task, ask the desk, show what came of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Annotated

from fastapi import Depends, Query, Request
from pydantic import AfterValidator

from sterna.api.dcs import answers, bodies, views
from sterna.api.dcs.codes import of_refusal
from sterna.api.dcs.entry import LARGEST_PAGE, REFUSED, Offset, router
from sterna.api.dcs.imports import import_plan
from sterna.api.dcs.plans import IMPORT, KIND, TASKS, moves_the_same, plan_of
from sterna.api.dcs.states import MIGRATING, RESTARTABLE, STOPPABLE, Status, imports, status
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep, front_of
from sterna.api.language import chosen
from sterna.core.errors import NotFound, Refused
from sterna.core.event import Level
from sterna.core.job import Condition, Job
from sterna.core.plan import Plan, Resume

CLEANING_S = 15.0
"""How long a deletion waits for runs to take away what imports left on their targets."""

routes = router("v2")
old_routes = router("v1.0")

NameFilter = Annotated[
    str, Query(max_length=256, description="Contained in the name."), AfterValidator(bodies.printable)
]


async def _task(front: FrontDep, project_id: str, task_id: str) -> Job:
    """The task of a path. Raises Told."""
    if not bodies.is_id(task_id):
        raise Told("DCS.4070")
    try:
        job = await front.desk.get(project_id, task_id)
    except NotFound as missing:
        raise Told("DCS.4133") from missing
    if job.kind not in TASKS:
        raise Told("DCS.4133")
    return job


def _refuse_import(job: Job) -> None:
    """Files are not configured anew, nor is there a connection to take up again."""
    if imports(job):
        raise Told("DCS.4957")


def _worker(request: Request) -> str:
    """The address from which databases are reached, as far as known."""
    server = request.scope.get("server") or ("127.0.0.1", 0)
    return front_of(request).settings.worker_address or str(server[0])


TaskDep = Annotated[Job, Depends(_task)]
WorkerDep = Annotated[str, Depends(_worker)]


@routes.post("/migration-task", name="CreateMigrationTask")
@old_routes.post("/migration-task", name="CreateMigrationTaskV1")
async def create_task(front: FrontDep, project_id: str, body: bodies.CreateTask) -> answers.Started:
    """Create, configure and start in one call: an import of RDB or AOF files, or an online migration."""
    if body.migration_type == "backupfile_import":
        plan, extra = await import_plan(front.desk, project_id, body)
        kind = IMPORT
    else:
        plan, extra = await plan_of(front.store, project_id, body), {"network_type": body.network_type}
        kind = KIND
    job = await front.desk.create(
        project_id, kind, body.task_name, description=body.description, plan=plan, extra=extra, start=True
    )
    return await _started(front, job)


@routes.post("/migration/instance", name="CreateOnlineMigrationTask")
async def create_online(front: FrontDep, project_id: str, body: bodies.CreateOnline) -> answers.Created:
    """Create an online migration task, which then waits to be configured."""
    places = {name: getattr(body, name) for name in ("vpc_id", "subnet_id", "security_group_id")}
    job = await front.desk.create(project_id, KIND, body.name, description=body.description, extra=places)
    return answers.Created(instance_id=job.id, job_id=_mirrored(job.id))


@routes.post("/migration/{task_id}/task", name="SetOnlineMigrationTask")
async def configure(
    front: FrontDep, project_id: str, job: TaskDep, body: bodies.ConfigureOnline
) -> answers.Started:
    """Configure an online migration task and start it, also one that has ended or failed before.

    A failed task whose servers, databases and method stay the same goes on where it was; any other begins anew.
    """
    _refuse_import(job)
    plan = await plan_of(front.store, project_id, body)
    job = await front.desk.configure(await _cleared(front, job, plan), plan)
    await front.desk.run(job)
    return await _started(front, job)


@routes.put("/migration-task/{task_id}", name="UpdateMigrationTask")
async def update(front: FrontDep, job: TaskDep, body: bodies.UpdateTask) -> dict[str, str]:
    """Change what happens after a lost connection. A running task heeds it from its next start."""
    _refuse_import(job)
    resume = Resume(body.resume_mode)
    if job.plan:
        await front.store.describe(job.id, plan=replace(job.plan, resume=resume))
    else:
        await front.store.describe(job.id, extra={"resume_mode": resume.value})
    return {}


@routes.get("/migration-tasks", name="ListMigrationTask")
async def list_tasks(
    front: FrontDep,
    project_id: str,
    worker: WorkerDep,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 10,
    name: NameFilter = "",
) -> answers.TaskPage:
    """The project's tasks, newest first."""
    count, jobs = await front.store.jobs(project_id, kinds=TASKS, name=name, offset=offset, limit=limit)
    return answers.TaskPage(count=count, migration_tasks=[views.listed(job, worker) for job in jobs])


@routes.get("/migration-task/{task_id}", name="ShowMigrationTask")
async def show_task(job: TaskDep, worker: WorkerDep) -> answers.Task:
    """One task in full."""
    return views.task(job, worker)


@routes.get("/migration-task/{task_id}/stats", name="ShowMigrationTaskStats")
async def show_stats(front: FrontDep, job: TaskDep) -> answers.Stats:
    """A task's figures."""
    return views.stats(job, await front.desk.progress(job), front.desk.clock())


@routes.get("/migration-task/{task_id}/logs", name="ListMigrationTaskLogs")
async def list_logs(
    front: FrontDep,
    job: TaskDep,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=0, le=LARGEST_PAGE)] = 10,
    log_level: Level | None = None,
) -> answers.LogPage:
    """A task's history, newest first."""
    count, events = await front.store.events(job.id, level=log_level, offset=offset, limit=limit)
    return answers.LogPage(log_num=count, migration_logs=[views.log_row(event) for event in events])


@routes.post("/migration-task/{task_id}/stop", name="StopMigrationTask")
async def stop(front: FrontDep, job: TaskDep, worker: WorkerDep) -> answers.Task:
    """Stop a task: asked for at once, done when its status is TERMINATED."""
    await _stop(front, job)
    return views.task(await front.store.job(job.id), worker)


@routes.post("/migration-task/{task_id}/sync-stop", name="StopMigrationTaskSync", status_code=204)
async def stop_and_wait(front: FrontDep, job: TaskDep) -> None:
    """Stop a task and wait until it has. Refused (DCS.4017) if that takes too long; it goes on stopping."""
    if status(job) is not Status.TERMINATING:
        await _stop(front, job)
    await _settled(front, job)


@routes.post("/migration-task/batch-stop", name="BatchStopMigrationTasks", response_model_exclude_none=True)
async def stop_many(front: FrontDep, request: Request, project_id: str, body: bodies.TaskIds) -> answers.Outcomes:
    """Stop tasks. Each has its own outcome."""
    language = chosen(request.headers.get("x-language"))
    outcomes = [await _try(front, project_id, id, _stop, language) for id in dict.fromkeys(body.migration_tasks)]
    return answers.Outcomes(migration_tasks=outcomes)


@routes.post(
    "/migration-tasks/batch-restart", name="BatchRestartOnlineMigrationTasks", response_model_exclude_none=True
)
async def restart_many(
    front: FrontDep, request: Request, project_id: str, body: bodies.TaskIds
) -> answers.Outcomes:
    """Let stopped tasks begin anew and failed ones go on. Each has its own outcome."""
    language = chosen(request.headers.get("x-language"))
    outcomes = [
        await _try(front, project_id, id, _restart, language) for id in dict.fromkeys(body.migration_tasks)
    ]
    return answers.Outcomes(migration_tasks=outcomes)


@routes.delete("/migration-tasks/delete", name="DeleteMigrationTask")
async def delete_many(front: FrontDep, project_id: str, body: bodies.DeleteTasks) -> answers.Deleted:
    """Delete tasks that do not run; if one of them does, none is deleted. Unknown ids are passed over."""
    jobs = [job for id in dict.fromkeys(body.task_id_list) if (job := await _known(front, project_id, id))]
    if any(status(job) in MIGRATING for job in jobs):
        raise Told("DCS.4957")
    await _end_halfway(front, [job for job in jobs if imports(job)])
    for job in jobs:
        await front.desk.delete(job, forced=True)
    return answers.Deleted(task_id_list=body.task_id_list)


@routes.get("/jobs/{job_id}", name="ShowJobInfo")
async def show_job(front: FrontDep, project_id: str, job_id: str) -> answers.JobInfo:
    """How the creation of an online migration task went. It is done when it is answered."""
    if not bodies.is_id(job_id):
        raise Told("DCS.4070")
    job = await _task(front, project_id, _mirrored(job_id.replace("-", "")))
    done = str(job.created_ms)
    return answers.JobInfo(
        job_id=job_id, job_type="createMigrationTask", status="SUCCESS", begin_time=done, end_time=done
    )


@routes.post("/migration-task/{task_id}/exchange-ip", name="ExchangeInstanceIp", openapi_extra=REFUSED)
async def exchange(job: TaskDep, body: bodies.Exchange) -> answers.Task:
    """Refused (DCS.4027): addresses are the network's, not Sterna's."""
    raise Told("DCS.4027")


@routes.post("/migration-task/{task_id}/rollback-ip", name="RollbackExchangeInstanceIp", openapi_extra=REFUSED)
async def roll_back(job: TaskDep) -> answers.Task:
    """Refused (DCS.4027), as the exchange is."""
    raise Told("DCS.4027")


async def _started(front: Front, job: Job) -> answers.Started:
    now = await front.store.job(job.id)
    return answers.Started(id=now.id, name=now.name, status=status(now))


async def _cleared(front: Front, job: Job, plan: Plan) -> Job:
    """The job, ready for a new plan: what is stopped halfway on other servers or data is ended there first."""
    halfway = job.condition in (Condition.PAUSED, Condition.FAILED)
    if not halfway or job.wished or (job.plan and moves_the_same(job.plan, plan)):
        return job
    await front.desk.stop(job)
    await _settled(front, job)
    return await front.store.job(job.id)


async def _end_halfway(front: Front, jobs: Sequence[Job]) -> None:
    """Imports that stopped halfway are ended, so that nothing of them stays on their targets; not for ever."""
    halfway = [job for job in jobs if job.condition in (Condition.PAUSED, Condition.FAILED)]
    for job in halfway:
        await front.desk.stop(job)
    await asyncio.gather(*(front.desk.stopped(job, CLEANING_S) for job in halfway))


async def _settled(front: Front, job: Job) -> None:
    if not await front.desk.stopped(job, front.settings.stop_wait_s):
        raise Told("DCS.4017")


async def _stop(front: Front, job: Job) -> None:
    if status(job) not in STOPPABLE:
        raise Told("DCS.4957")
    await front.desk.stop(job)


async def _restart(front: Front, job: Job) -> None:
    if status(job) not in RESTARTABLE:
        raise Told("DCS.4957")
    await front.desk.run(job)


async def _try(
    front: Front, project_id: str, id: str, action: Callable[[Front, Job], Awaitable[None]], language: str
) -> answers.Outcome:
    """Do it to one task of several, and say how it went."""
    try:
        await action(front, await _task(front, project_id, id))
    except Told as told:
        return _failed(id, told, language)
    except Refused as refused:
        return _failed(id, of_refusal(refused), language)
    return answers.Outcome(task_id=id, result="success")


def _failed(id: str, told: Told, language: str) -> answers.Outcome:
    return answers.Outcome(task_id=id, result="failed", error_code=told.shown_code, error_msg=told.text(language))


async def _known(front: Front, project_id: str, id: str) -> Job | None:
    try:
        return await _task(front, project_id, id)
    except Told:
        return None


def _mirrored(id: str) -> str:
    """The id of a task's creation is the task's own, read backwards; no other record of it is needed."""
    return id[::-1]
