"""The transaction log: blocks of records that insert, delete and change rows."""

import struct
from dataclasses import dataclass, field

from tests.backups.pages import Lsn, Page, Place, checksum

HEAP, CLUSTERED = 1, 2
FORMAT, INSERT, DELETE, MODIFY, PIECES, SET_BITS, FREE_SPACE, COUNT = 1, 2, 3, 4, 6, 7, 10, 0x12
BEGIN, COMMIT, ABORT, CHECKPOINT, CHECKPOINT_END = 0x80, 0x81, 0x82, 0x96, 0x99
NONE: Lsn = (0, 0, 0)
CLOCK = struct.pack("<Ii", 9_000_000, 45000)
HEAD = 0x28


def lsn10(lsn: Lsn) -> bytes:
    """A log sequence number."""
    return struct.pack("<IIH", *lsn)


def elements(fixed: bytes, parts: list[bytes]) -> bytes:
    """A record: its fixed part, then the lengths of its elements and the elements, each padded to four bytes."""
    body = fixed[:2] + struct.pack("<H", len(fixed)) + fixed[4:]
    if parts:
        body += struct.pack(f"<H{len(parts)}H", len(parts), *map(len, parts))
        body += bytes(-len(body) % 4)
        for part in parts:
            body += part + bytes(-len(part) % 4)
    return body + bytes(-len(body) % 8)


@dataclass
class Transaction:
    """A transaction being written."""

    number: int
    begin: Lsn = NONE
    last: Lsn = NONE


