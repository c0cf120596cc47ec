"""Faults of the network, of both servers and of the disk: what was moved is exact, or the job says why not."""

import asyncio
import contextlib
import os
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from sterna.core.job import Condition, Phase
from sterna.core.plan import Endpoint, Rename, Resume, Selection
from sterna.engines.redis import connection, intake
from sterna.engines.redis.sink import RedisSink
from tests.effort import PATIENCE, seed
from tests.engines.moving import QUICK, Move, endpoint, incremental
from tests.engines.test_redis_move import assert_counts, held, own_keys, writing
from tests.servers.fixtures import StartServer
from tests.servers.proxy import Direction, Proxy, proxy
from tests.servers.redis import Server

pytestmark = pytest.mark.server

AGAIN = replace(QUICK, first_wait=0.01, longest_wait=0.05)
"""For networks that break all the time."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost link to the source is tried again at once."""
    monkeypatch.setattr(intake, "SLOWEST_RETRY_S", 0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job"


async def wait_for(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def event(move: Move, code: str, times: int = 1) -> None:
    """Wait until the job has told something."""
    end = time.monotonic() + PATIENCE
    while len(await move.events(code)) < times:
        assert time.monotonic() < end, f"{code} was never told: {[e.message for e in await move.events()]}"
        await asyncio.sleep(0.02)


def load(server: Server, count: int = 20_000, size: int = 60) -> None:
    client = server.client()
    for start in range(0, count, 5_000):
        client.mset({f"key:{n}": f"{n:0{size}d}" for n in range(start, min(count, start + 5_000))})


def raw(server: Server) -> Any:
    """A client whose replies are not typed."""
    return server.client()


def through(way: Proxy) -> Endpoint:
    return Endpoint("redis", ((way.host, way.port),))


async def ends_exactly(move: Move, source: Server, target: Server) -> None:
    """Cut over; then both sides are equal and nothing of ours is left."""
    await move.finish()
    await move.is_equal()
    assert own_keys(target) == []
    assert held(target) == 0


@contextmanager
def a_way(source: Server) -> Iterator[Proxy]:
    with proxy(source.host, source.port) as way:
        yield way


# The network


@pytest.mark.parametrize("diskless", ["yes", "no"])
async def test_a_link_to_the_source_that_breaks_anywhere_loses_nothing(
    redis_server: StartServer, folder: Path, diskless: str
) -> None:
    chance = random.Random(seed(1))
    source, target = redis_server("redis70", "--repl-diskless-sync", diskless), redis_server()
    source.client().config_set("repl-backlog-size", 32 << 20)
    load(source)
    with a_way(source) as way, writing(source, pause=0.003) as writer:
        move = Move(through(way), endpoint(target), folder, incremental())
        move.tempo, move.engine = AGAIN, without_checks(move)
        for near in (range(1, 60, 6), range(200, 20_000, 1_500)):
            for n in near:
                way.cut(n + chance.randrange(6), "to_client")
        for _ in range(12):
            way.cut(chance.randrange(1, 1_500_000), "to_client")
        await move.start()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 500)
        before = way.accepted
        for n in (*range(1, 30, 2), *range(30, 3_000, 300)):  # the way back into the stream, byte by byte
            way.cut(n, "to_client")
        way.drop()
        await wait_for(lambda: way.accepted > before + 20, "the cuts never came")
        writer.end()
        way.cut_no_more()
        await ends_exactly(move, source, target)
    assert_counts(target, writer)


@pytest.mark.parametrize("direction", ["to_client", "to_server"])
async def test_a_link_to_the_target_that_breaks_anywhere_applies_everything_once(
    redis_server: StartServer, folder: Path, direction: Direction
) -> None:
    source, target = redis_server(), redis_server()
    load(source)
    with a_way(target) as way, writing(source, pause=0.003) as writer:
        move = Move(endpoint(source), through(way), folder, incremental())
        move.tempo, move.engine = AGAIN, without_checks(move)
        for n in range(1, 700, 23):
            way.cut(n if direction == "to_client" else n * 300, direction)
        await move.start()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 500)
        for n in (*range(1, 60, 3), *range(60, 1_500, 60)):  # within what EXEC answers, too
            way.cut(n, direction)
        before = way.accepted
        await wait_for(lambda: way.accepted > before + 60, "the cuts never came")
        writer.end()
        way.cut_no_more()
        await ends_exactly(move, source, target)
    assert_counts(target, writer)


