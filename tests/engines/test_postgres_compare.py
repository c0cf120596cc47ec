"""A comparison finds what differs between two PostgreSQL servers, nothing else, and mends it."""

import asyncio
import resource
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest

from sterna.core import plan as planned
from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import IllegalMove, Unreachable
from sterna.core.plan import Endpoint, Picked, Plan, Selection
from sterna.engines.postgres.compare import bisecting, ranges, settling, table
from sterna.engines.postgres.compare.compare import compare
from sterna.engines.postgres.compare.desk import TOLD
from sterna.engines.postgres.compare.hashing import choose
from sterna.engines.postgres.connection import connected
from tests.effort import PATIENCE
from tests.engines.moving import Move
from tests.servers import postgres
from tests.servers.postgres import PostgresServer, Unavailable

pytestmark = pytest.mark.server

DATABASE = "moved"


@dataclass(frozen=True)
class Two:
    """An empty database on each of two servers of different versions."""

    source: PostgresServer
    target: PostgresServer
    database: str

    def both(self, sql: str) -> None:
        self.on_source(sql)
        self.on_target(sql)

    def on_source(self, sql: str) -> list[tuple[object, ...]]:
        return self.source.sql(sql, self.database)

    def on_target(self, sql: str) -> list[tuple[object, ...]]:
        return self.target.sql(sql, self.database)

    def plan(self, *objects: Picked, without: tuple[planned.Path, ...] = ()) -> Plan:
        selection = Selection(objects=objects or (Picked((self.database,)),), without=without)
        return Plan(endpoint(self.source), endpoint(self.target), selection=selection)

    def path(self, table: str) -> planned.Path:
        return self.database, "public", table


def endpoint(server: PostgresServer) -> Endpoint:
    return Endpoint("postgresql", ((server.host, server.port),), "postgres", server.password)


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    with ExitStack() as stack:
        try:
            started = [postgres.start("pg15"), postgres.start("pg18")]
        except Unavailable as reason:
            pytest.skip(str(reason))
        for server in started:
            stack.callback(server.close)
            server.create_database(DATABASE)
        yield started[0], started[1]


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing writes here, unless a test says so, and then it does not lag by much."""
    for module in (settling, table):
        monkeypatch.setattr(module, "QUIET_PAUSES", (0.05,))
        monkeypatch.setattr(module, "PAUSES", (0.3, 0.6, 1.2, 2.4))


@pytest.fixture
def two(servers: tuple[PostgresServer, PostgresServer]) -> Iterator[Two]:
    two = Two(*servers, DATABASE)
    yield two
    two.both(
        'DROP SCHEMA IF EXISTS public, sterna, app, "New" CASCADE; CREATE SCHEMA public;'
        "GRANT USAGE ON SCHEMA public TO public"
    )


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that depends on size happens with little data."""
    monkeypatch.setattr(bisecting, "FEW", 10)
    monkeypatch.setattr(bisecting, "MANY", 100)
    monkeypatch.setattr(bisecting, "BUCKET_ROWS", 5)
    monkeypatch.setattr(bisecting, "AT_ONCE", 7)
    monkeypatch.setattr(table, "MOST_SUSPECTS", 20)
    monkeypatch.setattr(ranges, "RANGE_BYTES", 8192)
    monkeypatch.setattr(ranges, "LEAST_ROWS", 10)


def facts(found: Comparison) -> list[tuple[str, str, str]]:
    """What the differences say, without the database's name."""
    return sorted((each.name.partition(".")[2], each.kind, each.detail) for each in found.differences)


