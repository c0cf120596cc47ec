"""Types of T-SQL as the catalogue numbers them, and their values as plain records keep them."""

import datetime as clock
import re
import struct
import uuid
from dataclasses import dataclass
from decimal import Context, Decimal
from functools import cache

from tests.backups.describe import Collation, Raw, Value, Variant

PLAIN: dict[str, tuple[int, int, int, int]] = {
    "bit": (104, 1, 1, 0),
    "tinyint": (48, 1, 3, 0),
    "smallint": (52, 2, 5, 0),
    "int": (56, 4, 10, 0),
    "bigint": (127, 8, 19, 0),
    "real": (59, 4, 24, 0),
    "float": (62, 8, 53, 0),
    "money": (60, 8, 19, 4),
    "smallmoney": (122, 4, 10, 4),
    "datetime": (61, 8, 23, 3),
    "smalldatetime": (58, 4, 16, 0),
    "date": (40, 3, 10, 0),
    "uniqueidentifier": (36, 16, 0, 0),
    "rowversion": (189, 8, 0, 0),
    "timestamp": (189, 8, 0, 0),
    "text": (35, 16, 0, 0),
    "ntext": (99, 16, 0, 0),
    "image": (34, 16, 0, 0),
    "sql_variant": (98, 8016, 0, 0),
    "xml": (241, -1, 0, 0),
    "hierarchyid": (240, 892, 0, 0),
    "geometry": (240, -1, 0, 0),
    "geography": (240, -1, 0, 0),
}
SIZED = {"char": 175, "varchar": 167, "nchar": 239, "nvarchar": 231, "binary": 173, "varbinary": 165}
TIMED = {"time": (41, 0, 8), "datetime2": (42, 3, 19), "datetimeoffset": (43, 5, 26)}
CLR = {"hierarchyid": 128, "geometry": 129, "geography": 130}
TEXTUAL = (35, 99, 167, 175, 231, 239)
POINTED = (34, 35, 99)
VARIABLE = (34, 35, 99, 98, 165, 167, 231, 240, 241)
INTEGERS = {48: 1, 52: 2, 56: 4, 127: 8}
EPOCH = clock.date(1900, 1, 1)
WIDE = Context(prec=60)


@dataclass(frozen=True)
class Kind:
    """A type: numbers of the catalogue; ``length`` in bytes, -1 = max."""

    name: str
    xtype: int
    utype: int
    length: int
    prec: int
    scale: int

    @property
    def fixed(self) -> bool:
        """Whether values have a place in the fixed part of a record."""
        return self.xtype not in VARIABLE

    @property
    def large(self) -> bool:
        """Whether values may leave the row as LOB trees."""
        return self.length == -1 or self.xtype in POINTED

    @property
    def info(self) -> int:
        """The packed type of sysrscols."""
        if self.xtype in (106, 108):
            return self.xtype | self.prec << 8 | self.scale << 16
        if self.xtype in (41, 42, 43):
            return self.xtype | self.scale << 8
        sized = self.xtype in SIZED.values() or self.xtype in POINTED or self.xtype in (98, 240)
        return self.xtype | (max(self.length, 0) << 8 if sized else 0)


@cache
def kind_of(text: str) -> Kind:
    """The type that ``text`` names, as ``decimal(10,2)`` or ``nvarchar(max)``."""
    found = re.fullmatch(r"(\w+)(?:\(\s*(\w+)\s*(?:,\s*(\d+)\s*)?\))?", text)
    if found is None:
        raise ValueError(text)
    name, first, second = found[1], found[2], found[3]
    if name in PLAIN:
        xtype, length, prec, scale = PLAIN[name]
        return Kind(name, xtype, CLR.get(name, xtype), length, prec, scale)
    if name in ("decimal", "numeric"):
        prec, scale = int(first or 18), int(second or 0)
        size = 5 if prec <= 9 else 9 if prec <= 19 else 13 if prec <= 28 else 17
        xtype = 106 if name == "decimal" else 108
        return Kind(name, xtype, xtype, size, prec, scale)
    if name in TIMED:
        xtype, more, prec = TIMED[name]
        scale = 7 if first is None else int(first)
        size = (3 if scale <= 2 else 4 if scale <= 4 else 5) + more
        return Kind(name, xtype, xtype, size, prec + (scale + 1 if scale else 0), scale)
    xtype = SIZED[name]
    count = -1 if first == "max" else int(first or 1) * (2 if name.startswith("n") else 1)
    return Kind(name, xtype, xtype, count, 0, 0)


def ticks_of(text: str, scale: int) -> int:
    """A time of day ``HH:MM[:SS[.fffffff]]`` in units of 10^-scale seconds."""
    hours, minutes, *rest = text.split(":")
    seconds = Decimal(rest[0]) if rest else Decimal(0)
    return int(((int(hours) * 60 + int(minutes)) * 60 + seconds).scaleb(scale))


def time_bytes(kind: Kind, text: str) -> bytes:
    """The bytes of a time(n)."""
    return ticks_of(text, kind.scale).to_bytes(3 if kind.scale <= 2 else 4 if kind.scale <= 4 else 5, "little")


