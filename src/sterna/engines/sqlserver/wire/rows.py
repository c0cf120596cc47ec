"""Rows out of pages: as values of Python, or as the text of PostgreSQL's COPY."""

import struct
from collections import Counter
from collections.abc import Callable, Iterator

from sterna.core.errors import BadData, Trouble, Unsupported
from sterna.engines.sqlserver.wire import lob, types
from sterna.engines.sqlserver.wire.lob import Fetch
from sterna.engines.sqlserver.wire.records import (
    OLDER,
    Layout,
    OffRow,
    Physical,
    Raw,
    slots,
    space_end,
    splitter,
    where,
)

Row = tuple[object, ...]
_FAULTS = (ValueError, struct.error, IndexError, OverflowError, ArithmeticError, LookupError)


def nowhere(page: int, file: int) -> bytes:
    """For rowsets whose values all lie in their rows."""
    raise BadData(f"A value leads to page {file}:{page}, which is not there.")


class Rows:
    """Reads the rows of one rowset, page by page.

    ``older`` counts, by column, rows that were written before a column was added that must not be null and whose
    default is not known: they come with None.
    """

    def __init__(self, layout: Layout, fetch: Fetch = nowhere) -> None:
        """Raises Unsupported, naming the column, for a type that cannot be read."""
        self.layout = layout
        self.older: Counter[str] = Counter()
        self._split = splitter(layout)
        self._readers = [_reader(column, fetch, self.older) for column in layout.columns]

    def values(self, page: bytes) -> Iterator[Row]:
        """The rows of one page (8192 bytes, torn bits undone), each with the layout's columns in their order.

        Raises BadData, naming the place and the column, for bytes that are no row, and Unsupported for what cannot
        be read.
        """
        limit = space_end(page)
        for slot, at in slots(page):
            raws = self._raws(page, slot, at, limit)
            if raws is not None:
                yield self._row(raws, page, slot)

    def _raws(self, page: bytes, slot: int, at: int, limit: int) -> list[Raw] | None:
        try:
            return self._split(page, at, limit)
        except _FAULTS as fault:
            raise self.spoilt(page, slot, fault) from fault

    def _row(self, raws: list[Raw], page: bytes, slot: int) -> Row:
        row: list[object] = []
        add = row.append
        try:
            for read, raw in zip(self._readers, raws, strict=True):
                add(None if raw is None else read(raw))
        except (*_FAULTS, Trouble) as fault:
            raise self.spoilt(page, slot, fault, self.layout.columns[len(row)]) from fault
        return tuple(row)

    def spoilt(self, page: bytes, slot: int, fault: Exception, column: Physical | None = None) -> Trouble:
        """The error for one row: BadData, or Unsupported if that was the fault."""
        table = f"{self.layout.table}: " if self.layout.table else ""
        place = f"{table}{where(page, slot)}" + (f", column {column.name}" if column else "")
        if isinstance(fault, Unsupported):
            return Unsupported(f"{place}: {fault.message}")
        return BadData(f"{place}: {fault.message if isinstance(fault, Trouble) else fault}")


def _reader(column: Physical, fetch: Fetch, older: Counter[str]) -> Callable[[Raw], object]:
    decode = types.decoder(column)
    if column.xtype in types.OLD_LOBS:
        return _elsewhere_by_length(column, decode, fetch, older)

    def read(raw: Raw) -> object:
        if type(raw) is bytes or type(raw) is int:
            return decode(raw)  # type: ignore[arg-type] # only the decoder of bits meets an int
        return _unusual(raw, column, decode, fetch, older)

    return read


def _elsewhere_by_length(
    column: Physical, decode: types.Decode, fetch: Fetch, older: Counter[str]
) -> Callable[[Raw], object]:
    """text, ntext and image: the 16 bytes in the row are a pointer, though the record does not say so."""

    def read(raw: Raw) -> object:
        pointed = OffRow(raw) if type(raw) is bytes and len(raw) == 16 else raw
        return decode(pointed) if type(pointed) is bytes else _unusual(pointed, column, decode, fetch, older)

    return read


def _unusual(raw: Raw, column: Physical, decode: types.Decode, fetch: Fetch, older: Counter[str]) -> object:
    if isinstance(raw, OffRow):
        data = lob.whole(raw.pointer, fetch)
        return None if data is None else decode(data)
    assert raw is OLDER
    if column.default is None and not column.nullable:
        older[column.name] += 1
    return column.default
