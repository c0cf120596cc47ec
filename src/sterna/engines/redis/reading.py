"""One server as a comparison reads it: many keys in one go, and never more than a few megabytes of them."""

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from sterna.core.errors import Trouble, Unsupported
from sterna.core.plan import Endpoint
from sterna.engines.redis import windows
from sterna.engines.redis.connection import Connection, Reply, ReplyError, info, trouble
from sterna.engines.redis.names import HOLD_MS, released
from sterna.engines.redis.wire.canon import canonical

BIG = 1 << 20
"""A value that takes more memory than this, in bytes, is read in windows instead of in one piece."""
BUNCH = 8 << 20
"""So many bytes of values are asked for at once."""
SAMPLED = 3 << 10
"""Above this, the size of a collection was guessed from samples, and is asked for exactly (see ``weigh``)."""
OPAQUE_MOST = 64 << 20
"""A value of a module's own type has no windows; a larger one cannot be compared."""

ABSENT = -2
FOREVER = -1
UNKNOWN = "?"
"""The kind of a value whose serialised form could not be decoded."""

_MEMORY = b"*5\r\n$6\r\nMEMORY\r\n$5\r\nUSAGE\r\n"
_SAMPLES = b"$7\r\nSAMPLES\r\n$2\r\n64\r\n"
_ALL = b"$7\r\nSAMPLES\r\n$1\r\n0\r\n"
_PEXPIRETIME = b"*2\r\n$11\r\nPEXPIRETIME\r\n"
_PTTL = b"*2\r\n$4\r\nPTTL\r\n"
_DUMP = b"*2\r\n$4\r\nDUMP\r\n"
_EXISTS = b"*2\r\n$6\r\nEXISTS\r\n"
_TYPE = b"*2\r\n$4\r\nTYPE\r\n"
_TIME = b"*1\r\n$4\r\nTIME\r\n"
FOOTER = 10
"""Bytes at the end of what DUMP answers: format version and checksum."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a key was, small enough to be remembered. Equal digests: equal contents, whatever the encoding."""

    kind: str
    expiry: int
    """Epoch milliseconds, or ``FOREVER``."""
    digest: bytes
    by_windows: bool = False
    """Digests of values read in windows and in one piece cannot be compared with one another."""


