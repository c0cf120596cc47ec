"""Compares what a source of another kind describes with what the target holds: table by table, by digests."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sterna.core.change import ROWS_TEXT, Name, Pieces
from sterna.core.comparison import Compared, Comparison, Depth, Difference
from sterna.core.digest import Digest, digest_of
from sterna.core.errors import NotFound, Unsupported
from sterna.core.plan import Path, Plan
from sterna.core.ports import Describes, Source
from sterna.core.schema import Table

AT_ONCE = 3
"""Tables that are compared at the same time: for small ones, connecting takes the longest."""


@dataclass(frozen=True)
class Proof:
    """Both sides of one plan. ``digest``: what the target holds of a table; it raises NotFound, Unsupported."""

    plan: Plan
    source: Source
    digest: Callable[[Table], Awaitable[Digest]]

    async def compare(
        self,
        *,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        most: int = 100,
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        """Compare every table that is taken: how many rows, and, for contents, the sum of their hashes.

        Both sides are read as a whole, bounded in memory; the target must not be written meanwhile. Raises
        Unsupported where the source does not describe its tables, and what both sides raise.
        """
        if not isinstance(self.source, Describes):
            raise Unsupported("The source cannot say how its tables are made, so nothing can be compared with it")
        wanted = {name.path for name in only}
        tables = [each for each in (await self.source.schema()).tables if not wanted or each.path in wanted]
        done: dict[Path, Compared] = {}
        waiting = deque(tables)

        async def work() -> None:
            while waiting:
                table = waiting.popleft()
                done[table.path] = await self._compared(table, depth)
                if heard:
                    heard(done[table.path])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(AT_ONCE, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        return _comparison([done[table.path] for table in tables], most)

    async def _compared(self, table: Table, depth: Depth) -> Compared:
        name, target = Name(table.path), Name(self._target(table.path))
        if table.trouble:
            return Compared(name, target, -1, -1, trouble=table.trouble)
        if depth is Depth.OBJECTS:
            return Compared(name, target, -1, -1)
        ours, theirs = await asyncio.gather(self._of_source(name), self._of_target(table))
        if theirs is None:
            return Compared(name, target, ours.rows, -1, different=max(1, ours.rows))
        if isinstance(theirs, str):
            return Compared(name, target, ours.rows, -1, trouble=theirs)
        counted = abs(ours.rows - theirs.rows)
        differs = depth is Depth.CONTENTS and ours != theirs
        return Compared(name, target, ours.rows, theirs.rows, different=max(counted, int(differs)))

    def _target(self, path: Path) -> Path:
        """What the plan calls a table there; its server may have to call it something like that."""
        place, database = self.plan.selection.place(path), self.plan.selection.database(path[0])
        to = place.to if place else path
        return (database if database and to[0] == path[0] else to[0], *to[1:])

    async def _of_source(self, name: Name) -> Digest:
        total = Digest()
        for part in await self.source.parts(name):
            async for chunk in self.source.copy(part, (ROWS_TEXT,)):
                assert isinstance(chunk.data, bytes | Pieces), "rows as text were asked for"
                total += await asyncio.to_thread(digest_of, chunk.data)
        return total

    async def _of_target(self, table: Table) -> Digest | str | None:
        """None: there is no such table. A text: why it cannot be compared."""
        try:
            return await self.digest(table)
        except NotFound:
            return None
        except Unsupported as trouble:
            return trouble.message


def _comparison(tables: Sequence[Compared], most: int) -> Comparison:
    differing = [each for each in tables if not each.equal]
    return Comparison(
        equal=not differing,
        compared=sum(max(0, each.source_rows) for each in tables),
        differences=[_difference(each) for each in differing[:most]],
        different=sum(max(1, each.different) for each in differing),
        counts={str(each.name): (each.source_rows, each.target_rows) for each in tables},
        objects={"tables": (len(tables), sum(each.target_rows >= 0 or each.equal for each in tables))},
        tables=tables,
    )


def _difference(table: Compared) -> Difference:
    if table.trouble:
        return Difference(str(table.name), "value", f"could not be compared: {table.trouble}")
    if table.target_rows < 0:
        return Difference(str(table.name), "missing", "the target has no such table")
    if table.source_rows != table.target_rows:
        return Difference(
            str(table.name), "value", f"{table.source_rows} rows, the target has {table.target_rows}"
        )
    return Difference(str(table.name), "value", "as many rows, with other contents")
