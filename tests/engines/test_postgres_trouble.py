"""Servers that refuse for a while, or until a person mends something: a clear word, and the job goes on."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from sterna.core.job import Condition, Phase
from sterna.core.plan import Conflict, Endpoint
from tests.effort import PATIENCE
from tests.engines.moving import Move, postgres_endpoint
from tests.engines.postgres_scene import Scene, pair, scene
from tests.servers.postgres import PostgresServer

__all__ = ["pair", "scene"]

pytestmark = pytest.mark.server


async def told(move: Move, words: str, code: str = "run.retry") -> None:
    """Wait until the job has told of something."""

    async def heard() -> bool:
        return any(words in event.message for event in await move.events(code))

    end = time.monotonic() + PATIENCE
    while not await heard():
        assert time.monotonic() < end, [event.message for event in await move.events()]
        await asyncio.sleep(0.02)


def drop_sessions(server: PostgresServer) -> None:
    server.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name LIKE 'sterna%' AND pid <> pg_backend_pid()"
    )


@contextmanager
def setting(server: PostgresServer, name: str, value: str) -> Iterator[None]:
    """Change a setting of a running server for the length of a block."""
    server.sql(f"ALTER SYSTEM SET {name} = '{value}'")
    server.sql("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        with psycopg.connect(
            server.dsn(), autocommit=True, options="-c default_transaction_read_only=off"
        ) as line:
            line.execute(f"ALTER SYSTEM RESET {name}")
            line.execute("SELECT pg_reload_conf()")


async def test_a_target_that_is_read_only_for_a_while_is_waited_for(scene: Scene) -> None:
    move = await scene.moving()
    await move.follows()
    with setting(scene.target, "default_transaction_read_only", "on"):
        scene.run("INSERT INTO pile VALUES (1, 'late'); DELETE FROM t WHERE id = 1")
        await told(move, "read-only")
    await scene.arrives(move)
    await scene.ends_exactly(move)


def all_places(server: PostgresServer, room: int) -> list[psycopg.Connection[Any]]:
    """Take every place for a client. The job does not run meanwhile: those of its sessions are taken, too."""
    while server.sql("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'sterna%'"):
        time.sleep(0.02)
    lines: list[psycopg.Connection[Any]] = []

    def take() -> None:
        while len(lines) <= room:
            lines.append(psycopg.connect(server.dsn(), connect_timeout=int(PATIENCE)))

    with pytest.raises(psycopg.OperationalError, match="too many clients"):
        take()
    return lines


async def test_a_target_without_room_for_one_more_client_is_waited_for(scene: Scene) -> None:
    move = await scene.moving()
    await move.follows()
    room = int(scene.target.sql("SHOW max_connections")[0][0])
    drop_sessions(scene.target)
    lines = all_places(scene.target, room)
    drop = [line.info.backend_pid for line in lines]
    assert drop
    scene.run("INSERT INTO pile VALUES (1, 'late')")
    await told(move, "too many clients")
    for line in lines:
        line.close()
    await scene.arrives(move)
    await scene.ends_exactly(move)


@pytest.mark.parametrize("phase", ["copy", "follow"])
async def test_a_target_without_room_on_its_disk_is_named_and_filled_on_later(scene: Scene, phase: str) -> None:
    full = """
        CREATE FUNCTION full_disk() RETURNS boolean LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'could not extend file "base/1/2"' USING ERRCODE = 'disk_full'; END $$;
        ALTER TABLE pile ADD CONSTRAINT full_disk CHECK (full_disk()) NOT VALID;
    """
    if phase == "copy":
        scene.target.create_database(scene.database)
        scene.target.sql("CREATE TABLE pile (a int, b text);" + full, scene.database)
    move = await scene.moving()
    if phase == "follow":
        await move.follows()
        scene.target.sql(full, scene.database)
        scene.run("INSERT INTO pile VALUES (1, 'late')")
    words = await move.fails("STERNA.2004")
    assert "no room" in words
    assert "more room" in words
    scene.target.sql("ALTER TABLE pile DROP CONSTRAINT full_disk; DROP FUNCTION full_disk", scene.database)
    await move.again()
    await scene.arrives(move)
    assert not await move.events("run.again")
    await scene.ends_exactly(move)


async def test_no_timeout_that_is_set_for_the_user_ends_anything(scene: Scene) -> None:
    limits = {
        "statement_timeout": "150ms",
        "lock_timeout": "150ms",
        "idle_in_transaction_session_timeout": "150ms",
        "idle_session_timeout": "150ms",
        "transaction_timeout": "150ms",
    }
    scene.run("INSERT INTO t SELECT n, 0, repeat('x', 900) FROM generate_series(10000, 40000) n")
    for server in (scene.source, scene.target):
        server.sql("DROP ROLE IF EXISTS hasty; CREATE ROLE hasty SUPERUSER LOGIN PASSWORD 'x'")
        for name, value in limits.items():
            if name != "transaction_timeout" or server is scene.target:
                server.sql(f"ALTER ROLE hasty SET {name} = '{value}'")
    ends = [_as(server, "hasty", "x") for server in (scene.source, scene.target)]
    move = await scene.moving(scene.slowly(), source=ends[0], target=ends[1])
    await move.follows()
    await asyncio.sleep(0.5)
    await scene.arrives(move)
    assert not await move.events("run.retry")
    await scene.ends_exactly(move)


async def test_a_user_whose_password_was_changed_is_refused_until_it_is_corrected(scene: Scene) -> None:
    for server in (scene.source, scene.target):
        server.sql("DROP ROLE IF EXISTS mover; CREATE ROLE mover SUPERUSER LOGIN PASSWORD 'before'")
    ends = [_as(server, "mover", "before") for server in (scene.source, scene.target)]
    move = await scene.moving(source=ends[0], target=ends[1])
    await move.follows()
    scene.target.sql("ALTER ROLE mover PASSWORD 'behind'")
    drop_sessions(scene.target)
    words = await move.fails("STERNA.2001")
    assert "password authentication failed" in words
    assert "Correct the user, the password" in words
    assert "before" not in words
    plan = replace(move.plan, target=replace(ends[1], password="behind"))
    await move.desk.configure(await move.now(), plan)
    await move.again()
    await scene.arrives(move)
    await scene.ends_exactly(move)


def _as(server: PostgresServer, user: str, password: str) -> Endpoint:
    return replace(postgres_endpoint(server), user=user, password=password)


async def test_a_right_that_was_taken_away_is_named_and_given_back(scene: Scene) -> None:
    scene.target.sql("DROP ROLE IF EXISTS owner_there; CREATE ROLE owner_there LOGIN CREATEDB PASSWORD 'x'")
    move = await scene.moving(target=_as(scene.target, "owner_there", "x"))
    await move.follows()
    scene.target.sql("ALTER TABLE t OWNER TO postgres; REVOKE ALL ON t FROM owner_there", scene.database)
    scene.run("INSERT INTO t VALUES (-1)")
    words = await move.fails("STERNA.2001")
    assert "permission denied for table t" in words
    scene.target.sql("ALTER TABLE t OWNER TO owner_there", scene.database)
    await move.again()
    await scene.arrives(move)
    await scene.ends_exactly(move)


@pytest.mark.parametrize("conflict", list(Conflict))
async def test_what_somebody_else_writes_to_the_target_is_treated_as_the_plan_says(
    scene: Scene, conflict: Conflict
) -> None:
    move = await scene.moving(replace(scene.plan(), conflict=conflict))
    await move.follows()
    scene.target.sql(
        "INSERT INTO t VALUES (-1, 9, 'theirs'); DELETE FROM t WHERE id IN (2, 3); "
        "UPDATE t SET n = 7 WHERE id = 4",
        scene.database,
    )
    scene.run("INSERT INTO t VALUES (-1, 1, 'ours'); UPDATE t SET n = 2 WHERE id = 2; DELETE FROM t WHERE id = 3")
    if conflict is Conflict.STOP:
        words = await move.fails("STERNA.2007")
        assert f"{scene.database}.public.t (id)=(-1)" in words
        await move.again()
        await move.fails("STERNA.2007")
        await move.stop_failed()
        assert scene.left(move) == []
        return
    await scene.arrives(move)
    await told(move, "already there", "postgres.conflict")
    rows = scene.there("SELECT id, n, b FROM t WHERE id IN (-1, 2, 3, 4) ORDER BY id")
    if conflict is Conflict.OVERWRITE:
        assert rows == [(-1, 1, "ours"), (2, 2, "x" * 200), (4, 7, "x" * 200)]
    else:
        assert rows == [(-1, 9, "theirs"), (4, 7, "x" * 200)]
    await move.finish()
    assert scene.left(move) == []


async def test_a_lock_that_is_held_on_the_target_holds_up_nothing_but_the_changes(scene: Scene) -> None:
    move = await scene.moving()
    await move.follows()
    line = scene.target.connect(scene.database, autocommit=False)
    line.execute("LOCK TABLE t")
    scene.run("INSERT INTO t VALUES (-1)")
    await asyncio.sleep(1.0)
    await move.pause()
    await move.again()
    await asyncio.sleep(0.3)
    assert (await move.now()).condition is Condition.RUNNING
    line.rollback()
    await scene.arrives(move)
    await scene.ends_exactly(move)


async def test_a_transaction_that_was_prepared_before_the_start_arrives_once(scene: Scene) -> None:
    line = scene.source.connect(scene.database, autocommit=False)
    line.execute("INSERT INTO pile VALUES (77, 'prepared')")
    line.execute("PREPARE TRANSACTION 'early'")
    line.commit()
    move = await scene.moving()
    await asyncio.sleep(1.0)
    assert (await move.now()).phase is Phase.PREPARE
    scene.run("COMMIT PREPARED 'early'")
    await move.follows()
    line.execute("INSERT INTO pile VALUES (78, 'prepared')")
    line.execute("PREPARE TRANSACTION 'late'")
    line.commit()
    await scene.arrives(move)
    scene.run("COMMIT PREPARED 'late'")
    await scene.arrives(move)
    assert scene.there("SELECT a FROM pile WHERE a > 70 ORDER BY a") == [(77,), (78,)]
    await scene.ends_exactly(move)


async def test_a_target_that_forgets_its_last_transactions_in_a_crash_gets_them_again(scene: Scene) -> None:
    scene.target.sql("ALTER ROLE postgres SET synchronous_commit = off")
    try:
        move = await scene.moving()
        await move.follows()
        with setting(scene.target, "wal_writer_delay", "10s"):
            for n in range(20):
                scene.run(f"INSERT INTO pile VALUES ({n}, 'late')")
            await scene.arrives(move)
            await asyncio.sleep(0.3)  # so that the source was told that it may forget
            scene.target.kill9()
            scene.target.start()
        await scene.arrives(move)
        assert not await move.events("run.again")
        await scene.ends_exactly(move)
    finally:
        scene.target.sql("ALTER ROLE postgres RESET ALL")
