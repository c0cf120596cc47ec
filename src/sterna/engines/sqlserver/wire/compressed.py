"""Records of compressed tables: every column as short as its value, described by four bits each ("CD" records).

With page compression, a page begins with an anchor record, whose values are the beginnings of others, and a
dictionary of values that occur often. ``expander`` makes of a short form what an uncompressed record would hold.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire import scsu
from sterna.engines.sqlserver.wire.records import HEADER, OLDER, Layout, OffRow, Open, Physical, Raw, width

_PRIMARY, _FORWARDED, _INDEX, _GHOST_INDEX = 0, 4, 6, 7
_NULL, _EMPTY, _LONG, _TRUE, _SYMBOL = 0x0, 0x1, 0xA, 0xB, 0xC
_CLUSTER = 30
_U16 = struct.Struct("<H").unpack_from


class Symbol(NamedTuple):
    """A value that is in the page's dictionary."""

    number: int


class Bit(NamedTuple):
    """A bit that is set: it takes no bytes."""

    data: bytes = b"\1"


Field = bytes | OffRow | Symbol | Bit | None
"""What a record holds for a column."""


class Information(NamedTuple):
    """What a page's records refer to."""

    anchor: list[Field]
    words: list[bytes]


_NOTHING = Information([], [])


def opener(layout: Layout) -> Open:
    """As ``records.opener``, for a table with row or page compression: values still have their short form."""
    getters = [_getter(column) for column in layout.columns]

    def open_page(page: bytes) -> Callable[[int, int], list[Raw] | None]:
        information = _information(page) if page[2] & 0x80 and not page[HEADER] & 1 else _NOTHING

        def split(at: int, limit: int) -> list[Raw] | None:
            kind = page[at] >> 2 & 7
            if not page[at] & 1 or kind in (_INDEX, _GHOST_INDEX):
                raise ValueError("no compressed row")
            if kind not in (_PRIMARY, _FORWARDED):
                return None
            fields = record(page, at, limit)
            return [get(fields, information) for get in getters]

        return split

    return open_page


def record(page: bytes, at: int, limit: int) -> list[Field]:
    """The columns of one record, in their physical order.

    Raises ValueError, IndexError or struct.error for bytes that are none.
    """
    data = page[:limit]
    place = at + 1
    count = data[place]
    place += 1
    if count & 0x80:
        count = (count & 0x7F) << 8 | data[place]
        place += 1
    codes = [code for byte in data[place : place + (count + 1 >> 1)] for code in (byte & 15, byte >> 4)][:count]
    if len(codes) != count or not count:
        raise ValueError("the record is cut off")
    place += (count + 1 >> 1) + (count - 1) // _CLUSTER
    fields, place = _short(data, place, codes)
    if data[at] & 0x20:
        _long(data, place, codes, fields)
    elif _LONG in codes:
        raise ValueError("the record has no room for a long value that it says it has")
    return fields


def _short(data: bytes, place: int, codes: list[int]) -> tuple[list[Field], int]:
    fields: list[Field] = []
    for code in codes:
        if _EMPTY < code < _LONG:
            fields.append(data[place : place + code - 1])
            place += code - 1
        elif code == _SYMBOL:
            fields.append(Symbol(data[place]))
            place += 1
        elif code > _SYMBOL:
            raise ValueError(f"a column with the code {code}")
        else:
            fields.append(_BARE[code])
    if place > len(data):
        raise ValueError("the record is cut off")
    return fields, place


_BARE: dict[int, Field] = {_NULL: None, _EMPTY: b"", _LONG: None, _TRUE: Bit()}


def _long(data: bytes, place: int, codes: list[int], fields: list[Field]) -> None:
    """Put the values of more than eight bytes into their places."""
    (count,) = _U16(data, place + 1)
    ends = struct.unpack_from(f"<{count}H", data, place + 3)
    start = place + 3 + 2 * count + (len(codes) - 1) // _CLUSTER
    wanted = [index for index, code in enumerate(codes) if code == _LONG]
    if len(wanted) > count:
        raise ValueError("the record has fewer long values than it says")
    before = 0
    for index, end in zip(wanted, ends, strict=False):
        upto = end & 0x7FFF
        if not before <= upto <= len(data) - start:
            raise ValueError("the long values of the record overlap or end beyond the page")
        piece = data[start + before : start + upto]
        fields[index] = OffRow(piece) if end & 0x8000 else piece
        before = upto


def _information(page: bytes) -> Information:
    """The anchor and the dictionary behind the page's header."""
    flags = page[HEADER]
    if not flags & 6:
        return _NOTHING
    at = HEADER + 3
    sizes = [_U16(page, at)[0]] + ([_U16(page, at + 2)[0]] if flags & 4 else [])
    start, end = at + 2 * len(sizes), HEADER + sizes[0]
    anchor = record(page, start, end) if flags & 2 else []
    return Information(anchor, _words(page, end, HEADER + sizes[-1]) if flags & 4 else [])


