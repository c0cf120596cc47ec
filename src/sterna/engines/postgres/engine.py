"""PostgreSQL, as the rest of Sterna sees it."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.digest import Digest
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Check, Describes, Found, Parameter, Room, Sink, Source, Teller
from sterna.core.schema import Table
from sterna.engines.postgres.browsing import browse
from sterna.engines.postgres.checks import checks
from sterna.engines.postgres.compare.compare import compare
from sterna.engines.postgres.connection import connected
from sterna.engines.postgres.foreign.checks import foreign_checks
from sterna.engines.postgres.foreign.reading import digest
from sterna.engines.postgres.foreign.sink import open_foreign
from sterna.engines.postgres.log import PostgresLog
from sterna.engines.postgres.sink import open_sink
from sterna.engines.postgres.source import PostgresSource
from sterna.engines.postgres.tuning import parameters, set_parameters


class PostgresEngine:
    """Meets ``core.ports.Engine``."""

    name = "postgresql"

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        return _source(plan, room, tell)

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        return open_sink(plan, room, tell)

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return checks(plan, job_id)

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
        return await compare(plan, room=room, repair=repair, most=most, depth=depth, only=only, heard=heard)

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        async with connected(endpoint) as connection:
            row = await (await connection.execute(_FACTS)).fetchone()
        assert row is not None, "a query without FROM gives one row"
        version, standby, databases, size = row
        role = "standby" if standby else "primary"
        return {"version": version, "role": role, "databases": str(databases), "size": str(size)}

    async def browse(self, endpoint: Endpoint, databases: Sequence[str] = ()) -> Sequence[Found]:
        return await browse(endpoint, databases)

    async def parameters(self, plan: Plan) -> Sequence[Parameter]:
        return await parameters(plan)

    async def set_parameters(self, plan: Plan, values: Mapping[str, str]) -> bool:
        return await set_parameters(plan, values)

    def sink_for(
        self, source: Describes, plan: Plan, room: Room, tell: Teller
    ) -> AbstractAsyncContextManager[Sink]:
        return open_foreign(source, plan, room, tell)

    def checks_for(self, source: Describes, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return foreign_checks(source, plan, job_id)

    async def digest(self, plan: Plan, table: Table) -> Digest:
        return await digest(plan, table)


_FACTS = """
    SELECT split_part(current_setting('server_version'), ' ', 1), pg_is_in_recovery(),
           (SELECT count(*) FROM pg_database WHERE datallowconn AND NOT datistemplate),
           (SELECT sum(pg_database_size(oid)) FROM pg_database
             WHERE NOT datistemplate AND has_database_privilege(oid, 'CONNECT'))"""


@asynccontextmanager
async def _source(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[Source]:
    room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = PostgresLog(plan, room, tell)
    source = PostgresSource(plan, room, log)
    try:
        yield source
    finally:
        await source.close()
        await log.close()
