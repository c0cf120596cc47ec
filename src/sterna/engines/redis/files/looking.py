"""Looks on the target for what files have, a few megabytes at a time, and says what it found of each key."""

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from sterna.core.errors import BadData, Trouble, Unsupported
from sterna.engines.redis import windows
from sterna.engines.redis.compare import LOOSE_MS
from sterna.engines.redis.files.contents import FOOTER, Tally, adding, of_payload, of_server
from sterna.engines.redis.files.verdicts import State, Verdict, Verdicts
from sterna.engines.redis.names import printable
from sterna.engines.redis.reading import ABSENT, BIG, FOREVER, Side, bunches
from sterna.engines.redis.settling import moment
from sterna.engines.redis.wire.canon import canonical
from sterna.engines.redis.wire.kinds import Kind
from sterna.engines.redis.wire.tape import Tape

Adding = Callable[[Tape, Kind], Iterator[None]]
PAGE = 1000
"""Keys that are asked for together."""


@dataclass(frozen=True, slots=True)
class Record:
    """A key of a file. ``expires_ms``: 0 for never. ``payload``: as DUMP gives it; none of a large value."""

    database: int
    key: bytes
    expires_ms: int
    payload: bytes = b""

    @property
    def expiry(self) -> int:
        return self.expires_ms or FOREVER


@dataclass(frozen=True, slots=True)
class Found:
    """What the target has of a key, and its clock a moment later."""

    size: int
    expiry: int
    now_ms: int