EVERY_TYPE = """
    CREATE EXTENSION IF NOT EXISTS hstore; CREATE EXTENSION IF NOT EXISTS citext;
    CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy'); CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN small AS int CHECK (VALUE < 100);
    CREATE TABLE every (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        i2 smallint, i4 int, f4 real, f8 float8, n numeric, n2 numeric(10,2), m money, b boolean,
        t text, v varchar(20), c char(7), ch "char", nm name, by bytea, d date, ti time(3), tz timetz,
        ts timestamp(3), tstz timestamptz, iv interval, u uuid, ip inet, ci cidr, mac macaddr,
        bi bit(5), vb varbit,
        j json, jb jsonb, tv tsvector, tq tsquery, p point, po polygon, r int4range, mr nummultirange,
        ia int[], ta text[][], mo mood, ma mood[], co pair, sm small, h hstore, cit citext, ls pg_lsn, o oid,
        made int GENERATED ALWAYS AS (i4 * 2) STORED, "Odd "" näme %s 漢" text);
    INSERT INTO every (i2, i4, f4, f8, n, n2, m, b, t, v, c, ch, nm, by, d, ti, tz, ts, tstz, iv, u, ip, ci, mac,
        bi, vb, j, jb, tv, tq, p, po, r, mr, ia, ta, mo, ma, co, sm, h, cit, ls, o, "Odd "" näme %s 漢")
    SELECT g, -g, g / 3.0, g / 7.0, g / 11.0, g, g, g % 2 = 0, repeat('ü' || g, g), 'a' || g, 'c' || g, 'x',
        'n' || g, decode(md5(g::text), 'hex'), '4000-01-01'::date - g, '12:00', '12:00+03',
        '2020-01-01'::date - g * interval '1s', '2020-01-01Z'::timestamptz + g * interval '1.123456s',
        g * interval '1 mon 1 s', md5(g::text)::uuid,
        '10.0.0.1', '10.1.0.0/16', '08:00:2b:01:02:03', B'10101', B'101', '{"b" :  1, "a":[1,  2]}',
        '{"b" :  1, "a":[1,  2]}', 'a:1 b:2', 'a & b', '(1.5,2)', '((0,0),(1,1),(2,0))', '[1,5)',
        '{[1,2),[5,7)}', ARRAY[1, NULL, 3], ARRAY[['a', 'NULL'], ['', NULL]], 'ok', '{sad,happy}',
        (g, NULL)::pair, 7, 'a=>1, b=>NULL', 'MiXed', '16/B374D848', g,
        CASE g % 3 WHEN 0 THEN '' WHEN 1 THEN 'x' END
      FROM generate_series(1, 40) g;
    INSERT INTO every (f4, f8, n, d, tstz)
    VALUES ('-0', 'NaN', 'NaN', 'infinity', '-infinity'), (NULL, '-0', 1.00, NULL, NULL)
"""


async def test_equal_rows_of_every_type_are_equal_across_versions(two: Two) -> None:
    two.both(EVERY_TYPE)
    two.both("CREATE TABLE empty (a int PRIMARY KEY); CREATE TABLE nothing ()")
    found = await compare(two.plan())
    assert found.equal, found
    assert (found.compared, found.unsettled, found.different) == (42, 0, 0)
    assert found.counts[f"{two.database}.public.every"] == (42, 42)


SMALLEST = {
    "n": "1.000 WHERE id = 42",
    "f8": "0 WHERE id = 42",
    "f4": "0 WHERE id = 41",
    "jb": """'{"a": [1, 2]}' WHERE id = 5""",
    "j": """'{"b":1, "a":[1,  2]}' WHERE id = 6""",
    "t": "NULL WHERE id = 1",
    "mo": "'happy' WHERE id = 2",
    "by": "'\\x00' WHERE id = 3",
    "tstz": "tstz + interval '1 microsecond' WHERE id = 7",
    '"Odd "" näme %s 漢"': "NULL WHERE id = 9",
    "ta": "ARRAY[['a', NULL], ['', NULL]] WHERE id = 10",
    "c": "'c' WHERE id = 11",
    "cit": "'mixed' WHERE id = 12",
    "m": "m + '0.01'::money WHERE id = 13",
    "co": "(4, '')::pair WHERE id = 14",
    "b": "NULL WHERE id = 15",
}


