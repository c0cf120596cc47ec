"""Reads a Redis or Valkey source: the data set it sent us as its replica, then its stream out of the spool."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from sterna.core.change import Batch, Chunk, Command, Format, Name, Part, Position
from sterna.core.errors import BadData, PositionGone, Retryable, StartAgain, Trouble
from sterna.core.event import Level
from sterna.core.plan import Mode, Plan, Resume
from sterna.core.ports import Log, Teller
from sterna.engines.redis.aim import Aim, aim
from sterna.engines.redis.connection import READ_SIZE, Connection, info, pack
from sterna.engines.redis.dump import Dump
from sterna.engines.redis.intake import Intake
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import RESP
from sterna.engines.redis.position import StreamPosition
from sterna.engines.redis.preparing import ForeignKeys, call, used
from sterna.engines.redis.spool import Spool
from sterna.engines.redis.wire.place import Place
from sterna.engines.redis.wire.rdb import Big, End, Functions, Needs, Restored, Walker
from sterna.engines.redis.wire.stream import Piece, Rules, Transformer

KEYSPACE = Name(("redis",))
DATA_SET = "dump"
BATCH_BYTES = 1 << 20
BATCH_COMMANDS = 8192
SIGN_OF_LIFE_S = 1.0

COPIED = "copied"
"""The position in a data set once all of it is on the target."""
VALUE_LIMIT = 16 << 20
"""Values of more bytes than this in the dump are rebuilt with ordinary commands, in pieces."""


class RedisLog:
    """Meets ``core.ports.Log``: the source's replication stream."""

    def __init__(
        self,
        plan: Plan,
        intake: Intake,
        spool: Spool,
        dump: Dump,
        aim: Callable[[], Awaitable[Aim]],
        key: bytes,
        tell: Teller,
    ) -> None:
        self._key = key
        self._tell = tell
        self._plan = plan
        self._intake = intake
        self._spool = spool
        self._dump = dump
        self._aim = aim
        self._attached = False
        self._asking: Connection | None = None

    async def anchor(self) -> Position:
        self._attached = True
        return (await self._intake.begin()).text()

    async def resume(self, after: Position) -> None:
        at = StreamPosition.parse(after)
        self._attached = False
        if not self._intake.has(at):  # it went on while only the target was away
            await self._intake.attach(at)
        self._attached = True

    async def follow(self, after: Position) -> AsyncIterator[Batch]:
        """Out of the spool, which the intake fills."""
        at = StreamPosition.parse(after)
        if not self._attached:
            await self.resume(after)
        self._dump.remove()  # all of it is on the target, and following may take days
        aim = await self._aim()
        rules = Rules(
            databases=aim.databases,
            hold_ms=aim.hold_ms,
            flush=self._plan.options.get("replay_flush") == "yes",
            keep=aim.keep,
            count=aim.count,
        )
        transformer = Transformer(rules, database=at.database)
        fed = at.offset
        while True:
            piece = transformer.take(BATCH_BYTES, BATCH_COMMANDS)
            for note in piece.notes:
                self._tell(Level.WARN, "redis.stream", note)
            if piece.consumed:
                at = StreamPosition(self._spool.replid, at.offset + piece.consumed, piece.database)
                changes = [self._command(piece)] if piece.count else []
                yield Batch(changes, at.text(), piece.read_at_ms, piece.consumed)
                continue
            if found := await self._read(fed, at):
                transformer.feed(*found)
                fed += len(found[0])
                continue
            if self._intake.failure:
                raise self._intake.failure
            try:
                async with asyncio.timeout(SIGN_OF_LIFE_S):  # wait_for can swallow a cancellation
                    await self._spool.wait(fed)
            except TimeoutError:
                yield Batch([], at.text())

    async def _read(self, offset: int, at: StreamPosition) -> tuple[bytes, int] | None:
        """Some of the stream. What the disk has damaged is asked for again: the next run begins with that."""
        try:
            return self._spool.read(offset, BATCH_BYTES)
        except BadData as error:
            await self._intake.stop()
            self._spool.reset(at.offset, at.replid or self._spool.replid)
            message = f"{error.message}. It is thrown away, and the stream is fetched from the source again"
            self._tell(Level.WARN, "redis.spool.damaged", message)
            raise Retryable(message) from error

    def _command(self, piece: Piece) -> Command:
        """The piece's commands; a SWAPDB takes our checkpoint along, so the one that was moved is taken away."""
        place = 0
        for one, other in piece.swaps:
            place = other if place == one else one if place == other else place
        if not place:
            return Command(piece.data, piece.count)
        return Command(piece.data + pack("SELECT", place) + pack("DEL", self._key), piece.count + 2)

    async def confirm(self, upto: Position) -> None:
        """The spool may forget it, also where it held nothing for the target, whose own position is before it."""
        self._spool.forget(StreamPosition.parse(upto).offset)

    async def release(self) -> None:
        await self.close()
        self._dump.remove()
        self._spool.remove()

    async def lag(self, applied: Position) -> int:
        """Bytes of the source's stream that are not applied, by asking the source; -1 while it does not answer."""
        try:
            if self._asking is None:
                self._asking = await Connection.open(self._plan.source)
            facts = info(await call(self._asking, "INFO", "replication"))
        except Retryable:
            await self._hang_up()
            return -1
        except BaseException:
            await self._hang_up()
            raise
        if facts.get("master_replid", self._spool.replid) != self._spool.replid:
            return -1  # another history than the one that arrives here: the two offsets have nothing in common
        return max(0, int(facts.get("master_repl_offset", "0")) - StreamPosition.parse(applied).offset)

    async def close(self) -> None:
        """End the links to the source."""
        await self._intake.stop()
        await self._hang_up()

    async def _hang_up(self) -> None:
        asking, self._asking = self._asking, None
        if asking:
            await asking.close()


