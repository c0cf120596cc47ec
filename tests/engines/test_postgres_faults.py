"""Faults of the network and of both servers: what was moved is exact, or the job says why not."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.job import Phase
from sterna.core.plan import Endpoint, Pace, Picked, Plan, Selection
from sterna.engines.postgres import copying
from tests.engines.moving import QUICK, Move, incremental
from tests.engines.postgres_shop import DATABASES, assert_same, fill, left, writing
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import SUPERUSER, PostgresServer
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
            await move.until(
                lambda job, figures, done=done: job.phase is not Phase.PREPARE and figures.bytes != done, 60
            )
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
            await move.until(lambda _, figures, done=done: figures.changes > done, 60)
        near.cut_no_more()
        far.cut_no_more()
        writer.end()
        await move.finish()
    assert writer.committed > 100
    assert_same(source, target)
    assert left(source, target) == []
