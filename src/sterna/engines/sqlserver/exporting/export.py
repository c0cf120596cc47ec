"""Takes tables out of backups into a folder, one file for each, complete or not at all."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sterna.core.errors import BadData, Invalid, Trouble, Unsupported
from sterna.core.schema import Table
from sterna.engines.sqlserver.exporting import scripts
from sterna.engines.sqlserver.exporting.commas import write_csv, write_header, write_rows
from sterna.engines.sqlserver.exporting.files import whole_file
from sterna.engines.sqlserver.exporting.names import file_names
from sterna.engines.sqlserver.exporting.parquet import Parquet
from sterna.engines.sqlserver.exporting.quick import converter
from sterna.engines.sqlserver.exporting.texts import Unicode
from sterna.engines.sqlserver.wire.database import DatabaseBackup
from sterna.engines.sqlserver.wire.rows import Row

FORMATS = ("csv", "parquet", "sql")
EVERY_S = 5.0
"""Between two words about a long table."""

Write = Callable[[BinaryIO, Table, Callable[[], Iterable[Row]]], None]


@dataclass(frozen=True)
class Told:
    """How far a table is."""

    table: Table
    rows: int
    """That were read so far."""
    done: bool = False
    note: str = ""
    """What an operator should know of it; with ``done``, why it was skipped."""


@dataclass(frozen=True)
class Exported:
    """A table and its file."""

    table: Table
    rows: int
    file: str
    """Relative to the folder, ``/`` between."""
    note: str = ""
    """What an operator should know of it."""


@dataclass
class Result:
    """What came of it."""

    tables: list[Exported] = field(default_factory=list)
    skipped: list[tuple[Table, str]] = field(default_factory=list)
    """With why."""
    scripts: list[str] = field(default_factory=list)
    """Files that are none of a table's."""
    replaced: int = 0
    """Halves of surrogate pairs that became U+FFFD."""


def chosen(databases: Sequence[DatabaseBackup], wanted: Sequence[str]) -> dict[str, list[Table]]:
    """The tables of each database: all, or those wanted as ``schema.table`` or ``database.schema.table``.

    Names may stand in square brackets; small and capital letters are the same unless that fits several. Raises
    Invalid if there is no such table.
    """
    every = {database.name: list(database.tables) for database in databases}
    if not wanted:
        return every
    picked = {
        table.path for text in wanted for table in _named(text, [t for some in every.values() for t in some])
    }
    return {name: [table for table in tables if table.path in picked] for name, tables in every.items()}


def _named(text: str, tables: Sequence[Table]) -> list[Table]:
    for fold in (str, str.casefold):
        found = [table for table in tables if fold(text) in {fold(name) for name in _spellings(table)}]
        if found:
            return found
    raise Invalid("table", f"The files hold no table {text}", hint="sterna backup tables shows them.")


def _spellings(table: Table) -> Iterator[str]:
    for path in (table.path, table.path[1:]):
        yield ".".join(path)
        yield ".".join(f"[{part.replace(']', ']]')}]" for part in path)