async def test_the_smallest_change_of_a_value_is_found_and_mended(two: Two) -> None:
    two.both(EVERY_TYPE)
    changes = "; ".join(f"UPDATE every SET {column} = {value}" for column, value in SMALLEST.items())
    two.on_target(changes)
    found = await compare(two.plan())
    assert {each.kind for each in found.differences} == {"value"}
    changed = {name for each in found.differences for name in each.detail.split(", ")}
    assert changed == {column.strip('"').replace('""', '"') for column in SMALLEST}
    assert found.different == len({value.rpartition("WHERE")[2] for value in SMALLEST.values()})
    assert all(each.remedy.startswith('UPDATE "public"."every" SET') for each in found.differences)
    for each in found.differences:
        two.on_target(each.remedy)
    assert (await compare(two.plan())).equal
    two.on_target(changes)
    assert (await compare(two.plan(), repair=True)).repaired == found.different
    assert (await compare(two.plan())).equal


KEYS = [
    ("id int", "id", "g"),
    ("id numeric(10,2)", "id", "-g / 3.0"),
    ("id uuid", "id", "md5(g::text)::uuid"),
    ('id text COLLATE "C"', "id", "md5(g::text)"),
    ("id text COLLATE other", "id", "chr(65 + g % 60) || g"),
    ("id timestamptz", "id", "'2020-01-01'::timestamptz + g * interval '1 s'"),
    ("id bytea", "id", "decode(md5(g::text), 'hex')"),
    ('id int, "b %s" text', '"b %s", id', "g % 7, 'it''s ' || g"),
    ("b bigint, id date, c char(3)", "b, id, c", "g % 3, date '2020-01-01' + g, g % 5"),
]


@pytest.mark.parametrize(("columns", "key", "values"), KEYS)
@pytest.mark.usefixtures("few")
async def test_missing_extra_and_different_rows_are_found_under_every_kind_of_key(
    two: Two, columns: str, key: str, values: str
) -> None:
    two.on_source("CREATE COLLATION other (provider = icu, locale = 'en-US')")
    two.on_target('CREATE COLLATION other FROM "C"')
    two.both(f"SET search_path = public; CREATE TABLE t ({columns}, word text, PRIMARY KEY ({key}))")
    two.both(f"INSERT INTO t SELECT {values}, 'word ' || g FROM generate_series(1, 200) g; ANALYZE t")
    two.on_target("DELETE FROM t WHERE word IN ('word 1', 'word 150', 'word 200')")
    two.on_target("UPDATE t SET word = 'other' WHERE word IN ('word 33', 'word 140')")
    two.on_source("DELETE FROM t WHERE word = 'word 77'")
    found = await compare(two.plan())
    kinds = sorted(each.kind for each in found.differences)
    assert kinds == ["extra", "missing", "missing", "missing", "value", "value"]
    assert (found.different, found.equal, found.compared) == (6, False, 199)
    for each in found.differences:
        two.on_target(each.remedy)
    assert (await compare(two.plan())).equal
    two.on_target("DELETE FROM t WHERE word = 'word 5'; UPDATE t SET word = NULL WHERE word IN ('word 6')")
    mended = await compare(two.plan(), repair=True)
    assert (mended.repaired, mended.different, mended.equal) == (2, 2, True)
    assert (await compare(two.plan())).equal


@pytest.mark.usefixtures("few")
async def test_a_table_without_a_key_is_a_multiset(two: Two) -> None:
    two.both("CREATE TABLE t (a int, b text, j json)")
    two.both("INSERT INTO t SELECT g % 50, 'x', '{}' FROM generate_series(1, 200) g; INSERT INTO t VALUES (NULL)")
    assert (await compare(two.plan())).equal
    two.on_target("INSERT INTO t VALUES (1, 'x', '{}'), (1, 'x', '{}'), (NULL, NULL, NULL)")
    two.on_target("DELETE FROM t WHERE ctid IN (SELECT ctid FROM t WHERE a = 7 LIMIT 1)")
    two.on_target("UPDATE t SET b = '' WHERE a = 9")
    found = await compare(two.plan())
    assert not found.tables[0].trouble
    assert facts(found) == [
        ("public.t (1, x, {})", "extra", "2 of this row"),
        ("public.t (7, x, {})", "missing", "1 of this row"),
        ("public.t (9, , {})", "extra", "4 of this row"),
        ("public.t (9, x, {})", "missing", "4 of this row"),
        ("public.t (NULL, NULL, NULL)", "extra", "1 of this row"),
    ]
    assert (await compare(two.plan(), repair=True)).equal
    assert (await compare(two.plan())).equal
    assert two.on_target("SELECT count(*) FROM t") == [(201,)]


