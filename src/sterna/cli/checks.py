"""``sterna check`` and ``sterna compare``: look at two servers without moving anything."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from sterna.cli.context import tools_of
from sterna.cli.exits import ExitCode
from sterna.cli.options import Json
from sterna.cli.output import console, print_json, print_line
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
from sterna.core.errors import Invalid
from sterna.core.finding import Finding, Severity
from sterna.core.plan import Conflict, Mode, Plan
from sterna.core.ports import Comparison, Engine

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
            help="What would happen to keys that the target already has.",
        ),
    ] = Conflict.OVERWRITE,
    source_db: SourceDatabase = None,
    target_db: TargetDatabase = None,
    include_prefix: IncludePrefix = None,
    exclude_prefix: ExcludePrefix = None,
    as_json: Json = False,
) -> None:
    """Find out whether a migration could start, without changing anything.

    Every finding says what was seen and what to do about it. Exit code 3 when a check failed.
    """
    tools = tools_of(context)
    chosen = Chosen(source_db, target_db, include_prefix, exclude_prefix)
    plan = plan_of(source, target, chosen, Manner(mode, on_conflict), tools.environ)
    findings = asyncio.run(_run_checks(engine_of(plan, tools.engines()), plan))
    if as_json:
        print_json({"findings": [finding_facts(each) for each in findings], "failed": failed(findings)})
    else:
        console().print(findings_table(findings))
    if failed(findings):
        raise typer.Exit(ExitCode.CHECKS_FAILED)


def failed(findings: Sequence[Finding]) -> bool:
    """Whether a migration cannot start."""
    return any(each.severity is Severity.FAILED for each in findings)


def engine_of(plan: Plan, engines: Mapping[str, Engine]) -> Engine:
    """The engine that moves this plan's data. Raises Invalid."""
    if plan.source.engine not in engines or plan.target.engine != plan.source.engine:
        raise Invalid("source", f"There is no way from {plan.source.engine} to {plan.target.engine}")
    return engines[plan.source.engine]


async def _run_checks(engine: Engine, plan: Plan) -> list[Finding]:
    return [finding for each in engine.checks(plan) for finding in await each.run()]


def compare(
    context: typer.Context,
    source: SourceUrl,
    target: TargetUrl,
    repair: Annotated[
        bool, typer.Option("--repair", help="Make the target like the source where they differ.")
    ] = False,
    most: Most = 100,
    source_db: SourceDatabase = None,
    target_db: TargetDatabase = None,
    include_prefix: IncludePrefix = None,
    exclude_prefix: ExcludePrefix = None,
    as_json: Json = False,
) -> None:
    """Compare two servers: what is there, of what type, with what value and expiry.

    May be used while a migration follows: what changes during the comparison is looked at again. Exit code 5 when
    the two sides differ; after --repair, when a difference is left.
    """
    tools = tools_of(context)
    chosen = Chosen(source_db, target_db, include_prefix, exclude_prefix)
    plan = plan_of(source, target, chosen, Manner(), tools.environ)
    comparison = asyncio.run(engine_of(plan, tools.engines()).compare(plan, repair=repair, most=most))
    if as_json:
        print_json(comparison_facts(comparison))
    else:
        print_comparison(comparison)
    if not comparison.equal:
        raise typer.Exit(ExitCode.DIFFERENT)


def comparison_facts(comparison: Comparison) -> dict[str, object]:
    """A comparison as scripts read it."""
    return {
        "equal": comparison.equal,
        "compared": comparison.compared,
        "different": comparison.different,
        "differences": [
            {"name": each.name, "kind": each.kind, "detail": each.detail} for each in comparison.differences
        ],
        "counts": {name: {"source": pair[0], "target": pair[1]} for name, pair in comparison.counts.items()},
        "unsettled": comparison.unsettled,
        "repaired": comparison.repaired,
    }


def print_comparison(comparison: Comparison) -> None:
    """A comparison as people read it."""
    for name, (source, target) in comparison.counts.items():
        print_line(f"{name}: {source} on the source, {target} on the target")
    for each in comparison.differences:
        print_line(f"{each.kind}: {each.name}  {each.detail}".rstrip())
    left_out = comparison.different - len(comparison.differences)
    if left_out > 0:
        print_line(f"… and {left_out} more")
    rest = f", {comparison.unsettled} changed each time they were looked at" if comparison.unsettled else ""
    mended = f", {comparison.repaired} repaired" if comparison.repaired else ""
    verdict = "Equal" if comparison.equal else f"{comparison.different} differences"
    print_line(f"{verdict}: {comparison.compared} compared{rest}{mended}")
