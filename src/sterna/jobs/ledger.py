"""A job's own page in the store: how far it is, what was asked of it, what is to be told about it.

Everything is written with the run's epoch, so that the store turns down what an older run still wants to say.
Positions here may be up to a second old; the exact one is in the target, with the data.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from sterna.core.change import Position
from sterna.core.errors import Fenced
from sterna.core.event import Event, Level
from sterna.core.finding import Finding
from sterna.core.job import Condition, Failure, Job, Phase, Wish
from sterna.core.plan import Pace
from sterna.core.progress import Progress
from sterna.core.stores import JobStore
from sterna.flow.progress import Meter
from sterna.jobs.background import whole
from sterna.jobs.tempo import Tempo

log = structlog.get_logger(__name__)

SIGN_OF_LIFE_MS = 2000
"""Figures that stay the same are written again after so long: a reader can tell whether anybody still looks."""
_COPYING = (Phase.PREPARE.value, Phase.COPY.value)
STORE_PATIENCE = 60.0
"""Seconds for which a run works on while the store cannot be written in the background."""


@dataclass
class Ledger:
    """One run's view of its job. Made right after the run began."""

    store: JobStore
    job: Job
    """As it was last seen; phase and epoch are this run's own."""
    tempo: Tempo = field(default_factory=Tempo)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    meter: Meter = field(default_factory=Meter)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a pause, a stop, or the end of the process was asked for."""
    finishing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once a cutover was asked for."""
    _lanes: dict[str, Position] = field(default_factory=dict, init=False)
    _noted: dict[str, float] = field(default_factory=dict, init=False)
    _stored: dict[str, Position] = field(default_factory=dict, init=False)
    _events: list[Event] = field(default_factory=list, init=False)
    _written: Progress | None = field(default=None, init=False)

    @property
    def phase(self) -> Phase:
        return self.job.phase

    @property
    def pace(self) -> Pace:
        """The limits as they are now; they may change while the job runs."""
        return self.job.plan.pace if self.job.plan else Pace()

    def copy_rate(self) -> int:
        """Bytes a second that the copy may move now, by the service's local time; 0: no limit."""
        return self.pace.copy_rate(self._minute())

    def follow_rate(self) -> int:
        """The same for changes."""
        return self.pace.follow_rate(self._minute())

    def _minute(self) -> int:
        """Of the day."""
        local = time.localtime(self.wall() / 1000)
        return local.tm_hour * 60 + local.tm_min

    # Where the job is.

    async def enter(self, phase: Phase) -> None:
        """Say that a phase begins, before it does."""
        if phase is not self.phase:
            await self._report(phase, Condition.RUNNING)
        if not (phase is Phase.CLOSE and self.stop.is_set() and self.meter.now.phase in _COPYING):
            self.meter.note(phase=phase.value)  # a copy that was cut short keeps its figures: it is not complete

    async def end(self, condition: Condition, failure: Failure | None = None) -> None:
        """The run is over: write everything that is still to be written, then how it ended."""
        await self.flush()
        await self._report(self.phase, condition, failure)

    async def begin_copy(self) -> None:
        """The copy starts from nothing."""
        self._lanes.clear()
        self._noted.clear()
        self._stored.clear()
        await self.store.forget(self.job.id, epoch=self.job.epoch)
        self.meter.restart()

    # How far each lane is.

    async def position(self, lane: str) -> Position | None:
        return self._lanes.get(lane) or await self.store.position(self.job.id, lane)

    async def advance(self, lane: str, position: Position) -> bool:
        """Remember a lane's position, at most once a beat. True: it is in the store now."""
        self.hold(lane, position)
        if not self.due(lane):
            return False
        await self.put(lane, position)
        return True

    def hold(self, lane: str, position: Position) -> None:
        """Remember a lane's position with the next ``write_lanes``."""
        self._lanes[lane] = position

    def due(self, lane: str) -> bool:
        """Whether it is a beat since the lane was written."""
        return self.clock() - self._noted.get(lane, float("-inf")) >= self.tempo.beat

    async def put(self, lane: str, position: Position) -> None:
        """Remember a lane's position now."""
        if self._stored.get(lane) != position:
            await self.store.advance(self.job.id, lane, position, epoch=self.job.epoch)
        self._stored[lane] = position
        self._noted[lane] = self.clock()
        if self._lanes.get(lane) == position:
            del self._lanes[lane]

    async def write_lanes(self) -> None:
        """Write all positions that wait."""
        for lane, position in list(self._lanes.items()):
            await self.put(lane, position)

    async def flush(self) -> None:
        """Write the positions, figures and events that wait."""
        await self.write_lanes()
        await self.write_progress()
        await self.write_events()

    # What is to be told.

    def tell(self, level: Level, code: str, message: str, **fields: str) -> None:
        """Add a line to the job's history; it is written within a beat. ``fields`` hold no secret."""
        self._events.append(Event(self.job.id, self.wall(), level, code, message, fields))

    async def note_findings(self, findings: Sequence[Finding]) -> None:
        await self.store.set_findings(self.job.id, findings)

    async def write_events(self) -> None:
        events, self._events = self._events, []
        if events:
            try:
                await self.store.add_events(events)
            except Exception:
                self._events = events + self._events  # they are told once the store can be written again
                raise

    async def write_progress(self) -> None:
        now, last = self.meter.read(), self._written
        if last is None or replace(now, at_ms=last.at_ms) != last or now.at_ms - last.at_ms >= SIGN_OF_LIFE_MS:
            await self.store.set_progress(self.job.id, now, epoch=self.job.epoch)
            self._written = now

    # What was asked.

    @property
    def wish(self) -> Wish:
        """The last wish that was seen."""
        return self.job.wish

    async def look(self) -> None:
        """See whether something new was asked. Raises Fenced if a later run has begun."""
        now = await self.store.job(self.job.id)
        if now.epoch != self.job.epoch:
            raise Fenced(f"Run {now.epoch} of this job has begun")
        self.see(now)

    def see(self, now: Job) -> None:
        """Take over what the API wrote."""
        self.job = replace(self.job, wish=now.wish, asked=now.asked, plan=now.plan)
        if now.wish in (Wish.PAUSE, Wish.STOP):
            self.stop.set()
        if now.wish is Wish.FINISH:
            self.finishing.set()

    async def answer(self) -> None:
        """The last wish that was seen has been carried out."""
        await self.store.answer(self.job.id, self.job.asked)

    async def keep(self) -> None:
        """Look for wishes, write figures and events, for ever. Raises Fenced.

        A store that cannot be written for a moment does not stop the copy.
        """
        written = well = self.clock()
        while True:
            await asyncio.sleep(self.tempo.look)
            try:
                await self.look()
                if self.clock() - written >= self.tempo.beat:
                    written = self.clock()
                    await self.write_progress()
                    await self.write_events()
                well = self.clock()
            except Fenced:
                raise
            except Exception as error:
                if self.clock() - well > STORE_PATIENCE:
                    raise
                log.warning("the store did not answer", job=self.job.id, error=repr(error))

    async def wait(self, seconds: float, sleep: Callable[[float], Awaitable[None]]) -> None:
        """Sleep, but not beyond a stop."""
        sleeping = asyncio.ensure_future(sleep(seconds))
        stopping = asyncio.ensure_future(self.stop.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()

    async def _report(self, phase: Phase, condition: Condition, failure: Failure | None = None) -> None:
        """As a whole, since a pause that came in between would write the phase before it again."""
        await whole(self._write(phase, condition, failure))

    async def _write(self, phase: Phase, condition: Condition, failure: Failure | None) -> None:
        await self.store.report(self.job.id, phase, condition, failure, epoch=self.job.epoch)
        self.job = replace(self.job, phase=phase, condition=condition)
