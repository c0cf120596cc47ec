"""Tables that change their shape while a job follows: through whole moves."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sterna.core.plan import Picked, Plan, Selection
from sterna.engines.postgres import watch
from tests.effort import PATIENCE
from tests.engines.moving import Move, incremental, postgres_endpoint
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server

_TABLES = """
    CREATE TYPE mood AS ENUM ('a', 'b');
    CREATE TABLE t (id int PRIMARY KEY, v text, m mood);
    INSERT INTO t VALUES (1, 'a', 'a');
    CREATE TABLE u (id int PRIMARY KEY);
    CREATE TABLE gone (id int PRIMARY KEY, u int REFERENCES u);
    CREATE INDEX gone_u ON gone (u);
    CREATE TABLE p (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
    CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);
    INSERT INTO p VALUES (1, 1), (2, 2)"""


def shop(**options: str) -> Plan:
    return incremental(selection=Selection(objects=(Picked(("shop",)),)), options=options)


async def moving(source: PostgresServer, target: PostgresServer, folder: Path, plan: Plan) -> Move:
    source.create_database("shop")
    source.sql(_TABLES, "shop")
    move = Move(postgres_endpoint(source), postgres_endpoint(target), folder, plan)
    await move.start()
    await move.follows()
    return move


def run(server: PostgresServer, *statements: str) -> None:
    """Each as a client would send it, alone, all on one connection."""
    connection = server.connect("shop")
    for statement in statements:
        connection.execute(statement.encode())


async def test_changes_of_shape_within_a_transaction_are_made_by_a_person_one_after_the_other(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    move = await moving(source, target, tmp_path / "job", shop())
    run(
        source,
        "INSERT INTO t VALUES (2, 'before', 'a')",
        "BEGIN",
        "INSERT INTO t VALUES (3, 'old', 'a')",
        "ALTER TABLE t ADD COLUMN x int",
        "INSERT INTO t VALUES (4, 'wider', 'a', 4)",
        "ALTER TABLE t RENAME COLUMN v TO w",
        "INSERT INTO t VALUES (5, 'renamed', 'a', 5)",
        "ALTER TABLE t DROP COLUMN x",
        "ALTER TABLE t DROP COLUMN m",
        "UPDATE t SET w = w || '!'",
        "COMMIT",
        "INSERT INTO t VALUES (6, 'after')",
    )
    for change in ("ADD COLUMN x int", "RENAME COLUMN v TO w", "DROP COLUMN x", "DROP COLUMN m"):
        assert "changed on the source: ALTER TABLE public.t" in await move.fails("STERNA.2007")
        target.sql(f"ALTER TABLE t {change}", "shop")
        await move.again()
    await move.caught_up()
    await move.finish()
    assert len(await move.events("postgresql.ddl.passed")) == 4
    await move.is_equal()


@pytest.mark.slow
async def test_a_change_of_shape_that_nobody_made_is_asked_for_when_rows_need_it(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    move = await moving(source, target, tmp_path / "job", shop())
    run(source, "ALTER TABLE t ADD COLUMN x int", "INSERT INTO t VALUES (2, 'b', 'b', 3)")
    await move.fails("STERNA.2007")
    await move.again()
    assert "column x (integer) is missing" in await move.fails("STERNA.2007")
    target.sql("ALTER TABLE t ADD COLUMN x int", "shop")
    await move.again()
    await move.caught_up()
    await move.finish()
    await move.is_equal()


async def test_what_surely_does_the_same_on_the_target_is_run_there(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    move = await moving(source, target, tmp_path / "job", shop(ddl="apply"))
    for number in range(8):  # so that the target's statements are prepared, which changes of shape must outlive
        run(source, f"INSERT INTO t VALUES ({10 + number}, 'x', 'a')")
        await move.caught_up()
    run(
        source,
        *("BEGIN", "INSERT INTO t VALUES (2, 'b', 'b')", "ALTER TABLE t ADD COLUMN x int"),
        *("INSERT INTO t VALUES (3, 'c', 'a', 3)", "UPDATE t SET x = 9 WHERE id = 1", "COMMIT"),
        *("ALTER TABLE t RENAME COLUMN v TO w", "INSERT INTO t VALUES (4, 'ww', 'b', 4)"),
        *("ALTER TABLE t DROP COLUMN x", "INSERT INTO t VALUES (5, 'ww', 'b')"),
        *("ALTER TYPE mood ADD VALUE 'c'", "INSERT INTO t VALUES (6, '6', 'c')"),
        *("CREATE TABLE clock (id int PRIMARY KEY, at timestamp)", "INSERT INTO clock VALUES (1, '2020-01-01')"),
        *("SET TimeZone = 'Asia/Tokyo'", "ALTER TABLE clock ALTER COLUMN at TYPE timestamptz"),
        *("SET DateStyle = 'SQL, DMY'", "ALTER TABLE clock ALTER COLUMN at TYPE text"),
        *("BEGIN", "SAVEPOINT s", "ALTER TABLE t ADD COLUMN no int", "ROLLBACK TO s", "COMMIT"),
        *("CREATE TABLE bare (id int, v text)", "INSERT INTO bare VALUES (1, 'x'), (1, 'x')"),
        *("DELETE FROM bare WHERE ctid = '(0,1)'", "DROP TABLE gone", "CREATE INDEX t_w ON t (w)"),
        *("CREATE INDEX CONCURRENTLY t_m ON t (m)", "ALTER TABLE u RENAME TO u2", "INSERT INTO u2 VALUES (1)"),
        *("ALTER TABLE p DETACH PARTITION p2", "INSERT INTO p2 VALUES (3, 2)", "DELETE FROM p2 WHERE id = 2"),
        *("ALTER TABLE p ATTACH PARTITION p2 FOR VALUES IN (2)", "UPDATE p SET k = 2 WHERE id = 1"),
        *("CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3)", "INSERT INTO p VALUES (7, 3)"),
        *("CREATE SCHEMA s2", "CREATE TABLE s2.t (id serial PRIMARY KEY, j jsonb)"),
        *("INSERT INTO s2.t (j) VALUES ('{}')", "INSERT INTO s2.t (j) VALUES ('[]')"),
    )
    await move.caught_up()
    assert not await move.events("run.failed")
    await move.finish()
    await move.is_equal()
    assert target.sql("SELECT nextval('s2.t_id_seq') > 2", "shop") == [(True,)]


@pytest.mark.slow
async def test_what_the_target_refuses_to_run_is_made_by_a_person(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    move = await moving(source, target, tmp_path / "job", shop(ddl="apply"))
    target.sql("CREATE VIEW seen AS SELECT v FROM t", "shop")
    run(source, "ALTER TABLE t ALTER COLUMN v TYPE varchar(100)", "INSERT INTO t VALUES (2, 'b', 'b')")
    assert "used by a view" in await move.fails("STERNA.2007")
    target.sql("DROP VIEW seen; ALTER TABLE t ALTER COLUMN v TYPE varchar(100)", "shop")
    await move.again()
    await move.caught_up()
    await move.finish()
    await move.is_equal()


def without_superusers(source: PostgresServer, target: PostgresServer, folder: Path, plan: Plan) -> Move:
    """A move by users who own what they move, and no more."""
    source.sql("CREATE ROLE mover LOGIN REPLICATION PASSWORD 'pw'")
    target.sql("CREATE ROLE mover LOGIN CREATEDB PASSWORD 'pw'")
    source.create_database("shop")
    source.sql("ALTER DATABASE shop OWNER TO mover")
    source.sql(f"ALTER SCHEMA public OWNER TO mover; SET ROLE mover; {_TABLES}", "shop")
    here, there = (replace(postgres_endpoint(each), user="mover", password="pw") for each in (source, target))
    return Move(here, there, folder, plan)


async def test_without_a_trigger_a_change_of_shape_stops_the_job_in_the_midst_of_changes(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.1)
    source, target = postgres_server("pg18"), postgres_server("pg18")
    move = await without_superusers(source, target, tmp_path / "job", shop()).start()
    await move.follows()
    writer = source.connect("shop")
    writing = asyncio.create_task(asyncio.to_thread(_write, writer, stop := threading.Event()))
    for change in ("DROP COLUMN m", "DROP COLUMN v"):
        source.sql(f"SET ROLE mover; ALTER TABLE t {change}", "shop")
        assert "changed on the source: changed public.t" in await move.fails("STERNA.2007")
        await move.again()
        await move.follows()
    source.sql("SET ROLE mover; CREATE TABLE fresh (id int)", "shop")
    assert "rows of public.fresh are not followed" in await move.fails("STERNA.2007")
    stop.set()
    await writing
    target.sql("SET ROLE mover; CREATE TABLE fresh (id int); ALTER TABLE t DROP COLUMN m, DROP COLUMN v", "shop")
    await move.again()
    await move.caught_up()
    await move.finish()
    await move.is_equal()


def _write(connection: psycopg.Connection[Any], stop: threading.Event) -> None:
    while not stop.is_set():
        connection.execute("INSERT INTO u SELECT coalesce(max(id), 0) + 1 FROM u")


@pytest.mark.slow
async def test_a_database_that_comes_later_is_told_of(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.1)
    source, target = postgres_server("pg18"), postgres_server("pg18")
    move = await moving(source, target, tmp_path / "job", incremental())
    source.create_database("later")
    async with asyncio.timeout(PATIENCE):
        while not await move.events("postgres.database_new"):
            await asyncio.sleep(0.05)
    await move.finish()
    assert len(await move.events("postgres.database_new")) == 1
