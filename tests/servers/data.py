"""A varied data set for Redis and Valkey, and a reading of a whole server that knows nothing of Sterna."""

import random
import string
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import redis

Key = tuple[int, bytes]
"""Database and key. Database -1 holds the server's functions, by library."""

Words = Sequence[bytes | str | int | float]
FUNCTIONS = -1
_PAGE = 500
_YEAR_2200_MS = 7_258_118_400_123
_LIBRARY = (
    "#!lua name=sterna_sample\nredis.register_function('sterna_echo', function(keys, args) return args[1] end)"
)


@dataclass(frozen=True)
class Entry:
    """What a key holds: plain Python values that compare equal when the data is equal."""

    kind: str
    value: object
    expires_ms: int = -1
    """When it expires, epoch milliseconds; -1: never."""
    fields_ms: Mapping[bytes, int] | None = None
    """When fields of a hash expire; None if none does."""


def fill(client: redis.Redis, scale: float = 1, *, target: redis.Redis | None = None) -> frozenset[str]:
    """Write keys of all types and encodings into databases 0, 1 and 9. The same data each time but for expiries.

    Databases that the server does not have are left out. ``scale`` multiplies how many small keys there are
    (1: about 3,000) and the size of the big collections (1: 20,000 elements). ``target``: leave out what that
    server could not hold. Returns what the server took of ``functions``, ``field expiry`` and ``databases``.
    """
    took = set()
    fitting = [feature for feature in _newer_features() if target is None or _knows(target, feature[0])]
    with Wire(client, 0) as wire:
        wire.ask_all(_everything(random.Random(5), scale))
        took |= {name for name, words in fitting if wire.accepts(words)}
    for database in (1, 9):
        try:
            with Wire(client, database) as wire:
                wire.ask_all(_small_strings(random.Random(database), round(200 * scale)))
                wire.ask_all(_collections(random.Random(database), 10))
        except redis.ResponseError:
            continue  # a cluster has one database
        took.add("databases")
    return frozenset(took)


def snapshot(client: redis.Redis, *, counters: bool = True) -> dict[Key, Entry]:
    """Read everything that the server holds. The reading is of one moment only if nothing is written meanwhile.

    On servers before 7.0, which tell expiries only as time left, those are exact to 2 ms. ``counters``: with
    the streams' counters that came with 7.0; leave them out to compare with a server before that.
    """
    entries: dict[Key, Entry] = {}
    for database in _databases(client):
        with Wire(client, database) as wire:
            for page in _pages(wire):
                entries |= {
                    (database, key): entry for key, entry in read_keys(wire, page, counters=counters).items()
                }
    return entries | _functions(client)


def differences(
    one: Mapping[Key, Entry], other: Mapping[Key, Entry], *, slack_ms: int = 0, now_ms: int | None = None
) -> list[str]:
    """What is not equal, one line for each key, at most 20 and a count.

    Expiries may differ by ``slack_ms``. Keys that have expired by ``now_ms`` (None: now) on either side do not
    count: the two readings were made one after the other.
    """
    now = time.time_ns() // 1_000_000 if now_ms is None else now_ms
    lines = []
    for key in sorted(one.keys() | other.keys()):
        left, right = one.get(key), other.get(key)
        if any(entry and 0 < entry.expires_ms <= now + slack_ms for entry in (left, right)):
            continue
        if line := _difference(left, right, slack_ms):
            lines.append(f"{key}: {line}")
    return lines if len(lines) <= 20 else [*lines[:20], f"and {len(lines) - 20} more"]


def assert_same(source: redis.Redis, target: redis.Redis, *, slack_ms: int = 0, counters: bool = True) -> None:
    """Read both servers and fail with what differs."""
    found = differences(
        snapshot(source, counters=counters), snapshot(target, counters=counters), slack_ms=slack_ms
    )
    assert not found, "\n".join(found)


