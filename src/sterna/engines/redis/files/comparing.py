"""Compares RDB files with the server they were loaded into: every key's type, value and expiry, both directions.

The files are read once, front to back; of each key the latest file that has it counts. What was found of each key
is kept on disk, values are held some megabytes at a time, and large ones pass by element by element on both sides.
An AOF can be compared as far as it is a data set alone: what commands behind it made of the keys is not known
without carrying them out, so that is refused.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import hiredis

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth, Difference
from sterna.core.errors import BadData, NeedsOperator, Unsupported
from sterna.core.files import Opens
from sterna.core.plan import Plan
from sterna.engines.redis.compare import source_database
from sterna.engines.redis.connection import Connection, ReplyError
from sterna.engines.redis.files.aiming import is_cluster
from sterna.engines.redis.files.cluster import Nodes, masters
from sterna.engines.redis.files.item import in_file
from sterna.engines.redis.files.looking import Adding, Looking, Record
from sterna.engines.redis.files.noting import BATCH_BYTES, feed
from sterna.engines.redis.files.reader import Reader
from sterna.engines.redis.files.shelf import Content, Entry, Item
from sterna.engines.redis.files.source import lay_out
from sterna.engines.redis.files.verdicts import Verdicts
from sterna.engines.redis.libraries import LABEL, libraries, named
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import own
from sterna.engines.redis.pages import Group
from sterna.engines.redis.reading import Side
from sterna.engines.redis.settling import shown
from sterna.engines.redis.wire.kinds import VALKEY_FIRST, is_valkey
from sterna.engines.redis.wire.place import version_of
from sterna.engines.redis.wire.rdb import Big, End, Functions, Needs, Restored, Walker

VALUE_LIMIT = 4 << 20
"""Values of more bytes than this in a file are read element by element."""
MAGIC_BYTES = 9
_BLANK = (b"#", b"\r", b"\n")


async def compare_files(
    plan: Plan,
    opens: Opens | None,
    *,
    most: int = 100,
    depth: Depth = Depth.CONTENTS,
    only: Sequence[Name] = (),
    heard: Callable[[Compared], None] | None = None,
) -> Comparison:
    """Compare the plan's files with its target, which nobody should write to meanwhile.

    A key that only the target has is a difference where the plan could have brought it there: in a database that
    one of the files' may go into, with a prefix that is selected. A key whose time is over is on neither side.
    Raises Unsupported for an AOF with commands, BadData for damage, and what both sides raise.
    """
    mapping = Mapping.of(plan.selection)
    wanted = frozenset(mapping.target_of(source_database(name)) for name in only)
    laid = await lay_out(plan, opens)
    try:
        _refuse_commands(laid.items)
        with TemporaryDirectory(prefix="sterna-compare-") as folder:
            async with _targets(plan) as (sides, owner):
                verdicts = Verdicts(Path(folder) / "verdicts.db")
                try:
                    looking = Looking(sides, owner, verdicts, values=depth is Depth.CONTENTS)
                    course = _Course(mapping, wanted, looking, verdicts, depth)
                    for entry in (entry for item in laid.items for entry in item.entries):
                        await course.read(entry)
                    return await course.result(most, heard)
                finally:
                    verdicts.close()
    except ReplyError as error:
        raise NeedsOperator(f"The target refused to answer: {error}") from error
    finally:
        laid.close()


@asynccontextmanager
async def _targets(plan: Plan) -> AsyncIterator[tuple[list[Side], Callable[[bytes], int]]]:
    """The server, or all masters of the cluster; and which of them has a key."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(await Connection.open(plan.target))
        if not await is_cluster(first):
            ends, owner = [plan.target], _only_one
        else:
            known = await masters(first, plan.target.addresses[0])
            ends, owner = [replace(plan.target, addresses=(each.address,)) for each in known], Nodes((), known).of
        sides = []
        for end in ends:
            sides.append(await Side.open(end, node=owner is not _only_one))
            stack.push_async_callback(sides[-1].close)
        yield sides, owner


