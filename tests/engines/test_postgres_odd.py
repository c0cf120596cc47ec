"""Odd names, passwords and sizes, and what becomes of a job at any moment of its life."""

import asyncio
import string
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from sterna.core.job import Condition, Phase
from sterna.core.plan import Conflict, Pace, Picked, Selection
from sterna.engines.postgres.names import own
from tests.effort import PATIENCE
from tests.engines.moving import Move, incremental, postgres_endpoint
from tests.engines.postgres_scene import Scene, pair, scene
from tests.engines.postgres_shop import contents
from tests.servers.fixtures import StartPostgres

__all__ = ["pair", "scene"]

pytestmark = pytest.mark.server

ODD = [
    '"',
    "a.b",
    "CamelCase",
    "表",
    "with space",
    "100%s",
    "%(name)s",
    "it's",
    "back\\slash",
    "$1",
    "{a}",
    "select",
    "x'; --",
]


async def test_names_of_every_kind_arrive_with_what_is_in_them(scene: Scene) -> None:
    quoted = ['"' + name.replace('"', '""') + '"' for name in ODD]
    columns = ", ".join(f"{name} text" for name in quoted)
    tables = [f"{schema}.{table}" for schema in quoted[:4] for table in quoted[:4]]
    tables += [f"public.{name}" for name in quoted[4:]]
    for schema in quoted[:4]:
        scene.run(f"CREATE SCHEMA {schema}")
    for table in tables:
        scene.run(
            f"CREATE TABLE {table} ({quoted[0]} int PRIMARY KEY, {columns.partition(', ')[2]}, "
            f"UNIQUE ({quoted[1]}))"
        )
        scene.run(f"INSERT INTO {table} ({quoted[0]}, {quoted[1]}) VALUES (1, 'a'), (2, 'b')")
    bare = f'public.{quoted[4][:-1]} bare"'
    scene.run(f"CREATE TABLE {bare} ({columns}); ALTER TABLE {bare} REPLICA IDENTITY FULL")
    scene.run(f"INSERT INTO {bare} ({quoted[1]}) VALUES ('x'), ('x'), (NULL)")
    move = await scene.moving()
    await move.follows()
    for table in tables:
        scene.run(f"UPDATE {table} SET {quoted[5]} = E'%s $1 {{}} \\\\ \\n' WHERE {quoted[0]} = 1")
        scene.run(f"DELETE FROM {table} WHERE {quoted[0]} = 2; INSERT INTO {table} ({quoted[0]}) VALUES (3)")
    scene.run(f"DELETE FROM {bare} WHERE ctid = (SELECT min(ctid) FROM {bare} WHERE {quoted[1]} = 'x')")
    await scene.arrives(move)
    await move.finish()
    scene.same(*tables, bare, "t", "pile")
    assert scene.left(move) == []


async def test_a_database_of_any_name_is_moved_by_a_user_of_any_name_with_any_password(
    pair: Any, tmp_path: Path
) -> None:
    source, target = pair
    database = 'Ö "x".%s\' 库'
    user, password = "us er\"'%s用户", string.printable[:95] + "密码 "
    for server in (source, target):
        words = sql.SQL("CREATE ROLE {} SUPERUSER LOGIN PASSWORD {}").format(
            sql.Identifier(user), sql.Literal(password)
        )
        with psycopg.connect(server.dsn(), autocommit=True) as line:
            line.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(user)))
            line.execute(words)
    source.create_database(database)
    scene = Scene(source, target, database, tmp_path / "job")
    scene.run("CREATE TABLE t (id int PRIMARY KEY, n int, b text); INSERT INTO t VALUES (1)")
    ends = [replace(postgres_endpoint(server), user=user, password=password) for server in pair]
    move = await scene.moving(source=ends[0], target=ends[1])
    await move.follows()
    await scene.arrives(move)
    await move.finish()
    scene.same("t")
    assert scene.left(move) == []
    said = repr([await move.now(), await move.events(), await move.store.findings(move.job.id)])
    assert password not in said
    assert password[10:50] not in said