@pytest.mark.parametrize("side", ["source", "target"])
async def test_silence_for_longer_than_the_timeouts_is_a_break(
    redis_server: StartServer, folder: Path, side: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = redis_server(), redis_server()
    raw(source).config_set("repl-ping-replica-period", 1)
    with a_way(source if side == "source" else target) as way, writing(source, pause=0.003) as writer:
        ends = (through(way), endpoint(target)) if side == "source" else (endpoint(source), through(way))
        with monkeypatch.context() as hasty:  # no longer than need be: a busy machine is silent for as long, too
            hasty.setattr(intake, "QUIET_S", 0.5)
            hasty.setattr(connection, "ANSWER_S", 0.5)
            move = await Move(*ends, folder, incremental()).start()
            await move.until(lambda job, figures: figures.changes > 300)
            way.stall()
            await event(move, "redis.link.lost" if side == "source" else "run.retry")
        way.flow()
        seen = (await move.progress()).changes
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > seen + 300)
        writer.end()
        await ends_exactly(move, source, target)
    assert_counts(target, writer)


async def test_the_source_is_read_on_while_the_target_is_away(redis_server: StartServer, folder: Path) -> None:
    source, target = redis_server("redis70", "--repl-backlog-size", "16kb"), redis_server()
    with a_way(source) as there, a_way(target) as way:
        move = await Move(through(there), through(way), folder, incremental(resume=Resume.MANUAL)).start()
        await move.follows()
        way.refuse()
        way.drop()
        client: Any = source.client()
        for _ in range(2000):
            client.append("text", "x" * 500)
            client.incr("count")
        await event(move, "run.retry")
        await wait_for(lambda: all_have_it(source, 1), "the spool lacks something")
        there.refuse()
        there.drop()  # what the target has not, the source has no more: it is on our disk alone
        way.accept()
        await wait_for(lambda: target.client().get("count") == b"2000", "the spool was not applied")
        there.accept()
        await ends_exactly(move, source, target)


async def test_a_slow_link_is_only_slow(redis_server: StartServer, folder: Path) -> None:
    source, target = redis_server(), redis_server()
    load(source, 2_000)
    with a_way(source) as way:
        way.limit(200_000)
        move = await Move(through(way), endpoint(target), folder, incremental()).start()
        await move.follows()
        await ends_exactly(move, source, target)


# The source


