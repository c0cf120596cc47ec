"""How backup files come to where the server can read them: through a folder that both see, or from the store."""

import asyncio
import errno
import hashlib
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from sterna.core.errors import (
    AccessDenied,
    BadData,
    NeedsOperator,
    NotFound,
    ServerBusy,
    TargetFull,
    Trouble,
    Unsupported,
)
from sterna.core.event import Level
from sterna.core.files import Entry, Remote, Shares, Storage
from sterna.core.plan import Plan, StoredFile
from sterna.core.ports import Room, Teller
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.faults import NOT_A_BACKUP, ServerFault, trouble
from sterna.engines.sqlserver.restoring.server import MEDIA_SECONDS, Server, connected
from sterna.engines.sqlserver.restoring.tsql import Device
from sterna.engines.sqlserver.restoring.values import separator_of

SHARED_FOLDER = "shared_folder"
"""Option: a folder of this machine that the server sees too."""
SHARED_PATH = "shared_path"
"""Option: what the server calls that folder."""
DELETE = "delete_backup_file"
"""Option: ``false`` leaves in the folder what was put there."""
URL_SINCE = 16
"""Major version of SQL Server 2022, which reads from S3 by itself."""
LONGEST_URL = 259
_PIECE = 1 << 20
_SYNC_EVERY = 64 << 20
"""After how many bytes the disk is asked to keep them."""
_DOOR_MS = 20_000
"""How long to wait for another job that makes or takes away a credential, milliseconds."""
_WITHDRAWALS, _BETWEEN_S = 4, 0.5
"""How often a credential is tried to be taken away after a restore, and how long is waited between, seconds."""
_PROBE = "Sterna looks whether the server sees this folder.\n" * 2000
"""More than the server reads of a file before it judges it."""
_HINT = (
    "Give the instance a folder that Sterna and the server both see (shared_folder here, shared_path as the "
    "server sees it); or use SQL Server 2022 or newer with a bucket that is reached by https."
)
Heard = Callable[[int], None]


@dataclass(frozen=True)
class Located:
    """A file of the plan and where it lies."""

    file: StoredFile
    storage: Storage


