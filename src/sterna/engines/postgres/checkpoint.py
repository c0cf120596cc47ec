"""What a job keeps in the databases of its target: its epoch, how far each lane is, which tables it filled.

It is written in the transactions that write the data, so that the two are never apart. Lanes of unlogged tables
are in a table that is unlogged itself: a server that crashes loses both.
"""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from psycopg import errors as pg

from sterna.core.change import Position
from sterna.core.errors import Fenced, ServerBusy
from sterna.core.plan import Path
from sterna.core.ports import Room
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import SCHEMA, SCHEMA_LOCK, literal, own, quoted

JOB, LANE, UNLOGGED_LANE, FILLED = (quoted(SCHEMA, name) for name in ("job", "lane", "unlogged_lane", "filled"))
BEGINNING = Position("0:0")
"""Where a part is of which the target knows nothing yet."""

_MAKE = f"""
    CREATE SCHEMA IF NOT EXISTS {quoted(SCHEMA)};
    CREATE TABLE IF NOT EXISTS {JOB} (job text PRIMARY KEY, epoch bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS {LANE} (job text, lane text, position text NOT NULL, PRIMARY KEY (job, lane));
    CREATE UNLOGGED TABLE IF NOT EXISTS {UNLOGGED_LANE}
        (job text, lane text, position text NOT NULL, PRIMARY KEY (job, lane));
    CREATE TABLE IF NOT EXISTS {FILLED} (job text, name text[], PRIMARY KEY (job, name))"""
_EXISTS = (
    f"SELECT to_regclass({literal(JOB)}) IS NOT NULL FROM pg_namespace "
    f"WHERE nspname = {literal(SCHEMA)} AND has_schema_privilege(oid, 'USAGE')"
)
"""Gives nothing where there is no schema, or only one of a user whose jobs are none of ours."""
SAFE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
"""What was committed is on the disk, whatever the server's or the user's settings are."""
_CLAIM_SECONDS = 2
_CLAIM_TRIES = 3


