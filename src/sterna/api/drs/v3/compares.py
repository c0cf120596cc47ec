"""Comparisons in v3, the older operations: several in a call, results in words."""

from collections.abc import Awaitable, Callable

from sterna.api.drs import compares, tasks
from sterna.api.drs.compares import RESULTS, STAGES, WORDS, OfDatabase, Verdict, kind_of, name_in, target_of
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.times import ms_of, ms_text
from sterna.api.drs.v3 import compares_answers as answers
from sterna.api.drs.v3 import compares_bodies as bodies
from sterna.api.drs.v3.batch import Call, CallDep
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.core.comparison import Compared, Depth, Difference
from sterna.core.errors import NotFound
from sterna.core.job import Job
from sterna.jobs.comparing import ComparisonRun

routes = router()

OLD_WORDS = {Depth.OBJECTS: "object_comparison", Depth.ROWS: "lines", Depth.CONTENTS: "contents"}


@routes.post(
    "/jobs/create-compare-task",
    name="CreateCompareTask",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "ranges of tokens are refused"},
)
async def begin(call: CallDep, body: bodies.Comparisons) -> answers.AllBegun:
    """Compare objects, rows, or both, in the background."""
    job = await tasks.find(call.front, call.project_id, body.job_id)
    answer = answers.AllBegun(job_id=job.id)
    if body.object_level_compare_type:
        answer.object_level_compare_create_result = await _begun(
            call, lambda: compares.begin(call.front, job, Depth.OBJECTS)
        )
    wanted = body.data_level_compare_info
    if wanted:
        answer.data_level_compare_create_result = await _begun(call, lambda: _begin_rows(call, job, wanted))
    return answer


@routes.post("/jobs/query-compare-result", name="ListCompareResult", response_model_exclude_none=True)
async def results(call: CallDep, body: bodies.ResultQuery) -> answers.Results:
    """What comparisons have found so far, and the list of all of the task, newest first."""
    job = await tasks.find(call.front, call.project_id, body.job_id)
    runs = list(reversed(await call.front.desk.comparisons(job)))
    listed = [_listed(run) for run in body.page(runs)]
    return answers.Results(
        job_id=job.id,
        object_level_compare_results=_objects(await _run(call, job, body.object_level_compare_id)),
        line_compare_results=_lines(await _run(call, job, body.line_compare_id), body),
        content_compare_results=_contents(await _run(call, job, body.content_compare_id), body),
        compare_task_list_results=answers.ComparisonList(
            compare_task_list=listed, compare_task_list_count=len(runs)
        ),
    )


async def _begun(call: Call, begin: Callable[[], Awaitable[str]]) -> answers.Begun:
    ids: list[str] = []

    async def work() -> None:
        ids.append(await begin())

    wrong = await call.tried(work())
    if wrong:
        return answers.Begun(error_code=wrong.code, error_msg=wrong.text)
    return answers.Begun(compare_task_id=ids[0])


async def _begin_rows(call: Call, job: Job, wanted: bodies.DataComparison) -> str:
    if wanted.compare_object_infos_with_token:
        raise Told("DRS.M00305.unsupported", "compare_object_infos_with_token")
    depth = WORDS[wanted.compare_type]
    if wanted.conflict_policy == "cancel":
        for run in await call.front.desk.comparisons(job):
            if run.open and run.depth is depth:
                await call.front.desk.cancel_compare(job, run.id)
    only = [
        name
        for it in wanted.compare_object_infos
        for name in compares.names_of(call.front, job, it.db_name, it.table_name)
    ]
    return await compares.begin(call.front, job, depth, only, ms_of(wanted.start_time))


async def _run(call: Call, job: Job, id: str | None) -> ComparisonRun | None:
    """A comparison that is asked for by its id."""
    if id is None:
        return None
    try:
        return await call.front.desk.comparison(job, id)
    except NotFound as missing:
        raise Told("DRS.M00202", "compare_task_id") from missing


def _listed(run: ComparisonRun) -> answers.ListedComparison:
    return answers.ListedComparison(
        compare_task_id=run.id,
        compare_type=OLD_WORDS[run.depth],
        compare_task_status=STAGES[run.stage],
        create_time=ms_text(run.created_ms),
        end_time=ms_text(run.ended_ms) if run.ended_ms else None,
    )


def _trouble(run: ComparisonRun) -> dict[str, str | None]:
    """Why a comparison failed as a whole."""
    failure = run.failure
    return {"error_code": failure.code if failure else None, "error_msg": failure.message if failure else None}


def _objects(run: ComparisonRun | None) -> answers.ObjectResult | None:
    if run is None:
        return None
    return answers.ObjectResult(
        compare_task_id=run.id,
        object_compare_overview=[_object_overview(kind, both) for kind, both in (run.objects or {}).items()],
        object_compare_details=_object_details(run),
        **_trouble(run),
    )


