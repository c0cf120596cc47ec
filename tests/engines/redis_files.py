"""RDB and AOF files that real servers wrote, in a bucket that is a folder, and jobs that import them."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from sterna.core.files import Opens, Storage
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile
from sterna.engines.redis.compare import compare
from sterna.engines.redis.engine import RedisEngine
from sterna.storage.folder import FolderStorage
from tests.effort import PATIENCE
from tests.engines.moving import Move, endpoint
from tests.servers.redis import Server

BUCKET = "b" * 32


def opening(storage: Storage) -> Opens:
    """Finds this one bucket whatever is asked for."""

    async def opens(bucket_id: str) -> Storage:
        return storage

    return opens


def source(*names: str) -> Endpoint:
    return Endpoint("redis", (), files=tuple(StoredFile(BUCKET, name) for name in names))


def importing(
    target: Endpoint, bucket: Path, folder: Path, *names: str, storage: Storage | None = None, **plan: Any
) -> Move:
    """A job that imports files of a bucket."""
    whole = replace(Plan(source(*names), target, mode=Mode.FULL), **plan)
    move = Move(whole.source, target, folder, whole)
    engine = RedisEngine(opening(storage or FolderStorage(bucket)))
    move.engine = engine
    move.engines["redis"] = engine
    return move


async def imported(target: Endpoint, bucket: Path, folder: Path, *names: str, **plan: Any) -> Move:
    """The same, to its end."""
    move = await importing(target, bucket, folder, *names, **plan).start()
    await move.ended()
    return move


async def assert_equal(one: Server, other: Server) -> None:
    """Both servers hold the same."""
    found = await compare(Plan(endpoint(one), endpoint(other), mode=Mode.FULL))
    assert found.equal, found.differences
    assert found.compared > 0


def client_of(server: Server, **settings: Any) -> Any:
    """A client of a server, for commands that the client library has no types for."""
    return server.client(**settings)


def saved(server: Server) -> bytes:
    """The server's RDB file."""
    client_of(server).execute_command("SAVE")
    return (server.folder / "dump.rdb").read_bytes()


def wait_for(holds: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def rewritten(server: Server) -> None:
    """Let the server write its AOF anew, and wait until it has."""
    client = client_of(server)
    wait_for(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
    client.execute_command("BGREWRITEAOF")

    def done() -> bool:
        facts = client.info("persistence")
        return not facts["aof_rewrite_in_progress"] and not facts["aof_rewrite_scheduled"]

    wait_for(done)
