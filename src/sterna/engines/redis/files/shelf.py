"""The files of a plan laid out for reading: found in their buckets, looked into where they are archives, in order.

What a file is, its first bytes tell, never its name. Archives are looked through once before anything is read;
a packed stream cannot be entered in the middle, so reading from some place on means unpacking all before it.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial

from sterna.core.errors import BadData, Invalid, NotFound, Unsupported
from sterna.core.files import Blob, Storage
from sterna.core.plan import StoredFile
from sterna.engines.redis.files import manifest, tars, zips
from sterna.engines.redis.files.streams import Gzip, Plain, Stream, Within, exactly, skip

HEAD = 512
ARCHIVE_LIMIT = 1 << 40
"""Bytes that one archive may unpack to, unless the operator says otherwise."""
MOST_FILES = 10_000

_PACKED = {
    b"PK\x03\x04": "zip", b"PK\x05\x06": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!": "rar", b"\x04\x22\x4d\x18": "lz4",
}  # fmt: skip
_REDIS_NAMES = (".rdb", ".aof", ".manifest")


class Content(StrEnum):
    """What a file holds."""

    RDB = "RDB"  #: maybe with commands behind it: an AOF with preamble
    LOG = "AOF"
    MANIFEST = "manifest"
    EMPTY = "empty"
    OTHER = "something else"


@dataclass(frozen=True)
class Entry:
    """One file, packed or not. ``opened`` gives its bytes from an offset on, in a worker's thread."""

    name: str
    """For people: ``backup.zip: dump.rdb``."""
    holder: str
    """What it lies in: the bucket, or the archive. Parts of an AOF belong together within one."""
    path: str
    """Its name there."""
    blob: int
    """Which stored file it is read from."""
    size: int
    """Unpacked; -1: not known."""
    head: bytes
    opened: Callable[[int], Stream] = field(repr=False)
    before: int = 0
    """Bytes of the stored file that belong to files before this one."""
    packed: bool = True

    @property
    def content(self) -> Content:
        return content(self.head, self.path)


@dataclass(frozen=True, slots=True)
class Item:
    """Files that make one data set, one after the other: an RDB file, an AOF, or the parts of one."""

    name: str
    entries: tuple[Entry, ...]
    is_log: bool
    """It ends with commands that happened after the data set it begins with."""


@dataclass
class Shelf:
    """Everything laid out. Close it to let go of the files."""

    items: Sequence[Item]
    blobs: Sequence[Blob]
    mark: str
    """Changes when the list of files or their contents change."""
    passed_over: Sequence[str]
    """Files that are neither RDB nor AOF."""

    @property
    def size(self) -> int:
        """Bytes as they are stored."""
        return sum(blob.size for blob in self.blobs)

    def close(self) -> None:
        for blob in self.blobs:
            blob.close()


def content(head: bytes, path: str) -> Content:
    """What begins so. Only a manifest, which is plain text, is told by its name."""
    if not head:
        return Content.EMPTY
    if path.endswith(manifest.SUFFIX):
        return Content.MANIFEST
    if head.startswith((b"REDIS0", b"VALKEY")):
        return Content.RDB
    if (head[:1] == b"*" and head[1:2].isdigit()) or head.startswith(b"#TS:") or head == b"*":
        return Content.LOG
    return Content.OTHER


def packed_as(head: bytes) -> str:
    """The kind of archive or packed file that begins so; empty: none that is known."""
    found = next((kind for magic, kind in _PACKED.items() if head.startswith(magic)), "")
    return found or ("tar" if tars.is_tar(head) else "")


def lay_out(storages: Mapping[str, Storage], files: Sequence[StoredFile], limit: int = ARCHIVE_LIMIT) -> Shelf:
    """Find and open all files of a plan. Blocks: for a worker's thread.

    Raises NotFound, Unreachable, AccessDenied, BadData, Unsupported (archives in archives, other packings).
    """
    laying = _Laying(storages, limit)
    try:
        for stored in files:
            laying.add(stored)
        laying.complete_manifests()
        items, others = arranged(laying.entries)
    except BaseException:
        laying.close()
        raise
    return Shelf(items, laying.blobs, f"{names_mark(files)}.{_mark(laying.seen)}", others)


