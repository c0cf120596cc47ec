"""Tables as scripts of T-SQL for a SQL Server from 2008 on.

``schema.sql`` makes them, a script for each fills it, and ``finish.sql`` makes what is better made then.
Each row has a statement of its own: rows that share a list of VALUES would share its types too, which changes what
an sql_variant is. So many statements as a batch holds are one transaction.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO, cast

from sterna.core.errors import BadData
from sterna.core.plan import Path
from sterna.core.schema import Column, Condition, ForeignKey, Index, Kind, Leftover, Table
from sterna.engines.sqlserver.exporting.literals import NULL, Write, literal, quoted, text
from sterna.engines.sqlserver.exporting.texts import hex_of
from sterna.engines.sqlserver.wire.longs import Long
from sterna.engines.sqlserver.wire.rows import Row

BATCH_ROWS = 200
BATCH_BYTES = 1 << 20
_SESSION = (
    "SET NOCOUNT ON;\nSET XACT_ABORT ON;\nSET ANSI_NULLS ON;\nSET ANSI_PADDING ON;\nSET ANSI_WARNINGS ON;\n"
    "SET ARITHABORT ON;\nSET CONCAT_NULL_YIELDS_NULL ON;\nSET QUOTED_IDENTIFIER ON;\n"
    "SET NUMERIC_ROUNDABORT OFF;\nGO\n"
)
_GO = "GO\n"


def write_rows(file: BinaryIO, table: Table, rows: Iterable[Row]) -> None:
    """INSERT statements for all rows, streamed.

    Columns whose values the server makes (computed, rowversion) are left out. Raises BadData for a value and
    Unsupported for a name that T-SQL cannot hold, and what reading raises.
    """
    stored = [column for column in table.columns if column.stored]
    places = [n for n, column in enumerate(stored) if _is_given(column)]
    given = [stored[n] for n in places]
    name, names = _name(table.path), ", ".join(quoted(column.name) for column in given)
    start = " ".join(["INSERT INTO", name, f"({names}) VALUES (" if given else "DEFAULT VALUES"])
    writers = [literal(column) for column in given]
    numbered = any(column.identity for column in given)
    file.write(f"-- The rows of {name}\n{_SESSION}".encode())
    if numbered:
        file.write(f"SET IDENTITY_INSERT {name} ON;\n{_GO}".encode())
    for batch in _batches(_values(rows, places, given, writers)):
        if isinstance(batch, _Long):
            file.write(start.encode())
            file.writelines(batch.pieces())
            file.write(f");\n{_GO}".encode())
            continue
        lines = [f"{start}{values})" if given else start for values in batch]
        file.write(("BEGIN TRANSACTION;\n" + ";\n".join(lines) + f";\nCOMMIT TRANSACTION;\n{_GO}").encode())
    if numbered:
        file.write(f"SET IDENTITY_INSERT {name} OFF;\n{_GO}".encode())


@dataclass(frozen=True)
class _Long:
    """A row with values that are not held: a batch of its own, and so a transaction."""

    values: Sequence[str | Long]
    kinds: Sequence[Kind]

    def pieces(self) -> Iterator[bytes]:
        """Text as its bytes: what it holds is not known before its end."""
        for number, value in enumerate(self.values):
            yield b", " if number else b""
            if isinstance(value, str):
                yield value.encode()
            elif value.binary:
                yield from hex_of(value)
            else:
                is_xml = self.kinds[number] is Kind.XML
                yield b"CONVERT(xml, CONVERT(nvarchar(max), " if is_xml else b"CONVERT(nvarchar(max), "
                yield from hex_of(value)
                yield b"), 1)" if is_xml else b")"


def _values(
    rows: Iterable[Row], places: Sequence[int], columns: Sequence[Column], writers: Sequence[Write]
) -> Iterator[str | _Long]:
    fields = list(zip(places, writers, strict=True))
    kinds = [column.type.kind for column in columns]
    for row in rows:
        done: list[str | Long] = []
        try:
            for place, write in fields:
                done.append(_written(row[place], kinds[len(done)], write))
        except (ValueError, OverflowError, ArithmeticError) as wrong:
            raise BadData(f"column {columns[len(done)].name}: {wrong}") from wrong
        texts = [each for each in done if isinstance(each, str)]
        yield ", ".join(texts) if len(texts) == len(done) else _Long(done, kinds)


def _written(value: object, kind: Kind, write: Write) -> str | Long:
    """A shape is written from its text as a whole: what has to be said of it does not stand in one place."""
    if isinstance(value, Long):
        return value if kind is not Kind.GEOMETRY else write("".join(cast(Iterable[str], value)))
    return NULL if value is None else write(value)


def _batches(lines: Iterable[str | _Long]) -> Iterator[list[str] | _Long]:
    for is_long, some in groupby(lines, lambda line: isinstance(line, _Long)):
        if is_long:
            yield from (line for line in some if isinstance(line, _Long))
        else:
            yield from _short_batches(line for line in some if isinstance(line, str))


def _short_batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for line in lines:
        if batch and (len(batch) >= BATCH_ROWS or size + len(line) > BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(line)
        size += len(line)
    if batch:
        yield batch


def _is_given(column: Column) -> bool:
    return not column.computed and column.type.native != "rowversion"


def check_names(table: Table) -> None:
    """Raises Unsupported if the table cannot be made by a script."""
    _created(table)
    there = {tuple(key.target): {frozenset(key.target_columns)} for key in table.foreign}
    for key in table.foreign:
        _foreign(table, key, there)
    for _ in _after(table):
        pass


@dataclass(frozen=True)
class Scripts:
    """What has to be run before and after the rows."""

    database: str
    tables: Sequence[Table]
    """Their ``rows`` are those that were written."""
    leftovers: Sequence[Leftover]

    def schema(self) -> Iterator[str]:
        """``schema.sql``: schemas, tables, keys, defaults, checks."""
        yield (
            f"-- Tables of {_told((self.database,))}, for a SQL Server from 2008 on, in a database\n"
            "-- that has the source's collation. Run schema.sql, then the scripts of rows in any order, then\n"
            "-- finish.sql, e.g. sqlcmd -b -x -f 65001 -d NAME -i schema.sql\n"
        )
        yield _SESSION
        for schema in sorted({table.path[1] for table in self.tables} - {"dbo"}):
            make = f"CREATE SCHEMA {quoted(schema)}"
            yield f"IF SCHEMA_ID({text(schema)}) IS NULL EXEC({text(make)});\n{_GO}"
        for table in self.tables:
            yield _created(table) + _GO
        for leftover in self.leftovers:
            why = f" ({_line(leftover.why)})" if leftover.why else ""
            yield f"-- Left out: {leftover.kind} {_told(leftover.path[1:])}{why}\n"

    def finish(self) -> Iterator[str]:
        """``finish.sql``: indexes, checks that rows need not hold to, foreign keys, next numbers, comments."""
        yield f"-- What is made of {_told((self.database,))} when the rows are there\n"
        yield _SESSION
        there: dict[Path, set[frozenset[str]]] = {}
        for table in self.tables:
            there.setdefault(tuple(table.path[1:]), set()).update(_unique(table))
        for table in self.tables:
            for statement in _after(table):
                yield statement + _GO
        for table in self.tables:
            for key in table.foreign:
                yield _foreign(table, key, there) + _GO


def _created(table: Table) -> str:
    parts = [_column(column) for column in table.columns]
    if table.primary:
        parts.append(f"CONSTRAINT {quoted(table.primary.name)} PRIMARY KEY ({_list(table.primary.columns)})")
    parts += [f"CONSTRAINT {quoted(key.name)} UNIQUE ({_list(key.columns)})" for key in table.uniques]
    parts += [
        f"CONSTRAINT {quoted(check.name)} CHECK {_in_brackets(check.text)}"
        for check in table.checks
        if _holds(check)
    ]
    return f"CREATE TABLE {_name(table.path)} (\n    " + ",\n    ".join(parts) + "\n);\n"


def _column(column: Column) -> str:
    name = quoted(column.name)
    if column.computed:
        kept = " PERSISTED" + ("" if column.nullable else " NOT NULL") if column.stored else ""
        return f"{name} AS {_in_brackets(column.computed)}{kept}"
    words = [name, "varbinary(max)" if column.type.kind is Kind.OTHER else column.type.native]
    if column.identity:
        words.append(f"IDENTITY({column.identity.seed},{column.identity.increment})")
    words.append("NULL" if column.nullable else "NOT NULL")
    if column.default:
        named = f"CONSTRAINT {quoted(column.default_name)} " if column.default_name else ""
        words.append(f"{named}DEFAULT {_in_brackets(column.default)}")
    return " ".join(words)


def _after(table: Table) -> Iterator[str]:
    for index in table.indexes:
        yield _index(table, index)
    for check in table.checks:
        if not _holds(check):
            yield _check(table, check)
    for column in table.columns:
        if column.identity and column.identity.following != column.identity.seed:
            # The server adds the increment only if there ever was a row.
            last = column.identity.following - (column.identity.increment if table.rows else 0)
            command = f"DBCC CHECKIDENT ({text(_name(table.path))}, RESEED, {last})"
            yield f"EXEC sp_executesql {text(command)};\n"
    yield from _comments(table)


def _index(table: Table, index: Index) -> str:
    keys = ", ".join(f"{quoted(name)}{' DESC' if descending else ''}" for name, descending in index.columns)
    unique = "UNIQUE " if index.unique else ""
    include = f" INCLUDE ({_list(index.include)})" if index.include else ""
    where = f" WHERE {index.where}" if index.where else ""
    return f"CREATE {unique}INDEX {quoted(index.name)} ON {_name(table.path)} ({keys}){include}{where};\n"


def _holds(check: Condition) -> bool:
    return check.enabled and check.trusted


def _check(table: Table, check: Condition) -> str:
    name, on = quoted(check.name), _name(table.path)
    made = f"ALTER TABLE {on} WITH NOCHECK ADD CONSTRAINT {name} CHECK {_in_brackets(check.text)};\n"
    return made + ("" if check.enabled else f"ALTER TABLE {on} NOCHECK CONSTRAINT {name};\n")


def _unique(table: Table) -> Iterator[frozenset[str]]:
    """The columns that a foreign key can refer to."""
    yield from (frozenset(key.columns) for key in (*([table.primary] if table.primary else []), *table.uniques))
    yield from (
        frozenset(name for name, _ in each.columns) for each in table.indexes if each.unique and not each.where
    )


def _foreign(table: Table, key: ForeignKey, there: Mapping[Path, Collection[frozenset[str]]]) -> str:
    """``there``: the tables that are made, and what of them is unique. A disabled key of theirs is not."""
    if frozenset(key.target_columns) not in there.get(tuple(key.target), ()):
        return f"-- Left out: {_told((key.name,))}, which refers to {_told(key.target)}\n"
    on, name = _name(table.path), quoted(key.name)
    checked = "CHECK" if key.enabled and key.trusted else "NOCHECK"
    made = (
        f"ALTER TABLE {on} WITH {checked} ADD CONSTRAINT {name} FOREIGN KEY ({_list(key.columns)}) "
        f"REFERENCES {_name(key.target)} ({_list(key.target_columns)}) "
        f"ON DELETE {key.on_delete} ON UPDATE {key.on_update};\n"
    )
    return made + ("" if key.enabled else f"ALTER TABLE {on} NOCHECK CONSTRAINT {name};\n")


def _comments(table: Table) -> Iterator[str]:
    schema, name = table.path[-2:]
    where = f"N'SCHEMA', {text(schema)}, N'TABLE', {text(name)}"
    if table.comment:
        yield _comment(table.comment, where)
    for column in table.columns:
        if column.comment:
            yield _comment(column.comment, f"{where}, N'COLUMN', {text(column.name)}")


def _comment(comment: str, where: str) -> str:
    """In a variable: what a procedure is given cannot be an expression."""
    declared = f"DECLARE @comment sql_variant = CAST({text(comment)} AS nvarchar(3750));\n"
    return f"{declared}EXEC sys.sp_addextendedproperty N'MS_Description', @comment, {where};\n"


def _name(path: Path) -> str:
    """``[schema].[table]``."""
    return ".".join(quoted(part) for part in path[-2:])


def _list(names: Iterable[str]) -> str:
    return ", ".join(quoted(name) for name in names)


def _in_brackets(expression: str) -> str:
    """On a line of its own if it may end in a comment."""
    return f"({expression}\n)" if "--" in expression else f"({expression})"


def _told(path: Path) -> str:
    """A name for a comment, whatever is in it."""
    return ".".join(f"[{_line(part)}]" for part in path)


def _line(words: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in words).replace("$(", "$ (")
