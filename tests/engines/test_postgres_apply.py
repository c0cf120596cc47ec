"""Changes from a real slot, written into a real server."""

from collections.abc import Iterator

import pytest

from sterna.core.errors import ApplyFailed
from sterna.core.plan import Picked, Selection
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


def only(name: str, *, to: str = "", columns: tuple[str, ...] = (), where: str = "") -> Selection:
    target = (TARGET, "public", to) if to else (TARGET, "public", name)
    return Selection(objects=(Picked((SOURCE, "public", name), target, columns, where),))


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
@pytest.mark.parametrize("most", [0, 1])
async def test_a_filtered_table_holds_exactly_the_rows_that_meet_the_condition(
    server: PostgresServer, identity: str, most: int
) -> None:
    schema = 'CREATE TABLE a (id int PRIMARY KEY, "Kind" text, n int, big text)'
    here = f"ALTER TABLE a REPLICA IDENTITY {identity}; ALTER TABLE a ALTER big SET STORAGE EXTERNAL"
    where = """ "Kind" = 'x' AND n > 5 -- the wanted"""
    async with pair(server, schema, here=here, selection=only("a", where=where)) as both:

        async def same() -> None:
            ours = both.source.execute("SELECT * FROM a WHERE \"Kind\" = 'x' AND n > 5 ORDER BY id").fetchall()
            assert ours == await both.on_target("SELECT * FROM public.a ORDER BY id")

        for sql in (
            "INSERT INTO a SELECT i, CASE i % 2 WHEN 0 THEN 'x' END, i % 11, 'b' FROM generate_series(1, 100) i",
            "UPDATE a SET n = n + 3",
            "UPDATE a SET \"Kind\" = 'x' WHERE id < 30; UPDATE a SET n = 3 WHERE id IN (7, 9)",
            "UPDATE a SET id = id + 1000, n = n - 1 WHERE id % 3 = 0",
            "DELETE FROM a WHERE id % 5 = 0",
            "UPDATE a SET n = 0; UPDATE a SET n = 9; DELETE FROM a WHERE n = 9 AND id > 500",
        ):
            await both.feed(sql, most=most)
            await same()
        assert not both.told.events


async def test_a_row_that_enters_a_filter_without_being_known_whole_is_an_error(server: PostgresServer) -> None:
    schema = "CREATE TABLE a (id int PRIMARY KEY, n int, big text); ALTER TABLE a ALTER big SET STORAGE EXTERNAL"
    async with pair(server, schema, selection=only("a", where="n > 5")) as both:
        await both.feed("INSERT INTO a VALUES (1, 1, repeat('x', 10000))")
        with pytest.raises(ApplyFailed) as caught:
            await both.feed("UPDATE a SET n = 7")
        assert 'ALTER TABLE "public"."a" REPLICA IDENTITY FULL' in caught.value.hint
