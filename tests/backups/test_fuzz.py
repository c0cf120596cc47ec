"""Damaged files do no harm, and the watch over them sees what does.

It goes on for longer where the tests are told to make an effort, see ``tests.effort``.
"""

import os
import signal
import time
from functools import partial

import pytest

from tests.backups import fuzz
from tests.backups.fuzz import PARSERS, Files, Parser, Watch
from tests.backups.reading import MemoryBlob
from tests.effort import EFFORT

SECONDS, CASES = 30 * EFFORT, 50
SEED = int(os.environ.get("STERNA_TEST_SEED") or 20261121)


@pytest.mark.long
@pytest.mark.timeout(600 + SECONDS)
@pytest.mark.parametrize("parser", ["backup", "redis"])
def test_damaged_files_are_refused_or_read_and_nothing_else(parser: str) -> None:
    """No other errors, no crash, no case without end, no memory without end."""
    watch = Watch(PARSERS[parser], SEED)
    assert watch.run(SECONDS, least=CASES) == []
    assert watch.cases >= CASES


def fails(files: Files) -> None:
    """An error that is not of our own."""
    raise IndexError(len(files))


def hangs(files: Files) -> None:
    """No end."""
    while files:
        time.sleep(1)


def dies(files: Files) -> None:
    """The end of the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def bad(case: fuzz.Case) -> Parser:
    """A parser that fails in its own way."""
    return Parser([[MemoryBlob("a", b"abc")]], case)


def eats(files: Files) -> None:
    """Memory without end."""
    bytearray(8 << 30)


@pytest.mark.parametrize(
    ("case", "word"),
    [(fails, "IndexError"), (hangs, "no end"), (dies, "died"), (eats, "MemoryError")],
)
def test_the_watch_sees_trouble(monkeypatch: pytest.MonkeyPatch, case: fuzz.Case, word: str) -> None:
    """An error of another kind, a hang, a crash, too much memory."""
    if case is hangs:
        monkeypatch.setattr(fuzz, "LIMIT", 5.0)
    finds = Watch(partial(bad, case), 1).run(60, most=1)
    assert [word in find for find in finds] == [True]
