"""How far tasks of v3 are, and what there is to choose from."""

from typing import Annotated

from fastapi import Query

from sterna.api.drs import tasks
from sterna.api.drs.compares import latest, target_of
from sterna.api.drs.facts import facts_of
from sterna.api.drs.fields import Body, Text
from sterna.api.drs.figures import Figures, figures
from sterna.api.drs.links import link_of
from sterna.api.drs.moments import moments_of
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.states import status
from sterna.api.drs.times import local_text, ms_text
from sterna.api.drs.v3 import watching_answers as answers
from sterna.api.drs.v3.batch import Call, CallDep, Wrong
from sterna.api.drs.v3.bodies import Direction, JobDirection, TaskIds, TaskIdsPaged, Use
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.api.front import IdentityDep
from sterna.core.comparison import Depth
from sterna.core.job import Condition, Job
from sterna.core.progress import Progress

routes = router()

MOST_TASKS = 9999
SIZES = ("micro", "small", "medium", "high", "xlarge", "2xlarge")

_KINDS = {
    "schemas": "schema",
    "tables": "table",
    "views": "view",
    "indexes": "table_indexs",
    "functions": "function",
    "databases": "database",
}
"""Kinds of objects as our comparisons call them, and as structures are listed."""


class ZoneQuery(Body):
    """Where a task could be."""

    engine_type: Text
    db_use_type: Use
    job_direction: JobDirection
    node_type: Text
    multi_write: Text | bool = False


@routes.post("/jobs/batch-progress", name="BatchListProgresses", response_model_exclude_none=True)
async def progresses(call: CallDep, body: TaskIds) -> answers.TaskProgresses:
    """How far tasks are."""
    results = [await _progress(call, id) for id in body.jobs]
    return answers.TaskProgresses(count=len(results), results=results)


@routes.post(
    "/jobs/batch-rpo-and-rto", name="BatchListRposAndRtos", status_code=202, response_model_exclude_none=True
)
async def objectives(call: CallDep, body: TaskIds) -> answers.AllObjectives:
    """How far the targets are behind."""
    results = [await _objectives(call, id) for id in body.jobs]
    return answers.AllObjectives(count=len(results), results=results)


@routes.post(
    "/jobs/batch-struct-process",
    name="BatchListStructProcess",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "counts are those of the last comparison of objects"},
)
async def structs(call: CallDep, body: TaskIds) -> answers.Structs:
    """How many objects of each kind there are on both sides."""
    results = [await _struct(call, id) for id in body.jobs]
    return answers.Structs(results=results, count=len(results))


@routes.post(
    "/jobs/{type}/batch-struct-detail",
    name="BatchListStructDetail",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "databases and tables, as the last comparison has seen them"},
)
async def struct_details(call: CallDep, type: str, body: TaskIdsPaged) -> answers.StructDetails:
    """Which objects of a kind there are on both sides."""
    results = [await _struct_detail(call, id, type) for id in body.asked()]
    return answers.StructDetails(results=results, count=len(results))


@routes.post(
    "/jobs/disaster-recovery-monitoring-data", name="ShowMonitoringData", response_model_exclude_none=True
)
async def monitor(call: CallDep, body: TaskIds) -> answers.AllMonitored:
    """Figures of the moment."""
    results = [await _monitored(call, id) for id in body.jobs]
    return answers.AllMonitored(results=results, count=len(results))


@routes.get("/quotas", name="ShowQuotas")
async def quotas(call: CallDep) -> answers.Quotas:
    """How many tasks there are, and how many there may be."""
    used = len(await tasks.all_of(call.front, call.project_id))
    resource = answers.Resource(max=MOST_TASKS, quota=MOST_TASKS, used=used)
    return answers.Quotas(quotas=answers.Quota(resource=resource))


@routes.get("/node-type", name="ListAvailableNodeTypes")
@routes.get("/node_type", name="ListAvailableNodeTypesOfOldSamples", include_in_schema=False)
async def node_types(
    call: CallDep,
    engine_type: Annotated[str, Query(min_length=1, max_length=64)],
    db_use_type: Use,
    job_direction: Direction,
) -> answers.NodeTypes:
    """The sizes that a task may be said to have. They are kept, and change nothing."""
    link_of(engine_type, db_use_type, call.front.desk.engines)
    return answers.NodeTypes(node_types=[answers.NodeType(node_type=size) for size in SIZES])


@routes.post("/available-zone", name="ListAvailableZone")
async def zones(call: CallDep, identity: IdentityDep, body: ZoneQuery) -> answers.Zones:
    """The one place where tasks are: this service."""
    link_of(body.engine_type, body.db_use_type, call.front.desk.engines)
    region = next((it.name for it in identity.projects if it.id == call.project_id), "")
    return answers.Zones(az_infos=[answers.Zone(code=f"{region}a", name=f"{region}a")])


async def _found(call: Call, id: str) -> Job | Wrong:
    try:
        return await tasks.find(call.front, call.project_id, id)
    except Told as told:
        return call.wrong(told)


