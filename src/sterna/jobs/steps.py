"""The steps of a migration: together they read as the operation. What a step may touch is in its fields.

Each may run twice: after a crash the runner goes on at the phase in the store, with its first step.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Protocol

from sterna.core.change import Batch, Chunk, Command, Part, Position
from sterna.core.errors import ChecksFailed, PositionGone, Retryable, StartAgain, Trouble
from sterna.core.event import Level
from sterna.core.finding import Severity
from sterna.core.job import Phase
from sterna.core.ports import Check, Log, Restoring, Sink, Source
from sterna.flow.copying import Copier
from sterna.flow.pacing import Limit
from sterna.flow.pump import pump
from sterna.jobs.checking import look
from sterna.jobs.ledger import Ledger
from sterna.jobs.tempo import Backoff

FOLLOW = "follow"
ANCHOR = "anchor"
QUIET = "quiet"
"""Lane: how far the log was read without finding anything to write, and after which position."""
KEPT = "kept"
"""Lane: set once the target was seen to keep positions itself."""


class Step(Protocol):
    """One step. ``run`` may run twice; ``undo`` takes away what it left on the servers, and twice is once."""

    phase: ClassVar[Phase]

    async def run(self, ledger: Ledger) -> None: ...

    async def undo(self) -> None: ...


class _LeavesNothing:
    async def undo(self) -> None:
        """There is nothing to take away."""


@dataclass(frozen=True)
class Precheck(_LeavesNothing):
    """Runs all checks and stores what they found. Raises ChecksFailed, naming what must be mended."""

    checks: Sequence[Check]
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    phase: ClassVar[Phase] = Phase.PREPARE

    async def run(self, ledger: Ledger) -> None:
        found = [finding for check in self.checks for finding in await look(check, ledger.tempo, self.sleep)]
        await ledger.note_findings(found)
        failed = [finding for finding in found if finding.severity is Severity.FAILED]
        if failed:
            first = {finding.evidence: finding.check for finding in reversed(failed)}  # what two sides saw, once
            named = "; ".join(f"{check}: {evidence}" for evidence, check in reversed(first.items()))
            hint = "; ".join(dict.fromkeys(finding.remedy for finding in failed if finding.remedy))
            raise ChecksFailed(f"{ChecksFailed().message} {named}", hint=hint)


@dataclass(frozen=True)
class Anchor:
    """Sets the mark in the source's log, before anything is copied."""

    log: Log | None
    phase: ClassVar[Phase] = Phase.PREPARE

    async def run(self, ledger: Ledger) -> None:
        await ledger.begin_copy()
        await ledger.put(ANCHOR, await self.log.anchor() if self.log else Position(""))

    async def undo(self) -> None:
        if self.log:
            await self.log.release()


@dataclass(frozen=True)
class Prepare:
    """Makes the target ready for a copy from the beginning."""

    sink: Sink
    phase: ClassVar[Phase] = Phase.PREPARE

    async def run(self, ledger: Ledger) -> None:
        await self.sink.prepare()

    async def undo(self) -> None:
        await self.sink.finish()


@dataclass(frozen=True)
class Copy(_LeavesNothing):
    """Copies everything that is there, then tells the target that changes follow from the anchor."""

    source: Source
    sink: Sink
    limit: Limit
    phase: ClassVar[Phase] = Phase.COPY

    async def run(self, ledger: Ledger) -> None:
        parts = [part for name in await self.source.names() for part in await self.source.parts(name)]
        await self._totals(parts, ledger)

        async def after(part: Part) -> Position | None:
            return await place(self.sink, ledger, _lane(part)) or None  # an empty position: the beginning

        async def landed(part: Part, chunk: Chunk) -> None:
            ledger.meter.chunk(chunk)
            if await ledger.advance(_lane(part), chunk.position):
                await note_kept(self.sink, ledger, _lane(part))

        copier = Copier(self.source, self.sink, self.limit, ledger.stop, ledger.tempo.at_once)
        await copier.copy(parts, after, landed)
        if not ledger.stop.is_set():
            await self._complete(ledger)

    async def _totals(self, parts: Sequence[Part], ledger: Ledger) -> None:
        rows, size = sum(part.rows for part in parts), sum(part.size for part in parts)
        rows = rows or await self.source.rows()
        ledger.meter.note(rows_total=rows, bytes_total=size or -1, source_rows=rows)

    async def _complete(self, ledger: Ledger) -> None:
        await ledger.flush()
        anchor = await ledger.position(ANCHOR)
        if anchor is None:
            raise StartAgain("The mark that the copy began with is not known")
        await self.source.copied()
        await self.sink.copied(anchor)
        await note_kept(self.sink, ledger, FOLLOW)
        await ledger.put(FOLLOW, anchor)
        ledger.meter.note(target_rows=await self.sink.rows())


