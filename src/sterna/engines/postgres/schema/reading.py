"""A database's whole schema, read from its catalogues and turned into what is to be run on the target."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from sterna.core.errors import Unsupported
from sterna.core.plan import Plan, Selection
from sterna.engines.postgres.catalogue import taken
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.schema import keys, others, routines, sequences, tables, types, views
from sterna.engines.postgres.schema.counters import read_counters
from sterna.engines.postgres.schema.depending import Needs, in_order, read_needs
from sterna.engines.postgres.schema.drafting import Drafter
from sterna.engines.postgres.schema.placing import renaming_of, target_database
from sterna.engines.postgres.schema.reader import Reader
from sterna.engines.postgres.schema.renaming import Pair
from sterna.engines.postgres.schema.rights import read_annotations
from sterna.engines.postgres.schema.roles import read_roles
from sterna.engines.postgres.schema.selecting import Choice
from sterna.engines.postgres.schema.things import Blueprint, Item, Key, LeftOut, Statement

_RANKS = (
    *("extension", "language", "collation", "text search", "type", "function", "aggregate", "operator"),
    *("operator family", "operator class", "cast", "conversion", "transform", "domain", "domain check"),
    *("foreign-data wrapper", "server", "user mapping", "sequence", "table", "foreign table", "attachment"),
    *("default", "sequence owner", "check", "column setting", "key", "index", "index attachment", "setting"),
    *("foreign key", "statistics", "view", "materialized view", "rule", "trigger", "policy", "row security"),
    "firing",
    *("default privileges", "event trigger", "publication", "subscription", "security label", "grant"),
)
_DATA = ("table", "attachment", "default", "check", "sequence", "sequence owner")
"""What has to be there when the rows come, with whatever that needs."""


async def draw(source: Connection, target: Connection, plan: Plan, database: str) -> Blueprint:
    """Everything of a source database that the plan selects, as statements for the target.

    ``source`` is a connection to that database, ``target`` one to any database of the target's server that holds
    the extensions' list. Raises Unsupported for a selected table that the target cannot have.
    """
    available = {}
    for name, versions in await (await target.execute(_AVAILABLE)).fetchall():
        available[name] = frozenset(versions)
    async with _one_moment(source):
        versions = source.info.server_version, target.info.server_version
        powerful = target.info.parameter_status("is_superuser") == "on"
        reader = Reader(source, *versions, powerful, target.info.user, available)
        return await _draw(reader, plan.selection, database)


_AVAILABLE = "SELECT name::text, array_agg(version) FROM pg_available_extension_versions GROUP BY 1"


@asynccontextmanager
async def _one_moment(source: Connection) -> AsyncIterator[None]:
    """A read-only transaction, unless the caller has one. Definitions are those of now even there."""
    if not source.autocommit or source.info.transaction_status:
        yield
        return
    await source.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    try:
        yield
    finally:
        await source.execute("ROLLBACK")


async def _read_items(reader: Reader, selection: Selection, database: str) -> dict[Key, Item]:
    def wanted(table: Pair, root: Pair | None) -> Sequence[str]:
        place = taken(selection, (database, *table), (database, *root) if root else None)
        return place.columns if place else ()

    found = [*await tables.read_tables(reader, wanted)]
    for read in (
        others.read_others,
        types.read_types,
        types.read_collations,
        routines.read_functions,
        routines.read_aggregates,
        routines.read_operators,
        routines.read_casts,
        sequences.read_sequences,
        keys.read_indexes,
        keys.read_constraints,
        views.read_views,
        views.read_rules,
        views.read_triggers,
        views.read_policies,
        views.read_statistics,
        views.read_replica_identities,
    ):
        found += await read(reader)
    return {item.key: item for item in found}


async def objects(connection: Connection, selection: Selection, database: str) -> Mapping[str, frozenset[str]]:
    """What there is of each kind (``tables``, ``indexes`` …), by names as the target has them.

    Read from the source with the plan's selection, from the target with ``Selection()`` and the target's name:
    what the first has and the second has not is missing. Raises Unsupported like ``draw``.
    """
    async with _one_moment(connection):
        version = connection.info.server_version
        names = await (await connection.execute("SELECT extname::text FROM pg_extension")).fetchall()
        reader = Reader(connection, version, version, True, "", {name: frozenset() for (name,) in names})
        picture = await _look(reader, selection, database)
    found = picture.drafter.objects(picture.order, picture.made)
    return {KINDS.get(kind, kind.replace(" ", "_") + "s"): frozenset(names) for kind, names in found.items()}


KINDS = {"index": "indexes", "policy": "policies", "table constraint": "constraints"}
KINDS |= {"operator class": "operator_classes", "operator family": "operator_families"}
KINDS |= {"text search dictionary": "text_search_dictionaries", "statistics object": "statistics"}
KINDS |= {"foreign-data wrapper": "foreign_data_wrappers", "default value": "defaults"}
"""Plurals that an ``s`` does not make, and shorter words."""


async def counts(connection: Connection, selection: Selection, database: str) -> Mapping[str, int]:
    """How many of each kind; see ``objects``."""
    return {kind: len(names) for kind, names in (await objects(connection, selection, database)).items()}


@dataclass(frozen=True, slots=True)
class _Picture:
    """What was found, in the order of making."""

    order: Sequence[Item]
    schemas: Sequence[Item]
    made: Sequence[Statement]
    """What makes the schemas."""
    needs: Needs
    drafter: Drafter
    left_out: Sequence[LeftOut]


async def _look(reader: Reader, selection: Selection, database: str) -> _Picture:
    items = await _read_items(reader, selection, database)
    needs = await read_needs(reader, items)
    chosen, left_out = Choice(items, needs, selection, database).taken()
    _refuse_lost_tables(left_out)
    renaming = await renaming_of(reader, chosen, selection, database)
    drafter = Drafter(renaming, await read_annotations(reader), reader.target, reader.maker)
    made, schemas = drafter.schemas(await others.read_schemas(reader), chosen.values(), selection, database)
    order = in_order(_ranked(chosen.values()), _order_needs(chosen, needs))
    return _Picture(order, schemas, made, needs, drafter, left_out)


async def _draw(reader: Reader, selection: Selection, database: str) -> Blueprint:
    picture = await _look(reader, selection, database)
    drafter, order = picture.drafter, picture.order
    whole = await others.read_database(reader, target_database(selection, database))
    everything = [*picture.schemas, *order]
    everything += [whole] if selection.place((database,)) else []
    late = _late(order, picture.needs)
    roles, untold = await read_roles(reader, drafter.named_roles(everything))
    return Blueprint(
        database=database,
        target=target_database(selection, database),
        version=reader.version,
        before=(*roles, *picture.made, *(drafter.statement(item) for item in order if item.key not in late)),
        after=_numbered([item for item in order if item.key in late], picture.needs, drafter),
        endings=tuple(drafter.endings(everything)),
        left_out=(*picture.left_out, *untold, *drafter.told(order)),
        sequences=await read_counters(reader, {item.key: item for item in order}, drafter.renaming),
        objects=drafter.objects(order, picture.made),
    )


def _refuse_lost_tables(left_out: Sequence[LeftOut]) -> None:
    """A table that cannot be had, or anything that lacks an extension, is a reason not to begin."""
    missing = next((each for each in left_out if "it needs the extension" in each.why), None)
    if missing:
        raise Unsupported(f"The {missing.kind} {missing.name} cannot be made on the target: {missing.why}")
    lost = next((each for each in left_out if each.kind == "table"), None)
    if lost:
        raise Unsupported(f"The table {lost.name} cannot be made on the target: {lost.why}")


def _ranked(items: Iterable[Item]) -> Sequence[Item]:
    ranks = {kind: rank for rank, kind in enumerate(_RANKS)}
    return sorted(items, key=lambda item: ranks[item.kind])


def _order_needs(taken: Mapping[Key, Item], needs: Needs) -> Mapping[Key, frozenset[Key]]:
    """What has to be there before: needs, and the parents of tables."""
    return {each: needs.of(item) | frozenset(item.above) for each, item in taken.items()}


def _late(order: Sequence[Item], needs: Needs) -> frozenset[Key]:
    """What is made after the data: what is so by nature, and what needs that; never what tables need."""
    by_key = {item.key: item for item in order}
    early: set[Key] = set()
    waiting = [item for item in order if item.kind in _DATA]
    while waiting:
        item = waiting.pop()
        if item.key not in early:
            early.add(item.key)
            waiting += [by_key[each] for each in needs.of(item) if each in by_key]
    late: set[Key] = set()
    for item in order:
        if item.key not in early and (item.after or needs.of(item) & late):
            late.add(item.key)
    return frozenset(late)


def _numbered(items: Sequence[Item], needs: Needs, drafter: Drafter) -> tuple[Statement, ...]:
    """Statements whose needs are the numbers of others, all smaller than their own."""
    numbers = {item.key: number for number, item in enumerate(items)}
    return tuple(
        replace(
            drafter.statement(item),
            number=number,
            needs=tuple(sorted(numbers[each] for each in needs.of(item) if numbers.get(each, number) < number)),
        )
        for number, item in enumerate(items)
    )
