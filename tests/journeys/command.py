"""Runs the real ``sterna`` command as a child process."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.effort import PATIENCE

SECONDS = PATIENCE
_NUMBERS = itertools.count(1)


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, if that is one JSON value."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """What it printed, if that is one JSON value a line."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def all(self) -> str:
        return self.out + self.err


@dataclass(frozen=True)
class Home:
    """Where commands run: a folder of their own, and nothing of the caller's environment that matters to them."""

    folder: Path

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("STERNA_", "XDG_"))}
        own = {
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "STERNA_DATA": str(self.data),
        }
        return {**kept, **own, **more}

    def run(self, *words: str, **more: str) -> Ended:
        """Run a command to its end; ``more`` goes into its environment."""
        done = subprocess.run(
            [sys.executable, "-m", "sterna", *words],
            env=self.environment(more),
            capture_output=True,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def good(self, *words: str, **more: str) -> Any:
        """Run a command that must succeed, and return its JSON."""
        ended = self.run(*words, "--json", **more)
        assert ended.code == 0, ended.all
        return ended.json

    @contextmanager
    def running(self, *words: str, **more: str) -> "Iterator[Running]":
        """A command that runs beside the test; at the end it is told to end."""
        number = next(_NUMBERS)  # two that run at a time must not write into one file
        out, err = self.folder / f"running-{number}.out", self.folder / f"running-{number}.err"
        with out.open("wb") as output, err.open("wb") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "sterna", *words],
                env=self.environment(more),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
            )
        try:
            yield Running(process, out, err)
        finally:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@dataclass(frozen=True)
class Running:
    """A command that runs."""

    process: "subprocess.Popen[bytes]"
    out: Path
    err: Path

    def until(self, holds: Callable[[str], object]) -> str:
        """Wait until what it wrote on both outputs has this property."""
        end = time.monotonic() + SECONDS
        while True:
            code = self.process.poll()  # first: it may write and end between two looks
            if holds(text := self.written()):
                return text
            assert code is None, f"it ended with {code}: {text}"
            assert time.monotonic() < end, text
            time.sleep(0.02)

    def written(self) -> str:
        """So far: the last letter may be written in part."""
        return self.out.read_text(errors="replace") + self.err.read_text(errors="replace")

    def end(self, how: signal.Signals) -> Ended:
        """Send a signal and wait for the end."""
        self.process.send_signal(how)
        return self.ended()

    def ended(self) -> Ended:
        code = self.process.wait(SECONDS)
        return Ended(code, self.out.read_text(), self.err.read_text())

    def arguments(self) -> str:
        """What everybody on this machine can see of it."""
        return Path(f"/proc/{self.process.pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def wait_for(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def files_with(folder: Path, text: str) -> list[Path]:
    """The files below a folder that hold a text in clear."""
    return [path for path, content in contents(folder) if text.encode() in content]


def contents(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """The files below a folder; those that go while one looks are passed over."""
    for parent, _, names in os.walk(folder):
        for path in (Path(parent, name) for name in names):
            with suppress(FileNotFoundError):
                if path.is_file():
                    yield path, path.read_bytes()
