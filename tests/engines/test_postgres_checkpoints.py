"""Looking for a job's checkpoints on a server where other jobs come and go."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sterna.core.job import JobId
from sterna.core.ports import Room
from sterna.engines.postgres import checkpoints
from sterna.engines.postgres.checkpoint import Checkpoint, enterable
from sterna.engines.postgres.checkpoints import Checkpoints
from sterna.engines.postgres.connection import Connection, connected
from tests.engines.test_postgres_checks import endpoint
from tests.servers.fixtures import StartPostgres

pytestmark = pytest.mark.server

ONE, OTHER = JobId("0123456789abcdef0123456789abcdef"), JobId("fedcba9876543210fedcba9876543210")


async def test_other_jobs_that_end_while_one_begins_do_not_disturb_it(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their checkpoints and databases may go between any two looks at them."""
    server = postgres_server()
    for name in ("left", "dropped"):
        server.create_database(name)

    class Overtaken(Checkpoint):
        """The other job ends after each of its questions."""

        async def _value(self, query: str, *values: object) -> object:
            answer = await super()._value(query, *values)
            server.sql("DROP SCHEMA IF EXISTS sterna CASCADE", "left")
            return answer

    async def listed(connection: Connection) -> Sequence[str]:
        found = await enterable(connection)
        server.sql("DROP DATABASE IF EXISTS dropped")
        return found

    async with connected(endpoint(server), "left") as connection:
        await Checkpoint(connection, Room(OTHER, 1, tmp_path)).make()
        assert await Checkpoint(connection, Room(OTHER, 1, tmp_path)).there()
        assert not await Overtaken(connection, Room(ONE, 1, tmp_path)).there()
    monkeypatch.setattr(checkpoints, "enterable", listed)
    found = Checkpoints(endpoint(server), Room(ONE, 1, tmp_path))
    await found.claim()
    assert not found
    assert [name for (name,) in server.sql("SELECT datname FROM pg_database WHERE datname = 'dropped'")] == []
