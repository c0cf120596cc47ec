"""Compares what there is besides rows: kinds of objects, by name.

What the plan selects of the source is looked for on the target; what only the target has is none of the plan's
business. What belongs to a partition goes with what belongs to the partitioned table, and is not looked for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sterna.core.comparison import Difference
from sterna.core.plan import Path, Place, Plan
from sterna.engines.postgres.catalogue import OWN, Table, taken
from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.connection import Connection, connected
from sterna.engines.postgres.names import literal, shown


@dataclass(frozen=True, slots=True)
class Thing:
    """One object of a database."""

    kind: str
    schema: str
    table: str
    """The table that it is part of; empty: it stands alone."""
    name: str


@dataclass
class Objects:
    """How many of each kind the source has, and how many of these the target has."""

    source: Counter[str] = field(default_factory=Counter)
    target: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> Mapping[str, tuple[int, int]]:
        return {kind: (self.source[kind], self.target[kind]) for kind in sorted(self.source)}


async def compare_objects(
    plan: Plan, database: str, tables: Sequence[Table], targets: Sequence[str], objects: Objects
) -> list[Difference]:
    """Note what a database has of what the plan selects, and give what the target lacks.

    Tables that hold rows are counted, and not among what is given: they are told of one by one. ``targets``: the
    target's databases that are there. Raises what ``connected`` raises.
    """
    async with connected(plan.source, database) as connection:
        mine = await things(connection)
    its = {}
    for target in targets:
        async with connected(plan.target, target) as connection:
            its[target] = set(await things(connection))
    leaves = {table.path: place for table in tables if (place := taken(plan.selection, table.path, table.root))}
    missing = []
    for thing in mine:
        place = _place(plan, database, thing, leaves)
        if place is None:
            continue
        objects.source[thing.kind] += 1
        if _there(thing, place) in its.get(place.to[0], ()):
            objects.target[thing.kind] += 1
        elif (database, thing.schema, thing.name) not in leaves:
            missing.append(_difference(database, thing, place))
    return missing


def _place(plan: Plan, database: str, thing: Thing, leaves: Mapping[Path, Place]) -> Place | None:
    """Where it goes; None: it is not taken."""
    if not thing.schema:
        return plan.selection.place((database,))
    path = (database, thing.schema, thing.table or thing.name)
    if path in leaves:
        return leaves[path]
    if thing.kind == "schemas":
        return plan.selection.place((database, thing.schema))
    return plan.selection.place(path)


def _there(thing: Thing, place: Place) -> Thing:
    """The same as it should be found on the target."""
    if not thing.schema:
        return thing
    if thing.kind == "schemas":
        return Thing(thing.kind, place.to[1], "", place.to[1])
    if thing.table:
        return Thing(thing.kind, place.to[1], place.to[2], thing.name)
    return Thing(thing.kind, place.to[1], "", place.to[2])


def _difference(database: str, thing: Thing, place: Place) -> Difference:
    names = [database, thing.schema, thing.table, thing.name]
    if thing.kind == "schemas":
        names = [database, thing.schema]
    there = f"in {shown(place.to[:2])}" if thing.schema else f"in {place.to[0]}"
    return Difference(
        shown(tuple(each for each in names if each)), "missing", f"{_ONE[thing.kind]} is not {there}"
    )


_ONE = {
    "tables": "the table",
    "views": "the view",
    "materialized views": "the materialized view",
    "sequences": "the sequence",
    "indexes": "the index",
    "constraints": "the constraint",
    "triggers": "the trigger",
    "policies": "the policy",
    "functions": "the function",
    "types": "the type",
    "schemas": "the schema",
    "extensions": "the extension",
}


async def things(connection: Connection) -> Sequence[Thing]:
    """All objects of users in a database. Raises psycopg.Error."""
    children = "k.conparentid = 0" if connection.info.server_version >= 110000 else "true"
    routine = "p.prokind <> 'x'" if connection.info.server_version >= 110000 else "true"
    return [Thing(*row) for row in await ask(connection, _THINGS.format(children=children, routine=routine))]


def _ours(column: str) -> str:
    own = ", ".join(literal(name) for name in OWN)
    return f"{column} NOT IN ({own}) AND {column} !~ '^pg_(toast_)?temp_'"


def _free(catalogue: str, oid: str) -> str:
    """Not a member of an extension."""
    return (
        f"NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_catalog.{catalogue}'::regclass "
        f"AND d.objid = {oid} AND d.deptype = 'e')"
    )


_THINGS = f"""
    SELECT CASE c.relkind WHEN 'v' THEN 'views' WHEN 'm' THEN 'materialized views' WHEN 'S' THEN 'sequences'
                          ELSE 'tables' END, n.nspname::text, ''::text, c.relname::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S') AND c.relpersistence <> 't' AND {_ours("n.nspname")}
       AND {_free("pg_class", "c.oid")}
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid
                          AND c.relkind = 'S' AND d.deptype IN ('i', 'a') AND d.refobjsubid > 0)
    UNION ALL
    SELECT 'indexes', n.nspname, c.relname, x.relname
      FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE i.indisvalid AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND {_ours("n.nspname")} AND {_free("pg_class", "c.oid")}
    UNION ALL
    SELECT 'constraints', n.nspname, c.relname, k.conname
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE k.contype IN ('c', 'f', 'p', 'u', 'x') AND {{children}} AND NOT c.relispartition
       AND c.relpersistence <> 't' AND {_ours("n.nspname")} AND {_free("pg_class", "c.oid")}
    UNION ALL
    SELECT 'triggers', n.nspname, c.relname, t.tgname
      FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT t.tgisinternal AND NOT c.relispartition AND c.relpersistence <> 't' AND {_ours("n.nspname")}
       AND {_free("pg_class", "c.oid")}
    UNION ALL
    SELECT 'policies', n.nspname, c.relname, p.polname
      FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE {_ours("n.nspname")}
    UNION ALL
    SELECT 'functions', n.nspname, '', p.proname || '(' || p.pronargs || ')'
      FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE {{routine}} AND {_ours("n.nspname")} AND {_free("pg_proc", "p.oid")}
       AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                          AND d.deptype = 'i')
    UNION ALL
    SELECT 'types', n.nspname, '', t.typname
      FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
     WHERE (t.typtype IN ('d', 'e', 'r') OR c.relkind = 'c') AND {_ours("n.nspname")}
       AND {_free("pg_type", "t.oid")}
    UNION ALL
    SELECT 'schemas', n.nspname, '', n.nspname FROM pg_namespace n
     WHERE {_ours("n.nspname")} AND {_free("pg_namespace", "n.oid")}
    UNION ALL
    SELECT 'extensions', '', '', e.extname FROM pg_extension e WHERE e.extname <> 'plpgsql'
    ORDER BY 1, 2, 3, 4"""  # noqa: S608 - no part of it comes from outside
