"""Tables of another kind of database in PostgreSQL: every type, names, keys, expressions; and the way there."""

from pathlib import Path
from typing import Any

import pytest

from sterna.core.digest import digest_of
from sterna.core.finding import Severity
from sterna.core.plan import Mode, Plan, Rename, Selection
from sterna.core.schema import Column, ForeignKey, Identity, Index, Key, Kind, Leftover, Schema, Table
from sterna.core.schema import Condition as Checked
from sterna.engines.postgres.engine import PostgresEngine
from tests.engines.foreign_shop import FILES, Said, Shop, ShopMove, column, integer, table, text
from tests.engines.moving import postgres_endpoint
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server

KINDS: dict[str, tuple[Column, list[bytes]]] = {
    "boolean": (column("b", Kind.BOOLEAN, "bit"), [b"t", b"f", rb"\N"]),
    "tiny": (column("b", Kind.INTEGER, "tinyint", bits=8), [b"0", b"255", rb"\N"]),
    "small": (column("b", Kind.INTEGER, "smallint", bits=16), [b"-32768", b"32767"]),
    "int": (column("b", Kind.INTEGER, "int", bits=32), [b"-2147483648", b"2147483647"]),
    "big": (column("b", Kind.INTEGER, "bigint", bits=64), [b"-9223372036854775808", b"9223372036854775807"]),
    "money": (
        column("b", Kind.DECIMAL, "money", precision=19, scale=4),
        [b"922337203685477.5807", b"-0.0001", b"0.0000"],
    ),
    "decimal": (column("b", Kind.DECIMAL, "decimal(38,0)", precision=38, scale=0), [b"9" * 38, b"-1", b"0"]),
    "float": (
        column("b", Kind.FLOAT, "float", bits=64),
        [b"0.1", b"1e+20", b"1e-05", b"-0", b"1.7976931348623157e+308"],
    ),
    "real": (column("b", Kind.FLOAT, "real", bits=32), [b"0.1", b"1e+20", b"3.4028235e+38"]),
    "nvarchar": (text("b", 20), [b"plain", b"", "Ünïcödé 🐦".encode(), rb"a\tb\nc\\d\r"]),
    "nvarchar max": (column("b", Kind.TEXT, "nvarchar(max)"), [b"x" * 100_000, b"", rb"\\N"]),
    "nchar": (column("b", Kind.TEXT, "nchar(5)", length=5, fixed=True), [b"ab   ", b"     ", b"abcde"]),
    "varbinary": (column("b", Kind.BINARY, "varbinary(max)"), [rb"\\x", rb"\\x00ff5c0a"]),
    "rowversion": (
        column("b", Kind.BINARY, "rowversion", length=8, fixed=True, nullable=False),
        [rb"\\x00000000000007d1"],
    ),
    "date": (column("b", Kind.DATE, "date"), [b"0001-01-01", b"9999-12-31", b"2020-02-29"]),
    "time": (column("b", Kind.TIME, "time(7)", scale=7), [b"00:00:00", b"23:59:59.999999", b"12:00:00.5"]),
    "datetime": (
        column("b", Kind.TIMESTAMP, "datetime", scale=3),
        [b"1753-01-01 00:00:00", b"9999-12-31 23:59:59.997"],
    ),
    "smalldatetime": (column("b", Kind.TIMESTAMP, "smalldatetime", scale=0), [b"2079-06-06 23:59:00"]),
    "datetime2": (
        column("b", Kind.TIMESTAMP, "datetime2(7)", scale=7),
        [b"0001-01-01 00:00:00", b"9999-12-31 23:59:59.999999"],
    ),
    "datetimeoffset": (
        column("b", Kind.TIMESTAMP_ZONED, "datetimeoffset(7)", scale=7),
        [b"2020-02-29 12:00:00.123456+00", b"0001-01-02 00:00:00+00"],
    ),
    "uuid": (column("b", Kind.UUID, "uniqueidentifier"), [b"6f9619ff-8b86-d011-b42d-00c04fc964ff"]),
    "xml": (column("b", Kind.XML, "xml"), [b'<!DOCTYPE a SYSTEM "b"><a/>', b"", b"two <roots/> <here/>"]),
    "json": (column("b", Kind.JSON, "json"), [b'{"a": [1,  2]}', b"null"]),
    "variant": (column("b", Kind.VARIANT, "sql_variant"), [b"1.50", b"text"]),
    "geometry": (column("b", Kind.GEOMETRY, "geography"), [b"SRID=4326;POINT (1 2)"]),
    "hierarchyid": (column("b", Kind.OTHER, "hierarchyid"), [b"/1/2.3/", b"/"]),
    "other": (column("b", Kind.OTHER, "udt"), [rb"\\x0102"]),
}


def plan_for(server: PostgresServer, **more: object) -> Plan:
    return Plan(FILES, postgres_endpoint(server), **({"mode": Mode.FULL} | more))  # type: ignore[arg-type]


