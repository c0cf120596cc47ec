"""Files that lie somewhere else: in a bucket of an object store, or in a folder. Who promises what.

Everything here is synchronous: readers of files are busy with bytes, and run in threads beside the event loop.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, as a listing names it."""

    name: str
    """With its folders, ``/`` between them, relative to the bucket."""
    size: int
    modified_ms: int = 0
    """When it was last written, epoch milliseconds; 0: not known."""
    etag: str = ""
    """Changes when the contents change; may be empty."""


class Blob(Protocol):
    """A file that can be read at any place, from any thread. Its contents stay the same while it is open."""

    @property
    def name(self) -> str: ...

    @property
    def size(self) -> int:
        """Bytes."""
        ...

    def read_at(self, offset: int, length: int) -> bytes:
        """The bytes from there: ``length`` of them, fewer only at the end of the file, none beyond it.

        Broken transfers are taken up where they broke. Raises Unreachable, AccessDenied, NotFound, and BadData if
        the file has been replaced since it was opened.
        """
        ...

    def close(self) -> None:
        """Twice is once."""
        ...


class Storage(Protocol):
    """One bucket. Safe to use from several threads."""

    def list(self, prefix: str = "") -> Iterator[Entry]:
        """All files whose names begin so, by name. Raises Unreachable, AccessDenied, NotFound (no bucket)."""
        ...

    def head(self, name: str) -> Entry:
        """Raises NotFound, Unreachable, AccessDenied."""
        ...

    def open(self, name: str) -> Blob:
        """Raises NotFound, Unreachable, AccessDenied."""
        ...

    def write(self, name: str, pieces: Iterable[bytes]) -> Entry:
        """Write a file as a whole: it is there complete, or not at all. Bounded in memory."""
        ...

    def delete(self, name: str) -> None:
        """Twice is once."""
        ...


class Opens(Protocol):
    """Finds a registered bucket by its id."""

    async def __call__(self, bucket_id: str) -> Storage:
        """Raises NotFound."""
        ...


@dataclass(frozen=True, slots=True)
class Remote:
    """How another machine reads a file of an object store by itself, in the way of S3."""

    endpoint: str
    """``https://host[:port]``"""
    bucket: str
    """What the store calls it."""
    key: str
    """What the store calls the file."""
    region: str
    """May be empty."""
    virtual: bool
    """The bucket is a part of the host name, instead of the path."""
    access_key: str
    secret_key: str = field(repr=False)


@runtime_checkable
class Shares(Protocol):
    """A storage whose files other machines can read by themselves, if they reach it."""

    def remote(self, name: str) -> Remote: ...
