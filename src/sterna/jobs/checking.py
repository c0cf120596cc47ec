"""Checks of a job's plan in the background: what each finds is stored as it comes."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from sterna.core.errors import IllegalMove, NotFound, Retryable, Trouble
from sterna.core.finding import Finding, Severity
from sterna.core.job import Failure, Job, JobId
from sterna.core.ports import Check, Engine, Room
from sterna.core.stores import JobStore
from sterna.jobs.background import Background, Body, Key, Page, whole
from sterna.jobs.held import Held
from sterna.jobs.route import Route, described, silent
from sterna.jobs.tempo import Backoff, Tempo
from sterna.jobs.unexpected import unexpected

KIND = "check"
STATE = "state"


class Checked(StrEnum):
    """How far the checks are."""

    RUNNING = "running"
    DONE = "done"
    BROKEN = "broken"  #: they could not be run; the failure says why


@dataclass(frozen=True, slots=True)
class CheckState:
    """How far the last checks of a job are. What they found is with the job's findings."""

    state: Checked
    done: int
    total: int
    at_ms: int
    """When this was written, epoch milliseconds."""
    failure: Failure | None = None

    @property
    def percent(self) -> int:
        """100 exactly when nothing is left to be done."""
        if self.state is not Checked.RUNNING:
            return 100
        return min(99, self.done * 100 // self.total) if self.total else 0


async def look(
    check: Check, tempo: Tempo, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Sequence[Finding]:
    """What a check found; that it cannot look, after some tries, is a finding too."""
    backoff = Backoff(tempo)
    for left in range(tempo.check_tries - 1, -1, -1):
        try:
            return await check.run()
        except Retryable as trouble:
            if not left:
                return [_blind(check, trouble)]
            await sleep(backoff.next())
        except Trouble as trouble:
            return [_blind(check, trouble)]
    return []


def _blind(check: Check, trouble: Trouble) -> Finding:
    return Finding(check.name, Severity.FAILED, trouble.message, trouble.hint)


@dataclass(frozen=True)
class Checking:
    """Runs the checks of jobs, one time at once for each."""

    store: JobStore
    engines: Mapping[str, Engine]
    clock: Callable[[], int]
    background: Background
    tempo: Tempo = field(default_factory=Tempo)

    async def begin(self, job: Job) -> None:
        """Run all checks anew, also while others of the job are running. Raises IllegalMove without a plan."""
        if job.plan is None:
            raise IllegalMove(f"Job {job.id} has no plan to be checked")
        async with self.background.entry:
            await self._begin(job.id)

    async def state(self, job: Job) -> CheckState | None:
        """How far they are; None: there were none. Checks that were cut begin again."""
        body = (await self.store.notes(job.id, KIND)).get(STATE)
        if body is None:
            return None
        state = _state(body)
        if state.state is Checked.RUNNING and self.background.cut(_key(job.id), body, self.clock()):
            await self._again(job.id)
        return state

    async def _again(self, id: JobId) -> None:
        async with self.background.entry:
            if not self.background.works(_key(id)):
                await self._begin(id)

    async def _begin(self, id: JobId) -> None:
        await self.background.end(_key(id))
        await self.store.set_findings(id, ())
        page = self._page(id)
        await page.write()
        self.background.begin(_key(id), page.during(lambda: self._work(page)))

    def _page(self, id: JobId) -> Page:
        body: dict[str, object] = {"state": Checked.RUNNING, "done": 0, "total": 0}
        return Page(self.store, self.background, id, KIND, STATE, self.clock, body)

    async def _work(self, page: Page) -> None:
        try:
            await self._check(page)
        except NotFound:
            return
        except Trouble as trouble:
            page.body |= _broken(trouble.failure())
        except Exception as error:
            page.body |= _broken(unexpected(error, "the checks failed unexpectedly", page.job_id))
        await page.write()

    async def _check(self, page: Page) -> None:
        plan = (await self.store.job(page.job_id)).plan
        if plan is None:
            raise IllegalMove(f"Job {page.job_id} has no plan to be checked")
        route = Route.of(plan, self.engines)
        with TemporaryDirectory(prefix="sterna-check-") as folder:
            room = Room(page.job_id, 0, Path(folder))
            held = Held(lambda: route.source.source(plan, room, silent), self.tempo, time.monotonic)
            async with described(held) as source:
                await self._look(page, route.checks(source, page.job_id))

    async def _look(self, page: Page, checks: Sequence[Check]) -> None:
        found: list[Finding] = []
        for done, check in enumerate(checks, 1):
            page.body |= {"total": len(checks)}
            found += await look(check, self.tempo)
            await whole(self.store.set_findings(page.job_id, tuple(found)))
            page.body |= {"done": done}
            page.changed = True
        page.body |= {"state": Checked.DONE}


def _key(id: JobId) -> Key:
    return KIND, id


def _broken(failure: Failure) -> dict[str, object]:
    facts = {"code": failure.code, "message": failure.message, "hint": failure.hint}
    return {"state": Checked.BROKEN, "failure": facts}


def _state(body: Body) -> CheckState:
    failure = body.get("failure")
    return CheckState(
        Checked(str(body["state"])),
        _number(body, "done"),
        _number(body, "total"),
        _number(body, "at_ms"),
        Failure(**failure) if isinstance(failure, dict) else None,
    )


def _number(body: Body, name: str) -> int:
    value = body.get(name)
    return value if isinstance(value, int) else 0
