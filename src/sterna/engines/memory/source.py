"""Reads a memory database: rows as of the mark, then every change after it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from sterna.core.change import VALUES, Batch, Chunk, Format, Name, Part, Position
from sterna.core.ports import Room
from sterna.engines.memory.database import Database, key_of


@dataclass(frozen=True)
class Habits:
    """How the engine works: sizes in rows and transactions, times in seconds."""

    pieces: int = 2
    """How many parts a table is cut into."""
    chunk: int = 100
    batch: int = 100
    beat: float = 1.0
    """How often a quiet log says that it lives."""
    look: float = 0.01
    """How often a quiet log looks for changes."""


@dataclass(frozen=True)
class MemoryLog:
    """What changes in a memory database."""

    database: Database
    job: str
    habits: Habits

    async def anchor(self) -> Position:
        return self.database.mark(self.job)

    async def resume(self, after: Position) -> None:
        self.database.read(after, 0)

    async def follow(self, after: Position) -> AsyncIterator[Batch]:
        quiet = time.monotonic()
        while True:
            read_at = time.time_ns() // 1_000_000
            upto, changes = self.database.read(after, self.habits.batch)
            if changes or upto != after or time.monotonic() - quiet >= self.habits.beat:
                yield Batch(changes, upto, read_at, len(changes))
                after, quiet = upto, time.monotonic()
            if not changes:
                await asyncio.sleep(self.habits.look)

    async def confirm(self, upto: Position) -> None:
        self.database.confirm(self.job, upto)

    async def release(self) -> None:
        self.database.release(self.job)

    async def lag(self, applied: Position) -> int:
        return self.database.behind(applied)


@dataclass(frozen=True)
class MemorySource:
    """What is in a memory database."""

    database: Database
    room: Room
    habits: Habits

    @property
    def log(self) -> MemoryLog:
        return MemoryLog(self.database, self.room.job_id, self.habits)

    async def names(self) -> Sequence[Name]:
        return self.database.names(self.room.job_id)

    async def parts(self, name: Name) -> Sequence[Part]:
        pieces = self.habits.pieces
        sizes = [self.database.size(self.room.job_id, name, piece, pieces) for piece in range(pieces)]
        return [Part(f"{name}/{piece}", name, f"{piece}/{pieces}", rows) for piece, rows in enumerate(sizes)]

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        piece, _, pieces = part.spec.partition("/")
        last = json.loads(after) if after is not None else None
        while rows := self.database.page(
            self.room.job_id, part.name, int(piece), int(pieces), last, self.habits.chunk
        ):
            last = key_of(rows[-1])
            size = sum(len(repr(row)) for row in rows)
            yield Chunk(VALUES, rows, len(rows), size, Position(json.dumps(last)))
            await asyncio.sleep(0)

    async def copied(self) -> None:
        """Nothing is held for the copy."""

    async def rows(self) -> int:
        return self.database.count()