class Side:
    """One server over one connection. Not for use by two tasks at once."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.database = 0
        self.exact_expiries = False
        """Whether it tells expiries as points in time (7.0 and later)."""
        self.tells_memory = False
        """Whether it knows MEMORY USAGE (4.0 and later, unless it is forbidden)."""
        self.field_expiries = False
        """Whether single fields of a hash may expire (Redis 7.4, Valkey 9)."""
        self.info: dict[str, str] = {}

    @classmethod
    async def open(cls, endpoint: Endpoint, *, node: bool = False) -> "Side":
        """Connect, and find out what the server can do. Raises Unreachable, AccessDenied, Unsupported.

        ``node``: it may be one of a cluster, and is asked for its own keys alone.
        """
        side = cls(await Connection.open(endpoint))
        try:
            await side._learn(node)
        except BaseException:
            await side.close()
            raise
        return side

    async def _learn(self, node: bool) -> None:
        ask = self.connection
        self.info = info(await ask.call("INFO"))
        if self.info.get("redis_mode") == "cluster" and not node:
            raise Unsupported(f"{ask.where} is a node of a cluster: clusters cannot be compared yet")
        # A comparison should leave no trace in what the source evicts first, nor hide in its list of clients.
        _, _, *known = await ask.pipeline(
            [
                ("CLIENT", "NO-TOUCH", "ON"),
                ("CLIENT", "SETNAME", "sterna-compare"),
                ("PEXPIRETIME", "sterna:checkpoint:none"),
                ("MEMORY", "USAGE", "sterna:checkpoint:none"),
                ("HPEXPIRETIME", "sterna:checkpoint:none", "FIELDS", 1, "x"),
            ]
        )
        self.exact_expiries, self.tells_memory, self.field_expiries = (
            not isinstance(r, ReplyError) for r in known
        )

    async def close(self) -> None:
        await self.connection.close()

    async def use(self, database: int) -> None:
        """Make it the database that is read from now on. Raises Unsupported if there is no such."""
        if database == self.database:
            return
        try:
            await self.connection.call("SELECT", database)
        except ReplyError as error:
            raise Unsupported(f"{self.connection.where} has no database {database}: {error}") from error
        self.database = database

    async def has(self, database: int) -> bool:
        """Whether there is such a database; it is the one that is read from now on."""
        try:
            await self.use(database)
        except Unsupported:
            return False
        return True

    @property
    def keys(self) -> dict[int, int]:
        """Databases in use when it was opened, with their number of keys."""
        rows = ((name, text) for name, text in self.info.items() if name.startswith("db") and "keys=" in text)
        return {int(name[2:]): int(text.partition("keys=")[2].partition(",")[0]) for name, text in rows}

    async def scan(self, match: bytes | None = None, count: int = 1000) -> AsyncIterator[list[bytes]]:
        """All keys of the database by pages. One that stays the whole time comes at least once."""
        cursor = b"0"
        narrow = ("MATCH", match) if match else ()
        while True:
            cursor, keys = await self.connection.call("SCAN", cursor, *narrow, "COUNT", count)
            if keys:
                yield keys
            if cursor == b"0":
                return

    async def exist(self, keys: Sequence[bytes]) -> list[bool]:
        """Whether each key is there."""
        return [bool(reply) for reply in await self._each(_EXISTS, b"", keys)]

    async def weigh(self, keys: Sequence[bytes]) -> tuple[list[int], list[int]]:
        """Of each key the bytes that it takes, and when it expires: epoch ms, FOREVER, or ABSENT.

        Expiries that a job holds back come as they will be; a key whose expiry has passed is absent.
        Sizes: MEMORY USAGE looks at 64 elements at most. That is exact for small collections, so a larger one
        with a single huge element is the only one it could be wrong about; those, told by their size, are asked
        for exactly, and have some ten thousand elements at most. Servers without MEMORY USAGE are asked for the
        length of strings and the number of elements, counted as 1 KiB each.
        """
        sizes = await self._sizes(keys)
        (seconds, micros), *expiries = await self._answers(
            _TIME + _each(_PEXPIRETIME if self.exact_expiries else _PTTL, b"", keys), len(keys) + 1
        )
        now = int(seconds) * 1000 + int(micros) // 1000
        if max(expiries, default=FOREVER) >= 0:
            expiries = [_expiry(expiry, now, self.exact_expiries) for expiry in expiries]
        return sizes, expiries

    async def _sizes(self, keys: Sequence[bytes]) -> list[int]:
        if not self.tells_memory:
            return await self._lengths(keys)
        sizes = [size or 0 for size in await self._each(_MEMORY, _SAMPLES, keys)]
        if max(sizes, default=0) > SAMPLED:
            unsure = [at for at, size in enumerate(sizes) if SAMPLED < size <= BIG]
            exact = await self._each(_MEMORY, _ALL, [keys[at] for at in unsure])
            for at, size in zip(unsure, exact, strict=True):
                sizes[at] = size or 0
        return sizes

    async def _lengths(self, keys: Sequence[bytes]) -> list[int]:
        kinds = await self._each(_TYPE, b"", keys)
        asked = [
            (windows.LENGTHS.get(kind.decode(), "EXISTS"), key) for kind, key in zip(kinds, keys, strict=True)
        ]
        lengths = await self.connection.pipeline(asked)
        each = [1 if command == "STRLEN" else 1024 for command, _ in asked]
        return [0 if isinstance(n, ReplyError) else n * unit for n, unit in zip(lengths, each, strict=True)]

    async def dump(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """The values in the server's serialised form, footer included; None: absent."""
        return await self._each(_DUMP, b"", keys)

    async def read(self, keys: Sequence[bytes], in_windows: set[bytes]) -> list[Reading | None]:
        """What the keys are now; those named or found big are read in windows. None: absent."""
        sizes, expiries = await self.weigh(keys)
        whole = [
            at
            for at, key in enumerate(keys)
            if key not in in_windows and sizes[at] <= BIG and expiries[at] != ABSENT
        ]
        found: list[Reading | None] = [None] * len(keys)
        for bunch in bunches(whole, sizes):
            dumps = await self.dump([keys[at] for at in bunch])
            for at, dump in zip(bunch, dumps, strict=True):
                found[at] = summary(dump, expiries[at]) if dump is not None else None
        for at in set(range(len(keys))).difference(whole):
            if expiries[at] != ABSENT:
                found[at] = await self.read_large(keys[at], sizes[at], expiries[at])
        return found

    async def read_large(self, key: bytes, size: int, expiry: int) -> Reading | None:
        """What one key is now, read in windows."""
        kind = (await self.connection.call("TYPE", key)).decode()
        if kind == "none":
            return None
        if kind in windows.LENGTHS:
            digest = await windows.digest(self.connection, key, kind, self.field_expiries)
        elif size > OPAQUE_MOST:
            digest = b"too large to compare"
        else:
            dump = (await self.dump([key]))[0]
            if dump is None:
                return None
            digest = hashlib.blake2b(dump[:-FOOTER], digest_size=16).digest()
        return Reading(kind, expiry, digest, by_windows=True)

    async def _each(self, before: bytes, after: bytes, keys: Sequence[bytes]) -> list[Reply]:
        return await self._answers(_each(before, after, keys), len(keys)) if keys else []

    async def _answers(self, data: bytes, count: int) -> list[Reply]:
        """Send and wait. Raises the first error among the replies."""
        self.connection.send(data)
        replies = await self.connection.replies(count)
        if ReplyError in set(map(type, replies)):
            error = next(reply for reply in replies if isinstance(reply, ReplyError))
            raise trouble(error, self.connection.where) or error
        return replies


def summary(dump: bytes, expiry: int) -> Reading:
    """A serialised value, remembered by its contents. A form that nobody can decode is marked for windows."""
    try:
        canon = canonical(dump)
    except Trouble:
        return Reading(UNKNOWN, expiry, hashlib.blake2b(dump[:-FOOTER], digest_size=16).digest())
    return Reading(canon.type, expiry, canon.digest + canon.count.to_bytes(8, "big"))


def bunches(places: Sequence[int], sizes: Sequence[int]) -> Iterator[list[int]]:
    """Cut places so that the values there take about ``BUNCH`` bytes, and at least one."""
    bunch: list[int] = []
    weight = 0
    for at in places:
        if bunch and weight + sizes[at] > BUNCH:
            yield bunch
            bunch, weight = [], 0
        bunch.append(at)
        weight += sizes[at]
    if bunch:
        yield bunch


def _each(before: bytes, after: bytes, keys: Sequence[bytes]) -> bytes:
    """The same command for each key, as the protocol has it."""
    between = after + before
    return before + between.join([b"$%d\r\n%b\r\n" % (len(key), key) for key in keys]) + after if keys else b""


def _expiry(said: int, now: int, is_point: bool) -> int:
    if said < 0:
        return said
    point = said if is_point else now + said
    if not is_point and said >= HOLD_MS - now:
        point = HOLD_MS + max(0, point - HOLD_MS)
    return ABSENT if released(point) <= now else released(point)
