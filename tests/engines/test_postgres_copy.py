"""Full copies between real PostgreSQL servers."""

import asyncio
import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from sterna.core.job import Phase
from sterna.core.plan import Conflict, Mode, Pace, Picked, Plan, Selection
from sterna.engines.postgres import copying
from sterna.engines.postgres.names import literal, own
from tests.effort import PATIENCE
from tests.engines.moving import Move, full, incremental, postgres_endpoint
from tests.servers.postgres import PostgresServer, Unavailable, start

pytestmark = pytest.mark.server

_CONTENTS = "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM ONLY {} t"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """An older and a newer server; each test uses databases of its own."""
    with ExitStack() as stack:
        try:
            pair = start("pg15"), start("pg18")
        except Unavailable as reason:
            pytest.skip(str(reason))
        for server in pair:
            stack.callback(server.close)
        yield pair


class Pair:
    """A database on either side; that of the target is there if the job finds it."""

    def __init__(self, source: PostgresServer, target: PostgresServer, name: str, folder: Path) -> None:
        self.source, self.target, self.name, self.folder = source, target, name, folder
        source.create_database(name)

    def fill(self, text: str) -> None:
        self.source.sql(text, self.name)

    def target_has(self, text: str) -> None:
        self.target.create_database(self.name)
        self.target.sql(text, self.name)

    def move(self, plan: Plan | None = None, *picked: Picked) -> Move:
        selection = Selection(objects=picked or (Picked((self.name,)),))
        plan = replace(plan or full(), selection=selection)
        return Move(postgres_endpoint(self.source), postgres_endpoint(self.target), self.folder, plan)

    def picked(self, *path: str, to: tuple[str, ...] = (), **more: object) -> Picked:
        away = (self.name, *to) if to else ()
        return Picked((self.name, *path), away, **more)  # type: ignore[arg-type]  # the names are Picked's own

    def same(self, *tables: str) -> None:
        for table in tables:
            query = _CONTENTS.format(table)
            assert self.source.sql(query, self.name) == self.target.sql(query, self.name), table

    def clean(self, move: Move) -> bool:
        """Whether nothing of the job is left on either side, once its sessions have ended."""
        mine = literal(own(move.job.id) + "%")
        query = f"""
            SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'sterna')
                 + (SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE {mine})
                 + (SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE {mine})
                 + (SELECT count(*) FROM pg_publication WHERE pubname LIKE {mine})
                 + (SELECT count(*) FROM pg_replication_origin WHERE roname LIKE {mine})"""
        end = time.monotonic() + PATIENCE
        for server in (self.source, self.target):
            while server.sql(f"SELECT 1 FROM pg_stat_activity WHERE application_name LIKE {mine}"):
                if time.monotonic() > end:
                    return False
                time.sleep(0.02)
        return [server.sql(query, self.name) for server in (self.source, self.target)] == [[(0,)], [(0,)]]


