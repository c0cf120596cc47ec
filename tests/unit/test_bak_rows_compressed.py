"""Rows of compressed tables. The datetimes are as servers were seen to store them, the rest follows the rules."""

import struct
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import scsu
from sterna.engines.sqlserver.wire.moments import Instant, Time, Timestamp
from sterna.engines.sqlserver.wire.records import Physical
from sterna.engines.sqlserver.wire.rows import Rows
from tests.unit.bak_pages import compressed, information, layout, lob_page, page

UNIQUE = UUID("6f9619ff-8b86-d011-b42d-00c04fc964ff")
NOON = 12 * 36_000_000_000


def rows_of(*columns: Physical, compression: int = 1, **more: Any) -> Rows:
    placed = [_placed(column, place) for place, column in enumerate(columns)]
    return Rows(layout(*placed, compression=compression), **more)


def _placed(column: Physical, place: int) -> Physical:
    return Physical(
        f"c{place}", column.xtype, column.length, column.precision, column.scale, column.collation, 0, place + 1
    )


def read(rows: Rows, made: bytes) -> list[tuple[object, ...]]:
    """The values, after a comparison of the compiled code's text with Python's."""
    text, plan = rows.copy_text(made), rows._plan
    rows._plan = None
    assert rows.copy_text(made) == text
    rows._plan = plan
    values = list(rows.values(made))
    assert len(values) == text[1]
    return values


def kind(xtype: int, length: int = 0, **more: Any) -> Physical:
    return Physical("", xtype, length, **more)


SERVER: list[tuple[Physical, str, object]] = [
    # datetimes as a server stored them
    (kind(61), "809fe7018ae173", Timestamp(734_530, 862_629_970_000)),
    (kind(61), "7f2e4600000000", Timestamp(639_905, 0)),
    (kind(61), "", Timestamp(693_595, 0)),
    (kind(61), "8100000000", Timestamp(693_596, 0)),
    (kind(61), "816f50f2", Timestamp(693_595, 802_414_470_000)),
    (kind(61), "7e94012eb969", Timestamp(693_231, 661_311_230_000)),
]
RULES: list[tuple[Physical, str, object]] = [
    (kind(48), "", 0),
    (kind(48), "ff", 255),
    (kind(52), "00", -128),
    (kind(56), "", 0),
    (kind(56), "81", 1),
    (kind(56), "7f", -1),
    (kind(56), "ffffffff", 2**31 - 1),
    (kind(56), "00000000", -(2**31)),
    (kind(127), "8080", 128),
    (kind(60), "8c35", Decimal("0.3125")),
    (kind(122), "7f", Decimal("-0.0001")),
    (kind(104), "", False),
    (kind(106, precision=9, scale=4), "c21edc80", Decimal("123.4560")),
    (kind(106, precision=9, scale=4), "", Decimal("0.0000")),
    (kind(106, precision=9, scale=4), "4019", Decimal("-1.0000")),
    (kind(106, precision=38, scale=10), "b719", Decimal("1E-9").quantize(Decimal("1E-10"))),
    (kind(62), "f03f", 1.0),
    (kind(59), "803f", 1.0),
    (kind(62), "", 0.0),
    (kind(58), "0100", Timestamp(693_596, 0)),
    (kind(58), "d0020100", Timestamp(693_596, 432_000_000_000)),
    (kind(41, scale=0), "c0a8", Time(NOON)),
    (kind(42, scale=0), "c0a800", Timestamp(0, NOON)),
    (kind(43, scale=0), "c0a800d0420b3c", Instant(738_000, NOON, 60)),
    (kind(36), UNIQUE.bytes_le.hex(), UNIQUE),
    (kind(175, 5), "6162", "ab   "),
    (kind(167, 5), "6162", "ab"),
    (kind(173, 4), "01", b"\1\0\0\0"),
    (kind(165, 4), "0100", b"\1\0"),
    (kind(231, 40), "61", "a"),
    (kind(231, 40), "616210", "ab"),
    (kind(231, 40), "e9e8e7", "éèç"),
    (kind(231, 40), "12e8e8e8e8e8e8e8e8e8e8", "Ѩ" * 10),
    (kind(231, 40), "61006200", "ab"),
    (kind(239, 10), "616263", "abc  "),
    (kind(239, 10), "", "     "),
    (kind(189, 8), "00000000000007d1", b"\0\0\0\0\0\0\7\xd1"),
]