@dataclass(frozen=True)
class Folder:
    """Files are put into a folder that the server sees, complete or not at all."""

    here: Path
    there: str
    tag: str
    keeps: bool
    """Leave them there at the end."""

    def device(self, number: int, located: Located) -> Device:
        return Device("DISK", self.there.rstrip("\\/") + separator_of(self.there) + self._name(number, located))

    async def put(self, files: Sequence[Located], heard: Heard) -> None:
        """Copy what is not there yet; ``heard`` is told the bytes. Raises TargetFull, AccessDenied, BadData …"""
        entries = [await asyncio.to_thread(each.storage.head, each.file.name) for each in files]
        await asyncio.to_thread(self._room_for, files, entries)
        stop = threading.Event()
        for number, (located, entry) in enumerate(zip(files, entries, strict=True)):
            task = asyncio.create_task(asyncio.to_thread(self._put, number, located, entry, heard, stop))
            try:
                await asyncio.shield(task)
            except asyncio.CancelledError:
                stop.set()
                await asyncio.wait({task}, timeout=30)
                raise

    def forget(self) -> None:
        """Delete what was put there, or where it is to stay, what is not complete. Twice is once."""
        with _told(self.here):
            own = [*self.here.glob(f"sterna-{self.tag}-*"), *self.here.glob(f".sterna-{self.tag}-*")]
            for path in own:
                if not self.keeps or path.suffix == ".part":
                    path.unlink(missing_ok=True)

    def _name(self, number: int, located: Located) -> str:
        """A name of our own making: what the bucket calls the file may be no name for a file system."""
        plain = re.sub(r"[^A-Za-z0-9._-]", "_", located.file.name.rpartition("/")[2])[-60:].lstrip(".")
        return f"sterna-{self.tag}-{number + 1}-{plain}"

    def _paths(self, number: int, located: Located) -> tuple[Path, Path, Path]:
        """The file, the one that is not complete, and what is known of its origin."""
        name = self._name(number, located)
        return self.here / name, self.here / f".{name}.part", self.here / f".{name}.json"

    def _room_for(self, files: Sequence[Located], entries: Sequence[Entry]) -> None:
        missing = 0
        for number, (located, entry) in enumerate(zip(files, entries, strict=True)):
            whole, part, note = self._paths(number, located)
            there = (_size(whole) or _size(part)) if _noted(note)[0] == _origin(entry) else 0
            missing += max(0, entry.size - there)
        with _told(self.here):
            free = shutil.disk_usage(self.here).free
        if missing > free:
            raise TargetFull(
                f"The shared folder {self.here} has {free} bytes free, and the files need {missing} more"
            )

    def _put(self, number: int, located: Located, entry: Entry, heard: Heard, stop: threading.Event) -> None:
        whole, part, note = self._paths(number, located)
        with _told(self.here):
            origin, kept = _noted(note)
            known = origin == _origin(entry)
            if known and _size(whole) == entry.size:
                heard(entry.size)
                return
            whole.unlink(missing_ok=True)
            if not known:
                part.unlink(missing_ok=True)
                _write_note(note, _origin(entry))
                kept = 0

            def sure(size: int) -> None:
                _write_note(note, f"{_origin(entry)}\n{size}")

            if self._copy(located, entry, part, kept, heard, sure, stop):
                part.replace(whole)
                _sync(self.here)

    def _copy(
        self,
        located: Located,
        entry: Entry,
        part: Path,
        kept: int,
        heard: Heard,
        sure: Heard,
        stop: threading.Event,
    ) -> bool:
        """From where the disk is known to keep it; ``sure`` is told when it keeps more. False: it was stopped.

        What was written after that may have holes where the machine, or a share's client, has lost its power.
        """
        file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        blob = located.storage.open(located.file.name)
        try:
            os.fchmod(file, 0o644)  # the server runs as somebody else
            if not stat.S_ISREG(os.fstat(file).st_mode) or blob.size != entry.size:
                raise BadData(f"{located.file.name} has been replaced since the job began")
            done = synced = min(os.fstat(file).st_size, kept, entry.size)
            os.ftruncate(file, done)
            os.lseek(file, done, os.SEEK_SET)
            heard(done)
            while done < entry.size and not stop.is_set():
                piece = blob.read_at(done, _PIECE)
                if not piece:
                    raise BadData(f"{located.file.name} ends after {done} of {entry.size} bytes")
                _write(file, piece)
                done += len(piece)
                heard(len(piece))
                if done - synced >= _SYNC_EVERY:
                    os.fsync(file)
                    sure(done)
                    synced = done
            os.fsync(file)
            sure(done)
            return done == entry.size
        finally:
            blob.close()
            os.close(file)


@dataclass(frozen=True)
class Web:
    """The server reads the files from the object store by itself."""

    remotes: Sequence[Remote]
    note: Path
    """Remembers credentials that were made, so that a later run takes them away."""

    def device(self, number: int, located: Located) -> Device:
        place = f"{credential_name(self.remotes[number])}/{self.remotes[number].key}"
        if len(place) > LONGEST_URL:
            raise Unsupported(f"The server takes addresses of up to {LONGEST_URL} characters: {place}", hint=_HINT)
        return Device("URL", place)

    def check(self) -> None:
        """Raises Unsupported for keys and addresses of which a SQL Server can make no credential."""
        for each in self.remotes:
            tsql.create_credential(credential_name(each), each.access_key, each.secret_key)

    @property
    def region(self) -> str:
        return self.remotes[0].region if self.remotes else ""

    async def open(self, server: Server) -> None:
        """Give the server the keys of the store. Credentials that an operator made are used as they are.

        One that another job made and still needs is used together: the last of them takes it away. Raises
        ServerBusy while another job makes or takes away one.
        """
        for name, remote in {credential_name(each): each for each in self.remotes}.items():
            async with _door(server, name):
                await self._give(server, name, remote)

    async def _give(self, server: Server, name: str, remote: Remote) -> None:
        mine = name in await asyncio.to_thread(_lines, self.note)
        there, free = await _is_there(server, name), await server.alone(_used(name))
        if free:
            await server.leave(_used(name))
        if there and free and not mine:
            return
        await server.together(_used(name))
        if not mine:
            await asyncio.to_thread(_add_line, self.note, name)
        if there and free:
            await server.run(tsql.drop_credential(name), f"Dropping the credential {name}")
        if free or not there:
            await self._make(server, name, remote, f"Making the credential {name}")

    async def _make(self, server: Server, name: str, remote: Remote, what: str) -> None:
        try:
            await server.raw_rows(tsql.create_credential(name, remote.access_key, remote.secret_key))
        except ServerFault as fault:
            told = ServerFault([type(each)(each.number, _without(remote, each.text)) for each in fault.errors])
            raise trouble(told, what) from None


