"""The sum of a table's rows, whatever their order: two sides that hold the same rows have the same one.

A row is a line of PostgreSQL's text form of COPY, without its end. Its hash is BLAKE2b (RFC 7693) of 16 bytes,
read as a number, the most significant byte first; the hashes are added up modulo 2^128.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from sterna.core.errors import BadData

_BITS = 128
_MASK = (1 << _BITS) - 1


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


def digest_of(lines: bytes | bytearray | memoryview) -> Digest:
    """The digest of whole lines. Raises BadData where the last one has no end."""
    rows = bytes(lines).split(b"\n")
    if rows.pop():
        raise BadData("Rows as text end in the middle of a line")
    return Digest(len(rows), _sum(rows))


def _sum(rows: Iterable[bytes]) -> int:
    number = int.from_bytes
    return sum(number(blake2b(row, digest_size=_BITS // 8).digest(), "big") for row in rows) & _MASK
