"""Tables that are seldom made like that, in PostgreSQL: what of them is special is kept, or told of."""

from dataclasses import replace
from functools import partial
from pathlib import Path

import psycopg
import pytest

from sterna.core.schema import Condition as Checked
from sterna.core.schema import ForeignKey, Identity, Index, Key, Kind, Schema
from sterna.engines.postgres.engine import PostgresEngine
from sterna.engines.postgres.foreign import building
from sterna.flow.proving import Proof
from tests.engines.foreign_shop import Shop, ShopMove, ShopSource, column, integer, table, text
from tests.engines.test_foreign_move import moved, plan_for
from tests.servers.fixtures import StartPostgres

pytestmark = pytest.mark.server


def odd_shop() -> Shop:
    """Identities at their ends, names that get in each other's way, columns that PostgreSQL does not compute."""
    full = table(("odd", "dbo", "Full"), integer("id", identity=Identity(1, 1, 1 << 31)), integer("x"))
    down = table(
        ("odd", "dbo", "Down"),
        column(
            "id", Kind.DECIMAL, "numeric(9,0)", precision=9, scale=0, nullable=False, identity=Identity(-1, -3, -7)
        ),
        integer("x"),
        primary=Key("PK_Down", ("id",)),
    )
    taken = table(("odd", "dbo", "Full_id_seq"), integer("x"))
    computed = table(
        ("odd", "dbo", "Computed"),
        column("born", Kind.TIMESTAMP, "datetime", scale=3),
        integer("n"),
        integer("age", computed="(datediff(year,[born],getdate()))", stored=False, comment="in years"),
        integer("twice", computed="([n]*(2))", stored=False, comment="of n"),
        indexes=(Index("CK_n", (("twice", False),)),),
        checks=(Checked("CK_n", "([n]>(0))"),),
    )
    twins = table(
        ("odd", "dbo", "Twins"),
        text("t", 20),
        indexes=(Index("UX_t", (("t", False),), unique=True),),
    )
    named = table(
        ("odd", "dbo", "Named"),
        integer("n", nullable=False),
        text("t", 20),
        text("loud", 20, computed="(upper([t]))", stored=False),
        checks=(Checked("Named_n_not_null", "([n]>(0))"), Checked("CK_t", "([t]<>'x')")),
    )
    rows = {
        named.path: [b"1\ta"],
        full.path: [b"2147483647\t1"],
        down.path: [b"-1\t1", b"-4\t2"],
        taken.path: [b"1"],
        computed.path: [b"2000-01-01 00:00:00\t4"],
        twins.path: [b"a", b"a"],
    }
    return Shop(Schema("tsql", (full, down, taken, computed, twins, named)), rows)


