"""A schema with everything that PostgreSQL lets one make, moved between real servers of other versions."""

import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from sterna.core.errors import NeedsOperator, Unsupported
from sterna.core.event import Level
from sterna.core.plan import Endpoint, Picked, Plan, Selection
from sterna.engines.postgres.connection import Connection, connected
from sterna.engines.postgres.databases import create_database
from sterna.engines.postgres.schema import (
    Blueprint,
    Sequence,
    counts,
    draw,
    load,
    make_after,
    make_before,
    make_last,
    objects,
    save,
)
from sterna.engines.postgres.schema.kept import file_of
from sterna.engines.postgres.sequences import ahead, set_sequences
from tests.servers import postgres
from tests.servers.postgres import PostgresServer, Unavailable

pytestmark = pytest.mark.server

NASTY = (Path(__file__).parent / "postgres_nasty.sql").read_text(encoding="utf-8")
Servers = Mapping[str, PostgresServer]


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """One of an old version and one of the newest; each test makes databases of its own."""
    try:
        with postgres.running("pg15") as old, postgres.running("pg18") as new:
            yield {"pg15": old, "pg18": new}
    except Unavailable as reason:
        pytest.skip(str(reason))


class Told:
    """Keeps what is told."""

    def __init__(self) -> None:
        self.events: list[tuple[Level, str, str, Mapping[str, str]]] = []

    def __call__(self, level: Level, code: str, message: str, **fields: str) -> None:
        self.events.append((level, code, message, fields))

    def named(self) -> set[str]:
        return {fields.get("name", "") for _, _, _, fields in self.events}


def endpoint(server: PostgresServer) -> Endpoint:
    return Endpoint("postgresql", ((server.host, server.port),), "postgres", server.password)


class Move:
    """A database on each side, and the moving of the schema from one to the other."""

    def __init__(self, source: PostgresServer, target: PostgresServer, name: str, selection: Selection) -> None:
        self.source, self.target, self.name = source, target, name
        self.to = next((each.to[0] for each in selection.objects if each.to), f"{name}_to")
        whole = (Picked((name,), (self.to,)),) if not selection.objects else selection.objects
        self.plan = Plan(endpoint(source), endpoint(target), selection=replace(selection, objects=whole))
        self.told = Told()

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        return connected(endpoint(self.target), self.to)

    @asynccontextmanager
    async def both(self) -> AsyncIterator[tuple[Connection, Connection]]:
        async with connected(endpoint(self.source), self.name) as source, self.connect() as target:
            yield source, target

    async def run(self) -> Blueprint:
        async with connected(endpoint(self.source)) as source, connected(endpoint(self.target)) as target:
            await create_database(source, target, self.name, self.to, self.told)
        async with self.both() as (source, target):
            blueprint = await draw(source, target, self.plan, self.name)
            await make_before(target, blueprint, self.told)
        await make_after(self.connect, blueprint, self.told, 3)
        await make_last(self.connect, blueprint, self.told, 3)
        return blueprint


@pytest.fixture
def move(servers: Servers, request: pytest.FixtureRequest) -> Iterator[Callable[..., Move]]:
    """``move("pg15", "pg18", sql, objects…)``: the source's database is made by the SQL; all goes away after."""
    made: list[Move] = []
    name = "d" + re.sub(r"\W", "_", request.node.name)[:40]

    def begin(source: str, target: str, text: str, *picked: Picked, without: tuple[Any, ...] = ()) -> Move:
        servers[source].create_database(name)
        run_all(servers[source], name, text)
        named = tuple(replace(each, path=(name, *each.path), to=each.to) for each in picked)
        one = Move(servers[source], servers[target], name, Selection(objects=named, without=without))
        made.append(one)
        return one

    yield begin
    for one in made:
        one.source.sql(f'DROP DATABASE "{one.name}"')
        one.target.sql(f'DROP DATABASE IF EXISTS "{one.to}"')
        for server in {one.source, one.target}:
            for role in ("Käufer", "group_of", "owner_of"):
                server.sql(f'DROP ROLE IF EXISTS "{role}"')


