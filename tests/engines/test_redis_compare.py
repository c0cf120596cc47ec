"""Comparing real servers: every planted difference is found, and nothing else is."""

import asyncio
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import AccessDenied, IllegalMove, Invalid, Unreachable, Unsupported
from sterna.core.plan import Endpoint, Plan, Rename, RowFilter, Selection
from sterna.engines.redis import compare as comparing
from sterna.engines.redis import reading, settling, windows
from sterna.engines.redis.compare import compare
from sterna.engines.redis.connection import Connection
from sterna.engines.redis.names import HOLD_MS, checkpoint_key
from tests.effort import PATIENCE
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server, free_port

pytestmark = pytest.mark.server

ALL = Selection()
LATER = 2_000_000_000_000
"""An expiry, in epoch ms, that no test lives to see."""
PAIRS = ("redis70 redis70", "redis62 redis70", "redis70 valkey91", "valkey91 redis62", "redis82 valkey91")
KINDS = ("string", "list", "set", "zset", "hash", "stream")


def endpoint(of: Server) -> Endpoint:
    return Endpoint("redis", ((of.host, of.port),), password=of.password or "")


def plan(source: Server, target: Server, selection: Selection = ALL) -> Plan:
    return Plan(endpoint(source), endpoint(target), selection=selection)


def client(of: Server, database: int = 0) -> Any:
    return of.client(db=database)


def kinds(found: Comparison) -> dict[str, str]:
    return {difference.name: difference.kind for difference in found.differences}