def date_bytes(text: str) -> bytes:
    """The bytes of a date: days since 0001-01-01."""
    return (clock.date.fromisoformat(text).toordinal() - 1).to_bytes(3, "little")


def offset_bytes(kind: Kind, text: str) -> bytes:
    """The bytes of a datetimeoffset ``YYYY-MM-DD HH:MM:SS.fffffff +HH:MM``: local time in, UTC stored."""
    day, moment, zone = text.split(" ")
    minutes = (-1 if zone[0] == "-" else 1) * (int(zone[1:3]) * 60 + int(zone[4:6]))
    unit: int = 10**kind.scale
    whole = (clock.date.fromisoformat(day).toordinal() - 1) * 86400 * unit + ticks_of(moment, kind.scale)
    days, ticks = divmod(whole - minutes * 60 * unit, 86400 * unit)
    size = 3 if kind.scale <= 2 else 4 if kind.scale <= 4 else 5
    return ticks.to_bytes(size, "little") + days.to_bytes(3, "little") + struct.pack("<h", minutes)


def datetime_parts(text: str) -> tuple[int, int]:
    """Days since 1900 and ticks of 1/300 s of a datetime."""
    day, moment = text.split(" ")
    thousandths = ticks_of(moment, 3)
    return (clock.date.fromisoformat(day) - EPOCH).days, (thousandths * 3 + 5) // 10


def encode_text(kind: Kind, value: str, collation: Collation) -> bytes:
    """Text in the encoding of its type: UTF-16 or the code page."""
    if kind.name.startswith("n"):
        return value.encode("utf-16-le", "surrogatepass")
    return value.encode(collation.codec)


def decimal_bytes(kind: Kind, value: Decimal) -> bytes:
    """A decimal: sign byte and magnitude."""
    whole = int(value.scaleb(kind.scale, WIDE))
    return bytes([whole >= 0]) + abs(whole).to_bytes(kind.length - 1, "little")


def stored(kind: Kind, value: Value, collation: Collation) -> bytes:
    """A value, not NULL, as a plain record keeps it."""
    if isinstance(value, Raw):
        return value.stored
    if isinstance(value, Variant):
        return variant_bytes(value)
    if isinstance(value, bool) or kind.xtype == 104:
        return bytes([bool(value)])
    if kind.xtype in INTEGERS and isinstance(value, int):
        return value.to_bytes(INTEGERS[kind.xtype], "little", signed=kind.xtype != 48)
    if isinstance(value, int | Decimal):
        return number_bytes(kind, Decimal(value))
    if isinstance(value, float):
        return struct.pack("<f" if kind.xtype == 59 else "<d", value)
    if isinstance(value, bytes):
        return value.ljust(kind.length, b"\0") if kind.name == "binary" else value
    if isinstance(value, str):
        return said_bytes(kind, value, collation)
    raise TypeError(f"{kind.name}: {value!r}")


def number_bytes(kind: Kind, value: Decimal) -> bytes:
    """A decimal or an amount of money."""
    if kind.xtype in (60, 122):
        return int(value.scaleb(4)).to_bytes(kind.length, "little", signed=True)
    if kind.xtype in (59, 62):
        return struct.pack("<f" if kind.xtype == 59 else "<d", float(value))
    return decimal_bytes(kind, value)


def said_bytes(kind: Kind, value: str, collation: Collation) -> bytes:
    """A value that is given as text: texts, times, uuids."""
    if kind.xtype == 36:
        return uuid.UUID(value).bytes_le
    if kind.xtype == 40:
        return date_bytes(value)
    if kind.xtype == 41:
        return time_bytes(kind, value)
    if kind.xtype == 42:
        day, moment = value.split(" ")
        return time_bytes(kind, moment) + date_bytes(day)
    if kind.xtype == 43:
        return offset_bytes(kind, value)
    if kind.xtype == 61:
        days, ticks = datetime_parts(value)
        return struct.pack("<Ii", ticks, days)
    if kind.xtype == 58:
        day, moment = value.split(" ")
        return struct.pack("<HH", ticks_of(moment, 0) // 60, (clock.date.fromisoformat(day) - EPOCH).days)
    raw = encode_text(kind, value, collation)
    if kind.name == "char":
        return raw.ljust(kind.length, b" ")
    if kind.name == "nchar":
        return raw + b" \0" * ((kind.length - len(raw)) // 2)
    return raw


def variant_bytes(value: Variant) -> bytes:
    """A sql_variant: base type, version, properties, value."""
    kind = kind_of(value.kind)
    head = bytes([kind.xtype, 1])
    if kind.xtype in (106, 108):
        head += bytes([kind.prec, kind.scale])
    elif kind.xtype in TEXTUAL:
        head += struct.pack("<HI", kind.length, value.collation.number)
    elif kind.xtype in (165, 173):
        head += struct.pack("<H", kind.length)
    elif kind.xtype in (41, 42, 43):
        head += bytes([kind.scale])
    return head + stored(kind, value.value, value.collation)