def _lane(part: Part) -> str:
    return f"copy:{part.id}"


@dataclass(frozen=True)
class Restore(_LeavesNothing):
    """Lets the target's server read the source's files, and tells how far it is."""

    restoring: Restoring
    phase: ClassVar[Phase] = Phase.COPY

    async def run(self, ledger: Ledger) -> None:
        ledger.meter.restart()

        def heard(percent: int) -> None:
            ledger.meter.note(restored=max(0, min(100, percent)))

        heard(0)
        await self.restoring.run(heard)
        heard(100)


@dataclass(frozen=True)
class Follow(_LeavesNothing):
    """Applies every change until a stop, or until nothing is left and a cutover was asked for."""

    source: Source
    log: Log
    sink: Sink
    limit: Limit
    resumes: bool
    """The log was not read in this session: the source must be asked whether it still keeps everything."""
    phase: ClassVar[Phase] = Phase.FOLLOW

    async def run(self, ledger: Ledger) -> None:
        kept = await place(self.sink, ledger, FOLLOW)
        if kept is None:
            raise StartAgain("Nobody knows how far the changes were applied")
        after = await _beyond_quiet(ledger, kept)
        if self.resumes:
            await self.log.resume(after)
        landed = _Landing(self, ledger, kept, _Cutover(self.log, ledger))
        changes = self.log.follow(after)
        await pump(changes, self.sink, landed, stop=ledger.stop, limit=self.limit, wrote=landed.wrote)


@dataclass
class _Landing:
    """Remembers each batch once the target keeps it; then the source may forget it."""

    step: Follow
    ledger: Ledger
    written: Position
    """What the target has as its own position."""
    cutover: "_Cutover"
    _measured: float = float("-inf")
    _counted: float = float("-inf")
    _changes: int = 0
    """Those of the transaction that is being written; the next one begins with none."""
    _size: int = 0

    def wrote(self, batch: Batch) -> None:
        """A batch was written. If there is more of its transaction, the target may still forget it."""
        self._changes += sum(each.count if isinstance(each, Command) else 1 for each in batch.changes)
        self._size += batch.size

    async def __call__(self, batch: Batch) -> bool:
        ledger = self.ledger
        if batch.changes or self._changes:
            self.written = batch.position
            ledger.meter.batch(replace(batch, size=self._size), self._changes)
            self._changes = self._size = 0
        else:
            await self.step.sink.verify()
            ledger.hold(QUIET, _quiet(self.written, batch.position))
        ledger.hold(FOLLOW, batch.position)
        if ledger.due(FOLLOW):
            await ledger.write_lanes()
            await self._remembered(batch)
        return ledger.finishing.is_set() and await self.cutover.due(batch)

    async def _remembered(self, batch: Batch) -> None:
        """About once a beat: the source may forget, and everyone learns how far behind the target is."""
        await self.step.log.confirm(batch.position)
        self.ledger.meter.lag(batch, await self.step.log.lag(batch.position))
        if self.ledger.clock() - self._counted >= self.ledger.tempo.count:
            self._counted = self.ledger.clock()
            rows = await self.step.source.rows(), await self.step.sink.rows()
            self.ledger.meter.note(source_rows=rows[0], target_rows=rows[1])


