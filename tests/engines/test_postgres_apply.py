"""Changes from a real slot, written into a real server."""

from collections.abc import Iterator

import psycopg
import pytest

from sterna.core.errors import ApplyFailed
from sterna.core.plan import Conflict, Picked, Selection
from tests.engines.postgres_feeding import SOURCE, TARGET, changes, framed, pair
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


TYPES = """
    CREATE TYPE mood AS ENUM ('sad', 'O''K, "fine"');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN positive AS numeric(8,2) CHECK (VALUE > 0);
    CREATE TABLE a (
        id bigint PRIMARY KEY, b bool, c "char", ch char(5), v varchar(7), n numeric, f real, d float8, by bytea,
        m mood, ms mood[], p pair, ps pair[], pos positive, day date, tz timestamptz, ti time(2), i interval,
        u uuid, j json, jb jsonb, x xml, bt bit(3), vb bit varying(9), ip inet, pt point, bx box, bxs box[],
        r int4range, mr nummultirange, ts tsvector, ar int[][], na name, re regclass, o oid, mo money,
        mac macaddr)"""

VALUES = r"""
    (1, true, 'x', 'ab', 'ab  ', 1.500, 0.1, 'NaN', '\x00ff', 'sad', '{sad,NULL}', '(1,"a \"b")',
     ARRAY[ROW(1, 'x,y')::pair, NULL], 3.14, '0044-03-15 BC', '2020-01-01 12:00:00.123456+05', '12:00:00.12',
     '1 year -3 days 04:05:06.7', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a":  [1, null, "\\"]}',
     '{"a": 1.00}', '<a b="c">&amp;</a>', B'101', B'1', '10.0.0.0/8', '(1.5,-2)', '(1,2),(0,0)',
     ARRAY['(1,2),(0,0)'::box, '(3,4),(1,1)'], '[1,5)', '{[1.5,2),[3,)}', 'a:1 b:2', '{{1,2},{3,NULL}}', 'na me',
     'pg_class', 7, '12.34', '08:00:2b:01:02:03')"""


