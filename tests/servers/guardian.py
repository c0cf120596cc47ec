"""Ends servers and removes their folders when the process that started them is gone, however it went.

Run as a script, it reads lines ``watch PID STARTED SIGNAL FOLDER``, ``forget PID`` and ``remove FOLDER``, and acts
at the end of its input, which comes when the writing end is closed: by the end of a test run, or by its sudden
death. (The kernel's parent-death signal would follow the *thread* that started a server, which often ends long
before them.)
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

PATIENCE_SECONDS = 10.0


def started(pid: int) -> str:
    """When a process began, in clock ticks since boot; empty if it is gone. Pids are used again, this is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[19]
    except OSError:
        return ""


def state(pid: int) -> str:
    """What a process does, by /proc: ``T`` is stopped, ``Z`` ended and not collected; empty if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return ""


def is_zombie(pid: int) -> bool:
    """Ended, but not yet collected by its parent; or gone altogether."""
    return state(pid) in "Z"


class Guardian:
    """The writing end. One watching process serves all servers of this process."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def watch(self, pid: int, folder: Path | None, how: signal.Signals = signal.SIGKILL) -> None:
        """End ``pid`` and remove ``folder`` (None: keep it) if this process goes without saying ``forget``.

        ``how``: what ends it; SIGKILL follows if that was not enough.
        """
        self._say(f"watch {pid} {started(pid)} {int(how)} {folder or ''}\n")

    def forget(self, pid: int) -> None:
        """The process ended as it should."""
        self._say(f"forget {pid}\n")

    def remove(self, folder: Path) -> None:
        """Remove ``folder`` when this process is gone, in whatever way."""
        self._say(f"remove {folder}\n")

    def _say(self, line: str) -> None:
        with self._lock:
            if self._process is None or self._owner != os.getpid():  # a forked child gets its own
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", __file__],
                    stdin=subprocess.PIPE,
                    text=True,
                    start_new_session=True,
                )
                self._owner = os.getpid()
                atexit.register(self._dismiss)
            assert self._process.stdin
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _dismiss(self) -> None:
        """Let the watching process do what is left, and wait for its end."""
        if self._process and self._owner == os.getpid():
            self._process.communicate()


def end(pid: int, began: str, how: signal.Signals) -> None:
    """End one process, if it is still the one that ``began`` then: with ``how``, and SIGKILL if that is slow."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with contextlib.suppress(ProcessLookupError):
        if how != signal.SIGKILL and started(pid) == began:
            os.kill(pid, signal.SIGCONT)
            os.kill(pid, how)
            while started(pid) == began and not is_zombie(pid) and time.monotonic() < deadline:
                time.sleep(0.02)
        if started(pid) == began:
            os.kill(pid, signal.SIGKILL)


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    watched: dict[str, list[str]] = {}
    left: list[str] = []
    for line in sys.stdin:
        verb, what = line.rstrip("\n").split(" ", 1)
        if verb == "watch":
            pid, *rest = what.split(" ", 3)
            watched[pid] = rest
        elif verb == "remove":
            left.append(what)
        else:
            watched.pop(what, None)
    for pid, (began, how, folder) in watched.items():
        if began:
            end(int(pid), began, signal.Signals(int(how)))
        left.append(folder)
    for folder in filter(None, left):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
