"""How a table is cut into parts, and how a part is read: by COPY within a snapshot, the rows left as they are.

A part is a table, or a range of its blocks. Blocks are read in order, so that the same snapshot gives the same
bytes every time: a position is a number of bytes, and a part goes on after it by reading again and leaving out
what came before. That holds while nobody rewrites the table (VACUUM FULL, CLUSTER, some ALTER TABLE, TRUNCATE);
each reading finds out whether somebody has, and keeps such a rewrite from beginning.
"""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

import asyncio
import json
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from sterna.core.change import Part, Position
from sterna.core.errors import StartAgain
from sterna.core.plan import Path, Selection
from sterna.engines.postgres.catalogue import Table, taken
from sterna.engines.postgres.connection import sqlstate
from sterna.engines.postgres.names import literal, quoted, shown
from sterna.engines.postgres.wire.rows import Cutter, Run

if TYPE_CHECKING:
    import asyncpg

CHUNK = 4 << 20
"""Bytes of rows that make a chunk: one transaction on the target."""
RANGE = 256 << 20
"""Bytes of a table's main fork that make a part, where it is cut."""
LONG_RANGE = 1 << 30
"""The same for tables of more than 256 of those."""
ALWAYS_CUT = 4 << 30
"""Larger tables are cut even where that does not spread the work better: less is read again after a fault."""
BLOCK = 8192


