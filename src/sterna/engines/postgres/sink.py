"""Writes to the databases of a target. Everything that is kept is kept together with its position."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sterna.core.change import Batch, Chunk, Format, Part, Position
from sterna.core.errors import Fenced
from sterna.core.plan import Path, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres.catalogue import databases
from sterna.engines.postgres.checkpoint import BEGINNING, Checkpoint, holding
from sterna.engines.postgres.connection import connect, connected, translated
from sterna.engines.postgres.copying import Piece
from sterna.engines.postgres.counting import Counter
from sterna.engines.postgres.formats import BINARY, TEXT
from sterna.engines.postgres.loading import Loader
from sterna.engines.postgres.names import own, quoted
from sterna.engines.postgres.places import by_target
from sterna.engines.postgres.preparing import Preparing

FOLLOW = "follow"
_TARGETS = "targets.json"
"""The file with the target's databases that hold a checkpoint: so that not all have to be looked into."""


class PostgresSink:
    """Meets ``core.ports.Sink``. Close it."""

    def __init__(self, plan: Plan, room: Room, tell: Teller) -> None:
        self._plan = plan
        self._room = room
        self._tell = tell
        self._purpose = f"{own(room.job_id)} sink"
        self._checkpoints: dict[str, Checkpoint] = {}
        self._lanes: dict[str, Position] | None = None
        self._filled: dict[str, set[Path]] = {}
        self._pieces: dict[str, Piece] = {}
        self._loader = Loader(plan, room)
        self._counter = Counter(plan)

    @property
    def formats(self) -> Sequence[Format]:
        return (BINARY, TEXT)

    async def claim(self) -> None:
        await self._find()
        for checkpoint in self._checkpoints.values():
            with translated(self._plan.target):
                await checkpoint.claim()

    async def position(self, lane: str) -> Position | None:
        with translated(self._plan.target):
            if lane == FOLLOW:
                return await self._followed()
            lanes = await self._known_lanes()
        return lanes.get(lane, BEGINNING if self._checkpoints else None)

    async def prepare(self) -> None:
        plan = self._plan
        sources = await databases(plan.source, plan.selection)
        targets = {name: target for target, names in by_target(plan, sources).items() for name in names}
        todo = [(name, await self._read(name)) for name in sources]
        with translated(plan.target):
            await self._make_databases(set(targets.values()))
            strange = {name: await self._look(preparing, targets[name]) for name, preparing in todo}
            for name, preparing in todo:
                checkpoint = self._checkpoints[targets[name]]
                await preparing.empty(checkpoint.connection, checkpoint, strange[name])
            for checkpoint in self._checkpoints.values():
                await checkpoint.forget()
        self._lanes, self._filled, self._pieces = None, {}, {}

    async def load(self, part: Part, chunk: Chunk) -> None:
        piece = self._pieces.get(part.id) or self._pieces.setdefault(part.id, Piece.of(part))
        await self._loader.load(part, piece, chunk, shared=piece.to not in await self._filled_in(piece.to[0]))
        if self._lanes is not None:
            self._lanes[f"copy:{part.id}"] = chunk.position

    async def write(self, batch: Batch) -> None:
        raise NotImplementedError

    async def verify(self) -> None:
        if not self._checkpoints:
            raise Fenced("The checkpoint of the job is gone from the target")
        with translated(self._plan.target):
            for checkpoint in self._checkpoints.values():
                await checkpoint.verify()

    async def copied(self, anchor: Position) -> None:
        await self.verify()
        with translated(self._plan.target):
            for flush in (True, False):
                for checkpoint in self._checkpoints.values():
                    async with checkpoint.connection.transaction():
                        await checkpoint.keep("copied" if flush else FOLLOW, anchor)

    async def finish(self) -> None:
        with translated(self._plan.target):
            for name in list(self._checkpoints):
                await self._checkpoints[name].drop()
                await self._checkpoints.pop(name).connection.close()
        self._room.folder.joinpath(_TARGETS).unlink(missing_ok=True)

    async def rows(self) -> int:
        return await self._counter.target()

    async def close(self) -> None:
        """End all connections."""
        await self._loader.close()
        for checkpoint in self._checkpoints.values():
            await checkpoint.connection.close()

    async def _find(self) -> None:
        """Connect to the databases of the target where the job has a checkpoint."""
        for name in await self._candidates():
            if name not in self._checkpoints:
                checkpoint = await self._connect(name)
                with translated(self._plan.target):
                    if await checkpoint.there():
                        self._checkpoints[name] = checkpoint
                    else:
                        await checkpoint.connection.close()

    async def _candidates(self) -> Sequence[str]:
        async with connected(self._plan.target, purpose=self._purpose) as connection:
            there = await holding(connection)
        file = self._room.folder / _TARGETS
        noted = json.loads(file.read_text(encoding="utf-8")) if file.exists() else there
        return [name for name in there if name in noted]

    async def _connect(self, database: str) -> Checkpoint:
        connection = await connect(self._plan.target, database, purpose=self._purpose)
        return Checkpoint(connection, self._room)

    async def _read(self, database: str) -> Preparing:
        async with connected(self._plan.source, database, purpose=self._purpose) as source:
            return await Preparing.read(source, self._plan, database, self._tell)

    async def _make_databases(self, names: set[str]) -> None:
        async with connected(self._plan.target, purpose=self._purpose) as connection:
            there = await holding(connection)
            for name in sorted(names.difference(there)):
                await connection.execute(f"CREATE DATABASE {quoted(name)}")
        for name in sorted(names):
            if name not in self._checkpoints:
                self._checkpoints[name] = await self._connect(name)
            await self._checkpoints[name].make()
        text = json.dumps(sorted(self._checkpoints), ensure_ascii=False)
        self._room.folder.joinpath(_TARGETS).write_text(text, encoding="utf-8")

    async def _look(self, preparing: Preparing, target: str) -> set[Path]:
        checkpoint = self._checkpoints[target]
        return await preparing.look(checkpoint.connection, target, await checkpoint.filled())

    async def _filled_in(self, database: str) -> set[Path]:
        if database not in self._filled:
            with translated(self._plan.target):
                self._filled[database] = await self._checkpoints[database].filled()
        return self._filled[database]

    async def _known_lanes(self) -> dict[str, Position]:
        """The lanes as they were at the claim, and what was written since."""
        if self._lanes is None:
            self._lanes = {}
            for checkpoint in self._checkpoints.values():
                self._lanes |= await checkpoint.lanes()
        return self._lanes

    async def _followed(self) -> Position | None:
        found = [
            lanes[FOLLOW]
            for checkpoint in self._checkpoints.values()
            if FOLLOW in (lanes := await checkpoint.lanes())
        ]
        return found[0] if found else None


@asynccontextmanager
async def open_sink(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[PostgresSink]:
    room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sink = PostgresSink(plan, room, tell)
    try:
        yield sink
    finally:
        await sink.close()
