"""How tables are made, in words that every kind of database understands: for a target of another kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sterna.core.plan import Path


class Kind(StrEnum):
    """What a column holds. ``Type`` says how much of it."""

    BOOLEAN = "boolean"
    INTEGER = "integer"  #: ``bits`` 8 (unsigned), 16, 32 or 64 (signed)
    DECIMAL = "decimal"  #: ``precision`` and ``scale``; money too
    FLOAT = "float"  #: ``bits`` 32 or 64
    TEXT = "text"  #: ``length`` in characters, -1: unlimited; ``fixed``: padded with blanks
    BINARY = "binary"  #: ``length`` in bytes, -1: unlimited; ``fixed``: padded
    DATE = "date"
    TIME = "time"  #: ``scale``: digits of a second
    TIMESTAMP = "timestamp"  #: without a zone; ``scale``: digits of a second
    TIMESTAMP_ZONED = "timestamp_zoned"  #: an instant; ``scale``: digits of a second
    UUID = "uuid"
    XML = "xml"
    JSON = "json"
    VARIANT = "variant"  #: any of the others in each row, as text
    GEOMETRY = "geometry"  #: as well-known text
    OTHER = "other"  #: as bytes: ``native`` says what


@dataclass(frozen=True, slots=True)
class Type:
    """A column's type."""

    kind: Kind
    native: str
    """As the source's own language writes it, e.g. ``nvarchar(50)``."""
    bits: int = 0
    length: int = -1
    precision: int = 0
    scale: int = 0
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """A column that numbers the rows by itself."""

    seed: int
    increment: int
    following: int
    """The next value that will be given."""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type: Type
    nullable: bool = True
    default: str = ""
    """An expression in the source's language; empty: none."""
    default_name: str = ""
    computed: str = ""
    """An expression in the source's language; empty: an ordinary column."""
    stored: bool = True
    """Whether rows hold a value; only a computed column may not."""
    identity: Identity | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """A primary key or a unique constraint."""

    name: str
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Index:
    name: str
    columns: tuple[tuple[str, bool], ...]
    """Each with whether it is descending."""
    include: tuple[str, ...] = ()
    unique: bool = False
    where: str = ""
    """A condition in the source's language; empty: all rows."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    name: str
    columns: tuple[str, ...]
    target: Path
    """Schema and table."""
    target_columns: tuple[str, ...]
    on_delete: str = "NO ACTION"
    on_update: str = "NO ACTION"
    enabled: bool = True
    trusted: bool = True
    """Whether the source says that all rows hold to it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A check constraint: an expression in the source's language."""

    name: str
    text: str
    enabled: bool = True
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    path: Path
    """Database, schema and table, as a source's ``Name``."""
    columns: tuple[Column, ...]
    """In their logical order. Rows come with the columns that are ``stored``, in this order."""
    primary: Key | None = None
    uniques: tuple[Key, ...] = ()
    indexes: tuple[Index, ...] = ()
    checks: tuple[Condition, ...] = ()
    foreign: tuple[ForeignKey, ...] = ()
    comment: str = ""
    rows: int = -1
    """How many there are by the source's own count; -1: not known."""
    trouble: str = ""
    """Why its rows cannot be read; empty: they can."""


@dataclass(frozen=True, slots=True)
class Leftover:
    """Something that is not moved: views, procedures, triggers …"""

    kind: str
    path: Path
    text: str = ""
    """Its definition in the source's language, where it is known."""
    why: str = ""


@dataclass(frozen=True, slots=True)
class Schema:
    """Everything there is. ``dialect``: the source's language, as sqlglot names it."""

    dialect: str
    tables: Sequence[Table]
    leftovers: Sequence[Leftover] = ()
    databases: Sequence[str] = ()
    """Also those without tables."""