@dataclass
class Log:
    """Log blocks from a block number on. ``cut`` ends a block; records get their numbers as they come.

    ``applied`` of the changes: whether they are made on the pages, too (the page was written after them).
    """

    vlf: int
    block: int
    parity: int = 0x40
    records: list[bytes] = field(default_factory=list)
    out: bytes = b""
    previous: int = 512
    transactions: int = 600
    lsns: dict[Place, Lsn] = field(default_factory=dict)
    rowset: int = 0

    @property
    def next(self) -> Lsn:
        """The number that the next record gets."""
        return self.vlf, self.block, len(self.records) + 1

    def add(self, fixed: bytes, parts: list[bytes]) -> Lsn:
        """A record; its number."""
        lsn = self.next
        self.records.append(elements(fixed, parts))
        return lsn

    def cut(self) -> None:
        """End the block."""
        if not self.records:
            return
        size = HEAD + sum(map(len, self.records)) + 2 * len(self.records)
        end = size
        while size % 512 or size - end < size // 512:
            size += 1
        made = bytearray(size)
        at = HEAD
        for number, record in enumerate(self.records):
            made[at : at + len(record)] = record
            struct.pack_into("<H", made, end - 2 * (number + 1), at)
            at += len(record)
        struct.pack_into("<BBHHHHHIIII", made, 0, 0, 0, len(self.records), end, size, 3, self.previous, self.vlf,
                         self.block, 1, 0)  # fmt: skip
        self._seal(made)
        struct.pack_into("<I", made, 24, checksum(bytes(made)))
        self.out += bytes(made)
        self.block += size // 512
        self.previous = size
        self.records = []

    def _seal(self, made: bytearray) -> None:
        count = len(made) // 512
        for sector in range(count):
            made[len(made) - 1 - sector] = made[512 * sector]
            first = 0x10 if sector == 0 else 0
            made[512 * sector] = self.parity | first | (8 if sector == count - 1 else 0)

    def begin(self, name: str = "INSERT") -> Transaction:
        """A transaction begins."""
        self.transactions += 1
        mine = Transaction(self.transactions)
        fixed = self._head(mine, BEGIN, 0) + bytes(8) + struct.pack("<II", 1, 0) + CLOCK
        mine.begin = mine.last = self.add(fixed.ljust(64, b"\0"), [name.encode("utf-16-le"), bytes(28)])
        return mine

    def _head(self, mine: Transaction | None, op: int, context: int) -> bytes:
        last, number = (mine.last, mine.number) if mine else (NONE, 0)
        return bytes(4) + lsn10(last) + struct.pack("<HIHBB", 2 if mine else 0, number, 0, op, context)

    def end(self, mine: Transaction, op: int = COMMIT) -> Lsn:
        """The transaction commits or is rolled back."""
        mine.last = self.add(self._head(mine, op, 0) + CLOCK + lsn10(mine.begin).ljust(16, b"\0"), [])
        return mine.last

    def row(
        self,
        mine: Transaction,
        op: int,
        page: Page,
        slot: int,
        offset: int,
        parts: list[bytes],
        context: int = HEAP,
    ) -> Lsn:
        """A change of a row."""
        before = self.lsns.get(page.place, page.lsn)
        fixed = self._head(mine, op, context)
        fixed += struct.pack("<IHHI", page.place[1], page.place[0], slot, page.unit & 0xFFFFFFFF) + lsn10(before)
        size = len(parts[-1]) if op == MODIFY else 0
        fixed += struct.pack("<HQHHH", page.index & 0xFFFF, self.rowset, offset, size, 0)
        mine.last = self.lsns[page.place] = self.add(fixed, parts)
        return mine.last

    def insert(
        self, mine: Transaction, page: Page, slot: int, record: bytes, applied: bool = False, context: int = HEAP
    ) -> None:
        """A row comes."""
        lsn = self.row(mine, INSERT, page, slot, 0, [record, b"", bytes(20)], context)
        if applied:
            page.records.insert(slot, record)
            page.used += len(record)
            page.lsn = lsn

    def delete(self, mine: Transaction, page: Page, slot: int, applied: bool = False) -> None:
        """A row of a heap goes; its slot stays empty."""
        record = page.records[slot] or b""
        lsn = self.row(mine, DELETE, page, slot, 0, [record, b"", bytes(20)])
        if applied:
            page.records[slot] = None
            page.lsn = lsn

    def modify(
        self,
        mine: Transaction,
        page: Page,
        slot: int,
        offset: int,
        after: bytes,
        applied: bool = False,
        context: int = HEAP,
    ) -> None:
        """Bytes of a row change."""
        record = page.records[slot] or b""
        before = record[offset : offset + len(after)]
        lsn = self.row(mine, MODIFY, page, slot, offset, [before, after, b"", bytes(20)], context)
        if applied:
            page.records[slot] = record[:offset] + after + record[offset + len(after) :]
            page.lsn = lsn

    def format(self, mine: Transaction, page: Page) -> None:
        """A page becomes a fresh one of its kind."""
        head = self._head(mine, FORMAT, HEAP) + struct.pack(
            "<IHHI", page.place[1], page.place[0], 0xFFFF, page.unit
        )
        fixed = head + lsn10(NONE) + b"\0\1" + struct.pack("<BB8xH", page.type, page.flags, page.fixed)
        mine.last = self.lsns[page.place] = self.add(fixed.ljust(80, b"\0"), [])

    def fill(self, mine: Transaction, page: Page, offset: int, new: int, old: int) -> None:
        """A page of free space tells of another fullness."""
        before = self.lsns.get(page.place, page.lsn)
        head = self._head(mine, FREE_SPACE, 11) + struct.pack("<IHHI", page.place[1], page.place[0], 0, page.unit)
        fixed = head + lsn10(before) + b"\0\0" + struct.pack("<HBB", offset, new, old)
        mine.last = self.lsns[page.place] = self.add(fixed, [])

    def bits(self, mine: Transaction, page: Page, first: int, value: int, context: int) -> None:
        """A bit of a map page; bits count from the beginning of the record."""
        before = self.lsns.get(page.place, page.lsn)
        head = self._head(mine, SET_BITS, context)
        head += struct.pack("<IHHI", page.place[1], page.place[0], 1, page.unit & 0xFFFFFFFF)
        fixed = head + lsn10(before) + b"\0\0" + struct.pack("<HHH", 32 + first, 1, value)
        mine.last = self.lsns[page.place] = self.add(fixed, [])

    def odd(self, mine: Transaction, page: Page, slot: int) -> None:
        """A change in several pieces, whose form is not known well."""
        self.row(mine, PIECES, page, slot, 0, [b"\x04\0\x0c\0", b"\1\0\1\0", b"\0\0", b"\0\0"])

    def count(self, page: Page) -> None:
        """Row counts are told now and then; they change no rows."""
        before = self.lsns.get(page.place, page.lsn)
        head = self._head(None, COUNT, 2) + struct.pack("<IHHI", page.place[1], page.place[0], 0, page.unit)
        self.add((head + lsn10(before)).ljust(208, b"\0"), [])

    def checkpoint(self) -> Lsn:
        """A checkpoint begins and ends; the number of its begin."""
        lsn = self.add((self._head(None, CHECKPOINT, 0) + CLOCK).ljust(96, b"\0"), [])
        self.cut()
        self.add((self._head(None, CHECKPOINT_END, 0) + CLOCK + lsn10(lsn)).ljust(136, b"\0"), [])
        self.cut()
        return lsn

    def bytes(self, size: int = 65536) -> bytes:
        """What MQTL holds: the blocks, padded to a multiple of 64 KB."""
        self.cut()
        return self.out + bytes(-len(self.out) % size or (0 if self.out else size))


def quiet(first: Lsn) -> Log:
    """The log of a backup while nobody wrote: a checkpoint at ``first``."""
    log = Log(first[0], first[1])
    log.checkpoint()
    return log
