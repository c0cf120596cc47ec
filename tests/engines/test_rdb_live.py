"""What comes out of a server's RDB file makes the same keys on another server, of the same, a newer or an older
version.
"""

from pathlib import Path
from typing import Any

import pytest

from sterna.core.errors import Unsupported
from sterna.engines.redis.wire.canon import canonical
from sterna.engines.redis.wire.rdb import Big, End, Functions, Needs, Restored, Walker
from tests.engines.redis_values import FAR_FUTURE_MS, fill, knows_field_expiry
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server, running
from tests.unit.rdb_files import sealed
from tests.unit.test_rdb_empty import EMPTY, EMPTY_12, NOT_EMPTY

pytestmark = pytest.mark.server

RDB_VERSIONS = {"redis62": 9, "redis70": 10, "redis80": 12, "redis82": 12, "valkey81": 11, "valkey91": 80}
PAIRS = [
    ("redis62", "redis62"),
    ("valkey91", "valkey91"),
    ("redis62", "valkey91"),
    ("redis70", "redis82"),
    ("redis70", "redis62"),
    ("redis82", "redis62"),
    ("redis82", "redis70"),
    ("valkey81", "redis70"),
    ("valkey91", "redis70"),
    ("valkey91", "redis80"),
    ("redis80", "valkey91"),
    ("redis82", "valkey81"),
]


def saved(server: Server) -> bytes:
    server.client().save()
    return (Path(server.folder) / "dump.rdb").read_bytes()


def send(client: Any, data: bytes, replies: int) -> None:
    client.connection._sock.sendall(data)
    for _ in range(replies):
        answer = client.connection.read_response()
        assert not isinstance(answer, Exception), answer


def move(data: bytes, target: Server, *, limit: int, chunk: int) -> Walker:
    """The whole file, through one connection."""
    version = RDB_VERSIONS[target.flavor]
    walker = Walker(target_version=version, limit=limit)
    client: Any = target.client(single_connection_client=True)
    at, selected = 0, None
    while not isinstance(result := walker.walk(1 << 16, selected), End):
        if isinstance(result, Restored):
            send(client, result.data, result.commands)
            selected = result.selected
        elif isinstance(result, Big):
            client.execute_command("SELECT", result.database)
            selected = result.database
            for piece in walker.pieces():
                if piece:
                    send(client, piece.data, piece.commands)
                else:
                    walker.feed(data[at : at + chunk])
                    at += chunk
        elif isinstance(result, Functions):
            if version >= 10:
                client.function_load(result.code, replace=True)
        else:
            assert isinstance(result, Needs)
            assert at < len(data)
            walker.feed(data[at : at + chunk])
            at += chunk
    assert result.checked
    return walker


def facts(server: Server) -> dict[tuple[int, bytes], tuple[Any, ...]]:
    """Of every key of a server what a client can see, apart from the moments of what it did itself."""
    found: dict[tuple[int, bytes], tuple[Any, ...]] = {}
    client: Any = server.client(single_connection_client=True)
    for database in (0, 3, 9):
        client.execute_command("SELECT", database)
        for key in client.scan_iter(count=1000):
            dump = client.execute_command("DUMP", key)
            found[database, key] = (
                canonical(dump),
                client.type(key),
                _look(client, key),
                _expiry(client, key),
            )
    return found