def has_xml(server: PostgresServer) -> bool:
    """Whether it is built with it."""
    try:
        server.sql("SELECT '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        return False
    return True


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
@pytest.mark.parametrize("key", ["PRIMARY KEY", ""])
async def test_values_of_every_type_arrive_as_they_are(server: PostgresServer, identity: str, key: str) -> None:
    if not key and identity == "DEFAULT":
        pytest.skip("such a table cannot be updated on its source")
    schema = TYPES.replace("PRIMARY KEY", key) + f"; ALTER TABLE a REPLICA IDENTITY {identity}"
    values = VALUES if has_xml(server) else VALUES.replace("""'<a b="c">&amp;</a>'""", "NULL")
    async with pair(server, schema) as both:
        await both.feed(f"INSERT INTO a VALUES {values}; INSERT INTO a (id) SELECT generate_series(2, 9)")
        await both.same("a")
        await both.feed("UPDATE a SET id = id + 10; DELETE FROM a WHERE id = 11")
        await both.feed(f"INSERT INTO a VALUES {values}")
        await both.same("a")
        await both.feed("DELETE FROM a WHERE id IN (1, 13, 14)")
        await both.same("a")
        assert not both.told.events


async def test_keys_of_every_type_find_their_rows(server: PostgresServer) -> None:
    kinds = {"numeric": "1.50", "text": "a'b", "mood": "sad", "pair": "(1,x)", "positive": "2.5"}
    kinds |= {
        "int[]": "{1,2}",
        "jsonb": '{"a": 1}',
        "timestamptz": "2020-01-01+00",
        "float8": "-0.1",
        "inet": "::1",
    }
    kinds |= {"char(4)": "ab", "name": "n", "uuid": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "daterange": "empty"}
    made = [f'CREATE TABLE "t{n}" (k {kind} PRIMARY KEY, v int);' for n, kind in enumerate(kinds)]
    async with pair(server, TYPES + ";" + "".join(made)) as both:
        for n, value in enumerate(kinds.values()):
            value = value.replace("'", "''")
            await both.feed(f"INSERT INTO t{n} VALUES ('{value}', 1)")
            await both.feed(f"UPDATE t{n} SET v = 2")
            await both.same(f"t{n}")
            await both.feed(f"DELETE FROM t{n}")
            await both.same(f"t{n}")
        assert not both.told.events


async def test_a_table_may_have_another_name_fewer_columns_and_more(server: PostgresServer) -> None:
    schema = "CREATE TABLE a (id int PRIMARY KEY, t text, secret text)"
    there = 'CREATE SCHEMA "X.y"; CREATE TABLE "X.y"."B ""c" (extra int DEFAULT 7, t text, id bigint PRIMARY KEY)'
    picked = Picked((SOURCE, "public", "a"), (TARGET, "X.y", 'B "c'), ("id", "t"))
    async with pair(server, schema, there=there, selection=Selection(objects=(picked,))) as both:
        await both.feed("INSERT INTO a VALUES (1, 'x', 's'), (2, 'y', 's'); UPDATE a SET secret = 't'")
        await both.feed("UPDATE a SET t = 'z', secret = NULL WHERE id = 1; DELETE FROM a WHERE id = 2")
        assert await both.on_target('SELECT * FROM "X.y"."B ""c"') == [(7, "z", 1)]


async def test_a_table_that_was_renamed_out_of_the_selection_is_not_passed_silently(
    server: PostgresServer,
) -> None:
    async with pair(server, "CREATE TABLE a (id int PRIMARY KEY)", selection=only("a")) as both:
        await both.feed("INSERT INTO a VALUES (1)")
        await both.same("a")
        with pytest.raises(ApplyFailed, match=r"public\.b"):
            await both.feed("ALTER TABLE a RENAME TO b; INSERT INTO b VALUES (2)")


async def test_a_partition_that_was_added_belongs_to_its_table(server: PostgresServer) -> None:
    schema = "CREATE TABLE a (id int PRIMARY KEY) PARTITION BY LIST (id)"
    part = "CREATE TABLE public.part PARTITION OF public.a FOR VALUES IN (1)"
    async with pair(server, schema, selection=only("a")) as both:
        both.source.execute(part.encode())
        await both.on_target(part)
        await both.feed("INSERT INTO a VALUES (1)")
        await both.same("part")


async def test_a_target_that_was_reshaped_is_looked_at_again(server: PostgresServer) -> None:
    async with pair(server, "CREATE TABLE a (id int PRIMARY KEY, v int NOT NULL)") as both:
        await both.feed("INSERT INTO a VALUES (1, 1)")
        await both.on_target("ALTER TABLE public.a ALTER v ADD GENERATED ALWAYS AS IDENTITY, ALTER id TYPE bigint")
        both.applier.reshaped()
        await both.feed("UPDATE a SET v = 5; INSERT INTO a VALUES (2, 2)")
        await both.same("a")


async def test_tables_that_refer_to_one_another_are_emptied_together(server: PostgresServer) -> None:
    schema = "CREATE TABLE a (id serial PRIMARY KEY); CREATE TABLE b (id int REFERENCES a)"
    async with pair(server, schema) as both:
        await both.feed("INSERT INTO a DEFAULT VALUES; INSERT INTO b VALUES (1)")
        await both.feed("TRUNCATE a CASCADE; INSERT INTO a VALUES (5)")
        await both.same("a", "b")
        await both.feed("INSERT INTO b VALUES (5); TRUNCATE a, b RESTART IDENTITY")
        await both.same("a", "b")


async def test_where_foreign_keys_are_checked_the_order_of_tables_is_kept(server: PostgresServer) -> None:
    schema = "CREATE TABLE z (id int PRIMARY KEY); CREATE TABLE a (id int PRIMARY KEY REFERENCES z)"
    async with pair(server, schema, replica=False) as both:
        await both.feed("INSERT INTO z VALUES (1), (2); INSERT INTO a VALUES (1), (2)")
        await both.feed("DELETE FROM a; DELETE FROM z WHERE id = 1")
        await both.feed("INSERT INTO z VALUES (3); INSERT INTO a VALUES (3)")
        await both.same("a", "z")


DIFFERENT = {
    "a row to insert is there": ("INSERT INTO public.a VALUES (5, 'theirs')", "INSERT INTO a VALUES (5, 'ours')"),
    "a row to update is missing": ("DELETE FROM public.a WHERE id = 1", "UPDATE a SET t = 'ours' WHERE id = 1"),
    "a row to delete is missing": ("DELETE FROM public.a WHERE id = 1", "DELETE FROM a WHERE id = 1"),
}


@pytest.mark.parametrize("case", DIFFERENT)
@pytest.mark.parametrize("conflict", list(Conflict))
async def test_a_target_that_others_write_to_is_dealt_with_as_planned(
    server: PostgresServer, case: str, conflict: Conflict
) -> None:
    theirs, ours = DIFFERENT[case]
    async with pair(server, "CREATE TABLE a (id int PRIMARY KEY, t text)", conflict=conflict) as both:
        await both.feed("INSERT INTO a VALUES (1, 'one'), (2, 'two')")
        await both.on_target(theirs)
        before = await both.on_target("SELECT * FROM public.a ORDER BY id")
        work = f"UPDATE a SET t = 'also' WHERE id = 2; {ours}"
        if conflict is Conflict.STOP:
            with pytest.raises(ApplyFailed, match=r"public\.a \(id\)=\([15]\)"):
                await both.feed(work)
            assert await both.on_target("SELECT * FROM public.a ORDER BY id") == before
            return
        await both.feed(work)
        assert len(both.told.events) == 1
        if conflict is Conflict.OVERWRITE:
            await both.same("a")
        else:
            wanted = [(id, "also" if id == 2 else t) for id, t in before]
            assert await both.on_target("SELECT * FROM public.a ORDER BY id") == wanted


async def test_a_missing_row_that_is_not_known_whole_is_an_error_without_values(server: PostgresServer) -> None:
    schema = "CREATE TABLE a (id int PRIMARY KEY, n text, big text); ALTER TABLE a ALTER big SET STORAGE EXTERNAL"
    async with pair(server, schema) as both:
        await both.feed("INSERT INTO a VALUES (1, 'secret', repeat('x', 10000))")
        await both.on_target("DELETE FROM public.a")
        with pytest.raises(ApplyFailed) as caught:
            await both.feed("UPDATE a SET n = 'hidden'")
        assert "(id)=(1)" in caught.value.message
        assert "secret" not in caught.value.message + caught.value.hint
        assert "hidden" not in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("there", "mend"),
    [
        ("id int PRIMARY KEY, v varchar(9)", 'ADD COLUMN "n" numeric(6,2)'),
        ("id int PRIMARY KEY, v varchar(8), n numeric(6,2)", 'ALTER COLUMN "v" TYPE character varying(9)'),
        ("id smallint PRIMARY KEY, v text, n numeric(6,1)", 'ALTER COLUMN "id" TYPE integer'),
        ("id bigint PRIMARY KEY, v text, n numeric(5,2)", 'ALTER COLUMN "n" TYPE numeric(6,2)'),
    ],
)
async def test_a_table_that_would_harm_values_is_refused_and_mended_as_told(
    server: PostgresServer, there: str, mend: str
) -> None:
    schema = "CREATE TABLE a (id int PRIMARY KEY, v varchar(9), n numeric(6,2))"
    async with pair(server, schema, there=f"CREATE TABLE a ({there})") as both:
        both.source.execute("INSERT INTO a VALUES (1, 'x', 2)")
        messages = framed(changes(both.source))
        with pytest.raises(ApplyFailed) as caught:
            await both.applier.apply(messages)
        assert mend in caught.value.hint
        await both.on_target(caught.value.hint.partition(": ")[2])
        async with both.target.transaction():
            await both.applier.apply(messages)
        assert await both.on_target("SELECT id, v, n::text FROM public.a") == [(1, "x", "2.00")]


