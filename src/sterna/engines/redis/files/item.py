"""Reads one data set: an RDB file, an AOF, or the parts of one."""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path

from sterna.core.change import Chunk, Pieces
from sterna.core.errors import BadData, Trouble, Unsupported
from sterna.core.event import Level
from sterna.core.plan import Plan
from sterna.core.ports import Teller
from sterna.engines.redis.connection import pack
from sterna.engines.redis.files.aiming import FileAim
from sterna.engines.redis.files.noting import BATCH_BYTES, feed, note_keys
from sterna.engines.redis.files.position import FilePosition
from sterna.engines.redis.files.preparing import NOTHING_HELD
from sterna.engines.redis.files.reader import Reader
from sterna.engines.redis.files.scratch import Scratch
from sterna.engines.redis.files.shelf import Content, Entry, Item, Shelf
from sterna.engines.redis.files.sieve import MOST_WORDS, Sieve
from sterna.engines.redis.files.touched import Touched
from sterna.engines.redis.names import HOLD_MS, RESP
from sterna.engines.redis.wire.place import Place
from sterna.engines.redis.wire.rdb import Big, End, Functions, Needs, Restored, Walker
from sterna.engines.redis.wire.stream import Piece, Rules, Transformer

BATCH_COMMANDS = 8192
VALUE_LIMIT = 16 << 20
"""Values of more bytes than this in an RDB file are rebuilt with ordinary commands, in pieces."""


FIRST_WITHOUT_LIMIT, MOST_WORDS_BEFORE = 10, 1 << 20
"""Servers before Redis 7.0 (RDB version 10) close the link on commands of more words."""


@dataclass(frozen=True)
class Work:
    """What every part of one copy needs."""

    shelf: Shelf
    aim: FileAim
    progress: "Steps"

    def chunk(
        self, data: bytes | Pieces, count: int, at: FilePosition, reached: int, rows: int = 0, skipped: int = 0
    ) -> Chunk:
        """``reached``: bytes of the shelf's files that are used up."""
        size = self.progress.step(reached)
        return Chunk(RESP, data, rows, size, at.text(self.shelf.mark), count, skipped)


class Steps:
    """Counts bytes of stored files; what is read again counts once."""

    def __init__(self, reached: int) -> None:
        """``reached`` below 0: ``begin`` tells."""
        self._reached = reached

    def begin(self, reached: int) -> None:
        """Where a copy goes on that was begun before."""
        if self._reached < 0:
            self._reached = reached

    def step(self, reached: int) -> int:
        """How many bytes more than before."""
        size, self._reached = max(0, reached - self._reached), max(reached, self._reached)
        return size


