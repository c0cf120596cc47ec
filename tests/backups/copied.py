"""What COPY text a value must become, worked out from the description alone."""

import datetime as clock
import math
import struct
from collections.abc import Sequence
from decimal import Context as Arithmetic
from decimal import Decimal

from tests.backups.describe import Col, Put, Raw, Row, Tbl, Value, Variant
from tests.backups.kinds import Kind, kind_of, offset_bytes, stored, ticks_of
from tests.backups.layout import kept, layout_of

WIDE = Arithmetic(prec=60)
DAY = 86400 * 10**6
GREATEST = 3.4028235e38
ESCAPES = str.maketrans(
    {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
)


def cell(text: str | None) -> str:
    """A cell of COPY text."""
    return "\\N" if text is None else text.translate(ESCAPES)


def text_of(kind: Kind, col: Col, value: Value) -> str | None:
    """A value as PostgreSQL prints it, not escaped."""
    if value is None:
        return None
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Variant):
        inner = kind_of(value.kind)
        if isinstance(value.value, bytes):
            return "0x" + value.value.hex().upper()
        if isinstance(value.value, bool):
            return str(int(value.value))
        return text_of(inner, Col("", value.kind, collation=value.collation), value.value)
    if kind.xtype == 104:
        return "t" if value else "f"
    if isinstance(value, bytes):
        return "\\x" + stored(kind, value, col.collation).hex()
    if isinstance(value, float):
        return real(value) if kind.xtype == 59 else double(value)
    if isinstance(value, int | Decimal):
        return number(kind, value)
    return said(kind, col, value)


def number(kind: Kind, value: int | Decimal) -> str:
    """Integers as they are; others with all digits of their scale."""
    if kind.xtype in (48, 52, 56, 127):
        return str(value)
    if kind.xtype in (59, 62):
        return real(float(value)) if kind.xtype == 59 else double(float(value))
    return f"{WIDE.quantize(Decimal(value), Decimal(1).scaleb(-kind.scale)):f}"


def double(value: float) -> str:
    """A float8 as PostgreSQL prints it: the shortest digits, an exponent of two digits from 15 on and below -4."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return spelled(repr(value), 15)


def real(value: float) -> str:
    """A float4 likewise: the fewest digits that give the same four bytes."""
    packed = struct.pack("<f", value)
    single: float = struct.unpack("<f", packed)[0]
    for digits in range(1, 10):
        text = f"{single:.{digits}g}"
        if abs(float(text)) <= GREATEST and struct.pack("<f", float(text)) == packed:
            return spelled(text, 6)
    return spelled(repr(single), 6)


def spelled(text: str, most: int) -> str:
    """Digits and exponent as PostgreSQL spells them."""
    if text.lstrip("-") in ("0.0", "0"):
        return "-0" if text.startswith("-") else "0"
    parts = Decimal(text).normalize().as_tuple()
    digits = "".join(map(str, parts.digits))
    assert isinstance(parts.exponent, int)
    exponent = parts.exponent + len(digits) - 1
    sign = "-" if parts.sign else ""
    if -4 <= exponent < most:
        return sign + f"{abs(Decimal(text)).normalize():f}"
    head = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{sign}{head}e{'-' if exponent < 0 else '+'}{abs(exponent):02}"


def said(kind: Kind, col: Col, value: str) -> str:
    """Texts, times and uuids."""
    if kind.xtype == 36:
        return value.lower()
    if kind.xtype == 41:
        return clock_text(micros(value))
    if kind.xtype in (42, 61, 58):
        return moment_text(value)
    if kind.xtype == 43:
        return zoned(kind, value)
    if kind.name == "char":
        return stored(kind, value, col.collation).decode(col.collation.codec).ljust(kind.length)
    if kind.name == "nchar":
        return stored(kind, value, col.collation).decode("utf-16-le", "surrogatepass").ljust(kind.length // 2)
    return value


def micros(value: str) -> int:
    """A time of day in microseconds, the seventh digit rounded up, but never into the next day."""
    return min((ticks_of(value, 7) + 5) // 10, DAY - 1)


def clock_text(count: int) -> str:
    """Microseconds since midnight as a time of day, zeros at the end left out."""
    seconds, fraction = divmod(count, 10**6)
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return text + f".{fraction:06}".rstrip("0").rstrip(".")


def moment_text(value: str) -> str:
    """A date and a time of day."""
    day, moment = value.split(" ")
    return f"{day} {clock_text(micros(moment))}"


def zoned(kind: Kind, value: str) -> str:
    """A datetimeoffset in UTC."""
    raw = offset_bytes(kind, value)
    days, ticks = int.from_bytes(raw[-5:-2], "little"), int.from_bytes(raw[:-5], "little")
    hundreds = ticks * int(10 ** (7 - kind.scale))
    day = clock.date.fromordinal(days + 1).isoformat()
    return f"{day} {clock_text(min((hundreds + 5) // 10, DAY - 1))}+00"


def lines(table: Tbl, rows: Sequence[Row] | None = None) -> list[str]:
    """The COPY lines of a table, without their newlines, in the order of its rows."""
    columns = [col for col in table.columns if kept(col)]
    spots = {spot.source: spot for spot in layout_of(table).spots}
    out = []
    for row in table.rows if rows is None else rows:
        put = row if isinstance(row, Put) else Put(row)
        if put.ghost:
            continue
        cells = []
        for place, (col, value) in enumerate(zip(columns, put.values, strict=True)):
            if col.dropped:
                continue
            later = put.columns is not None and spots[place].nullbit > put.columns
            cells.append(cell(None if later else text_of(kind_of(col.kind), col, value)))
        out.append("\t".join(cells))
    return out
