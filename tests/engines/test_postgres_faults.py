"""Faults of the network and of both servers: what was moved is exact, or the job says why not."""

import asyncio
import random
import time
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sterna.core.job import Condition, Job, Phase
from sterna.core.plan import Endpoint, Pace, Picked, Plan, Resume, Selection
from sterna.core.progress import Progress
from sterna.engines.postgres import copying
from tests.engines.moving import QUICK, Move, incremental, postgres_endpoint
from tests.engines.postgres_shop import DATABASES, assert_same, contents, fill, left, writing
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import SUPERUSER, PostgresServer, Unavailable, start
from tests.servers.proxy import Proxy, proxy

pytestmark = pytest.mark.server

AGAIN = replace(QUICK, first_wait=0.02, longest_wait=0.1)
"""For networks that break all the time."""


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a copy has many moments to be disturbed in."""
    monkeypatch.setattr(copying, "CHUNK", 64 << 10)


def through(way: Proxy, server: PostgresServer) -> Endpoint:
    return Endpoint("postgresql", ((way.host, way.port),), user=SUPERUSER, password=server.password)


def slowly(plan: Plan, megabytes: float = 3) -> Plan:
    picked = tuple(Picked((name,)) for name in DATABASES)
    pace = Pace(copy_bytes_per_s=int(megabytes * (1 << 20)))
    return replace(plan, pace=pace, selection=Selection(objects=picked))


@contextmanager
def ways(source: PostgresServer, target: PostgresServer) -> Iterator[tuple[Proxy, Proxy]]:
    with proxy(source.host, source.port) as one, proxy(target.host, target.port) as other:
        yield one, other


def _copies_on(done: int, job: Job, figures: Progress) -> bool:
    return job.phase is not Phase.PREPARE and figures.bytes != done


def _follows_on(done: int, _: Job, figures: Progress) -> bool:
    return figures.changes > done


async def halfway(move: Move) -> None:
    await move.until(lambda job, figures: job.phase is Phase.COPY and figures.bytes > 300_000)


async def test_a_network_that_breaks_anywhere_loses_and_doubles_nothing(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 30)
    print(f"seed {seed}")
    chance = random.Random(seed)
    source, target = postgres_server("pg18"), postgres_server("pg18")
    fill(source)
    with ways(source, target) as (near, far), writing(source, seed=seed) as writer:
        move = Move(through(near, source), through(far, target), tmp_path / "job", slowly(incremental()))
        move.tempo = AGAIN
        await move.start()
        for _ in range(6):
            done = (await move.progress()).bytes
            await move.until(partial(_copies_on, done), 60)
            way = chance.choice((near, far))
            way.cut(chance.randrange(1, 400_000), chance.choice(("to_client", "to_server")))
            chance.choice((near, far)).drop()
        near.cut_no_more()
        far.cut_no_more()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 100, 60)
        writer.truncates = True
        for _ in range(10):
            done = (await move.progress()).changes
            way = chance.choice((near, far))
            way.cut(chance.choice((1, 100, 1_000, 10_000)) + chance.randrange(100), "to_client")
            way.cut(chance.choice((1, 100, 1_000, 10_000)) + chance.randrange(100), "to_server")
            chance.choice((near, far)).drop()
            await move.until(partial(_follows_on, done), 60)
        near.cut_no_more()
        far.cut_no_more()
        writer.end()
        await move.finish()
    assert writer.committed > 100
    assert_same(source, target)
    assert left(source, target) == []


# Servers that go and come back as something else


@dataclass
class Scene:
    """Two servers with a database each test has for itself, and the way to move it."""

    source: PostgresServer
    target: PostgresServer
    database: str
    folder: Path

    def plan(self, **more: object) -> Plan:
        return incremental(**{"selection": Selection(objects=(Picked((self.database,)),))} | more)

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

    async def arrives(self, move: Move, seconds: float = 30) -> None:
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
        assert self.left() == []

    def left(self) -> list[str]:
        return [
            thing
            for thing in left(self.source, self.target, databases=(self.database,))
            if "prepared" not in thing
        ]


_FEW = """
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
    made.run(_FEW.format(rows=3_000))
    return made


