"""The flat containers that servers keep small values in: listpack, ziplist, intset and zipmap.

Each function goes through one and gives its entries, integers as ``int`` and strings as ``bytes``. All raise
ValueError for bytes that are not such a container; nothing outside of it is read.
"""

from collections.abc import Callable, Iterator
from struct import Struct
from struct import error as StructError

Entry = bytes | int
Parser = Callable[[bytes], Iterator[Entry]]

_I16, _I32, _I64 = Struct("<h"), Struct("<i"), Struct("<q")
_U32, _BIG_U32 = Struct("<I"), Struct(">I")
_INTSET = {2: _I16, 4: _I32, 8: _I64}


def text(entry: Entry) -> bytes:
    """An entry as the string that clients see."""
    return entry if isinstance(entry, bytes) else b"%d" % entry


def listpack(data: bytes) -> Iterator[Entry]:
    """Total size, count, entries with their length behind them, 0xff."""
    return _whole(_listpack, data)


def ziplist(data: bytes) -> Iterator[Entry]:
    """Total size, offset of the last entry, count, entries with the length of the one before in front, 0xff."""
    return _whole(_ziplist, data)


def intset(data: bytes) -> Iterator[Entry]:
    """Width of an integer, count, integers."""
    return _whole(_intset, data)


def zipmap(data: bytes) -> Iterator[Entry]:
    """Count, then fields and values in turn, 0xff. Not written since Redis 2.6."""
    return _whole(_zipmap, data)


def _whole(parse: Parser, data: bytes) -> Iterator[Entry]:
    try:
        yield from parse(data)
    except (IndexError, StructError):
        raise ValueError(f"a {parse.__name__[1:]} of {len(data)} bytes ends too early") from None


def _cut(data: bytes, at: int, size: int) -> bytes:
    if at + size > len(data):
        raise IndexError
    return data[at : at + size]


def _signed(data: bytes, at: int, size: int) -> int:
    return int.from_bytes(_cut(data, at, size), "little", signed=True)


def _listpack(data: bytes) -> Iterator[Entry]:
    if _U32.unpack_from(data)[0] != len(data):
        raise ValueError("a listpack's size is not what it says")
    at = 6
    while (first := data[at]) != 0xFF:
        entry: Entry
        if first < 0x80:
            entry, size = first, 1
        elif first < 0xC0:
            entry, size = _cut(data, at + 1, first & 63), 1 + (first & 63)
        elif first < 0xE0:
            value = (first & 31) << 8 | data[at + 1]
            entry, size = value - 8192 if value >= 4096 else value, 2
        elif first < 0xF0:
            size = (first & 15) << 8 | data[at + 1]
            entry, size = _cut(data, at + 2, size), size + 2
        elif first == 0xF0:
            size = _U32.unpack_from(data, at + 1)[0]
            entry, size = _cut(data, at + 5, size), size + 5
        elif first <= 0xF4:
            width = (2, 3, 4, 8)[first - 0xF1]
            entry, size = _signed(data, at + 1, width), width + 1
        else:
            raise ValueError(f"no listpack entry begins with {first:#04x}")
        yield entry
        at += size + _back(size)
    if at + 1 != len(data):
        raise ValueError("a listpack ends before its last byte")


def _back(size: int) -> int:
    """How many bytes the length behind an entry takes."""
    return 1 if size < 128 else 2 if size < 16384 else 3 if size < 2097152 else 4 if size < 268435456 else 5


def _ziplist(data: bytes) -> Iterator[Entry]:
    if _U32.unpack_from(data)[0] != len(data):
        raise ValueError("a ziplist's size is not what it says")
    at = 10
    while data[at] != 0xFF:
        at += 5 if data[at] == 0xFE else 1
        first = data[at]
        if first < 0xC0:
            if first < 0x40:
                size, at = first & 63, at + 1
            elif first < 0x80:
                size, at = (first & 63) << 8 | data[at + 1], at + 2
            else:
                size, at = _BIG_U32.unpack_from(data, at + 1)[0], at + 5
            yield _cut(data, at, size)
        elif 0xF1 <= first <= 0xFD:
            size, at = 0, at + 1
            yield (first & 15) - 1
        else:
            width = _ZIPLIST_WIDTHS.get(first)
            if width is None:
                raise ValueError(f"no ziplist entry begins with {first:#04x}")
            size, at = width, at + 1
            yield _signed(data, at, size)
        at += size
    if at + 1 != len(data):
        raise ValueError("a ziplist ends before its last byte")


_ZIPLIST_WIDTHS = {0xC0: 2, 0xD0: 4, 0xE0: 8, 0xF0: 3, 0xFE: 1}


def _intset(data: bytes) -> Iterator[Entry]:
    width, count = _U32.unpack_from(data)[0], _U32.unpack_from(data, 4)[0]
    form = _INTSET.get(width)
    if form is None or len(data) != 8 + width * count:
        raise ValueError("an intset's size is not what it says")
    for at in range(8, len(data), width):
        yield form.unpack_from(data, at)[0]


def _zipmap(data: bytes) -> Iterator[Entry]:
    at = 1
    while data[at] != 0xFF:
        size, at = _zipmap_length(data, at)
        yield _cut(data, at, size)
        size, at = _zipmap_length(data, at + size)
        free = data[at]
        yield _cut(data, at + 1, size)
        at += 1 + size + free
    if at + 1 != len(data):
        raise ValueError("a zipmap ends before its last byte")


def _zipmap_length(data: bytes, at: int) -> tuple[int, int]:
    if data[at] < 254:
        return data[at], at + 1
    if data[at] == 255:
        raise ValueError("a zipmap has a field without a value")
    return _U32.unpack_from(data, at + 1)[0], at + 5
