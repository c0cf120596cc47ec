"""While writes go on, a difference is looked at again, and again later, before it is believed.

Each look reads the source, then the target, then the source again. A key is equal when the target's reading is
one of the two. It differs when it still does at the last look and the source has stood still since the look
before; while the source keeps changing it, nothing can be said: it is unsettled. The looks span eight seconds: a
target that lags by more has differences.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field

from sterna.core.comparison import Difference
from sterna.engines.redis.mending import mend_all
from sterna.engines.redis.pages import Group, Pair
from sterna.engines.redis.reading import FOREVER, UNKNOWN, Reading

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each look."""
FEW_PAUSES = (0.2, 0.5)
"""The same once ``MANY`` differences were found: by then nobody reads them one by one."""
EXTRA_PAUSES = (1.0, 1.0, 1.0)
"""Further looks at keys that changed between the last two."""
MANY = 50_000
MOST_SUSPECTS = 50_000
MOST_BYTES = 32 << 20
"""Keys that are held at most; when there are more, they are settled before the comparison goes on."""
NEAR, WIDE = 32, 256
"""Keys in one look: few, so that its three readings lie close together, unless there are very many."""

Readings = tuple[Reading | None, ...]
"""One for each source database."""


@dataclass(slots=True)
class Suspect:
    """A key that seemed to differ, and what was seen of it last."""

    group: Group
    key: bytes
    source: Readings | None = None
    target: Reading | None = None
    steady: bool = False
    """Whether the source stood still between the last two looks."""
    in_windows: bool = False


@dataclass
class Verdicts:
    """What was believed so far. Written by ``Settling`` alone."""

    differences: list[Difference]
    different: int = 0
    unsettled: int = 0
    repaired: int = 0
    by_group: Counter[Group] = field(default_factory=Counter)
    """How many differ of each group."""


