"""Typed values within binary XML, as text: the types of [MS-BINXML]."""

import struct
from collections.abc import Callable
from uuid import UUID

from sterna.engines.sqlserver.wire import collations
from sterna.engines.sqlserver.wire.moments import DAY, DAY_1900, clock, day


def narrow(data: bytes) -> str:
    """Four bytes of code page before the text."""
    (page,) = struct.unpack_from("<I", data)
    return collations.decoder(page)(data[4:])


def decimal(data: bytes, *, trim: bool) -> str:
    """Precision, scale, sign (1: positive), and the digits as one whole number."""
    scale, sign = data[1], data[2]
    if scale > 38 or len(data) > 19:
        raise ValueError("a decimal number with too many digits")
    digits = str(int.from_bytes(data[3:], "little")).zfill(scale + 1)
    text = f"{digits[:-scale]}.{digits[-scale:]}" if scale else digits
    if trim and scale:
        text = text.rstrip("0").rstrip(".")
    return text if sign or not any(data[3:]) else f"-{text}"


def _money(form: str) -> Callable[[bytes], str]:
    def text(raw: bytes) -> str:
        (value,) = struct.unpack(form, raw)
        return f"{'-' if value < 0 else ''}{abs(value) // 10000}.{abs(value) % 10000:04}"

    return text


def _number_text(form: str) -> Callable[[bytes], str]:
    return lambda raw: str(struct.unpack(form, raw)[0])


def _double(form: str, digits: int) -> Callable[[bytes], str]:
    def text(raw: bytes) -> str:
        (value,) = struct.unpack(form, raw)
        if value != value:
            return "NaN"
        if value in (float("inf"), float("-inf")):
            return "INF" if value > 0 else "-INF"
        near = next((t for d in range(6, digits) if struct.pack(form, float(t := f"{value:.{d}g}")) == raw), "")
        return (near or f"{value:.{digits}g}").replace("e", "E")

    return text


def _datetime(raw: bytes) -> str:
    days, ticks = struct.unpack("<iI", raw)
    if ticks >= 25_920_000:
        raise ValueError("a time beyond the day")
    return f"{day(days + DAY_1900)}T{clock((ticks * 10 + 1) // 3 * 10_000)}"


def _smalldatetime(raw: bytes) -> str:
    days, minutes = struct.unpack("<HH", raw)
    return f"{day(days + DAY_1900)}T{clock(minutes * 600_000_000 % DAY)}"


def _zone(offset: int | None) -> str:
    if offset is None:
        return ""
    minutes = abs(offset)
    return f"{'-' if offset < 0 else '+'}{minutes // 60:02}:{minutes % 60:02}" if offset else "Z"


def _local(days: int, ticks: int, offset: int | None) -> tuple[str, str]:
    """Date and time as a clock in that zone shows them: they are stored in UTC."""
    days, ticks = divmod(days * DAY + ticks + (offset or 0) * 600_000_000, DAY)
    return day(days), clock(ticks)


def _date_and_time(days: int, ticks: int, offset: int | None) -> str:
    return "T".join(_local(days, ticks, offset)) + _zone(offset)


def _only_date(days: int, ticks: int, offset: int | None) -> str:
    return _local(days, ticks, offset)[0] + _zone(offset)


def _only_time(days: int, ticks: int, offset: int | None) -> str:
    return _local(days, ticks, offset)[1] + _zone(offset)


TIMES: dict[int, Callable[[int, int, int | None], str]] = {
    0x7A: _only_time,
    0x7B: _date_and_time,
    0x7C: _only_date,
    0x7D: _only_time,
    0x7E: _date_and_time,
}
FIXED: dict[int, tuple[int, Callable[[bytes], str]]] = {
    0x01: (2, _number_text("<h")),
    0x02: (4, _number_text("<i")),
    0x03: (4, _double("<f", 9)),
    0x04: (8, _double("<d", 17)),
    0x05: (8, _money("<q")),
    0x06: (1, _number_text("<B")),
    0x07: (1, _number_text("<B")),
    0x08: (8, _number_text("<q")),
    0x09: (16, lambda raw: str(UUID(bytes_le=raw)).upper()),
    0x12: (8, _datetime),
    0x13: (4, _smalldatetime),
    0x14: (4, _money("<i")),
    0x7F: (3, lambda raw: day(int.from_bytes(raw, "little"))),
    0x86: (1, lambda raw: "true" if raw[0] else "false"),
    0x88: (1, _number_text("<b")),
    0x89: (2, _number_text("<H")),
    0x8A: (4, _number_text("<I")),
    0x8B: (8, _number_text("<Q")),
}
