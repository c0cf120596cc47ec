"""Compressed backups: a container of records, which together unpack to the tape format.

A record is 64 KB at most: an index of where each lies makes the whole readable at any place. The bytes between
records, up to the next device block, are what memory happened to hold.
"""

from array import array
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

from sterna.core.errors import Unsupported
from sterna.core.files import Blob
from sterna.engines.sqlserver.wire import sums, xpress
from sterna.engines.sqlserver.wire.faults import Sealed, damaged
from sterna.engines.sqlserver.wire.mtf import Window, mark_size

FIRST = 0x1E0
"""Where the first record lies."""
_UNIT = 512
_SIGN = 0x21
_MOST_UNITS = 128
_HEADS = {1: 8, 2: 28}
"""Bytes of a record's header in each version of the container."""
_SECTOR = 512
_LONGEST_GAP = 64 << 10
"""Padding reaches to the next device block, which has 64 KB at most."""
_AHEAD = 4 << 20
_TOGETHER = 4 << 20
_KEPT = 16
_ZSTD = b"\x28\xb5\x2f\xfd"


@dataclass(frozen=True, slots=True)
class _Record:
    at: int
    head: int
    """Bytes of its header."""
    units: int
    length: int
    checksum: int

    @property
    def size(self) -> int:
        """Bytes that it unpacks to."""
        return self.units * _UNIT

    @property
    def end(self) -> int:
        return self.at + self.head + self.length


