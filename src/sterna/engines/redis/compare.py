"""Compares what a plan selects on both servers: counts, types, values and expiries, in both directions.

Memory stays within some tens of megabytes, whatever the data: keys are read by pages, values by a few megabytes
and large ones in windows. Writes may go on meanwhile (see ``settling``).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import IllegalMove, Invalid, NeedsOperator
from sterna.core.event import Level
from sterna.core.plan import Plan
from sterna.core.ports import Room, Teller
from sterna.engines.redis import libraries
from sterna.engines.redis.connection import ReplyError
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import CHECKPOINT_PREFIX, HOLD_MS, own
from sterna.engines.redis.pages import Group, Page, Pair, backward, forward
from sterna.engines.redis.reading import Side
from sterna.engines.redis.settling import Settling

IN_FLIGHT = 2
"""Pages that are looked at at the same time, each over connections of its own."""
LOOSE_MS = 1000
"""How far expiries may be apart where a server is older than 7.0: those tell them as a time left, and send them
to their replicas as such too, so that they begin anew with whatever delay the replica has. Else: not at all."""
FUNCTIONS_PAUSE = 1.0
"""Seconds until libraries that differ are looked at again."""


@dataclass(frozen=True)
class Desk:
    """The connections that a comparison has: two to scan, and pairs to look at pages and at suspects."""

    source: Side
    target: Side
    idle: "asyncio.Queue[Pair]"
    settling: Settling
    mapping: Mapping

    @property
    def match(self) -> bytes | None:
        """A pattern for SCAN, where the plan takes a single prefix."""
        include = self.mapping.include
        return _literal(include[0]) + b"*" if len(include) == 1 else None

    def keep(self, keys: list[bytes]) -> list[bytes]:
        """Those of a page that the plan selects and that are not Sterna's own."""
        if self.mapping.filtered:
            keys = [key for key in keys if self.mapping.keep(key)]
        return [key for key in keys if not own(key)]


async def compare(
    plan: Plan,
    *,
    room: Room | None = None,
    repair: bool = False,
    most: int = 100,
    force: bool = False,
    tell: Teller | None = None,
    depth: Depth = Depth.CONTENTS,
    only: Sequence[Name] = (),
    heard: Callable[[Compared], None] | None = None,
) -> Comparison:
    """Compare, and on request repair: the target becomes what the source is, where they differ.

    A key that is only on the target is a difference if the plan could have brought it there: its database is
    the target of a selected one, its prefix is selected. Repairing deletes it. Keys that keep changing are
    neither different nor repaired: they are counted as unsettled. Of the differences at most ``most`` are named.
    ``equal`` says that nothing differs, or that everything that did is repaired.

    Repairing while a job follows could undo what the job has just written, or make it count a change twice: it
    is refused (IllegalMove) while the target holds a job's checkpoint, unless ``force``, for whoever knows that
    the source is quiet. ``room`` is not needed: nothing is kept on disk.

    A keyspace has no objects but its keys: with a depth of OBJECTS or ROWS the keys of each database are counted
    on both sides, and that is all. ``only`` names source databases, as ``("0",)`` or ``("db0",)``; what goes into
    the same target database is compared with them. ``heard`` is told of each target database.
    Raises Unreachable, AccessDenied, ServerBusy, TargetFull, Unsupported, IllegalMove, Invalid.
    """
    mapping = Mapping.of(plan.selection)
    if repair and depth is not Depth.CONTENTS:
        raise Invalid("depth", "Only a comparison of the contents can repair")
    wanted = frozenset(source_database(name) for name in only)
    try:
        async with _desk(plan, mapping, repair, most, force) as desk:
            groups = [
                group
                for group in await _groups(mapping, desk.source, desk.target)
                if not wanted or wanted & set(group.sources)
            ]
            course = _Course(desk, tell, heard)
            if depth is not Depth.CONTENTS:
                return await course.count(groups)
            return await course.compare(groups, libraries=None if wanted else (repair, most))
    except ReplyError as error:
        raise NeedsOperator(f"A server refused to answer: {error}") from error


@dataclass
class _Course:
    """One comparison: what it has counted so far, and who hears of it."""

    desk: Desk
    tell: Teller | None
    heard: Callable[[Compared], None] | None
    _counts: dict[Group, tuple[int, int]] = field(default_factory=dict, init=False)
    _done: dict[Group, Compared] = field(default_factory=dict, init=False)

    async def compare(self, groups: Sequence[Group], libraries: tuple[bool, int] | None) -> Comparison:
        """The contents; and the libraries, where it is told whether to repair them and how many to name."""
        settling = self.desk.settling
        for group in groups:
            self._counted(group, await _compare_group(self.desk, group))
            if not settling.waits(group):
                self._finish(group, settling.verdicts.by_group[group])
        await settling.settle()
        for group in groups:
            self._finish(group, settling.verdicts.by_group[group])
        if libraries:
            await _compare_libraries(self.desk, *libraries)
        found = settling.verdicts
        return Comparison(
            equal=found.different == found.repaired,
            compared=sum(mine for mine, _ in self._counts.values()),
            differences=tuple(found.differences),
            different=found.different,
            counts={str(group): counts for group, counts in self._counts.items()},
            unsettled=found.unsettled,
            repaired=found.repaired,
            tables=tuple(self._done.values()),
        )

    async def count(self, groups: Sequence[Group]) -> Comparison:
        """The numbers of keys alone."""
        for group in groups:
            mine, its = await _count_group(self.desk, group)
            self._counted(group, (mine, its))
            self._finish(group, abs(mine - its))
        different = sum(each.different for each in self._done.values())
        return Comparison(
            equal=not different,
            compared=sum(mine for mine, _ in self._counts.values()),
            differences=(),
            different=different,
            counts={str(group): counts for group, counts in self._counts.items()},
            tables=tuple(self._done.values()),
        )

    def _counted(self, group: Group, counts: tuple[int, int]) -> None:
        self._counts[group] = counts
        if self.tell:
            mine, its = counts
            self.tell(Level.INFO, "compare.database", f"{group}: {mine} keys on the source, {its} on the target")

    def _finish(self, group: Group, different: int) -> None:
        """What is known of a target database is final; twice is once."""
        if group in self._done:
            return
        source = ",".join(str(number) for number in group.sources)
        mine, its = self._counts[group]
        done = Compared(Name((source,)), Name((str(group.target),)), mine, its, different)
        self._done[group] = done
        if self.heard:
            self.heard(done)


