"""Tasks of v3 as a whole: creating them, looking at them, finding them."""

from fastapi import Request
from fastapi.responses import JSONResponse

from sterna.api.drs import tasks
from sterna.api.drs.facts import Facts
from sterna.api.drs.moments import moments_of
from sterna.api.drs.states import Status, status
from sterna.api.drs.times import ms_text
from sterna.api.drs.v3 import answers, bodies, views
from sterna.api.drs.v3.batch import Call, CallDep
from sterna.api.drs.v3.finding import matching, page
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.api.front import front_of

routes = router()


def worker_of(request: Request) -> str:
    """The address from which databases are reached, as far as known."""
    server = request.scope.get("server") or ("127.0.0.1", 0)
    return front_of(request).settings.worker_address or str(server[0])


@routes.post("/jobs/batch-creation", name="BatchCreateJobs", status_code=202, response_model_exclude_none=True)
async def create(call: CallDep, body: bodies.NewTasks) -> answers.CreatedTasks:
    """Create tasks, which then wait to be configured."""
    results = [await _created(call, it) for it in body.jobs]
    return answers.CreatedTasks(results=results, count=len(results))


@routes.post("/jobs/batch-detail", name="BatchListJobDetails", response_model_exclude_none=True)
async def details(call: CallDep, request: Request, body: bodies.TaskIdsPaged) -> answers.TaskDetails:
    """Tasks in full. If there is none of them, the answer is a refusal that names each."""
    worker = worker_of(request)
    found = [await _detail(call, id, worker) for id in body.asked()]
    answer = answers.TaskDetails(count=len(found), results=found)
    if all(it.status is None for it in found):
        return _none_of_them(answer)  # type: ignore[return-value]
    return answer


@routes.post("/jobs/batch-status", name="BatchListJobStatus", response_model_exclude_none=True)
async def statuses(call: CallDep, body: bodies.TaskIdsPaged) -> answers.TaskStatuses:
    """The status of tasks."""
    results = [await _status(call, id) for id in body.asked()]
    return answers.TaskStatuses(results=results, count=len(results))


@routes.post("/jobs", name="ShowJobList", response_model_exclude_none=True)
async def find(call: CallDep, body: bodies.Find) -> answers.FoundTasks:
    """The project's tasks that pass all filters, newest first."""
    now_ms = call.front.desk.clock()
    meant = matching(body, now_ms)
    found = [job for job in await tasks.all_of(call.front, call.project_id) if meant(job)]
    rows = [views.listed(job, now_ms) for job in page(body, found)]
    return answers.FoundTasks(jobs=rows, total_record=len(found))


async def _created(call: Call, wanted: bodies.NewTask) -> answers.Created:
    made = []

    async def make() -> None:
        made.append(
            await tasks.create(
                call.front,
                call.project_id,
                wanted.name,
                wanted.description,
                _facts(wanted),
                wanted.source_endpoint.said(),
                wanted.target_endpoint.said(),
            )
        )

    wrong = await call.tried(make())
    if wrong:
        failed = Status.CREATE_FAILED
        return answers.Created(id="", name=wanted.name, status=failed, error_code=wrong.code, error_msg=wrong.text)
    job = made[0]
    return answers.Created(id=job.id, name=job.name, status=Status.CREATING, create_time=ms_text(job.created_ms))


def _facts(wanted: bodies.NewTask) -> Facts:
    if wanted.multi_write:
        raise Told("DRS.M00302.multi")
    sides = (wanted.target_endpoint, wanted.source_endpoint)
    cloud = sides[0] if wanted.job_direction == "up" else sides[1]
    return Facts(
        db_use_type=wanted.db_use_type,
        engine_type=wanted.engine_type,
        task_type=wanted.task_type,
        job_direction=wanted.job_direction,
        net_type=wanted.net_type,
        node_type=wanted.node_type,
        node_num=wanted.node_num,
        subnet_id=wanted.customize_sutnet_id,
        vpc_id=cloud.vpc_id or "",
        security_group_id=cloud.security_group_id or "",
        is_target_readonly=wanted.is_target_readonly,
        bind_eip=wanted.bind_eip,
        is_open_fast_clean=wanted.is_open_fast_clean,
        expired_days=wanted.expired_days,
        enterprise_project_id=wanted.sys_tags[0].value if wanted.sys_tags else "0",
        charging_mode=wanted.charging_mode,
        master_az=wanted.master_az,
        slave_az=wanted.slave_az,
        tags=tuple({"key": tag.key, "value": tag.value} for tag in wanted.tags),
    )


async def _detail(call: Call, id: str, worker: str) -> answers.TaskDetail:
    try:
        job = await tasks.find(call.front, call.project_id, id)
    except Told as told:
        wrong = call.wrong(told)
        return answers.TaskDetail(id=id, error_code=wrong.code, error_message=wrong.text)
    return views.detail(job, await moments_of(call.front.store, job), worker, call.front.desk.clock())


async def _status(call: Call, id: str) -> answers.TaskStatus:
    """A task that was deleted has a status too: clients wait for it."""
    try:
        job = await tasks.find_any(call.front, call.project_id, id)
    except Told as told:
        wrong = call.wrong(told)
        return answers.TaskStatus(id=id, error_code=wrong.code, error_message=wrong.text)
    return answers.TaskStatus(id=id, status=status(job, call.front.desk.clock()))


def _none_of_them(answer: answers.TaskDetails) -> JSONResponse:
    """Clients read the code of the first result, others that of the whole answer."""
    first = answer.results[0]
    whole = {"error_code": first.error_code, "error_msg": first.error_message}
    return JSONResponse(answer.model_dump(exclude_none=True) | whole, 400)
