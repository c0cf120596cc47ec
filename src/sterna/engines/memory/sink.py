"""Writes to a memory database. The position goes in with the data, in the same transaction."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sterna.core.change import VALUES, Batch, Chunk, Format, Part, Pieces, Position
from sterna.core.errors import BadData
from sterna.core.plan import Conflict
from sterna.core.ports import Room
from sterna.engines.memory.database import Database


@dataclass(frozen=True)
class MemorySink:
    """A target. A writer whose epoch is not the one in the checkpoint is refused."""

    database: Database
    room: Room
    conflict: Conflict

    @property
    def formats(self) -> Sequence[Format]:
        return (VALUES,)

    async def claim(self) -> None:
        self.database.claim(self.room.job_id, self.room.epoch)

    async def position(self, lane: str) -> Position | None:
        return self.database.position(self.room.job_id, lane)

    async def prepare(self) -> None:
        self.database.prepare(self.room.job_id, self.room.epoch, empty=self.conflict is Conflict.STOP)

    async def load(self, part: Part, chunk: Chunk) -> None:
        if isinstance(chunk.data, bytes | Pieces):
            raise BadData(f"Not a format of this sink: {chunk.format}")
        await asyncio.sleep(self.database.delay())
        lane = f"copy:{part.id}"
        self.database.load(self.room.job_id, self.room.epoch, lane, part.name, chunk.data, chunk.position)

    async def write(self, batch: Batch) -> None:
        await asyncio.sleep(self.database.delay())
        self.database.write(self.room.job_id, self.room.epoch, batch.changes, batch.position)

    async def verify(self) -> None:
        self.database.verify(self.room.job_id, self.room.epoch)

    async def copied(self, anchor: Position) -> None:
        self.database.keep(self.room.job_id, self.room.epoch, "follow", anchor)

    async def finish(self) -> None:
        self.database.unclaim(self.room.job_id, self.room.epoch)

    async def rows(self) -> int:
        return self.database.count()
