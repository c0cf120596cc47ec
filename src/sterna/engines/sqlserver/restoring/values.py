"""What is known of a server, its databases and the backup sets that it reads: values, and how they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.server import MEDIA_SECONDS, Row, Server
from sterna.engines.sqlserver.restoring.tsql import Device
from sterna.engines.sqlserver.wire.chain import DIFFERENTIAL, FULL, LOG, LogicalSet

NONE = UUID(int=0)
ONLINE, RESTORING, RECOVERING = "ONLINE", "RESTORING", "RECOVERING"
KINDS = {1: FULL, 2: LOG, 5: DIFFERENTIAL}
"""BackupType of RESTORE HEADERONLY: those that are restored."""
_OTHERS = {4: "file", 6: "differential file", 7: "partial", 8: "differential partial"}
EXPRESS = 4
"""EngineEdition of the Express edition."""
ELSEWHERE = {5: "Azure SQL Database", 6: "Azure Synapse", 8: "Azure SQL Managed Instance", 11: "Azure Synapse"}
"""EngineEdition of what speaks as a SQL Server and has no RESTORE, or none with MOVE and NORECOVERY."""
SINCE = 11
"""Major version of SQL Server 2012, the oldest whose catalogue has all that is asked for."""
FULL_RESTORED = "D"
"""Type of an entry of the server's history: a full backup."""
LAST_OWN = 4
"""Number of the last of the server's own databases."""
FILESTREAM_FILE = "S"
"""Type of a file in RESTORE FILELISTONLY: FILESTREAM, and memory-optimised data."""


@dataclass(frozen=True, slots=True)
class Instance:
    """A SQL Server."""

    version: str
    edition: str
    engine_edition: int
    data_path: str
    """Where files of new databases go, with a separator at the end."""
    log_path: str
    filestream: int
    """0: FILESTREAM is off."""
    may_credential: bool
    """Make and drop credentials."""
    may_restore: bool
    may_overwrite: bool
    """Also databases that somebody else owns."""
    may_read_history: bool
    contained: bool = True
    """Contained databases are let in."""

    @property
    def major(self) -> int:
        head = self.version.partition(".")[0]
        return int(head) if head.isdecimal() else 0


@dataclass(frozen=True, slots=True)
class Restored:
    """An entry of the server's history: a backup set that went into a database of some name."""

    guid: UUID
    destination: str
    """The path of one of the files that it went to."""
    kind: str = ""
    """``D`` for a full backup."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A database of the server."""

    name: str
    state: str
    single_user: bool = False
    standby: bool = False
    files: Mapping[str, str] = field(default_factory=dict)
    """Logical names, and paths on the server."""
    guids: frozenset[UUID] = frozenset()
    """What its files are, whatever they are called at the moment; empty: not known."""
    redo_start: int | None = None
    """Where the next backup has to go on; None: it is not restoring, or never began to."""
    history: tuple[Restored, ...] = ()
    """Newest first; of earlier databases of that name too."""
    redo_fork: UUID = NONE
    """The fork that the next log has to begin on; none: not known."""
    own: bool = False
    """It belongs to the server."""
    mine: bool = True
    """The login owns it."""
    held_by: str = ""
    """What keeps it from being restored over, in words; empty: nothing."""

    def is_of(self, tag: str) -> bool:
        """Whether its files were made by the job with that tag."""
        return any(tag in path for path in self.files.values())

    def has_file(self, file: "ListedFile") -> bool:
        """Whether a file in a backup is one that the database has already, maybe under an older name."""
        return file.unique in self.guids if self.guids else file.logical in self.files

    def has_got(self, guid: UUID, tag: str = "") -> bool:
        """Whether that set was restored, and where a tag is given, by the job that has it."""
        return any(each.guid == guid and tag in each.destination for each in self.history)

    @property
    def base(self) -> UUID:
        """The full backup that it began with; none: not known, as of one that was not made by RESTORE."""
        newest = next((each for each in self.history if each.kind == FULL_RESTORED), None)
        if newest is None or not newest.destination:
            return NONE
        went = newest.destination.lower()
        return newest.guid if any(path.lower().endswith(went) for path in self.files.values()) else NONE


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup set, as the server's header or Sterna's own reader tells it."""

    database: str
    kind: str
    position: int
    guid: UUID
    first_lsn: int
    last_lsn: int
    checkpoint_lsn: int
    database_backup_lsn: int
    base_guid: UUID
    first_fork: UUID
    fork: UUID
    major: int
    version: str
    """Of the server that made it, with dots."""
    size: int
    """Bytes, not compressed."""
    files: tuple[int, ...] = ()
    """The files of its media set, in their order: places in the list of all files."""
    names: str = ""
    """The same for people."""
    family: UUID = NONE
    """Of the database, from its creation on."""

    contained: bool = False
    """The database lets users in by itself."""

    def __str__(self) -> str:
        return f"{self.names} (set {self.position})" if self.position > 1 else self.names


@dataclass(frozen=True, slots=True)
class Label:
    """Which file of which media set a file is."""

    media_set: UUID
    count: int
    sequence: int


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a database in a backup set."""

    logical: str
    kind: str
    """``D`` data, ``L`` log, ``S`` FILESTREAM or memory-optimised, ``F`` full-text."""
    file_id: int
    size: int
    """Bytes on the server once restored."""
    unique: UUID = NONE
    """What the file is, whatever it is called."""