@pytest.fixture
def pair(servers: tuple[PostgresServer, PostgresServer], request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(*servers, _database(request), tmp_path / "job")


@pytest.fixture
def backwards(
    servers: tuple[PostgresServer, PostgresServer], request: pytest.FixtureRequest, tmp_path: Path
) -> Pair:
    """From the newer server to the older one."""
    return Pair(servers[1], servers[0], _database(request), tmp_path / "job")


def _database(request: pytest.FixtureRequest) -> str:
    return "d" + hashlib.sha256(request.node.name.encode()).hexdigest()[:12]


_KINDS = """
    CREATE EXTENSION hstore;
    CREATE SCHEMA "Ünder.""q";
    CREATE TYPE mood AS ENUM ('sad', 'so "so"', '高兴');
    CREATE DOMAIN small AS int CHECK (value < 100);
    CREATE TYPE pair AS (a int, b mood);
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TABLE builtin (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, b bool, i2 smallint, n numeric, f4 real, f8 float8,
        t text, c char(5), v varchar(9), by bytea, ts timestamp, tz timestamptz, d date, ti time, tt timetz,
        iv interval, j json, jb jsonb, u uuid, ip inet, ci cidr, m macaddr, bits bit varying, p point,
        pg polygon, r int4range, mr datemultirange, tv tsvector, tq tsquery, a int[], at text[][], mo money,
        l pg_lsn, o oid, ch "char", na name, up text GENERATED ALWAYS AS (upper(t)) STORED);
    INSERT INTO builtin (b, i2, n, f4, f8, t, c, v, by, ts, tz, d, ti, tt, iv, j, jb, u, ip, ci, m, bits, p, pg,
        r,
        mr, tv, tq, a, at, mo, l, o, ch, na)
    SELECT n % 2 = 0, n, n / 7.0, n / 3.0, 'NaN', E'x\\t\\n\\\\' || n, 'ab', 'ü', decode(md5(n::text), 'hex'),
        timestamp '2020-02-29' + n * interval '1 hour', 'infinity', '0044-03-15 BC', '23:59:59.999',
        '01:02:03+05:30', '1 mon -3 days', '{"a": 1 }', '{"b": [1, null]}', md5(n::text)::uuid, '::1',
        '10.0.0.0/8',
        '08:00:2b:01:02:03', '101', '(1,2)', '((0,0),(1,1),(1,0))', '[1,5)',
        '{[2020-01-01,2020-02-01)}', 'fat:1A cat', 'fat & cat', ARRAY[n, NULL], '{{a,b},{c,NULL}}',
        12.34, '1/2', 77, 'z', 'n'
        FROM
        generate_series(1, 500) n;
    INSERT INTO builtin (t) SELECT NULL FROM generate_series(1, 20);
    CREATE TABLE own (m mood, s small, p pair, ms mood[], ps pair[], sp span, h hstore, rc regclass, rt regtype);
    INSERT INTO own SELECT (enum_range(NULL::mood))[n % 3 + 1], n,
        ROW(n, 'sad'::mood)::pair, '{sad,高兴}',
        ARRAY[ROW(n, NULL::mood)::pair], span(n, n + 1.5), hstore('k', 'v' || n), 'builtin', 'mood'
        FROM generate_series(1, 90) n;
    CREATE TABLE enum_alone (m mood, s small);
    INSERT INTO enum_alone VALUES ('高兴', 99), (NULL, NULL);
    CREATE TABLE "Ünder.""q"."Tab.le ""x"" 表"("select" int, "Co""l.umn" text);
    INSERT INTO "Ünder.""q"."Tab.le ""x"" 表" SELECT n, 'r' || n FROM generate_series(1, 100) n;
    CREATE TABLE nothing ();
    INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
    CREATE TABLE empty (a int, b text[]);
    CREATE TABLE nokey (a int, b text);
    INSERT INTO nokey SELECT 1, 'same' FROM generate_series(1, 50);
    CREATE UNLOGGED TABLE unlogged (a int);
    INSERT INTO unlogged SELECT generate_series(1, 100);
    CREATE TABLE parent (a int, b text);
    CREATE TABLE child (c int) INHERITS (parent);
    INSERT INTO parent VALUES (1, 'p'); INSERT INTO child VALUES (2, 'c', 3);
    CREATE TABLE parted (a int, b text) PARTITION BY RANGE (a);
    CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (50);
    CREATE TABLE parted_rest PARTITION OF parted DEFAULT PARTITION BY HASH (a);
    CREATE TABLE parted_h PARTITION OF parted_rest FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    INSERT INTO parted SELECT n, 'x' || n FROM generate_series(1, 100) n;
    CREATE TABLE dropped (a int, gone text, b int);
    INSERT INTO dropped SELECT n, 'g', n FROM generate_series(1, 10) n;
    ALTER TABLE dropped DROP COLUMN gone;
    CREATE TABLE words (a int PRIMARY KEY, t text);
    INSERT INTO words SELECT n, repeat(md5(n::text), 30 + n % 500) FROM generate_series(1, 4000) n;"""
_KINDS_TABLES = (
    *("builtin", "enum_alone", "nothing", "empty", "nokey", "unlogged", "parent", "child", "parted"),
    *("parted_1", "parted_h", "dropped", "words", "own"),
)


@pytest.mark.parametrize("way", ["pair", "backwards"])
async def test_every_kind_of_table_and_value_is_copied(way: str, request: pytest.FixtureRequest) -> None:
    pair: Pair = request.getfixturevalue(way)
    pair.fill(_KINDS)
    move = await pair.move().start()
    await move.ended()
    pair.same(*(f"public.{name}" for name in _KINDS_TABLES), '"Ünder.""q"."Tab.le ""x"" 表"')
    assert (await move.progress()).rows == 500 + 20 + 90 + 2 + 100 + 2 + 50 + 100 + 2 + 100 + 10 + 4000
    assert pair.clean(move)


async def test_a_table_of_1600_columns_and_a_row_of_many_megabytes_are_copied(pair: Pair) -> None:
    columns = ", ".join(f"c{n} smallint" for n in range(1600))
    pair.fill(
        f"CREATE TABLE wide ({columns}); INSERT INTO wide (c0, c1599) SELECT n, n FROM generate_series(1, 300) n"
    )
    pair.fill("CREATE TABLE big (id int, b bytea); ALTER TABLE big ALTER b SET STORAGE external")
    pair.fill(
        "INSERT INTO big SELECT n, decode(repeat(md5(n::text), 1 << 20), 'hex') FROM generate_series(1, 3) n"
    )
    await (await pair.move().start()).ended()
    pair.same("public.wide")
    query = "SELECT id, length(b), md5(b) FROM big ORDER BY id"
    assert pair.source.sql(query, pair.name) == pair.target.sql(query, pair.name)


async def test_tables_are_renamed_narrowed_and_filtered(pair: Pair) -> None:
    pair.fill("CREATE TABLE a (id int PRIMARY KEY, t text, secret text); CREATE TABLE b (id int); CREATE SCHEMA s")
    pair.fill("INSERT INTO a SELECT n, 't' || n, 's' FROM generate_series(1, 1000) n; CREATE TABLE s.c (id int)")
    pair.fill("CREATE INDEX ON a (t); INSERT INTO s.c VALUES (7)")
    where = pair.picked("public", "a", to=("other", "A b"), columns=("id", "t"), where="id % 10 = 0 OR t = 't5'")
    await (await pair.move(None, where, pair.picked("s", to=("z",))).start()).ended()
    assert pair.target.sql('SELECT count(*), max(t) FROM other."A b"', pair.name) == [(101, "t990")]
    assert pair.target.sql("SELECT id FROM z.c", pair.name) == [(7,)]
    assert pair.target.sql("SELECT to_regclass('public.a'), to_regclass('public.b')", pair.name) == [(None, None)]


async def test_rows_of_others_stop_the_job_before_anything_is_changed(pair: Pair) -> None:
    pair.fill("CREATE TABLE a (id int); INSERT INTO a VALUES (1); CREATE TABLE fresh (id int)")
    pair.target_has("CREATE TABLE a (id int); INSERT INTO a VALUES (2)")
    move = await pair.move(full(conflict=Conflict.STOP)).start()
    job = await _failed(move)
    assert job.failure
    assert "a" in job.failure.message
    assert pair.target.sql("SELECT id, to_regclass('fresh') FROM a", pair.name) == [(2, None)]


async def test_rows_of_others_go_where_the_source_wins(pair: Pair) -> None:
    pair.fill("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2)")
    pair.target_has("CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (2), (3)")
    pair.target.sql("CREATE TABLE points (a int REFERENCES a); INSERT INTO points VALUES (2)", pair.name)
    await (await pair.move(full(conflict=Conflict.OVERWRITE)).start()).ended()
    pair.same("public.a")
    assert pair.target.sql("SELECT * FROM points", pair.name) == [(2,)]


async def test_rows_of_others_stay_where_the_target_wins(pair: Pair) -> None:
    pair.fill(
        "CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a SELECT n, 's' FROM generate_series(1, 9) n"
    )
    pair.target_has("CREATE TABLE a (id int PRIMARY KEY, t text); INSERT INTO a VALUES (2, 't'), (20, 't')")
    await (await pair.move(full(conflict=Conflict.SKIP)).start()).ended()
    assert pair.target.sql(
        "SELECT count(*), string_agg(id::text, ',') FILTER (WHERE t = 't') FROM a", pair.name
    ) == [(10, "2,20")]


async def test_a_table_with_other_columns_is_named(pair: Pair) -> None:
    pair.fill("CREATE TABLE a (id int, t text); INSERT INTO a VALUES (1, 'x')")
    pair.target_has("CREATE TABLE a (id int, t date)")
    job = await _failed(await pair.move().start())
    assert job.failure
    assert "public.a" in job.failure.message
    assert "t" in job.failure.message


async def _failed(move: Move):  # type: ignore[no-untyped-def]
    assert move.task
    await asyncio.wait({move.task}, timeout=PATIENCE)
    return await move.now()


_MUCH = """
    CREATE TABLE nokey (a int, b text);
    INSERT INTO nokey SELECT n % 1000, repeat('y', 200) FROM generate_series(1, 60000) n;
    CREATE TABLE keyed (id int PRIMARY KEY, b mood_text);
    INSERT INTO keyed SELECT n, repeat('z', 200) FROM generate_series(1, 30000) n;
    CREATE UNLOGGED TABLE light (a int, b text);
    INSERT INTO light SELECT n, repeat('y', 100) FROM generate_series(1, 30000) n;"""


def _much(pair: Pair) -> None:
    """Tables that take five seconds at the pace of ``_slow``, and many chunks."""
    pair.fill("CREATE DOMAIN mood_text AS text; CREATE TYPE e AS ENUM ('a')" + ";" + _MUCH)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "CHUNK", 256 << 10)


