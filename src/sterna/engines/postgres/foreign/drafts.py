"""What is to be made of a source of another kind: the values between drafting and building."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sterna.core.plan import Path
from sterna.core.schema import Table


@dataclass(frozen=True, slots=True)
class Left:
    """Something that is not as on the source: what, where, its text there, and why."""

    kind: str
    name: str
    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Order:
    """One statement, made once: what is made with it, and how a person calls it."""

    kind: str
    """``key``, ``unique``, ``index``, ``check`` or ``foreign key``."""
    name: str
    """Of the constraint or index on the target."""
    table: Path
    """On the target."""
    sql: str
    source: str
    """Its text on the source, or its columns."""
    lenient: str = ""
    """What is run instead where rows that are there do not hold to it."""
    other_name: str = ""
    """For an index whose name something else on the target has."""
    other_sql: str = ""


@dataclass(frozen=True, slots=True)
class Drafted:
    """One table: how it is made, and how its rows are written."""

    source: Table
    to: Path
    columns: tuple[str, ...]
    """The target's names of those that the rows come with, in their order."""
    create: str
    create_plainly: str
    """The same without computed columns; their values, where rows have them, are ordinary ones then."""
    computed: tuple[tuple[str, str], ...]
    """The source's names of the columns that ``create`` computes, each with its text there."""
    defaults: tuple[tuple[str, str, str], ...]
    """The column on the target, the statement, the text on the source."""
    comments: tuple[str, ...]
    identities: tuple[tuple[str, str, str], ...]
    """Columns that number the rows: the column, the statement that makes it go on, the next number."""
    indexes: tuple[Order, ...]
    """Keys too."""
    constraints: tuple[Order, ...]
    """Checks and foreign keys, once every table has its keys."""


@dataclass(frozen=True, slots=True)
class Draft:
    """Everything for one target."""

    tables: Mapping[Path, Drafted]
    """By the source's path."""
    left: Sequence[Left]
    renamed: Sequence[tuple[str, str]]
    """What is called otherwise on the target."""
    compares_text: Sequence[str]
    """What compares texts, in PostgreSQL with regard to case, accents and blanks at the end."""
    homes: Mapping[str, str]
    """What the target calls databases that are made even if no table goes there."""

    def databases(self) -> Mapping[str, str]:
        """The source's databases, and what the target calls them."""
        return dict(self.homes) | {path[0]: each.to[0] for path, each in self.tables.items()}

    def among(self, database: str) -> Sequence[Drafted]:
        """The tables of one of the target's databases, by name."""
        found = [each for each in self.tables.values() if each.to[0] == database]
        return sorted(found, key=lambda each: each.to)
