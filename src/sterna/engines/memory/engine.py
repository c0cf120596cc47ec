"""The memory engine: databases by name, reached through the host of an endpoint."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

from sterna.core.errors import Unreachable
from sterna.core.finding import Finding, Severity
from sterna.core.plan import Conflict, Endpoint, Plan
from sterna.core.ports import Check, Comparison, Difference, Room, Sink, Source, Teller
from sterna.engines.memory.database import Database, Row
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

    def checks(self, plan: Plan) -> Sequence[Check]:
        source, target = self._at(plan.source), self._at(plan.target)
        checks: list[Check] = [
            Reachable("memory.source.reachable", source),
            Reachable("memory.target.reachable", target),
        ]
        return [*checks, Empty(target)] if plan.conflict is Conflict.STOP else checks

    async def compare(
        self, plan: Plan, *, room: Room | None = None, repair: bool = False, most: int = 100
    ) -> Comparison:
        """Compares everything at one moment. It does not repair."""
        there, here = _flat(self._at(plan.source)), _flat(self._at(plan.target))
        names = sorted({*there, *here})
        found = [Difference(name, _kind(there.get(name), here.get(name))) for name in names]
        different = [difference for difference in found if difference.kind]
        counts = {"": (len(there), len(here))}
        return Comparison(not different, len(names), different[:most], len(different), counts)

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


def _flat(database: Database) -> dict[str, Row]:
    return {f"{name}/{key}": row for name, rows in database.contents().items() for key, row in rows.items()}


def _kind(there: Row | None, here: Row | None) -> str:
    if there == here:
        return ""
    if here is None:
        return "missing"
    return "extra" if there is None else "value"
