"""``sterna backup load``: from backup files into a server, in this process, without a service."""

import asyncio
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.backup import FILES
from sterna.cli.checks import route_of
from sterna.cli.context import Tools, tools_of
from sterna.cli.files import find_file, with_slash
from sterna.cli.folder import settings_of
from sterna.cli.logs import set_up_logging
from sterna.cli.migrate import command_to_go_on, log_level, report
from sterna.cli.migration import Migration, Request
from sterna.cli.names import read_name, read_path, split_outside_quotes
from sterna.cli.options import Config, Data, Json, ProjectName
from sterna.cli.output import console
from sterna.cli.state import folder_of
from sterna.cli.urls import POSTGRESQL, Location, read_url
from sterna.core.errors import Invalid, NotFound
from sterna.core.files import Storage
from sterna.core.people import Bucket
from sterna.core.plan import Conflict, Endpoint, Mode, Pace, Picked, Plan, Rename, Resume, Selection, StoredFile
from sterna.core.ports import Engine
from sterna.jobs.sanity import check_plan
from sterna.settings import PREFIX

READERS: Mapping[str, str] = {POSTGRESQL: "sqlserver", "redis": "redis"}
"""Which engine reads the files that a server of some kind takes."""


@dataclass(frozen=True)
class _Chosen:
    """What of the files goes where, as typed."""

    databases: Sequence[str]
    renames: Sequence[str]
    excludes: Sequence[str]


