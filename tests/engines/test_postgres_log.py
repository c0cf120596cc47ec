"""The log of changes of a real PostgreSQL server: nothing is missing, nothing comes twice, nothing is left."""

import asyncio
import json
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import psycopg
import pytest

from sterna.core.change import Batch, Command, Ddl, Position
from sterna.core.errors import AccessDenied, NeedsOperator, PositionGone, ServerBusy, StartAgain, Unreachable
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Mode, Picked, Plan, Selection
from sterna.core.ports import Room
from sterna.engines.postgres import ddl, keeper, slots, watch
from sterna.engines.postgres.catalogue import databases, tables
from sterna.engines.postgres.connection import connected
from sterna.engines.postgres.log import PostgresLog
from sterna.engines.postgres.position import parse, text
from tests.effort import PATIENCE
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server
BOTH = pytest.mark.parametrize("flavor", ["pg15", "pg18"])


class Told(list[tuple[str, str]]):
    """What the operator was told: code and message."""

    def __call__(self, level: object, code: str, message: str, **fields: str) -> None:
        self.append((code, message))


def plan_of(server: PostgresServer, **words: Any) -> Plan:
    endpoint = Endpoint("postgresql", ((server.host, server.port),), "postgres", server.password)
    return Plan(endpoint, endpoint, **words)


@asynccontextmanager
async def log_of(server: PostgresServer, folder: Path, **words: Any) -> AsyncIterator[PostgresLog]:
    log = PostgresLog(plan_of(server, **words), Room(JobId("job-1"), 1, folder), Told())
    try:
        yield log
    finally:
        await log.close()


