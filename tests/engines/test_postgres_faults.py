"""Faults of the network and of both servers: what was moved is exact, or the job says why not."""

import asyncio
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sterna.core.job import Job, Phase
from sterna.core.plan import Endpoint, Pace, Picked, Plan, Resume, Selection
from sterna.core.progress import Progress
from sterna.engines.postgres import copying
from tests.effort import seed
from tests.engines.moving import QUICK, Move, incremental
from tests.engines.postgres_scene import FEW, Scene, pair, scene
from tests.engines.postgres_shop import DATABASES, assert_same, drop_slots, fill, left, writing
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.proxy import Proxy, proxy

__all__ = ["pair", "scene"]

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
    """Or the copy is over, where that was quick."""
    return job.phase is Phase.FOLLOW or (job.phase is not Phase.PREPARE and figures.bytes != done)


def _follows_on(done: int, _: Job, figures: Progress) -> bool:
    return figures.changes > done


async def halfway(move: Move) -> None:
    await move.until(lambda job, figures: job.phase is Phase.COPY and figures.bytes > 300_000)


async def test_a_network_that_breaks_anywhere_loses_and_doubles_nothing(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    begun_with = seed(1)
    chance = random.Random(begun_with)
    source, target = postgres_server("pg18"), postgres_server("pg18")
    fill(source)
    with ways(source, target) as (near, far), writing(source, seed=begun_with) as writer:
        move = Move(through(near, source), through(far, target), tmp_path / "job", slowly(incremental()))
        move.tempo = AGAIN
        await move.start()
        for _ in range(6):
            done = (await move.progress()).bytes
            await move.until(partial(_copies_on, done))
            way = chance.choice((near, far))
            way.cut(chance.randrange(1, 400_000), chance.choice(("to_client", "to_server")))
            chance.choice((near, far)).drop()
        near.cut_no_more()
        far.cut_no_more()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 100)
        writer.truncates = True
        for _ in range(10):
            done = (await move.progress()).changes
            way = chance.choice((near, far))
            way.cut(chance.choice((1, 100, 1_000, 10_000)) + chance.randrange(100), "to_client")
            way.cut(chance.choice((1, 100, 1_000, 10_000)) + chance.randrange(100), "to_server")
            chance.choice((near, far)).drop()
            await move.until(partial(_follows_on, done))
        near.cut_no_more()
        far.cut_no_more()
        writer.end()
        await move.finish()
    assert writer.committed > 100
    assert_same(source, target)
    assert left(source, target) == []


# Servers that go and come back as something else


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
    drop_slots(scene.source)
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
    scene.run(FEW.format(rows=3_000))
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
        source.sql(FEW.format(rows=100), name)
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
    assert scene.left(move) == []