def _words(page: bytes, at: int, limit: int) -> list[bytes]:
    (count,) = _U16(page, at)
    ends = struct.unpack_from(f"<{count}H", page, at + 2)
    start = at + 2 + 2 * count
    words, before = [], 0
    for end in ends:
        if not before <= end <= limit - start:
            raise ValueError("the dictionary of the page is not in order")
        words.append(page[start + before : start + end])
        before = end
    return words


def _getter(column: Physical) -> Callable[[list[Field], Information], Raw]:
    index = column.nullbit - 1
    if index < 0:
        raise Unsupported(f"Column {column.name} of a compressed table has no place in its records.")

    def get(fields: list[Field], information: Information) -> Raw:
        if index >= len(fields):
            return OLDER
        field = fields[index]
        if isinstance(field, Symbol):
            field = information.words[field.number]
        if information.anchor and isinstance(field, bytes) and index < len(information.anchor):
            field = _anchored(field, information.anchor[index])
        return field.data if isinstance(field, Bit) else field

    return get


def _anchored(field: bytes, anchor: Field) -> bytes | OffRow | Bit | None:
    """The beginning that is the anchor's, and the rest: u8 (or two bytes from 0x80 on) how much, then the rest."""
    if anchor is None or isinstance(anchor, OffRow | Symbol):
        return field
    if not field:
        return anchor
    length, start = field[0], 1
    if length & 0x80:
        length, start = (length & 0x7F) << 8 | field[1], 2
    whole = anchor.data if isinstance(anchor, Bit) else anchor
    if length > len(whole):
        raise ValueError("a value takes more of the page's anchor than there is")
    return whole[:length] + field[start:]


def expander(column: Physical) -> Callable[[bytes], bytes]:
    """A function from a value as a compressed record holds it to what an uncompressed one would hold."""
    kind = column.xtype
    if kind in _BIASED:
        return _biased(width(column))
    if kind in (106, 108):
        return lambda data: unpacked(data, column.precision, column.scale)
    if kind in (40, 41, 42, 43):
        return _filled(width(column), b"\0", behind=True)
    if kind in (58, 59, 62):
        return _filled(width(column), b"\0", behind=False)
    if kind in (173, 175):
        return _filled(column.length, b" " if kind == 175 else b"\0", behind=True)
    if kind in (231, 239):
        return _wide(column.length if kind == 239 else 0)
    return _OTHERS.get(kind, bytes)


_BIASED = (52, 56, 127, 60, 122)


def _biased(size: int) -> Callable[[bytes], bytes]:
    """Whole numbers: the highest byte first, half of the range added."""

    def expand(data: bytes) -> bytes:
        value = int.from_bytes(data, "big") - (1 << 8 * len(data) - 1) if data else 0
        return value.to_bytes(size, "little", signed=True)

    return expand


def _tiny(data: bytes) -> bytes:
    return data or b"\0"


def _datetime(data: bytes) -> bytes:
    """As a whole number: days in the upper 32 bits, ticks in the lower."""
    value = int.from_bytes(data, "big") - (1 << 8 * len(data) - 1) if data else 0
    return struct.pack("<Ii", value & 0xFFFFFFFF, value >> 32)


def _rowversion(data: bytes) -> bytes:
    if 0 < len(data) < 8:
        raise Unsupported("A shortened rowversion of a compressed table: its form is not known.")
    return data or bytes(8)


def _filled(size: int, filler: bytes, *, behind: bool) -> Callable[[bytes], bytes]:
    if behind:
        return lambda data: data.ljust(size, filler)
    return lambda data: data.rjust(size, filler)


def _wide(size: int) -> Callable[[bytes], bytes]:
    """An odd number of bytes is compressed text. ``size``: bytes of nchar, whose last blanks are left out."""

    def expand(data: bytes) -> bytes:
        text = scsu.expanded(data) if len(data) & 1 else data
        missing = size - len(text)
        return text + b" \0" * (missing >> 1) if missing > 0 else text

    return expand


def unpacked(data: bytes, precision: int, scale: int) -> bytes:
    """A decimal number out of its short form ("vardecimal").

    Byte 0 is the sign (0x80: positive) and the exponent plus 64, then groups of three digits in ten bits each; the
    point is behind the first digit.
    """
    size = width(Physical("", 106, precision=precision))
    if not data:
        return b"\1" + bytes(size - 1)
    groups = (8 * len(data) - 8 + 9) // 10
    bits = int.from_bytes(data[1:], "big") << 10 * groups - (8 * len(data) - 8)
    numbers = [bits >> 10 * (groups - 1 - i) & 0x3FF for i in range(groups)]
    if groups > 14 or any(number > 999 for number in numbers):
        raise ValueError("these bytes are no decimal number")
    digits = int("".join(f"{number:03}" for number in numbers) or "0")
    shift = (data[0] & 0x7F) - 64 - (3 * groups - 1) + scale
    value, rest = divmod(digits * int(10 ** max(shift, 0)), int(10 ** max(-shift, 0)))
    if rest:
        raise ValueError(f"a decimal number with more than {scale} digits after the point")
    return bytes((data[0] >> 7,)) + value.to_bytes(size - 1, "little")


_OTHERS: dict[int, Callable[[bytes], bytes]] = {48: _tiny, 61: _datetime, 104: _tiny, 189: _rowversion}
