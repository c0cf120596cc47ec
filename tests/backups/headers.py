"""The configuration records of a backup set: SCIN, SFGI, SFIN."""

import datetime as clock
import struct
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.backups.describe import Collation, File, Group
from tests.backups.mtf import packed_date
from tests.backups.pages import Lsn

NONE: Lsn = (0, 0, 0)
TYPES = {"full": "D", "differential": "I", "log": "L", "file": "F", "partial": "P"}
NIL = uuid.UUID(int=0)
START = clock.datetime(2024, 2, 29, 13, 5, 7)


@dataclass
class Facts:
    """What the headers of one set say."""

    database: str
    kind: str
    numbers: tuple[int, int, int, int]
    level: int
    first: Lsn
    last: Lsn
    checkpoint: Lsn
    full: Lsn
    set_guid: uuid.UUID
    family: uuid.UUID
    fork: uuid.UUID
    binding: uuid.UUID
    base_guid: uuid.UUID = NIL
    base_lsn: Lsn = NONE
    flags: int = 0x200
    status: int = 0x10000
    server: str = "STERNA\\TEST"
    start: clock.datetime = START
    finish: clock.datetime = START
    created: clock.datetime = START
    filler: int = 1
    size: int = 0
    database_id: int = 5
    collation: Collation | None = None
    files: Sequence[File] = ()
    groups: Sequence[Group] = ()
    pages: dict[int, tuple[int, int]] = field(default_factory=dict)


def lsn10(value: Lsn) -> bytes:
    """A log sequence number in ten bytes."""
    return struct.pack("<IIH", *value)


def lsn12(value: Lsn) -> bytes:
    """A log sequence number in twelve bytes."""
    return struct.pack("<III", *value)


def number(value: Lsn) -> int:
    """A log sequence number as RESTORE prints it."""
    return value[0] * 10**15 + value[1] * 10**5 + value[2]


def put(record: bytearray, at: int, raw: bytes) -> None:
    """Bytes at an offset."""
    record[at : at + len(raw)] = raw


def with_strings(tag: bytes, record: bytearray, strings: Sequence[tuple[int, str]]) -> bytes:
    """The record with its strings behind it, its tag and its length."""
    for at, text in strings:
        raw = text.encode("utf-16-le")
        put(record, at, struct.pack("<HH", len(raw), len(record) if raw else 0))
        record += raw
    put(record, 0, tag + struct.pack("<I", len(record)))
    return bytes(record)


def scin(facts: Facts) -> bytes:
    """The record of the set."""
    new = facts.numbers[0] >= 11
    record = bytearray(400 if new else 352)
    major, minor, build, dbver = facts.numbers
    data = [file for file in facts.files if file.form == 1]
    put(record, 0x08, struct.pack("<III", facts.flags, len(data), 1))
    put(record, 0x18, struct.pack("<HBBI", build, minor, major, 9))
    for at, value in ((0x20, facts.first), (0x2A, facts.last), (0x34, facts.checkpoint), (0x3E, facts.full)):
        put(record, at, lsn10(value))
    for at, moment in ((0x48, facts.created), (0x4D, facts.start), (0x52, facts.finish)):
        put(record, at, packed_date(moment))
    put(
        record,
        0x57,
        TYPES[facts.kind].encode() + struct.pack("<BHBHH", 52, 1, facts.level, facts.database_id, dbver),
    )
    put(record, 0x60, struct.pack("<Q", facts.size))
    put(record, 0x74, struct.pack("<II", 1033, 196609))
    put(record, 0x7C, facts.binding.bytes_le)
    put(record, 0x90, lsn12(facts.last))
    put(record, 0x9C, facts.fork.bytes_le)
    put(record, 0xD8, bytes.fromhex("0904d00034"))
    put(record, 0xE0, facts.family.bytes_le)
    put(record, 0xF2, struct.pack("<HI", facts.filler, facts.status))
    put(record, 0xF8, lsn12(facts.checkpoint))
    if facts.kind == "differential":
        put(record, 0x104, lsn12(facts.base_lsn))
        put(record, 0x110, facts.base_guid.bytes_le)
    return with_strings(b"SCIN", record, [(0x68, facts.database), (0x6C, facts.server)])


def sfgi(group: Group, new: bool) -> bytes:
    """The record of a file group."""
    record = bytearray(224 if new else 48)
    put(record, 8, struct.pack("<II", 0x10 if group.number == 1 else 0, group.number))
    put(record, 0x18, uuid.uuid5(uuid.NAMESPACE_DNS, group.name).bytes_le)
    return with_strings(b"SFGI", record, [(0x10, group.name)])


def sfin(facts: Facts, file: File | None) -> bytes:
    """The record of a data file, or of the log (None)."""
    new = facts.numbers[0] >= 11
    record = bytearray(1028 if new else 400)
    name = facts.database if file is None or file.number == 1 else f"{facts.database}_{file.number}"
    pages, inside = facts.pages.get(file.number if file else 2, (128, 8))
    flags = 0x84 if file and facts.kind == "full" else 4
    fid = file.number if file else max((f.number for f in facts.files), default=1) + 1
    form = (2 if file is None else file.form) & 0xFFFFFFFF
    group = file.group if file else 0
    put(record, 0x08, struct.pack("<I", flags))
    put(record, 0x10, struct.pack("<IIIIIIQ", 8192, fid, inside, form, 4096, group, pages * 8192))
    put(record, 0x56, struct.pack("<QQ", (1 << 45) - 8192, 0x4000000))
    put(record, 0x82, struct.pack("<Q", 0x800000))
    put(record, 0x9E, lsn10(facts.base_lsn if facts.kind == "differential" else facts.checkpoint))
    put(record, 0xAA, (facts.base_guid if facts.kind == "differential" else facts.set_guid).bytes_le)
    put(record, 0xBA, uuid.uuid5(uuid.NAMESPACE_DNS, f"{facts.database}{fid}").bytes_le)
    put(record, 0xCA, lsn12(facts.checkpoint) + lsn12(facts.last))
    logical = name if file else f"{facts.database}_log"
    ending = "ldf" if file is None else "mdf" if file.number == 1 else "ndf"
    return with_strings(b"SFIN", record, [(0x30, logical), (0x34, f"C:\\Data\\{logical}.{ending}")])


def configuration(facts: Facts) -> bytes:
    """All records of a set."""
    new = facts.numbers[0] >= 11
    parts = [scin(facts), *(sfgi(group, new) for group in facts.groups)]
    parts += [sfin(facts, file) for file in facts.files]
    return b"".join([*parts, sfin(facts, None)])
