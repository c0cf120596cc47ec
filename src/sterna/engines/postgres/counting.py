"""How many rows there are, roughly: what the servers' own statistics say, without reading a table."""

from collections.abc import Sequence

from sterna.core.errors import Trouble
from sterna.core.plan import Endpoint, Path, Plan
from sterna.engines.postgres.catalogue import databases, tables, taken
from sterna.engines.postgres.connection import connected

_ROWS = """
    SELECT coalesce(sum(CASE WHEN s.n_live_tup > 0 THEN s.n_live_tup ELSE greatest(c.reltuples, 0) END), 0)::bigint
      FROM unnest(%s::text[], %s::text[]) AS wanted(schema, name)
      JOIN pg_namespace n ON n.nspname = wanted.schema
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = wanted.name
      LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid"""


class Counter:
    """Counts the rows of the selected tables on either side."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._places: dict[Path, Path] | None = None
        """Each table of the source, with where it is on the target."""

    async def source(self) -> int:
        """-1: not known."""
        return await self._count(self._plan.source, list(await self._look()))

    async def target(self) -> int:
        """-1: not known, also where the source is not there to say which tables are meant."""
        try:
            places = await self._look()
        except Trouble:
            return -1
        return await self._count(self._plan.target, list(places.values()))

    async def _look(self) -> dict[Path, Path]:
        if self._places is None:
            selection, found = self._plan.selection, {}
            for database in await databases(self._plan.source, selection):
                async with connected(self._plan.source, database) as connection:
                    for table in await tables(connection, database, selection):
                        place = taken(selection, table.path, table.root)
                        found[table.path] = place.to if place else table.path
            self._places = found
        return self._places

    async def _count(self, endpoint: Endpoint, paths: Sequence[Path]) -> int:
        total = 0
        for database in {path[0] for path in paths}:
            here = [path[1:] for path in paths if path[0] == database]
            async with connected(endpoint, database) as connection:
                wanted = [schema for schema, _ in here], [name for _, name in here]
                row = await (await connection.execute(_ROWS, wanted)).fetchone()
                total += row[0] if row else 0
        return total
