"""Reads the tables of the databases that backup files hold. They stand still: there is no log to follow."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager

from sterna.core.change import ROWS_TEXT, Chunk, Format, Name, Part, Position
from sterna.core.errors import BadData, NotFound, StartAgain, Unsupported
from sterna.core.event import Level
from sterna.core.files import Opens
from sterna.core.plan import Path, Plan, Selection
from sterna.core.ports import Log, Teller
from sterna.core.schema import Schema, Table
from sterna.engines.sqlserver.opening import Opened, opened
from sterna.engines.sqlserver.wire.copytext import Losses, Unstorable
from sterna.engines.sqlserver.wire.database import DatabaseBackup
from sterna.engines.sqlserver.wire.page import SIZE as PAGE_SIZE
from sterna.engines.sqlserver.wire.tables import PageRange, Piece

UNSTORABLE = "unstorable_text"
"""The option: ``replace`` writes U+FFFD for characters that PostgreSQL cannot hold; else they stop the job."""


class SqlServerSource:
    """Meets ``core.ports.Source`` and ``Describes``."""

    def __init__(self, plan: Plan, found: Opened, tell: Teller) -> None:
        self._plan = plan
        self._tell = tell
        self._databases = {each.name: each for each in found.databases}
        self._tables: dict[tuple[str, ...], Table] = {}
        self._counted: Counter[Path] = Counter()
        """Rows that were read, of tables that were read from their beginning."""
        self._resumed: set[Path] = set()
        """Tables of which an earlier run has read something."""

    @property
    def _replaces(self) -> bool:
        return self._plan.options.get(UNSTORABLE) == "replace"

    @property
    def log(self) -> Log | None:
        return None

    async def schema(self) -> Schema:
        """All tables that the plan takes. Raises BadData, Unsupported."""
        schemas = [await asyncio.to_thread(each.schema) for each in self._databases.values()]
        taken = self._plan.selection
        return Schema(
            "tsql",
            [table for schema in schemas for table in schema.tables if _takes(taken, table)],
            [each for schema in schemas for each in schema.leftovers if taken.touches(each.path)],
            list(self._databases),
        )

    async def names(self) -> Sequence[Name]:
        """The tables whose rows are read. Raises Unsupported if one that is taken cannot be."""
        tables = (await self.schema()).tables
        self._tables = {table.path: table for table in tables}
        unreadable = [table for table in tables if table.trouble]
        if unreadable:
            raise Unsupported(_unreadable(unreadable))
        return [Name(table.path) for table in tables]

    async def parts(self, name: Name) -> Sequence[Part]:
        database = self._database(name)
        ranges = await asyncio.to_thread(database.parts, name.path)
        return [self._part(name, each, len(ranges)) for each in ranges]

    def _part(self, name: Name, pages: PageRange, count: int) -> Part:
        """A part of the table; of the table's rows it is believed to hold its share."""
        table = self._tables.get(name.path)
        rows = max(0, table.rows) // count if table else 0
        return Part(f"{name}:{pages}", name, str(pages), rows, (pages.stop - pages.first) * PAGE_SIZE)

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        """Rows as lines of COPY, page by page. Raises BadData, Unsupported, Unreachable.

        A position says of which backups it is. Raises StartAgain for one of others: a file of that name was
        replaced since, and rows of two backups must not be mixed.
        """
        if ROWS_TEXT not in formats:
            raise Unsupported(f"Rows are read as {ROWS_TEXT}, and the target takes {', '.join(formats)}")
        pages = PageRange.parse(part.spec)
        mark = mark_of(self._database(part.name))
        begin = _page(after, mark) if after is not None else 0
        if after is not None:
            self._resumed.add(part.name.path)
        unstorable: Unstorable = "replace" if self._replaces else "refuse"
        pieces = self._database(part.name).copy_text(part.name.path, pages, begin, unstorable=unstorable)
        while (piece := await asyncio.to_thread(_next, pieces)) is not None:
            size = piece.pages * PAGE_SIZE
            self._counted[part.name.path] += piece.rows
            yield Chunk(ROWS_TEXT, piece.data, piece.rows, size, Position(f"{mark}:{piece.next_page}"))

    async def copied(self) -> None:
        """Tells what of the rows could not be kept exactly, and where the server's own counts differ."""
        for database in self._databases.values():
            earlier = any(path[0] == database.name for path in self._resumed)
            for text in _lost(database.losses, earlier=earlier, replaces=self._replaces):
                self._tell(Level.WARN, "backup.rounded", f"{database.name}: {text}")
            database.losses.digits = database.losses.characters = 0
            if database.replay.clean:
                self._tell_counts(database.name)

    def _tell_counts(self, database: str) -> None:
        """The log does not keep the server's counts: they hold for a backup of a quiet database alone."""
        for path, table in self._tables.items():
            read = self._counted[path]
            if path[0] == database and path not in self._resumed and read != table.rows >= 0:
                text = f"{'.'.join(path)}: {read} rows were read; by the server's own count there are {table.rows}"
                self._tell(Level.WARN, "backup.count", text)

    async def rows(self) -> int:
        return sum(max(0, table.rows) for table in self._tables.values()) if self._tables else -1

    def _database(self, name: Name) -> DatabaseBackup:
        found = self._databases.get(name.path[0])
        if found is None:
            raise NotFound(f"The files hold no database {name.path[0]}")
        return found


def _takes(selection: Selection, table: Table) -> bool:
    return selection.place(table.path) is not None


def _lost(losses: Losses, *, earlier: bool, replaces: bool) -> Iterator[str]:
    """``earlier``: a run before this one has read some of the rows, and what it counted is gone with it."""
    besides = "; rows that were read before a break are not counted" if earlier else ""
    if losses.digits:
        times = f"{losses.digits} times had a seventh digit of the second"
        yield f"{times}, which PostgreSQL does not keep: rounded{besides}"
    if losses.characters or (earlier and replaces):
        count = losses.characters
        yield f"{count} characters cannot be kept in PostgreSQL's text: U+FFFD stands for them{besides}"


def _unreadable(tables: Sequence[Table]) -> str:
    named = "; ".join(f"{'.'.join(table.path)}: {table.trouble}" for table in tables[:10])
    more = f"; and {len(tables) - 10} more" if len(tables) > 10 else ""
    return f"The rows of some tables cannot be read from the backup: {named}{more}"


def mark_of(database: DatabaseBackup) -> str:
    """What tells the backups that a database is read from from all others: the ids that their server gave them."""
    sets = "\n".join(f"{one.guid} {one.record.last_lsn}" for one in database.chain.sets)
    return hashlib.sha256(sets.encode()).hexdigest()[:16]


def _page(position: Position, mark: str) -> int:
    read, _, page = position.partition(":")
    try:
        number = int(page)
    except ValueError:
        raise BadData(f"{position!r} is no place in a table") from None
    if read != mark:
        raise StartAgain("The files hold other backups than those that the copy was begun with")
    return number


def _next(pieces: Iterator[Piece]) -> Piece | None:
    return next(pieces, None)


@asynccontextmanager
async def open_source(plan: Plan, opens: Opens | None, tell: Teller) -> AsyncIterator[SqlServerSource]:
    """The source of a plan. Raises BadData where the files do not give what the plan asks for."""
    async with opened(plan, opens) as found:
        if found.missing:
            raise BadData(f"The files hold no database {', '.join(found.missing)}")
        for database in found.databases:
            for note in database.notes:
                tell(Level.INFO, "backup.note", note)
        yield SqlServerSource(plan, found, tell)