_HISTORY = ("may_read_history", "may_read_files", "may_read_sets")


async def read_instance(server: Server) -> Instance:
    """Raises as ``Server.rows``."""
    (row,) = await server.rows(tsql.instance(), "Reading the properties of the server")
    fallback = _folder(str(row["master_file"] or ""))
    return Instance(
        version=str(row["version"] or ""),
        edition=str(row["edition"] or ""),
        engine_edition=int(row["engine_edition"] or 0),
        data_path=_ended(str(row["data_path"] or "") or fallback),
        log_path=_ended(str(row["log_path"] or "") or fallback),
        filestream=int(row["filestream"] or 0),
        may_credential=bool(row["is_sysadmin"] or row["may_credential"]),
        may_restore=any(row[each] for each in ("is_sysadmin", "is_dbcreator", "may_create")),
        may_overwrite=bool(row["is_sysadmin"] or row["is_dbcreator"]),
        may_read_history=all(row[each] != 0 for each in _HISTORY),  # NULL: the server cannot say
        contained=row["contained"] != 0,
    )


async def read_database(server: Server, name: str) -> Existing | None:
    """None: there is none of that name. Raises as ``Server.rows``."""
    what = f"Looking at the database {name}"
    found = await server.rows(tsql.database(name), what)
    if not found:
        return None
    row = found[0]
    files = await server.rows(tsql.database_files(name), what)
    history = await server.rows(tsql.history(name), what)
    primary = next((each for each in files if each["file_id"] == 1 and each["redo_start_lsn"] is not None), None)
    return Existing(
        name=str(row["name"]),
        state=str(row["state_desc"]),
        single_user=str(row["user_access_desc"]) == "SINGLE_USER",
        standby=bool(row["is_in_standby"]),
        files={str(each["name"]): str(each["physical_name"]) for each in files},
        guids=frozenset(_uuid(each["file_guid"]) for each in files if each["file_guid"] is not None),
        redo_start=int(primary["redo_start_lsn"]) if primary else None,
        history=tuple(
            Restored(
                _uuid(each["backup_set_uuid"]),
                str(each["destination"] or ""),
                str(each["restore_type"] or "").strip(),
            )
            for each in history
        ),
        redo_fork=_uuid(primary["redo_start_fork_guid"]) if primary else NONE,
        own=int(row["database_id"]) <= LAST_OWN or bool(row["is_distributor"]),
        mine=bool(row["is_owner"]),
        held_by=_held_by(row),
    )


def _held_by(row: Row) -> str:
    if row["replica_id"] is not None:
        return "is in an availability group: take it out of the group first"
    if row["mirroring_guid"] is not None:
        return "is mirrored: end the mirroring first"
    if row["source_database_id"] is not None:
        return "is a snapshot of another database: drop it first"
    if row["snapshot"] is not None:
        return f"has a snapshot, {row['snapshot']}: drop that first"
    return ""


async def read_label(server: Server, device: Device, what: str) -> Label:
    """Raises as ``Server.rows``."""
    row = (await server.rows(tsql.label(device), what, patience=MEDIA_SECONDS))[0]
    return Label(_uuid(row["MediaSetId"]), int(row["FamilyCount"] or 1), int(row["FamilySequenceNumber"] or 1))


