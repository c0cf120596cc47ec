"""Where fetched servers are kept, how several processes fetch one thing once, and where servers work."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
_MEMORY = Path("/dev/shm")
_ENOUGH = 8 << 30
"""Bytes: a whole run of the tests needs about one of memory files, and its processes five."""


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


def work_in_memory() -> None:
    """Let this process and its children make their temporary files in memory, where there is enough of it.

    Each PostgreSQL server begins with a thousand small files, and most of a run's time went into making and
    removing them on a disk. A caller who has chosen a place by ``TMPDIR`` keeps it.
    """
    if "TMPDIR" not in os.environ and _memory_is_enough():
        tempfile.tempdir = os.environ["TMPDIR"] = str(_MEMORY)


def _memory_is_enough() -> bool:
    try:
        room = os.statvfs(_MEMORY)
        described = Path("/proc/meminfo").read_text()
    except OSError:  # not Linux, or a container without it
        return False
    free = next(int(line.split()[1]) << 10 for line in described.splitlines() if line.startswith("MemAvailable"))
    fit = os.access(_MEMORY, os.W_OK) and not room.f_flag & os.ST_NOEXEC
    return fit and min(room.f_bavail * room.f_frsize, free, _allowed()) >= _ENOUGH


def _allowed() -> float:
    """Bytes of memory that the processes of this container may have together."""
    try:
        return float(Path("/sys/fs/cgroup/memory.max").read_text())
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return float("inf")
