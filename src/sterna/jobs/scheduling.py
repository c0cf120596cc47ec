"""Begins the comparisons that jobs' policies ask for: looks around every few seconds, remembers in notes.

What it remembers outlives a restart. However long nobody looked, a job is compared once for all that was missed,
and only while the window is open: an operator chose it so that the servers have time for it.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from sterna.core.comparison import Depth
from sterna.core.errors import IllegalMove, NotFound, Trouble
from sterna.core.event import Event, Level
from sterna.core.job import Condition, Job, JobId, Phase, Wish
from sterna.core.stores import JobStore
from sterna.jobs.background import Background, log
from sterna.jobs.comparing import KIND as COMPARISON
from sterna.jobs.comparing import Comparing, ComparisonRun
from sterna.jobs.policies import ComparePolicy, moment, policy_of
from sterna.jobs.unexpected import unexpected

KIND, TURN = "compare_policy", "turn"

MOST_KEPT = 100
"""How many comparisons of a job's policy are kept; older ones are forgotten."""

_GOES_ON = (Wish.NONE, Wish.RUN)


@dataclass(frozen=True, slots=True)
class Turn:
    """How far the policy of a job is. Times in epoch milliseconds; 0: none yet."""

    since_ms: int = 0
    """Of the policy that this is about."""
    seen_ms: int = 0
    """The last time that was decided on."""
    begun_ms: int = 0
    """The last time that comparisons were begun for."""
    left: tuple[Depth, ...] = ()
    """What is to be compared of that time, once what is at work has ended."""
    made: tuple[str, ...] = ()
    """The ids of the comparisons of this and of all policies before, oldest first, as far as they are kept."""


@dataclass(frozen=True)
class Scheduling:
    """Compares jobs that follow their source, by their policies. Writes the turns; nobody else does."""

    store: JobStore
    comparing: Comparing
    clock: Callable[[], int]
    background: Background

    async def run(self) -> None:
        """Look around for ever."""
        while True:
            await self.look_around()
            await asyncio.sleep(self.background.look)

    async def look_around(self) -> None:
        """Begin what is due. What goes wrong with one job keeps nobody from the others."""
        try:
            jobs = (await self.store.jobs())[1]
        except Trouble as trouble:
            log(__name__).warning("jobs could not be looked at for their policies", error=trouble.message)
            return
        for job in jobs:
            await self._try(job)

    async def _try(self, job: Job) -> None:
        try:
            policy = policy_of(job)
            if policy and follows(job):
                await self._look(job, policy)
        except NotFound:
            return  # deleted in between
        except Trouble as trouble:
            log(__name__).warning("a job could not be compared by its policy", job=job.id, error=trouble.message)
        except Exception as error:
            unexpected(error, "a policy failed unexpectedly", job.id, job.plan)

    async def _look(self, job: Job, policy: ComparePolicy) -> None:
        turn, now = await self._turn(job.id, policy), self.clock()
        if turn.left and not policy.open(turn.begun_ms, now):
            turn = await self._too_late(job, turn)
        due = policy.last(now)
        if due and due > turn.seen_ms:
            turn = await self._decide(job, policy, turn, due)
        if turn.left and not await self._busy(job):
            await self._go_on(job, turn)

    async def _too_late(self, job: Job, turn: Turn) -> Turn:
        await self._left_out(job, turn.begun_ms, f"it is too late for {', '.join(turn.left)}")
        return await self._write(job.id, replace(turn, left=()))

    async def _decide(self, job: Job, policy: ComparePolicy, turn: Turn, due_ms: int) -> Turn:
        """What becomes of a time that has come: comparisons, or nothing because others are at work."""
        busy = await self._busy(job)
        turn = replace(turn, seen_ms=due_ms)
        if (busy or turn.left) and (not policy.cover or any(run.repair for run in busy)):
            await self._left_out(job, due_ms, "another one is at work")
            return await self._write(job.id, turn)
        for run in busy:
            with suppress(IllegalMove, NotFound):  # it has just ended
                await self.comparing.cancel(job, run.id)
        return await self._write(job.id, replace(turn, begun_ms=due_ms, left=policy.depths))

    async def _go_on(self, job: Job, turn: Turn) -> None:
        """Begin the next comparison of the turn."""
        depth, *left = turn.left
        # The same id however often this is tried: a service that dies before it remembers begins none twice.
        id = str(uuid5(NAMESPACE_OID, f"{job.id} {turn.since_ms} {turn.begun_ms} {depth}"))
        await self.comparing.begin(job, depth, (), False, 0, id)
        made = await self._forget(job.id, (*turn.made, id))
        await self._write(job.id, replace(turn, left=tuple(left), made=made))

    async def _busy(self, job: Job) -> Sequence[ComparisonRun]:
        """The comparisons that are at work, or waiting for their turn alone. Those that were cut begin again."""
        now = self.clock()
        return [run for run in await self.comparing.all(job) if run.open and run.starts_ms <= now]

    async def _forget(self, id: JobId, made: Sequence[str]) -> tuple[str, ...]:
        for old in made[:-MOST_KEPT]:
            await self.store.remove_note(id, COMPARISON, old)
        return tuple(made[-MOST_KEPT:])

    async def _turn(self, id: JobId, policy: ComparePolicy) -> Turn:
        """Where the policy is; one that was set anew begins anew."""
        body: Mapping[str, Any] | None = (await self.store.notes(id, KIND)).get(TURN)
        if body is None:
            return Turn(policy.since_ms)
        depths = tuple(Depth(depth) for depth in body["left"])
        turn = Turn(**{**body, "left": depths, "made": tuple(body["made"])})
        return turn if turn.since_ms == policy.since_ms else Turn(policy.since_ms, made=turn.made)

    async def _write(self, id: JobId, turn: Turn) -> Turn:
        await self.store.put_note(id, KIND, TURN, asdict(turn))
        return turn

    async def _left_out(self, job: Job, time_ms: int, why: str) -> None:
        message = f"The comparison of {moment(time_ms)} is left out: {why}"
        await self.store.add_events([Event(job.id, self.clock(), Level.WARN, "compare.left_out", message)])


def follows(job: Job) -> bool:
    """Whether it carries over changes, and nobody has asked it to do anything else."""
    return job.phase is Phase.FOLLOW and job.condition is Condition.RUNNING and job.wish in _GOES_ON
