"""``sterna check`` and ``sterna compare``: look at two servers without moving anything."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from sterna.cli.context import tools_of
from sterna.cli.exits import ExitCode
from sterna.cli.objects import (
    Columns,
    Conditions,
    Databases,
    Excludes,
    Renames,
    Schemas,
    Tables,
    Wanted,
)
from sterna.cli.options import Json
from sterna.cli.output import console, print_json, print_line, print_note
from sterna.cli.plans import (
    Chosen,
    ExcludePrefix,
    IncludePrefix,
    Manner,
    SourceDatabase,
    SourceUrl,
    TargetDatabase,
    TargetUrl,
    plan_of,
)
from sterna.cli.watching import finding_facts, findings_table
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import Invalid, Unsupported
from sterna.core.finding import Finding, Severity
from sterna.core.plan import Conflict, Mode, Plan
from sterna.core.ports import Engine
from sterna.jobs.route import Route

Most = Annotated[int, typer.Option("--most", metavar="N", min=0, help="Name at most so many differences.")]


def check(
    context: typer.Context,
    source: SourceUrl,
    target: TargetUrl,
    mode: Annotated[
        Mode, typer.Option("--mode", metavar="full|incremental", help="What the migration would do.")
    ] = Mode.INCREMENTAL,
    on_conflict: Annotated[
        Conflict,
        typer.Option(
            "--on-conflict",
            metavar="overwrite|skip|stop",
            help="What would happen to keys or rows that the target already has.",
        ),
    ] = Conflict.OVERWRITE,
    source_db: SourceDatabase = None,
    target_db: TargetDatabase = None,
    include_prefix: IncludePrefix = None,
    exclude_prefix: ExcludePrefix = None,
    database: Databases = None,
    schema: Schemas = None,
    table: Tables = None,
    rename: Renames = None,
    exclude: Excludes = None,
    columns: Columns = None,
    where: Conditions = None,
    as_json: Json = False,
) -> None:
    """Find out whether a migration could start, without changing anything.

    Every finding says what was seen and what to do about it. Exit code 3 when a check failed.
    """
    tools = tools_of(context)
    wanted = Wanted(database, schema, table, rename, exclude, columns, where)
    chosen = Chosen(source_db, target_db, include_prefix, exclude_prefix, wanted)
    plan = plan_of(source, target, chosen, Manner(mode, on_conflict), tools.environ)
    findings = asyncio.run(_run_checks(route_of(plan, tools.engines())))
    if as_json:
        print_json({"findings": [finding_facts(each) for each in findings], "failed": failed(findings)})
    else:
        console().print(findings_table(findings))
    if failed(findings):
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def failed(findings: Sequence[Finding]) -> bool:
    """Whether a migration cannot start."""
    return any(each.severity is Severity.FAILED for each in findings)


def route_of(plan: Plan, engines: Mapping[str, Engine]) -> Route:
    """The way that this plan's data takes. Raises Invalid."""
    try:
        return Route.of(plan, engines)
    except Unsupported as trouble:
        raise Invalid("source", f"There is no way from {plan.source.engine} to {plan.target.engine}") from trouble


async def _run_checks(route: Route) -> list[Finding]:
    return [finding async for found in route.look() for finding in found]


