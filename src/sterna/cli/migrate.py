"""``sterna migrate``: from one URL to another in this process, without a service."""

import asyncio
import shlex
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.checks import comparison_facts, print_comparison, route_of
from sterna.cli.context import tools_of
from sterna.cli.exits import ExitCode
from sterna.cli.logs import set_up_logging
from sterna.cli.migration import Migration, Outcome, Request
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
from sterna.cli.output import bytes_of, console, print_error, print_json, print_line, print_note, span_of
from sterna.cli.plans import (
    Chosen,
    Ddl,
    ExcludePrefix,
    IncludePrefix,
    Manner,
    SourceDatabase,
    SourceUrl,
    TargetDatabase,
    TargetUrl,
    plan_of,
)
from sterna.cli.state import folder_of
from sterna.cli.urls import SCHEMES, without_password
from sterna.core.errors import NeedsOperator
from sterna.core.plan import Conflict, Mode, Resume
from sterna.settings import load


def migrate(
    context: typer.Context,
    source: SourceUrl,
    target: TargetUrl,
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            metavar="full|incremental",
            help="full: what is there. incremental: then changes too. Default: full; with --cutover incremental.",
        ),
    ] = None,
    cutover: Annotated[
        bool,
        typer.Option(
            "--cutover", help="Follow changes until none is left, then end. Stop writing to the source first."
        ),
    ] = False,
    compare: Annotated[bool, typer.Option("--compare", help="Compare both sides after the end.")] = False,
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
    on_conflict: Annotated[
        Conflict,
        typer.Option(
            "--on-conflict",
            metavar="overwrite|skip|stop",
            help="Keys or rows that the target has already: overwrite, skip, or stop before anything is changed.",
        ),
    ] = Conflict.OVERWRITE,
    limit_mb: Annotated[
        float,
        typer.Option("--limit-mb", metavar="N", min=0, help="Read at most so many MiB a second; 0: no limit."),
    ] = 0,
    resume: Annotated[
        Resume,
        typer.Option(
            "--resume",
            metavar="auto|manual",
            help="When the source no longer keeps the position: auto copies everything again, manual stops.",
        ),
    ] = Resume.AUTO,
    replay_flush: Annotated[
        bool,
        typer.Option("--replay-flush", help="Redis: carry out FLUSHALL and FLUSHDB on the target too."),
    ] = False,
    ddl: Annotated[
        Ddl | None,
        typer.Option(
            "--ddl",
            metavar="stop|apply",
            help="PostgreSQL: when a table's shape changes on the source: stop there (default), or change it too.",
        ),
    ] = None,
    slot_limit_mb: Annotated[
        int | None,
        typer.Option(
            "--slot-limit-mb",
            metavar="N",
            min=0,
            help="PostgreSQL: give up rather than let the source keep more MiB of its log for this; 0: no limit.",
        ),
    ] = None,
    sequence_margin: Annotated[
        int | None,
        typer.Option(
            "--sequence-margin",
            metavar="N",
            min=0,
            help="PostgreSQL: set the target's sequences so far ahead. Default: 1000.",
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            "--state",
            metavar="DIR",
            help="Folder that remembers how far this is. Default: one a pair of servers, in your state folder.",
        ),
    ] = None,
    restart: Annotated[
        bool, typer.Option("--restart", help="End the unfinished migration of these servers, and begin anew.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Move everything from one server to another, without a service.

    Checks both sides first; a failed check stops before anything is changed. Ctrl-C pauses; the same command goes
    on from there, also after a crash. Without --cutover, --mode incremental follows until Ctrl-C.

    A password on the command line can be seen by every user of this machine: rather set STERNA_SOURCE_PASSWORD and
    STERNA_TARGET_PASSWORD. Passwords are kept encrypted in the state folder, so a resumed migration needs none.

    With --json: one JSON object a line, at least once a second; the last one holds "summary".
    """
    # Until the job runs and can be paused, being asked to end is an interruption like any other.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tools = tools_of(context)
    wanted = Wanted(database, schema, table, rename, exclude, columns, where)
    chosen = Chosen(source_db, target_db, include_prefix, exclude_prefix, wanted)
    manner = Manner(
        _mode(mode, cutover), on_conflict, resume, limit_mb, replay_flush, ddl, slot_limit_mb, sequence_margin
    )
    plan = plan_of(source, target, chosen, manner, tools.environ)
    route_of(plan, tools.engines())
    set_up_logging(log_level(tools.environ), "text")
    interactive = sys.stdin.isatty() and console().is_terminal and not yes and not as_json
    request = Request(cutover, compare, restart, as_json, interactive)
    outcome = asyncio.run(Migration(tools, plan, state or folder_of(plan, tools), request).run())
    report(outcome, command_to_go_on(tools.arguments), as_json)
    raise typer.Exit(outcome.code)


def log_level(environ: Mapping[str, str]) -> str:
    """What goes wrong is on the screen already: the log says more only where that is asked for."""
    return load({"log_level": environ.get("STERNA_LOG_LEVEL") or "error"}, {}).settings.log_level


def _mode(mode: Mode | None, cutover: bool) -> Mode:
    if mode is Mode.FULL and cutover:
        raise typer.BadParameter("--cutover needs --mode incremental", param_hint="--mode")
    return mode or (Mode.INCREMENTAL if cutover else Mode.FULL)


def command_to_go_on(arguments: Sequence[str]) -> str:
    """What to type to go on, as it was typed, without passwords: they are in the state folder."""
    words = [without_password(word) if word.partition("://")[0].lower() in SCHEMES else word for word in arguments]
    return shlex.join(["sterna", *(word for word in words if word != "--restart")])


def report(outcome: Outcome, command: str, as_json: bool) -> None:
    """The last words: how it ended, and what to do next."""
    if outcome.failure:
        print_error(NeedsOperator(outcome.failure.message, hint=outcome.failure.hint), as_json=False)
    if as_json:
        print_json({"summary": summary_of(outcome, command)})
        return
    if outcome.comparison:
        print_comparison(outcome.comparison)
    progress = outcome.progress
    figures = f"{progress.rows} rows, {bytes_of(progress.bytes)}, {progress.changes} changes"
    print_line(f"{STATUS[outcome.code].capitalize().replace('_', ' ')}: {figures} in {span_of(outcome.seconds)}")
    if outcome.code in (ExitCode.PAUSED, ExitCode.FAILED, ExitCode.CHECKS_FAILED):
        print_note(f"To go on: {command}")


STATUS = {
    ExitCode.DONE: "done",
    ExitCode.DIFFERENT: "different",
    ExitCode.PAUSED: "paused",
    ExitCode.CHECKS_FAILED: "checks_failed",
    ExitCode.FAILED: "failed",
}


def summary_of(outcome: Outcome, command: str) -> dict[str, object]:
    """How it ended, as scripts read it."""
    progress, comparison, failure = outcome.progress, outcome.comparison, outcome.failure
    compared = comparison_facts(comparison) if comparison else {"equal": None, "differences": []}
    return {
        "status": STATUS[outcome.code],
        "exit_code": int(outcome.code),
        "job_id": outcome.job.id,
        "phase": outcome.job.phase.value,
        "condition": outcome.job.condition.value,
        "rows": progress.rows,
        "bytes": progress.bytes,
        "changes": progress.changes,
        "change_bytes": progress.change_bytes,
        "skipped": progress.skipped,
        "retries": progress.retries,
        "seconds": round(outcome.seconds, 3),
        **compared,
        "failure": {"code": failure.code, "message": failure.message, "hint": failure.hint} if failure else None,
        "resume": command if outcome.code in (ExitCode.PAUSED, ExitCode.FAILED) else None,
    }
