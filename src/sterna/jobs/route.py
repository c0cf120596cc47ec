"""The way of a plan: from which engine to which, and how the two come together.

Mostly both sides are of one kind, and one engine does it all. A source of another kind describes its tables, and
the target's engine takes them (``Describes``, ``Takes``). Files that the target's servers read by themselves need
nobody in between (``Restores``).
"""

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import Unsupported
from sterna.core.event import Level
from sterna.core.finding import Finding
from sterna.core.job import JobId
from sterna.core.plan import Plan
from sterna.core.ports import Check, Describes, Engine, Guards, Restores, Room, Sink, Takes, Teller
from sterna.core.schema import Schema
from sterna.flow.proving import Proof
from sterna.jobs.held import Held
from sterna.jobs.tempo import Tempo

LAST_BACKUP = "last_backup"
PRECHECK = "precheck"


@dataclass(frozen=True)
class Described:
    """What a source says of its tables; it is opened when it is first asked."""

    held: Held

    async def schema(self) -> Schema:
        source = await self.held.source()
        if not isinstance(source, Describes):
            raise Unsupported(
                "The source cannot say how its tables are made, so no other kind of target takes them"
            )
        return await source.schema()


@dataclass(frozen=True)
class Route:
    """A plan and its two engines."""

    plan: Plan
    source: Engine
    target: Engine

    @classmethod
    def of(cls, plan: Plan, engines: Mapping[str, Engine]) -> "Route":
        """Raises Unsupported where there is no way from the one to the other."""
        for name in (plan.source.engine, plan.target.engine):
            if name not in engines:
                raise Unsupported(f"There is no engine {name}")
        route = cls(plan, engines[plan.source.engine], engines[plan.target.engine])
        takes = bool(plan.source.files) and isinstance(route.target, Takes)
        if route.crosses and not route.restores and not takes:
            raise Unsupported(f"{plan.source.engine} cannot be moved to {plan.target.engine}")
        return route

    @property
    def crosses(self) -> bool:
        """Whether the sides are of different kinds."""
        return self.plan.source.engine != self.plan.target.engine

    @property
    def restores(self) -> bool:
        """Whether the target's servers read the source's files by themselves."""
        return bool(self.plan.source.files) and isinstance(self.target, Restores)

    @property
    def waits(self) -> bool:
        """Whether more files are to come before anything is loaded: of a chain, the last ones alone are."""
        return self.crosses and not self.restores and _no(self.plan, LAST_BACKUP)

    def checks(self, described: Describes, job_id: JobId | None) -> Sequence[Check]:
        """What to look at on both sides before a start; where no checks are wanted, those that guard the data."""
        checks = list(self.source.checks(self.plan, job_id))
        if self.crosses and isinstance(self.target, Takes):
            checks += self.target.checks_for(described, self.plan, job_id)
        if _no(self.plan, PRECHECK):
            return [check for check in checks if isinstance(check, Guards) and check.guards]
        return checks

    async def look(self, job_id: JobId | None = None) -> AsyncIterator[Sequence[Finding]]:
        """Carry out all checks, one after the other; what a source is opened for is closed at the end."""
        with TemporaryDirectory(prefix="sterna-check-") as folder:
            room = Room(job_id or JobId("check"), 0, Path(folder))
            held = Held(lambda: self.source.source(self.plan, room, silent), Tempo(), time.monotonic)
            async with described(held) as source:
                for check in self.checks(source, job_id):
                    yield await check.run()

    def sink(self, described: Describes, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        if self.crosses and isinstance(self.target, Takes):
            return self.target.sink_for(described, self.plan, room, tell)
        return self.source.sink(self.plan, room, tell)

    async def compare(
        self,
        *,
        job_id: JobId | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        """As ``Engine.compare``, whatever kinds the sides are of. Raises Unsupported where there is no way to."""
        if not self.crosses:
            return await self.source.compare(
                self.plan, repair=repair, most=most, depth=depth, only=only, heard=heard
            )
        target = self.target
        if repair:
            raise Unsupported("A target of another kind is not repaired: load it again")
        if not isinstance(target, Takes):
            raise Unsupported(f"What {self.plan.target.engine} restores by itself is not compared")
        with TemporaryDirectory(prefix="sterna-compare-") as folder:
            room = Room(job_id or JobId("compare"), 0, Path(folder))
            async with self.source.source(self.plan, room, silent) as source:
                proof = Proof(self.plan, source, lambda table: target.digest(self.plan, table))
                return await proof.compare(depth=depth, only=only, most=most, heard=heard)


def silent(level: Level, code: str, message: str, **fields: str) -> None:
    """For a source that is only looked at: what it would tell is in what was found."""


def _no(plan: Plan, option: str) -> bool:
    return plan.options.get(option, "").lower() == "false"


@asynccontextmanager
async def described(held: Held) -> AsyncIterator[Described]:
    """The same for a while: what was opened is closed at the end."""
    try:
        yield Described(held)
    finally:
        await held.close()