async def test_a_source_that_restarts_during_the_copy_is_copied_anew_and_nothing_is_doubled(scene: Scene) -> None:
    scene.run("INSERT INTO t SELECT n, 0, repeat('x', 900) FROM generate_series(10000, 30000) n")
    move = await scene.moving(scene.plan(pace=Pace(copy_bytes_per_s=4 << 20)))
    await halfway(move)
    scene.source.kill9()
    scene.source.start()
    scene.run("INSERT INTO pile VALUES (1, 'same'), (1, 'same'); DELETE FROM t WHERE id = 5")
    await scene.arrives(move)
    assert await move.events("run.again")
    await scene.ends_exactly(move)


@pytest.mark.parametrize("resume", list(Resume))
async def test_a_slot_that_was_dropped_by_hand_means_a_new_copy_or_a_clear_word(
    scene: Scene, resume: Resume
) -> None:
    move = await scene.moving(scene.plan(resume=resume))
    await move.follows()
    await move.pause()
    scene.source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    scene.run("DELETE FROM t WHERE id < 10; INSERT INTO pile VALUES (1, 'same')")
    if resume is Resume.MANUAL:
        await move.again()
        assert "no slot" in await move.fails("STERNA.2002")
        await move.desk.reset(await move.now())
        move.go()
        while (await move.now()).wished:
            await asyncio.sleep(0.01)
    else:
        await move.again()
    await scene.arrives(move)
    await scene.ends_exactly(move)


async def test_a_slot_that_the_source_gave_up_means_a_new_copy(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source = postgres_server("pg18", "max_slot_wal_keep_size=1MB", "min_wal_size=32MB", "max_wal_size=32MB")
    scene = Scene(source, postgres_server("pg18"), "lost", tmp_path / "job")
    source.create_database("lost")
    scene.run(_FEW.format(rows=3_000))
    move = await scene.moving()
    await move.follows()
    await move.pause()
    while source.sql("SELECT wal_status FROM pg_replication_slots") != [("lost",)]:
        source.sql("SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000000)); SELECT pg_switch_wal()")
        source.sql("CHECKPOINT")
    scene.run("DELETE FROM t WHERE id < 10; INSERT INTO pile VALUES (1, 'same')")
    await move.again()
    await scene.arrives(move)
    assert await move.events("run.again")
    await scene.ends_exactly(move)


@pytest.mark.parametrize("how", ["dropped", "made anew", "schema dropped", "restored"])
async def test_a_target_that_lost_its_data_while_paused_is_filled_anew(scene: Scene, how: str) -> None:
    move = await scene.moving()
    await move.follows()
    backup = f"{scene.database}_backup"
    if how == "restored":
        await move.pause()
        scene.target.sql(f'CREATE DATABASE "{backup}" TEMPLATE "{scene.database}"')
        await move.again()
    scene.run("INSERT INTO t VALUES (-1); UPDATE pile SET b = 'other' WHERE a = 1")
    await move.caught_up()
    await move.pause()
    if how == "schema dropped":
        scene.target.sql("DROP SCHEMA sterna CASCADE; DROP TABLE t", scene.database)
    else:
        scene.target.sql(f'DROP DATABASE "{scene.database}" WITH (FORCE)')
    if how == "made anew":
        scene.target.create_database(scene.database)
    if how == "restored":
        scene.target.sql(f'ALTER DATABASE "{backup}" RENAME TO "{scene.database}"')
    scene.run("INSERT INTO t VALUES (-2)")
    await move.again()
    await scene.arrives(move)
    await scene.ends_exactly(move)


@pytest.mark.parametrize("how", ["dropped", "made anew"])
async def test_one_of_two_databases_of_the_target_that_is_gone_is_found_out(
    pair: tuple[PostgresServer, PostgresServer], tmp_path: Path, how: str
) -> None:
    source, target = pair
    names = [f"two {how} {n}" for n in range(2)]
    for name in names:
        source.create_database(name)
        source.sql(_FEW.format(rows=100), name)
    picked = Selection(objects=tuple(Picked((name,)) for name in names))
    scene = Scene(source, target, names[0], tmp_path / "job")
    move = await scene.moving(incremental(selection=picked))
    await move.follows()
    await move.pause()
    target.sql(f'DROP DATABASE "{names[0]}" WITH (FORCE)')
    if how == "made anew":
        target.create_database(names[0])
    scene.run("INSERT INTO t VALUES (-2)")
    await move.again()
    await scene.arrives(move)
    await move.finish()
    for name in names:
        Scene(source, target, name, tmp_path).same()
    assert scene.left() == []
