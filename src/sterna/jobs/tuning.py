"""The settings of a job's servers: read and kept, and those of the target changed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass

from sterna.core.errors import IllegalMove, NotFound, Unreachable, Unsupported
from sterna.core.job import Job
from sterna.core.plan import Plan
from sterna.core.ports import Engine, Parameter, Tunes
from sterna.core.stores import JobStore

KIND = "parameters"
_READ = "read"
_LIMIT_S = 40.0
"""How long both servers may take."""


@dataclass(frozen=True)
class Tuning:
    """Reads and changes them; what was read last is a note of the job."""

    store: JobStore
    engines: Mapping[str, Engine]

    async def read(self, job: Job) -> Sequence[Parameter]:
        """Ask both servers. Raises Unsupported, Unreachable, AccessDenied, and IllegalMove without a plan."""
        plan = _plan(job)
        engine = self._engine(plan)
        async with _limit(plan):
            found = await engine.parameters(plan)
        await self.store.put_note(job.id, KIND, _READ, {"parameters": [asdict(each) for each in found]})
        return found

    async def kept(self, job: Job) -> Sequence[Parameter]:
        """What was read last. Raises NotFound if nothing was."""
        body = (await self.store.notes(job.id, KIND)).get(_READ)
        if body is None:
            raise NotFound(f"The settings of job {job.id} were not read yet")
        rows = body["parameters"]
        return [Parameter(**row) for row in rows] if isinstance(rows, list) else []

    async def set(self, job: Job, values: Mapping[str, str]) -> bool:
        """Change the target's, and read all again. True: one counts only after a restart. Raises Invalid too."""
        plan = _plan(job)
        engine = self._engine(plan)
        async with _limit(plan):
            restart = await engine.set_parameters(plan, values)
        await self.read(job)
        return restart

    def _engine(self, plan: Plan) -> Tunes:
        engine = self.engines.get(plan.source.engine)
        if not isinstance(engine, Tunes):
            raise Unsupported(f"The settings of {plan.source.engine} are not compared")
        return engine


def _plan(job: Job) -> Plan:
    if job.plan is None:
        raise IllegalMove(f"Job {job.id} has no plan yet")
    return job.plan


@asynccontextmanager
async def _limit(plan: Plan) -> AsyncIterator[None]:
    """Raises Unreachable where the servers take too long."""
    try:
        async with asyncio.timeout(_LIMIT_S):
            yield
    except TimeoutError:
        raise Unreachable(f"{plan.source} or {plan.target} did not answer within {_LIMIT_S:.0f} s") from None
