"""Values of any size, a window at a time: to summarise them, or to write them elsewhere.

A window is about a megabyte, unless a single element is larger. What changes while it is read gives a summary
that fits neither its old nor its new contents: whoever asks must ask twice.
"""

import hashlib
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from sterna.engines.redis.connection import Connection, Reply, ReplyError

WINDOW = 1 << 20
"""Bytes to aim at in one reply."""
FIRST = 64
"""Elements in the first window, while their size is unknown."""
MOST = 8192
"""Elements in any window."""
PENDING = 100
"""Pending entries in one reply: so few that the server's clock seldom moves on meanwhile."""
TRIES = 3
"""A scan that brought other than as many elements as there are is made again so many times in all."""

LENGTHS = {"string": "STRLEN", "list": "LLEN", "set": "SCARD", "hash": "HLEN", "zset": "ZCARD", "stream": "XLEN"}
"""The kinds that can be read in windows, and the command that tells how long they are."""

Element = tuple[bytes, ...]


async def digest(connection: Connection, key: bytes, kind: str, field_expiries: bool) -> bytes:
    """A summary, equal for equal contents on any server and in any encoding. A key that is gone is empty."""
    if kind in ("set", "hash"):
        return await _unordered(connection, key, kind, field_expiries)
    whole = hashlib.blake2b(digest_size=16)
    count = 0
    async for window in elements(connection, key, kind, field_expiries):
        for element in window:
            count += 1 if kind != "string" else len(element[0])
            whole.update(element[0] if kind == "string" else packed(_plain(kind, element)))
    if kind == "stream":
        async for what, *facts in stream_state(connection, key):
            whole.update(packed((what, *(facts[:-1] if what == b"pending" else facts))))
    return whole.digest() + count.to_bytes(8, "big")


async def _unordered(connection: Connection, key: bytes, kind: str, field_expiries: bool) -> bytes:
    """A sum over the elements. A scan may bring one twice while the server resizes: then it is made again."""
    total = count = 0
    for _ in range(TRIES):
        total = count = 0
        async for window in elements(connection, key, kind, field_expiries):
            count += len(window)
            for element in window:
                total += int.from_bytes(hashlib.blake2b(packed(element), digest_size=16).digest(), "big")
        if count == await connection.call(LENGTHS[kind], key):
            break
    return (total % (1 << 128)).to_bytes(16, "big") + count.to_bytes(8, "big")


def packed(element: Element) -> bytes:
    """An element as bytes that no other element has."""
    return b"".join([struct.pack(">Q", len(element)), *(struct.pack(">Q", len(part)) + part for part in element)])


def _plain(kind: str, element: Element) -> Element:
    """Scores as numbers: servers write the same one in different ways."""
    return (element[0], struct.pack(">d", float(element[1]) + 0.0)) if kind == "zset" else element


def elements(connection: Connection, key: bytes, kind: str, field_expiries: bool) -> AsyncIterator[list[Element]]:
    """The contents, window by window.

    string: pieces. list: elements. set: members. zset: member, score. hash: field, value, expiry in epoch ms or
    empty. stream: id, then fields and values.
    """
    match kind:
        case "string":
            return _string(connection, key)
        case "list":
            return _ranks(connection, ("LRANGE", key), lambda reply: [(element,) for element in reply])
        case "zset":
            return _ranks(connection, ("ZRANGE", key), _pairs, "WITHSCORES")
        case "set":
            return _scan(connection, "SSCAN", key)
        case "hash":
            return _hash(connection, key, field_expiries)
        case "stream":
            return _stream(connection, key)
        case _:
            raise ValueError(f"no windows for {kind}")


async def _string(connection: Connection, key: bytes) -> AsyncIterator[list[Element]]:
    at = 0
    while piece := await connection.call("GETRANGE", key, at, at + WINDOW - 1):
        yield [(piece,)]
        at += len(piece)


async def _ranks(
    connection: Connection, command: tuple[str, bytes], parse: Callable[[Reply], list[Element]], *more: str
) -> AsyncIterator[list[Element]]:
    at, count = 0, FIRST
    while True:
        window = parse(await connection.call(*command, at, at + count - 1, *more))
        if not window:
            return
        yield window
        at += len(window)
        count = _next(count, window)


async def _scan(connection: Connection, command: str, key: bytes) -> AsyncIterator[list[Element]]:
    cursor, count = b"0", FIRST
    while True:
        cursor, reply = await connection.call(command, key, cursor, "COUNT", count)
        window: list[Element] = _pairs(reply) if command == "HSCAN" else [(member,) for member in reply]
        if window:
            yield window
        if cursor == b"0":
            return
        count = _next(count, window) if window else count


