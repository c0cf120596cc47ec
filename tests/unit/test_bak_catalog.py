"""What the catalogue of a backup means: types, keys, texts, and tables whose rows cannot be read."""

import struct
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from sterna.core.errors import BadData, NotFound, Unsupported
from sterna.core.schema import Identity, Kind, Leftover, Table
from sterna.engines.sqlserver.exporting.scripts import Scripts
from sterna.engines.sqlserver.wire import base
from sterna.engines.sqlserver.wire.affected import affected
from sterna.engines.sqlserver.wire.catalog import OLDEST, Boot, Catalog, Place, Rowset, read_boot
from sterna.engines.sqlserver.wire.coltypes import describe
from sterna.engines.sqlserver.wire.counting import count_tables, verify_rows
from sterna.engines.sqlserver.wire.database import DatabaseBackup, open_databases, text_decoder
from sterna.engines.sqlserver.wire.definitions import Definitions
from sterna.engines.sqlserver.wire.log import Lost, Replay
from sterna.engines.sqlserver.wire.media import open_media
from sterna.engines.sqlserver.wire.physical import default_of
from sterna.engines.sqlserver.wire.saying import identity
from sterna.engines.sqlserver.wire.tables import PageRange
from sterna.engines.sqlserver.wire.texts import Texts, readable
from sterna.engines.sqlserver.wire.units import PAGES_OF_MAP, Allocation, Span
from tests.backups import describe as made
from tests.backups.corpus import MAKERS
from tests.backups.damage import mend
from tests.backups.database import build
from tests.backups.describe import Col, Db, Module, Property, Tbl, Variant
from tests.backups.reading import MemoryBlob, page_or_blank
from tests.backups.writer import Set, write_backup
from tests.unit.bak_logs import Held, page_of

LATIN, POLISH = 0x3400D008, 0x0000D013


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> MemoryBlob:
    path: Path = MAKERS["shop_2016"](tmp_path_factory.mktemp("shop")).paths[0]
    return MemoryBlob(path.name, path.read_bytes())


def opened(blob: MemoryBlob) -> DatabaseBackup:
    (found,) = open_databases([blob])
    return found


def table(backup: DatabaseBackup, name: str) -> Table:
    return next(one for one in backup.tables if one.path[2] == name)


def test_tables_come_with_keys_rules_and_comments(shop: MemoryBlob) -> None:
    customers, orders = table(opened(shop), "Customers"), table(opened(shop), "Orders")
    assert customers.comment == "Who buys"
    assert customers.columns[0].comment == "the customer's number"
    assert customers.columns[0].identity == Identity(1, 1, 5)
    assert orders.columns[0].identity == Identity(100, 10, 140)
    assert customers.primary is not None
    assert customers.primary.columns == ("Id",)
    assert [key.columns for key in customers.uniques] == [("Name",)]
    assert [(check.name, check.text) for check in customers.checks] == [
        ("CK_Customers_Credit", "([Credit]>(-1000))")
    ]
    assert [column.default for column in customers.columns] == ["", "", "('new')", "(getdate())", ""]
    (key,) = orders.foreign
    assert (key.columns, key.target, key.target_columns) == (("Customer",), ("sales", "Customers"), ("Id",))
    by_name = {index.name: index for index in orders.indexes}
    assert by_name["IX_Orders_Customer"].include == ("Total",)
    assert by_name["IX_Orders_Customer"].where == "([Customer] IS NOT NULL)"
    assert by_name["IX_Orders_Total"].columns == (("Paid", False), ("Total", True))


def test_a_computed_column_has_its_expression_and_no_place_in_rows(shop: MemoryBlob) -> None:
    twice = next(column for column in table(opened(shop), "Orders").columns if column.name == "Twice")
    assert (twice.computed, twice.stored) == ("([Total]*(2))", False)


