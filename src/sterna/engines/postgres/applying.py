"""Writes batches of changes: each is one transaction of the target that holds the changes and their position.

The option ``ddl`` says what happens when the shape of something changed on the source. ``stop`` (the default): the
job stops so that a person makes the same change on the target; let go on, it takes that for done. ``apply``: the
same statement is run on the target, where that surely does the same (``reshaping``).
"""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psycopg
from psycopg import errors as pg

from sterna.core.change import Batch, Change, Command, Ddl, Position
from sterna.core.errors import ApplyFailed, BadData, Fenced
from sterna.core.event import Level
from sterna.core.plan import Plan
from sterna.core.ports import Room, Teller
from sterna.engines.postgres.apply import Applier
from sterna.engines.postgres.catalogue import tables
from sterna.engines.postgres.checkpoint import JOB, LANE, SAFE, kept
from sterna.engines.postgres.connection import SETTINGS, Connection, connect, connected, translated
from sterna.engines.postgres.ddl import SPEAKING
from sterna.engines.postgres.names import literal, own, slot
from sterna.engines.postgres.ordered import about_the_change
from sterna.engines.postgres.pipeline import Done, Statement, Step
from sterna.engines.postgres.position import lsn_text, parse
from sterna.engines.postgres.reshaping import repeated, shapeless, single
from sterna.engines.postgres.stopping import Mark, Progress, forgotten, lane, progress, seen_late

FOLLOW = "follow"
_TEXT, _INT8, _PG_LSN = 25, 20, 3220
_BEGIN = Step(Statement("BEGIN"))
_KEEP = Statement(
    f"WITH mine AS (SELECT job FROM {JOB} WHERE job = $1 AND epoch = $2 FOR SHARE) "
    f"INSERT INTO {LANE} SELECT job, $3, $4 FROM mine "
    "ON CONFLICT (job, lane) DO UPDATE SET position = excluded.position",
    (_TEXT, _INT8, _TEXT, _TEXT),
)
"""Remembers the position of the changes; touches one row if this epoch has the checkpoint, otherwise none."""
_MARK = Statement("SELECT pg_replication_origin_xact_setup($1, now())", (_PG_LSN,))


@dataclass
class Session:
    """What writes the changes of one of the source's databases. After an error it is not used again."""

    database: str
    connection: Connection
    applier: Applier
    origin: str
    """The replication origin that its transactions are marked with; empty: they are not."""
    done: int
    """Everything before this place of the source's log is on the target."""
    open: bool = False
    """A transaction has begun, and what is to come belongs to it."""
    progress: Progress | None = None
    """Of the transaction that is being written, if it may hold changes of shape."""