def load_backup(
    context: typer.Context,
    files: FILES,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="URL",
            help=(
                "Where to: postgresql://user@host:5432 for backups of SQL Server, redis://host:6379 for RDB and "
                "AOF files. With a database at the end, /shop, everything goes into it."
            ),
        ),
    ],
    database: Annotated[
        list[str] | None,
        typer.Option("--database", metavar="NAME", help="Take this database of the files; may be repeated."),
    ] = None,
    rename: Annotated[
        list[str] | None,
        typer.Option("--rename", metavar="OLD=NEW", help="Call a database something else there; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(
            "--exclude", metavar="DB.SCHEMA.TABLE", help="SQL Server: leave this table out; may be repeated."
        ),
    ] = None,
    on_conflict: Annotated[
        Conflict,
        typer.Option(
            "--on-conflict",
            metavar="overwrite|skip|stop",
            help="Tables or keys that the target has already: replace them, or stop before anything is changed.",
        ),
    ] = Conflict.STOP,
    set_number: Annotated[
        int | None,
        typer.Option("--set", min=1, metavar="N", help="Of files with several sets: the state of set N."),
    ] = None,
    stop_at: Annotated[
        datetime | None,
        typer.Option(
            "--stop-at",
            metavar="TIME",
            help="The state at this moment by the source's clock, in the log backups: 2026-01-31T12:00:00.",
        ),
    ] = None,
    replace_unstorable: Annotated[
        bool,
        typer.Option(
            "--replace-unstorable",
            help="Write U+FFFD for characters that PostgreSQL cannot hold (U+0000, lone surrogates).",
        ),
    ] = False,
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare files and target after the end; not for an AOF.")
    ] = False,
    limit_mb: Annotated[
        float,
        typer.Option("--limit-mb", metavar="N", min=0, help="Read at most so many MiB a second; 0: no limit."),
    ] = 0,
    state: Annotated[
        Path | None,
        typer.Option("--state", metavar="DIR", help="Folder that remembers how far this is."),
    ] = None,
    restart: Annotated[bool, typer.Option("--restart", help="End what was left off, and begin anew.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    project: ProjectName = None,
    data: Data = None,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Load backup files into a server: SQL Server's into PostgreSQL, RDB and AOF files into Redis or Valkey.

    All files of a chain together: stripes, the full backup, a differential, logs, in any order. Checks everything
    first. Ctrl-C pauses; the same command goes on from there, also after a crash. The password of the target is
    better in STERNA_TARGET_PASSWORD than in the URL.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tools = tools_of(context)
    settings = settings_of(tools, data, config)
    found = [asyncio.run(find_file(tools, settings, text, project)) for text in files]
    target = read_url(to, "target", tools.environ.get(PREFIX + "TARGET_PASSWORD", ""))
    if target.endpoint.engine == "redis":
        found = [(bucket, with_slash(bucket, name)) for bucket, name in found]
    options = {"set": str(set_number)} if set_number else {}
    if stop_at:
        options["stop_at"] = stop_at.isoformat()
    if replace_unstorable:
        options["unstorable_text"] = "replace"
    chosen = _Chosen(database or (), rename or (), exclude or ())
    plan = replace(_plan(found, target, chosen), conflict=on_conflict, options=options)
    plan = replace(plan, pace=Pace(int(limit_mb * (1 << 20))))
    check_plan(plan)
    tools = replace(tools, engines=_engines(tools, [bucket for bucket, _ in found]))
    route_of(plan, tools.engines())
    set_up_logging(log_level(tools.environ), "text")
    interactive = sys.stdin.isatty() and console().is_terminal and not yes and not as_json
    request = Request(compare=compare, restart=restart, as_json=as_json, interactive=interactive)
    outcome = asyncio.run(Migration(tools, plan, state or folder_of(plan, tools), request).run())
    report(outcome, command_to_go_on(tools.arguments), as_json)
    raise typer.Exit(outcome.code)


def _plan(files: Sequence[tuple[Bucket, str]], target: Location, chosen: _Chosen) -> Plan:
    """Raises Invalid."""
    kind = target.endpoint.engine
    stored = tuple(StoredFile(bucket.id, name) for bucket, name in files)
    source = Endpoint(READERS[kind], (), files=stored)
    if kind != POSTGRESQL:
        if chosen.databases or chosen.renames or chosen.excludes:
            raise Invalid("database", "--database, --rename and --exclude are for backups of SQL Server")
        put = () if target.database is None else (Rename("*", str(target.database)),)
        return Plan(source, target.endpoint, Mode.FULL, Selection(renames=put), resume=Resume.MANUAL)
    return Plan(source, target.endpoint, Mode.FULL, _selection(chosen, target.name), resume=Resume.MANUAL)


def _selection(chosen: _Chosen, into: str) -> Selection:
    renames = [_rename(text) for text in chosen.renames]
    if into:
        if renames or len(chosen.databases) > 1:
            raise Invalid("to", "A URL with a database at its end takes one database: leave out --rename")
        renames = [Rename("*", into)]
    without = tuple(_table(text) for text in chosen.excludes)
    objects: tuple[Picked, ...] = ()
    return Selection(tuple(chosen.databases), tuple(renames), objects=objects, without=without)


def _rename(text: str) -> Rename:
    old, *new = split_outside_quotes(text, "=", 1)
    if not new or not old or not new[0]:
        raise Invalid("rename", "--rename is OLD=NEW")
    return Rename(read_name(old, "rename"), read_name(new[0], "rename"))


def _table(text: str) -> tuple[str, ...]:
    path = read_path(text, "exclude")
    if not 2 <= len(path) <= 3:
        raise Invalid("exclude", "--exclude is DATABASE.SCHEMA.TABLE or DATABASE.SCHEMA")
    return path


def _engines(tools: Tools, buckets: Sequence[Bucket]) -> "_Engines":
    return _Engines(tools, {bucket.id: bucket for bucket in buckets})


@dataclass(frozen=True)
class _Engines:
    """Gives engines that open the files of these buckets. Meets ``Opens`` too."""

    tools: Tools
    buckets: Mapping[str, Bucket]

    def __call__(self, opens: object = None) -> Mapping[str, Engine]:
        return self.tools.engines(self.open)

    async def open(self, bucket_id: str) -> Storage:
        if bucket_id not in self.buckets:
            raise NotFound(f"There is no bucket {bucket_id}")
        return await asyncio.to_thread(self.tools.open_bucket, self.buckets[bucket_id])