def names_mark(files: Sequence[StoredFile]) -> str:
    """What stays the same for the same list of files, whatever is in them."""
    text = "\n".join(f"{stored.bucket}\0{stored.name}" for stored in files)
    return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _mark(seen: Sequence[str]) -> str:
    return hashlib.blake2b("\n".join(seen).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


class _Laying:
    """What was found so far."""

    def __init__(self, storages: Mapping[str, Storage], limit: int) -> None:
        self._storages = storages
        self._limit = limit
        self.entries: list[Entry] = []
        self.blobs: list[Blob] = []
        self.seen: list[str] = []
        self._known: set[tuple[str, str]] = set()

    def close(self) -> None:
        for blob in self.blobs:
            blob.close()

    def add(self, stored: StoredFile) -> None:
        """One file of the plan; a name that ends with ``/`` is a folder, whose files are taken."""
        if not stored.name or stored.name.endswith("/"):
            found = [entry.name for entry in self._storages[stored.bucket].list(stored.name)]
            names = [name for name in found if not name.endswith("/")]
            if not names:
                raise NotFound(f"There is no file in the folder {stored.name or '/'} of the bucket")
            for name in names:
                self._file(stored.bucket, name)
        else:
            self._file(stored.bucket, stored.name)

    def _file(self, bucket: str, name: str) -> None:
        if (bucket, name) in self._known:
            return
        if len(self.blobs) >= MOST_FILES:
            raise Unsupported(f"More than {MOST_FILES} files are to be read")
        self._known.add((bucket, name))
        storage = self._storages[bucket]
        about = storage.head(name)
        blob = storage.open(name)
        self.blobs.append(blob)
        self.seen.append(f"{bucket}\0{name}\0{about.size}\0{about.etag or about.modified_ms}")
        self.entries += self._within(bucket, blob, name, len(self.blobs) - 1)

    def _within(self, bucket: str, blob: Blob, name: str, number: int) -> Iterator[Entry]:
        head = blob.read_at(0, min(HEAD, blob.size))
        match packed_as(head):
            case "zip":
                yield from self._zip(blob, number)
            case "gzip":
                yield from self._gzip(blob, number, bucket, name)
            case "tar":
                yield from self._tar(blob, number, partial(_plain, blob))
            case "":
                opened = partial(_plain, blob)
                yield Entry(name, bucket, name, number, blob.size, head, opened, packed=False)
            case other:
                raise Unsupported(f"{name} is packed as {other}", hint="Pack it as .zip, .gz or .tar.gz.")

    def _zip(self, blob: Blob, number: int) -> Iterator[Entry]:
        found = zips.members(blob)
        if sum(member.size for member in found) > self._limit:
            raise Unsupported(f"{blob.name} unpacks to more than {self._limit} bytes")
        before = 0
        for member in found:
            name = f"{blob.name}: {member.name}"
            opened = partial(_zipped, blob, member, name)
            head = exactly(opened(0), HEAD) if member.size else b""
            _refuse_nested(name, head)
            yield Entry(name, blob.name, member.name, number, member.size, head, opened, before)
            before += member.packed

    def _gzip(self, blob: Blob, number: int, bucket: str, name: str) -> Iterator[Entry]:
        opened = partial(_gunzipped, blob, self._limit)
        head = exactly(opened(0), HEAD)
        if tars.is_tar(head):
            yield from self._tar(blob, number, opened)
            return
        _refuse_nested(name, head)
        yield Entry(name, bucket, name.removesuffix(".gz"), number, -1, head, opened)

    def _tar(self, blob: Blob, number: int, whole: Callable[[int], Stream]) -> Iterator[Entry]:
        for member in tars.members(whole(0), blob.name, HEAD):
            name = f"{blob.name}: {member.name}"
            _refuse_nested(name, member.head)
            opened = partial(_member, whole, member, name)
            yield Entry(name, blob.name, member.name, number, member.size, member.head, opened)

    def complete_manifests(self) -> None:
        """Parts that a manifest names and that were not listed are taken from beside it in the bucket."""
        for entry in [each for each in self.entries if each.content is Content.MANIFEST]:
            if entry.holder in self._storages:
                known = {each.path for each in self.entries if each.holder == entry.holder}
                for path in _parts(entry):
                    if path not in known and (entry.holder, path) not in self._known:
                        self._file(entry.holder, path)


def arranged(entries: Sequence[Entry]) -> tuple[list[Item], list[str]]:
    """The data sets that the files make, and the names of files that are passed over.

    Raises BadData where a part is missing, or nothing is left to be read.
    """
    items: list[Item] = []
    taken: set[int] = set()
    by_place = {(entry.holder, entry.path): number for number, entry in enumerate(entries)}
    ordered: dict[int, Item] = {}
    for number, entry in enumerate(entries):
        if entry.content is Content.MANIFEST:
            parts = [_found(by_place, entry, path) for path in _parts(entry)]
            taken |= {number, *parts}
            ordered[number] = Item(entry.name, tuple(entries[part] for part in parts), True)
    others: list[str] = []
    for number, entry in enumerate(entries):
        if number in ordered:
            items.append(ordered[number])
        elif number not in taken and not _history(entry, entries):
            if entry.content is Content.OTHER or (entry.content is Content.EMPTY and not _redis_name(entry)):
                _refuse_damaged(entry)
                others.append(entry.name)
            else:
                items.append(_alone(entry, entries))
    if not items:
        named = f": {', '.join(others[:5])}" if others else ""
        raise BadData(f"None of the files is an RDB or AOF file{named}")
    return items, others


def _alone(entry: Entry, entries: Sequence[Entry]) -> Item:
    if entry.content is Content.EMPTY and entry.path.endswith(".rdb"):
        raise BadData(f"{entry.name} is empty")
    part = manifest.PART.fullmatch(_base(entry.path))
    if part and (part["kind"].startswith("incr") or _siblings(entry, part["stem"], entries)):
        raise BadData(
            f"{entry.name} is one part of several of an AOF, and its manifest is not there",
            hint=f"Name {part['stem']}{manifest.SUFFIX} too, or the folder that holds them all.",
        )
    return Item(entry.name, (entry,), entry.content is not Content.RDB or bool(part) or _is_preamble(entry.head))


def _siblings(entry: Entry, stem: str, entries: Sequence[Entry]) -> bool:
    for other in entries:
        found = manifest.PART.fullmatch(_base(other.path))
        if found and other is not entry and other.holder == entry.holder and found["stem"] == stem:
            return True
    return False


def _history(entry: Entry, entries: Sequence[Entry]) -> bool:
    """Whether it is a part of an AOF whose manifest does not name it: Redis is about to delete it."""
    part = manifest.PART.fullmatch(_base(entry.path))
    folder = entry.path.removesuffix(_base(entry.path))
    return part is not None and any(
        other.holder == entry.holder and other.path == folder + part["stem"] + manifest.SUFFIX for other in entries
    )


def _parts(entry: Entry) -> list[str]:
    """The paths of the parts that a manifest names."""
    data = exactly(entry.opened(0), manifest.MOST_BYTES + 1)
    if len(data) > manifest.MOST_BYTES:
        raise BadData(f"{entry.name} is too long for a manifest of an AOF")
    folder = entry.path.removesuffix(_base(entry.path))
    return [folder + part for part in manifest.parse(data, entry.name).parts]


def _found(by_place: Mapping[tuple[str, str], int], entry: Entry, path: str) -> int:
    number = by_place.get((entry.holder, path))
    if number is None:
        raise BadData(f"{entry.name} names {_base(path)}, which is not there")
    return number


def _is_preamble(head: bytes) -> bool:
    """Whether an RDB file says itself that it is the beginning of an AOF (``aof-preamble`` until Redis 6)."""
    return b"aof-preamble\xc0\x01" in head or b"aof-base\xc0\x01" in head


def _redis_name(entry: Entry) -> bool:
    return _base(entry.path).endswith(_REDIS_NAMES)


def _refuse_damaged(entry: Entry) -> None:
    if _redis_name(entry) and not _base(entry.path).startswith("._"):  # macOS keeps attributes under such names
        raise BadData(f"{entry.name} is neither an RDB nor an AOF file: it begins with {entry.head[:9]!r}")


def _refuse_nested(name: str, head: bytes) -> None:
    if kind := packed_as(head):
        raise Unsupported(f"{name} is packed itself, as {kind}: archives in archives are not read")


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _plain(blob: Blob, offset: int) -> Plain:
    stream = Plain(blob, offset, blob.size)
    stream.at = stream.spent = offset
    return stream


def _zipped(blob: Blob, member: zips.Member, name: str, offset: int) -> Stream:
    stream = zips.opened(blob, member, name)
    skip(stream, offset)
    return stream


def _gunzipped(blob: Blob, limit: int, offset: int) -> Stream:
    stream = Gzip(_plain(blob, 0), blob.name, limit)
    skip(stream, offset)
    return stream


def _member(whole: Callable[[int], Stream], member: tars.Member, name: str, offset: int) -> Stream:
    stream = Within(whole(member.offset), name, member.size)
    skip(stream, offset)
    return stream


def archive_limit(options: Mapping[str, str]) -> int:
    """The option ``archive_limit``, in bytes. Raises Invalid."""
    text = options.get("archive_limit", str(ARCHIVE_LIMIT))
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 1 << 63):
        raise Invalid("archive_limit", "archive_limit is a number of bytes")
    return int(text)