class ItemReading:
    """One data set."""

    def __init__(self, work: Work, plan: Plan, item: Item, at: FilePosition, folder: Path, tell: Teller) -> None:
        self._work = work
        self._plan = plan
        self._item = item
        self._at = at
        self._folder = folder
        self._tell = tell
        self._touched: Touched | None = None
        self._misjudged = False
        """Commands follow an RDB part that did not say that it begins an AOF."""
        self._rest = b""
        """What was read beyond an RDB part."""
        self._keys = self._left_out = self._commands_sent = 0

    async def chunks(self) -> AsyncGenerator[Chunk]:
        """What is left of it, from ``at`` on."""
        if self._at.place is None:
            self._item = replace(self._item, is_log=True)
        try:
            async with aclosing(self._entries()) as chunks:
                async for chunk in chunks:
                    yield chunk
            if self._misjudged:
                self._begin_as_log()
                async with aclosing(self._entries()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            self._tell_done()
        finally:
            if self._touched:
                self._touched.close()

    def _begin_as_log(self) -> None:
        """Read it anew as what it is: a log's keys are held from expiring, and what others left of them goes.

        An RDB part replaces whole keys, so that twice is once.
        """
        message = f"{self._item.name} goes on with commands: it is read from its beginning again, as an AOF"
        self._tell(Level.INFO, "redis.file.log", message, file=self._item.name)
        (self._folder / NOTHING_HELD).unlink(missing_ok=True)
        self._item = replace(self._item, is_log=True)
        self._at = FilePosition(self._at.alone, self._at.item)
        self._keys = self._left_out = 0
        self._rest = b""

    async def _entries(self) -> AsyncGenerator[Chunk]:
        """All files that are left of it."""
        if self._tracks:
            await self._track(self._at)
        for number in range(self._at.entry, len(self._item.entries)):
            if number != self._at.entry:
                self._at = replace(FilePosition(self._at.alone, self._at.item), entry=number)
            async with aclosing(self._entry(self._item.entries[number])) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _tell_done(self) -> None:
        """What came of it, in this run."""
        parts = [f"{self._keys} keys restored"] if self._keys or not self._item.is_log else []
        parts += [f"{self._left_out} left out: expired, empty, or not selected"] if self._left_out else []
        parts += [f"{self._commands_sent} commands carried out"] if self._item.is_log else []
        self._tell(Level.INFO, "redis.file.read", f"{self._item.name}: {', '.join(parts)}", file=self._item.name)

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
            self._work.progress.begin(self._reached(entry, reader, self._at))
            if self._at.place is not None:
                async with aclosing(self._rdb(entry, reader)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            if self._at.place is None:
                async with aclosing(self._commands(entry, reader)) as more:
                    async for chunk in more:
                        yield chunk
        except (BadData, Unsupported) as error:
            raise in_file(error, entry) from error
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
                    await feed(walker, reader)
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
                            await feed(walker, reader)
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
            clear=touched is not None,
            place=place,
        )

    def _tell_end(self, entry: Entry, walker: Walker, end: End) -> None:
        for note in walker.facts.said():
            self._tell(Level.WARN, "redis.file.left_out", f"{entry.name}: {note}", file=entry.name)
        if not end.checked:
            message = f"{entry.name} was written without a checksum: damage within values would not be seen"
            self._tell(Level.WARN, "redis.file.unchecked", message, file=entry.name)

    def _after_rdb(self, entry: Entry, rest: bytes, offset: int) -> None:
        """Something follows the RDB part: commands, or what Redis passes over."""
        if rest[:1] in (b"*", b"#", b"\r", b"\n"):
            self._misjudged = not self._item.is_log
            if self._item.is_log:
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
        words = MOST_WORDS if self._work.aim.aim.rdb_version >= FIRST_WITHOUT_LIMIT else MOST_WORDS_BEFORE
        scratch, matter = Scratch(self._folder), self._work.aim.cluster or self._work.aim.aim.keep is not None
        sieve = Sieve(
            entry.name, at.offset, at.database, self._touched, alone=at.alone, words=words, store=scratch,
            keys_matter=matter,
        )  # fmt: skip
        transformer = Transformer(self._rules(), database=at.database, offset=at.offset)
        taking = _Taking(sieve, transformer)
        data, self._rest = self._rest or await reader.read(), b""
        while data:
            sieve.feed(data)
            while True:
                for piece, place in taking.pieces():
                    at = at.in_log(place, piece.database)
                    yield self._piece(entry, reader, piece, at, scratch)
                for note in taking.notes():
                    self._tell(Level.WARN, "redis.file.left_out", note, file=entry.name)
                if not sieve.needs_touched:
                    break
                await self._track(replace(at, offset=sieve.at))
                sieve.touched, sieve.needs_touched = self._touched, False
            data = await reader.read()
        self._cut_off(entry, sieve, taking.reached)

    def _piece(self, entry: Entry, reader: Reader, piece: Piece, at: FilePosition, scratch: Scratch) -> Chunk:
        """The commands of a piece. A SWAPDB takes our checkpoint along: the one that was moved is taken away."""
        self._commands_sent += piece.count
        place = 0
        for one, other in piece.swaps:
            place = other if place == one else one if place == other else place
        data, count = piece.data, piece.count
        if place:
            data += pack("SELECT", place) + pack("DEL", self._work.aim.checkpoint)
            count += 2
        return self._chunk(entry, reader, scratch.commands(data, at.offset), count, at)

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
        data: bytes | Pieces,
        count: int,
        at: FilePosition,
        rows: int = 0,
        skipped: int = 0,
    ) -> Chunk:
        self._keys += rows
        self._left_out += skipped
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
            await note_keys(entry, self._touched, last, self._folder)


class _Taking:
    """From what the sieve lets through to pieces, with the place in the file after each."""

    def __init__(self, sieve: Sieve, transformer: Transformer) -> None:
        self._sieve = sieve
        self._transformer = transformer
        self._taken = 0
        self._notes: list[str] = []

    def pieces(self) -> Iterator[tuple[Piece, int]]:
        """All that is complete, as much together as fits. Raises BadData, Unsupported, after what came before."""
        wrong: Trouble | None = None
        fed = 0
        given = self._sieve.take()
        while not wrong:
            try:
                commands = next(given, None)
            except Trouble as error:
                wrong, commands = error, None
            if commands is None:
                break
            self._transformer.feed(commands, time.time_ns() // 1_000_000)
            fed += len(commands)
            # The sieve may give out each command alone: one after the other would take long.
            if fed >= BATCH_BYTES:
                yield from self._complete()
                fed = 0
        yield from self._complete()
        if wrong:
            raise wrong

    def _complete(self) -> Iterator[tuple[Piece, int]]:
        while (piece := self._transformer.take(BATCH_BYTES, BATCH_COMMANDS)).consumed:
            self._taken += piece.consumed
            self._notes += piece.notes
            yield piece, self._sieve.place(self._taken)

    @property
    def reached(self) -> int:
        """Where in the file the first command begins that was not carried on; behind all else that was passed."""
        return self._sieve.place(self._taken)

    def notes(self) -> list[str]:
        """What is to be told since the last time."""
        found, self._notes, self._sieve.notes = self._notes + self._sieve.notes, [], []
        return found


def in_file(error: BadData | Unsupported, entry: Entry) -> BadData | Unsupported:
    """The same error, with the file it is about."""
    kind = BadData if isinstance(error, BadData) else Unsupported
    known = entry.name in error.message or entry.name.partition(": ")[0] in error.message
    return kind(error.message if known else f"{entry.name}: {error.message}", hint=error.hint)
