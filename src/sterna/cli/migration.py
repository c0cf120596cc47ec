"""One call of ``sterna migrate``: a job of its own, the runner of every job, and a screen.

What the operator does in between, interrupting or cutting over, becomes a wish like those that come by the API.
"""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import typer

from sterna.cli.checks import failed
from sterna.cli.context import Tools
from sterna.cli.exits import ExitCode
from sterna.cli.output import console
from sterna.cli.state import check_same, create, opened_state, remembered, unfinished, with_passwords
from sterna.cli.watching import LOOK, Screen, events_after, findings_table, screen_for, watch
from sterna.core.comparison import Comparison
from sterna.core.errors import ChecksFailed, IllegalMove, Trouble
from sterna.core.finding import Severity
from sterna.core.job import Condition, Failure, Job, JobId, Phase, Wish, allowed
from sterna.core.plan import Plan
from sterna.core.progress import Progress
from sterna.core.stores import Store
from sterna.jobs.desk import Desk
from sterna.jobs.route import Route

if TYPE_CHECKING:
    from sterna.jobs.runner import Runner

LEAVE_AFTER = 5.0
"""Seconds after an interruption that a job which cannot be paused now has to end; then it is left as it is."""


@dataclass(frozen=True)
class Request:
    """What was asked for besides the plan."""

    cutover: bool = False
    compare: bool = False
    restart: bool = False
    as_json: bool = False
    interactive: bool = False
    """Whether somebody is there to be asked."""


@dataclass(frozen=True)
class Outcome:
    """How it ended."""

    job: Job
    progress: Progress
    seconds: float
    comparison: Comparison | None
    failure: Failure | None
    """Why the job failed, or why it could not be compared."""

    @property
    def code(self) -> ExitCode:
        if self.job.condition not in (Condition.DONE, Condition.FAILED):
            return ExitCode.PAUSED
        if self.failure:
            return ExitCode.CHECKS_FAILED if self.failure.code == ChecksFailed.code else ExitCode.FAILED
        differs = self.comparison is not None and not self.comparison.equal
        return ExitCode.DIFFERENT if differs else ExitCode.DONE


