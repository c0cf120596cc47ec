"""Tables of another kind of database in PostgreSQL: every type, names, keys, expressions; and the way there."""

from pathlib import Path

import pytest

from sterna.core.digest import digest_of
from sterna.core.plan import Mode, Plan
from sterna.core.schema import (
    Column,
    Key,
    Kind,
    Schema,
)
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
    tables, rows = [], {}
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
