"""``sterna job``: look at the service's jobs and ask things of them, directly in its store."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.context import tools_of
from sterna.cli.exits import ExitCode
from sterna.cli.folder import opened, settings_of, the_project
from sterna.cli.options import Config, Data, Json, ProjectName
from sterna.cli.output import console, print_error, print_facts, print_json, print_line, print_rows, time_of
from sterna.cli.watching import (
    event_facts,
    events_after,
    facts_of,
    finding_facts,
    findings_table,
    line_of,
    resting,
    screen_for,
    waits,
    watch,
)
from sterna.core.errors import NeedsOperator, NotFound
from sterna.core.event import Level
from sterna.core.job import Condition, Job, JobId
from sterna.core.progress import Progress
from sterna.core.stores import Store
from sterna.jobs.desk import Desk

jobs = typer.Typer(no_args_is_help=True, help="Look at the service's jobs and ask things of them.")

Id = Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job, or the beginning of it.")]
Wait = Annotated[
    float | None,
    typer.Option("--wait", metavar="SECONDS", min=0, help="Wait until the job rests, at most this long."),
]
_FEW = 8
"""The beginning of an id must be at least this long to stand for it."""


async def _find(store: Store, id: str) -> Job:
    """The job with this id or, if that is clear, with an id that begins so. Raises NotFound."""
    if len(id) >= _FEW:
        _, everything = await store.jobs()
        found = [job for job in everything if job.id.startswith(id)]
        if len(found) == 1:
            return found[0]
    try:
        job = await store.job(JobId(id))
    except NotFound:
        job = None
    if job is None or job.deleted:
        raise NotFound(f"There is no job {id}", hint="sterna job list shows all jobs.")
    return job


def _row(job: Job, progress: Progress) -> dict[str, object]:
    plan = job.plan
    return {
        "id": job.id,
        "name": job.name,
        "project_id": job.project_id,
        "kind": job.kind,
        "source": str(plan.source) if plan else None,
        "target": str(plan.target) if plan else None,
        "mode": plan.mode.value if plan else None,
        "wish": job.wish.value if job.wished else None,
        "starts": time_of(job.starts_ms) if waits(job) else None,
        "created": time_of(job.created_ms),
        "ended": time_of(job.ended_ms),
        **facts_of(job, progress),
        "failure": (
            {"code": job.failure.code, "message": job.failure.message, "hint": job.failure.hint}
            if job.failure
            else None
        ),
    }


def _on_store(
    context: typer.Context, data: Path | None, config: Path | None, work: Callable[[Store], Awaitable[None]]
) -> None:
    tools = tools_of(context)
    settings = settings_of(tools, data, config)

    async def run() -> None:
        async with opened(tools, settings) as store:
            await work(store)

    asyncio.run(run())


@jobs.command("list")
def list_jobs(
    context: typer.Context,
    project: ProjectName = None,
    name: Annotated[str, typer.Option("--name", metavar="TEXT", help="Only jobs with this in their name.")] = "",
    limit: Annotated[
        int, typer.Option("--limit", metavar="N", min=1, help="At most so many, newest first.")
    ] = 1000,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""

    async def work(store: Store) -> None:
        wanted = (await the_project(store, project)).id if project else None
        _, found = await store.jobs(wanted, name=name, limit=limit)
        rows = [_row(job, await store.progress(job.id)) for job in found]
        starts = ("starts",) if any(row["starts"] for row in rows) else ()
        columns = ("id", "name", "phase", "condition", *starts, "percent", "source", "target", "created")
        print_rows(rows, columns, as_json=as_json)

    _on_store(context, data, config, work)


@jobs.command("show")
def show_job(
    context: typer.Context, id: Id, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Show everything about a job: its facts, its figures and what its checks found."""

    async def work(store: Store) -> None:
        job = await _find(store, id)
        findings = await store.findings(job.id)
        facts = _row(job, await store.progress(job.id)) | {"description": job.description}
        if as_json:
            print_json(facts | {"findings": [finding_facts(each) for each in findings]})
            return
        print_facts(facts, as_json=False)
        if findings:
            console().print(findings_table(findings))

    _on_store(context, data, config, work)