async def _hash(connection: Connection, key: bytes, field_expiries: bool) -> AsyncIterator[list[Element]]:
    async for window in _scan(connection, "HSCAN", key):
        if not field_expiries:
            yield [(field, value, b"") for field, value in window]
            continue
        fields = [field for field, _ in window]
        expiries = await connection.call("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
        yield [
            (field, value, b"%d" % expiry if expiry >= 0 else b"")
            for (field, value), expiry in zip(window, expiries or [-1] * len(window), strict=True)
        ]


async def _stream(connection: Connection, key: bytes) -> AsyncIterator[list[Element]]:
    start, count = b"-", FIRST
    while True:
        reply = await connection.call("XRANGE", key, start, "+", "COUNT", count)
        if not reply:
            return
        window = [(entry, *(fields or ())) for entry, fields in reply]
        yield window
        start = _after(window[-1][0])
        count = _next(count, window)


async def stream_state(connection: Connection, key: bytes) -> AsyncIterator[Element]:
    """What a stream holds besides entries: its last id, groups, consumers, and what was delivered to whom.

    ``last`` id; ``group`` name, last delivered id; ``consumer`` group, name; ``pending`` group, id, consumer,
    deliveries, when it was delivered last (epoch ms).
    """
    try:
        about = _fields(await connection.call("XINFO", "STREAM", key))
        groups = [_fields(row) for row in await connection.call("XINFO", "GROUPS", key)]
    except ReplyError:
        return  # gone meanwhile
    yield (b"last", about[b"last-generated-id"])
    for group in sorted(groups, key=lambda row: row[b"name"]):
        name = group[b"name"]
        yield (b"group", name, group[b"last-delivered-id"])
        consumers = [_fields(row)[b"name"] for row in await connection.call("XINFO", "CONSUMERS", key, name)]
        for consumer in sorted(consumers):
            yield (b"consumer", name, consumer)
        start = b"-"
        while True:
            now, pending = await _pending(connection, key, name, start)
            if not pending:
                break
            for entry, consumer, idle, deliveries in pending:
                yield (b"pending", name, entry, consumer, b"%d" % deliveries, b"%d" % (now - idle))
            start = _after(pending[-1][0])


async def _pending(connection: Connection, key: bytes, group: bytes, start: bytes) -> tuple[int, Reply]:
    """Pending entries, and the server's clock in ms when it counted how long they are idle."""
    for _ in range(TRIES * 3):
        before, pending, after = await connection.pipeline(
            [("TIME",), ("XPENDING", key, group, start, "+", PENDING), ("TIME",)]
        )
        if isinstance(pending, ReplyError):
            raise pending
        if _ms(before) == _ms(after):
            break
    return _ms(after), pending


def _ms(time: Reply) -> int:
    return int(time[0]) * 1000 + int(time[1]) // 1000


async def write(connection: Connection, key: bytes, kind: str, window: Sequence[Element]) -> None:
    """Add a window to a key, as ordinary commands. Raises ReplyError."""
    match kind:
        case "string":
            commands: list[tuple[bytes | str | int, ...]] = [("APPEND", key, piece) for (piece,) in window]
        case "list":
            commands = [("RPUSH", key, *(element for (element,) in window))]
        case "set":
            commands = [("SADD", key, *(member for (member,) in window))]
        case "zset":
            commands = [("ZADD", key, *_flat((score, member) for member, score in window))]
        case "hash":
            commands = [("HMSET", key, *_flat((field, value) for field, value, _ in window))]
            commands += [("HPEXPIREAT", key, at, "FIELDS", 1, field) for field, _, at in window if at]
        case _:
            commands = [("XADD", key, *element) for element in window]
    for reply in await connection.pipeline(commands):
        if isinstance(reply, ReplyError):
            raise reply


async def write_stream_state(source: Connection, target: Connection, key: bytes, onto: bytes) -> None:
    """Give a stream its last id, groups, consumers and pending entries. Raises ReplyError."""
    async for what, *facts in stream_state(source, key):
        match what:
            case b"last":
                if not await target.call("XLEN", onto):
                    await target.call("XADD", onto, facts[0] if facts[0] != b"0-0" else b"0-1", "x", "x")
                    await target.call("XTRIM", onto, "MAXLEN", 0)
                await target.call("XSETID", onto, facts[0])
            case b"group":
                await target.call("XGROUP", "CREATE", onto, *facts)
            case b"consumer":
                await target.pipeline(
                    [("XGROUP", "CREATECONSUMER", onto, *facts)]
                )  # 6.2 and later; else on XCLAIM
            case _:
                group, entry, consumer, deliveries, delivered = facts
                how = ("TIME", delivered, "RETRYCOUNT", deliveries, "FORCE", "JUSTID")
                await target.call("XCLAIM", onto, group, consumer, 0, entry, *how)


def _next(count: int, window: Sequence[Element]) -> int:
    """How many elements to ask for, going by those that came."""
    size = sum(len(part) + 16 for element in window for part in element)
    return max(1, min(MOST, count * 4, WINDOW * len(window) // max(size, 1)))


def _pairs(reply: Reply) -> list[Element]:
    return list(zip(reply[::2], reply[1::2], strict=True))


def _fields(reply: Reply) -> dict[bytes, bytes]:
    return dict(zip(reply[::2], reply[1::2], strict=True))


def _flat(pairs: Iterable[Element]) -> list[bytes]:
    return [part for pair in pairs for part in pair]


def _after(entry: bytes) -> bytes:
    """The id that follows a stream entry's; ``(id`` is only known to 6.2 and later."""
    ms, _, seq = entry.partition(b"-")
    return b"%d-0" % (int(ms) + 1) if int(seq) == (1 << 64) - 1 else b"%b-%d" % (ms, int(seq) + 1)