@dataclass
class Migration:
    """Begins a migration or goes on with it, until it rests."""

    tools: Tools
    plan: Plan
    folder: Path
    request: Request
    _interrupted: float = field(default=0.0, init=False)
    """When it was interrupted; 0: it was not."""
    _cut: bool = field(default=False, init=False)
    """Whether the cutover was asked for in this run."""
    _findings_due: bool = field(default=False, init=False)

    async def run(self) -> Outcome:
        """Raises Invalid, IllegalMove, NeedsOperator before anything runs; later trouble is in the outcome."""
        began = monotonic()
        async with opened_state(self.tools, self.folder) as store:
            desk = Desk(store, self.tools.engines())
            job = await self._job(store, desk)
            if self.request.interactive and not unfinished(job):
                await self._ask(desk)
            screen = screen_for(self.request.as_json)
            try:
                await self._until_it_rests(store, desk, job.id, screen)
                job = await store.job(job.id)
                comparison, failure = await self._compared(desk, job, screen)
            finally:
                screen.close()
            progress = await store.progress(job.id)
            return Outcome(job, progress, monotonic() - began, comparison, job.failure or failure)

    async def _job(self, store: Store, desk: Desk) -> Job:
        """The job to run: a new one, or the one that was left off, with what may have changed."""
        job = await remembered(store)
        if job is None or job.plan is None:
            return await create(store, desk, self.plan)
        self.plan = with_passwords(self.plan, job.plan)
        if unfinished(job) and self.request.restart:
            await self._end(store, desk, job, job.plan)
        elif unfinished(job):
            check_same(self.plan, job.plan)
        await store.describe(job.id, plan=self.plan)
        return await store.job(job.id)

    async def _end(self, store: Store, desk: Desk, job: Job, old: Plan) -> None:
        """End what was left off, so that nothing of it stays on the servers."""
        if self.request.interactive and not typer.confirm("End the unfinished migration and begin anew?"):
            raise typer.Abort
        await store.describe(job.id, plan=with_passwords(old, self.plan))
        if allowed(job, Wish.STOP):
            await desk.stop(job)
        await self._runner(desk, job.id).run()

    async def _ask(self, desk: Desk) -> None:
        """Show what is noteworthy before the start, and ask whether to begin."""
        findings = await desk.check(self.plan)
        notable = [each for each in findings if each.severity is not Severity.PASSED]
        if failed(findings) or not notable:
            return  # the runner looks again, and says so
        console().print(findings_table(notable))
        if not typer.confirm("Begin?"):
            raise typer.Abort

    async def _until_it_rests(self, store: Store, desk: Desk, id: JobId, screen: Screen) -> None:
        job = await store.job(id)
        if allowed(job, Wish.RUN):
            await desk.run(job)
        await self._one_run(store, desk, job, screen)
        job = await store.job(id)
        if job.condition is Condition.PAUSED and not self._interrupted:
            # The last call was killed between being interrupted and having paused: that wish was carried out now.
            await desk.run(job)
            await self._one_run(store, desk, job, screen)

    async def _one_run(self, store: Store, desk: Desk, job: Job, screen: Screen) -> None:
        """One run in this process, shown on the screen."""
        self._findings_due = job.phase in (Phase.DRAFT, Phase.PREPARE) or job.condition is Condition.DONE
        if self._findings_due:
            await store.set_findings(job.id, ())
        past = await events_after(store, job.id, 0)
        runner = self._runner(desk, job.id)
        with self._interruptions(runner, screen):
            run = asyncio.create_task(runner.run())
            steer = asyncio.create_task(self._steer(store, desk, job.id, runner, screen))
            view = asyncio.create_task(
                watch(store, job.id, screen, lambda _: run.done(), past[-1].seq if past else 0)
            )
            try:
                # Whichever ends first: the run, or a look that went wrong, which must not leave the run unseen.
                done, _ = await asyncio.wait({run, steer, view}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                await view
            finally:
                runner.leave()
                await asyncio.gather(run, return_exceptions=True)
                for task in (steer, view):
                    task.cancel()
                await asyncio.gather(steer, view, return_exceptions=True)
        await self._show_findings(store, job.id, screen)

    def _runner(self, desk: Desk, id: JobId) -> "Runner":
        from sterna.jobs.runner import Runner  # here: it brings the log along, which no other command needs

        folder = self.folder / "job"
        folder.mkdir(mode=0o700, exist_ok=True)
        return Runner(desk.store, desk.engines, id, folder)

    @contextlib.contextmanager
    def _interruptions(self, runner: "Runner", screen: Screen) -> Iterator[None]:
        """Ctrl-C and SIGTERM pause; a second one leaves the job as it is; a third one is not held back."""
        loop = asyncio.get_running_loop()
        signals = (signal.SIGINT, signal.SIGTERM)

        def interrupted() -> None:
            if self._interrupted:
                runner.leave()
                for each in signals:
                    loop.remove_signal_handler(each)
                return
            self._interrupted = monotonic()
            screen.note("Interrupted: pausing. Once more to leave at once; nothing is lost either way.")

        for each in signals:
            loop.add_signal_handler(each, interrupted)
        try:
            yield
        finally:
            for each in signals:
                loop.remove_signal_handler(each)

    async def _steer(self, store: Store, desk: Desk, id: JobId, runner: "Runner", screen: Screen) -> None:
        """Turn interruptions and the cutover into wishes, as soon as they are allowed."""
        while True:
            job = await store.job(id)
            if job.phase in (Phase.COPY, Phase.FOLLOW, Phase.CLOSE):
                await self._show_findings(store, id, screen)
            with contextlib.suppress(IllegalMove):  # the job moved in between; there is another look
                await self._wish(desk, job, runner)
            await asyncio.sleep(LOOK)

    async def _wish(self, desk: Desk, job: Job, runner: "Runner") -> None:
        if self._interrupted:
            if allowed(job, Wish.PAUSE) and not (job.wished and job.wish is Wish.PAUSE):
                await desk.pause(job)
            elif monotonic() - self._interrupted > LEAVE_AFTER:
                runner.leave()
        elif self.request.cutover and not self._cut and job.phase is Phase.FOLLOW and allowed(job, Wish.FINISH):
            await desk.finish(job)
            self._cut = True

    async def _show_findings(self, store: Store, id: JobId, screen: Screen) -> None:
        if not self._findings_due:
            return
        findings = await store.findings(id)
        if findings:
            self._findings_due = False
            screen.findings(findings)

    async def _compared(self, desk: Desk, job: Job, screen: Screen) -> tuple[Comparison | None, Failure | None]:
        """The comparison where it was asked for; or why there is none."""
        if not self.request.compare or job.condition is not Condition.DONE:
            return None, None
        screen.note("Comparing both sides …")
        try:
            return await Route.of(self.plan, desk.engines).compare(), None
        except Trouble as trouble:
            return None, trouble.failure()