def _slow(plan: Plan) -> Plan:
    return replace(plan, pace=Pace(copy_bytes_per_s=4 << 20))


async def _halfway(move: Move) -> None:
    await move.until(lambda job, figures: job.phase is Phase.COPY and figures.bytes > 2 << 20)


@pytest.mark.usefixtures("small_chunks")
async def test_a_run_that_is_cut_goes_on_and_doubles_nothing(pair: Pair) -> None:
    _much(pair)
    move = await pair.move(_slow(full())).start()
    for _ in range(3):
        await _halfway(move)
        done = (await move.progress()).bytes
        await move.cut()
        move.go()
        await move.until(lambda job, figures, done=done: figures.bytes > done)  # type: ignore[misc]
    await move.hurry()
    await move.ended()
    pair.same("public.nokey", "public.keyed", "public.light")
    assert not await move.events("run.again")
    assert pair.clean(move)


@pytest.mark.usefixtures("small_chunks")
async def test_a_table_gets_its_indexes_while_others_are_still_copied(pair: Pair) -> None:
    _much(pair)
    pair.fill(
        "CREATE TABLE few (id int PRIMARY KEY, b text); INSERT INTO few VALUES (1, 'x'); CREATE INDEX ON few (b)"
    )
    move = await pair.move(_slow(full())).start()
    there = "SELECT count(*) FROM pg_indexes WHERE tablename = 'few'"
    await move.until(lambda job, _: job.phase is Phase.COPY and pair.target.sql(there, pair.name) == [(2,)])
    assert pair.target.sql("SELECT to_regclass('public.keyed_pkey')", pair.name) == [(None,)]
    await move.cut()
    await move.hurry()
    move.go()
    await move.ended()
    pair.same("public.nokey", "public.keyed", "public.light", "public.few")
    indexes = "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    assert pair.source.sql(indexes, pair.name) == pair.target.sql(indexes, pair.name)
    unknown = "SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples < 0 AND relname IN ('few', 'keyed')"
    assert pair.target.sql(unknown, pair.name) == []
    assert pair.clean(move)


