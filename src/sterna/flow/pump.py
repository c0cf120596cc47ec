"""The one loop that moves changes: read, write, remember.

The order is the whole safety argument: the target keeps a batch before its position is remembered, and only what
is remembered may be forgotten by the source. A crash between any two repeats work and loses none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from sterna.core.change import Batch
from sterna.core.ports import Sink
from sterna.flow.pacing import Limit
from sterna.flow.reading import ahead


async def pump(
    batches: AsyncIterator[Batch],
    sink: Sink,
    landed: Callable[[Batch], Awaitable[bool]],
    *,
    stop: asyncio.Event,
    limit: Limit | None = None,
) -> None:
    """Write every batch, and say so with ``landed`` once the target keeps it.

    Ends between two batches: when ``stop`` is set, when ``landed`` returns True (enough), or at the end of
    ``batches``. What the source or the sink raises comes through.
    """
    async with aclosing(ahead(batches, lambda batch: batch.size, stop)) as ready:
        async for batch in ready:
            if limit:
                await limit.take(batch.size, stop)
            if batch.changes or batch.more:
                await sink.write(batch)
            if not batch.more and await landed(batch):
                return
