"""Values of every type: exactly what Python gets, and exactly what PostgreSQL would print."""

import struct
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import collations, types
from sterna.engines.sqlserver.wire.copytext import Losses, writer
from sterna.engines.sqlserver.wire.floats import double_text, real_text
from sterna.engines.sqlserver.wire.moments import Instant, Time, Timestamp
from sterna.engines.sqlserver.wire.records import Physical
from sterna.engines.sqlserver.wire.rows import Rows, native
from tests.unit.bak_pages import fixed_var, layout, page

NOON = 12 * 36_000_000_000
LATIN = 0x1000 | 0x34 << 24  # SQL_Latin1_General_CP1_CI_AS


def column(xtype: int, length: int = 0, **more: Any) -> Physical:
    return Physical("c", xtype, length, **more)


def ticks(value: int, size: int) -> bytes:
    return value.to_bytes(size, "little")


VALUES = [
    (column(48), b"\xff", 255, "255"),
    (column(52), struct.pack("<h", -32768), -32768, "-32768"),
    (column(56), struct.pack("<i", -1), -1, "-1"),
    (column(127), struct.pack("<q", -(2**63)), -(2**63), "-9223372036854775808"),
    (column(104), b"\1", True, "t"),
    (column(106, precision=5, scale=2), b"\1" + ticks(5, 4), Decimal("0.05"), "0.05"),
    (column(106, precision=5, scale=2), b"\0" + ticks(12345, 4), Decimal("-123.45"), "-123.45"),
    (column(106, precision=5, scale=2), b"\0" + ticks(0, 4), Decimal("0.00"), "0.00"),
    (column(108, precision=38), b"\1" + ticks(10**38 - 1, 16), Decimal(10**38 - 1), "9" * 38),
    (column(108, precision=38, scale=38), b"\0" + ticks(1, 16), Decimal("-1E-38"), "-0." + "0" * 37 + "1"),
    (column(60), struct.pack("<q", -(2**63)), Decimal("-922337203685477.5808"), "-922337203685477.5808"),
    (column(122), struct.pack("<i", 7), Decimal("0.0007"), "0.0007"),
    (column(62), struct.pack("<d", 0.1), 0.1, "0.1"),
    (column(59), struct.pack("<f", 0.1), 0.1, "0.1"),
    (column(40), ticks(0, 3), date(1, 1, 1), "0001-01-01"),
    (column(40), ticks(3_652_058, 3), date(9999, 12, 31), "9999-12-31"),
    (column(41, scale=0), ticks(43_200, 3), Time(NOON), "12:00:00"),
    (column(41, scale=4), ticks(432_005_000, 4), Time(NOON + 5_000_000), "12:00:00.5"),
    (
        column(42, scale=7),
        ticks(NOON + 1_234_560, 5) + ticks(738_000, 3),
        Timestamp(738_000, NOON + 1_234_560),
        "2021-07-30 12:00:00.123456",
    ),
    (
        column(43, scale=3),
        ticks(43_200_250, 4) + ticks(738_000, 3) + struct.pack("<h", -90),
        Instant(738_000, NOON + 2_500_000, -90),
        "2021-07-30 12:00:00.25+00",
    ),
    (
        column(61),
        struct.pack("<Ii", 25_919_999, 36_524),
        Timestamp(730_119, 863_999_970_000),
        "2000-01-01 23:59:59.997",
    ),
    (column(61), struct.pack("<Ii", 1, -53_690), Timestamp(639_905, 30_000), "1753-01-01 00:00:00.003"),
    (column(58), struct.pack("<HH", 1439, 65_535), Timestamp(759_130, 863_400_000_000), "2079-06-06 23:59:00"),
    (
        column(36),
        UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF").bytes_le,
        UUID("6F9619FF-8B86-D011-B42D-00C04FC964FF"),
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
    ),
    (column(165, 10), b"\0\xfe", b"\0\xfe", "\\\\x00fe"),
    (column(173, 2), b"\1\0", b"\1\0", "\\\\x0100"),
    (column(189, 8), bytes(7) + b"\x65", bytes(7) + b"\x65", "\\\\x0000000000000065"),
    (column(231, 20), "a\t😀\\".encode("utf-16-le"), "a\t😀\\", "a\\t😀\\\\"),
    (column(239, 8), "é   ".encode("utf-16-le"), "é   ", "é   "),
    (column(239, 8), "😀  ".encode("utf-16-le"), "😀  ", "😀   "),
    (column(167, 20, collation=LATIN), b"caf\xe9 \x80\x81", "café €\x81", "café €\x81"),
    (column(175, 4, collation=LATIN), b"ab", "ab", "ab  "),
    (column(167, 20, collation=0x15), "Грофф".encode("cp1251"), "Грофф", "Грофф"),
    (column(167, 20, collation=0x10), "日本".encode("cp932"), "日本", "日本"),
    (column(167, 20, collation=0x80), "żółw".encode(), "żółw", "żółw"),
    (column(240, 892, utype=128), bytes.fromhex("5ac0"), "/1/1/", "/1/1/"),
    (column(240, 100, utype=300), b"\1\2", b"\1\2", "\\\\x0102"),
    (column(241, -1), "<a>x</a>".encode("utf-16-le"), "<a>x</a>", "<a>x</a>"),
    (column(98, 8016), b"\x38\1" + struct.pack("<i", 5), 5, "5"),
    (column(98, 8016), b"\x6a\1\5\2\1" + ticks(5, 4), Decimal("0.05"), "0.05"),
    (column(98, 8016), b"\xe7\1\x10\0" + struct.pack("<I", LATIN) + "x\n".encode("utf-16-le"), "x\n", "x\\n"),
    (column(98, 8016), b"\xa7\1\x10\0" + struct.pack("<I", 0x15) + b"\xc3", "Г", "Г"),
    (column(98, 8016), b"\xa5\1\x10\0\xab", b"\xab", "0xAB"),
    (column(98, 8016), b"\x68\1\1", True, "1"),
    (
        column(98, 8016),
        b"\x2a\1\7" + ticks(NOON + 1, 5) + ticks(0, 3),
        Timestamp(0, NOON + 1),
        "0001-01-01 12:00:00.0000001",
    ),
    (
        column(98, 8016),
        b"\x2b\1\0" + ticks(43_200, 3) + ticks(738_000, 3) + struct.pack("<h", -90),
        Instant(738_000, NOON, -90),
        "2021-07-30 10:30:00 -01:30",
    ),
    (column(98, 8016), b"\x3b\1" + struct.pack("<f", 1e20), 1e20, "1e+20"),
]