def _only_one(key: bytes) -> int:
    return 0


def _refuse_commands(items: Sequence[Item]) -> None:
    """What is seen at once: an AOF that begins with commands, or a part of one that has some."""
    for entry in (entry for item in items for entry in item.entries):
        if entry.content is Content.LOG:
            at = _first_command(entry.head)
            if at >= 0 or not 0 <= entry.size <= len(entry.head):
                raise _commands(entry, max(0, at))


def _first_command(data: bytes) -> int:
    """Where one begins, behind blank lines and annotations; below 0: there is none."""
    at = 0
    for line in data.splitlines(keepends=True):
        if line.strip() and not line.startswith(b"#"):
            return at
        at += len(line)
    return -1


def _commands(entry: Entry, place: int) -> Unsupported:
    return Unsupported(
        f"{entry.name} has commands at byte {place}: what they made of the keys cannot be compared",
        hint="Compare with the server that wrote it (sterna compare), or take the file right after BGREWRITEAOF.",
    )


@dataclass
class _Course:
    """One comparison."""

    mapping: Mapping
    wanted: frozenset[int | None]
    """Target databases; none: all."""
    looking: Looking
    verdicts: Verdicts
    depth: Depth
    _sources: set[int] = field(default_factory=set)
    """Databases of the files that have keys."""
    _libraries: dict[str, bytes] = field(default_factory=dict)
    _newest: int = 0
    """The files' highest RDB version."""

    async def read(self, entry: Entry) -> None:
        """One file. Raises BadData, Unsupported."""
        if entry.content is not Content.RDB:
            return  # empty, or annotations alone
        reader = Reader(entry.opened, 0)
        try:
            await reader.open()
            await self._rdb(entry, reader)
        except (BadData, Unsupported) as error:
            raise in_file(error, entry) from error
        finally:
            await reader.close()

    async def _rdb(self, entry: Entry, reader: Reader) -> None:
        version = version_of(entry.head[:MAGIC_BYTES])
        self._newest = max(self._newest, version)
        walker = self._walker(version)
        while True:
            match walker.walk(BATCH_BYTES):
                case Needs():
                    await feed(walker, reader)
                case Restored() as found:
                    await self.looking.small(_records(found.data))
                case Functions() as library:
                    self._libraries[named(library.code)] = library.code
                case Big() as big:
                    await self._large(walker, reader, big)
                case End() as end:
                    await self._refuse_more(entry, walker.rest(), reader, end.place.offset)
                    return

    def _walker(self, version: int) -> Walker:
        """One that leaves values and expiries as they are, and nothing out."""

        def keep(database: int, key: bytes) -> bool:
            self._sources.add(database)
            return self.mapping.keep(key)

        return Walker(
            target_version=255 if is_valkey(version) else VALKEY_FIRST - 1,
            limit=VALUE_LIMIT,
            databases=self._target_of,
            keep=keep,
            hold_ms=1,
            replace=False,
            hints=False,
        )

    def _target_of(self, source: int) -> int | None:
        target = self.mapping.target_of(source)
        return target if not self.wanted or target in self.wanted else None

    async def _large(self, walker: Walker, reader: Reader, big: Big) -> None:
        async def read(adding: Adding) -> AsyncIterator[None]:
            for _ in walker.read(adding):
                await feed(walker, reader)
                yield

        await self.looking.large(Record(big.database, big.key, big.expires_ms), big.type, read)

    async def _refuse_more(self, entry: Entry, rest: bytes, reader: Reader, offset: int) -> None:
        """What follows an RDB part is a log, or something that Redis passes over."""
        data = rest or await reader.read()
        if not data.startswith((b"*", *_BLANK)):
            return
        while data:
            if (at := _first_command(data)) >= 0:
                raise _commands(entry, offset + at)
            offset += len(data)
            data = await reader.read()

    # What came of it

    async def result(self, most: int, heard: Callable[[Compared], None] | None) -> Comparison:
        groups, done = await self._groups(), []
        for group in groups:
            await self._extras(group)
            mine, its, different = self.verdicts.counts(group.target)
            if self.depth is not Depth.CONTENTS:
                its = await self._count(group)
                different = abs(mine - its)
            name = Name((",".join(map(str, group.sources)),))
            done.append(Compared(name, Name((str(group.target),)), mine, its, different))
            if heard:
                heard(done[-1])
        differences, more = await self._differences(groups, most)
        different = sum(each.different for each in done) + more
        return Comparison(
            equal=not different,
            compared=sum(each.source_rows for each in done),
            differences=differences[:most],
            different=different,
            counts={
                str(group): (each.source_rows, each.target_rows) for group, each in zip(groups, done, strict=True)
            },
            tables=tuple(done),
        )

    async def _groups(self) -> list[Group]:
        """Target databases with those that go there, where either side has keys."""
        there = {database for side in self.looking.sides for database in side.keys}
        named = {old for old, _ in self.mapping.moved} | self.mapping.only
        wide = self.mapping.sources_in(self._sources | there | named)
        brought = {self.mapping.target_of(source) for source in self._sources}
        return [
            Group(target, tuple(each for each in sources if each in self._sources) or sources)
            for target, sources in wide.items()
            if target in brought | there and (not self.wanted or target in self.wanted)
        ]

    async def _extras(self, group: Group) -> None:
        if self.depth is not Depth.CONTENTS:
            return
        async for side, keys in self._scanned(group):
            extra = self.verdicts.unknown(group.target, keys)
            if extra:
                self.verdicts.note(await self.looking.extra(side, group.target, extra))

    async def _count(self, group: Group) -> int:
        return sum([len(keys) async for _, keys in self._scanned(group)])

    async def _scanned(self, group: Group) -> AsyncIterator[tuple[Side, list[bytes]]]:
        for side in self.looking.sides:
            await side.use(group.target)
            async for keys in side.scan():
                if mine := [key for key in keys if self.mapping.keep(key) and not own(key)]:
                    yield side, mine

    async def _differences(self, groups: Sequence[Group], most: int) -> tuple[list[Difference], int]:
        """Those of keys, then those of function libraries; and how many these are."""
        if self.depth is not Depth.CONTENTS:
            return [], 0
        labels = {group.target: str(group) for group in groups}
        found = [
            Difference(
                f"{labels.get(each.database, each.database)} {shown(each.key)}",
                each.state.name.lower(),
                each.detail or "",
            )
            for each in self.verdicts.different(most)
        ]
        of_libraries = [] if self.wanted else await self._differing_libraries()
        return found + of_libraries, len(of_libraries)

    async def _differing_libraries(self) -> list[Difference]:
        """A file of before Redis 7 knows of none."""
        if self._newest < 10:
            return []
        found: dict[str, Difference] = {}
        for side in self.looking.sides:
            its = await libraries(side) or {}
            kinds = [
                ("missing", self._libraries.keys() - its.keys()),
                ("extra", its.keys() - self._libraries.keys()),
            ]
            kinds.append(
                (
                    "value",
                    {name for name in its.keys() & self._libraries.keys() if its[name] != self._libraries[name]},
                )
            )
            for kind, names in kinds:
                found.update({name: Difference(f"{LABEL} {name}", kind) for name in sorted(names)})
        return list(found.values())


def _records(data: bytes) -> Iterator[Record]:
    """The keys of a stretch of RESTORE commands."""
    reader = hiredis.Reader()
    reader.feed(data)
    database = 0
    while (words := reader.gets()) is not False:
        if words[0] == b"SELECT":
            database = int(words[1])
        else:
            _, key, expiry, payload, *_ = words
            yield Record(database, key, int(expiry), payload)
