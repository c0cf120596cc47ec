"""A whole move between real servers: everything arrives, exactly once, whatever happens on the way."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sterna.core.job import Phase
from sterna.core.plan import Conflict, Mode, Rename, Resume, RowFilter, Selection, Tls
from sterna.engines.redis.names import CHECKPOINT_PREFIX, HOLD_MS
from tests.effort import PATIENCE
from tests.engines.moving import Move, endpoint, full, incremental
from tests.servers.data import assert_same, fill
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server

pytestmark = pytest.mark.server

PAIRS = [
    ("redis70", "valkey91"),
    ("valkey91", "redis70"),
    ("redis62", "redis70"),
    ("redis70", "redis62"),
    ("redis82", "valkey91"),
    ("redis70", "redis82"),
    ("valkey81", "redis80"),
    ("redis80", "valkey81"),
    ("valkey91", "valkey91"),
]


@contextmanager
def writing(server: Server, pause: float = 0.0005) -> Iterator["Writer"]:
    """A writer that counts what it wrote, until the block ends."""
    writer = Writer(server.client(), pause)
    writer.start()
    try:
        yield writer
    finally:
        writer.end()


class Writer(threading.Thread):
    """Commands that show it if they are applied twice or not at all."""

    def __init__(self, client: Any, pause: float) -> None:
        super().__init__(daemon=True)
        self._client = client
        self._pause = pause
        self._end = threading.Event()
        self.rounds = 0

    def run(self) -> None:
        while not self._end.is_set():
            n = self.rounds
            pipe = self._client.pipeline(transaction=n % 5 == 0)
            pipe.incr("w:counter").lpush("w:journal", n).zincrby("w:scores", 1, f"m{n % 50}")
            pipe.xadd("w:events", {"n": n}).set(f"w:short:{n % 300}", n, px=50 + n % 400)
            pipe.expire(f"w:short:{(n * 7) % 300}", 100).persist(f"w:short:{(n * 11) % 300}")
            pipe.append("w:text", "x").delete(f"str:{n % 500}").hincrby("w:hash", f"f{n % 20}", 1)
            pipe.execute()
            self.rounds += 1
            time.sleep(self._pause)

    def end(self) -> None:
        self._end.set()
        self.join()


SOURCE_RIGHTS = ("+psync", "+replconf", "+ping", "+info", "+select")
TARGET_RIGHTS = ("+restore", "+info", "+flushall", "+flushdb", "+function", "+script", "+config|get")
FIELD_EXPIRY = ("redis80", "redis82", "valkey91")
STREAM_COUNTERS = ("redis70", "redis80", "redis82", "valkey81", "valkey91")


def prepare(source: Server, target: Server) -> None:
    """Fill the source with everything that the target has a notion of."""
    took = fill(source.client())
    if "field expiry" in took and target.flavor not in FIELD_EXPIRY:
        source.client().delete("fields:small", "fields:big")
    if "functions" in took and target.flavor == "redis62":
        source.client().function_flush()


def same(source: Server, target: Server) -> None:
    """Equal by a reading that knows nothing of Sterna."""
    modern = all(server.flavor in STREAM_COUNTERS for server in (source, target))
    assert_same(source.client(), target.client(), slack_ms=0 if modern else 3, counters=modern)


def assert_counts(target: Server, writer: Writer) -> None:
    client: Any = target.client()
    assert int(client.get("w:counter")) == writer.rounds
    assert client.llen("w:journal") == writer.rounds
    assert client.xlen("w:events") == writer.rounds
    assert client.strlen("w:text") == writer.rounds
    assert sum(client.zscore("w:scores", f"m{n}") or 0 for n in range(50)) == writer.rounds


def own_keys(server: Server) -> list[bytes]:
    return list(server.client().scan_iter(match=CHECKPOINT_PREFIX + b"*"))


def held(server: Server, but: bytes = b"") -> int:
    client = server.client()
    return sum(1 for key in client.scan_iter() if key != but and client.pttl(key) >= HOLD_MS // 2)


@pytest.mark.parametrize(("origin", "goal"), PAIRS)
async def test_everything_that_is_there_arrives(
    redis_server: StartServer, tmp_path: Path, origin: str, goal: str
) -> None:
    source, target = redis_server(origin), redis_server(goal)
    prepare(source, target)
    move = await Move(endpoint(source), endpoint(target), tmp_path, full()).start()
    await move.ended()
    same(source, target)
    assert own_keys(target) == []
    await move.is_equal()


@pytest.mark.parametrize(("origin", "goal"), PAIRS[:4])
async def test_everything_that_changes_arrives_once(
    redis_server: StartServer, tmp_path: Path, origin: str, goal: str
) -> None:
    source, target = redis_server(origin), redis_server(goal)
    prepare(source, target)
    with writing(source) as writer:
        move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 3000)
    await move.finish()
    assert_counts(target, writer)
    await move.is_equal()
    assert own_keys(target) == []
    assert held(target) == 0


async def test_a_run_that_ends_in_the_middle_goes_on_and_counts_once(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    prepare(source, target)
    with writing(source) as writer:
        move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
        for _ in range(12):
            await asyncio.sleep(0.15)
            await move.cut()
            move.go()
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW)
    await move.finish()
    assert_counts(target, writer)
    await move.is_equal()


async def test_a_paused_job_keeps_all_and_goes_on(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    with writing(source) as writer:
        move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
        await move.until(lambda job, figures: figures.changes > 500)
        await move.pause()
        await asyncio.sleep(0.3)
        assert own_keys(target)
        await move.again()
        await move.until(lambda job, figures: figures.changes > 1000)
    await move.finish()
    assert_counts(target, writer)
    await move.is_equal()


async def test_a_key_whose_time_is_prolonged_late_is_not_lost(redis_server: StartServer, tmp_path: Path) -> None:
    for seconds in (4, 20, 60):
        if await _prolonged_late(redis_server, tmp_path / str(seconds), seconds):
            return
    raise AssertionError("this machine needs more than a minute to begin a job")


async def _prolonged_late(redis_server: StartServer, folder: Path, seconds: float) -> bool:
    """Whether the job followed before the keys' time was over, which this machine may be too slow for."""
    source, target = redis_server(), redis_server()
    client = source.client()
    over = time.time() + seconds
    with client.pipeline() as line:
        for n in range(500):
            line.set(f"k{n}", n, pxat=int(over * 1000))
        line.execute()
    move = await Move(endpoint(source), endpoint(target), folder, incremental()).start()
    await move.follows()
    target.freeze()  # what follows arrives only when the target's clock is past the expiry
    with client.pipeline() as line:
        for n in range(500):
            line.persist(f"k{n}") if n % 2 else line.pexpire(f"k{n}", 100_000)
        in_time = all(line.execute())
    while in_time and time.time() < over + 0.5:
        await asyncio.sleep(0.1)
    target.thaw()
    await move.finish()
    if in_time:
        assert target.client().dbsize() == 500
        await move.is_equal()
    return in_time


