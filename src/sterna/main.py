"""Puts the rooms together: the only module that knows them all.

What a command does not need is not even imported: the help appears at once, a worker loads no web server.
"""

import asyncio
import contextlib
import gc
import io
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sterna.cli.app import run
from sterna.cli.context import Tools
from sterna.core.errors import NeedsOperator
from sterna.core.files import Opens, Storage
from sterna.core.job import JobId
from sterna.core.people import Bucket
from sterna.core.ports import Engine
from sterna.core.stores import Store
from sterna.settings import Settings

if TYPE_CHECKING:
    import uvicorn

    from sterna.cli.backup import Backups
    from sterna.jobs.desk import Desk


def _spell_out() -> None:
    """Letters that the terminal's or the pipe's encoding does not have are spelt out, instead of ending it all."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def cli() -> None:
    """The ``sterna`` command."""
    collect_seldom()
    _spell_out()
    arguments = tuple(sys.argv[1:])
    tools = Tools(engines, open_store, serve, work, dict(os.environ), arguments, open_bucket, backups)
    try:
        raise SystemExit(int(run(arguments, tools)))
    finally:
        gc.freeze()  # else a process would go through all that it imported once more, just to end


def collect_seldom() -> None:
    """Let the collector of cyclic garbage look less often: by default it takes a third of the time of a start.

    Modules are thousands of objects that stay; what a running job throws away has few cycles.
    """
    gc.set_threshold(20_000, 20, 20)


def backups() -> "Backups":
    """What reads backup files of SQL Server."""
    from sterna.engines.sqlserver.backups import SqlServerBackups

    return SqlServerBackups()


def engines(opens: Opens | None = None) -> Mapping[str, Engine]:
    """Every kind of database that can be moved, by its name. ``opens``: for those that read files in buckets.

    Each is imported when it is first asked for: the process of a job needs but one or two of them.
    """

    def redis() -> Engine:
        from sterna.engines.redis.engine import RedisEngine

        return RedisEngine(opens)

    def postgresql() -> Engine:
        from sterna.engines.postgres.engine import PostgresEngine

        return PostgresEngine()

    def sqlserver() -> Engine:
        from sterna.engines.sqlserver.engine import SqlServerEngine

        return SqlServerEngine(opens)

    return _Engines({"redis": redis, "postgresql": postgresql, "sqlserver": sqlserver})


class _Engines(Mapping[str, Engine]):
    """Engines that are made when they are first asked for; their names are known before."""

    def __init__(self, makers: Mapping[str, Callable[[], Engine]]) -> None:
        self._makers = makers
        self._made: dict[str, Engine] = {}

    def __getitem__(self, name: str) -> Engine:
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]

    def __contains__(self, name: object) -> bool:
        return name in self._makers

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


async def open_store(url_or_path: str, key_file: Path) -> Store:
    """The store in a database, with the key in a file, which is made if it is missing."""
    from sterna.store.secrets import load_or_make_key
    from sterna.store.sql import open_store

    return await open_store(url_or_path, load_or_make_key(key_file))


def open_bucket(bucket: Bucket) -> Storage:
    """The storage of a registered bucket, or of one that is about to be. Raises Invalid."""
    from sterna.storage.opening import open_storage

    return open_storage(bucket)


def opens_of(store: Store) -> Opens:
    """Finds buckets by what the store knows of them."""
    from sterna.storage.opening import Buckets

    return Buckets(store)


async def serve(settings: Settings) -> None:
    """The service, until SIGTERM or SIGINT: first no new requests, then the jobs leave, then the store closes."""
    import structlog

    from sterna.jobs.buckets import default_bucket
    from sterna.jobs.desk import Desk
    from sterna.runtime.local import LocalRuntime

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    with listening(settings) as listener:
        store = await open_store(settings.store_url, settings.key_path)
        try:
            os.environ.update(settings.environment())  # what the processes of the jobs begin with
            runtime = LocalRuntime(store, worker_command, settings.data)
            opens = opens_of(store)
            own_bucket = partial(default_bucket, store, settings.data)
            loaded = dict(engines(opens))  # now: later a request would wait for it
            desk = Desk(store, loaded, opens=opens, backup_bucket=own_bucket)
            await runtime.start()
            desk.resume()
            try:
                await _answer_requests(settings, desk, listener, stop)
            finally:
                await desk.close()
                await runtime.stop()
        finally:
            await store.close()
    structlog.get_logger(__name__).info("stopped")


async def work(settings: Settings, job_id: JobId) -> int:
    """One job as a child process of the service, until it rests or the service is gone."""
    from sterna.jobs.runner import Runner
    from sterna.runtime import worker

    store = await open_store(settings.store_url, settings.key_path)
    try:
        folder = settings.data / "jobs" / job_id
        await worker.work(Runner(store, engines(opens_of(store)), job_id, folder, settings.spool_limit))
    finally:
        await store.close()
    return 0


def worker_command(job_id: JobId) -> Sequence[str]:
    """What starts the process of a job. Its settings are in the environment, its secrets in the store."""
    return [sys.executable, "-m", "sterna", "worker", job_id]


def listening(settings: Settings) -> socket.socket:
    """The socket that the service listens on. Raises NeedsOperator if it cannot be had."""
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        raise NeedsOperator(
            f"Cannot listen on {settings.listen}: {error.strerror or error}",
            hint="Another service may be there already; choose another port with --listen.",
        ) from error
    # Accepted connections inherit it; without, an answer on a kept connection waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _metrics_token(file: Path | None) -> str:
    """The first line of the file; empty if none is named. Raises NeedsOperator."""
    try:
        token = file.read_text(encoding="utf-8").strip().partition("\n")[0] if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise NeedsOperator(f"The metrics token in {file} cannot be read: {error}") from error
    if file and not token:
        raise NeedsOperator(f"There is no metrics token in {file}", hint="Write one into it, e.g. 32 letters.")
    return token


async def _answer_requests(settings: Settings, desk: "Desk", listener: socket.socket, stop: asyncio.Event) -> None:
    """Serve HTTP on the socket until told to stop."""
    import structlog

    log = structlog.get_logger(__name__)
    server = _server(settings, desk)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    host, port = listener.getsockname()[:2]
    log.info("listening", address=f"{host}:{port}", tls=bool(settings.tls_cert), data=str(settings.data))
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    log.info("stopping")
    server.should_exit = True
    await serving


def _server(settings: Settings, desk: "Desk") -> "uvicorn.Server":
    import uvicorn

    from sterna.api.app import create_app
    from sterna.api.settings import ApiSettings
    from sterna.api.wire import KEEP_ALIVE_S, Wire

    class Server(uvicorn.Server):
        """Signals are the service's own: there is more to end than the HTTP server."""

        def capture_signals(self) -> "contextlib.AbstractContextManager[None]":  # type: ignore[override]
            return contextlib.nullcontext()

    api = ApiSettings(
        public_url=settings.public_url,
        clock_window_s=settings.clock_window,
        body_limit=settings.body_limit,
        token_hours=settings.token_hours,
        metrics_token=_metrics_token(settings.metrics_token_file),
        turn_file=settings.data / "turn.lock",
    )
    config = uvicorn.Config(
        create_app(desk.store, desk, api),
        http=Wire,  # h11 hands on path and query exactly as they were sent: signatures cover their bytes
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=settings.stop_wait,
    )
    try:
        config.load()
    except OSError as error:  # ssl.SSLError is one too
        raise NeedsOperator(f"The TLS files cannot be used: {error.strerror or error}") from error
    return Server(config)