@pytest.mark.usefixtures("small_chunks")
async def test_a_builder_that_a_dead_run_left_is_ended(pair: Pair) -> None:
    _much(pair)
    move = await pair.move(_slow(full())).start()
    await _halfway(move)
    await move.cut()
    words = f"{pair.target.dsn(pair.name)}?application_name={own(move.job.id)}%20schema"
    with psycopg.connect(words) as left:
        left.execute("CREATE TABLE built (id int)")
        await move.hurry()
        move.go()
        await move.ended()
        with pytest.raises(psycopg.OperationalError):
            left.execute("SELECT 1")
    assert pair.clean(move)


@pytest.mark.usefixtures("small_chunks")
async def test_a_target_that_crashes_while_it_is_filled_has_everything_in_the_end(pair: Pair) -> None:
    _much(pair)
    move = await pair.move(_slow(full())).start()
    for _ in range(2):
        await _halfway(move)
        pair.target.kill9()
        pair.target.start()
        await move.until(lambda job, figures: figures.retries > 0)
    await move.hurry()
    await move.until(lambda job, _: job.condition.value == "DONE")
    pair.same("public.nokey", "public.keyed", "public.light")
    assert not await move.events("run.again")


@pytest.mark.usefixtures("small_chunks")
async def test_a_table_that_is_rewritten_while_it_is_copied_is_copied_again(pair: Pair) -> None:
    _much(pair)
    move = await pair.move(_slow(full())).start()
    await _halfway(move)
    await move.cut()
    pair.fill("DELETE FROM nokey WHERE a = 5")
    pair.fill("VACUUM FULL nokey")
    await move.hurry()
    move.go()
    await move.until(lambda job, _: job.condition.value == "DONE")
    assert await move.events("run.again")
    pair.same("public.nokey", "public.keyed", "public.light")


