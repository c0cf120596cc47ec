"""Rows as they lie on a page: where each column of a record begins and ends, and whether it is null.

Two forms exist. The one here, "FixedVar", holds columns of fixed length at fixed places, a bitmap of nulls, and
columns of varying length behind a table of their ends. The other, of compressed tables, is in ``compressed``.
"""

import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sterna.core.errors import BadData

PAGE = 8192
HEADER = 96
_U16 = struct.Struct("<H").unpack_from
_SPARSE_HEADER = b"\x05\x00"
_STUB_HEADER = b"\x00\x04"
_EVERY = 0xFFFF

PRIMARY, FORWARDED, STUB, INDEX, FRAGMENT, GHOST_INDEX, GHOST_DATA, GHOST_VERSION = range(8)


@dataclass(frozen=True, slots=True)
class Physical:
    """A column as a rowset stores it (sysrscols and syscolpars, or syshobtcolumns in 2005)."""

    name: str
    xtype: int
    length: int = 0
    """Bytes; -1: max."""
    precision: int = 0
    scale: int = 0
    collation: int = 0
    offset: int = 0
    """From the record's start; negative: the number of a column of varying length, from -1 on; 0: sparse."""
    nullbit: int = 0
    """From 1 on; 0: sparse."""
    bitpos: int = 0
    status: int = 0
    utype: int = 0
    nullable: bool = True
    column_id: int = 0
    """As the catalogue numbers it; a sparse column is found by it."""
    default: object = None
    """The value of rows that are older than the column, where the catalogue keeps one."""
    text_in_row: bool = False
    """Whether short values of text, ntext and image lie in their row: 16 bytes there need not be a pointer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How the records of a rowset are made: the columns that are wanted, in the order they are wanted in."""

    columns: tuple[Physical, ...]
    compression: int = 0
    """0 none, 1 row, 2 page."""
    table: str = field(default="", compare=False)
    """Its name, for messages."""


class OffRow(NamedTuple):
    """A value that is stored elsewhere: the bytes that say where."""

    pointer: bytes


class Older:
    """A column that was added after the record was written."""


OLDER = Older()
Raw = bytes | int | OffRow | Older | None
"""What a record holds for a column. ``bit`` columns come as 0 or 1."""


def slots(page: bytes, first: int = 0, end: int | None = None) -> Iterator[tuple[int, int]]:
    """The number of each record on a page, from ``first`` on and before ``end``, and where it begins.

    Raises BadData for a place that cannot be.
    """
    lowest = space_end(page)
    count = (PAGE - lowest) // 2
    for slot in range(first, count if end is None else min(end, count)):
        (at,) = _U16(page, PAGE - 2 * slot - 2)
        if at < HEADER:
            continue
        if at > lowest - 4:
            raise BadData(f"{where(page, slot)}: the record would begin at {at}, inside the table of records.")
        yield slot, at


def where(page: bytes, slot: int | None = None) -> str:
    """How messages name a page or a record on it: file, page and slot."""
    number, file = struct.unpack_from("<IH", page, 32)
    return f"Page {file}:{number}" + ("" if slot is None else f", record {slot}")


def space_end(page: bytes) -> int:
    """Where records must end at the latest: the table of records begins there. Raises BadData if it cannot be."""
    if len(page) != PAGE:
        raise BadData(f"A page of {len(page)} bytes.")
    count = int(_U16(page, 22)[0])
    if PAGE - 2 * count < HEADER:
        raise BadData(f"{where(page)}: {count} records cannot be on one page.")
    return PAGE - 2 * count


Open = Callable[[bytes], Callable[[int, int], list[Raw] | None]]
"""Opens a page: gives a function of (where a record begins, where it must end) to what it holds for each column.

That gives None for a record that is no row: the stub of a forwarded one, a ghost. It raises ValueError, IndexError
or struct.error for bytes that are no record.
"""


def opener(layout: Layout) -> Open:
    """For a table without compression."""
    getters = [_getter(column) for column in layout.columns]

    def open_page(page: bytes) -> Callable[[int, int], list[Raw] | None]:
        def split(at: int, limit: int) -> list[Raw] | None:
            kind = page[at] >> 1 & 7
            if kind > FORWARDED or (kind == FORWARDED and page[at + 1] & 1):
                _known(kind)
                return None
            record = _record(page, at, limit, kind)
            return [get(record) for get in getters]

        return split

    return open_page


def _known(kind: int) -> None:
    """Stubs and ghosts may be among rows; a forwarded record with the second byte's lowest bit is a ghost too."""
    if kind in (INDEX, FRAGMENT, GHOST_INDEX):
        raise ValueError(f"a record of kind {kind} among rows")


class Record(NamedTuple):
    """A record's frame. Places are counted from the start of the page."""

    page: bytes
    at: int
    fixed_end: int
    columns: int
    """The columns that the table had when the record was written."""
    nulls: int
    """The bitmap of nulls, as a number; 0 where there is none."""
    ends: tuple[int, ...]
    """Of the columns of varying length, from the record's start, 0x8000 set for those that are elsewhere."""
    data: int
    """Where their data begin."""
    end: int
    """Where their data end."""


