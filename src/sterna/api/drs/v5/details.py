"""The kinds of detail of a task: each fills one block beside its id and status."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from sterna.api.drs import prechecks
from sterna.api.drs.v5 import compared, views
from sterna.api.drs.v5.finding import LARGEST_OFFSET, LARGEST_PAGE, query
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.comparison import Depth
from sterna.core.job import Job
from sterna.jobs.comparing import ComparisonRun

Json = dict[str, Any]

Kind = Literal[
    "overview", "detail", "network", "precheck", "progress", "log", "compare", "file", "is_writable",
    "cloud_connection", "diagnosis", "diagnosis_history", "repair_progress", "repair_detail",
    "repair_export_status", "db_table_details",
]  # fmt: skip

CompareType = Literal["object_compare", "line_compare", "content_compare", "data_compare", ""]
QueryType = Literal["overview", "list", "detail", "diff", "upgradeJob", ""]


class Wanted(BaseModel):
    """Which detail, and which part of it."""

    type: Kind
    query_id: Annotated[str, Field(max_length=64)] = ""
    offset: Annotated[int, Field(ge=0, le=LARGEST_OFFSET)] = 0
    limit: Annotated[int, Field(ge=0, le=LARGEST_PAGE)] = 10
    compare_type: CompareType = ""
    query_type: QueryType = ""
    object_type: Annotated[str, Field(max_length=64)] = ""
    compare_task_id: Annotated[str, Field(max_length=64)] = ""
    source_db_name: Annotated[str, Field(max_length=256)] = ""
    target_db_name: Annotated[str, Field(max_length=256)] = ""
    compare_detail_type: Annotated[str, Field(max_length=64)] = ""
    log_level: Annotated[str, Field(max_length=16)] = ""

    @field_validator("offset", "limit", mode="before")
    @classmethod
    def _empty_is_usual(cls, value: object, info: Any) -> object:
        return cls.model_fields[info.field_name].default if value == "" else value


async def shown(front: Front, job: Job, wanted: Wanted) -> Json:
    """A task's head, and the block that is asked for. Raises Told."""
    show = _SHOWS.get(wanted.type)
    if show is None:
        raise Told("DRS.10000001.unsupported", f"ShowJobDetail type={wanted.type}")
    return views.head(job, front.desk.clock()) | await show(front, job, wanted)


async def _detail(front: Front, job: Job, wanted: Wanted) -> Json:
    return views.detail(job)


async def _overview(front: Front, job: Job, wanted: Wanted) -> Json:
    progress = views.progress_info(job, await front.desk.progress(job), front.desk.clock())
    return {"base_info": views.base_info(job), "progress_info": progress}


async def _network(front: Front, job: Job, wanted: Wanted) -> Json:
    found = await query(front, job, wanted.query_id, "network")
    return {"network_results": found.get("results", [])}


async def _precheck(front: Front, job: Job, wanted: Wanted) -> Json:
    if wanted.query_id:
        await query(front, job, wanted.query_id, "precheck")
    report = await prechecks.report(front, job)
    items = report.items if report else ()
    page = items[wanted.offset : wanted.offset + wanted.limit] if _paged(wanted) else items
    return {"precheck_result": views.precheck_result(job, report, page), "total_count": len(items)}


def _paged(wanted: Wanted) -> bool:
    return bool({"offset", "limit"} & wanted.model_fields_set)


async def _progress(front: Front, job: Job, wanted: Wanted) -> Json:
    return {"progress_info": views.progress_info(job, await front.desk.progress(job), front.desk.clock())}


async def _log(front: Front, job: Job, wanted: Wanted) -> Json:
    word = wanted.log_level.lower()
    if word and word not in views.LEVELS:
        raise Told("DRS.M00202", "log_level")
    level = views.LEVELS[word] if word else None
    count, events = await front.store.events(job.id, level=level, offset=wanted.offset, limit=wanted.limit)
    return {"logs": [views.log_row(event) for event in events], "total_count": count}


async def _is_writable(front: Front, job: Job, wanted: Wanted) -> Json:
    """The target was never set read-only, so it is writable."""
    await query(front, job, wanted.query_id, "is_writable")
    return {"is_writable": "success"}