@pytest.mark.parametrize(("one", "raw", "value", "copied"), VALUES, ids=lambda x: str(x)[:24])
def test_a_value_is_exact_and_its_text_is_postgresqls(
    one: Physical, raw: bytes, value: object, copied: str
) -> None:
    if one.xtype in types.BYTES + types.NARROW + types.WIDE + (types.CLR, types.XML, types.VARIANT):
        place = Physical(
            "c", one.xtype, one.length, one.precision, one.scale, one.collation, -1, 1, 0, 0, one.utype
        )
        made = page([fixed_var(b"", [raw], columns=1)])
    else:
        place = Physical(
            "c", one.xtype, one.length, one.precision, one.scale, one.collation, 4, 1, 0, 0, one.utype
        )
        made = page([fixed_var(raw, columns=1)])
    rows = Rows(layout(place))
    assert list(rows.values(made)) == [(value,)]
    assert rows.copy_text(made) == (copied.encode() + b"\n", 1)
    rows._plan = None
    assert rows.copy_text(made) == (copied.encode() + b"\n", 1)


@pytest.mark.parametrize(
    ("one", "raw"),
    [
        (column(40), ticks(3_652_059, 3)),
        (column(41, scale=0), ticks(86_400, 3)),
        (column(42, scale=7), ticks(864_000_000_000, 5) + bytes(3)),
        (column(43, scale=0), bytes(6) + struct.pack("<h", 841)),
        (column(58), struct.pack("<HH", 1440, 0)),
        (column(61), struct.pack("<Ii", 25_920_000, 0)),
        (column(61), struct.pack("<Ii", 0, -53_691)),
        (column(106, precision=5), b"\2" + bytes(4)),
        (column(106, precision=5), bytes(7)),
        (column(231, 10), b"abc"),
        (column(36), bytes(15)),
        (column(56), bytes(3)),
        (column(189), bytes(7)),
    ],
    ids=str,
)
def test_bytes_that_a_type_does_not_allow_are_refused(one: Physical, raw: bytes) -> None:
    with pytest.raises((ValueError, struct.error)):
        types.decoder(one)(raw)