def test_modules_are_left_over_and_encrypted_ones_are_named(shop: MemoryBlob) -> None:
    found = {one.path[2]: one for one in opened(shop).schema().leftovers}
    assert found["Big"] == Leftover(
        "view", ("Shop", "dbo", "Big"), "create view dbo.Big as select * from dbo.Orders where Total > 5"
    )
    assert found["Secret"].text == ""
    assert "encrypted" in found["Secret"].why
    assert len(found["Long"].text) > 8192
    assert {found[name].kind for name in ("Watch", "Away", "Counter", "Twice", "Clean")} == {
        "trigger",
        "synonym",
        "sequence",
        "function",
        "procedure",
    }


@pytest.mark.parametrize(
    ("xtype", "length", "precision", "scale", "kind", "native"),
    [
        (56, 4, 10, 0, Kind.INTEGER, "int"),
        (106, 9, 12, 3, Kind.DECIMAL, "decimal(12,3)"),
        (231, 100, 0, 0, Kind.TEXT, "nvarchar(50)"),
        (231, -1, 0, 0, Kind.TEXT, "nvarchar(max)"),
        (175, 5, 0, 0, Kind.TEXT, "char(5)"),
        (42, 8, 27, 7, Kind.TIMESTAMP, "datetime2(7)"),
        (43, 10, 34, 7, Kind.TIMESTAMP_ZONED, "datetimeoffset(7)"),
        (165, 20, 0, 0, Kind.BINARY, "varbinary(20)"),
        (98, 8016, 0, 0, Kind.VARIANT, "sql_variant"),
        (255, 20, 0, 0, Kind.OTHER, "vector"),
        (77, 1, 0, 0, Kind.OTHER, "type 77"),
    ],
)
def test_types_are_told_in_common_words(
    xtype: int, length: int, precision: int, scale: int, kind: Kind, native: str
) -> None:
    found = describe(xtype, xtype, length, precision, scale)
    assert (found.kind, found.native) == (kind, native)


def test_types_of_the_clr_are_told_by_their_number() -> None:
    assert describe(240, 128, 892, 0, 0).native == "hierarchyid"
    assert describe(240, 130, -1, 0, 0).kind == Kind.GEOMETRY
    assert describe(240, 300, -1, 0, 0).kind == Kind.OTHER


class Made(base.Row):
    """A row of a base table by what it has, without a record."""

    def __init__(self, numbers: dict[str, int], data: dict[str, bytes]) -> None:
        super().__init__(b"", base.Fields({}, {}))
        self.numbers, self.data = numbers, data

    def __getitem__(self, name: str) -> int:
        return self.numbers.get(name, 0)

    def raw(self, name: str) -> bytes:
        return self.data.get(name, b"")


def identity_of(xtype: int, data: bytes) -> Identity | None:
    return identity(Made({"xtype": xtype}, {"idtval": data}))


def test_the_next_number_of_a_row_follows_the_last_one() -> None:
    assert identity_of(56, struct.pack("<iiiB", 4279, 212, 3219, 0)) == Identity(3219, 212, 4491)
    assert identity_of(56, struct.pack("<iiiB", 0, 1, 1, 1)) == Identity(1, 1, 1)
    assert identity_of(48, bytes((255, 1, 200, 0))) == Identity(200, 1, 256)
    assert identity_of(127, struct.pack("<qqqB", -5, -1, 0, 0)) == Identity(0, -1, -6)
    decimals = b"".join(bytes((sign,)) + size.to_bytes(4, "little") for sign, size in ((1, 30), (0, 2), (1, 40)))
    assert identity_of(108, decimals + b"\0") == Identity(40, -2, 28)
    assert identity_of(56, b"") is None


