"""What anybody may do with jobs: the one set of functions that the APIs and the CLI call."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sterna.core.errors import IllegalMove, Invalid, NotFound
from sterna.core.event import Event, Level
from sterna.core.finding import Finding
from sterna.core.job import Condition, Job, JobId, Phase, ProjectId, Wish, allowed
from sterna.core.people import new_id
from sterna.core.plan import Plan
from sterna.core.ports import Engine, Store
from sterna.core.progress import Progress


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Desk:
    """Takes requests about jobs. It writes wishes; the runner of a job answers them."""

    store: Store
    engines: Mapping[str, Engine]
    clock: Callable[[], int] = now_ms

    async def create(
        self,
        project_id: str,
        kind: str,
        name: str,
        *,
        description: str = "",
        plan: Plan | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> Job:
        """Describe a job. Nothing runs until ``run``."""
        if plan:
            self._known(plan)
        job = Job(
            id=JobId(new_id()),
            project_id=ProjectId(project_id),
            kind=kind,
            name=name,
            description=description,
            plan=plan,
            extra=dict(extra or {}),
            phase=Phase.DRAFT,
            condition=Condition.IDLE,
            wish=Wish.NONE,
            asked=0,
            answered=0,
            epoch=0,
            failure=None,
            created_ms=self.clock(),
            updated_ms=self.clock(),
        )
        await self.store.add_job(job)
        await self.tell(job.id, Level.INFO, "job.created", f"Job {name} created")
        return job

    async def get(self, project_id: str, id: str) -> Job:
        """Raises NotFound also for a deleted job and for another project's: nobody learns that it exists."""
        job = await self.store.job(JobId(id))
        if job.deleted or job.project_id != project_id:
            raise NotFound(f"No job {id}")
        return job

    async def configure(self, job: Job, plan: Plan, **extra: object) -> Job:
        """Give a job that does not run its plan. Raises IllegalMove."""
        self._known(plan)
        if job.wished or job.condition is Condition.RUNNING:
            raise IllegalMove(f"Job {job.id} is running")
        await self.store.describe(job.id, plan=plan, extra=extra)
        return await self.store.job(job.id)

    async def run(self, job: Job) -> None:
        """Start it, let it go on, or run it anew if it has ended. Raises IllegalMove."""
        await self._ask(job, Wish.RUN, "job.run", "Asked to run")

    async def pause(self, job: Job) -> None:
        await self._ask(job, Wish.PAUSE, "job.pause", "Asked to pause")

    async def stop(self, job: Job) -> None:
        """End it where it is."""
        await self._ask(job, Wish.STOP, "job.stop", "Asked to stop")

    async def finish(self, job: Job) -> None:
        """End it once the target has everything."""
        await self._ask(job, Wish.FINISH, "job.finish", "Asked to cut over")

    async def stopped(self, job: Job, timeout: float) -> bool:
        """Wait until it neither runs nor is asked to. False: still running after ``timeout`` seconds."""
        end = time.monotonic() + timeout
        while True:
            now = await self.store.job(job.id)
            if not now.wished and now.condition is not Condition.RUNNING:
                return True
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.1)

    async def delete(self, job: Job) -> None:
        """Raises IllegalMove while it runs."""
        await self.store.delete_job(job.id)

    async def progress(self, job: Job) -> Progress:
        return await self.store.progress(job.id)

    async def check(self, plan: Plan) -> Sequence[Finding]:
        """Run all checks of a plan, without a job."""
        self._known(plan)
        findings: list[Finding] = []
        for check in self.engines[plan.target.engine].checks(plan):
            findings += await check.run()
        return findings

    async def tell(self, id: JobId, level: Level, code: str, message: str, **fields: str) -> None:
        await self.store.add_events([Event(id, self.clock(), level, code, message, fields)])

    async def _ask(self, job: Job, wish: Wish, code: str, message: str) -> None:
        if not allowed(job, wish):
            raise IllegalMove(f"Job {job.id} cannot do that now: {job.phase} {job.condition}")
        await self.store.ask(job.id, wish)
        await self.tell(job.id, Level.INFO, code, message)

    def _known(self, plan: Plan) -> None:
        for side, endpoint in (("source", plan.source), ("target", plan.target)):
            if endpoint.engine not in self.engines:
                raise Invalid(side, f"There is no engine {endpoint.engine}")
        if plan.source.engine != plan.target.engine:
            raise Invalid("target", f"{plan.source.engine} cannot be moved to {plan.target.engine}")
