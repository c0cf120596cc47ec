"""The log of changes of a PostgreSQL server: one slot for each selected database, read as one stream."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, LiteralString

from sterna.core.change import Batch, Position
from sterna.core.errors import PositionGone, Retryable, StartAgain
from sterna.core.plan import Endpoint, Mode, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres import keeper, publication, slots
from sterna.engines.postgres.catalogue import Table, databases, tables
from sterna.engines.postgres.connection import Connection, connect, connected, translated
from sterna.engines.postgres.names import literal
from sterna.engines.postgres.names import slot as slot_name
from sterna.engines.postgres.position import Positions, lsn, lsn_text, parse, text
from sterna.engines.postgres.stream import Stream, news, opened
from sterna.engines.postgres.wire.frames import Piece

BEAT_S = 1.0
"""How often a quiet source says that it lives, and how often the walsenders hear from us."""
TRIES = 5
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
    _wake: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _asked: Connection | None = field(default=None, init=False)
    """The connection that ``lag`` uses."""
    _presence: Connection | None = field(default=None, init=False)

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
        await self.release()
        chosen = await databases(self._source, self.plan.selection)
        if self.plan.mode is Mode.FULL:
            return text({database: await self._standing(database) for database in chosen})
        return text({database: await self._marked(database) for database in chosen})

    async def _standing(self, database: str) -> int:
        """Start a snapshot that no changes will follow; gives the log's place, which only informs."""
        await self._be_present()
        await keeper.kept(self._source, database, self._job)
        async with connected(self._source, database) as connection:
            return await _present(connection)

    async def _marked(self, database: str) -> int:
        """Publication, slot and snapshot of one database, such that no table is missing from one of them."""
        async with connected(self._source, database) as connection:
            for _ in range(TRIES):
                before = await tables(connection, database, self.plan.selection)
                await publication.publish(connection, self._job, database, self.plan.selection)
                start, snapshot = await self._slot(connection, database)
                if _shapes(before) == _shapes(await self._seen(database, snapshot)):
                    return start
                await self._unmark(connection, database)
        raise StartAgain(f"Tables of {database} were changed all the time while the mark was being set")

    async def _slot(self, connection: Connection, database: str) -> tuple[int, str]:
        name = slot_name(self._job, database)
        async with slots.made(self._source, database, name, self.tell) as made:
            snapshot = await keeper.kept(self._source, database, self._job, snapshot=made.snapshot, slot=name)
        return made.start, snapshot

    async def _unmark(self, connection: Connection, database: str) -> None:
        for slot in await slots.found(connection, self._job):
            if slot.database == database:
                await slots.dropped(connection, slot)
        for pid in await keeper.keepers(connection, self._job, database):
            await slots.ended(connection, pid)

    async def _seen(self, database: str, snapshot: str) -> Sequence[Table]:
        """The selected tables as the snapshot has them."""
        async with connected(self._source, database) as connection:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}".encode())
            return await tables(connection, database, self.plan.selection)

    async def snapshot(self, database: str) -> str:
        """The exported snapshot that all copies of a database use. Raises StartAgain if it is gone."""
        if self.plan.mode is Mode.FULL:
            await self._be_present()
        async with connected(self._source, database) as connection:
            found = await keeper.keepers(connection, self._job, database)
        if not found:
            raise StartAgain(f"The source no longer keeps the snapshot of {database} that the copy began with")
        return next(iter(found.values()))

    async def _be_present(self) -> None:
        """Without slots: let the keepers see that a worker lives."""
        if self._presence is None or self._presence.closed:
            self._presence = await connect(self._source, purpose=keeper.presence(self._job))

    async def copied(self) -> None:
        """The copy is complete: the snapshots are let go. Twice is once."""
        async with connected(self._source) as connection:
            await self._let_go(connection)

    async def _let_go(self, connection: Connection) -> None:
        for pid in await keeper.keepers(connection, self._job):
            await slots.ended(connection, pid)

    # What changes.

    async def resume(self, after: Position) -> None:
        """See ``Log.resume``. A walsender that a dead worker left behind is ended. Raises PositionGone,
        ServerBusy."""
        await self._ready(parse(after))

    async def _ready(self, after: Positions) -> None:
        async with connected(self._source) as connection:
            now = await _present(connection)
            found = {slot.database: slot for slot in await slots.found(connection, self._job)}
            for database, place in after.items():
                slot = found.get(database)
                _check(database, slot, place, now)
                if slot is not None:
                    await slots.freed(connection, slot)

    async def follow(self, after: Position) -> AsyncGenerator[Batch, None]:
        """See ``Log.follow``. Batches hold changes of one database each, and the position of all."""
        places = parse(after)
        await self._ready(places)
        async with AsyncExitStack() as stack:
            streams = [await stack.enter_async_context(self._stream(*each)) for each in places.items()]
            self._streams, self._changed = streams, {}
            beating = asyncio.create_task(self._beat(streams))
            try:
                async for batch in self._merged(streams, places):
                    yield batch
            finally:
                self._streams = ()
                beating.cancel()
                await asyncio.gather(beating, return_exceptions=True)

    def _stream(self, database: str, after: int) -> AbstractAsyncContextManager[Stream]:
        name = slot_name(self._job, database)
        return opened(self._source, database, name, publication.names(self._job), after)

    async def _merged(self, streams: Sequence[Stream], places: dict[str, int]) -> AsyncIterator[Batch]:
        """The pieces of all streams in the order in which they come in; a large transaction in one go."""
        said = time.monotonic()
        while True:
            quiet = True
            for stream in streams:
                async for piece, read_at in _pieces(stream, self._wake):
                    places[stream.cutter.database] = max(piece.end, places[stream.cutter.database])
                    if not piece.more:
                        self._changed[stream.cutter.database] = piece.end
                    said, quiet = time.monotonic(), False
                    yield Batch(piece.changes, text(places), read_at, piece.size, piece.more)
            if quiet and time.monotonic() - said >= BEAT_S:
                said = time.monotonic()
                places.update(
                    {s.cutter.database: max(s.cutter.reached, places[s.cutter.database]) for s in streams}
                )
                yield Batch((), text(places))
            elif quiet:
                left = max(0.0, said + BEAT_S - time.monotonic())
                await news([stream.socket for stream in streams], self._wake, left)

    async def _beat(self, streams: Sequence[Stream]) -> None:
        """Let the walsenders hear from us even while nobody takes what they send, and ask where they are."""
        while True:
            for stream in streams:
                stream.report(ask=True)
            await asyncio.sleep(BEAT_S)

    async def confirm(self, upto: Position) -> None:
        """See ``Log.confirm``."""
        places = parse(upto)
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
        if self._asked is None or self._asked.closed:
            self._asked = await connect(self._source)
            await self._asked.execute("SET synchronous_commit = local")
        with translated(self._source):
            standby, inserted, flushed = await _row(self._asked, _PLACES)
            if not standby and inserted != flushed:
                (flushed,) = await _row(self._asked, _BARRIER)
            return lsn(flushed)

    async def release(self) -> None:
        """See ``Log.release``."""
        async with connected(self._source) as connection:
            found = await slots.found(connection, self._job)
            for slot in found:
                await slots.dropped(connection, slot)
            await self._let_go(connection)
        chosen = await databases(self._source, self.plan.selection)
        for database in sorted({slot.database for slot in found} | set(chosen)):
            async with connected(self._source, database) as connection:
                await publication.withdraw(connection, self._job)

    async def close(self) -> None:
        """Leaves nothing running here; what is on the source stays for a later run."""
        for connection in (self._asked, self._presence):
            if connection is not None:
                await connection.close()


_PLACES = """
    SELECT pg_is_in_recovery(),
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text"""
_BARRIER = "SELECT pg_logical_emit_message(true, 'sterna', '')::text"


async def _present(connection: Connection) -> int:
    """Where the server's log is now."""
    _, inserted, _ = await _row(connection, _PLACES)
    return lsn(inserted)


async def _row(connection: Connection, query: LiteralString) -> tuple[Any, ...]:
    """The only row of a query that always has one."""
    (row,) = await (await connection.execute(query)).fetchall()
    return tuple(row)


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


def _shapes(found: Sequence[Table]) -> Sequence[object]:
    """What must not change while the mark is set."""
    return [(table.oid, table.path, table.root, table.columns, table.key, table.identity) for table in found]