class Settling:
    """Keeps suspects until they are settled."""

    def __init__(
        self,
        pair: Pair,
        most: int,
        *,
        repair: bool = False,
        hold_ms: int = 0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self._pair = pair
        self._most = most
        self._repair = repair
        self._hold_ms = hold_ms
        self._sleep = sleep
        self._suspects: dict[tuple[int, bytes], Suspect] = {}
        self._bytes = 0
        self.verdicts = Verdicts([])

    def suspect(self, group: Group, keys: Sequence[bytes]) -> None:
        """Remember keys to look at again."""
        for key in keys:
            if (group.target, key) not in self._suspects:
                self._suspects[group.target, key] = Suspect(group, key)
                self._bytes += len(key)

    def waits(self, group: Group) -> bool:
        """Whether keys of the group are still suspected."""
        return any(suspect.group == group for suspect in self._suspects.values())

    @property
    def full(self) -> bool:
        """Whether it is time to settle before more are found."""
        return len(self._suspects) >= MOST_SUSPECTS or self._bytes >= MOST_BYTES

    async def settle(self) -> None:
        """Look again until each suspect is equal, different or unsettled; mend those different if asked to."""
        left = list(self._suspects.values())
        self._suspects.clear()
        self._bytes = 0
        for pause in PAUSES if self.verdicts.different < MANY else FEW_PAUSES:
            left = await self._look_after(pause, left)
        moving = [suspect for suspect in left if not suspect.steady]
        believed = [suspect for suspect in left if suspect.steady]
        for pause in EXTRA_PAUSES:
            moving = await self._look_after(pause, moving)
            believed += [suspect for suspect in moving if suspect.steady]
            moving = [suspect for suspect in moving if not suspect.steady]
        self.verdicts.unsettled += len(moving)
        await self._believe(believed)

    async def _look_after(self, pause: float, suspects: list[Suspect]) -> list[Suspect]:
        """Those that still differ after a pause."""
        if not suspects:
            return []
        await self._sleep(pause)
        left: list[Suspect] = []
        for some in _together(suspects):
            left += await self._look(some)
        return left

    async def _look(self, suspects: list[Suspect]) -> list[Suspect]:
        group = suspects[0].group
        keys = [suspect.key for suspect in suspects]
        in_windows = {suspect.key for suspect in suspects if suspect.in_windows}
        await self._pair.target.use(group.target)
        before = await self._read_source(group, keys, in_windows)
        target = await self._pair.target.read(keys, in_windows)
        after = await self._read_source(group, keys, in_windows)
        left = []
        for suspect, first, its, last in zip(suspects, before, target, after, strict=True):
            if self._agree(first, its) or self._agree(last, its):
                continue
            seen = suspect.source
            suspect.steady = seen is not None and self._still(seen, first) and self._still(first, last)
            suspect.in_windows = suspect.in_windows or _mixed([*first, its, *last])
            suspect.source, suspect.target = last, its
            left.append(suspect)
        return left

    async def _read_source(self, group: Group, keys: list[bytes], in_windows: set[bytes]) -> list[Readings]:
        columns = []
        for database in group.sources:
            await self._pair.source.use(database)
            columns.append(await self._pair.source.read(keys, in_windows))
        return list(zip(*columns, strict=True))

    def _agree(self, source: Readings, target: Reading | None) -> bool:
        """Where databases are merged, the target may hold any one's value: which was written last is not known."""
        present = [reading for reading in source if reading]
        if not present or target is None:
            return not present and target is None
        return any(self._same(reading, target) for reading in present)

    def _still(self, one: Readings, other: Readings) -> bool:
        return all(
            a is b or (a is not None and b is not None and self._same(a, b))
            for a, b in zip(one, other, strict=True)
        )

    def _same(self, one: Reading, other: Reading) -> bool:
        return _what(one) == _what(other) and self._pair.close_enough(one.expiry, other.expiry)

    async def _believe(self, suspects: list[Suspect]) -> None:
        self.verdicts.different += len(suspects)
        self.verdicts.by_group.update(suspect.group for suspect in suspects)
        room = max(0, self._most - len(self.verdicts.differences))
        self.verdicts.differences += [self._difference(suspect) for suspect in suspects[:room]]
        if not self._repair:
            return
        for some in _together(suspects):
            keys = [suspect.key for suspect in some]
            await mend_all(self._pair, some[0].group, keys, self._hold_ms)
        left = []
        for some in _together(suspects):
            left += await self._look(some)
        self.verdicts.repaired += len(suspects) - len(left)

    def _difference(self, suspect: Suspect) -> Difference:
        name = f"{suspect.group} {shown(suspect.key)}"
        present = [reading for reading in suspect.source or () if reading]
        target = suspect.target
        if not present:
            return Difference(name, "extra", target.kind if target else "")
        source = present[-1]
        if target is None:
            return Difference(name, "missing", source.kind)
        if source.kind != target.kind:
            return Difference(name, "type", f"{source.kind} on the source, {target.kind} on the target")
        expiries = f"expires {moment(source.expiry)} on the source, {moment(target.expiry)} on the target"
        if _what(source) == _what(target):
            return Difference(name, "expiry", expiries)
        close = self._pair.close_enough(source.expiry, target.expiry)
        return Difference(name, "value", source.kind if close else f"{source.kind}; {expiries}")


def shown(key: bytes) -> str:
    """A key for people, with what is not printable as ``\\xNN``."""
    text = key.decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


def _what(reading: Reading) -> tuple[str, bytes, bool]:
    return reading.kind, reading.digest, reading.by_windows


def _mixed(readings: Sequence[Reading | None]) -> bool:
    """Whether the readings can only be compared if all are made in windows."""
    there = [reading for reading in readings if reading]
    return any(reading.kind == UNKNOWN for reading in there) or len({reading.by_windows for reading in there}) > 1


def moment(expiry: int) -> str:
    """An expiry for people."""
    return "never" if expiry == FOREVER else f"at {expiry}"


def _together(suspects: Sequence[Suspect]) -> Iterator[list[Suspect]]:
    """Suspects of the same group, few at a time."""
    step = NEAR if len(suspects) <= 2000 else WIDE
    groups: dict[Group, list[Suspect]] = {}
    for suspect in suspects:
        groups.setdefault(suspect.group, []).append(suspect)
    for members in groups.values():
        for at in range(0, len(members), step):
            yield members[at : at + step]
