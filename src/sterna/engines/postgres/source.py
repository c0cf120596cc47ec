"""Reads what exists: tables part by part within the snapshots of the anchor."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path as File
from typing import TYPE_CHECKING, Any, Protocol

from sterna.core.change import Chunk, Format, Name, Part, Position
from sterna.core.errors import StartAgain
from sterna.core.plan import Plan
from sterna.core.ports import Log, Room
from sterna.engines.postgres.catalogue import databases, tables
from sterna.engines.postgres.connection import Connection, bulk, connected, translated
from sterna.engines.postgres.copying import Piece, Place, cut, read
from sterna.engines.postgres.counting import Counter
from sterna.engines.postgres.formats import BINARY, TEXT, text_types
from sterna.engines.postgres.names import literal, own

if TYPE_CHECKING:
    import asyncpg

AT_ONCE = 4
"""How many parts are expected to be copied at the same time; decides which tables are worth cutting."""
RANGES_FROM = 140000
"""The version that finds a range of blocks without reading the table from its beginning."""


class Snapshots(Log, Protocol):
    """The log of the source, which also keeps what is copied as of its anchor."""

    async def snapshot(self, database: str) -> str:
        """The exported snapshot of a database. Raises StartAgain if it is gone."""
        ...

    async def copied(self) -> None:
        """The snapshots may go. Twice is once."""
        ...


@dataclass
class _List:
    """The parts as they were cut at the first look after the anchor. In a file: they must stay the same."""

    file: File
    snapshots: dict[str, str] = field(default_factory=dict)
    parts: list[Part] = field(default_factory=list)
    complete: bool = False
    """All parts are on the target; the snapshots may be gone."""

    def load(self) -> "_List":
        if self.file.exists():
            facts = json.loads(self.file.read_text(encoding="utf-8"))
            self.snapshots, self.complete = facts["snapshots"], facts["complete"]
            self.parts = [Part(**part | {"name": Name(tuple(part["name"]["path"]))}) for part in facts["parts"]]
        return self

    def save(self) -> None:
        facts = {
            "snapshots": self.snapshots,
            "complete": self.complete,
            "parts": [asdict(part) for part in self.parts],
        }
        partial = self.file.with_suffix(".partial")
        partial.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")
        partial.replace(self.file)


class PostgresSource:
    """Meets ``core.ports.Source``. Close it."""

    def __init__(self, plan: Plan, room: Room, log: Snapshots) -> None:
        self._plan = plan
        self._log = log
        self._purpose = f"{own(room.job_id)} copy"
        self._list = _List(room.folder / "parts.json")
        self._idle: dict[str, list[asyncpg.Connection[Any]]] = {}
        self._counter = Counter(plan)

    @property
    def log(self) -> Log:
        return self._log

    async def names(self) -> Sequence[Name]:
        await self._look()
        return list(dict.fromkeys(part.name for part in self._list.parts))

    async def parts(self, name: Name) -> Sequence[Part]:
        if not self._list.parts:
            await self._look()
        return [part for part in self._list.parts if part.name == name]

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        piece, place = Piece.of(part), Place.of(after)
        if place.complete:
            return
        snapshot = self._list.snapshots.get(piece.path[0]) or await self._log.snapshot(piece.path[0])
        format = TEXT if piece.text else BINARY
        async with self._line(piece.path[0]) as connection:
            async for run in read(connection, snapshot, piece, place):
                size = len(run.data)
                place = Place(place.size + size, place.rows + run.rows, run.last)
                yield Chunk(format, run.data, run.rows, size, place.position())

    async def copied(self) -> None:
        if not self._list.parts:
            self._list.load()
        self._list.complete = True
        self._list.save()
        await self._hang_up()
        await self._log.copied()

    async def rows(self) -> int:
        return await self._counter.source()

    async def close(self) -> None:
        """End all connections."""
        await self._hang_up()

    async def _look(self) -> None:
        """Know the parts: those of the file, unless the anchor is another one."""
        found = _List(self._list.file).load()
        try:
            snapshots = {name: await self._log.snapshot(name) for name in await self._databases()}
        except StartAgain:
            if not found.complete:
                raise
            snapshots = found.snapshots
        if found.snapshots != snapshots:
            found = _List(found.file, snapshots, await self._cut(snapshots))
            found.save()
        self._list = found

    async def _databases(self) -> Sequence[str]:
        return await databases(self._plan.source, self._plan.selection)

    async def _cut(self, snapshots: Mapping[str, str]) -> list[Part]:
        found = []
        for database, snapshot in snapshots.items():
            async with connected(self._plan.source, database, purpose=self._purpose) as connection:
                found += await self._cut_one(connection, database, snapshot)
        return sorted(found, key=lambda part: -part.size)

    async def _cut_one(self, connection: Connection, database: str, snapshot: str) -> list[Part]:
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}")
        selection = self._plan.selection
        all_tables = await tables(connection, database, selection)
        types = await text_types(connection)
        ranges = connection.info.server_version >= RANGES_FROM
        return cut(all_tables, selection, types, at_once=AT_ONCE, ranges=ranges)

    @asynccontextmanager
    async def _line(self, database: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection for one COPY; after an error it is not used again."""
        idle = self._idle.setdefault(database, [])
        with translated(self._plan.source):
            connection = idle.pop() if idle else await bulk(self._plan.source, database, purpose=self._purpose)
            try:
                yield connection
            except BaseException:
                connection.terminate()
                raise
        idle.append(connection)

    async def _hang_up(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().terminate()
