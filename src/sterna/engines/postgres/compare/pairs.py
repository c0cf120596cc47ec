"""Which table of the source belongs to which of the target, and the SQL that reads both the same way."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sterna.core.change import Name
from sterna.core.plan import Path, Place, Selection
from sterna.engines.postgres.catalogue import Table, taken
from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.compare.hashing import Hashing
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import quoted

UNKNOWN_WEIGHT = 1000
"""Bytes in a row of a table that was never analysed, as a guess."""


@dataclass(frozen=True, slots=True)
class Match:
    """A table, or a whole partitioned one, and where it goes."""

    path: Path
    place: Place
    table: Table
    """The table, or one of the leaves."""
    rows: int
    size: int
    whole: bool
    """Whether ``path`` is a partitioned table that the target does not divide in the same way."""

    @property
    def name(self) -> Name:
        return Name(self.path)

    @property
    def target(self) -> Name:
        return Name(self.place.to)

    @property
    def weight(self) -> int:
        """Bytes in a row, as believed."""
        return self.size // self.rows if self.rows > 0 else UNKNOWN_WEIGHT


@dataclass(frozen=True, slots=True)
class ColumnThere:
    """One column as a server has it now."""

    type: str
    generated: str
    identity: str


@dataclass(frozen=True, slots=True)
class There:
    """What a server has under a table's name."""

    kind: str
    """``relkind``."""
    columns: Mapping[str, ColumnThere]


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns that are compared, by name with the type; an empty type: it is not the same on both sides."""

    compared: tuple[tuple[str, str], ...]
    missing: tuple[str, ...]
    """Selected ones that the target does not have."""
    key: tuple[tuple[str, str], ...]
    """Those that tell a row; none: only all of them together do."""
    generated: frozenset[str] = frozenset()
    """Those whose values cannot be written."""
    always: frozenset[str] = frozenset()
    """Those that the target only lets be written in an INSERT."""


@dataclass(frozen=True)
class Side:
    """One of two tables that are compared, and how to read it."""

    connection: Connection
    relation: str
    where: str
    """The condition that rows must meet, as SQL."""
    columns: Columns
    hashing: Hashing
    key_types: tuple[str, ...]
    """What this side calls the types of the key's columns."""
    by_key: bool
    """Whether both tables have an index that finds rows by the key."""

    @property
    def row_hash(self) -> str:
        return self.hashing.row(self.columns.compared)

    @property
    def key_hash(self) -> str:
        """The hash by which rows are put into buckets."""
        return self.hashing.row(self.columns.key or self.columns.compared)

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(quoted(name) for name, _ in self.columns.key)

    def over(self, connection: Connection) -> "Side":
        """The same table over another connection."""
        return replace(self, connection=connection)

    def reading(self, wanted: str, condition: str = "") -> str:
        """``SELECT wanted`` from the rows that are compared and meet the condition."""
        conditions = " AND ".join(f"({each}\n)" for each in (self.where, condition) if each)
        return f"SELECT {wanted} FROM {self.relation}{' WHERE ' if conditions else ''}{conditions}"  # noqa: S608


async def there(connection: Connection, path: Path) -> There | None:
    """What a database has under a name; None: nothing. Raises psycopg.Error."""
    generated = "a.attgenerated::text" if connection.info.server_version >= 120000 else "''"
    rows = await ask(connection, _COLUMNS.format(generated=generated), path[1:])
    if not rows:
        return None
    return There(rows[0][0], {name: ColumnThere(*facts) for _, name, *facts in rows if name})


_COLUMNS = """
    SELECT c.relkind::text, a.attname, format_type(a.atttypid, a.atttypmod), {generated}, a.attidentity::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
     ORDER BY a.attnum"""


def columns(match: Match, mine: There, its: There) -> Columns:
    """What of the two tables is compared. Generated columns are, where the target has them."""
    wanted = [name for name in mine.columns if not match.place.columns or name in match.place.columns]
    both = [name for name in wanted if name in its.columns]
    types = {name: mine.columns[name].type for name in both}
    types |= {name: "" for name in both if its.columns[name].type != types[name]}
    key = match.table.primary or (match.table.key if match.table.identity == "i" else ())
    return Columns(
        compared=tuple(types.items()),
        missing=tuple(each for each in wanted if each not in both and not mine.columns[each].generated),
        key=tuple((name, types[name]) for name in key) if set(key) <= set(both) else (),
        generated=frozenset(each for each in both if mine.columns[each].generated or its.columns[each].generated),
        always=frozenset(name for name in both if its.columns[name].identity == "a"),
    )


def relation(path: Path, kind: str) -> str:
    """The table for a FROM. Tables that inherit are tables of their own; partitions belong to theirs."""
    return f"ONLY {quoted(*path[1:])}" if kind == "r" else quoted(*path[1:])


async def indexed(connection: Connection, path: Path, key: Sequence[str]) -> bool:
    """Whether a valid B-tree index begins with the key's columns in its order. Raises psycopg.Error."""
    if not key:
        return False
    ((found,),) = await ask(connection, _INDEXED, [*path[1:], list(key)])
    return bool(found)


_INDEXED = """
    SELECT EXISTS (
        SELECT FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_am m ON m.oid = x.relam
          JOIN pg_class c ON c.oid = i.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2 AND i.indisvalid AND i.indpred IS NULL AND m.amname = 'btree'
           AND (SELECT array_agg(a.attname::text ORDER BY k.place)
                  FROM unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
                  JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number
                 WHERE k.place <= cardinality($3::text[])) = $3::text[])"""


Relations = Mapping[tuple[str, str], str]
"""The tables, views and the like of a database, by schema and name: their ``relkind``."""


async def relations(connection: Connection) -> Relations:
    """Raises psycopg.Error."""
    found = await ask(connection, _RELATIONS)
    return {(schema, name): kind for schema, name, kind in found}


_RELATIONS = """
    SELECT n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"""


def matches(tables: Sequence[Table], selection: Selection, known: Mapping[str, Relations]) -> Iterator[Match]:
    """Each table with its place. A partitioned one whose leaves the target lacks is compared as a whole.

    ``known``: what the target has, by database.
    """
    places = [(table, taken(selection, table.path, table.root)) for table in tables]
    divided = {
        table.root
        for table, place in places
        if place and table.root and not _has(known, place.to) and _root_there(selection, table.root, known)
    }
    for root in sorted(divided):
        leaves = [table for table, place in places if place and table.root == root]
        whole = selection.place(root) or Place(root)
        yield Match(
            root,
            whole,
            leaves[0],
            sum(max(0, leaf.rows) for leaf in leaves),
            sum(leaf.size for leaf in leaves),
            True,
        )
    for table, place in places:
        if place and table.root not in divided:
            yield Match(table.path, place, table, table.rows, table.size, False)


def _root_there(selection: Selection, root: Path, known: Mapping[str, Relations]) -> bool:
    place = selection.place(root)
    return place is not None and _has(known, place.to)


def _has(known: Mapping[str, Relations], path: Path) -> bool:
    return (path[1], path[2]) in known.get(path[0], {})
