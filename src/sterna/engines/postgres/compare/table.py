"""Compares one table with its counterpart, and mends it on request."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import psycopg

from sterna.core.comparison import Compared, Depth, Difference
from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.compare.bisecting import Identity, Pair, search
from sterna.engines.postgres.compare.desk import Desk
from sterna.engines.postgres.compare.following import Following
from sterna.engines.postgres.compare.mending import mend
from sterna.engines.postgres.compare.pairs import Columns, Match, Side, There, columns, indexed, relation, there
from sterna.engines.postgres.compare.ranges import scopes
from sterna.engines.postgres.compare.settling import (
    MANY,
    MOST_BY_SCAN,
    MOST_SUSPECTS,
    PAUSES,
    QUIET_PAUSES,
    Suspect,
    look,
    settle,
)
from sterna.engines.postgres.compare.wording import describe
from sterna.engines.postgres.connection import trouble_of
from sterna.engines.postgres.names import shown

NAMED_AT_ONCE = 100


@dataclass
class Result:
    """What was found in one table so far."""

    most: int
    """How many differences are named."""
    source_rows: int = -1
    target_rows: int = -1
    different: int = 0
    unsettled: int = 0
    repaired: int = 0
    trouble: str = ""
    differences: list[Difference] = field(default_factory=list)

    @property
    def room(self) -> int:
        return max(0, self.most - len(self.differences))

    def note(self, differences: Sequence[Difference], count: int | None = None) -> None:
        """Count differences, and name those for which there is room."""
        self.different += len(differences) if count is None else count
        self.differences += differences[: self.room]

    def compared(self, match: Match) -> Compared:
        return Compared(match.name, match.target, self.source_rows, self.target_rows, self.different, self.trouble)


async def compare_table(desk: Desk, match: Match, depth: Depth, repair: bool, result: Result) -> None:
    """Fill ``result``. Raises psycopg.Error, and what opening connections raises."""
    source, target = await desk.ends("scan")
    mine, its = await there(source, match.path), await there(target, match.place.to)
    if mine is None:
        return  # dropped meanwhile
    if its is None:
        await _missing(desk, match, mine, depth, result)
        return
    chosen = columns(match, mine, its)
    result.note([Difference(f"{shown(match.path)}.{name}", "missing column") for name in chosen.missing])
    if depth is Depth.OBJECTS:
        return
    sides = await _sides(desk, match, chosen, mine, its)
    if depth is Depth.ROWS:
        await _compare_counts(await sides.pair("scan"), match, await desk.following(), result)
    else:
        await Contents(sides, match, repair, result).compare()


@dataclass(frozen=True)
class Sides:
    """What is needed to read both tables over any connections."""

    desk: Desk
    source: Side
    target: Side

    async def pair(self, purpose: str) -> Pair:
        """The two tables over the connections for a purpose."""
        source, target = await self.desk.ends(purpose)
        return Pair(self.source.over(source), self.target.over(target))


async def _sides(desk: Desk, match: Match, chosen: Columns, mine: There, its: There) -> Sides:
    source, target = await desk.ends("scan")
    hashing = await desk.hashing()
    key = [name for name, _ in chosen.key]
    by_key = await indexed(source, match.path, key) and await indexed(target, match.place.to, key)

    def side(path: tuple[str, ...], facts: There, where: str) -> Side:
        types = tuple(facts.columns[name].type for name in key)
        return Side(source, relation(path, facts.kind), where, chosen, hashing, types, by_key)

    return Sides(desk, side(match.path, mine, match.place.where), side(match.place.to, its, "").over(target))


async def _missing(desk: Desk, match: Match, mine: There, depth: Depth, result: Result) -> None:
    """The target has no such table: all rows are missing, and at least one thing."""
    if depth is not Depth.OBJECTS:
        source, _ = await desk.ends("scan")
        where = f" WHERE ({match.place.where}\n)" if match.place.where else ""
        query = f"SELECT count(*) FROM {relation(match.path, mine.kind)}{where}"  # noqa: S608
        ((result.source_rows,),) = await ask(source, query)
        result.target_rows = 0
    result.note([missing_table(match)], max(1, result.source_rows))


def missing_table(match: Match) -> Difference:
    return Difference(shown(match.path), "missing table", f"the target has no {shown(match.place.to)}")


async def _compare_counts(pair: Pair, match: Match, following: Following, result: Result) -> None:
    """Count again, and later again, as long as the source's count moves or the target may be behind."""
    before = -1
    for pause in (0.0, *(PAUSES if following.possible else QUIET_PAUSES)):
        await asyncio.sleep(pause)
        mine, its = await pair.both(_count)
        after = mine if mine == its else await _count(pair.source)
        result.source_rows, result.target_rows = after, its
        if min(mine, after) <= its <= max(mine, after):
            return
        steady, before = before == mine == after, after
    if not steady:
        result.unsettled += 1
        return
    kind = "missing" if its < after else "extra"
    detail = f"{after} rows on the source, {its} on the target"
    result.note([Difference(shown(match.path), kind, detail)], abs(after - its))


async def _count(side: Side) -> int:
    ((count,),) = await ask(side.connection, side.reading("count(*)"))
    return int(count)


class Contents:
    """Compares what is in the rows of one table."""

    def __init__(self, sides: Sides, match: Match, repair: bool, result: Result) -> None:
        self._sides = sides
        self._match = match
        self._repair = repair
        self._result = result
        self._suspects: dict[Identity, None] = {}

    async def compare(self) -> None:
        """Range by range; what seems to differ is settled at the end, or when there is much of it."""
        pair = await self._sides.pair("scan")
        result = self._result
        result.source_rows = result.target_rows = 0
        async for scope in scopes(pair, self._match):
            mine, its, counted = await search(pair, scope, self._suspect, self._enough)
            result.source_rows += mine
            result.target_rows += its
            result.different += counted
        await self._settle()

    def _enough(self) -> bool:
        return not self._repair and self._result.different >= MANY

    async def _suspect(self, identity: Identity) -> None:
        if self._enough():
            self._result.different += 1
            return
        self._suspects[identity] = None
        if len(self._suspects) >= (MOST_SUSPECTS if self._sides.source.by_key else MOST_BY_SCAN):
            await self._settle()

    async def _settle(self) -> None:
        if not self._suspects:
            return
        identities = list(self._suspects)
        self._suspects.clear()
        pair = await self._sides.pair("look")
        following = await self._sides.desk.following()
        settled = await settle(pair, identities, following)
        self._result.unsettled += settled.unsettled
        await self._name(pair, settled.different)
        if self._repair and settled.different:
            await self._mend(pair, settled.different, following)

    async def _name(self, pair: Pair, different: Sequence[Suspect]) -> None:
        self._result.different += len(different)
        few = different[: self._result.room]
        for at in range(0, len(few), NAMED_AT_ONCE):
            words = await describe(pair, self._match.path, self._match.place.to, few[at : at + NAMED_AT_ONCE])
            self._result.note(words, 0)

    async def _mend(self, pair: Pair, different: Sequence[Suspect], following: Following) -> None:
        try:
            identities = [suspect.identity for suspect in different]
            await mend(pair, self._match.place.to, identities, following, self._match.weight)
        except psycopg.Error as error:
            if pair.source.connection.broken or pair.target.connection.broken:
                raise
            said = trouble_of(error, self._sides.desk.plan.target).message
            self._result.trouble = f"Not all of it could be repaired: {said}"
        left = await look(pair, [Suspect(suspect.identity) for suspect in different])
        self._result.repaired += len(different) - len(left)
