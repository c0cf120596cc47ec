"""One child process for each job that runs, on this machine: a crash of one touches no other.

What should run is read from the store, again and again, and nothing else is believed: so a service that was
killed, and comes back, goes on with what ran. A child is never ended for being slow; one that dies is started
again and goes on from the position in the target.
"""

import asyncio
import os
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from sterna.core.errors import Trouble
from sterna.core.event import Event, Level
from sterna.core.job import Condition, Failure, Job, JobId, Phase
from sterna.core.stores import JobStore
from sterna.runtime.lock import Lock
from sterna.runtime.logs import JobLog

log = structlog.get_logger(__name__)

KEEPS_DYING = "STERNA.2011"


@dataclass(frozen=True)
class Patience:
    """How long the service waits for what, in seconds."""

    look: float = 0.3
    """Between two looks into the store."""
    grace: float = 25.0
    """How long a child may take to leave; a little more than it allows itself."""
    first_wait: float = 0.2
    longest_wait: float = 30.0
    """Before a child that died is started again."""
    deaths: int = 10
    """So many deaths ``within`` this time, with nothing done between them, make the job fail."""
    within: float = 120.0


@dataclass
class Deaths:
    """How often a job's child died lately without having come further."""

    patience: Patience
    clock: Callable[[], float]
    times: list[float] = field(default_factory=list)
    done: object = None
    """How far the job was at the last death."""

    def another(self, done: object) -> None:
        now = self.clock()
        kept = self.times if done == self.done else []
        self.times = [*(at for at in kept if now - at < self.patience.within), now]
        self.done = done

    @property
    def too_many(self) -> bool:
        return len(self.times) >= self.patience.deaths

    @property
    def wait(self) -> float:
        return min(self.patience.longest_wait, self.patience.first_wait * 2.0 ** (len(self.times) - 1))


@dataclass
class LocalRuntime:
    """Runs jobs on this machine. ``command``: the words that start the child of a job.

    ``folder`` is where the children's logs go, and a lock: of several services with the same folder one alone
    runs jobs, and another takes over when it ends.
    """

    store: JobStore
    command: Callable[[JobId], Sequence[str]]
    folder: Path
    patience: Patience = field(default_factory=Patience)
    clock: Callable[[], float] = time.monotonic
    _children: dict[JobId, asyncio.Task[None]] = field(default_factory=dict, init=False)
    _looking: asyncio.Task[None] | None = field(default=None, init=False)
    _ending: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    async def start(self) -> None:
        """Begin to look for jobs that should run. Returns at once."""
        self._ending.clear()
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Tell all children to leave and wait until they have; jobs that ran go on at the next ``start``."""
        self._ending.set()
        if self._looking:
            await self._looking

    @property
    def running(self) -> Sequence[JobId]:
        """The jobs that have a child, or are about to."""
        return list(self._children)

    async def _look(self) -> None:
        lock = Lock(self.folder / "runtime.lock")
        while not self._ending.is_set():
            try:
                if lock.take():
                    await self._start_due()
            except Trouble as trouble:
                log.error("looking for jobs failed", error=trouble.message, hint=trouble.hint)
            except Exception:
                log.exception("looking for jobs failed")
            await self._pause(self.patience.look)
        await asyncio.gather(*self._children.values(), return_exceptions=True)
        lock.free()

    async def _start_due(self) -> None:
        self._children = {id: task for id, task in self._children.items() if not task.done()}
        for id in await self.store.due():
            if id not in self._children:
                self._children[id] = asyncio.create_task(self._tend(id))

    async def _tend(self, id: JobId) -> None:
        """Keep a child alive until the job needs none."""
        deaths = Deaths(self.patience, self.clock)
        try:
            while not self._ending.is_set() and id in await self.store.due():
                asked = (await self.store.job(id)).asked
                code = await self._child(id)
                if not self._ending.is_set():
                    await self._after(id, code, asked, deaths)
        except Trouble as trouble:
            log.error("tending a job failed", job=id, error=trouble.message, hint=trouble.hint)
            await self._pause(self.patience.longest_wait)
        except Exception:
            log.exception("tending a job failed", job=id)
            await self._pause(self.patience.longest_wait)

    async def _child(self, id: JobId) -> int:
        """One child's life. Its exit code; below zero: the signal that ended it."""
        journal = JobLog(self.folder / "logs" / f"{id}.log")
        journal.trim()
        output = journal.open()
        try:
            child = await asyncio.create_subprocess_exec(
                *self.command(id), stdin=PIPE, stdout=DEVNULL, stderr=output, start_new_session=True
            )
        except OSError as error:
            log.error("a child could not be started", job=id, error=str(error))
            return 127
        finally:
            os.close(output)
        return await self._attend(child, journal)

    async def _attend(self, child: Process, journal: JobLog) -> int:
        """Wait for its end; once the service ends, tell it to leave by closing its standard input."""
        gone = asyncio.create_task(child.wait())
        try:
            while not gone.done() and not self._ending.is_set():
                await self._pause(60.0, gone)
                journal.trim()
            assert child.stdin
            child.stdin.close()
            await asyncio.wait({gone}, timeout=self.patience.grace)
        finally:
            if not gone.done():
                child.kill()
        return await gone

    async def _after(self, id: JobId, code: int, asked: int, deaths: Deaths) -> None:
        """A child that ended and left work, or left the wish it was started for, is started again, in a while."""
        job = await self.store.job(id)
        settled = job.asked > asked if job.wished else job.condition is not Condition.RUNNING
        if code == 0 and settled:
            return
        deaths.another(await self._done(job))
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        await self._tell(id, Level.WARN, "run.died", f"The process of the job {how}", wait_s=f"{deaths.wait:.1f}")
        if deaths.too_many:
            await self._give_up(job, how)
        else:
            await self._pause(deaths.wait)

    async def _done(self, job: Job) -> object:
        """How far the job is: the same twice means that nothing was done."""
        progress = await self.store.progress(job.id)
        positions = await self.store.positions(job.id)
        return job.phase, dict(positions), progress.rows, progress.bytes, progress.changes

    async def _give_up(self, job: Job, how: str) -> None:
        message = f"The process of the job died {self.patience.deaths} times in a row; the last one {how}"
        failure = Failure(KEEPS_DYING, message, "Look into the job's log file, then let the job go on.")
        phase = Phase.PREPARE if job.phase is Phase.DRAFT else job.phase
        await self.store.report(job.id, phase, Condition.FAILED, failure, epoch=job.epoch)
        await self.store.answer(job.id, job.asked)

    async def _tell(self, id: JobId, level: Level, code: str, message: str, **fields: str) -> None:
        await self.store.add_events([Event(id, time.time_ns() // 1_000_000, level, code, message, fields)])

    async def _pause(self, seconds: float, *also: "asyncio.Task[int]") -> None:
        """Sleep, but not beyond the end of the service or of ``also``."""
        ending = asyncio.create_task(self._ending.wait())
        await asyncio.wait({ending, *also}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
