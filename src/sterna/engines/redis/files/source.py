"""Reads the files of a plan, one after the other, as chunks of commands."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing

from sterna.core.change import Chunk, Format, Name, Part, Position
from sterna.core.errors import NeedsOperator
from sterna.core.event import Level
from sterna.core.files import Opens, Storage
from sterna.core.plan import Plan
from sterna.core.ports import Log, Room, Teller
from sterna.engines.redis.disk import on_disk
from sterna.engines.redis.files import position, shelf
from sterna.engines.redis.files.aiming import file_aim
from sterna.engines.redis.files.item import ItemReading, Steps, Work
from sterna.engines.redis.files.position import FilePosition
from sterna.engines.redis.files.preparing import NOTHING_HELD
from sterna.engines.redis.files.shelf import Shelf
from sterna.engines.redis.mapping import Mapping as Databases
from sterna.engines.redis.names import RESP, checkpoint_key
from sterna.engines.redis.preparing import ForeignKeys

KEYSPACE = Name(("redis",))
FILES = "files"


class FileSource:
    """Meets ``core.ports.Source``."""

    def __init__(self, plan: Plan, mapping: Databases, opens: Opens | None, room: Room, tell: Teller) -> None:
        self._plan = plan
        self._mapping = mapping
        self._opens = opens
        self._folder = room.folder
        self._checkpoint = checkpoint_key(room.job_id)
        self._tell = tell
        self._shelf: Shelf | None = None

    @property
    def log(self) -> Log | None:
        """None: files stand still."""
        return None

    async def names(self) -> Sequence[Name]:
        return [KEYSPACE]

    async def parts(self, name: Name) -> Sequence[Part]:
        """One: the files come one after the other, a later one overwriting an earlier one."""
        return [Part(FILES, name, size=(await self._laid_out()).size)]

    async def copied(self) -> None:
        """Nothing was held."""

    async def rows(self) -> int:
        """Not known before all is read."""
        return -1

    async def close(self) -> None:
        """Let go of the files."""
        if self._shelf:
            self._shelf.close()
            self._shelf = None

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        """All files, going on in the middle of one."""
        if after is not None and after.endswith("/" + position.END):
            return
        laid = await self._laid_out()
        aim = await file_aim(self._plan, self._mapping, ForeignKeys(self._folder), self._checkpoint)
        at = position.parse(after, laid.mark) if after is not None else FilePosition(alone=aim.empty)
        if after is None:
            self._note_holds(laid)
            self._tell_of(laid)
        work = Work(laid, aim, Steps(0 if after is None else -1))
        for number in range(at.item, len(laid.items)):
            here = at if number == at.item else FilePosition(at.alone, number)
            reading = ItemReading(work, self._plan, laid.items[number], here, self._folder, self._tell)
            async with aclosing(reading.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk
        yield Chunk(RESP, b"", 0, work.progress.step(laid.size), position.end(laid.mark))

    async def _laid_out(self) -> Shelf:
        if self._shelf is None:
            self._shelf = await lay_out(self._plan, self._opens)
        return self._shelf

    def _note_holds(self, laid: Shelf) -> None:
        """Only expiries in logs are held, for which the end of the job has to look through all keys."""
        file = self._folder / NOTHING_HELD
        with on_disk("Nothing can be kept"):
            file.unlink(missing_ok=True) if any(item.is_log for item in laid.items) else file.touch()

    def _tell_of(self, laid: Shelf) -> None:
        for item in laid.items:
            parts = f": {', '.join(entry.path for entry in item.entries)}" if len(item.entries) > 1 else ""
            kind = "AOF" if item.is_log else "RDB"
            self._tell(Level.INFO, "redis.file.found", f"{item.name} is to be read, {kind}{parts}", file=item.name)
        for name in laid.passed_over:
            message = f"{name} is neither an RDB nor an AOF file; it is passed over"
            self._tell(Level.WARN, "redis.file.passed_over", message, file=name)


async def lay_out(plan: Plan, opens: Opens | None) -> Shelf:
    """Find and open the files of a plan. Raises NotFound, Unreachable, AccessDenied, BadData, Unsupported."""
    storages = await storages_of(plan, opens)
    limit = shelf.archive_limit(plan.options)
    return await asyncio.to_thread(shelf.lay_out, storages, plan.source.files, limit)


async def storages_of(plan: Plan, opens: Opens | None) -> Mapping[str, Storage]:
    """The buckets of a plan by their ids."""
    if opens is None:
        raise NeedsOperator("Files cannot be read here: no storage is set up")
    return {bucket: await opens(bucket) for bucket in dict.fromkeys(file.bucket for file in plan.source.files)}
