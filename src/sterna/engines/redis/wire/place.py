"""Where the reading of an RDB file can go on, as a small value."""

from dataclasses import dataclass

from sterna.core.errors import BadData


@dataclass(frozen=True, slots=True)
class Place:
    """A boundary between two records of an RDB file. The default is its beginning."""

    offset: int = 0
    """Bytes before it."""
    database: int = 0
    """The source's database to which the next key belongs."""
    crc: int = 0
    """The checksum of all bytes before it, so that the one at the end can still be compared."""
    magic: str = ""
    """The file's first nine bytes, e.g. ``REDIS0011`` or ``VALKEY080``; empty: not read yet."""

    def __str__(self) -> str:
        return f"{self.offset}:{self.database}:{self.crc:016x}:{self.magic}"

    @classmethod
    def parse(cls, text: str) -> "Place":
        """Read what ``str`` wrote. Raises BadData."""
        try:
            offset, database, crc, magic = text.split(":")
            place = cls(int(offset), int(database), int(crc, 16), magic)
        except ValueError as error:
            raise BadData(f"This is no place in an RDB file: {text[:100]!r}") from error
        if place.magic:
            version_of(place.magic.encode())
        return place


def version_of(magic: bytes) -> int:
    """The RDB version that a file's first nine bytes name. Raises BadData."""
    for word in (b"REDIS", b"VALKEY"):
        number = magic.removeprefix(word)
        if number != magic and len(magic) == 9 and number.isdigit() and int(number) > 0:
            if (word == b"VALKEY") == (int(number) >= 80):
                return int(number)
            break
    raise BadData(f"RDB offset 0: no RDB file begins with {magic!r}")
