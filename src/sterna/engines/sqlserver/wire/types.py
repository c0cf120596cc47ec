"""The bytes of a value, as uncompressed records hold them, into a value of Python.

Whole numbers and ``timestamp`` keep their form (int, bytes); decimal and money come as Decimal with all digits of
the scale, times as the exact types of ``moments``, ``uniqueidentifier`` as UUID, characters as str (with what lone
surrogates there are), spatial values, ``hierarchyid`` and ``xml`` as text.
"""

import struct
from collections.abc import Callable
from datetime import date
from decimal import Context, Decimal
from math import isfinite
from uuid import UUID

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import collations
from sterna.engines.sqlserver.wire.binxml import xml_text
from sterna.engines.sqlserver.wire.clr import hierarchy_path, well_known_text
from sterna.engines.sqlserver.wire.floats import shortest_real
from sterna.engines.sqlserver.wire.moments import DAY, DAY_1900, DAYS, Instant, Time, Timestamp
from sterna.engines.sqlserver.wire.records import Physical

IMAGE, TEXT, UUID_TYPE, DATE, TIME, DATETIME2, DATETIMEOFFSET = 34, 35, 36, 40, 41, 42, 43
TINYINT, SMALLINT, INT, SMALLDATETIME, REAL, MONEY, DATETIME, FLOAT = 48, 52, 56, 58, 59, 60, 61, 62
VARIANT, NTEXT, BIT, DECIMAL, NUMERIC, SMALLMONEY, BIGINT = 98, 99, 104, 106, 108, 122, 127
VARBINARY, VARCHAR, BINARY, CHAR, ROWVERSION, NVARCHAR, NCHAR = 165, 167, 173, 175, 189, 231, 239
CLR, XML, JSON, VECTOR = 240, 241, 244, 255
HIERARCHYID, GEOMETRY, GEOGRAPHY = 128, 129, 130
READABLE_CLR = (HIERARCHYID, GEOMETRY, GEOGRAPHY)

NAMES = {
    34: "image", 35: "text", 36: "uniqueidentifier", 40: "date", 41: "time", 42: "datetime2", 43: "datetimeoffset",
    48: "tinyint", 52: "smallint", 56: "int", 58: "smalldatetime", 59: "real", 60: "money", 61: "datetime",
    62: "float", 98: "sql_variant", 99: "ntext", 104: "bit", 106: "decimal", 108: "numeric", 122: "smallmoney",
    127: "bigint", 165: "varbinary", 167: "varchar", 173: "binary", 175: "char", 189: "timestamp", 231: "nvarchar",
    239: "nchar", 240: "CLR", 241: "xml", 244: "json", 255: "vector",
}  # fmt: skip
OLD_LOBS = (IMAGE, TEXT, NTEXT)
"""Always stored elsewhere, unless the table has the option ``text in row``."""
WIDE = (NCHAR, NVARCHAR, NTEXT)
NARROW = (CHAR, VARCHAR, TEXT)
BYTES = (BINARY, VARBINARY, IMAGE, ROWVERSION)

Value = object
Decode = Callable[[bytes], Value]
_EXACT = Context(prec=80)


def unreadable(column: Physical) -> str:
    """Why values of this type cannot be read; empty: they can."""
    if column.xtype in (JSON, VECTOR) or (column.xtype == VARBINARY and column.utype == VECTOR):
        name = "json" if column.xtype == JSON else "vector"
        return f"column {column.name} has the type {name}, whose stored form is not public"
    if column.xtype not in NAMES:
        return f"column {column.name} has a type of number {column.xtype}, which is not known"
    return ""


def decoder(column: Physical) -> Decode:
    """A function from the bytes of one value (not null, whole) to the value.

    It raises ValueError or struct.error for bytes that the type does not allow. Raises Unsupported for a type that
    cannot be read. Not for sql_variant: that is ``variant.read_variant``.
    """
    reason = unreadable(column)
    if reason:
        raise Unsupported(f"The {reason[0].lower()}{reason[1:]}.")
    if column.xtype in _SCALED:
        _check_scale(column)
        return _SCALED[column.xtype](column.scale)
    if column.xtype in NARROW:
        return collations.decoder(collations.code_page(column.collation))
    if column.xtype == CLR:
        return _CLRS.get(column.utype, bytes)
    return _PLAIN[column.xtype]


def _check_scale(column: Physical) -> None:
    most = 38 if column.xtype in (DECIMAL, NUMERIC) else 7
    if not 0 <= column.scale <= most or (most == 38 and not column.scale <= column.precision <= 38):
        raise BadData(f"Column {column.name} says it has {column.scale} digits after the point.")


def _number(form: str) -> Decode:
    read = struct.Struct(form).unpack
    return lambda raw: read(raw)[0]