def _expiry(client: Any, key: bytes) -> int:
    """About when: PEXPIRETIME is not known before Redis 7.0."""
    left: int = client.pttl(key)
    seconds, micros = client.time()
    return left if left < 0 else round((seconds * 1000 + micros // 1000 + left) / 20_000)


def _look(client: Any, key: bytes) -> Any:
    """The value as clients read it, which does not lean on our own reading of a DUMP."""
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"zset":
            return sorted(client.zrange(key, 0, -1, withscores=True))
        case b"hash":
            return client.hgetall(key), _field_expiries(client, key)
        case b"stream":
            return client.xrange(key), _groups(client, key)
    raise AssertionError(client.type(key))


def _field_expiries(client: Any, key: bytes) -> list[int]:
    fields = sorted(client.hkeys(key))
    if not knows_field_expiry(client):
        return [-1] * len(fields)
    found: list[int] = client.execute_command("HPEXPIRETIME", key, "FIELDS", len(fields), *fields)
    return found


def _groups(client: Any, key: bytes) -> Any:
    groups = sorted(client.xinfo_groups(key), key=lambda group: group["name"])
    shown = [(g["name"], g["consumers"], g["pending"], g["last-delivered-id"]) for g in groups]
    consumers = [[(c["name"], c["pending"]) for c in client.xinfo_consumers(key, g["name"])] for g in groups]
    owed = [[_pending(row) for row in client.xpending_range(key, g["name"], "-", "+", 100)] for g in groups]
    return client.xinfo_stream(key)["last-generated-id"], shown, consumers, owed


def _pending(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["message_id"], row["consumer"], row["times_delivered"]


def _drop_field_expiries(server: Server) -> None:
    server.client().delete("hash:expiring:small", "hash:expiring:many")


def _older(source: Server, target: Server) -> bool:
    return knows_field_expiry(source.client()) and not knows_field_expiry(target.client())


@pytest.mark.parametrize(("source_flavor", "target_flavor"), PAIRS)
def test_every_value_arrives_as_it_was(redis_server: StartServer, source_flavor: str, target_flavor: str) -> None:
    source, target = redis_server(source_flavor), redis_server(target_flavor)
    fill(source.client(single_connection_client=True))
    if _older(source, target):
        with pytest.raises(Unsupported, match="no expiry of single hash fields"):
            move(saved(source), target, limit=1 << 20, chunk=1 << 20)
        _drop_field_expiries(source)
    expected, data = facts(source), saved(source)
    assert len(expected) >= 38
    for limit, chunk in [(1 << 20, 1 << 20), (1 << 20, 100), (300, 100), (0, 5000)]:
        target.client().flushall()
        walker = move(data, target, limit=limit, chunk=chunk)
        found = facts(target)
        assert found.keys() == expected.keys()
        for key, value in expected.items():
            assert found[key] == value, (limit, key)
        assert walker.facts.keys == len(expected)


@pytest.mark.parametrize("flavor", ["redis70", "valkey91"])
def test_functions_arrive(redis_server: StartServer, flavor: str) -> None:
    source, target = redis_server(flavor), redis_server(flavor)
    fill(source.client(single_connection_client=True))
    move(saved(source), target, limit=1 << 20, chunk=1 << 20)
    assert target.client().fcall("sample", 0) == 1


def test_a_target_takes_the_restore_of_a_key_that_it_has(redis_server: StartServer) -> None:
    source, target = redis_server("redis70"), redis_server("redis70")
    fill(source.client(single_connection_client=True))
    fill(target.client(single_connection_client=True))
    target.client().set("list:small", "another type")
    for limit in (1 << 20, 0):
        move(saved(source), target, limit=limit, chunk=1 << 20)
        assert facts(target) == facts(source)


@pytest.mark.parametrize("limit", [1 << 20, 0])
def test_expiries_arrive_to_the_millisecond(redis_server: StartServer, limit: int) -> None:
    source, target = redis_server("valkey91"), redis_server("redis70")
    client = source.client()
    for n in range(20):
        client.set(f"key:{n}", "x" * 100)
        client.pexpireat(f"key:{n}", FAR_FUTURE_MS + n)
    move(saved(source), target, limit=limit, chunk=1 << 20)
    assert [target.client().pexpiretime(f"key:{n}") for n in range(20)] == [FAR_FUTURE_MS + n for n in range(20)]


@pytest.mark.parametrize("flavor", ["redis80", "valkey81", "valkey91"])
def test_servers_pass_over_the_same_empty_keys(flavor: str) -> None:
    """Of each the file is what a server loads at its start; the server names those it passes over."""
    newer = flavor == "redis80"
    empty = EMPTY | (EMPTY_12 if newer else {})
    kept = {name: record for name, record in NOT_EMPTY.items() if name != b"stream" or newer}
    data = sealed(*empty.values(), *kept.values(), magic=b"REDIS0012" if newer else b"REDIS0011")
    with running(flavor) as server:
        server.kill9()  # it would save its own keys at an ordinary end
        (server.folder / "dump.rdb").write_bytes(data)
        server.restart()
        client: Any = server.client()
        assert set(client.keys()) == set(kept)
