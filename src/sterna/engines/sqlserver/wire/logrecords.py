"""The log in a backup: from its blocks to records of changes, each with its place in the log and on a page."""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import sums

SECTOR = 512
_FIRST_SECTOR = 0x10
_LARGEST_BLOCK = 1 << 16
_BLOCK_HEADER = 28
_WINDOW = 1 << 20
_SHORTEST_RECORD = 24

PAGE_OPERATIONS = 0x80
"""Operations below this number change a page."""
BEGIN, COMMIT, ABORT = 0x80, 0x81, 0x82
_NO_PAGE = 0x11, 0x12

Lsn = int
"""A place in the log as a number that grows: file << 48 | block << 16 | slot."""
Reader = Callable[[int, int], bytes]
"""The bytes of a stream from an offset on."""


def lsn_at(data: bytes, at: int) -> Lsn:
    """A log sequence number of ten bytes."""
    file, block, slot = struct.unpack_from("<IIH", data, at)
    return int(file << 48 | block << 16 | slot)


def lsn_of_decimal(value: int) -> Lsn:
    """From the form that RESTORE HEADERONLY prints."""
    file, rest = divmod(value, 10**15)
    block, slot = divmod(rest, 10**5)
    return file << 48 | block << 16 | slot


def lsn_text(value: Lsn) -> str:
    """As SQL Server's tools write it."""
    return f"{value >> 48:08x}:{value >> 16 & 0xFFFFFFFF:08x}:{value & 0xFFFF:04x}"


@dataclass(frozen=True, slots=True)
class Change:
    """One record of the log."""

    lsn: Lsn
    data: bytes

    @property
    def operation(self) -> int:
        return self.data[0x16]

    @property
    def context(self) -> int:
        return self.data[0x17]

    @property
    def before(self) -> Lsn:
        """The record of the same transaction before this one; of one that takes back another: before that one."""
        return lsn_at(self.data, 4)

    @property
    def transaction(self) -> int:
        """0: none."""
        return int.from_bytes(self.data[0x10:0x16], "little")

    @property
    def on_page(self) -> bool:
        """Whether it tells how a page changed."""
        return self.operation < PAGE_OPERATIONS and self.operation not in _NO_PAGE and len(self.data) >= 0x30

    @property
    def place(self) -> tuple[int, int]:
        """File and page."""
        page, file = struct.unpack_from("<IH", self.data, 0x18)
        return file, page

    @property
    def slot(self) -> int:
        return self.number(0x1E)

    @property
    def unit(self) -> int:
        """The allocation unit that the page belongs to."""
        return self.number(0x2E) << 48 | int.from_bytes(self.data[0x20:0x24], "little") << 16

    @property
    def page_before(self) -> Lsn:
        """The page's log sequence number before the change."""
        return lsn_at(self.data, 0x24)

    def number(self, at: int) -> int:
        """Two bytes of the record. Raises ValueError beyond its end."""
        if at + 2 > len(self.data):
            raise ValueError("the log record is too short")
        return int.from_bytes(self.data[at : at + 2], "little")

    def bytes_at(self, at: int, length: int) -> bytes:
        """Some bytes of the record. Raises ValueError beyond its end."""
        if at + length > len(self.data):
            raise ValueError("the log record is too short")
        return self.data[at : at + length]

    @property
    def committed(self) -> datetime | None:
        """When a COMMIT was written, by the server's clock; None: it does not say."""
        ticks, days = struct.unpack_from("<Ii", self.data, 0x18) if len(self.data) >= 0x20 else (0, -1)
        if not 0 <= days < 2_958_464 or ticks >= 300 * 86400:
            return None
        return datetime(1900, 1, 1) + timedelta(days=days, milliseconds=round(ticks * 10 / 3))

    def elements(self) -> list[bytes]:
        """What follows the fixed part: rows, or what was there before and after. Raises ValueError."""
        fixed = self.number(2)
        count = self.number(fixed)
        at = fixed + 2 + 2 * count
        lengths = [self.number(fixed + 2 + 2 * index) for index in range(count)] if at <= len(self.data) else None
        if lengths is None:
            raise ValueError("the log record is too short")
        found = []
        for length in lengths:
            at = (at + 3) & ~3
            found.append(self.bytes_at(at, length) if length else b"")
            at += length
        return found


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the log as a backup holds it: blocks one behind the other."""

    name: str
    """Of the file, for messages."""
    read: Reader
    length: int
    file: int
    """The number of the virtual log file."""
    first_block: int
    """The number of its first block, in sectors from the virtual log file's start."""
    reaches: int = 0
    """The number of the block up to which it has to come, as far as is known."""
    last_size: int = 0
    """Bytes of its last block, as the block that follows in the next virtual log file says; 0: not known."""


