"""Keeps long words of an AOF's commands on disk until they are sent, with a mark in their place.

A mark is a word that no file holds, as it is made of random bytes for each import. The files below are nameless
from the beginning, so that nothing is left of them however a process ends.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from sterna.core.errors import BadData
from sterna.engines.redis.disk import on_disk
from sterna.engines.redis.spilled import Spilled

PIECE = 1 << 20
MOST_SHARED = 64 << 20
"""A file that has so many bytes takes no further word."""
_FAULT = "A long word of the file cannot be kept"
_NUMBER = b"%010d"


class _File:
    """Nameless, and gone with its last user."""

    def __init__(self, folder: Path) -> None:
        self.size = 0
        self._file = -1
        with on_disk(_FAULT):
            self._file, name = tempfile.mkstemp(prefix="words-", dir=folder)
            Path(name).unlink()

    def write(self, data: bytes) -> None:
        done = 0
        while done < len(data):
            with on_disk(_FAULT):
                done += os.pwrite(self._file, data[done:] if done else data, self.size + done)
        self.size += done

    def read(self, most: int, place: int) -> bytes:
        with on_disk(_FAULT):
            return os.pread(self._file, most, place)

    def __del__(self) -> None:
        if self._file >= 0:
            os.close(self._file)


class Holding:
    """One word, or some that follow each other. What is written comes before anything of the next one is."""

    def __init__(self, mark: bytes, place: int, file: _File | None) -> None:
        """``place``: where in the AOF its command begins. No ``file``: the bytes are not wanted."""
        self.mark = mark
        self.place = place
        self.size = 0
        self.whole_head = self.short_head = b""
        """Of words kept as they stood in the file: how the command begins in truth, and with the mark."""
        self._file = file
        self._start = file.size if file else 0

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self._file:
            self._file.write(data)

    def read(self) -> Iterator[bytes]:
        """All of it, a piece at a time."""
        assert self._file, "asked of one that is kept"
        done = 0
        while done < self.size:
            data = self._file.read(min(PIECE, self.size - done), self._start + done)
            if not data:
                raise BadData("A long word that was kept in the job's folder is cut off")
            done += len(data)
            yield data


class Store(Protocol):
    """Takes long words."""

    def begin(self, place: int) -> Holding:
        """Of the command at that place in the file. Raises DiskFull, as writing to it does."""
        ...

    def held(self, word: bytes) -> Holding | None:
        """What stands behind a mark; None: the word is none."""
        ...


class Nowhere:
    """Meets ``Store`` for a reader who does not want the words: their marks are all there is."""

    def begin(self, place: int) -> Holding:
        return Holding(b"sterna:long", place, None)

    def held(self, word: bytes) -> Holding | None:
        return None


class Scratch:
    """Meets ``Store``, in a job's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = b"sterna:" + os.urandom(16).hex().encode() + b":"
        self._number = 0
        self._holdings: dict[bytes, Holding] = {}
        self._file: _File | None = None
        size = len(self._prefix) + len(_NUMBER % 0)
        self._marked = re.compile(rb"\$%d\r\n(%b[0-9]{10})\r\n" % (size, re.escape(self._prefix)))

    def begin(self, place: int) -> Holding:
        if self._file is None or self._file.size >= MOST_SHARED:
            self._file = _File(self._folder)
        mark = self._prefix + _NUMBER % self._number
        self._number += 1
        self._holdings[mark] = found = Holding(mark, place, self._file)
        return found

    def held(self, word: bytes) -> Holding | None:
        return self._holdings.get(word)

    def commands(self, data: bytes, upto: int) -> bytes | Spilled:
        """Commands that are about to go, with all that belongs to them. ``upto``: the place in the file behind
        them; what is kept of commands before it, and is not among these, is forgotten.
        """
        if not self._holdings:
            return data
        taken = {mark: self._holdings[mark] for mark in self._marked.findall(data)}
        self._holdings = {mark: each for mark, each in self._holdings.items() if each.place >= upto}
        return Spilled(data, lambda short: self._whole(short, taken)) if taken else data

    def _whole(self, data: bytes, taken: dict[bytes, Holding]) -> Sequence[bytes | Callable[[], Iterator[bytes]]]:
        parts: list[bytes | Callable[[], Iterator[bytes]]] = []
        place = 0
        for found in self._marked.finditer(data):
            holding = taken[found[1]]
            before = data[place : found.start()]
            place = found.end()
            if not holding.short_head:
                parts += [before + b"$%d\r\n" % holding.size, holding.read, b"\r\n"]
            elif before.endswith(holding.short_head):
                parts += [before.removesuffix(holding.short_head) + holding.whole_head, holding.read]
            else:
                raise BadData("A command with many words was changed on its way; it cannot be put together again")
        return [*parts, data[place:]] if parts else [data]
