"""The sum of a table's rows, whatever their order: two sides that hold the same rows have the same one.

A row is a line of PostgreSQL's text form of COPY, without its end. Its hash is BLAKE2b (RFC 7693) of 16 bytes,
read as a number, the most significant byte first; the hashes are added up modulo 2^128.
"""

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b

from sterna.core.errors import BadData

_BYTES = 16
_MASK = (1 << 8 * _BYTES) - 1


@dataclass(frozen=True, slots=True)
class Digest:
    """How many rows, and the sum of their hashes."""

    rows: int = 0
    sum: int = 0

    def __add__(self, other: "Digest") -> "Digest":
        return Digest(self.rows + other.rows, (self.sum + other.sum) & _MASK)

    def __str__(self) -> str:
        return f"{self.rows}:{self.sum:x}"

    @classmethod
    def of(cls, text: str) -> "Digest":
        """What ``str`` made. Raises ValueError."""
        rows, _, total = text.partition(":")
        return cls(int(rows), int(total, 16))


class Running:
    """The digest of lines that come in pieces, cut anywhere: nothing of them is held."""

    def __init__(self) -> None:
        self._total = Digest()
        self._begun = blake2b(digest_size=_BYTES)
        self._length = 0
        self.longest = 0
        """Bytes of the longest line that came in several pieces, without its end."""

    def take(self, data: bytes | memoryview) -> None:
        """The next piece."""
        if self._length:
            end = bytes(data).find(b"\n")
            self._begin(data if end < 0 else data[:end])
            if end < 0:
                return
            self.add(Digest(1, int.from_bytes(self._begun.digest(), "big")))
            self._begun, self._length = blake2b(digest_size=_BYTES), 0
            data = data[end + 1 :]
        rows, total, left = _lines(data)
        self.add(Digest(rows, int.from_bytes(total, "big")))
        self._begin(data[len(data) - left :])

    def add(self, digest: Digest) -> None:
        """Lines whose digest is known."""
        self._total += digest

    def close(self) -> Digest:
        """Of all lines. Raises BadData where the last one has no end."""
        if self._length:
            raise BadData("Rows as text end in the middle of a line")
        return self._total

    def _begin(self, data: bytes | memoryview) -> None:
        self._begun.update(data)
        self._length += len(data)
        self.longest = max(self.longest, self._length)


def digest_of(lines: bytes | bytearray | memoryview | Iterable[bytes]) -> Digest:
    """The digest of whole lines, or of pieces of them. Raises BadData where the last one has no end."""
    if not isinstance(lines, bytes | bytearray | memoryview):
        running = Running()
        for piece in lines:
            running.take(piece)
        return running.close()
    rows, total, left = _lines(lines)
    if left:
        raise BadData("Rows as text end in the middle of a line")
    return Digest(rows, int.from_bytes(total, "big"))


def lines_in_python(lines: bytes | bytearray | memoryview) -> tuple[int, bytes, int]:
    """How many whole lines there are, the sum of their hashes, and how many bytes are left after them."""
    *rows, rest = bytes(lines).split(b"\n")
    number = int.from_bytes
    total = sum(number(blake2b(row, digest_size=_BYTES).digest(), "big") for row in rows) & _MASK
    return len(rows), total.to_bytes(_BYTES, "big"), len(rest)


def _fastest() -> Callable[[bytes | bytearray | memoryview], tuple[int, bytes, int]]:
    """The compiled form, if it was built: it does the same, several times as fast and beside other threads."""
    if os.environ.get("STERNA_PURE_PYTHON"):
        return lines_in_python
    try:
        native: Callable[[bytes | bytearray | memoryview], tuple[int, bytes, int]]
        native = importlib.import_module("sterna.core._digest").lines
    except ImportError:
        return lines_in_python
    return native


_lines = _fastest()
