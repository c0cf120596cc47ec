"""Reads a stream in a worker's thread, one block ahead of whoever uses it."""

import asyncio
from collections.abc import Callable

from sterna.engines.redis.files.streams import Stream

BLOCK = 1 << 20


class Reader:
    """Close it before the file it reads is closed."""

    def __init__(self, opened: Callable[[int], Stream], offset: int) -> None:
        self._opened = opened
        self._offset = offset
        self._stream: Stream | None = None
        self._next: asyncio.Future[tuple[bytes, int]] | None = None
        self.spent = 0
        """Bytes of the stored file that belong to what was given out."""

    async def open(self) -> None:
        """Go to the offset; for packed files that means unpacking everything before it."""
        await self._await(asyncio.ensure_future(asyncio.to_thread(self._begin)))

    async def read(self) -> bytes:
        """The next bytes; none at the end. Raises what the stream raises."""
        data, self.spent = await self._await(self._next or self._ahead())
        self._next = self._ahead() if data else None
        return data

    async def close(self) -> None:
        """Wait for the thread. Twice is once."""
        waiting, self._next = self._next, None
        if waiting:
            await asyncio.gather(waiting, return_exceptions=True)

    async def _await(self, work: "asyncio.Future[tuple[bytes, int]]") -> tuple[bytes, int]:
        self._next = work
        found = await asyncio.shield(work)  # the thread goes on, and must be waited for, when this is cancelled
        self._next = None
        return found

    def _ahead(self) -> "asyncio.Future[tuple[bytes, int]]":
        return asyncio.ensure_future(asyncio.to_thread(self._read))

    def _begin(self) -> tuple[bytes, int]:
        self._stream = self._opened(self._offset)
        self.spent = self._stream.spent
        return b"", self.spent

    def _read(self) -> tuple[bytes, int]:
        assert self._stream is not None, "open comes first"
        data = self._stream.read(BLOCK)
        return data, self._stream.spent
