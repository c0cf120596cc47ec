"""Processes of a journey: the child of one job, and a service that runs jobs in children. Both know but a folder.

The databases of the memory engine stand in the test's own process and are reached through a socket, like servers.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Sequence
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import cast

from sterna.core.job import JobId
from sterna.engines.memory.database import Database
from sterna.engines.memory.engine import MemoryEngine
from sterna.jobs.runner import Runner
from sterna.runtime.local import LocalRuntime, Patience
from sterna.runtime.worker import work
from sterna.store.secrets import load_or_make_key
from sterna.store.sql import SqlStore, open_store
from tests.journeys.stage import HASTE, QUICK

KEY = b"journey"
PATIENT = Patience(look=0.05, grace=8.0, first_wait=0.05, longest_wait=0.2, deaths=4)


class Servers(BaseManager):
    """Hands out databases to other processes."""


def serve(folder: Path, source: Database, target: Database) -> None:
    """Let other processes reach two databases, for as long as this one lives."""
    served = {"source": source, "target": target}
    Servers.register("database", callable=lambda name: served[name])
    server = Servers(("127.0.0.1", 0), KEY).get_server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (folder / "servers.json").write_text(json.dumps(server.address))


def reach(folder: Path) -> MemoryEngine:
    """The engine of a process that reaches the databases through the socket."""
    Servers.register("database")
    servers = Servers(tuple(json.loads((folder / "servers.json").read_text())), KEY)
    servers.connect()
    there = {name: cast(Database, servers.database(name)) for name in ("source", "target")}  # type: ignore[attr-defined]
    return MemoryEngine(there, HASTE)


async def store_of(folder: Path) -> SqlStore:
    return await open_store(folder / "sterna.db", load_or_make_key(folder / "key"))


def command(folder: Path, id: JobId) -> Sequence[str]:
    return [sys.executable, "-m", "tests.journeys.child", str(folder), id]


async def child(folder: Path, id: str) -> None:
    store = await store_of(folder)
    try:
        runner = Runner(store, {"memory": reach(folder)}, JobId(id), folder / "jobs" / id, tempo=QUICK)
        await work(runner, grace=5.0)
    finally:
        await store.close()


async def service(folder: Path) -> None:
    """Runs jobs until it is killed."""
    runtime = LocalRuntime(await store_of(folder), lambda id: command(folder, id), folder, PATIENT)
    await runtime.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    where, job = Path(sys.argv[1]), sys.argv[2:]
    asyncio.run(child(where, job[0]) if job else service(where))