def source_database(name: Name) -> int:
    """The number in ``0`` or ``db0``. Raises Invalid."""
    text = name.path[0].removeprefix("db") if len(name.path) == 1 else ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Invalid("only", f"{name} is not a database")
    return int(text)


@asynccontextmanager
async def _desk(plan: Plan, mapping: Mapping, repair: bool, most: int, force: bool) -> AsyncIterator[Desk]:
    async with AsyncExitStack() as stack:

        async def both() -> tuple[Side, Side]:
            sides = []
            for endpoint in (plan.source, plan.target):
                sides.append(await Side.open(endpoint))
                stack.push_async_callback(sides[-1].close)
            return sides[0], sides[1]

        source, target = await both()
        tolerance = 0 if source.exact_expiries and target.exact_expiries else LOOSE_MS
        hold_ms = await _hold(target, force) if repair else 0
        idle: asyncio.Queue[Pair] = asyncio.Queue()
        for _ in range(IN_FLIGHT):
            idle.put_nowait(Pair(*await both(), tolerance))
        settling = Settling(Pair(*await both(), tolerance), most, repair=repair, hold_ms=hold_ms)
        yield Desk(source, target, idle, settling, mapping)


async def _hold(target: Side, force: bool) -> int:
    """What is added to expiries that are repaired: what the job adds that follows there. Raises IllegalMove."""
    await target.use(0)
    async for keys in target.scan(_literal(CHECKPOINT_PREFIX) + b"*", count=10_000):
        if not force:
            name = keys[0].removeprefix(CHECKPOINT_PREFIX).decode("utf-8", "replace")
            raise IllegalMove(
                f"Job {name} is at work on the target",
                hint="End the job, then repair; or repair by force if nothing writes to the source.",
            )
        return HOLD_MS
    return 0


async def _groups(mapping: Mapping, source: Side, target: Side) -> list[Group]:
    """Target databases with those that go there, where either side has keys.

    A database that the source does not have cannot have been moved: it is left alone on the target.
    """
    named = {old for old, _ in mapping.moved} | mapping.only
    asked = sorted((set(target.keys) | named) - set(source.keys))
    there = [database for database in asked if await source.has(database)]
    used = {mapping.target_of(database) for database in source.keys} | set(target.keys)
    wide = mapping.sources_in([*source.keys, *there])
    return [Group(database, sources) for database, sources in wide.items() if database in used]


async def _compare_group(desk: Desk, group: Group) -> tuple[int, int]:
    """Both directions. The numbers of keys on the source and on the target."""
    await desk.target.use(group.target)
    mine = 0
    for database in group.sources:
        await desk.source.use(database)
        mine += await _pages(desk, group, desk.source.scan(desk.match), partial(forward, database=database))
    return mine, await _pages(desk, group, desk.target.scan(desk.match), backward)


async def _count_group(desk: Desk, group: Group) -> tuple[int, int]:
    """The numbers of keys that are wanted on the source and on the target."""
    await desk.target.use(group.target)
    mine = 0
    for database in group.sources:
        await desk.source.use(database)
        mine += await _count(desk, desk.source)
    return mine, await _count(desk, desk.target)


async def _count(desk: Desk, side: Side) -> int:
    return sum([len(desk.keep(keys)) async for keys in side.scan(desk.match)])


async def _pages(
    desk: Desk,
    group: Group,
    pages: AsyncIterator[list[bytes]],
    look: Callable[[Pair, Group, list[bytes]], Awaitable[Page]],
) -> int:
    """Look at all pages, a few at a time. How many keys there were."""
    present = 0

    async def one(pair: Pair, keys: list[bytes]) -> None:
        nonlocal present
        page = await look(pair, group, keys)
        present += page.present
        desk.settling.suspect(group, page.suspects)
        desk.idle.put_nowait(pair)

    try:
        async with asyncio.TaskGroup() as tasks:
            async for page in pages:
                if keys := desk.keep(page):
                    tasks.create_task(one(await desk.idle.get(), keys))
                if desk.settling.full:
                    await desk.settling.settle()
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return present


async def _compare_libraries(desk: Desk, repair: bool, most: int) -> None:
    found = desk.settling.verdicts
    pair = desk.idle.get_nowait()
    if not await libraries.differing(pair):
        return
    await asyncio.sleep(FUNCTIONS_PAUSE)
    differing = await libraries.differing(pair)
    found.different += len(differing)
    found.differences += differing[: max(0, most - len(found.differences))]
    if repair:
        await libraries.mend(pair)
        found.repaired += len(differing) - len(await libraries.differing(pair))


def _literal(text: bytes) -> bytes:
    """The text as a pattern that matches it alone."""
    return b"".join(b"\\" + bytes([byte]) if byte in b"*?[]^\\-" else bytes([byte]) for byte in text)