def run_all(server: PostgresServer, database: str, text: str) -> None:
    with psycopg.connect(server.dsn(database), autocommit=True) as connection:
        for statement in text.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode())


def orders(blueprint: Blueprint) -> set[str]:
    """Everything that would be run, without what says which server and database it is."""
    statements = (*blueprint.before, *blueprint.after, *blueprint.endings)
    found = {order.sql for each in statements if "postgres" not in each.name for order in each.orders}
    return {_views_alike(sql) for sql in found if " DATABASE " not in sql}


def _views_alike(sql: str) -> str:
    """Newer servers leave out the table's name before a column where there is one table alone."""
    sql = re.sub(r" WITH ADMIN (OPTION|TRUE, INHERIT TRUE, SET TRUE)", " WITH ADMIN", sql)
    return re.sub(r"\b(grouped|customers|x)\.(?=[\w\"])", "", sql) if " VIEW " in sql else sql


@pytest.mark.parametrize(("source", "target"), [("pg15", "pg18"), ("pg18", "pg15"), ("pg18", "pg18")])
async def test_everything_is_on_the_target_as_it_was_on_the_source(
    move: Callable[..., Move], source: str, target: str
) -> None:
    one = move(source, target, NASTY)
    await one.run()
    async with one.both() as (here, there):
        wanted = await draw(here, there, one.plan, one.name)
        found = await draw(there, there, Plan(one.plan.source, one.plan.target), one.to)
        assert orders(found) == orders(wanted)
        kinds = await objects(here, one.plan.selection, one.name)
        assert kinds == await objects(there, Selection(), one.to)
        assert (await counts(there, Selection(), one.to))["tables"] == 18
    assert one.told.named() == {'"Käufer" on server Far away'}


async def test_making_it_twice_changes_nothing(move: Callable[..., Move]) -> None:
    one = move("pg15", "pg18", NASTY)
    blueprint = await one.run()
    first = one.told.named()
    async with one.both() as (_, there):
        before = orders(await draw(there, there, Plan(one.plan.source, one.plan.target), one.to))
        await make_before(there, blueprint, one.told)
        await make_after(one.connect, blueprint, one.told, 2)
        await make_last(one.connect, blueprint, one.told, 2)
        assert orders(await draw(there, there, Plan(one.plan.source, one.plan.target), one.to)) == before
    assert one.told.named() == first