class Checkpoint:
    """A job's checkpoint in one database. All calls but ``keep`` are transactions of their own."""

    def __init__(self, connection: Connection, room: Room) -> None:
        self.connection = connection
        self._job = room.job_id
        self._epoch = room.epoch

    async def there(self) -> bool:
        """Whether the job has one here."""
        if not await self._value(_EXISTS):
            return False
        try:
            return bool(await self._value(f"SELECT EXISTS (SELECT FROM {JOB} WHERE job = %s)", self._job))
        except (pg.UndefinedTable, pg.InvalidSchemaName):  # the last of the other jobs has just ended
            return False

    async def make(self) -> None:
        """Make it, or take it over. Raises Fenced."""
        async with self.connection.transaction():
            await self.connection.execute(SCHEMA_LOCK)
            await self.connection.execute(_MAKE)
            await self.connection.execute(
                f"INSERT INTO {JOB} VALUES (%s, 0) ON CONFLICT (job) DO NOTHING", (self._job,)
            )
        await self.claim()

    async def claim(self) -> None:
        """Take it over for this epoch. Raises Fenced, also where it is gone; ServerBusy."""
        for _ in range(_CLAIM_TRIES):
            try:
                return await self._claim()
            except pg.LockNotAvailable:
                await self._end_leftovers()
        raise ServerBusy("An earlier run of the job still writes to the target")

    async def _claim(self) -> None:
        try:
            async with self.connection.transaction():
                await self.connection.execute(f"SET LOCAL lock_timeout = '{_CLAIM_SECONDS}s'")
                query = f"UPDATE {JOB} SET epoch = %s WHERE job = %s AND epoch <= %s"
                done = await self.connection.execute(query, (self._epoch, self._job, self._epoch))
                if done.rowcount != 1:
                    raise Fenced()
        except (pg.UndefinedTable, pg.InvalidSchemaName) as error:
            raise Fenced("The checkpoint of the job is gone from the target") from error

    async def _end_leftovers(self) -> None:
        """End what earlier runs of this job, which may be cut off from us, have not finished here.

        A newer run would have a newer epoch in the checkpoint, and that is seen without waiting for a lock.
        """
        query = f"SELECT EXISTS (SELECT FROM {JOB} WHERE job = %s AND epoch > %s)"
        if await self._value(query, self._job, self._epoch):
            raise Fenced()
        await self.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s || ' %%' "
            "AND datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL",
            (own(self._job),),
        )

    async def end_builders(self) -> None:
        """End what earlier runs still build here: a server process does not notice that its worker has died."""
        await self.connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s || ' schema' "
            "AND datname = current_database() AND usename = current_user",
            (own(self._job),),
        )

    async def verify(self) -> None:
        """Raises Fenced unless this run still has it."""
        try:
            row = await self._value(f"SELECT epoch FROM {JOB} WHERE job = %s", self._job)
        except (pg.UndefinedTable, pg.InvalidSchemaName) as error:
            raise Fenced("The checkpoint of the job is gone from the target") from error
        if row != self._epoch:
            raise Fenced()

    async def lanes(self) -> dict[str, Position]:
        """All lanes."""
        query = f"SELECT lane, position FROM {LANE} WHERE job = %s UNION ALL " + (
            f"SELECT lane, position FROM {UNLOGGED_LANE} WHERE job = %s"
        )
        rows = await (await self.connection.execute(query, (self._job, self._job))).fetchall()
        return {lane: Position(position) for lane, position in rows}

    async def forget(self) -> None:
        """Forget all lanes."""
        async with self.mine():
            for table in (LANE, UNLOGGED_LANE):
                await self.connection.execute(f"DELETE FROM {table} WHERE job = %s", (self._job,))

    async def filled(self) -> set[Path]:
        """The tables all of whose rows are the job's: they were empty when it came to them, or it emptied them."""
        rows = await self.connection.execute(f"SELECT name FROM {FILLED} WHERE job = %s", (self._job,))
        return {tuple(name) for (name,) in await rows.fetchall()}

    async def fill(self, paths: Iterable[Path]) -> None:
        """From now on all rows of these tables are the job's."""
        query = f"INSERT INTO {FILLED} VALUES (%s, %s) ON CONFLICT DO NOTHING"
        async with self.mine(), self.connection.cursor() as cursor:
            await cursor.executemany(query, [(self._job, list(path)) for path in paths])

    async def keep(self, lane: str, position: Position) -> None:
        """Remember a lane within the caller's transaction. Raises Fenced unless this run has the checkpoint."""
        done = await self.connection.execute(kept(self._job, self._epoch, lane, position))
        if done.rowcount != 1:
            raise Fenced()

    @asynccontextmanager
    async def mine(self) -> AsyncIterator[None]:
        """A transaction that nobody can take the checkpoint away from. Raises Fenced."""
        async with self.connection.transaction():
            query = f"SELECT FROM {JOB} WHERE job = %s AND epoch = %s FOR SHARE"
            try:
                found = await self.connection.execute(query, (self._job, self._epoch))
            except (pg.UndefinedTable, pg.InvalidSchemaName) as error:
                raise Fenced("The checkpoint of the job is gone from the target") from error
            if found.rowcount != 1:
                raise Fenced()
            yield

    async def drop(self) -> None:
        """Take it away; the schema too, once no other job has anything in it. Raises Fenced."""
        async with self.connection.transaction():
            await self.connection.execute(SCHEMA_LOCK)
            await self.claim()
            for table in (LANE, UNLOGGED_LANE, FILLED, JOB):
                await self.connection.execute(f"DELETE FROM {table} WHERE job = %s", (self._job,))
            if not await self._value(f"SELECT count(*) FROM {JOB}"):
                tables = ", ".join((LANE, UNLOGGED_LANE, FILLED, JOB))
                await self.connection.execute(f"DROP TABLE {tables}")
                await self._drop_schema()

    async def _drop_schema(self) -> None:
        """Unless something else is in it: this database may be the source of another job."""
        try:
            async with self.connection.transaction():
                await self.connection.execute(f"DROP SCHEMA {quoted(SCHEMA)}")
        except pg.DependentObjectsStillExist:
            return

    async def _value(self, query: str, *values: object) -> object:
        row = await (await self.connection.execute(query, values or None)).fetchone()
        return row[0] if row else None


def kept(
    job: str, epoch: int, lane: str, position: Position, *, after: Position | None = None, unlogged: bool = False
) -> str:
    """The statement that remembers a lane. It changes one row if this epoch has the checkpoint, otherwise none.

    ``after``: and only if the lane is there, or if that is the beginning, if it is nowhere yet.
    """
    table = UNLOGGED_LANE if unlogged else LANE
    then = "DO UPDATE SET position = excluded.position"
    if after is not None:
        then += f" WHERE kept.position = {literal(after)}"
    return (
        f"WITH mine AS (SELECT job FROM {JOB} WHERE job = {literal(job)} AND epoch = {epoch} FOR SHARE) "
        f"INSERT INTO {table} AS kept SELECT job, {literal(lane)}, {literal(position)} FROM mine "
        f"ON CONFLICT (job, lane) {then}"
    )


async def enterable(connection: Connection) -> Sequence[str]:
    """The databases of a server that may be entered, by name."""
    query = (
        "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate "
        "AND has_database_privilege(oid, 'CONNECT') ORDER BY datname"
    )
    return [name for (name,) in await (await connection.execute(query)).fetchall()]