def _object_overview(kind: str, both: tuple[int, int]) -> answers.ObjectOverview:
    different = abs(both[0] - both[1])
    return answers.ObjectOverview(
        object_type=kind_of(kind),
        object_compare_result=RESULTS[Verdict.DIFFERENT if different else Verdict.SAME],
        source_count=both[0],
        target_count=both[1],
        diff_count=different,
    )


def _object_details(run: ComparisonRun) -> dict[str, list[answers.ObjectDetail]]:
    """By kind: the tables that were compared, and what is missing of other kinds."""
    details: dict[str, list[answers.ObjectDetail]] = {}
    for table in run.tables:
        details.setdefault("TABLE", []).append(
            answers.ObjectDetail(
                source_db_name=table.name.path[0],
                target_db_name=target_of(table)[0],
                source_db_value=name_in(table.name.path),
                target_db_value=name_in(target_of(table)),
                error_message=table.trouble or None,
            )
        )
    for each in run.differences:
        details.setdefault("DIFFERENCE", []).append(_missing(each))
    return details


def _missing(each: Difference) -> answers.ObjectDetail:
    database, _, name = each.name.partition(".")
    here = each.kind != "extra"
    return answers.ObjectDetail(
        source_db_name=database,
        target_db_name=database,
        source_db_value=(name or database) if here else None,
        target_db_value=None if here else (name or database),
        error_message=f"{each.kind}: {each.detail}" if each.detail else each.kind,
    )


def _lines(run: ComparisonRun | None, asked: bodies.ResultQuery) -> answers.LineResult | None:
    if run is None:
        return None
    found = compares.databases(run)
    return answers.LineResult(
        compare_task_id=run.id,
        line_compare_overview=[
            answers.LineOverview(
                source_db_name=it.source, target_db_name=it.target, line_compare_result=RESULTS[it.verdict]
            )
            for it in asked.page(found)
        ],
        line_compare_overview_count=len(found),
        line_compare_details=[
            answers.LineDetails(
                source_db_name=it.source,
                line_compare_detail=[_line(table) for table in asked.page(list(it.tables))],
                line_compare_detail_count=len(it.tables),
            )
            for it in asked.page(found)
        ],
        **_trouble(run),
    )


def _line(table: Compared) -> answers.LineDetail:
    return answers.LineDetail(
        source_table_name=name_in(table.name.path),
        target_table_name=name_in(target_of(table)),
        source_row_num=max(0, table.source_rows),
        target_row_num=max(0, table.target_rows),
        diff_row_num=table.different,
        line_compare_result=RESULTS[compares.verdict_of(table)],
        message=table.trouble or None,
    )


def _contents(run: ComparisonRun | None, asked: bodies.ResultQuery) -> answers.ContentResult | None:
    if run is None:
        return None
    found = compares.databases(run)
    return answers.ContentResult(
        compare_task_id=run.id,
        content_compare_overview=[
            answers.ContentOverview(
                source_db_name=it.source, target_db_name=it.target, content_compare_result=RESULTS[it.verdict]
            )
            for it in asked.page(found)
        ],
        content_compare_overview_count=len(found),
        content_compare_details=[_content_details(it, asked) for it in asked.page(found)],
        content_compare_diffs=asked.page([it for table in run.tables for it in _content_differences(run, table)]),
        **_trouble(run),
    )


def _content_details(of: OfDatabase, asked: bodies.ResultQuery) -> answers.ContentDetails:
    compared = [_content(table) for table in of.tables if not table.trouble]
    left = [_content(table) for table in of.tables if table.trouble]
    return answers.ContentDetails(
        source_db_name=of.source,
        content_compare_detail=asked.page(compared),
        content_compare_detail_count=len(compared),
        content_uncompare_detail=asked.page(left),
        content_uncompare_detail_count=len(left),
    )


def _content(table: Compared) -> answers.ContentDetail:
    result = RESULTS[compares.verdict_of(table)]
    same_count = table.source_rows == table.target_rows
    return answers.ContentDetail(
        source_db_name=table.name.path[0],
        target_db_name=target_of(table)[0],
        source_table_name=name_in(table.name.path),
        target_table_name=name_in(target_of(table)),
        source_row_num=max(0, table.source_rows),
        target_row_num=max(0, table.target_rows),
        diff_row_num=table.different,
        line_compare_result=RESULTS[Verdict.SAME if same_count else Verdict.DIFFERENT],
        content_compare_result=result,
        message=table.trouble or None,
    )


def _content_differences(run: ComparisonRun, table: Compared) -> list[answers.ContentDifferences]:
    """The rows of a table that differ; none, if none does."""
    found = compares.differences_of(run, table)
    if not found:
        return []
    rows = [compares.keys_of(each, table) for each in found]
    return [
        answers.ContentDifferences(
            source_db_name=table.name.path[0],
            source_table_name=name_in(table.name.path),
            content_compare_diff=[
                answers.ContentDifference(source_key_value=source, target_key_value=target)
                for source, target in rows
            ],
            content_compare_diff_count=len(rows),
        )
    ]