class RedisSource:
    """Meets ``core.ports.Source``."""

    def __init__(
        self,
        plan: Plan,
        mapping: Mapping,
        intake: Intake,
        spool: Spool,
        dump: Dump,
        foreign: ForeignKeys,
        checkpoint: bytes,
        tell: Teller,
    ) -> None:
        self._plan = plan
        self._mapping = mapping
        self._dump = dump
        self._intake = intake
        self._foreign = foreign
        self._tell = tell
        self._log = RedisLog(plan, intake, spool, dump, self._aim, checkpoint, tell)

    @property
    def log(self) -> Log:
        return self._log

    async def names(self) -> Sequence[Name]:
        return [KEYSPACE]

    async def parts(self, name: Name) -> Sequence[Part]:
        """One: the data set comes in one piece, over one connection."""
        facts = self._dump.facts
        size = (facts.size if facts.complete else facts.expected) if facts else 0
        return [Part(DATA_SET, name, rows=max(0, facts.keys) if facts else 0, size=max(0, size))]

    async def copied(self) -> None:
        """Nothing is held for the copy on the server."""

    async def rows(self) -> int:
        """Keys on the source that are selected; -1 while it does not answer."""
        try:
            async with await Connection.open(self._plan.source) as source:
                there = await used(source, None)
        except Retryable:
            return -1
        return sum(count for database, count in there.items() if self._mapping.target_of(database) is not None)

    async def close(self) -> None:
        """End the link to the source; the files stay."""
        await self._log.close()

    async def _aim(self) -> Aim:
        return await aim(self._plan, self._mapping, self._foreign)

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        """The data set as it comes in, or out of the file if it is there already."""
        await self._have_data_set()
        facts = self._dump.facts
        assert facts is not None, "there is a data set"
        mark = f"{facts.replid}:{facts.offset}/"
        copied = Position(mark + COPIED)
        if after == copied:
            return
        place, done = _parse(after, mark)
        target = await self._aim()
        walker = Walker(
            target_version=target.rdb_version,
            limit=VALUE_LIMIT,
            databases=target.of,
            keep=target.keep,
            hold_ms=target.hold_ms,
            absolute=target.modern,
            hints=target.modern,
            place=place,
        )
        feeder = Feeder(walker, self._dump, self._intake, place.offset, self._lost)
        at = place
        while True:
            before = at
            result = walker.walk(BATCH_BYTES)
            match result:
                case Needs():
                    await feeder.feed()
                case Restored():
                    at, done = result.place, 0
                    size = at.offset - before.offset
                    skipped = result.expired + result.left_out
                    yield Chunk(
                        RESP, result.data, result.keys, size, Position(f"{mark}{at}#0"), result.commands, skipped
                    )
                case Functions():
                    at = result.place
                    load = pack("FUNCTION", "LOAD", "REPLACE", result.code)
                    yield Chunk(RESP, load, 0, at.offset - before.offset, Position(f"{mark}{at}#0"), 1)
                case Big():
                    choice = pack("SELECT", result.database)
                    for piece in walker.pieces(done):
                        if piece is None:
                            await feeder.feed()
                            continue
                        here = Position(f"{mark}{result.place}#{piece.number + 1}")
                        yield Chunk(RESP, choice + piece.data, 0, 0, here, piece.commands + 1)
                    at, done = walker.place, 0
                    yield Chunk(RESP, b"", 1, at.offset - before.offset, Position(f"{mark}{at}#0"))
                case End():
                    for note in walker.facts.said():
                        self._tell(Level.WARN, "redis.left_out", note)
                    yield Chunk(RESP, b"", 0, 0, copied)
                    return

    async def _have_data_set(self) -> None:
        """Go on from the file of an earlier run, if it is whole and the stream after it still goes on."""
        facts = self._dump.facts
        if self._intake.running:
            return
        if facts is None or not facts.complete:
            raise StartAgain("The data set was not received completely before the interruption")
        if self._plan.mode is Mode.INCREMENTAL:
            try:
                await self._log.resume(StreamPosition(facts.replid, facts.offset).text())
            except PositionGone as gone:
                raise self._lost(gone) from gone

    def _lost(self, failure: Trouble) -> Trouble:
        """In the middle of a copy a lost position means a new copy, unless the operator wants to be asked."""
        if isinstance(failure, PositionGone) and self._plan.resume is Resume.AUTO:
            return StartAgain(failure.message)
        return failure


class Feeder:
    """Gives a walker the dump's bytes as they come in."""

    def __init__(
        self, walker: Walker, dump: Dump, intake: Intake, offset: int, lost: Callable[[Trouble], Trouble]
    ) -> None:
        self._walker = walker
        self._dump = dump
        self._intake = intake
        self._offset = offset
        self._lost = lost

    async def feed(self) -> None:
        """Some more bytes; waits for them. Raises what ended the link, if it did."""
        while True:
            if self._intake.failure:
                raise self._lost(self._intake.failure)
            if data := self._dump.read(self._offset, READ_SIZE):
                self._walker.feed(data)
                self._offset += len(data)
                return
            if self._dump.facts and self._dump.facts.complete:
                self._walker.close()
                return
            await self._dump.grown()


def _parse(after: Position | None, mark: str) -> tuple[Place, int]:
    """A place in the data set with this mark, and how many pieces of the large value there are done.

    Raises StartAgain where the target was set back to a time when it took another data set.
    """
    if after is None:
        return Place(), 0
    if not after.startswith(mark):
        raise StartAgain("The target's position is one in another data set than the one that is here")
    place, _, pieces = after.removeprefix(mark).partition("#")
    return Place.parse(place), int(pieces or 0)
