"""The values that moving a schema works with: what was read, what is to be run, what is left out."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sterna.core.plan import Path

Key = str
"""Catalogue and oid of a thing on the source: ``pg_class/16432``."""

Acl = tuple[tuple[str, str, bool], ...]
"""Grantee (empty: PUBLIC), privilege, with grant option."""


@dataclass(frozen=True, slots=True)
class Order:
    """One SQL text, in the source's names, and the thing whose presence makes it needless."""

    sql: str
    type: str = ""
    identity: str = ""
    """As ``pg_identify_object`` says both; empty: it is run each time, and changes nothing the second time."""


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of the source's schema."""

    key: Key
    kind: str
    """A word for people, and the rank of its kind: ``table``, ``index`` …"""
    type: str
    identity: str
    """What ``pg_identify_object`` says, e.g. ``table`` and ``shop.orders``."""
    path: Path = ()
    """Schema and name; empty: it is in no schema."""
    orders: tuple[Order, ...] = ()
    of: Key = ""
    """The table or domain that it is a part of, and goes with."""
    parts: tuple[Key, ...] = ()
    """Things that come and go with it: a table's row type, a view's rule."""
    needs: tuple[Key, ...] = ()
    """Besides what pg_depend says."""
    after: bool = False
    """Made after the data by nature."""
    weight: int = 0
    """Bytes that have to be read for it."""
    locks: tuple[Key, ...] = ()
    """Tables that no other order may touch meanwhile."""
    shares: tuple[Key, ...] = ()
    """Tables that only other sharers may touch meanwhile."""
    essential: bool = False
    """Without it the data would be wrong or unguarded: that it cannot be made stops the job."""
    query: str = ""
    """How its text names tables: empty, ``query`` (in FROM), ``body`` (in FROM, within an SQL body) or
    ``policy:<schema>.<table>``."""
    told: str = ""
    """Why it cannot be moved at all."""
    inner: tuple[Path, ...] = ()
    """Of a table: the sequences of its identity columns, which live in its schema."""
    owner_table: Key = ""
    """Of a sequence: the table whose column owns it."""
    above: tuple[Key, ...] = ()
    """Of a table that inherits: its parents."""
    alone: tuple[Order, ...] = ()
    """Its orders where not all parents are taken."""
    root: Path | None = None
    """Of a partition: schema and name of the topmost table."""
    columns: tuple[tuple[int, str], ...] = ()
    """Of a table: the number and name of each column that is taken."""
    roles: tuple[str, ...] = ()
    """Roles that it names, as SQL writes them."""
    body: str = ""
    """A text that names things in a language of its own, and is taken as it is."""


@dataclass(frozen=True, slots=True)
class Statement:
    """Something to run on the target, in the target's names."""

    number: int
    kind: str
    name: str
    orders: tuple[Order, ...]
    needs: tuple[int, ...] = ()
    locks: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    weight: int = 0
    essential: bool = False
    last: bool = False
    """Made when no more changes are applied."""
    secret: bool = False
    """Holds a password's hash: it is kept in no file."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not moved, and why."""

    kind: str
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Sequence:
    """A sequence on both sides, with what it stood at when it was read."""

    source: Path
    """Schema and name."""
    target: Path
    start: int
    increment: int
    smallest: int
    largest: int
    cycles: bool
    last: int | None
    """None: it was never used, or may not be read."""
    called: bool


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All of one database that is to be made on the target."""

    database: str
    target: str
    version: int
    """The source's ``server_version_num``."""
    before: tuple[Statement, ...]
    """One by one, before the data."""
    after: tuple[Statement, ...]
    """In parallel, each after those that it needs."""
    endings: tuple[Statement, ...]
    """Owners, grants, comments: one by one."""
    left_out: tuple[LeftOut, ...]
    sequences: tuple[Sequence, ...]
    objects: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Type of object (``pg_identify_object``): the identities that the target has afterwards."""