async def _file(front: Front, job: Job, wanted: Wanted) -> Json:
    """Whether objects can be chosen by a file: they cannot, here."""
    return {"support_import_file_resp": {"file_size": "0", "previous_select": ""}}


# Comparisons and repairs.


async def _compare(front: Front, job: Job, wanted: Wanted) -> Json:
    runs = await front.desk.comparisons(job)
    rows = _COMPARED[wanted.compare_type or "data_compare"](runs_of(runs, wanted), wanted)
    return {"compare_result": _paged_block(rows, wanted)} | _counted(rows)


def runs_of(runs: Any, wanted: Wanted) -> list[ComparisonRun]:
    """The comparisons that are asked for, newest first. Raises Told for an id that is none's."""
    found = [run for run in runs if wanted.compare_task_id in ("", run.id)]
    if wanted.compare_task_id and not found:
        raise Told("DRS.M00202", "compare_task_id")
    return found[::-1]


def _of_objects(runs: list[ComparisonRun], wanted: Wanted) -> Json:
    run = compared.chosen(runs[::-1], Depth.OBJECTS, wanted.compare_task_id)
    if wanted.query_type == "detail":
        return {"objects_compare_detail_infos": compared.objects_detail(run)}
    return {"objects_compare_overview_info": compared.objects_overview(run)}


def _of_lines(runs: list[ComparisonRun], wanted: Wanted) -> Json:
    run = compared.chosen(runs[::-1], Depth.ROWS, wanted.compare_task_id)
    if wanted.query_type == "list":
        return _tasks(runs, wanted)
    if wanted.query_type == "detail":
        return {"line_compare_detail_infos": compared.lines_detail(run, wanted.source_db_name)}
    return {"line_compare_overview_infos": compared.lines_overview(run)}


def _of_contents(runs: list[ComparisonRun], wanted: Wanted) -> Json:
    run = compared.chosen(runs[::-1], Depth.CONTENTS, wanted.compare_task_id)
    if wanted.query_type == "list":
        return _tasks(runs, wanted)
    if wanted.query_type == "detail":
        return {"content_compare_detail_infos": compared.contents_detail(run, wanted.source_db_name)}
    if wanted.query_type == "diff":
        return {"content_diff_detail_info": compared.differences(run, wanted.offset, wanted.limit)}
    return {"content_compare_overview_infos": compared.contents_overview(run)}


def _tasks(runs: list[ComparisonRun], wanted: Wanted) -> Json:
    return {"data_compare_task_list": [compared.task(run) for run in runs]}


_COMPARED: Mapping[str, Callable[[list[ComparisonRun], Wanted], Json]] = {
    "object_compare": _of_objects,
    "line_compare": _of_lines,
    "content_compare": _of_contents,
    "data_compare": _tasks,
}


def _paged_block(rows: Json, wanted: Wanted) -> Json:
    end = wanted.offset + wanted.limit
    return {name: it[wanted.offset : end] if isinstance(it, list) else it for name, it in rows.items()}


def _counted(rows: Json) -> Json:
    (block,) = rows.values()
    return {"total_count": len(block)} if isinstance(block, list) else {}


async def _repair_progress(front: Front, job: Job, wanted: Wanted) -> Json:
    repairs = [run for run in await front.desk.comparisons(job) if run.repair and wanted.query_id in ("", run.id)]
    return {"repair_progress_info": compared.repair_progress(repairs[-1] if repairs else None)}


async def _repair_detail(front: Front, job: Job, wanted: Wanted) -> Json:
    id = wanted.query_id or wanted.compare_task_id
    run = compared.chosen(await front.desk.comparisons(job), Depth.CONTENTS, id)
    return {"repair_detail_info": compared.repair_detail(run, wanted.offset, wanted.limit)}


_SHOWS: Mapping[str, Callable[[Front, Job, Wanted], Awaitable[Json]]] = {
    "overview": _overview,
    "detail": _detail,
    "network": _network,
    "precheck": _precheck,
    "progress": _progress,
    "log": _log,
    "compare": _compare,
    "file": _file,
    "is_writable": _is_writable,
    "repair_progress": _repair_progress,
    "repair_detail": _repair_detail,
}
