"""Work that the service does beside its jobs, and the notes that tell how far it is.

A note says who works on it and when that one was last heard of. So another process, or the same service after a
restart, can tell work that goes on from work that was cut, and takes over the latter.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from sterna.core.errors import NotFound, Trouble
from sterna.core.job import JobId
from sterna.core.people import new_id
from sterna.core.stores import JobStore

Key = tuple[str, ...]
Body = Mapping[str, object]

COMPARISONS_AT_ONCE = 2


@dataclass
class Background:
    """The tasks of this process by their keys. Times in seconds."""

    beat: float = 1.0
    """Between two writes of a note that changed."""
    sign: float = 5.0
    """Between two writes of one that did not: a sign of life."""
    stale: float = 20.0
    """Work of another process that was not heard of for so long was cut."""
    look: float = 10.0
    """Between two looks for comparisons that are due by a policy."""
    owner: str = field(default_factory=new_id)
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(COMPARISONS_AT_ONCE))
    """Held by each comparison while it is at work."""
    entry: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while somebody finds out whether to begin, and begins."""
    _tasks: dict[Key, asyncio.Task[None]] = field(default_factory=dict, init=False)

    def begin(self, key: Key, work: Coroutine[None, None, None]) -> None:
        """Start to work on something that nobody here works on."""
        task = asyncio.create_task(work)
        self._tasks[key] = task
        task.add_done_callback(lambda _: self._ended(key, task))

    def works(self, key: Key) -> bool:
        """Whether a task of this process works on it."""
        return key in self._tasks

    async def end(self, key: Key) -> None:
        """Stop working on it. Returns once nothing of it is left."""
        task = self._tasks.get(key)
        if task:
            await asyncio.sleep(0)  # one that has not begun could not say that it ends
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def close(self) -> None:
        """Stop working on anything."""
        for key in list(self._tasks):
            await self.end(key)

    def cut(self, key: Key, body: Body, now_ms: int) -> bool:
        """Whether nobody works any more on what a note, which is not final, tells of."""
        if self.works(key):
            return False
        heard_ms = body.get("at_ms")
        silent_ms = now_ms - heard_ms if isinstance(heard_ms, int) else now_ms
        return body.get("by") == self.owner or silent_ms >= self.stale * 1000

    def _ended(self, key: Key, task: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is task:
            del self._tasks[key]
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, NotFound):
            log(__name__).error("work in the background failed", key=key, error=repr(error))


@dataclass
class Page:
    """A note that a task keeps up to date."""

    store: JobStore
    background: Background
    job_id: JobId
    kind: str
    key: str
    clock: Callable[[], int]
    body: dict[str, object]
    """Whoever changes it sets ``changed``."""
    changed: bool = False
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def write(self, *, left: bool = False) -> None:
        """Write it now. ``left``: nobody works on it from now on. Raises NotFound if the job was deleted.

        Even if this is cancelled, the write has ended when it returns: none can come after a later one.
        """
        async with self._turn:
            self.changed = False
            body = {name: list(it) if isinstance(it, list) else it for name, it in self.body.items()}
            signed = {**body, "by": self.background.owner, "at_ms": 0 if left else self.clock()}
            await whole(self.store.put_note(self.job_id, self.kind, self.key, signed))

    async def during(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """Keep the note alive while the work goes on, and give it up if the work is cancelled.

        The work ends without a word when the job is deleted.
        """
        working, beating = asyncio.create_task(work()), asyncio.create_task(self._beat())
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            await _cancelled(working, beating)
            await self.write(left=True)
            raise
        finally:
            await _cancelled(beating, *([] if working.done() else [working]))
        if working.done() and not working.cancelled():
            working.result()

    async def _beat(self) -> None:
        """Write what changed, and a sign of life now and then, until the job is deleted."""
        loop = asyncio.get_running_loop()
        written, pause = loop.time(), self.background.beat
        while True:
            await asyncio.sleep(pause)
            if not self.changed and loop.time() - written < self.background.sign:
                continue
            began = loop.time()
            try:
                await self.write()
            except NotFound:
                return
            except Trouble as trouble:
                log(__name__).warning("a note could not be written", job=self.job_id, error=trouble.message)
            written = loop.time()
            # A note that is long takes its time, which the store has to have for others too.
            pause = max(self.background.beat, 20 * (written - began))


async def whole(write: Coroutine[None, None, None]) -> None:
    """Carry out a write that, even if this is cancelled, has ended when this returns: it cannot come late."""
    writing = asyncio.ensure_future(write)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.gather(writing, return_exceptions=True)
        raise


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def log(name: str) -> Any:
    """The log, brought along only where there is something to tell: most commands need none."""
    import structlog

    return structlog.get_logger(name)
