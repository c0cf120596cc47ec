"""Receives from the source from the first second on: the data set into a file, the stream into the spool.

It reads as fast as the source sends, whatever the target does, so that the source never has to keep much for us.
It acknowledges every second, reconnects by itself with a partial sync, and stops with an error that says why when
that is not possible.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from sterna.core.errors import BadData, NeedsOperator, PositionGone, Retryable, StartAgain, Trouble
from sterna.core.event import Level
from sterna.core.plan import Endpoint
from sterna.core.ports import Teller
from sterna.engines.redis.connection import READ_SIZE, Connection, info, pack
from sterna.engines.redis.dump import Dump, DumpFacts
from sterna.engines.redis.position import StreamPosition
from sterna.engines.redis.replica import FullSync, PartialSync, Payload, keeps, open_replica, payload, psync
from sterna.engines.redis.spool import Spool, SpoolFull
from sterna.engines.redis.wire.opening import OPENING_BYTES, stream_database

ACK_S = 1.0
QUIET_S = 60.0
"""A source that sends nothing for so long, not even its PING, is taken for gone."""
SLOWEST_RETRY_S = 15.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Intake:
    """One link to the source, in a task of its own."""

    def __init__(self, endpoint: Endpoint, dump: Dump, spool: Spool, tell: Teller, *, follow: bool) -> None:
        self._endpoint = endpoint
        self._dump = dump
        self._spool = spool
        self._tell = tell
        self._follow = follow
        self._task: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self.failure: Trouble | None = None
        """Why it stopped, once it has."""
        self.retries = 0

    @property
    def running(self) -> bool:
        """Whether it was begun or attached by this process."""
        return self._task is not None

    def has(self, after: StreamPosition) -> bool:
        """Whether it is at work, and the stream can be read from this position on."""
        at_work = self._task is not None and not self._task.done()
        return at_work and self._spool.holds(after.offset, after.replid)

    async def begin(self) -> StreamPosition:
        """Ask for everything, forgetting what was received before; returns where the stream will go on."""
        await self.stop()
        connection = await open_replica(self._endpoint)
        try:
            keys = await _keys(connection)
            answer = await psync(connection, "?", -1)
            if not isinstance(answer, FullSync):
                raise BadData(
                    f"{connection.where} answered the wish for its whole data set with a part of its stream"
                )
            how = await payload(connection)
            self._spool.reset(answer.offset, answer.replid)
            self._dump.begin(DumpFacts(answer.replid, answer.offset, how.size, keys))
        except BaseException:
            await connection.close()
            raise
        self._start(self._whole(connection, how))
        return StreamPosition(answer.replid, answer.offset, await self._selected() if self._follow else -1)

    async def _selected(self) -> int:
        """The database that is selected where the stream begins, by the first bytes of the data set."""
        while not self.failure:
            database = stream_database(self._dump.read(0, OPENING_BYTES))
            if database is not None:
                return database
            if self._dump.facts and self._dump.facts.complete:
                return -1
            await self._dump.grown()
        raise self.failure

    async def attach(self, after: StreamPosition) -> None:
        """Go on with the stream from the spool's end, or from ``after`` if the spool does not reach it.

        Raises PositionGone, Unreachable: nothing was changed then.
        """
        await self.stop()
        if not self._spool.holds(after.offset, after.replid):
            self._spool.reset(after.offset, after.replid)
        connection = await self._rejoin()
        self._start(self._stream(connection))

    async def _rejoin(self) -> Connection:
        """A connection on which the stream goes on at the spool's end."""
        replid, offset = self._spool.replid, self._spool.end
        connection = await open_replica(self._endpoint)
        try:
            if not await keeps(connection, replid, offset):
                raise PositionGone(f"{connection.where} no longer keeps its stream after offset {offset}")
            answer = await psync(connection, replid, offset)
            if not isinstance(answer, PartialSync):
                raise PositionGone(f"{connection.where} no longer keeps its stream after offset {offset}")
        except BaseException:
            await connection.close()
            raise
        if answer.replid != replid:
            self._spool.rename(answer.replid)
        return connection

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.failure = None
        self._task = asyncio.get_running_loop().create_task(self._guarded(work))

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Trouble as trouble:
            self.failure = trouble
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self.failure = NeedsOperator(f"Receiving from the source failed: {type(error).__name__}: {error}")
            raise
        finally:
            self._dump.wake()
            self._spool.wake()

    async def _whole(self, connection: Connection, how: Payload) -> None:
        self._connection = connection
        try:
            rest = await self._data_set(connection, how)
        except Retryable as error:
            await connection.close()
            raise StartAgain(
                f"The link to the source broke while it sent its data set: {error.message}"
            ) from error
        except BaseException:
            await connection.close()
            raise
        self._dump.complete()
        if not self._follow:
            self._connection = None  # a stop that comes now must not wait for the same end once more
            await connection.close()
            return
        if rest:
            self._spool.append(self._spool.end, rest, now_ms())
        await self._stream(connection)

    async def _data_set(self, connection: Connection, how: Payload) -> bytes:
        """Receive the data set; returns what came after it."""
        alive = asyncio.create_task(_every(ACK_S, connection, lambda: b"\n"))
        tail = b""
        try:
            while how.size < 0 or self._dump.written < how.size:
                data = await connection.read(READ_SIZE, timeout=QUIET_S)
                if how.size >= 0:
                    left = how.size - self._dump.written
                    self._dump.append(data[:left])
                    tail = data[left:]
                    continue
                data = tail + data
                if (found := data.find(how.mark)) >= 0:
                    self._dump.append(data[:found])
                    return data[found + len(how.mark) :]
                keep = max(0, len(data) - len(how.mark) + 1)
                self._dump.append(data[:keep])
                tail = data[keep:]
            return tail
        finally:
            alive.cancel()

    async def _stream(self, connection: Connection) -> None:
        """Receive the stream for ever, over as many connections as it takes."""
        delay = 0.1
        while True:
            began = time.monotonic()
            try:
                await self._receive(connection)
            except Retryable as error:
                self._tell(Level.WARN, "redis.link.lost", f"The link to the source broke: {error.message}")
            if time.monotonic() - began > 30:
                delay = 0.1
            while True:
                await asyncio.sleep(delay)
                delay = min(delay * 2, SLOWEST_RETRY_S)
                self.retries += 1
                try:
                    connection = await self._rejoin()
                    break
                except Retryable as error:
                    self._tell(
                        Level.WARN, "redis.link.retry", f"The source cannot be reached yet: {error.message}"
                    )
            self._tell(
                Level.INFO, "redis.link.back", f"The link to the source is back at offset {self._spool.end}"
            )

    async def _receive(self, connection: Connection) -> None:
        self._connection = connection
        alive = asyncio.create_task(
            _every(ACK_S, connection, lambda: pack("REPLCONF", "ACK", self._spool.end), self._spool.sync)
        )
        try:
            while True:
                data = await connection.read(READ_SIZE, timeout=QUIET_S)
                if alive.done():
                    alive.result()  # the disk refused to keep what was written
                await self._keep(data)
        finally:
            alive.cancel()
            self._connection = None
            await connection.close()

    async def _keep(self, data: bytes) -> None:
        """Put it into the spool; while that is full, the source waits."""
        told = False
        while True:
            try:
                self._spool.append(self._spool.end, data, now_ms())
                return
            except SpoolFull as full:
                if not told:
                    told = True
                    message = f"The spool is full, the source has to wait: {full.message}"
                    self._tell(Level.WARN, "redis.spool.full", message)
                await asyncio.sleep(0.2)

    async def stop(self) -> None:
        """End the link. The files stay."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
        if self._connection:
            await self._connection.close()
            self._connection = None


async def _every(
    seconds: float, connection: Connection, words: Callable[[], bytes], also: Callable[[], None] | None = None
) -> None:
    """Send something again and again, beginning now."""
    while True:
        connection.send(words())
        if also:
            also()
        await asyncio.sleep(seconds)


async def _keys(connection: Connection) -> int:
    facts = info(await connection.call("INFO", "keyspace"))
    counts = (value.partition("keys=")[2].partition(",")[0] for name, value in facts.items() if name[:2] == "db")
    return sum(int(count) for count in counts if count.isdigit())
