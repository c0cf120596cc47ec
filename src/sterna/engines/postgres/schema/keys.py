"""Keys, indexes, foreign keys and checks: what is made of or for the rows of tables."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence
from typing import Any

from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, full, identity, key, not_of_extension
from sterna.engines.postgres.schema.things import Item, Order

ENFORCED_SINCE = 180000
PERIODS_SINCE = 180000


async def read_indexes(reader: Reader) -> Sequence[Item]:
    """Indexes, and the primary keys, unique and exclusion constraints that stand on one."""
    return [item for row in await reader.rows(_indexes_query(reader)) for item in _index_items(reader, row)]


def _indexes_query(reader: Reader) -> str:
    period = reader.since(18, "k.conperiod", "false")
    parent = "(SELECT h.inhparent FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)"
    return f"""
        SELECT i.indexrelid, i.indrelid, n.nspname, c.relname, x.relname AS index,
               {full("n.nspname", "c.relname")} AS relation, {full("n.nspname", "x.relname")} AS name,
               pg_get_indexdef(i.indexrelid) AS definition, x.relkind::text, c.relkind::text AS table_kind,
               pg_table_size(c.oid) AS size, i.indisclustered, i.indisreplident, i.indisvalid,
               (pg_identify_object('pg_class'::regclass, x.oid, 0)).identity AS index_identity,
               k.oid AS constraint, k.conname, k.contype::text, k.condeferrable, k.condeferred, {period} AS period,
               pg_get_constraintdef(k.oid) AS constraint_definition,
               (pg_identify_object('pg_constraint'::regclass, k.oid, 0)).identity AS constraint_identity,
               {parent} AS parent, (SELECT {full("pn.nspname", "p.relname")} FROM pg_class p
                  JOIN pg_namespace pn ON pn.oid = p.relnamespace WHERE p.oid = {parent}) AS parent_name,
               ARRAY(WITH RECURSIVE up AS (
                        SELECT inhparent FROM pg_inherits WHERE inhrelid = c.oid AND x.relispartition
                        UNION ALL SELECT h.inhparent FROM pg_inherits h JOIN up ON h.inhrelid = up.inhparent)
                     SELECT inhparent FROM up) AS tables_above,
               ARRAY(SELECT a.attnum || '=' || a.attstattarget FROM pg_attribute a
                      WHERE a.attrelid = x.oid AND a.attstattarget >= 0) AS statistics
          FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
          JOIN pg_namespace n ON n.oid = c.relnamespace
          LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
               AND k.contype IN ('p', 'u', 'x')
         WHERE c.relkind IN ('r', 'p', 'm') AND c.relpersistence <> 't' AND {OUR_SCHEMA}
           AND {not_of_extension("pg_class", "c.oid")}
         ORDER BY n.nspname, x.relname"""


def _index_items(reader: Reader, row: Any) -> Sequence[Item]:
    if not row.indisvalid and row.relkind == "i":
        return [_item(row, orders=(), told="it is invalid on the source: a CREATE INDEX CONCURRENTLY was cut")]
    if row.period and reader.target < PERIODS_SINCE:
        return [_item(row, orders=(), told="WITHOUT OVERLAPS needs PostgreSQL 18")]
    made = _item(row, orders=_index_orders(row))
    return [made, *_attachment(row, made), *_settings(row, made)]


def _item(row: Any, orders: tuple[Order, ...], told: str = "") -> Item:
    constrained = row.constraint is not None
    table, index = key("pg_class", row.indrelid), key("pg_class", row.indexrelid)
    alone = _on_its_own(row)
    return Item(
        key("pg_constraint", row.constraint) if constrained else index,
        "key" if constrained else "index",
        "table constraint" if constrained else "index",
        row.constraint_identity if constrained else row.index_identity,
        (row.nspname, row.index),
        orders,
        of=table,
        parts=(index,) if constrained else (),
        after=True,
        weight=row.size,
        locks=() if alone else (table,),
        shares=(table,) if alone else (),
        essential=row.table_kind != "m",
        told=told,
    )


def _on_its_own(row: Any) -> bool:
    """Whether other indexes of the table may be built at the same time: all but what ALTER TABLE builds."""
    return row.constraint is None or _by_index(row)


def _by_index(row: Any) -> bool:
    """Whether the constraint may take an index that was built before. Partitioned tables cannot do that."""
    return row.contype in ("p", "u") and row.table_kind == "r" and not row.period


def _index_orders(row: Any) -> tuple[Order, ...]:
    index = Order(row.definition, "index", row.index_identity)
    statistics = tuple(
        Order(f"ALTER INDEX {row.name} ALTER COLUMN {column} SET STATISTICS {wanted}")
        for column, wanted in (each.split("=") for each in row.statistics)
    )
    if row.constraint is None:
        return (index, *statistics)
    only = "ONLY " if row.table_kind == "p" else ""
    add = f"ALTER TABLE {only}{row.relation} ADD CONSTRAINT {quoted(row.conname)} "
    if not _by_index(row):
        return (Order(add + row.constraint_definition, "table constraint", row.constraint_identity), *statistics)
    word = "PRIMARY KEY" if row.contype == "p" else "UNIQUE"
    when = " DEFERRABLE" if row.condeferrable else ""
    when += " INITIALLY DEFERRED" if row.condeferred else ""
    sql = f"{add}{word} USING INDEX {quoted(row.index)}{when}"
    return (index, Order(sql, "table constraint", row.constraint_identity), *statistics)


def _attachment(row: Any, made: Item) -> Sequence[Item]:
    """An index of a partition becomes part of the partitioned table's index."""
    if row.parent is None:
        return []
    parent = key("pg_class", row.parent)
    link = ("inheritance", f"{row.name} from {row.parent_name}")
    sql = f"ALTER INDEX {row.parent_name} ATTACH PARTITION {row.name}"
    return [
        Item(
            f"attach/{row.indexrelid}",
            "index attachment",
            *link,
            (row.nspname, row.index),
            (Order(sql, *link),),
            of=key("pg_class", row.indrelid),
            needs=(made.key, parent, f"attach/{row.indrelid}"),
            after=True,
            # Whoever attaches the last part finds the whole valid, all the way up: two at once would both miss it.
            locks=tuple(key("pg_class", oid) for oid in (row.indrelid, *row.tables_above)),
            essential=True,
        )
    ]


