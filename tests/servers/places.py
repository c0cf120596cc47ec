"""Where fetched servers are kept, and how several processes fetch one thing once."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


class Unavailable(Exception):
    """A server cannot be had on this machine; the message says which and why."""


def cache() -> Path:
    """Where fetched things are kept: ``$STERNA_CACHE``, else ``.cache/servers`` of the repository."""
    folder = Path(os.environ.get("STERNA_CACHE") or REPOSITORY / ".cache" / "servers")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that other processes of this machine see too, until the block ends."""
    with (cache() / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made_once(name: str, make: Callable[[Path], None]) -> Path:
    """The folder ``name`` in the cache, made by ``make`` if it is not there yet.

    ``make`` fills an empty folder beside it that becomes ``name`` only when it returned, so that what was cut
    short never counts.
    """
    final = cache() / name
    with locked(name):
        if not final.exists():
            partial = cache() / f"{name}.partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            make(partial)
            partial.rename(final)
    return final
