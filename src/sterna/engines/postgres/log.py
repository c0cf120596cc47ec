"""The log of changes of a PostgreSQL server: one slot for each selected database, read as one stream."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

from sterna.core.change import Batch, Change, Ddl, Position
from sterna.core.errors import PositionGone, Retryable
from sterna.core.plan import Endpoint, Mode, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres import ddl, publication, slots
from sterna.engines.postgres.connection import Connection, connect, connected, translated
from sterna.engines.postgres.marking import Marks
from sterna.engines.postgres.names import SCHEMA, own
from sterna.engines.postgres.names import slot as slot_name
from sterna.engines.postgres.position import Positions, lsn, lsn_text, parse, text
from sterna.engines.postgres.stream import READ_AHEAD, Stream, news, opened
from sterna.engines.postgres.watch import Watch
from sterna.engines.postgres.wire.frames import Cutter, Piece

GATHER_S = 0.001
"""What comes in within this time after a batch goes into one batch, unless that is full before. While the target
is at work on a batch, more gathers by itself."""
BEAT_S = 1.0
"""How often a quiet source says that it lives, and how often the walsenders hear from us."""
LOOK_AHEAD_S = 0.3
"""How long ``lag`` waits for what the source has to arrive."""


@dataclass
class PostgresLog:
    """Reads what changes in the selected databases of a server. Meets ``core.ports.Log``."""

    plan: Plan
    room: Room
    tell: Teller
    _streams: Sequence[Stream] = field(default=(), init=False)
    """Those that ``follow`` reads now."""
    _changed: dict[str, int] = field(default_factory=dict, init=False)
    """Where the last changes ended that ``follow`` handed out of each database."""
    _told: list[tuple[str, str, Positions]] = field(default_factory=list, init=False)
    """Changes of shape of the look-out that were handed out: the database, the text, and where all were then."""
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _asked: Connection | None = field(default=None, init=False)
    """The connection that ``lag`` uses."""
    _marks: Marks = field(init=False)
    _watch: Watch = field(init=False)
    _watching: "asyncio.Task[None] | None" = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._marks = Marks(self.plan, self.room, self.tell)
        self._watch = Watch(self.plan, self.room, self.tell, self._wake.set)

    @property
    def _source(self) -> Endpoint:
        return self.plan.source

    @property
    def _job(self) -> str:
        return str(self.room.job_id)

    # The mark, and the snapshot that belongs to it.

    async def anchor(self) -> Position:
        """See ``Log.anchor``. Without changes to follow there are no slots, only snapshots.

        Raises AccessDenied, NeedsOperator, ServerBusy, StartAgain.
        """
        await self._unwatch()
        places = await self._marks.set()
        self._watch_over()
        return text(places)

    async def snapshot(self, database: str) -> str:
        """The exported snapshot that all copies of a database use. Raises StartAgain if it is gone."""
        self._watch_over()
        self._not_lost()
        return await self._marks.snapshot(database)

    async def copied(self) -> None:
        """The copy is complete: the snapshots are let go. Twice is once."""
        await self._marks.let_go()

    async def release(self) -> None:
        """See ``Log.release``."""
        await self._unwatch()
        await self._marks.remove()

    def _watch_over(self) -> None:
        """Look after the slots from now on, if nobody does."""
        if self.plan.mode is Mode.INCREMENTAL and (self._watching is None or self._watching.done()):
            self._watching = asyncio.create_task(self._watch.run())

    async def _unwatch(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
            self._watching = None
        self._watch.forget()

    def _not_lost(self) -> None:
        if self._watch.lost:
            raise PositionGone(self._watch.lost, hint=_LET_GROW)

    # What changes.

    async def resume(self, after: Position) -> None:
        """See ``Log.resume``. A walsender that a dead worker left behind is ended. Raises PositionGone,
        ServerBusy."""
        await self._ready(parse(after))

    async def _ready(self, after: Positions) -> None:
        async with connected(self._source) as connection:
            now = await slots.present(connection)
            found = {slot.database: slot for slot in await slots.found(connection, self._job)}
            for database, place in after.items():
                slot = found.get(database)
                _check(database, slot, place, now)
                if slot is not None:
                    await slots.freed(connection, slot)

    async def follow(self, after: Position) -> AsyncGenerator[Batch, None]:
        """See ``Log.follow``. Batches hold changes of one database each, and the position of all."""
        places = parse(after)
        self._not_lost()
        await self._ready(places)
        self._watch_over()
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(self._stream(*each)) for each in places.items()]
            self._streams, self._changed = streams, {}
            self._watch.seen[:0] = [(name, told) for name, told, _ in self._told]  # it may not have arrived
            self._told.clear()
            beating = asyncio.create_task(self._beat(streams))
            try:
                async for batch in self._merged(streams, places):
                    yield batch
            except Retryable:
                self._not_lost()
                raise
            finally:
                self._streams = ()
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    def _stream(self, database: str, after: int) -> AbstractAsyncContextManager[Stream]:
        cutter = Cutter(database, after, own(self._job), (SCHEMA, ddl.journal(self._job)), after)
        name = slot_name(self._job, database)
        return opened(self._source, cutter, name, publication.names(self._job))

    async def _merged(self, streams: Sequence[Stream], places: dict[str, int]) -> AsyncIterator[Batch]:
        """The pieces of all streams in the order in which they come in; a large transaction in one go."""
        said = time.monotonic()
        while True:
            self._not_lost()
            quiet = True
            for stream in streams:
                database = stream.cutter.database
                async for piece, read_at in _pieces(stream, self._wake):
                    places[database] = max(piece.end, places[database])
                    if not piece.more:
                        self._changed[database] = piece.end
                    said, quiet = time.monotonic(), False
                    changes = [change for change in piece.changes if self._wanted(change)]
                    if changes or not piece.more:
                        yield Batch(changes, text(places), read_at, piece.size, piece.more)
            for batch in self._looked(places):
                quiet = False
                yield batch
            if not quiet:
                await _gather(streams, said + GATHER_S)
            elif time.monotonic() - said >= BEAT_S:
                said = time.monotonic()
                places.update({s.cutter.database: s.cutter.reached for s in streams if not s.cutter.waiting})
                yield Batch((), text(places))
            else:
                left = max(0.0, said + BEAT_S - time.monotonic())
                await news([stream.socket for stream in streams], self._wake, left)

    def _wanted(self, change: Change) -> bool:
        """Not a command that changed the shape of something that is not selected."""
        return not isinstance(change, Ddl) or ddl.concerns(change.text, change.database, self.plan.selection)

    def _looked(self, places: Positions) -> Iterator[Batch]:
        """Changes of shape that were seen without a trigger."""
        while self._watch.seen:
            database, told = self._watch.seen.pop(0)
            if database in places:
                self._told.append((database, told, dict(places)))
                yield Batch([Ddl(database, told)], text(places), time.time_ns() // 1_000_000, len(told))

    async def _beat(self, streams: Sequence[Stream]) -> None:
        """Let the walsenders hear from us even while nobody takes what they send, and ask where they are."""
        while True:
            for stream in streams:
                stream.report(ask=True)
            await asyncio.sleep(BEAT_S)

    async def confirm(self, upto: Position) -> None:
        """See ``Log.confirm``."""
        places = parse(upto)
        while self._told and _beyond(places, self._told[0][2]):
            self._watch.settle(self._told.pop(0)[0])
        for stream in self._streams:
            stream.confirmed = max(stream.confirmed, places.get(stream.cutter.database, 0))
            stream.report()

    async def lag(self, applied: Position) -> int:
        """See ``Log.lag``: how far the server's log is beyond the place that all databases have reached.

        0 only if everything that was committed before the call has come in and is applied.
        """
        places = parse(applied)
        try:
            now = await self._barrier()
        except Retryable:
            return -1
        behind = max(0, now - min(places.values(), default=now))
        if behind and await self._all_in(now) and not self._left(places):
            return 0
        return behind

    def _left(self, places: Positions) -> bool:
        """Whether there are changes that came in and are not applied."""
        return any(stream.cutter.pending for stream in self._streams) or any(
            places.get(database, 0) < end for database, end in self._changed.items()
        )

    async def _all_in(self, upto: int) -> bool:
        """Wait a moment until everything up to a place of the log has come in; not if there is something to do."""
        end = time.monotonic() + LOOK_AHEAD_S
        for stream in self._streams:
            stream.report(ask=True)
        while self._streams and not any(stream.cutter.pending for stream in self._streams):
            for stream in self._streams:
                stream.pull()
            if all(stream.cutter.reached >= upto for stream in self._streams):
                break
            if time.monotonic() > end:
                return False
            await news([stream.socket for stream in self._streams], None, end - time.monotonic())
        self._wake.set()
        return bool(self._streams)

    async def _barrier(self) -> int:
        """A place of the log before which is everything that was committed until now, and that streams can reach.

        What is not flushed is not streamed: a message of our own, which is flushed with all before it, helps.
        Raises Retryable.
        """
        with translated(self._source):
            if self._asked is None or self._asked.closed:
                self._asked = await connect(self._source)
                await self._asked.execute("SET synchronous_commit = local")
            committed, flushed = await slots.places(self._asked)
            if committed == flushed:
                return flushed
            (row,) = await (await self._asked.execute(_BARRIER)).fetchall()
            return lsn(row[0])

    async def close(self) -> None:
        """Leaves nothing running here; what is on the source stays for a later run."""
        await self._unwatch()
        await self._marks.close()
        if self._asked is not None:
            await self._asked.close()


def _beyond(places: Positions, before: Positions) -> bool:
    """Whether what was handed out at ``before`` lies before what ends at ``places``."""
    return any(place > before.get(database, place) for database, place in places.items())


_LET_GROW = "Raise slot_limit_mb, or let the target catch up, then start the job again: it copies everything anew."
_BARRIER = "SELECT pg_logical_emit_message(true, 'sterna', '')::text"


async def _gather(streams: Sequence[Stream], until: float) -> None:
    """Let changes come in for a moment: many small batches would cost the target one commit each."""
    for stream in streams:
        stream.pull()
    left = until - time.monotonic()
    if left > 0 and all(stream.cutter.waiting < READ_AHEAD // 2 for stream in streams):
        await asyncio.sleep(left)


async def _pieces(stream: Stream, wake: asyncio.Event) -> AsyncIterator[tuple[Piece, int]]:
    """What there is; a transaction that was begun goes on until it is complete."""
    unfinished = False
    stream.pull()
    while (piece := stream.cutter.take()) is not None or unfinished:
        if piece is None:
            await news([stream.socket], wake)
            stream.pull()
            continue
        unfinished = piece.more
        read_at, stream.read_at_ms = stream.read_at_ms, 0
        yield piece, read_at


def _check(database: str, slot: slots.Slot | None, after: int, now: int) -> None:
    """Raises PositionGone if a slot does not hold everything since a place of the log."""
    if slot is None:
        raise PositionGone(f"The source has no slot for {database} any more: what changed since is not known")
    if slot.lost:
        raise PositionGone(
            f"The source threw away changes of {database}: its slot held more than the source allows"
        )
    if slot.confirmed > after:
        place, kept = lsn_text(after), lsn_text(slot.confirmed)
        raise PositionGone(
            f"Changes of {database} are wanted from {place} on, the source keeps them from {kept} on"
        )
    if after > now:
        raise PositionGone(f"The source's log ends before the place that {database} had reached: it was set back")
