"""A database on either side for a test of its own, on servers that a module's tests share."""

import asyncio
import random
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sterna.core.job import Condition
from sterna.core.plan import Pace, Picked, Plan, Selection
from tests.effort import PATIENCE
from tests.engines.moving import Move, incremental, postgres_endpoint
from tests.engines.postgres_shop import contents, left
from tests.servers.postgres import PostgresServer, Unavailable, start


@dataclass
class Scene:
    """Two servers with a database each test has for itself, and the way to move it."""

    source: PostgresServer
    target: PostgresServer
    database: str
    folder: Path

    def plan(self, **more: object) -> Plan:
        return incremental(**{"selection": Selection(objects=(Picked((self.database,)),))} | more)

    def slowly(self) -> Plan:
        """Four megabytes a second."""
        return self.plan(pace=Pace(copy_bytes_per_s=4 << 20))

    async def moving(self, plan: Plan | None = None, **more: Any) -> Move:
        """A move that has begun."""
        source = more.get("source") or postgres_endpoint(self.source)
        target = more.get("target") or postgres_endpoint(self.target)
        move = Move(source, target, self.folder, plan or self.plan())
        return await move.start()

    def run(self, text: str) -> None:
        """On the source."""
        self.source.sql(text, self.database)

    def there(self, query: str) -> list[tuple[Any, ...]]:
        """On the target."""
        return self.target.sql(query, self.database)

    def same(self, *tables: str) -> None:
        tables = tables or ("t", "pile")
        assert contents(self.target, self.database, tables) == contents(self.source, self.database, tables)

    async def arrives(self, move: Move, seconds: float = PATIENCE) -> None:
        """Wait until what is on the source now is on the target."""
        mark = random.randrange(1 << 20, 1 << 30)
        self.run(f"INSERT INTO t VALUES ({mark})")

        end = time.monotonic() + seconds
        while not await self._has(mark):
            job = await move.now()
            assert job.condition is not Condition.FAILED, job.failure
            assert time.monotonic() < end, [event.message for event in await move.events()]
            await asyncio.sleep(0.1)

    async def _has(self, mark: int) -> bool:
        """Whether the target has a row, and the database and the table for it."""
        try:
            line = await psycopg.AsyncConnection.connect(self.target.dsn(self.database), connect_timeout=5)
            async with line:
                row = await line.execute(f"SELECT 1 FROM t WHERE id = {mark}")
                return bool(await row.fetchall())
        except (psycopg.OperationalError, psycopg.errors.UndefinedTable):
            return False

    async def ends_exactly(self, move: Move) -> None:
        """Cut over; then both sides are equal and nothing of ours is left."""
        await move.finish()
        self.same()
        assert self.left(move) == []

    def left(self, move: Move) -> list[str]:
        """What of the job is on the servers."""
        return left(self.source, self.target, databases=(self.database,), job=move.job.id)


FEW = """
    CREATE TABLE t (id int PRIMARY KEY, n int, b text);
    INSERT INTO t SELECT n, 0, repeat('x', 200) FROM generate_series(1, {rows}) n;
    CREATE TABLE pile (a int, b text);
    ALTER TABLE pile REPLICA IDENTITY FULL;
    INSERT INTO pile SELECT n % 10, 'same' FROM generate_series(1, {rows}) n;
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """Two servers that tests leave as they found them."""
    with ExitStack() as stack:
        try:
            servers = start("pg16", "max_connections=60"), start("pg18", "max_connections=60")
        except Unavailable as reason:
            pytest.skip(str(reason))
        for server in servers:
            stack.callback(server.close)
        yield servers


@pytest.fixture
def scene(pair: tuple[PostgresServer, PostgresServer], request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    database = f"{zlib.crc32(request.node.name.encode()):x} {request.node.name[5:40]}"
    made = Scene(*pair, database, tmp_path / "job")
    made.source.create_database(database)
    made.run(FEW.format(rows=3_000))
    return made
