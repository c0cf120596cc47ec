"""Pages of 8 KB: header, records, slot array, checksum or torn bits."""

import struct
from dataclasses import dataclass, field

SIZE = 8192
ROOM = SIZE - 96
Lsn = tuple[int, int, int]
Place = tuple[int, int]
"""A page: (file id, page id)."""

DATA, INDEX, MIX, TREE, GAM, SGAM, IAM, PFS, BOOT, HEADER, DIFF, BULK = 1, 2, 3, 4, 8, 9, 10, 11, 13, 15, 16, 17
NOWHERE: Place = (0, 0)


@dataclass
class Page:
    """A page being filled. ``fixed`` is the length of the fixed part that the header tells."""

    place: Place
    type: int
    unit: int = 99
    index: int = 0
    fixed: int = 0
    level: int = 0
    flags: int = 0
    lsn: Lsn = (35, 1000, 1)
    previous: Place = NOWHERE
    next: Place = NOWHERE
    ghosts: int = 0
    records: list[bytes | None] = field(default_factory=list)
    body: bytes | None = None
    extra: bytes = b""
    used: int = 0

    def fits(self, record: bytes) -> bool:
        """Whether one more record has room."""
        return self.used + len(self.extra) + len(record) + 2 * (len(self.records) + 1) <= ROOM

    def add(self, record: bytes) -> int:
        """Append a record; its slot."""
        if not self.fits(record):
            raise ValueError(f"{len(record)} bytes do not fit on page {self.place}")
        self.records.append(record)
        self.used += len(record)
        return len(self.records) - 1

    def bytes(self) -> bytes:
        """The page as it lies in memory, without checksum."""
        page = bytearray(SIZE)
        at = 96
        page[at : at + len(self.extra)] = self.extra
        at += len(self.extra)
        for slot, record in enumerate(self.records):
            struct.pack_into("<H", page, SIZE - 2 * (slot + 1), at if record is not None else 0)
            if record is not None:
                page[at : at + len(record)] = record
                at += len(record)
        if self.body is not None:
            page[96 : 96 + len(self.body)] = self.body
        self._head(page, at)
        return bytes(page)

    def _head(self, page: bytearray, end: int) -> None:
        free = max(SIZE - end - 2 * len(self.records), 0)
        page[0:8] = struct.pack("<BBBBHH", 1, self.type, self.flags, self.level, 0, self.index)
        struct.pack_into("<IHH", page, 8, self.previous[1], self.previous[0], self.fixed)
        struct.pack_into("<IHH", page, 16, self.next[1], self.next[0], len(self.records))
        struct.pack_into("<IHH", page, 24, self.unit & 0xFFFFFFFF, free, end)
        struct.pack_into("<IHH", page, 32, self.place[1], self.place[0], 0)
        struct.pack_into("<IIH", page, 40, *self.lsn)
        struct.pack_into("<H", page, 58, self.ghosts)


def rotate(value: int) -> int:
    """A 32-bit value rotated left by one."""
    return (value << 1 & 0xFFFFFFFF) | value >> 31


def folded(sector: bytes) -> int:
    """The exclusive or of the 128 words of a 512-byte sector."""
    value = int.from_bytes(sector, "little")
    width = 4096
    while width > 32:
        width //= 2
        value = (value >> width) ^ (value & ((1 << width) - 1))
    return value


def checksum(data: bytes, total: int = 0) -> int:
    """The checksum of pages and of CSUM streams: sectors folded, rotated together; goes on from ``total``."""
    for start in range(0, len(data), 512):
        total = rotate(total) ^ folded(data[start : start + 512])
    return total


def protect(page: bytes, how: str) -> bytes:
    """The page with its checksum (``checksum``), with torn bits moved away (``torn``), or as it is (``none``)."""
    if how == "none":
        return page
    made = bytearray(page)
    flags = struct.unpack_from("<H", made, 4)[0]
    struct.pack_into("<H", made, 4, flags & ~0x300 | (0x200 if how == "checksum" else 0x100))
    struct.pack_into("<I", made, 60, 0)
    struct.pack_into("<I", made, 60, checksum(bytes(made)) if how == "checksum" else tear(made))
    return bytes(made)


def tear(page: bytearray, pattern: int = 1) -> int:
    """Move the two low bits at the end of sectors 1..15 into the word that is given back."""
    word = pattern
    for sector in range(1, 16):
        last = 512 * sector + 511
        word |= (page[last] & 3) << 2 * sector
        page[last] = page[last] & ~3 | pattern
    return word
