"""Where things go: the plan's renames as a map of names."""

# ruff: noqa: S608 - no part of any query comes from outside

from collections.abc import Mapping

from sterna.core.plan import Selection
from sterna.engines.postgres.catalogue import taken as table_place
from sterna.engines.postgres.names import literal
from sterna.engines.postgres.schema.reader import Reader
from sterna.engines.postgres.schema.renaming import Pair, Renaming
from sterna.engines.postgres.schema.selecting import RELATIONS
from sterna.engines.postgres.schema.things import Item, Key

_IN_SCHEMA = ("index", "key", "index attachment", "statistics")
"""Kinds that live in the schema of the table that they are a part of, wherever it goes."""


def target_database(selection: Selection, database: str) -> str:
    """What a database is called on the target, even if only some of it is taken."""
    place = selection.place((database,))
    if place:
        return place.to[0]
    inside = (each for each in selection.objects if each.path[0] == database and each.to)
    return next((each.to[0] for each in inside), database)


async def renaming_of(reader: Reader, taken: Mapping[Key, Item], selection: Selection, database: str) -> Renaming:
    """The names on the target of everything that is taken."""
    schemas = {}
    for name in {item.path[0] for item in taken.values() if item.path}:
        place = selection.place((database, name))
        if place and place.to[1] != name:
            schemas[name] = place.to[1]
    pairs = {}
    for item in taken.values():
        new = _place(item, taken, selection, database)
        if new and new != (schemas.get(item.path[0], item.path[0]), item.path[1]):
            pairs[item.path[0], item.path[1]] = new
            pairs |= {(schema, name): (new[0], name) for schema, name in item.inner}
    return Renaming(pairs, schemas, await _known(reader, schemas) if schemas else frozenset())


def _place(item: Item, taken: Mapping[Key, Item], selection: Selection, database: str) -> Pair | None:
    """Schema and name on the target of a relation; None: it goes with its schema."""
    holder = item.of if item.kind in _IN_SCHEMA else item.owner_table
    if holder:
        table = taken.get(holder)
        place = _place(table, taken, selection, database) if table else None
        return (place[0], item.path[1]) if place else None
    if item.kind not in (*RELATIONS, "sequence"):
        return None
    path = (database, *item.path)
    if item.kind == "table":
        found = table_place(selection, path, (database, *item.root) if item.root else None)
    else:
        found = selection.place(path)
    return (found.to[1], found.to[2]) if found else None


_NAMED = {
    "pg_class": ("relname", "relnamespace"),
    "pg_type": ("typname", "typnamespace"),
    "pg_proc": ("proname", "pronamespace"),
    "pg_collation": ("collname", "collnamespace"),
    "pg_opclass": ("opcname", "opcnamespace"),
    "pg_opfamily": ("opfname", "opfnamespace"),
    "pg_conversion": ("conname", "connamespace"),
    "pg_statistic_ext": ("stxname", "stxnamespace"),
    "pg_ts_config": ("cfgname", "cfgnamespace"),
    "pg_ts_dict": ("dictname", "dictnamespace"),
    "pg_ts_parser": ("prsname", "prsnamespace"),
    "pg_ts_template": ("tmplname", "tmplnamespace"),
}


async def _known(reader: Reader, schemas: Mapping[str, str]) -> frozenset[Pair]:
    names = ", ".join(literal(name) for name in schemas)
    selects = (
        f"SELECT n.nspname, x.{name} AS name FROM {catalogue} x JOIN pg_namespace n ON n.oid = x.{namespace} "
        f"WHERE n.nspname IN ({names})"
        for catalogue, (name, namespace) in _NAMED.items()
    )
    return frozenset((row.nspname, row.name) for row in await reader.rows(" UNION ".join(selects)))
