"""SQL Server, as the rest of Sterna sees it: a source of backup files, and a server that restores them."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import Unsupported
from sterna.core.files import Opens
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Check, Restoring, Room, Sink, Source, Teller
from sterna.engines.sqlserver.checks import checks
from sterna.engines.sqlserver.source import open_source

RESTORES = "sqlserver"
"""The kind of target that restores files by itself."""


class SqlServerEngine:
    """Meets ``core.ports.Engine`` and ``Restores``. ``opens`` finds the buckets that files are in."""

    name = "sqlserver"

    def __init__(self, opens: Opens | None = None) -> None:
        self._opens = opens

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        return open_source(plan, self._opens, tell)

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        raise Unsupported("Rows are not written into a SQL Server: it restores backup files by itself")

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        found = list(checks(plan, self._opens))
        if plan.target.engine == RESTORES:
            from sterna.engines.sqlserver.restoring.checks import target_checks  # the others need no TDS client

            found = [*target_checks(plan, self._opens, job_id), *found]
        return found

    def restoring(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Restoring]:
        from sterna.engines.sqlserver.restoring.restore import open_restoring

        return open_restoring(plan, room, tell, self._opens)

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        raise Unsupported("Two SQL Servers are not compared; a target of another kind is")

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        from sterna.engines.sqlserver.restoring.checks import probe

        return await probe(endpoint)
