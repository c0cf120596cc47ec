"""Rows of uncompressed pages: what a record says of each column, and what becomes of records that are no rows."""

import struct
from dataclasses import replace
from decimal import Decimal

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import rows as rows_module
from sterna.engines.sqlserver.wire.moments import Timestamp
from sterna.engines.sqlserver.wire.records import PAGE, Physical
from sterna.engines.sqlserver.wire.rows import Rows
from tests.unit.bak_pages import fixed_var, layout, page

ID = Physical("id", 56, 4, offset=4, nullbit=1, nullable=False)
NAME = Physical("name", 231, 100, offset=-1, nullbit=2)
NOTE = Physical("note", 167, 100, offset=-2, nullbit=3)
FLAG = Physical("flag", 104, 1, offset=8, nullbit=4, bitpos=0)
OTHER = Physical("other", 104, 1, offset=8, nullbit=5, bitpos=3)

ORDER_10248 = bytes.fromhex(
    "30003a00082800005600 49004e004500540005000000 00000000b0890000"
    "00000000cc890000 00000000bc890000 03000000 d8f0040000000000"
    "0e00 0008 0600 7e00a200ac00ac00b600c200".replace(" ", "")
) + "Vins et alcools Chevalier59 rue de l'AbbayeReims51100France".encode("utf-16-le")
"""A record of Northwind as the format's description prints it, its varying columns written out."""


def text(number: int, name: str, note: bytes = b"", **more: object) -> bytes:
    return fixed_var(struct.pack("<i", number), [name.encode("utf-16-le"), note], columns=3, **more)  # type: ignore[arg-type]


def both(rows: Rows, one: bytes) -> bytes:
    """The COPY text, the same from the compiled code and from Python."""
    native, plan = rows.copy_text(one), rows._plan
    rows._plan = None
    plain = rows.copy_text(one)
    rows._plan = plan
    assert native == plain
    assert isinstance(native[0], bytes), "nothing here is long"
    return native[0]


def test_a_row_of_northwind_is_read_as_its_script_wrote_it() -> None:
    columns = [Physical("OrderID", 56, offset=4, nullbit=1), Physical("CustomerID", 239, 10, offset=8, nullbit=2)]
    columns += [Physical("EmployeeID", 56, offset=18, nullbit=3), Physical("OrderDate", 61, offset=22, nullbit=4)]
    columns += [Physical("Freight", 60, offset=50, nullbit=8)]
    columns += [Physical(f"v{i}", 231, 80, offset=-i, nullbit=8 + i) for i in range(1, 7)]
    rows = Rows(layout(*columns))
    (row,) = rows.values(page([ORDER_10248]))
    assert row[:5] == (10248, "VINET", 5, Timestamp(728843, 0), Decimal("32.3800"))
    assert row[5:] == ("Vins et alcools Chevalier", "59 rue de l'Abbaye", "Reims", None, "51100", "France")
    assert both(rows, page([ORDER_10248])).startswith(b"10248\tVINET\t5\t1996-07-04 00:00:00\t32.3800\tVins et ")


def test_rows_come_in_the_order_that_is_asked_for() -> None:
    rows = Rows(layout(NOTE, ID))
    assert list(rows.values(page([text(7, "x", b"y")]))) == [("y", 7)]
    assert both(rows, page([text(7, "x", b"y")])) == b"y\t7\n"


def test_null_and_empty_are_told_apart() -> None:
    rows = Rows(layout(ID, NAME, NOTE))
    records = [text(1, "", b""), text(2, "", b"", nulls=[2, 3]), fixed_var(struct.pack("<i", 3), columns=3)]
    assert list(rows.values(page(records))) == [(1, "", ""), (2, None, None), (3, "", "")]
    assert both(rows, page(records)) == b"1\t\t\n2\t\\N\t\\N\n3\t\t\n"


def test_bits_share_a_byte() -> None:
    rows = Rows(layout(FLAG, OTHER))
    records = [
        fixed_var(struct.pack("<iB", 1, bits), columns=5, nulls=nulls) for bits, nulls in ((1, []), (8, [4]))
    ]
    assert list(rows.values(page(records))) == [(True, False), (None, True)]
    assert both(rows, page(records)) == b"t\tf\n\\N\tt\n"


def test_ghosts_and_stubs_are_no_rows_and_forwarded_records_are() -> None:
    stub = bytes([4]) + struct.pack("<IHH", 9, 1, 0)
    back = b"\0\4" + struct.pack("<IHH", 5, 1, 3)
    moved = fixed_var(struct.pack("<i", 4), ["é".encode("utf-16-le"), back], columns=3, complex_ones=[2], kind=1)
    records = [
        text(1, "a"),
        stub,
        moved,
        text(5, "g", kind=6),
        text(6, "v", kind=7),
        text(8, "z", kind=1, second=1),
    ]
    rows = Rows(layout(ID, NAME, NOTE))
    assert list(rows.values(page(records))) == [(1, "a", ""), (4, "é", "")]
    assert both(rows, page(records)) == "1\ta\t\n4\té\t\n".encode()


def test_an_empty_slot_holds_no_row() -> None:
    made = bytearray(page([text(1, "a"), text(2, "b")]))
    made[PAGE - 2 :] = b"\0\0"
    assert list(Rows(layout(ID)).values(bytes(made))) == [(2,)]
    assert both(Rows(layout(ID)), bytes(made)) == b"2\n"


def test_a_versioning_tag_behind_a_record_changes_nothing() -> None:
    record = text(1, "a", b"b", tail=bytes(14))
    made = page([bytes([record[0] | 0x40]) + record[1:]])
    assert list(Rows(layout(ID, NAME, NOTE)).values(made)) == [(1, "a", "b")]


