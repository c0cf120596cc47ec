"""Reads the files of a plan, one after the other, as chunks of commands."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from sterna.core.change import Chunk, Format, Name, Part, Position
from sterna.core.errors import BadData, NeedsOperator, Unsupported
from sterna.core.event import Level
from sterna.core.files import Opens, Storage
from sterna.core.plan import Plan
from sterna.core.ports import Log, Room, Teller
from sterna.engines.redis.connection import pack
from sterna.engines.redis.disk import on_disk
from sterna.engines.redis.files import position, shelf
from sterna.engines.redis.files.aiming import FileAim, file_aim
from sterna.engines.redis.files.position import FilePosition
from sterna.engines.redis.files.preparing import NOTHING_HELD
from sterna.engines.redis.files.reader import Reader
from sterna.engines.redis.files.shelf import Content, Entry, Item, Shelf
from sterna.engines.redis.files.sieve import Sieve
from sterna.engines.redis.files.touched import Touched
from sterna.engines.redis.mapping import Mapping as Databases
from sterna.engines.redis.names import HOLD_MS, RESP, checkpoint_key
from sterna.engines.redis.preparing import ForeignKeys
from sterna.engines.redis.wire.place import Place
from sterna.engines.redis.wire.rdb import Big, End, Functions, Needs, Restored, Walker
from sterna.engines.redis.wire.stream import Piece, Rules, Transformer

KEYSPACE = Name(("redis",))
FILES = "files"
BATCH_BYTES = 1 << 20
BATCH_COMMANDS = 8192
VALUE_LIMIT = 16 << 20
"""Values of more bytes than this in an RDB file are rebuilt with ordinary commands, in pieces."""


@dataclass(frozen=True)
class _Work:
    """What every part of one copy needs."""

    shelf: Shelf
    aim: FileAim
    progress: "_Progress"

    def chunk(
        self, data: bytes, count: int, at: FilePosition, reached: int, rows: int = 0, skipped: int = 0
    ) -> Chunk:
        """``reached``: bytes of the shelf's files that are used up."""
        size = self.progress.step(reached)
        return Chunk(RESP, data, rows, size, at.text(self.shelf.mark), count, skipped)


class _Progress:
    """Counts bytes of stored files; what is read again counts once."""

    def __init__(self, reached: int) -> None:
        """``reached`` below 0: the place of the first step is where it begins."""
        self._reached = reached

    def step(self, reached: int) -> int:
        """How many bytes more than before."""
        if self._reached < 0:
            self._reached = reached
        size, self._reached = max(0, reached - self._reached), max(reached, self._reached)
        return size


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
        self._note_holds(laid)
        if after is None:
            self._tell_of(laid)
        work = _Work(laid, aim, _Progress(0 if after is None else -1))
        for number in range(at.item, len(laid.items)):
            here = at if number == at.item else FilePosition(at.alone, number)
            reading = _ItemReading(work, self._plan, laid.items[number], here, self._folder, self._tell)
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


