"""Sequences: how they are made, and whose they are. Their values are ``postgres/sequences.py``'s."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Sequence as Several
from typing import Any

from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.schema.reader import OUR_SCHEMA, Reader, full, identity, key, not_of_extension
from sterna.engines.postgres.schema.tables import sequence_words
from sterna.engines.postgres.schema.things import Item, Order

UNLOGGED_SINCE = 150000


async def read_sequences(reader: Reader) -> Several[Item]:
    """Sequences of their own and those of serial columns; an identity column makes its own."""
    items = []
    for row in await reader.rows(_query()):
        items.append(_sequence(reader, row))
        if row.owner_table is not None:
            items.append(_ownership(row))
    return items


def _query() -> str:
    return f"""
        SELECT c.oid, n.nspname, c.relname, {full("n.nspname", "c.relname")} AS name,
               {identity("pg_class", "c.oid")}, format_type(q.seqtypid, NULL) AS of_type, q.seqstart AS start,
               q.seqincrement AS by, q.seqmax AS most, q.seqmin AS least, q.seqcache AS cache, q.seqcycle AS cycle,
               c.relpersistence::text, d.refobjid AS owner_table, a.attname AS owner_column,
               (SELECT {full("tn.nspname", "t.relname")} FROM pg_class t
                  JOIN pg_namespace tn ON tn.oid = t.relnamespace WHERE t.oid = d.refobjid) AS owner_name
          FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence q ON q.seqrelid = c.oid
          LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
               AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
          LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {OUR_SCHEMA} AND d.deptype IS DISTINCT FROM 'i'
           AND {not_of_extension("pg_class", "c.oid")}
         ORDER BY n.nspname, c.relname"""


def _sequence(reader: Reader, row: Any) -> Item:
    unlogged = "UNLOGGED " if row.relpersistence == "u" and reader.target >= UNLOGGED_SINCE else ""
    sql = f"CREATE {unlogged}SEQUENCE {row.name} AS {row.of_type} {sequence_words(row._asdict())}"
    return Item(
        key("pg_class", row.oid),
        "sequence",
        row.type,
        row.identity,
        (row.nspname, row.relname),
        (Order(sql, row.type, row.identity),),
        owner_table=key("pg_class", row.owner_table) if row.owner_table is not None else "",
        essential=True,
    )


def _ownership(row: Any) -> Item:
    table = key("pg_class", row.owner_table)
    sql = f"ALTER SEQUENCE {row.name} OWNED BY {row.owner_name}.{quoted(row.owner_column)}"
    return Item(
        f"owned/{row.oid}",
        "sequence owner",
        "",
        row.identity,
        (row.nspname, row.relname),
        (Order(sql),),
        of=table,
        needs=(key("pg_class", row.oid), table),
    )
