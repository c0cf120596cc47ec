"""Snapshots that end with their connections: what the copy stands on until the log of changes keeps them."""

from collections.abc import AsyncIterator

from sterna.core.change import Batch, Position
from sterna.core.errors import StartAgain, Unsupported
from sterna.core.plan import Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres.catalogue import databases
from sterna.engines.postgres.connection import Connection, connect, translated


class StandingLog:
    """The snapshots of a full copy."""

    def __init__(self, plan: Plan, room: Room, tell: Teller) -> None:
        self._plan = plan
        self._kept: dict[str, tuple[Connection, str]] = {}

    async def anchor(self) -> Position:
        await self.close()
        for database in await databases(self._plan.source, self._plan.selection):
            connection = await connect(self._plan.source, database)
            with translated(self._plan.source):
                await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                row = await (await connection.execute("SELECT pg_export_snapshot()")).fetchone()
            self._kept[database] = connection, str(row[0] if row else "")
        return Position("{}")

    async def snapshot(self, database: str) -> str:
        if database not in self._kept:
            raise StartAgain("The source no longer has the snapshot that is copied")
        return self._kept[database][1]

    async def copied(self) -> None:
        await self.close()

    async def resume(self, after: Position) -> None:
        raise Unsupported("Changes are not followed")

    def follow(self, after: Position) -> AsyncIterator[Batch]:
        raise Unsupported("Changes are not followed")

    async def confirm(self, upto: Position) -> None:
        raise Unsupported("Changes are not followed")

    async def release(self) -> None:
        await self.close()

    async def lag(self, applied: Position) -> int:
        return -1

    async def close(self) -> None:
        for connection, _ in self._kept.values():
            await connection.close()
        self._kept = {}
