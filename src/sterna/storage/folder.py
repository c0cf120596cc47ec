"""A folder of this machine as a bucket. Nothing outside it can be reached through it, whatever a name says.

Names are walked one folder at a time from the folder's own descriptor, following no link (openat(2), O_NOFOLLOW):
neither ``..`` nor a link that somebody puts there meanwhile leads anywhere.
"""

import contextlib
import errno
import os
import secrets
import stat
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sterna.core.errors import AccessDenied, BadData, Invalid, NeedsOperator, NotFound, TargetFull, Unreachable
from sterna.core.files import Blob, Entry
from sterna.storage.names import LONGEST, check_name

_PART = (".sterna-", ".part")
"""How the names of unfinished files begin and end. They are in no listing."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A named pipe must not make the opening wait."""
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class FolderStorage:
    """``Storage`` in a folder. ``prefix``: what all names begin with below it; empty, or ends with ``/``."""

    def __init__(self, folder: Path, prefix: str = "") -> None:
        self._folder = folder
        self._prefix = prefix

    def __repr__(self) -> str:
        return f"FolderStorage({str(self._folder)!r})"

    def list(self, prefix: str = "") -> Iterator[Entry]:
        wanted = self._prefix + prefix
        with self._root() as root:
            for entry in _walk(root, "", wanted):
                yield Entry(entry.name[len(self._prefix) :], entry.size, entry.modified_ms, entry.etag)

    def head(self, name: str) -> Entry:
        with self._opened(name) as file:
            return _entry(name, os.fstat(file))

    def open(self, name: str) -> Blob:
        with self._opened(name) as file:
            return FolderBlob(name, os.dup(file))

    def write(self, name: str, pieces: Iterable[bytes]) -> Entry:
        """As ``Storage`` promises: written beside it, then put in its place once the disk has it."""
        folders, last = self._split(name)
        if last.startswith(_PART[0]) and last.endswith(_PART[1]):
            raise Invalid("name", f"The name {name!r} is kept for files that are being written")
        with self._root() as root, _inside(root, name, folders, make=True) as folder:
            return _write(folder, last, name, pieces)

    def delete(self, name: str) -> None:
        folders, last = self._split(name)
        with (
            self._root() as root,
            contextlib.suppress(NotFound),
            _inside(root, name, folders) as folder,
            _told(name),
        ):
            os.unlink(last, dir_fd=folder)

    def _split(self, name: str) -> tuple[Sequence[str], str]:
        *folders, last = (self._prefix + check_name(name)).split("/")
        if not last or "" in folders:
            raise Invalid("name", f"The name {name!r} is not that of a file below its folder")
        return folders, last

    @contextmanager
    def _root(self) -> Iterator[int]:
        try:
            root = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFound(f"There is no folder {self._folder}") from error
        except OSError as error:
            raise _trouble(str(self._folder), error) from error
        try:
            yield root
        finally:
            os.close(root)

    @contextmanager
    def _opened(self, name: str) -> Iterator[int]:
        """The file's descriptor. Raises NotFound, and Invalid for what is no ordinary file."""
        folders, last = self._split(name)
        with self._root() as root, _inside(root, name, folders) as folder, _told(name):
            file = os.open(last, _READ, dir_fd=folder)
        try:
            _must_be_ordinary(name, os.fstat(file))
            yield file
        finally:
            os.close(file)


class FolderBlob:
    """An open file of a folder. A file that takes its place does not matter; one written into is noticed."""

    def __init__(self, name: str, file: int) -> None:
        self._name = name
        self._file = file
        self._opened = os.fstat(file)
        self._closed = False
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        return self._name

    @property
    def size(self) -> int:
        return self._opened.st_size

    def read_at(self, offset: int, length: int) -> bytes:
        if self._closed:
            raise ValueError(f"{self._name} is closed")
        length = max(0, min(length, self.size - offset))
        with _told(self._name):
            data = os.pread(self._file, length, offset) if length else b""
            while len(data) < length:
                more = os.pread(self._file, length - len(data), offset + len(data))
                if not more:
                    break
                data += more
            now = os.fstat(self._file)
        if _mark(now) != _mark(self._opened) or len(data) < length:
            raise BadData(
                f"{self._name} has been written to while it was read",
                hint="Let whatever writes it finish, then start again.",
            )
        return data

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._file)