class Wire:
    """One connection to one database that sends many commands at once and gives back bare replies."""

    def __init__(self, client: redis.Redis, database: int) -> None:
        pool = client.connection_pool
        settings = {**pool.connection_kwargs, "db": database, "protocol": 2, "decode_responses": False}
        self._connection: Any = pool.connection_class(**settings)

    def __enter__(self) -> "Wire":
        self._connection.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.disconnect()

    def ask(self, *words: bytes | str | int | float) -> Any:
        """One command and its reply. Raises ResponseError."""
        return self.ask_all([words])[0]

    def ask_all(self, commands: Iterable[Words]) -> list[Any]:
        """Commands and their replies, in order. Raises the first error, when all replies are read."""
        replies: list[Any] = []
        page: list[Words] = []
        for words in commands:
            page.append(words)
            if len(page) == _PAGE:
                replies += self._exchange(page)
                page = []
        return replies + self._exchange(page)

    def accepts(self, commands: Sequence[Words]) -> bool:
        """Send commands that an older server may not know; whether it knew them all."""
        try:
            self.ask_all(commands)
        except redis.ResponseError as error:
            if "unknown command" in str(error).lower():
                return False
            raise
        return True

    def _exchange(self, page: Sequence[Words]) -> list[Any]:
        self._connection.send_packed_command(self._connection.pack_commands(page), check_health=False)
        replies, failure = [], None
        for _ in page:
            try:
                replies.append(self._connection.read_response())
            except redis.ResponseError as error:
                failure = failure or error
        if failure:
            raise failure
        return replies


def _everything(dice: random.Random, scale: float) -> Iterable[Words]:
    yield from _strings(dice)
    yield from _small_strings(dice, round(2500 * scale))
    yield from _collections(dice, round(100 * scale))
    yield from _big_collections(dice, round(20_000 * scale))
    yield from _edges_of_encodings()
    yield from _streams()
    yield from _sketches_and_maps(dice)
    yield from _expiries(dice)


def _strings(dice: random.Random) -> Iterable[Words]:
    values: dict[bytes | str, bytes | int] = {
        b"": b"the empty key",
        b"empty": b"",
        b"binary\x00\r\n\xff\xfe": bytes(range(256)),
        b"key with spaces \xe2\x82\xac {tag}": b"*3\r\n$3\r\nSET\r\n",
        b"long key " + b"k" * 3000: b"v",
        b"int small": 7,
        b"int negative": -1,
        b"int 16": 30_000,
        b"int 32": 2_000_000_000,
        b"int 64": 2**63 - 1,
        b"int least": -(2**63),
        b"no int": b"007",
        b"float": b"3.14159265358979",
        b"embstr 44": b"e" * 44,
        b"raw 45": b"r" * 45,
        b"compressible": b"abcdefgh" * 4000,
        b"incompressible": dice.randbytes(5000),
        b"three megabytes": dice.randbytes(1 << 20) + b"z" * (2 << 20),
        "ünïcödé 键": "значение".encode(),
    }
    return (("SET", key, value) for key, value in values.items())


def _small_strings(dice: random.Random, count: int) -> Iterable[Words]:
    for number in range(count):
        yield ("SET", f"small:{number}", _text(dice, dice.randrange(1, 80)))


def _collections(dice: random.Random, count: int) -> Iterable[Words]:
    """Small ones of each type, about half of them beyond the compact encoding."""
    for number in range(count):
        size = dice.choice((1, 5, 60, 200, 700))
        words = [_text(dice, dice.choice((3, 20, 90))) for _ in range(size)]
        yield ("RPUSH", f"list:{number}", *words)
        yield ("SADD", f"set:{number}", *words)
        yield ("SADD", f"intset:{number}", *(dice.randrange(-(2**40), 2**40) for _ in range(size)))
        yield ("HSET", f"hash:{number}", *_paired(words, range(size)))
        yield ("ZADD", f"zset:{number}", *_paired([dice.gauss(0, 1e6) for _ in words], words))


def _big_collections(dice: random.Random, size: int) -> Iterable[Words]:
    for first in range(0, size, 1000):
        numbers = range(first, min(first + 1000, size))
        yield ("RPUSH", "big:list", *(f"element {number}" for number in numbers))
        yield ("SADD", "big:set", *(f"member {number}" for number in numbers))
        yield (
            "ZADD",
            "big:zset",
            *_paired([dice.random() for _ in numbers], [f"m{number}" for number in numbers]),
        )
        yield ("HSET", "big:hash", *_paired([f"field {number}" for number in numbers], numbers))