async def read_headers(
    server: Server, device: Device, what: str, files: tuple[int, ...], names: str
) -> Sequence[BackedUp]:
    """The sets of a media set by one of its files. Raises as ``Server.rows``."""
    rows = await server.rows(tsql.header(device), what, patience=MEDIA_SECONDS)
    for row in rows:
        if row["DatabaseName"] is None or row["BackupType"] is None:
            _unreadable(row, f"{what}: set {row['Position'] or '?'}")
    return [_backed_up(row, files, names) for row in rows]


def _unreadable(row: Row, where: str) -> None:
    """The server tells nothing of a set but a name that says why. Raises Unsupported, BadData."""
    name = str(row["BackupName"] or "").strip("* _")
    if "password" in name.lower():
        hint = "Restore it by hand: RESTORE takes its PASSWORD. Or name other files."
        raise Unsupported(f"{where} is protected by a password", hint=hint)
    raise BadData(
        f"{where} cannot be read ({name or 'no name'})", hint="Name other files, or copy it whole again."
    )


async def read_files(server: Server, device: Device, position: int, what: str) -> Sequence[ListedFile]:
    """Raises as ``Server.rows``."""
    rows = await server.rows(tsql.file_list(device, position), what, patience=MEDIA_SECONDS)
    return [
        ListedFile(
            str(row["LogicalName"]),
            str(row["Type"]).strip(),
            int(row["FileId"]),
            int(row["Size"]),
            _uuid(row["UniqueId"]),
        )
        for row in rows
    ]


def _backed_up(row: Row, files: tuple[int, ...], names: str) -> BackedUp:
    kind = int(row["BackupType"] or 0)
    parts = [int(row[f"SoftwareVersion{each}"] or 0) for each in ("Major", "Minor", "Build")]
    return BackedUp(
        database=str(row["DatabaseName"]),
        kind=KINDS.get(kind) or _OTHERS.get(kind, f"type {kind}"),
        position=int(row["Position"]),
        guid=_uuid(row["BackupSetGUID"]),
        first_lsn=int(row["FirstLSN"] or 0),
        last_lsn=int(row["LastLSN"] or 0),
        checkpoint_lsn=int(row["CheckpointLSN"] or 0),
        database_backup_lsn=int(row["DatabaseBackupLSN"] or 0),
        base_guid=_uuid(row["DifferentialBaseGUID"]),
        first_fork=_uuid(row["FirstRecoveryForkID"]),
        fork=_uuid(row["RecoveryForkID"]),
        major=parts[0],
        version=".".join(map(str, parts)),
        size=int(row["BackupSize"] or 0),
        files=files,
        names=names,
        family=_uuid(row["FamilyGUID"]),
        contained=bool(row.get("containment")),
    )


def by_reader(one: LogicalSet, places: Mapping[str, int]) -> BackedUp:
    """The same by Sterna's own reader. ``places``: the place of each file in the list of all."""
    record = one.record
    return BackedUp(
        database=record.database,
        kind=one.kind,
        position=one.position,
        guid=one.guid,
        first_lsn=record.first_lsn,
        last_lsn=record.last_lsn,
        checkpoint_lsn=record.checkpoint_lsn,
        database_backup_lsn=record.database_backup_lsn,
        base_guid=record.differential_base_guid,
        first_fork=record.first_recovery_fork,
        fork=record.recovery_fork,
        major=record.major,
        version=record.version,
        size=record.backup_size,
        files=tuple(places[each] for each in one.files),
        names=", ".join(one.files),
        family=record.family_guid,
    )


def _uuid(value: Any) -> UUID:
    if value is None:
        return NONE
    return value if isinstance(value, UUID) else UUID(str(value))


def _folder(path: str) -> str:
    cut = max(path.rfind("\\"), path.rfind("/"))
    return path[: cut + 1]


def _ended(path: str) -> str:
    return path if not path or path[-1] in "\\/" else path + separator_of(path)


def separator_of(path: str) -> str:
    """What is between the folders of a path of the server: it runs on Windows or on Linux."""
    return "/" if path.startswith("/") else "\\"