async def _seen(call: Call, job: Job) -> tuple[Progress, Figures]:
    progress = await call.front.desk.progress(job)
    return progress, figures(job, progress, call.front.desk.clock())


async def _progress(call: Call, id: str) -> answers.TaskProgress:
    job = await _found(call, id)
    if isinstance(job, Wrong):
        return answers.TaskProgress(job_id=id, error_code=job.code, error_msg=job.text)
    _, seen = await _seen(call, job)
    return answers.TaskProgress(
        job_id=id,
        progress=str(seen.percent),
        incre_trans_delay=_seconds(seen.lag_ms),
        incre_trans_delay_millis=str(seen.lag_ms),
        task_mode=facts_of(job).task_type,
        transfer_status=status(job, call.front.desk.clock()),
        process_time=ms_text(seen.at_ms),
        remaining_time=str(max(0, seen.remaining_s)),
        progress_map=_parts(seen),
        apply_rows_rate=seen.rows_per_s,
        apply_bytes_rate=seen.bytes_per_s,
    )


def _parts(seen: Figures) -> dict[str, answers.Part]:
    percents = {"struct": seen.struct_percent, "data": seen.percent, "index": seen.index_percent}
    return {name: answers.Part(completed=f"{percent}%") for name, percent in percents.items()}


def _seconds(ms: int) -> str:
    return "-1" if ms < 0 else str(ms // 1000)


async def _objectives(call: Call, id: str) -> answers.Objectives:
    job = await _found(call, id)
    if isinstance(job, Wrong):
        return answers.Objectives(job_id=id, error_code=job.code, error_msg=job.text)
    _, seen = await _seen(call, job)
    point = await _point(call, job)
    at_ms = seen.at_ms or call.front.desk.clock()
    objective = answers.Objective(check_point=point, delay=_seconds(seen.lag_ms), time=local_text(at_ms))
    return answers.Objectives(job_id=id, rpo_info=objective, rto_info=objective)


async def _point(call: Call, job: Job) -> str:
    """How far the changes are applied, in the engine's own words."""
    return await call.front.store.position(job.id, "follow") or ""


async def _struct(call: Call, id: str) -> answers.Struct:
    job = await _found(call, id)
    if isinstance(job, Wrong):
        return answers.Struct(job_id=id, error_code=job.code, error_message=job.text)
    run = await latest(call.front, job, Depth.OBJECTS, Depth.ROWS, Depth.CONTENTS)
    counts = (run.objects if run else None) or {}
    began = (await moments_of(call.front.store, job)).started_ms
    rows = [
        answers.StructKind(
            type=_KINDS.get(kind, kind.rstrip("s").replace(" ", "_")),
            status=2,
            src_count=both[0],
            dst_count=both[1],
            start_time=began,
            end_time=run.ended_ms or None if run else None,
        )
        for kind, both in counts.items()
    ]
    made = ms_text(run.created_ms if run else call.front.desk.clock())
    return answers.Struct(job_id=id, struct_process=answers.StructPart(create_time=made, result=rows))


async def _struct_detail(call: Call, id: str, kind: str) -> answers.StructDetail:
    job = await _found(call, id)
    if isinstance(job, Wrong):
        return answers.StructDetail(job_id=id, error_code=job.code, error_message=job.text)
    run = await latest(call.front, job, Depth.ROWS, Depth.CONTENTS)
    rows = []
    for table in run.tables if run and kind in ("table", "database") else ():
        target = target_of(table)
        names = (table.name.path[0], ".".join(table.name.path[1:]), target[0], ".".join(target[1:]))
        if kind == "database":
            names = (names[0], names[0], names[2], names[2])
        row = answers.StructRow(progress=100, src_DB=names[0], src_TB=names[1], dst_DB=names[2], dst_TB=names[3])
        rows.append(row)
    distinct = list({(it.src_DB, it.src_TB): it for it in rows}.values())
    made = ms_text(run.created_ms if run else call.front.desk.clock())
    found = answers.StructList(total_record=len(distinct), create_time=made, list=distinct)
    return answers.StructDetail(job_id=id, struct_detail=found)


async def _monitored(call: Call, id: str) -> answers.Monitored:
    job = await _found(call, id)
    if isinstance(job, Wrong):
        return answers.Monitored(id=id, error_code=job.code, error_msg=job.text)
    progress, seen = await _seen(call, job)
    point = await _point(call, job) or "N/A"
    well = job.condition is Condition.RUNNING
    return answers.Monitored(
        id=id,
        data_guard_minitor=answers.Monitor(
            dst_delay=seen.lag_ms,
            dst_normal=well,
            dst_offset=point,
            dst_rps=str(seen.rows_per_s),
            node_offset=point,
            sr_delay=seen.lag_ms,
            sr_offset=point,
            src_normal=well,
            src_rps=str(seen.rows_per_s),
            trans_inMB=str((progress.bytes + progress.change_bytes) >> 20),
            trans_lines=str(progress.rows + progress.changes),
            migration_bytes_per_second=seen.bytes_per_s,
        ),
    )
