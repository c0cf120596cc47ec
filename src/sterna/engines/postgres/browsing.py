"""What a server holds, for a person to choose from: databases, schemas, tables and views."""

from collections.abc import Sequence

from sterna.core.plan import Endpoint, Selection
from sterna.core.ports import Found
from sterna.engines.postgres.catalogue import OWN, databases
from sterna.engines.postgres.connection import connected


async def browse(endpoint: Endpoint, wanted: Sequence[str] = ()) -> Sequence[Found]:
    """Meets ``core.ports.Browses``. Partitions are not named: they go with their table."""
    found: list[Found] = []
    for database in await databases(endpoint, Selection()):
        if not wanted or database in wanted:
            found.append(Found((database,), "database"))
            found += await _inside(endpoint, database)
    return found


async def _inside(endpoint: Endpoint, database: str) -> Sequence[Found]:
    found: list[Found] = []
    async with connected(endpoint, database, purpose="sterna browse") as connection:
        rows = await (await connection.execute(_RELATIONS, (list(OWN),))).fetchall()
    for schema, name, kind in rows:
        if not found or found[-1].path[1] != schema:
            found.append(Found((database, schema), "schema"))
        if name is not None:
            found.append(Found((database, schema, name), "view" if kind in ("v", "m") else "table"))
    return found


_RELATIONS = """
    SELECT n.nspname, c.relname, c.relkind::text
      FROM pg_namespace n
      LEFT JOIN pg_class c ON c.relnamespace = n.oid AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
                          AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass
                                                  AND d.objid = c.oid AND d.deptype = 'e')
     WHERE n.nspname <> ALL (%s) AND n.nspname !~ '^pg_(toast_)?temp_'
     ORDER BY n.nspname, c.relname"""
"""What an extension made is its own, and left out."""
