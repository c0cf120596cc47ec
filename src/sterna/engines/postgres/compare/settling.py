"""While writes go on, a row that differs is looked at again, and again later, before that is believed.

Each look reads the source, then the target, then the source again. The row is equal when the target's reading is
one of the two. It differs when it still does at a later look, the source has stood still in between, and the job
that follows has applied everything up to the earlier look, or the last look is over. While the source keeps
changing the row, nothing can be said: it is unsettled.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sterna.engines.postgres.compare.bisecting import Identity, Pair, Seen, lookup
from sterna.engines.postgres.compare.following import Following

PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before each look, where something may be writing the source's changes to the target."""
QUIET_PAUSES = (0.3,)
"""The same where nothing does."""
MANY = 10_000
"""Once so many rows of a table are believed different, the others are counted as they are seen."""
MOST_SUSPECTS = 5_000
"""Rows that are held at most; when there are more, they are settled before the comparison goes on."""
MOST_BY_SCAN = 50_000
"""The same where each look reads the whole table."""

Sleep = Callable[[float], Awaitable[None]]


@dataclass(slots=True)
class Suspect:
    """A row that seemed to differ, and what was seen of it last."""

    identity: Identity
    source: Seen | None = None
    target: Seen | None = None
    looks: int = 0
    steady: bool = False
    """Whether the source stood still between the last two looks."""

    def saw(self, before: Seen | None, target: Seen | None, after: Seen | None) -> bool:
        """Note a look. Whether the sides still differ."""
        if target in (before, after):
            return False
        self.steady = self.looks > 0 and self.source == before == after
        self.source, self.target = after, target
        self.looks += 1
        return True


@dataclass(frozen=True, slots=True)
class Settled:
    """What came of suspects; the others are equal by now."""

    different: Sequence[Suspect]
    unsettled: int


async def settle(
    pair: Pair, identities: Sequence[Identity], following: Following, sleep: Sleep = asyncio.sleep
) -> Settled:
    """Look again until each row is equal, different or unsettled. Raises psycopg.Error."""
    left = [Suspect(identity) for identity in identities]
    believed: list[Suspect] = []
    mark = await following.mark()
    left = await look(pair, left)
    for pause in PAUSES if following.possible else QUIET_PAUSES:
        if not left:
            break
        await sleep(pause)
        caught_up = await following.passed(mark)
        mark = await following.mark()
        left = await look(pair, left)
        if caught_up:
            believed += [suspect for suspect in left if suspect.steady]
            left = [suspect for suspect in left if not suspect.steady]
    believed += [suspect for suspect in left if suspect.steady]
    return Settled(believed, sum(not suspect.steady for suspect in left))


async def look(pair: Pair, suspects: Sequence[Suspect]) -> list[Suspect]:
    """Those that still differ."""
    identities = [suspect.identity for suspect in suspects]
    if not identities:
        return []
    before = await lookup(pair.source, identities)
    target = await lookup(pair.target, identities)
    after = await lookup(pair.source, identities)
    return [
        suspect
        for suspect in suspects
        if suspect.saw(before.get(suspect.identity), target.get(suspect.identity), after.get(suspect.identity))
    ]