def _edges_of_encodings() -> Iterable[Words]:
    yield ("RPUSH", "list:binary", b"", b"\x00", b"\xff" * 300, -1, 2**40, b"123456789012345678901234567890")
    yield ("RPUSH", "list:wide", b"w" * 70_000, b"x", b"y" * 9000)
    yield ("SADD", "intset:16", 1, -2, 32767)
    yield ("SADD", "intset:32", 1, -70_000)
    yield ("SADD", "intset:64", 1, 2**50, -(2**63))
    yield ("SADD", "set:mixed", 1, "one", b"\x00")
    yield ("HSET", "hash:binary", b"", b"", b"\r\n", b"\x00\xff", b"f" * 200, b"v" * 200)
    yield ("ZADD", "zset:scores", *_paired(["inf", "-inf", 0, "-0.0", 0.1, 1e300, 1e-300, 2**53, 3], "abcdefghi"))
    yield ("ZADD", "zset:equal scores", *_paired([1] * 300, [f"{number:03}" * 30 for number in range(300)]))


def _streams() -> Iterable[Words]:
    for number in range(1, 301):
        yield ("XADD", "stream", f"{number * 7}-{number % 3}", "field", f"value {number}", "n", number)
    yield ("XADD", "stream", "9000-1", "other", "fields", "here", b"\x00\xff")
    yield ("XDEL", "stream", "14-2", "2100-0")
    yield ("XGROUP", "CREATE", "stream", "readers", "0")
    yield ("XREADGROUP", "GROUP", "readers", "ann", "COUNT", 30, "STREAMS", "stream", ">")
    yield ("XREADGROUP", "GROUP", "readers", "bob", "COUNT", 5, "STREAMS", "stream", ">")
    yield ("XACK", "stream", "readers", "7-1", "21-0", "28-1")
    yield ("XCLAIM", "stream", "readers", "bob", 0, "35-2", "RETRYCOUNT", 4)
    yield ("XGROUP", "CREATECONSUMER", "stream", "readers", "idle")
    yield ("XGROUP", "CREATE", "stream", "late", "$")
    yield ("XGROUP", "CREATE", "stream:empty", "waiting", "$", "MKSTREAM")
    yield ("XADD", "stream:trimmed", "MAXLEN", 1, "5-1", "a", "1")
    yield ("XADD", "stream:trimmed", "MAXLEN", 1, "5-2", "a", "2")
    yield ("XADD", "stream:emptied", "1-1", "a", "1")
    yield ("XDEL", "stream:emptied", "1-1")


def _sketches_and_maps(dice: random.Random) -> Iterable[Words]:
    yield ("PFADD", "hll:sparse", "a", "b", "c")
    for first in range(0, 20_000, 1000):
        yield ("PFADD", "hll:dense", *range(first, first + 1000))
    yield ("GEOADD", "geo", 13.361389, 38.115556, "Palermo", 15.087269, 37.502669, "Catania")
    for _ in range(50):
        yield ("SETBIT", "bitmap", dice.randrange(100_000), 1)


def _expiries(dice: random.Random) -> Iterable[Words]:
    now = time.time_ns() // 1_000_000
    yield ("SET", "expires:soon", "gone in three seconds", "PXAT", now + 3000)
    yield ("SET", "expires:far", "in the year 2200", "PXAT", _YEAR_2200_MS)
    yield ("SET", "expires:past", "gone at once", "PX", 1)
    for number in range(200):
        yield ("SET", f"expires:{number}", number, "PXAT", now + 600_000 + dice.randrange(10_000_000))
    for verb, *words in (("HSET", "f", "v"), ("RPUSH", "a"), ("SADD", "a"), ("ZADD", "1", "a")):
        yield (verb, f"expires:{verb}", *words)
        yield ("PEXPIREAT", f"expires:{verb}", now + 3_600_007)
    yield ("XADD", "expires:stream", "1-1", "a", "b")
    yield ("PEXPIREAT", "expires:stream", now + 3_600_009)


