"""Children that are measured: wall time, processor seconds and peak memory, descendants included."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.servers.places import cache
from tests.servers.redis import Server


class Failed(Exception):
    """A measured program did not do its work; the message is the end of what it said."""


@dataclass(frozen=True)
class Usage:
    """What a finished child used."""

    wall_s: float
    cpu_s: float
    """User and system time of the child and of all its children."""
    peak_mb: float
    """The largest resident set of any one of its processes."""


def sterna_words(source: Server, target: Server, state: Path, mode: str) -> list[str]:
    """The command line that moves one Redis to another."""
    return migrate_words([f"redis://{server.address}" for server in (source, target)], state, mode)


def migrate_words(urls: Sequence[str], state: Path, mode: str) -> list[str]:
    """The command line that moves one server to another, both given as URLs."""
    return [program(), "migrate", *urls, "--mode", mode, "--json", "--yes", "--state", str(state)]


def program() -> str:
    """The ``sterna`` command of this environment."""
    return str(Path(sys.executable).with_name("sterna"))


def run(words: Sequence[str], timeout_s: float = 900) -> Usage:
    """Run to the end. Raises Failed unless it exits with 0 in time."""
    with tempfile.TemporaryFile() as output:
        began = time.perf_counter()
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env=_environment(),
        )
        try:
            status, used = _wait(child.pid, began + timeout_s)
        except BaseException:
            end(child)
            raise
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise Failed(f"exit {child.returncode}: {_last_words(output)}")
    return Usage(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def _environment() -> dict[str, str]:
    """That of this process, but with compiled bytecode, as an installed program has it."""
    kept = {"PYTHONPYCACHEPREFIX": str(cache() / "bytecode")} | os.environ
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


@contextmanager
def in_background(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A child for the length of a block, ended with all its descendants."""
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
        try:
            yield child
        except Failed as failure:
            raise Failed(f"{failure}; it said last: {_last_words(output)}") from failure
        finally:
            end(child)


def family(pid: int) -> list[int]:
    """A process and all its descendants, as they are now."""
    members = [pid]
    for member in members:
        for children in Path(f"/proc/{member}/task").glob("*/children"):
            with suppress(OSError):
                members += map(int, children.read_text().split())
    return members


def processor_s(pid: int) -> float:
    """User and system time of a process and its descendants, also of those that have ended."""
    ticks = 0
    for member in family(pid):
        with suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def tell(pids: Sequence[int], what: signal.Signals) -> None:
    """Send a signal to each that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, what)


def end(child: subprocess.Popen[bytes], patience_s: float = 10) -> None:
    """SIGTERM for the child, then SIGKILL for whatever of its family is left."""
    if child.returncode is not None:
        return
    members = family(child.pid)
    child.terminate()
    with suppress(subprocess.TimeoutExpired):
        child.wait(patience_s)
    if child.poll() is None:
        tell(members, signal.SIGKILL)
        child.wait()


def _wait(pid: int, deadline: float) -> tuple[int, resource.struct_rusage]:
    while time.perf_counter() < deadline:
        done, status, used = os.wait4(pid, os.WNOHANG)
        if done:
            return status, used
        time.sleep(0.002)
    raise Failed("not done in time")


def _last_words(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:300] if lines else "nothing"
