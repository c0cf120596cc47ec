"""Values of every type in every encoding that a server has, to be written with a client and met again."""

from typing import Any

FAR_FUTURE_MS = 4_102_444_800_000  # 2100
LETTERS = "".join(chr(ord("a") + n % 26) for n in range(1000))


def version(client: Any) -> tuple[int, ...]:
    """Redis' version as numbers; a Valkey counts as what it calls itself, so 8 and later have all that 7.2 has."""
    info = client.info("server")
    return tuple(int(word) for word in info.get("valkey_version", info["redis_version"]).split("."))


def is_valkey(client: Any) -> bool:
    return "valkey_version" in client.info("server")


def knows_field_expiry(client: Any) -> bool:
    return version(client) >= ((9, 0) if is_valkey(client) else (7, 4))


def fill(client: Any) -> None:
    """Write everything that the client's server knows, into its databases 0, 3 and 9."""
    client.execute_command("SELECT", 0)
    _strings(client)
    _lists(client)
    _sets(client)
    _sorted_sets(client)
    _hashes(client)
    _streams(client)
    _expiries(client)
    _libraries(client)
    client.execute_command("SELECT", 3)
    client.set("in:three", "3")
    client.execute_command("SELECT", 9)
    client.hset("in:nine", mapping={"a": "1"})
    client.execute_command("SELECT", 0)


def _strings(client: Any) -> None:
    for number in (0, 1, -1, 127, -128, 128, 32767, -32768, 70000, 2147483647, -2147483648, 2147483648, -(2**63)):
        client.set(f"string:integer:{number}", number)
    client.set("string:empty", "")
    client.set("string:text", "héllo wörld")
    client.set("string:bytes", bytes(range(256)))
    client.set("string:compressed", "ab" * 2000)
    client.set("string:repeated", LETTERS * 3)
    client.set(b"key\x00\xff\r\n", "a key of any bytes")
    client.set("key:" + "k" * 300, "a long key that is compressed")


def _lists(client: Any) -> None:
    client.rpush("list:small", "a", "b", "c", 1, -5, 300, 100000, 2**40, "x" * 70, "")
    client.rpush("list:long", *range(900))
    client.rpush("list:wide", "first", "wide" * 2500, "last")


def _sets(client: Any) -> None:
    client.sadd("set:integers16", *range(20))
    client.sadd("set:integers32", 1, 2, 100000)
    client.sadd("set:integers64", 1, 2**40, -(2**40))
    client.sadd("set:small", "a", "b", 3, "x" * 40)
    client.sadd("set:many", *(f"member-{n}" for n in range(200)))


def _sorted_sets(client: Any) -> None:
    scores = {"a": 1, "b": 2.5, "c": -1e300, "d": float("inf"), "e": float("-inf"), "f": 0.1, "g": 1e17, "h": -0.0}
    client.zadd("zset:small", scores)
    client.zadd("zset:many", {f"member-{n}": n / 7 for n in range(200)} | scores)


def _hashes(client: Any) -> None:
    client.hset("hash:small", mapping={"a": "1", "b": "text", "c": "x" * 50, "d": -70000})
    client.hset("hash:many", mapping={f"field-{n}": f"value-{n}" for n in range(200)})
    if not knows_field_expiry(client):
        return
    client.hset("hash:expiring:small", mapping={"a": "1", "b": "2", "c": "3"})
    client.execute_command("HPEXPIREAT", "hash:expiring:small", FAR_FUTURE_MS, "FIELDS", 1, "b")
    client.hset("hash:expiring:many", mapping={f"field-{n}": f"value-{n}" for n in range(200)})
    client.execute_command("HPEXPIREAT", "hash:expiring:many", FAR_FUTURE_MS, "FIELDS", 2, "field-7", "field-8")
    client.execute_command("HPEXPIREAT", "hash:expiring:many", FAR_FUTURE_MS + 12345, "FIELDS", 1, "field-9")


def _streams(client: Any) -> None:
    for n in range(1, 251):
        client.xadd("stream:long", {"n": n, "text": "t" * (n % 5)}, id=f"{1000 + n // 2}-{n}")
    client.xdel("stream:long", "1001-3", "1060-120")
    client.xadd("stream:groups", {"a": 1}, id="5-1")
    client.xadd("stream:groups", {"a": 2, "b": "x"}, id="5-2")
    client.xadd("stream:groups", {"other": "fields"}, id="6-0")
    client.xadd("stream:groups", {"a": 3}, id="7-0")
    client.xgroup_create("stream:groups", "readers", "0")
    client.xgroup_create("stream:groups", "idle", "6-0")
    client.xreadgroup("readers", "alice", {"stream:groups": ">"}, count=2)
    client.xreadgroup("readers", "bob", {"stream:groups": ">"}, count=1)
    client.xreadgroup("readers", "carol", {"stream:groups": "0"}, count=1)
    client.xack("stream:groups", "readers", "5-1")
    client.xclaim("stream:groups", "readers", "bob", 0, ["5-2"], retrycount=7, time=1_600_000_000_000)
    client.xgroup_create("stream:empty", "readers", "$", mkstream=True)
    client.xadd("stream:emptied", {"a": 1}, id="9-9")
    client.xdel("stream:emptied", "9-9")


def _expiries(client: Any) -> None:
    client.set("expiring:string", "x")
    client.pexpireat("expiring:string", FAR_FUTURE_MS)
    client.hset("expiring:hash", mapping={"a": "1"})
    client.pexpireat("expiring:hash", FAR_FUTURE_MS + 999)


def _libraries(client: Any) -> None:
    if version(client) >= (7, 0):
        code = "#!lua name=samples\nredis.register_function('sample', function() return 1 end)"
        client.function_load(code, replace=True)