async def take_away(server: Server, note: Path) -> None:
    """Drop the credentials that a job made, but for those that other jobs still use. Twice is once."""
    left = []
    for name in dict.fromkeys(await asyncio.to_thread(_lines, note)):
        async with _door(server, name):
            if not await server.alone(_used(name)):
                left.append(name)
                continue
            if await _is_there(server, name):
                await server.run(tsql.drop_credential(name), f"Dropping the credential {name}")
            await server.leave(_used(name))
    await asyncio.to_thread(note.unlink, missing_ok=True)
    for name in left:
        await asyncio.to_thread(_add_line, note, name)


async def _is_there(server: Server, name: str) -> bool:
    return bool(await server.rows(tsql.credential(name), f"Looking for the credential {name}"))


@asynccontextmanager
async def _door(server: Server, name: str) -> AsyncIterator[None]:
    """Only one job at a time makes or takes away a credential. Raises ServerBusy."""
    lock = lock_name("credential", name)
    if not await server.alone(lock, _DOOR_MS):
        raise ServerBusy(f"Another job makes or takes away the credential {name}")
    try:
        yield
    finally:
        with suppress(Trouble):  # a session that is gone has given it up
            await server.leave(lock)


def _used(name: str) -> str:
    """What all jobs share that need a credential of Sterna's."""
    return lock_name("credential-used", name)


def lock_name(kind: str, name: str) -> str:
    """The name of a lock on the server; those of locks are short, and differ by case."""
    return f"sterna-{kind}-{hashlib.sha256(name.rstrip().lower().encode()).hexdigest()[:32]}"


Way = Folder | Web


def tag_of(job_id: str) -> str:
    """What the names of a job's own files on the server have in them."""
    return hashlib.sha256(job_id.encode()).hexdigest()[:12]


def way_of(plan: Plan, files: Sequence[Located], major: int, room: Room) -> Way:
    """The folder if there is one, else the store's address. Raises Unsupported, saying what to do."""
    if folder := folder_of(plan, room):
        return folder
    remotes = [each.storage.remote(each.file.name) for each in files if isinstance(each.storage, Shares)]
    if len(remotes) < len(files) or any(urlsplit(each.endpoint).scheme != "https" for each in remotes):
        raise Unsupported("The server has no way to the backup files", hint=_HINT)
    if major < URL_SINCE:
        raise Unsupported("Before 2022, SQL Server does not read from an object store by itself", hint=_HINT)
    return Web(remotes, note_of(room))


def folder_of(plan: Plan, room: Room) -> Folder | None:
    """The folder that the plan names, if it does. Raises Unsupported for half of one."""
    here, there = plan.options.get(SHARED_FOLDER, ""), plan.options.get(SHARED_PATH, "")
    if bool(here) != bool(there):
        raise Unsupported(f"{SHARED_FOLDER} and {SHARED_PATH} are one folder: both are needed", hint=_HINT)
    if not here:
        return None
    keeps = plan.options.get(DELETE, "").lower() == "false"
    return Folder(Path(here), there, tag_of(room.job_id), keeps)


def note_of(room: Room) -> Path:
    """Where a job remembers the credentials that it made."""
    return room.folder / "credentials"


@asynccontextmanager
async def opened_way(way: Way, server: Server, tell: Teller) -> AsyncIterator[None]:
    """What the server needs for it, for a while."""
    if isinstance(way, Folder):
        yield
        return
    try:
        await way.open(server)
        yield
    except BaseException:
        await _withdraw(way, server, tell, tries=1)  # the next run does it too
        raise
    await _withdraw(way, server, tell, tries=_WITHDRAWALS)