async def test_a_source_that_restarts_with_its_data_is_followed_on(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server("redis70"), redis_server()
    load(source, 1000)
    move = await Move(endpoint(source), endpoint(target), folder, incremental(resume=Resume.MANUAL)).start()
    await move.follows()
    for turn in range(3):
        raw(source).incr("count")
        await wait_for(lambda seen=2 * turn + 1: int(raw(target).get("count") or 0) == seen, "it lags")  # type: ignore[misc]
        with contextlib.suppress(redis.ConnectionError):
            raw(source).execute_command("SHUTDOWN", "SAVE")
        await wait_for(lambda: not source.alive, "it did not end")
        source.restart()
        raw(source).incr("count")
    await event(move, "redis.link.back")
    await ends_exactly(move, source, target)
    assert raw(target).get("count") == b"6"


async def test_a_replica_that_takes_over_is_followed_on(redis_server: StartServer, folder: Path) -> None:
    first, target = redis_server("redis70"), redis_server()
    second = redis_server("redis70", "--replicaof", first.host, str(first.port))
    await wait_for(lambda: raw(second).info("replication")["master_link_status"] == "up", "no replica")
    raw(first).config_set("repl-ping-replica-period", 3600)
    with switch(first) as way:
        with writing(first, pause=0.003) as writer:
            plan = incremental(resume=Resume.MANUAL)
            move = await Move(through(way), endpoint(target), folder, plan).start()
            await move.until(lambda job, figures: figures.changes > 300)
        # Both the replica and the job have all of it: a job that has more than the replica could not follow it.
        # Nothing that expires soon is left: its DEL would reach one of them alone.
        await wait_for(lambda: nothing_expires(first) and all_have_it(first, 2), "one of them lacks something")
        first.freeze()
        raw(second).execute_command("REPLICAOF", "NO", "ONE")
        lead(way, second)
        way.drop()
        for _ in range(100):
            raw(second).incr("after")
        await event(move, "redis.link.back")
        await move.caught_up()
        await move.cut()  # and the next run knows both names of the history
        move.go()
        raw(second).incr("after")
        await ends_exactly(move, second, target)
        first.thaw()
    assert_counts(target, writer)
    assert raw(target).get("after") == b"101"


def all_have_it(server: Server, count: int) -> bool:
    """Whether each replica has said that it holds the stream to its end; WAIT asks for one client's own writes."""
    told = raw(server).info("replication")
    replicas = [value for key, value in told.items() if key.startswith("slave") and isinstance(value, dict)]
    return len(replicas) == count and all(one["offset"] == told["master_repl_offset"] for one in replicas)


def nothing_expires(server: Server) -> bool:
    """Whether no key has less than half a minute left."""
    client = raw(server)
    return all(not 0 <= client.pttl(key) < 30_000 for key in client.scan_iter(count=1000))


@contextmanager
def switch(server: Server) -> Iterator[Proxy]:
    with proxy(server.host, server.port) as way:
        yield way


def lead(way: Proxy, server: Server) -> None:
    """New connections go to this server."""
    way._target = (server.host, server.port)


async def test_a_source_that_becomes_a_replica_is_followed_on(redis_server: StartServer, folder: Path) -> None:
    source, other, target = redis_server("redis70"), redis_server("redis70"), redis_server()
    load(source, 1000)
    raw(other).set("of the other", 1)
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    raw(source).execute_command("REPLICAOF", other.host, other.port)  # it takes all of the other's data
    await event(move, "run.again")
    await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.lag_bytes == 0)
    raw(other).incr("of the other")
    await wait_for(lambda: raw(source).get("of the other") == b"2", "the source lags behind its master")
    await ends_exactly(move, source, target)
    assert sorted(raw(target).keys()) == [b"of the other"]
    assert raw(target).get("of the other") == b"2"


@pytest.mark.parametrize("resume", list(Resume))
async def test_a_backlog_that_was_too_small(redis_server: StartServer, folder: Path, resume: Resume) -> None:
    source, target = redis_server("redis70", "--repl-backlog-size", "16kb"), redis_server()
    raw(source).mset({"stays": 1, "goes": 1})
    with a_way(source) as way:
        move = await Move(through(way), endpoint(target), folder, incremental(resume=resume)).start()
        await move.follows()
        way.refuse()
        way.drop()
        await event(move, "redis.link.lost")
        raw(source).delete("goes")
        for n in range(100):
            raw(source).set(f"key:{n}", "x" * 1000)
        way.accept()
        if resume is Resume.MANUAL:
            assert "no longer keeps" in await move.fails("STERNA.2002")
            assert sorted(key for key in raw(target).scan_iter() if b"sterna" not in key) == [b"goes", b"stays"]
            return
        await event(move, "run.again")
        await ends_exactly(move, source, target)


# The target


@pytest.mark.parametrize("fsync", ["everysec", "always"])
async def test_a_target_that_is_killed_goes_on_from_what_it_kept(
    redis_server: StartServer, folder: Path, fsync: str
) -> None:
    source = redis_server()
    target = redis_server("redis70", "--appendonly", "yes", "--appendfsync", fsync)
    load(source, 5_000)
    with writing(source, pause=0.003) as writer:
        plan = incremental(resume=Resume.MANUAL)
        move = await Move(endpoint(source), endpoint(target), folder, plan).start()
        for _ in range(3):
            changes = (await move.progress()).changes
            await move.until(lambda job, figures, seen=changes: figures.changes > seen + 300)  # type: ignore[misc]
            target.kill9()
            target.start()
    await ends_exactly(move, source, target)
    assert_counts(target, writer)