async def test_expiries_are_true_to_the_millisecond_after_the_end(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    client: Any = source.client()
    for n in range(100):
        client.set(f"k{n}", n, px=60_000 + n)
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    for n in range(100):
        client.set(f"later{n}", n, ex=100 + n)
    client.set("gone", 1, px=100)
    await move.caught_up()
    assert held(target, but=b"gone") == 200
    while client.exists("gone"):
        await asyncio.sleep(0.02)
    await move.stop()
    there: Any = target.client()
    for key in client.scan_iter():
        assert there.execute_command("PEXPIRETIME", key) == client.execute_command("PEXPIRETIME", key)
    assert there.dbsize() == 200


async def test_one_database_goes_into_another(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client(db=3).set("here", 1)
    source.client(db=0).set("not me", 1)
    plan = incremental(selection=Selection(only=("3",), renames=(Rename("3", "1"),)))
    move = await Move(endpoint(source), endpoint(target), tmp_path, plan).start()
    await move.follows()
    source.client(db=3).incr("here")
    source.client(db=0).incr("not me")
    await move.finish()
    assert target.client(db=1).get("here") == b"2"
    assert [target.client(db=n).dbsize() for n in (0, 1, 3)] == [0, 1, 0]


async def test_only_keys_with_the_prefix_go_along(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    client = source.client()
    client.mset({"a:1": 1, "b:1": 1, "a:tmp:1": 1})
    plan = incremental(selection=Selection(rows=RowFilter(("a:",), ("a:tmp:",))))
    move = await Move(endpoint(source), endpoint(target), tmp_path, plan).start()
    await move.follows()
    client.mset({"a:2": 2, "b:2": 2})
    client.delete("a:1", "b:1")
    await move.finish()
    assert sorted(target.client().keys()) == [b"a:2"]


@pytest.mark.parametrize("policy", list(Conflict))
async def test_the_policy_says_who_wins(redis_server: StartServer, tmp_path: Path, policy: Conflict) -> None:
    source, target = redis_server(), redis_server()
    source.client().mset({"both": "source", "one": "source"})
    target.client().mset({"both": "target", "other": "target"})
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental(conflict=policy)).start()
    there = target.client()
    if policy is Conflict.STOP:
        assert "both" in await move.fails("STERNA.2009")
        assert there.get("one") is None
        return
    await move.follows()
    source.client().append("both", "!")
    await move.finish()
    assert there.get("both") == (b"source!" if policy is Conflict.OVERWRITE else b"target")
    assert (there.get("one"), there.get("other")) == (b"source", b"target")


async def test_an_emptied_source_does_not_empty_the_target(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client().set("k", 1)
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    source.client().flushall()
    source.client().set("after", 1)
    await move.finish()
    assert sorted(target.client().keys()) == [b"after", b"k"]
    assert any("FLUSHALL" in event.message for event in await move.events("redis.stream"))


async def test_swapped_databases_take_nothing_of_ours_along(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client(db=0).set("zero", 1)
    source.client(db=1).set("one", 1)
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    source.client().swapdb(0, 1)
    source.client(db=0).set("later", 1)
    await move.finish()
    assert sorted(target.client(db=0).keys()) == [b"later", b"one"]
    assert sorted(target.client(db=1).keys()) == [b"zero"]


@pytest.mark.parametrize("resume", list(Resume))
async def test_a_source_that_starts_a_new_history(
    redis_server: StartServer, tmp_path: Path, resume: Resume
) -> None:
    source, target = redis_server(), redis_server()
    source.client().mset({"stays": 1, "goes": 1})
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental(resume=resume)).start()
    await move.follows()
    source.kill9()
    source.restart()  # it saves nothing: it comes back empty, with a new history
    source.client().mset({"stays": 2, "new": 2})
    if resume is Resume.MANUAL:
        assert "no longer keeps" in await move.fails("STERNA.2002")
        assert target.client().get("stays") == b"1"
        return
    await move.until(
        lambda job, figures: figures.rows == 2 and job.phase is Phase.FOLLOW and figures.lag_bytes == 0
    )
    await move.finish()
    assert sorted(target.client().keys()) == [b"new", b"stays"]
    await move.is_equal()


async def test_a_full_target_stops_the_job_and_loses_nothing(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    client = source.client()
    move = await Move(endpoint(source), endpoint(target), tmp_path, incremental()).start()
    await move.follows()
    there = target.client()
    there.config_set("maxmemory", int(there.info("memory")["used_memory"]) + 1_000_000)
    for n in range(300):
        client.set(f"k{n}", "x" * 20_000)
        client.incr("count")
    assert "OOM" in await move.fails("STERNA.2004")
    there.config_set("maxmemory", 0)
    await move.again()
    await move.finish()
    assert there.get("count") == b"300"
    await move.is_equal()


async def test_an_older_run_can_write_no_more(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    with writing(source) as writer:
        move = await Move(endpoint(source), endpoint(target), tmp_path / "a", incremental()).start()
        await move.until(lambda job, figures: figures.changes > 200)
        older = move.task
        move.folder = tmp_path / "b"
        move.go()
        assert older
        await asyncio.wait_for(older, PATIENCE)
        await move.until(lambda job, figures: job.phase is Phase.FOLLOW and figures.changes > 1000)
    await move.finish()
    assert_counts(target, writer)
    await move.is_equal()


async def test_the_source_waits_while_the_spool_is_full(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client().config_set("repl-backlog-size", 64 << 20)
    source.client().config_set("client-output-buffer-limit", "replica 0 0 0")
    move = Move(endpoint(source), endpoint(target), tmp_path, incremental())
    move.spool_limit = 3 << 20
    await move.start()
    await move.follows()
    target.freeze()
    client = source.client()
    for n in range(400):
        client.set(f"k{n}", "x" * 30_000)
        client.incr("count")
    while not any(event.code == "redis.spool.full" for event in await move.events()):
        await asyncio.sleep(0.05)
    target.thaw()
    await move.caught_up()
    await move.finish()
    assert target.client().get("count") == b"400"
    await move.is_equal()


async def test_a_large_value_is_rebuilt_in_pieces_and_memory_stays_flat(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    client = source.client()
    client.config_set("rdbcompression", "no")
    for start in range(0, 400_000, 10_000):
        client.rpush("a list", *(f"{n:050d}" for n in range(start, start + 10_000)))
        client.hset("a hash", mapping={f"{n:025d}": f"{n:025d}" for n in range(start, start + 10_000)})
    client.set("a string", "x" * (20 << 20))
    client.pexpire("a list", 3_600_000)
    move = await Move(endpoint(source), endpoint(target), tmp_path, full()).start()
    await move.ended()
    assert target.client().llen("a list") == 400_000
    await move.is_equal()


async def test_a_full_copy_ends_by_itself_and_leaves_out_what_has_expired(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    client = source.client()
    client.set("stays", 1, ex=1000)
    client.set("goes", 1, px=1)
    move = await Move(endpoint(source), endpoint(target), tmp_path, full()).start()
    await move.ended()
    assert move.plan.mode is Mode.FULL
    assert target.client().keys() == [b"stays"]
    assert 0 < target.client().pttl("stays") <= 1_000_000


async def test_a_move_over_tls_with_passwords(redis_server: StartServer, tmp_path: Path) -> None:
    source = redis_server("redis70", password="s0urce 'pass\"wörd", tls=True)
    target = redis_server("valkey81", password="t@rget:/?#%", tls=True)
    source.client().set("k", 1)
    ends = [
        replace(endpoint(server), tls=Tls(ca_file=str(server.tls_ca)), password=server.password or "")
        for server in (source, target)
    ]
    move = await Move(ends[0], ends[1], tmp_path, incremental()).start()
    await move.follows()
    source.client().incr("k")
    await move.finish()
    assert target.client().get("k") == b"2"
    await move.is_equal()


async def test_a_certificate_of_nobody_is_refused(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server("redis70", tls=True), redis_server("redis70")
    origin = replace(endpoint(source), tls=Tls())
    move = await Move(origin, endpoint(target), tmp_path, full()).start()
    assert "certificate" in await move.fails("STERNA.2008")


async def test_users_with_just_the_rights_that_are_needed(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server("redis70"), redis_server("redis70")
    acl: Any = source.client()
    acl.execute_command("ACL", "SETUSER", "reader", "on", ">r", *SOURCE_RIGHTS)
    there: Any = target.client()
    there.execute_command(
        "ACL", "SETUSER", "writer", "on", ">w", "~*", "&*", "+@all", "-@admin", "-@dangerous", *TARGET_RIGHTS
    )
    fill(source.client())
    origin = replace(endpoint(source), user="reader", password="r")
    goal = replace(endpoint(target), user="writer", password="w")
    move = await Move(origin, goal, tmp_path, incremental()).start()
    await move.follows()
    source.client().incr("counter")
    await move.caught_up()
    await move.finish()
    assert target.client().get("counter") == b"1"
    same(source, target)


@pytest.mark.parametrize("side", ["source", "target"])
async def test_a_wrong_password_stops_the_job_and_is_not_repeated(
    redis_server: StartServer, tmp_path: Path, side: str
) -> None:
    source, target = redis_server(password="right"), redis_server(password="right")
    ends = [
        replace(endpoint(server), password="wrong-secret" if name == side else "right")
        for name, server in (("source", source), ("target", target))
    ]
    move = await Move(ends[0], ends[1], tmp_path, full()).start()
    message = await move.fails("STERNA.2008")
    assert "wrong-secret" not in message + repr(await move.now()) + repr(await move.events())
    assert f"redis.{side}.authenticated" in message


async def test_a_second_job_that_moves_the_same_is_refused(redis_server: StartServer, tmp_path: Path) -> None:
    source, target = redis_server(), redis_server()
    source.client().set("count", 0)
    first = await Move(endpoint(source), endpoint(target), tmp_path / "a", incremental()).start()
    await first.follows()
    second = await Move(endpoint(source), endpoint(target), tmp_path / "b", incremental()).start()
    assert first.job.id in await second.fails("STERNA.2009")
    other = incremental(selection=Selection(rows=RowFilter(("other:",))))
    third = await Move(endpoint(source), endpoint(target), tmp_path / "c", other).start()
    await third.follows()
    source.client().incr("count")
    await third.finish()
    await first.finish()
    await second.desk.stop(await second.now())
    second.go()
    assert second.task
    await second.task
    assert target.client().get("count") == b"1"
    assert own_keys(target) == []
