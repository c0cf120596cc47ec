"""The configuration records of a backup set: what RESTORE HEADERONLY and FILELISTONLY tell of it.

Records {tag, size, ...} lie one behind the other: one SCIN (the set), an SFGI for each file group, an SFIN for
each file. Texts are {bytes, offset from the record's start} in UTF-16.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sterna.engines.sqlserver.wire.faults import damaged
from sterna.engines.sqlserver.wire.mtf import text_at

KINDS = {
    "D": "full",
    "I": "differential",
    "L": "log",
    "F": "file",
    "G": "differential file",
    "P": "partial",
    "Q": "differential partial",
}
"""The letter of a set's kind, and the word for it."""
_SHORTEST = {b"SCIN": 344, b"SFGI": 0x28, b"SFIN": 0xEC}
"""Bytes that the shortest known record of each kind has."""

Lsn = int
"""A place in the log as RESTORE prints it: file, block and slot as decimal digits in one number."""


@dataclass(frozen=True, slots=True)
class SetRecord:
    """SCIN: the set as a whole. Times are the server's local time."""

    flags: int
    data_files: int
    log_files: int
    version: str
    major: int
    first_lsn: Lsn
    last_lsn: Lsn
    checkpoint_lsn: Lsn
    database_backup_lsn: Lsn
    created: datetime | None
    started: datetime | None
    finished: datetime | None
    kind: str
    """As in KINDS."""
    sort_order: int
    compatibility_level: int
    database_id: int
    database_version: int
    backup_size: int
    database: str
    server: str
    lcid: int
    comparison_style: int
    binding_id: UUID
    recovery_fork: UUID
    fork_point_lsn: Lsn
    first_recovery_fork: UUID
    last_full_guid: UUID
    """Backup set GUID of the last full backup."""
    collation: bytes
    """As the TDS protocol writes it: five bytes."""
    family_guid: UUID
    padding: int
    """Page data are padded to this many pieces of 64 KB."""
    status: int
    differential_base_lsn: Lsn
    differential_base_guid: UUID

    @property
    def has_checksums(self) -> bool:
        return bool(self.flags & 0x10)

    @property
    def recovery_model(self) -> str:
        if self.status & 8:
            return "SIMPLE"
        return "BULK_LOGGED" if self.status & 4 else "FULL"


@dataclass(frozen=True, slots=True)
class GroupRecord:
    """SFGI: a file group."""

    group_id: int
    name: str
    guid: UUID
    is_default: bool


@dataclass(frozen=True, slots=True)
class FileRecord:
    """SFIN: a file of the database."""

    file_id: int
    logical: str
    physical: str
    """A path on the machine that was backed up; never to be used as a path here."""
    kind: int
    """1 data, 2 log; FILESTREAM and files in memory have others."""
    group_id: int
    """0: log."""
    size: int
    """Bytes."""
    pages_in_backup: int
    flags: int
    max_size: int
    growth: int
    create_lsn: Lsn
    drop_lsn: Lsn
    differential_base_lsn: Lsn
    differential_base_guid: UUID
    unique_id: UUID

    @property
    def type(self) -> str:
        """Its kind as a word."""
        return {1: "data", 2: "log", 3: "filestream"}.get(self.kind, f"other ({self.kind})")


@dataclass(frozen=True, slots=True)
class Configuration:
    """All records of a set."""

    set: SetRecord
    groups: tuple[GroupRecord, ...]
    files: tuple[FileRecord, ...]


_LASTING = (
    "version", "database_backup_lsn", "created", "started", "kind", "sort_order", "database_id",
    "database_version", "database", "server", "lcid", "comparison_style", "binding_id", "recovery_fork",
    "first_recovery_fork", "collation", "family_guid", "differential_base_lsn", "differential_base_guid",
)  # fmt: skip
_LASTING_OF_FILE = ("logical", "physical", "kind", "group_id", "create_lsn", "unique_id")


def disagreements(begun: Configuration, ended: Configuration) -> tuple[str, ...]:
    """What does not change while a backup is made, and is told otherwise at its end than at its beginning.

    No checksum guards what a set says of itself; that it says it twice does. In all backups that were looked at,
    from 2005 to 2025, both tell the same of these.
    """
    found = [name for name in _LASTING if getattr(begun.set, name) != getattr(ended.set, name)]
    files = {each.file_id: each for each in begun.files}
    for later in ended.files:
        earlier = files.get(later.file_id)
        if earlier is None:
            found.append(f"file {later.file_id}")
        else:
            found += [
                f"{name} of file {later.file_id}"
                for name in _LASTING_OF_FILE
                if getattr(earlier, name) != getattr(later, name)
            ]
    return tuple(name.replace("_", " ") for name in found)


def lsn(data: bytes, offset: int, slot: str = "H") -> Lsn:
    """A place in the log: {u32, u32, u16}, or three u32 with ``slot`` "I"."""
    file, block, number = struct.unpack_from(f"<II{slot}", data, offset)
    return int(file) * 10**15 + int(block) * 10**5 + int(number)