@dataclass
class _Cutover:
    """Decides when a job that is to be cut over has everything."""

    log: Log
    ledger: Ledger
    _asked: float | None = None
    _quiet: float | None = None
    _said: bool = False

    async def due(self, batch: Batch) -> bool:
        """True: nothing is left to apply and nothing came for a while; or, after much patience, the former.

        Never while the source does not say how far it is: what it has may not have arrived here.
        """
        now = self.ledger.clock()
        self._asked = now if self._asked is None else self._asked
        if batch.changes:
            self._quiet = None
        impatient = now - self._asked >= self.ledger.tempo.patience
        if batch.changes and not impatient:
            return False
        lag = await self.log.lag(batch.position)
        if lag != 0:
            self._quiet = None
            if lag < 0:
                self._say_once()
            return False
        self._quiet = now if self._quiet is None else self._quiet
        if now - self._quiet >= self.ledger.tempo.quiet:
            return True
        if impatient:
            self.ledger.tell(Level.WARN, "cutover.busy", "Cut over while the source is still being written")
        return impatient

    def _say_once(self) -> None:
        if not self._said:
            message = "The cutover waits: the source does not say whether everything has arrived from it"
            hint = "Let the source answer again, or stop the job: then it ends with what the target has."
            self.ledger.tell(Level.WARN, "cutover.waits", f"{message}. {hint}")
        self._said = True


@dataclass(frozen=True)
class Finish(_LeavesNothing):
    """Takes away what the job left on both servers, and makes the data on the target final.

    It opens each side by itself: after a cutover the old source may be gone, and that holds up nothing.
    """

    source: Callable[[], AbstractAsyncContextManager[Source]] | None
    """None: it stands still, and nothing was left on it."""
    sink: Callable[[], AbstractAsyncContextManager[Sink]]
    target: str
    """The target as people call it."""
    given_up: bool
    """The job was stopped: the target is cleaned if it can be. Otherwise its errors are the job's errors."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    phase: ClassVar[Phase] = Phase.CLOSE

    async def run(self, ledger: Ledger) -> None:
        if self.source:
            await self._try(partial(_release, self.source), ledger, "the mark on the source")
        if self.given_up:
            await self._try(self._finish, ledger, f"the checkpoint of job {ledger.job.id} on {self.target}")
        else:
            await self._finish()

    async def _finish(self) -> None:
        async with self.sink() as sink:
            await sink.claim()
            await Prepare(sink).undo()

    async def _try(self, work: Callable[[], Awaitable[None]], ledger: Ledger, what: str) -> None:
        """Some tries; then say what is left behind."""
        backoff, why = Backoff(ledger.tempo), ""
        for _ in range(ledger.tempo.clean_tries):
            try:
                async with asyncio.timeout(ledger.tempo.clean_limit):
                    await work()
                return
            except TimeoutError:
                why = "no answer"
            except Retryable as trouble:
                why = trouble.message
            except Trouble as trouble:
                why = trouble.message
                break
            await self.sleep(backoff.next())
        ledger.tell(Level.WARN, "clean.left", f"Could not take away {what}: {why}", left=what)


async def _release(opened: Callable[[], AbstractAsyncContextManager[Source]]) -> None:
    async with opened() as source:
        await Anchor(source.log).undo()


async def place(sink: Sink, ledger: Ledger, lane: str) -> Position | None:
    """How far a lane is: the target's word before ours.

    Raises PositionGone if the target kept positions and no longer does: it has lost the data as well.
    """
    kept = await sink.position(lane)
    if kept is not None:
        return kept
    noted = await ledger.position(lane)
    if noted is not None and await ledger.position(KEPT) is not None:
        raise PositionGone(
            "The target no longer holds the job's checkpoint: it was emptied or restored",
            hint="Start the job again: it copies everything anew.",
        )
    return noted


async def note_kept(sink: Sink, ledger: Ledger, lane: str) -> None:
    """Remember that this target keeps positions itself, if it does."""
    if await ledger.position(KEPT) is None and await sink.position(lane) is not None:
        await ledger.put(KEPT, Position(lane))


def _quiet(written: Position, reached: Position) -> Position:
    return Position(json.dumps([written, reached]))


async def _beyond_quiet(ledger: Ledger, kept: Position) -> Position:
    """Where to go on: not before what was read since ``kept`` and held nothing for the target.

    A target is written only when there is a change for it; the source may have forgotten what lies between.
    """
    noted = await ledger.position(QUIET)
    written, reached = json.loads(noted) if noted else (kept, kept)
    return Position(reached) if written == kept else kept