def _settings(row: Any, made: Item) -> Sequence[Item]:
    word = "CLUSTER ON {}" if row.indisclustered else ""
    words = [word, "REPLICA IDENTITY USING INDEX {}" if row.indisreplident else ""]
    what = "MATERIALIZED VIEW" if row.table_kind == "m" else "TABLE"
    return [
        Item(
            f"setting/{row.indexrelid}/{number}",
            "setting",
            "",
            f"{row.index_identity} ({word.partition(' ')[0].lower()})",
            (row.nspname, row.relname),
            (
                Order(
                    f"ALTER {what} ONLY {row.relation} {word.format(quoted(row.index))}".replace(
                        "VIEW ONLY", "VIEW"
                    )
                ),
            ),
            of=key("pg_class", row.indrelid),
            needs=(made.key,),
            after=True,
            locks=(key("pg_class", row.indrelid),),
        )
        for number, word in enumerate(words)
        if word
    ]


async def read_constraints(reader: Reader) -> Sequence[Item]:
    """Check constraints, made with the tables, and foreign keys, made after the data."""
    parent = reader.since(11, "k.conparentid", "0")
    enforced = reader.since(18, "k.conenforced", "true")
    period = reader.since(18, "k.conperiod", "false")
    query = f"""
        SELECT k.oid, k.conrelid, k.confrelid, k.conindid, n.nspname, c.relname, k.conname, k.contype::text,
               {full("n.nspname", "c.relname")} AS relation, {identity("pg_constraint", "k.oid")},
               pg_get_constraintdef(k.oid) AS definition, pg_table_size(c.oid) AS size,
               {enforced} AS enforced, {period} AS period, c.relkind::text,
               ARRAY(WITH RECURSIVE down AS (
                        SELECT inhrelid FROM pg_inherits WHERE inhparent = c.oid
                        UNION ALL SELECT h.inhrelid FROM pg_inherits h JOIN down ON h.inhparent = down.inhrelid)
                     SELECT inhrelid FROM down JOIN pg_class p ON p.oid = inhrelid WHERE p.relispartition)
                     AS partitions,
               ARRAY(WITH RECURSIVE down AS (
                        SELECT inhrelid FROM pg_inherits WHERE inhparent = k.conindid
                        UNION ALL SELECT h.inhrelid FROM pg_inherits h JOIN down ON h.inhparent = down.inhrelid)
                     SELECT inhrelid FROM down WHERE k.contype = 'f') AS key_parts
          FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE k.contype IN ('c', 'f') AND (k.conislocal OR k.contype = 'f') AND {parent} = 0
           AND c.relpersistence <> 't' AND {OUR_SCHEMA} AND {not_of_extension("pg_class", "c.oid")}
         ORDER BY n.nspname, c.relname, k.conname"""
    return [_constraint(reader, row) for row in await reader.rows(query)]


def _constraint(reader: Reader, row: Any) -> Item:
    foreign = row.contype == "f"
    table = key("pg_class", row.conrelid)
    what = "FOREIGN TABLE" if row.relkind == "f" else "TABLE"
    sql = f"ALTER {what} {row.relation} ADD CONSTRAINT {quoted(row.conname)} {row.definition}"
    attached = tuple(f"attach/{oid}" for oid in (*row.partitions, *row.key_parts))
    return Item(
        key("pg_constraint", row.oid),
        "foreign key" if foreign else "check",
        row.type,
        row.identity,
        (row.nspname, row.relname),
        (Order(sql, row.type, row.identity),),
        of=table,
        needs=(*((key("pg_class", row.confrelid), key("pg_class", row.conindid)) if foreign else ()), *attached),
        after=foreign,
        weight=row.size,
        locks=(table, *((key("pg_class", row.confrelid),) if foreign else ())),
        essential=True,
        told=_too_new(reader, row),
    )


def _too_new(reader: Reader, row: Any) -> str:
    if row.period and reader.target < PERIODS_SINCE:
        return "PERIOD needs PostgreSQL 18"
    if not row.enforced and reader.target < ENFORCED_SINCE:
        return "NOT ENFORCED needs PostgreSQL 18"
    return ""
