"""Bytes of a stored file from some place on, front to back, unpacked where they are packed.

Nothing here trusts a length that the file names: what is unpacked comes in pieces no larger than asked for, and
whoever reads counts them.
"""

import zlib
from typing import Protocol

from sterna.core.errors import BadData, Unsupported
from sterna.core.files import Blob

BLOCK = 4 << 20
"""Bytes that are asked of the storage at once: each request to an object store takes a while to begin."""
FEED = 256 << 10
"""Packed bytes that are unpacked at once."""


class Stream(Protocol):
    """Read by one thread at a time."""

    @property
    def at(self) -> int:
        """Bytes before the next one, unpacked."""
        ...

    @property
    def spent(self) -> int:
        """Bytes of the stored file that were used up so far."""
        ...

    def read(self, most: int) -> bytes:
        """Some of the next bytes, at most so many; none only at the end.

        Raises BadData for damage, Unsupported beyond a limit, and what the storage raises.
        """
        ...


class Plain:
    """A stretch of a stored file as it is. ``start`` and ``end`` are places in it."""

    def __init__(self, blob: Blob, start: int, end: int) -> None:
        self._blob = blob
        self._place, self._end = start, max(start, end)
        self._block = b""
        self._used = 0
        self.at = self.spent = 0

    def read(self, most: int) -> bytes:
        if self._used == len(self._block):
            self._block = self._blob.read_at(self._place, min(BLOCK, self._end - self._place))
            self._used = 0
            if not self._block:
                return self._nothing()
            self._place += len(self._block)
        piece = self._block[self._used : self._used + most]
        self._used += len(piece)
        self.at += len(piece)
        self.spent += len(piece)
        return piece

    def _nothing(self) -> bytes:
        if self._place < self._end:
            raise BadData(f"{self._blob.name} ends at byte {self._place}, not at {self._end}")
        return b""


class Gzip:
    """A gzip file of one or more members, each with its checksum. ``limit``: bytes that may come out."""

    def __init__(self, packed: Stream, name: str, limit: int) -> None:
        self._packed = packed
        self._name = name
        self._limit = limit
        self._unpacker = zlib.decompressobj(31)
        self._waiting = b""
        self.at = 0

    @property
    def spent(self) -> int:
        return self._packed.spent

    def read(self, most: int) -> bytes:
        while True:
            if self._unpacker.eof and not self._next_member():
                return b""
            self._waiting = self._waiting or self._packed.read(FEED)
            if not self._waiting:
                raise BadData(f"{self._name} is cut off: its packed data ends at byte {self._packed.at}")
            if piece := self._unpack(most):
                self.at += len(piece)
                if self.at > self._limit:
                    raise too_much(self._name, self._limit)
                return piece

    def _unpack(self, most: int) -> bytes:
        try:
            piece = self._unpacker.decompress(self._waiting, most)
        except zlib.error as error:
            raise BadData(f"{self._name} is damaged near byte {self._packed.at}: {error}") from error
        done = self._unpacker.eof
        self._waiting = self._unpacker.unused_data if done else self._unpacker.unconsumed_tail
        return piece

    def _next_member(self) -> bool:
        """Whether another member follows; zeros between and behind members are padding."""
        while True:
            self._waiting = self._waiting.lstrip(b"\0") or self._packed.read(FEED)
            if not self._waiting:
                return False
            if self._waiting.strip(b"\0"):
                break
        self._waiting = self._waiting.lstrip(b"\0")
        if len(self._waiting) < 2:
            self._waiting += self._packed.read(FEED)
        if not self._waiting.startswith(b"\x1f\x8b"):
            raise BadData(f"{self._name}: something that is not gzip follows near byte {self._packed.at}")
        self._unpacker = zlib.decompressobj(31)
        return True


class Inflated:
    """A file of a zip archive, compared with the size and the checksum that the archive names for it."""

    def __init__(self, packed: Stream, name: str, size: int, crc: int, *, deflated: bool) -> None:
        self._packed = packed
        self._name = name
        self._size, self._crc, self._seen = size, crc, 0
        self._unpacker = zlib.decompressobj(-15) if deflated else None
        self._waiting = b""
        self.at = 0

    @property
    def spent(self) -> int:
        return self._packed.spent

    def read(self, most: int) -> bytes:
        piece = self._packed.read(most) if self._unpacker is None else self._unpack(self._unpacker, most)
        self.at += len(piece)
        self._seen = zlib.crc32(piece, self._seen)
        if self.at > self._size or (not piece and self.at < self._size):
            raise BadData(f"{self._name} does not have the {self._size} bytes that its archive names")
        if not piece and self._seen != self._crc:
            raise BadData(f"{self._name}: the checksum is {self._crc:08x}, but that of the bytes {self._seen:08x}")
        return piece

    def _unpack(self, unpacker: "zlib._Decompress", most: int) -> bytes:
        while not unpacker.eof:
            self._waiting = self._waiting or self._packed.read(FEED)
            if not self._waiting:
                raise BadData(f"{self._name} is cut off: its packed data ends after {self._packed.at} bytes")
            try:
                piece = unpacker.decompress(self._waiting, most)
            except zlib.error as error:
                raise BadData(f"{self._name} is damaged: {error}") from error
            self._waiting = unpacker.unconsumed_tail
            if piece:
                return piece
        return b""


class Within:
    """A stretch of another stream, from where that one is now."""

    def __init__(self, whole: Stream, name: str, size: int) -> None:
        self._whole = whole
        self._name = name
        self._size = size
        self.at = 0

    @property
    def spent(self) -> int:
        return self._whole.spent

    def read(self, most: int) -> bytes:
        piece = self._whole.read(min(most, self._size - self.at)) if self.at < self._size else b""
        self.at += len(piece)
        if not piece and self.at < self._size:
            raise BadData(f"{self._name} is cut off: its archive ends after {self.at} of {self._size} bytes")
        return piece


def exactly(stream: Stream, size: int) -> bytes:
    """The next bytes: so many, fewer only at the end."""
    parts: list[bytes] = []
    while size and (piece := stream.read(size)):
        parts.append(piece)
        size -= len(piece)
    return b"".join(parts)


def skip(stream: Stream, size: int) -> int:
    """Pass over bytes. How many there were: fewer only at the end."""
    left = size
    while left and (piece := stream.read(min(left, FEED))):
        left -= len(piece)
    return size - left


def too_much(name: str, limit: int) -> Unsupported:
    return Unsupported(
        f"{name} unpacks to more than {limit} bytes",
        hint="If it is meant to: unpack it, and name the files that were in it.",
    )