@pytest.mark.parametrize(
    ("kept", "default", "nullable"),
    [
        (None, None, True),
        ({"value": bytes((56, 1)) + struct.pack("<i", 7)}, 7, True),
        ({"value": b""}, None, True),
        ({"value": bytes((127, 1)) + struct.pack("<q", 7)}, None, False),
        ({"value": b"\xff\x01?"}, None, False),
        ({"imageval": b"a pointer"}, None, False),
    ],
)
def test_rows_older_than_a_column_are_not_taken_for_null_where_their_value_cannot_be_read(
    kept: dict[str, bytes] | None, default: object, nullable: bool
) -> None:
    catalog = Catalog(Boot(852, 852, "Shop", 0, (1, 19)))
    if kept is not None:
        catalog.defaults[9, 3] = Made({}, kept)
    rowset = Rowset(9, 1, 0, 1, 0, 0, {})
    place = Place(1, 56, 4, 10, 0, 0, 4, 2, 0, 0, stored_id=3)
    found = Definitions(catalog, Texts(catalog, bytes, str), "Shop")._physical(rowset, Made({}, {}), place)
    assert (found.default, found.nullable) == (default, nullable)


@pytest.mark.parametrize(
    ("place", "kept", "value"),
    [
        (Place(1, 106, 0, 9, 2, 0, 4, 2, 0, 0), "6a01 0500 0107000000", "7.00"),
        (Place(1, 106, 0, 9, 1, 0, 4, 2, 0, 0), "6a01 0502 01c8000000", "2.0"),
        (Place(1, 106, 0, 9, 1, 0, 4, 2, 0, 0), "6a01 0502 01c9000000", "None"),
        (Place(1, 60, 8, 0, 0, 0, 4, 2, 0, 0), "3c01 1027000000000000", "1.0000"),
        (Place(1, 175, 4, 0, 0, 0, 4, 2, 0, 0), "af01 0400 08d00034 4e", "N   "),
        (Place(1, 239, 6, 0, 0, 0, 4, 2, 0, 0), "ef01 0600 08d00034 4e00", "N  "),
        (Place(1, 173, 3, 0, 0, 0, 4, 2, 0, 0), "ad01 0300 07", "b'\\x07\\x00\\x00'"),
        (Place(1, 167, 9, 0, 0, 0, -1, 2, 0, 0), "a701 0900 08d00034 4e", "N"),
    ],
)
def test_the_value_of_older_rows_is_as_their_column_holds_it(place: Place, kept: str, value: str) -> None:
    assert str(default_of(bytes.fromhex(kept), place)) == value


def test_texts_are_in_the_code_page_or_in_utf_16() -> None:
    assert text_decoder(LATIN)(b"caf\xe9") == "café"
    assert text_decoder(POLISH)("zażółć".encode("cp1250")) == "zażółć"
    assert text_decoder(LATIN)("select 'ж'".encode("utf-16-le")) == "select 'ж'"


def test_what_a_person_wrote_is_told_from_what_is_encrypted() -> None:
    assert readable("create view v as\r\n\tselect 'é' as x")
    assert not readable("\x03\x91\x17ab\x02\x88\x05zz\x1f\x01")


def test_an_allocation_map_gives_pages_in_order_and_by_parts() -> None:
    free = bytearray(page_of([], (1, 1), kind=11))
    free[100 : 100 + 8088] = bytes((0x40,)) * 8088
    free[100 + 17] = 0
    bits = bytearray(7988)
    bits[0], bits[2] = 0b0000_1100, 0b1
    held = Allocation(((1, 9), (1, 500)), ((1, 0, bytes(bits)), (2, PAGES_OF_MAP, bytes(7988))), Held(bytes(free)))
    everything = [9, *range(16, 32), *range(128, 136), 500]
    assert held.most == 26
    assert list(held.spans(10)) == [Span(1, 9, 32), Span(1, 128, 501)]
    for size in (1, 5, 10, 1000):
        pages = [page for span in held.spans(size) for page in held.within(span)]
        assert pages == [page for page in everything if page != 17]


def test_parts_are_written_and_read_as_text() -> None:
    part = PageRange(1, 3, 88, 4096)
    assert PageRange.parse(str(part)) == part
    with pytest.raises(ValueError):
        PageRange.parse("1:2")


def test_a_table_that_is_not_there_is_not_found(shop: MemoryBlob) -> None:
    with pytest.raises(NotFound):
        opened(shop).parts(("Shop", "dbo", "Nothing"))