@pytest.mark.parametrize(("column", "stored", "value"), SERVER + RULES, ids=lambda x: str(x)[:30])
def test_a_short_form_is_read_as_its_value(column: Physical, stored: str, value: object) -> None:
    rows = rows_of(kind(56), column, kind(56))
    made = page([compressed([b"\x81", bytes.fromhex(stored), b"\x82"])])
    assert read(rows, made) == [(1, value, 2)]


def test_null_bits_and_long_values_lie_beside_each_other() -> None:
    rows = rows_of(kind(56), kind(104), kind(104), kind(167, 100), kind(231, 100), kind(167, 100))
    record = compressed([None, -1, b"", b"a long value", "noch länger".encode("utf-16-le"), b"short"])
    assert read(rows, page([record])) == [(None, True, False, "a long value", "noch länger", "short")]


def test_ghosts_and_stubs_are_no_rows_and_forwarded_records_are() -> None:
    records = [compressed([b"\x81"]), compressed([b"\x82"], kind=1), compressed([b"\x83"], kind=2)]
    records += [compressed([b"\x84"], kind=3), compressed([b"\x85"], kind=4), compressed([b"\x86"], kind=5)]
    assert read(rows_of(kind(56)), page(records)) == [(1,), (5,)]


@pytest.mark.parametrize("count", [30, 31, 61, 127, 128, 300])
def test_many_columns_come_in_clusters(count: int) -> None:
    columns = [kind(56) if place % 3 else kind(167, 100) for place in range(count)]
    pieces = [bytes([0x80 + place % 100]) if place % 3 else b"long value %d" % place for place in range(count)]
    expected = tuple(place % 100 if place % 3 else f"long value {place}" for place in range(count))
    assert read(rows_of(*columns), page([compressed(pieces)])) == [expected]


def test_a_column_added_later_is_null() -> None:
    assert read(rows_of(kind(56), kind(56)), page([compressed([b"\x81"])])) == [(1, None)]


def test_values_outside_the_row_are_fetched() -> None:
    root = b"\4" + bytes(11) + struct.pack("<IIHH", 6, 10, 1, 0)
    pages = {10: lob_page([struct.pack("<H", 3) + "abc".encode("utf-16-le")], number=10)}
    rows = rows_of(kind(56), kind(231, -1), fetch=lambda number, file: pages[number])
    assert read(rows, page([compressed([b"\x81", root], complex_ones=[1])])) == [(1, "abc")]


def test_a_page_has_an_anchor_and_a_dictionary() -> None:
    columns = (kind(167, 100), kind(56), kind(231, 100), kind(104))
    anchor = compressed([b"prefix of all", None, b"Ma\xdfe\x10", None])
    words = [b"\x06!", b"\x87\x65", b"\x02hr\x10"]
    made = page(
        [
            compressed([b"", b"\x81", 2, -1]),
            compressed([b"\x03ference", 1, b"", None]),
            compressed([0, b"", b"\x00xyz!\x10", b""]),
            compressed([None, None, None, None]),
            compressed([b"\x0d and a long end", b"\x7f", b"\x02\x10", b""]),
        ],
        flags=0x80,
        information=information(anchor, words),
    )
    assert read(rows_of(*columns, compression=2), made) == [
        ("prefix of all", 1, "Mahr", True),
        ("preference", 0x765, "Maße", None),
        ("prefix!", 0, "xyz!", False),
        (None, None, None, None),
        ("prefix of all and a long end", -1, "Ma", False),
    ]