@dataclass(frozen=True, slots=True)
class Piece:
    """What is in a part, and where it goes: ``Part.spec``."""

    path: Path
    to: Path
    columns: tuple[str, ...]
    where: str = ""
    text: bool = False
    unlogged: bool = False
    first: int = 0
    """The first block."""
    last: int | None = None
    """The block before which it ends; None: the table's end."""
    oid: int = 0
    """The table's on the source."""

    @property
    def whole(self) -> bool:
        return self.first == 0 and self.last is None

    def spec(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def of(cls, part: Part) -> "Piece":
        facts = json.loads(part.spec)
        return cls(**facts | {name: tuple(facts[name]) for name in ("path", "to", "columns")})


@dataclass(frozen=True, slots=True)
class Place:
    """How far a part was copied: ``Chunk.position``."""

    size: int = 0
    """Bytes of rows."""
    rows: int = 0
    complete: bool = False

    def position(self) -> Position:
        return Position(f"{self.size}:{self.rows}" + (":complete" if self.complete else ""))

    @classmethod
    def of(cls, position: Position | None) -> "Place":
        size, rows, *rest = (position or "0:0").split(":")
        return cls(int(size), int(rows), bool(rest))


def cut(
    tables: Sequence[Table], selection: Selection, text_types: Collection[int], *, at_once: int, ranges: bool
) -> list[Part]:
    """All parts, the largest table first. ``ranges``: the server finds a range of blocks quickly."""
    share = sum(table.size for table in tables) // at_once
    found = []
    for table in sorted(tables, key=lambda table: (-table.size, table.path)):
        piece = _piece(table, selection, text_types)
        bounds = _bounds(table, share) if ranges else []
        found += _ranges(table, piece, bounds) if bounds else [_part(table, piece, 1.0)]
    return found


def _piece(table: Table, selection: Selection, text_types: Collection[int]) -> Piece:
    place = taken(selection, table.path, table.root)
    assert place is not None, "only tables that are taken are copied"
    columns = [column for column in table.written if not place.columns or column.name in place.columns]
    text = any(column.type_oid in text_types for column in columns)
    names = tuple(column.name for column in columns)
    return Piece(table.path, place.to, names, place.where, text, table.unlogged, oid=table.oid)


def _bounds(table: Table, share: int) -> list[int]:
    """The blocks where a table is cut; none: it is copied as a whole."""
    size = table.pages * BLOCK
    if size <= RANGE or size <= min(share, ALWAYS_CUT):
        return []
    step = (RANGE if size <= 256 * RANGE else LONG_RANGE) // BLOCK
    return list(range(step, table.pages - step // 2, step))


def _ranges(table: Table, piece: Piece, bounds: list[int]) -> list[Part]:
    ends: list[int | None] = [*bounds, None]
    parts = []
    for first, last in zip([0, *bounds], ends, strict=True):
        share = ((table.pages if last is None else last) - first) / table.pages
        facts = asdict(piece) | {"first": first, "last": last}
        parts.append(_part(table, Piece(**facts), share))
    return parts


def _part(table: Table, piece: Piece, share: float) -> Part:
    range_ = "" if piece.whole else f":{piece.first}-{'' if piece.last is None else piece.last}"
    id = quoted(*piece.path) + range_
    return Part(id, table.name, piece.spec(), round(max(0, table.rows) * share), round(table.size * share))


async def read(
    connection: "asyncpg.Connection[Any]", snapshot: str, piece: Piece, after: Place
) -> AsyncIterator[Run]:
    """The runs of rows of a piece after a place; the last one may be empty.

    A connection that it was not left to finish with must be thrown away. Raises StartAgain where the snapshot is
    gone or the table was rewritten, and what the driver raises.
    """
    await _begin(connection, snapshot, piece)
    cutter = Cutter(piece.text, CHUNK, after.size)
    async for run in _streamed(connection, piece, cutter):
        yield run
    await connection.execute("COMMIT")


async def _begin(connection: "asyncpg.Connection[Any]", snapshot: str, piece: Piece) -> None:
    """Go back to the snapshot, and see that the table is as it was then."""
    name = quoted(*piece.path[1:])
    try:
        await connection.execute(
            "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY; "
            f"SET TRANSACTION SNAPSHOT {literal(snapshot)}; "
            "SET LOCAL max_parallel_workers_per_gather = 0; SET LOCAL enable_indexscan = off; "
            f"SET LOCAL enable_indexonlyscan = off; LOCK TABLE ONLY {name} IN ACCESS SHARE MODE"
        )
    except Exception as error:
        if sqlstate(error) in _SNAPSHOT_GONE:
            raise StartAgain("The source no longer has the snapshot that is copied") from error
        if sqlstate(error) in _TABLE_GONE:
            raise StartAgain(f"{shown(piece.path)} was dropped while it was copied") from error
        raise
    if not await connection.fetchval(_UNTOUCHED.format(literal(name))):
        raise StartAgain(f"{shown(piece.path)} was rewritten while it was copied")
    if not piece.whole:
        await connection.execute("SET LOCAL enable_seqscan = off")


_SNAPSHOT_GONE = ("22023", "42704", "55000")
_TABLE_GONE = ("42P01", "3F000", "42703")
_UNTOUCHED = (
    "SELECT count(*) = 1 FROM pg_class c "
    "WHERE c.oid = {}::regclass AND c.relfilenode = pg_relation_filenode(c.oid)"
)
"""The row of pg_class is the snapshot's, the function's answer is today's."""


def _query(piece: Piece) -> str:
    """What gives the rows in the order of their blocks, whatever indexes there are."""
    columns = ", ".join(quoted(column) for column in piece.columns)
    conditions = [f"({piece.where})"] if piece.where else []
    if piece.first:
        conditions.append(f"ctid >= '({piece.first},0)'::tid")
    if piece.last is not None:
        conditions.append(f"ctid < '({piece.last},0)'::tid")
    where = " WHERE " + " AND ".join(conditions) if conditions else ""
    return f"SELECT {columns} FROM ONLY {quoted(*piece.path[1:])}{where}"


async def _streamed(connection: "asyncpg.Connection[Any]", piece: Piece, cutter: Cutter) -> AsyncIterator[Run]:
    """Run the COPY beside its reader; it waits until each run was taken."""
    ready: asyncio.Queue[Run | None] = asyncio.Queue()
    taken = asyncio.Semaphore(0)

    async def take(data: bytes) -> None:
        for run in cutter.feed(data):
            ready.put_nowait(run)
            await taken.acquire()

    copying: asyncio.Task[str] = asyncio.create_task(_copy(connection, piece, take))
    copying.add_done_callback(lambda _: ready.put_nowait(None))
    try:
        while run := await ready.get():
            taken.release()
            yield run
        _raise_if_gone(copying, piece)
        yield cutter.close()
    finally:
        copying.cancel()
        with suppress(asyncio.CancelledError, Exception):  # its error has been raised, or nobody waits for it
            await copying


async def _copy(connection: "asyncpg.Connection[Any]", piece: Piece, take: Any) -> str:
    format: Literal["text", "binary"] = "text" if piece.text else "binary"
    if piece.whole and not piece.where and piece.columns:
        _, schema, table = piece.path
        return await connection.copy_from_table(
            table, schema_name=schema, columns=piece.columns, output=take, format=format
        )
    return await connection.copy_from_query(_query(piece), output=take, format=format)


def _raise_if_gone(copying: "asyncio.Task[str]", piece: Piece) -> None:
    error = copying.exception()
    if error and sqlstate(error) in _TABLE_GONE:
        raise StartAgain(f"{shown(piece.path)} was changed while it was copied") from error
    copying.result()