def compare(
    context: typer.Context,
    source: SourceUrl,
    target: TargetUrl,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the target like the source where they differ.")
    ] = False,
    depth: Annotated[
        Depth,
        typer.Option(
            "--depth",
            metavar="objects|rows|contents",
            help="objects: what there is. rows: how many rows or keys, too. contents: what is in them, too.",
        ),
    ] = Depth.CONTENTS,
    sql: Annotated[
        bool,
        typer.Option(
            "--sql",
            help="Print the statements that would make the target like the source. They hold values of rows.",
        ),
    ] = False,
    most: Most = 100,
    source_db: SourceDatabase = None,
    target_db: TargetDatabase = None,
    include_prefix: IncludePrefix = None,
    exclude_prefix: ExcludePrefix = None,
    database: Databases = None,
    schema: Schemas = None,
    table: Tables = None,
    rename: Renames = None,
    exclude: Excludes = None,
    columns: Columns = None,
    where: Conditions = None,
    as_json: Json = False,
) -> None:
    """Compare two servers: what is there, and what is in it.

    May be used while a migration follows: what changes during the comparison is looked at again. Give the options
    that say what goes where as the migration had them. Exit code 5 when the two sides differ; after --repair, when
    a difference is left. With --sql only statements are printed, as many as --most; the rest goes to the standard
    error.
    """
    if repair and depth is not Depth.CONTENTS:
        raise typer.BadParameter("--repair needs --depth contents", param_hint="--depth")
    if sql and depth is not Depth.CONTENTS:
        raise typer.BadParameter("--sql needs --depth contents", param_hint="--depth")
    tools = tools_of(context)
    wanted = Wanted(database, schema, table, rename, exclude, columns, where)
    chosen = Chosen(source_db, target_db, include_prefix, exclude_prefix, wanted)
    plan = plan_of(source, target, chosen, Manner(), tools.environ)
    route = route_of(plan, tools.engines())
    comparison = asyncio.run(route.compare(repair=repair, most=most, depth=depth))
    if as_json:
        print_json(comparison_facts(comparison, remedies=sql))
    elif sql:
        print_remedies(comparison)
    else:
        print_comparison(comparison)
    if not comparison.equal:
        raise typer.Exit(ExitCode.DIFFERENT)


def comparison_facts(comparison: Comparison, *, remedies: bool = False) -> dict[str, object]:
    """A comparison as scripts read it. ``remedies``: with what mends each difference, which holds values."""
    return {
        "equal": comparison.equal,
        "compared": comparison.compared,
        "different": comparison.different,
        "differences": [
            {"name": each.name, "kind": each.kind, "detail": each.detail}
            | ({"remedy": each.remedy} if remedies else {})
            for each in comparison.differences
        ],
        "counts": {name: {"source": pair[0], "target": pair[1]} for name, pair in comparison.counts.items()},
        "objects": {kind: {"source": pair[0], "target": pair[1]} for kind, pair in comparison.objects.items()},
        "tables": [_table_facts(each) for each in comparison.tables],
        "unsettled": comparison.unsettled,
        "repaired": comparison.repaired,
    }


def _table_facts(table: Compared) -> dict[str, object]:
    return {
        "name": str(table.name),
        "target": str(table.target),
        "source_rows": table.source_rows,
        "target_rows": table.target_rows,
        "different": table.different,
        "equal": table.equal,
        "trouble": table.trouble or None,
    }


def print_comparison(comparison: Comparison) -> None:
    """A comparison as people read it."""
    for kind, (source, target) in comparison.objects.items():
        print_line(f"{kind}: {source} on the source, {target} on the target")
    of = {str(table.name): table for table in comparison.tables}
    for name, (source, target) in comparison.counts.items():
        print_line(_counted(name, source, target, of.pop(name, None)))
    for table in of.values():
        if table.trouble or not comparison.counts:
            print_line(_counted(str(table.name), table.source_rows, table.target_rows, table))
    for each in comparison.differences:
        print_line(f"{each.kind}: {each.name}  {each.detail}".rstrip())
    left_out = comparison.different - len(comparison.differences)
    if left_out > 0 and comparison.differences:
        print_line(f"… and {left_out} more")
    print_line(_verdict(comparison))


def print_remedies(comparison: Comparison) -> None:
    """What mends the target, one statement a line or more, and on the standard error how it stands."""
    for each in comparison.differences:
        if each.remedy:
            print(each.remedy)
    left_out = comparison.different - sum(1 for each in comparison.differences if each.remedy)
    if left_out > 0:
        print_note(f"Without a statement here: {left_out} differences")
    print_note(_verdict(comparison))


def _counted(name: str, source: int, target: int, table: Compared | None) -> str:
    text = f"{name}: {_rows(source)} on the source, {_rows(target)} on the target"
    if table and table.different:
        text += f", {table.different} different"
    return f"{text}; not compared: {table.trouble}" if table and table.trouble else text


def _rows(count: int) -> str:
    return "none" if count < 0 else str(count)


def _verdict(comparison: Comparison) -> str:
    rest = f", {comparison.unsettled} changed each time they were looked at" if comparison.unsettled else ""
    mended = f", {comparison.repaired} repaired" if comparison.repaired else ""
    verdict = "Equal" if comparison.equal else f"{comparison.different} differences"
    return f"{verdict}: {comparison.compared} compared{rest}{mended}"
