"""A folder that Sterna and the server both see: backup files are put there, complete or not at all."""

import asyncio
import errno
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sterna.core.errors import AccessDenied, BadData, NeedsOperator, NotFound, TargetFull
from sterna.core.files import Entry, Storage
from sterna.core.plan import StoredFile
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.faults import NOT_A_BACKUP, ServerFault
from sterna.engines.sqlserver.restoring.server import MEDIA_SECONDS, Server
from sterna.engines.sqlserver.restoring.tsql import Device
from sterna.engines.sqlserver.restoring.values import separator_of

_PIECE = 1 << 20
_SYNC_EVERY = 64 << 20
"""After how many bytes the disk is asked to keep them."""
_PROBE = "Sterna looks whether the server sees this folder.\n" * 2000
"""More than the server reads of a file before it judges it."""
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


def _origin(entry: Entry) -> str:
    return json.dumps([entry.size, entry.etag, entry.modified_ms])


def _noted(note: Path) -> tuple[str, int]:
    """Where a file comes from, and how many bytes of it the disk keeps for certain."""
    try:
        origin, _, kept = note.read_text(encoding="utf-8").partition("\n")
    except (FileNotFoundError, UnicodeDecodeError):
        return "", 0
    return origin, int(kept) if kept.isdecimal() else 0


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
