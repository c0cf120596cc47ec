"""Rows out of pages: as values of Python, or as the text of PostgreSQL's COPY."""

import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeVar

from sterna.core.change import Pieces
from sterna.core.errors import BadData, Trouble, Unsupported
from sterna.engines.sqlserver.wire import compressed, copytext, lob, longs, plan, types
from sterna.engines.sqlserver.wire.copytext import NULL, Losses, Unstorable
from sterna.engines.sqlserver.wire.lob import Fetch
from sterna.engines.sqlserver.wire.longs import Long, Room
from sterna.engines.sqlserver.wire.native import compiled
from sterna.engines.sqlserver.wire.records import (
    OLDER,
    Layout,
    OffRow,
    Physical,
    Raw,
    opener,
    slots,
    space_end,
    where,
)
from sterna.engines.sqlserver.wire.variant import Variant, read_variant

Row = tuple[object, ...]
Piece = TypeVar("Piece")
Read = Callable[[Raw], object]
Later = Callable[[], Iterator[bytes]]
"""Text that is not held."""

native = compiled("_rows")
"""Writes rows as text, where they are common."""
_DONE = -1
"""The compiled code came to the end of the page."""
_PATIENCE = 8
"""After so many records of a page that the compiled code does not know, Python does the rest of the page."""
_FAULTS = (ValueError, struct.error, IndexError, OverflowError, ArithmeticError, LookupError)


def nowhere(page: int, file: int) -> bytes:
    """For rowsets whose values all lie in their rows."""
    raise BadData(f"A value leads to page {file}:{page}, which is not there.")


class Rows:
    """Reads the rows of one rowset, page by page. For one thread at a time.

    ``losses`` counts what COPY text had to leave out. ``older`` counts, by column, rows that were written before a
    column was added that must not be null and whose default is not known: they come with None. ``late`` counts
    losses that are found only when text that is not held is read.
    """

    def __init__(
        self,
        layout: Layout,
        fetch: Fetch = nowhere,
        *,
        unstorable: Unstorable = "refuse",
        variants: bool = False,
        long: bool = False,
        late: Losses | None = None,
    ) -> None:
        """``variants``: values of sql_variant come as Variant, with their types, instead of plain. ``long``: very
        long values come as Long; in the text of COPY they always do.

        Raises Unsupported, naming the column, for a type that cannot be read.
        """
        self.layout = layout
        self.older: Counter[str] = Counter()
        self.losses = Losses()
        self._late = Losses() if late is None else late
        self._unstorable = unstorable
        self._open = compressed.opener(layout) if layout.compression else opener(layout)
        self._room = Room()
        self._readers = [
            _reader(column, layout.compression, fetch, self.older, self._room) for column in layout.columns
        ]
        self._values = [
            _plain(read) if column.xtype == types.VARIANT and not variants else read if long else _held(read)
            for column, read in self._pairs()
        ]
        self._writers = [_writer(column, read, self.losses, unstorable) for column, read in self._pairs()]
        self._plan = plan.compiled(layout) if native else None

    def _pairs(self) -> Iterator[tuple[Physical, Read]]:
        return zip(self.layout.columns, self._readers, strict=True)

    def values(self, page: bytes) -> Iterator[Row]:
        """The rows of one page (8192 bytes, torn bits undone), each with the layout's columns in their order.

        Raises BadData, naming the place and the column, for bytes that are no row, and Unsupported for what cannot
        be read.
        """
        for slot, raws in self._records(page):
            row: list[object] = []
            self._room.empty()
            try:
                for read, raw in zip(self._values, raws, strict=True):
                    value = None if raw is None else read(raw)
                    row.append(self._guarded(value, page, slot, len(row)) if type(value) is Long else value)
            except (*_FAULTS, Trouble) as fault:
                raise self._spoilt(page, slot, fault, len(row)) from fault
            yield tuple(row)

    def copy_text(self, page: bytes) -> tuple[bytes | Pieces, int]:
        """The rows of one page as the text of COPY, and how many they are. Raises as ``values`` does, and BadData
        for text that PostgreSQL cannot store, if such is refused; so do pieces.
        """
        self._room.empty()
        pieces, rows = self._texts(page)
        texts = [piece for piece in pieces if isinstance(piece, bytes)]
        return b"".join(texts) if len(texts) == len(pieces) else Pieces(pieces), rows

    def _texts(self, page: bytes) -> tuple[list[bytes | Later], int]:
        if native is None or self._plan is None:
            return self._python_text(page, 0, None)
        space_end(page)
        pieces: list[bytes | Later] = []
        total = slot = 0
        for left in range(_PATIENCE, -1, -1):
            text, rows, stopped, digits = native.copy_text(page, self._plan, slot)
            self.losses.digits += digits
            pieces.append(text)
            total += rows
            if stopped == _DONE:
                break
            # A record that is not common, or one too many of them, or a page that is not.
            end = stopped + 1 if left and stopped >= 0 else None
            more, rows = self._python_text(page, max(stopped, 0), end)
            pieces += more
            total += rows
            if end is None:
                break
            slot = end
        return pieces, total

    def _python_text(self, page: bytes, first: int, end: int | None) -> tuple[list[bytes | Later], int]:
        lines: list[str | Later] = []
        rows = 0
        for slot, raws in self._records(page, first, end):
            lines += self._line(page, slot, raws)
            rows += 1
        return list(_encoded(lines)), rows

    def _line(self, page: bytes, slot: int, raws: list[Raw]) -> Iterable[str | Later]:
        fields: list[str | Long] = []
        try:
            for write, raw in zip(self._writers, raws, strict=True):
                fields.append(NULL if raw is None else write(raw))
        except (*_FAULTS, Trouble) as fault:
            raise self._spoilt(page, slot, fault, len(fields)) from fault
        texts = [field for field in fields if isinstance(field, str)]
        if len(texts) == len(fields):
            return ("\t".join(texts) + "\n",)
        return self._long_line(page, slot, fields)

    def _long_line(self, page: bytes, slot: int, fields: list[str | Long]) -> Iterator[str | Later]:
        for number, field in enumerate(fields):
            if number:
                yield "\t"
            if isinstance(field, str):
                yield field
            else:
                text = copytext.long_text(field, self._late, self._unstorable)
                yield partial(self._anew, text, page, slot, number)
        yield "\n"

    def _guarded(self, value: Long, page: bytes, slot: int, column: int) -> Long:
        """The value, its errors naming its place."""
        watched: Callable[[], Any] = partial(self._watched, value, page, slot, column)
        return Long(value.binary, value.size, watched)

    def _anew(self, text: Later, page: bytes, slot: int, column: int) -> Iterator[bytes]:
        """The text of a long value once more, its errors naming its place."""
        return self._watched(text(), page, slot, column)

    def _watched(self, pieces: Iterable[Piece], page: bytes, slot: int, column: int) -> Iterator[Piece]:
        try:
            yield from pieces
        except (*_FAULTS, Trouble) as fault:
            raise self._spoilt(page, slot, fault, column) from fault

    def _records(self, page: bytes, first: int = 0, end: int | None = None) -> Iterator[tuple[int, list[Raw]]]:
        slot, limit = -1, space_end(page)
        try:
            split = self._open(page)
            for slot, at in slots(page, first, end):
                raws = split(at, limit)
                if raws is not None:
                    yield slot, raws
        except (*_FAULTS, Unsupported) as fault:
            raise self._spoilt(page, slot, fault) from fault

    def _spoilt(self, page: bytes, slot: int, fault: Exception, column: int = -1) -> Trouble:
        """The error for one row: BadData, or Unsupported if that was the fault."""
        table = f"{self.layout.table}: " if self.layout.table else ""
        place = (
            table
            + where(page, slot if slot >= 0 else None)
            + (f", column {self.layout.columns[column].name}" if column >= 0 else "")
        )
        if isinstance(fault, Unsupported):
            return Unsupported(f"{place}: {fault.message}")
        hint = fault.hint if isinstance(fault, Trouble | copytext.CannotHold) else ""
        return BadData(f"{place}: {fault.message if isinstance(fault, Trouble) else fault}", hint=hint)


