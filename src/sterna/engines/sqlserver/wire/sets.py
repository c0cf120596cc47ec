"""What a file of a backup holds: the medium, its backup sets, and where their pages and log lie."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sterna.engines.sqlserver.wire.headers import (
    Configuration,
    FileRecord,
    SetRecord,
)
from sterna.engines.sqlserver.wire.mtf import Source


@dataclass(frozen=True, slots=True)
class Media:
    """The medium: which family of which media set this file is."""

    name: str
    description: str
    media_set: UUID
    family_count: int
    """Files over which the sets are striped; all of them are needed."""
    family_sequence: int
    """Which of them this is, from 1."""
    media_sequence: int
    software: str
    device_block: int
    """Bytes."""
    password: bool
    """A password was set on the medium; nothing is encrypted by it."""
    date: datetime | None
    container_version: int | None
    """Of the compressed container; None: not compressed."""

    @property
    def compressed(self) -> bool:
        return self.container_version is not None

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "description": self.description,
            "media_set": str(self.media_set),
            "family_count": self.family_count,
            "family_sequence": self.family_sequence,
            "media_sequence": self.media_sequence,
            "compressed": self.compressed,
            "mssqlbak_version": self.container_version,
            "software": self.software,
            "device_block": self.device_block,
        }


@dataclass(frozen=True, slots=True)
class Piece:
    """Data of one stream in the file: whole pages, or log blocks."""

    start: int
    length: int
    """Bytes; less than was written if the file is cut."""


@dataclass(frozen=True, slots=True)
class Region:
    """The pages behind one MSDA block, in the order in which they were read from the database."""

    pieces: tuple[Piece, ...]

    @property
    def length(self) -> int:
        """Bytes."""
        return sum(each.length for each in self.pieces)


@dataclass(frozen=True, slots=True)
class LogStream:
    """Log blocks of one virtual log file."""

    start: int
    """Byte in the file where the first log block lies."""
    length: int
    """Bytes of log blocks."""
    vlf_sequence: int
    vlf_size: int
    vlf_start: int
    """Byte in the log file where the virtual log file begins."""
    first: int
    """Byte in the log file where what was saved begins, and where it ends."""
    last: int
    file_id: int
    parity: int


@dataclass(frozen=True, slots=True)
class BackupSet:
    """One backup in a file; of a striped one, this file's share."""

    source: Source
    media: Media
    position: int
    name: str
    description: str
    user: str
    machine: str
    guid: UUID
    configuration: Configuration
    regions: tuple[Region, ...]
    logs: tuple[LogStream, ...]
    unknown_streams: tuple[str, ...]
    """Kinds of streams that this reader steps over."""
    complete: bool
    """False: the file ends before the set does; the configuration is then the one known at the set's start."""
    at: int
    """Byte of its first block."""
    disagreements: tuple[str, ...] = ()
    """What it says otherwise at its end than at its beginning, though it cannot have changed."""

    @property
    def record(self) -> SetRecord:
        return self.configuration.set

    @property
    def files(self) -> tuple[FileRecord, ...]:
        return self.configuration.files

    @property
    def file(self) -> str:
        """The file that it lies in."""
        return self.source.name

    def as_json(self) -> dict[str, object]:
        """What RESTORE HEADERONLY and FILELISTONLY tell. LSNs are numbers of up to 25 digits."""
        record = self.record
        base: dict[str, object] = {}
        if record.differential_base_lsn or record.differential_base_guid.int:
            base["differential_base_lsn"] = record.differential_base_lsn
            base["differential_base_guid"] = str(record.differential_base_guid)
        return {
            "position": self.position,
            "backup_name": self.name,
            "description": self.description,
            "user": self.user,
            "server": record.server,
            "machine": self.machine,
            "database": record.database,
            "type": record.kind,
            "version": record.version,
            "database_version": record.database_version,
            "compatibility_level": record.compatibility_level,
            "first_lsn": record.first_lsn,
            "last_lsn": record.last_lsn,
            "checkpoint_lsn": record.checkpoint_lsn,
            "database_backup_lsn": record.database_backup_lsn,
            "created": _iso(record.created),
            "start": _iso(record.started),
            "finish": _iso(record.finished),
            "backup_size": record.backup_size,
            "lcid": record.lcid,
            "sort_order": record.sort_order,
            "flags": record.flags,
            "backup_checksums": record.has_checksums,
            "backup_set_guid": str(self.guid),
            "binding_id": str(record.binding_id),
            "family_guid": str(record.family_guid),
            "recovery_fork": str(record.recovery_fork),
            **base,
            "files": [_file_json(each) for each in self.files],
        }


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def _file_json(file: FileRecord) -> dict[str, object]:
    return {
        "file_id": file.file_id,
        "logical": file.logical,
        "physical": file.physical,
        "type": file.type,
        "filegroup_id": file.group_id,
        "size": file.size,
        "pages_in_backup": file.pages_in_backup,
    }