async def moved(shop: Shop, plan: Plan, folder: Path, *gates: Said) -> ShopMove:
    move = ShopMove(shop, plan, folder, *gates)
    await move.start()
    await move.ended()
    return move


def left(server: PostgresServer, database: str) -> list[tuple[object, ...]]:
    return server.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'", database)


@pytest.mark.parametrize("flavor", ["pg15", "pg18"])
async def test_values_of_every_kind_arrive_as_they_were_sent(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    tables: list[Table] = []
    rows: dict[tuple[str, ...], list[bytes]] = {}
    for name, (second, values) in KINDS.items():
        path = ("shop", "dbo", f"of {name}")
        tables.append(table(path, integer("id", nullable=False), second, primary=Key(f"PK {name}", ("id",))))
        rows[path] = [b"%d\t%s" % (number, value) for number, value in enumerate(values)]
    shop = Shop(Schema("tsql", tables), rows, chunk=2)
    plan = plan_for(server)
    move = await moved(shop, plan, tmp_path)
    for each in tables:
        expected = digest_of(b"".join(line + b"\n" for line in rows[each.path]))
        assert await PostgresEngine().digest(plan, each) == expected, each.path
    assert [event.fields["tables"] for event in await move.events("proof.equal")] == [str(len(KINDS))]
    assert not await move.events("proof.differs")
    assert left(server, "shop") == []
    kinds = dict(server.sql(_TYPES, "shop"))
    assert kinds["of money"] == "numeric(19,4)"
    assert kinds["of datetime2"] == "timestamp(6) without time zone"
    assert kinds["of datetimeoffset"] == "timestamp(6) with time zone"
    assert kinds["of nchar"] == "character(5)"
    assert kinds["of tiny"] == "smallint"
    figures = await move.progress()
    assert figures.rows == figures.rows_total == figures.target_rows == sum(len(lines) for lines in rows.values())


_TYPES = """
    SELECT c.relname, format_type(a.atttypid, a.atttypmod)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'dbo' AND a.attname = 'b'"""


# How tables are made


def shop_with_everything() -> Shop:
    """Two tables that refer to each other's kind, with all that a table may have."""
    people = table(
        ("shop", "dbo", "People"),
        integer("Id", nullable=False, identity=Identity(1, 1, 11)),
        text("First", nullable=False, default="(N'Ann')", comment="what is said first"),
        text("Last", nullable=False),
        column("Made", Kind.TIMESTAMP, "datetime", scale=3, nullable=False, default="(getdate())"),
        column("Active", Kind.BOOLEAN, "bit", nullable=False, default="((1))"),
        column("Token", Kind.UUID, "uniqueidentifier", default="(newid())"),
        text("Full", 101, nullable=False, computed="(([First]+N' ')+[Last])", stored=True),
        integer("Age"),
        integer("Twice", computed="([Age]*(2))", stored=False),
        text("Odd", computed="(dbo.fn([Age]))", stored=False),
        text("Kept", computed="(dbo.fn([Age]))", stored=True),
        text("Note", default="(dbo.note())"),
        primary=Key("PK_People", ("Id",)),
        uniques=(Key("UQ_Token", ("Token",)),),
        indexes=(
            Index("IX_Name", (("Last", False), ("First", True)), include=("Age",)),
            Index("IX_Old", (("Age", False),), where="([Age]>(60))"),
            Index("IX_Odd", (("Age", False),), where="(dbo.fn([Age])=(1))"),
            Index("UX_Age", (("Age", False),), unique=True),
        ),
        checks=(
            Checked("CK_Age", "([Age]>=(0) AND [Age]<(200))"),
            Checked("CK_Broken", "([Age]<>(5))"),
            Checked("CK_Off", "([Age]>(1))", enabled=False),
            Checked("CK_Other", "(dbo.fn([Age])=(1))"),
        ),
        comment="those who buy",
    )
    orders = table(
        ("shop", "Sales", "Orders"),
        column("Id", Kind.INTEGER, "bigint", bits=64, nullable=False, identity=Identity(-5, -5, -20)),
        integer("Person"),
        integer("Other"),
        text("Note"),
        primary=Key("PK_Orders", ("Id",)),
        indexes=(Index("IX_Name", (("Note", False),)),),
        foreign=(
            ForeignKey("FK_Person", ("Person",), ("dbo", "People"), ("Id",), on_delete="CASCADE"),
            ForeignKey("FK_Untrusted", ("Other",), ("dbo", "People"), ("Id",), trusted=False),
            ForeignKey("FK_Off", ("Other",), ("dbo", "People"), ("Id",), enabled=False),
        ),
    )
    towns = table(("shop", "dbo", "Towns"), text("Name"), indexes=(Index("IX_Name", (("Name", False),)),))
    leftovers = (Leftover("view", ("shop", "dbo", "V"), "CREATE VIEW V AS SELECT 1 AS a"),)
    person = "{0}\tAnn\tLee {0}\t2020-01-01 00:00:00\tt\t{1}\tAnn Lee {0}\t{2}\tkept {0}\tnote"
    uuid = "6f9619ff-8b86-d011-b42d-00c04fc964{:02x}"
    rows = {
        people.path: [person.format(n, uuid.format(n), n if n > 1 else r"\N").encode() for n in range(1, 11)],
        orders.path: [b"-5\t1\t99\tfirst", b"-10\t2\t1\tsecond", b"-15\t\\N\t\\N\t\\N"],
    }
    return Shop(Schema("tsql", (orders, people, towns), leftovers), rows, chunk=3)


@pytest.mark.parametrize("flavor", ["pg15", "pg18"])
async def test_a_table_comes_with_its_keys_defaults_and_all_that_has_a_counterpart(
    postgres_server: StartPostgres, tmp_path: Path, flavor: str
) -> None:
    server = postgres_server(flavor)
    plan = plan_for(server, selection=Selection(renames=(Rename("shop", "Store"),)))
    move = await moved(shop_with_everything(), plan, tmp_path)

    def there(query: str) -> list[tuple[Any, ...]]:
        return list(server.sql(query, "Store"))

    assert not await move.events("proof.differs")
    people = 'dbo."People"'
    assert there(f'SELECT count(*), min("Full"), max("Twice"), min("Kept") FROM {people}') == [
        (10, "Ann Lee 1", 20, "kept 1")
    ]
    there(f'INSERT INTO {people} ("Last", "Age") VALUES (\'Roe\', 40)')
    found = there(f'SELECT "Id", "First", "Full", "Active", "Token" IS NOT NULL FROM {people} WHERE "Age" = 40')
    assert found == [(11, "Ann", "Ann Roe", True, True)]
    there('INSERT INTO "Sales"."Orders" ("Person") VALUES (1)')
    assert there('SELECT min("Id") FROM "Sales"."Orders"') == [(-20,)]
    made = dict(there(_CONSTRAINTS))
    assert made == {
        "CK_Age": 'CHECK ((("Age" >= 0) AND ("Age" < 200)))',
        "CK_Broken": 'CHECK (("Age" <> 5)) NOT VALID',
        "FK_Person": 'FOREIGN KEY ("Person") REFERENCES dbo."People"("Id") ON DELETE CASCADE',
        "FK_Untrusted": 'FOREIGN KEY ("Other") REFERENCES dbo."People"("Id") NOT VALID',
        "PK_Orders": 'PRIMARY KEY ("Id")',
        "PK_People": 'PRIMARY KEY ("Id")',
        "UQ_Token": 'UNIQUE NULLS NOT DISTINCT ("Token")',
    }
    assert {(name, text.partition(" USING ")[2]) for name, text in there(_INDEXES)} == {
        ("IX_Name", 'btree ("Last", "First" DESC) INCLUDE ("Age")'),
        ("IX_Old", 'btree ("Age") WHERE ("Age" > 60)'),
        ("UX_Age", 'btree ("Age") NULLS NOT DISTINCT'),
        ("IX_Name", 'btree ("Note")'),
        ("Towns_IX_Name", 'btree ("Name")'),
    }
    assert there("SELECT obj_description('dbo.\"People\"'::regclass)") == [("those who buy",)]
    assert there("SELECT col_description('dbo.\"People\"'::regclass, 2)") == [("what is said first",)]
    left_out = {(event.fields["kind"], event.fields["name"]) for event in await move.events("schema.left")}
    assert left_out == {
        ("check", "shop.dbo.People.CK_Off"),
        ("check", "shop.dbo.People.CK_Other"),
        ("computed column", "shop.dbo.People.Odd"),
        ("computed column", "shop.dbo.People.Kept"),
        ("default", "shop.dbo.People.Note"),
        ("filtered index", "shop.dbo.People.IX_Odd"),
        ("foreign key", "shop.Sales.Orders.FK_Off"),
        ("view", "shop.dbo.V"),
    }
    assert [event.fields["name"] for event in await move.events("schema.unproven")] == [
        "Store.dbo.People.CK_Broken"
    ]
    findings = {each.check: each for each in await move.store.findings(move.job.id)}
    assert findings["postgresql.target.left"].severity is Severity.ALARM
    assert "CREATE VIEW V" in findings["postgresql.target.left"].evidence
    assert all(each.severity is not Severity.FAILED for each in findings.values())


_CONSTRAINTS = """
    SELECT conname::text, pg_get_constraintdef(k.oid) FROM pg_constraint k
      JOIN pg_namespace n ON n.oid = k.connamespace WHERE n.nspname IN ('dbo', 'Sales') AND contype <> 'n'"""
_INDEXES = """
    SELECT indexname::text, indexdef FROM pg_indexes i WHERE schemaname IN ('dbo', 'Sales')
       AND NOT EXISTS (SELECT FROM pg_constraint WHERE conname = indexname)"""
