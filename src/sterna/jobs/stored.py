"""What is known of files in buckets, for those who only want to show it: an object store is not waited for long.

Looks have threads of their own, which nobody waits for: an object store that hangs holds up nothing else.
"""

import asyncio
import contextlib
import threading
from collections.abc import Sequence

from sterna.core.errors import NotFound, Trouble
from sterna.core.files import Entry, Opens, Storage
from sterna.core.plan import StoredFile

LOOK_LIMIT = 10.0
"""Seconds that all buckets together have to say what they know."""


async def look(opens: Opens, files: Sequence[StoredFile], limit: float = LOOK_LIMIT) -> Sequence[Entry | None]:
    """What is known of each file; None where it is not there, or nobody says so in time."""
    found: dict[StoredFile, Entry] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit):
            for bucket in dict.fromkeys(file.bucket for file in files):
                with contextlib.suppress(Trouble):
                    storage = await opens(bucket)
                    await _look(storage, [file for file in files if file.bucket == bucket], found)
    return [found.get(file) for file in files]


async def _look(storage: Storage, files: Sequence[StoredFile], found: dict[StoredFile, Entry]) -> None:
    """Fill in what is found, as it is found."""
    loop, ended, given_up = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def work() -> None:
        try:
            _heads(storage, files, found, given_up)
        finally:
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=work, name="bucket-look", daemon=True).start()
    try:
        await ended.wait()
    finally:
        given_up.set()


def _heads(
    storage: Storage, files: Sequence[StoredFile], found: dict[StoredFile, Entry], given_up: threading.Event
) -> None:
    for file in files:
        if given_up.is_set():
            return
        try:
            found[file] = storage.head(file.name)
        except NotFound:
            continue
        except Trouble:  # it would be the same with the next file
            return