def _newer_features() -> list[tuple[str, list[Words]]]:
    now = time.time_ns() // 1_000_000
    small: list[Words] = [
        ("HSET", "fields:small", "keeps", 1, "goes", 2, "goes later", 3),
        ("HPEXPIREAT", "fields:small", now + 3_600_123, "FIELDS", 1, "goes"),
        ("HPEXPIREAT", "fields:small", now + 7_200_456, "FIELDS", 1, "goes later"),
        ("HSET", "fields:big", *_paired([f"f{number}" for number in range(1000)], range(1000))),
        *(("HPEXPIREAT", "fields:big", now + 3_600_000 + n, "FIELDS", 1, f"f{n}") for n in range(0, 1000, 3)),
    ]
    load: list[Words] = [("FUNCTION", "LOAD", "REPLACE", _LIBRARY)]
    return [("functions", load), ("field expiry", [("HPEXPIREAT", "none", now, "FIELDS", 1, "x"), *small])]


def _knows(client: redis.Redis, feature: str) -> bool:
    probe: Words = ("FUNCTION", "STATS") if feature == "functions" else ("HPEXPIRETIME", "none", "FIELDS", 1, "x")
    with Wire(client, 0) as wire:
        return wire.accepts([probe])


def _text(dice: random.Random, length: int) -> str:
    return "".join(dice.choices(string.ascii_letters + string.digits, k=length))


def _paired(one: Iterable[Any], other: Iterable[Any]) -> list[Any]:
    return [word for pair in zip(one, other, strict=True) for word in pair]


def _databases(client: redis.Redis) -> list[int]:
    with Wire(client, 0) as wire:
        text: bytes = wire.ask("INFO", "keyspace")
    return [int(line[2 : line.index(b":")]) for line in text.splitlines() if line.startswith(b"db")]


def _pages(wire: Wire) -> Iterable[list[bytes]]:
    cursor, seen = b"0", set[bytes]()
    while True:
        cursor, keys = wire.ask("SCAN", cursor, "COUNT", _PAGE)
        fresh = [key for key in dict.fromkeys(keys) if key not in seen]
        seen.update(fresh)
        yield fresh
        if cursor == b"0":
            return


def read_keys(wire: Wire, keys: Sequence[bytes], *, counters: bool = True) -> dict[bytes, Entry]:
    """What these keys of the wire's database hold; those that are not there are left out."""
    kinds = [kind.decode() for kind in wire.ask_all([("TYPE", key) for key in keys])]
    there = [(key, kind) for key, kind in zip(keys, kinds, strict=True) if kind != "none"]
    expiries = _expiry_times(wire, [key for key, _ in there])
    values = wire.ask_all([_question(kind, key) for key, kind in there])
    entries = {
        key: Entry(kind, _canonical(kind, value, counters), expires)
        for (key, kind), value, expires in zip(there, values, expiries, strict=True)
        if expires != -2
    }
    return entries | _with_field_expiries(wire, entries)


def _expiry_times(wire: Wire, keys: Sequence[bytes]) -> list[int]:
    try:
        return wire.ask_all([("PEXPIRETIME", key) for key in keys])
    except redis.ResponseError:
        found: dict[bytes, int] = {}
    while missing := [key for key in keys if key not in found]:
        found |= _times_by_what_is_left(wire, missing)
    return [found[key] for key in keys]