async def test_rows_that_were_doubled_on_a_target_without_the_key_are_found(two: Two) -> None:
    two.on_source("CREATE TABLE t (a int PRIMARY KEY, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y')")
    two.on_target("CREATE TABLE t (a int, b text); INSERT INTO t VALUES (1, 'x'), (2, 'y'), (2, 'y')")
    found = await compare(two.plan(Picked(two.path("t"))))
    assert ("public.t a=2", "extra", "2 rows with this key") in facts(found)
    await compare(two.plan(), repair=True)
    assert two.on_target("SELECT * FROM t ORDER BY 1") == [(1, "x"), (2, "y")]


async def test_renamed_tables_chosen_columns_and_filtered_rows_are_compared_as_they_were_moved(two: Two) -> None:
    two.on_source("CREATE TABLE t (id int PRIMARY KEY, a text, secret text, amount int)")
    two.on_source("INSERT INTO t SELECT g, 'a', 's', g FROM generate_series(1, 20) g")
    two.on_target(
        'CREATE SCHEMA "New"; CREATE TABLE "New"."T.t" (amount bigint, id int PRIMARY KEY, a text, more int)'
    )
    two.on_target('INSERT INTO "New"."T.t" SELECT g, g, \'a\' FROM generate_series(11, 20) g')
    picked = Picked(two.path("t"), (two.database, "New", "T.t"), ("id", "a", "amount"), "amount > 10 -- 10%")
    found = await compare(two.plan(picked))
    assert found.counts == {f"{two.database}.public.t": (10, 10)}
    assert [each for each in found.differences if each.kind != "missing"] == []
    assert found.tables[0].target == Name((two.database, "New", "T.t"))
    assert found.tables[0].different == 0
    two.on_target('INSERT INTO "New"."T.t" VALUES (5, 5, \'a\'); DELETE FROM "New"."T.t" WHERE id = 15')
    found = await compare(two.plan(picked), only=[Name(two.path("t"))])
    assert facts(found) == [("public.t id=15", "missing", ""), ("public.t id=5", "extra", "")]
    assert (await compare(two.plan(picked), repair=True, only=[Name(two.path("t"))])).equal


async def test_what_is_not_there_is_named(two: Two) -> None:
    two.on_source(
        "CREATE SCHEMA app; CREATE TABLE app.t (id int PRIMARY KEY, a text); CREATE VIEW v AS SELECT 1 AS one;"
        "CREATE INDEX i ON app.t (a); INSERT INTO app.t VALUES (1), (2); CREATE TABLE half (id int PRIMARY KEY,"
        " a int); INSERT INTO half VALUES (1, 1); CREATE FUNCTION f(int) RETURNS int LANGUAGE sql AS 'SELECT $1'"
    )
    two.on_target("CREATE TABLE half (id int PRIMARY KEY); INSERT INTO half VALUES (1); CREATE TABLE own (a int)")
    found = await compare(two.plan())
    assert facts(found) == [
        ("app", "missing", f"the schema is not in {two.database}.app"),
        ("app.t", "missing table", f"the target has no {two.database}.app.t"),
        ("app.t.i", "missing", f"the index is not in {two.database}.app"),
        ("app.t.t_pkey", "missing", f"the constraint is not in {two.database}.app"),
        ("app.t.t_pkey", "missing", f"the index is not in {two.database}.app"),
        ("public.f(1)", "missing", f"the function is not in {two.database}.public"),
        ("public.half.a", "missing column", ""),
        ("public.v", "missing", f"the view is not in {two.database}.public"),
    ]
    assert (found.objects["tables"], found.objects["indexes"]) == ((2, 1), (3, 1))
    assert found.counts[f"{two.database}.app.t"] == (2, 0)
    only_objects = await compare(two.plan(), depth=Depth.OBJECTS)
    assert facts(only_objects) == facts(found)
    assert only_objects.compared == 0


