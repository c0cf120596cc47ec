"""The Microsoft Tape Format: descriptor blocks and streams of a media family."""

import datetime as clock
import struct
from collections.abc import Callable
from dataclasses import dataclass

FLB = 1024
SOFTWARE = "Microsoft SQL Server\0\0"
Sink = Callable[[bytes], object]


def xor_words(data: bytes) -> int:
    """The checksum of heads: the exclusive or of their 16-bit words."""
    total = 0
    for (word,) in struct.iter_unpack("<H", data):
        total ^= word
    return total


def packed_date(moment: clock.datetime | None) -> bytes:
    """An MTF date: 14, 4, 5, 5, 6 and 6 bits."""
    if moment is None:
        return bytes(5)
    value = moment.year
    for part, width in (
        (moment.month, 4), (moment.day, 5), (moment.hour, 5), (moment.minute, 6), (moment.second, 6),
    ):  # fmt: skip
        value = value << width | part
    return value.to_bytes(5, "big")


def stream_head(name: bytes, length: int, attributes: int = 0) -> bytes:
    """The 22 bytes before a stream's data."""
    head = struct.pack("<4sHHQHH", name, 0, attributes, length, 0, 0)
    return head + struct.pack("<H", xor_words(head))


def block_head(name: bytes, size: int, number: int, fla: int, attributes: int = 0, strings: int = 2) -> bytearray:
    """The common head of a descriptor block; the checksum comes with ``seal``."""
    head = bytearray(52)
    struct.pack_into("<4sIHBBQQ", head, 0, name, attributes, size, 0x0E, 1, 0, fla)
    struct.pack_into("<I", head, 36, number)
    head[48] = strings
    return head


def seal(block: bytearray) -> bytes:
    """The block with its checksum."""
    struct.pack_into("<H", block, 50, xor_words(bytes(block[:50])))
    return bytes(block)


class Strings:
    """Strings after the fixed part of a block, and the addresses that name them."""

    def __init__(self, at: int) -> None:
        self.at, self.data = at, b""

    def address(self, raw: str | bytes) -> bytes:
        """{u16 size, u16 offset}."""
        value = raw.encode("utf-16-le") if isinstance(raw, str) else raw
        where = struct.pack("<HH", len(value), self.at + len(self.data) if value else 0)
        self.data += value
        return where


@dataclass
class Tape:
    """Writes blocks and streams one after the other and knows how far it is.

    ``cut`` is told where records of a compressed file must begin: (position, whether a raw block follows).
    """

    sink: Sink
    device: int = 512
    at: int = 0
    marks: int = 0
    cut: Callable[[int, bool], object] | None = None
    base: int = 0

    def write(self, data: bytes) -> None:
        """Bytes onto the tape."""
        self.sink(data)
        self.at += len(data)

    def align(self, size: int, base: int = 0) -> int:
        """How many bytes are missing to a multiple of ``size``."""
        return -(self.at - base) % size

    def stream(self, name: bytes, data: bytes, attributes: int = 0) -> None:
        """A whole stream, padded to four bytes."""
        self.write(stream_head(name, len(data), attributes) + data)
        self.write(bytes(self.align(4)))

    def spad(self, size: int = FLB) -> None:
        """Pad to the next block."""
        self.write(bytes(self.align(4)))
        room = -(self.at + 22 - self.base) % size
        self.write(stream_head(b"SPAD", room) + bytes(room))

    def apad(self) -> None:
        """Pad so that the data of the next stream, after two bytes, begin at a device block."""
        self.write(bytes(self.align(4)))
        room = -(self.at + 22 + 24) % self.device
        self.write(stream_head(b"APAD", room, 0x80) + bytes(room))

    def mark(self, number: int) -> None:
        """A soft filemark."""
        if self.cut:
            self.cut(self.at, True)
        block = block_head(b"SFMB", self.device & 0xFFFF, 0, 0, 0x80000000, 0) + bytearray(self.device - 52)
        struct.pack_into("<III", block, 52, (self.device - 72) // 8, number, 0x48)
        self.write(seal(block))
        self.base = self.at
        if self.cut:
            self.cut(self.at, False)
