"""What is lost nowhere on the way: at the cutover, while much is left out, over slow links, from replicas."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sterna.core.errors import Unreachable
from sterna.core.job import Condition, Phase
from sterna.core.plan import Selection
from sterna.engines.redis.connection import Connection
from tests.engines.moving import Move, endpoint, incremental
from tests.servers.fixtures import StartServer
from tests.servers.proxy import proxy

pytestmark = pytest.mark.server


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_nothing_is_cut_over_while_the_source_does_not_answer(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    with proxy(source.host, source.port) as way:
        move = await Move(endpoint(source, way.port), endpoint(target), tmp_path, incremental()).start()
        await move.follows()
        way.refuse()
        way.drop()
        source.client().set("written meanwhile", 1)
        await move.desk.finish(await move.now())
        assert move.task
        await asyncio.wait({move.task}, timeout=2)
        assert (await move.now()).condition is Condition.RUNNING
        way.accept()
        await move.ended()
    assert target.client().get("written meanwhile") == b"1"


async def test_a_small_spool_does_not_fill_with_what_is_left_out(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    source.client().set("k", 1)
    move = Move(endpoint(source), endpoint(target), tmp_path, incremental(selection=Selection(only=("0",))))
    move.spool_limit = 2 << 20
    await move.start()
    await move.follows()
    source.client().incr("k")
    await move.caught_up()
    other = source.client(db=1)
    for n in range(400):
        other.set(f"k{n}", "x" * 30_000)
    source.client().incr("k")
    await move.finish()
    assert target.client().get("k") == b"3"


async def test_the_data_set_does_not_stay_on_the_disk_while_changes_are_followed(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    source.client().set("k", 1)
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    assert files(tmp_path) == ["lock", "spool"]
    await move.pause()
    source.client().incr("k")
    await move.again()
    await move.finish()
    assert target.client().get("k") == b"2"


async def test_a_command_larger_than_the_spool_may_be_goes_through(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    move = Move(endpoint(source), endpoint(target), tmp_path, incremental())
    move.spool_limit = 2 << 20
    await move.start()
    await move.follows()
    source.client().set("large", "x" * (9 << 20))
    source.client().set("after", 1)
    await move.finish()
    assert target.client().strlen("large") == 9 << 20
    assert target.client().get("after") == b"1"


async def test_a_run_that_comes_while_the_one_before_is_leaving_does_not_touch_its_files(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    client = source.client()
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    for _ in range(5):
        move.go()  # the one before learns of it only when it looks at the store or writes to the target
        for _ in range(30):
            client.incr("count")
            await asyncio.sleep(0.005)
    await move.finish()
    assert target.client().get("count") == b"150"
    assert await move.events("redis.spool") == []


@pytest.mark.parametrize("flavor", ["redis62", "redis70", "valkey91"])
async def test_a_replica_can_be_the_source(redis_server: StartServer, tmp_path: Path, flavor: str) -> None:
    first, source, target = redis_server(flavor), redis_server(flavor), redis_server()
    first.client(db=3).set("before", 1)
    source.client().replicaof(first.host, first.port)
    while source.client().info("replication")["master_link_status"] != "up":
        await asyncio.sleep(0.02)
    first.client(db=3).incr("before")
    while source.client(db=3).get("before") != b"2":
        await asyncio.sleep(0.02)
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.until(lambda job, _: job.phase is Phase.FOLLOW)
    first.client(db=3).incr("before")
    while target.client(db=3).get("before") != b"3":
        await move.until(lambda job, _: True)
        await asyncio.sleep(0.02)
    await move.finish()


NEVER = [9_007_199_254_740_991, 9_223_372_036_854_775_807, (1 << 52) + 1000, (1 << 52) - 1]


async def test_expiries_that_mean_never_stay_as_they_are(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    client: Any = source.client()
    for at in NEVER:
        client.execute_command("SET", f"copied:{at}", 1, "PXAT", at)
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    for at in NEVER:
        client.execute_command("SET", f"followed:{at}", 1, "PXAT", at)
    await move.finish()
    there: Any = target.client()
    for key in client.scan_iter():
        assert there.execute_command("PEXPIRETIME", key) == client.execute_command("PEXPIRETIME", key), key
    await move.is_equal()


async def test_a_slow_link_is_given_the_time_that_a_large_value_takes(redis_server: StartServer) -> None:
    target = redis_server()
    with proxy(target.host, target.port) as way:
        way.limit(5 << 20)
        connection = await Connection.open(endpoint(target, way.port), timeout=3.0)
        async with connection:
            assert await connection.call("SET", "k", b"x" * (32 << 20)) == b"OK"
            way.stall()
            with pytest.raises(Unreachable, match="no answer"):
                await connection.call("SET", "k", b"x" * (32 << 20))