@pytest.mark.parametrize(
    "raw", [b"", b"\x38", b"\x38\2abcd", b"\x22\1a", b"\x6a\1\5\6\1\0\0\0\0", b"\x2a\1\x08", b"\x38\1ab"], ids=str
)
def test_bytes_that_are_no_variant_are_refused(raw: bytes) -> None:
    rows = Rows(layout(Physical("v", 98, 8016, offset=-1, nullbit=1)))
    with pytest.raises(BadData, match="column v"):
        list(rows.values(page([fixed_var(b"", [raw], columns=1)])))


def test_a_seventh_digit_is_rounded_and_counted_and_never_leaves_its_day() -> None:
    times = Physical("t", 42, scale=7, offset=4, nullbit=1)
    last = ticks(863_999_999_999, 5) + ticks(3_652_058, 3)
    records = [
        fixed_var(raw, columns=1) for raw in (last, ticks(1_234_565, 5) + bytes(3), ticks(10, 5) + bytes(3))
    ]
    for python in (False, True):
        rows = Rows(layout(times))
        rows._plan = None if python else rows._plan
        text, _ = rows.copy_text(page(records))
        assert text == b"9999-12-31 23:59:59.999999\n0001-01-01 00:00:00.123457\n0001-01-01 00:00:00.000001\n"
        assert rows.losses == Losses(digits=2)


@pytest.mark.parametrize("broken", ["a\0b", "\ud800", "x\udc00y", "\udc00\ud800"])
def test_text_that_postgresql_cannot_store_is_refused_or_replaced_and_counted(broken: str) -> None:
    made = page([fixed_var(b"", [broken.encode("utf-16-le", "surrogatepass")], columns=1)])
    place = layout(Physical("name", 231, 20, offset=-1, nullbit=1))
    assert list(Rows(place).values(made)) == [(broken,)]
    with pytest.raises(BadData, match="record 0, column name: the text holds U\\+0000, half of a surrogate"):
        Rows(place).copy_text(made)
    rows = Rows(place, unstorable="replace")
    expected = "".join("�" if c in "\0\ud800\udc00" else c for c in broken)
    assert rows.copy_text(made) == (expected.encode() + b"\n", 1)
    assert rows.losses.characters == expected.count("�")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (-0.0, "-0"),
        (1.0, "1"),
        (0.5, "0.5"),
        (123456789012345.0, "123456789012345"),
        (1e15, "1e+15"),
        (1.5e15, "1.5e+15"),
        (1e-4, "0.0001"),
        (1e-5, "1e-05"),
        (1.25e-7, "1.25e-07"),
        (1e20, "1e+20"),
        (1e100, "1e+100"),
        (1e23, "9.999999999999999e+22"),
        (5e-324, "5e-324"),
        (2.0**53, "9007199254740992"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (1234.5, "1234.5"),
        (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"),
        (float("nan"), "NaN"),
    ],
)
def test_doubles_are_spelled_as_postgresql_spells_them(value: float, text: str) -> None:
    if value == 2.0**53:
        text = "9.007199254740992e+15"
    assert double_text(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e5, "100000"),
        (1e6, "1e+06"),
        (16777216.0, "1.6777216e+07"),
        (3.4028234663852886e38, "3.4028235e+38"),
        (1e-45, "1e-45"),
        (1.17549435e-38, "1.1754944e-38"),
        (33554436.0, "3.3554436e+07"),
        (-0.0, "-0"),
        (123456.7, "123456.7"),
        (0.0001, "0.0001"),
        (0.00001, "1e-05"),
    ],
)
def test_reals_are_spelled_as_postgresql_spells_them(value: float, text: str) -> None:
    (exact,) = struct.unpack("<f", struct.pack("<f", value))
    assert real_text(exact) == text


def test_moments_become_times_of_python_rounded_within_their_day() -> None:
    assert Timestamp(3_652_058, 863_999_999_999).rounded() == datetime(9999, 12, 31, 23, 59, 59, 999_999)
    assert Instant(738_000, NOON, 60).rounded().isoformat() == "2021-07-30T12:00:00+00:00"
    assert str(Time(NOON + 1)) == "12:00:00.0000001"


