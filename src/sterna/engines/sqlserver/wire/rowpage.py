"""A page of rows taken apart into its records, and put together again: for changes that the log tells of."""

import struct
from itertools import pairwise

from sterna.engines.sqlserver.wire.base import PAGE
from sterna.engines.sqlserver.wire.logrecords import Lsn, lsn_at

HEAD = 96
TEXT_PAGES = (3, 4)
COMPRESSED_RECORD = 1
"""A bit of a record's first byte."""
_COMPRESSED_PAGE, _DICTIONARY = 0x80, 4
_STUB, _STUB_SIZE = 2, 9
_VERSION_TAG = 14


class RowPage:
    """A page of records, taken apart."""

    def __init__(self, head: bytearray, records: list[bytes | None], prefix: bytes = b"") -> None:
        self.head = head
        self.records = records
        self.prefix = prefix
        """What a compressed page has in front of its records."""

    @classmethod
    def parse(cls, page: bytes) -> "RowPage":
        """Raises ValueError for a page whose records do not lie on it."""
        count, free = struct.unpack_from("<H", page, 22)[0], struct.unpack_from("<H", page, 30)[0]
        if count > (PAGE - HEAD) // 2:
            raise ValueError(f"{count} records cannot be on one page")
        starts = struct.unpack_from(f"<{count}H", page, PAGE - 2 * count)[::-1]
        limit = min(free if free > HEAD else PAGE, PAGE - 2 * count)
        edges = sorted({start for start in starts if start >= HEAD} | {limit})
        after = dict(pairwise(edges))
        records = [_record(page, start, after.get(start, limit)) if start >= HEAD else None for start in starts]
        return cls(bytearray(page[:HEAD]), records, _prefix(page))

    def render(self) -> bytes:
        """The page again, its records close together. Raises ValueError if they do not fit."""
        body = bytearray(self.prefix)
        starts = []
        for record in self.records:
            starts.append(HEAD + len(body) if record is not None else 0)
            body += record or b""
        space = PAGE - HEAD - 2 * len(starts) - len(body)
        if space < 0:
            raise ValueError("the records do not fit on their page any more")
        head = bytearray(self.head)
        struct.pack_into("<H", head, 22, len(starts))
        struct.pack_into("<HH", head, 28, space, HEAD + len(body))
        struct.pack_into("<H", head, 4, struct.unpack_from("<H", head, 4)[0] & ~0x300)
        return bytes(head) + bytes(body) + bytes(space) + struct.pack(f"<{len(starts)}H", *reversed(starts))

    def at(self, slot: int) -> bytes:
        """The record there. Raises ValueError if there is none."""
        record = self.records[slot] if slot < len(self.records) else None
        if record is None:
            raise ValueError(f"there is no record {slot}")
        return record

    def stamp(self, lsn: Lsn) -> None:
        """The page is up to there in the log."""
        struct.pack_into("<IIH", self.head, 40, lsn >> 48, lsn >> 16 & 0xFFFFFFFF, lsn & 0xFFFF)


def _prefix(page: bytes) -> bytes:
    if not page[2] & _COMPRESSED_PAGE:
        return b""
    at = HEAD + (5 if page[HEAD] & _DICTIONARY else 3)
    return page[HEAD : HEAD + int(struct.unpack_from("<H", page, at)[0])]


def _record(page: bytes, start: int, stop: int) -> bytes:
    """The record between there and where the next one begins."""
    if page[start] & COMPRESSED_RECORD:
        return page[start:stop]
    size = size_of(page, start, page[1])
    if not 1 <= size <= PAGE - start:
        raise ValueError("a record lies beyond its page")
    return page[start : start + size]


def size_of(data: bytes, start: int, page_type: int) -> int:
    """Bytes of an uncompressed record that begins there. Raises ValueError if it goes beyond the data."""
    status = data[start]
    kind = status >> 1 & 7
    tag = _VERSION_TAG if status & 0x40 else 0
    if page_type in TEXT_PAGES:
        return _number(data, start + 2) + tag
    if kind == _STUB:
        return _STUB_SIZE + tag
    at = start + _number(data, start + 2)
    if status & 0x10:
        at += 2 + (_number(data, at) + 7) // 8
    if status & 0x20:
        count = _number(data, at)
        at = start + (_number(data, at + 2 * count) & 0x7FFF) if count else at + 2
    return at + tag - start


def _number(data: bytes, at: int) -> int:
    if at + 2 > len(data):
        raise ValueError("a record is cut off")
    return int(struct.unpack_from("<H", data, at)[0])


def page_lsn(page: bytes | bytearray) -> Lsn:
    """The place in the log up to which a page is."""
    return lsn_at(bytes(page[40:50]), 0)


def with_lsn(page: bytes, lsn: Lsn) -> bytes:
    """The page with that place in the log, its checksum no longer claimed."""
    head = bytearray(page[:HEAD])
    struct.pack_into("<IIH", head, 40, lsn >> 48, lsn >> 16 & 0xFFFFFFFF, lsn & 0xFFFF)
    struct.pack_into("<H", head, 4, struct.unpack_from("<H", head, 4)[0] & ~0x300)
    return bytes(head) + page[HEAD:]
