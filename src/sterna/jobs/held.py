"""Keeps a run's source open while only the target is away, so that it goes on to be read."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field

from sterna.core.ports import Source
from sterna.jobs.tempo import Tempo


@dataclass
class Held:
    """At most one source, opened when it is first asked for.

    It outlives a passing fault, which may have been the target's. If another one comes soon after, the source may
    be what is broken: then it is closed, and opened anew when it is asked for again.
    """

    open: Callable[[], AbstractAsyncContextManager[Source]]
    tempo: Tempo
    clock: Callable[[], float]
    _stack: AsyncExitStack = field(default_factory=AsyncExitStack, init=False)
    _source: Source | None = field(default=None, init=False)
    _used: bool = field(default=False, init=False)
    """Whether it was asked for since the last fault."""
    _kept_at: float = field(default=float("-inf"), init=False)
    """When it outlived a fault last."""

    async def source(self) -> Source:
        """The source that is open, or a new one."""
        self._used = True
        if self._source is None:
            self._source = await self._stack.enter_async_context(self.open())
        return self._source

    async def over_a_fault(self) -> None:
        """A passing fault came up."""
        if not self._used:
            return
        self._used = False
        if self.clock() - self._kept_at < self.tempo.calm:
            await self.close()
        else:
            self._kept_at = self.clock()

    async def close(self) -> None:
        """Close the source, if one is open."""
        self._source, self._kept_at = None, float("-inf")
        await self._stack.aclose()
