"""A small model of a SQL Server instance for the stand-in in ``tds``: no SQL Server, and not made from one.

It knows databases with their states, files on a "disk", backup sets and where in the log a database is, and
as much of RESTORE, ALTER DATABASE, CREDENTIAL and the catalogue as the public documentation tells. It reads
statements by a grammar of its own, not by comparing them with what Sterna sends; what it does not know is
error 102.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sterna.core.errors import Trouble
from sterna.engines.sqlserver.wire.media import MediaFile, open_media
from sterna.engines.sqlserver.wire.sets import BackupSet
from tests.servers.tds import Gone, Kind, Rows, SqlError, Talk, Value
from tests.unit.bak_files import Bytes

SYSTEM = ("master", "tempdb", "model", "msdb")
TYPES = {"full": 1, "log": 2, "differential": 5, "file": 4, "partial": 7}
Found = tuple[Sequence[Kind], Rows] | None
TOKEN = re.compile(
    r"\s+|--[^\n]*|(?P<name>\[(?:[^\]]|\]\])*\])|(?P<text>N?'(?:[^']|'')*')|(?P<number>\d+)"
    r"|(?P<word>@?[A-Za-z_#][\w$#]*)|(?P<sign>[(),=.*;<>])"
)


def words_of(text: str) -> list[str]:
    """Tokens: words in capitals, names as [x, texts as 'x, signs."""
    out, at = [], 0
    while at < len(text):
        found = TOKEN.match(text, at)
        if found is None:
            raise syntax(text[at : at + 20])
        at = found.end()
        if found["name"]:
            out.append("[" + found["name"][1:-1].replace("]]", "]"))
        elif found["text"]:
            out.append("'" + found["text"][found["text"].index("'") + 1 : -1].replace("''", "'"))
        elif word := found["word"] or found["number"] or found["sign"]:
            out.append(word.upper() if found["word"] else word)
    return out


def syntax(near: str) -> SqlError:
    return SqlError((102, 15, f"Incorrect syntax near '{near}'."))


class Reader:
    """Takes tokens one after the other."""

    def __init__(self, text: str) -> None:
        self.words = words_of(text)
        self.at = 0

    def peek(self) -> str:
        return self.words[self.at] if self.at < len(self.words) else ""

    def next(self) -> str:
        word = self.peek()
        self.at += 1
        return word

    def take(self, *words: str) -> bool:
        if self.words[self.at : self.at + len(words)] == list(words):
            self.at += len(words)
            return True
        return False

    def need(self, *words: str) -> None:
        if not self.take(*words):
            raise syntax(self.peek())

    def name(self) -> str:
        word = self.next()
        if not word.startswith("["):
            raise syntax(word)
        return word[1:]

    def text(self) -> str:
        word = self.next()
        if not word.startswith("'"):
            raise syntax(word)
        return word[1:]

    def end(self) -> None:
        if self.peek():
            raise syntax(self.peek())


@dataclass
class Database:
    name: str
    state: str = "ONLINE"
    files: dict[str, str] = field(default_factory=dict)
    guids: dict[str, UUID] = field(default_factory=dict)
    """What the files are, by their paths."""
    redo_start: int | None = None
    full: UUID | None = None
    """The full backup that it began with."""
    sets: list[UUID] = field(default_factory=list)
    """All backup sets that are in it."""
    single_user: bool = False
    users: int = 0
    """Sessions of other people."""
    standby: bool = False
    owner: str = "sterna"
    held: str = ""
    """``replica``, ``mirror``, ``snapshot`` (it is one) or ``snapshotted`` (it has one)."""
    fork: UUID | None = None
    orphans: tuple[str, ...] = ()
    """Users without a login."""
    busy: int = 0
    """The session that restores it."""


@dataclass(frozen=True)
class Entry:
    id: int
    name: str
    kind: str
    guid: UUID
    destination: str | None
    """Restoring a log restores no file."""


@dataclass
class Fault:
    """The next statement with this in it ends so."""

    match: str
    messages: tuple[tuple[int, int, str], ...]
    times: int = 1


@dataclass
class Model:
    """An instance. ``folder``: where ``disk`` really is; ``stored``: where files behind s3:// really are."""

    folder: Path
    disk: str = "D:\\share"
    stored: Path | None = None
    store: str = "s3://store.test:9000/backups"
    secret: str = ""
    version: str = "16.0.4135.4"
    edition: str = "Developer Edition (64-bit)"
    engine_edition: int = 3
    data: str | None = "D:\\data\\"
    logs: str | None = "E:\\log\\"
    filestream: int = 0
    rights: set[str] = field(default_factory=lambda: {"sysadmin", "dbcreator", "create", "history"})
    users: dict[str, str] = field(default_factory=lambda: {"sterna": "p'w]d;"})
    free: int = 1 << 40
    databases: dict[str, Database] = field(default_factory=dict)
    history: list[Entry] = field(default_factory=list)
    credentials: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    hold_at: int = -1
    """At this percentage a RESTORE waits until ``go_on`` is set."""
    held: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    deaf: bool = False
    """A RESTORE goes on although its client is gone; a real server takes a while to notice."""
    abroad: bool = False
    """The login's language is not English."""
    intruders: int = 0
    """How often somebody comes in as soon as a database has become SINGLE_USER."""
    contained: int = 1
    contains: bool = False
    """Databases in backups are contained ones."""
    protected: bool = False
    """Backup sets have passwords."""
    orphans: tuple[str, ...] = ()
    """Users without a login in every backup."""
    locks: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    """Who holds what: session and mode."""
    count: int = 0
    """How many statements came."""
    cut_before: int = 0
    """The connection breaks when the statement of that number comes; it is not carried out."""
    cut_after: int = 0
    """The connection breaks when the statement of that number has been carried out; its answer is lost."""
    speaking: set[int] = field(default_factory=set)
    """Sessions that have asked for English."""

    # The protocol's side

    def log_in(self, user: str, password: str) -> None:
        if self.users.get(user) != password:
            raise SqlError((18456, 14, f"Login failed for user '{user}'."))

    def log_out(self, session: int) -> None:
        for held in self.locks.values():
            held[:] = [each for each in held if each[0] != session]

    def execute(self, text: str, values: Mapping[str, Value], talk: Talk) -> Found:
        self.count += 1
        if self.count == self.cut_before:
            raise Gone
        try:
            found = self._execute(text, values, talk)
            if self.count == self.cut_after:
                raise Gone
            return found
        except SqlError as error:
            if not self.abroad or talk.session in self.speaking:
                raise
            foreign = [
                (no, level, re.sub("(?i)operating system error", "Betriebssystemfehler", words))
                for no, level, words in error.messages
            ]
            raise SqlError(*foreign) from None

    def _execute(self, text: str, values: Mapping[str, Value], talk: Talk) -> Found:
        self.statements.append(text)
        for fault in self.faults:
            if fault.match in text and fault.times:
                fault.times -= 1
                raise SqlError(*fault.messages)
        reader = Reader(text)
        first = reader.next()
        if first == "SET":
            return self._setting(reader, values, talk)
        if first == "SELECT":
            return self._select(reader, values)
        if first == "EXECUTE":
            reader.need("(")
            inner = str(values[reader.next()])
            reader.need(")")
            return self._execute(inner, {}, talk)
        if first == "RESTORE":
            return self._restore(reader, talk)
        if first == "ALTER":
            return self._alter(reader)
        if first in ("CREATE", "DROP"):
            return self._credential(first, reader)
        raise syntax(first)

    def find(self, name: str) -> Database | None:
        """By the collation of most servers: neither case nor blanks at the end matter."""
        return next((each for key, each in self.databases.items() if alike(key, name)), None)

    def ran(self, *words: str) -> list[str]:
        """The statements that begin so."""
        return [text for text in self.statements if text.startswith(words)]

    # What a session sets, and what it holds

    def _setting(self, reader: Reader, values: Mapping[str, Value], talk: Talk) -> Found:
        if reader.take("LANGUAGE", "US_ENGLISH"):
            reader.end()
            self.speaking.add(talk.session)
            return None
        reader.need("NOCOUNT", "ON", ";", "DECLARE", "@GOT", "INT", ";", "EXECUTE", "@GOT", "=")
        procedure = reader.next()
        reader.need("@RESOURCE", "=")
        resource = str(values[reader.next()])
        if procedure == "SP_GETAPPLOCK":
            reader.need(",", "@LOCKMODE", "=")
            mode = reader.text()
            reader.need(",", "@LOCKOWNER", "=", "'Session", ",", "@LOCKTIMEOUT", "=")
            word = reader.next()
            wait = int(str(values[word])) if word.startswith("@") else int(word)
            got = self._lock(resource, mode, wait / 1000, talk)
        elif procedure == "SP_RELEASEAPPLOCK":
            reader.need(",", "@LOCKOWNER", "=", "'Session")
            got = self._unlock(resource, talk)
        else:
            raise SqlError((2812, 16, f"Could not find stored procedure '{procedure}'."))
        reader.need(";", "SELECT", "@GOT", "AS", "GRANTED")
        reader.end()
        return [Kind("granted", "int")], [{"granted": got}]

    def _lock(self, resource: str, mode: str, wait: float, talk: Talk) -> int:
        held, end = self.locks.setdefault(resource, []), time.monotonic() + wait
        while any(each[0] != talk.session and "Exclusive" in (mode, each[1]) for each in held):
            if time.monotonic() >= end:
                return -1
            time.sleep(0.02)
            talk.check()
        held.append((talk.session, mode))
        return 0

    def _unlock(self, resource: str, talk: Talk) -> int:
        held = self.locks.get(resource, [])
        for each in held:
            if each[0] == talk.session:
                held.remove(each)
                return 0
        text = f"Cannot release the application lock (Resource: '{resource}') because it is not currently held."
        raise SqlError((1223, 16, text))

    # The catalogue

    def _select(self, reader: Reader, values: Mapping[str, Value]) -> Found:
        words = set(reader.words)
        name = str(values.get("@P1", ""))
        if "RESTOREHISTORY" in words and "HAS_PERMS_BY_NAME" not in words:
            return self._history(name)
        if "DM_OS_VOLUME_STATS" in words:
            kinds = [Kind("volume_mount_point"), Kind("available_bytes", "int")]
            return kinds, [{"volume_mount_point": it, "available_bytes": self.free} for it in ("D:\\", "E:\\")]
        if "DATABASE_PRINCIPALS" in words:
            return self._users(next(word[1:] for word in reader.words if word.startswith("[")))
        if "CREDENTIALS" in words:
            return [Kind("name")], [{"name": it} for it in self.credentials if it == name]
        if "SERVERPROPERTY" in words:
            return self._properties()
        if "DATABASES" in words:
            return self._databases(name)
        if "MASTER_FILES" in words:
            return self._files(name)
        raise SqlError((208, 16, "Invalid object name."))

    def _properties(self) -> Found:
        row: dict[str, Value] = {
            "version": self.version,
            "edition": self.edition,
            "engine_edition": self.engine_edition,
            "data_path": self.data,
            "log_path": self.logs,
            "filestream": self.filestream,
            "master_file": "D:\\system\\master.mdf",
            "is_sysadmin": int("sysadmin" in self.rights),
            "is_dbcreator": int("dbcreator" in self.rights),
            "may_create": int("create" in self.rights),
            "may_credential": int(bool({"sysadmin", "credential"} & self.rights)),
            "may_read_history": int("history" in self.rights),
            "may_read_files": int("history" in self.rights),
            "may_read_sets": int("history" in self.rights),
            "contained": self.contained,
        }
        numbers = {name for name, value in row.items() if isinstance(value, int)}
        return [Kind(name, "int" if name in numbers else "nvarchar") for name in row], [row]

    def _databases(self, name: str) -> Found:
        numbers = ("database_id", "is_distributor", "is_owner", "source_database_id")
        kinds = [Kind("name"), Kind("state_desc"), Kind("user_access_desc"), Kind("is_in_standby", "bit")]
        kinds += [Kind(each, "int") for each in numbers]
        kinds += [Kind("replica_id", "guid"), Kind("mirroring_guid", "guid"), Kind("snapshot")]
        system = next((each for each in SYSTEM if alike(each, name)), None)
        found = Database(system, owner="sa") if system else self.find(name)
        if found is None:
            return kinds, []
        row: dict[str, Value] = {
            "name": found.name,
            "database_id": SYSTEM.index(system) + 1 if system else 7,
            "state_desc": found.state,
            "user_access_desc": "SINGLE_USER" if found.single_user else "MULTI_USER",
            "is_in_standby": found.standby,
            "is_distributor": 0,
            "is_owner": int(found.owner == "sterna"),
            "replica_id": UUID(int=1) if found.held == "replica" else None,
            "mirroring_guid": UUID(int=1) if found.held == "mirror" else None,
            "source_database_id": 8 if found.held == "snapshot" else None,
            "snapshot": "night" if found.held == "snapshotted" else None,
        }
        return kinds, [row]

    def _users(self, name: str) -> Found:
        found = self.find(name)
        if found is None or found.state != "ONLINE":
            raise SqlError((911, 16, f"Database '{name}' does not exist."))
        if found.owner != "sterna" and "sysadmin" not in self.rights:
            raise SqlError((916, 14, f"The server principal is not able to access the database '{name}'."))
        return [Kind("name")], [{"name": each} for each in found.orphans]

    def _files(self, name: str) -> Found:
        kinds = [Kind("name"), Kind("type_desc"), Kind("physical_name"), Kind("redo_start_lsn", "lsn")]
        kinds += [Kind("redo_start_fork_guid", "guid"), Kind("file_guid", "guid"), Kind("file_id", "int")]
        found = self.find(name)
        files = found.files if found else {}
        behind = 1 if found and found.redo_start is not None else None  # other files may be
        return kinds, [
            {
                "name": logical,
                "type_desc": "LOG" if path.endswith("ldf") else "ROWS",
                "physical_name": path,
                "file_guid": found.guids.get(path) if found else None,
                "file_id": number,
                "redo_start_lsn": found.redo_start if found and number == 1 else behind,
                "redo_start_fork_guid": found.fork if found and number == 1 else None,
            }
            for number, (logical, path) in enumerate(files.items(), 1)
        ]

    def _history(self, name: str) -> Found:
        if "history" not in self.rights:
            raise SqlError((229, 14, "The SELECT permission was denied on the object 'restorehistory'."))
        kinds = [
            Kind("restore_history_id", "int"),
            Kind("restore_type"),
            Kind("backup_set_uuid", "guid"),
            Kind("destination"),
        ]
        rows: list[Mapping[str, Value]] = [
            {
                "restore_history_id": each.id,
                "restore_type": each.kind,
                "backup_set_uuid": each.guid,
                "destination": each.destination,
            }
            for each in reversed(self.history)
            if each.name.lower() == name.lower()
        ]
        return kinds, rows

    # Files and what is in them

    def _device(self, reader: Reader) -> str:
        kind = reader.next()
        if kind not in ("DISK", "URL"):
            raise syntax(kind)
        reader.need("=")
        return reader.text()

    def _open(self, device: str) -> MediaFile:
        path = self._path(device)
        try:
            return open_media(Bytes(path.read_bytes(), device))
        except OSError:
            raise SqlError(
                (
                    3201,
                    16,
                    f"Cannot open backup device '{device}'. Operating system error 2(The system cannot find the "
                    "file specified.).",
                )
            ) from None
        except Trouble:
            raise SqlError(
                (
                    3241,
                    16,
                    f"The media family on device '{device}' is incorrectly formed. SQL Server cannot process this "
                    "media family.",
                )
            ) from None

    def _path(self, device: str) -> Path:
        if device.startswith("s3://"):
            prefix = self.store + "/"
            if self.stored is None or not device.startswith(prefix) or not self._may_read():
                raise SqlError(
                    (
                        3201,
                        16,
                        f"Cannot open backup device '{device}'. Operating system error 86(The specified network "
                        "password is not correct.).",
                    )
                )
            return self.stored / device.removeprefix(prefix)
        if not device.startswith(self.disk + "\\"):
            return self.folder / "nothing-there"
        return self.folder / device.removeprefix(self.disk + "\\")

    def _may_read(self) -> bool:
        return self.credentials.get(self.store) == self.secret

    # RESTORE

    def _restore(self, reader: Reader, talk: Talk) -> Found:
        what = reader.next()
        if what == "LABELONLY":
            reader.need("FROM")
            media = self._open(self._device(reader))
            reader.end()
            kinds = [Kind("MediaSetId", "guid"), Kind("FamilyCount", "int"), Kind("FamilySequenceNumber", "int")]
            label = media.media
            row: dict[str, Value] = {
                "MediaSetId": label.media_set,
                "FamilyCount": label.family_count,
                "FamilySequenceNumber": label.family_sequence,
            }
            return kinds, [row]
        if what == "HEADERONLY":
            reader.need("FROM")
            media = self._open(self._device(reader))
            reader.end()
            rows = [dict(header(each)) | {"containment": int(self.contains)} for each in media.sets]
            if self.protected:
                rows = [dict.fromkeys(each) | {"BackupName": "*** PASSWORD PROTECTED ***"} for each in rows]
            return [*HEADER, Kind("containment", "int")], rows
        if what == "FILELISTONLY":
            reader.need("FROM")
            device = self._device(reader)
            position = 1
            if reader.peek():
                reader.need("WITH", "FILE", "=")
                no_file(device)
                position = int(reader.next())
            one = self._set(self._open(device), device, position)
            reader.end()
            return FILE_LIST, [dict(each) for each in listed(one)]
        if what in ("DATABASE", "LOG"):
            self._restore_set(what, reader, talk)
            return None
        raise syntax(what)

    def _set(self, media: MediaFile, device: str, position: int) -> BackupSet:
        for each in media.sets:
            if each.position == position:
                return each
        raise SqlError((4038, 16, f"Cannot find file ID {position} on device '{device}'."))

    def _restore_set(self, what: str, reader: Reader, talk: Talk) -> None:
        name = reader.name()
        try:
            if reader.take("WITH", "RECOVERY"):
                reader.end()
                self._recover(name)
                return
            reader.need("FROM")
            devices = [self._device(reader)]
            while reader.take(","):
                devices.append(self._device(reader))
            reader.need("WITH")
            options = options_of(reader)
            if options.has_file:
                no_file(devices[0])
            self._may(name)
            one = self._sound(devices, options)
            if one.record.kind == "full":
                database = self._begin(name, one, options)
            else:
                database = self._more(name, what, one)
                self._moved(database, one, options)
            database.busy = talk.session
            try:
                self._work(talk, options.stats)
                self._end(database, one, options)
            finally:
                database.busy = 0
        except SqlError as error:
            terminating = (3013, 16, f"RESTORE {what} is terminating abnormally.")
            raise SqlError(*error.messages, terminating) from None

    def _sound(self, devices: Sequence[str], options: "Options") -> BackupSet:
        media = [self._open(each) for each in devices]
        count = media[0].media.family_count
        if len({each.media.family_sequence for each in media}) < count:
            raise SqlError(
                (
                    3132,
                    16,
                    f"The media set has {count} media families but only {len(media)} are provided. All members "
                    "must be provided.",
                )
            )
        one = self._set(media[0], devices[0], options.file)
        if one.record.major > int(self.version.partition(".")[0]):
            raise SqlError(
                (
                    3169,
                    16,
                    f"The database was backed up on a server running version {one.record.version}. That version "
                    f"is incompatible with this server, which is running version {self.version}.",
                )
            )
        return one

    def _may(self, name: str) -> None:
        """Who may restore: the documented roles, the owner, and for a new database who may create one."""
        there = self.find(name)
        if any(alike(each, name) for each in SYSTEM):
            raise SqlError((3108, 16, "The server must be running in single-user mode."))
        if there and there.held in ("replica", "mirror"):
            text = f"RESTORE cannot operate on database '{name}' because it is configured for database mirroring."
            raise SqlError((3104, 16, text))
        if there and there.held:
            raise SqlError((5094, 16, "The operation cannot be performed on a database with database snapshots."))
        if there and there.busy:
            raise SqlError((3101, 16, "Exclusive access could not be obtained because the database is in use."))
        if self.rights & {"sysadmin", "dbcreator"}:
            return
        if there and there.owner != "sterna":
            raise SqlError((3110, 14, f"User does not have permission to RESTORE database '{name}'."))
        if not there and "create" not in self.rights:
            raise SqlError((262, 14, "CREATE DATABASE permission denied in database 'master'."))

    def _begin(self, name: str, one: BackupSet, options: "Options") -> Database:
        there = self.find(name)
        if self.contains and not self.contained:
            text = (
                "The sp_configure value 'contained database authentication' must be set to 1 in order to restore"
            )
            raise SqlError((12824, 16, f"{text} a contained database."))
        if there and not options.replace:
            raise SqlError(
                (
                    3154,
                    16,
                    f"The backup set holds a backup of a database other than the existing '{name}' database.",
                )
            )
        if there and there.state == "ONLINE" and there.users:
            raise SqlError((3101, 16, "Exclusive access could not be obtained because the database is in use."))
        files = {each.logical: options.moves.get(each.logical, each.physical) for each in one.files}
        self._places(files, there, one)
        database = Database(name, "RESTORING", files, orphans=self.orphans)
        database.guids = {files[each.logical]: each.unique_id for each in one.files}
        database.single_user = bool(there and there.single_user)
        self.databases.pop(there.name if there else "", None)
        self.databases[name] = database
        return database

    def _places(self, files: Mapping[str, str], mine: Database | None, one: BackupSet) -> None:
        for path in files.values():
            if not path.startswith((self.data or "D:\\system\\", self.logs or "D:\\system\\")):
                reason = "2(The system cannot find the file specified.)"
                text = f'Directory lookup for the file "{path}" failed with the operating system error {reason}.'
                raise SqlError((5133, 16, text))
            for other in self.databases.values():
                if other is not mine and path in other.files.values():
                    text = f"The file '{path}' cannot be overwritten. It is being used by database '{other.name}'."
                    raise SqlError((1834, 16, text))
        if len(set(files.values())) < len(files):
            raise SqlError((3176, 16, "A file is claimed by two files of the database."))
        if sum(each.size for each in one.files) > self.free:
            raise SqlError((3257, 16, "There is insufficient free space on disk volume 'D:\\'."))

    def _moved(self, database: Database, one: BackupSet, options: "Options") -> None:
        """A file that is there is not moved; one that was added goes where it is said, or where it came from."""
        for each in one.files:
            there = each.unique_id in database.guids.values()
            if there and each.logical in options.moves:
                raise SqlError((3174, 16, f"The file '{each.logical}' cannot be moved by this RESTORE operation."))
            if not there:
                path = options.moves.get(each.logical, each.physical)
                self._places({each.logical: path}, database, one)
                database.files[each.logical], database.guids[path] = path, each.unique_id

    def _more(self, name: str, what: str, one: BackupSet) -> Database:
        database = self.find(name)
        if database is None:
            raise SqlError((3118, 16, f'The database "{name}" does not exist.'))
        if database.state != "RESTORING" or database.redo_start is None:
            raise SqlError(
                (
                    3117,
                    16,
                    "The log or differential backup cannot be restored because no files are ready to rollforward.",
                )
            )
        if what == "DATABASE" and one.record.differential_base_guid != database.full:
            raise SqlError((3136, 16, "This differential backup cannot be restored."))
        if (what == "LOG") != (one.record.kind == "log"):
            raise SqlError((3135, 16, "The backup set was created by another kind of BACKUP."))
        if what == "LOG" and database.fork not in (None, begins_on(one)):
            raise SqlError((4330, 16, "This backup set cannot be applied: the recovery path is inconsistent."))
        if what == "LOG" and one.record.first_lsn > database.redo_start:
            text = f"The log in this backup set begins at LSN {one.record.first_lsn}: too recent."
            raise SqlError((4305, 16, text))
        if what == "LOG" and one.record.last_lsn < database.redo_start:
            text = f"The log in this backup set terminates at LSN {one.record.last_lsn}: too early."
            raise SqlError((4326, 16, text))
        return database

    def _work(self, talk: Talk, step: int) -> None:
        """Percents; an attention or a broken connection leaves the database RESTORING."""
        words = "{} percent processed."
        if self.abroad and talk.session not in self.speaking:
            words = "\u5df2\u5904\u7406\u767e\u5206\u4e4b {}\u3002"
        try:
            for percent in range(step, 101, step):
                talk.info(3211, words.format(percent))
                if percent >= self.hold_at >= 0:
                    self.hold_at = -1
                    self.held.set()
                    while not self.go_on.wait(0.02):
                        talk.check()
        except (Gone, OSError):
            if not self.deaf:
                raise
            self.go_on.wait(60)

    def _end(self, database: Database, one: BackupSet, options: "Options") -> None:
        record = one.record
        if record.kind == "full":
            database.full = one.guid
            database.sets = []
        database.sets.append(one.guid)
        database.redo_start = None if options.recover else record.last_lsn
        database.fork = None if options.recover else record.recovery_fork
        database.state = "ONLINE" if options.recover else "RESTORING"
        letter = {"full": "D", "differential": "I", "log": "L"}[record.kind]
        destination = None if record.kind == "log" else next(iter(database.files.values())).partition(":")[2]
        self.history.append(Entry(len(self.history) + 1, database.name, letter, one.guid, destination))

    def _recover(self, name: str) -> None:
        database = self.find(name)
        self._may(name)
        if database is None:
            raise SqlError((3118, 16, f'The database "{name}" does not exist.'))
        if database.state != "RESTORING":
            raise SqlError((3153, 16, "The database is already fully recovered."))
        if database.redo_start is None:
            raise SqlError((4333, 16, "The database cannot be recovered because the log was not restored."))
        database.state, database.redo_start = "ONLINE", None

    # ALTER DATABASE, CREDENTIAL

    def _alter(self, reader: Reader) -> Found:
        reader.need("DATABASE")
        database = self.find(reader.name())
        reader.need("SET")
        word = reader.next()
        if database is None:
            raise SqlError((5011, 14, "User does not have permission, or the database does not exist."))
        if database.held in ("replica", "mirror"):
            text = "The operation cannot be performed because it is involved in a database mirroring session."
            raise SqlError((1468, 16, text))
        if database.single_user and database.users:
            text = "The database is in single-user mode, and a user is currently connected to it."
            raise SqlError((5064, 16, text), (5069, 16, "ALTER DATABASE statement failed."))
        if database.state != "ONLINE":
            raise SqlError((5052, 16, "ALTER DATABASE is not permitted while a database is in this state."))
        if word == "SINGLE_USER":
            reader.need("WITH", "ROLLBACK", "IMMEDIATE")
            database.single_user, database.users = True, min(1, self.intruders)
            self.intruders -= database.users
        elif word == "MULTI_USER":
            database.single_user = False
        else:
            raise syntax(word)
        reader.end()
        return None

    def _credential(self, verb: str, reader: Reader) -> Found:
        reader.need("CREDENTIAL")
        name = reader.name()
        if not {"sysadmin", "credential"} & self.rights:
            raise SqlError((15247, 16, "User does not have permission to perform this action."))
        if verb == "DROP":
            reader.end()
            if self.credentials.pop(name, None) is None:
                raise SqlError((15151, 16, f"Cannot drop the credential '{name}'."))
            return None
        reader.need("WITH", "IDENTITY", "=", "'S3 Access Key", ",", "SECRET", "=")
        secret = reader.text()
        reader.end()
        if secret.count(":") != 1:
            raise SqlError((3201, 16, "The secret is not of the form id:key."))
        if name in self.credentials:
            raise SqlError((15530, 16, f"The credential with name '{name}' already exists."))
        self.credentials[name] = secret
        return None


def begins_on(one: BackupSet) -> UUID:
    """The files have no first fork where it is the last one too; the server tells both all the same."""
    first = one.record.first_recovery_fork
    return first if first.int else one.record.recovery_fork


def alike(one: str, other: str) -> bool:
    return one.rstrip().lower() == other.rstrip().lower()


def no_file(device: str) -> None:
    """FILE is not for object stores, as it is documented."""
    if device.startswith("s3://"):
        raise SqlError((155, 15, "'FILE' is not a recognized option for a URL."))


@dataclass
class Options:
    file: int = 1
    has_file: bool = False
    moves: dict[str, str] = field(default_factory=dict)
    replace: bool = False
    recover: bool = True
    stats: int = 10
    more: str = ""


def options_of(reader: Reader) -> Options:
    options = Options()
    while True:
        word = reader.next()
        if word == "FILE":
            reader.need("=")
            options.file, options.has_file = int(reader.next()), True
        elif word == "MOVE":
            logical = reader.text()
            reader.need("TO")
            options.moves[logical] = reader.text()
        elif word == "REPLACE":
            options.replace = True
        elif word in ("RECOVERY", "NORECOVERY"):
            options.recover = word == "RECOVERY"
        elif word == "STATS":
            reader.need("=")
            options.stats = int(reader.next())
        elif word == "RESTORE_OPTIONS":
            reader.need("=")
            options.more = reader.text()
        else:
            raise syntax(word)
        if not reader.take(","):
            reader.end()
            return options


_HEADER: dict[str, tuple[str, Callable[[BackupSet], Value]]] = {
    "BackupName": ("nvarchar", lambda it: it.name),
    "BackupType": ("int", lambda it: TYPES.get(it.record.kind, 9)),
    "Position": ("int", lambda it: it.position),
    "ServerName": ("nvarchar", lambda it: it.record.server),
    "DatabaseName": ("nvarchar", lambda it: it.record.database),
    "DatabaseVersion": ("int", lambda it: it.record.database_version),
    "BackupSize": ("int", lambda it: it.record.backup_size),
    "FirstLSN": ("lsn", lambda it: it.record.first_lsn),
    "LastLSN": ("lsn", lambda it: it.record.last_lsn),
    "CheckpointLSN": ("lsn", lambda it: it.record.checkpoint_lsn),
    "DatabaseBackupLSN": ("lsn", lambda it: it.record.database_backup_lsn),
    "BackupStartDate": ("datetime", lambda it: it.record.started),
    "BackupFinishDate": ("datetime", lambda it: it.record.finished),
    "SoftwareVersionMajor": ("int", lambda it: it.record.major),
    "SoftwareVersionMinor": ("int", lambda it: int(it.record.version.split(".")[1])),
    "SoftwareVersionBuild": ("int", lambda it: int(it.record.version.split(".")[2])),
    "FamilyGUID": ("guid", lambda it: it.record.family_guid),
    "RecoveryForkID": ("guid", lambda it: it.record.recovery_fork),
    "FirstRecoveryForkID": ("guid", lambda it: begins_on(it)),
    "DifferentialBaseLSN": ("lsn", lambda it: it.record.differential_base_lsn or None),
    "DifferentialBaseGUID": ("guid", lambda it: _or_none(it.record.differential_base_guid)),
    "BackupSetGUID": ("guid", lambda it: it.guid),
}
HEADER = [Kind(name, kind) for name, (kind, _) in _HEADER.items()]
FILE_LIST = [
    Kind("LogicalName"),
    Kind("PhysicalName"),
    Kind("Type"),
    Kind("FileGroupName"),
    Kind("Size", "int"),
    Kind("FileId", "int"),
    Kind("UniqueId", "guid"),
]


def header(one: BackupSet) -> Mapping[str, Value]:
    return {name: read(one) for name, (_, read) in _HEADER.items()}


def listed(one: BackupSet) -> Iterator[Mapping[str, Value]]:
    for each in one.files:
        yield {
            "LogicalName": each.logical,
            "PhysicalName": each.physical,
            "Type": {1: "D", 2: "L"}.get(each.kind, "S"),
            "FileGroupName": "PRIMARY",
            "Size": each.size,
            "FileId": each.file_id,
            "UniqueId": each.unique_id,
        }


def _or_none(value: UUID) -> UUID | None:
    return value if value.int else None