@pytest.mark.parametrize(
    ("collation", "page_number"),
    [
        (0, 1252),
        (LATIN, 1252),
        (0x34 << 24 | 0x80, 1252),
        (0x1E << 24, 437),
        (0x28 << 24, 850),
        (0x50 << 24, 1250),
        (0x69 << 24, 1251),
        (0x04, 1250),
        (0x15 | 0x1000, 1251),
        (0x07, 1253),
        (0x1A, 1254),
        (0x0C, 1255),
        (0x01, 1256),
        (0x1D, 1257),
        (0x20, 1258),
        (0x19, 874),
        (0x10, 932),
        (0x24, 936),
        (0x11, 949),
        (0x03, 950),
        (0x37, 1251),
        (0x80 | 0x07, 65001),
        (0x60080, 65001),
    ],
)
def test_collations_lead_to_their_code_page(collation: int, page_number: int) -> None:
    assert collations.code_page(collation) == page_number


@pytest.mark.parametrize("number", sorted(collations.SINGLE_BYTE))
def test_every_byte_of_a_code_page_is_a_character(number: int) -> None:
    table = collations.single_byte(number)
    assert len(table) == 256
    assert table[:128] == "".join(map(chr, range(128)))
    assert "�" not in table


@pytest.mark.parametrize(
    ("number", "raw", "text"),
    [
        (932, b"\x80\xa0\xfd", "\x80\uf8f0\uf8f1"),
        (936, b"a\x80\xff", "a€\uf8f5"),
        (950, b"\xa4\xa4\x80", "中\x80"),
        (949, b"\xb0\xa1", "가"),
        (1255, b"\xca\xd9", "\u05ba\uf88d"),
        # characters that users define
        (936, b"\xaa\xa1\xaf\xfe\xf8\xa1\xfe\xfe\xa1\x40\xa7\xa0", "\ue000\ue233\ue234\ue4c5\ue4c6\ue765"),
        (950, b"\xfa\x40\xfe\xfe\x8e\x40\xa0\xfe\x81\x40\x8d\xfe", "\ue000\ue310\ue311\ueeb7\ueeb8\uf6b0"),
        (950, b"\xc8\xfe", "\uf848"),
        (949, b"\xc9\xa1\xfe\xfe", "\ue000\ue0bb"),
        (932, b"\xf0\x40", "\ue000"),
        # no text at all
        (932, b"a\x81", "a\udc81"),
        (949, b"\xfe\x41b", "\udcfeb"),
        (65001, b"\xffa", "\udcffa"),
    ],
)
def test_bytes_that_are_undefined_are_read_as_windows_reads_them(number: int, raw: bytes, text: str) -> None:
    assert collations.decoder(number)(raw) == text


def test_the_text_of_a_value_does_not_depend_on_its_page() -> None:
    write = writer(column(175, 6), Losses())
    assert write("ab\t") == "ab\\t   "


@pytest.mark.parametrize(
    ("collation", "encoding", "text"),
    [
        (0x10, "cp932", "日本語ｱｲｳ\\表\t"),
        (0x24, "gbk", "中华人民共和国\\n丂\n"),
        (0x11, "cp949", "대한민국 abc"),
        (0x03, "cp950", "臺灣許功蓋\\"),
        (0x80, "utf-8", "aé中😀\t"),
    ],
)
def test_text_of_several_bytes_is_written_without_python(collation: int, encoding: str, text: str) -> None:
    raw = text.encode(encoding)
    place = layout(
        Physical("v", 167, 100, collation=collation, offset=-1, nullbit=1),
        Physical("c", 175, 100, collation=collation, offset=-2, nullbit=2),
    )
    made = page([fixed_var(b"", [raw, raw], columns=2)])
    rows = Rows(place)
    escaped = text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")
    expected = f"{escaped}\t{escaped}{' ' * (100 - len(text))}\n".encode()
    assert rows.copy_text(made) == (expected, 1)
    if native is not None:
        assert native.copy_text(made, rows._plan, 0) == (expected, 1, -1, 0)
    rows._plan = None
    assert rows.copy_text(made) == (expected, 1)