async def test_a_target_that_comes_back_empty_gets_everything_again(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server()
    load(source, 5_000)
    with writing(source, pause=0.003) as writer:
        move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
        await move.until(lambda job, figures: figures.changes > 300)
        target.kill9()
        target.start()
        await event(move, "run.again")
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 300)
    await ends_exactly(move, source, target)
    assert_counts(target, writer)


async def test_a_target_that_was_set_back_to_another_history_gets_everything_again(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server("redis70")
    raw(source).set("count", 1)
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    raw(source).incr("count")
    await move.caught_up()
    raw(target).save()
    source.kill9()
    source.start()  # empty, with a new history, which will be read further than the old one was
    raw(source).set("count", 10)
    await event(move, "run.again")
    await move.follows()
    for _ in range(500):
        raw(source).incr("count")
    await wait_for(lambda: raw(target).get("count") == b"510", "it lags")
    target.kill9()
    target.start()  # as it was in the old history
    assert raw(target).get("count") == b"2"
    await wait_for(lambda: raw(target).get("count") == b"510", "it went on in the wrong history")
    await ends_exactly(move, source, target)


async def test_a_target_that_cannot_be_written_for_a_while_is_waited_for(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server("redis70")
    with writing(source, pause=0.003) as writer:
        move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
        await move.until(lambda job, figures: figures.changes > 300)
        raw(target).execute_command("REPLICAOF", "127.0.0.1", 1)
        await event(move, "run.retry")
        raw(target).execute_command("REPLICAOF", "NO", "ONE")
        seen = (await move.progress()).changes
        await move.until(lambda job, figures: figures.changes > seen + 300)
        raw(target).config_set("busy-reply-threshold", 1)
        raw(target).config_set("maxclients", 64)
        busy = threading.Thread(target=run_forever, args=(target,))
        busy.start()
        while not any("BUSY" in each.message for each in await move.events("run.retry")):
            await asyncio.sleep(0.02)
        raw(target).script_kill()
        busy.join()
        seen = (await move.progress()).changes
        await move.until(lambda job, figures: figures.changes > seen + 300)
    await ends_exactly(move, source, target)
    assert_counts(target, writer)


def run_forever(server: Server) -> None:
    with contextlib.suppress(redis.RedisError):
        raw(server).eval("while true do end", 0)


async def test_a_target_with_too_many_clients_is_waited_for(redis_server: StartServer, folder: Path) -> None:
    source, target = redis_server(), redis_server("redis70")
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    there = raw(target)
    there.ping()
    there.config_set("maxclients", 1)
    there.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    raw(source).incr("count")
    await event(move, "run.retry")
    there.config_set("maxclients", 1000)
    await ends_exactly(move, source, target)
    assert there.get("count") == b"1"


@pytest.mark.parametrize("phase", [Phase.COPY, Phase.FOLLOW])
async def test_a_target_without_memory_stops_the_job_and_goes_on_once_it_has_some(
    redis_server: StartServer, folder: Path, phase: Phase
) -> None:
    source, target = redis_server(), redis_server("redis70")
    there = raw(target)
    room = int(there.info("memory")["used_memory"]) + 6_000_000
    if phase is Phase.COPY:
        load(source, 40_000, 400)
        there.config_set("maxmemory", room)
        there.config_set("maxmemory-policy", "noeviction")
    plan = incremental()
    move = Move(endpoint(source), endpoint(target), folder, plan)
    move.engine = without_checks(move)
    await move.start()
    if phase is Phase.FOLLOW:
        await move.follows()
        there.config_set("maxmemory", room)
        load(source, 40_000, 400)
        raw(source).incr("count")
    assert "Give the target more room" in await move.fails("STERNA.2004")
    assert (await move.now()).phase is phase
    there.config_set("maxmemory", 0)
    await move.again()
    await ends_exactly(move, source, target)


def without_checks(move: Move) -> Any:
    """The same engine, which looks at nothing before the start."""
    engine = move.engine
    engine.checks = lambda *_: []  # type: ignore[method-assign]
    return engine


async def test_a_right_that_is_taken_away_stops_the_job_and_given_back_lets_it_go_on(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server("redis70")
    there = raw(target)
    there.execute_command("ACL", "SETUSER", "mover", "on", ">pw", "~*", "&*", "+@all")
    mover = Endpoint("redis", ((target.host, target.port),), "mover", "pw")
    with writing(source, pause=0.003) as writer:
        move = await Move(endpoint(source), mover, folder, incremental()).start()
        await move.until(lambda job, figures: figures.changes > 300)
        there.execute_command("ACL", "SETUSER", "mover", "-lpush")
        said = await move.fails("STERNA.2001")
        assert "lpush" in said.lower()
        assert "rights" in said
        there.execute_command("ACL", "SETUSER", "mover", "+lpush")
        await move.again()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW)
    await ends_exactly(move, source, target)
    assert_counts(target, writer)


async def test_a_target_that_somebody_empties_is_told_as_such_and_copied_again(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server()
    load(source, 1000)
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    raw(target).flushall()
    raw(source).incr("count")
    assert "emptied" in await move.fails("STERNA.2006")
    assert raw(target).dbsize() == 0
    await move.again()
    await ends_exactly(move, source, target)


# The disk


def segments(folder: Path) -> list[Path]:
    return sorted((folder / "spool").glob("*.spool"))


def torn(folder: Path) -> None:
    (path,) = segments(folder)
    os.truncate(path, path.stat().st_size // 2)


def flipped(folder: Path) -> None:
    (path,) = segments(folder)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


def spool_gone(folder: Path) -> None:
    shutil.rmtree(folder / "spool")


def all_gone(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize("damage", [torn, flipped, spool_gone, all_gone])
async def test_a_spool_that_is_damaged_between_two_runs_loses_nothing(
    redis_server: StartServer, folder: Path, damage: Callable[[Path], None]
) -> None:
    source, target = redis_server(), redis_server()
    source.client().config_set("repl-backlog-size", 32 << 20)
    with writing(source, pause=0.002) as writer:
        plan = incremental(resume=Resume.MANUAL)
        move = await Move(endpoint(source), endpoint(target), folder, plan).start()
        await move.until(lambda job, figures: figures.changes > 500)
        await move.cut()
        damage(folder)
        move.go()
        await move.until(lambda job, figures: figures.changes > 1000)
    await ends_exactly(move, source, target)
    assert_counts(target, writer)


async def test_a_spool_that_is_damaged_where_it_is_read_is_fetched_again(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server()
    source.client().config_set("repl-backlog-size", 32 << 20)
    move = await Move(endpoint(source), endpoint(target), folder, incremental(resume=Resume.MANUAL)).start()
    await move.follows()
    target.freeze()
    for n in range(200):  # more than is read ahead
        raw(source).append("text", random.Random(n).randbytes(100_000))
        raw(source).incr("count")
    end = raw(source).info("replication")["master_repl_offset"]
    await wait_for(lambda: sum(path.stat().st_size for path in segments(folder)) >= 200 * 100_000, f"{end}")
    (path,) = segments(folder)
    with path.open("r+b") as file:
        file.seek(path.stat().st_size - 150_000)
        file.write(b"damage")
    target.thaw()
    await event(move, "redis.spool.damaged")
    await ends_exactly(move, source, target)
    assert raw(target).get("count") == b"200"


@pytest.mark.parametrize("damage", [all_gone, lambda folder: (folder / "dump.rdb").unlink()])
async def test_a_data_set_that_is_gone_between_two_runs_is_fetched_again(
    redis_server: StartServer, folder: Path, damage: Callable[[Path], None]
) -> None:
    source, target = redis_server(), redis_server()
    load(source, 50_000)
    plan = incremental()
    move = Move(
        endpoint(source), endpoint(target), folder, replace(plan, pace=replace(plan.pace, copy_bytes_per_s=1))
    )
    await move.start()
    await move.until(lambda job, figures: job.phase is Phase.COPY and figures.rows > 0)
    await move.cut()
    assert own_keys(target)
    damage(folder)
    await move.store.describe(move.job.id, plan=replace(move.plan, pace=plan.pace))
    move.go()
    await event(move, "run.again")
    await ends_exactly(move, source, target)


async def test_a_folder_that_cannot_be_used_is_named(redis_server: StartServer, folder: Path) -> None:
    source, target = redis_server(), redis_server()
    folder.write_text("this is a file")  # noqa: ASYNC240
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    said = await move.fails("STERNA.2000")
    assert str(folder) in said
    folder.unlink()  # noqa: ASYNC240
    await move.again()
    await ends_exactly(move, source, target)


async def test_a_full_disk_stops_the_copy_with_a_remedy(redis_server: StartServer, folder: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client().set("large", random.Random(1).randbytes(3 << 20))
    with small_disk(folder, 1 << 20):
        move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
        assert "Free room" in await move.fails("STERNA.2010")
    await move.again()
    await ends_exactly(move, source, target)


async def test_the_source_waits_while_the_disk_is_full(redis_server: StartServer, folder: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client().config_set("repl-backlog-size", 64 << 20)
    with small_disk(folder, 4 << 20):
        move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
        await move.follows()
        ballast = folder / "ballast"
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        for _ in range(100):
            raw(source).append("text", "x" * 10_000)
            raw(source).incr("count")
        await event(move, "redis.spool.full")
        ballast.unlink()
        await wait_for(lambda: raw(target).get("count") == b"100", "it did not go on")
        await ends_exactly(move, source, target)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of this many bytes, which only root can have."""
    folder.mkdir(parents=True)
    if os.system(f"mount -t tmpfs -o size={size} none '{folder}' 2>/dev/null") != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield
    finally:
        os.system(f"umount -l '{folder}'")


# Keys and databases


async def test_a_database_that_the_target_has_not_stops_the_job_before_anything_goes_astray(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server("redis70", "--databases", "1000"), redis_server("redis70", "--databases", "16")
    raw(source).set("here", 1)
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    pipe: Any = source.client(db=15).pipeline()
    pipe.set("fits", 1)
    pipe.execute()
    source.client(db=900).set("astray", 1)
    raw(source).set("later", 1)
    said = await move.fails("STERNA.2005")
    assert "Database 900" in said
    assert "has 16" in said
    assert source_keys(target) == {0: {b"here"}, 15: {b"fits"}}


async def test_a_database_with_a_high_number_in_the_data_set_stops_the_job_at_the_checks(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server("redis70", "--databases", "1000"), redis_server("redis70", "--databases", "16")
    source.client(db=900).set("astray", 1)
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    assert "databases" in await move.fails("STERNA.2008")
    unchecked = Move(endpoint(source), endpoint(target), folder / "unchecked", incremental())
    unchecked.engine = without_checks(unchecked)
    await unchecked.start()
    assert "Database 900" in await unchecked.fails("STERNA.2005")
    assert source_keys(target) == {}


async def test_all_of_very_many_databases_go_into_one(redis_server: StartServer, folder: Path) -> None:
    source = redis_server("redis70", "--databases", "20000")
    target = redis_server("redis70", "--databases", "16")
    source.client(db=19_999).set("copied", 1)
    plan = incremental(selection=Selection(renames=(Rename("*", "3"),)))
    move = await Move(endpoint(source), endpoint(target), folder, plan).start()
    await move.follows()
    source.client(db=18_000).set("followed", 1)
    await move.finish()
    assert source_keys(target) == {3: {b"copied", b"followed"}}


def source_keys(server: Server) -> dict[int, set[bytes]]:
    """All keys but ours, by database."""
    found = {}
    for name in raw(server).info("keyspace"):
        database = int(name[2:])
        keys = {key for key in raw_in(server, database).scan_iter() if not key.startswith(b"sterna:checkpoint:")}
        if keys:
            found[database] = keys
    return found


def raw_in(server: Server, database: int) -> Any:
    return server.client(db=database)


async def test_keys_that_look_like_ours_and_names_of_a_megabyte_go_along(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server()
    client = raw(source)
    client.set("sterna:checkpoint:mine", "a user's", px=3_600_000)
    client.rpush("sterna:checkpoint:list", 1, 2)
    client.set("sterna:repair:mine", 1, px=3_600_000)
    client.set(b"k" * (1 << 20), "v", px=3_600_000)
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    client.set(b"l" * (1 << 20), "v", px=3_600_000)
    client.incr("sterna:checkpoint:number")
    await move.finish()
    for key in client.scan_iter():
        assert client.dump(key)[:-10] == raw(target).dump(key)[:-10]
        assert client.execute_command("PEXPIRETIME", key) == raw(target).execute_command("PEXPIRETIME", key)
    assert raw(target).dbsize() == client.dbsize()


async def test_a_command_that_failed_is_not_forgotten_by_later_runs(
    redis_server: StartServer, folder: Path
) -> None:
    source, target = redis_server(), redis_server()
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    raw(target).set("spoilt", "by somebody else")
    raw(source).rpush("spoilt", "a")
    raw(source).set("behind", 1)
    assert "spoilt" in await move.fails("STERNA.2007")
    await move.again()
    for turn in range(2):
        await wait_for(lambda: raw(target).get("behind") == b"1", "it does not go on")
        raw(source).incr("more")
        await wait_for(lambda seen=turn + 1: int(raw(target).get("more") or 0) == seen, "it lags")  # type: ignore[misc]
        await event(move, "redis.missing", turn + 1)
        assert all("spoilt" in each.message for each in await move.events("redis.missing"))
        if turn == 0:
            await move.cut()
            move.go()
    await move.finish()
    assert own_keys(target) == []


# Several jobs


async def test_two_jobs_into_one_target_leave_one_another_alone(redis_server: StartServer, tmp_path: Path) -> None:
    one, two, target = redis_server(), redis_server(), redis_server()
    raw(one).mset({"one:stays": 1, "one:goes": 1})
    raw(two).mset({"two:a": 1})
    first = await Move(endpoint(one), endpoint(target), tmp_path / "1", incremental()).start()
    await first.follows()
    second = await Move(endpoint(two), endpoint(target), tmp_path / "2", incremental()).start()
    await second.follows()
    raw(one).incr("one:count")
    raw(two).incr("two:count")
    await second.finish()
    one.kill9()
    one.start()  # empty: all of the first job is copied again
    raw(one).mset({"one:stays": 2})
    await event(first, "redis.left")
    await first.finish()
    there = raw(target)
    assert there.get("one:stays") == b"2"
    assert (there.get("two:a"), there.get("two:count")) == (b"1", b"1")
    assert own_keys(target) == []


async def test_of_two_runs_of_one_job_only_the_later_writes(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    load(source, 20_000)
    with writing(source, pause=0.003) as writer:
        move = await Move(endpoint(source), endpoint(target), tmp_path / "a", incremental()).start()
        for place in "bcd":  # each on another machine, so to say
            older = move.task
            assert older
            await move.until(lambda job, figures: job.phase in (Phase.COPY, Phase.FOLLOW) and figures.rows > 0)
            move.folder = tmp_path / place
            move.go()
            await asyncio.wait_for(older, PATIENCE)
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW)
    await ends_exactly(move, source, target)
    assert_counts(target, writer)
    assert (await move.now()).condition is Condition.DONE


async def test_a_run_that_ends_right_behind_the_data_set_goes_on(
    redis_server: StartServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = redis_server(), redis_server()
    load(source, 1000)
    with monkeypatch.context() as patched:
        reached = asyncio.Event()

        async def never(self: RedisSink, anchor: str) -> None:
            reached.set()
            await asyncio.Event().wait()

        patched.setattr(RedisSink, "copied", never)
        move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
        await asyncio.wait_for(reached.wait(), PATIENCE)
        await move.cut()
    move.go()
    await move.follows()
    await ends_exactly(move, source, target)
    assert not await move.events("run.again")
