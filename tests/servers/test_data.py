"""The reading of a server sees every kind of difference, and none between a server and its own replica."""

import time

import pytest
import redis

from tests.effort import PATIENCE
from tests.servers.data import assert_same, differences, fill, snapshot
from tests.servers.fixtures import StartServer
from tests.servers.redis import FLAVORS

pytestmark = pytest.mark.server


@pytest.mark.parametrize("flavor", FLAVORS)
def test_a_native_replica_is_the_same(redis_server: StartServer, flavor: str) -> None:
    source = redis_server(flavor)
    took = fill(source.client())
    assert "databases" in took
    assert ("functions" in took) == (flavor != "redis62")
    assert ("field expiry" in took) == (flavor in {"redis80", "redis82", "valkey91"})
    target = redis_server(flavor, "--replicaof", source.host, str(source.port))
    deadline = time.monotonic() + PATIENCE
    while target.client().info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline, target.log()[-1000:]
        time.sleep(0.02)
    assert_same(source.client(), target.client(), slack_ms=2 if flavor == "redis62" else 0)
    assert len(snapshot(target.client())) > 3000


def test_what_the_target_could_not_hold_is_left_out(redis_server: StartServer) -> None:
    source, old, new = redis_server("valkey91"), redis_server("redis62"), redis_server("redis70")
    assert fill(source.client(), 0.01, target=old.client()) == {"databases"}
    source.client().flushall()
    assert fill(source.client(), 0.01, target=new.client()) == {"databases", "functions"}


def change(client: redis.Redis, words: list[str]) -> None:
    later = str(int(time.time() * 1000) + 9_000_000)
    client.execute_command(*(later if word == "LATER" else word for word in words))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    "words",
    [
        "SET|small:7|other",
        "SETRANGE|int 64|0|1",
        "DEL|small:8",
        "LSET|big:list|1999|other",
        "LPUSH|list:1|more",
        "SREM|big:set|member 5",
        "ZADD|zset:scores|0.2|e",
        "HSET|big:hash|field 77|other",
        "PEXPIRE|expires:7|500000",
        "PERSIST|expires:8",
        "XADD|stream|*|a|b",
        "XDEL|stream|70-1",
        "XACK|stream|readers|42-0",
        "XGROUP|DELCONSUMER|stream|readers|idle",
        "XGROUP|SETID|stream|late|7-1",
        "PFADD|hll:sparse|new",
        "SETBIT|bitmap|100001|1",
        "HPEXPIREAT|fields:small|LATER|FIELDS|1|keeps",
        "HPERSIST|fields:small|FIELDS|1|goes",
        "FUNCTION|FLUSH",
        "MOVE|small:9|3",
        "SWAPDB|1|9",
    ],
)
def test_a_single_change_is_seen(redis_server: StartServer, words: str) -> None:
    client = redis_server("valkey91").client()
    fill(client, 0.1)
    before = snapshot(client)
    assert differences(before, snapshot(client)) == []
    change(client, words.split("|"))
    assert differences(before, snapshot(client)) != []