def test_copies_say_where_they_go_on(shop: MemoryBlob) -> None:
    backup = opened(shop)
    path = table(backup, "Orders").path
    (part,) = backup.parts(path)
    (piece,) = backup.copy_text(path, part)
    assert (piece.rows, piece.next_page) == (4, part.stop)
    assert list(backup.copy_text(path, part, piece.next_page)) == []
    assert backup.count(path) == 4


def boot(version: int, flags: int = 0, kind: int = 13) -> bytes:
    page = bytearray(page_of([], (1, 9), kind=kind))
    struct.pack_into("<H", page, 4, flags)
    struct.pack_into("<HH", page, 100, version, version)
    page[148:404] = "Shop".encode("utf-16-le").ljust(256, b"\x20")
    struct.pack_into("<IH", page, 612, 19, 1)
    return bytes(page)


def test_the_boot_page_names_the_database() -> None:
    assert read_boot(Held(boot(852))) == Boot(852, 852, "Shop", 0, (1, 19))


def test_databases_that_cannot_be_read_are_named() -> None:
    with pytest.raises(Unsupported, match="TDE"):
        read_boot(Held(boot(852, flags=8)))
    with pytest.raises(Unsupported, match="before 2005"):
        read_boot(Held(boot(OLDEST - 1)))
    with pytest.raises(BadData, match="not a boot page"):
        read_boot(Held(boot(852, kind=1)))
    with pytest.raises(BadData, match="lacks the boot page"):
        read_boot(Held())


def test_pages_lost_to_the_log_concern_the_tables_that_use_them(shop: MemoryBlob) -> None:
    backup = opened(shop)
    orders, customers = table(backup, "Orders"), table(backup, "Customers")
    found = {one.table.path: one for one in backup._read_tables}
    unit = found[orders.path].rowsets[0].units[1]
    first = backup.parts(orders.path)[0]
    pages, catalog, tables = backup.replay.pages, backup._catalog, list(found.values())

    def judged(*lost: Lost) -> tuple[set[int], str]:
        told = affected(lost, catalog, tables, pages)
        return set(told.tables), told.all

    used, unused = (1, first.first), (1, 390_000)
    number = found[orders.path].id
    assert judged(Lost(used, unit.id, 1, "why")) == ({number}, "")
    assert judged(Lost(unused, unit.id, 1, "why")) == (set(), "")
    assert judged(Lost(used, 0x0100_0000_7777_0000, 1, "why")) == (set(), "")
    assert "why" in judged(Lost((1, 1), 99 << 16, 11, "why"))[1]
    columns = catalog.rowsets[base.COLUMNS][0].units[1]
    place = next(page for page in range(400) if in_unit(page_or_blank(pages, page), base.COLUMNS))
    assert "catalogue" in judged(Lost((1, place), columns.id, 2, "why"))[1]

    backup.__dict__["_replay"] = Replay(pages, 1, 0, (Lost(used, unit.id, 1, "why"),), 0)
    for cached in ("_found", "_affected"):
        backup.__dict__.pop(cached, None)
    assert list(backup.needs) == [orders.path]
    assert not backup.consistent
    with pytest.raises(Unsupported, match="SQL Server is needed to read it: why"):
        backup.count(orders.path)
    assert backup.count(customers.path) == 4


def in_unit(page: bytes, number: int) -> bool:
    return page[1] == 1 and struct.unpack_from("<I", page, 24)[0] == number


class WithoutCollation(base.Row):
    """A column that has none of its own."""

    def __getitem__(self, name: str) -> int:
        return 0 if name == "collationid" else super().__getitem__(name)


def test_text_without_a_collation_of_its_own_has_the_databases(shop: MemoryBlob) -> None:
    backup = opened(shop)
    greek = opened(shop)
    greek._catalog.boot = replace(greek._catalog.boot, collation=0xD007)
    for number, rows in greek._catalog.columns.items():
        greek._catalog.columns[number] = [WithoutCollation(row._record, row._fields) for row in rows]
    for number, places in greek._catalog.places.items():
        greek._catalog.places[number] = [replace(place, collation=0) for place in places]
    path = table(backup, "Customers").path
    for one, collation in ((backup, 0x3400D008), (greek, 0xD007)):
        (layout,) = next(found for found in one._read_tables if found.table.path == path).layouts
        assert {column.collation for column in layout.columns if column.xtype in (167, 175)} <= {collation}
        assert layout.columns[1].collation == collation


