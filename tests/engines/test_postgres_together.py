"""Many jobs begin and end on one server at the same moment: none is in another's way."""

import asyncio
from pathlib import Path

import pytest

from sterna.core.change import Position
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Selection
from sterna.core.ports import Room
from sterna.engines.postgres import ddl, publication
from sterna.engines.postgres.checkpoints import Checkpoints
from sterna.engines.postgres.connection import connected
from tests.engines.test_postgres_checks import endpoint
from tests.servers.fixtures import StartPostgres

pytestmark = pytest.mark.server
JOBS, ROUNDS = 6, 12


def nothing(*_: object, **__: str) -> None:
    """Nobody listens."""


def job(number: int) -> JobId:
    return JobId(f"{number:032x}")


async def write_a_little(target: Endpoint, folder: Path, number: int) -> None:
    """What a job does with its checkpoint from its beginning to its end, again and again."""
    folder.mkdir()  # noqa: ASYNC240 - the tests' own, at once
    for turn in range(ROUNDS):
        checkpoints = Checkpoints(target, Room(job(number), turn + 1, folder))
        try:
            await checkpoints.claim()
            assert not checkpoints
            await checkpoints.make({"shop": "shop"})
            await checkpoints.keep(["copied"], Position(f"0:{turn}"))
            assert await checkpoints.position("copied") == f"0:{turn}"
            await checkpoints.drop()
        finally:
            await checkpoints.close()


async def watch_a_little(source: Endpoint, number: int) -> None:
    """The same with what a job has on its source."""
    for _ in range(ROUNDS):
        async with connected(source, "shop") as connection:
            await publication.publish(connection, job(number), "shop", Selection(), nothing)
            assert await ddl.install(connection, job(number), "shop", Selection())
            await ddl.uninstall(connection, job(number))
            await publication.withdraw(connection, job(number), nothing)


async def test_checkpoints_of_many_jobs_come_and_go_side_by_side(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.create_database("shop")
    jobs = [write_a_little(endpoint(server), tmp_path / str(number), number) for number in range(JOBS)]
    await asyncio.gather(*jobs)
    assert not server.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'sterna'", "shop")


async def test_marks_of_many_jobs_come_and_go_side_by_side(postgres_server: StartPostgres) -> None:
    server = postgres_server()
    server.create_database("shop")
    await asyncio.gather(*(watch_a_little(endpoint(server), number) for number in range(JOBS)))
    assert not server.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'sterna'", "shop")
    assert not server.sql("SELECT 1 FROM pg_event_trigger", "shop")
