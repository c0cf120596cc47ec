"""Writes to the databases of a target. Everything that is kept is kept together with its position."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from sterna.core.change import Batch, Chunk, Format, Part, Position
from sterna.core.errors import Trouble
from sterna.core.plan import Path, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres.applying import Applying, as_replica, database_of, drop_origin
from sterna.engines.postgres.building import Building
from sterna.engines.postgres.catalogue import databases
from sterna.engines.postgres.checkpoint import BEGINNING, enterable
from sterna.engines.postgres.checkpoints import FOLLOW, Checkpoints
from sterna.engines.postgres.connection import connected, translated
from sterna.engines.postgres.copying import Piece
from sterna.engines.postgres.counting import Counter
from sterna.engines.postgres.databases import create_database
from sterna.engines.postgres.early import Early
from sterna.engines.postgres.formats import BINARY, TEXT
from sterna.engines.postgres.loading import Loader
from sterna.engines.postgres.names import own, slot
from sterna.engines.postgres.places import target_database
from sterna.engines.postgres.position import parse
from sterna.engines.postgres.preparing import Preparing

HELD = "held"
"""Lane: there when triggers, foreign keys and the like have still to be made."""


class PostgresSink:
    """Meets ``core.ports.Sink``. Close it."""

    def __init__(self, plan: Plan, room: Room, tell: Teller) -> None:
        self._plan = plan
        self._room = room
        self._tell = tell
        self._purpose = f"{own(room.job_id)} sink"
        self._checkpoints = Checkpoints(plan.target, room)
        self._filled: dict[str, set[Path]] = {}
        self._pieces: dict[str, Piece] = {}
        self._places: dict[str, str] = {}
        self._loader = Loader(plan, room)
        self._early = Early(self._building)
        self._applying = Applying(plan, room, tell)
        self._counter = Counter(plan)

    @property
    def formats(self) -> Sequence[Format]:
        return (BINARY, TEXT)

    async def claim(self) -> None:
        await self._checkpoints.claim()

    async def position(self, lane: str) -> Position | None:
        return await self._checkpoints.position(lane)

    async def prepare(self) -> None:
        names = await databases(self._plan.source, self._plan.selection)
        where = {name: target_database(self._plan.selection, name) for name in names}
        todo = {name: await self._read(name) for name in names}
        strange = await self._look(where, todo)
        await self._build(where)
        with translated(self._plan.target):
            for name, preparing in todo.items():
                checkpoint = self._checkpoints[where[name]]
                await preparing.empty(checkpoint.connection, checkpoint, strange[name])
        await self._checkpoints.forget()
        self._filled, self._pieces = {}, {}

    async def load(self, part: Part, chunk: Chunk) -> None:
        piece = self._pieces.get(part.id) or self._pieces.setdefault(part.id, Piece.of(part))
        shared = piece.to not in await self._filled_in(piece.to[0])
        await self._loader.load(part, piece, chunk, shared=shared)
        self._checkpoints.landed(f"copy:{part.id}", chunk.position)
        if not shared:
            self._early.landed(piece, chunk.position)

    async def write(self, batch: Batch) -> None:
        database = database_of(batch)
        to = self._places.get(database) or target_database(self._plan.selection, database)
        self._places[database] = to
        done = 0
        if not self._applying.has(database):
            await self._checkpoints.verify()
            done = parse(await self._checkpoints.position(FOLLOW) or Position("{}")).get(database, 0)
        await self._applying.write(batch, to, done)

    async def verify(self) -> None:
        await self._checkpoints.verify()

    async def copied(self, anchor: Position) -> None:
        await self._checkpoints.verify()
        await self._early.done()
        held = not await self._is_replica()
        for database, to in (await self._databases()).items():
            tables = sorted(await self._filled_in(to) - self._early.analyzed)
            await self._building(database, to).after(tables, held=held)
        await self._checkpoints.keep(("copied", *([HELD] if held else []), FOLLOW), anchor)

    async def finish(self) -> None:
        if not self._checkpoints:
            return
        await self._checkpoints.verify()
        await self._applying.close()
        complete = await self._checkpoints.position(FOLLOW) is not None
        held = await self._checkpoints.position(HELD) != BEGINNING
        where = await self._databases()
        if complete:
            for database, to in where.items():
                await self._building(database, to).last(held=held)
        async with connected(self._plan.target, purpose=self._purpose) as connection:
            for database in where:
                await drop_origin(connection, slot(self._room.job_id, database))
        await self._checkpoints.drop()

    async def rows(self) -> int:
        return await self._counter.target()

    async def close(self) -> None:
        """End all connections."""
        await self._early.close()
        await self._loader.close()
        await self._applying.close()
        await self._checkpoints.close()

    async def _read(self, database: str) -> Preparing:
        async with connected(self._plan.source, database, purpose=self._purpose) as source:
            return await Preparing.read(source, self._plan, database, self._tell)

    async def _look(self, where: Mapping[str, str], todo: Mapping[str, Preparing]) -> dict[str, set[Path]]:
        """The tables of the target with rows of others, for each of the source's databases. Changes nothing."""
        async with connected(self._plan.target, purpose=self._purpose) as connection:
            there = await enterable(connection)
        replica = await self._is_replica()
        found: dict[str, set[Path]] = {name: set() for name in where}
        for name, to in where.items():
            if to in there:
                async with self._checkpoints.peek(to) as checkpoint:
                    ours = await checkpoint.filled() if await checkpoint.there() else set()
                    found[name] = await todo[name].look(checkpoint.connection, to, ours, replica=replica)
        return found

    async def _build(self, where: Mapping[str, str]) -> None:
        """Make the databases, the checkpoints and all that the rows need."""
        async with connected(self._plan.target, purpose=self._purpose) as target:
            drawn = {name: await self._building(name, to).draw(target) for name, to in where.items()}
            for name, to in where.items():
                async with connected(self._plan.source, name, purpose=self._purpose) as source:
                    await create_database(source, target, name, to, self._tell)
        await self._checkpoints.make(where)
        with translated(self._plan.target):
            for name, to in where.items():
                await self._building(name, to).before(self._checkpoints[to].connection, drawn[name])

    def _building(self, database: str, to: str) -> Building:
        return Building(self._plan, self._room, self._tell, database, to)

    async def _databases(self) -> Mapping[str, str]:
        """The source's databases with their places; as they are now, where nothing is noted."""
        noted = self._checkpoints.databases()
        if noted:
            return noted
        try:
            names = await databases(self._plan.source, self._plan.selection)
        except Trouble:
            names = [each.path[0] for each in self._plan.selection.objects]
        return {name: target_database(self._plan.selection, name) for name in names}

    async def _is_replica(self) -> bool:
        """Whether changes can be applied without triggers and foreign keys in the way."""
        async with connected(self._plan.target, purpose=self._purpose) as connection:
            return await as_replica(connection)

    async def _filled_in(self, database: str) -> set[Path]:
        if database not in self._filled:
            with translated(self._plan.target):
                self._filled[database] = await self._checkpoints[database].filled()
        return self._filled[database]


@asynccontextmanager
async def open_sink(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[PostgresSink]:
    room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sink = PostgresSink(plan, room, tell)
    try:
        yield sink
    finally:
        await sink.close()
