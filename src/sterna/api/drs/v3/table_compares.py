"""Comparisons in v3, the newer operations: one task in a call, results in numbers."""

from typing import Annotated

from fastapi import Header, Query, Response

from sterna.api.drs import compares, tasks
from sterna.api.drs.compares import STAGES, WORDS, OfDatabase, Verdict, kind_of, name_in, target_of, verdict_of
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.times import iso, ms_of
from sterna.api.drs.v3 import compares_answers as answers
from sterna.api.drs.v3 import compares_bodies as bodies
from sterna.api.drs.v3.batch import Call, CallDep
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.core.comparison import Compared, Depth, Difference
from sterna.core.errors import IllegalMove, NotFound
from sterna.core.job import Job
from sterna.jobs.comparing import ComparisonRun

routes = router()

Offset = Annotated[int, Query(ge=0, le=2**31 - 1)]
Limit = Annotated[int, Query(ge=1, le=1000)]
Filter = Annotated[str, Query(max_length=1024)]
RegionHeader = Annotated[str, Header(alias="Region", min_length=1, max_length=64)]

_OF_DEPTH = {depth: word for word, depth in WORDS.items()}
_FILES = {"objects_comparison": Depth.OBJECTS, "lines": Depth.ROWS, "contents": Depth.CONTENTS}
_OBJECTS = (Depth.OBJECTS,)
_ROWS = (Depth.ROWS, Depth.CONTENTS)


@routes.post("/jobs/{job_id}/object/compare", name="CreateObjectLevelCompareJob", status_code=202)
async def compare_objects(call: CallDep, job_id: str, body: bodies.ObjectComparison) -> dict[str, str]:
    """Compare objects in the background."""
    await compares.begin(call.front, await _task(call, job_id), Depth.OBJECTS)
    return {}


@routes.get(
    "/jobs/{job_id}/object/compare", name="ListObejectLevelCompareOverview", response_model_exclude_none=True
)
async def object_overview(call: CallDep, job_id: str) -> answers.ObjectComparison:
    """What the last comparison of objects has found so far."""
    run = await compares.latest(call.front, await _task(call, job_id), *_OBJECTS)
    if run is None:
        return answers.ObjectComparison(compare_result=[])
    return answers.ObjectComparison(
        create_time=iso(run.created_ms),
        start_time=iso(run.begun_ms) if run.begun_ms else None,
        status=STAGES[run.stage],
        export_status="INIT",
        report_remain_seconds=-1,
        compare_job_id=run.id,
        error_msg=run.failure.message if run.failure else None,
        compare_result=[
            answers.ObjectCount(
                type=kind_of(kind),
                source_count=both[0],
                target_count=both[1],
                status=Verdict.SAME if both[0] == both[1] else Verdict.DIFFERENT,
            )
            for kind, both in (run.objects or {}).items()
        ],
    )


@routes.get(
    "/jobs/{job_id}/object/compare/{compare_type}",
    name="ListObejectLevelCompareDetail",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "tables by name; of other kinds what is missing"},
)
async def object_pairs(
    call: CallDep,
    job_id: str,
    compare_type: str,
    compare_job_id: Filter = "",
    offset: Offset = 0,
    limit: Limit = 10,
) -> answers.ObjectPairs:
    """Objects of a kind on both sides."""
    job = await _task(call, job_id)
    if compare_job_id:
        run: ComparisonRun | None = await _run(call, job, compare_job_id)
    else:
        run = await compares.latest(call.front, job, *_OBJECTS)
    pairs = _pairs(run, compare_type.upper()) if run else []
    return answers.ObjectPairs(count=len(pairs), compare_detail=pairs[offset : offset + limit])


@routes.post(
    "/jobs/{job_id}/table/compare",
    name="CreateDataLevelTableCompareJob",
    status_code=202,
    openapi_extra={PARTLY: "lines and contents; random samples, tokens and rules are refused"},
)
async def compare_tables(call: CallDep, job_id: str, body: bodies.TableComparison) -> answers.ComparisonId:
    """Compare rows of tables in the background, at once or at a time."""
    job = await _task(call, job_id)
    for field in ("compare_object_with_token", "compare_transformation_infos"):
        if getattr(body, field):
            raise Told("DRS.M00305.unsupported", field)
    if body.type not in WORDS:
        raise Told("DRS.M00305.unsupported", body.type)
    only = [
        name
        for it in body.compare_object
        for name in compares.names_of(call.front, job, it.db_name, it.table_name)
    ]
    id = await compares.begin(call.front, job, WORDS[body.type], only, ms_of(body.start_time))
    return answers.ComparisonId(id=id)


@routes.get("/jobs/{job_id}/table/compare", name="ListDataLevelTableCompareJobs", response_model_exclude_none=True)
async def table_comparisons(
    call: CallDep, job_id: str, offset: Offset = 0, limit: Limit = 10
) -> answers.TableComparisons:
    """All comparisons of rows, newest first."""
    job = await _task(call, job_id)
    runs = [it for it in reversed(await call.front.desk.comparisons(job)) if it.depth in _ROWS]
    listed = [_listed(run) for run in runs[offset : offset + limit]]
    return answers.TableComparisons(compare_jobs=listed, count=len(runs))


