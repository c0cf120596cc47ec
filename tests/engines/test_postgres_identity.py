"""Tables without a key: their changes arrive, and the source is left as it was."""

import asyncio
from collections.abc import Iterator

import pytest

from sterna.core.errors import ServerBusy
from sterna.core.plan import Selection
from sterna.engines.postgres import ddl, identity, publication
from sterna.engines.postgres.connection import connected
from tests.engines.test_postgres_checks import endpoint
from tests.servers.postgres import PostgresServer, Unavailable, running

pytestmark = pytest.mark.server
JOB = "0123456789abcdef0123456789abcdef"
OTHER = "fedcba9876543210fedcba9876543210"
ALL = Selection()


@pytest.fixture(params=["pg15", "pg18"])
def source(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    try:
        with running(request.param) as server:
            server.create_database("shop")
            server.sql(
                'CREATE TABLE keyed (id int PRIMARY KEY); CREATE TABLE "no.Key" (a int);'
                "CREATE TABLE silent (a int); ALTER TABLE silent REPLICA IDENTITY NOTHING;"
                "CREATE TABLE full_row (a int); ALTER TABLE full_row REPLICA IDENTITY FULL;"
                "CREATE TABLE parts (a int, b int) PARTITION BY LIST (a);"
                "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1)",
                "shop",
            )
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


def nothing(*_: object, **__: str) -> None:
    """Nobody listens."""


def identities(server: PostgresServer) -> dict[str, str]:
    rows = server.sql(
        "SELECT relname, relreplident::text FROM pg_class WHERE relkind IN ('r', 'p')"
        " AND relnamespace = 'public'::regnamespace",
        "shop",
    )
    return dict(rows)


BEFORE = {"keyed": "d", "no.Key": "d", "silent": "n", "full_row": "f", "parts": "d", "parts_1": "d"}


async def test_the_rows_of_keyless_tables_can_be_told_while_a_job_follows(source: PostgresServer) -> None:
    async with connected(endpoint(source), "shop") as connection:
        found = await publication.publish(connection, JOB, "shop", ALL, nothing)
        assert {table.identity for table in found if table.path[2] != "keyed"} == {"f"}
        assert identities(source) == {name: "d" if name == "keyed" else "f" for name in BEFORE}
        source.sql('INSERT INTO "no.Key" VALUES (1); UPDATE "no.Key" SET a = 2; DELETE FROM "no.Key"', "shop")
        await publication.withdraw(connection, JOB, nothing)
        await publication.withdraw(connection, JOB, nothing)
    assert identities(source) == BEFORE
    source.sql('INSERT INTO "no.Key" VALUES (1); UPDATE "no.Key" SET a = 2; DELETE FROM "no.Key"', "shop")


async def test_what_somebody_changed_since_stays(source: PostgresServer) -> None:
    async with connected(endpoint(source), "shop") as connection:
        await publication.publish(connection, JOB, "shop", ALL, nothing)
        source.sql("ALTER TABLE silent REPLICA IDENTITY DEFAULT", "shop")
        await publication.withdraw(connection, JOB, nothing)
    assert identities(source) == BEFORE | {"silent": "d"}


async def test_of_two_jobs_the_last_one_sets_it_back(source: PostgresServer) -> None:
    async with connected(endpoint(source), "shop") as connection:
        await publication.publish(connection, JOB, "shop", ALL, nothing)
        await publication.publish(connection, OTHER, "shop", ALL, nothing)
        await publication.withdraw(connection, JOB, nothing)
        assert identities(source)["no.Key"] == "f"
        source.sql('INSERT INTO "no.Key" VALUES (1); UPDATE "no.Key" SET a = 2', "shop")
        await publication.withdraw(connection, OTHER, nothing)
    assert identities(source) == BEFORE


async def test_tables_that_come_later_are_treated_alike(source: PostgresServer) -> None:
    async with connected(endpoint(source), "shop") as connection:
        await publication.publish(connection, JOB, "shop", ALL, nothing)
        assert await ddl.install(connection, JOB, "shop", ALL)
        source.sql("CREATE TABLE later (a int)", "shop")
        source.sql("CREATE TABLE parts_2 PARTITION OF parts FOR VALUES IN (2)", "shop")
        source.sql("ALTER TABLE keyed DROP CONSTRAINT keyed_pkey", "shop")
        assert identities(source) == dict.fromkeys((*BEFORE, "later", "parts_2"), "f")
        for name in ("later", "parts", "keyed"):
            column = "id" if name == "keyed" else "a"
            source.sql(f"INSERT INTO {name} ({column}) VALUES (2); UPDATE {name} SET {column} = 2", "shop")
        await ddl.uninstall(connection, JOB)
        await publication.withdraw(connection, JOB, nothing)
    assert identities(source) == BEFORE | {"later": "d", "parts_2": "d"}


async def test_a_table_that_is_held_is_waited_for(source: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LOCK_S", 1)
    monkeypatch.setattr(identity, "PAUSE_S", 0.1)
    monkeypatch.setattr(identity, "TRIES", 2)
    holder = source.connect("shop", autocommit=False)
    holder.execute('LOCK TABLE "no.Key" IN SHARE MODE')
    told: list[str] = []
    async with connected(endpoint(source), "shop") as connection:
        with pytest.raises(ServerBusy, match=r"no\.Key"):
            await publication.publish(connection, JOB, "shop", ALL, lambda *said, **_: told.append(str(said[1])))
        assert told == ["postgres.waits"]
        going = asyncio.create_task(publication.publish(connection, JOB, "shop", ALL, nothing))
        await asyncio.sleep(0)
        holder.rollback()
        await going
        await publication.withdraw(connection, JOB, nothing)
    assert identities(source) == BEFORE


async def test_a_table_that_got_another_name_is_set_back_too(source: PostgresServer) -> None:
    async with connected(endpoint(source), "shop") as connection:
        await publication.publish(connection, JOB, "shop", ALL, nothing)
        source.sql("ALTER TABLE silent RENAME TO quiet", "shop")
        await publication.withdraw(connection, JOB, nothing)
    assert identities(source)["quiet"] == "n"