def test_a_column_under_always_encrypted_comes_as_its_bytes(shop: MemoryBlob) -> None:
    """Rows hold varbinary where the column is declared as text."""
    backup = opened(shop)
    customers = table(backup, "Customers")
    plain = [row[1] for row in backup.rows(customers.path)]
    found = next(one for one in backup._read_tables if one.table.path == customers.path)
    places = backup._catalog.places[found.rowsets[0].id]
    number = next(row["colid"] for row in backup._catalog.columns[found.id] if row.text("name") == "Name")
    again = opened(shop)
    again._catalog.places[found.rowsets[0].id] = [
        replace(place, xtype=165, length=97) if place.column == number else place for place in places
    ]
    name = table(again, "Customers").columns[1]
    assert (name.name, name.type.native, name.type.kind) == ("Name", "varbinary(97)", Kind.BINARY)
    assert [row[1] for row in again.rows(customers.path)] == [str(each).encode("utf-16-le") for each in plain]


def test_a_table_without_pages_is_named_and_no_fault(shop: MemoryBlob) -> None:
    """As memory-optimised ones are: nothing says where their rows are kept."""
    backup = opened(shop)
    path = table(backup, "Orders").path
    found = next(one for one in backup._read_tables if one.table.path == path)
    again = opened(shop)
    again._catalog.rowsets[found.id] = [replace(one, units={}) for one in again._catalog.rowsets[found.id]]
    assert again.needs == {path: "It has no pages of rows: it is memory-optimised or external."}


def test_a_count_that_is_not_the_servers_is_a_fault(shop: MemoryBlob) -> None:
    assert list(verify_rows([open_media(shop)], [])) == []
    data = bytearray(shop.data)
    backup = opened(shop)
    part = backup.parts(table(backup, "Orders").path)[0]
    pages = backup.replay.pages
    number = next(page for page in range(part.first, part.stop) if page_or_blank(pages, page)[1] == 1)
    place = data.find(pages.page(1, number)[96:2000])
    assert place > 0
    data[place] |= 6 << 1
    mend(data)
    faults = list(verify_rows([open_media(MemoryBlob("a.bak", bytes(data)))], []))
    assert [fault.message for fault in faults] == [
        "dbo.Orders has 3 rows, and by the server's own count there should be 4 rows."
    ]


def test_a_page_of_the_catalogue_that_is_not_there_takes_nothing_away_unseen(shop: MemoryBlob) -> None:
    """As by a change to the map of pages in use that its checksum does not tell."""
    backup = opened(shop)
    catalog = backup._catalog
    assert not backup.miscounted_catalogue()
    wanted = next(one.id for one in backup._read_tables if one.table.path[2] == "Orders")
    del catalog.columns[wanted][1]
    catalog.counted[base.COLUMNS] -= 1
    definitions = Definitions(catalog, Texts(catalog, lambda _: b"", str), "shop")
    found = {one.table.path[2]: one.table.trouble for one in definitions.tables()}
    assert found["Orders"] == "The catalogue lacks a column that its rows hold: it is damaged."
    assert found["Customers"] == ""
    assert [told[:26] for told in backup.remarks] == ["Shop: system table 41 has "]


def test_tables_of_files_without_a_database_are_refused(shop: MemoryBlob) -> None:
    with pytest.raises(BadData, match="no backup set 2"):
        list(count_tables([open_media(shop)], 2))
    assert [one.rows for one in count_tables([open_media(shop)])] == [4, 4]


