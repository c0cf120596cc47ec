"""What anybody may do with jobs: the one set of functions that the APIs and the CLI call."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from sterna.core.change import Name
from sterna.core.comparison import Depth
from sterna.core.errors import IllegalMove, Invalid, NotFound, Trouble, Unreachable, Unsupported
from sterna.core.event import Event, Level
from sterna.core.files import Entry, Opens
from sterna.core.finding import Finding
from sterna.core.job import Condition, Failure, Job, JobId, Phase, ProjectId, Wish, allowed
from sterna.core.people import Bucket, new_id
from sterna.core.plan import Endpoint, Plan, StoredFile
from sterna.core.ports import Browses, Engine, Found, Parameter
from sterna.core.progress import Progress
from sterna.core.stores import Store
from sterna.jobs.background import Background
from sterna.jobs.buckets import resolve
from sterna.jobs.checking import Checking, CheckState
from sterna.jobs.comparing import Comparing, ComparisonRun
from sterna.jobs.policies import KEY as POLICY
from sterna.jobs.policies import ComparePolicy, body_of
from sterna.jobs.route import Route
from sterna.jobs.sanity import check_plan
from sterna.jobs.scheduling import Scheduling
from sterna.jobs.stored import look
from sterna.jobs.tuning import Tuning

PROBE_LIMIT = 20.0
"""Seconds that a server has to answer when an endpoint is tried."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Desk:
    """Takes requests about jobs. It writes wishes; the runner of a job answers them.

    Checks and comparisons are carried out here, in the background: close the desk before the store.
    """

    store: Store
    engines: Mapping[str, Engine]
    clock: Callable[[], int] = now_ms
    background: Background = field(default_factory=Background, repr=False)
    opens: Opens | None = None
    """Finds registered buckets; None: what is in them is not known here."""
    backup_bucket: Callable[[str], Awaitable[Bucket]] | None = None
    """The bucket that a project's backups go to, made at their first use; None: no backups can be taken."""

    async def create(
        self,
        project_id: str,
        kind: str,
        name: str,
        *,
        description: str = "",
        plan: Plan | None = None,
        extra: Mapping[str, object] | None = None,
        id: str = "",
        start: bool = False,
    ) -> Job:
        """Describe a job. Nothing runs until ``run``, or ``start``: then it is asked to run from the beginning on.

        ``id``: for an API whose ids have a form of their own.

        Raises Invalid for a plan that makes no sense, or an id that is taken.
        """
        if plan:
            self._known(plan)
        job = Job(
            id=JobId(id or new_id()),
            project_id=ProjectId(project_id),
            kind=kind,
            name=name,
            description=description,
            plan=plan,
            extra=dict(extra or {}),
            phase=Phase.DRAFT,
            condition=Condition.IDLE,
            wish=Wish.RUN if start else Wish.NONE,
            asked=1 if start else 0,
            answered=0,
            epoch=0,
            failure=None,
            created_ms=self.clock(),
            updated_ms=self.clock(),
        )
        await self.store.add_job(job)
        await self.tell(job.id, Level.INFO, "job.created", f"Job {name} created")
        if start:
            await self.tell(job.id, Level.INFO, "job.run", _asked_to_run(0))
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

    async def run(self, job: Job, at_ms: int = 0) -> None:
        """Start it, let it go on, or run it anew if it has ended; not before ``at_ms``, in epoch milliseconds.

        For a job that waits for its time, that time is replaced: 0 is at once. Raises IllegalMove.
        """
        if self.waits(job):
            await self.store.describe(job.id, starts_ms=at_ms)
            await self.tell(job.id, Level.INFO, "job.run", _asked_to_run(at_ms))
            return
        if allowed(job, Wish.RUN):
            await self.store.describe(job.id, starts_ms=at_ms)  # first: the wish must not be seen without its time
        await self._ask(job, Wish.RUN, "job.run", _asked_to_run(at_ms))

    def waits(self, job: Job) -> bool:
        """Whether it was asked to run, and waits for the time that was named."""
        asked = job.wished and job.wish is Wish.RUN and job.condition is not Condition.RUNNING
        return asked and job.starts_ms > self.clock()

    async def pause(self, job: Job) -> None:
        await self._ask(job, Wish.PAUSE, "job.pause", "Asked to pause")

    async def rest(self, job: Job) -> None:
        """Count a job that has failed as paused; it goes on from there. Raises IllegalMove."""
        self._failed_or_paused(job)
        await self.store.report(job.id, job.phase, Condition.PAUSED, epoch=job.epoch)
        await self.tell(job.id, Level.INFO, "job.pause", "Asked to pause after a failure")

    async def reset(self, job: Job) -> None:
        """Let a job that has failed or is paused copy everything anew. Raises IllegalMove."""
        self._failed_or_paused(job)
        await self.store.report(job.id, Phase.PREPARE, job.condition, job.failure, epoch=job.epoch)
        await self.run(await self.store.job(job.id))

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

    async def delete(self, job: Job, *, forced: bool = False) -> None:
        """Raises IllegalMove while it runs; and before it has ended, unless ``forced``.

        A job that failed or is paused may still have things on the servers that only its end takes away, such as
        a replication slot, for which a source keeps its log until its disk is full.
        """
        if not forced and job.condition in (Condition.PAUSED, Condition.FAILED):
            raise IllegalMove(
                f"Job {job.id} has not ended: what it has on the servers would stay there",
                hint="Stop it first; then delete it.",
            )
        await self.store.delete_job(job.id)

    async def bucket(self, project_id: str, name: str) -> Bucket:
        """The project's registered bucket of that name. Raises NotFound, also for another project's."""
        return await resolve(self.store, project_id, name)

    async def own_bucket(self, project_id: str) -> Bucket:
        """Where the project's backups go. Raises Unsupported where there is no such place."""
        if self.backup_bucket is None:
            raise Unsupported("There is no place for backups")
        return await self.backup_bucket(project_id)

    async def remove_stored(self, files: Sequence[StoredFile]) -> None:
        """Delete files from their buckets; those that are gone already, or their buckets, are passed over.

        Raises Unsupported, and what the bucket raises.
        """
        if self.opens is None:
            raise Unsupported("Files in buckets cannot be reached")
        for file in files:
            with contextlib.suppress(NotFound):
                storage = await self.opens(file.bucket)
                await asyncio.to_thread(storage.delete, file.name)

    async def progress(self, job: Job) -> Progress:
        return await self.store.progress(job.id)

    async def check(self, plan: Plan) -> Sequence[Finding]:
        """Run all checks of a plan, without a job."""
        self._known(plan)
        return [finding async for found in Route.of(plan, self.engines).look() for finding in found]

    async def check_endpoint(self, endpoint: Endpoint) -> Failure | None:
        """Try to connect and log in. None: it works; else why it does not."""
        if endpoint.engine not in self.engines:
            return Invalid("engine", f"There is no engine {endpoint.engine}").failure()
        try:
            async with asyncio.timeout(PROBE_LIMIT):
                await self.engines[endpoint.engine].probe(endpoint)
        except TimeoutError:
            return Unreachable(f"{endpoint} did not answer within {PROBE_LIMIT:.0f} s").failure()
        except Trouble as trouble:
            return trouble.failure()
        return None

    async def browse(self, endpoint: Endpoint, databases: Sequence[str] = ()) -> Sequence[Found]:
        """What a server holds, for a person to choose from. Raises Unsupported, Unreachable, AccessDenied."""
        engine = self.engines.get(endpoint.engine)
        if not isinstance(engine, Browses):
            raise Unsupported(f"What {endpoint.engine} holds cannot be listed")
        return await engine.browse(endpoint, databases)

    async def parameters(self, job: Job, *, kept: bool = False) -> Sequence[Parameter]:
        """The settings of both servers, side by side; ``kept``: as they were read last, which asks nobody.

        Raises Unsupported, Unreachable, AccessDenied; NotFound for ``kept`` if they were never read.
        """
        return await (self._tuning.kept(job) if kept else self._tuning.read(job))

    async def set_parameters(self, job: Job, values: Mapping[str, str]) -> bool:
        """Change settings of the target's server. True: one of them counts only once it has restarted.

        Raises Invalid with the name of a setting that does not take its value, Unsupported, Unreachable,
        AccessDenied.
        """
        restart = await self._tuning.set(job, values)
        named = ", ".join(f"{name} = {value}" for name, value in values.items())
        await self.tell(job.id, Level.INFO, "job.parameters", f"Settings of the target changed: {named}")
        return restart

    # Files in buckets.

    async def stored(self, files: Sequence[StoredFile]) -> Sequence[Entry | None]:
        """What is known of each file; None where it is not there, or its bucket does not say so soon."""
        return await look(self.opens, files) if self.opens else [None] * len(files)

    # Checks and comparisons in the background.

    async def begin_check(self, job: Job) -> None:
        """Run the checks of the job's plan; each finding is stored as it comes. Raises IllegalMove without a plan.

        Checks of the same job that are still running are given up.
        """
        await self._checking.begin(job)

    async def check_state(self, job: Job) -> CheckState | None:
        """How far the last checks are; None: there were none. Those that a restart cut begin again."""
        return await self._checking.state(job)

    async def begin_compare(
        self, job: Job, depth: Depth, only: Sequence[Name] = (), *, repair: bool = False, at_ms: int = 0
    ) -> str:
        """Compare the job's two sides, not before ``at_ms``; two comparisons are at work at most, others wait.

        ``only``: these tables of the source. ``repair`` makes the target like the source. Returns the
        comparison's id, a UUID. Raises IllegalMove without a plan, Invalid for a repair without contents.
        """
        return await self._comparing.begin(job, depth, only, repair, at_ms)

    async def comparisons(self, job: Job) -> Sequence[ComparisonRun]:
        """All of the job, oldest first. Those that a restart cut begin again."""
        return await self._comparing.all(job)

    async def comparison(self, job: Job, id: str) -> ComparisonRun:
        """Raises NotFound."""
        return await self._comparing.one(job, id)

    async def cancel_compare(self, job: Job, id: str) -> None:
        """End it where it is. Raises NotFound, and IllegalMove if it has ended."""
        await self._comparing.cancel(job, id)

    async def repair(self, job: Job, id: str) -> str:
        """Compare again what a comparison found different, and make the target like the source there.

        Returns the id of the comparison that does. Raises NotFound, and IllegalMove if nothing is to be repaired.
        """
        found = await self.comparison(job, id)
        if found.open or found.equal or not found.different:
            raise IllegalMove(f"Comparison {id} has found nothing that could be repaired")
        differing = [table.name for table in found.tables if not table.equal]
        return await self.begin_compare(job, Depth.CONTENTS, differing or found.only, repair=True)

    async def set_compare_policy(self, job: Job, policy: ComparePolicy | None) -> None:
        """Compare the job from now on by this policy while it follows its source; None: no longer by any.

        A comparison that has begun goes on.
        """
        told = policy and body_of(replace(policy, since_ms=self.clock()))
        await self.store.describe(job.id, extra={POLICY: told})
        message = "Asked to compare again and again" if policy else "Asked to compare no longer by itself"
        await self.tell(job.id, Level.INFO, "compare.policy", message)

    def resume(self) -> None:
        """Take up, in the background, what the service does by itself: close the desk to end it.

        Comparisons that the end of the service cut begin again, and those that policies ask for begin in time.
        """
        if not self.background.works(_RESUME):
            self.background.begin(_RESUME, self._resume())
        if not self.background.works(_POLICIES):
            self.background.begin(_POLICIES, self._scheduling.run())

    async def close(self) -> None:
        """End what is done in the background; it begins again with the next service."""
        await self.background.close()

    async def _resume(self) -> None:
        # Twice: what a service that died left behind looks alive for a while.
        for pause in (0, self.background.stale + self.background.sign):
            await asyncio.sleep(pause)
            for job in (await self.store.jobs())[1]:
                with contextlib.suppress(NotFound):  # deleted in between
                    await self.comparisons(job)

    @property
    def _checking(self) -> Checking:
        return Checking(self.store, self.engines, self.clock, self.background)

    @property
    def _tuning(self) -> Tuning:
        return Tuning(self.store, self.engines)

    @property
    def _comparing(self) -> Comparing:
        return Comparing(self.store, self.engines, self.clock, self.background)

    @property
    def _scheduling(self) -> Scheduling:
        return Scheduling(self.store, self._comparing, self.clock, self.background)

    async def tell(self, id: JobId, level: Level, code: str, message: str, **fields: str) -> None:
        await self.store.add_events([Event(id, self.clock(), level, code, message, fields)])

    async def _ask(self, job: Job, wish: Wish, code: str, message: str) -> None:
        if not allowed(job, wish):
            raise IllegalMove(f"Job {job.id} cannot do that now: {job.phase} {job.condition}")
        await self.store.ask(job.id, wish)
        await self.tell(job.id, Level.INFO, code, message)

    def _failed_or_paused(self, job: Job) -> None:
        """Nobody works on it and nobody is about to, so its place may be changed from here."""
        if job.wished or job.condition not in (Condition.FAILED, Condition.PAUSED) or job.phase is Phase.CLOSE:
            raise IllegalMove(f"Job {job.id} cannot do that now: {job.phase} {job.condition}")

    def _known(self, plan: Plan) -> None:
        for side, endpoint in (("source", plan.source), ("target", plan.target)):
            if endpoint.engine not in self.engines:
                raise Invalid(side, f"There is no engine {endpoint.engine}")
        try:
            Route.of(plan, self.engines)
        except Unsupported as no_way:
            raise Invalid("target", no_way.message) from no_way
        check_plan(plan)


_RESUME, _POLICIES = ("resume",), ("policies",)


def _asked_to_run(at_ms: int) -> str:
    if not at_ms:
        return "Asked to run"
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    return f"Asked to run from {moment:%Y-%m-%d %H:%M:%S} UTC on"
