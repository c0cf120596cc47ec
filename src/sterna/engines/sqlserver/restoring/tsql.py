"""Every T-SQL statement that Sterna sends to a SQL Server, and nothing else: one function, one statement.

Each docstring names the page of Microsoft's public documentation (learn.microsoft.com/sql) that it can be checked
against. Values go as parameters wherever the language takes one (``%s``: python-tds sends sp_executesql);
RESTORE, ALTER DATABASE and CREATE CREDENTIAL take literals alone: names are put in by ``quoted``, texts by
``text``, numbers as ``int``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sterna.core.errors import Unsupported

LONGEST_NAME = 128
"""Characters of a ``sysname``."""
STATS = 5
"""Every how many percent the server tells how far it is."""

_BROKEN = re.compile("[\0\ud800-\udfff]")
"""What no text of a SQL Server holds by itself."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Text, and the values for its ``%s``. Without values it is sent as it stands, percent signs and all."""

    text: str = field(repr=False)
    values: tuple[str | int, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Device:
    """A file as the server reaches it."""

    kind: str
    """``DISK`` or ``URL``."""
    place: str

    def __str__(self) -> str:
        return self.place


@dataclass(frozen=True, slots=True)
class Take:
    """One restore: which set of which files, into which database, and how."""

    database: str
    devices: Sequence[Device]
    """All files of the media set, in their order."""
    position: int
    """Of the backup set in them, from 1."""
    recover: bool
    """The database is brought online afterwards; otherwise it waits for the next backup (RESTORING)."""
    is_log: bool = False
    replace: bool = False
    moves: Mapping[str, str] = field(default_factory=dict)
    """Logical name of a file of the database, and its path on the server."""
    region: str = ""
    """Of an S3 store, where it has one."""


def quoted(name: str) -> str:
    """A name as T-SQL takes it whatever is in it: ``[a]]b]``. Raises Unsupported for what no name can be.

    See "Database identifiers" (delimited identifiers; QUOTENAME doubles the closing bracket in the same way).
    """
    units = len(name.encode("utf-16-le", "surrogatepass")) // 2
    if not 1 <= units <= LONGEST_NAME or _BROKEN.search(name):
        raise Unsupported(
            f"{name[:60]!r} cannot be a name on a SQL Server", hint=f"Names have 1 to {LONGEST_NAME} characters."
        )
    return "[" + name.replace("]", "]]") + "]"


def text(value: str) -> str:
    """A text as a Unicode constant: ``N'it''s'``. Raises Unsupported for one with U+0000 or half of a surrogate
    pair, or a backslash before the end of a line, which would join the two lines.

    See "Constants (Transact-SQL)" and "Backslash (Line Continuation)": a quotation mark inside is written twice.
    """
    if _BROKEN.search(value) or re.search(r"\\[\r\n]", value):
        raise Unsupported(f"{value[:60]!r} holds a character that a SQL Server does not take in a text")
    return "N'" + value.replace("'", "''") + "'"


def english() -> Statement:
    """Let the server's messages be in English, whatever the login's language is: it is always there.

    See "SET LANGUAGE". How far a restore is and what the operating system said are read out of messages.
    """
    return Statement("SET LANGUAGE us_english")


def hold(resource: str, wait_ms: int = 0) -> Statement:
    """Take a name for this session alone, until it ends: one row, ``granted``, below 0 where another has it.

    See "sp_getapplock". The lock is of ``master``, where every session is. It belongs to the session and not to a
    transaction, in which RESTORE is not allowed; a session whose client is gone keeps it while its RESTORE runs.
    """
    return Statement(
        "SET NOCOUNT ON; DECLARE @got int; EXECUTE @got = sp_getapplock @Resource = %s,"
        " @LockMode = N'Exclusive', @LockOwner = N'Session', @LockTimeout = %s; SELECT @got AS granted",
        (resource, wait_ms),
    )


def share(resource: str) -> Statement:
    """The same together with others that share it; ``hold`` is not granted to anybody meanwhile."""
    return Statement(
        "SET NOCOUNT ON; DECLARE @got int; EXECUTE @got = sp_getapplock @Resource = %s,"
        " @LockMode = N'Shared', @LockOwner = N'Session', @LockTimeout = 0; SELECT @got AS granted",
        (resource,),
    )


def release(resource: str) -> Statement:
    """Give up what ``hold`` or ``share`` took, once for each of them. See "sp_releaseapplock"."""
    return Statement(
        "SET NOCOUNT ON; DECLARE @got int; EXECUTE @got = sp_releaseapplock @Resource = %s,"
        " @LockOwner = N'Session'; SELECT @got AS granted",
        (resource,),
    )


def instance() -> Statement:
    """What the server is, where it puts files, and what the login may do: one row.

    See "SERVERPROPERTY", "IS_SRVROLEMEMBER", "HAS_PERMS_BY_NAME", "sys.master_files", "sys.configurations".
    RESTORE needs CREATE DATABASE, or the role dbcreator or sysadmin ("RESTORE Statements", Permissions); with
    CREATE DATABASE alone it is for databases that do not exist yet, or that the login owns.
    """
    return Statement(
        "SELECT CAST(SERVERPROPERTY(N'ProductVersion') AS nvarchar(128)) AS version,"
        " CAST(SERVERPROPERTY(N'Edition') AS nvarchar(128)) AS edition,"
        " CAST(SERVERPROPERTY(N'EngineEdition') AS int) AS engine_edition,"
        " CAST(SERVERPROPERTY(N'InstanceDefaultDataPath') AS nvarchar(4000)) AS data_path,"
        " CAST(SERVERPROPERTY(N'InstanceDefaultLogPath') AS nvarchar(4000)) AS log_path,"
        " CAST(SERVERPROPERTY(N'FilestreamEffectiveLevel') AS int) AS filestream,"
        " (SELECT physical_name FROM sys.master_files WHERE database_id = 1 AND file_id = 1) AS master_file,"
        " IS_SRVROLEMEMBER(N'sysadmin') AS is_sysadmin,"
        " IS_SRVROLEMEMBER(N'dbcreator') AS is_dbcreator,"
        " HAS_PERMS_BY_NAME(NULL, NULL, N'CREATE ANY DATABASE') AS may_create,"
        " HAS_PERMS_BY_NAME(NULL, NULL, N'ALTER ANY CREDENTIAL') AS may_credential,"
        " HAS_PERMS_BY_NAME(N'msdb.dbo.restorehistory', N'OBJECT', N'SELECT') AS may_read_history,"
        " HAS_PERMS_BY_NAME(N'msdb.dbo.restorefile', N'OBJECT', N'SELECT') AS may_read_files,"
        " HAS_PERMS_BY_NAME(N'msdb.dbo.backupset', N'OBJECT', N'SELECT') AS may_read_sets,"
        " (SELECT CAST(value_in_use AS int) FROM sys.configurations"
        " WHERE name = N'contained database authentication') AS contained"
    )


def database(name: str) -> Statement:
    """The state of a database, and what keeps it from being restored over; no row: there is none of that name.

    Names are compared by the server: by its collation, and without blanks at the end. See "sys.databases" and
    "sys.database_mirroring". ``state_desc``: ONLINE, RESTORING, RECOVERING, RECOVERY_PENDING, SUSPECT, EMERGENCY,
    OFFLINE. The server's own databases have the numbers 1 to 4. ``replica_id`` is set in an availability group
    (since 2012), ``mirroring_guid`` in a mirrored database, ``source_database_id`` in a snapshot.
    """
    return Statement(
        "SELECT d.name, d.database_id, d.state_desc, d.user_access_desc, d.is_in_standby, d.replica_id,"
        " m.mirroring_guid, d.source_database_id, d.is_distributor,"
        " (SELECT TOP (1) s.name FROM sys.databases AS s WHERE s.source_database_id = d.database_id) AS snapshot,"
        " CASE WHEN d.owner_sid = SUSER_SID() THEN 1 ELSE 0 END AS is_owner"
        " FROM sys.databases AS d LEFT JOIN sys.database_mirroring AS m ON m.database_id = d.database_id"
        " WHERE d.name = %s",
        (name,),
    )


def database_files(name: str) -> Statement:
    """The files of a database, in whatever state it is, and from which LSN on the next log has to come.

    The primary file has the number 1; others may be behind it, those of a read-only file group for instance.
    See "sys.master_files": ``redo_start_lsn`` is "LSN at which the next roll forward must start", NULL unless the
    database is RESTORING or RECOVERY_PENDING; also where a restore was cut ("Planning a Piecemeal Restore
    Sequence": the file must be restored from a full backup). The next log's first fork must be
    ``redo_start_fork_guid``. ``file_guid`` is what RESTORE FILELISTONLY calls UniqueId, or NULL in a database of
    an old version.
    """
    return Statement(
        "SELECT file_id, name, type_desc, physical_name, file_guid, redo_start_lsn, redo_start_fork_guid"
        " FROM sys.master_files WHERE database_id = DB_ID(%s)",
        (name,),
    )


def history(name: str) -> Statement:
    """Which backup sets were restored into a database of that name, newest first.

    See "restorehistory", "restorefile" and "backupset" (Transact-SQL, system tables in msdb).
    ``backupset.backup_set_uuid`` is what RESTORE HEADERONLY calls BackupSetGUID. ``restore_type``: D full,
    I differential, L log, and others.
    """
    return Statement(
        "SELECT TOP (1000) h.restore_history_id, h.restore_type, s.backup_set_uuid,"
        " (SELECT TOP (1) f.destination_phys_name FROM msdb.dbo.restorefile AS f"
        " WHERE f.restore_history_id = h.restore_history_id) AS destination"
        " FROM msdb.dbo.restorehistory AS h"
        " JOIN msdb.dbo.backupset AS s ON s.backup_set_id = h.backup_set_id"
        " WHERE h.destination_database_name = %s ORDER BY h.restore_history_id DESC",
        (name,),
    )


def orphans(name: str) -> Statement:
    """Users of a database whose login this server does not have; users with a password in the database are none.

    See "sys.database_principals" (``authentication_type`` 1: by a login) and "SUSER_SNAME".
    """
    return Statement(
        f"SELECT TOP (1000) u.name FROM {quoted(name)}.sys.database_principals AS u"  # noqa: S608 - the name is quoted
        " WHERE u.type = 'S' AND u.authentication_type = 1 AND u.principal_id > 4 AND SUSER_SNAME(u.sid) IS NULL"
        " ORDER BY u.name"
    )


def volumes() -> Statement:
    """Free bytes of every volume that holds a file of a database. Needs VIEW SERVER STATE.

    See "sys.dm_os_volume_stats".
    """
    return Statement(
        "SELECT DISTINCT v.volume_mount_point, v.available_bytes FROM sys.master_files AS f"
        " CROSS APPLY sys.dm_os_volume_stats(f.database_id, f.file_id) AS v"
    )


def label(device: Device) -> Statement:
    """Which media set a file belongs to, and which of its files it is.

    See "RESTORE Statements - LABELONLY": MediaSetId, FamilyCount, FamilySequenceNumber.
    """
    return Statement(f"RESTORE LABELONLY FROM {_device(device)}")


def header(device: Device) -> Statement:
    """The backup sets of a file. See "RESTORE Statements - HEADERONLY"."""
    return Statement(f"RESTORE HEADERONLY FROM {_device(device)}")


def file_list(device: Device, position: int) -> Statement:
    """The files of the database in a backup set. See "RESTORE Statements - FILELISTONLY"."""
    with_file = "" if position == 1 and device.kind == "URL" else f" WITH FILE = {int(position)}"
    return Statement(f"RESTORE FILELISTONLY FROM {_device(device)}{with_file}")


def restore(take: Take) -> Statement:
    """Restore one backup set: RESTORE DATABASE (full, differential) or RESTORE LOG.

    See "RESTORE Statements (Transact-SQL)" and "RESTORE Statements - Arguments": FILE, MOVE … TO, REPLACE,
    RECOVERY | NORECOVERY, STATS. A striped media set names all of its files. ``RESTORE_OPTIONS`` is for FROM URL
    with S3 alone (SQL Server 2022): see "SQL Server backup to URL for S3-compatible object storage"; the same page
    has it that FILE is not for FROM URL, so it is left out there for the first set, which is the default.
    """
    by_default = take.position == 1 and any(each.kind == "URL" for each in take.devices)
    options = [] if by_default else [f"FILE = {int(take.position)}"]
    options += [f"MOVE {text(logical)} TO {text(path)}" for logical, path in take.moves.items()]
    options += ["REPLACE"] if take.replace else []
    options += ["RECOVERY" if take.recover else "NORECOVERY", f"STATS = {STATS}"]
    if take.region:
        region = take.region.replace("\\", "").replace('"', "")
        options += ["RESTORE_OPTIONS = " + text('{"s3": {"region":"' + region + '"}}')]
    what = "LOG" if take.is_log else "DATABASE"
    return Statement(
        f"RESTORE {what} {quoted(take.database)} FROM {_devices(take.devices)} WITH {', '.join(options)}"
    )


def recover(name: str) -> Statement:
    """Bring a database online that has got all its backups. See "RESTORE Statements - Arguments" (RECOVERY)."""
    return Statement(f"RESTORE DATABASE {quoted(name)} WITH RECOVERY")


def single_user(name: str) -> Statement:
    """Send everybody else away, rolling back what they were doing. See "ALTER DATABASE SET options"."""
    return Statement(f"ALTER DATABASE {quoted(name)} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")


def multi_user(name: str) -> Statement:
    """Let everybody in again. See "ALTER DATABASE SET options"."""
    return Statement(f"ALTER DATABASE {quoted(name)} SET MULTI_USER")


def credential(name: str) -> Statement:
    """Whether there is a credential of that name: a row, or none. See "sys.credentials"."""
    return Statement("SELECT name FROM sys.credentials WHERE name = %s", (name,))


def create_credential(name: str, access_key: str, secret_key: str) -> Statement:
    """Keep the keys of an S3 store under the address that files are read from.

    See "CREATE CREDENTIAL" and "SQL Server backup to URL for S3-compatible object storage": the identity is the
    words ``S3 Access Key``, the secret is both keys with a colon between, so neither key may hold one. The
    statement goes as a parameter of EXECUTE, so that no text with the secret is anywhere a client or a trace
    would write down statements. Raises Unsupported.
    """
    if ":" in access_key or ":" in secret_key:
        raise Unsupported(
            "The keys of the object store hold a colon: a SQL Server takes none in them",
            hint="Register the bucket with other keys, or use a shared folder.",
        )
    made = (
        f"CREATE CREDENTIAL {quoted(name)} WITH IDENTITY = {text('S3 Access Key')},"
        f" SECRET = {text(f'{access_key}:{secret_key}')}"
    )
    return Statement("EXECUTE (%s)", (made,))


def drop_credential(name: str) -> Statement:
    """See "DROP CREDENTIAL"."""
    return Statement(f"DROP CREDENTIAL {quoted(name)}")


def _device(device: Device) -> str:
    if device.kind not in ("DISK", "URL"):
        raise ValueError(f"{device.kind} is no kind of device")
    return f"{device.kind} = {text(device.place)}"


def _devices(devices: Sequence[Device]) -> str:
    return ", ".join(_device(each) for each in devices)
