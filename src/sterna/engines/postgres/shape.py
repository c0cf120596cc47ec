"""How the rows of one of the source's tables lie in one of the target's."""

from dataclasses import dataclass
from functools import cached_property

from sterna.core.errors import ApplyFailed, Unsupported
from sterna.core.plan import Path, Place
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.fitting import FIRST_USER_OID, fits
from sterna.engines.postgres.names import quoted, shown
from sterna.engines.postgres.wire.pgoutput import Cells, Relation, RelationColumn


@dataclass(frozen=True, slots=True)
class TargetColumn:
    """A column that the target's table has."""

    name: str
    type: str
    """As SQL writes it, without a length or precision: what is written is checked against those, never cut."""
    whole_type: str
    type_oid: int
    typmod: int
    array_oid: int
    """Of arrays of the type; 0: there are none whose elements are written as everywhere."""
    generated: bool
    always: bool
    """GENERATED ALWAYS AS IDENTITY: it can be inserted and not updated."""
    equals: str
    """The operator; those of extensions have to be named with their schema."""


@dataclass(frozen=True, slots=True)
class TargetTable:
    """What the target says about a table."""

    kind: str
    """``relkind``: ``r``, ``p`` …"""
    triggers: bool
    """It has triggers, or foreign keys point from or to it."""
    columns: tuple[TargetColumn, ...]
    primary: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Field:
    """A column that is written: where its value stands in the log's rows, and where it goes."""

    at: int
    source: str
    column: TargetColumn

    @property
    def name(self) -> str:
        return quoted(self.column.name)


@dataclass(frozen=True)
class Shape:
    """A table of the source, bound to its table on the target."""

    path: Path
    relation: Relation
    place: Place
    target: TargetTable
    fields: tuple[Field, ...]
    key: tuple[Field, ...]
    """What tells a row; empty: only the whole row does."""

    @cached_property
    def table(self) -> str:
        """For SQL."""
        return quoted(*self.place.to[1:])

    @property
    def shown(self) -> str:
        """For people."""
        return shown(self.place.to)

    @cached_property
    def key_at(self) -> tuple[int, ...]:
        return tuple(each.at for each in self.key)

    @cached_property
    def fixed(self) -> tuple[Field, ...]:
        """Columns outside the key that no update can set."""
        return tuple(each for each in self.fields if each.column.always and each not in self.key)

    @cached_property
    def plain(self) -> tuple[Field, ...]:
        """What an update sets where the key stays."""
        return tuple(each for each in self.fields if not each.column.always and each not in self.key)

    def key_text(self, cells: Cells) -> str:
        """A row's key for people, like ``(id)=(7)``. Values of other columns are never shown."""
        if not self.key:
            return "a row without a key"
        values = [cells[each.at] for each in self.key]
        texts = [value.decode(errors="replace")[:100] if isinstance(value, bytes) else "null" for value in values]
        return f"({', '.join(each.column.name for each in self.key)})=({', '.join(texts)})"


Misfit = tuple[RelationColumn, TargetColumn | None]
"""A column of the source, and what the target has in its place, which does not take its values."""


def misfits(relation: Relation, place: Place, target: TargetTable) -> list[Misfit]:
    """The selected columns that the target's table lacks, or would harm. Columns that it computes itself fit."""
    columns = {each.name: each for each in target.columns}
    pairs = [(each, columns.get(each.name)) for _, each in _wanted(relation, place)]
    return [
        (own, there)
        for own, there in pairs
        if there is None or not (there.generated or fits(own, there.type_oid, there.typmod))
    ]


def shape_of(path: Path, relation: Relation, place: Place, target: TargetTable, primary: tuple[str, ...]) -> Shape:
    """Bind a table of the source to the target's, where there is no misfit. ``primary``: the source's primary key.

    Raises Unsupported where the key is not among the selected columns.
    """
    columns = {each.name: each for each in target.columns}
    fields = tuple(
        Field(at, each.name, columns[each.name])
        for at, each in _wanted(relation, place)
        if not columns[each.name].generated
    )
    return Shape(path, relation, place, target, fields, _key(path, relation, fields, primary or target.primary))


def _wanted(relation: Relation, place: Place) -> list[tuple[int, RelationColumn]]:
    numbered = enumerate(relation.columns)
    return [(at, each) for at, each in numbered if not place.columns or each.name in place.columns]


def _key(path: Path, relation: Relation, fields: tuple[Field, ...], primary: tuple[str, ...]) -> tuple[Field, ...]:
    """With the full row in the log, the primary key finds a row faster than the row does."""
    by_name = {each.source: each for each in fields}
    if relation.identity == "f":
        return tuple(by_name[name] for name in primary) if all(name in by_name for name in primary) else ()
    names = [each.name for each in relation.columns if each.key]
    if missing := [name for name in names if name not in by_name]:
        raise Unsupported(
            f"Of table {shown(path)} the key column {', '.join(missing)} is not selected or not written",
            hint="Select the key's columns too, then start the job again.",
        )
    return tuple(by_name[name] for name in names)


