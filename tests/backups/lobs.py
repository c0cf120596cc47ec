"""Values that leave the row: LOB records, trees and the pointers to them."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from tests.backups.image import Image, Unit
from tests.backups.pages import MIX, TREE, Page, Place

SMALL = 64
Link = tuple[int, Place, int]
"""Bytes below a link, the page and the slot of what it points at."""


@dataclass
class Lobs:
    """Writes values into an allocation unit; ``leaf`` bytes per data record, ``fan`` links per inner record."""

    image: Image
    unit: Unit
    leaf: int = 8040
    fan: int = 400
    roots: int = 5
    number: int = 0
    page: Page | None = None

    def put(self, record: bytes, type_: int = MIX) -> tuple[Place, int]:
        """A record on a page with room for it."""
        if self.page is None or self.page.type != type_ or not self.page.fits(record):
            self.page = self.image.add(self.unit, type_)
        return self.page.place, self.page.add(record)

    def head(self, length: int, form: int) -> bytes:
        """The head of a LOB record."""
        return struct.pack("<BBHQH", 8, 0, length, self.number << 16, form)

    def leaves(self, raw: bytes) -> list[Link]:
        """The value in data records."""
        links = []
        for start in range(0, len(raw), self.leaf):
            piece = raw[start : start + self.leaf]
            links.append((len(piece), *self.put(self.head(14 + len(piece), 3) + piece)))
        return links

    def inner(self, links: Sequence[Link], level: int) -> list[Link]:
        """A level of inner records above links."""
        out = []
        for start in range(0, len(links), self.fan):
            group = links[start : start + self.fan]
            body, total = b"", 0
            for size, place, slot in group:
                total += size
                body += struct.pack("<QIHH", total, place[1], place[0], slot)
            head = self.head(20 + len(body), 2) + struct.pack("<HHH", self.fan, len(group), level)
            out.append((total, *self.put(head + body, TREE)))
        return out

    def tree(self, raw: bytes) -> tuple[list[Link], int]:
        """Few enough links for a root, and the root's level."""
        links, level = self.leaves(raw), 0
        while len(links) > self.roots:
            links = self.inner(links, level)
            level += 1
        return links, level

    def narrow(self, links: Sequence[Link]) -> bytes:
        """Links of 12 bytes, sizes added up."""
        out, total = b"", 0
        for size, place, slot in links:
            total += size
            out += struct.pack("<IIHH", total, place[1], place[0], slot)
        return out

    def pointed(self, raw: bytes) -> bytes:
        """A text, ntext or image value: the 16-byte pointer to its root."""
        self.number += 1
        if len(raw) <= SMALL:
            record = self.head(84, 0) + struct.pack("<HI", len(raw), 0) + raw.ljust(SMALL, b"\0")
        else:
            links, level = self.tree(raw)
            body = struct.pack("<HHHI", self.roots, len(links), level, 0) + self.narrow(links)
            record = self.head(14 + len(body), 5) + body
        place, slot = self.put(record)
        return struct.pack("<QIHH", self.number << 16, place[1], place[0], slot)

    def inline(self, raw: bytes) -> bytes:
        """A MAX value: an inline root."""
        self.number += 1
        links, level = self.tree(raw)
        return struct.pack("<BBHII", 4, level, 0, 1, self.number) + self.narrow(links)

    def overflow(self, raw: bytes) -> bytes:
        """A value of a plain variable column that does not fit the row."""
        self.number += 1
        links = self.leaves(raw)
        return struct.pack("<BBHII", 2, 0, 0, 1, self.number) + self.narrow(links)
