"""Bytes that arrive in pieces and are read from the front, with an offset for every complaint.

A reading method either gives a value and moves on, or raises Short and stays where it was. Trying again costs a
look at a length, so nothing is read twice. A length is believed only as far as bytes have come.
"""

from struct import Struct
from typing import NoReturn

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire.crc64 import crc64
from sterna.engines.redis.wire.lzf import MOST_GROWTH, decompress

MOST_LENGTH = 1 << 40
"""No string is longer than this many bytes, nor has a value more elements."""
MOST_ELEMENT = 64 << 20
"""A key or an element that must be held as a whole may have this many bytes."""

COMPRESSED = 3
"""The special encoding of a string that is compressed; those below are integers."""

_U32 = Struct(">I")
_U64 = Struct(">Q")
_INTEGERS = (Struct("<b"), Struct("<h"), Struct("<i"))


class Short(Exception):
    """More bytes are needed: at least ``missing``."""

    def __init__(self, missing: int) -> None:
        self.missing = missing
        super().__init__(missing)


def read_length(data: bytes | bytearray, at: int) -> tuple[int, int, bool]:
    """The length at ``at``: its value, where it ends, and whether it is not a length but a special encoding.

    Raises Short, and ValueError for a form that does not exist.
    """
    end = len(data)
    if at >= end:
        raise Short(1)
    first = data[at]
    form = first >> 6
    if form == 0:
        return first, at + 1, False
    if form == 1:
        if at + 2 > end:
            raise Short(1)
        return (first & 63) << 8 | data[at + 1], at + 2, False
    if form == 3:
        return first & 63, at + 1, True
    if first == 0x80:
        if at + 5 > end:
            raise Short(at + 5 - end)
        return _U32.unpack_from(data, at + 1)[0], at + 5, False
    if first == 0x81:
        if at + 9 > end:
            raise Short(at + 9 - end)
        return _U64.unpack_from(data, at + 1)[0], at + 9, False
    raise ValueError(f"no length begins with {first:#04x}")


def compressed_head(data: bytes | bytearray, at: int) -> tuple[int, int, int]:
    """Of a compressed string after its first byte: compressed length, plain length, where its bytes begin."""
    packed, at, special = read_length(data, at)
    plain, at, special_too = read_length(data, at)
    if special or special_too or packed > MOST_LENGTH or plain > packed * MOST_GROWTH:
        raise ValueError(f"a compressed string cannot have {packed} bytes for {plain}")
    return packed, plain, at


class Tape:
    """The bytes not yet consumed, where they stand in the file, and the checksum of all before them."""

    __slots__ = ("at", "base", "closed", "crc", "data")

    def __init__(self, data: bytes | bytearray = b"", base: int = 0, crc: int = 0) -> None:
        self.data = bytearray(data)
        self.at = 0
        self.base = base
        self.crc = crc
        self.closed = False

    @property
    def offset(self) -> int:
        """Where in the file the next byte stands."""
        return self.base + self.at

    def drop(self) -> None:
        """Let go of what was read, adding it to the checksum."""
        if self.at:
            self.crc = self.crc_before(self.at)
            del self.data[: self.at]
            self.base += self.at
            self.at = 0

    def crc_before(self, at: int) -> int:
        """The checksum of everything before a place in the buffer."""
        with memoryview(self.data) as view, view[:at] as read:
            return crc64(read, self.crc)

    def bad(self, reason: str) -> NoReturn:
        raise BadData(f"RDB offset {self.offset}: {reason}")

    def length(self) -> int:
        """A plain length or count."""
        try:
            value, at, special = read_length(self.data, self.at)
        except ValueError as error:
            self.bad(str(error))
        if special:
            self.bad("a length was expected, not a special encoding")
        self.at = at
        return value

    def count(self) -> int:
        """A length that says how many elements follow."""
        before = self.at
        value = self.length()
        if value > MOST_LENGTH:
            self.at = before
            self.bad(f"{value} elements are not believable")
        return value

    def raw(self, size: int) -> bytes:
        at = self.at + size
        if at > len(self.data):
            raise Short(at - len(self.data))
        value = bytes(self.data[self.at : at])
        self.at = at
        return value

    def head(self) -> tuple[int, bool]:
        """A string's length, or its special encoding and True."""
        try:
            size, at, special = read_length(self.data, self.at)
            if special and size > COMPRESSED:
                raise ValueError(f"no string has the encoding {size}")
            if not special and size > MOST_LENGTH:
                raise ValueError(f"a string of {size} bytes is not believable")
        except ValueError as error:
            self.bad(str(error))
        self.at = at
        return size, special

    def compressed(self) -> tuple[int, int]:
        """Of a compressed string, after its head: how long it is, and how long it will be."""
        try:
            packed, plain, self.at = compressed_head(self.data, self.at)
        except ValueError as error:
            self.bad(str(error))
        return packed, plain

    def integer(self, encoding: int) -> bytes:
        """A string that is kept as an integer, after its head, in digits."""
        form = _INTEGERS[encoding]
        return b"%d" % form.unpack(self.raw(form.size))[0]

    def string(self, most: int = MOST_ELEMENT) -> bytes:
        """A string as a whole. Raises Unsupported where it has more than ``most`` bytes."""
        start = self.at
        try:
            size, special = self.head()
            if not special:
                return self.raw(self._bounded(size, most))
            if size != COMPRESSED:
                return self.integer(size)
            packed, plain = self.compressed()
            self._bounded(plain, most)
            return self._decompressed(self.raw(self._bounded(packed, most)), plain)
        except (Short, Unsupported):
            self.at = start
            raise

    def _decompressed(self, data: bytes, plain: int) -> bytes:
        try:
            return decompress(data, plain)
        except ValueError as error:
            self.bad(str(error))

    def _bounded(self, size: int, most: int) -> int:
        if size > most:
            raise Unsupported(
                f"RDB offset {self.offset}: one element has {size} bytes; at most {most} can be moved"
            )
        return size


def shown(key: bytes) -> str:
    """A key for a message: printable, and not endless."""
    text = key[:200].decode("utf-8", "backslashreplace")
    return repr(text) + ("…" if len(key) > 200 else "")
