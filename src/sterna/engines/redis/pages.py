"""One page of keys, looked at quickly on both sides: whatever is not plainly equal is suspected."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from sterna.core.errors import Trouble
from sterna.engines.redis.reading import ABSENT, BIG, FOOTER, Side, bunches
from sterna.engines.redis.wire.canon import canonical


@dataclass(frozen=True, slots=True)
class Group:
    """A target database, and the source databases that go into it."""

    target: int
    sources: tuple[int, ...]

    def __str__(self) -> str:
        names = ",".join(f"db{number}" for number in self.sources)
        return names if self.sources == (self.target,) else f"{names}->db{self.target}"


@dataclass(frozen=True)
class Pair:
    """Both servers, over one connection each, and how far two expiries may be apart, in ms."""

    source: Side
    target: Side
    tolerance: int

    async def use(self, source: int, target: int) -> None:
        """Choose the databases that are read from now on."""
        await asyncio.gather(self.source.use(source), self.target.use(target))

    def close_enough(self, one: int, other: int) -> bool:
        """Whether two expiries are the same."""
        return one == other or (one >= 0 and other >= 0 and abs(one - other) <= self.tolerance)


@dataclass(frozen=True, slots=True)
class Page:
    """What came of a page: how many keys are there, and which are suspected."""

    present: int
    suspects: list[bytes]


async def forward(pair: Pair, group: Group, keys: Sequence[bytes], *, database: int) -> Page:
    """Look at keys of a source database: present on the target with the same value and expiry?"""
    await pair.use(database, group.target)
    (sizes, expiries), (its_sizes, its_expiries) = await asyncio.gather(
        pair.source.weigh(keys), pair.target.weigh(keys)
    )
    larger = [max(one, other) for one, other in zip(sizes, its_sizes, strict=True)]
    whole: list[int] = []
    large: list[int] = []
    suspects: list[int] = []
    for at, (mine, its) in enumerate(zip(expiries, its_expiries, strict=True)):
        if mine != its and not pair.close_enough(mine, its):
            suspects.append(at)
        elif mine != ABSENT:
            (whole if larger[at] <= BIG else large).append(at)
    for bunch in bunches(whole, larger):
        suspects += await _differing(pair, keys, bunch, large)
    for at in large:
        one, other = await asyncio.gather(
            pair.source.read_large(keys[at], larger[at], expiries[at]),
            pair.target.read_large(keys[at], larger[at], expiries[at]),
        )
        if one != other:
            suspects.append(at)
    gone = expiries.count(ABSENT)
    return Page(len(keys) - gone, [keys[at] for at in suspects])


async def _differing(pair: Pair, keys: Sequence[bytes], bunch: Sequence[int], large: list[int]) -> list[int]:
    """Those of the bunch whose values differ; what cannot be decoded is put among the large."""
    asked = [keys[at] for at in bunch]
    mine, its = await asyncio.gather(pair.source.dump(asked), pair.target.dump(asked))
    if mine == its:
        return []
    found = []
    for at, one, other in zip(bunch, mine, its, strict=True):
        if one == other or (one and other and one[:-FOOTER] == other[:-FOOTER]):
            continue
        same = _same_contents(one, other) if one and other else False
        if same is None:
            large.append(at)
        elif not same:
            found.append(at)
    return found


def _same_contents(one: bytes, other: bytes) -> bool | None:
    """Whether two serialised values mean the same; None: one of them could not be decoded."""
    try:
        return canonical(one) == canonical(other)
    except Trouble:
        return None


async def backward(pair: Pair, group: Group, keys: Sequence[bytes]) -> Page:
    """Look at keys of the target database: is each in one of the source databases that go there?"""
    await pair.target.use(group.target)
    missing = list(keys)
    for database in group.sources:
        await pair.source.use(database)
        there = await pair.source.exist(missing)
        missing = [key for key, found in zip(missing, there, strict=True) if not found]
    if not missing:
        return Page(len(keys), [])
    _, expiries = await pair.target.weigh(missing)
    suspects = [key for key, expiry in zip(missing, expiries, strict=True) if expiry != ABSENT]
    return Page(len(keys) - len(missing) + len(suspects), suspects)