@jobs.command("watch")
def watch_job(
    context: typer.Context, id: Id, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Show a job live until it rests: paused, failed or ended. Ctrl-C ends the watching, not the job.

    Exit codes: 0 when the job has ended or is paused, 4 when it failed.
    """

    async def work(store: Store) -> None:
        job = await _find(store, id)
        screen = screen_for(as_json)
        past = await events_after(store, job.id, 0)
        try:
            await watch(store, job.id, screen, resting, after=past[-1].seq if past else 0)
        finally:
            screen.close()
        _fail_if_failed(await store.job(job.id), as_json)

    _on_store(context, data, config, work)


def _fail_if_failed(job: Job, as_json: bool) -> None:
    if job.condition is Condition.FAILED and job.failure:
        print_error(NeedsOperator(job.failure.message, hint=job.failure.hint), as_json=as_json)
        raise typer.Exit(ExitCode.FAILED)


def _ask(
    context: typer.Context,
    id: str,
    data: Path | None,
    config: Path | None,
    as_json: bool,
    verb: Callable[[Desk, Job], Awaitable[None]],
    wait: float | None,
) -> None:
    async def work(store: Store) -> None:
        desk = Desk(store, tools_of(context).engines())
        job = await _find(store, id)
        await verb(desk, job)
        rested = await desk.stopped(job, wait) if wait is not None else True
        now = await store.job(job.id)
        row = _row(now, await store.progress(job.id))
        print_json(row) if as_json else print_line(f"{now.id}  {line_of(now, await store.progress(job.id))}")
        if not rested:
            raise NeedsOperator(f"The job still runs after {wait:g} seconds", hint=f"sterna job watch {job.id}")

    _on_store(context, data, config, work)


@jobs.command("pause")
def pause_job(
    context: typer.Context,
    id: Id,
    wait: Wait = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Ask a job to stop between two batches, in a way that it can go on from there."""
    _ask(context, id, data, config, as_json, Desk.pause, wait)


@jobs.command("resume")
def resume_job(
    context: typer.Context, id: Id, data: Data = None, config: Config = None, as_json: Json = False
) -> None:
    """Ask a job to start, to go on after a pause or a failure, or to run anew if it has ended."""
    _ask(context, id, data, config, as_json, Desk.run, None)


@jobs.command("stop")
def stop_job(
    context: typer.Context,
    id: Id,
    wait: Wait = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """End a job where it is, and take away what it left on the servers."""
    _ask(context, id, data, config, as_json, Desk.stop, wait)


@jobs.command("finish")
def finish_job(
    context: typer.Context,
    id: Id,
    wait: Wait = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Cut over: end a job once the target has everything. Stop writing to the source first."""
    _ask(context, id, data, config, as_json, Desk.finish, wait)


@jobs.command("delete")
def delete_job(
    context: typer.Context,
    id: Id,
    force: Annotated[
        bool, typer.Option("--force", help="Also one that has not ended: what it has on the servers stays there.")
    ] = False,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Delete a job that has ended or never began, with its passwords. Stop any other first."""

    async def work(store: Store) -> None:
        job = await _find(store, id)
        await Desk(store, tools_of(context).engines()).delete(job, forced=force)
        print_facts({"removed": job.id, "name": job.name}, as_json=as_json)

    _on_store(context, data, config, work)


@jobs.command("log")
def log_of_job(
    context: typer.Context,
    id: Id,
    level: Annotated[
        Level | None,
        typer.Option(
            "--level", metavar="DEBUG|INFO|WARN|ERROR", case_sensitive=False, help="Only events of this level."
        ),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=1, help="At most so many, the newest.")] = 100,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Print a job's history, oldest first: every move, and everything worth knowing."""

    async def work(store: Store) -> None:
        job = await _find(store, id)
        _, newest = await store.events(job.id, level=level, limit=limit)
        rows = [event_facts(event) | {"at": time_of(event.at_ms)} for event in reversed(newest)]
        print_rows(rows, ("at", "level", "code", "message"), as_json=as_json)

    _on_store(context, data, config, work)
