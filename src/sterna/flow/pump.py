"""The one loop that moves changes: read, write, remember.

The order is the whole safety argument: the target keeps a batch before its position is remembered, and only what
is remembered may be forgotten by the source. A crash between any two repeats work and loses none.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial

from sterna.core.change import Batch
from sterna.core.ports import Sink
from sterna.flow.pacing import Limit
from sterna.flow.reading import ahead

READ_AHEAD = 1
"""Batches that are read while one is written. A log puts more into a batch the longer nobody takes one: a target
that is slow for a moment then gets few large batches, not all the small ones one after the other."""


async def pump(
    batches: AsyncIterator[Batch],
    sink: Sink,
    landed: Callable[[Batch], Awaitable[bool]],
    *,
    stop: asyncio.Event,
    limit: Limit | None = None,
    wrote: Callable[[Batch], None] | None = None,
) -> None:
    """Write every batch, and say so with ``landed`` once the target keeps it.

    Of a transaction that comes in several batches (``Batch.more``) ``landed`` hears of the last one, ``wrote`` of
    each that was written. While a limit holds up what comes next, ``landed`` hears about once a second that the
    position is still the last one: what has to be said to the source in time, is.

    Ends between two batches: when ``stop`` is set, when ``landed`` returns True (enough), or at the end of
    ``batches``. What the source or the sink raises comes through.
    """
    last: Batch | None = None
    async with aclosing(ahead(batches, lambda batch: batch.size, stop, few=READ_AHEAD)) as ready:
        async for batch in ready:
            goes_on = last is not None and last.more
            if limit:
                await limit.take(
                    batch.size, stop, None if last is None or goes_on else partial(_still, last, landed)
                )
            if batch.changes or batch.more or goes_on:
                await sink.write(batch)
                if wrote:
                    wrote(batch)
            last = batch
            if not batch.more and await landed(batch):
                return


async def _still(last: Batch, landed: Callable[[Batch], Awaitable[bool]]) -> None:
    """A sign of life. Whether that is enough does not matter: something is at hand to be written."""
    await landed(Batch((), last.position))
