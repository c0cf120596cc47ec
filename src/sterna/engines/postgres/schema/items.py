"""Items that are told by one row: something in a schema, or in none."""

from typing import Any

from sterna.engines.postgres.schema.reader import key
from sterna.engines.postgres.schema.things import Item, Order


def wide(row: Any, catalogue: str, kind: str, *sql: str, told: str = "", after: bool = False) -> Item:
    """Something that is in no schema."""
    orders = tuple(
        Order(each, row.type, row.identity) if not place else Order(each) for place, each in enumerate(sql)
    )
    return Item(key(catalogue, row.oid), kind, row.type, row.identity, (), orders, told=told, after=after)


def inside(row: Any, catalogue: str, kind: str, *sql: str, told: str = "") -> Item:
    """Something that is in a schema."""
    orders = tuple(
        Order(each, row.type, row.identity) if not place else Order(each) for place, each in enumerate(sql)
    )
    path = (row.nspname, row.local)
    return Item(key(catalogue, row.oid), kind, row.type, row.identity, path, orders, told=told)