def _bit(raw: bytes) -> bool:
    """From the byte that variants and compressed records hold."""
    return bool(raw[0])


def _real(raw: bytes) -> float:
    """The double that is written with the same digits: 0.1, not 0.10000000149."""
    (value,) = struct.unpack("<f", raw)
    return shortest_real(value) if isfinite(value) else float(value)


def _money(form: str) -> Decode:
    read = struct.Struct(form).unpack
    return lambda raw: Decimal(read(raw)[0]).scaleb(-4, _EXACT)


def _decimal(scale: int) -> Decode:
    def decode(raw: bytes) -> Decimal:
        if len(raw) not in (5, 9, 13, 17) or raw[0] > 1:
            raise ValueError("these bytes are no decimal number")
        value = int.from_bytes(raw[1:], "little")
        return Decimal(value if raw[0] or not value else -value).scaleb(-scale, _EXACT)

    return decode


def _days(raw: bytes) -> int:
    days = int.from_bytes(raw, "little")
    if len(raw) != 3 or days >= DAYS:
        raise ValueError("the date lies beyond the year 9999")
    return days


def _date(raw: bytes) -> date:
    return date.fromordinal(_days(raw) + 1)


def _clock(scale: int) -> Callable[[bytes], int]:
    size, unit = 3 if scale <= 2 else 4 if scale <= 4 else 5, int(10 ** (7 - scale))

    def ticks(raw: bytes) -> int:
        value: int = int.from_bytes(raw, "little") * unit
        if len(raw) != size or value >= DAY:
            raise ValueError("the time lies beyond the day")
        return value

    return ticks


def _time(scale: int) -> Decode:
    ticks = _clock(scale)
    return lambda raw: Time(ticks(raw))


def _datetime2(scale: int) -> Decode:
    ticks = _clock(scale)
    return lambda raw: Timestamp(_days(raw[-3:]), ticks(raw[:-3]))


def _datetimeoffset(scale: int) -> Decode:
    ticks = _clock(scale)

    def decode(raw: bytes) -> Instant:
        (offset,) = struct.unpack("<h", raw[-2:])
        if abs(offset) > 14 * 60:
            raise ValueError(f"a zone {offset} minutes from UTC")
        return Instant(_days(raw[-5:-2]), ticks(raw[:-5]), offset)

    return decode


def _datetime(raw: bytes) -> Timestamp:
    ticks, days = struct.unpack("<Ii", raw)
    if ticks >= 25_920_000 or not -53_690 <= days <= 2_958_463:
        raise ValueError("the time lies outside the years 1753 to 9999 or beyond the day")
    return Timestamp(days + DAY_1900, (ticks * 10 + 1) // 3 * 10_000)


def _smalldatetime(raw: bytes) -> Timestamp:
    minutes, days = struct.unpack("<HH", raw)
    if minutes >= 1440:
        raise ValueError("the time lies beyond the day")
    return Timestamp(days + DAY_1900, minutes * 600_000_000)


def wide(raw: bytes) -> str:
    """UTF-16. Lone surrogates stay. Raises ValueError for an odd number of bytes."""
    return raw.decode("utf-16-le", "surrogatepass")


def _uuid(raw: bytes) -> UUID:
    return UUID(bytes_le=raw)


def _rowversion(raw: bytes) -> bytes:
    if len(raw) != 8:
        raise ValueError(f"a rowversion of {len(raw)} bytes")
    return raw


_SCALED: dict[int, Callable[[int], Decode]] = {
    DECIMAL: _decimal,
    NUMERIC: _decimal,
    TIME: _time,
    DATETIME2: _datetime2,
    DATETIMEOFFSET: _datetimeoffset,
}
_CLRS: dict[int, Decode] = {
    HIERARCHYID: hierarchy_path,
    GEOMETRY: lambda raw: well_known_text(raw, geography=False),
    GEOGRAPHY: lambda raw: well_known_text(raw, geography=True),
}
_PLAIN: dict[int, Decode] = {
    TINYINT: _number("<B"),
    SMALLINT: _number("<h"),
    INT: _number("<i"),
    BIGINT: _number("<q"),
    BIT: _bit,
    REAL: _real,
    FLOAT: _number("<d"),
    MONEY: _money("<q"),
    SMALLMONEY: _money("<i"),
    DATE: _date,
    DATETIME: _datetime,
    SMALLDATETIME: _smalldatetime,
    UUID_TYPE: _uuid,
    NCHAR: wide,
    NVARCHAR: wide,
    NTEXT: wide,
    BINARY: bytes,
    VARBINARY: bytes,
    IMAGE: bytes,
    ROWVERSION: _rowversion,
    XML: xml_text,
}