@routes.get("/jobs/{job_id}/compare/{compare_job_id}/line-overview", name="ListDataCompareOverview")
async def line_overview(
    call: CallDep,
    job_id: str,
    compare_job_id: str,
    status: int | None = None,
    offset: Offset = 0,
    limit: Limit = 10,
) -> answers.LineOverviews:
    """What a comparison has found so far, by database."""
    found = await _databases(call, job_id, compare_job_id, status)
    rows = [
        answers.DatabaseOverview(source_db_name=it.source, target_db_name=it.target, **_counts(it)) for it in found
    ]
    return answers.LineOverviews(total_count=len(rows), data_compare_overview_infos=rows[offset : offset + limit])


@routes.get("/jobs/{job_id}/compare/{compare_job_id}/line-detail", name="ListDataCompareDetail")
async def line_detail(
    call: CallDep,
    job_id: str,
    compare_job_id: str,
    status: int | None = None,
    db_name: Filter = "",
    target_db_name: Filter = "",
    query_tb_name: Filter = "",
    offset: Offset = 0,
    limit: Limit = 10,
) -> answers.AllTableLines:
    """How many rows tables have on both sides."""
    tables = await _tables(call, job_id, compare_job_id, db_name, target_db_name, query_tb_name)
    rows = [_line(table) for table in tables if status in (None, verdict_of(table))]
    return answers.AllTableLines(
        total_count=len(rows), table_line_compare_result_infos=rows[offset : offset + limit]
    )


@routes.get("/jobs/{job_id}/compare/{compare_job_id}/content-overview", name="ListContentCompareOverview")
async def content_overview(
    call: CallDep, job_id: str, compare_job_id: str, offset: Offset = 0, limit: Limit = 10
) -> answers.AllDatabaseContents:
    """What a comparison of contents has found so far, by database."""
    found = await _databases(call, job_id, compare_job_id, None)
    rows = [answers.DatabaseContents(source_db=it.source, target_db=it.target, **_counts(it)) for it in found]
    return answers.AllDatabaseContents(
        total_count=len(rows), content_compare_result_infos=rows[offset : offset + limit]
    )


@routes.get(
    "/jobs/{job_id}/compare/{compare_job_id}/content-detail",
    name="ListContentCompareDetail",
    response_model_exclude_none=True,
)
async def content_detail(
    call: CallDep,
    job_id: str,
    compare_job_id: str,
    db_name: Filter = "",
    target_db_name: Filter = "",
    type: Filter = "",
    offset: Offset = 0,
    limit: Limit = 10,
) -> answers.AllTableContents:
    """What came of tables: all, or with ``type=uncompared`` those that could not be compared."""
    tables = await _tables(call, job_id, compare_job_id, db_name, target_db_name, "")
    if type:
        tables = [it for it in tables if bool(it.trouble) == type.lower().startswith("un")]
    rows = [_content(table) for table in tables]
    return answers.AllTableContents(
        total_count=len(rows), content_compare_result_infos=rows[offset : offset + limit]
    )


@routes.get("/jobs/{job_id}/compare/{compare_job_id}/content-difference", name="ListContentCompareDifference")
async def content_difference(
    call: CallDep,
    job_id: str,
    compare_job_id: str,
    db_name: Filter = "",
    table_name: Filter = "",
    offset: Offset = 0,
    limit: Limit = 10,
) -> answers.RowDifferences:
    """Rows that differ, by their keys."""
    run = await _run(call, await _task(call, job_id), compare_job_id)
    tables = [it for it in run.tables if _meant(it, db_name, "", table_name)]
    found = [(each, table) for table in tables for each in compares.differences_of(run, table)]
    return answers.RowDifferences(
        count=len(found),
        target_meta_is_null=_kinds(found, "missing"),
        source_meta_is_null=_kinds(found, "extra"),
        source_target_meta_not_null=len(found) - _kinds(found, "missing") - _kinds(found, "extra"),
        contents_infos=[_row(each, table) for each, table in found[offset : offset + limit]],
    )


@routes.delete("/jobs/{job_id}/compare/{compare_job_id}", name="DeleteCompareJob")
async def cancel(call: CallDep, job_id: str, compare_job_id: str) -> dict[str, str]:
    """Give up a comparison. One that has ended stays as it is."""
    job = await _task(call, job_id)
    run = await _run(call, job, compare_job_id)
    if run.open:
        try:
            await call.front.desk.cancel_compare(job, run.id)
        except IllegalMove:
            return {}  # it ended in between, which is what was wanted
    return {}


@routes.post("/jobs/{job_id}/compare/result/file", name="CreateCompareResultFile")
async def make_file(call: CallDep, job_id: str, region: RegionHeader, body: bodies.ResultFile) -> str:
    """Ask for the result of a comparison as a file. It is made when it is fetched."""
    await _of_file(call, job_id, body.compare_type, body.compare_job_id or "")
    return ""


