"""What tables there are, read from a server's catalogues (PostgreSQL 10 to 18)."""

from collections.abc import Sequence
from dataclasses import dataclass

from sterna.core.change import Name
from sterna.core.plan import Endpoint, Path, Place, Selection
from sterna.engines.postgres.connection import Connection, connected

OWN = ("pg_catalog", "information_schema", "pg_toast", "sterna")
"""Schemas that are never moved; neither are those that begin with ``pg_temp_`` or ``pg_toast_temp_``."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table, in the table's order; dropped ones are left out."""

    name: str
    number: int
    """``attnum``."""
    type: str
    """As SQL writes it, schema-qualified where it is not PostgreSQL's own: ``numeric(10,2)``, ``app.mood[]``."""
    type_oid: int
    not_null: bool
    generated: str
    """Empty, ``s`` stored or ``v`` virtual: its value is computed and cannot be written."""
    identity: str
    """Empty, ``a`` GENERATED ALWAYS or ``d`` BY DEFAULT AS IDENTITY."""


@dataclass(frozen=True, slots=True)
class Table:
    """One table that holds rows of its own: an ordinary one or a leaf of a partitioned one."""

    path: Path
    """Database, schema, table."""
    oid: int
    columns: tuple[Column, ...]
    primary: tuple[str, ...]
    """The columns of the primary key, in its order; empty: there is none."""
    key: tuple[str, ...]
    """What tells a row in the log of changes: the replica identity's columns; empty: FULL, or none at all."""
    identity: str
    """``relreplident``: ``d`` primary key, ``i`` an index, ``f`` the full row, ``n`` nothing."""
    root: Path | None
    """The topmost partitioned table that it is a leaf of."""
    pages: int
    """Blocks of its main fork, as they are now."""
    rows: int
    """As the statistics guess; -1: never analysed."""
    size: int
    """Bytes with TOAST and without indexes."""
    unlogged: bool

    @property
    def name(self) -> Name:
        return Name(self.path)

    @property
    def schema(self) -> str:
        return self.path[1]

    @property
    def written(self) -> tuple[Column, ...]:
        """The columns whose values are copied: all but generated ones."""
        return tuple(column for column in self.columns if not column.generated)


async def databases(endpoint: Endpoint, selection: Selection) -> Sequence[str]:
    """The databases of a server of which something is taken, by name. Raises what ``connect`` raises."""
    async with connected(endpoint) as connection:
        rows = await (await connection.execute(_DATABASES)).fetchall()
    return [name for (name,) in rows if selection.touches((name,))]


_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"


async def tables(connection: Connection, database: str, selection: Selection) -> Sequence[Table]:
    """The tables of the connection's database of which rows are taken, by name.

    A leaf of a partitioned table is taken with it, or by its own name. ``database`` is what the source calls it.
    """
    version = connection.info.server_version
    rows = await (await connection.execute(_tables_query(version))).fetchall()
    columns = await _columns(connection, version)
    found = []
    for oid, schema, name, identity, kind, root, primary, key, pages, guess, size in rows:
        path, top = (database, schema, name), (database, *root) if root else None
        if taken(selection, path, top) is not None:
            found.append(
                Table(
                    path=path,
                    oid=oid,
                    columns=columns.get(oid, ()),
                    primary=tuple(primary or ()),
                    key=tuple(key or ()),
                    identity=identity,
                    root=top,
                    pages=pages,
                    rows=int(guess) if guess and guess > 0 else (-1 if guess < 0 else 0),
                    size=size,
                    unlogged=kind == "u",
                )
            )
    return found


def taken(selection: Selection, path: Path, root: Path | None) -> Place | None:
    """Where a table goes, and what of it. A leaf goes with its partitioned table unless it is picked itself."""
    own = selection.place(path)
    if root is None or any(each.path == path for each in selection.objects):
        return own
    whole = selection.place(root)
    if whole is None or any(path[: len(each)] == each for each in selection.without):
        return None
    return Place(own.to if own else (whole.to[0], *path[1:]), whole.columns, whole.where)


async def _columns(connection: Connection, version: int) -> dict[int, tuple[Column, ...]]:
    generated = "a.attgenerated::text" if version >= 120000 else "''"
    query = f"""
        SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), a.atttypid, a.attnotnull,
               {generated}, a.attidentity::text
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p') AND {_OURS}
         ORDER BY a.attrelid, a.attnum"""  # noqa: S608 - no part of it comes from outside
    found: dict[int, list[Column]] = {}
    for table, *facts in await (await connection.execute(query)).fetchall():
        found.setdefault(table, []).append(Column(*facts))
    return {table: tuple(columns) for table, columns in found.items()}


_OURS = (
    "n.nspname NOT IN (" + ", ".join(f"'{name}'" for name in OWN) + ") AND n.nspname !~ '^pg_(toast_)?temp_' "
    "AND c.relpersistence <> 't' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass "
    "AND d.objid = c.oid AND d.deptype = 'e')"
)
"""Relations that belong to users: ``c`` is pg_class, ``n`` its pg_namespace. What an extension made is its own."""


def _tables_query(version: int) -> str:
    included = "i.indnkeyatts" if version >= 110000 else "i.indnatts"
    of_index = f"""
        SELECT array_agg(a.attname ORDER BY k.place)
          FROM pg_index i, unnest(i.indkey::int2[]) WITH ORDINALITY AS k(number, place)
          JOIN pg_attribute a ON a.attnum = k.number
         WHERE i.indrelid = c.oid AND a.attrelid = c.oid AND k.place <= {included} AND """  # noqa: S608 - as above
    root = """
        (WITH RECURSIVE up AS (
            SELECT h.inhparent AS oid, 1 AS depth FROM pg_inherits h WHERE h.inhrelid = c.oid
            UNION ALL SELECT h.inhparent, up.depth + 1 FROM up JOIN pg_inherits h ON h.inhrelid = up.oid)
         SELECT ARRAY[rn.nspname::text, r.relname::text] FROM up JOIN pg_class r ON r.oid = up.oid
           JOIN pg_namespace rn ON rn.oid = r.relnamespace ORDER BY up.depth DESC LIMIT 1)"""
    return f"""
        SELECT c.oid, n.nspname, c.relname, c.relreplident::text, c.relpersistence::text,
               CASE WHEN c.relispartition THEN {root} END,
               ({of_index} i.indisprimary)::text[],
               ({of_index} CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                           ELSE false END)::text[],
               (pg_relation_size(c.oid) / current_setting('block_size')::int)::int, c.reltuples,
               pg_table_size(c.oid)
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind = 'r' AND {_OURS}
         ORDER BY n.nspname, c.relname"""  # noqa: S608 - no part of it comes from outside
