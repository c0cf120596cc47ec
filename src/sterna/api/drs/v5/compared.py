"""From comparisons to what clients of v5 see of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from sterna.api.drs.v5.reading import iso_or_none
from sterna.core.comparison import Compared, Depth, Difference
from sterna.jobs.comparing import ComparisonRun, Stage

Json = dict[str, Any]

STATUS = {
    Stage.WAITING: "WAITING_FOR_RUNNING",
    Stage.RUNNING: "RUNNING",
    Stage.DONE: "SUCCESSFUL",
    Stage.FAILED: "FAILED",
    Stage.CANCELLED: "CANCELLED",
}

DEPTHS = {"object": Depth.OBJECTS, "lines": Depth.ROWS, "contents": Depth.CONTENTS}
TYPES = {depth: word for word, depth in DEPTHS.items()}

OBJECTS = {
    "databases": "DB",
    "tables": "TABLE",
    "views": "VIEW",
    "indexes": "INDEX",
    "triggers": "TRIGGER",
    "functions": "FUNCTION",
    "procedures": "PROCEDURE",
    "types": "TYPE",
    "rules": "RULE",
    "constraints": "CONSTRAINT",
    "extensions": "EXTENSIONS",
}
"""Kinds of object as engines name them, and as DRS does; any other is named in capitals."""

CONSISTENT, INCONSISTENT, FAILED = "CONSISTENT", "INCONSISTENT", "FAILED_TO_COMPARE"


def chosen(runs: Sequence[ComparisonRun], depth: Depth, id: str) -> ComparisonRun | None:
    """The comparison that is asked for, or the newest of this depth."""
    fitting = [run for run in runs if run.depth is depth and id in ("", run.id)]
    return fitting[-1] if fitting else None


def task(run: ComparisonRun) -> Json:
    """A comparison as a row of the list."""
    return {
        "id": run.id,
        "type": TYPES[run.depth],
        "start_time": iso_or_none(run.begun_ms or run.starts_ms),
        "end_time": iso_or_none(run.ended_ms),
        "status": STATUS[run.stage],
        "compute_type": "drs",
        "export_status": "INIT",
        "report_remain_seconds": 0,
        "compare_job_tag": {},
        "options": {"repair": "true"} if run.repair else {},
        "error_msg": run.failure.message if run.failure else None,
    }


def objects_overview(run: ComparisonRun | None) -> Json | None:
    """Which kinds of object there are on both sides, and how many."""
    if run is None:
        return None
    return {
        "create_time": iso_or_none(run.created_ms),
        "start_time": iso_or_none(run.begun_ms),
        "status": STATUS[run.stage],
        "compare_results": [_kind(kind, *both) for kind, both in (run.objects or {}).items()],
        "export_status": "INIT",
        "report_remain_seconds": 0,
        "compare_job_id": run.id,
        "error_msg": run.failure.message if run.failure else None,
    }


def _kind(kind: str, source: int, target: int) -> Json:
    return {
        "type": OBJECTS.get(kind, kind.upper()),
        "source_count": source,
        "target_count": target,
        "status": CONSISTENT if source == target else INCONSISTENT,
    }


def objects_detail(run: ComparisonRun | None) -> list[Json]:
    """The tables, each with what it is called on both sides; what only one side has has no other name."""
    return [_pair(table) for table in run.tables] if run else []


def _pair(table: Compared) -> Json:
    return {
        "source_db_name": _database(table),
        "target_db_name": table.target.path[0],
        "source_db_value": _inner(table.name.path) if table.source_rows != -1 or not table.trouble else None,
        "target_db_value": _inner(table.target.path) if table.target_rows != -1 or not table.trouble else None,
        "error_message": table.trouble or None,
    }


def lines_overview(run: ComparisonRun | None) -> list[Json]:
    """Each database, and whether all of it is the same."""
    return [
        {"source_db_name": source, "target_db_name": target, "status": word(tables)}
        for (source, target), tables in _by_database(run).items()
    ]


def contents_overview(run: ComparisonRun | None) -> list[Json]:
    """The same for contents."""
    return [
        {
            "source_db": source,
            "target_db": target,
            "status": word(tables),
            "compare_result": word(tables) == CONSISTENT,
        }
        for (source, target), tables in _by_database(run).items()
    ]


def lines_detail(run: ComparisonRun | None, database: str) -> list[Json]:
    """Each table of a database, and its rows on both sides."""
    return [
        {
            "source_table_name": _inner(table.name.path),
            "source_row_num": str(table.source_rows),
            "target_table_name": _inner(table.target.path),
            "target_row_num": str(table.target_rows),
            "difference_row_num": str(table.different),
            "status": word([table]),
            "message": table.trouble or None,
        }
        for table in _of(run, database)
    ]


def contents_detail(run: ComparisonRun | None, database: str) -> list[Json]:
    """The same for contents."""
    return [
        {
            "source_db": _database(table),
            "target_db": table.target.path[0],
            "source_table_name": _inner(table.name.path),
            "target_table_name": _inner(table.target.path),
            "source_row_num": table.source_rows,
            "target_row_num": table.target_rows,
            "difference_row_num": table.different,
            "line_compare_result": table.source_rows == table.target_rows,
            "content_compare_result": table.equal,
            "message": table.trouble or None,
        }
        for table in _of(run, database)
    ]


def differences(run: ComparisonRun | None, offset: int, limit: int) -> Json:
    """The rows that differ, as far as they are kept."""
    kept = run.differences if run else ()
    return {
        "count": len(kept),
        "target_meta_is_null": sum(it.kind == "missing" for it in kept),
        "source_meta_is_null": sum(it.kind == "extra" for it in kept),
        "source_target_meta_not_null": sum(it.kind not in ("missing", "extra") for it in kept),
        "contents_infos": [_difference(it) for it in kept[offset : offset + limit]],
    }


def _difference(it: Difference) -> Json:
    told = [it.name, it.detail] if it.detail else [it.name]
    return {
        "source_key_value": [] if it.kind == "extra" else told,
        "target_key_value": [] if it.kind == "missing" else told,
        "source_select_sql": None,
        "target_select_sql": None,
    }


def word(tables: Sequence[Compared]) -> str:
    """What is said of some tables together."""
    if any(table.trouble for table in tables):
        return FAILED
    return CONSISTENT if all(table.equal for table in tables) else INCONSISTENT


# Repairs.

_REPAIRED, _REPAIRING, _NOT_REPAIRED = 2, 1, 3


def repair_progress(run: ComparisonRun | None) -> Json:
    """How far the last repair is."""
    if run is None:
        return {"status": "INIT", "progress": "0", "count": 0}
    return {
        "status": STATUS[run.stage],
        "progress": "0" if run.open else "100",
        "error_msg": run.failure.message if run.failure else None,
        "count": len(run.tables),
        "repair_progress_details": [_mended(run, table) for table in run.tables],
    }


def _mended(run: ComparisonRun, table: Compared) -> Json:
    database, *inner = table.name.path
    return {
        "query_id": run.id,
        "db_name": database,
        "schema_name": inner[0] if len(inner) > 1 else None,
        "table_name": inner[-1] if inner else None,
        "total_row_count": table.different,
        "failed_row_count": table.different if table.trouble else 0,
        "repair_status": _REPAIRING if run.open else _NOT_REPAIRED if table.trouble else _REPAIRED,
        "start_time": iso_or_none(run.begun_ms),
        "update_time": iso_or_none(run.ended_ms or run.begun_ms),
    }


def repair_detail(run: ComparisonRun | None, offset: int, limit: int) -> Json:
    """What would mend each row that differs, in the target's own language."""
    kept = run.differences if run else ()
    return {"count": len(kept), "repair_details": [_remedy(it) for it in kept[offset : offset + limit]]}


def _remedy(it: Difference) -> Json:
    return {
        "source_meta": None if it.kind == "extra" else it.name,
        "target_meta": None if it.kind == "missing" else it.name,
        "repair_sql_state": 0,
        "repair_sql_info": it.remedy or None,
    }


def _by_database(run: ComparisonRun | None) -> Mapping[tuple[str, str], list[Compared]]:
    found: dict[tuple[str, str], list[Compared]] = {}
    for table in run.tables if run else ():
        found.setdefault((_database(table), table.target.path[0]), []).append(table)
    return found


def _of(run: ComparisonRun | None, database: str) -> list[Compared]:
    return [table for table in (run.tables if run else ()) if database in ("", _database(table))]


def _database(table: Compared) -> str:
    return table.name.path[0]


def _inner(path: Sequence[str]) -> str:
    """A table's name without its database, or the database's where that is all."""
    return ".".join(path[1:]) or path[0]
