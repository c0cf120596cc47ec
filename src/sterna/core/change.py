"""What travels from a source to a sink: bytes of a copy, and changes in the order in which they happened."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NewType

Position = NewType("Position", str)
"""How far something was read. Only the engine that wrote it can read it."""

Format = NewType("Format", str)
"""The form of a chunk's bytes. A sink names those it takes; a source picks the best one both know."""

VALUES = Format("values")
"""Rows of Python values: the one format that every engine knows."""

ROWS_TEXT = Format("postgresql-text")
"""Lines as PostgreSQL's ``COPY … TO`` prints them; a source of another kind writes them for its targets."""

Value = bytes | str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Name:
    """The full name of a table, collection or keyspace, outermost first, e.g. ``("shop", "public", "orders")``."""

    path: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.path)


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of one table, collection or keyspace that can be copied alone and again."""

    id: str
    """Unique and stable within the job: the lane ``copy:<id>`` remembers how far it came."""
    name: Name
    spec: str = ""
    """What the engine needs to find the piece again, in its own words."""
    rows: int = 0
    """How many rows it is believed to hold; 0 if unknown."""
    size: int = 0
    """How many bytes it is believed to hold; 0 if unknown."""


class Pieces:
    """Bytes that are too many to be held: they are made anew, piece by piece, each time they are asked for.

    What makes them may raise, and may read what a thread should wait for.
    """

    __slots__ = ("_parts",)

    def __init__(self, parts: Sequence[bytes | Callable[[], Iterator[bytes]]]) -> None:
        self._parts = tuple(parts)

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, bytes):
                yield part
            else:
                yield from part()


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some of a part, in source order, written and remembered together."""

    format: Format
    data: bytes | Pieces | Sequence[Mapping[str, Value]]
    """``Pieces``: whole lines of ``ROWS_TEXT`` of which some are very long."""
    rows: int
    size: int
    """Bytes read from the source for it."""
    position: Position
    """Where the part goes on after this chunk."""
    count: int = 0
    """Where ``data`` is commands: how many there are that get an answer."""
    skipped: int = 0
    """Rows read and left out of ``data``: expired, or not wanted."""


@dataclass(frozen=True, slots=True)
class Put:
    """One row as it is from now on. ``before`` is its key, or its whole image where it has no key."""

    name: Name
    row: Mapping[str, Value]
    before: Mapping[str, Value] | None = None


@dataclass(frozen=True, slots=True)
class Delete:
    """One row is gone; ``before`` is its key, or its whole image where it has no key."""

    name: Name
    before: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Truncate:
    """All rows of a table are gone."""

    name: Name


@dataclass(frozen=True, slots=True)
class Command:
    """Commands in the server's own protocol, to be sent as they are, in order."""

    data: bytes
    count: int
    """How many commands ``data`` holds that get an answer."""
    database: str = ""
    """The source's database that they come from, where that is not in ``data``."""


@dataclass(frozen=True, slots=True)
class Ddl:
    """A statement that changes the shape of things, with the database it ran in."""

    database: str
    text: str


Change = Put | Delete | Truncate | Command | Ddl


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are written together; then the position may be remembered. No changes: a sign of life."""

    changes: Sequence[Change]
    position: Position
    read_at_ms: int = 0
    """When the source handed out the oldest of the changes, epoch milliseconds; 0 if unknown."""
    size: int = 0
    """Bytes of the source's log that the batch covers."""
    more: bool = False
    """The source's transaction goes on in the next batch: nothing is kept until one without ``more`` is."""
