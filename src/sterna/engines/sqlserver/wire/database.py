"""A database as its backups hold it: what it is called, how its tables are made, and their rows.

The engine works with this. Opening it reads headers alone; pages are read when the first table is asked for.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from threading import RLock

from sterna.core.errors import BadData, NotFound, Unsupported
from sterna.core.files import Blob
from sterna.core.plan import Path
from sterna.core.schema import Schema, Table
from sterna.engines.sqlserver.wire import collations, lob
from sterna.engines.sqlserver.wire.affected import Affected, affected
from sterna.engines.sqlserver.wire.catalog import Catalog, read_catalog
from sterna.engines.sqlserver.wire.chain import Chain, LogicalSet, chains
from sterna.engines.sqlserver.wire.copytext import Losses, Unstorable
from sterna.engines.sqlserver.wire.definitions import Definitions, Found
from sterna.engines.sqlserver.wire.headers import SetRecord
from sterna.engines.sqlserver.wire.log import Replay, replay
from sterna.engines.sqlserver.wire.media import MediaFile, open_media
from sterna.engines.sqlserver.wire.pagemap import PageMap
from sterna.engines.sqlserver.wire.rows import Row
from sterna.engines.sqlserver.wire.stretches import stretches
from sterna.engines.sqlserver.wire.tables import PART_PAGES, BulkPages, PageRange, Piece, TableReader
from sterna.engines.sqlserver.wire.texts import Texts


class DatabaseBackup:
    """One database, in the newest state that the files give. Safe to use from several threads.

    Everything that reads pages raises BadData or Unsupported; first of all if ``problems`` is not empty.
    """

    def __init__(self, chain: Chain, stop_at: datetime | None = None) -> None:
        self.chain = chain
        self._stop_at = stop_at
        self._lock = RLock()
        self._losses = Losses()

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
    def remarks(self) -> tuple[str, ...]:
        """What an operator should know of the pages."""
        return (*self._affected.notes, *(f"{self.name}: {told}" for told in self.miscounted_catalogue()))

    @property
    def needs(self) -> Mapping[Path, str]:
        """The tables whose rows cannot be given, each with why."""
        return {one.table.path: one.table.trouble for one in self._found.values() if one.table.trouble}

    @property
    def replay(self) -> Replay:
        """What the log did to the pages: nothing at all, for a backup of a quiet database."""
        return self._replay

    @property
    def consistent(self) -> bool:
        """Whether every table can be given exactly, as far as the log is concerned."""
        return not (self._affected.tables or self._affected.all)

    @property
    def losses(self) -> Losses:
        """What copies so far could not keep exactly, all tables together."""
        return self._losses

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

    def rows(
        self, table: Path, part: PageRange | None = None, *, variants: bool = False, long: bool = False
    ) -> Iterator[Row]:
        """The values of the stored columns, row by row; ``variants``: those of sql_variant come as Variant, and
        ``long``: those of more than 1 MB as Long."""
        reader = self._reader(table)
        for one in [part] if part else reader.parts():
            yield from reader.rows(one, variants=variants, long=long)

    def copy_text(
        self, table: Path, part: PageRange, after: int = 0, *, unstorable: Unstorable = "refuse"
    ) -> Iterator[Piece]:
        """A part's rows as PostgreSQL's COPY text, from page ``after`` on, in pieces of about 1 MB."""
        reader = self._reader(table)
        yield from reader.copy_text(part, after, unstorable)
        self._losses.add(reader.losses.digits, reader.losses.characters)

    def count(self, table: Path) -> int:
        """How many rows there are, by reading them all."""
        reader = self._reader(table)
        return sum(reader.count(part) for part in reader.parts())

    def oddity(self, table: Path, rows: int) -> str:
        """What is odd about a table of which so many rows were read; empty: it is the server's own count.

        The server's count is of no account if the log changed pages: it is not kept by the log.
        """
        expected = self._found[table].table.rows
        if expected in (-1, rows) or not self._replay.clean:
            return ""
        return f"by the server's own count there should be {expected} rows"

    def miscounted_catalogue(self) -> Sequence[str]:
        """Of which system tables there are other rows than the server counted: what they tell of may be missing.

        In all real backups of quiet databases that were looked at both numbers are the same.
        """
        if not self._replay.clean:
            return []
        found = []
        for number, rows in self._catalog.counted.items():
            rowsets = [one for one in self._catalog.rowsets.get(number, ()) if one.index <= 1]
            if rowsets and rowsets[0].rows != rows:
                found.append(
                    f"system table {number} has {rows} rows, and by the server's own count there should be "
                    f"{rowsets[0].rows}"
                )
        return found

    def miscounted(self, table: Path) -> str:
        """The same as a sentence, by reading them all."""
        rows = self.count(table)
        odd = self.oddity(table, rows)
        return f"{'.'.join(table[1:])} has {rows} rows, and {odd}." if odd else ""

    @cached_property
    def _replay(self) -> Replay:
        """The pages with the log played onto them."""
        with self._lock:
            if self.problems:
                raise BadData(self.problems[0])
            full, differential = self.chain.full, self.chain.differential
            assert full is not None
            self._check_moment(differential or full)
            pages = PageMap.of(full.stripes)
            if differential:
                pages = pages.overlay(PageMap.of(differential.stripes))
            own = stretches((differential or full).stripes)
            later = [piece for log in self.chain.logs for piece in stretches(log.stripes)]
            return replay(pages, own, later, self._stop_at)

    def _check_moment(self, copied: LogicalSet) -> None:
        """Raises BadData if the pages are newer than the moment that is wanted."""
        finished = copied.record.finished
        if self._stop_at is not None and finished is not None and finished > self._stop_at:
            raise BadData(f"{copied} ended at {finished}, after {self._stop_at}: an older backup is needed.")

    @property
    def _pages(self) -> BulkPages:
        return self._replay.pages

    @cached_property
    def _catalog(self) -> Catalog:
        with self._lock:
            try:
                return read_catalog(self._pages)
            except BadData as wrong:
                if self._replay.lost:
                    why = self._replay.lost[0].why
                    raise Unsupported(f"SQL Server is needed to read {self.name}: {why}") from wrong
                raise

    @cached_property
    def _definitions(self) -> Definitions:
        catalog = self._catalog
        texts = Texts(catalog, self._fetch_text, text_decoder(catalog.boot.collation))
        return Definitions(catalog, texts, self.name)

    @cached_property
    def _found(self) -> dict[Path, Found]:
        with self._lock:
            return {one.table.path: self._judged(one) for one in self._read_tables}

    @cached_property
    def _read_tables(self) -> tuple[Found, ...]:
        return self._definitions.tables()

    @cached_property
    def _affected(self) -> Affected:
        with self._lock:
            return affected(self._replay.lost, self._catalog, self._read_tables, self._pages)

    def _judged(self, one: Found) -> Found:
        """The table with what the log has to say about it."""
        trouble = one.table.trouble or self._affected.all or self._affected.tables.get(one.id, "")
        return replace(one, table=replace(one.table, trouble=trouble))

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
        return TableReader(self._pages, found, self._losses)


def text_decoder(collation: int) -> Callable[[bytes], str]:
    """Texts of the catalogue are in the database's code page, or in UTF-16, where ASCII letters have a zero."""
    narrow = collations.decoder(collations.code_page(collation))

    def decode(data: bytes) -> str:
        wide = len(data) % 2 == 0 and 0 in data
        return data.decode("utf-16-le", "replace") if wide else narrow(data)

    return decode


def open_databases(
    blobs: Sequence[Blob], *, set_number: int | None = None, stop_at: datetime | None = None
) -> Sequence[DatabaseBackup]:
    """The databases of which the files hold backups, by name; of each the newest state that they give.

    Files come in any order: stripes, several sets in one, differentials, logs. ``set_number``: see ``chains``.
    ``stop_at``: the state at that moment by the server's clock, which has to lie in the log backups.
    Raises BadData, Unsupported for files that are no backups; what a chain lacks is told by ``problems``.
    """
    return databases_of([open_media(blob) for blob in blobs], set_number=set_number, stop_at=stop_at)


def databases_of(
    media: Sequence[MediaFile], *, set_number: int | None = None, stop_at: datetime | None = None
) -> Sequence[DatabaseBackup]:
    """The same of files that are open already."""
    return [DatabaseBackup(chain, stop_at) for chain in chains(media, set_number)]
