"""Microsoft Tape Format: the chain of descriptor blocks, each followed by its streams.

Source: Microsoft Tape Format Specification 1.00a; how SQL Server uses it was read from its files. Only headers are
read here: the data of a stream are stepped over, however long they are.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from sterna.engines.sqlserver.wire.faults import Damaged, Fault, damaged

BLOCK_HEAD = 52
STREAM_HEAD = 22
MARK_HEAD = 56
LARGEST_DEVICE = 64 << 10
"""Bytes of the largest device block."""
KINDS = frozenset((b"TAPE", b"SFMB", b"SSET", b"VOLB", b"MSCI", b"MSDA", b"MSTL", b"MSLS", b"ESET", b"EOTM"))
LEAD = 2
"""Bytes before the pages or log blocks of a data stream."""
WITH_CHECKSUM = 0x100
"""Media format attribute of a data stream that a CSUM stream follows."""
_WINDOW = 64 << 10
_BLANK = 1 << 20
_ALIGNED = 512
_MOST_STREAMS = 100_000
_WORDS_OF_BLOCK = struct.Struct("<26H")
_WORDS_OF_STREAM = struct.Struct("<11H")
_STREAM = struct.Struct("<4sHHQHHH")

Report = Callable[[Fault], None]
"""Takes what is wrong; may raise it."""


class Source(Protocol):
    """Bytes in the tape format: a file, or what a compressed one unpacks to. As core's Blob, without its end."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int: ...

    def read_at(self, offset: int, length: int) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Stream:
    """A run of data behind a block."""

    kind: str
    at: int
    """Byte of its header."""
    length: int
    """Bytes of data, as the header says."""
    attributes: int
    """Media format attributes."""

    @property
    def start(self) -> int:
        return self.at + STREAM_HEAD

    @property
    def end(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class Block:
    """A descriptor block and the streams behind it."""

    kind: str
    at: int
    head: bytes
    """From the start of the block to its first stream."""
    streams: tuple[Stream, ...]
    end: int
    """Where the next block begins."""
    whole: bool = True
    """False: the file ends in the middle of it."""

    def stream(self, kind: str) -> Stream | None:
        """The first stream of a kind."""
        return next((each for each in self.streams if each.kind == kind), None)

    def u16(self, offset: int) -> int:
        return int.from_bytes(self.head[offset : offset + 2], "little")

    def u32(self, offset: int) -> int:
        return int.from_bytes(self.head[offset : offset + 4], "little")

    def text(self, offset: int) -> str:
        """The text that an address (length, offset from the block's start) at this place leads to."""
        return text_at(self.head, self.u16(offset), self.u16(offset + 2))


def text_at(data: bytes, length: int, offset: int) -> str:
    """UTF-16LE text inside a block; what reaches beyond the block is left out."""
    return data[offset : offset + length].decode("utf-16-le", "replace")


class Window:
    """Small reads beside one another become one larger read: the file may lie far away."""

    def __init__(self, source: Source, size: int = _WINDOW) -> None:
        self._source = source
        self._size = size
        self._start = 0
        self._data = b""

    def read(self, offset: int, length: int) -> bytes:
        """The bytes from there, fewer only at the end of the file."""
        begin = offset - self._start
        if begin < 0 or begin + length > len(self._data):
            self._data = self._ahead(offset, length)
            self._start, begin = offset, 0
        return self._data[begin : begin + length]

    def _ahead(self, offset: int, length: int) -> bytes:
        try:
            return self._source.read_at(offset, max(length, self._size))
        except Damaged:  # perhaps further on, where nobody asked to read
            return self._source.read_at(offset, length)


def walk(source: Source, report: Report | None = None) -> Iterator[Block]:
    """All blocks, in order. One that the file's end cuts is given with ``whole`` false, and is the last.

    Raises BadData for what is no block. Wrong checksums of headers go to ``report``; without it they are raised.
    """
    window = Window(source)
    at = 0
    while at < source.size:
        block = _block(source, window, at, report)
        if block is None:
            return
        yield block
        if not block.whole:
            return
        if block.end % _ALIGNED:
            raise damaged(
                source.name, at, f"block {block.kind} ends at byte {block.end}, where no block can begin"
            )
        at = block.end


def _block(source: Source, window: Window, at: int, report: Report | None) -> Block | None:
    """The block there. None: nothing but zeros is left, the rest of a file that was made larger than it is."""
    head = window.read(at, BLOCK_HEAD)
    if at and not any(head) and _is_blank(source, at):
        return None
    if len(head) < BLOCK_HEAD:
        return Block("", at, head, (), source.size, False)
    kind = head[:4]
    if kind not in KINDS:
        raise damaged(source.name, at, f"{kind!r} is no block of the tape format")
    if _folded(_WORDS_OF_BLOCK.unpack(head)):
        _wrong(source, at, f"the checksum of the header of block {kind.decode()} is wrong", report)
    first = mark_size(window.read(at, MARK_HEAD)) if kind == b"SFMB" else int.from_bytes(head[8:10], "little")
    if first < BLOCK_HEAD:
        raise damaged(source.name, at, f"block {kind.decode()} says that its header has {first} bytes")
    whole_head = window.read(at, first)
    if len(whole_head) < first:
        return Block("", at, head, (), source.size, False)
    if kind == b"SFMB":
        return Block("SFMB", at, head, (), at + first, at + first <= source.size)
    streams, end = _streams(source, window, at + first, report)
    return Block(kind.decode(), at, whole_head, tuple(streams), end, end <= source.size)


def _is_blank(source: Source, at: int) -> bool:
    """Whether nothing but zeros is left from there."""
    while data := source.read_at(at, _BLANK):
        if any(data):
            return False
        at += len(data)
    return True


def mark_size(head: bytes) -> int:
    """The bytes of a soft filemark, which fills a device block; 0: they are not told.

    Blocks of 64 KB (backups to a URL, or WITH BLOCKSIZE) do not fit into the two bytes for it: then how many
    entries of eight bytes the filemark has room for tells it.
    """
    told = int.from_bytes(head[8:10], "little")
    entries = int.from_bytes(head[52:MARK_HEAD], "little")
    if told or not 0 < entries * 8 < LARGEST_DEVICE:
        return told
    return (entries * 8 // _ALIGNED + 1) * _ALIGNED


def _streams(source: Source, window: Window, at: int, report: Report | None) -> tuple[list[Stream], int]:
    """The streams from there to the SPAD that ends them, and where that ends: beyond the file if it is cut."""
    found: list[Stream] = []
    while len(found) < _MOST_STREAMS:
        head = window.read(at, STREAM_HEAD) if at < source.size else b""
        if len(head) < STREAM_HEAD:
            return found, source.size + 1
        kind, _, attributes, length, *_ = _STREAM.unpack(head)
        if not all(48 <= letter <= 90 for letter in kind):
            raise damaged(source.name, at, f"{kind!r} is no stream of the tape format")
        if _folded(_WORDS_OF_STREAM.unpack(head)):
            _wrong(source, at, f"the checksum of the header of stream {kind.decode()} is wrong", report)
        stream = Stream(kind.decode(), at, length, attributes)
        found.append(stream)
        if kind == b"SPAD" or stream.end > source.size:
            return found, stream.end
        at = -(-stream.end // 4) * 4
    raise damaged(source.name, at, "a block has more streams than any backup")


def _folded(words: tuple[int, ...]) -> int:
    """All words of a header with exclusive or, its checksum among them: 0 if it is right."""
    folded = 0
    for word in words:
        folded ^= word
    return folded


def _wrong(source: Source, at: int, message: str, report: Report | None) -> None:
    if report is None:
        raise damaged(source.name, at, message)
    report(Fault(source.name, at, message))