def size_before(stretch: Stretch) -> int:
    """The bytes of the block before a stretch, as its first block says; 0: it does not say."""
    head = stretch.read(0, _BLOCK_HEADER) if stretch.length >= SECTOR else b""
    is_first = len(head) == _BLOCK_HEADER and _goes_on(head, stretch, stretch.first_block)
    return int.from_bytes(head[10:12], "little") if is_first else 0


def changes(stretch: Stretch) -> Iterator[Change]:
    """The records of a stretch in their order. Raises BadData for blocks that are not what they should be."""
    for number, block in _blocks(stretch):
        count, end = struct.unpack_from("<HH", block, 2)
        if end > len(block) or 2 * count > end - _BLOCK_HEADER:
            raise BadData(
                f"{stretch.name}: block {stretch.file}:{number} of the log says that it has {count} records."
            )
        starts = [*reversed(struct.unpack_from(f"<{count}H", block, end - 2 * count)), end - 2 * count]
        for index in range(count):
            start, stop = starts[index], starts[index + 1]
            if not _BLOCK_HEADER <= start <= stop - _SHORTEST_RECORD:
                raise BadData(
                    f"{stretch.name}: record {index + 1} of block {stretch.file}:{number} of the log is cut."
                )
            yield Change(stretch.file << 48 | number << 16 | index + 1, block[start:stop])


def _blocks(stretch: Stretch) -> Iterator[tuple[int, bytes]]:
    """Each block with its number, the bytes that its sectors' marks had taken put back."""
    at = last = 0
    window, base = b"", 0
    while at + SECTOR <= stretch.length:
        if at + _LARGEST_BLOCK > base + len(window) and base + len(window) < stretch.length:
            base = at
            window = stretch.read(at, min(_WINDOW, stretch.length - at))
        here = window[at - base : at - base + _LARGEST_BLOCK]
        number = stretch.first_block + at // SECTOR
        size = _size(here, stretch, number)
        if not size:
            break
        _check_sum(here[:size], stretch, number)
        yield number, _restored(here[:size])
        at += size
        last = size
    _check_end(stretch, at)
    if stretch.last_size and last != stretch.last_size:
        raise _broken_off(stretch, at)


def _broken_off(stretch: Stretch, at: int) -> BadData:
    number = stretch.first_block + at // SECTOR
    return BadData(f"{stretch.name}: block {stretch.file}:{number} of the log is not where the log goes on.")


def _check_sum(block: bytes, stretch: Stretch, number: int) -> None:
    """A block's sum lies at byte 24 and was taken without it; 0: it has none."""
    own = int.from_bytes(block[24:28], "little")
    if own and sums.of_sectors(block[:24] + bytes(4) + block[28:]) != own:
        raise BadData(f"{stretch.name}: the checksum of block {stretch.file}:{number} of the log is wrong.")


def _check_end(stretch: Stretch, at: int) -> None:
    """Behind the last block there must be none of a later place: a header between is damaged then."""
    end = stretch.first_block + at // SECTOR
    rest = stretch.read(at, min(_LARGEST_BLOCK * 2, stretch.length - at)) if at < stretch.length else b""
    later = range(SECTOR, len(rest) - _BLOCK_HEADER, SECTOR)
    if end < stretch.reaches or any(_goes_on(rest[place:], stretch, end + place // SECTOR) for place in later):
        raise _broken_off(stretch, at)


def _goes_on(block: bytes, stretch: Stretch, number: int) -> bool:
    return bool(block[0] & _FIRST_SECTOR) and struct.unpack_from("<II", block, 12) == (stretch.file, number)


def _size(block: bytes, stretch: Stretch, number: int) -> int:
    """Bytes of the block; 0: what is here was not written by this log, so it ends."""
    if len(block) < _BLOCK_HEADER or not block[0] & _FIRST_SECTOR:
        return 0
    size: int = struct.unpack_from("<H", block, 6)[0]
    file, place = struct.unpack_from("<II", block, 12)
    if file != stretch.file or place != number:
        return 0
    if size < SECTOR or size % SECTOR or size > len(block):
        raise BadData(f"{stretch.name}: block {stretch.file}:{number} of the log has {size} bytes.")
    return size


def _restored(block: bytes) -> bytes:
    whole = bytearray(block)
    for sector in range(1, len(block) // SECTOR):
        whole[SECTOR * sector] = block[len(block) - 1 - sector]
    return bytes(whole)
