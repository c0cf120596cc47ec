"""A stage for journeys with the memory engine: two databases, a store, a job, and times short enough for tests."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from sterna.core.change import Name, Put
from sterna.core.job import Condition, Job, JobId, Phase, Wish
from sterna.core.plan import Mode, Plan
from sterna.core.ports import Engine
from sterna.core.stores import JobStore
from sterna.engines.memory.database import Database
from sterna.engines.memory.engine import MemoryEngine, endpoint
from sterna.engines.memory.source import Habits
from sterna.jobs.desk import Desk
from sterna.jobs.runner import Runner
from sterna.jobs.tempo import Tempo
from sterna.store.memory import MemoryStore
from tests.effort import PATIENCE

ORDERS = Name(("shop", "orders"))
STOCK = Name(("shop", "stock"))
QUICK = Tempo(
    look=0.005, beat=0.005, grace=0.3, quiet=0.03, patience=1.0, count=0.02, first_wait=0.005, longest_wait=0.05,
    clean_tries=3, clean_limit=30.0,
)  # fmt: skip
HASTE = Habits(pieces=2, chunk=10, batch=5, beat=0.01, look=0.002)


@dataclass
class Stage:
    """Everything that outlives a run."""

    folder: Path
    source: Database = field(default_factory=lambda: Database("s"))
    target: Database = field(default_factory=lambda: Database("t"))
    store: MemoryStore = field(default_factory=MemoryStore)
    plan: Plan = field(default_factory=lambda: Plan(endpoint("source"), endpoint("target")))
    tempo: Tempo = QUICK
    habits: Habits = HASTE
    clock: Callable[[], float] = time.monotonic
    """The runner's, in seconds."""
    adding: bool = True
    """Whether its clients make changes that must be applied exactly once."""

    engines: dict[str, Engine] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engines |= {"memory": MemoryEngine({"source": self.source, "target": self.target}, self.habits)}
        self.desk = Desk(self.store, self.engines)

    async def job(self, **plan: object) -> Job:
        """A described job that was asked to run."""
        whole = replace(self.plan, **plan)  # type: ignore[arg-type]
        job = await self.desk.create("p", "test", "journey", plan=whole)
        await self.desk.run(job)
        return job

    def runner(self, job: Job, store: JobStore | None = None) -> Runner:
        return Runner(
            store or self.store, self.engines, JobId(job.id), self.folder, tempo=self.tempo, clock=self.clock
        )

    async def now(self, job: Job) -> Job:
        return await self.store.job(job.id)

    async def codes(self, job: Job) -> list[str]:
        """The codes of the job's history, oldest first."""
        return [event.code for event in (await self.store.events(job.id, limit=1000, newest=False))[1]]


def fill(database: Database, rows: int = 50) -> None:
    for name in (ORDERS, STOCK):
        database.apply(*(Put(name, {"id": id, "n": 0}) for id in range(rows)))


async def until(fact: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait for a fact; fails if it does not come."""
    end = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < end, "it never came true"
        await asyncio.sleep(0.002)


async def reached(stage: Stage, job: Job, phase: Phase, condition: Condition = Condition.RUNNING) -> None:
    """Wait until the store says that the job is there, and nothing is asked of it."""
    end = time.monotonic() + PATIENCE
    while True:
        now = await stage.now(job)
        if (now.phase, now.condition, now.wished) == (phase, condition, False):
            return
        assert time.monotonic() < end, f"it is {now.phase} {now.condition} {now.wish} {now.failure}"
        await asyncio.sleep(0.002)


async def restarted(stage: Stage, job: Job, epoch: int) -> None:
    """Wait until a later run than this one has begun."""
    end = time.monotonic() + PATIENCE
    while True:
        if (await stage.now(job)).epoch > epoch:
            return
        assert time.monotonic() < end, "no later run has begun"
        await asyncio.sleep(0.002)


__all__ = [
    "ORDERS",
    "STOCK",
    "Condition",
    "Mode",
    "Phase",
    "Stage",
    "Wish",
    "fill",
    "reached",
    "restarted",
    "until",
]
