"""Unpacks the records of compressed backups: LZ77 with Huffman codes.

Source: [MS-XCA] Xpress Compression Algorithm, 2.2 "LZ77+Huffman Decompression". A record begins with the lengths
of 512 codes in 256 bytes; the bits lie in little-endian words of 16, lengths of long matches in whole bytes
among them.
"""

from collections.abc import Callable

from sterna.engines.sqlserver.wire.native import compiled

_native = compiled("_xpress")
TABLE = 256
_SYMBOLS = 512
_LONGEST = 15
Unpack = Callable[[bytes, int], bytes]
_SHARE = tuple(
    sum((1 << _LONGEST) >> length for length in (byte & 15, byte >> 4) if length) for byte in range(256)
)
"""How much of all codes the two lengths in a byte use up."""


def is_table(data: bytes) -> bool:
    """Whether these bytes begin with the lengths of a complete code: hardly any other bytes do."""
    return len(data) >= TABLE and sum(map(_SHARE.__getitem__, data[:TABLE])) == 1 << _LONGEST


def unpack(data: bytes, size: int) -> bytes:
    """The ``size`` bytes that these were packed from. Raises ValueError, saying what is wrong."""
    if _native is not None:
        unpacked: bytes = _native.unpack(data, size)
        return unpacked
    return unpack_plainly(data, size)


def unpack_plainly(data: bytes, size: int) -> bytes:
    """The same in Python."""
    if size < 0:
        raise ValueError("the size is negative")
    if len(data) < TABLE:
        raise ValueError("the code table is cut")
    if not is_table(data):
        raise ValueError("the code table is no complete code")
    return bytes(_Unpacking(data, size).run())


class _Unpacking:
    """One record on its way."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = data
        self._size = size
        self._at = TABLE
        self._beyond = 0

    def run(self) -> bytearray:
        symbols, lengths = _codes(self._data)
        out = bytearray()
        bits = self._word() << 16
        bits |= self._word()
        spare = 16
        size = self._size
        done = 0
        while done < size:
            code = bits >> 17
            symbol, taken = symbols[code], lengths[code]
            bits = bits << taken & 0xFFFFFFFF
            spare -= taken
            if spare < 0:
                bits |= self._word() << -spare
                spare += 16
            if symbol < 256:
                out.append(symbol)
                done += 1
                continue
            length = symbol & 15
            if length == 15:
                length = self._long()
            length += 3
            taken = symbol >> 4 & 15
            offset = 1 << taken
            if taken:
                offset += bits >> (32 - taken)
                bits = bits << taken & 0xFFFFFFFF
                spare -= taken
                if spare < 0:
                    bits |= self._word() << -spare
                    spare += 16
            _copy(out, offset, length, size - done)
            done += length
        return out

    def _word(self) -> int:
        """The next 16 bits. Two words of zeros may lie behind the end: they are loaded ahead, but not used."""
        at = self._at
        self._at = at + 2
        if at + 2 <= len(self._data):
            return self._data[at] | self._data[at + 1] << 8
        self._beyond += 1
        if self._beyond > 2:
            raise ValueError("the data are cut")
        return 0

    def _long(self) -> int:
        """The length of a long match."""
        length = self._number(1)
        if length < 255:
            return length + 15
        return self._number(2) or self._number(4)

    def _number(self, size: int) -> int:
        at = self._at
        if len(self._data) - at < size:
            raise ValueError("the data are cut")
        self._at = at + size
        return int.from_bytes(self._data[at : at + size], "little")


def _copy(out: bytearray, offset: int, length: int, room: int) -> None:
    """Append what lies ``offset`` bytes back; where it overlaps its own end, it repeats."""
    if offset > len(out):
        raise ValueError("a match begins before the data do")
    if length > room:
        raise ValueError("a match ends behind the data")
    start = len(out) - offset
    if offset >= length:
        out += out[start : start + length]
    else:
        piece = bytes(out[start:])
        out += (piece * (length // offset + 1))[:length]


def _codes(table: bytes) -> tuple[list[int], list[int]]:
    """For every 15 bits: the symbol that they begin with, and the length of its code."""
    by_length: list[list[int]] = [[] for _ in range(_LONGEST + 1)]
    for symbol in range(_SYMBOLS):
        by_length[table[symbol >> 1] >> (4 if symbol & 1 else 0) & 15].append(symbol)
    symbols: list[int] = []
    lengths: list[int] = []
    for length in range(1, _LONGEST + 1):
        share = 1 << (_LONGEST - length)
        for symbol in by_length[length]:
            symbols += [symbol] * share
        lengths += [length] * (share * len(by_length[length]))
    return symbols, lengths