async def test_it_goes_on_from_what_was_kept_when_the_source_is_gone(
    move: Callable[..., Move], tmp_path: Path
) -> None:
    one = move("pg18", "pg18", NASTY)
    async with connected(endpoint(one.source)) as source, connected(endpoint(one.target)) as target:
        await create_database(source, target, one.name, one.to, one.told)
    async with one.both() as (here, there):
        blueprint = await draw(here, there, one.plan, one.name)
        save(tmp_path, blueprint)
        await make_before(there, blueprint, one.told)
        wanted = await objects(here, one.plan.selection, one.name)
    kept = load(tmp_path, one.name)
    assert kept is not None
    assert kept.after == blueprint.after
    assert kept.sequences == blueprint.sequences
    assert "SCRAM" not in file_of(tmp_path, one.name).read_text()
    await make_after(one.connect, replace(kept, after=kept.after[: len(kept.after) // 2], endings=()), one.told, 2)
    await make_after(one.connect, kept, one.told, 4)
    await make_last(one.connect, kept, one.told, 4)
    async with one.both() as (here, there):
        assert await objects(there, Selection(), one.to) == wanted


RENAMED = """
SET check_function_bodies = off;
CREATE SCHEMA shop;
CREATE SCHEMA other;
CREATE TYPE shop.mood AS ENUM ('a', 'b');
CREATE FUNCTION shop.plus(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION shop.counting() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM shop.orders';
CREATE TABLE shop.shop (id serial PRIMARY KEY, feels shop.mood DEFAULT 'a', n integer CHECK (shop.plus(n) > 0));
CREATE TABLE shop.orders (id serial PRIMARY KEY, shop integer REFERENCES shop.shop, at date DEFAULT now());
CREATE INDEX by_shop ON shop.orders (shop.plus(shop));
CREATE VIEW shop.seen AS SELECT shop.id, shop.n, orders.id AS order_id, 'shop.orders' AS text
  FROM shop.shop JOIN shop.orders ON orders.shop = shop.id WHERE EXISTS (SELECT FROM shop.orders x WHERE x.id > 0);
CREATE FUNCTION shop.parsed() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT sum(orders.id) FROM shop.orders; END;
CREATE FUNCTION shop.same(shop.mood, shop.mood) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR shop.=== (FUNCTION = shop.same, LEFTARG = shop.mood, RIGHTARG = shop.mood);
CREATE VIEW shop.operated AS SELECT a.feels OPERATOR(shop.===) a.feels AS x FROM shop.shop a;
CREATE FUNCTION shop.watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE TRIGGER watching BEFORE INSERT ON shop.orders FOR EACH ROW EXECUTE FUNCTION shop.watch();
CREATE POLICY own ON shop.orders USING (EXISTS (SELECT 1 FROM shop.shop s WHERE s.id = orders.shop));
ALTER TABLE shop.orders ENABLE ROW LEVEL SECURITY;
CREATE RULE nothing AS ON DELETE TO shop.orders DO INSTEAD UPDATE shop.shop SET n = 1 WHERE shop.id = old.shop;
CREATE TABLE shop.kept (id integer GENERATED ALWAYS AS IDENTITY, PRIMARY KEY (id));
CREATE TABLE other.more (id integer REFERENCES shop.kept);
COMMENT ON COLUMN shop.orders.at IS 'shop.orders';
INSERT INTO shop.shop (n) VALUES (1);
"""


@pytest.mark.parametrize("target", ["pg15", "pg18"])
async def test_schemas_and_tables_are_called_otherwise_in_every_definition(
    move: Callable[..., Move], target: str
) -> None:
    one = move(
        "pg15",
        target,
        RENAMED,
        Picked(("shop",), ("renamed_to", "New.Shop")),
        Picked(("shop", "orders"), ("renamed_to", "New.Shop", "bought")),
        Picked(("shop", "kept"), ("renamed_to", "aside", "kept2")),
        Picked(("other",), ("renamed_to", "other")),
    )
    await one.run()
    assert one.told.named() == {"shop.counting()"}
    run = one.target.sql
    assert run('SELECT * FROM "New.Shop".parsed()', one.to) == [(None,)]
    run('INSERT INTO "New.Shop".shop (n) VALUES (3)', one.to)
    run('INSERT INTO "New.Shop".bought (shop) VALUES (1)', one.to)
    assert run('SELECT id, n, order_id, text FROM "New.Shop".seen', one.to) == [(1, 3, 1, "shop.orders")]
    assert run('SELECT x FROM "New.Shop".operated', one.to) == [(True,)]
    run('DELETE FROM "New.Shop".bought', one.to)
    assert run('SELECT n FROM "New.Shop".shop', one.to) == [(1,)]
    assert run("INSERT INTO aside.kept2 DEFAULT VALUES RETURNING id", one.to) == [(1,)]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        run("INSERT INTO other.more VALUES (7)", one.to)
    left = "SELECT count(*) FROM pg_namespace WHERE nspname = 'shop'"
    assert run(left, one.to) == [(0,)]
    async with one.both() as (here, there):
        assert await objects(here, one.plan.selection, one.name) == await objects(there, Selection(), one.to)


async def test_one_table_comes_with_what_it_needs_and_nothing_else(move: Callable[..., Move]) -> None:
    one = move("pg15", "pg18", NASTY, Picked(("shop", "orders"), ("one_to", "shop", "orders")))
    blueprint = await one.run()
    assert blueprint.objects["table"] == ("shop.orders",)
    assert set(blueprint.objects["sequence"]) == {"shop.orders_id_seq", "shop.orders_low_seq"}
    assert "view" not in blueprint.objects
    assert set(blueprint.objects["function"]) == {"shop.add(integer,integer)", "shop.watch()"}
    assert one.told.named() >= {"orders_customer_fkey on shop.orders", "own on shop.orders"}
    async with one.both() as (here, there):
        assert await objects(here, one.plan.selection, one.name) == await objects(there, Selection(), one.to)


async def test_a_partition_alone_is_a_table_of_its_own(move: Callable[..., Move]) -> None:
    one = move("pg18", "pg18", NASTY, Picked(("shop", "measured_old"), ("alone_to", "shop", "measured_old")))
    await one.run()
    assert one.target.sql(
        "SELECT relname, relispartition FROM pg_class WHERE relkind = 'r' AND relnamespace = 'shop'::regnamespace",
        one.to,
    ) == [("measured_old", False)]


COLUMNS = """
CREATE TABLE wide (id integer PRIMARY KEY, a text, b text DEFAULT 'x',
  c integer GENERATED ALWAYS AS (length(b)) STORED,
  UNIQUE (a), CHECK (b <> a));
CREATE INDEX on_b ON wide (b);
CREATE INDEX on_id ON wide (id) WHERE a IS NOT NULL;
CREATE VIEW narrow AS SELECT id, b FROM wide;
CREATE VIEW broad AS SELECT * FROM wide;
GRANT SELECT (b), UPDATE (a) ON wide TO PUBLIC;
COMMENT ON COLUMN wide.b IS 'b';
"""


async def test_left_out_columns_take_with_them_what_stands_on_them(move: Callable[..., Move]) -> None:
    one = move(
        "pg18",
        "pg18",
        COLUMNS,
        Picked((), ("columns_to",)),
        Picked(("public", "wide"), ("columns_to", "public", "wide"), columns=("id", "a")),
    )
    blueprint = await one.run()
    assert blueprint.objects["index"] == ("public.on_id", "public.wide_a_key", "public.wide_pkey")
    assert {"public.on_b", "wide_check on public.wide", "public.narrow", "public.broad"} <= one.told.named()
    assert one.target.sql("SELECT * FROM wide", one.to) == []


async def test_sequences_go_ahead_and_never_back(move: Callable[..., Move]) -> None:
    one = move("pg15", "pg18", NASTY)
    blueprint = await one.run()
    async with one.both() as (here, there):
        await there.execute("SELECT setval('shop.orders_id_seq', 5000)")
        await here.execute("SELECT nextval('shop.orders_id_seq')")
        assert await set_sequences(here, there, blueprint.sequences, 1000, one.told) == 3
        assert await set_sequences(here, there, blueprint.sequences, 1000, one.told) == 0
    value = "SELECT last_value, is_called FROM shop."
    assert one.target.sql(f"{value}customers_id_seq", one.to) == [(120 + 5000, True)]
    assert one.target.sql(f"{value}lonely", one.to) == [(1006, True)]
    assert one.target.sql(f"{value}numbers", one.to) == [(1 - 2 * 25, True)]
    assert one.target.sql(f"{value}orders_id_seq", one.to) == [(5000, True)]


async def test_without_its_source_a_sequence_stands_where_it_was_seen(move: Callable[..., Move]) -> None:
    one = move("pg18", "pg18", NASTY)
    blueprint = await one.run()
    async with one.both() as (_, there):
        await set_sequences(None, there, blueprint.sequences, 0, one.told)
    assert one.target.sql("SELECT last_value, is_called FROM shop.lonely", one.to) == [(6, True)]
    assert "postgres.sequence_old" in {code for _, code, _, _ in one.told.events}


def test_a_sequence_near_its_end_is_not_used_up_by_the_margin() -> None:
    sequence = Sequence(("a", "b"), ("a", "b"), 1, 1, 1, 100, False, 90, True)
    assert ahead(sequence, (90, True), 1000) == (95, True)
    assert ahead(sequence, (100, True), 1000) == (100, True)
    assert ahead(sequence, (90, True), 0) == (90, True)
    assert ahead(sequence, (1, False), 1000) == (1, False)


async def test_an_index_that_cannot_be_made_stops_and_is_named(move: Callable[..., Move]) -> None:
    one = move("pg15", "pg18", "CREATE TABLE a (id integer);\nCREATE UNIQUE INDEX only_one ON a (id);\n")
    async with connected(endpoint(one.source)) as source, connected(endpoint(one.target)) as target:
        await create_database(source, target, one.name, one.to, one.told)
    async with one.both() as (here, there):
        blueprint = await draw(here, there, one.plan, one.name)
        await make_before(there, blueprint, one.told)
        await there.execute("INSERT INTO public.a VALUES (1), (1)")
        with pytest.raises(NeedsOperator, match=r"index public\.only_one .*23505"):
            await make_after(one.connect, blueprint, one.told, 2)
        await there.execute("TRUNCATE public.a")
        await make_after(one.connect, blueprint, one.told, 2)


async def test_an_extension_that_the_target_lacks_is_named_before_anything_is_made(
    move: Callable[..., Move],
) -> None:
    one = move(
        "pg15", "pg18", 'CREATE EXTENSION "uuid-ossp";\nCREATE TABLE a (id uuid DEFAULT uuid_generate_v4());\n'
    )
    async with connected(endpoint(one.source), one.name) as here, connected(endpoint(one.target)) as there:
        with pytest.raises(Unsupported, match="uuid-ossp"):
            await draw(here, there, one.plan, one.name)


async def test_what_only_the_newest_version_knows_is_told(move: Callable[..., Move]) -> None:
    text = """
CREATE TABLE a (id integer PRIMARY KEY, v integer GENERATED ALWAYS AS (id * 2) VIRTUAL, c integer,
  CONSTRAINT loose CHECK (c > 0) NOT ENFORCED, CONSTRAINT must NOT NULL c);
"""
    one = move("pg18", "pg15", text)
    await one.run()
    assert one.told.named() == {"loose on public.a", "public.a"}
    assert one.target.sql("INSERT INTO a VALUES (2, DEFAULT, 1) RETURNING v", one.to) == [(4,)]


OWN = """
CREATE TABLE a (id serial PRIMARY KEY, b integer REFERENCES a);
CREATE VIEW v AS SELECT id FROM a;
"""


async def test_a_user_who_is_no_superuser_moves_what_is_its_own(move: Callable[..., Move]) -> None:
    one = move(
        "pg15",
        "pg18",
        OWN,
    )
    one.target.sql("CREATE ROLE plain LOGIN CREATEDB PASSWORD 'plain'")
    try:
        one.plan = replace(one.plan, target=replace(one.plan.target, user="plain", password="plain"))
        plain = connected(one.plan.target, "postgres")
        async with connected(endpoint(one.source), one.name) as here, plain as there:
            await create_database(here, there, one.name, one.to, one.told)
            blueprint = await draw(here, there, one.plan, one.name)
        one.connect = lambda: connected(one.plan.target, one.to)  # type: ignore[method-assign]
        async with one.connect() as there:
            await make_before(there, blueprint, one.told)
        await make_after(one.connect, blueprint, one.told, 2, held=True)
        count = "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND conname = 'a_b_fkey'"
        assert one.target.sql(count, one.to) == [(0,)]
        await make_last(one.connect, blueprint, one.told, 2)
        assert one.target.sql(count, one.to) == [(1,)]
    finally:
        one.target.sql(f'DROP DATABASE IF EXISTS "{one.to}"')
        one.target.sql("DROP ROLE plain")


async def test_grants_on_an_extensions_own_functions_are_told(move: Callable[..., Move]) -> None:
    text = "CREATE EXTENSION pg_trgm;\nGRANT EXECUTE ON FUNCTION similarity(text, text) TO pg_monitor;\n"
    one = move("pg15", "pg15", text)
    await one.run()
    assert one.told.named() == {"public.similarity(pg_catalog.text,pg_catalog.text)"}
