"""Writes backups: ``write_backup(paths, sets)``."""

import datetime as clock
import random
import struct
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.backups import xpress
from tests.backups.container import Container
from tests.backups.database import Built, build
from tests.backups.describe import Db
from tests.backups.headers import NIL, NONE, START, Facts, configuration
from tests.backups.image import INTERVAL, Extent
from tests.backups.log import quiet
from tests.backups.mtf import FLB, SOFTWARE, Sink, Strings, Tape, block_head, packed_date, seal, stream_head
from tests.backups.pages import SIZE, Lsn, checksum, protect

EMPTY = bytes(SIZE)
FILLER_PAGE = b"\x01\x65" + bytes(SIZE - 2)
EXTENT = 8 * SIZE
Frame = tuple[int, int]


@dataclass
class Set:
    """A backup set to be written. ``frames`` replaces the extents that the maps tell."""

    built: Built
    kind: str = "full"
    name: str = ""
    description: str = ""
    user: str = "STERNA\\tester"
    start: clock.datetime = START
    csum: bool = False
    protect: str = "checksum"
    base: "Set | None" = None
    changed: set[Extent] = field(default_factory=set)
    later: Sequence[Sequence[Extent]] = ()
    filler: int = 1
    pieces: int = 1
    incomplete: bool = False
    log: bytes | None = None
    log_from: Lsn | None = None
    log_to: Lsn | None = None
    earlier: tuple[Lsn, bytes] | None = None
    """The blocks of the virtual log file before, and where they begin."""
    lost: frozenset[Extent] = frozenset()
    """Extents that the maps name and the file lacks."""
    bulk: bool = False
    copy_only: bool = False
    encrypted_pages: bool = False
    stale: dict[tuple[int, int], bytes] = field(default_factory=dict)

    @property
    def guid(self) -> uuid.UUID:
        """The GUID of the set."""
        return uuid.uuid5(self.built.family, f"{self.kind}{self.start}{self.name}")

    @property
    def first(self) -> Lsn:
        """Where its log begins."""
        return self.log_from or self.built.checkpoint

    @property
    def last(self) -> Lsn:
        """Where its log ends."""
        return self.log_to or self.built.last

    @property
    def tail(self) -> bytes:
        """The log blocks that it carries."""
        return quiet(self.built.checkpoint).bytes() if self.log is None else self.log

    def extents(self) -> list[Extent]:
        """The extents of the first region, in order."""
        if self.kind == "log":
            return []
        out: list[Extent] = []
        for number, data in sorted(self.built.image.files.items()):
            if data.file.form != 1:
                continue
            if self.kind == "full":
                out += [(number, extent) for extent in self.built.image.allocated(number)]
            else:
                maps = range(0, data.pages // 8, INTERVAL // 8)
                out += [(number, e) for e in sorted({e for f, e in self.changed if f == number} | set(maps))]
        return [extent for extent in out if extent not in self.lost]

    def facts(self, size: int) -> Facts:
        """What its headers say."""
        base = self.base
        flags = 0x200 | (0x10 if self.csum else 0) | (0x800 if self.kind == "differential" else 0)
        flags |= (0x400 if self.copy_only else 0) | int(self.bulk)
        db = self.built.db
        return Facts(
            db.name, self.kind, self.built.numbers, int(self.built.numbers[0]) * 10, self.first, self.last,
            self.built.checkpoint, base.built.checkpoint if base else NONE, self.guid, self.built.family,
            self.built.family, uuid.uuid5(self.built.family, "binding"),
            base.guid if base else NIL, base.built.checkpoint if base else NONE,
            flags, 0x10000 | (8 if db.simple else 0), start=self.start,
            finish=self.start, filler=self.filler, size=size, database_id=db.database_id, files=db.files,
            groups=db.groups, pages={n: (d.pages, len(d.extents) * 8) for n, d in self.built.image.files.items()},
        )  # fmt: skip


@dataclass
class Media:
    """How the files are written."""

    device: int = 512
    compressed: bool = False
    form: int = 2
    pack: Callable[[bytes], bytes] = xpress.encode
    name: str = ""
    description: str = ""
    password: bool = False
    seed: int = 1

    @property
    def guid(self) -> uuid.UUID:
        """The GUID of the media set."""
        return uuid.uuid5(uuid.NAMESPACE_DNS, f"media{self.seed}{self.name}")


def write_backup(paths: Path | Sequence[Path], sets: Sequence[Set], media: Media | None = None) -> list[Path]:
    """Write sets into one file, or over several as stripes; the files written."""
    files = [paths] if isinstance(paths, Path) else list(paths)
    media = media or Media()
    for sequence, path in enumerate(files, 1):
        with path.open("wb", buffering=1 << 20) as file:
            write_family(file.write, sets, media, sequence, len(files))
    return files


def write_family(
    sink: Sink,
    sets: Sequence[Set],
    media: Media,
    sequence: int,
    count: int,
    container: Callable[[Sink], Container] | None = None,
) -> None:
    """One stripe of a media set; ``container`` makes the compressed container, if not an ordinary one."""
    boxed = container or (lambda sink: Container(sink, media.form, media.pack))
    box = boxed(sink) if media.compressed else None
    tape = Tape(box.write if box else sink, media.device, cut=box.cut if box else None)
    head(tape, media, sequence, count)
    for position, one in enumerate(sets, 1):
        one.built.image.finish(one.changed)
        if not write_set(tape, one, position, sequence, count, media):
            break
    if box:
        box.cut(tape.at, False)


def head(tape: Tape, media: Media, sequence: int, count: int) -> None:
    """The media header and its file mark."""
    strings = Strings(94)
    block = block_head(b"TAPE", 0, 0, 0, 0x30000) + bytearray(42)
    struct.pack_into(
        "<IIHHH", block, 52, media.seed * 977 + sequence, 5, 1, 5 * media.password, media.device // 512
    )
    for at, value in (
        (68, media.name), (72, media.description), (76, bytes(range(16)) if media.password else b""),
        (80, SOFTWARE),
    ):  # fmt: skip
        block[at : at + 4] = strings.address(value)
    struct.pack_into("<HH", block, 84, FLB, 0x1200)
    block[88:94] = packed_date(START) + b"\1"
    close(tape, block, strings)
    raid = media.guid.bytes_le + struct.pack("<IHHHHI", 0xF00000AD, count, 1, sequence, 0, 1)
    tape.stream(b"RAID", raid)
    tape.spad(max(FLB, media.device))
    tape.mark(0)


def close(tape: Tape, block: bytearray, strings: Strings | None = None) -> None:
    """Write a block with its strings; streams follow."""
    block += strings.data if strings else b""
    block += bytes(-len(block) % 4)
    struct.pack_into("<H", block, 8, len(block))
    tape.write(seal(block))


def write_set(tape: Tape, one: Set, position: int, sequence: int, count: int, media: Media) -> bool:
    """A whole set, or what one stripe has of it; False where the file is cut off."""
    mine = share(one.extents(), sequence, count, media.seed)
    size = sum(EXTENT for _ in one.extents()) + len(one.tail)
    facts = one.facts(size)
    config = configuration(facts)
    set_head(tape, one, position, config)
    if one.kind != "log":
        regions = [mine, *(share(list(r), sequence, count, media.seed + 1) for r in one.later)]
        for number, region in enumerate(regions):
            data_block(tape, one, region, number)
    if one.incomplete:
        return False
    log_blocks(tape, one, sequence == count)
    block = block_head(b"MSLS", 0, 8, 0x100) + bytearray(4)
    close(tape, block)
    tape.stream(b"MQCI", config)
    tape.spad(max(FLB, media.device))
    tape.mark(2 * position - 1)
    end_of_set(tape, one, position)
    tape.mark(2 * position)
    return True


def share(extents: Sequence[Extent], sequence: int, count: int, seed: int) -> list[Extent]:
    """The frames that one stripe of several holds, in no fixed order of dealing."""
    dice = random.Random(seed)
    return [extent for extent in extents if dice.randrange(count) == sequence - 1]


def set_head(tape: Tape, one: Set, position: int, config: bytes) -> None:
    """SSET, VOLB and MSCI."""
    strings = Strings(122)
    block = block_head(b"SSET", 0, 0, 0) + bytearray(70)
    attributes = 8 if one.kind == "differential" else 4
    struct.pack_into("<IHHHH", block, 52, attributes | (2 if one.copy_only else 0), 0, 0, 0, 0)
    struct.pack_into("<H", block, 62, position)
    for at, value in ((64, one.name), (68, one.description), (72, ""), (76, one.user)):
        block[at : at + 4] = strings.address(value)
    struct.pack_into("<Q", block, 80, tape.at)
    block[88:93] = packed_date(one.start)
    struct.pack_into("<BBbBB", block, 93, one.built.numbers[0], one.built.numbers[1], 4, 0, 2)
    block[100:116] = one.guid.bytes_le
    close(tape, block, strings)
    tape.spad()
    strings = Strings(74)
    block = block_head(b"VOLB", 0, 1, 1) + bytearray(22)
    block[56:60], block[64:68] = strings.address("C:"), strings.address("STERNA")
    block[68:73] = packed_date(one.start)
    close(tape, block, strings)
    tape.spad()
    close(tape, block_head(b"MSCI", 0, 2, 2) + bytearray(4))
    tape.stream(b"MQCI", config)
    tape.spad()


def data_block(tape: Tape, one: Set, extents: Sequence[Extent], region: int) -> None:
    """MSDA with its pages, in one or several MQDA streams."""
    close(tape, block_head(b"MSDA", 0, 3 + region, 6) + bytearray(8))
    runs = max(one.pieces, 1)
    step = max(-(-len(extents) // runs), 1)
    for start in range(0, max(len(extents), 1), step):
        run = extents[start : start + step]
        tape.apad()
        padding = -(len(run)) % one.filler if one.filler > 1 else 0
        attributes = 0x102 if one.csum else 2
        tape.write(stream_head(b"MQDA", 2 + (len(run) + padding) * EXTENT, attributes) + bytes(2))
        if tape.cut:
            tape.cut(tape.at, False)
        total = 0
        for frame in frames(one, run, region == 0, padding):
            tape.write(frame)
            total = checksum(frame, total) if one.csum else 0
        tape.write(bytes(tape.align(4)))
        if one.csum:
            tape.stream(b"CSUM", struct.pack("<I", total))
    tape.stream(b"MQDA", b"", 6)
    tape.spad()


def frames(one: Set, extents: Sequence[Extent], first: bool, padding: int) -> Iterator[bytes]:
    """The frames of 64 KB."""
    del first
    for file, extent in extents:
        yield b"".join(page_bytes(one, file, extent * 8 + number) for number in range(8))
    for _ in range(padding):
        yield FILLER_PAGE * 8


def page_bytes(one: Set, file: int, number: int) -> bytes:
    """A page as the backup holds it: protected; stale or empty where nothing is allocated."""
    if (file, number) in one.stale:
        return one.stale[file, number]
    raw = one.built.image.page((file, number))
    if raw is None:
        return EMPTY
    if one.encrypted_pages and raw[1] not in (8, 9, 11, 15, 16, 17):
        made = bytearray(raw)
        made[4] |= 8
        made[96:] = random.Random(number).randbytes(SIZE - 96)
        raw = bytes(made)
    return protect(raw, one.protect)


def filled(log: bytes) -> int:
    """Bytes of log blocks, without what fills up behind them."""
    at = 0
    while at < len(log) and log[at] & 0x10:
        at += int.from_bytes(log[at + 6 : at + 8], "little")
    return at


def log_blocks(tape: Tape, one: Set, active: bool) -> None:
    """MSTL blocks: the virtual log files in use and one that is not."""
    used: list[tuple[Lsn, bytes]] = [one.earlier] if one.earlier else []
    begin = (one.first[0] + len(used), 0, 1) if used else one.first
    used.append((begin, one.tail))
    files = [*(used if active else []), (NONE, b"")]
    for number, ((vlf, block_number, _), data) in enumerate(files):
        start = 0x2000 + 0x1F0000 * number
        offset = start + block_number * 512
        has = bool(data)
        block = block_head(b"MSTL", 0, 4 + number, 0x80, 0, 0) + bytearray(0x250 - 52)
        struct.pack_into("<QQI", block, 0x3C, offset * has, (offset + filled(data)) * has, 2)
        struct.pack_into("<HH", block, 0x50, 500, 0x5C)
        struct.pack_into("<IQQHB", block, 0x5C, vlf, 0x1F0000, start, 2, 0x40)
        close(tape, block)
        if has:
            log_stream(tape, one, data)
        tape.spad()


def log_stream(tape: Tape, one: Set, data: bytes) -> None:
    """An MQTL stream, and its sum."""
    tape.apad()
    tape.write(stream_head(b"MQTL", 2 + len(data), 0x100 if one.csum else 0) + bytes(2))
    if tape.cut:
        tape.cut(tape.at, False)
    tape.write(data)
    tape.write(bytes(tape.align(4)))
    if one.csum:
        tape.stream(b"CSUM", struct.pack("<I", checksum(data)))


def end_of_set(tape: Tape, one: Set, position: int) -> None:
    """The two ESET blocks."""
    size = max(FLB, tape.device)
    for number in range(2):
        block = block_head(b"ESET", 0, 0, 0, 0, 0) + bytearray(36)
        struct.pack_into("<I", block, 52, 4)
        struct.pack_into("<H", block, 78, position)
        block[80:85] = packed_date(one.start)
        close(tape, block)
        if number == 0:
            room = -(tape.at + 22 - tape.base) % size
            tape.stream(b"OTCP", bytes(room))
            tape.stream(b"TSMP", one.guid.bytes_le * 13)
        tape.spad(size)


def backup(
    paths: Path | Sequence[Path],
    *contents: Db | Set,
    version: float = 2016,
    compressed: bool = False,
    checksum: bool = False,
    torn: bool = False,
    device_block: int = 512,
) -> list[Path]:
    """The short way: full backups of databases (or sets made before) into one file or into stripes."""
    how = "torn" if torn else "checksum"
    sets = [
        one
        if isinstance(one, Set)
        else Set(build(one, version), name=f"{one.name} full", csum=checksum, protect=how)
        for one in contents
    ]
    return write_backup(paths, sets, Media(device=device_block, compressed=compressed))
