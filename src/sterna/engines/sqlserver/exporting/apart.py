"""Values in files of Parquet that are written piece by piece, beside pyarrow, which takes a value as a whole.

pyarrow writes a row group with nothing in the columns that hold such values. The pages of those columns follow it,
made here, and where each lies is put into the footer before that is written.

Source: parquet.thrift and Encodings.md of Apache Parquet.
"""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, BinaryIO

from sterna.core.errors import BadData
from sterna.engines.sqlserver.exporting.thrift import (
    BINARY,
    I32,
    I64,
    STRUCT,
    Field,
    Items,
    Reader,
    Struct,
    field_head,
    list_head,
    struct_bytes,
    value_bytes,
)

Pieces = Callable[[], Iterator[bytes]]
"""A value that is made anew each time it is asked for: the same bytes."""
Value = bytes | Pieces | None

_MAGIC = b"PAR1"
_PAGE, _PLAIN, _RLE = 0, 0, 3
_LARGEST = (1 << 31) - 1
"""Bytes of a page, as its header can tell them."""
_HEADER = 64
"""Bytes of every page's header: its place is left free, since what is in it is known when the page has ended."""
_FILLING, _AROUND_FILLING = 20, 2
"""A field of a header that no reader knows, and steps over; bytes of it but its value, with the header's end."""
_GROUPS = 4
_COLUMNS, _UNPACKED_OF_GROUP, _GROUP_AT, _PACKED_OF_GROUP = 1, 2, 5, 6
_CHUNK_AT, _ABOUT = 2, 3
_UNPACKED, _PACKED, _PAGES_AT, _DICTIONARY_AT = 6, 7, 9, 11
_OF_PYARROWS_PAGES = (10, _DICTIONARY_AT, 12, 13, 16)
"""Index, dictionary, statistics, statistics of encodings, of sizes."""


@dataclass(frozen=True)
class _Chunk:
    """A column of a row group."""

    at: int
    packed: int
    unpacked: int


@dataclass
class Sink:
    """What pyarrow writes to instead of the file: what is its own is counted apart, and its footer kept back."""

    file: BinaryIO
    closed: bool = False
    _own: int = 0
    """Bytes that pyarrow believes to have written."""
    _shifts: list[tuple[int, int]] = field(default_factory=list)
    """From which of them on how many bytes more lie before."""
    _chunks: dict[tuple[int, int], _Chunk] = field(default_factory=dict)
    """By row group and column."""
    _footer: bytearray | None = None

    def write(self, data: Any) -> int:
        """Takes bytes, as a file."""
        size = len(data)
        self._own += size
        if self._footer is None:
            self.file.write(data)
        else:
            self._footer += data
        return size

    def tell(self) -> int:
        return self._own

    def flush(self) -> None:
        """Nothing is held but the footer."""

    def close(self) -> None:
        """The file itself stays open."""
        self.closed = True

    def put(self, arrow: Any, group: int, column: int, values: Sequence[Value], nullable: bool, name: str) -> None:
        """The values of a column of the row group that was written last. Raises BadData, naming the column."""
        before = self.file.tell()
        pages = [_page(self.file, arrow, some, nullable, name) for some in _together(values)]
        last = self._shifts[-1][1] if self._shifts else 0
        self._shifts.append((self._own, last + self.file.tell() - before))
        at, packed, unpacked = zip(*pages, strict=True)
        self._chunks[group, column] = _Chunk(at[0], sum(packed), sum(unpacked))

    def keep(self) -> None:
        """All row groups are written: what comes is the footer."""
        self._footer = bytearray()

    def finish(self) -> None:
        """Writes the footer, with all places as they are."""
        assert self._footer is not None, "it is kept back before it is written"
        if self._chunks:
            made = b"".join(self._corrected(bytes(self._footer)))
            self.file.write(made)
            self.file.write(struct.pack("<I", len(made)) + _MAGIC)
        else:
            self.file.write(self._footer)

    def _corrected(self, footer: bytes) -> Iterator[bytes]:
        """One row group after the other: there may be many."""
        reader = Reader(footer)
        before = 0
        for number, kind in reader.fields():
            yield field_head(number, kind, before)
            before = number
            start = reader.at
            if number != _GROUPS:
                reader.value(kind)
                yield footer[start : reader.at]
                continue
            of, count = reader.items()
            yield list_head(of, count)
            for group in range(count):
                yield struct_bytes(self._group(reader.struct(), group))
        yield b"\0"

    def _group(self, fields: Struct, group: int) -> Struct:
        packed = unpacked = 0
        columns = _items(fields[_COLUMNS])
        for column, chunk in enumerate(columns):
            assert isinstance(chunk, dict), "columns are structures"
            more = self._chunk(chunk, self._chunks.get((group, column)))
            packed, unpacked = packed + more[0], unpacked + more[1]
        _add(fields, _UNPACKED_OF_GROUP, unpacked)
        _add(fields, _PACKED_OF_GROUP, packed)
        self._move(fields, _GROUP_AT)
        return fields

    def _chunk(self, chunk: Struct, mine: _Chunk | None) -> tuple[int, int]:
        """How many bytes more it has, packed and unpacked."""
        about = chunk[_ABOUT].value
        assert isinstance(about, dict), "what tells of a column is a structure"
        if mine is None:
            for number in (_PAGES_AT, _DICTIONARY_AT):
                self._move(about, number)
            return 0, 0
        for number in _OF_PYARROWS_PAGES:
            about.pop(number, None)
        more = mine.packed - _whole(about[_PACKED]), mine.unpacked - _whole(about[_UNPACKED])
        about[_PACKED].value, about[_UNPACKED].value = mine.packed, mine.unpacked
        about[_PAGES_AT].value = mine.at
        return more

    def _move(self, fields: Struct, number: int) -> None:
        """A place, by what lies before it that pyarrow does not know of."""
        if number in fields:
            at = _whole(fields[number])
            fields[number].value = at + next((by for since, by in reversed(self._shifts) if since <= at), 0)


