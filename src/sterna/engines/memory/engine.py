"""The memory engine: databases by name, reached through the host of an endpoint."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from sterna.core.change import Change, Delete, Name, Put
from sterna.core.comparison import Compared, Comparison, Depth, Difference
from sterna.core.errors import Unreachable
from sterna.core.finding import Finding, Severity
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Endpoint, Plan
from sterna.core.ports import Check, Room, Sink, Source, Teller
from sterna.engines.memory.database import Database, Key, Row, rank
from sterna.engines.memory.sink import MemorySink
from sterna.engines.memory.source import Habits, MemorySource


def endpoint(name: str) -> Endpoint:
    """The endpoint of the database with this name."""
    return Endpoint("memory", ((name, 0),))


@dataclass(frozen=True)
class Reachable:
    """Looks whether a database answers."""

    name: str
    database: Database

    async def run(self) -> Sequence[Finding]:
        self.database.ping()
        return [Finding(self.name, Severity.PASSED, "answers")]


@dataclass(frozen=True)
class Empty:
    """Looks whether the target is empty, where the plan wants it so."""

    database: Database
    name: str = "memory.target.empty"

    async def run(self) -> Sequence[Finding]:
        rows = self.database.count()
        if rows:
            return [Finding(self.name, Severity.FAILED, f"holds {rows} rows", "Empty the target.")]
        return [Finding(self.name, Severity.PASSED, "empty")]


@dataclass(frozen=True)
class MemoryEngine:
    """Moves between databases in memory."""

    databases: Mapping[str, Database]
    habits: Habits = field(default_factory=Habits)

    @property
    def name(self) -> str:
        return "memory"

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        return self._source(self._at(plan.source), room)

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        return self._sink(self._at(plan.target), room, plan.conflict)

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        source, target = self._at(plan.source), self._at(plan.target)
        checks: list[Check] = [
            Reachable("memory.source.reachable", source),
            Reachable("memory.target.reachable", target),
        ]
        return [*checks, Empty(target)] if plan.conflict is Conflict.STOP else checks

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        """Compares each table at one moment, and mends what it finds if asked to."""
        there, here = self._at(plan.source), self._at(plan.target)
        contents = there.contents(), here.contents()
        found, tables = [], []
        for name in sorted({*contents[0], *contents[1]} & set(only or {*contents[0], *contents[1]}), key=str):
            mine, its = contents[0].get(name, {}), contents[1].get(name, {})
            differing = _differing(mine, its) if depth is Depth.CONTENTS else []
            if repair:
                here.apply(*(_mending(name, mine, its, key) for key in differing))
            found += [Difference(f"{name}/{key}", _kind(mine.get(key), its.get(key))) for key in differing]
            tables.append(_compared(name, mine, its, depth, len(differing)))
            if heard:
                heard(tables[-1])
            await asyncio.sleep(there.delay())
        different = sum(table.different for table in tables)
        repaired = len(found) if repair else 0
        return Comparison(
            equal=different == repaired,
            compared=sum(max(table.source_rows, table.target_rows) for table in tables),
            differences=found[:most],
            different=different,
            counts={str(table.name): (table.source_rows, table.target_rows) for table in tables},
            repaired=repaired,
            objects={"tables": (len(contents[0]), len(contents[1]))},
            tables=tables,
        )

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        return {"version": "1", "role": "master", "rows": str(self._at(endpoint).count())}

    def _at(self, endpoint: Endpoint) -> Database:
        host = endpoint.addresses[0][0]
        if host not in self.databases:
            raise Unreachable(f"There is no memory database {host}")
        return self.databases[host]

    @asynccontextmanager
    async def _source(self, database: Database, room: Room) -> AsyncIterator[Source]:
        database.ping()
        try:
            yield MemorySource(database, room, self.habits)
        finally:
            database.hang_up(room.job_id)

    @asynccontextmanager
    async def _sink(self, database: Database, room: Room, conflict: Conflict) -> AsyncIterator[Sink]:
        database.ping()
        yield MemorySink(database, room, conflict)


def _differing(there: Mapping[Key, Row], here: Mapping[Key, Row]) -> list[Key]:
    return [key for key in sorted({*there, *here}, key=rank) if there.get(key) != here.get(key)]


def _mending(name: Name, there: Mapping[Key, Row], here: Mapping[Key, Row], key: Key) -> Change:
    return Put(name, there[key]) if key in there else Delete(name, here[key])


def _compared(
    name: Name, there: Mapping[Key, Row], here: Mapping[Key, Row], depth: Depth, differing: int
) -> Compared:
    match depth:
        case Depth.CONTENTS:
            different = differing
        case Depth.ROWS:
            different = abs(len(there) - len(here))
        case Depth.OBJECTS:
            different = int(bool(there) != bool(here))
    return Compared(name, name, len(there), len(here), different)


def _kind(there: Row | None, here: Row | None) -> str:
    if there == here:
        return ""
    if here is None:
        return "missing"
    return "extra" if there is None else "value"
