"""Sets the mark that a copy and the changes after it begin with, on the source, and takes it away.

Of each selected database: publications of the selected tables, an event trigger that sees commands which change
their shape, a slot, and a snapshot of the instant at which the slot begins.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sterna.core.errors import NeedsOperator, StartAgain
from sterna.core.event import Level
from sterna.core.plan import Endpoint, Mode, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres import ddl, keeper, publication, slots, watch
from sterna.engines.postgres.catalogue import Table, databases, tables
from sterna.engines.postgres.connection import Connection, connect, connected
from sterna.engines.postgres.names import literal, shown
from sterna.engines.postgres.names import slot as slot_name
from sterna.engines.postgres.position import Positions

TRIES = 5


@dataclass
class Marks:
    """What a job has on its source."""

    plan: Plan
    room: Room
    tell: Teller
    _presence: Connection | None = field(default=None, init=False)

    @property
    def _source(self) -> Endpoint:
        return self.plan.source

    @property
    def _job(self) -> str:
        return str(self.room.job_id)

    async def set(self) -> Positions:
        """Replace what is there by new marks. Without changes to follow there are no slots, only snapshots.

        Raises AccessDenied, NeedsOperator, ServerBusy, StartAgain.
        """
        await self.remove()
        chosen = await databases(self._source, self.plan.selection)
        if not chosen:
            raise NeedsOperator(
                f"Nothing of PostgreSQL at {self._source} is selected", hint="Correct the selection."
            )
        if self.plan.mode is Mode.FULL:
            return {database: await self._standing(database) for database in chosen}
        return {database: await self._marked(database) for database in chosen}

    async def _standing(self, database: str) -> int:
        """Start a snapshot that no changes will follow; gives the log's place, which only informs."""
        await self._be_present()
        await keeper.kept(self._source, database, self._job)
        async with connected(self._source, database) as connection:
            return await slots.present(connection)

    async def _marked(self, database: str) -> int:
        """Publication, slot and snapshot of one database, such that no table is missing from one of them."""
        selection = self.plan.selection
        async with connected(self._source, database) as connection:
            for _ in range(TRIES):
                before = await publication.publish(connection, self._job, database, selection, self.tell)
                triggered = await ddl.install(connection, self._job, database, selection)
                start, snapshot = await self._slot(database)
                seen = await self._seen(database, snapshot)
                if [watch.digest(table) for table in before] == [watch.digest(table) for table in seen]:
                    self._tell_of(database, before, triggered=triggered)
                    await self._remember(connection, database, triggered=triggered)
                    return start
                await self._unmark(connection, database)
        raise StartAgain(f"Tables of {database} were changed all the time while the mark was being set")

    def _tell_of(self, database: str, found: Sequence[Table], *, triggered: bool) -> None:
        """What cannot be followed as well as one would like."""
        if not triggered:
            message = (
                f"Commands that change the shape of tables in {database} are noticed late: the source's "
                "user is no superuser and may not make an event trigger"
            )
            self.tell(Level.WARN, "postgres.no_trigger", message, database=database)
        blind = [shown(table.path) for table in found if publication.blind(table) and not table.unlogged]
        if blind:
            message = (
                f"{len(blind)} tables have neither a key nor REPLICA IDENTITY FULL, so that only rows that "
                f"are added can be followed: {', '.join(blind[:5])}"
            )
            self.tell(Level.WARN, "postgres.no_key", message, database=database)

    async def _remember(self, connection: Connection, database: str, *, triggered: bool) -> None:
        """The tables as they are now, for the look-out."""
        known = watch.load(self.room.folder)
        known[database] = await watch.look(connection, database, self.plan, triggered=triggered)
        watch.save(self.room.folder, known)

    async def _slot(self, database: str) -> tuple[int, str]:
        name = slot_name(self._job, database)
        async with slots.made(self._source, database, name, self.tell) as made:
            snapshot = await keeper.kept(self._source, database, self._job, snapshot=made.snapshot, slot=name)
        return made.start, snapshot

    async def _unmark(self, connection: Connection, database: str) -> None:
        for slot in await slots.found(connection, self._job):
            if slot.database == database:
                await slots.dropped(connection, slot)
        await ddl.uninstall(connection, self._job)
        for pid in await keeper.keepers(connection, self._job, database):
            await slots.ended(connection, pid)

    async def _seen(self, database: str, snapshot: str) -> Sequence[Table]:
        """The selected tables as the snapshot has them."""
        async with connected(self._source, database) as connection:
            await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}".encode())
            return await tables(connection, database, self.plan.selection)

    async def snapshot(self, database: str) -> str:
        """The exported snapshot that all copies of a database use. Raises StartAgain if it is gone."""
        if self.plan.mode is Mode.FULL:
            await self._be_present()
        async with connected(self._source, database) as connection:
            found = await keeper.keepers(connection, self._job, database)
        if not found:
            raise StartAgain(f"The source no longer keeps the snapshot of {database} that the copy began with")
        return next(iter(found.values()))

    async def _be_present(self) -> None:
        """Without slots: let the keepers see that a worker lives."""
        if self._presence is None or self._presence.closed:
            self._presence = await connect(self._source, purpose=keeper.presence(self._job))

    async def let_go(self) -> None:
        """The snapshots are not needed any more. Twice is once."""
        async with connected(self._source) as connection:
            await self._let_go(connection)

    async def _let_go(self, connection: Connection) -> None:
        for pid in await keeper.keepers(connection, self._job):
            await slots.ended(connection, pid)

    async def remove(self) -> None:
        """Nothing of the job is on the source any more. Twice is once; on whatever connection."""
        async with connected(self._source) as connection:
            found = await slots.found(connection, self._job)
            for slot in found:
                await slots.dropped(connection, slot)
            await self._let_go(connection)
        chosen = await databases(self._source, self.plan.selection)
        for database in sorted({slot.database for slot in found} | set(chosen)):
            async with connected(self._source, database) as connection:
                # The database may have been closed to writes for the cutover.
                await connection.execute("SET default_transaction_read_only = off")
                await ddl.uninstall(connection, self._job)
                await publication.withdraw(connection, self._job, self.tell)
        watch.save(self.room.folder, {})

    async def close(self) -> None:
        """End what this process holds; what is on the source stays for a later run."""
        if self._presence is not None:
            await self._presence.close()
