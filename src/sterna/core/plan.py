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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One side of a migration."""

    engine: str
    """``redis``, ``memory`` …"""
    addresses: tuple[tuple[str, int], ...]
    """Host and port; several for a cluster, one for each master."""
    user: str = ""
    password: str = field(default="", repr=False)
    tls: Tls | None = None
    instance_id: str = ""
    """The registered instance it came from, if any."""
    name: str = ""

    def __str__(self) -> str:
        return ",".join(f"{host}:{port}" for host, port in self.addresses)


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


@dataclass(frozen=True, slots=True)
class Selection:
    """What of the source goes where."""

    only: tuple[str, ...] = ()
    """Databases to take; none: all."""
    renames: tuple[Rename, ...] = ()
    rows: RowFilter = RowFilter()


@dataclass(frozen=True, slots=True)
class Pace:
    """Upper limits, 0 being none."""

    copy_bytes_per_s: int = 0
    follow_bytes_per_s: int = 0


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
