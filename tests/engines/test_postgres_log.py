"""The log of changes of a real PostgreSQL server: nothing is missing, nothing comes twice, nothing is left."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sterna.core.change import Batch, Command, Position
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Room
from sterna.engines.postgres.log import PostgresLog
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server
BOTH = pytest.mark.parametrize("flavor", ["pg15", "pg18"])


class Told(list[tuple[str, str]]):
    """What the operator was told: code and message."""

    def __call__(self, level: object, code: str, message: str, **fields: str) -> None:
        self.append((code, message))


def plan_of(server: PostgresServer, **words: Any) -> Plan:
    endpoint = Endpoint("postgresql", ((server.host, server.port),), "postgres", server.password)
    return Plan(endpoint, endpoint, **words)


@asynccontextmanager
async def log_of(server: PostgresServer, folder: Path, **words: Any) -> AsyncIterator[PostgresLog]:
    log = PostgresLog(plan_of(server, **words), Room(JobId("job-1"), 1, folder), Told())
    try:
        yield log
    finally:
        await log.close()


async def collect(log: PostgresLog, after: Position, enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    """Batches until there is enough of them."""
    found: list[Batch] = []
    async with asyncio.timeout(30), aclosing(log.follow(after)) as batches:
        async for batch in batches:
            found.append(batch)
            if enough(found):
                return found
    raise AssertionError("the log ended")


def messages(batches: list[Batch]) -> list[tuple[str, bytes]]:
    """Database and message, in order."""
    found = []
    for batch in batches:
        for change in batch.changes:
            assert isinstance(change, Command)
            at = 0
            while at < len(change.data):
                (size,) = struct.unpack_from(">I", change.data, at)
                found.append((change.database, change.data[at + 4 : at + 4 + size]))
                at += 4 + size
    return found


def kinds(batches: list[Batch]) -> str:
    return "".join(chr(message[0]) for _, message in messages(batches))


def rows(batches: list[Batch]) -> int:
    return sum(kinds(batches).count(kind) for kind in "IUD")


def left_on(server: PostgresServer, *names: str) -> list[Any]:
    """Whatever of a job is on the server."""
    found = server.sql("SELECT slot_name FROM pg_replication_slots")
    found += server.sql(
        "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'sterna!_%' ESCAPE '!'"
    )
    for name in ("postgres", *names):
        found += server.sql("SELECT pubname FROM pg_publication", name)
        found += server.sql("SELECT evtname FROM pg_event_trigger", name)
        found += server.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'", name)
    return found


@BOTH
async def test_a_snapshot_and_the_changes_after_it_make_the_whole(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    server.sql(
        "CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, 10) i"
    )
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        server.sql("INSERT INTO a SELECT i, 'y' FROM generate_series(11, 15) i; DELETE FROM a WHERE id = 1")
        snapshot = await log.snapshot("postgres")
        with server.connect() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'".encode())
            assert connection.execute("SELECT count(*) FROM a").fetchone() == (10,)
        await log.copied()
        await log.copied()
        batches = await collect(log, anchor, lambda found: rows(found) == 6)
        assert kinds(batches) in ("BRIIIIIDC", "BRIIIIICBDC")
        await log.release()
        await log.release()
    assert left_on(server) == []
