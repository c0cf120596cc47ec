"""Which databases, schemas and tables go where: the options of servers that have such things."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated

import typer

from sterna.cli.names import read_columns, read_condition, read_path, read_rename
from sterna.core.errors import Invalid
from sterna.core.plan import Path, Picked, Selection

TABLE = 3
"""How many names the full path of a table has: database, schema, table."""
_NAMES = "Names with dots or quotes as in SQL."

Databases = Annotated[
    list[str] | None,
    typer.Option(
        "--database",
        metavar="NAME[=NEW]",
        help="PostgreSQL: take this database, and call it NEW there; may be repeated. Default: the URL's, or all.",
    ),
]
Schemas = Annotated[
    list[str] | None,
    typer.Option(
        "--schema",
        metavar="SCHEMA[=NEW]",
        help=f"PostgreSQL: take this schema; may be repeated. DATABASE.SCHEMA where there are several. {_NAMES}",
    ),
]
Tables = Annotated[
    list[str] | None,
    typer.Option(
        "--table",
        metavar="SCHEMA.TABLE[=NEW]",
        help=f"PostgreSQL: take this table; may be repeated. {_NAMES}",
    ),
]
Renames = Annotated[
    list[str] | None,
    typer.Option(
        "--rename",
        metavar="OLD=NEW",
        help="PostgreSQL: call a schema or SCHEMA.TABLE something else there, whatever is taken; may be repeated.",
    ),
]
Excludes = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude",
        metavar="NAME",
        help="PostgreSQL: leave out a schema or SCHEMA.TABLE; may be repeated. Stronger than what is taken.",
    ),
]
Columns = Annotated[
    list[str] | None,
    typer.Option(
        "--columns", metavar="TABLE:A,B", help="PostgreSQL: take these columns of a table alone; may be repeated."
    ),
]
Conditions = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="TABLE:CONDITION",
        help="PostgreSQL: take the rows of a table for which this SQL condition holds; may be repeated.",
    ),
]


@dataclass(frozen=True)
class Wanted:
    """What was typed."""

    databases: Sequence[str] | None = None
    schemas: Sequence[str] | None = None
    tables: Sequence[str] | None = None
    renames: Sequence[str] | None = None
    excludes: Sequence[str] | None = None
    columns: Sequence[str] | None = None
    conditions: Sequence[str] | None = None

    @property
    def given(self) -> dict[str, bool]:
        """Option: whether it was used."""
        names = ("database", "schema", "table", "rename", "exclude", "columns", "where")
        values = [self.databases, self.schemas, self.tables, self.renames]
        values += [self.excludes, self.columns, self.conditions]
        return {name: bool(value) for name, value in zip(names, values, strict=True)}


def selection_of(wanted: Wanted, source: str, target: str) -> Selection:
    """What the options say, and the databases that the URLs name (empty: none). Raises Invalid."""
    reading = _Reading()
    reading.databases(wanted.databases or (), source, target)
    for option, texts, depth in (("schema", wanted.schemas, 2), ("table", wanted.tables, TABLE)):
        for text in texts or ():
            reading.take(text, option, depth)
    for text in wanted.renames or ():
        reading.rename(text)
    for text in wanted.columns or ():
        table, columns = read_columns(text, "columns")
        reading.columns[reading.full(table, "columns", TABLE)] = tuple(columns)
    for text in wanted.conditions or ():
        table, condition = read_condition(text, "where")
        reading.conditions[reading.full(table, "where", TABLE)] = condition
    without = [reading.full(read_path(text, "exclude"), "exclude") for text in wanted.excludes or ()]
    return Selection(objects=tuple(reading.objects()), without=tuple(without))


@dataclass
class _Reading:
    """What was read so far, all of it by full paths."""

    taken: list[Path] = field(default_factory=list)
    new: dict[Path, Path] = field(default_factory=dict)
    """What things are called on the target: by their own path, where that was said."""
    columns: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    conditions: dict[Path, str] = field(default_factory=dict)
    only: str = ""
    """The one database that is taken, if it is one: paths need not name it."""
    named: list[str] = field(default_factory=list)
    """The databases that are taken."""

    def databases(self, texts: Sequence[str], source: str, target: str) -> None:
        for text in texts:
            path, to = read_rename(text, "database")
            if len(path) != 1:
                raise Invalid("database", "--database is one name; with dots in it, in double quotes")
            self.named.append(path[0])
            self.call(path, to)
        if source:
            if self.named and self.named != [source]:
                raise Invalid("source", f"The URL of the source names {source}, --database another")
            self.named = [source]
        self.only = self.named[0] if len(self.named) == 1 else ""
        if target:
            if not self.only:
                raise Invalid(
                    "target",
                    "The URL of the target names a database, but not one database of the source is taken",
                    hint="Name it in the URL of the source, or with --database.",
                )
            self.call((self.only,), (target,))

    def take(self, text: str, option: str, depth: int) -> None:
        old, to = read_rename(text, option)
        path = self.full(old, option, depth)
        self.taken.append(path)
        self.call(path, to)

    def rename(self, text: str) -> None:
        old, to = read_rename(text, "rename")
        if to is None:
            raise Invalid("rename", "--rename is OLD=NEW")
        self.call(self.full(old, "rename"), to)

    def call(self, path: Path, to: Path | None) -> None:
        """Remember a new name. What ``to`` lacks at its beginning is called as it is called elsewhere."""
        if to is None:
            return
        if self.new.setdefault(path, to) != to:
            raise Invalid("rename", f"{'.'.join(path)} cannot have two new names")

    def full(self, path: Path, option: str, depth: int = 0) -> Path:
        """The path with its database. ``depth``: how many names it must have then; 0: any."""
        whole = path
        if self.only and (path[0] != self.only or len(path) < (depth or TABLE)):
            whole = (self.only, *path)
        if len(whole) > TABLE or (depth and len(whole) != depth):
            shape = ("DATABASE", "SCHEMA", "TABLE")[int(bool(self.only)) : depth or TABLE]
            raise Invalid(option, f"--{option} takes {'.'.join(shape)}")
        if self.named and whole[0] not in self.named:
            raise Invalid(option, f"--{option} names database {whole[0]}, which is not taken")
        return whole

    def objects(self) -> list[Picked]:
        """Everything that is taken, and everything in it that is not taken as it is."""
        whole = [(name,) for name in self.named if not any(path[0] == name for path in self.taken)]
        taken = [*whole, *self.taken]
        narrowed = [path for path in {**self.new, **self.columns, **self.conditions} if path not in taken]
        for path in narrowed:
            held = any(path[: len(each)] == each for each in taken)
            holds = any(each[: len(path)] == path for each in taken)
            if not held and not (holds and path in self.new):
                raise Invalid(
                    "database" if not self.named else "rename",
                    f"{'.'.join(path)} is described, but not among what is taken",
                    hint="Take it with --database, --schema or --table, or name the database in the URL.",
                )
        inside = [path for path in narrowed if any(path[: len(each)] == each for each in taken)]
        return [self._picked(path) for path in dict.fromkeys([*taken, *inside])]

    def _picked(self, path: Path) -> Picked:
        to = self._to(path)
        if to[0] != self._to(path[:1])[0]:
            raise Invalid("rename", f"{'.'.join(path)} cannot go into another database than what is around it")
        return Picked(path, () if to == path else to, self.columns.get(path, ()), self.conditions.get(path, ""))

    def _to(self, path: Path) -> Path:
        """Where it goes, if all that holds it is called as was said."""
        if not path:
            return ()
        new = self.new.get(path, path[-1:])
        return (*self._to(path[: len(path) - len(new)]), *new)
