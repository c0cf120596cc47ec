"""Comparisons of a task's two sides, as DRS tells of them."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sterna.api.drs.actions import Action, check
from sterna.api.drs.objects import DEFAULT_SCHEMA
from sterna.api.drs.tasks import link
from sterna.api.front import Front
from sterna.core.change import Name
from sterna.core.comparison import Compared, Depth, Difference
from sterna.core.job import Job
from sterna.core.plan import Path
from sterna.jobs.comparing import ComparisonRun, Stage

WORDS = {"objects": Depth.OBJECTS, "lines": Depth.ROWS, "contents": Depth.CONTENTS}
"""What clients call the depths."""

STAGES = {
    Stage.WAITING: "WAITING_FOR_RUNNING",
    Stage.RUNNING: "RUNNING",
    Stage.DONE: "SUCCESSFUL",
    Stage.FAILED: "FAILED",
    Stage.CANCELLED: "CANCELLED",
}

KINDS = {
    "databases": "DB",
    "schemas": "SCHEMA",
    "tables": "TABLE",
    "views": "VIEW",
    "materialized views": "MATERIALIZED_VIEW",
    "indexes": "INDEX",
    "sequences": "SEQUENCE",
    "constraints": "CONSTRAINT",
    "triggers": "TRIGGER",
    "functions": "FUNCTION",
    "types": "TYPE",
    "rules": "RULE",
    "extensions": "EXTENSIONS",
    "policies": "POLICY",
}
"""Kinds of objects in their words."""


class Verdict(IntEnum):
    """What came of a comparison of something, as the newer operations number it."""

    DIFFERENT = 0
    SAME = 2
    TARGET_MISSING = 3
    FAILED = 4
    RUNNING = 5
    WAITING = 6
    CANCELLED = 7


RESULTS = {
    Verdict.DIFFERENT: "INCONSISTENT",
    Verdict.SAME: "CONSISTENT",
    Verdict.TARGET_MISSING: "TARGET_DB_NOT_EXIT",
    Verdict.FAILED: "FAILED_TO_COMPARE",
    Verdict.RUNNING: "COMPARING",
    Verdict.WAITING: "WAITING_FOR_COMPARISON",
    Verdict.CANCELLED: "CAN_NOT_COMPARE",
}
"""The same as the older operations call it; one word is spelt so."""

_OF_STAGE = {
    Stage.WAITING: Verdict.WAITING,
    Stage.RUNNING: Verdict.RUNNING,
    Stage.FAILED: Verdict.FAILED,
    Stage.CANCELLED: Verdict.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class OfDatabase:
    """What a comparison has found so far of a database."""

    source: str
    target: str
    tables: tuple[Compared, ...]
    verdict: Verdict

    @property
    def different(self) -> int:
        """How many of its tables differ."""
        return sum(bool(it.different) for it in self.tables)

    @property
    def failed(self) -> int:
        """How many could not be compared."""
        return sum(bool(it.trouble) for it in self.tables)


async def begin(front: Front, job: Job, depth: Depth, only: Sequence[Name] = (), at_ms: int = 0) -> str:
    """Begin a comparison; its id. Raises Told in a state in which nothing can be compared."""
    check(job, Action.COMPARE, front.desk.clock())
    return await front.desk.begin_compare(job, depth, only, at_ms=at_ms)


async def latest(front: Front, job: Job, *depths: Depth) -> ComparisonRun | None:
    """The last comparison of one of these depths."""
    return next((it for it in reversed(await front.desk.comparisons(job)) if it.depth in depths), None)


def names_of(front: Front, job: Job, database: str, tables: Iterable[str]) -> list[Name]:
    """The tables of a database that are meant; none named: the database.

    In PostgreSQL a table may be called ``schema.table``; without a schema it is one of ``public``.
    """
    named = [it for it in tables if it]
    if not named or link(front, job).engine == "redis":
        return [Name((database,))]
    return [Name((database, *_with_schema(it))) for it in named]


def _with_schema(table: str) -> Path:
    schema, dot, name = table.partition(".")
    return (schema, name) if dot and schema and name else (DEFAULT_SCHEMA, table)


def target_of(table: Compared) -> Path:
    """What it is called on the target."""
    return table.target.path or table.name.path


def name_in(path: Path) -> str:
    """A table's name within its database."""
    return ".".join(path[1:]) or path[0]


def verdict_of(table: Compared) -> Verdict:
    """What came of a table."""
    if table.trouble:
        return Verdict.FAILED
    return Verdict.DIFFERENT if table.different else Verdict.SAME


def of_run(run: ComparisonRun) -> Verdict:
    """What came of a whole comparison."""
    if run.stage is Stage.DONE:
        return Verdict.SAME if run.equal else Verdict.DIFFERENT
    return _OF_STAGE[run.stage]


def databases(run: ComparisonRun) -> list[OfDatabase]:
    """What was found so far, by database."""
    groups: dict[tuple[str, str], list[Compared]] = {}
    for table in run.tables:
        groups.setdefault((table.name.path[0], target_of(table)[0]), []).append(table)
    return [OfDatabase(*names, tuple(tables), _of_tables(run, tables)) for names, tables in groups.items()]


def _of_tables(run: ComparisonRun, tables: Sequence[Compared]) -> Verdict:
    found = {verdict_of(table) for table in tables}
    for verdict in (Verdict.DIFFERENT, Verdict.FAILED):
        if verdict in found:
            return verdict
    return Verdict.SAME if not run.open else Verdict.RUNNING


def kind_of(kind: str) -> str:
    """A kind of objects in their words."""
    return KINDS.get(kind, kind.upper().replace(" ", "_"))


def differences_of(run: ComparisonRun, table: Compared) -> list[Difference]:
    """The differences that were found in a table, as far as they are kept."""
    shown = ".".join(table.name.path)
    return [it for it in run.differences if it.name == shown or it.name.startswith(shown + " ")]


def keys_of(each: Difference, table: Compared) -> tuple[list[str], list[str]]:
    """What names a row on the source and on the target; nothing where it is missing."""
    key = [each.name.removeprefix(".".join(table.name.path)).strip() or each.name]
    return [] if each.kind == "extra" else key, [] if each.kind == "missing" else key


def sheet(run: ComparisonRun) -> str:
    """The whole comparison as a table, for a file."""
    file = io.StringIO()
    writer = csv.writer(file)
    for line in _lines(run):
        writer.writerow([_harmless(cell) for cell in line])
    return file.getvalue()


def _lines(run: ComparisonRun) -> Iterator[Sequence[object]]:
    yield "type", "source", "target", "source count", "target count", "different", "result"
    for kind, both in (run.objects or {}).items():
        different = abs(both[0] - both[1])
        result = RESULTS[Verdict.DIFFERENT if different else Verdict.SAME]
        yield kind_of(kind), "", "", *both, different, result
    for table in run.tables:
        names = ".".join(table.name.path), ".".join(target_of(table))
        counts = table.source_rows, table.target_rows, table.different
        yield (
            "TABLE",
            *names,
            *counts,
            RESULTS[verdict_of(table)] + (f": {table.trouble}" if table.trouble else ""),
        )
    for each in run.differences:
        yield "DIFFERENCE", each.name, "", "", "", "", f"{each.kind}: {each.detail}" if each.detail else each.kind


def _harmless(cell: object) -> object:
    """Text that a spreadsheet would take for a formula is marked as text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
