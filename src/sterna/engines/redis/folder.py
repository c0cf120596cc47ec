"""A job's folder belongs to one process at a time.

A service that was killed comes back faster than the children it left behind are gone. Two that receive the same
stream into the same files would destroy what both need.
"""

import asyncio
import fcntl
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sterna.core.errors import Retryable

LOOK_S = 0.05
PATIENCE_S = 5.0


@asynccontextmanager
async def alone_in(folder: Path) -> AsyncIterator[None]:
    """Nobody else uses the files of this folder in the block; the lock falls with the process, however it ends.

    Raises Retryable where another has it for long: the one before has not ended yet.
    """
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = time.monotonic() + PATIENCE_S
        while not _taken(handle):
            if time.monotonic() > end:
                raise Retryable(
                    "An earlier process of the job has not ended yet and still uses the job's folder",
                    hint="It ends by itself. If it does not, end it.",
                )
            await asyncio.sleep(LOOK_S)
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
