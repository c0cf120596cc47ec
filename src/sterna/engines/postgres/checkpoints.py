"""A job's checkpoints in all databases of its target."""

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path as File

from sterna.core.change import Position
from sterna.core.errors import Fenced, NeedsOperator
from sterna.core.plan import Endpoint
from sterna.core.ports import Room
from sterna.engines.postgres.checkpoint import BEGINNING, SAFE, Checkpoint, enterable
from sterna.engines.postgres.connection import connect, connected, sqlstate, translated
from sterna.engines.postgres.names import own
from sterna.engines.postgres.position import latest, parse, text

FOLLOW = "follow"


class Checkpoints:
    """Finds them, and speaks to all of them as one. All calls raise Unreachable and the like of ``target``."""

    def __init__(self, target: Endpoint, room: Room) -> None:
        self._target = target
        self._room = room
        self._file: File = room.folder / "databases.json"
        self._here: dict[str, Checkpoint] = {}
        self._lanes: dict[str, Position] | None = None
        """The lanes as they were when they were read, and what was written since."""
        self._incomplete = False
        """One of the databases that were prepared has none any more: it was dropped, emptied or restored."""

    def __bool__(self) -> bool:
        return bool(self._here)

    def __getitem__(self, database: str) -> Checkpoint:
        """Raises Fenced where the job has none."""
        try:
            return self._here[database]
        except KeyError:
            raise Fenced("The checkpoint of the job is gone from the target") from None

    def all(self) -> Sequence[Checkpoint]:
        return list(self._here.values())

    def databases(self) -> Mapping[str, str]:
        """The source's databases and what they are called on the target, as noted when they were prepared.

        Empty: nothing is noted on this machine.
        """
        try:
            found: dict[str, str] = json.loads(self._file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return found

    async def claim(self) -> None:
        """Take over those that there are. Raises Fenced."""
        async with connected(self._target, purpose=self._purpose) as connection:
            there = await enterable(connection)
        noted = set(self.databases().values())
        for name in there:
            if name not in self._here and (name in noted or not noted):
                await self._look(name)
        with translated(self._target):
            for checkpoint in self.all():
                await checkpoint.claim()
                await checkpoint.end_builders()
        self._lanes, self._incomplete = None, not noted <= set(self._here)

    async def make(self, databases: Mapping[str, str]) -> None:
        """Have one in each of the target's databases; ``databases``: with those of the source."""
        for name in sorted(set(databases.values())):
            if name not in self._here:
                self._here[name] = await self._connect(name)
            with translated(self._target):
                await self._here[name].make()
        self._incomplete = False
        self._file.write_text(json.dumps(dict(databases), ensure_ascii=False), encoding="utf-8")

    @asynccontextmanager
    async def peek(self, database: str) -> AsyncIterator[Checkpoint]:
        """The one that there is, or could be, in an existing database."""
        known = self._here.get(database)
        checkpoint = known or await self._connect(database)
        try:
            with translated(self._target):
                yield checkpoint
        finally:
            if not known:
                await checkpoint.connection.close()

    async def position(self, lane: str) -> Position | None:
        """Of parts: the beginning where nothing is known of one, so that its loss is not taken for the target's.

        Of changes: the latest place of each of the source's databases that any of the target's knows. None where
        one of the databases has lost its checkpoint, and so its rows.
        """
        if self._incomplete:
            return None
        with translated(self._target):
            if self._lanes is None or lane == FOLLOW:
                known = [await checkpoint.lanes() for checkpoint in self.all()]
                self._lanes = {name: place for lanes in known for name, place in lanes.items()}
                followed = [lanes[FOLLOW] for lanes in known if FOLLOW in lanes]
        if lane == FOLLOW:
            return text(latest(*(parse(each) for each in followed))) if followed else None
        return self._lanes.get(lane, BEGINNING if self._here else None)

    def landed(self, lane: str, position: Position) -> None:
        """A lane was written."""
        if self._lanes is not None:
            self._lanes[lane] = position

    async def forget(self) -> None:
        """Forget all lanes."""
        self._lanes = None
        with translated(self._target):
            for checkpoint in self.all():
                await checkpoint.forget()

    async def verify(self) -> None:
        """Raises Fenced unless this run has them."""
        if not self._here:
            raise Fenced("The checkpoint of the job is gone from the target")
        with translated(self._target):
            for checkpoint in self.all():
                await checkpoint.verify()

    async def keep(self, lanes: Iterable[str], position: Position) -> None:
        """Remember lanes in all of them, one after the other, each and all before it on the disk."""
        with translated(self._target):
            for lane in lanes:
                for checkpoint in self.all():
                    async with checkpoint.connection.transaction():
                        await checkpoint.keep(lane, position)

    async def drop(self) -> None:
        """Take all of them away. Raises Fenced."""
        with translated(self._target):
            for name in list(self._here):
                await self._here[name].drop()
                await self._here.pop(name).connection.close()
        self._file.unlink(missing_ok=True)

    async def close(self) -> None:
        for checkpoint in self.all():
            await checkpoint.connection.close()

    async def _look(self, name: str) -> None:
        try:
            checkpoint = await self._connect(name)
        except NeedsOperator as error:
            if sqlstate(error.__cause__ or error) == "3D000":  # somebody has just dropped the database
                return
            raise
        with translated(self._target):
            if await checkpoint.there():
                self._here[name] = checkpoint
            else:
                await checkpoint.connection.close()

    async def _connect(self, database: str) -> Checkpoint:
        connection = await connect(self._target, database, purpose=self._purpose)
        with translated(self._target):
            await connection.execute(SAFE)
        return Checkpoint(connection, self._room)

    @property
    def _purpose(self) -> str:
        return f"{own(self._room.job_id)} sink"