@dataclass
class Applying:
    """Writes batches to one target. Close it."""

    plan: Plan
    room: Room
    tell: Teller
    _sessions: dict[str, Session] = field(default_factory=dict)

    async def write(self, batch: Batch, to: str, done: int) -> None:
        """Write a batch of one database's changes; one that is on the target already changes nothing.

        ``to``: the target's database. ``done``: how far the source's log is there, as of the last claim. Cancelled
        or failed, it leaves nothing of the transaction. Raises Fenced, ApplyFailed.
        """
        database = database_of(batch)
        try:
            with translated(self.plan.target):
                session = self._sessions.get(database) or await self._open(database, to, done)
                await self._write(session, batch)
        except BaseException:
            await self._drop(database)
            raise

    def has(self, database: str) -> bool:
        """Whether there is a session for it, which knows how far it is."""
        return database in self._sessions

    async def _write(self, session: Session, batch: Batch) -> None:
        place = parse(batch.position).get(session.database, 0)
        if not session.open and not batch.more and not seen_late(batch) and place <= session.done:
            return
        if not session.open:
            await self._begin(session, batch, place)
        for change in batch.changes:
            if not (session.progress and await self._passed(session, session.progress, change)):
                await self._change(session, change)
        if batch.more:
            session.open = True
            return
        if session.progress:
            await forgotten(session.connection, self.room.job_id, session.database)
            self._keep(session, batch.position, place)
        await session.applier.pipeline.begun()
        await session.connection.execute("COMMIT")
        session.open, session.progress, session.done = False, None, place

    async def _change(self, session: Session, change: Change) -> None:
        if not isinstance(change, Command):
            raise BadData("A change that PostgreSQL does not have")
        await session.applier.apply(change.data)

    async def _begin(self, session: Session, batch: Batch, place: int) -> None:
        """Begin a transaction; with all that is known of it from the start, together with its first changes."""
        if batch.more or any(isinstance(change, Ddl) for change in batch.changes):
            await self._begin_long(session)
            session.progress = await progress(session.connection, self.room.job_id, session.database, batch)
        else:
            self._keep(session, batch.position, place, _BEGIN)

    async def _begin_long(self, session: Session) -> None:
        """Begin a transaction whose end is not known yet."""
        await session.connection.execute("BEGIN")
        query = (
            f"SELECT FROM {JOB} WHERE job = {literal(self.room.job_id)} AND epoch = {self.room.epoch} FOR SHARE"
        )
        await _once(session, query)

    def _keep(self, session: Session, position: Position, place: int, *before: Step) -> None:
        """Remember the position within the transaction, together with what is sent next."""
        words = (self.room.job_id, str(self.room.epoch), FOLLOW, position)
        steps = [*before, Step(_KEEP, [word.encode() for word in words])]
        if session.origin:
            steps.append(Step(_MARK, [lsn_text(place).encode()]))

        def look(done: Sequence[Done] | psycopg.Error) -> None:
            if isinstance(done, pg.UndefinedTable | pg.InvalidSchemaName):
                raise Fenced("The checkpoint of the job is gone from the target") from done
            if not isinstance(done, psycopg.Error) and done[len(before)].count != 1:
                raise Fenced()

        session.applier.pipeline.first(steps, look)

    # -- sessions -------------------------------------------------------------------------------------------------

    async def _open(self, database: str, to: str, done: int) -> Session:
        async with connected(self.plan.source, database) as source:
            known = {table.path: table for table in await tables(source, database, self.plan.selection)}
        connection = await connect(self.plan.target, to, purpose=f"{own(self.room.job_id)} apply")
        try:
            await as_replica(connection)
            await connection.execute(SAFE)
            origin = await self._origin(connection, slot(self.room.job_id, database))
        except BaseException:
            await connection.close()
            raise
        applier = Applier(connection, self.plan, database, known, self.tell)
        session = self._sessions[database] = Session(database, connection, applier, origin, done)
        return session

    async def _origin(self, connection: Connection, name: str) -> str:
        """Mark the session's transactions with an origin, so that whoever decodes the target's log can tell them.

        Raises ServerBusy's error of the driver while another session has it.
        """
        try:
            await _make_origin(connection, name)
            try:
                await connection.execute("SELECT pg_replication_origin_session_setup(%s)", (name,))
            except pg.ObjectInUse:
                await _end_others(connection, own(self.room.job_id))
                raise
        except pg.InsufficientPrivilege:
            message = "The changes carry no replication origin: the target's user may not make one"
            self.tell(Level.INFO, "postgresql.origin.none", message)
            return ""
        return name

    async def _drop(self, database: str) -> None:
        session = self._sessions.pop(database, None)
        if session:
            await session.connection.close()

    async def close(self) -> None:
        for database in list(self._sessions):
            await self._drop(database)

    # -- changes of shape -----------------------------------------------------------------------------------------

    async def _passed(self, session: Session, progress: Progress, change: Change) -> bool:
        """Whether a change of a transaction that may hold some of shape is done with."""
        if progress.there(change):
            if isinstance(change, Command):
                session.applier.describe(change.data)
            return True
        if not isinstance(change, Ddl):
            return False
        if not shapeless(change.text):
            await self._reshape(session, progress, change)
        return True

    async def _reshape(self, session: Session, progress: Progress, change: Ddl) -> None:
        """Run it, pass it because a person has made it, or stop at it."""
        told, mark, refusal = Shape.of(change), progress.marked, ""
        statement = repeated(change.text, self.plan, session.database)
        applies = self.plan.options.get("ddl") == "apply" and bool(statement)
        if applies and not (mark and mark.tried):
            refusal = await self._repeat(session, told, statement)
            if not refusal:
                return
        elif mark and mark.epoch < self.room.epoch:
            session.applier.reshaped()
            self.tell(Level.WARN, "postgresql.ddl.passed", f"Taken for made on the target by hand: {told.said}")
            return
        await self._stop(session, Mark(self.room.epoch, progress.transaction, progress.number, applies))
        what = f"The shape of {session.database} changed on the source"
        if refusal:
            what = f"The target refused what changed its shape ({refusal})"
        raise ApplyFailed(
            f"{what}: {told.said}",
            hint="Make this change on the target, and none that comes after it, then let the job go on; "
            "or begin anew.",
        )

    async def _stop(self, session: Session, mark: Mark) -> None:
        """Keep what comes before the change, with the mark."""
        position = Position(mark.text())
        statement = kept(self.room.job_id, self.room.epoch, lane(session.database), position)
        done = await session.connection.execute(statement.encode())
        if done.rowcount != 1:
            raise Fenced()
        await session.connection.execute("COMMIT")

    async def _repeat(self, session: Session, told: "Shape", statement: str) -> str:
        """Run it on the target; gives why the target refused it, which then is as it was, or nothing."""
        connection = session.connection
        await connection.execute("SAVEPOINT sterna_shape")
        await _speak(connection, told.settings)
        try:
            await connection.execute(statement.encode())
        except pg.Error as error:
            if not about_the_change(error):
                raise
            await connection.execute("ROLLBACK TO SAVEPOINT sterna_shape")
            return error.diag.message_primary or type(error).__name__
        await _speak(connection, {name: SETTINGS[name] for name in told.settings})
        await connection.execute("RELEASE SAVEPOINT sterna_shape")
        session.applier.reshaped()
        self.tell(Level.INFO, "postgresql.ddl.applied", f"Run on the target: {told.said}")
        return ""