class _ItemReading:
    """One data set."""

    def __init__(self, work: _Work, plan: Plan, item: Item, at: FilePosition, folder: Path, tell: Teller) -> None:
        self._work = work
        self._plan = plan
        self._item = item
        self._at = at
        self._folder = folder
        self._tell = tell
        self._touched: Touched | None = None
        self._rest = b""
        """What was read beyond an RDB part."""

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """What is left of it, from ``at`` on."""
        try:
            if self._tracks:
                await self._track(self._at)
            for number in range(self._at.entry, len(self._item.entries)):
                if number != self._at.entry:
                    self._at = replace(FilePosition(self._at.alone, self._at.item), entry=number)
                async with aclosing(self._entry(self._item.entries[number])) as chunks:
                    async for chunk in chunks:
                        yield chunk
        finally:
            if self._touched:
                self._touched.close()

    @property
    def _tracks(self) -> bool:
        """Whether a key must be taken away before the log's first command for it.

        Not on a target that held nothing, unless an earlier file may have brought it, or the log may be read
        again from its beginning.
        """
        only = len(self._work.shelf.items) == 1
        return self._item.is_log and not (self._at.alone and only and not self._work.aim.cluster)

    async def _entry(self, entry: Entry) -> AsyncGenerator[Chunk]:
        """One file: an RDB part, then commands, or either."""
        if self._at.place is not None and entry.content is not Content.RDB:
            self._at = self._at.in_log(0, 0)
        start = self._at.place.offset if self._at.place else self._at.offset
        reader = Reader(entry.opened, start)
        try:
            await reader.open()
            self._work.progress.step(self._reached(entry, reader, self._at))
            if self._at.place is not None:
                async with aclosing(self._rdb(entry, reader)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            if self._at.place is None:
                async with aclosing(self._commands(entry, reader)) as more:
                    async for chunk in more:
                        yield chunk
        except (BadData, Unsupported) as error:
            raise _named(error, entry) from error
        finally:
            await reader.close()

    # An RDB part

    async def _rdb(self, entry: Entry, reader: Reader) -> AsyncGenerator[Chunk]:
        """Its chunks. Where commands follow, ``at`` is in them then."""
        assert self._at.place is not None, "asked before"
        walker = self._walker(self._at.place)
        whole = self._work.aim.cluster
        at, done = self._at, self._at.pieces
        while True:
            result = walker.walk(BATCH_BYTES)
            match result:
                case Needs():
                    await _feed(walker, reader)
                case Restored():
                    at, done = at.in_rdb(result.place), 0
                    skipped = result.expired + result.left_out
                    yield self._chunk(entry, reader, result.data, result.commands, at, result.keys, skipped)
                case Functions():
                    at = at.in_rdb(result.place)
                    load = pack("FUNCTION", "LOAD", "REPLACE", result.code)
                    yield self._chunk(entry, reader, load, 1, at)
                case Big():
                    choice = pack("SELECT", result.database)
                    for piece in walker.pieces(done):
                        if piece is None:
                            await _feed(walker, reader)
                            continue
                        here = at.in_rdb(result.place, 0 if whole else piece.number + 1)
                        yield self._chunk(entry, reader, choice + piece.data, piece.commands + 1, here)
                    at, done = at.in_rdb(walker.place), 0
                    yield self._chunk(entry, reader, b"", 0, at, 1)
                case End():
                    self._tell_end(entry, walker, result)
                    self._rest = walker.rest() or await reader.read()
                    if self._rest:
                        self._after_rdb(entry, self._rest, result.place.offset)
                    return

    def _walker(self, place: Place) -> Walker:
        aim = self._work.aim.aim
        touched, keep = self._touched, aim.keep

        def note(database: int, key: bytes) -> bool:
            assert touched is not None, "asked before"
            touched.first(database, key)
            return keep is None or keep(database, key)

        return Walker(
            target_version=aim.rdb_version,
            limit=VALUE_LIMIT,
            databases=aim.of,
            keep=note if touched else keep,
            hold_ms=HOLD_MS if self._item.is_log else 0,
            absolute=aim.modern,
            hints=aim.modern,
            place=place,
        )

    def _tell_end(self, entry: Entry, walker: Walker, end: End) -> None:
        for note in walker.facts.notes:
            self._tell(Level.WARN, "redis.file.left_out", f"{entry.name}: {note}", file=entry.name)
        if not end.checked:
            message = f"{entry.name} was written without a checksum: damage within values would not be seen"
            self._tell(Level.WARN, "redis.file.unchecked", message, file=entry.name)

    def _after_rdb(self, entry: Entry, rest: bytes, offset: int) -> None:
        """Something follows the RDB part: commands, or what Redis passes over."""
        if rest[:1] in (b"*", b"#", b"\r", b"\n"):
            self._at = self._at.in_log(offset, 0)
        elif self._item.is_log:
            raise BadData(f"byte {offset}: no command begins with {rest[:16]!r}")
        else:
            message = f"{entry.name}: what follows the end of the RDB file at byte {offset} is passed over"
            self._tell(Level.WARN, "redis.file.rest", message, file=entry.name)

    # Commands

    async def _commands(self, entry: Entry, reader: Reader) -> AsyncGenerator[Chunk]:
        at = self._at
        (self._folder / NOTHING_HELD).unlink(missing_ok=True)
        sieve = Sieve(entry.name, at.offset, at.database, self._touched, alone=at.alone)
        transformer = Transformer(self._rules(), database=at.database, offset=at.offset)
        taking = _Taking(sieve, transformer)
        data, self._rest = self._rest or await reader.read(), b""
        while data:
            sieve.feed(data)
            while True:
                for piece, place in taking.pieces():
                    at = at.in_log(place, piece.database)
                    yield self._piece(entry, reader, piece, at)
                for note in taking.notes():
                    self._tell(Level.WARN, "redis.file.left_out", note, file=entry.name)
                if not sieve.needs_touched:
                    break
                await self._track(replace(at, offset=sieve.at))
                sieve.touched, sieve.needs_touched = self._touched, False
            data = await reader.read()
        self._cut_off(entry, sieve, at.offset)

    def _piece(self, entry: Entry, reader: Reader, piece: Piece, at: FilePosition) -> Chunk:
        """The commands of a piece. A SWAPDB takes our checkpoint along: the one that was moved is taken away."""
        place = 0
        for one, other in piece.swaps:
            place = other if place == one else one if place == other else place
        if not place:
            return self._chunk(entry, reader, piece.data, piece.count, at)
        away = pack("SELECT", place) + pack("DEL", self._work.aim.checkpoint)
        return self._chunk(entry, reader, piece.data + away, piece.count + 2, at)

    def _rules(self) -> Rules:
        aim = self._work.aim.aim
        return Rules(databases=aim.databases, hold_ms=HOLD_MS, keep=aim.keep, count=aim.count)

    def _cut_off(self, entry: Entry, sieve: Sieve, offset: int) -> None:
        """The file ends within a command or a transaction: a server that was killed leaves it so."""
        left = sieve.at + sieve.waiting - offset
        if not left:
            return
        what = f"ends within a command or transaction that begins at byte {offset}"
        if entry is not self._item.entries[-1] or self._plan.options.get("aof_truncated") == "refuse":
            raise BadData(
                what, hint="Take the file from a server that was shut down, or mend it: redis-check-aof."
            )
        message = f"{entry.name} {what}: these last {left} bytes are left out, as Redis does at its own start"
        self._tell(Level.WARN, "redis.file.cut_off", message, file=entry.name, bytes=str(left))

    # Both

    def _chunk(
        self,
        entry: Entry,
        reader: Reader,
        data: bytes,
        count: int,
        at: FilePosition,
        rows: int = 0,
        skipped: int = 0,
    ) -> Chunk:
        reached = self._reached(entry, reader, at)
        if self._work.aim.cluster and self._item.is_log:
            at = FilePosition(at.alone, at.item)  # only from its beginning may a log be written twice
        return self._work.chunk(data, count, at, reached, rows, skipped)

    def _reached(self, entry: Entry, reader: Reader, at: FilePosition) -> int:
        """Bytes of the shelf's files before a place; of packed files those that were unpacked, a little more."""
        before = sum(blob.size for blob in self._work.shelf.blobs[: entry.blob]) + entry.before
        if entry.packed:
            return before + reader.spent
        return before + (at.place.offset if at.place else at.offset)

    async def _track(self, upto: FilePosition) -> None:
        """Note which keys the data set has touched before a place in it, by reading that again."""
        if self._touched:
            self._touched.close()
        self._touched = Touched(self._folder / "touched.db")
        for number, entry in enumerate(self._item.entries[: upto.entry + 1]):
            last = upto if number == upto.entry else None
            await _note_keys(entry, self._touched, last)


class _Taking:
    """From what the sieve lets through to pieces, with the place in the file after each."""

    def __init__(self, sieve: Sieve, transformer: Transformer) -> None:
        self._sieve = sieve
        self._transformer = transformer
        self._taken = 0
        self._notes: list[str] = []

    def pieces(self) -> Iterator[tuple[Piece, int]]:
        """All that is complete. Raises BadData, Unsupported, after what came before."""
        for commands in self._sieve.take():
            self._transformer.feed(commands, time.time_ns() // 1_000_000)
            while (piece := self._transformer.take(BATCH_BYTES, BATCH_COMMANDS)).consumed:
                self._taken += piece.consumed
                self._notes += piece.notes
                yield piece, self._sieve.place(self._taken)

    def notes(self) -> list[str]:
        """What is to be told since the last time."""
        found, self._notes, self._sieve.notes = self._notes + self._sieve.notes, [], []
        return found


async def _feed(walker: Walker, reader: Reader) -> None:
    data = await reader.read()
    walker.feed(data) if data else walker.close()


async def _note_keys(entry: Entry, touched: Touched, upto: FilePosition | None) -> None:
    """Note the keys of a file up to a place in it, which may be passed within an RDB part; None: of all of it."""
    reader = Reader(entry.opened, 0)
    try:
        await reader.open()
        rest, offset = b"", 0
        if entry.content is Content.RDB:
            rest, offset = await _note_rdb(reader, touched, upto.place.offset if upto and upto.place else -1)
            if upto and upto.place:
                return
        await _note_commands(entry, reader, touched, rest, offset, upto.offset if upto else -1)
    finally:
        await reader.close()


async def _note_rdb(reader: Reader, touched: Touched, upto: int) -> tuple[bytes, int]:
    """Returns what was read beyond the part's end, and where that is. ``upto`` below 0: all."""

    def note(database: int, key: bytes) -> bool:
        touched.first(database, key)
        return False

    walker = Walker(target_version=0, limit=1 << 62, keep=note, hold_ms=1)
    while upto < 0 or walker.place.offset < upto:
        match walker.walk(BATCH_BYTES):
            case Needs():
                await _feed(walker, reader)
            case End() as end:
                return walker.rest(), end.place.offset
            case _:
                pass
    return b"", upto


async def _note_commands(
    entry: Entry, reader: Reader, touched: Touched, rest: bytes, offset: int, upto: int
) -> None:
    sieve = Sieve(entry.name, offset, 0, touched, alone=True)
    data = rest or await reader.read()
    while data:
        left = len(data) if upto < 0 else max(0, upto - sieve.at - sieve.waiting)
        sieve.feed(data[:left])
        for _ in sieve.take():
            pass
        await asyncio.sleep(0)
        data = await reader.read() if left >= len(data) else b""


def _named(error: BadData | Unsupported, entry: Entry) -> BadData | Unsupported:
    """The same error, with the file it is about."""
    kind = BadData if isinstance(error, BadData) else Unsupported
    known = entry.name in error.message or entry.name.partition(": ")[0] in error.message
    return kind(error.message if known else f"{entry.name}: {error.message}", hint=error.hint)
