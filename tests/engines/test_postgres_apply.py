"""Changes from a real slot, written into a real server."""

from collections.abc import Iterator

import pytest

from sterna.core.errors import ApplyFailed
from sterna.core.plan import Conflict, Picked, Selection
from tests.engines.postgres_feeding import SOURCE, TARGET, pair
from tests.servers import postgres
from tests.servers.postgres import PostgresServer, Unavailable

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=["pg15", "pg18"])
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    try:
        started = postgres.start(request.param)
    except Unavailable as reason:
        pytest.skip(str(reason))
    try:
        yield started
    finally:
        started.close()


async def test_rows_are_inserted_updated_and_deleted(server: PostgresServer) -> None:
    async with pair(server, "CREATE TABLE a (id int PRIMARY KEY, t text, n numeric(10,2))") as both:
        await both.feed("INSERT INTO a SELECT i, 'row ' || i, i / 3.0 FROM generate_series(1, 100) i")
        await both.same("a")
        await both.feed("UPDATE a SET t = NULL WHERE id < 20; DELETE FROM a WHERE id % 7 = 0")
        await both.same("a")
        await both.feed("UPDATE a SET id = id + 1000 WHERE id > 90; INSERT INTO a VALUES (95, E'\\\\ \"\\t\\n{}')")
        await both.same("a")