def _walk(folder: int, path: str, wanted: str) -> Iterator[Entry]:
    """All ordinary files below whose names begin so, in the order of their whole names' bytes."""
    for name, is_folder in _names(folder, path, wanted):
        whole = path + name
        try:
            if is_folder:
                with _told(whole):
                    inner = os.open(name, _FOLDER, dir_fd=folder)
                try:
                    yield from _walk(inner, f"{whole}/", wanted)
                finally:
                    os.close(inner)
            else:
                with _told(whole):
                    facts = os.stat(name, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(facts.st_mode):
                    yield _entry(whole, facts)
        except (NotFound, Invalid):
            continue  # gone, or become something else, since its folder was read


def _names(folder: int, path: str, wanted: str) -> Sequence[tuple[str, bool]]:
    """What a folder holds that can lead to a wanted file: names, and whether each is a folder."""
    found: list[tuple[str, bool]] = []
    with _told(path), os.scandir(folder) as entries:
        for each in entries:
            is_folder = each.is_dir(follow_symlinks=False)
            whole = path + each.name + ("/" if is_folder else "")
            if len(os.fsencode(whole)) > LONGEST:
                continue  # no request can name it
            if is_folder and not (whole.startswith(wanted) or wanted.startswith(whole)):
                continue
            if not is_folder and (not whole.startswith(wanted) or _unfinished(each.name)):
                continue
            found.append((each.name, is_folder))
    found.sort(key=lambda it: os.fsencode(it[0]) + (b"/" if it[1] else b""))
    return found


def _unfinished(name: str) -> bool:
    return name.startswith(_PART[0]) and name.endswith(_PART[1])


@contextmanager
def _inside(root: int, file: str, folders: Iterable[str], *, make: bool = False) -> Iterator[int]:
    """The descriptor of a file's folder below ``root``, walked without following links."""
    here = os.dup(root)
    try:
        for name in folders:
            with _told(file):
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(name, 0o700, dir_fd=here)
                inner = os.open(name, _FOLDER, dir_fd=here)
            os.close(here)
            here = inner
        yield here
    finally:
        os.close(here)


def _write(folder: int, last: str, name: str, pieces: Iterable[bytes]) -> Entry:
    part = f"{_PART[0]}{secrets.token_hex(8)}{_PART[1]}"
    with _told(name):
        file = os.open(part, _NEW, 0o600, dir_fd=folder)
    try:
        try:
            for piece in pieces:
                _write_all(file, name, piece)
            with _told(name):
                os.fsync(file)
            facts = os.fstat(file)
        finally:
            os.close(file)
        with _told(name):
            os.rename(part, last, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=folder)
        raise
    with _told(name):
        os.fsync(folder)
    return _entry(name, facts)


def _write_all(file: int, name: str, piece: bytes) -> None:
    left = memoryview(piece)
    with _told(name):
        while left:
            left = left[os.write(file, left) :]


def _entry(name: str, facts: os.stat_result) -> Entry:
    etag = "-".join(f"{each:x}" for each in _mark(facts))
    return Entry(name, facts.st_size, facts.st_mtime_ns // 1_000_000, etag)


def _mark(facts: os.stat_result) -> tuple[int, int, int]:
    """What changes when the contents do."""
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _must_be_ordinary(name: str, facts: os.stat_result) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise NotFound(f"There is no file {name}: it is a folder")
    if not stat.S_ISREG(facts.st_mode):
        raise Invalid("name", f"{name} is not an ordinary file")


@contextmanager
def _told(name: str) -> Iterator[None]:
    """What the system says of a file, in Sterna's words."""
    try:
        yield
    except OSError as error:
        raise _trouble(name, error) from error


def _trouble(name: str, error: OSError) -> Exception:
    said = error.strerror or str(error)
    match error.errno:
        case errno.ENOENT:
            return NotFound(f"There is no file {name}")
        case errno.ENOTDIR:  # a link too, where a folder was wanted
            return NotFound(f"There is no file {name}: a part of it is no folder (links are not followed)")
        case errno.ELOOP | errno.ENXIO | errno.EISDIR:  # a link, a socket, a folder
            return Invalid("name", f"{name} is not an ordinary file")
        case errno.ENAMETOOLONG | errno.EINVAL | errno.EILSEQ:
            return Invalid("name", f"The name {name[:80]!r} is none that this file system takes: {said}")
        case errno.EACCES | errno.EPERM | errno.EROFS:
            hint = "Give the user that Sterna runs as the right to it."
            return AccessDenied(f"{name}: {said}", hint=hint)
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return TargetFull(f"{name}: {said}")
        case errno.EIO | errno.ESTALE | errno.ETIMEDOUT | errno.EHOSTDOWN | errno.ENOTCONN:
            return Unreachable(f"{name}: {said}", hint="Check the disk, or the server that the folder lies on.")
    return NeedsOperator(f"{name}: {said}")
