"""Runs a migration in this process, with the real runner and engine, so that a test can watch and disturb it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from sterna.core.change import Position
from sterna.core.comparison import Comparison
from sterna.core.event import Event
from sterna.core.job import Condition, Job, Phase
from sterna.core.plan import Endpoint, Mode, Pace, Plan
from sterna.core.ports import Engine
from sterna.core.progress import Progress
from sterna.engines.postgres.connection import connected
from sterna.engines.postgres.engine import PostgresEngine
from sterna.engines.postgres.position import parse
from sterna.engines.redis.connection import Connection, info
from sterna.engines.redis.engine import RedisEngine
from sterna.engines.redis.position import StreamPosition
from sterna.jobs.desk import Desk
from sterna.jobs.runner import Runner
from sterna.jobs.steps import FOLLOW
from sterna.jobs.tempo import Tempo
from sterna.store.memory import MemoryStore
from tests.effort import PATIENCE
from tests.servers.postgres import SUPERUSER, PostgresServer
from tests.servers.redis import Server

QUICK = Tempo(
    look=0.05, beat=0.1, quiet=0.3, patience=5.0, count=0.5, first_wait=0.05, longest_wait=0.5, grace=2.0
)


def endpoint(server: Server, port: int | None = None) -> Endpoint:
    return Endpoint("redis", ((server.host, port or server.port),), password=server.password or "")


def postgres_endpoint(server: PostgresServer, port: int | None = None) -> Endpoint:
    """The server as its superuser, by another port (a proxy's) if one is given."""
    addresses = ((server.host, port or server.port),)
    return Endpoint("postgresql", addresses, user=SUPERUSER, password=server.password)


_ENGINES: dict[str, type[Engine]] = {"redis": RedisEngine, "postgresql": PostgresEngine}


class Move:
    """One job. Its store survives what is done to the runs."""

    def __init__(self, source: Endpoint, target: Endpoint, folder: Path, plan: Plan | None = None) -> None:
        self.plan = replace(plan, source=source, target=target) if plan else Plan(source, target)
        self.engine = _ENGINES[source.engine]()
        self.store = MemoryStore()
        self.engines = {source.engine: self.engine}
        self.desk = Desk(self.store, self.engines)
        self.folder = folder
        self.spool_limit = 0
        self.tempo = QUICK
        self.task: asyncio.Task[None] | None = None
        self.runner: Runner | None = None
        self.job: Job

    async def start(self) -> "Move":
        self.job = await self.desk.create("0" * 32, "cli", "move", plan=self.plan)
        await self.desk.run(self.job)
        self.go()
        return self

    def go(self) -> None:
        """Another run of the job begins."""
        self.runner = Runner(self.store, self.engines, self.job.id, self.folder, self.spool_limit, self.tempo)
        self.task = asyncio.create_task(self.runner.run())

    async def again(self) -> None:
        """Ask it to run once more, after a pause, a failure or its end."""
        await self.desk.run(await self.now())
        self.go()
        while (await self.now()).wished:
            await asyncio.sleep(0.01)

    async def cut(self) -> None:
        """End the run without a word, as a crash would."""
        assert self.task
        self.task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self.task

    async def now(self) -> Job:
        return await self.store.job(self.job.id)

    async def progress(self) -> Progress:
        return await self.store.progress(self.job.id)

    async def events(self, code: str = "") -> list[Event]:
        _, events = await self.store.events(self.job.id, limit=1000)
        return [event for event in events if event.code.startswith(code)]

    async def until(self, holds: Callable[[Job, Progress], bool], seconds: float = PATIENCE) -> None:
        """Wait for a fact; a job that failed meanwhile fails the test with its reason."""
        end = time.monotonic() + seconds
        while True:
            job = await self.now()
            if holds(job, await self.progress()):
                return
            if self.task and self.task.done() and self.task.exception():
                raise AssertionError("the run ended with an error") from self.task.exception()
            if time.monotonic() > end or job.condition is Condition.FAILED:
                seen = [f"{event.level} {event.code} {event.message}" for event in await self.events()]
                raise AssertionError(
                    f"{job.phase} {job.condition} {job.failure} {await self.progress()} {seen[:8]}"
                )
            await asyncio.sleep(0.02)

    async def follows(self) -> None:
        """Wait until the copy is complete and this run has found that the target has everything."""
        await self.until(
            lambda job, figures: (
                job.phase is Phase.FOLLOW and figures.lag_bytes == 0 and self._applied() is not None
            )
        )

    async def caught_up(self) -> None:
        """Wait until everything that the source has now is on the target.

        The figures would not do: a lag may have been asked for before, and be written down now.
        """
        there = await _REACHED[self.plan.source.engine](self.plan.source)
        await self.until(lambda *_: there(self._applied()))

    def _applied(self) -> Position | None:
        """How far the target is with the changes, by what the run itself knows; None: it has applied none."""
        ledger = self.runner._ledger if self.runner else None
        return (ledger._lanes.get(FOLLOW) or ledger._stored.get(FOLLOW)) if ledger else None

    async def hurry(self) -> None:
        """Copy without a limit from now on."""
        self.plan = replace(self.plan, pace=Pace())
        await self.store.describe(self.job.id, plan=self.plan)

    async def finish(self) -> None:
        await self.desk.finish(await self.now())
        await self.ended()

    async def stop(self) -> None:
        await self.desk.stop(await self.now())
        await self.ended()

    async def stop_failed(self) -> None:
        """Stop a job that nobody runs: a run of its own cleans up."""
        await self.desk.stop(await self.now())
        self.go()
        assert self.task
        await self.task
        assert (await self.now()).condition is Condition.DONE

    async def pause(self) -> None:
        await self.desk.pause(await self.now())
        await self.until(lambda job, _: job.condition is Condition.PAUSED)

    async def ended(self) -> None:
        await self.until(lambda job, _: job.condition is Condition.DONE)
        assert self.task
        await self.task

    async def fails(self, code: str, seconds: float = PATIENCE) -> str:
        """Wait until the job has failed with this code; returns the message and the hint."""
        assert self.task
        await asyncio.wait({self.task}, timeout=seconds)
        job = await self.now()
        assert job.condition is Condition.FAILED, (job, [e.message for e in await self.events()])
        assert job.failure is not None
        assert job.failure.code == code, job.failure
        return f"{job.failure.message} {job.failure.hint}"

    async def compare(self, *, repair: bool = False) -> Comparison:
        return await self.engine.compare(self.plan, repair=repair)

    async def is_equal(self) -> None:
        found = await self.compare()
        assert found.equal, found.differences


def incremental(**more: object) -> Plan:
    return replace(_PLAN, mode=Mode.INCREMENTAL, **more)  # type: ignore[arg-type]  # the names are Plan's own


def full(**more: object) -> Plan:
    return replace(_PLAN, mode=Mode.FULL, **more)  # type: ignore[arg-type]  # the names are Plan's own


Reached = Callable[[Position | None], bool]
"""Whether a position is at or beyond the place of a log where its server stood."""


async def _redis_now(source: Endpoint) -> Reached:
    async with await Connection.open(source) as connection:
        facts = info(await connection.call("INFO", "replication"))
    names = {facts["master_replid"], facts.get("master_replid2", "")}
    end = int(facts["master_repl_offset"])

    def reached(applied: Position | None) -> bool:
        place = StreamPosition.parse(applied) if applied else None
        return place is not None and place.replid in names and place.offset >= end

    return reached


async def _postgres_now(source: Endpoint) -> Reached:
    async with connected(source) as connection:
        cursor = await connection.execute("SELECT (pg_current_wal_flush_lsn() - '0/0')::bigint")
        ((end,),) = await cursor.fetchall()
    return lambda applied: applied is not None and all(place >= end for place in parse(applied).values())


_REACHED = {"redis": _redis_now, "postgresql": _postgres_now}
_NOWHERE = Endpoint("redis", (("127.0.0.1", 1),))
_PLAN = Plan(_NOWHERE, _NOWHERE)
