"""Writes what another kind of source describes and gives: its tables, then its rows, then keys and the rest."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from sterna.core.change import Batch, Chunk, Format, Part, Pieces, Position
from sterna.core.digest import Digest, Running, digest_of
from sterna.core.errors import ApplyFailed, BadData, StartAgain, Unsupported
from sterna.core.plan import Path, Plan
from sterna.core.ports import Describes, Room, Teller
from sterna.engines.postgres.checkpoint import enterable
from sterna.engines.postgres.checkpoints import FOLLOW, Checkpoints
from sterna.engines.postgres.connection import Connection, connected, sqlstate, translated
from sterna.engines.postgres.foreign.building import (
    AT_ONCE,
    Finisher,
    InTheWay,
    batched,
    create_database,
    drop,
    in_the_way,
    make_schemas,
    make_table,
    settle,
    tell_compared,
    tell_left,
)
from sterna.engines.postgres.foreign.computing import drop_computed
from sterna.engines.postgres.foreign.drafting import draft
from sterna.engines.postgres.foreign.drafts import Draft, Drafted
from sterna.engines.postgres.foreign.letters import tell_letters
from sterna.engines.postgres.foreign.loading import RowLoader, Sent, table_of, without
from sterna.engines.postgres.foreign.proving import Proof
from sterna.engines.postgres.foreign.turns import Turns
from sterna.engines.postgres.formats import TEXT
from sterna.engines.postgres.names import own, shown

_NOTHING = Position("{}")
"""What is kept where changes would follow from: there are none."""
_LANE = "copy:"
_NO_VALUE = "22"
"""The class of SQLSTATE for a value that cannot be, as a number that is too large."""
LONGEST_LINE = (1 << 30) - 8
"""Bytes: PostgreSQL reads a line of COPY into one piece of memory, and none is larger (its MaxAllocSize)."""


class ForeignSink:
    """Meets ``core.ports.Sink``. Close it."""

    def __init__(self, source: Describes, plan: Plan, room: Room, tell: Teller) -> None:
        self._source = source
        self._plan = plan
        self._room = room
        self._tell = tell
        self._purpose = f"{own(room.job_id)} sink"
        self._checkpoints = Checkpoints(plan.target, room)
        self._loader = RowLoader(plan, room)
        self._turns = Turns(plan.target, f"{own(room.job_id)} turn")
        self._draft: Draft | None = None
        self._drafting = asyncio.Lock()
        self._computing = asyncio.Lock()
        self._generated: dict[str, Mapping[Path, frozenset[str]]] = {}
        self._asked: set[str] = set()

    @property
    def formats(self) -> Sequence[Format]:
        return (TEXT,)

    async def claim(self) -> None:
        await self._checkpoints.claim()

    async def position(self, lane: str) -> Position | None:
        self._asked.add(lane)
        known = await self._checkpoints.position(lane)
        if known is None or lane == FOLLOW:
            return None if known is None else Position("")
        return Sent.of(known).position if lane.startswith(_LANE) else known

    async def prepare(self) -> None:
        found = await self._drafted()
        where = found.databases()
        await self._turns.take(where.values())
        ways = {to: await self._look(to, found) for to in sorted(set(where.values()))}
        tell_left(found.left, self._tell)
        tell_compared(found.compares_text, self._tell)
        async with connected(self._plan.target, purpose=self._purpose) as target:
            for to in ways:
                await create_database(target, to)
        await self._checkpoints.make(where)
        await self._checkpoints.forget()
        with translated(self._plan.target):
            for to, way in ways.items():
                await self._make(to, found.among(to), way)
        self._generated = {}

    async def load(self, part: Part, chunk: Chunk) -> None:
        table = await self._table(part)
        await self._turns.take((table.to[0],))
        if chunk.format != TEXT or not isinstance(chunk.data, bytes | Pieces):
            raise Unsupported(f"Rows of {shown(part.name.path)} come in the form {chunk.format}")
        lane = f"{_LANE}{part.id}"
        was = Sent.of(await self._checkpoints.position(lane))
        if was.position == chunk.position and chunk.position:
            return
        sent = await asyncio.to_thread(_digest, chunk.data, part)
        if sent.rows != chunk.rows:
            raise BadData(f"A chunk of {shown(part.name.path)} has {sent.rows} rows instead of {chunk.rows}")
        now = Sent(was.digest + sent, chunk.position)
        computed = (await self._computed(table.to[0])).get(table.to, frozenset())
        written = tuple(name for name in table.columns if name not in computed)
        numbers = {number for number, name in enumerate(table.columns) if name in computed}
        whole = without(chunk, numbers)
        try:
            await self._loader.place(part, table.to, written, whole, was, now)
        except ApplyFailed as refused:
            if not await self._uncomputed(table, refused):
                raise
            await self._loader.place(part, table.to, written, whole, was, now)
        self._checkpoints.landed(lane, now.lane(table.to))

    async def _uncomputed(self, table: Drafted, refused: ApplyFailed) -> bool:
        """Whether columns went that PostgreSQL cannot compute for a row: SQL Server does so when it is read.

        Those alone of which the rows bring no value; parts of the same table find them gone.
        """
        if not refused.__cause__ or sqlstate(refused.__cause__)[:2] != _NO_VALUE:
            return False
        async with self._computing, self._builder(table.to[0]) as target:
            return await drop_computed(target, table, refused.message, self._tell)

    async def write(self, batch: Batch) -> None:
        if batch.changes:
            raise Unsupported("Changes of another kind of source cannot be applied")

    async def verify(self) -> None:
        await self._checkpoints.verify()

    async def copied(self, anchor: Position) -> None:
        await self._checkpoints.verify()
        await self._check_parts()
        found = await self._drafted()
        await self._turns.take(found.databases().values())
        sent = await self._sent()
        for to in sorted(set(found.databases().values())):
            tables = found.among(to)
            await Proof(self._plan, self._tell, f"{own(self._room.job_id)} schema").run(tables, sent)
            await Finisher(partial(self._builder, to), tables, self._tell).run()
        await self._checkpoints.keep(("copied", FOLLOW), _NOTHING)

    async def finish(self) -> None:
        if self._checkpoints:
            await self._checkpoints.verify()
            await self._checkpoints.drop()

    async def rows(self) -> int:
        sent = await self._sent() if self._checkpoints else {}
        return sum(each.rows for each in sent.values()) if sent else -1

    async def close(self) -> None:
        """End all connections."""
        await self._loader.close()
        await self._checkpoints.close()
        await self._turns.close()

    def _builder(self, database: str) -> AbstractAsyncContextManager[Connection]:
        return connected(self._plan.target, database, purpose=f"{own(self._room.job_id)} schema")

    async def _drafted(self) -> Draft:
        """What is to be made, asked of the source once."""
        async with self._drafting:
            if self._draft is None:
                async with connected(self._plan.target, purpose=self._purpose) as target:
                    version = target.info.server_version
                self._draft = draft(await self._source.schema(), self._plan.selection, version)
            return self._draft

    async def _table(self, part: Part) -> Drafted:
        tables = (await self._drafted()).tables
        if part.name.path not in tables:
            raise BadData(f"The source gives rows of {part.name}, which it did not describe")
        return tables[part.name.path]

    async def _look(self, to: str, found: Draft) -> Sequence[InTheWay]:
        """What has to go from one of the target's databases. Changes nothing."""
        async with connected(self._plan.target, purpose=self._purpose) as target:
            if to not in await enterable(target):
                return ()
        async with self._checkpoints.peek(to) as checkpoint:
            ours = await checkpoint.filled() if await checkpoint.there() else set()
            way = await in_the_way(checkpoint.connection, found.among(to))
        return settle(way, ours, self._plan.conflict)

    async def _make(self, to: str, tables: Sequence[Drafted], way: Sequence[InTheWay]) -> None:
        """Make a database's tables anew, each kept for itself: what was cut is made again as a whole."""
        checkpoint = self._checkpoints[to]
        target = checkpoint.connection
        await checkpoint.fill(each.to for each in tables)
        await drop(target, way, checkpoint.mine)
        async with checkpoint.mine():
            await make_schemas(target, {each.to[1] for each in tables})
        for some in batched(tables, AT_ONCE):
            async with checkpoint.mine():
                for table in some:
                    await make_table(target, table, self._tell)
        await tell_letters(target, tables, self._tell)

    async def _computed(self, database: str) -> Mapping[Path, frozenset[str]]:
        """The tables of a target's database that have computed columns, and which these are."""
        if database not in self._generated:
            async with connected(self._plan.target, database, purpose=self._purpose) as target:
                rows = []
                if target.info.server_version >= 120000:
                    rows = await (await target.execute(_GENERATED)).fetchall()
            self._generated[database] = {
                (database, schema, table): frozenset(columns) for schema, table, columns in rows
            }
        return self._generated[database]

    async def _check_parts(self) -> None:
        """Raises StartAgain where the target has rows of parts that the source no longer has.

        It was cut into others when the copy was begun: its files have been replaced while nobody read them.
        """
        with translated(self._plan.target):
            for checkpoint in self._checkpoints.all():
                lanes = {lane for lane in await checkpoint.lanes() if lane.startswith(_LANE)}
                if lanes - self._asked:
                    raise StartAgain("The source is no longer the one that the copy was begun with")

    async def _sent(self) -> Mapping[Path, Digest]:
        """What was written of each of the target's tables, by their parts' lanes."""
        found: dict[Path, Digest] = {}
        with translated(self._plan.target):
            for checkpoint in self._checkpoints.all():
                database = checkpoint.connection.info.dbname
                for lane, position in (await checkpoint.lanes()).items():
                    if lane.startswith(_LANE):
                        to = (database, *table_of(position))
                        found[to] = found.get(to, Digest()) + Sent.of(position).digest
        return found


def _digest(data: bytes | Pieces, part: Part) -> Digest:
    """Raises Unsupported for a line that no server takes."""
    if isinstance(data, bytes):
        return digest_of(data)
    running = Running()
    for piece in data:
        running.take(piece)
        if running.longest > LONGEST_LINE:
            raise Unsupported(
                f"A row of {shown(part.name.path)} has more than {LONGEST_LINE} bytes as text: "
                "PostgreSQL takes no longer line in a COPY",
                hint="Leave the table out; its file can be had with sterna backup export.",
            )
    return running.close()


_GENERATED = """
    SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text)
      FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE a.attgenerated <> '' AND NOT a.attisdropped GROUP BY 1, 2"""


@asynccontextmanager
async def open_foreign(source: Describes, plan: Plan, room: Room, tell: Teller) -> AsyncIterator[ForeignSink]:
    room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    sink = ForeignSink(source, plan, room, tell)
    try:
        yield sink
    finally:
        await sink.close()