def test_a_column_added_later_is_null_or_has_its_default() -> None:
    late = Physical("late", 56, offset=9, nullbit=4)
    known = replace(late, name="known", nullbit=5, default=42, nullable=False)
    rows = Rows(layout(ID, late, known))
    assert list(rows.values(page([text(1, "a")]))) == [(1, None, 42)]
    assert both(rows, page([text(1, "a")])) == b"1\t\\N\t42\n"
    assert not rows.older


def test_a_column_that_must_not_be_null_and_whose_default_is_not_known_is_counted() -> None:
    rows = Rows(layout(ID, Physical("late", 56, offset=9, nullbit=4, nullable=False)))
    assert list(rows.values(page([text(1, "a"), text(2, "b")]))) == [(1, None), (2, None)]
    assert rows.older == {"late": 2}


def test_sparse_columns_come_out_of_their_vector() -> None:
    a, b, c = (Physical(name, 56, column_id=number) for number, name in ((3, "a"), (4, "b"), (5, "c")))
    vector = struct.pack("<HH2H2H", 5, 2, 3, 5, 16, 20) + struct.pack("<ii", 111, 333)
    records = [fixed_var(struct.pack("<i", 1), [vector], columns=1, complex_ones=[1])]
    records += [fixed_var(struct.pack("<i", 2), columns=1)]
    rows = Rows(layout(ID, a, b, c))
    assert list(rows.values(page(records))) == [(1, 111, None, 333), (2, None, None, None)]
    assert both(rows, page(records)) == b"1\t111\t\\N\t333\n2\t\\N\t\\N\t\\N\n"


def test_a_record_of_sparse_columns_alone_has_no_bitmap() -> None:
    vector = struct.pack("<HHHH", 5, 1, 3, 12) + struct.pack("<i", 9)
    record = struct.pack("<BBHHH", 0x20, 0, 4, 1, (8 + len(vector)) | 0x8000) + vector
    rows = Rows(layout(Physical("a", 56, column_id=3), Physical("b", 56, column_id=4)))
    assert list(rows.values(page([record]))) == [(9, None)]


def test_a_vardecimal_of_2005_is_unpacked() -> None:
    price = Physical("price", 106, precision=18, scale=4, offset=-1, nullbit=2)
    records = [fixed_var(struct.pack("<i", 1), [bytes.fromhex("c21edc80")], columns=2)]
    records += [fixed_var(struct.pack("<i", 2), columns=2)]
    rows = Rows(layout(ID, price))
    assert list(rows.values(page(records))) == [(1, Decimal("123.4560")), (2, Decimal("0.0000"))]
    assert both(rows, page(records)) == b"1\t123.4560\n2\t0.0000\n"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({PAGE - 2: 0xFF, PAGE - 1: 0x1F}, "record 0: the record would begin at 8191"),
        ({98: 0xFF, 99: 0x1F}, "record 0: the record's fixed part would end at 8191"),
        ({108: 0xFF}, "columns of varying length do not fit"),
        ({96: 0x36}, "record 0: a record of kind 3 among rows"),
        ({22: 0xFF, 23: 0xFF}, "records cannot be on one page"),
    ],
)
def test_bytes_that_are_no_rows_are_refused_with_their_place(spoil: dict[int, int], message: str) -> None:
    made = bytearray(page([text(1, "name", b"note")]))
    for at, byte in spoil.items():
        made[at] = byte
    for read in (
        lambda: list(Rows(layout(ID, NAME)).values(bytes(made))),
        lambda: both(Rows(layout(ID)), bytes(made)),
    ):
        with pytest.raises(BadData, match=r"Page 1:77.*") as caught:
            read()
        assert message in caught.value.message


def test_an_error_in_a_value_names_table_place_and_column() -> None:
    bad = fixed_var(struct.pack("<iIi", 1, 0, 99_999_999), columns=2)
    rows = Rows(layout(ID, Physical("at", 61, offset=8, nullbit=2)))
    for read in (lambda: list(rows.values(page([bad]))), lambda: both(rows, page([bad]))):
        with pytest.raises(BadData, match=r"dbo\.things: Page 1:77, record 0, column at: the time lies outside"):
            read()


def test_a_column_beyond_the_fixed_part_is_refused() -> None:
    rows = Rows(layout(Physical("far", 127, offset=400, nullbit=2)))
    with pytest.raises(BadData, match="beyond the fixed part"):
        list(rows.values(page([text(1, "a")])))


@pytest.mark.parametrize(("xtype", "word"), [(244, "json"), (255, "vector"), (77, "number 77")])
def test_types_that_cannot_be_read_are_refused_by_name(xtype: int, word: str) -> None:
    with pytest.raises(Unsupported, match=rf"column odd.*{word}"):
        Rows(layout(Physical("odd", xtype, 8, offset=4, nullbit=1)))


@pytest.mark.parametrize("column", [Physical("d", 106, precision=50, scale=60), Physical("t", 41, scale=9)])
def test_impossible_columns_are_refused(column: Physical) -> None:
    with pytest.raises(BadData, match=f"Column {column.name}"):
        Rows(layout(replace(column, offset=4, nullbit=1)))


def test_a_page_of_another_size_is_refused() -> None:
    for read in (
        lambda: list(Rows(layout(ID)).values(b"\0" * 100)),
        lambda: Rows(layout(ID)).copy_text(b"\0" * 100),
    ):
        with pytest.raises(BadData, match="A page of 100 bytes"):
            read()


def test_without_the_compiled_code_the_same_is_done_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows_module, "native", None)
    assert Rows(layout(ID, NAME, NOTE)).copy_text(page([text(1, "a\tb", b"\\")])) == (b"1\ta\\tb\t\\\\\n", 1)
