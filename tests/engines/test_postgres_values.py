"""Whole moves of odd values and names, between servers whose own settings would read them otherwise."""

from pathlib import Path

import pytest

from sterna.core.plan import Picked, Selection
from tests.engines.moving import Move, incremental, postgres_endpoint
from tests.servers.fixtures import StartPostgres

pytestmark = pytest.mark.server

_OTHERWISE = (
    *("array_nulls=off", "xmloption=document", "datestyle=SQL, DMY", "timezone=Asia/Kolkata"),
    *("intervalstyle=iso_8601", "bytea_output=escape", "extra_float_digits=0"),
    "default_transaction_isolation=serializable",
)
_TYPES = r"""
    CREATE TYPE e AS ENUM ('x', 'y z', 'q"');
    CREATE TYPE pair AS (a int, b text, c e[]);
    CREATE DOMAIN word AS text CHECK (value <> '');
    CREATE TYPE span AS RANGE (subtype = float8);
    CREATE TABLE v (
        id int PRIMARY KEY, mo money, b bit(5), vb varbit(9), mr nummultirange, tr tstzrange, n numeric,
        ts timestamp,
        tz timestamptz, dt date, tt timetz, iv interval, by bytea, j json, jb jsonb, t text, es e[], c pair,
        cs pair[], ds word[], rg span, na text[], f4 float4, f8 float8, ip inet, q tsquery, i8 int8[][]);
    CREATE TABLE image AS SELECT * FROM v;
    CREATE TABLE whole (LIKE v INCLUDING ALL);
    ALTER TABLE whole REPLICA IDENTITY FULL;
    CREATE SEQUENCE down INCREMENT -3 MINVALUE -1000 MAXVALUE 10 START 10;
    CREATE SEQUENCE unused;
    CREATE TABLE counted (
        id int GENERATED ALWAYS AS IDENTITY (INCREMENT 10), g int GENERATED ALWAYS AS (1) STORED);
    CREATE TABLE apart (id int PRIMARY KEY, r int4range, EXCLUDE USING gist (r WITH &&));
    CREATE TABLE late (id int PRIMARY KEY, u int UNIQUE DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO late VALUES (1, 1), (2, 2), (3, 3);
    INSERT INTO apart VALUES (1, '[1,5)'), (2, '[5,9)');
    CREATE TABLE base (id int PRIMARY KEY, v text);
    CREATE TABLE kid (extra int) INHERITS (base);
    INSERT INTO base VALUES (1, 'b'); INSERT INTO kid VALUES (2, 'k', 3), (3, 'k', 3)"""
_ROWS = r"""
    INSERT INTO v SELECT i, '12.34', B'10101', B'101', '{[1,2),(3.5,9]}', '(,"2020-01-01 10:00+02")', n, ts, tz,
        dt, '12:00:00.123456+15:59:59', '-1 year -2 mons 3 days -04:05:06.789', '\x00ff27',
        '{"a" : 1,  "a":2, "n":1e400}',
        '{"b":"\u4e2d\t\"","n":12345678901234567890.123400}', E'tab\t\\N nl\n\r \U0001F600 ''q'' "',
        ARRAY['x', NULL, 'y z']::e[], ROW(1, 't,"(', ARRAY['q"']::e[])::pair,
        ARRAY[ROW(NULL, '', NULL)::pair, NULL],
        ARRAY['a', 'b c']::word[], '[1.5,Infinity)', ARRAY['NULL', NULL, '', '{,}', '\"'], 'nan', '-1e-310',
        '::1/64', 'a & !b <-> c', '[0:1][2:3]={{1,2},{3,4}}'
      FROM (VALUES
        ({0}, 1234567890123456789012345678901234567890.1234567890::numeric, '4713-01-01 BC'::timestamp,
         'infinity'::timestamptz, '0044-03-15 BC'::date),
        ({0} + 1, 'NaN', '-infinity', '294276-12-31 23:59:59.999999+00', '5874897-12-31'),
        ({0} + 2, 1e-1000, '2020-02-29 23:59:59.999999', '1900-01-01 00:00:00+01', '-infinity'),
        ({0} + 3, '-Infinity', '0001-01-01 BC', 'epoch', 'infinity')) AS s(i, n, ts, tz, dt);
    INSERT INTO image SELECT * FROM v WHERE id >= {0};
    INSERT INTO whole SELECT * FROM v WHERE id >= {0}"""
_CHANGES = """
    UPDATE image SET t = 'new' WHERE id IN (1, 5); DELETE FROM image WHERE id IN (0, 6);
    UPDATE whole SET t = 'new' WHERE id IN (1, 5); DELETE FROM whole WHERE id IN (0, 6);
    UPDATE v SET id = 100 + id WHERE id IN (2, 7); UPDATE v SET cs = NULL, na = '{}' WHERE id = 3;
    UPDATE apart SET r = '[2,4)' WHERE id = 1; UPDATE apart SET r = '[4,9)' WHERE id = 2;
    UPDATE late SET u = 4 - u; UPDATE late SET id = id + 1 WHERE id = 3; UPDATE base SET v = 'z';
    DELETE FROM kid WHERE id = 3; TRUNCATE ONLY base; INSERT INTO base VALUES (7, 's');
    INSERT INTO counted DEFAULT VALUES; SELECT nextval('down')"""
