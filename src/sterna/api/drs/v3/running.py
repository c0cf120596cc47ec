"""The life of tasks in v3: checking, starting, pausing, going on, ending, deleting."""

from collections.abc import Awaitable, Callable

from sterna.api.drs import prechecks, tasks, verbs
from sterna.api.drs.actions import Action, check
from sterna.api.drs.facts import facts_of
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.times import ms_of
from sterna.api.drs.v3 import answers, running_answers
from sterna.api.drs.v3 import running_bodies as bodies
from sterna.api.drs.v3.batch import Call, CallDep, outcomes
from sterna.api.drs.v3.bodies import TaskIds
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.job import Job

routes = router()

Verb = Callable[[Front, Job], Awaitable[None]]

ENDS: dict[str, Verb] = {
    "terminate": verbs.terminate,
    "force_terminate": verbs.force,
    "delete": verbs.delete,
}


@routes.post("/jobs/batch-precheck", name="BatchCheckJobs", response_model_exclude_none=True)
async def begin_checks(call: CallDep, body: bodies.Checks) -> running_answers.ChecksBegun:
    """Check tasks in the background."""
    results = [await _begun(call, it.job_id) for it in body.jobs]
    return running_answers.ChecksBegun(results=results, count=len(results))


@routes.post("/jobs/batch-precheck-result", name="BatchCheckResults", response_model_exclude_none=True)
async def check_reports(call: CallDep, body: TaskIds) -> running_answers.CheckReports:
    """What the last checks have found so far."""
    results = [await _report(call, id) for id in body.jobs]
    return running_answers.CheckReports(count=len(results), results=results)


@routes.post("/jobs/batch-starting", name="BatchStartJobs", status_code=202, response_model_exclude_none=True)
async def start(call: CallDep, body: bodies.Starts) -> answers.Outcomes:
    """Start tasks, at once or at a time."""

    async def one(it: bodies.ToStart) -> None:
        job = await tasks.find(call.front, call.project_id, it.job_id)
        await verbs.start(call.front, job, ms_of(it.start_time), verbs.BUSY)

    return outcomes([await call.outcome(it.job_id, one(it)) for it in body.jobs])


@routes.post("/jobs/batch-pause-task", name="BatchStopJobs", response_model_exclude_none=True)
async def pause(call: CallDep, body: bodies.Pauses) -> answers.Outcomes:
    """Pause tasks."""
    return outcomes([await call.outcome(it.job_id, _do(call, it.job_id, verbs.pause)) for it in body.jobs])


@routes.post(
    "/jobs/batch-retry-task",
    name="BatchRestoreTask",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "is_sync_re_edit is refused: objects are not edited after the start"},
)
async def retry(call: CallDep, body: bodies.Retries) -> answers.Outcomes:
    """Let tasks that are paused or have failed go on."""

    async def one(it: bodies.ToRetry) -> None:
        job = await tasks.find(call.front, call.project_id, it.job_id)
        if it.is_sync_re_edit:
            raise Told("DRS.M00401", facts_of(job).engine_type)
        await verbs.retry(call.front, job)

    return outcomes([await call.outcome(it.job_id, one(it)) for it in body.jobs])


@routes.delete("/jobs/batch-jobs", name="BatchDeleteJobs", status_code=202, response_model_exclude_none=True)
async def end(call: CallDep, body: bodies.Ends) -> answers.Outcomes:
    """End tasks, or delete those that have ended.

    ``terminate`` first carries over what is still missing on the target, ``force_terminate`` does not.
    """
    return outcomes(
        [await call.outcome(it.job_id, _do(call, it.job_id, ENDS[it.delete_type])) for it in body.jobs]
    )


@routes.post(
    "/jobs/batch-switchover",
    name="BatchSwitchover",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "each task is refused: there is no disaster recovery here"},
)
async def switch(call: CallDep, body: bodies.Switches) -> running_answers.AllSwitched:
    """Swap the sides of tasks of disaster recovery, of which there are none."""
    results = [await _switched(call, id) for id in body.jobs]
    return running_answers.AllSwitched(results=results, count=len(results))


async def _do(call: Call, id: str, verb: Verb) -> None:
    await verb(call.front, await tasks.find(call.front, call.project_id, id))


async def _begun(call: Call, id: str) -> running_answers.CheckBegun:
    async def work() -> None:
        job = await tasks.find(call.front, call.project_id, id)
        check(job, Action.PRECHECK, call.front.desk.clock(), verbs.BUSY)
        await prechecks.begin(call.front, job)

    wrong = await call.tried(work())
    if wrong:
        return running_answers.CheckBegun(id=id, status="failed", error_code=wrong.code, error_msg=wrong.text)
    return running_answers.CheckBegun(id=id, status="success", precheck_id=id)


async def _report(call: Call, id: str) -> running_answers.CheckReport:
    try:
        job = await tasks.find(call.front, call.project_id, id)
        report = await prechecks.report(call.front, job)
        if report is None:
            raise Told("DRS.M00002")
    except Told as told:
        wrong = call.wrong(told)
        return running_answers.CheckReport(precheck_id=id, error_code=wrong.code, error_msg=wrong.text)
    return running_answers.CheckReport(
        precheck_id=id,
        result=report.passed,
        process=f"{report.percent}%",
        total_passed_rate=f"{report.passed_percent}%",
        rds_instance_id=_instance(job),
        job_direction=facts_of(job).job_direction,
        precheck_result=[
            running_answers.CheckItem(
                item=it.item,
                result=it.result,
                data=it.data,
                group=it.group,
                failed_reason=it.failed_reason or None,
            )
            for it in report.items
        ],
    )


def _instance(job: Job) -> str | None:
    """The cloud's own side."""
    plan = tasks.plan(job)
    cloud = plan.source if facts_of(job).job_direction == "down" else plan.target
    return cloud.instance_id or None


async def _switched(call: Call, id: str) -> running_answers.Switched:
    try:
        await tasks.find(call.front, call.project_id, id)
        raise Told("DRS.M00304")
    except Told as told:
        wrong = call.wrong(told)
        return running_answers.Switched(job_id=id, error_code=wrong.code, error_msg=wrong.text)