def _record(page: bytes, at: int, limit: int, kind: int) -> Record:
    status = page[at]
    (fixed,) = _U16(page, at + 2)
    place = at + fixed
    if fixed < 4 or place + 2 > limit:
        raise ValueError(f"the record's fixed part would end at {fixed}")
    count, nulls = _EVERY, 0  # a table of sparse columns alone has neither count nor bitmap
    if status & 0x10:
        (count,) = _U16(page, place)
        size = count + 7 >> 3
        nulls = int.from_bytes(page[place + 2 : place + 2 + size], "little")
        place += 2 + size
    if not status & 0x20:
        if place > limit:
            raise ValueError("the record is cut off")
        return Record(page, at, fixed, count, nulls, (), place, place)
    if place + 2 > limit:
        raise ValueError("the record is cut off")
    (varying,) = _U16(page, place)
    place += 2
    data = place + 2 * varying
    if data > limit:
        raise ValueError(f"{varying} columns of varying length do not fit the page")
    ends = struct.unpack_from(f"<{varying}H", page, place)
    end = at + (ends[-1] & 0x7FFF) if ends else data
    if end > limit:
        raise ValueError("the record ends beyond its page")
    record = Record(page, at, fixed, count, nulls, ends, data, end)
    return _without_stub(record) if kind == FORWARDED else record


def _without_stub(record: Record) -> Record:
    """A forwarded record, without the place of its stub: it lies behind the columns as one more."""
    if record.ends and record.ends[-1] & 0x8000 and _last(record)[:2] == _STUB_HEADER:
        return record._replace(ends=record.ends[:-1])
    return record


def _last(record: Record) -> bytes:
    """The bytes of the last column, which is stored elsewhere."""
    last = piece(record, len(record.ends))
    return last.pointer if isinstance(last, OffRow) else last


def _getter(column: Physical) -> Callable[[Record], Raw]:
    if column.offset == 0 and column.nullbit == 0:
        return _sparse(column)
    get = _bit(column) if column.xtype == 104 else _varying(column) if column.offset < 0 else _fixed(column)
    bit = column.nullbit
    mask = 1 << bit - 1 if bit else 0

    def checked(record: Record) -> Raw:
        if record.columns < bit:
            return OLDER
        return None if record.nulls & mask else get(record)

    return checked


def _fixed(column: Physical) -> Callable[[Record], bytes]:
    start, end = column.offset, column.offset + width(column)

    def get(record: Record) -> bytes:
        if end > record.fixed_end:
            raise ValueError("the column lies beyond the fixed part of the record")
        return record.page[record.at + start : record.at + end]

    return get


def _bit(column: Physical) -> Callable[[Record], int]:
    start, position = column.offset, column.bitpos

    def get(record: Record) -> int:
        if start < 4 or start >= record.fixed_end:
            raise ValueError("the column lies beyond the fixed part of the record")
        return record.page[record.at + start] >> position & 1

    return get


def _varying(column: Physical) -> Callable[[Record], bytes | OffRow]:
    number = -column.offset

    def get(record: Record) -> bytes | OffRow:
        return piece(record, number)

    return get


def piece(record: Record, number: int) -> bytes | OffRow:
    """The column of varying length of that number, from 1 on. One that the record does not reach is empty."""
    if number > len(record.ends):
        return b""
    end = record.ends[number - 1]
    start = record.at + (record.ends[number - 2] & 0x7FFF) if number > 1 else record.data
    stop = record.at + (end & 0x7FFF)
    if not record.data <= start <= stop <= record.end:
        raise ValueError("columns of varying length overlap")
    data = record.page[start:stop]
    return OffRow(data) if end & 0x8000 else data


def _sparse(column: Physical) -> Callable[[Record], bytes | None]:
    def get(record: Record) -> bytes | None:
        if not record.ends or not record.ends[-1] & 0x8000:
            return None
        return in_vector(_last(record), column.column_id)

    return get


def in_vector(vector: bytes, column_id: int) -> bytes | None:
    """A sparse column's value in a record's sparse vector; None: it is null.

    The vector is: u16 5, u16 count, the ids of the columns, where each value ends (from its start), the values.
    """
    if vector[:2] != _SPARSE_HEADER or len(vector) < 4:
        return None
    (count,) = _U16(vector, 2)
    data = 4 + 4 * count
    if data > len(vector):
        raise ValueError("the sparse columns are cut off")
    ids: Sequence[int] = struct.unpack_from(f"<{count}H", vector, 4)
    if column_id not in ids:
        return None
    index = ids.index(column_id)
    ends: Sequence[int] = struct.unpack_from(f"<{count}H", vector, 4 + 2 * count)
    start = ends[index - 1] if index else data
    if not data <= start <= ends[index] <= len(vector):
        raise ValueError("the sparse columns overlap")
    return vector[start : ends[index]]


_WIDTHS = {48: 1, 52: 2, 56: 4, 127: 8, 59: 4, 62: 8, 60: 8, 122: 4, 61: 8, 58: 4, 40: 3, 36: 16, 189: 8, 104: 1}


def width(column: Physical) -> int:
    """The bytes of a column of fixed length. Raises BadData for one that has none."""
    if column.xtype in (106, 108):
        return (
            5 if column.precision <= 9 else 9 if column.precision <= 19 else 13 if column.precision <= 28 else 17
        )
    if column.xtype in (41, 42, 43):
        time = 3 if column.scale <= 2 else 4 if column.scale <= 4 else 5
        return time + {41: 0, 42: 3, 43: 5}[column.xtype]
    size = _WIDTHS.get(column.xtype, column.length)
    if size < 0 or size > PAGE:
        raise BadData(f"Column {column.name} of fixed length has {size} bytes.")
    return size
