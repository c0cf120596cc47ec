"""A database as its backups hold it: what it is called, how its tables are made, and their rows.

The engine works with this. Opening it reads headers alone; pages are read when the first table is asked for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from threading import RLock

from sterna.core.errors import BadData, NotFound, Unsupported
from sterna.core.files import Blob
from sterna.core.plan import Path
from sterna.core.schema import Schema, Table
from sterna.engines.sqlserver.wire import collations, lob
from sterna.engines.sqlserver.wire.catalog import Catalog, read_catalog
from sterna.engines.sqlserver.wire.chain import Chain, chains
from sterna.engines.sqlserver.wire.definitions import Definitions, Found, Texts
from sterna.engines.sqlserver.wire.headers import SetRecord
from sterna.engines.sqlserver.wire.media import MediaFile, open_media
from sterna.engines.sqlserver.wire.pagemap import PageMap
from sterna.engines.sqlserver.wire.rows import Row
from sterna.engines.sqlserver.wire.tables import PART_PAGES, BulkPages, PageRange, Piece, TableReader


class DatabaseBackup:
    """One database, in the newest state that the files give. Safe to use from several threads.

    Everything that reads pages raises BadData or Unsupported; first of all if ``problems`` is not empty.
    """

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._lock = RLock()

    @property
    def name(self) -> str:
        """As the backups call it."""
        return self.chain.database

    @property
    def header(self) -> SetRecord:
        """Of the last backup of the chain. Raises BadData if there is no chain."""
        if not self.chain.sets:
            raise BadData(self.problems[0] if self.problems else f"There is no backup of {self.name}.")
        return self.chain.sets[-1].record

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the files do not give a database; empty: they do."""
        return self.chain.problems

    @property
    def notes(self) -> tuple[str, ...]:
        """What else an operator should know of the files."""
        return self.chain.notes

    @property
    def needs(self) -> Mapping[Path, str]:
        """The tables whose rows cannot be given, each with why."""
        return {one.table.path: one.table.trouble for one in self._found.values() if one.table.trouble}

    @property
    def tables(self) -> Sequence[Table]:
        """By schema and name."""
        return [one.table for one in self._found.values()]

    def schema(self) -> Schema:
        """Tables and what is left over. The dialect is T-SQL."""
        with self._lock:
            return self._definitions.schema(list(self._found.values()))

    def parts(self, table: Path, pages: int = PART_PAGES) -> tuple[PageRange, ...]:
        """The table in stretches of about so many pages: the same each time. Raises NotFound."""
        return self._reader(table).parts(pages)

    def rows(self, table: Path, part: PageRange | None = None) -> Iterator[Row]:
        """The values of the stored columns, row by row."""
        reader = self._reader(table)
        for one in [part] if part else reader.parts():
            yield from reader.rows(one)

    def copy_text(self, table: Path, part: PageRange, after: int = 0) -> Iterator[Piece]:
        """A part's rows as PostgreSQL's COPY text, from page ``after`` on, in pieces of about 1 MB."""
        return self._reader(table).copy_text(part, after)

    def count(self, table: Path) -> int:
        """How many rows there are, by reading them all."""
        return sum(1 for _ in self.rows(table))

    @cached_property
    def _pages(self) -> BulkPages:
        if self.problems:
            raise BadData(self.problems[0])
        full, differential = self.chain.full, self.chain.differential
        assert full is not None
        pages = PageMap.of(full.stripes)
        return pages.overlay(PageMap.of(differential.stripes)) if differential else pages

    @cached_property
    def _catalog(self) -> Catalog:
        with self._lock:
            return read_catalog(self._pages)

    @cached_property
    def _definitions(self) -> Definitions:
        catalog = self._catalog
        texts = Texts(catalog, self._fetch_text, text_decoder(catalog.boot.collation))
        return Definitions(catalog, texts, self.name)

    @cached_property
    def _found(self) -> dict[Path, Found]:
        with self._lock:
            return {one.table.path: one for one in self._definitions.tables()}

    def _fetch_text(self, pointer: bytes) -> bytes:
        try:
            return lob.whole(pointer, lambda page, file: self._pages.page(file, page)) or b""
        except ValueError as wrong:
            raise BadData(f"A text of the catalogue of {self.name} is damaged: {wrong}.") from wrong

    def _reader(self, table: Path) -> TableReader:
        found = self._found.get(table)
        if found is None:
            raise NotFound(f"There is no table {'.'.join(table)}.")
        if found.table.trouble:
            raise Unsupported(f"{'.'.join(table[1:])}: {found.table.trouble}")
        return TableReader(self._pages, found)


def text_decoder(collation: int) -> Callable[[bytes], str]:
    """Texts of the catalogue are in the database's code page, or in UTF-16: every second byte of those is zero."""
    narrow = collations.decoder(collations.code_page(collation))

    def decode(data: bytes) -> str:
        wide = len(data) % 2 == 0 and data.count(0) * 4 > len(data)
        return data.decode("utf-16-le", "replace") if wide else narrow(data)

    return decode


def open_databases(blobs: Sequence[Blob], *, set_number: int | None = None) -> Sequence[DatabaseBackup]:
    """The databases of which the files hold backups, by name; of each the newest state that they give.

    Files come in any order: stripes, several sets in one, differentials, logs. ``set_number``: see ``chains``.
    Raises BadData, Unsupported for files that are no backups; what a chain lacks is told by ``problems``.
    """
    return databases_of([open_media(blob) for blob in blobs], set_number=set_number)


def databases_of(media: Sequence[MediaFile], *, set_number: int | None = None) -> Sequence[DatabaseBackup]:
    """The same of files that are open already."""
    return [DatabaseBackup(chain) for chain in chains(media, set_number)]