@routes.get("/jobs/{job_id}/compare/result/file", name="DownloadCompareResultFile", response_class=Response)
async def fetch_file(
    call: CallDep, job_id: str, compare_type: Filter = "objects_comparison", compare_job_id: Filter = ""
) -> Response:
    """The result of a comparison as a file of comma-separated values."""
    run = await _of_file(call, job_id, compare_type, compare_job_id)
    headers = {"Content-Disposition": f'attachment; filename="compare-{run.id}.csv"'}
    return Response("\ufeff" + compares.sheet(run), media_type="application/x-download", headers=headers)


async def _task(call: Call, id: str) -> Job:
    return await tasks.find(call.front, call.project_id, id, unknown="DRS.10000010", gone="DRS.10000010")


async def _run(call: Call, job: Job, id: str) -> ComparisonRun:
    try:
        return await call.front.desk.comparison(job, id)
    except NotFound as missing:
        raise Told("DRS.M00202", "compare_job_id") from missing


async def _of_file(call: Call, job_id: str, kind: str, id: str) -> ComparisonRun:
    job = await _task(call, job_id)
    if kind not in _FILES:
        raise Told("DRS.M00202", "compare_type")
    run = await _run(call, job, id) if id else await compares.latest(call.front, job, _FILES[kind])
    if run is None:
        raise Told("DRS.M00202", "compare_type")
    return run


async def _databases(call: Call, job_id: str, id: str, status: int | None) -> list[OfDatabase]:
    run = await _run(call, await _task(call, job_id), id)
    return [it for it in compares.databases(run) if status in (None, it.verdict)]


async def _tables(call: Call, job_id: str, id: str, source: str, target: str, table: str) -> list[Compared]:
    run = await _run(call, await _task(call, job_id), id)
    return [it for it in run.tables if _meant(it, source, target, table)]


def _meant(table: Compared, source: str, target: str, name: str) -> bool:
    return (
        source in ("", table.name.path[0])
        and target in ("", target_of(table)[0])
        and name.lower() in name_in(table.name.path).lower()
    )


def _counts(it: OfDatabase) -> dict[str, int]:
    return {
        "status": it.verdict,
        "compare_num": len(it.tables),
        "compare_end_num": len(it.tables),
        "data_inconsistent_num": it.different,
        "uncomparable_num": it.failed,
    }


def _listed(run: ComparisonRun) -> answers.TableComparison:
    begun = run.begun_ms or run.starts_ms
    return answers.TableComparison(
        id=run.id,
        type=_OF_DEPTH[run.depth],
        start_time=iso(begun) if begun else None,
        end_time=iso(run.ended_ms) if run.ended_ms else None,
        status=STAGES[run.stage],
    )


def _line(table: Compared) -> answers.TableLines:
    return answers.TableLines(
        source_table_name=name_in(table.name.path),
        source_row_num=max(0, table.source_rows),
        target_table_name=name_in(target_of(table)),
        target_row_num=max(0, table.target_rows),
        difference_row_num=table.different,
        status=verdict_of(table),
    )


def _content(table: Compared) -> answers.TableContents:
    verdict = verdict_of(table)
    return answers.TableContents(
        source_db=table.name.path[0],
        target_db=target_of(table)[0],
        source_table_name=name_in(table.name.path),
        target_table_name=name_in(target_of(table)),
        source_row_num=max(0, table.source_rows),
        target_row_num=max(0, table.target_rows),
        difference_row_num=table.different,
        line_compare_result=table.source_rows == table.target_rows,
        content_compare_result=verdict is Verdict.SAME,
        message=table.trouble or None,
        status=verdict,
    )


def _row(each: Difference, table: Compared) -> answers.RowDifference:
    source, target = compares.keys_of(each, table)
    return answers.RowDifference(source_key_value=source, target_key_value=target)


def _kinds(found: list[tuple[Difference, Compared]], kind: str) -> int:
    return sum(each.kind == kind for each, _ in found)


def _pairs(run: ComparisonRun, kind: str) -> list[answers.ObjectPair]:
    if kind == "TABLE" and run.tables:
        return [
            answers.ObjectPair(
                source_db_name=it.name.path[0],
                target_db_name=target_of(it)[0],
                source_db_value=name_in(it.name.path),
                target_db_value=name_in(target_of(it)),
                status=verdict_of(it),
                error_message=it.trouble or None,
            )
            for it in run.tables
        ]
    return [_missing(each) for each in run.differences if _kind_said(each) == kind]


def _kind_said(each: Difference) -> str:
    """The kind of object that a difference is about, as far as it says so."""
    words = each.detail.split(" is not ")[0].removeprefix("the ").strip()
    return kind_of({"index": "indexes", "policy": "policies"}.get(words, f"{words}s"))


def _missing(each: Difference) -> answers.ObjectPair:
    database, _, name = each.name.partition(".")
    return answers.ObjectPair(
        source_db_name=database,
        target_db_name=database,
        source_db_value=name or database,
        status=Verdict.TARGET_MISSING if each.kind == "missing" else Verdict.DIFFERENT,
        error_message=each.detail or each.kind,
    )
