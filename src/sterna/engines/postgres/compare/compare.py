"""Compares what a plan selects on both servers, table by table, in both directions, while writes may go on.

Memory stays within some tens of megabytes, whatever the data. Two tables are compared at a time, each side over
connections of its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import psycopg

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth, Difference
from sterna.core.plan import Path, Plan
from sterna.core.ports import Room
from sterna.engines.postgres.catalogue import Table, databases, tables
from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.compare.desk import Desk, desk
from sterna.engines.postgres.compare.objects import Objects, compare_objects
from sterna.engines.postgres.compare.pairs import Match, Relations, matches, relations
from sterna.engines.postgres.compare.table import Result, compare_table, missing_table
from sterna.engines.postgres.connection import connected

TABLES_AT_ONCE = 2


@dataclass
class Findings:
    """What was found so far."""

    most: int
    heard: Callable[[Compared], None] | None
    differences: list[Difference] = field(default_factory=list)
    different: int = 0
    unsettled: int = 0
    repaired: int = 0
    tables: dict[Path, Compared] = field(default_factory=dict)
    objects: Objects = field(default_factory=Objects)

    @property
    def room(self) -> int:
        """How many more differences are named."""
        return max(0, self.most - len(self.differences))

    def done(self, match: Match, result: Result) -> None:
        """One table is done."""
        self.differences += result.differences[: self.room]
        self.different += result.different
        self.unsettled += result.unsettled
        self.repaired += result.repaired
        self.tables[match.path] = result.compared(match)
        if self.heard:
            self.heard(self.tables[match.path])

    def comparison(self) -> Comparison:
        tables = tuple(self.tables[path] for path in sorted(self.tables))
        return Comparison(
            equal=self.different == self.repaired and not any(each.trouble for each in tables),
            compared=sum(max(0, each.source_rows) for each in tables),
            differences=tuple(self.differences),
            different=self.different,
            counts={str(each.name): (each.source_rows, each.target_rows) for each in tables},
            unsettled=self.unsettled,
            repaired=self.repaired,
            objects=self.objects.counts,
            tables=tables,
        )


async def compare(
    plan: Plan,
    *,
    room: Room | None = None,
    repair: bool = False,
    most: int = 100,
    depth: Depth = Depth.CONTENTS,
    only: Sequence[Name] = (),
    heard: Callable[[Compared], None] | None = None,
) -> Comparison:
    """Compare, and on request repair: rows of the target become what they are on the source, where they differ.

    A table's generated columns are compared where the target has them; columns, tables and other objects that
    only the target has are not differences, rows are. A table that cannot be read has a ``trouble`` and the
    others are compared; a server that cannot be reached ends the comparison. ``equal`` says that nothing differs,
    or that everything that did is repaired. Tables that differ as a whole, or whose columns do, are not repaired.
    ``room`` is not needed: nothing is kept on disk.

    Raises Unreachable, AccessDenied, ServerBusy, and IllegalMove for a repair while a job copies to the target.
    """
    findings = Findings(most, heard)
    for database in await databases(plan.source, plan.selection):
        errand = Errand(plan, database, depth, repair, findings)
        await errand.run({each.path for each in only})
    return findings.comparison()


@dataclass(frozen=True)
class Errand:
    """The comparison of one database of the source."""

    plan: Plan
    database: str
    depth: Depth
    repair: bool
    findings: Findings

    async def run(self, only: set[Path]) -> None:
        """Its objects, and then its tables, a few at a time. ``only`` these tables; none: all."""
        async with connected(self.plan.source, self.database) as connection:
            chosen = await tables(connection, self.database, self.plan.selection)
        if only:
            chosen = [table for table in chosen if table.path in only or table.root in only]
        known = await self._known(chosen)
        if not only:
            await self._objects(chosen, known)
        waiting = deque(matches(chosen, self.plan.selection, known))
        crowd = Counter(match.place.to for match in waiting)
        crowded = {path for path, count in crowd.items() if count > 1}
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(min(TABLES_AT_ONCE, len(waiting))):
                    tasks.create_task(self._work(waiting, known, crowded))
        except BaseExceptionGroup as failures:
            raise failures.exceptions[0] from failures

    async def _known(self, chosen: Sequence[Table]) -> Mapping[str, Relations]:
        """What the target has in the databases to which tables go, as far as it has these."""
        placed = matches(chosen, self.plan.selection, {})
        wanted = {match.place.to[0] for match in placed}
        if place := self.plan.selection.place((self.database,)):
            wanted.add(place.to[0])
        async with connected(self.plan.target) as connection:
            there = {
                name for (name,) in await ask(connection, "SELECT datname FROM pg_database WHERE datallowconn")
            }
        found = {}
        for name in sorted(wanted & there):
            async with connected(self.plan.target, name) as connection:
                found[name] = await relations(connection)
        return found

    async def _objects(self, chosen: Sequence[Table], known: Mapping[str, Relations]) -> None:
        findings = self.findings
        missing = await compare_objects(self.plan, self.database, chosen, sorted(known), findings.objects)
        findings.different += len(missing)
        findings.differences += missing[: findings.room]

    async def _work(self, waiting: deque[Match], known: Mapping[str, Relations], crowded: set[Path]) -> None:
        """Compare the tables that wait, one after the other."""
        while waiting:
            target = waiting[0].place.to[0]
            if target not in known:
                self._nowhere(waiting.popleft())
                continue
            async with desk(self.plan, self.database, target) as opened:
                if self.repair:
                    await opened.may_repair()
                while waiting and waiting[0].place.to[0] == target and not opened.broken:
                    await self._compare(opened, waiting.popleft(), crowded)

    def _nowhere(self, match: Match) -> None:
        result = Result(self.findings.room)
        result.note([missing_table(match)])
        self.findings.done(match, result)

    async def _compare(self, opened: Desk, match: Match, crowded: set[Path]) -> None:
        result = Result(self.findings.room)
        try:
            if match.place.to in crowded:
                result.trouble = "Several tables go to this one: which row is whose cannot be told."
            else:
                await compare_table(opened, match, self.depth, self.repair, result)
        except psycopg.Error as error:
            trouble = opened.trouble(error)
            if opened.broken:
                raise trouble from error
            result.trouble = trouble.message
        self.findings.done(match, result)