def wait_until(fact: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fact():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between looks, where nothing writes meanwhile."""
    monkeypatch.setattr(settling, "PAUSES", (0.0, 0.01))
    monkeypatch.setattr(comparing, "FUNCTIONS_PAUSE", 0.0)


def fill(server: Server, *, elements: int = 20, prefix: str = "") -> None:
    """One key of each kind."""
    to = client(server)
    numbers = list(range(elements))
    random.shuffle(numbers)
    to.set(f"{prefix}string", "x" * elements)
    to.rpush(f"{prefix}list", *range(elements))
    to.sadd(f"{prefix}set", *(f"m{number}" for number in numbers))
    to.zadd(f"{prefix}zset", {f"m{number}": number / 3 for number in numbers})
    to.hset(f"{prefix}hash", mapping={f"f{number}": number for number in numbers})
    for number in range(elements):
        to.xadd(f"{prefix}stream", {"n": number}, id=f"{number + 1}-0")
    to.xgroup_create(f"{prefix}stream", "group", "5-0")


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("elements", [20, 2000])
async def test_equal_contents_are_equal_in_any_version(
    redis_server: StartServer, pair: str, elements: int
) -> None:
    source, target = (redis_server(flavor) for flavor in pair.split())
    fill(source, elements=elements)
    fill(target, elements=elements)
    for server in (source, target):
        client(server).set("timed", 1)
        client(server).pexpireat("timed", LATER)
    found = await compare(plan(source, target))
    assert found.equal, found.differences
    assert found.unsettled == 0
    assert found.compared == 7
    assert found.counts == {"db0": (7, 7)}


async def test_equal_contents_are_equal_in_any_encoding(redis_server: StartServer) -> None:
    small = [f"{kind}-max-listpack-entries" for kind in ("hash", "set", "zset")] + ["set-max-intset-entries"]
    options = [word for name in small for word in (f"--{name}", "1")]
    source, target = redis_server("valkey91"), redis_server("valkey91", *options, "--list-max-listpack-size", "1")
    for server in (source, target):
        fill(server)
        client(server).sadd("numbers", 1, 2, 3)
    client(target).set("string", "x" * 10)
    client(target).append("string", "x" * 10)
    assert client(source).object("encoding", "hash") != client(target).object("encoding", "hash")
    assert (await compare(plan(source, target))).equal


@pytest.mark.parametrize("flavors", ["redis70 redis70", "redis62 valkey91"])
@pytest.mark.parametrize("elements", [20, 2000])
async def test_each_kind_of_difference_is_found(
    redis_server: StartServer, quickly: None, flavors: str, elements: int
) -> None:
    source, target = (redis_server(flavor) for flavor in flavors.split())
    for server in (source, target):
        fill(server, elements=elements)
        fill(server, elements=elements, prefix="same:")
        client(server).set("timed", 1)
        client(server).pexpireat("timed", LATER)
    here, there = client(source), client(target)
    here.set("missing", 1)
    there.set("extra", 1)
    here.set("type", 1)
    there.rpush("type", 1)
    there.setrange("string", 3, "y")
    there.lset("list", 7, "y")
    there.srem("set", "m3")
    there.sadd("set", "m3x")
    there.zincrby("zset", 1e-9, "m3")
    there.hset("hash", "f3", "y")
    there.xdel("stream", "3-0")
    there.xadd("stream", {"n": "y"})
    there.pexpireat("timed", LATER + 5000)
    there.persist("timed") if elements > 20 else None
    found = await compare(plan(source, target))
    values = {f"db0 {kind}": "value" for kind in KINDS}
    planted = {"db0 missing": "missing", "db0 extra": "extra", "db0 type": "type", "db0 timed": "expiry"}
    assert kinds(found) == values | planted
    assert not found.equal
    assert found.different == len(values) + len(planted)
    assert found.counts == {"db0": (15, 15)}


async def test_the_groups_and_pending_entries_of_streams_are_compared(
    redis_server: StartServer, quickly: None
) -> None:
    source, target = redis_server("redis70"), redis_server("redis70")
    for server in (source, target):
        for key in ("same", "last", "group", "consumer", "pending"):
            client(server).xadd(key, {"a": 1}, id="1-1")
            client(server).xadd(key, {"a": 2}, id="2-1")
            client(server).xgroup_create(key, "g", "0")
    for key in ("same", "group"):
        dump = client(source).dump(key)
        client(target).restore(key, 0, dump, replace=True)
    client(target).execute_command("XSETID", "last", "9-9")
    client(target).xgroup_setid("group", "g", "2-1")
    client(target).xgroup_createconsumer("consumer", "g", "me")
    client(target).xreadgroup("g", "me", {"pending": ">"}, count=1)
    found = await compare(plan(source, target))
    assert set(kinds(found)) == {"db0 last", "db0 group", "db0 consumer", "db0 pending"}


@pytest.mark.parametrize("flavor", ["redis82", "valkey91"])
async def test_expiries_of_single_fields_are_compared(
    redis_server: StartServer, quickly: None, flavor: str
) -> None:
    source, target = redis_server(flavor), redis_server(flavor)
    for server in (source, target):
        for key in ("same", "other"):
            client(server).hset(key, mapping={"f": 1, "g": 2})
            client(server).execute_command("HPEXPIREAT", key, LATER, "FIELDS", 1, "f")
    client(target).execute_command("HPEXPIREAT", "other", LATER + 1, "FIELDS", 1, "f")
    assert kinds(await compare(plan(source, target))) == {"db0 other": "value"}


@pytest.mark.parametrize("flavors", ["redis70 redis70", "redis62 redis70", "redis62 redis62"])
async def test_expiries_that_a_job_holds_back_count_as_they_will_be(
    redis_server: StartServer, quickly: None, flavors: str
) -> None:
    source, target = (redis_server(flavor) for flavor in flavors.split())
    client(source).set("held", 1)
    client(source).pexpireat("held", LATER)
    client(target).set("held", 1)
    client(target).pexpireat("held", LATER + HOLD_MS)
    client(target).set("over", 1)
    client(target).pexpireat("over", int(time.time() * 1000) - 1000 + HOLD_MS)
    client(target).set("not over", 1)
    client(target).pexpireat("not over", int(time.time() * 1000) + 60_000 + HOLD_MS)
    found = await compare(plan(source, target))
    assert kinds(found) == {"db0 not over": "extra"}
    assert found.counts == {"db0": (1, 2)}


async def test_sternas_own_keys_are_nobodys_data(redis_server: StartServer) -> None:
    source, target = redis_server(), redis_server()
    client(target).hset(checkpoint_key("job"), "epoch", 1)
    found = await compare(plan(source, target))
    assert found.equal
    assert found.counts == {"db0": (0, 0)}


async def test_only_what_the_plan_selects_is_compared(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server(), redis_server()
    for database in (0, 3, 5):
        for key in ("user:1", "user:tmp:1", "other"):
            client(source, database).set(key, database)
    client(target, 1).set("user:1", 3)
    client(target, 1).set("stranger", 1)
    client(target, 1).set("user:extra", 1)
    client(target, 5).set("user:wrong", 1)
    rows = RowFilter(include=("user:",), exclude=("user:tmp:",))
    selection = Selection(only=("3",), renames=(Rename("3", "1"),), rows=rows)
    found = await compare(plan(source, target, selection))
    assert kinds(found) == {"db3->db1 user:extra": "extra"}
    assert found.counts == {"db3->db1": (1, 2)}


async def test_a_prefix_is_no_pattern(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server(), redis_server()
    for key in (b"a*[b]?\\-c", b"a*[b]?\\-d\xff", b"axb"):
        client(source).set(key, 1)
    found = await compare(plan(source, target, Selection(rows=RowFilter(include=("a*[b]?\\\\-",)))))
    assert kinds(found) == {"db0 a*[b]?\\-c": "missing", "db0 a*[b]?\\-d\\xff": "missing"}


async def test_where_databases_are_merged_either_value_is_right(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server(), redis_server()
    for database in (0, 2):
        client(source, database).set("both", database)
        client(source, database).set(f"only{database}", database)
        client(source, database).set("neither", database)
    for key, value in (("both", 0), ("only0", 0), ("neither", 7), ("extra", 1)):
        client(target).set(key, value)
    found = await compare(plan(source, target, Selection(renames=(Rename("*", "0"),))))
    assert kinds(found) == {
        "db0,db2->db0 only2": "missing",
        "db0,db2->db0 neither": "value",
        "db0,db2->db0 extra": "extra",
    }
    assert found.counts == {"db0,db2->db0": (6, 4)}


async def test_databases_that_only_the_target_uses_are_extra(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server("redis70", "--databases", "4"), redis_server()
    client(target, 3).set("a", 1)
    client(target, 9).set("beyond the source", 1)
    assert kinds(await compare(plan(source, target))) == {"db3 a": "extra"}


async def test_a_database_that_the_target_lacks_is_said_so(redis_server: StartServer) -> None:
    source, target = redis_server(), redis_server("redis70", "--databases", "4")
    client(source, 9).set("a", 1)
    with pytest.raises(Unsupported, match="no database 9"):
        await compare(plan(source, target))


async def test_functions_are_compared_and_repaired(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server("redis70"), redis_server("valkey91")
    code = "#!lua name={0}\nredis.register_function('{0}', function() return {1} end)"
    for server, names in ((source, ("same", "missing", "other")), (target, ("same", "extra", "other"))):
        for name in names:
            client(server).function_load(code.format(name, 1 if server is source or name == "same" else 2))
    found = await compare(plan(source, target))
    expected = {"functions missing": "missing", "functions extra": "extra", "functions other": "value"}
    assert kinds(found) == expected
    found = await compare(plan(source, target), repair=True)
    assert (found.different, found.repaired, found.equal) == (3, 3, True)
    assert (await compare(plan(source, target))).different == 0


async def test_at_most_as_many_differences_are_named_as_asked_for(
    redis_server: StartServer, quickly: None
) -> None:
    source, target = redis_server(), redis_server()
    client(source).mset({f"k{number}": 1 for number in range(3000)})
    found = await compare(plan(source, target), most=7)
    assert len(found.differences) == 7
    assert found.different == 3000


async def test_more_suspects_than_are_held_are_settled_on_the_way(
    redis_server: StartServer, quickly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "MOST_SUSPECTS", 100)
    monkeypatch.setattr(settling, "MANY", 1000)
    source, target = redis_server(), redis_server()
    client(source).mset({f"k{number}": 1 for number in range(5000)})
    client(target).mset({f"k{number}": number % 2 for number in range(5000)})
    assert (await compare(plan(source, target))).different == 2500


@pytest.mark.parametrize("elements", [20, 2000])
@pytest.mark.parametrize("flavors", ["redis70 redis70", "valkey91 redis62", "redis62 valkey91"])
async def test_what_differs_can_be_repaired(
    redis_server: StartServer, quickly: None, flavors: str, elements: int
) -> None:
    source, target = (redis_server(flavor) for flavor in flavors.split())
    fill(source, elements=elements)
    client(source).xreadgroup("group", "me", {"stream": ">"}, count=5)
    client(source).set("timed", 1)
    client(source).pexpireat("timed", LATER)
    client(target).set("extra", 1)
    client(target).set("hash", "of another type")
    client(target).rpush("list", "other")
    found = await compare(plan(source, target), repair=True)
    assert (found.different, found.repaired, found.equal) == (8, 8, True)
    again = await compare(plan(source, target))
    assert (again.different, again.equal) == (0, True)
    assert client(target).pttl("timed") > 1e10
    assert client(target).keys("sterna:*") == []


async def test_many_keys_are_repaired_together_even_on_an_older_server(
    redis_server: StartServer, quickly: None
) -> None:
    source, target = redis_server("valkey91"), redis_server("redis62")
    client(source).mset({f"k{number}": "x" * 50 for number in range(2000)})
    client(source).pexpireat("k1", LATER)
    client(target).mset({f"extra{number}": 1 for number in range(2000)})
    found = await compare(plan(source, target), repair=True)
    assert (found.different, found.repaired, found.equal) == (4000, 4000, True)
    assert client(target).dbsize() == 2000
    assert "cmdstat_rename" not in client(target).info("commandstats")  # no key was built from commands


@pytest.mark.parametrize("flavors", ["redis70 redis70", "redis62 valkey91"])
async def test_large_values_are_compared_and_repaired_in_windows(
    redis_server: StartServer, quickly: None, flavors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "BIG", 1000)
    monkeypatch.setattr("sterna.engines.redis.pages.BIG", 1000)
    monkeypatch.setattr("sterna.engines.redis.mending.BIG", 1000)
    monkeypatch.setattr(windows, "WINDOW", 2000)
    source, target = (redis_server(flavor) for flavor in flavors.split())
    for server in (source, target):
        fill(server, elements=3000)
        fill(server, elements=3000, prefix="same:")
    client(source).xreadgroup("group", "me", {"stream": ">"}, count=1500)
    client(source).xreadgroup("group", "me", {"stream": "0"}, count=5)
    client(target).setrange("string", 2999, "y")
    client(target).lset("list", 2999, "y")
    client(target).sadd("set", "y")
    client(target).zadd("zset", {"m2999": 0.1 + 0.2})
    client(target).hset("hash", "f2999", "y")
    found = await compare(plan(source, target))
    assert kinds(found) == {f"db0 {kind}": "value" for kind in KINDS}
    found = await compare(plan(source, target), repair=True)
    assert (found.different, found.repaired) == (6, 6)
    assert (await compare(plan(source, target))).different == 0
    pending = client(target).xpending("stream", "group")
    assert pending["pending"] == 1500


async def test_a_value_larger_on_one_side_alone_is_compared_in_windows_on_both(
    redis_server: StartServer, quickly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = redis_server("valkey91", "--hash-max-listpack-entries", "10000")
    target = redis_server("valkey91", "--hash-max-listpack-entries", "1")
    for server in (source, target):
        fill(server, elements=2000)
    here, there = (client(server).memory_usage("hash") for server in (source, target))
    assert here * 2 < there
    between = (here + there) // 2
    monkeypatch.setattr(reading, "BIG", between)
    monkeypatch.setattr("sterna.engines.redis.pages.BIG", between)
    assert (await compare(plan(source, target))).equal
    client(target).hset("hash", "f7", "y")
    assert kinds(await compare(plan(source, target))) == {"db0 hash": "value"}


async def test_servers_without_memory_usage_are_compared_too(redis_server: StartServer, quickly: None) -> None:
    hidden = ["--rename-command", "MEMORY", ""]
    source, target = redis_server("redis62", *hidden), redis_server("redis70", *hidden)
    for server in (source, target):
        fill(server, elements=5000)
        client(server).set("large", "x" * 3_000_000)
    assert (await compare(plan(source, target))).equal
    client(target).setrange("large", 2_999_999, "y")
    client(target).hset("hash", "f9", "y")
    assert kinds(await compare(plan(source, target))) == {"db0 large": "value", "db0 hash": "value"}


async def test_repairing_is_refused_while_a_job_is_at_work(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server(), redis_server()
    client(source).set("a", 1, pxat=LATER)
    client(target).hset(checkpoint_key("job-1"), "epoch", 1)
    with pytest.raises(IllegalMove, match="job-1"):
        await compare(plan(source, target), repair=True)
    assert client(target).get("a") is None
    found = await compare(plan(source, target), repair=True, force=True)
    assert found.repaired == 1
    assert client(target).pexpiretime("a") == LATER + HOLD_MS


@contextmanager
def writing(write: Callable[[Any, random.Random], None], server: Server) -> Iterator[None]:
    """Something that writes without rest, in a thread of its own."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def work() -> None:
        to, dice = client(server), random.Random(7)
        try:
            while not stop.is_set():
                write(to, dice)
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not failures


def busily(to: Any, dice: random.Random) -> None:
    """A hundred writes of all sorts."""
    pipe = to.pipeline(transaction=False)
    for _ in range(20):
        key = dice.randrange(20_000)
        pipe.incr(f"n{key}")
        pipe.rpush(f"l{key % 500}", key)
        pipe.ltrim(f"l{key % 500}", -300, -1)
        pipe.hset(f"h{key % 50}", key, key)
        pipe.set(f"e{key % 100}", key, px=dice.randrange(1, 2000))
        pipe.delete(f"n{dice.randrange(19_000, 20_000)}")  # most keys are there at any time
    pipe.execute()
    time.sleep(0.001)  # leaves the two cores of a small machine some room


@pytest.mark.parametrize("flavor", ["redis62", "redis70", "valkey91"])
async def test_writes_that_go_on_make_no_differences(redis_server: StartServer, flavor: str) -> None:
    source = redis_server(flavor)
    target = redis_server(flavor, "--replicaof", source.host, str(source.port))
    client(source).mset({f"n{number}": number for number in range(20_000)})
    wait_until(lambda: client(target).dbsize() == 20_000)
    with writing(busily, source):
        found = await compare(plan(source, target))
    assert found.different == 0, found.differences
    assert found.equal
    assert found.compared >= 19_000


async def test_a_true_difference_is_found_among_writes(redis_server: StartServer) -> None:
    source = redis_server("redis70")
    target = redis_server("redis70", "--replicaof", source.host, str(source.port), "--replica-read-only", "no")
    client(source).set("still", 1)
    client(source).mset({f"n{number}": number for number in range(20_000)})
    wait_until(lambda: client(target).dbsize() == 20_001)
    client(target).set("still", 2)
    with writing(busily, source):
        found = await compare(plan(source, target))
    assert kinds(found) == {"db0 still": "value"}


async def test_a_key_that_never_stands_still_is_unsettled(
    redis_server: StartServer, quickly: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = redis_server(), redis_server()
    client(target).set("hot", "never this")
    client(source).set("hot", 0)
    writer = client(source)

    async def pause(seconds: float) -> None:
        """The thread below may sleep through a short one."""
        await asyncio.sleep(seconds)
        writer.incr("hot")

    monkeypatch.setattr(comparing, "Settling", partial(settling.Settling, sleep=pause))
    with writing(lambda to, dice: to.incr("hot"), source):
        found = await compare(plan(source, target), repair=True)
    assert found.unsettled == 1
    assert found.different == 0
    assert client(target).get("hot") == b"never this"


async def test_a_server_that_goes_away_is_said_so(redis_server: StartServer) -> None:
    source, target = redis_server(), redis_server()
    client(source).mset({f"k{number}": 1 for number in range(100_000)})
    comparison = asyncio.create_task(compare(plan(source, target)))
    enough = client(source).info("stats")["total_commands_processed"] + 5000
    await asyncio.to_thread(wait_until, lambda: client(source).info("stats")["total_commands_processed"] > enough)
    target.kill9()
    with pytest.raises(Unreachable):
        await comparison
    with pytest.raises(Unreachable):
        await compare(Plan(endpoint(source), Endpoint("redis", (("127.0.0.1", free_port()),))))


async def test_a_user_who_may_not_read_is_said_so(redis_server: StartServer) -> None:
    source, target = redis_server(), redis_server()
    client(source).set("a", 1)
    client(target).set("a", 1)
    client(source).execute_command("ACL", "SETUSER", "half", "on", ">x", "~*", "+@all", "-dump")
    limited = Endpoint("redis", ((source.host, source.port),), "half", "x")
    with pytest.raises(AccessDenied, match="dump"):
        await compare(Plan(limited, endpoint(target)))


async def test_what_is_read_does_not_count_as_used(redis_server: StartServer) -> None:
    source, target = redis_server("valkey91"), redis_server("valkey91")
    fill(source)
    fill(target)
    wait_until(lambda: client(source).object("idletime", "hash") >= 2)
    await compare(plan(source, target))
    assert client(source).object("idletime", "hash") >= 2


CHILD = """
import asyncio, resource, sys
from sterna.core.plan import Endpoint, Plan
from sterna.engines.redis.compare import compare
source, target = (Endpoint("redis", (("127.0.0.1", int(port)),)) for port in sys.argv[1:])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = asyncio.run(compare(Plan(source, target)))
print(found.different, found.compared, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


async def test_memory_stays_small_whatever_the_values(redis_server: StartServer) -> None:
    source, target = redis_server("valkey91"), redis_server("valkey91")
    for server in (source, target):
        pipe = client(server).pipeline(transaction=False)
        for number in range(3000):
            pipe.hset("hash", mapping={f"{number}:{field}": str(field) * 600 for field in range(100)})
            if number % 100 == 99:
                pipe.execute()
        client(server).set("string", b"x" * 200_000_000)
        client(server).rpush("list", *(b"y" * 10_000_000 for _ in range(5)))
        for number in range(300):
            client(server).set(f"medium{number}", bytes([number % 256]) * 900_000)
    assert client(source).memory_usage("hash", samples=0) > 300_000_000
    source_folder = str(Path(comparing.__file__).parents[3])
    words = [sys.executable, "-c", CHILD, str(source.port), str(target.port)]
    child = await asyncio.create_subprocess_exec(*words, env={"PYTHONPATH": source_folder}, stdout=subprocess.PIPE)
    output, _ = await child.communicate()
    different, compared, kilobytes = map(int, output.split())
    assert (different, compared) == (0, 303)
    assert kilobytes < 100_000


async def test_windows_of_a_key_that_is_gone_are_empty(redis_server: StartServer) -> None:
    async with await Connection.open(endpoint(redis_server())) as connection:
        for kind in KINDS:
            assert [window async for window in windows.elements(connection, b"none", kind, False)] == []
            await windows.digest(connection, b"none", kind, False)


@pytest.mark.parametrize("depth", [Depth.OBJECTS, Depth.ROWS])
async def test_keys_can_be_counted_alone_and_of_some_databases(redis_server: StartServer, depth: Depth) -> None:
    source, target = redis_server("valkey91"), redis_server("redis70")
    for database, keys in ((0, 3), (1, 5), (2, 4)):
        for server in (source, target):
            client(server, database).mset({f"key:{number}": server.port for number in range(keys)})
    client(target, 1).delete("key:1", "key:2")
    client(target).set(checkpoint_key("another"), "x")
    heard: list[Compared] = []
    found = await compare(plan(source, target), depth=depth, heard=heard.append)
    assert (found.equal, found.different, found.compared, found.differences) == (False, 2, 12, ())
    assert found.counts == {"db0": (3, 3), "db1": (5, 3), "db2": (4, 4)}
    assert list(found.tables) == heard
    assert [(str(it.name), it.source_rows, it.target_rows, it.different) for it in heard] == [
        ("0", 3, 3, 0),
        ("1", 5, 3, 2),
        ("2", 4, 4, 0),
    ]
    some = await compare(plan(source, target), depth=depth, only=[Name(("0",)), Name(("db2",))])
    assert (some.equal, list(some.counts)) == (True, ["db0", "db2"])
    with pytest.raises(Invalid):
        await compare(plan(source, target), depth=depth, repair=True)
    with pytest.raises(Invalid):
        await compare(plan(source, target), only=[Name(("zero",))])


async def test_the_contents_of_each_database_are_heard_of_once(redis_server: StartServer, quickly: None) -> None:
    source, target = redis_server("valkey91"), redis_server("redis70")
    for database in (0, 1, 2):
        for server in (source, target):
            client(server, database).mset({f"key:{number}": "same" for number in range(4)})
    client(target, 1).mset({"key:1": "other", "key:9": "more"})
    heard: list[Compared] = []
    found = await compare(plan(source, target), heard=heard.append)
    assert found.different == 2
    assert {str(it.name): it.different for it in heard} == {"0": 0, "1": 2, "2": 0}
    assert len(heard) == 3
    assert heard == list(found.tables)
    only = await compare(plan(source, target), only=[Name(("1",))])
    assert (only.different, list(only.counts)) == (2, ["db1"])