def _whole(one: Field) -> int:
    assert isinstance(one.value, int), "a number is one"
    return one.value


def _items(one: Field) -> list[object]:
    assert isinstance(one.value, Items), "a list is one"
    return one.value.values


def _add(fields: Struct, number: int, more: int) -> None:
    if number in fields:
        fields[number].value = _whole(fields[number]) + more


def _together(values: Sequence[Value]) -> Iterator[list[Value]]:
    """What is held shares a page; what is not has its own."""
    for is_held, some in groupby(values, lambda value: value is None or isinstance(value, bytes)):
        if is_held:
            yield list(some)
        else:
            yield from ([value] for value in some)


def _page(file: BinaryIO, arrow: Any, values: list[Value], nullable: bool, name: str) -> tuple[int, int, int]:
    """A page of some values: where it lies, and its bytes, packed and unpacked, with the header."""
    at = file.tell()
    file.write(bytes(_HEADER))
    size = _packed(file, arrow, _contents(values, nullable, name))
    end = file.tell()
    if size > _LARGEST or end - at > _LARGEST:
        raise BadData(f"column {name}: a value of more than {_LARGEST} bytes, which Parquet does not hold")
    file.seek(at)
    file.write(_header(size, end - at - _HEADER, len(values)))
    file.seek(end)
    return at, end - at, size + _HEADER


def _packed(file: BinaryIO, arrow: Any, pieces: Iterable[bytes]) -> int:
    """Writes them packed; how many bytes they were."""
    size = 0
    with arrow.CompressedOutputStream(_Open(file), "zstd") as out:
        for piece in pieces:
            out.write(piece)
            size += len(piece)
    return size


@dataclass
class _Open:
    """A file that stays open when what writes to it is closed."""

    file: BinaryIO
    closed: bool = False

    def write(self, data: Any) -> int:
        self.file.write(data)
        return len(data)

    def flush(self) -> None:
        """Nothing is held."""

    def close(self) -> None:
        self.closed = True


def _contents(values: list[Value], nullable: bool, name: str) -> Iterator[bytes]:
    """Whether each is there, if it may be missing; then those that are there, each behind its length."""
    there = [value is not None for value in values]
    if nullable:
        runs = b"".join(_run(len(list(same)), is_there) for is_there, same in groupby(there))
        yield struct.pack("<I", len(runs)) + runs
    elif not all(there):
        raise BadData(f"column {name} has NULL, and must not")
    for value in values:
        if isinstance(value, bytes):
            yield struct.pack("<I", len(value)) + value
        elif value is not None:
            yield struct.pack("<I", sum(map(len, value())))
            yield from value()


def _run(count: int, is_there: bool) -> bytes:
    """So many times the same: a number of seven bits a byte, doubled, and what is repeated."""
    return value_bytes(I64, count) + bytes([is_there])


def _header(size: int, packed: int, count: int) -> bytes:
    encodings = {2: Field(I32, _PLAIN), 3: Field(I32, _RLE), 4: Field(I32, _RLE)}
    fields = {
        1: Field(I32, _PAGE),
        2: Field(I32, size),
        3: Field(I32, packed),
        5: Field(STRUCT, {1: Field(I32, count), **encodings}),
    }
    filling = bytes(_HEADER - len(struct_bytes(fields)) - _AROUND_FILLING)
    return struct_bytes(fields | {_FILLING: Field(BINARY, filling)})