async def test_odd_tables_keep_what_is_special_about_them_or_it_is_told(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg18")
    server.sql("CREATE DATABASE odd TEMPLATE template0 LOCALE 'C'")
    move = await moved(odd_shop(), plan_for(server), tmp_path)
    with pytest.raises(psycopg.errors.SequenceGeneratorLimitExceeded):
        server.sql('INSERT INTO dbo."Full" (x) VALUES (2)', "odd")
    server.sql('INSERT INTO dbo."Down" (x) VALUES (3)', "odd")
    assert server.sql('SELECT min(id) FROM dbo."Down"', "odd") == [(-7,)]
    assert server.sql('SELECT * FROM dbo."Full_id_seq"', "odd") == [(1,)]
    assert server.sql('SELECT twice FROM dbo."Computed"', "odd") == [(8,)]
    assert server.sql("SELECT col_description('dbo.\"Computed\"'::regclass, 3)", "odd") == [("of n",)]
    made = "SELECT conname FROM pg_constraint WHERE conname = 'CK_n' UNION ALL SELECT relname FROM pg_class"
    assert server.sql(f"{made} WHERE relname = 'CK_n'", "odd") == [("CK_n",), ("CK_n",)]
    with pytest.raises(psycopg.errors.CheckViolation):
        server.sql('INSERT INTO dbo."Named" VALUES (0)', "odd")
    assert ["Named.loud" in event.message for event in await move.events("schema.letters")] == [True]
    assert ["Named.CK_t" in event.message for event in await move.events("schema.compares")] == [True]
    left = {event.fields["name"]: event for event in await move.events("schema.left")}
    assert set(left) == {"odd.dbo.Computed.age", "odd.dbo.Twins.UX_t"}
    assert left["odd.dbo.Computed.age"].fields["text"] == "(datediff(year,[born],getdate()))"
    assert "could not create unique index" in left["odd.dbo.Twins.UX_t"].message


async def test_keys_are_made_later_where_the_server_and_not_they_are_in_the_way(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = postgres_server("pg18")
    server.sql("CREATE ROLE mover LOGIN CREATEDB PASSWORD 'p'")
    plan = plan_for(server)
    plan = replace(plan, target=replace(plan.target, user="mover", password="p"))
    made = building.Finisher.run

    async def barred(finisher: building.Finisher) -> None:
        server.sql('ALTER TABLE dbo."Twins" OWNER TO postgres', "odd")
        await made(finisher)

    monkeypatch.setattr(building.Finisher, "run", barred)
    move = ShopMove(odd_shop(), plan, tmp_path)
    await move.start()
    assert "must be owner" in await move.fails("STERNA.2001")
    monkeypatch.undo()
    server.sql('ALTER TABLE dbo."Twins" OWNER TO mover', "odd")
    await move.again()
    await move.ended()
    made_names = "SELECT conname FROM pg_constraint WHERE conname IN ('PK_Down', 'CK_n') ORDER BY 1"
    assert server.sql(made_names, "odd") == [("CK_n",), ("PK_Down",)]


def ring(count: int = 5) -> Shop:
    """Tables of which each refers to the next one, the last one to the first."""
    tables = [
        table(
            ("odd", "dbo", f"R{number}"),
            integer("id", nullable=False),
            primary=Key(f"PK_{number}", ("id",)),
            foreign=(ForeignKey(f"FK_{number}", ("id",), ("dbo", f"R{(number + 1) % count}"), ("id",)),),
        )
        for number in range(count)
    ]
    return Shop(Schema("tsql", tables), {each.path: [b"1"] for each in tables})


async def test_many_tables_are_replaced_in_groups_or_not_at_all(
    postgres_server: StartPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server has locks for some thousand tables in one transaction."""
    server = postgres_server("pg18")
    monkeypatch.setattr(building, "AT_ONCE", 2)
    await moved(ring(), plan_for(server), tmp_path / "one")
    server.sql('CREATE VIEW dbo.v AS SELECT * FROM dbo."R4"', "odd")
    refused = ShopMove(ring(), replace(plan_for(server), options={"precheck": "false"}), tmp_path / "two")
    await refused.start()
    assert "view dbo.v" in await refused.fails("STERNA.2008")
    keys = "SELECT count(*) FROM pg_constraint WHERE contype = 'f'"
    assert server.sql(keys, "odd") == [(5,)]
    server.sql("DROP VIEW dbo.v", "odd")
    await moved(ring(), plan_for(server), tmp_path / "three")
    assert server.sql(keys, "odd") == [(5,)]


SPOILT = {
    "changed": "UPDATE dbo.t SET b = 'other' WHERE a = 3",
    "swapped": "UPDATE dbo.t SET b = CASE a WHEN 3 THEN 'row 4' ELSE 'row 3' END WHERE a IN (3, 4)",
    "gone": "DELETE FROM dbo.t WHERE a = 3",
    "doubled": "DELETE FROM dbo.t WHERE a = 3; INSERT INTO dbo.t SELECT * FROM dbo.t WHERE a = 4",
    "null": "UPDATE dbo.t SET b = NULL WHERE b = ''",
}


async def test_a_comparison_finds_what_was_changed_on_the_target(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg18")
    one = table(("odd", "dbo", "t"), integer("a"), text("b"))
    shop = Shop(Schema("tsql", (one,)), {one.path: [b"%d\trow %d" % (n, n) for n in range(9)] + [b"9\t"]})
    plan = plan_for(server)
    await moved(shop, plan, tmp_path)
    proof = Proof(plan, ShopSource(shop), partial(PostgresEngine().digest, plan))
    assert (await proof.compare()).equal
    server.sql("CREATE TABLE kept AS SELECT * FROM dbo.t", "odd")
    for what, order in SPOILT.items():
        server.sql(order, "odd")
        found = await proof.compare()
        assert not found.equal, what
        assert found.tables[0].different >= 1
        server.sql("TRUNCATE dbo.t; INSERT INTO dbo.t SELECT * FROM kept", "odd")
    assert (await proof.compare()).equal


async def test_a_computed_column_without_a_value_for_some_rows_is_given_up_and_not_the_rows(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    """SQL Server computes one that is not persisted when it is read, and so keeps rows that overflow it."""
    square = integer("square", computed="([n]*[n])", stored=False)
    kept = integer("kept", computed="(case when [t]='A' then (1) else (0) end)")
    numbers = table(("odd", "dbo", "N"), integer("n"), square, text("t", 5), kept)
    rows = [b"%d\ta\t1" % n for n in range(40)] + [b"100000\tA\t1"]
    server = postgres_server("pg18")
    move = await moved(Shop(Schema("tsql", (numbers,)), {numbers.path: rows}, chunk=5), plan_for(server), tmp_path)
    assert server.sql('SELECT count(*), max(n), sum(kept) FROM dbo."N"', "odd") == [(41, 100000, 41)]
    left = {event.fields["name"]: event.message for event in await move.events("schema.left")}
    assert set(left) == {"odd.dbo.N.square", "odd.dbo.N.kept"}
    assert "integer out of range" in left["odd.dbo.N.square"]
    assert [event.fields["tables"] for event in await move.events("proof.equal")] == ["1"]


async def test_a_row_too_wide_for_a_page_names_its_table(postgres_server: StartPostgres, tmp_path: Path) -> None:
    columns = [column(f"c{number}", Kind.TIMESTAMP, "smalldatetime", scale=0) for number in range(1023)]
    wide = table(("odd", "dbo", "Wide"), *columns)
    shop = Shop(Schema("tsql", (wide,)), {wide.path: [b"\t".join([b"2020-01-01 00:00:00"] * 1023)]})
    move = ShopMove(shop, plan_for(postgres_server("pg18")), tmp_path)
    await move.start()
    said = await move.fails("STERNA.2007")
    assert "odd.dbo.Wide" in said
    assert "row is too big" in said
    assert "split it" in said


async def test_a_database_without_tables_is_made_and_one_that_begins_read_only_is_refused(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    server = postgres_server("pg18")
    shop = Shop(Schema("tsql", (), databases=("bare", "empty")))
    await moved(shop, plan_for(server), tmp_path)
    found = "SELECT datname::text FROM pg_database WHERE datname IN ('bare', 'empty') ORDER BY 1"
    assert server.sql(found) == [("bare",), ("empty",)]
    assert server.sql("SELECT nspname::text FROM pg_namespace WHERE nspname = 'sterna'", "bare") == []

    server.sql("ALTER DATABASE bare SET default_transaction_read_only = on")
    move = ShopMove(shop, plan_for(server), tmp_path)
    await move.start()
    assert 'ALTER DATABASE "bare" RESET default_transaction_read_only' in await move.fails("STERNA.2008")