async def collect(log: PostgresLog, after: Position, enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    """Batches until there is enough of them."""
    found: list[Batch] = []
    async with asyncio.timeout(PATIENCE), aclosing(log.follow(after)) as batches:
        async for batch in batches:
            found.append(batch)
            if enough(found):
                return found
    raise AssertionError("the log ended")


async def first(batches: AsyncIterator[Batch]) -> Batch:
    """The first batch that holds changes: a stream that takes long to begin is heard of by empty ones before."""
    async for batch in batches:
        if batch.changes:
            return batch
    raise AssertionError("the log ended")


def messages(batches: list[Batch]) -> list[tuple[str, bytes]]:
    """Database and message, in order."""
    found = []
    for batch in batches:
        for change in batch.changes:
            if not isinstance(change, Command):
                continue
            at = 0
            while at < len(change.data):
                (size,) = struct.unpack_from(">I", change.data, at)
                found.append((change.database, change.data[at + 4 : at + 4 + size]))
                at += 4 + size
    return found


def kinds(batches: list[Batch]) -> str:
    return "".join(chr(message[0]) for _, message in messages(batches))


def rows(batches: list[Batch]) -> int:
    return sum(kinds(batches).count(kind) for kind in "IUD")


SESSIONS = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'sterna!_%' ESCAPE '!'"


def left_on(server: PostgresServer, *names: str) -> list[Any]:
    """Whatever of a job is on the server; sessions are waited for: they outlive their connections for a moment."""
    end = time.monotonic() + PATIENCE
    while (found := server.sql(SESSIONS)) and time.monotonic() < end:
        time.sleep(0.02)
    found += server.sql("SELECT slot_name FROM pg_replication_slots")
    for name in ("postgres", *names):
        found += server.sql("SELECT pubname FROM pg_publication", name)
        found += server.sql("SELECT evtname FROM pg_event_trigger", name)
        found += server.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'", name)
    return found


@BOTH
async def test_a_snapshot_and_the_changes_after_it_make_the_whole(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    server.sql(
        "CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT i, 'x' FROM generate_series(1, 10) i"
    )
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        server.sql("INSERT INTO a SELECT i, 'y' FROM generate_series(11, 15) i; DELETE FROM a WHERE id = 1")
        snapshot = await log.snapshot("postgres")
        with server.connect() as connection:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
            connection.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'".encode())
            assert connection.execute("SELECT count(*) FROM a").fetchone() == (10,)
        await log.copied()
        await log.copied()
        batches = await collect(log, anchor, lambda found: rows(found) == 6)
        assert kinds(batches) in ("BRIIIIIDC", "BRIIIIICBDC")
        await log.release()
        await log.release()
    assert left_on(server) == []


async def test_every_place_between_two_transactions_is_a_place_to_go_on_from(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg15")
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    async with log_of(server, tmp_path) as log:
        anchor, writer = await log.anchor(), server.connect()
        place, seen = anchor, 0
        for round in range(7):
            for number in (2 * round, 2 * round + 1):
                writer.execute("INSERT INTO a VALUES (%s)", (number,))
            if round % 3 == 0:
                server.sql("CREATE TABLE a_new (x int); DROP TABLE a_new; SELECT pg_switch_wal()")
            found = await collect(log, place, lambda found: rows(found) >= 1)
            place, seen = found[-1].position, seen + rows(found)
            again = await collect(log, anchor, partial(_at_least, seen))
            assert rows(again) >= seen
        rest = await collect(log, place, lambda found: seen + rows(found) >= 14 and not found[-1].changes)
        assert seen + rows(rest) == 14
        await log.release()


async def test_all_selected_databases_come_in_one_stream(postgres_server: StartPostgres, tmp_path: Path) -> None:
    server = postgres_server()
    for name in ("one", 'tw"o 数.据', "left out"):
        server.create_database(name)
        server.sql("CREATE TABLE a (id int PRIMARY KEY)", name)
    selection = Selection(objects=(Picked(("one",)), Picked(('tw"o 数.据', "public", "a"))))
    async with log_of(server, tmp_path, selection=selection) as log:
        anchor = await log.anchor()
        for name in ("one", 'tw"o 数.据', "left out"):
            server.sql("INSERT INTO a VALUES (1), (2)", name)
        found = await collect(log, anchor, lambda found: rows(found) == 4)
        assert {database for database, _ in messages(found)} == {"one", 'tw"o 数.据'}
        assert parse(found[-1].position).keys() == {"one", 'tw"o 数.据'}
        found = [batch for batch in found if batch.changes]
        again = await collect(log, found[0].position, lambda found: rows(found) == 2)
        assert {database for database, _ in messages(again)} != {messages(found)[0][0]}
        await log.release()
    assert left_on(server, "one", 'tw"o 数.据') == []


async def test_a_large_transaction_comes_in_pieces_that_belong_together(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY, t text)")
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        server.sql("INSERT INTO a VALUES (0)")
        server.sql("INSERT INTO a SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i")
        server.sql("INSERT INTO a VALUES (-1)")
        found = [each for each in await collect(log, anchor, lambda found: rows(found) == 20002) if each.changes]
        large = [batch for batch in found if batch.more]
        assert len(large) >= 4
        assert all(batch.size < 6 << 20 for batch in found)
        assert {batch.position for batch in large} == {found[0].position}
        assert kinds(large[1:2])[:2] == "RI"
        await log.release()


async def test_a_source_that_was_killed_is_read_on_from_where_we_were(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg18", "fsync=on")
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        await log.copied()
        server.sql("INSERT INTO a VALUES (1)")
        async with asyncio.timeout(PATIENCE), aclosing(log.follow(anchor)) as batches:
            batch = await first(batches)
            assert rows([batch]) == 1
            server.kill9()
            with pytest.raises(Unreachable):
                async for _ in batches:
                    pass
        with pytest.raises(Unreachable):
            await log.resume(batch.position)
        assert await log.lag(batch.position) == -1
        server.start()
        server.sql("INSERT INTO a VALUES (2)")
        await log.resume(batch.position)
        assert rows(await collect(log, batch.position, lambda found: rows(found) > 0)) == 1
        await log.release()


async def test_the_walsender_of_a_dead_worker_is_taken_over_from(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    async with log_of(server, tmp_path) as dead, log_of(server, tmp_path) as log:
        anchor = await dead.anchor()
        server.sql("INSERT INTO a VALUES (1)")
        held = dead.follow(anchor)
        assert await first(held)
        await log.resume(anchor)
        assert rows(await collect(log, anchor, lambda found: rows(found) == 1)) == 1
        with pytest.raises(Unreachable):
            async for _ in held:
                pass
        await log.release()


async def test_a_slot_that_is_gone_or_further_on_is_said_before_anything_is_read(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        server.sql("INSERT INTO a VALUES (1)")
        async with aclosing(log.follow(anchor)) as batches:
            batch = await first(batches)
            await log.confirm(batch.position)
            await until(lambda: server.sql(CONFIRMED) == [(parse(batch.position)["postgres"],)])
        await log.resume(batch.position)
        with pytest.raises(PositionGone, match="are wanted from"):
            await log.resume(anchor)
        with pytest.raises(PositionGone, match="set back"):
            await log.resume(text({"postgres": 1 << 50}))
        server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        with pytest.raises(PositionGone, match="no slot"):
            await log.resume(batch.position)
        with pytest.raises(PositionGone):
            await anext(log.follow(batch.position))
        await log.release()


async def test_a_quiet_database_lets_the_log_of_a_busy_one_go(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.create_database("quiet")
    server.sql("CREATE TABLE a (id int PRIMARY KEY)", "quiet")
    server.sql("CREATE TABLE busy (id int)")
    async with log_of(server, tmp_path, selection=Selection(objects=(Picked(("quiet",)),))) as log:
        anchor = await log.anchor()
        await log.copied()
        server.sql("INSERT INTO busy SELECT generate_series(1, 200000)")
        async with asyncio.timeout(PATIENCE), aclosing(log.follow(anchor)) as batches:
            async for batch in batches:
                assert not batch.changes
                await log.confirm(batch.position)
                if server.sql(CONFIRMED)[0][0] > parse(anchor)["quiet"] + (10 << 20):
                    break
        await log.release()


async def test_the_lag_ends_while_others_write_and_never_before_all_has_come(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.create_database("other")
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    server.sql("CREATE TABLE b (id int)", "other")
    writer, foreign, late = server.connect(), server.connect("other"), server.connect()
    late.execute("SET synchronous_commit = off")
    stop = threading.Event()

    def write() -> None:
        while not stop.wait(0.002):
            foreign.execute("INSERT INTO b VALUES (1)")

    async with log_of(server, tmp_path, selection=Selection(objects=(Picked(("postgres",)),))) as log:
        anchor = await log.anchor()
        thread = threading.Thread(target=write)
        thread.start()
        try:
            async with asyncio.timeout(PATIENCE), aclosing(log.follow(anchor)) as batches:
                place, zeros, seen = anchor, 0, 0
                for number in range(20):
                    (writer, late)[number % 2].execute("INSERT INTO a VALUES (%s)", (number,))
                    assert await log.lag(place) > 0
                    while (lag := await log.lag(place)) or seen <= number:
                        assert lag != 0, "said that nothing was left while a change was"
                        batch = await anext(batches)
                        place, seen = batch.position, seen + rows([batch])
                    zeros += 1
                assert zeros == 20
        finally:
            stop.set()
            thread.join()
        await log.release()


async def test_a_consumer_that_is_stuck_does_not_lose_the_walsender(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg18", "wal_sender_timeout=2s")
    server.sql("CREATE TABLE a (id int PRIMARY KEY, t text)")
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        server.sql("INSERT INTO a VALUES (0, '')")
        async with asyncio.timeout(PATIENCE), aclosing(log.follow(anchor)) as batches:
            await anext(batches)
            server.sql("INSERT INTO a SELECT i, repeat('x', 10000) FROM generate_series(1, 3000) i")
            await asyncio.sleep(3.5)
            seen = 0
            async for batch in batches:
                seen += rows([batch])
                if seen == 3000:
                    break
        await log.release()


def _at_least(wanted: int, found: list[Batch]) -> bool:
    return rows(found) >= wanted


async def until(fact: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not fact():
            await asyncio.sleep(0.02)


CONFIRMED = "SELECT (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint FROM pg_replication_slots"


async def test_a_snapshot_outlives_the_connection_that_asked_for_it_and_ends_with_the_slot(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    async with log_of(server, tmp_path) as first:
        await first.anchor()
        snapshot = await first.snapshot("postgres")
    async with log_of(server, tmp_path / "another machine") as log:
        assert await log.snapshot("postgres") == snapshot
        server.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
        await until(
            lambda: server.sql("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'sterna%'") == []
        )
        with pytest.raises(StartAgain):
            await log.snapshot("postgres")
        await log.release()


async def test_a_restarted_source_has_no_snapshot_and_the_copy_starts_again(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    async with log_of(server, tmp_path) as log:
        before = await log.anchor()
        server.restart()
        with pytest.raises(StartAgain):
            await log.snapshot("postgres")
        server.sql("INSERT INTO a VALUES (1)")
        assert parse(await log.anchor())["postgres"] > parse(before)["postgres"]
        assert await log.snapshot("postgres")
        assert len(server.sql("SELECT 1 FROM pg_replication_slots")) == 1
        await log.release()


async def test_without_changes_to_follow_a_snapshot_needs_no_slot(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeper, "ALONE_SECONDS", 2)
    server = postgres_server("pg18", "wal_level=replica")
    async with log_of(server, tmp_path, mode=Mode.FULL) as log:
        await log.anchor()
        snapshot = await log.snapshot("postgres")
        await asyncio.sleep(4.5)  # more than twice as long as it would be kept for nobody
        assert await log.snapshot("postgres") == snapshot
        assert server.sql("SELECT 1 FROM pg_replication_slots") == server.sql("SELECT 1 FROM pg_publication") == []
    assert left_on(server) == []


async def test_a_mark_waits_for_transactions_that_write_and_says_for_which(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "SAID_AFTER_S", 0.1)
    monkeypatch.setattr(slots, "PATIENCE_S", 1.0)
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    writer = server.connect(autocommit=False)
    writer.execute("INSERT INTO a VALUES (1)")
    async with log_of(server, tmp_path) as log:
        told = cast(Told, log.tell)
        with pytest.raises(ServerBusy, match=f"process {writer.info.backend_pid} "):
            await log.anchor()
        assert server.sql("SELECT 1 FROM pg_replication_slots") == []
        monkeypatch.setattr(slots, "PATIENCE_S", 30.0)
        waiting = asyncio.create_task(log.anchor())
        await until(lambda: any(code == "postgres.slot_waits" and "1.0" not in told_ for code, told_ in told))
        writer.commit()
        anchor = await waiting
        server.sql("INSERT INTO a VALUES (2)")
        assert rows(await collect(log, anchor, lambda found: rows(found) > 0)) == 1
        await log.release()


@pytest.mark.parametrize(
    ("setting", "said", "mends"),
    [
        ("wal_level=replica", "wal_level", "ALTER SYSTEM SET wal_level = logical"),
        ("max_replication_slots=0", "max_replication_slots", "ALTER SYSTEM SET max_replication_slots"),
    ],
)
async def test_a_source_that_cannot_have_a_slot_says_how_to_mend_it(
    postgres_server: StartPostgres, tmp_path: Path, setting: str, said: str, mends: str
) -> None:
    server = postgres_server("pg18", setting)
    async with log_of(server, tmp_path) as log:
        with pytest.raises(NeedsOperator, match=said) as refused:
            await log.anchor()
        assert mends in refused.value.hint
        await log.release()
    assert left_on(server) == []


@BOTH
async def test_a_user_without_rights_is_told_what_to_grant(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    server.sql("CREATE ROLE mover LOGIN PASSWORD 'pw'; CREATE TABLE a (id int PRIMARY KEY)")
    endpoint = Endpoint("postgresql", ((server.host, server.port),), "mover", "pw")
    log = PostgresLog(Plan(endpoint, endpoint), Room(JobId("job-1"), 1, tmp_path), Told())
    with pytest.raises(AccessDenied) as refused:
        await log.anchor()
    assert "GRANT CREATE ON DATABASE" in refused.value.hint
    server.sql("GRANT CREATE ON DATABASE postgres TO mover; ALTER TABLE a OWNER TO mover")
    with pytest.raises(AccessDenied) as refused:
        await log.anchor()
    assert refused.value.hint == 'On the source: ALTER ROLE "mover" REPLICATION;'
    server.sql("ALTER ROLE mover REPLICATION")
    anchor = await log.anchor()
    assert "postgres.no_trigger" in dict(cast(Told, log.tell))
    server.sql("INSERT INTO a VALUES (1)")
    seen = 0
    async with asyncio.timeout(PATIENCE), aclosing(log.follow(anchor)) as batches:
        async for batch in batches:
            seen += rows([batch])
            if seen and await log.lag(batch.position) == 0:  # the server writes to its log by itself now and then
                break
    assert seen == 1
    await log.release()
    await log.close()
    assert left_on(server) == []


async def test_without_the_right_to_a_trigger_new_shapes_are_seen_all_the_same(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.1)
    server = postgres_server()
    server.sql("CREATE ROLE mover LOGIN REPLICATION PASSWORD 'pw'; GRANT CREATE ON DATABASE postgres TO mover")
    server.sql("CREATE TABLE a (id int PRIMARY KEY); ALTER TABLE a OWNER TO mover; CREATE TABLE b (id int)")
    server.sql("ALTER TABLE b OWNER TO mover")
    endpoint = Endpoint("postgresql", ((server.host, server.port),), "mover", "pw")
    log = PostgresLog(Plan(endpoint, endpoint), Room(JobId("job-1"), 1, tmp_path), Told())
    anchor = await log.anchor()
    server.sql("ALTER TABLE a ADD COLUMN t text; INSERT INTO b VALUES (1); UPDATE b SET id = 2")
    found = await collect(log, anchor, lambda found: bool(told_of(found)) and "U" in kinds(found))
    (told,) = told_of(found)
    assert told["event"] == "look"
    assert [each["table"] for each in told["objects"]] == [["public", "a"]]
    await log.release()
    await log.close()


def told_of(batches: list[Batch]) -> list[dict[str, Any]]:
    return [json.loads(change.text) for batch in batches for change in batch.changes if isinstance(change, Ddl)]


@pytest.mark.parametrize(("flavor", "by_table"), [("pg18", False), ("pg15", True)])
async def test_commands_that_change_shapes_come_in_their_place_among_the_rows(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavor: str, by_table: bool
) -> None:
    if by_table:
        monkeypatch.setattr(ddl, "MESSAGES_SINCE", 990000)
    server = postgres_server(flavor)
    server.sql('CREATE TABLE "A.b" (id int PRIMARY KEY); CREATE SCHEMA left_out; CREATE TABLE left_out.c (id int)')
    selection = Selection(objects=(Picked(("postgres",)),), without=(("postgres", "left_out"),))
    async with log_of(server, tmp_path, selection=selection) as log:
        anchor = await log.anchor()
        server.sql('INSERT INTO "A.b" VALUES (1)')
        server.sql("""BEGIN; INSERT INTO "A.b" VALUES (2); ALTER TABLE "A.b" ADD COLUMN "ü" text;
                      INSERT INTO "A.b" VALUES (3, 'x'); COMMIT""")
        server.sql("CREATE TEMP TABLE t (id int); DROP TABLE t; ALTER TABLE left_out.c ADD COLUMN d int")
        server.sql('SET search_path = left_out, public; DO $$ BEGIN CREATE INDEX i ON "A.b" ("ü"); END $$')
        server.sql('DROP TABLE "A.b"')
        found = await collect(log, anchor, lambda found: len(told_of(found)) >= 3)
        alter, index, drop = told_of(found)
        assert (alter["tag"], alter["objects"][0]["table"], alter["context"]) == (
            "ALTER TABLE",
            ["public", "A.b"],
            "",
        )
        assert 'ADD COLUMN "ü" text' in alter["query"]
        assert "CREATE INDEX i ON" in index["context"]
        assert index["search_path"] == "left_out, public"
        assert (drop["event"], drop["tag"], drop["objects"][0]["table"]) == (
            "sql_drop",
            "DROP TABLE",
            ["public", "A.b"],
        )
        changes = [change for batch in found for change in batch.changes]
        place = next(number for number, change in enumerate(changes) if isinstance(change, Ddl))
        before, after = (
            kinds([Batch(part, anchor)]) for part in (changes[:place], changes[place + 1 : place + 2])
        )
        assert before.endswith("BI")
        assert after.startswith("RIC")
        await log.release()
    assert left_on(server) == []


async def test_new_tables_are_followed_and_so_are_those_that_lose_their_key(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server()
    server.sql("""CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
                  CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)""")
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        for statement in (
            "CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1); UPDATE b SET id = 2",
            "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20)",
            "INSERT INTO p VALUES (5), (15)",
            "ALTER TABLE a DROP CONSTRAINT a_pkey",
            "INSERT INTO a VALUES (1)",
            "UPDATE a SET id = 2",
            "ALTER TABLE a REPLICA IDENTITY FULL",
            "UPDATE a SET id = 3",
        ):
            server.sql(statement)
        found = await collect(log, anchor, lambda found: kinds(found).count("U") == 3)
        assert kinds(found).replace("R", "").replace("B", "").replace("C", "") == "IUIIIUU"
        assert not any("trouble" in told for told in told_of(found))
        await log.release()
    assert left_on(server) == []


async def test_a_slot_that_holds_too_much_is_told_of_and_dropped(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOOK_S", 0.05)
    server = postgres_server()
    server.sql("CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE other (t text)")
    async with log_of(server, tmp_path, options={"slot_limit_mb": "40"}) as log:
        told = cast(Told, log.tell)
        anchor = await log.anchor()
        server.sql("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 25000)")
        await until(lambda: "postgres.slot_holds" in dict(told))
        assert "postgres.slot_dropped" not in dict(told)
        server.sql("INSERT INTO other SELECT repeat('x', 1000) FROM generate_series(1, 25000)")
        await until(lambda: "postgres.slot_dropped" in dict(told))
        with pytest.raises(PositionGone, match="slot_limit_mb"):
            await log.snapshot("postgres")
        with pytest.raises(PositionGone, match="slot_limit_mb"):
            await anext(log.follow(anchor))
        assert server.sql("SELECT 1 FROM pg_replication_slots") == []
        await log.release()


@BOTH
async def test_the_catalogue_knows_tables_columns_and_keys(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    server.sql("""
        CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('a');
        CREATE TABLE app."T" (b int, a int, gone int, m app.mood[], g int GENERATED ALWAYS AS (a + 1) STORED,
            i int GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (a, b)); ALTER TABLE app."T" DROP COLUMN gone;
        CREATE UNLOGGED TABLE u (id int, x int UNIQUE NOT NULL);
        ALTER TABLE u REPLICA IDENTITY USING INDEX u_x_key;
        CREATE TABLE f (id numeric(10,2)); ALTER TABLE f REPLICA IDENTITY FULL; CREATE TABLE nothing ();
        CREATE TABLE p (id int) PARTITION BY RANGE (id); CREATE TABLE q PARTITION OF p DEFAULT
            PARTITION BY RANGE (id);
        CREATE TABLE app.leaf PARTITION OF q DEFAULT; CREATE TEMP TABLE temporary (id int);
        CREATE VIEW v AS SELECT 1;
        INSERT INTO f SELECT generate_series(1, 1000); ANALYZE f""")
    endpoint = plan_of(server).source
    assert await databases(endpoint, Selection()) == ["postgres"]
    assert await databases(endpoint, Selection(without=(("postgres",),))) == []
    async with connected(endpoint) as connection:
        found = {table.path[1:]: table for table in await tables(connection, "postgres", Selection())}
        only = await tables(connection, "postgres", Selection(objects=(Picked(("postgres", "public", "p")),)))
    assert list(found) == [("app", "T"), ("app", "leaf"), ("public", "f"), ("public", "nothing"), ("public", "u")]
    assert [table.path[1:] for table in only] == [("app", "leaf")]
    t, u, f = found["app", "T"], found["public", "u"], found["public", "f"]
    assert (t.primary, t.key, t.identity) == (("a", "b"), ("a", "b"), "d")
    assert [(each.name, each.type, each.generated, each.identity) for each in t.columns] == [
        ("b", "integer", "", ""),
        ("a", "integer", "", ""),
        ("m", "app.mood[]", "", ""),
        ("g", "integer", "s", ""),
        ("i", "integer", "", "a"),
    ]
    assert [each.number for each in t.columns] == [1, 2, 4, 5, 6]
    assert (u.primary, u.key, u.unlogged) == ((), ("x",), True)
    assert (f.key, f.identity, f.columns[0].type, f.rows) == ((), "f", "numeric(10,2)", 1000)
    assert f.pages > 0
    assert f.size >= f.pages * 8192
    assert found["app", "leaf"].root == ("postgres", "public", "p")
    assert found["public", "nothing"].columns == ()


@BOTH
async def test_no_command_of_the_sources_own_users_fails_for_being_looked_at(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    server.sql("CREATE ROLE app LOGIN PASSWORD 'x'; GRANT CREATE ON SCHEMA public TO app")
    server.sql("CREATE TABLE a (id int PRIMARY KEY); GRANT CREATE ON DATABASE postgres TO app")
    commands = {
        "CREATE TABLE mine (id int PRIMARY KEY, v text)": "CREATE TABLE",
        "CREATE INDEX CONCURRENTLY mi ON mine (v)": "CREATE INDEX",
        "GRANT SELECT ON mine TO public": "",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO public": "",
        "CREATE MATERIALIZED VIEW mv AS SELECT 1 AS x": "CREATE MATERIALIZED VIEW",
        "CREATE TYPE mood AS ENUM ('a')": "CREATE TYPE",
        "ALTER TYPE mood ADD VALUE 'b'": "ALTER TYPE",
        "CREATE SCHEMA s CREATE TABLE t (id int)": "CREATE SCHEMA",
        "DROP SCHEMA s CASCADE": "DROP SCHEMA",
        "CREATE TEMP TABLE t (id int)": "",
        "ALTER TABLE mine RENAME COLUMN v TO w": "ALTER TABLE",
        "ALTER TABLE mine DROP COLUMN w": "ALTER TABLE",
        "ANALYZE mine": "",
        """DO $$ BEGIN CREATE TABLE x (id int); RAISE 'no';
                 EXCEPTION WHEN OTHERS THEN CREATE TABLE y (id int); END $$""": "CREATE TABLE",
        "DROP TABLE mine, y": "DROP TABLE",
    }
    async with log_of(server, tmp_path) as log:
        anchor = await log.anchor()
        await log.copied()
        with psycopg.connect(server.dsn(user="app", password="x"), autocommit=True) as connection:
            for command in commands:
                connection.execute(command.encode())
        wanted = [tag for tag in commands.values() if tag]
        found = await collect(log, anchor, lambda found: len(told_of(found)) >= len(wanted))
        assert [told["tag"] for told in told_of(found)] == wanted
        assert not any("trouble" in told for told in told_of(found))
        await log.release()
    assert left_on(server) == []