@dataclass(frozen=True, slots=True)
class Shape:
    """A change of shape as the source told of it."""

    tag: str
    objects: str
    query: str
    trouble: str
    settings: Mapping[str, str]
    """Of the session that it ran in, as far as they matter."""

    @classmethod
    def of(cls, change: Ddl) -> "Shape":
        try:
            facts = json.loads(change.text)
        except ValueError as error:
            raise BadData("The source told of a change of shape in words that are not understood") from error
        names = dict.fromkeys(str(each.get("identity")) for each in facts.get("objects", ()))
        objects = ", ".join(list(names)[:_NAMED]) + (" …" if len(names) > _NAMED else "")
        known = {name: value for name, value in facts.get("settings", {}).items() if name in SPEAKING}
        settings = {**known, "search_path": facts.get("search_path", "")}
        return cls(facts["tag"], objects, facts.get("query", ""), facts.get("trouble", ""), settings)

    @property
    def said(self) -> str:
        """The query only where it is this command alone: others hold values. None with a password is shown."""
        what = f"{self.tag or 'changed'} {self.objects}".strip()
        what += f" ({self.trouble})" if self.trouble else ""
        shows = len(self.query) < _LONG and "password" not in self.query.lower()
        statement = single(self.query) if shows else ""
        return f"{what}: {statement}" if statement else what


_NAMED = 5
_LONG = 500


async def _once(session: Session, statement: str) -> None:
    """A statement that reaches one row of the checkpoint. Raises Fenced where there is none."""
    try:
        done = await session.connection.execute(statement.encode())
    except (pg.UndefinedTable, pg.InvalidSchemaName) as error:
        raise Fenced("The checkpoint of the job is gone from the target") from error
    if done.rowcount != 1:
        raise Fenced()


async def _speak(connection: Connection, settings: Mapping[str, str]) -> None:
    """Set them for the rest of the transaction."""
    calls = [f"set_config({literal(name)}, {literal(value)}, true)" for name, value in settings.items()]
    await connection.execute(f"SELECT {', '.join(calls)}".encode())


async def as_replica(connection: Connection) -> bool:
    """Let the session's writes fire no triggers and check no foreign keys. False: the user may not."""
    try:
        await connection.execute("SET session_replication_role = replica")
    except pg.InsufficientPrivilege:
        return False
    return True


async def _make_origin(connection: Connection, name: str) -> None:
    query = "SELECT pg_replication_origin_create(%s) WHERE pg_replication_origin_oid(%s) IS NULL"
    try:
        await connection.execute(query, (name, name))
    except pg.UniqueViolation:
        return  # another session made it just now


async def _end_others(connection: Connection, job: str) -> None:
    """End the sessions of earlier runs that still apply changes."""
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE application_name = %s AND pid <> pg_backend_pid()",
        (f"{job} apply",),
    )


async def drop_origin(connection: Connection, name: str) -> None:
    """Twice is once; where the user may not, there is none."""
    query = "SELECT pg_replication_origin_drop(%s) WHERE pg_replication_origin_oid(%s) IS NOT NULL"
    try:
        await connection.execute(query, (name, name))
    except pg.InsufficientPrivilege:
        return


def database_of(batch: Batch) -> str:
    """The source's database that a batch comes from. Raises BadData."""
    names = {change.database for change in batch.changes if isinstance(change, Command | Ddl)}
    if len(names) != 1:
        raise BadData("A batch holds changes of one database")
    return names.pop()