class Looking:
    """``owner``: which of the sides has a key. ``values``: whether they are looked at, or keys only counted."""

    def __init__(
        self, sides: Sequence[Side], owner: Callable[[bytes], int], verdicts: Verdicts, *, values: bool
    ) -> None:
        self.sides = sides
        self._owner = owner
        self._verdicts = verdicts
        self._values = values

    async def small(self, records: Iterable[Record]) -> None:
        """Look for keys whose values are at hand."""
        rest = iter(records)
        while some := list(islice(rest, PAGE)):
            places: dict[tuple[int, int], list[Record]] = {}
            for record in some:
                places.setdefault((self._owner(record.key), record.database), []).append(record)
            for (number, database), here in places.items():
                await self.sides[number].use(database)
                self._verdicts.note(await self._page(self.sides[number], here))

    async def large(self, record: Record, kind: str, read: Callable[[Adding], AsyncIterator[None]]) -> None:
        """Look for a key whose value goes past: ``read`` adds it up."""
        side = self.sides[self._owner(record.key)]
        await side.use(record.database)
        now_ms, mine = await now(side), Tally(kind)
        async for _ in read(lambda tape, its_kind: adding(mine, tape, its_kind, now_ms)):
            pass
        (found,) = await self._found(side, [record.key])
        if (said := self._plain(record, found)) is not None or not self._values:
            self._verdicts.note(said or ())
        else:
            its = await self._of_server(side, record.key)
            self._verdicts.note([self._judged(side, record, found, mine, its)])

    async def extra(self, side: Side, database: int, keys: Sequence[bytes]) -> list[Verdict]:
        """Keys that no file has; those whose time is over meanwhile are not there."""
        _, expiries = await side.weigh(keys)
        return [
            Verdict(database, key, State.EXTRA)
            for key, expiry in zip(keys, expiries, strict=True)
            if expiry != ABSENT
        ]

    async def _page(self, side: Side, records: Sequence[Record]) -> list[Verdict]:
        keys = [record.key for record in records]
        found = await self._found(side, keys)
        said: list[Verdict] = []
        whole: list[int] = []
        for at, (record, its) in enumerate(zip(records, found, strict=True)):
            if (plain := self._plain(record, its)) is not None:
                said += plain
            elif max(its.size, len(record.payload)) <= BIG:
                whole.append(at)
            else:
                mine = _of_file(record, its.now_ms)
                there = await self._of_server(side, record.key)
                said.append(self._judged(side, record, its, mine, there))
        for bunch in bunches(whole, [each.size for each in found]):
            dumps = await side.dump([keys[at] for at in bunch])
            said += [
                self._whole(side, records[at], found[at], dump) for at, dump in zip(bunch, dumps, strict=True)
            ]
        return said

    async def _found(self, side: Side, keys: Sequence[bytes]) -> list[Found]:
        if not self._values:
            return [Found(0, FOREVER, await now(side))] * len(keys)
        sizes, expiries = await side.weigh(keys)
        moment_ms = await now(side)
        return [Found(size, expiry, moment_ms) for size, expiry in zip(sizes, expiries, strict=True)]

    def _plain(self, record: Record, found: Found) -> list[Verdict] | None:
        """What is known without looking at the value; None: it must be looked at."""
        over = 0 < record.expires_ms <= found.now_ms
        if not self._values:
            return [] if over else [Verdict(record.database, record.key, State.EQUAL)]
        if found.expiry == ABSENT:
            empty = not over and _holds_nothing(record.payload, found.now_ms)
            return [Verdict(record.database, record.key, State.GONE if over or empty else State.MISSING)]
        if over and found.expiry != record.expires_ms:
            return []  # it is what an earlier file, or somebody else, made
        return None

    def _whole(self, side: Side, record: Record, found: Found, dump: bytes | None) -> Verdict:
        if dump is None:
            over = 0 < record.expires_ms <= found.now_ms + LOOSE_MS
            return Verdict(record.database, record.key, State.GONE if over else State.MISSING)
        if dump[:-FOOTER] == record.payload[:-FOOTER]:
            return self._timed(side, record, found)
        try:
            mine, its = _of_file(record, found.now_ms), of_payload(dump, found.now_ms)
        except Unsupported as trouble:
            return Verdict(record.database, record.key, State.VALUE, f"not compared: {trouble.message}")
        if mine.type == its.type == "stream" and canonical(record.payload) != canonical(dump):
            return Verdict(record.database, record.key, State.VALUE, "stream")
        return self._judged(side, record, found, mine, its)

    async def _of_server(self, side: Side, key: bytes) -> Tally:
        kind = (await side.connection.call("TYPE", key)).decode()
        if kind not in windows.LENGTHS:
            return Tally(kind)
        return await of_server(side.connection, key, kind, side.field_expiries)

    def _judged(self, side: Side, record: Record, found: Found, mine: Tally, its: Tally) -> Verdict:
        if mine.type != its.type:
            detail = f"{mine.type} in the file, {its.type} on the target"
            return Verdict(record.database, record.key, State.TYPE, detail)
        if mine.seen != its.seen:
            detail = (
                mine.type
                if mine.count == its.count
                else f"{mine.type}: {mine.count} in the file, {its.count} on the target"
            )
            return Verdict(record.database, record.key, State.VALUE, detail)
        return self._timed(side, record, found)

    def _timed(self, side: Side, record: Record, found: Found) -> Verdict:
        tolerance = 0 if side.exact_expiries else LOOSE_MS
        one, other = record.expiry, found.expiry
        if one == other or (min(one, other) >= 0 and abs(one - other) <= tolerance):
            return Verdict(record.database, record.key, State.EQUAL)
        detail = f"expires {moment(one)} in the file, {moment(other)} on the target"
        return Verdict(record.database, record.key, State.EXPIRY, detail)


async def now(side: Side) -> int:
    """The server's clock, in epoch ms."""
    seconds, micros = await side.connection.call("TIME")
    return int(seconds) * 1000 + int(micros) // 1000


def _of_file(record: Record, now_ms: int) -> Tally:
    """Raises BadData with the key's name."""
    try:
        return of_payload(record.payload, now_ms)
    except BadData as error:
        raise BadData(f"key {printable(record.key)}: {error.message}") from error


def _holds_nothing(payload: bytes, now_ms: int) -> bool:
    """Whether all fields of a hash are over: servers drop such a key."""
    try:
        tally = of_payload(payload, now_ms) if payload else Tally("unknown")
        return tally.type == "hash" and not tally.count
    except Trouble:
        return False
