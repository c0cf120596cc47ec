"""Begins with a table's indexes and statistics once all of its rows are there, beside the copy of other tables.

What is not made here, because the copy was interrupted or it came too late, is made after the copy.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from sterna.core.change import Position
from sterna.core.plan import Path
from sterna.engines.postgres.building import Building
from sterna.engines.postgres.copying import Piece, Place

AT_ONCE = 2
"""How many rounds of building go on at the same time; tables that become full meanwhile make the next one."""


@dataclass
class Early:
    """Hears of the chunks that have landed. Close it."""

    building: Callable[[str, str], Building]
    """Of a database of the source and one of the target."""
    analyzed: set[Path] = field(default_factory=set)
    """The target's tables that have their statistics."""
    _landed: dict[Path, list[Piece]] = field(default_factory=dict)
    """The pieces of each of the source's tables that this run has completed."""
    _full: list[Piece] = field(default_factory=list)
    """One of each table that is full and not begun with."""
    _works: "list[asyncio.Task[None]]" = field(default_factory=list)

    def landed(self, piece: Piece, position: Position) -> None:
        """A chunk is kept, as of a position. Raises the error of what was begun before."""
        for work in [work for work in self._works if work.done()]:
            self._works.remove(work)
            work.result()
        if not Place.of(position).complete:
            return
        pieces = self._landed.setdefault(piece.path, [])
        pieces.append(piece)
        if _whole(pieces):
            self._full.append(piece)
            if len(self._works) < AT_ONCE:
                self._works.append(asyncio.create_task(self._build()))

    async def done(self) -> None:
        """Wait for what has begun, and begin nothing more. Raises its error."""
        self._full.clear()
        while self._works:
            await self._works[-1]
            self._works.pop()

    async def close(self) -> None:
        """End what has begun."""
        for work in self._works:
            work.cancel()
        await asyncio.gather(*self._works, return_exceptions=True)

    async def _build(self) -> None:
        """All that are full, then all that have become so meanwhile; those of one database together."""
        while self._full:
            first = self._full[0]
            some = [piece for piece in self._full if (piece.path[0], piece.to[0]) == (first.path[0], first.to[0])]
            self._full = [piece for piece in self._full if piece not in some]
            building = self.building(first.path[0], first.to[0])
            self.analyzed.update(await building.early({piece.to: piece.oid for piece in some}))


def _whole(pieces: list[Piece]) -> bool:
    """Whether pieces of a table are all of it."""
    end: int | None = 0
    for piece in sorted(pieces, key=lambda piece: piece.first):
        if piece.first != end:
            return False
        end = piece.last
    return end is None