def test_an_anchor_without_a_dictionary_is_used() -> None:
    made = page(
        [compressed([b"\x02cd", b"\x81"]), compressed([b"", None])],
        flags=0x80,
        information=information(compressed([b"abxyzuvwxyz", None])),
    )
    assert read(rows_of(kind(167, 50), kind(56), compression=2), made) == [("abcd", 1), ("abxyzuvwxyz", None)]


def test_a_long_prefix_takes_two_bytes() -> None:
    anchor = bytes(range(33, 127)) * 3
    made = page([compressed([b"\x80\xc8end"])], flags=0x80, information=information(compressed([anchor])))
    assert read(rows_of(kind(167, 500), compression=2), made) == [((anchor[:200] + b"end").decode(),)]


def test_a_page_that_was_not_compressed_yet_has_none_of_it() -> None:
    assert read(rows_of(kind(56), compression=2), page([compressed([b"\x81"])])) == [(1,)]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"\x30\x00\x08\x00" + bytes(8), "no compressed row"),
        (compressed([b"\x81"], kind=6), "no compressed row"),
        (b"\x01\x00\x00\x00", "cut off"),
        (b"\x01\x01\x0d\x00\x00", "a column with the code 13"),
        (b"\x01\x01\x0a\x00\x00", "no room for a long value"),
        (b"\x21\x01\x0a\x01\x00\x00", "fewer long values"),
        (b"\x21\x01\x0a\x01\x01\x00\xff\x7f", "overlap or end beyond"),
        (b"\x01\x01\x0c\x07\x00", "list index out of range"),
        (compressed([b"\xff" * 8]), "int too big"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_bytes_that_are_no_compressed_row_are_refused(record: bytes, message: str) -> None:
    rows = rows_of(kind(56))
    for attempt in (lambda: list(rows.values(page([record]))), lambda: rows.copy_text(page([record]))):
        with pytest.raises(BadData, match=message):
            attempt()


@pytest.mark.parametrize("stored", ["c1ffff", "ff19", "c0" + "18c1" * 40, "b719"])
def test_decimals_that_do_not_fit_are_refused(stored: str) -> None:
    with pytest.raises(BadData, match="column c0"):
        read(rows_of(kind(106, precision=9, scale=4)), page([compressed([bytes.fromhex(stored)])]))


def test_a_shortened_rowversion_is_refused_by_name() -> None:
    with pytest.raises(Unsupported, match="column c0: A shortened rowversion"):
        read(rows_of(kind(189, 8)), page([compressed([b"\x07\xd1"])]))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        # The examples of the standard, UTS #6 section 9
        ("d66c20666c6965df74", "Öl fließt"),
        ("129cbec1bab2b0", "Москва"),
        # Others
        ("15a7a7a7414141414141a7a741a758", "でででAAAAAAででAでX"),
        ("08de15a782cc08dea782cc", "～であれ～であれ"),
        ("0e304261", "あa"),
        ("0f30423044e061", "あいa"),
        ("0b000080", "\U00010000"),
        ("0fd83dde00e061", "😀a"),
        ("0ff0e0000061", "\ue000a"),
        ("0f0061e808b0", "aа"),
        ("0ff1000080", "\U00010000"),
        ("0541", "⁁"),
        ("0180", "\x80"),
        ("1ffa80", "ɐ"),
        ("6110", "a"),
        ("610f", "a"),
        ("0e", ""),
        ("0f006100", "a"),
    ],
)
def test_compressed_text_is_expanded(data: str, text: str) -> None:
    assert scsu.expanded(bytes.fromhex(data)).decode("utf-16-le", "surrogatepass") == text


@pytest.mark.parametrize("data", ["0c61", "18a861", "1800", "0ff261"])
def test_compressed_text_that_the_standard_does_not_allow_is_refused(data: str) -> None:
    with pytest.raises(ValueError, match="in compressed text"):
        scsu.expanded(bytes.fromhex(data))
