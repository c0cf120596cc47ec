"""Small backup files made by hand, byte by byte, for tests of what reads them; and where real ones may lie."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise
from operator import xor
from pathlib import Path
from uuid import UUID

SAMPLES = next(
    (
        found
        for parent in Path(__file__).parents
        if (found := parent / "shared" / "sqlserver" / "samples").is_dir()
    ),
    Path(__file__).parent / "no-samples",
)
"""Real files, beside the project where it is developed; tests that want them are skipped elsewhere."""

PAGE = 8192
EXTENT = 8 * PAGE
INTERVAL = 63_904
MEDIA_SET = UUID("11111111-2222-3333-4444-555555555555")
Page = bytes


class Bytes:
    """A file in memory that counts how it is read."""

    def __init__(self, data: bytes, name: str = "a.bak") -> None:
        self.data = data
        self.name = name
        self.size = len(data)
        self.reads: list[int] = []

    def read_at(self, offset: int, length: int) -> bytes:
        assert offset >= 0
        assert length >= 0
        self.reads.append(length)
        return self.data[offset : offset + length]

    def close(self) -> None:
        self.data = b""


def real(name: str) -> Bytes:
    """One of the samples."""
    return Bytes((SAMPLES / name).read_bytes(), name)


# --- checksums, in the plainest way ---


def turned(total: int) -> int:
    return (total << 1 | total >> 31) & 0xFFFFFFFF


def sector_sum(data: bytes, total: int = 0) -> int:
    for start in range(0, len(data), 512):
        words = struct.unpack(f"<{len(data[start : start + 512]) // 4}I", data[start : start + 512])
        total = turned(total) ^ reduce(xor, words)
    return total


def record_sum(data: bytes) -> int:
    total = 0
    for (word,) in struct.iter_unpack("<I", data + bytes(-len(data) % 4)):
        total = turned(total) ^ word
    return total


def folded(data: bytes) -> int:
    total = 0
    for (word,) in struct.iter_unpack("<H", data):
        total ^= word
    return total


# --- pages ---


def page(
    file_id: int, page_id: int, kind: int = 1, body: bytes = b"", flags: int = 0x200, slots: Sequence[int] = ()
) -> Page:
    """A page with a checksum; ``body`` begins behind the header."""
    head = bytearray(96)
    struct.pack_into("<BBBBH", head, 0, 1, kind, 0, 0, flags)
    struct.pack_into("<H", head, 22, len(slots))
    struct.pack_into("<IH", head, 32, page_id, file_id)
    struct.pack_into("<IIH", head, 40, 7, 8, 9)
    tail = struct.pack(f"<{len(slots)}H", *reversed(slots))
    whole = bytearray(bytes(head) + body.ljust(PAGE - 96 - len(tail), b"\0") + tail)
    if flags & 0x200:
        struct.pack_into("<I", whole, 60, sector_sum(bytes(whole)))
    elif flags & 0x100:
        tear(whole)
    return bytes(whole)


def tear(whole: bytearray) -> None:
    """Displace the last two bits of each sector, as torn-page detection does."""
    kept = 0
    for sector in range(1, 16):
        end = sector * 512 + 511
        kept |= (whole[end] & 3) << 2 * sector
        whole[end] = whole[end] & 0xFC | 1
    struct.pack_into("<I", whole, 60, kept)


def bitmap(file_id: int, page_id: int, kind: int, extents: Iterable[int], inverted: bool, flags: int) -> Page:
    """An allocation map: its bits begin at byte 194."""
    bits = bytearray(7988)
    for extent in extents:
        bits[extent // 8] |= 1 << extent % 8
    if inverted:
        bits = bytearray(byte ^ 0xFF for byte in bits)
    return page(file_id, page_id, kind, bytes(98) + bytes(bits), flags, (96, 190))


def content(file_id: int, page_id: int, note: str = "") -> bytes:
    return f"page {file_id}:{page_id} {note}".strip().encode()


@dataclass
class DataFile:
    """One file of a database: which of its extents are in use, and what they hold."""

    file_id: int = 1
    used: Sequence[int] = (0, 1, 2, 5)
    """Extents that are allocated."""
    changed: Sequence[int] = ()
    """Extents that a differential backup holds."""
    extents: int = 16
    note: str = ""
    flags: int = 0x200
    odd: Mapping[int, bytes] = field(default_factory=dict)
    """Extents with something else in them."""

    def extent(self, number: int) -> bytes:
        if number in self.odd:
            return self.odd[number]
        pages = [self._page(number * 8 + within) for within in range(8)]
        return b"".join(pages)

    def _page(self, page_id: int) -> Page:
        interval, within = divmod(page_id, INTERVAL * 8)
        first = 2 if interval == 0 else 0
        base = interval * INTERVAL
        inside = [each - base for each in self.used if base <= each < base + INTERVAL]
        changed = [each - base for each in self.changed if base <= each < base + INTERVAL]
        if page_id == 0:
            return page(self.file_id, 0, 15, flags=self.flags & ~0x300)
        if page_id == 1 or (page_id and page_id % 8088 == 0):
            return page(self.file_id, page_id, 11, bytes(4) + b"\x40" * 8000, self.flags)
        if within == first:
            return bitmap(self.file_id, page_id, 8, inside, True, self.flags)
        if within == first + 1:
            return bitmap(self.file_id, page_id, 9, [], False, self.flags)
        if within == 6:
            return bitmap(self.file_id, page_id, 16, changed, False, self.flags)
        return page(self.file_id, page_id, 1, content(self.file_id, page_id, self.note), self.flags, (96,))

    def frames(self, kind: str) -> list[bytes]:
        """What a backup holds of it."""
        numbers = {0, *(self.used if kind == "D" else self.changed), *range(0, self.extents, INTERVAL)}
        if kind == "D":
            numbers |= set(range(0, self.extents, 1011))  # where free space is told of
        return [self.extent(each) for each in sorted(numbers)]


# --- the tape format ---


def block(
    kind: bytes, body: bytes, streams: Sequence[tuple[bytes, bytes, int]], place: int, align: int = 512
) -> bytes:
    """A block and its streams (kind, data, attributes), filled up to a boundary with an SPAD."""
    first = 52 + len(body) + -len(body) % 4
    head = bytearray(52)
    struct.pack_into("<4sIH", head, 0, kind, 0, first)
    head[48] = 2
    struct.pack_into("<H", head, 50, folded(bytes(head[:50])))
    out = bytes(head) + body.ljust(first - 52, b"\0")
    for name, data, attributes in streams:
        if name == b"APAD":  # what follows it begins, behind its head and two bytes, on a boundary
            data = bytes(-(place + len(out) + 46) % align)
        out += stream_head(name, len(data), attributes) + data
        out += bytes(-len(out) % 4)
    room = -(place + len(out) + 22) % align
    return out + stream_head(b"SPAD", room, 0) + bytes(room)


def stream_head(kind: bytes, length: int, attributes: int) -> bytes:
    head = struct.pack("<4sHHQHH", kind, 0, attributes, length, 0, 0)
    return head + struct.pack("<H", folded(head))


def mark(size: int) -> bytes:
    head = bytearray(size)
    struct.pack_into("<4sIH", head, 0, b"SFMB", 0x80000000, size)
    struct.pack_into("<H", head, 50, folded(bytes(head[:50])))
    return bytes(head)


def texts(fixed: bytearray, places: Mapping[int, str], base: int = 0) -> bytes:
    """Put the texts behind the fixed part, their addresses {length, offset} at these places of it."""
    out = bytearray(fixed)
    for at, text in places.items():
        data = text.encode("utf-16-le")
        struct.pack_into("<HH", out, at, len(data), base + len(out))
        out += data
    return bytes(out)


def lsn10(number: int) -> bytes:
    return struct.pack("<IIH", number // 10**15, number // 10**5 % 10**10, number % 10**5)


def lsn12(number: int) -> bytes:
    return struct.pack("<III", number // 10**15, number // 10**5 % 10**10, number % 10**5)


def log_block(number: int, size: int, vlf: int = 20) -> bytes:
    """A log block without records, ``number`` sectors from the start of its virtual log file."""
    made = bytearray(size)
    struct.pack_into("<BBHHHHHII", made, 0, 0x50, 0, 0, 96, size, 3, 512, vlf, number)
    struct.pack_into("<I", made, 24, sector_sum(bytes(made)))
    return bytes(made)


@dataclass
class Set:
    """A backup set to be written."""

    files: Sequence[DataFile] = (DataFile(),)
    kind: str = "D"
    database: str = "shop"
    position: int = 1
    guid: UUID = field(default_factory=lambda: UUID(int=5))
    first_lsn: int = 20000000001000001
    last_lsn: int = 20000000002000001
    checkpoint_lsn: int = 20000000001000001
    base_lsn: int = 0
    base_guid: UUID = field(default_factory=lambda: UUID(int=0))
    major: int = 13
    flags: int = 0x200
    status: int = 0x10008
    checksum: bool = False
    again: Sequence[bytes] = ()
    """Extents that are read again in a second region."""
    fillers: int = 0
    pieces: int = 1
    """MQDA streams over which the pages are spread."""
    log: bytes = field(default_factory=lambda: log_block(0, 512) + log_block(1, 512))
    unknown: bytes = b""
    """Kind of a further stream in the data block."""

    def configuration(self) -> bytes:
        fixed = bytearray(400)
        fixed[:4] = b"SCIN"
        struct.pack_into("<III", fixed, 8, self.flags | (0x10 if self.checksum else 0), len(self.files), 1)
        struct.pack_into("<HBB", fixed, 0x18, 4001, 0, self.major)
        fixed[0x20:0x2A], fixed[0x2A:0x34] = lsn10(self.first_lsn), lsn10(self.last_lsn)
        fixed[0x34:0x3E] = lsn10(self.checkpoint_lsn)
        fixed[0x57] = ord(self.kind)
        fixed[0x5B] = 130
        struct.pack_into("<H", fixed, 0x5E, 852)
        struct.pack_into("<H", fixed, 0xF2, 16 if self.fillers else 1)
        struct.pack_into("<I", fixed, 0xF4, self.status)
        if self.kind in "IGQ":
            fixed[0x104:0x110] = lsn12(self.base_lsn)
            fixed[0x110:0x120] = self.base_guid.bytes_le
        records = [texts(fixed, {0x68: self.database, 0x6C: "SERVER\\ONE"}), self._group()]
        records += [self._file(each.file_id, 1, each.extents * EXTENT) for each in self.files]
        records.append(self._file(99, 2, 1 << 20))
        out = b""
        for record in records:
            padded = record + bytes(-len(record) % 4)
            out += padded[:4] + struct.pack("<I", len(padded)) + padded[8:]
        return out

    def _group(self) -> bytes:
        fixed = bytearray(0x28)
        fixed[:4] = b"SFGI"
        struct.pack_into("<II", fixed, 8, 0x10, 1)
        return texts(fixed, {0x10: "PRIMARY"})

    def _file(self, file_id: int, kind: int, size: int) -> bytes:
        fixed = bytearray(0x110)
        fixed[:4] = b"SFIN"
        struct.pack_into("<IIIII", fixed, 8, 4, 8192, 0, file_id, 0)
        struct.pack_into("<III", fixed, 0x14, file_id, 8, kind)
        struct.pack_into("<IQ", fixed, 0x24, 1 if kind == 1 else 0, size)
        return texts(fixed, {0x30: f"file{file_id}", 0x34: f"C:\\data\\file{file_id}.mdf"})

    def frames(self) -> list[bytes]:
        return [frame for file in self.files for frame in file.frames(self.kind)]


Deal = Callable[[int], int]
"""Which stripe a frame goes to, by its number."""


def backup(*sets: Set, stripes: int = 1, device: int = 512, deal: Deal | None = None) -> list[bytes]:
    """Backup files, one for each stripe, with these sets."""
    return [
        _one_file(sets, number, stripes, device, deal or (lambda each: each % stripes))
        for number in range(stripes)
    ]


def one(*sets: Set, device: int = 512) -> bytes:
    """A backup in one file."""
    return backup(*sets, device=device)[0]


def _one_file(sets: Sequence[Set], stripe: int, stripes: int, device: int, deal: Deal) -> bytes:
    out = bytearray(_media(stripe, stripes, device))
    out += mark(device)
    for each in sets:
        _one_set(out, each, stripe, stripes, device, deal)
    return bytes(out)


def _media(stripe: int, stripes: int, device: int) -> bytes:
    fixed = bytearray(96)
    struct.pack_into("<IIHHH", fixed, 52, 0x1234 + stripe, 0, 1, 0, device // 512)
    body = texts(fixed, {68: "medium", 80: "Sterna's tests"})[52:]
    raid = MEDIA_SET.bytes_le + struct.pack("<IHHHHI", 0xF00000AD, stripes, 1, stripe + 1, 0, 0)
    return block(b"TAPE", body, [(b"RAID", raid, 0)], 0, max(device, 1024))


def _one_set(out: bytearray, given: Set, stripe: int, stripes: int, device: int, deal: Deal) -> None:
    fixed = bytearray(116)
    struct.pack_into("<H", fixed, 62, given.position)
    fixed[100:116] = given.guid.bytes_le
    out += block(b"SSET", texts(fixed, {64: "nightly", 68: "all of it", 76: "sa"})[52:], [], len(out))
    out += block(b"VOLB", texts(bytearray(70), {64: "MACHINE"})[52:], [], len(out))
    out += block(b"MSCI", bytes(4), [(b"MQCI", given.configuration(), 0)], len(out))
    if given.kind != "L":
        frames = [frame for number, frame in enumerate(given.frames()) if deal(number) == stripe]
        frames += [page(0, 0, 0x65, flags=0) * 8] * given.fillers
        _data(out, given, frames, device)
    if given.again:
        _data(out, given, list(given.again) if stripe == 0 else [], device)
    _log(out, given, device)
    out += block(b"MSLS", bytes(4), [(b"MQCI", given.configuration(), 0)], len(out), device)
    out += mark(device)
    out += block(b"ESET", bytes(36), [(b"OTCP", bytes(20), 0), (b"TSMP", bytes(9), 0)], len(out), device)
    out += block(b"ESET", bytes(36), [], len(out), device)
    out += mark(device)


def _data(out: bytearray, given: Set, frames: Sequence[bytes], device: int) -> None:
    each = -(-len(frames) // given.pieces) or 1
    streams: list[tuple[bytes, bytes, int]] = [(b"APAD", b"", 0x80)]
    if given.unknown:
        streams.append((given.unknown, b"something", 0))
    for start in range(0, len(frames), each):
        streams.append((b"MQDA", bytes(2) + b"".join(frames[start : start + each]), 0x2))
    out += block(b"MSDA", bytes(8), _summed(given, [*streams, (b"MQDA", b"", 0x6)]), len(out), device)


def _summed(given: Set, streams: Sequence[tuple[bytes, bytes, int]]) -> list[tuple[bytes, bytes, int]]:
    if not given.checksum:
        return list(streams)
    found: list[tuple[bytes, bytes, int]] = []
    for name, data, attributes in streams:
        if name in (b"MQDA", b"MQTL") and len(data) > 2:
            found.append((name, data, attributes | 0x100))
            found.append((b"CSUM", struct.pack("<I", sector_sum(data[2:])), 0))
        else:
            found.append((name, data, attributes))
    return found


def _log(out: bytearray, given: Set, device: int) -> None:
    fixed = bytearray(0x5C)
    struct.pack_into("<QQI", fixed, 0x3C, 8192, 8192 + len(given.log), 99)
    struct.pack_into("<HH", fixed, 0x50, 500, 0x5C)
    header = bytearray(500)
    struct.pack_into("<IQQHB", header, 0, 20, 253952, 8192, 99, 0x40)
    streams = [(b"APAD", b"", 0x80), (b"MQTL", bytes(2) + given.log, 0)] if given.log else []
    out += block(b"MSTL", bytes(fixed[52:]) + bytes(header), _summed(given, streams), len(out), device)


# --- the compressed container ---

Token = int | tuple[int, int]
"""A byte, or a match: how far back, how long."""


def canonical(lengths: Sequence[int]) -> dict[int, tuple[int, int]]:
    """The code of each symbol as (bits, length), by the lengths of all 512."""
    codes: dict[int, tuple[int, int]] = {}
    code = previous = 0
    for length, symbol in sorted((length, symbol) for symbol, length in enumerate(lengths) if length):
        code <<= length - previous
        codes[symbol] = (code, length)
        code, previous = code + 1, length
    return codes


class _Bits:
    """Words of 16 bits, the highest first; bytes go between where a reader that loads ahead looks."""

    def __init__(self, table: bytes) -> None:
        self.out = bytearray(table + bytes(4))
        self._places = [len(table), len(table) + 2]
        self._free = 16
        self._word = 0

    def put(self, value: int, count: int) -> None:
        for bit in range(count - 1, -1, -1):
            if not self._free:
                self._flush()
                self._places.append(len(self.out))
                self.out += bytes(2)
            self._word = self._word << 1 | value >> bit & 1
            self._free -= 1

    def end(self) -> bytes:
        self._word <<= self._free
        self._flush()
        return bytes(self.out)

    def _flush(self) -> None:
        struct.pack_into("<H", self.out, self._places.pop(0), self._word)
        self._free, self._word = 16, 0


def packed(tokens: Iterable[Token], lengths: Sequence[int] = (9,) * 512) -> bytes:
    """What unpacks to these tokens, written with codes of these lengths."""
    table = bytes(lengths[2 * k] | lengths[2 * k + 1] << 4 for k in range(256))
    codes = canonical(lengths)
    bits = _Bits(table)
    for token in tokens:
        if isinstance(token, int):
            bits.put(*codes[token])
            continue
        offset, length = token
        high = offset.bit_length() - 1
        rest = length - 3
        bits.put(*codes[256 + (high << 4 | min(rest, 15))])
        if rest >= 15:
            bits.out += bytes([min(rest - 15, 255)])
        if rest >= 15 + 255:
            bits.out += struct.pack("<H", rest) if rest < 65536 else struct.pack("<HI", 0, rest)
        bits.put(offset - (1 << high), high)
    return bits.end()


def tokens_of(data: bytes) -> list[Token]:
    """Bytes as they are, but runs of one byte as matches."""
    found: list[Token] = []
    at = 0
    while at < len(data):
        end = at + 1
        while end < len(data) and data[end] == data[at]:
            end += 1
        found.append(data[at])
        found += [(1, end - at - 1)] if end - at - 1 >= 3 else list(data[at + 1 : end])
        at = end
    return found


def record(data: bytes, version: int = 2, stored: bool = False) -> bytes:
    """A record of the container; its data are padded to a multiple of 512."""
    plain = data + bytes(-len(data) % 512)
    body = plain if stored else packed(tokens_of(plain))
    assert len(body) <= 65536
    rest = b"" if version == 1 else b"\xaa" * 20
    return (
        struct.pack("<BBH", 0x21, len(plain) // 512, len(body) & 0xFFFF)
        + rest
        + struct.pack("<I", record_sum(body))
        + body
    )


def container(
    plain: bytes, data_starts: Sequence[int] = (), version: int = 2, stored: bool = False, device: int = 512
) -> bytes:
    """A compressed backup of what a plain one holds: records between its file marks, padding around them."""
    out = bytearray(b"MSSQLBAK" + struct.pack("<II", version, 3)).ljust(0x1E0, b"\0")
    at = 0
    marks = [place for place in range(0, len(plain), 512) if plain[place : place + 4] == b"SFMB"]
    for place in [*marks, len(plain)]:
        cuts = sorted({at, place, *(cut for cut in data_starts if at < cut < place)})
        for begin, end in pairwise(cuts):
            for start in range(begin, end, EXTENT):
                out += record(plain[start : min(start + EXTENT, end)], version, stored)
        if place < len(plain):
            size = int.from_bytes(plain[place + 8 : place + 10], "little")
            out += b"\x5a" * (-len(out) % device)
            out += plain[place : place + size]
            at = place + size
    return bytes(out)
