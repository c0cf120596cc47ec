"""Runs one job: walks its steps, notes how far, and does what is asked of it on the way.

Whatever ends a run, the next one goes on from the phase in the store and the positions in the target. A run that
is told to leave (the process ends) writes no condition: the job stays RUNNING in the store, and whoever
supervises runs starts it again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from sterna.core.errors import Fenced, PositionGone, Retryable, StartAgain, Trouble, Unsupported
from sterna.core.event import Level
from sterna.core.job import Condition, Failure, Job, JobId, Phase, Wish
from sterna.core.plan import Mode, Plan, Resume
from sterna.core.ports import Engine, Restores, Room, Sink, Source
from sterna.core.stores import JobStore
from sterna.flow.pacing import Limit
from sterna.flow.progress import Meter
from sterna.jobs.held import Held
from sterna.jobs.ledger import Ledger
from sterna.jobs.route import Described, Route
from sterna.jobs.steps import Anchor, Copy, Finish, Follow, Precheck, Prepare, Restore, Step
from sterna.jobs.tempo import Backoff, Tempo
from sterna.jobs.unexpected import unexpected

log = structlog.get_logger(__name__)


@dataclass
class Runner:
    """One run of one job. ``folder``: where the engine may keep files of this job."""

    store: JobStore
    engines: Mapping[str, Engine]
    job_id: JobId
    folder: Path
    spool_limit: int = 0
    tempo: Tempo = field(default_factory=Tempo)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    _left: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _ledger: Ledger | None = field(default=None, init=False)

    def leave(self) -> None:
        """Stop between two batches and leave the job as one that runs, to be picked up again."""
        self._left.set()
        if self._ledger:
            self._ledger.stop.set()

    async def run(self) -> None:
        """Run the job until it ends, is stopped, fails, or ``leave`` is called. Its end is in the store.

        A cancelled run leaves too, within ``tempo.grace``. A run that was overtaken by a later one ends
        without a word. Raises what the store raises when it cannot be written.
        """
        before = await self.store.job(self.job_id)
        if before.condition is Condition.DONE and before.wish is not Wish.RUN:
            await self.store.answer(self.job_id, before.asked)
            return
        try:
            ledger = await self._begin()
        except Fenced:
            return
        try:
            await self._live(ledger, untouched=before.phase is Phase.DRAFT)
        except Fenced as fenced:
            await self._fenced(ledger, fenced)
        except Trouble as trouble:
            await self._fail(ledger, trouble.failure())
        except Exception as error:
            event = "the job failed unexpectedly"
            await self._fail(ledger, unexpected(error, event, self.job_id, ledger.job.plan))

    async def _begin(self) -> Ledger:
        epoch = await self.store.begin(self.job_id)
        job = await self.store.job(self.job_id)
        if job.epoch != epoch:
            raise Fenced()
        meter = Meter(await self.store.progress(self.job_id), self.clock)
        self._ledger = Ledger(self.store, job, self.tempo, self.clock, meter=meter)
        self._ledger.see(job)
        if self._left.is_set():
            self._ledger.stop.set()
        return self._ledger

    async def _live(self, ledger: Ledger, *, untouched: bool) -> None:
        """The work, with the look-out for wishes beside it. Either one's error ends both."""
        work = asyncio.create_task(self._work(ledger, untouched=untouched))
        keep = asyncio.create_task(ledger.keep())
        try:
            await asyncio.wait({work, keep}, return_when=asyncio.FIRST_COMPLETED)
            for task in (keep, work):
                if task.done():
                    task.result()
        except asyncio.CancelledError:
            self.leave()
            await asyncio.wait({work}, timeout=self.tempo.grace * 2)
            raise
        finally:
            work.cancel()
            keep.cancel()
            await asyncio.gather(work, keep, return_exceptions=True)

    async def _work(self, ledger: Ledger, *, untouched: bool) -> None:
        job = ledger.job
        route = self._route(job)
        untouched = untouched and ledger.stop.is_set()
        done = job.phase is Phase.CLOSE or (not ledger.stop.is_set() and await self._move(ledger, route))
        if not done and ledger.wish is Wish.PAUSE:
            await self._paused(ledger)
        elif self._left.is_set():
            await ledger.flush()
        elif done or ledger.wish is Wish.STOP:
            if not untouched and not route.waits and not route.restores:
                await self._clean(ledger, route)
            if not done and not untouched and route.restores:
                await self._forget(ledger, route)
            await self._done(ledger)

    def _route(self, job: Job) -> Route:
        if job.plan is None:
            raise Unsupported("The job has no plan")
        return Route.of(job.plan, self.engines)

    # The way through the steps.

    async def _move(self, ledger: Ledger, route: Route) -> bool:
        """Walk the steps, through all passing faults. True: everything was moved. False: a stop was asked for."""
        backoff = Backoff(self.tempo, self.clock)
        checked = ledger.phase is not Phase.PREPARE
        held = self._held(ledger, route)
        try:
            while not ledger.stop.is_set():
                try:
                    if not checked:
                        checked = await self._politely(self._check(ledger, route, held), ledger)
                    elif await self._politely(self._session(ledger, route, held), ledger):
                        return True
                except PositionGone as gone:
                    if route.plan.resume is Resume.MANUAL:
                        raise
                    await held.close()
                    await self._again(ledger, gone, backoff)
                except StartAgain as again:
                    await held.close()
                    await self._again(ledger, again, backoff)
                except Retryable as trouble:
                    await held.over_a_fault()
                    await self._retry(ledger, trouble, backoff)
        finally:
            await held.close()
        return False

    async def _check(self, ledger: Ledger, route: Route, held: Held) -> bool:
        await ledger.enter(Phase.PREPARE)
        await Precheck(route.checks(Described(held), self.job_id), self.sleep).run(ledger)
        return True

    async def _session(self, ledger: Ledger, route: Route, held: Held) -> bool:
        """Everything from the phase in the store on. True: to the end."""
        if route.waits:
            message = "The files are in order. Nothing is loaded before the job with the last backup of the chain"
            ledger.tell(Level.INFO, "backup.waits", message)
            return True
        return await (self._restored if route.restores else self._moved)(ledger, route, held)

    async def _restored(self, ledger: Ledger, route: Route, _: Held) -> bool:
        assert isinstance(route.target, Restores)
        async with route.target.restoring(route.plan, self._room(ledger), ledger.tell) as restoring:
            step = Restore(restoring)
            await ledger.enter(step.phase)
            await step.run(ledger)
            await ledger.flush()
        return True

    async def _forget(self, ledger: Ledger, route: Route) -> None:
        """A restore was given up: what it left for another run goes, if it can."""
        assert isinstance(route.target, Restores)
        try:
            async with route.target.restoring(route.plan, self._room(ledger), ledger.tell) as restoring:
                await restoring.forget()
        except Trouble as trouble:
            ledger.tell(Level.WARN, "clean.left", f"Could not take away what the restore left: {trouble.message}")

    async def _moved(self, ledger: Ledger, route: Route, held: Held) -> bool:
        """Open both sides and walk the steps that are left. True: to the end."""
        async with route.sink(Described(held), self._room(ledger), ledger.tell) as sink:
            await sink.claim()
            source = await held.source()
            for step in await self._steps(ledger, route.plan, source, sink):
                if ledger.stop.is_set():
                    return False
                await ledger.enter(step.phase)
                await step.run(ledger)
                await ledger.flush()
        return not ledger.stop.is_set()

    async def _steps(self, ledger: Ledger, plan: Plan, source: Source, sink: Sink) -> Sequence[Step]:
        """The steps from the phase in the store on."""
        phase = ledger.phase
        if phase is Phase.COPY and await sink.position("follow") is not None:
            phase = Phase.FOLLOW  # the copy was complete; only the note of it is missing
        steps: list[Step] = []
        if phase is Phase.PREPARE:
            steps += [Anchor(source.log), Prepare(sink)]
        if phase in (Phase.PREPARE, Phase.COPY):
            steps += [Copy(source, sink, Limit(ledger.copy_rate))]
        if plan.mode is Mode.INCREMENTAL:
            limit = Limit(ledger.follow_rate)
            if source.log is None:
                raise Unsupported("This source has no log of changes to follow")
            steps += [Follow(source, source.log, sink, limit, resumes=phase is Phase.FOLLOW)]
        return steps

    async def _politely(self, work: Coroutine[None, None, bool], ledger: Ledger) -> bool:
        """Do the work; once a stop is asked for it has ``tempo.grace`` to end between two batches.

        Cancelling it then loses nothing: the target has a batch and its position, or neither.
        """
        task = asyncio.create_task(work)
        stopping = asyncio.create_task(ledger.stop.wait())
        try:
            await asyncio.wait({task, stopping}, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.wait({task}, timeout=self.tempo.grace)
            return task.result() if task.done() else False
        finally:
            stopping.cancel()
            task.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    async def _retry(self, ledger: Ledger, trouble: Retryable, backoff: Backoff) -> None:
        wait = backoff.next()
        ledger.meter.retry()
        ledger.tell(Level.WARN, "run.retry", trouble.message, fault=trouble.code, wait_s=f"{wait:.1f}")
        await ledger.wait(wait, self.sleep)

    async def _again(self, ledger: Ledger, trouble: Trouble, backoff: Backoff) -> None:
        """Everything is copied anew: the next session begins with the anchor."""
        ledger.meter.retry()
        ledger.tell(Level.WARN, "run.again", f"Copying everything again: {trouble.message}", fault=trouble.code)
        await ledger.enter(Phase.PREPARE)
        await ledger.wait(backoff.next(), self.sleep)

    # How it ends.

    async def _clean(self, ledger: Ledger, route: Route) -> None:
        """Close the job on both servers; passing faults of the target hold it up unless it was stopped."""
        await ledger.enter(Phase.CLOSE)
        room, backoff = self._room(ledger), Backoff(self.tempo, self.clock)
        held = self._held(ledger, route)

        def source() -> AbstractAsyncContextManager[Source]:
            return route.source.source(route.plan, room, ledger.tell)

        def sink() -> AbstractAsyncContextManager[Sink]:
            return route.sink(Described(held), room, ledger.tell)

        stands = bool(route.plan.source.files)
        try:
            while not self._left.is_set():
                try:
                    given_up = ledger.wish is Wish.STOP
                    finish = Finish(None if stands else source, sink, str(route.plan.target), given_up, self.sleep)
                    await finish.run(ledger)
                    return
                except Retryable as trouble:
                    wait = backoff.next()
                    ledger.tell(Level.WARN, "run.retry", trouble.message, fault=trouble.code, wait_s=f"{wait:.1f}")
                    await self.sleep(wait)
        finally:
            await held.close()

    async def _done(self, ledger: Ledger) -> None:
        if self._left.is_set():
            await ledger.flush()
            return
        await ledger.enter(Phase.CLOSE)
        await ledger.end(Condition.DONE)
        await self._answer_rest(ledger, Wish.PAUSE, Wish.STOP, Wish.FINISH)

    async def _paused(self, ledger: Ledger) -> None:
        await ledger.end(Condition.PAUSED)
        await ledger.answer()

    async def _fail(self, ledger: Ledger, failure: Failure) -> None:
        """A failed job can be stopped later, so a wish to stop stays; the others cannot be carried out."""
        ledger.tell(Level.ERROR, "run.failed", failure.message, fault=failure.code, hint=failure.hint)
        try:
            await ledger.end(Condition.FAILED, failure)
            await self._answer_rest(ledger, Wish.PAUSE, Wish.FINISH)
        except Fenced:
            log.warning("a later run has begun", job=self.job_id)

    async def _answer_rest(self, ledger: Ledger, *wishes: Wish) -> None:
        """Answer a wish that came while the job was ending, and which the end has settled."""
        job = await self.store.job(self.job_id)
        if job.wished and job.wish in wishes:
            await self.store.answer(self.job_id, job.asked)

    async def _fenced(self, ledger: Ledger, fenced: Fenced) -> None:
        """Overtaken by a later run: be quiet. If no later run is known here, somebody else has the target."""
        job = await self.store.job(self.job_id)
        if job.epoch == ledger.job.epoch:
            await self._fail(ledger, fenced.failure())

    def _held(self, ledger: Ledger, route: Route) -> Held:
        """The route's source, opened when it is first asked for."""
        room = self._room(ledger)
        return Held(lambda: route.source.source(route.plan, room, ledger.tell), self.tempo, self.clock)

    def _room(self, ledger: Ledger) -> Room:
        return Room(self.job_id, ledger.job.epoch, self.folder, self.spool_limit)
