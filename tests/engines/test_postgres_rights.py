"""What the documents tell people to run does what they say: users with their rights, and tidying up by hand."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.finding import Severity
from sterna.core.plan import Endpoint, Picked, Plan, Selection
from sterna.engines.postgres.engine import PostgresEngine
from tests.engines.moving import Move, full, incremental, postgres_endpoint
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "postgresql.md"
FINE_PRINT = Path(__file__).parents[2] / "docs" / "fine-print.md"
SHOP = """
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE customers (id serial PRIMARY KEY, name text NOT NULL, mood mood);
    CREATE TABLE orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer int REFERENCES customers);
    CREATE VIEW newest AS SELECT * FROM orders ORDER BY id DESC LIMIT 10;
    CREATE MATERIALIZED VIEW totals AS SELECT customer, count(*) FROM orders GROUP BY 1;
    CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN NEW.name = upper(NEW.name); RETURN NEW; END';
    CREATE TRIGGER shout BEFORE INSERT ON customers FOR EACH ROW EXECUTE FUNCTION shout();
    GRANT SELECT ON customers TO app;
    INSERT INTO customers (name, mood) SELECT 'c' || n, 'glad' FROM generate_series(1, 500) n;
    INSERT INTO orders (customer) SELECT n FROM generate_series(1, 500) n"""
PICKED = Selection(objects=(Picked(("shop",)),))


def statements(where: str, page: Path = PAGE) -> Sequence[str]:
    """What a page tells people to run, from the comment ``-- where`` on."""
    block = re.search(rf"^-- {re.escape(where)}\n(.*?)(?:^$|^```)", page.read_text(), re.M | re.S)
    assert block, where
    return [line.removesuffix(";") for line in block[1].splitlines()]


def run(server: PostgresServer, lines: Sequence[str], database: str = "postgres") -> None:
    assert lines
    for line in lines:
        server.sql(line, database)


def fill(source: PostgresServer) -> None:
    """A database whose objects are those of a role that cannot log in."""
    source.sql("CREATE ROLE shop_owner; CREATE ROLE app")
    source.sql("CREATE DATABASE shop OWNER shop_owner")
    source.sql("ALTER SCHEMA public OWNER TO shop_owner", "shop")
    source.sql(f"SET ROLE shop_owner; {SHOP}", "shop")


def as_user(server: PostgresServer, user: str) -> Endpoint:
    return replace(postgres_endpoint(server), user=user, password="password", database="")


async def failed(plan: Plan) -> list[str]:
    checks = PostgresEngine().checks(plan)
    return [it.evidence for check in checks for it in await check.run() if it.severity is Severity.FAILED]


@pytest.mark.parametrize("flavor", ["pg15", "pg18"])
async def test_the_documented_users_can_move_and_compare(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    source, target = postgres_server(flavor), postgres_server(flavor)
    fill(source)
    run(source, statements("on the source"))
    run(target, statements("on the target"))
    rules = source.folder / "data" / "pg_hba.conf"
    rules.write_text(rules.read_text().splitlines()[0] + "\n")  # that for databases; a slot is read as one of them
    source.sql("SELECT pg_reload_conf()")
    plan = incremental(selection=PICKED)
    move = Move(as_user(source, "sterna_reader"), as_user(target, "sterna_writer"), tmp_path, plan)
    assert await failed(move.plan) == []
    await move.start()
    await move.follows()
    source.sql("UPDATE customers SET name = 'x' WHERE id = 3; INSERT INTO customers (name) VALUES ('new')", "shop")
    source.sql("DELETE FROM orders WHERE id = 5; INSERT INTO orders (customer) VALUES (501)", "shop")
    await move.caught_up()
    await move.finish()
    await move.is_equal()
    owners = "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert target.sql(owners, "shop") == [("shop_owner",)]
    left_out = {event.fields["name"] for event in await move.events("postgres.left_out")}
    assert left_out <= {"app", "sterna_reader", "shop_owner of sterna_reader"}, left_out
    left = "SELECT FROM pg_publication UNION ALL SELECT FROM pg_replication_slots"
    assert source.sql(left, "shop") == []


async def test_a_full_copy_needs_no_more_than_reading(postgres_server: StartPostgres, tmp_path: Path) -> None:
    source, target = postgres_server("pg15"), postgres_server("pg15")
    fill(source)
    run(source, statements("on the source, for --mode full"))
    run(target, statements("on the target"))
    copier, writer = as_user(source, "sterna_copier"), as_user(target, "sterna_writer")
    move = Move(copier, writer, tmp_path, full(selection=PICKED))
    assert await failed(move.plan) == []
    await move.start()
    await move.ended()
    await move.is_equal()


async def test_a_source_that_was_closed_to_writes_is_left_clean(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server(), postgres_server()
    fill(source)
    ends = postgres_endpoint(source), postgres_endpoint(target)
    move = await Move(*ends, tmp_path, incremental(selection=PICKED)).start()
    await move.follows()
    source.sql("ALTER DATABASE shop SET default_transaction_read_only = on")
    await move.finish()
    assert await move.events("clean.left") == []
    left = "SELECT pubname FROM pg_publication UNION ALL SELECT evtname FROM pg_event_trigger"
    assert source.sql(left, "shop") == []
    await move.is_equal()


async def test_what_a_lost_job_left_is_taken_away_as_documented(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server(), postgres_server()
    fill(source)
    source.sql("CREATE TABLE notes (note text); INSERT INTO notes VALUES ('a')", "shop")
    ends = postgres_endpoint(source), postgres_endpoint(target)
    move = await Move(*ends, tmp_path, incremental(selection=PICKED)).start()
    await move.follows()
    await move.cut()
    made: list[str] = []
    for line in statements("on the source, when no job is at work there", FINE_PRINT):
        rows = source.sql(line, "shop")
        made += [row[0] for row in rows if str(row[0]).startswith(("DROP ", "["))]
    assert json.loads(made.pop(0)) == [["public", "notes", "d"]]
    run(source, [*made, "ALTER TABLE notes REPLICA IDENTITY DEFAULT"], "shop")
    run(target, statements("on the target, when no job is at work there", FINE_PRINT), "shop")
    left = "SELECT slot_name::text FROM pg_replication_slots UNION ALL SELECT pubname FROM pg_publication"
    left += " UNION ALL SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'"
    left += " UNION ALL SELECT evtname FROM pg_event_trigger UNION ALL SELECT roname FROM pg_replication_origin"
    assert (source.sql(left, "shop"), target.sql(left, "shop")) == ([], [])
    source.sql("UPDATE notes SET note = 'b'; CREATE TABLE later (id int)", "shop")