def _times_by_what_is_left(wire: Wire, keys: Sequence[bytes]) -> dict[bytes, int]:
    """Of those keys alone between whose questions the server did not pause: else they say too little."""
    replies = wire.ask_all([*(words for key in keys for words in (("TIME",), ("PTTL", key))), ("TIME",)])
    times = [int(seconds) * 1000 + int(micros) // 1000 for seconds, micros in replies[::2]]
    asked = zip(keys, replies[1::2], pairwise(times), strict=True)
    return {key: at + left if left >= 0 else left for key, left, (at, then) in asked if left < 0 or then - at <= 1}


def _question(kind: str, key: bytes) -> Words:
    questions: dict[str, Words] = {
        "string": ("GET", key),
        "list": ("LRANGE", key, 0, -1),
        "set": ("SMEMBERS", key),
        "zset": ("ZRANGE", key, 0, -1, "WITHSCORES"),
        "hash": ("HGETALL", key),
        "stream": ("XINFO", "STREAM", key, "FULL", "COUNT", 0),
    }
    return questions.get(kind, ("DUMP", key))


def _canonical(kind: str, value: Any, counters: bool) -> object:
    match kind:
        case "string":
            return value
        case "list":
            return tuple(value)
        case "set":
            return frozenset(value)
        case "zset":
            return {member: float(score) for member, score in zip(value[::2], value[1::2], strict=True)}
        case "hash":
            return dict(zip(value[::2], value[1::2], strict=True))
        case "stream":
            return _canonical_stream(value, counters)
        case _:
            return value[:-10]  # a module's type: without the version and checksum at the end


def _canonical_stream(value: Any, counters: bool) -> object:
    facts = _as_dict(value)
    kept = {"length", "last-generated-id"}
    if counters:
        kept |= {"max-deleted-entry-id", "entries-added", "recorded-first-entry-id"}
    stream = {name: facts[name] for name in sorted(kept & facts.keys())}
    stream["entries"] = [(id, tuple(fields or ())) for id, fields in facts["entries"]]
    stream["groups"] = {
        group["name"]: _canonical_group(group, counters) for group in map(_as_dict, facts["groups"])
    }
    return stream


def _canonical_group(group: dict[str, Any], counters: bool) -> object:
    """Without the times at which consumers were last seen, which looking changes on some versions."""
    consumers = {facts["name"]: facts["pending"] for facts in map(_as_dict, group["consumers"])}
    read = group.get("entries-read") if counters else None
    return {"last": group["last-delivered-id"], "read": read, "pending": group["pending"], "consumers": consumers}


def _as_dict(flat: Sequence[Any]) -> dict[str, Any]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _with_field_expiries(wire: Wire, entries: Mapping[bytes, Entry]) -> dict[bytes, Entry]:
    hashes = {
        key: list(entry.value)
        for key, entry in entries.items()
        if isinstance(entry.value, dict) and entry.kind == "hash"
    }
    questions = [("HPEXPIRETIME", key, "FIELDS", len(fields), *fields) for key, fields in hashes.items()]
    try:
        replies = wire.ask_all(questions)
    except redis.ResponseError as error:
        if "unknown command" in str(error).lower():
            return {}
        raise
    found = {}
    for (key, fields), times in zip(hashes.items(), replies, strict=True):
        if expiring := {field: at for field, at in zip(fields, times, strict=True) if at >= 0}:
            found[key] = replace(entries[key], fields_ms=expiring)
    return found


def _functions(client: redis.Redis) -> dict[Key, Entry]:
    with Wire(client, 0) as wire:
        try:
            libraries = wire.ask("FUNCTION", "LIST", "WITHCODE")
        except redis.ResponseError:
            return {}
    facts = map(_as_dict, libraries)
    return {(FUNCTIONS, fact["library_name"]): Entry("function", fact["library_code"]) for fact in facts}


def _difference(left: Entry | None, right: Entry | None, slack_ms: int) -> str:
    if left is None or right is None:
        return "only on the right" if left is None else "only on the left"
    if left.kind != right.kind:
        return f"{left.kind} is not {right.kind}"
    if left.value != right.value:
        return f"{left.kind} {_short(left.value)} is not {_short(right.value)}"
    if not _near(left.expires_ms, right.expires_ms, slack_ms):
        return f"expires {left.expires_ms}, not {right.expires_ms}"
    one, other = left.fields_ms or {}, right.fields_ms or {}
    if one.keys() != other.keys() or not all(_near(one[field], other[field], slack_ms) for field in one):
        return f"fields expire {_short(one)}, not {_short(other)}"
    return ""


def _near(one: int, other: int, slack_ms: int) -> bool:
    if one < 0 or other < 0:
        return one == other
    return abs(one - other) <= slack_ms


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