_NAMES = r"""
    CREATE SCHEMA "s ""q'.%"; SET search_path = "s ""q'.%";
    CREATE TYPE "e %" AS ENUM ('a,"''{}\', 'b');
    CREATE TABLE "T.1""%s{} 中" ("c'""%s" serial PRIMARY KEY, "select" text, "X%(y)s" int, "$1" text,
        "e'" "e %"[]);
    CREATE INDEX "i'd""%" ON "T.1""%s{} 中" ("select");
    CREATE TABLE "no key %" (a int, "b'" text);
    CREATE SEQUENCE "q'""%";
    INSERT INTO "T.1""%s{} 中" ("select", "e'")
        SELECT i, ARRAY['a,"''{}\', NULL]::"e %"[] FROM generate_series(1, 30) i;
    INSERT INTO "no key %" VALUES (1, 'x'), (1, 'x')"""
_RENAMES = r"""
    SET search_path = "s ""q'.%";
    UPDATE "T.1""%s{} 中" SET "select" = 'n\', "$1" = '$1 %s', "e'" = ARRAY['b']::"e %"[] WHERE "c'""%s" < 10;
    DELETE FROM "T.1""%s{} 中" WHERE "c'""%s" = 11; UPDATE "T.1""%s{} 中" SET "c'""%s" = 1000 WHERE "c'""%s" = 12;
    INSERT INTO "no key %" VALUES (2, NULL), (2, NULL); DELETE FROM "no key %" WHERE ctid = '(0,1)';
    UPDATE "no key %" SET "b'" = '%s' WHERE ctid = '(0,3)'"""


@pytest.mark.parametrize("flavors", [("pg16", "pg17"), pytest.param(("pg17", "pg16"), marks=pytest.mark.slow)])
async def test_values_are_the_same_on_a_server_that_would_read_them_otherwise(
    postgres_server: StartPostgres, tmp_path: Path, flavors: tuple[str, str]
) -> None:
    source, target = postgres_server(flavors[0]), postgres_server(flavors[1], *_OTHERWISE)
    target.sql("CREATE TYPE one AS ENUM ('a'); CREATE TYPE two AS (x int)")  # so that types get other numbers
    source.create_database("shop")
    source.sql(_TYPES + ";" + _ROWS.replace("{0}", "0"), "shop")
    plan = incremental(selection=Selection(objects=(Picked(("shop",)),)))
    move = Move(postgres_endpoint(source), postgres_endpoint(target), tmp_path / "job", plan)
    await move.start()
    await move.follows()
    source.sql(_ROWS.replace("{0}", "4") + ";" + _CHANGES, "shop")
    await move.caught_up()
    await move.finish()
    await move.is_equal()
    for table in ("v", "image", "whole", "late", "apart", "base", "kid", "counted"):
        query = (
            "SET timezone = 'UTC'; SET datestyle = 'ISO'; SET intervalstyle = 'postgres';"
            "SET bytea_output = 'hex'; SET extra_float_digits = 1;"
            f"SELECT string_agg(t::text, '|' ORDER BY t::text) FROM {table} t"
        )
        assert target.sql(query, "shop") == source.sql(query, "shop")
    stands = "SELECT last_value, is_called FROM {}"
    assert target.sql(stands.format("down"), "shop") == [(-494, True)]  # half of what was left, if less than 1000
    assert target.sql(stands.format("unused"), "shop") == [(1, False)]
    assert target.sql(stands.format("counted_id_seq"), "shop") == [(10001, True)]


@pytest.mark.slow
async def test_two_databases_with_odd_names_go_to_a_server_with_an_odd_password(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg15"), postgres_server("pg18", password="p'a\"s s\\w@:/ord%$中")
    first, second, renamed = "dä \"b'.x%s$1 ", "Größe中", "New \"db'%"
    for name in (first, second):
        source.create_database(name)
        source.sql(_NAMES, name)
    plan = incremental(selection=Selection(objects=(Picked((first,), to=(renamed,)), Picked((second,)))))
    move = Move(postgres_endpoint(source), postgres_endpoint(target), tmp_path / "job", plan)
    await move.start()
    await move.follows()
    for name in (first, second):
        source.sql(_RENAMES, name)
    await move.caught_up()
    await move.finish()
    await move.is_equal()
    assert {name for (name,) in target.sql("SELECT datname FROM pg_database")} >= {renamed, second}
    told = " ".join(event.message for event in await move.events())
    assert source.password not in told
    assert target.password not in told
