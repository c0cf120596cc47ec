"""What a made-up database is made of: small descriptions that the writer turns into pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.backups.image import Maker


@dataclass(frozen=True)
class Collation:
    """A collation: SQL Server's number for it, the Python codec of its code page, its name."""

    number: int
    codec: str
    name: str


LATIN = Collation(0x3400D008, "cp1252", "SQL_Latin1_General_CP1_CI_AS")
POLISH = Collation(0x0000D013, "cp1250", "Polish_CI_AS")
CYRILLIC = Collation(0x0000D015, "cp1251", "Cyrillic_General_CI_AS")
JAPANESE = Collation(0x0000D010, "cp932", "Japanese_CI_AS")
UTF8 = Collation(0x0004D188, "utf-8", "Latin1_General_100_CI_AS_SC_UTF8")


@dataclass(frozen=True)
class Raw:
    """A value given as stored bytes, with the text that a reader must make of it."""

    stored: bytes
    text: str


@dataclass(frozen=True)
class Variant:
    """A sql_variant: the type inside and its value."""

    kind: str
    value: Value
    collation: Collation = LATIN


Value = None | bool | int | float | str | bytes | Decimal | Raw | Variant


@dataclass(frozen=True)
class Default:
    """A default constraint of a column."""

    name: str
    text: str


@dataclass(frozen=True)
class Identity:
    """Seed, increment and last value used (None: never used)."""

    seed: int = 1
    increment: int = 1
    last: int | None = None


@dataclass(frozen=True)
class Col:
    """A column; ``kind`` is its type as T-SQL spells it. Dropped ones stay in records and leave the catalogue."""

    name: str
    kind: str
    nullable: bool = True
    collation: Collation = LATIN
    identity: Identity | None = None
    default: Default | None = None
    computed: str | None = None
    persisted: bool = False
    sparse: bool = False
    dropped: bool = False
    comment: str | None = None
    alias: str | None = None


@dataclass(frozen=True)
class Index:
    """An index or a key. ``form``: btree, columnstore, xml or spatial. Hypothetical ones have no pages."""

    name: str
    columns: Sequence[str]
    unique: bool = False
    primary: bool = False
    constraint: bool = False
    clustered: bool = False
    include: Sequence[str] = ()
    descending: Sequence[str] = ()
    predicate: str | None = None
    form: str = "btree"
    disabled: bool = False
    hypothetical: bool = False


@dataclass(frozen=True)
class ForeignKey:
    """A foreign key; actions: 0 none, 1 cascade, 2 set null, 3 set default."""

    name: str
    columns: Sequence[str]
    target: tuple[str, str]
    target_columns: Sequence[str]
    on_delete: int = 0
    on_update: int = 0
    trusted: bool = True
    disabled: bool = False


@dataclass(frozen=True)
class Check:
    """A check constraint, of a column or of the whole table."""

    name: str
    text: str
    column: str | None = None


@dataclass(frozen=True)
class Put:
    """A row that is stored in a special way.

    ``columns``: the row was written when the table had only so many physical columns.
    """

    values: Sequence[Value]
    forwarded: bool = False
    ghost: bool = False
    versioned: bool = False
    columns: int | None = None
    uniquifier: int | None = None


Row = Sequence[Value] | Put


@dataclass(frozen=True)
class Tbl:
    """A table; its rows give the values of all columns with a place in records, in the order of ``columns``."""

    schema: str
    name: str
    columns: Sequence[Col]
    rows: Sequence[Row] = ()
    indexes: Sequence[Index] = ()
    foreign_keys: Sequence[ForeignKey] = ()
    checks: Sequence[Check] = ()
    comment: str | None = None
    compression: str = "none"
    partitions: int = 1
    lob_leaf: int = 8040
    lob_fan: int = 400
    group: int = 1
    memory: bool = False
    root_links: int = 5
    text_in_row: int = 0
    maker: Maker | None = None


@dataclass(frozen=True)
class Module:
    """A view, procedure, function, trigger, synonym or sequence: ``code`` is V, P, FN, TR, SN or SO."""

    schema: str
    name: str
    code: str
    text: str | None
    parent: tuple[str, str] | None = None
    encrypted: bool = False


@dataclass(frozen=True)
class Property:
    """An extended property by its class: 0 of the database, 1 of an object or column, 3 a schema, 7 an index.

    ``owner``: the schema and the table or module, or the schema alone.
    """

    kind: int
    owner: tuple[str, ...]
    part: int
    name: str
    value: Variant


@dataclass(frozen=True)
class File:
    """A data file: its number, its file group and its size in pages (0: as big as it must be)."""

    number: int = 1
    group: int = 1
    pages: int = 0
    first_free: int = 0
    form: int = 1


@dataclass(frozen=True)
class Group:
    """A file group."""

    number: int = 1
    name: str = "PRIMARY"


@dataclass(frozen=True)
class Db:
    """A database."""

    name: str
    tables: Sequence[Tbl] = ()
    modules: Sequence[Module] = ()
    collation: Collation = LATIN
    files: Sequence[File] = (File(),)
    groups: Sequence[Group] = (Group(),)
    aliases: Sequence[tuple[str, str]] = ()
    simple: bool = False
    database_id: int = 5
    uniform: bool = False
    schemas: dict[str, int] = field(default_factory=dict)
    properties: Sequence[Property] = ()
