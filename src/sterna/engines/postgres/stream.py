"""The stream of one slot: a connection whose other end is a walsender.

Nothing in here waits but ``opened`` and ``news``: what is there is read at once, so that a slow consumer holds the
walsender back through the socket alone, and reports can be sent at any moment.
"""

import asyncio
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import errors as pg
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from sterna.core.errors import PositionGone, Unreachable
from sterna.core.plan import Endpoint
from sterna.engines.postgres.connection import Connection, replication, translated
from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.position import lsn_text
from sterna.engines.postgres.wire.frames import Cutter

READ_AHEAD = 1 << 20
"""Bytes that are read before somebody takes them."""
START_S = 60.0
_REPORT = struct.Struct(">cQQQQB")
_EPOCH_US = 946_684_800_000_000
"""2000-01-01, from where PostgreSQL counts, in microseconds of Unix time."""


@dataclass
class Stream:
    """What comes from one database."""

    endpoint: Endpoint
    connection: Connection
    cutter: Cutter
    confirmed: int = 0
    """What the source may forget, told with every report; 0: nothing more than it knows."""
    read_at_ms: int = 0
    """When the oldest of what was not taken came in; 0: there is nothing."""
    _ended: str = field(default="", init=False)

    @property
    def socket(self) -> int:
        return self.connection.pgconn.socket

    def pull(self) -> None:
        """Read what is there, up to ``READ_AHEAD``. Raises Unreachable, PositionGone, BadData."""
        with translated(self.endpoint):
            payloads = self._payloads(READ_AHEAD - self.cutter.waiting)
        if payloads:
            self.cutter.feed(payloads)
            if not self.read_at_ms and self.cutter.pending:
                self.read_at_ms = time.time_ns() // 1_000_000
        if self.cutter.asked:
            self.report()

    def _payloads(self, room: int) -> list[bytes]:
        low = self.connection.pgconn
        get, payloads, fresh = low.get_copy_data, [], False
        while room > 0:
            size, payload = get(1)
            if size > 0:
                payloads.append(bytes(payload))
                room -= size
                fresh = False
            elif size < 0:
                raise _end(low.get_result())
            elif fresh:
                break
            else:
                low.consume_input()
                fresh = True
        return payloads

    def report(self, *, ask: bool = False) -> None:
        """Tell the walsender how far we are; ``ask``: it shall say how far it is. Raises Unreachable."""
        self.cutter.asked = False
        now = time.time_ns() // 1000 - _EPOCH_US
        received = max(self.cutter.reached, self.confirmed)
        with translated(self.endpoint):
            low = self.connection.pgconn
            low.put_copy_data(_REPORT.pack(b"r", received, self.confirmed, self.confirmed, now, ask))
            low.flush()


def _end(result: PGresult | None) -> Exception:
    """Why a stream ended."""
    if result is not None and result.status == ExecStatus.FATAL_ERROR:
        return pg.error_from_result(result)
    return Unreachable("The source ended the stream of changes")


@asynccontextmanager
async def opened(
    endpoint: Endpoint, cutter: Cutter, slot: str, publications: Sequence[str]
) -> AsyncIterator[Stream]:
    """The stream of a slot's changes that were committed after the place of the log where the cutter stands.

    Raises PositionGone if there is no such slot or it lost what it kept, ServerBusy if somebody else reads it.
    """
    connection = await replication(endpoint, cutter.database, purpose=slot)
    try:
        await _start(endpoint, connection, slot, publications, cutter.end)
        yield Stream(endpoint, connection, cutter)
    finally:
        connection.pgconn.finish()


async def _start(
    endpoint: Endpoint, connection: Connection, slot: str, publications: Sequence[str], after: int
) -> None:
    listed = literal(",".join(quoted(name) for name in publications))
    messages = ", messages 'true'" if connection.info.server_version >= 140000 else ""
    command = (
        f"START_REPLICATION SLOT {quoted(slot)} LOGICAL {lsn_text(after)} "
        f"(proto_version '1', publication_names {listed}{messages})"
    )
    with translated(endpoint):
        try:
            async with asyncio.timeout(START_S):
                await _both_ways(connection, command.encode())
        except pg.UndefinedObject as error:
            raise PositionGone(f"The source no longer has the slot {slot}, which kept its changes") from error
        except pg.ObjectNotInPrerequisiteState as error:
            raise PositionGone(f"The slot {slot} is of no use any more: {error.diag.message_primary}") from error


async def _both_ways(connection: Connection, command: bytes) -> None:
    """Send a command that turns the connection into a stream, and wait until it is one."""
    low = connection.pgconn
    low.nonblocking = 1
    low.send_query(command)
    while low.flush():
        await asyncio.sleep(0.005)
    while low.is_busy():
        await news([low.socket])
        low.consume_input()
    result = low.get_result()
    if result is None or result.status != ExecStatus.COPY_BOTH:
        raise _end(result) if result is not None else psycopg.OperationalError("no answer")


async def news(sockets: Sequence[int], wake: asyncio.Event | None = None, timeout: float | None = None) -> None:
    """Until something comes in on one of the sockets, ``wake`` is set, or ``timeout`` seconds have passed."""
    wake = wake or asyncio.Event()
    loop = asyncio.get_running_loop()
    for socket in sockets:
        loop.add_reader(socket, wake.set)
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await wake.wait()
    finally:
        for socket in sockets:
            loop.remove_reader(socket)
        wake.clear()