def _encoded(lines: Iterable[str | Later]) -> Iterator[bytes | Later]:
    """What is text already, together and as bytes."""
    texts: list[str] = []
    for line in lines:
        if isinstance(line, str):
            texts.append(line)
            continue
        if texts:
            yield "".join(texts).encode()
            texts = []
        yield line
    if texts:
        yield "".join(texts).encode()


def _held(read: Read) -> Read:
    """Long values as a whole."""

    def value(raw: Raw) -> object:
        found = read(raw)
        if type(found) is not Long:
            return found
        return b"".join(found) if found.binary else "".join(found)  # type: ignore[arg-type]

    return value


def _plain(read: Read) -> Read:
    def value(raw: Raw) -> object:
        found = read(raw)
        return found.value if isinstance(found, Variant) else found

    return value


def _writer(column: Physical, read: Read, losses: Losses, unstorable: Unstorable) -> Callable[[Raw], str | Long]:
    text = copytext.writer(column, losses, unstorable)

    def write(raw: Raw) -> str | Long:
        value = read(raw)
        if type(value) is Long:
            return value
        return NULL if value is None else text(value)

    return write


def _decoder(column: Physical) -> types.Decode:
    return read_variant if column.xtype == types.VARIANT else types.decoder(column)


def _near(column: Physical, decode: types.Decode, compression: int) -> types.Decode:
    """For values that lie in their row: these may have a short form."""
    if compression:
        expand = compressed.expander(column)
        return lambda raw: decode(expand(raw))
    if column.xtype in (types.DECIMAL, types.NUMERIC) and column.offset < 0:
        return lambda raw: decode(compressed.unpacked(raw, column.precision, column.scale))
    return decode


def _reader(column: Physical, compression: int, fetch: Fetch, older: Counter[str], room: Room) -> Read:
    far = _decoder(column)
    near = _near(column, far, compression)
    by_length = column.xtype in types.OLD_LOBS and not column.text_in_row
    decode, binary = longs.decoder(column), longs.is_binary(column)

    def read(raw: Raw) -> object:
        if type(raw) is bytes and not (by_length and len(raw) == 16):
            return near(raw)
        return unusual(raw)

    def unusual(raw: Raw) -> object:
        if type(raw) is int:
            return bool(raw)
        if raw is OLDER:
            return _default(column, older)
        assert isinstance(
            raw, OffRow | bytes
        )  # the 16 bytes of text, ntext and image are a pointer without a mark
        pointer = raw.pointer if isinstance(raw, OffRow) else raw
        if decode is not None and (long := longs.found(pointer, fetch, binary, decode, room)) is not None:
            return long
        data = lob.whole(pointer, fetch)
        return None if data is None else far(data)

    return read


def _default(column: Physical, older: Counter[str]) -> object:
    if column.default is None and not column.nullable:
        older[column.name] += 1
    return column.default