async def _withdraw(way: Web, server: Server, tell: Teller, tries: int) -> None:
    """Take the credentials away, by another session: the first may be broken, or told to stop."""
    with suppress(Trouble):
        for name in await asyncio.to_thread(_lines, way.note):
            await server.leave(_used(name))
    for left in range(tries - 1, -1, -1):
        try:
            async with connected(server.endpoint) as fresh:
                await take_away(fresh, way.note)
            return
        except Trouble as trouble:
            if not left:
                message = f"The credential for the object store stays on the server: {trouble.message}"
                tell(Level.WARN, "restore.credential", message)
                return
        await asyncio.sleep(_BETWEEN_S)


async def sees(folder: Folder, server: Server) -> str:
    """Whether the server sees the shared folder; the reason if not, empty if it does.

    A small file is put there and shown to RESTORE LABELONLY: a server that sees it says that it is no backup.
    """
    name = f"sterna-{folder.tag}-probe"
    path = folder.here / name
    device = Device("DISK", folder.there.rstrip("\\/") + separator_of(folder.there) + name)
    try:
        await asyncio.to_thread(_write_note, path, _PROBE)
        await server.raw_rows(tsql.label(device), patience=MEDIA_SECONDS)
    except ServerFault as fault:
        return "" if fault.has(NOT_A_BACKUP) or _ends_early(fault) else str(fault)
    except OSError as error:
        return f"{folder.here}: {error.strerror or error}"
    finally:
        await asyncio.to_thread(_unlink, path)
    return ""


def _ends_early(fault: ServerFault) -> bool:
    """The server opened the file, and found it shorter than any backup."""
    return any(each.number in (3201, 3203) and re.search(r"\b38\(", each.text) for each in fault.errors)


def credential_name(remote: Remote) -> str:
    """The address of a bucket in the server's words, which is also what its credential is called."""
    place = urlsplit(remote.endpoint)
    if remote.virtual:
        return f"s3://{remote.bucket}.{place.netloc}"
    return f"s3://{place.netloc}/{remote.bucket}"


def _without(remote: Remote, text: str) -> str:
    for secret in (remote.secret_key, remote.access_key):
        for written in (secret.replace("'", "''"), secret):  # as in the statement, and as it is
            text = text.replace(written, "…") if written else text
    return text


def _origin(entry: Entry) -> str:
    return json.dumps([entry.size, entry.etag, entry.modified_ms])


def _noted(note: Path) -> tuple[str, int]:
    """Where a file comes from, and how many bytes of it the disk keeps for certain."""
    origin, _, kept = _text(note).partition("\n")
    return origin, int(kept) if kept.isdecimal() else 0


def _text(note: Path) -> str:
    try:
        return note.read_text(encoding="utf-8")
    except (FileNotFoundError, UnicodeDecodeError):
        return ""


def _write_note(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    try:
        _write(file, text.encode())
        os.fchmod(file, 0o644)
    finally:
        os.close(file)


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


def _write(file: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[os.write(file, left) :]


def _size(path: Path) -> int:
    try:
        facts = path.lstat()
    except OSError:
        return 0
    return facts.st_size if stat.S_ISREG(facts.st_mode) else 0


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _lines(note: Path) -> list[str]:
    return _text(note).splitlines()


def _add_line(note: Path, name: str) -> None:
    note.parent.mkdir(parents=True, exist_ok=True)
    with note.open("a", encoding="utf-8") as file:
        file.write(name + "\n")


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """What the system says of the shared folder, in Sterna's words."""
    try:
        yield
    except OSError as error:
        message = f"The shared folder {folder}: {error.strerror or error}"
        match error.errno:
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise TargetFull(message) from error
            case errno.EACCES | errno.EPERM | errno.EROFS:
                hint = "Give the user that Sterna runs as the right to write there."
                raise AccessDenied(message, hint=hint) from error
            case errno.ENOENT | errno.ENOTDIR:
                raise NotFound(message) from error
        raise NeedsOperator(message) from error
