"""Tables with their columns, defaults and partitions, and the sequences that number their rows."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sterna.engines.postgres.names import literal, quoted
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, full, identity, key, not_of_extension
from sterna.engines.postgres.schema.renaming import Pair
from sterna.engines.postgres.schema.things import Item, Order

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}
_COMPRESSION = {"p": "pglz", "l": "lz4"}
VIRTUAL_SINCE = 180000
NAMED_NOT_NULL_SINCE = 180000


Wanted = Callable[[Pair, Pair | None], Sequence[str]]
"""Which columns of a table are taken, by its schema and name and those of its topmost table; none: all."""


async def read_tables(reader: Reader, wanted: Wanted) -> Sequence[Item]:
    """Tables, ordinary, partitioned and foreign, and what belongs to their columns."""
    columns = await _columns(reader)
    checks = await _not_nulls(reader)
    parents = await _parents(reader)
    found: list[Item] = []
    for table in await reader.rows(_tables_query(reader)):
        root = _root(table.oid, parents) if table.relispartition else None
        kept = _kept(columns.get(table.oid, ()), wanted((table.nspname, table.relname), root))
        own = [_with_not_null(column, checks) for column in kept]
        found += _items_of(reader, table, own, parents)
    return found


def _kept(columns: Sequence[Any], wanted: Sequence[str]) -> Sequence[Any]:
    """The columns that are taken; one that is computed from others only with them."""
    if not wanted:
        return columns
    numbers = {row.attnum for row in columns if row.attname in wanted}
    return [row for row in columns if row.attnum in numbers and not set(row.computed_from) - numbers]


def _items_of(
    reader: Reader, table: Any, own: Sequence["_Column"], parents: Mapping[int, Sequence[Any]]
) -> Sequence[Item]:
    above = parents.get(table.oid, ())
    items = [_table(reader, table, own, above, parents)]
    if table.relispartition:
        items.append(_attachment(table, above[0]))
    for column in own:
        row = column.row
        if row.default and not row.attgenerated:
            items.append(_default(table, row))
        tuning = _tuning(table, row)
        if tuning:
            items.append(_extra(table, f"column/{table.oid}/{row.attnum}", "column setting", tuning))
        if column.late_not_null:
            items.append(_extra(table, f"notnull/{table.oid}/{row.attnum}", "check", [column.late_not_null]))
    return items


class _Column:
    """A row of pg_attribute and how it says NOT NULL."""

    def __init__(self, row: Any, not_null: str, late_not_null: str) -> None:
        self.row = row
        self.not_null = not_null
        self.late_not_null = late_not_null


def _with_not_null(row: Any, checks: Mapping[tuple[int, int], Any]) -> _Column:
    check = checks.get((row.attrelid, row.attnum))
    if check is None or (check.connoinherit is False and check.plain and check.convalidated):
        return _Column(row, " NOT NULL" if row.attnotnull else "", "")
    said = f"CONSTRAINT {quoted(check.conname)} NOT NULL"
    if check.convalidated:
        return _Column(row, f" {said}{' NO INHERIT' if check.connoinherit else ''}", "")
    late = f"ALTER TABLE {check.relation} ADD {said} {quoted(row.attname)}"
    return _Column(row, "", f"{late}{' NO INHERIT' if check.connoinherit else ''} NOT VALID")


async def _not_nulls(reader: Reader) -> Mapping[tuple[int, int], Any]:
    """Since PostgreSQL 18 NOT NULL is a constraint with a name of its own."""
    if min(reader.version, reader.target) < NAMED_NOT_NULL_SINCE:
        return {}
    query = f"""
        SELECT k.conrelid, k.conkey[1] AS attnum, k.conname, k.connoinherit, k.convalidated,
               {full("n.nspname", "c.relname")} AS relation,
               NOT k.conislocal OR k.conname = left(c.relname || '_' || a.attname || '_not_null', 63) AS plain
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
          JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.conkey[1]
         WHERE k.contype = 'n'"""
    return {(row.conrelid, row.attnum): row for row in await reader.rows(query)}


def _tables_query(reader: Reader) -> str:
    method = "am.amname" if reader.version >= 120000 else "NULL::name"
    join = "LEFT JOIN pg_am am ON am.oid = c.relam AND c.relkind = 'r'" if reader.version >= 120000 else ""
    oids = "false" if reader.version >= 120000 else "c.relhasoids"
    return f"""
        SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relpersistence::text, c.relispartition,
               c.reltype, t.typarray, {full("n.nspname", "c.relname")} AS name, {identity("pg_class", "c.oid")},
               c.reloptions::text[] AS options,
               ARRAY(SELECT 'toast.' || o FROM pg_class s, unnest(s.reloptions) o
                      WHERE s.oid = c.reltoastrelid) AS toast_options,
               CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS partitioned_by,
               pg_get_expr(c.relpartbound, c.oid) AS bound, {method} AS method, {oids} AS has_oids,
               ts.spcname AS tablespace, pg_table_size(c.oid) AS size,
               CASE WHEN c.reloftype <> 0 THEN c.reloftype::regtype::text END AS of_type,
               sv.srvname AS server, ft.ftoptions::text[] AS foreign_options
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_type t ON t.oid = c.reltype
          LEFT JOIN pg_tablespace ts ON ts.oid = c.reltablespace
          LEFT JOIN pg_foreign_table ft ON ft.ftrelid = c.oid
          LEFT JOIN pg_foreign_server sv ON sv.oid = ft.ftserver {join}
         WHERE c.relkind IN ('r', 'p', 'f') AND c.relpersistence <> 't' AND {OUR_SCHEMA}
           AND {not_of_extension("pg_class", "c.oid")}
         ORDER BY n.nspname, c.relname"""


async def _columns(reader: Reader) -> Mapping[int, Sequence[Any]]:
    generated = reader.since(12, "a.attgenerated::text", "''")
    compression = reader.since(14, "a.attcompression::text", "''")
    sequence = f"""
        (SELECT json_build_object('name', {full("sn.nspname", "s.relname")}, 'schema', sn.nspname,
                'relation', s.relname, 'oid', s.oid::bigint, 'persistence', s.relpersistence,
                'start', q.seqstart, 'by', q.seqincrement, 'most', q.seqmax, 'least', q.seqmin,
                'cache', q.seqcache, 'cycle', q.seqcycle)
           FROM pg_depend d JOIN pg_class s ON s.oid = d.objid JOIN pg_namespace sn ON sn.oid = s.relnamespace
           JOIN pg_sequence q ON q.seqrelid = s.oid
          WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
            AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i')"""
    query = f"""
        SELECT a.attrelid, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull,
               CASE WHEN a.attcollation <> t.typcollation
                    THEN {full("cn.nspname", "co.collname")} END AS collation,
               CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END AS storage,
               {compression} AS compression, {generated} AS attgenerated, a.attidentity::text, a.attislocal,
               a.attinhcount, a.attoptions::text[] AS options, a.attfdwoptions::text[] AS foreign_options,
               a.attstattarget AS statistics, d.oid AS default_oid, pg_get_expr(d.adbin, d.adrelid) AS default,
               CASE WHEN a.attidentity <> '' THEN {sequence} END AS sequence,
               ARRAY(SELECT r.refobjsubid FROM pg_depend r WHERE r.classid = 'pg_attrdef'::regclass
                        AND r.objid = d.oid AND r.refclassid = 'pg_class'::regclass AND r.refobjid = a.attrelid
                        AND r.refobjsubid NOT IN (0, a.attnum) AND {generated} <> '') AS computed_from
          FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_type t ON t.oid = a.atttypid
          LEFT JOIN pg_collation co ON co.oid = a.attcollation
          LEFT JOIN pg_namespace cn ON cn.oid = co.collnamespace
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'f') AND {OUR_SCHEMA}
         ORDER BY a.attrelid, a.attnum"""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in await reader.rows(query):
        found[row.attrelid].append(row)
    return found


async def _parents(reader: Reader) -> Mapping[int, Sequence[Any]]:
    query = f"""
        SELECT h.inhrelid, h.inhparent, n.nspname, c.relname, {full("n.nspname", "c.relname")} AS name,
               ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
                        AND NOT a.attisdropped ORDER BY a.attnum) AS columns
          FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhparent JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.relkind IN ('r', 'p', 'f') ORDER BY h.inhrelid, h.inhseqno"""
    found: dict[int, list[Any]] = defaultdict(list)
    for row in await reader.rows(query):
        found[row.inhrelid].append(row)
    return found


def _table(
    reader: Reader,
    table: Any,
    columns: Sequence[_Column],
    above: Sequence[Any],
    parents: Mapping[int, Sequence[Any]],
) -> Item:
    inherits = [] if table.relispartition else above
    made = _creation(reader, table, columns, inherits if _comes_out_right(columns, inherits) else [])
    alone = _creation(reader, table, columns, [])
    orders = [Order(made, table.type, table.identity)]
    if made == alone:
        orders += [
            Order(f"ALTER TABLE {table.name} INHERIT {parent.name}", *_link(table, parent)) for parent in inherits
        ]
    return Item(
        key("pg_class", table.oid),
        "foreign table" if table.relkind == "f" else "table",
        table.type,
        table.identity,
        (table.nspname, table.relname),
        tuple(orders),
        parts=(
            key("pg_type", table.reltype),
            key("pg_type", table.typarray),
            *(key("pg_class", column.row.sequence["oid"]) for column in columns if column.row.sequence),
            *(key("pg_attrdef", column.row.default_oid) for column in columns if column.row.attgenerated),
        ),
        inner=tuple(
            (column.row.sequence["schema"], column.row.sequence["relation"])
            for column in columns
            if column.row.sequence
        ),
        essential=table.relkind != "f",
        above=tuple(key("pg_class", parent.inhparent) for parent in above),
        alone=(Order(alone, table.type, table.identity),),
        root=_root(table.oid, parents) if table.relispartition else None,
        columns=tuple((column.row.attnum, column.row.attname) for column in columns),
        told=_told(reader, table, columns),
    )


def _told(reader: Reader, table: Any, columns: Sequence[_Column]) -> str:
    virtual = [column.row.attname for column in columns if column.row.attgenerated == "v"]
    if virtual and reader.target < VIRTUAL_SINCE:
        return f"+that {', '.join(virtual)} is computed when it is read: the target stores it"
    if table.has_oids:
        return "+its hidden oid column, which PostgreSQL 12 and later do not have"
    return f"+its tablespace {table.tablespace}" if table.tablespace else ""


def _link(table: Any, parent: Any) -> tuple[str, str]:
    return "inheritance", f"{table.name} from {parent.name}"


def _root(oid: int, parents: Mapping[int, Sequence[Any]]) -> tuple[str, str] | None:
    top = None
    while parents.get(oid):
        top = parents[oid][0]
        oid = top.inhparent
    return (top.nspname, top.relname) if top else None


def _comes_out_right(columns: Sequence[_Column], above: Sequence[Any]) -> bool:
    """Whether INHERITS would give the columns their order: those of the parents first, then its own."""
    inherited = list(dict.fromkeys(name for parent in above for name in parent.columns))
    names = [column.row.attname for column in columns]
    return (
        bool(inherited)
        and names[: len(inherited)] == inherited
        and not any(column.row.attislocal for column in columns[: len(inherited)])
    )


def _creation(reader: Reader, table: Any, columns: Sequence[_Column], inherits: Sequence[Any]) -> str:
    own = [column for column in columns if not inherits or column.row.attislocal]
    body = ", ".join(_column(reader, table, column) for column in own)
    sql = f"CREATE {_sort(table)} {table.name}" + (f" OF {table.of_type}" if table.of_type else "")
    sql += f" ({body})" if body or not table.of_type else ""
    if inherits:
        sql += f" INHERITS ({', '.join(parent.name for parent in inherits)})"
    return sql + _ending(table)


def _sort(table: Any) -> str:
    if table.relkind == "f":
        return "FOREIGN TABLE"
    return "UNLOGGED TABLE" if table.relpersistence == "u" else "TABLE"


def _ending(table: Any) -> str:
    sql = f" PARTITION BY {table.partitioned_by}" if table.partitioned_by else ""
    if table.server:
        sql += f" SERVER {quoted(table.server)}" + generic_options(table.foreign_options)
    if table.method and table.method != "heap":
        sql += f" USING {quoted(table.method)}"
    return sql + storage_options([*(table.options or ()), *(table.toast_options or ())])


def storage_options(options: Sequence[str]) -> str:
    """``WITH (fillfactor='70')``, or nothing."""
    return f" WITH ({_pairs(options)})" if options else ""


def _pairs(options: Sequence[str]) -> str:
    pairs = (option.partition("=") for option in options)
    return ", ".join(f"{_option(name)}={literal(value)}" for name, _, value in pairs)


def _option(name: str) -> str:
    space, dot, rest = name.rpartition(".")
    return (quoted(space) if dot else "") + dot + quoted(rest)


def generic_options(options: Sequence[str] | None) -> str:
    """``OPTIONS ("host" 'there')``, or nothing."""
    if not options:
        return ""
    pairs = (option.partition("=") for option in options)
    return f" OPTIONS ({', '.join(f'{quoted(name)} {literal(value)}' for name, _, value in pairs)})"


def _column(reader: Reader, table: Any, column: _Column) -> str:
    row = column.row
    if table.of_type:
        return f"{quoted(row.attname)} WITH OPTIONS{_generated(reader, row)}{column.not_null}"
    sql = f"{quoted(row.attname)} {row.type}"
    if row.collation:
        sql += f" COLLATE {row.collation}"
    if table.relkind == "f":
        sql += generic_options(row.foreign_options)
    identity_here = row.sequence and not table.relispartition
    return sql + _generated(reader, row) + (_identity(row) if identity_here else "") + column.not_null


def _generated(reader: Reader, row: Any) -> str:
    if not row.attgenerated:
        return ""
    virtual = row.attgenerated == "v" and reader.target >= VIRTUAL_SINCE
    return f" GENERATED ALWAYS AS ({row.default}) {'VIRTUAL' if virtual else 'STORED'}"


def _identity(row: Any) -> str:
    always = "ALWAYS" if row.attidentity == "a" else "BY DEFAULT"
    return f" GENERATED {always} AS IDENTITY (SEQUENCE NAME {row.sequence['name']} {sequence_words(row.sequence)})"


def sequence_words(facts: Mapping[str, Any]) -> str:
    """``START WITH 1 INCREMENT BY 1 …``"""
    return (
        f"START WITH {facts['start']} INCREMENT BY {facts['by']} MINVALUE {facts['least']} "
        f"MAXVALUE {facts['most']} CACHE {facts['cache']} {'CYCLE' if facts['cycle'] else 'NO CYCLE'}"
    )


def _attachment(table: Any, parent: Any) -> Item:
    """That a partition belongs to its table: it is made as a table of its own before."""
    child = key("pg_class", table.oid)
    type_, link = _link(table, parent)
    sql = f"ALTER TABLE ONLY {parent.name} ATTACH PARTITION {table.name} {table.bound}"
    return Item(
        f"attach/{table.oid}",
        "attachment",
        type_,
        link,
        (table.nspname, table.relname),
        (Order(sql, type_, link),),
        of=child,
        needs=(child, key("pg_class", parent.inhparent)),
        essential=True,
    )


def _default(table: Any, row: Any) -> Item:
    what = f"for {table.identity}.{quoted(row.attname)}"
    sql = f"ALTER TABLE ONLY {table.name} ALTER COLUMN {quoted(row.attname)} SET DEFAULT {row.default}"
    return Item(
        key("pg_attrdef", row.default_oid),
        "default",
        "default value",
        what,
        (table.nspname, table.relname),
        (Order(sql, "default value", what),),
        of=key("pg_class", table.oid),
        essential=True,
    )


def _tuning(table: Any, row: Any) -> Sequence[str]:
    alter = f"ALTER {'FOREIGN ' if table.relkind == 'f' else ''}TABLE ONLY {table.name} ALTER COLUMN "
    alter += quoted(row.attname)
    sql = []
    if row.storage:
        sql.append(f"{alter} SET STORAGE {_STORAGE[row.storage]}")
    if row.compression in _COMPRESSION:
        sql.append(f"{alter} SET COMPRESSION {_COMPRESSION[row.compression]}")
    if row.statistics is not None and row.statistics >= 0:
        sql.append(f"{alter} SET STATISTICS {row.statistics}")
    if row.options:
        sql.append(f"{alter} SET ({_pairs(row.options)})")
    return sql


def _extra(table: Any, name: str, kind: str, sql: Sequence[str]) -> Item:
    orders = tuple(Order(each) for each in sql)
    return Item(name, kind, "", table.identity, (), orders, of=key("pg_class", table.oid))
