"""Reads ahead: the next items come in while the last one is written, and a stop is noticed while nothing comes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Shelf(Generic[T]):
    """What has been read and not yet taken."""

    most: int
    few: int
    items: deque[tuple[T, int]] = field(default_factory=deque)
    size: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, item: T, size: int) -> None:
        self.items.append((item, size))
        self.size += size
        self.changed.set()

    def take(self) -> T:
        item, size = self.items.popleft()
        self.size -= size
        self.changed.set()
        return item

    async def fill(self, items: AsyncIterator[T], size: Callable[[T], int]) -> None:
        """Read until there is no more, pausing while the shelf is full."""
        async for item in items:
            self.put(item, size(item))
            while self.size >= self.most or len(self.items) >= self.few:
                self.changed.clear()
                await self.changed.wait()


async def ahead(
    items: AsyncIterator[T],
    size: Callable[[T], int],
    stop: asyncio.Event,
    *,
    most: int = 4 << 20,
    few: int = 1 << 20,
) -> AsyncGenerator[T, None]:
    """The items in order, until they end or ``stop`` is set; read about ``most`` bytes (by ``size``) ahead.

    At most ``few`` items are held: what makes larger items the longer nobody asks for one, is asked late.

    An error of ``items`` is raised once all items before it were taken. Close it (``contextlib.aclosing``):
    then ``items`` is closed as well.
    """
    shelf: _Shelf[T] = _Shelf(most, few)
    reader = asyncio.create_task(shelf.fill(items, size))
    stopper = asyncio.create_task(stop.wait())
    for task in (reader, stopper):
        task.add_done_callback(lambda _: shelf.changed.set())
    try:
        while not stop.is_set():
            if shelf.items:
                yield shelf.take()
            elif reader.done():
                reader.result()
                return
            else:
                shelf.changed.clear()
                await shelf.changed.wait()
    finally:
        await _end(reader, stopper)
        if isinstance(items, AsyncGenerator):
            await items.aclose()


async def _end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel until they have ended: what they run (``wait_for`` before Python 3.12) can swallow a cancellation."""
    while left := [task for task in tasks if not task.done()]:
        for task in left:
            task.cancel()
        await asyncio.wait(left, timeout=1)
    await asyncio.gather(*tasks, return_exceptions=True)
