"""What the operator described: from where, to where, what of it, and how."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Mode(StrEnum):
    FULL = "full"  #: everything that is there at one instant
    INCREMENTAL = "incremental"  #: that, and then everything that changes, until it is ended


class Conflict(StrEnum):
    """What happens when the target already holds the key or row."""

    OVERWRITE = "overwrite"  #: the source wins
    SKIP = "skip"  #: the target wins, now and later
    STOP = "stop"  #: the job stops before it changes anything


class Resume(StrEnum):
    """What happens when the source no longer keeps the position."""

    AUTO = "auto"  #: copy everything again
    MANUAL = "manual"  #: stop and say so


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted. ``verify`` False takes any certificate."""

    verify: bool = True
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    authority: str = ""
    """Certificates to trust, PEM text, instead of ``ca_file``."""
    host_name: bool = True
    """Whether the server's certificate has to name its host; only with ``verify``."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a registered bucket."""

    bucket: str
    """The bucket's id."""
    name: str
    """With its folders."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a migration."""

    engine: str
    """``redis``, ``postgresql``, ``memory`` …"""
    addresses: tuple[tuple[str, int], ...]
    """Host and port; several for a cluster, one for each master."""
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    instance_id: str = ""
    """The registered instance it came from, if any."""
    name: str = ""
    database: str = ""
    """Where to log in, for servers that want a database's name for that; empty: the server's default."""
    files: tuple[StoredFile, ...] = ()
    """Of a source that is files instead of a server; then ``addresses`` is empty."""

    def __str__(self) -> str:
        named = [f"{host}:{port}" for host, port in self.addresses] or [file.name for file in self.files]
        return ",".join(named)


@dataclass(frozen=True, slots=True)
class Rename:
    """``old`` is called ``new`` on the target. ``*`` as old: all of them."""

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class RowFilter:
    """Which rows or keys of what is selected: by prefix (key-value stores)."""

    include: tuple[str, ...] = ()
    """Prefixes to take; none: all."""
    exclude: tuple[str, ...] = ()
    """Prefixes to leave out, stronger than ``include``."""


Path = tuple[str, ...]
"""The names of a database, schema or table, outermost first: ``("shop", "public", "orders")``."""


@dataclass(frozen=True, slots=True)
class Picked:
    """One database, schema or table that is taken."""

    path: Path
    to: Path = ()
    """What it is called on the target, as long as ``path``; empty: as on the source."""
    columns: tuple[str, ...] = ()
    """Of a table: take these alone; none: all."""
    where: str = ""
    """Of a table: take the rows for which this SQL condition holds; empty: all."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a table goes, and what of it."""

    to: Path
    columns: tuple[str, ...] = ()
    where: str = ""


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the source goes where. Key-value stores use ``only``, ``renames`` and ``rows``, others the rest."""

    only: tuple[str, ...] = ()
    """Databases to take; none: all."""
    renames: tuple[Rename, ...] = ()
    rows: RowFilter = RowFilter()
    objects: tuple[Picked, ...] = ()
    """Databases, schemas and tables to take; none: everything. Of several that hold a table the narrowest one
    counts."""
    without: tuple[Path, ...] = ()
    """Databases, schemas and tables to leave out, stronger than ``objects``."""

    def place(self, path: Path) -> Place | None:
        """Where a database, schema or table goes; None: it is not taken."""
        if any(path[: len(each)] == each for each in self.without):
            return None
        holding = [each for each in self.objects if path[: len(each.path)] == each.path]
        if self.objects and not holding:
            return None
        holding.sort(key=lambda each: len(each.path), reverse=True)
        to = next((each.to + path[len(each.path) :] for each in holding if each.to), path)
        narrowest = holding[0] if holding and holding[0].path == path else Picked(path)
        return Place(to, narrowest.columns, narrowest.where)

    def database(self, name: str) -> str | None:
        """What ``only`` and ``renames`` make of a database whose name's case does not matter; None: not taken."""
        if self.only and not any(_alike(each, name) for each in self.only):
            return None
        named = [each.new for each in self.renames if _alike(each.old, name)]
        return next(iter([*named, *(each.new for each in self.renames if each.old == "*")]), name)

    def touches(self, path: Path) -> bool:
        """Whether anything in a database or schema is taken, or the thing itself."""
        if any(path[: len(each)] == each for each in self.without):
            return False
        return not self.objects or any(_along(each.path, path) for each in self.objects)


def _alike(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()


def _along(one: Path, other: Path) -> bool:
    """Whether one holds the other."""
    length = min(len(one), len(other))
    return one[:length] == other[:length]


MINUTES = 24 * 60


@dataclass(frozen=True, slots=True)
class Window:
    """A limit that holds for a part of each day, in the service's local time."""

    begin: int
    """Minute of the day at which it begins, 0 to 1439."""
    end: int
    """Minute of the day with whose end it ends; smaller than ``begin``: on the next day."""
    bytes_per_s: int

    def holds(self, minute: int) -> bool:
        if self.begin <= self.end:
            return self.begin <= minute <= self.end
        return minute >= self.begin or minute <= self.end


@dataclass(frozen=True, slots=True)
class Pace:
    """Upper limits, 0 being none. A window that holds now counts before them, in both phases."""

    copy_bytes_per_s: int = 0
    follow_bytes_per_s: int = 0
    windows: tuple[Window, ...] = ()

    def copy_rate(self, minute: int) -> int:
        """Bytes a second that the copy may move in this minute of the day; 0: no limit."""
        return self._window(minute) or self.copy_bytes_per_s

    def follow_rate(self, minute: int) -> int:
        """The same for changes."""
        return self._window(minute) or self.follow_bytes_per_s

    def _window(self, minute: int) -> int:
        return next((each.bytes_per_s for each in self.windows if each.holds(minute)), 0)


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole migration as described."""

    source: Endpoint
    target: Endpoint
    mode: Mode = Mode.INCREMENTAL
    selection: Selection = Selection()
    pace: Pace = Pace()
    conflict: Conflict = Conflict.OVERWRITE
    resume: Resume = Resume.AUTO
    options: Mapping[str, str] = field(default_factory=dict)
    """Settings that only one engine knows, by their documented names."""