async def test_a_table_that_changed_its_columns_on_both_sides_goes_on(server: PostgresServer) -> None:
    async with pair(server, "CREATE TABLE a (id int PRIMARY KEY, t text)") as both:
        await both.feed("INSERT INTO a VALUES (1, 'x')")
        await both.on_target("ALTER TABLE public.a DROP t; ALTER TABLE public.a ADD u int, ALTER id TYPE bigint")
        await both.feed(
            "ALTER TABLE a DROP t; ALTER TABLE a ADD u int, ALTER id TYPE bigint; "
            "INSERT INTO a VALUES (5000000000, 2)"
        )
        await both.same("a")


async def test_wide_narrow_and_odd_tables_are_written(server: PostgresServer) -> None:
    wide = ", ".join(f"c{number} int" for number in range(1, 1600))
    schema = (
        f"CREATE TABLE wide (id int PRIMARY KEY, {wide}); CREATE TABLE nothing (); "
        'CREATE TABLE "Ünï.""q" ("a ""b" int PRIMARY KEY, "c.d" text); CREATE TABLE parts (id int, k text, '
        "PRIMARY KEY (id, k)) PARTITION BY LIST (k); CREATE TABLE one PARTITION OF parts FOR VALUES IN ('1'); "
        "CREATE TABLE two PARTITION OF parts FOR VALUES IN ('2')"
    )
    async with pair(server, schema) as both:
        await both.feed(
            "INSERT INTO wide (id, c1599) VALUES (1, 5), (2, 6); UPDATE wide SET c1 = 1; "
            "INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES; "
            'INSERT INTO "Ünï.""q" VALUES (1, NULL), (2, $$.$$); '
            "INSERT INTO parts VALUES (1, '1'), (2, '2'); UPDATE parts SET k = '2' WHERE id = 1"
        )
        await both.same("wide", "nothing", 'public."Ünï.""q"', "parts", "one", "two")
        assert not both.told.events


async def test_a_large_transaction_comes_in_many_calls(server: PostgresServer) -> None:
    async with pair(server, "CREATE TABLE a (id int PRIMARY KEY, t text)") as both:
        await both.feed(
            "INSERT INTO a SELECT i, repeat('x', 100) FROM generate_series(1, 20000) i; "
            "UPDATE a SET t = 'y' || id",
            most=3000,
        )
        await both.same("a")