async def test_a_database_that_is_not_there_is_missing_as_a_whole(two: Two) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY)")
    picked = Picked((two.database,), (two.database + " elsewhere",))
    found = await compare(two.plan(picked))
    assert ("public.t", "missing table", f"the target has no {two.database} elsewhere.public.t") in facts(found)
    assert not found.equal


async def test_counts_are_compared_without_looking_into_rows(two: Two) -> None:
    two.both(
        "CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t SELECT g, g FROM generate_series(1, 100) g"
    )
    two.on_target("UPDATE t SET a = 0")
    assert (await compare(two.plan(), depth=Depth.ROWS)).equal
    two.on_target("DELETE FROM t WHERE id < 10")
    heard: list[Compared] = []
    found = await compare(two.plan(), depth=Depth.ROWS, heard=heard.append)
    assert facts(found) == [("public.t", "missing", "100 rows on the source, 91 on the target")]
    assert (found.different, found.equal) == (9, False)
    assert [(each.source_rows, each.target_rows, each.different) for each in heard] == [(100, 91, 9)]


async def test_a_partitioned_table_may_be_divided_otherwise_on_the_target(two: Two) -> None:
    two.on_source(
        "CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (50) TO (1000);"
        "INSERT INTO p SELECT g, 'a' FROM generate_series(1, 99) g"
    )
    two.on_target(
        "CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p SELECT g, 'a' FROM generate_series(1, 98) g"
    )
    found = await compare(two.plan(Picked(two.path("p"))))
    assert found.counts == {f"{two.database}.public.p": (99, 98)}
    assert ("public.p id=99", "missing", "") in facts(found)
    two.on_target("DROP TABLE p")
    two.on_target(
        "CREATE TABLE p (id int PRIMARY KEY, a text) PARTITION BY RANGE (id);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (50);"
        "CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (50) TO (1000)"
    )
    assert (await compare(two.plan(), repair=True)).equal
    assert two.on_target("SELECT count(*) FROM p2") == [(50,)]


async def test_a_table_that_cannot_be_read_is_told_of_and_the_others_are_compared(two: Two) -> None:
    two.both(
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); GRANT SELECT ON b TO public"
    )
    two.source.sql("DO $$ BEGIN CREATE ROLE reader LOGIN PASSWORD 'r'; EXCEPTION WHEN OTHERS THEN NULL; END $$")
    plan = two.plan()
    plan = replace(plan, source=replace(plan.source, user="reader", password="r"))
    found = await compare(plan)
    first, second = found.tables
    assert "permission denied for table a" in first.trouble
    assert not first.equal
    assert second.equal
    assert not found.equal


async def test_most_limits_what_is_named_and_not_what_is_counted(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "MANY", 30)
    two.both("CREATE TABLE t (id int PRIMARY KEY, a text)")
    two.on_source("INSERT INTO t SELECT g, 'a' FROM generate_series(1, 3000) g")
    two.on_target("INSERT INTO t SELECT g, 'b' FROM generate_series(1001, 2000) g")
    found = await compare(two.plan(), most=3)
    assert (len(found.differences), found.different) == (3, 3000)
    assert (await compare(two.plan(), most=0, repair=True)).repaired == 3000
    assert (await compare(two.plan())).equal


async def test_rows_that_exchange_unique_values_are_mended(two: Two) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY, a int UNIQUE, g int GENERATED ALWAYS AS IDENTITY)")
    two.on_source("INSERT INTO t VALUES (1, 10), (2, 20)")
    two.on_target("INSERT INTO t VALUES (1, 20), (2, 10), (3, 30)")
    assert (await compare(two.plan(), repair=True)).equal
    assert two.on_target("SELECT * FROM t ORDER BY 1") == [(1, 10, 1), (2, 20, 2)]


async def test_what_the_target_refuses_is_told_of(two: Two) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY, a int)")
    two.on_target("ALTER TABLE t ADD CHECK (a < 5)")
    two.on_source("INSERT INTO t VALUES (1, 10)")
    found = await compare(two.plan(), repair=True)
    assert "violates check constraint" in found.tables[0].trouble
    assert (found.repaired, found.equal) == (0, False)