class Export:
    """Writes tables of some databases into a folder."""

    def __init__(self, folder: Path, form: str, tell: Callable[[Told], None], unicode: Unicode) -> None:
        """Raises Invalid for a form that is none of FORMATS, Unsupported where its library is not installed."""
        if form not in FORMATS:
            raise Invalid("format", f"There is no format {form}: {', '.join(FORMATS)}")
        self._folder = folder
        self._form = form
        self._tell = tell
        self._unicode = unicode
        self._write: Write = {"csv": self._csv, "sql": self._sql}[form] if form != "parquet" else self._parquet()

    def run(self, databases: Sequence[DatabaseBackup], wanted: Sequence[str] = ()) -> Result:
        """Tables that cannot be read or written are skipped, each with why; the others go on.

        Several databases get a folder each. Raises Invalid, NotFound, BadData, Unsupported before anything is
        written; Unreachable, DiskFull, NeedsOperator also later: whatever files are there then are complete.
        """
        taken = chosen(databases, wanted)
        if self._folder.exists() and not self._folder.is_dir():
            raise Invalid("to", f"{self._folder} is no folder")
        homes = file_names([(database.name,) for database in databases]) if len(databases) > 1 else {}
        result = Result()
        with _removed_if_empty(self._folder):
            for database in databases:
                self._database(database, taken[database.name], homes.get((database.name,), ""), result)
        result.replaced = self._unicode.replaced
        return result

    def _database(self, database: DatabaseBackup, tables: Sequence[Table], home: str, result: Result) -> None:
        names = file_names([table.path[1:] for table in database.tables])
        done: list[Table] = []
        for table in tables:
            file = f"{home}/{names[tuple(table.path[1:])]}.{self._form}".lstrip("/")
            trouble = table.trouble or self._table(database, table, file, result)
            if trouble:
                result.skipped.append((table, trouble))
                self._tell(Told(table, 0, done=True, note=trouble))
            else:
                done.append(replace(table, rows=result.tables[-1].rows))
        if self._form == "sql" and done:
            self._scripts(database, done, home, result)

    def _table(self, database: DatabaseBackup, table: Table, file: str, result: Result) -> str:
        """Why it could not be; empty: it is there."""
        counted = _Counted(table, self._tell)
        before = self._unicode.replaced
        read = partial(database.rows, table.path, variants=True, long=True)
        try:
            with whole_file(self._folder / file) as out:
                if self._form != "csv" or not self._quick_csv(out, database, table, counted):
                    self._write(out, table, lambda: counted(read()))
        except (BadData, Unsupported) as trouble:
            self._unicode.replaced = before
            return _in_table(table, trouble)
        note = database.oddity(table.path, counted.rows)
        result.tables.append(Exported(table, counted.rows, file, note))
        self._tell(Told(table, counted.rows, done=True, note=note))
        return ""

    def _scripts(self, database: DatabaseBackup, tables: Sequence[Table], home: str, result: Result) -> None:
        both = scripts.Scripts(database.name, tables, database.schema().leftovers)
        for name, pieces in (("schema.sql", both.schema()), ("finish.sql", both.finish())):
            file = f"{home}/{name}".lstrip("/")
            with whole_file(self._folder / file) as out:
                for piece in pieces:
                    out.write(piece.encode())
            result.scripts.append(file)

    def _csv(self, file: BinaryIO, table: Table, rows: Callable[[], Iterable[Row]]) -> None:
        write_csv(file, [column for column in table.columns if column.stored], rows(), self._unicode)

    def _quick_csv(self, file: BinaryIO, database: DatabaseBackup, table: Table, counted: "_Counted") -> bool:
        """The same by way of COPY text; False if the table has columns for which that does not do.

        Where a row holds what COPY refuses, the rest of that part of the table goes value by value.
        """
        columns = [column for column in table.columns if column.stored]
        convert = converter(columns)
        if convert is None:
            return False
        write_header(file, columns, self._unicode)
        for part in database.parts(table.path):
            rest = part
            try:
                for piece in database.copy_text(table.path, part):
                    assert isinstance(piece.data, bytes), "columns with long values go value by value"
                    file.write(convert(piece.data))
                    counted.add(piece.rows)
                    rest = replace(part, first=piece.next_page)
            except BadData:
                rows = database.rows(table.path, rest, variants=True, long=True)
                write_rows(file, columns, counted.more(rows), self._unicode)
        return True

    def _parquet(self) -> Write:
        parquet = Parquet()

        def write(file: BinaryIO, table: Table, rows: Callable[[], Iterable[Row]]) -> None:
            parquet.write(file, [column for column in table.columns if column.stored], rows, self._unicode)

        return write

    def _sql(self, file: BinaryIO, table: Table, rows: Callable[[], Iterable[Row]]) -> None:
        scripts.check_names(table)
        scripts.write_rows(file, table, rows())


class _Counted:
    """Counts rows on their way, and says from time to time how many there were."""

    def __init__(self, table: Table, tell: Callable[[Told], None]) -> None:
        self._table = table
        self._tell = tell
        self.rows = 0
        self._due = time.monotonic() + EVERY_S

    def __call__(self, rows: Iterator[Row]) -> Iterator[Row]:
        """From the beginning."""
        self.rows = 0
        return self.more(rows)

    def more(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Besides those that were counted before."""
        for row in rows:
            self.rows += 1
            if not self.rows % 1000:
                self._say()
            yield row

    def add(self, rows: int) -> None:
        """So many were read together."""
        self.rows += rows
        self._say()

    def _say(self) -> None:
        if time.monotonic() > self._due:
            self._tell(Told(self._table, self.rows))
            self._due = time.monotonic() + EVERY_S


def _in_table(table: Table, trouble: Trouble) -> str:
    """The reader names the table at the front; what writes does not know it."""
    name = ".".join(table.path[1:])
    return trouble.message.removeprefix(f"{name}: ")


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """A folder that was not there before and that nothing was put into goes again."""
    was_there = folder.exists()
    try:
        yield
    finally:
        if not was_there and folder.is_dir():
            with contextlib.suppress(OSError):
                folder.rmdir()
