"""Writes the rows of a copy: each chunk is one transaction that holds its rows and its position.

The commits are not waited for: a server that crashes loses the rows of the last moment and their positions alike,
and the copy goes on from what it has. The end of the copy is waited for, and with it everything before.
"""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from sterna.core.change import Chunk, Part, Pieces
from sterna.core.errors import ApplyFailed, Fenced, StartAgain
from sterna.core.plan import Plan
from sterna.core.ports import Room
from sterna.engines.postgres.checkpoint import JOB, LANE, UNLOGGED_LANE, kept
from sterna.engines.postgres.connection import bulk, sqlstate, translated, trouble_of
from sterna.engines.postgres.copying import Piece, Place
from sterna.engines.postgres.formats import TEXT
from sterna.engines.postgres.names import literal, own, quoted, shown
from sterna.engines.postgres.wire.rows import HEADER, TRAILER

if TYPE_CHECKING:
    import asyncpg

_MESSAGE = 256 << 10
"""Bytes that go into one message to the server."""
_ROWS = quoted("pg_temp", "sterna_rows")
_REFUSED = ("22", "23", "42", "54", "0A", "P0", "XX")
"""Classes of errors that are about the rows or the table: trying again changes nothing."""

_TOO_LARGE = "PostgreSQL has no room for such a row: leave the table out, or split it on the source."


class Loader:
    """Loads chunks into one target, each part on a connection that no other part uses meanwhile. Close it."""

    def __init__(self, plan: Plan, room: Room) -> None:
        self._target = plan.target
        self.room = room
        self._idle: dict[str, list[asyncpg.Connection[Any]]] = {}

    async def load(self, part: Part, piece: Piece, chunk: Chunk, *, shared: bool) -> None:
        """Write a chunk and its position; one that is there already changes nothing.

        ``shared``: the table holds rows of others, which stay. Raises Fenced, ApplyFailed, StartAgain where the
        chunk is not the next one.
        """
        assert isinstance(chunk.data, bytes)
        async with self.line(piece) as connection:
            await connection.execute("BEGIN")
            if chunk.rows:
                await (_merge if shared else copy)(connection, piece, chunk)
            done = await connection.execute(self._kept(part, piece, chunk))
            if done == "INSERT 0 1":
                await connection.execute("COMMIT")
            else:
                await connection.execute("ROLLBACK")
                await self._explain(connection, part, piece, chunk)

    def _kept(self, part: Part, piece: Piece, chunk: Chunk) -> str:
        after, lane = _before(chunk), f"copy:{part.id}"
        return kept(
            self.room.job_id,
            self.room.epoch,
            lane,
            chunk.position,
            after=after.position(),
            unlogged=piece.unlogged,
        )

    async def _explain(
        self, connection: "asyncpg.Connection[Any]", part: Part, piece: Piece, chunk: Chunk
    ) -> None:
        """Nothing was kept: why."""
        job, lane = literal(self.room.job_id), literal(f"copy:{part.id}")
        epoch = await connection.fetchval(f"SELECT epoch FROM {JOB} WHERE job = {job}")
        if epoch != self.room.epoch:
            raise Fenced()
        table = UNLOGGED_LANE if piece.unlogged else LANE
        there = await connection.fetchval(f"SELECT position FROM {table} WHERE job = {job} AND lane = {lane}")
        if there != chunk.position:
            raise StartAgain(f"The target holds {shown(piece.to)} up to {there}, which is not what comes before")

    @asynccontextmanager
    async def line(self, piece: Piece) -> AsyncIterator["asyncpg.Connection[Any]"]:
        """A connection for one transaction; after an error it is not used again."""
        idle = self._idle.setdefault(piece.to[0], [])
        with translated(self._target):
            connection = idle.pop() if idle else await self._open(piece.to[0])
            try:
                yield connection
            except BaseException as error:
                connection.terminate()
                _raise_refused(error, piece, self._target)
                raise
        idle.append(connection)

    async def _open(self, database: str) -> "asyncpg.Connection[Any]":
        connection = await bulk(self._target, database, purpose=f"{own(self.room.job_id)} load")
        await connection.execute("SET synchronous_commit = off")
        await as_replica(connection)
        return connection

    async def close(self) -> None:
        for idle in self._idle.values():
            while idle:
                idle.pop().terminate()


async def as_replica(connection: "asyncpg.Connection[Any]") -> bool:
    """Let the session's writes fire no triggers and check no foreign keys. False: the user may not."""
    try:
        await connection.execute("SET session_replication_role = replica")
    except Exception as error:
        if sqlstate(error) != "42501":
            raise
        return False
    return True


def _before(chunk: Chunk) -> Place:
    """Where the part was before the chunk."""
    after = Place.of(chunk.position)
    return Place(after.size - chunk.size, after.rows - chunk.rows)


def _raise_refused(error: BaseException, piece: Piece, target: Any) -> None:
    state = sqlstate(error)
    if state in ("3F000", "42P01") and "sterna." in str(error):
        raise Fenced("The checkpoint of the job is gone from the target") from error
    if state[:2] in _REFUSED and state != "42501" and isinstance(error, Exception):
        said = trouble_of(error, target).message
        hint = _TOO_LARGE if state[:2] == "54" else ""
        raise ApplyFailed(f"Rows of {shown(piece.path)} were refused: {said}", hint=hint) from error


async def copy(connection: "asyncpg.Connection[Any]", piece: Piece, chunk: Chunk) -> None:
    _, schema, table = piece.to
    await connection.copy_to_table(
        table,
        schema_name=schema,
        columns=piece.columns or None,
        source=_stream(chunk),
        format="text" if chunk.format == TEXT else "binary",
    )


async def _merge(connection: "asyncpg.Connection[Any]", piece: Piece, chunk: Chunk) -> None:
    """Put in the rows whose keys are not there."""
    columns, table = ", ".join(quoted(column) for column in piece.columns), quoted(*piece.to[1:])
    await connection.execute(
        f"CREATE TEMPORARY TABLE {_ROWS} ON COMMIT DROP AS SELECT {columns} FROM {table} WITH NO DATA"
    )
    await connection.copy_to_table(
        "sterna_rows",
        schema_name="pg_temp",
        columns=piece.columns or None,
        source=_stream(chunk),
        format="text" if chunk.format == TEXT else "binary",
    )
    await connection.execute(
        f"INSERT INTO {table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {_ROWS} "
        "ON CONFLICT DO NOTHING"
    )


async def _stream(chunk: Chunk) -> AsyncIterator[bytes]:
    """The chunk as the messages of a COPY."""
    if isinstance(chunk.data, Pieces):
        pieces = iter(chunk.data)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            for at in range(0, len(piece), _MESSAGE):
                yield piece[at : at + _MESSAGE]
        return
    assert isinstance(chunk.data, bytes)
    rows = memoryview(chunk.data)
    if chunk.format != TEXT:
        yield HEADER
    for at in range(0, len(rows), _MESSAGE):
        yield rows[at : at + _MESSAGE]  # type: ignore[misc]  # asyncpg takes any buffer
    if chunk.format != TEXT:
        yield TRAILER
