"""Copies parts, several at a time; each goes on where the target has it."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from sterna.core.change import Chunk, Part, Position
from sterna.core.ports import Sink, Source
from sterna.flow.pacing import Limit
from sterna.flow.reading import ahead


@dataclass(frozen=True)
class Copier:
    """Copies parts from a source to a sink. ``at_once``: how many parts at the same time."""

    source: Source
    sink: Sink
    limit: Limit
    stop: asyncio.Event
    at_once: int = 4

    async def copy(
        self,
        parts: Sequence[Part],
        after: Callable[[Part], Awaitable[Position | None]],
        landed: Callable[[Part, Chunk], Awaitable[None]],
    ) -> None:
        """Copy all parts, each from where ``after`` says; ``landed`` hears of each chunk once the target keeps it.

        Ends between two chunks when ``stop`` is set. The first error ends the other parts too and comes through.
        """
        waiting = deque(parts)

        async def work() -> None:
            while waiting and not self.stop.is_set():
                part = waiting.popleft()
                await self._part(part, await after(part), landed)

        await together([work() for _ in range(min(self.at_once, len(parts)))])

    async def _part(
        self, part: Part, after: Position | None, landed: Callable[[Part, Chunk], Awaitable[None]]
    ) -> None:
        chunks = self.source.copy(part, self.sink.formats, after)
        async with aclosing(ahead(chunks, _held, self.stop)) as ready:
            async for chunk in ready:
                await self.limit.take(chunk.size, self.stop)
                await self.sink.load(part, chunk)
                await landed(part, chunk)


def _held(chunk: Chunk) -> int:
    """Bytes that a chunk takes while it waits; of packed or large values that is more than was read for it."""
    return max(chunk.size, len(chunk.data) if isinstance(chunk.data, bytes) else 0)


async def together(works: Sequence[Coroutine[None, None, None]]) -> None:
    """Run all; the first error ends the others and is raised as it is."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        for task in asyncio.as_completed(tasks):
            await task
    finally:
        for left in tasks:
            left.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
