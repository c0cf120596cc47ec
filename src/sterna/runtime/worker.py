"""The child process of one job: runs it, and leaves politely when the service that started it is gone.

The service holds the other end of the child's standard input. However the service dies, that end is closed, and
the child reads its end of file. What keeps it from leaving within the grace (a server that does not answer, code
that does not return) does not keep it alive: the position is in the target, and the next run goes on from there.
"""

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Protocol

GRACE = 20.0
"""Seconds between being told to leave and leaving in any case."""
LEFT_LATE = 75
"""The exit code of a child that had to be ended."""


class Run(Protocol):
    """One run of one job."""

    async def run(self) -> None: ...

    def leave(self) -> None:
        """Stop between two batches, and leave the job as one that runs."""
        ...


async def work(run: Run, *, grace: float = GRACE, stdin: int | None = 0) -> None:
    """Run a job until it ends, or until SIGTERM, SIGINT or the end of ``stdin`` (a file number; None: no such).

    Returns once the run is over. Ends the process with ``LEFT_LATE`` if it is not ``grace`` seconds after it was
    told to leave. What the run raises comes through.
    """
    loop = asyncio.get_running_loop()
    over = threading.Event()

    def leave() -> None:
        _end_late(over, grace)
        run.leave()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, leave)
    if stdin is not None:
        _at_end_of(stdin, lambda: _tell(loop, over, grace, leave))
    try:
        await run.run()
    finally:
        over.set()


def _tell(loop: asyncio.AbstractEventLoop, over: threading.Event, grace: float, leave: Callable[[], None]) -> None:
    """From another thread; the time runs even if the loop does not."""
    _end_late(over, grace)
    with contextlib.suppress(RuntimeError):  # the loop is closed: the run is over
        loop.call_soon_threadsafe(leave)


def _end_late(over: threading.Event, grace: float) -> None:
    def wait() -> None:
        if not over.wait(grace):
            os._exit(LEFT_LATE)

    threading.Thread(target=wait, daemon=True).start()


def _at_end_of(stdin: int, then: Callable[[], None]) -> None:
    """Call ``then`` in a thread of its own once nobody can write to ``stdin`` any more."""

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(stdin, 1024):
                pass
        then()

    threading.Thread(target=read, daemon=True).start()