def date(data: bytes) -> datetime | None:
    """Five bytes of bits: year 14, month 4, day 5, hour 5, minute 6, second 6. None: no date, or no such date."""
    bits = int.from_bytes(data[:5], "big")
    try:
        return datetime(
            bits >> 26, bits >> 22 & 15, bits >> 17 & 31, bits >> 12 & 31, bits >> 6 & 63, min(bits & 63, 59)
        )
    except ValueError:
        return None


def guid(data: bytes, offset: int) -> UUID:
    """A GUID, its first three groups little-endian."""
    return UUID(bytes_le=data[offset : offset + 16])


def configuration(data: bytes, file: str, at: int) -> Configuration:
    """The records of an MQCI stream, which lies at byte ``at`` of the file. Raises BadData."""
    head: SetRecord | None = None
    groups: list[GroupRecord] = []
    files: list[FileRecord] = []
    for offset, tag, record in _records(data, file, at):
        if len(record) < _SHORTEST.get(tag, 0):
            raise damaged(file, at + offset, f"record {tag.decode()} of the configuration is cut")
        if tag == b"SCIN":
            head = _set(record)
        elif tag == b"SFGI":
            groups.append(_group(record))
        elif tag == b"SFIN":
            files.append(_file(record))
    if head is None:
        raise damaged(file, at, "the configuration names no backup set")
    return Configuration(head, tuple(groups), tuple(files))


def _records(data: bytes, file: str, at: int) -> Iterator[tuple[int, bytes, bytes]]:
    offset = 0
    while offset + 8 <= len(data):
        tag, size = data[offset : offset + 4], int.from_bytes(data[offset + 4 : offset + 8], "little")
        if not any(tag):
            return
        if size < 8 or size > len(data) - offset:
            raise damaged(file, at + offset, f"record {tag!r} of the configuration says that it has {size} bytes")
        yield offset, tag, data[offset : offset + size]
        offset += size


def _text(record: bytes, offset: int) -> str:
    length, place = struct.unpack_from("<HH", record, offset)
    return text_at(record, length, place)


def _u16(record: bytes, offset: int) -> int:
    return int.from_bytes(record[offset : offset + 2], "little")


def _u32(record: bytes, offset: int) -> int:
    return int.from_bytes(record[offset : offset + 4], "little")


def _u64(record: bytes, offset: int) -> int:
    return int.from_bytes(record[offset : offset + 8], "little")


def _set(record: bytes) -> SetRecord:
    letter = chr(record[0x57])
    differential = letter in "IGQ"
    return SetRecord(
        flags=_u32(record, 0x08),
        data_files=_u32(record, 0x0C),
        log_files=_u32(record, 0x10),
        version=f"{record[0x1B]}.{record[0x1A]}.{_u16(record, 0x18)}",
        major=record[0x1B],
        first_lsn=lsn(record, 0x20),
        last_lsn=lsn(record, 0x2A),
        checkpoint_lsn=lsn(record, 0x34),
        database_backup_lsn=lsn(record, 0x3E),
        created=date(record[0x48:]),
        started=date(record[0x4D:]),
        finished=date(record[0x52:]),
        kind=KINDS.get(letter, f"unknown ({letter!r})"),
        sort_order=record[0x58],
        compatibility_level=record[0x5B],
        database_id=_u16(record, 0x5C),
        database_version=_u16(record, 0x5E),
        backup_size=_u64(record, 0x60),
        database=_text(record, 0x68),
        server=_text(record, 0x6C),
        lcid=_u32(record, 0x74),
        comparison_style=_u32(record, 0x78),
        binding_id=guid(record, 0x7C),
        recovery_fork=guid(record, 0x9C),
        fork_point_lsn=lsn(record, 0xAC, "I"),
        first_recovery_fork=guid(record, 0xB8),
        last_full_guid=guid(record, 0xC8),
        collation=record[0xD8:0xDD],
        family_guid=guid(record, 0xE0),
        padding=_u16(record, 0xF2),
        status=_u32(record, 0xF4),
        differential_base_lsn=lsn(record, 0x104, "I") if differential else 0,
        differential_base_guid=guid(record, 0x110) if differential else UUID(int=0),
    )


def _group(record: bytes) -> GroupRecord:
    return GroupRecord(
        _u32(record, 0x0C), _text(record, 0x10), guid(record, 0x18), bool(_u32(record, 0x08) & 0x10)
    )


def _file(record: bytes) -> FileRecord:
    return FileRecord(
        file_id=_u32(record, 0x14),
        logical=_text(record, 0x30),
        physical=_text(record, 0x34),
        kind=_u32(record, 0x1C),
        group_id=_u32(record, 0x24),
        size=_u64(record, 0x28),
        pages_in_backup=_u32(record, 0x18),
        flags=_u32(record, 0x08),
        max_size=_u64(record, 0x56),
        growth=_u64(record, 0x5E),
        create_lsn=lsn(record, 0x8A),
        drop_lsn=lsn(record, 0x94),
        differential_base_lsn=lsn(record, 0x9E),
        differential_base_guid=guid(record, 0xAA),
        unique_id=guid(record, 0xBA),
    )