async def test_tables_with_very_many_columns_none_and_no_rows_are_followed(scene: Scene) -> None:
    wide = ", ".join(f"c{n} int" + (f" DEFAULT {n}" if n % 100 == 7 else "") for n in range(1599))
    scene.run(f"CREATE TABLE wide (id int PRIMARY KEY, {wide}); INSERT INTO wide (id) VALUES (1), (2), (3)")
    scene.run("CREATE TABLE bare (); ALTER TABLE bare REPLICA IDENTITY FULL; INSERT INTO bare DEFAULT VALUES")
    scene.run("CREATE TABLE empty (id int PRIMARY KEY)")
    move = await scene.moving()
    await move.follows()
    scene.run("UPDATE wide SET c7 = -7, c1598 = NULL WHERE id > 1; INSERT INTO wide (id) VALUES (4), (5)")
    scene.run("DELETE FROM wide WHERE id = 1; UPDATE wide SET id = 9 WHERE id = 4")
    scene.run("INSERT INTO bare DEFAULT VALUES; INSERT INTO bare DEFAULT VALUES; INSERT INTO empty VALUES (1)")
    await scene.arrives(move)
    await move.finish()
    scene.same("wide", "empty", "t")
    assert scene.there("SELECT count(*) FROM bare") == [(3,)]
    assert scene.left(move) == []


async def test_a_value_that_no_socket_takes_at_once_is_copied_and_followed(scene: Scene) -> None:
    value = "(SELECT string_agg(sha512(g::text::bytea), '') FROM generate_series(1, {} * 16384) g)"
    scene.run("CREATE TABLE big (id int PRIMARY KEY, b bytea, n int); CREATE TABLE bare (b bytea)")
    scene.run(f"ALTER TABLE bare REPLICA IDENTITY FULL; INSERT INTO big VALUES (1, {value.format(20)})")
    move = await scene.moving()
    await move.follows()
    scene.run(f"INSERT INTO big VALUES (2, {value.format(24)}); INSERT INTO bare SELECT b FROM big WHERE id = 2")
    scene.run("UPDATE big SET n = 1; INSERT INTO bare SELECT b FROM big WHERE id = 1")
    scene.run("DELETE FROM bare WHERE length(b) > 22000000")
    await scene.arrives(move)
    await move.finish()
    scene.same("big", "bare")
    assert scene.left(move) == []


# The life of a job


@pytest.mark.parametrize("moment", ["prepare", "copy", "follow"])
@pytest.mark.parametrize("wish", ["pause", "stop", "finish"])
async def test_whatever_is_asked_at_any_moment_is_done(scene: Scene, moment: str, wish: str) -> None:
    scene.run("INSERT INTO t SELECT n, 0, repeat('x', 900) FROM generate_series(10000, 30000) n")
    line = scene.source.connect(scene.database, autocommit=False)
    if moment == "prepare":
        line.execute("INSERT INTO t VALUES (-9)")  # the slot waits for it
    move = await scene.moving(scene.plan(pace=Pace(copy_bytes_per_s=6 << 20)))
    phase = {"prepare": Phase.PREPARE, "copy": Phase.COPY, "follow": Phase.FOLLOW}[moment]
    await move.until(lambda job, figures: job.phase is phase and (moment != "copy" or figures.bytes > 0))
    if moment == "prepare":
        await asyncio.sleep(0.5)
    if wish == "pause":
        await move.pause()
        line.rollback()
        await move.again()
        await scene.arrives(move)
        await scene.ends_exactly(move)
    elif wish == "finish":
        await move.desk.finish(await move.now())
        await asyncio.sleep(0.3)
        line.rollback()
        await move.ended()
        scene.same()
    else:
        await move.stop()
        line.rollback()
    assert scene.left(move) == []


