"""What docs/what-if.md says of PostgreSQL, where no other test shows it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.job import Condition
from sterna.core.plan import Conflict, Picked, Resume, Selection
from tests.effort import PATIENCE
from tests.engines.moving import Move, incremental, postgres_endpoint
from tests.engines.postgres_shop import drop_slots
from tests.servers.postgres import PostgresServer, Unavailable, running

pytestmark = pytest.mark.server

LEFT = """
    SELECT slot_name::text FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication
    UNION ALL SELECT evtname FROM pg_event_trigger UNION ALL SELECT roname FROM pg_replication_origin
    UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'"""


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    try:
        with running("pg18") as source, running("pg18") as target:
            yield source, target
    except Unavailable as reason:
        pytest.skip(str(reason))


class Shop:
    """A database of the source that a job moves."""

    def __init__(self, servers: tuple[PostgresServer, PostgresServer], folder: Path) -> None:
        self.source, self.target = servers
        self.folder = folder
        for server in servers:
            server.sql("DROP DATABASE IF EXISTS shop WITH (FORCE)")
        self.source.sql("CREATE DATABASE shop")
        self.on_source("CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT generate_series(1, 100)")
        self.move: Move

    def on_source(self, text: str) -> list[tuple[object, ...]]:
        return self.source.sql(text, "shop")

    def on_target(self, text: str) -> list[tuple[object, ...]]:
        return self.target.sql(text, "shop")

    async def follows(self, user: str = "", **plan: object) -> Move:
        """A job that follows; it logs in as the superuser, or as another with the same password."""
        here, there = (postgres_endpoint(server) for server in (self.source, self.target))
        here, there = replace(here, user=user or here.user), replace(there, user=user or there.user)
        selection = Selection(objects=(Picked(("shop",)),))
        self.move = await Move(here, there, self.folder, incremental(selection=selection, **plan)).start()
        await self.move.follows()
        return self.move

    async def ends(self) -> None:
        """It catches up and ends: both sides are equal, and nothing is left."""
        self.on_source("INSERT INTO a (id) VALUES (1001)")
        await self.move.caught_up()
        await self.move.finish()
        await self.move.is_equal()
        assert (self.on_source(LEFT), self.on_target(LEFT)) == ([], [])

    async def is_told(self, code: str, times: int = 1) -> None:
        """Wait for an event."""
        end = time.monotonic() + PATIENCE
        while len(await self.move.events(code)) < times:
            assert time.monotonic() < end, [event.message for event in await self.move.events()]
            await asyncio.sleep(0.05)

    async def is_given_up(self) -> None:
        """A job that does not run is stopped."""
        await self.move.desk.stop(await self.move.now())
        self.move.go()
        assert self.move.task
        await self.move.task
        assert (await self.move.now()).condition is Condition.DONE


@pytest.fixture
async def shop(servers: tuple[PostgresServer, PostgresServer], tmp_path: Path) -> AsyncIterator[Shop]:
    shop = Shop(servers, tmp_path)
    yield shop
    await shop.move.cut()
    if (await shop.move.now()).condition is not Condition.DONE:
        await shop.is_given_up()


@pytest.mark.parametrize("side", ["source", "target"])
async def test_a_server_that_is_killed_while_changes_follow_costs_nothing(shop: Shop, side: str) -> None:
    move = await shop.follows()
    server = getattr(shop, side)
    server.kill9()
    await move.until(lambda _, figures: figures.retries > 0)
    server.start()
    await shop.ends()
    assert not await move.events("run.again")


def drop_slot(shop: Shop) -> None:
    drop_slots(shop.source)
    shop.on_source("INSERT INTO a (id) VALUES (500); DELETE FROM a WHERE id = 7")


async def test_a_slot_that_is_gone_means_a_new_copy(shop: Shop) -> None:
    move = await shop.follows()
    await move.pause()
    drop_slot(shop)
    await move.again()
    await shop.is_told("run.again")
    await move.follows()
    await shop.ends()


async def test_a_slot_that_is_gone_stops_a_job_that_shall_not_copy_again(shop: Shop) -> None:
    move = await shop.follows(resume=Resume.MANUAL)
    await move.pause()
    drop_slot(shop)
    await move.again()
    assert "no slot for shop" in await move.fails("STERNA.2002")


async def test_a_target_that_was_emptied_gets_everything_again(shop: Shop) -> None:
    move = await shop.follows()
    shop.target.sql("DROP DATABASE shop WITH (FORCE)")
    shop.target.sql("CREATE DATABASE shop")
    shop.on_source("INSERT INTO a (id) VALUES (500)")
    await shop.is_told("run.again")
    await move.follows()
    await shop.ends()


async def test_a_changed_table_stops_the_job_until_a_person_has_changed_it_too(shop: Shop) -> None:
    move = await shop.follows()
    shop.on_source("INSERT INTO a VALUES (500, 'x')")
    shop.on_source("ALTER TABLE a DROP COLUMN t")
    shop.on_source("INSERT INTO a VALUES (501)")
    assert "ALTER TABLE a DROP COLUMN t" in await move.fails("STERNA.2007")
    assert shop.on_target("SELECT max(id) FROM a") == [(500,)]
    shop.on_target("ALTER TABLE a DROP COLUMN t")
    await move.again()
    await shop.is_told("postgresql.ddl.passed")
    await shop.ends()


async def test_a_changed_table_is_changed_on_the_target_where_that_was_asked_for(shop: Shop) -> None:
    move = await shop.follows(options={"ddl": "apply"})
    shop.on_source("ALTER TABLE a ADD COLUMN n int DEFAULT 5")
    shop.on_source("INSERT INTO a (id, n) VALUES (501, 6)")
    shop.on_source("CREATE TABLE b (id int PRIMARY KEY)")
    shop.on_source("INSERT INTO b VALUES (1)")
    await shop.is_told("postgresql.ddl.applied")
    await move.caught_up()
    assert shop.on_target("SELECT n FROM a WHERE id IN (1, 501) ORDER BY id") == [(5,), (6,)]
    await shop.ends()


async def test_what_somebody_else_writes_to_the_target_is_told(shop: Shop) -> None:
    move = await shop.follows(conflict=Conflict.OVERWRITE)
    shop.on_target("INSERT INTO a VALUES (500, 'theirs'); DELETE FROM a WHERE id = 5")
    shop.on_source("INSERT INTO a VALUES (500, 'ours'); UPDATE a SET t = 'x' WHERE id = 5")
    await shop.is_told("postgres.conflict", 2)
    await move.caught_up()
    assert len(await move.events("postgres.conflict")) == 2
    await shop.ends()


async def test_timeouts_of_a_role_do_not_end_a_job(shop: Shop) -> None:
    names = "statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"
    for server in (shop.source, shop.target):  # a role of the job's own: the test's statements may take their time
        server.sql(f"CREATE ROLE hasty SUPERUSER LOGIN PASSWORD '{server.password}'")
        for name in names:
            server.sql(f"ALTER ROLE hasty SET {name} = '50ms'")
    await shop.follows("hasty")
    await shop.ends()


async def test_a_failed_job_that_is_stopped_leaves_nothing(shop: Shop) -> None:
    move = await shop.follows()
    shop.on_source("ALTER TABLE a ADD COLUMN n int")
    await move.fails("STERNA.2007")
    await shop.is_given_up()
    assert (shop.on_source(LEFT), shop.on_target(LEFT)) == ([], [])
