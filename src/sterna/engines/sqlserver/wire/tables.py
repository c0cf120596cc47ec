"""The rows of a user's table: its pages in a stable order, cut into parts that can be copied alone and again."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sterna.core.change import Pieces
from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import base, units
from sterna.engines.sqlserver.wire.catalog import IN_ROW, Rowset
from sterna.engines.sqlserver.wire.copytext import Losses, Unstorable
from sterna.engines.sqlserver.wire.definitions import Found
from sterna.engines.sqlserver.wire.rows import Row, Rows
from sterna.engines.sqlserver.wire.units import Allocation, Span

PART_PAGES = 8192
"""Pages of a part, about: 64 MB."""
PIECE_BYTES = 1 << 20
"""A piece has at most so many, unless a single page gives more."""


class BulkPages(base.Pages, Protocol):
    """Pages that can also be had many at a time."""

    def pages(self, file_id: int, page_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """With their numbers, in the order asked for. Raises BadData for one that is not there."""
        ...


@dataclass(frozen=True, slots=True)
class PageRange:
    """A part of a table. The same table of the same backup always has the same parts."""

    partition: int
    """Which of the table's rowsets, from 0."""
    file: int
    first: int
    stop: int
    """Page after the last."""

    def __str__(self) -> str:
        return f"{self.partition}:{self.file}:{self.first}:{self.stop}"

    @classmethod
    def parse(cls, text: str) -> "PageRange":
        """From ``str``. Raises ValueError."""
        partition, file, first, stop = (int(piece) for piece in text.split(":"))
        return cls(partition, file, first, stop)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a part."""

    data: bytes | Pieces
    """As PostgreSQL's COPY text; of a page with values of more than 1 MB it is not held."""
    rows: int
    next_page: int
    """The page at which the part goes on."""
    pages: int
    """How many were read for it."""


class TableReader:
    """Reads one table. For one thread at a time: each takes a reader of its own."""

    def __init__(self, pages: BulkPages, found: Found, late: Losses | None = None) -> None:
        """``late``: counts what could not be kept exactly of values that are not held, when they are read."""
        self._pages = pages
        self._late = late
        self._found = found
        self._allocations: dict[int, Allocation] = {}
        self.losses = Losses()
        """What copies of whole parts could not keep exactly."""

    def parts(self, size: int = PART_PAGES) -> tuple[PageRange, ...]:
        """All of it, in stretches of about ``size`` pages. Raises BadData."""
        return tuple(
            PageRange(number, span.file, span.first, span.stop)
            for number in range(len(self._found.rowsets))
            for span in self._allocation(number).spans(size)
        )

    def page_count(self, part: PageRange) -> int:
        """How many pages in use a part has, of rows and of what leads to them. Raises BadData."""
        return sum(1 for _ in self._allocation(part.partition).within(Span(part.file, part.first, part.stop)))

    def data_pages(self, part: PageRange, after: int = 0) -> Iterator[tuple[int, bytes]]:
        """The pages of rows of a part from that page on, each with its number. Raises BadData."""
        rowset = self._found.rowsets[part.partition]
        owner = rowset.units[IN_ROW].id >> 16 & 0xFFFFFFFF
        numbers = self._allocation(part.partition).within(Span(part.file, max(part.first, after), part.stop))
        for number, page in self._pages.pages(part.file, numbers):
            if units.owner(page) >> 16 & 0xFFFFFFFF != owner:
                raise BadData(f"{self._name}: page {part.file}:{number} should belong to it, and does not.")
            if page[1] == base.DATA_PAGE:
                yield number, page

    def rows(self, part: PageRange, *, variants: bool = False, long: bool = False) -> Iterator[Row]:
        """The values of the stored columns, row by row. Raises BadData, Unsupported.

        ``variants``: those of sql_variant come as Variant, with their types. ``long``: those of more than 1 MB
        come as Long.
        """
        reader = self._open(part, "replace", variants, long)
        for _, page in self.data_pages(part):
            yield from reader.values(page)
            self._check(reader)

    def copy_text(self, part: PageRange, after: int = 0, unstorable: Unstorable = "refuse") -> Iterator[Piece]:
        """The rows of a part as COPY text, from page ``after`` on, in pieces of at most 1 MB: a page is never cut.

        What could not be kept exactly is added to ``losses``. Raises BadData, Unsupported. A page with very long
        values is a piece of its own, which reads them when it is read itself, and raises the same.
        """
        reader = self._open(part, unstorable)
        texts: list[bytes] = []
        size = rows = 0
        for number, page in self.data_pages(part, after):
            text, count = reader.copy_text(page)
            self._check(reader)
            if texts and (isinstance(text, Pieces) or size + len(text) > PIECE_BYTES):
                yield Piece(b"".join(texts), rows, number, len(texts))
                texts, size, rows = [], 0, 0
            if isinstance(text, Pieces):
                yield Piece(text, count, number + 1, 1)
                continue
            texts.append(text)
            size += len(text)
            rows += count
        self.losses.digits += reader.losses.digits
        self.losses.characters += reader.losses.characters
        if texts:
            yield Piece(b"".join(texts), rows, part.stop, len(texts))

    def count(self, part: PageRange) -> int:
        """How many rows a part has, by reading them. Raises BadData, Unsupported."""
        rows = 0
        for piece in self.copy_text(part, unstorable="replace"):
            if isinstance(piece.data, Pieces):
                for _ in piece.data:  # long values are rows that are read, too
                    pass
            rows += piece.rows
        return rows

    def _check(self, reader: Rows) -> None:
        """Raises Unsupported if there are rows older than a column whose default is not known."""
        if reader.older:
            column = next(iter(reader.older))
            raise Unsupported(
                f"{self._name}: column {column} was added with a default that old rows do not hold, "
                "and the catalogue does not give it."
            )

    @property
    def _name(self) -> str:
        return ".".join(self._found.table.path[1:])

    def _open(self, part: PageRange, unstorable: Unstorable, variants: bool = False, long: bool = False) -> Rows:
        """Raises BadData for columns that cannot be, Unsupported for types that are not read."""
        try:
            layout = self._found.layouts[part.partition]
            return Rows(layout, self._fetch, unstorable=unstorable, variants=variants, long=long, late=self._late)
        except (ValueError, OverflowError, LookupError) as wrong:
            raise BadData(f"{self._name}: the catalogue is damaged: {wrong}.") from wrong

    def _fetch(self, page: int, file: int) -> bytes:
        return self._pages.page(file, page)

    def _allocation(self, number: int) -> Allocation:
        found = self._allocations.get(number)
        if found is None:
            found = self._allocations[number] = self._read_allocation(self._found.rowsets[number])
        return found

    def _read_allocation(self, rowset: Rowset) -> Allocation:
        unit = rowset.units.get(IN_ROW)
        if unit is None:
            raise BadData(f"{self._name}: the catalogue does not say where its rows are kept.")
        return units.allocation(self._pages, unit.first_iam)