def test_indexes_that_nobody_keeps_up_are_not_made(tmp_path: Path) -> None:
    indexes = [
        made.Index("PK_t", ["a"], primary=True, clustered=True),
        made.Index("IX_kept", ["b"]),
        made.Index("UQ_off", ["b", "c"], unique=True, constraint=True, disabled=True),
        made.Index("IX_off", ["c"], descending=["c"], disabled=True, predicate="([c]>(1))"),
        made.Index("_dta_1", ["b"], hypothetical=True),
        made.Index("_dta_2", ["c"], clustered=True, hypothetical=True, form="columnstore"),
    ]
    columns = [Col("a", "int", nullable=False), Col("b", "int"), Col("c", "int")]
    of_t = made.ForeignKey("FK_off", ["x", "y"], ("dbo", "t"), ["b", "c"], disabled=True)
    other = made.ForeignKey("FK_on", ["x"], ("dbo", "t"), ["a"])
    child = Tbl("dbo", "u", [Col("x", "int"), Col("y", "int")], [(1, 2)], foreign_keys=[of_t, other])
    db = Db("Tuned", [Tbl("dbo", "t", columns, [(1, 2, 3), (2, 2, 3)], indexes), child])
    (path,) = write_backup(tmp_path / "tuned.bak", [Set(build(db, 2016))])
    backup = opened(MemoryBlob(path.name, path.read_bytes()))
    schema, found = backup.schema(), table(backup, "t")
    assert (found.trouble, backup.count(found.path)) == ("", 2)
    assert found.primary is not None
    assert found.primary.name == "PK_t"
    assert found.uniques == ()
    assert [index.name for index in found.indexes] == ["IX_kept"]
    assert {(one.kind, one.path[-1], one.text) for one in schema.leftovers} == {
        ("disabled unique constraint", "UQ_off", "(b, c)"),
        ("disabled index", "IX_off", "(c DESC) WHERE ([c]>(1))"),
    }
    scripts = Scripts(backup.name, schema.tables, schema.leftovers)
    said = "".join([*scripts.schema(), *scripts.finish()])
    assert "-- Left out: disabled index [dbo].[t].[IX_off] (It is disabled" in said
    assert "-- Left out: [FK_off], which refers to [dbo].[t]" in said
    assert "ADD CONSTRAINT [FK_on] FOREIGN KEY" in said
    assert "_dta_" not in said


def test_extended_properties_are_comments_or_left_over_with_their_text(tmp_path: Path) -> None:
    table_ = Tbl("dbo", "t", [Col("a", "int"), Col("b", "int")], [(1, 2)], [made.Index("IX", ["b"])])
    view = Module("dbo", "V", "V", "create view dbo.V as select 1 as x")
    say = partial(Variant, "nvarchar(50)")
    properties = (
        Property(1, ("dbo", "t"), 0, "MS_Description", Variant("varchar(50)", "śnieg", made.POLISH)),
        Property(1, ("dbo", "t"), 2, "MS_Description", say("of b")),
        Property(1, ("dbo", "t"), 2, "MS_Format", Variant("int", 7)),
        Property(1, ("dbo", "t"), 2, "MS_Width", Variant("int", 9)),
        Property(1, ("dbo", "V"), 0, "MS_Description", say("a view")),
        Property(7, ("dbo", "t"), 2, "MS_Description", say("an index")),
        Property(3, ("dbo",), 0, "Owner", say("of all")),
        Property(0, (), 0, "Version", say("1.2")),
    )
    db = Db("Noted", [table_], [view], properties=properties)
    (path,) = write_backup(tmp_path / "noted.bak", [Set(build(db, 2016))])
    schema = opened(MemoryBlob(path.name, path.read_bytes())).schema()
    (found,) = schema.tables
    assert found.comment == "śnieg"
    assert [column.comment for column in found.columns] == ["", "of b"]
    assert {(one.path, one.text) for one in schema.leftovers if one.kind == "extended properties"} == {
        (("Noted", "dbo", "t"), "b.MS_Format: 7\nb.MS_Width: 9"),
        (("Noted", "dbo", "V"), "MS_Description: a view"),
        (("Noted", "dbo", "t"), "IX.MS_Description: an index"),
        (("Noted", "dbo"), "Owner: of all"),
        (("Noted",), "Version: 1.2"),
    }