@pytest.mark.usefixtures("small_chunks")
async def test_what_is_written_during_the_copy_follows(pair: Pair) -> None:
    _much(pair)
    pair.fill("CREATE TABLE s (id serial PRIMARY KEY, k int REFERENCES keyed); INSERT INTO s (k) VALUES (1)")
    pair.fill("CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM keyed")
    move = await pair.move(_slow(incremental())).start()
    await _halfway(move)
    pair.fill(
        "UPDATE keyed SET b = 'changed' WHERE id % 100 = 0; INSERT INTO s (k) SELECT 5 FROM generate_series(1, 9)"
    )
    pair.fill("DELETE FROM keyed WHERE id = 77; INSERT INTO nokey VALUES (1, 'late')")
    await move.cut()
    await move.hurry()
    move.go()
    await move.until(lambda job, figures: job.phase is Phase.FOLLOW)
    pair.fill("INSERT INTO keyed VALUES (-1, 'later')")
    await move.caught_up()
    await move.finish()
    pair.same("public.nokey", "public.keyed", "public.light", "public.s")
    assert pair.target.sql("SELECT nextval('s_id_seq') > 10", pair.name) == [(True,)]
    assert pair.target.sql("SELECT * FROM seen", pair.name) == pair.target.sql(
        "SELECT count(*) FROM keyed", pair.name
    )
    assert pair.clean(move)


async def test_a_large_table_is_cut_into_ranges_of_blocks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "RANGE", 2 << 20)
    pair.fill(
        "CREATE TABLE a (id int, t text); INSERT INTO a SELECT n, repeat('x', 90) FROM generate_series(1, 90000) n"
    )
    pair.fill("DELETE FROM a WHERE id BETWEEN 20000 AND 50000")
    move = await pair.move().start()
    await move.ended()
    pair.same("public.a")
    lanes = await move.store.positions(move.job.id)
    assert len([lane for lane in lanes if lane.startswith("copy:")]) > 3


async def test_a_plan_that_follows_ends_clean_when_it_is_stopped_in_the_copy(pair: Pair) -> None:
    _much(pair)
    move = await pair.move(replace(_slow(incremental()), mode=Mode.INCREMENTAL)).start()
    await _halfway(move)
    await move.stop()
    assert pair.clean(move)
