"""Whole moves by users who are no superusers, and targets with triggers of their own."""

from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import errors as pg

from sterna.core.plan import Picked, Selection
from sterna.engines.postgres.connection import connected
from sterna.engines.postgres.databases import create_database
from sterna.jobs.route import silent
from tests.engines.moving import Move, incremental, postgres_endpoint
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server

_TABLES = """
    CREATE TABLE parent (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text UNIQUE);
    CREATE TABLE child (id serial PRIMARY KEY, parent int REFERENCES parent DEFERRABLE, n int);
    CREATE TABLE said (what text);
    CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO public.said VALUES (TG_OP || NEW.id); RETURN NEW; END $$;
    CREATE TRIGGER says AFTER INSERT OR UPDATE ON child FOR EACH ROW EXECUTE FUNCTION say();
    CREATE TABLE part (id int, k int, PRIMARY KEY (id, k)) PARTITION BY LIST (k);
    CREATE TABLE part1 PARTITION OF part FOR VALUES IN (1);
    CREATE TABLE part2 PARTITION OF part FOR VALUES IN (2);
    CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree)"""


def own_a_shop(server: PostgresServer, tables: str) -> None:
    server.sql("CREATE ROLE mover LOGIN REPLICATION CREATEDB PASSWORD 'pw'")
    server.create_database("shop")
    server.sql("ALTER DATABASE shop OWNER TO mover")
    server.sql(f"ALTER SCHEMA public OWNER TO mover; SET ROLE mover; {tables}", "shop")


def by_owners(source: PostgresServer, target: PostgresServer, folder: Path) -> Move:
    one, other = (replace(postgres_endpoint(each), user="mover", password="pw") for each in (source, target))
    return Move(one, other, folder, incremental(selection=Selection(objects=(Picked(("shop",)),))))


async def test_owners_can_move_keys_and_triggers_with_changes_in_between(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    own_a_shop(source, _TABLES)
    fill = "INSERT INTO parent (v) SELECT i FROM generate_series(1, 100) i; INSERT INTO child (parent) "
    source.sql(f"{fill} SELECT id FROM parent; INSERT INTO part SELECT i, 1 FROM generate_series(1, 9) i", "shop")
    target.sql("CREATE ROLE mover LOGIN CREATEDB PASSWORD 'pw'")
    move = by_owners(source, target, tmp_path / "job")
    await move.start()
    await move.follows()
    source.sql(
        """
        BEGIN; SET CONSTRAINTS ALL DEFERRED;
        INSERT INTO child (parent) VALUES (101); INSERT INTO parent (v) VALUES ('new'); COMMIT;
        DELETE FROM child WHERE id < 20; DELETE FROM parent WHERE id < 20;
        UPDATE child SET n = id WHERE id % 2 = 0; UPDATE part SET k = 3 - k WHERE id < 5;
        INSERT INTO tree VALUES (2, NULL), (1, 2), (3, 1); DELETE FROM said WHERE what LIKE 'UPDATE3%'""",
        "shop",
    )
    await move.caught_up()
    await move.finish()
    await move.is_equal()
    assert target.sql("SELECT contype FROM pg_constraint WHERE contype = 'f'", "shop") == [("f",)] * 2
    assert target.sql("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal", "shop") == [("says",)]
    assert source.sql("SELECT relreplident FROM pg_class WHERE relname = 'said'", "shop") == [("d",)]


@pytest.mark.parametrize("powerful", [False, True])
async def test_what_would_act_on_the_rows_on_the_target_is_named_before_anything_is_changed(
    postgres_server: StartPostgres, tmp_path: Path, powerful: bool
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    for server in (source, target):
        own_a_shop(server, _TABLES)
    source.sql("INSERT INTO child (n) VALUES (1)", "shop")
    if powerful:
        target.sql("GRANT SET ON PARAMETER session_replication_role TO mover")
        target.sql("ALTER TABLE child ENABLE ALWAYS TRIGGER says", "shop")
    move = by_owners(source, target, tmp_path / "job")
    await move.start()
    said = await move.fails("STERNA.2005")
    assert "trigger says on public.child" in said
    assert ("foreign key tree_up_fkey on public.tree" in said) is not powerful


async def test_who_may_make_no_databases_can_use_one_that_is_there(postgres_server: StartPostgres) -> None:
    server = postgres_server("pg18")
    server.sql("CREATE ROLE mover LOGIN PASSWORD 'pw'")
    server.create_database("shop")
    endpoint = replace(postgres_endpoint(server), user="mover", password="pw")
    async with connected(endpoint, "postgres") as line:
        assert not await create_database(line, line, "postgres", "shop", silent)
        with pytest.raises(pg.InsufficientPrivilege):
            await create_database(line, line, "postgres", "other", silent)
