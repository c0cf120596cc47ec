"""Cuts the stream of a COPY into runs of whole rows, and counts them; what is in the rows stays as it is.

The server sends each row as one message, so the pieces that come in hold whole rows.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sterna.core.errors import BadData
from sterna.engines.postgres.wire.native import compiled

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
"""What a binary COPY begins with: the signature, no flags, no extension."""
TRAILER = b"\xff\xff"
"""What it ends with: a row of -1 fields."""

Walk = Callable[[bytes | bytearray, int, int], tuple[int, int]]
"""How many rows there are in ``data`` from ``at`` on that begin before ``stop``, and where the last of them ends.
It ends early before what is no whole row."""

_Unpack = Callable[[bytes | bytearray, int], tuple[int, ...]]
_SHORT, _LONG = struct.Struct(">h"), struct.Struct(">i")


def walk_in_python(data: bytes | bytearray, at: int, stop: int) -> tuple[int, int]:
    """``Walk`` of a binary COPY without a compiler."""
    rows, end = 0, len(data)
    short, long = _SHORT.unpack_from, _LONG.unpack_from
    stop = min(stop, end)
    while at < stop:
        try:
            place = _row_end(data, at, short, long)
        except struct.error:
            break
        if place > end:
            break
        at = place
        rows += 1
    return rows, at


def _row_end(data: bytes | bytearray, at: int, short: _Unpack, long: _Unpack) -> int:
    """Where the row at ``at`` ends. Raises struct.error for what is no row, or not whole."""
    fields = short(data, at)[0]
    if fields < 0:
        raise struct.error
    at += 2
    for _ in range(fields):
        length = long(data, at)[0]
        if length > 0:
            at += 4 + length
        elif length >= -1:
            at += 4
        else:
            raise struct.error
    return at


def walk_lines(data: bytes | bytearray, at: int, stop: int) -> tuple[int, int]:
    """``Walk`` of a COPY as text: a row is a line, and a line break in a value is written as two other letters."""
    if at >= min(stop, len(data)):
        return 0, at
    end = data.find(b"\n", max(at, stop - 1)) + 1 if stop < len(data) else 0
    end = end or data.rfind(b"\n", at) + 1 or at
    return data.count(b"\n", at, end), end


_native = compiled("_copy")
walk_binary: Walk = _native.walk if _native else walk_in_python


@dataclass(frozen=True, slots=True)
class Run:
    """Some whole rows."""

    data: bytes
    rows: int
    last: bool = False
    """Nothing comes after it."""


@dataclass
class Cutter:
    """Takes a COPY stream piece by piece and cuts it into runs of ``size`` bytes and at most one row more.

    ``skip``: so many bytes of rows were taken before and are left out. Raises BadData for what is no COPY stream.
    """

    text: bool
    size: int
    skip: int = 0
    _pieces: list[memoryview] = field(default_factory=list, init=False)
    _held: int = field(default=0, init=False)
    _rows: int = field(default=0, init=False)
    _begun: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)

    def feed(self, piece: bytes | bytearray) -> Iterator[Run]:
        """The runs that are full now."""
        at = 0 if self._begun or self.text else self._opening(piece)
        self._begun = True
        while at < len(piece):
            if self._ended:
                raise BadData("Rows after the end of a COPY")
            at = self._skip(piece, at) if self.skip else self._take(piece, at)
            if self._held >= self.size:
                yield self._run()

    def close(self) -> Run:
        """The stream has ended: the rows that are left, maybe none."""
        if self.skip or not (self.text or self._ended):
            raise BadData("A COPY ended early")
        return self._run(last=True)

    def _opening(self, piece: bytes | bytearray) -> int:
        if not piece.startswith(HEADER):
            raise BadData("Not a binary COPY")
        return len(HEADER)

    def _walk(self, piece: bytes | bytearray, at: int, stop: int) -> tuple[int, int]:
        rows, end = (walk_lines if self.text else walk_binary)(piece, at, stop)
        if end == at:
            if self.text or piece[at:] != TRAILER:
                raise BadData("A COPY holds something that is no row")
            self._ended = True
            return 0, len(piece)
        return rows, end

    def _skip(self, piece: bytes | bytearray, at: int) -> int:
        _, end = self._walk(piece, at, at + self.skip)
        self.skip -= 0 if self._ended else end - at
        if self.skip < 0:
            raise BadData("The rows are not those that were read before")
        return end

    def _take(self, piece: bytes | bytearray, at: int) -> int:
        rows, end = self._walk(piece, at, at + self.size - self._held)
        if not self._ended:
            self._pieces.append(memoryview(piece)[at:end])
            self._held += end - at
            self._rows += rows
        return end

    def _run(self, *, last: bool = False) -> Run:
        run = Run(b"".join(self._pieces), self._rows, last)
        self._pieces, self._held, self._rows = [], 0, 0
        return run
