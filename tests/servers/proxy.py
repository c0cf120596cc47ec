"""A TCP proxy that misbehaves on demand: cuts after n bytes, stalls, refuses, drops, slows down.

    with proxy(server.host, server.port) as way:
        way.cut(after=10_000, direction="to_client")   # once 10,000 more bytes came from the server
        way.stall(); way.flow()
    way.stall_after(10_000, "to_client")           # by itself, once so many more bytes came from the server

It runs in a thread of its own; a control has taken effect when it returns.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from tests.servers.redis import free_port

Direction = Literal["to_server", "to_client"]
HOST = "127.0.0.1"
_PIECE = 65_536
_BUFFER = 128 << 10
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


@dataclass
class _Cut:
    direction: Direction
    left: int


class Proxy:
    """Made by ``proxy``. All controls act on present and coming connections alike."""

    def __init__(self, host: str, port: int) -> None:
        self.host = HOST
        self.port = 0
        self.accepted = 0
        """How many connections there were."""
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._cuts: list[_Cut] = []
        self._stops: dict[Direction, int] = {}
        self._rate = 0
        self._moved: dict[Direction, int] = {"to_server": 0, "to_client": 0}

    @property
    def address(self) -> str:
        """``host:port``"""
        return f"{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """How many connections are open now."""
        return len(self._writers) // 2

    def moved(self, direction: Direction) -> int:
        """How many bytes went through since the start."""
        return self._moved[direction]

    def cut(self, after: int, direction: Direction) -> None:
        """Reset one connection when ``after`` more bytes went in a direction, counted over all connections.

        Exactly that many get through. Several cuts wait for one another.
        """
        self._do(lambda: self._cuts.append(_Cut(direction, after)))

    def cut_no_more(self) -> None:
        """Forget the cuts that have not come yet."""
        self._do(self._cuts.clear)

    def stall(self) -> None:
        """Move no more bytes, keeping connections open."""
        self._do(self._flowing.clear)

    def stall_after(self, more: int, direction: Direction) -> None:
        """Stall by itself as soon as so many more bytes went in a direction, counted over all connections."""
        self._do(lambda: self._stops.update({direction: self._moved[direction] + more}))

    @property
    def stalled(self) -> bool:
        return not self._flowing.is_set()

    def flow(self) -> None:
        """Move bytes again, and forget a stall that has not come yet."""

        def act() -> None:
            self._stops.clear()
            self._flowing.set()

        self._do(act)

    def limit(self, bytes_per_second: int) -> None:
        """Slow each direction of each connection down; 0: as fast as it goes."""
        self._do(lambda: setattr(self, "_rate", bytes_per_second))

    def drop(self) -> None:
        """Reset all connections; new ones are taken."""
        self._do(self._reset_all)

    def refuse(self) -> None:
        """Turn new connections down. Present ones stay."""
        asyncio.run_coroutine_threadsafe(self._close_door(), self._loop).result()

    def accept(self) -> None:
        """Take new connections again, on the same port."""
        asyncio.run_coroutine_threadsafe(self._open_door(), self._loop).result()

    def _do(self, action: Callable[[], object]) -> None:
        done = threading.Event()

        def act() -> None:
            action()
            done.set()

        self._loop.call_soon_threadsafe(act)
        done.wait()

    async def _open_door(self) -> None:
        if self._server is None:
            self.port = self.port or free_port()  # one of the kernel's choice others could take while it is closed
            door = _narrow(socket.create_server((self.host, self.port)))
            self._server = await asyncio.start_server(self._serve, sock=door)

    async def _close_door(self) -> None:
        if self._server:
            self._server.close()  # not wait_closed: it would wait for present connections
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.accepted += 1
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            _narrow(far_writer.get_extra_info("socket"))
        except OSError:
            _reset(writer)
        else:
            await self._join(reader, writer, far_reader, far_writer)
        finally:
            self._tasks.discard(task)

    async def _join(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        far_reader: asyncio.StreamReader,
        far_writer: asyncio.StreamWriter,
    ) -> None:
        both = {writer, far_writer}
        self._writers |= both
        orderly = False
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._move("to_server", reader, far_writer))
                group.create_task(self._move("to_client", far_reader, writer))
            orderly = True
        except* (ConnectionError, _CutNow):
            pass
        finally:
            self._writers -= both
            for each in both:
                each.close() if orderly else _reset(each)

    async def _move(
        self, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await self._flowing.wait()
            piece = await reader.read(min(_PIECE, self._rate // 20 or 1) if self._rate else _PIECE)
            await self._flowing.wait()
            if not piece:
                break
            if self._rate:
                await asyncio.sleep(len(piece) / self._rate)
            await self._pass_on(direction, piece, writer)
        if writer.can_write_eof():
            writer.write_eof()

    async def _pass_on(self, direction: Direction, piece: bytes, writer: asyncio.StreamWriter) -> None:
        cut = next((each for each in self._cuts if each.direction == direction), None)
        if cut and cut.left <= len(piece):
            piece = piece[: cut.left]
            self._cuts.remove(cut)
            self._moved[direction] += len(piece)
            writer.write(piece)
            await writer.drain()
            raise _CutNow
        if cut:
            cut.left -= len(piece)
        self._moved[direction] += len(piece)  # before the peer can know that it came
        if self._moved[direction] >= self._stops.get(direction, self._moved[direction] + 1):
            del self._stops[direction]
            self._flowing.clear()
        writer.write(piece)
        await writer.drain()

    def _reset_all(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _shut(self) -> None:
        await self._close_door()
        self._flowing.set()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _CutNow(Exception):
    """The moment of a cut has come."""


def _narrow(sock: Any) -> Any:
    """So that what a cut loses, and what goes on behind a limit, is little: else a kernel holds megabytes."""
    for size in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        sock.setsockopt(socket.SOL_SOCKET, size, _BUFFER)
    return sock


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close so that the peer sees a reset, if bytes are not all read yet, and no orderly end."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


@contextmanager
def proxy(host: str, port: int) -> Iterator[Proxy]:
    """A proxy in front of a server, for the length of a block."""
    way = Proxy(host, port)
    thread = threading.Thread(target=way._loop.run_forever, name="proxy", daemon=True)
    thread.start()
    way.flow()
    way.accept()
    try:
        yield way
    finally:
        asyncio.run_coroutine_threadsafe(way._shut(), way._loop).result()
        way._loop.call_soon_threadsafe(way._loop.stop)
        thread.join()
        way._loop.close()
