"""Writes rows that another kind of source gives: each chunk is one transaction with its rows and its place.

A place is the source's position with the digest of all rows of the part up to there, so that what was sent is
known to the end, whatever happens in between.
"""

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace

from sterna.core.change import Chunk, Part, Pieces, Position
from sterna.core.digest import Digest
from sterna.core.errors import BadData, Fenced, StartAgain
from sterna.core.plan import Path
from sterna.engines.postgres.checkpoint import BEGINNING, JOB, LANE, kept
from sterna.engines.postgres.copying import Piece
from sterna.engines.postgres.loading import Loader, copy
from sterna.engines.postgres.names import literal, shown


@dataclass(frozen=True, slots=True)
class Sent:
    """How far a part was written."""

    digest: Digest = field(default_factory=Digest)
    position: Position = field(default_factory=lambda: Position(""))
    """The source's; empty: the beginning."""

    def lane(self, to: Path) -> Position:
        """As the target keeps it, with the table that it is of."""
        return Position(json.dumps([*to[1:], str(self.digest), self.position], ensure_ascii=False))

    @classmethod
    def of(cls, lane: Position | None) -> "Sent":
        """What ``lane`` made. Raises BadData."""
        if lane is None or lane == BEGINNING:
            return cls()
        _, _, digest, position = _read(lane)
        return cls(Digest.of(digest), Position(position))


def table_of(lane: Position) -> Path:
    """Schema and table of the target that a lane is of. Raises BadData."""
    schema, table, _, _ = _read(lane)
    return schema, table


def _read(lane: Position) -> tuple[str, str, str, str]:
    try:
        schema, table, digest, position = json.loads(lane)
        Digest.of(digest)
    except (ValueError, TypeError, AttributeError):
        raise BadData("A position of another engine, or a broken one") from None
    return schema, table, digest, position


class RowLoader(Loader):
    """Loads chunks into one target, each part on a connection that no other part uses meanwhile. Close it."""

    async def place(
        self, part: Part, to: Path, columns: tuple[str, ...], chunk: Chunk, was: Sent, now: Sent
    ) -> None:
        """Write a chunk that comes after ``was``. Raises Fenced, ApplyFailed, StartAgain where it does not."""
        piece = Piece(part.name.path, to, columns, text=True)
        lane = f"copy:{part.id}"
        after, then = was.lane(to) if was != Sent() else BEGINNING, now.lane(to)
        async with self.line(piece) as connection:
            await connection.execute("BEGIN")
            if chunk.rows:
                await copy(connection, piece, chunk)
            done = await connection.execute(kept(self.room.job_id, self.room.epoch, lane, then, after=after))
            if done == "INSERT 0 1":
                await connection.execute("COMMIT")
                return
            await connection.execute("ROLLBACK")
            job = literal(self.room.job_id)
            epoch = await connection.fetchval(f"SELECT epoch FROM {JOB} WHERE job = {job}")  # noqa: S608
            if epoch != self.room.epoch:
                raise Fenced()
            query = f"SELECT position FROM {LANE} WHERE job = {job} AND lane = {literal(lane)}"  # noqa: S608
            if await connection.fetchval(query) != then:
                raise StartAgain(f"The target holds other rows of {shown(to)} than those that come before")


def without(chunk: Chunk, numbers: Collection[int]) -> Chunk:
    """The chunk without some fields of each row, by number from 0."""
    if not numbers:
        return chunk
    if isinstance(chunk.data, Pieces):
        pieces = chunk.data
        return replace(chunk, data=Pieces([lambda: _left(pieces, numbers)]))
    assert isinstance(chunk.data, bytes)
    lines = []
    for line in chunk.data.split(b"\n")[:-1]:
        fields = line.split(b"\t")
        lines.append(b"\t".join(field for number, field in enumerate(fields) if number not in numbers))
    return replace(chunk, data=b"".join(line + b"\n" for line in lines))


_SEPARATOR = re.compile(b"([\t\n])")


def _left(pieces: Pieces, numbers: Collection[int]) -> Iterator[bytes]:
    """The same of lines that come in pieces: a tab stands before each field that is kept, but not the first."""
    first = next(number for number in range(len(numbers) + 1) if number not in numbers)
    field = 0
    for piece in pieces:
        kept = []
        for text in _SEPARATOR.split(piece):
            if text == b"\t":
                field += 1
            if text == b"\n":
                kept.append(text)
                field = 0
            elif field not in numbers and not (text == b"\t" and field == first):
                kept.append(text)
        yield b"".join(kept)