async def test_rows_that_arrive_later_are_no_differences(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "QUIET_PAUSES", (0.2, 5.0))
    two.both("CREATE TABLE t (id int PRIMARY KEY, a int)")
    two.on_source("INSERT INTO t VALUES (1, 1), (2, 2)")
    two.on_target("INSERT INTO t VALUES (1, 0), (3, 3)")
    looked = asyncio.Event()
    plain = settling.look

    async def looking(*args: object) -> object:
        looked.set()
        return await plain(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(settling, "look", looking)
    comparing = asyncio.create_task(compare(two.plan()))
    await looked.wait()
    two.on_target("TRUNCATE t; INSERT INTO t VALUES (1, 1), (2, 2)")
    assert (await comparing).equal


async def test_a_row_that_keeps_changing_is_unsettled(two: Two) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY, a int); INSERT INTO t VALUES (1, 0), (2, 0)")
    two.on_target("UPDATE t SET a = -1")
    writing = True

    async def write() -> None:
        async with await psycopg.AsyncConnection.connect(
            two.source.dsn(two.database), autocommit=True
        ) as connection:
            while writing:
                await connection.execute("UPDATE t SET a = a + 1 WHERE id = 1")

    task = asyncio.create_task(write())
    found = await compare(two.plan())
    writing = False
    await task
    assert (found.unsettled, found.different) == (1, 1)
    assert facts(found) == [("public.t id=2", "value", "a")]


CHECKPOINT = (
    "CREATE SCHEMA sterna; CREATE TABLE sterna.job (job text PRIMARY KEY, epoch bigint);"
    "CREATE TABLE sterna.lane (job text, lane text, position text); INSERT INTO sterna.job VALUES ('j', 1);"
)


@pytest.mark.long
async def test_a_repair_never_writes_an_older_state_over_what_a_job_has_written(two: Two, tmp_path: Path) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY, a int, b text); CREATE TABLE m (a int, b text)")
    two.on_source("INSERT INTO t SELECT g, 0, 'x' FROM generate_series(1, 200) g")
    two.on_source("INSERT INTO m SELECT g, 'x' FROM generate_series(1, 50) g")
    move = await Move(endpoint(two.source), endpoint(two.target), tmp_path, two.plan()).start()
    await move.follows()
    two.on_target("UPDATE t SET a = -1 WHERE id BETWEEN 20 AND 60; DELETE FROM t WHERE id > 190")
    two.on_target("DELETE FROM m WHERE a > 45; INSERT INTO m VALUES (1, 'x')")
    writing, written = True, 0

    async def write() -> None:
        nonlocal written
        dsn = two.source.dsn(two.database)
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            while writing:
                written += 1
                await connection.execute(b"UPDATE t SET a = a + 1 WHERE id = %d" % (written % 50 + 1))
                await connection.execute(b"INSERT INTO m VALUES (%d, 'new')" % written)
                await asyncio.sleep(0.002)

    task = asyncio.create_task(write())
    found = await compare(two.plan(), repair=True)
    while written <= 50:  # a busy machine has compared before
        await asyncio.sleep(0.01)
    writing = False
    await task
    assert found.repaired >= 10 + 10 + 6
    assert not [each.trouble for each in found.tables if each.trouble]
    await move.caught_up()
    await move.finish()
    content = "SELECT * FROM t WHERE id NOT BETWEEN 20 AND 50 ORDER BY 1"
    assert two.on_source(content) == two.on_target(content)
    rest = await compare(two.plan(), repair=True)
    assert rest.equal
    for content in ("SELECT * FROM t ORDER BY 1", "SELECT a, b FROM m ORDER BY 1, 2"):
        assert two.on_source(content) == two.on_target(content)


async def test_a_repair_while_a_job_copies_is_refused(two: Two) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY)")
    two.on_target(CHECKPOINT)
    assert (await compare(two.plan())).equal
    with pytest.raises(IllegalMove, match="copies to"):
        await compare(two.plan(), repair=True)