def mending(place: Place, amiss: list[Misfit], type_names: dict[tuple[int, int], str]) -> ApplyFailed:
    """What to tell of a table that does not fit: each difference, and the statement that mends it."""
    told, changes = [], []
    for own, there in amiss:
        wanted = type_names.get((own.type_oid, own.typmod), "the source's type")
        if there is None:
            told.append(f"column {own.name} ({wanted}) is missing")
            changes.append(f"ADD COLUMN {quoted(own.name)} {wanted}")
        else:
            told.append(f"column {own.name} is {there.whole_type}, and {wanted} on the source")
            changes.append(f"ALTER COLUMN {quoted(own.name)} TYPE {wanted}")
    return ApplyFailed(
        f"Table {shown(place.to)} on the target no longer fits the source's: {'; '.join(told)}",
        hint="Run on the target, then let the job go on: "
        f"ALTER TABLE {quoted(*place.to[1:])} {', '.join(changes)};",
    )


async def read_target(connection: Connection, place: Place) -> TargetTable:
    """Look a table up on the target. Raises ApplyFailed if it is not there."""
    version = connection.info.server_version
    generated = "a.attgenerated <> ''" if version >= 120000 else "false"
    cursor = await connection.execute(_TABLE, place.to[1:], prepare=False)
    found = await cursor.fetchone()
    if not found:
        raise ApplyFailed(
            f"Table {shown(place.to)} is not on the target",
            hint="Make it there as it is on the source, then let the job go on.",
        )
    oid, kind, triggers, primary = found
    cursor = await connection.execute(
        _COLUMNS.replace("%GENERATED%", generated).encode(), [oid, oid], prepare=False
    )
    columns = tuple(TargetColumn(*facts) for facts in await cursor.fetchall())
    return TargetTable(kind, triggers, columns, tuple(primary or ()))


async def read_root(connection: Connection, schema: str, table: str) -> tuple[str, str] | None:
    """The topmost partitioned table above one, as the target has it."""
    row = await (await connection.execute(_ROOT, [schema, table])).fetchone()
    return (row[0], row[1]) if row else None


async def type_name(connection: Connection, type_oid: int, typmod: int) -> str:
    """What a built-in type is called in SQL, with its length or precision; empty: it is not built in."""
    if type_oid >= FIRST_USER_OID:
        return ""
    query = "SELECT format_type(oid, %s) FROM pg_type WHERE oid = %s"
    row = await (await connection.execute(query, [typmod, type_oid])).fetchone()
    return str(row[0]) if row else ""


_ROOT = """
    WITH RECURSIVE up AS (
        SELECT h.inhparent AS oid, 1 AS depth
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_inherits h ON h.inhrelid = c.oid
         WHERE n.nspname = %s AND c.relname = %s AND c.relispartition
        UNION ALL SELECT h.inhparent, up.depth + 1 FROM up JOIN pg_inherits h ON h.inhrelid = up.oid)
    SELECT n.nspname, r.relname
      FROM up JOIN pg_class r ON r.oid = up.oid JOIN pg_namespace n ON n.oid = r.relnamespace
     ORDER BY up.depth DESC LIMIT 1"""

_TABLE = """
    SELECT c.oid, c.relkind::text, c.relhastriggers,
           (SELECT array_agg(a.attname ORDER BY k.place)
              FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
              JOIN pg_attribute a ON a.attnum = k.number
             WHERE i.indrelid = c.oid AND a.attrelid = c.oid AND i.indisprimary)::text[]
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p', 'f', 'v')"""

_COLUMNS = """
    WITH RECURSIVE base AS (
        SELECT a.attnum, a.atttypid AS oid FROM pg_attribute a WHERE a.attrelid = %s AND a.attnum > 0
        UNION ALL
        SELECT base.attnum, t.typbasetype FROM base JOIN pg_type t ON t.oid = base.oid WHERE t.typtype = 'd'),
    operators AS (
        SELECT oc.opcintype AS type, 'OPERATOR(' || quote_ident(n.nspname) || '.=)' AS name
          FROM pg_opclass oc
          JOIN pg_am am ON am.oid = oc.opcmethod AND am.amname = 'btree'
          JOIN pg_amop ao ON ao.amopfamily = oc.opcfamily AND ao.amoplefttype = oc.opcintype
                         AND ao.amoprighttype = oc.opcintype AND ao.amopstrategy = 3
          JOIN pg_operator o ON o.oid = ao.amopopr
          JOIN pg_namespace n ON n.oid = o.oprnamespace
         WHERE oc.opcdefault AND n.nspname <> 'pg_catalog' AND o.oprname = '=')
    SELECT a.attname, format_type(a.atttypid, -1), format_type(a.atttypid, a.atttypmod), a.atttypid::int8,
           a.atttypmod, CASE WHEN t.typdelim = ',' THEN t.typarray::int8 ELSE 0 END,
           %GENERATED%, a.attidentity = 'a',
           coalesce((SELECT o.name FROM operators o JOIN base b ON b.oid = o.type
                      WHERE b.attnum = a.attnum LIMIT 1), '=')
      FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum"""