class RecordBlob:
    """What a compressed backup unpacks to, readable at any place and from any thread."""

    def __init__(self, blob: Blob) -> None:
        """Goes once through the file. Raises Unsupported (encrypted, another compression) and BadData."""
        self._blob = blob
        self._starts = array("q")
        self._places = array("q")
        self._size = 0
        self.is_cut = False
        """Whether the file ends within a record."""
        self._lock = Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self.version = int.from_bytes(blob.read_at(8, 4), "little")
        if self.version not in _HEADS:
            raise Unsupported(f"{blob.name} is a compressed backup of version {self.version}, which is not known")
        self._head = _HEADS[self.version]
        self._index()

    @property
    def name(self) -> str:
        return self._blob.name

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self._size

    @property
    def records(self) -> int:
        """Pieces that the file consists of."""
        return len(self._starts)

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes from there, fewer only at the end. Raises BadData for a record that cannot be unpacked."""
        end = min(offset + length, self._size)
        if offset < 0 or offset >= end:
            return b""
        first = bisect_right(self._starts, offset) - 1
        pieces = []
        for number, data in self._unpacked(first, bisect_right(self._starts, end - 1)):
            start = self._starts[number]
            pieces.append(data[max(offset - start, 0) : end - start])
        return b"".join(pieces)

    def _unpacked(self, first: int, beyond: int) -> Iterator[tuple[int, bytes]]:
        """The records of these numbers; neighbours are read in one go."""
        while first < beyond:
            with self._lock:
                kept = self._kept.get(first)
            if kept is not None:
                yield first, kept
                first += 1
                continue
            until = first + 1
            while until < beyond and self._end(until) - self._places[first] <= _TOGETHER:
                until += 1
            yield from self._read(first, until)
            first = until

    def _read(self, first: int, beyond: int) -> Iterator[tuple[int, bytes]]:
        begin = self._places[first]
        packed = self._packed(first, beyond)
        for number in range(first, beyond):
            place = self._places[number] - begin
            try:
                data = self._piece(number, packed[place : self._end(number) - begin])
            except ValueError as error:
                raise damaged(self.name, self._places[number], str(error)) from error
            with self._lock:
                self._kept[number] = data
                while len(self._kept) > _KEPT:
                    self._kept.popitem(last=False)
            yield number, data

    def _packed(self, first: int, beyond: int) -> bytes:
        begin = self._places[first]
        return self._blob.read_at(begin, self._end(beyond - 1) - begin)

    def _piece(self, number: int, packed: bytes) -> bytes:
        """One record or file mark, unpacked. Raises ValueError."""
        end = self._starts[number + 1] if number + 1 < len(self._starts) else self._size
        size = end - self._starts[number]
        record = self._record(packed, self._places[number])
        if record is None:
            return packed[:size]
        data = packed[self._head : self._head + record.length]
        if len(data) < record.length or record.size != size:
            raise ValueError("a compressed record is cut")
        if sums.of_record(data) != record.checksum:
            raise ValueError("the checksum of a compressed record is wrong")
        return data if record.length == size else xpress.unpack(data, size)

    def _end(self, number: int) -> int:
        """Where, at the latest, a record ends."""
        longest = self._places[number] + self._head + (_MOST_UNITS * _UNIT)
        following = self._places[number + 1] if number + 1 < len(self._places) else self._blob.size
        return min(longest, following)

    def _index(self) -> None:
        window = Window(self._blob, _AHEAD)
        at = end = FIRST
        after_mark = False
        while at < self._blob.size:
            head = window.read(at, self._head + xpress.TABLE)
            record = self._record(head, at)
            if record is not None and self._is_record(record, head):
                if record.end > self._blob.size:
                    self.is_cut = True
                    break
                self._check_gap(end, at, _LONGEST_GAP if after_mark else 0)
                self._add(at, record.size)
                at, after_mark = record.end, False
            elif head[:4] == b"SFMB" and at % _SECTOR == 0:
                size = mark_size(head)
                if size < _SECTOR:
                    raise damaged(self.name, at, f"a file mark says that it has {size} bytes")
                self._check_gap(end, at, 2 * size)
                if at + size > self._blob.size:
                    self.is_cut = True
                    break
                self._add(at, size)
                at, after_mark = at + size, True
            elif not self.records:
                raise self._nothing_readable(head)
            else:
                if after_mark and at == end and self._was_record(head):
                    if len(head) == self._head + xpress.TABLE:
                        self._check_gap(end, end + 1, 0)
                    self.is_cut = True
                    break
                at = (at // _SECTOR + 1) * _SECTOR
                if at - end > _LONGEST_GAP and any(window.read(at, _SECTOR)):
                    self._check_gap(end, at, 0)
                continue
            end = at
        if not self.records:
            raise damaged(self.name, FIRST, "the first compressed record is missing or cut")

    def _check_gap(self, end: int, at: int, longest: int) -> None:
        """Before a file mark there is padding up to the next device block; anything longer was a record once."""
        if at - end > longest:
            raise damaged(self.name, end, "neither a compressed record nor a file mark lies here")

    def _add(self, at: int, size: int) -> None:
        self._starts.append(self._size)
        self._places.append(at)
        self._size += size

    def _record(self, head: bytes, at: int) -> _Record | None:
        """The record that these bytes may begin."""
        if len(head) < self._head or head[0] != _SIGN or not 1 <= head[1] <= _MOST_UNITS:
            return None
        units, length = head[1], int.from_bytes(head[2:4], "little")
        if length == units * _UNIT & 0xFFFF:
            length = units * _UNIT  # stored as it is; 64 KB do not fit into the two bytes of the length
        checksum = int.from_bytes(head[self._head - 4 : self._head], "little")
        return _Record(at, self._head, units, length, checksum)

    def _is_record(self, record: _Record, head: bytes) -> bool:
        """Whether it is a record indeed, and no stale bytes."""
        if xpress.is_table(head[self._head :]):
            return True
        if record.length != record.size:
            return False
        data = self._blob.read_at(record.at + self._head, record.length)
        return len(data) == record.length and sums.of_record(data) == record.checksum

    def _was_record(self, head: bytes) -> bool:
        """Whether it is a damaged record, or the beginning of one, and not what memory happened to hold."""
        return head[:1] == bytes([_SIGN]) or xpress.is_table(head[self._head :])

    def _nothing_readable(self, head: bytes) -> Exception:
        """Why the very first record cannot be read."""
        if head[self._head : self._head + 4] == _ZSTD:
            return Unsupported(
                f"{self.name} is compressed with ZSTD, which is not supported",
                hint="Make the backup WITH COMPRESSION (ALGORITHM = MS_XPRESS), or without compression.",
            )
        if head[:1] == bytes([_SIGN]) and len(head) >= self._head + xpress.TABLE and not self._readable_later():
            return Sealed(
                f"{self.name} is an encrypted backup",
                hint="Without the server's certificate and its private key nothing can be read. "
                "Make a backup without ENCRYPTION.",
            )
        return damaged(self.name, FIRST, "the first compressed record is missing, damaged or cut")

    def _readable_later(self) -> bool:
        """Whether there is a record that can be read behind the first: the one behind a file mark is aligned."""
        window = Window(self._blob)
        heads = (window.read(at, self._head + xpress.TABLE) for at in range(_SECTOR, _LONGEST_GAP * 4, _SECTOR))
        return any(self._record(head, 0) is not None and xpress.is_table(head[self._head :]) for head in heads)