async def test_foreign_keys_and_triggers_do_not_act_on_a_repair(two: Two) -> None:
    two.both(
        "CREATE TABLE a (id int PRIMARY KEY, x int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a"
        " ON DELETE CASCADE); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN NEW.x = 99; RETURN NEW; END';"
        "CREATE TRIGGER f BEFORE INSERT ON a FOR EACH ROW EXECUTE FUNCTION f()"
    )
    two.on_source("INSERT INTO a VALUES (1); INSERT INTO b VALUES (1, 1)")
    found = await compare(two.plan(), repair=True)
    assert (found.repaired, found.equal) == (2, True)
    assert two.on_target("SELECT * FROM a") == [(1, 99)]


async def test_a_server_that_is_gone_ends_the_comparison(two: Two) -> None:
    plan = two.plan()
    with pytest.raises(Unreachable):
        await compare(replace(plan, target=replace(plan.target, addresses=(("127.0.0.1", 1),))))


async def test_nothing_is_left_on_the_servers(two: Two) -> None:
    two.both("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    two.on_target("DELETE FROM t")
    await compare(two.plan(), repair=True)
    left = f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{TOLD}'"
    deadline = time.monotonic() + PATIENCE
    while two.on_source(left) + two.on_target(left) != [(0,), (0,)]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


@pytest.mark.usefixtures("few")
async def test_servers_with_no_hash_in_common_are_compared_by_md5(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sterna.engines.postgres.compare import hashing

    two.both(EVERY_TYPE)
    for ways in (
        {"_RECORD_SAMPLE": "random()"},
        {"_RECORD_SAMPLE": "random()", "_TEXT_SAMPLES": ("random()::text",) * 3},
    ):
        for name, value in ways.items():
            monkeypatch.setattr(hashing, name, value)
        assert (await compare(two.plan())).equal
        two.on_target("UPDATE every SET f8 = 0 WHERE id = 42; UPDATE every SET n = 1.000 WHERE id = 42")
        found = await compare(two.plan(), repair=True)
        assert facts(found) == [("public.every id=42", "value", "f8, n")]
        assert found.equal


async def test_databases_in_different_encodings_are_compared_by_meaning(
    servers: tuple[PostgresServer, PostgresServer],
) -> None:
    two = Two(*servers, "latin")
    for server, encoding in zip(servers, ("LATIN1", "UTF8"), strict=True):
        server.sql(f"CREATE DATABASE latin TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    two.both(
        "CREATE TABLE t (id int PRIMARY KEY, a text); INSERT INTO t "
        "VALUES (1, 'J' || chr(252) || 'rgen'), (2, NULL)"
    )
    assert (await compare(two.plan())).equal
    two.on_target("UPDATE t SET a = 'Jurgen'")
    assert (await compare(two.plan(), repair=True)).equal
    assert two.on_target("SELECT a FROM t ORDER BY id") == [("Jürgen",), (None,)]


async def test_two_servers_agree_on_the_hash_of_a_record(two: Two) -> None:
    plan = two.plan()
    async with connected(plan.source) as source, connected(plan.target) as target:
        assert (await choose(source, target)).record


async def test_a_large_table_is_compared_fast_and_in_little_memory(two: Two) -> None:
    rows = 150_000
    two.both("CREATE UNLOGGED TABLE t (id bigint PRIMARY KEY, a int, b text, at timestamptz, u uuid)")
    two.both(
        f"INSERT INTO t SELECT g, g % 1000, repeat('some words ', 20),"
        f"'2020-01-01'::timestamptz + g * interval '1 s', md5(g::text)::uuid FROM generate_series(1, {rows}) g"
    )
    two.on_source("ANALYZE t")
    two.on_target("UPDATE t SET a = -1 WHERE id = 65432; DELETE FROM t WHERE id = 149999")
    ((size,),) = two.on_source("SELECT pg_table_size('t')")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    found = await compare(two.plan())
    took = time.monotonic() - began
    print(f"{int(str(size)) / 1e6 / took:.0f} MB/s in {took:.2f} s")
    assert facts(found) == [("public.t id=149999", "missing", ""), ("public.t id=65432", "value", "a")]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