async def test_a_job_that_fails_while_it_prepares_leaves_nothing_once_it_is_stopped(scene: Scene) -> None:
    scene.target.create_database(scene.database)
    scene.target.sql(
        "CREATE TABLE t (id int PRIMARY KEY, n int, b text); INSERT INTO t VALUES (5)", scene.database
    )
    move = await scene.moving(replace(scene.plan(), conflict=Conflict.OVERWRITE))
    await move.follows()
    await move.stop()
    assert scene.left(move) == []

    scene.target.sql("ALTER TABLE t ALTER b TYPE int USING 1", scene.database)
    move = Move(move.plan.source, move.plan.target, scene.folder, move.plan)
    move.engine.checks = lambda *_: []  # type: ignore[method-assign]  # it changed after the checks
    await move.start()
    words = await move.fails("STERNA.2005")
    assert "b is text here, there it is integer" in words
    await move.stop_failed()
    assert scene.left(move) == []
    assert scene.there("SELECT count(*) > 1 FROM t") == [(True,)]


async def test_an_older_run_that_wakes_up_never_writes_again(scene: Scene) -> None:
    move = await scene.moving()
    await move.follows()
    older, older_task = move.runner, move.task
    assert older is not None
    assert older_task is not None
    with scene.target.connect(scene.database, autocommit=False) as lock:
        lock.execute("LOCK TABLE pile")
        scene.run("INSERT INTO pile VALUES (1, 'while the older run hangs')")
        await asyncio.sleep(0.5)
        move.go()  # a second run beside it
        await asyncio.wait({older_task}, timeout=PATIENCE)
        lock.rollback()
    assert older_task.done()
    await scene.arrives(move)
    scene.run("DELETE FROM pile WHERE ctid = (SELECT min(ctid) FROM pile WHERE a = 1)")
    await scene.arrives(move)
    await scene.ends_exactly(move)
    assert (await move.now()).epoch == 2


async def test_two_jobs_share_both_servers_and_one_end_takes_nothing_from_the_other(
    scene: Scene, tmp_path: Path
) -> None:
    scene.run("CREATE SCHEMA two; CREATE TABLE two.t (id int PRIMARY KEY); INSERT INTO two.t VALUES (1)")
    picked = [Selection(objects=(Picked((scene.database, schema)),)) for schema in ("public", "two")]
    one = await scene.moving(incremental(selection=picked[0]))
    await one.follows()
    scene.folder = tmp_path / "other"
    other = await scene.moving(incremental(selection=picked[1]))
    await other.follows()
    await one.finish()
    mine = f"SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE '{own(other.job.id)}%'"
    assert scene.source.sql(mine) == [(1,)]
    scene.run("INSERT INTO two.t VALUES (2)")
    await other.caught_up()
    await other.finish()
    assert scene.there("SELECT id FROM two.t ORDER BY id") == [(1,), (2,)]
    assert scene.left(one) + scene.left(other) == []


async def test_a_source_that_cannot_be_followed_says_how_to_mend_it(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source = postgres_server("pg18", "wal_level=replica", "max_replication_slots=1")
    scene = Scene(source, postgres_server("pg18"), "x", tmp_path / "job")
    source.create_database("x")
    scene.run("CREATE TABLE t (id int PRIMARY KEY, n int, b text)")
    move = await scene.moving()
    words = await move.fails("STERNA.2008")
    assert "ALTER SYSTEM SET wal_level = 'logical'" in words
    source.options["wal_level"] = "logical"
    source.restart()
    source.sql("SELECT pg_create_physical_replication_slot('mine')")
    await move.again()
    words = await move.fails("STERNA.2008")
    assert "max_replication_slots" in words
    source.sql("SELECT pg_drop_replication_slot('mine')")
    await move.again()
    await scene.arrives(move)
    assert (await move.now()).condition is Condition.RUNNING
    await move.finish()
    assert contents(source, "x", ["t"]) == contents(scene.target, "x", ["t"])
