"""``sterna serve`` and its child processes, ``sterna settings`` and ``sterna version``."""

import asyncio
import platform
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated

import typer

from sterna.cli.context import tools_of
from sterna.cli.folder import must_exist
from sterna.cli.logs import set_up_logging
from sterna.cli.options import Config, Data, Json
from sterna.cli.output import print_facts, print_rows
from sterna.core.job import JobId
from sterna.settings import Loaded, load, refuse_open_door

_Text = str | None


def serve(
    context: typer.Context,
    data: Data = None,
    listen: Annotated[
        _Text, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen. Default: 127.0.0.1:8480.")
    ] = None,
    store: Annotated[
        _Text,
        typer.Option("--store", metavar="URL", help="PostgreSQL URL or SQLite file that keeps jobs and users."),
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", metavar="FILE", help="Key that encrypts passwords at rest.")
    ] = None,
    public_url: Annotated[
        _Text, typer.Option("--public-url", metavar="URL", help="Address under which clients reach the service.")
    ] = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option("--tls-cert", metavar="FILE", help="PEM file with the certificate and its chain."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", metavar="FILE", help="PEM file with the certificate's private key.")
    ] = None,
    insecure: Annotated[
        bool | None, typer.Option("--insecure", help="Listen beyond this machine without TLS.")
    ] = None,
    body_limit: Annotated[
        _Text, typer.Option("--body-limit", metavar="BYTES", help="Largest request body. Default: 1MiB.")
    ] = None,
    clock_window: Annotated[
        _Text,
        typer.Option("--clock-window", metavar="SECONDS", help="How far a signed request's clock may be off."),
    ] = None,
    token_hours: Annotated[
        _Text, typer.Option("--token-hours", metavar="HOURS", help="How long a token is valid.")
    ] = None,
    spool_limit: Annotated[
        _Text,
        typer.Option("--spool-limit", metavar="BYTES", help="Disk that a job may use here. Default: no limit."),
    ] = None,
    metrics_token_file: Annotated[
        Path | None,
        typer.Option("--metrics-token-file", metavar="FILE", help="File with the token that /metrics asks for."),
    ] = None,
    stop_wait: Annotated[
        _Text, typer.Option("--stop-wait", metavar="SECONDS", help="How long requests have to end at the stop.")
    ] = None,
    log_level: Annotated[
        _Text, typer.Option("--log-level", metavar="LEVEL", help="debug, info, warning or error.")
    ] = None,
    log_format: Annotated[_Text, typer.Option("--log-format", metavar="FORM", help="json or text.")] = None,
    config: Config = None,
) -> None:
    """Serve the APIs and run the jobs.

    GET /healthz answers 200 once the service is ready. SIGTERM and Ctrl-C stop it: running jobs end between two
    batches and go on at the next start. Logs go to the standard error.

    Each option can also be set as STERNA_… in the environment and in the TOML file: see sterna settings.
    """
    given = {key: value for key, value in locals().items() if key != "context"}
    tools = tools_of(context)
    settings = load(given, tools.environ).settings
    refuse_open_door(settings)
    must_exist(settings)
    set_up_logging(settings.log_level, settings.log_format)
    asyncio.run(tools.serve(settings))


def worker(
    context: typer.Context,
    job_id: Annotated[str, typer.Argument(metavar="JOB_ID", help="Id of the job to run.")],
    data: Data = None,
    config: Config = None,
) -> None:
    """Run one job as a child process of the service, until it rests or the standard input ends."""
    tools = tools_of(context)
    settings = load({"data": data, "config": config}, tools.environ).settings
    must_exist(settings)
    set_up_logging(settings.log_level, settings.log_format)
    raise typer.Exit(asyncio.run(tools.work(settings, JobId(job_id))))


def settings(context: typer.Context, data: Data = None, config: Config = None, as_json: Json = False) -> None:
    """List every setting: its value, where that came from, and its name in the environment.

    The command line wins over the environment, that over the TOML file, that over the defaults.
    """
    loaded = load({"data": data, "config": config}, tools_of(context).environ)
    columns = ("setting", "value", "from", "environment", "meaning")
    print_rows(_rows(loaded), columns, as_json=as_json)


def _rows(loaded: Loaded) -> list[dict[str, object]]:
    return [
        {
            "setting": each.name,
            "value": each.shown,
            "from": each.origin,
            "environment": each.env,
            "meaning": each.text,
        }
        for each in loaded.table
    ]


def version(as_json: Json = False) -> None:
    """Print the version of Sterna and of Python."""
    print_facts({"sterna": version_of("sterna"), "python": platform.python_version()}, as_json=as_json)
