"""Files compared with the server that they were loaded into: equal where they are, and every difference named."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sterna.core.change import Name
from sterna.core.comparison import Comparison, Depth
from sterna.core.errors import NeedsOperator, Unsupported
from sterna.core.plan import Mode, Plan, Rename, Selection
from sterna.engines.redis.engine import RedisEngine
from sterna.engines.redis.wire.recode import string
from sterna.engines.redis.wire.resp import command
from sterna.storage.folder import FolderStorage
from tests.engines.moving import endpoint
from tests.engines.redis_files import client_of, imported, opening, rewritten, saved, source, wait_for
from tests.engines.redis_values import fill, knows_field_expiry
from tests.engines.test_redis_import import cluster
from tests.servers.redis import Server, running
from tests.unit.rdb_files import database, expiring, key, sealed, text_key
from tests.unit.test_rdb_empty import EMPTY

pytestmark = pytest.mark.server

PAIRS = [("redis62", "valkey91"), ("redis80", "redis80"), ("valkey91", "valkey91")]


async def compared(target: Server, bucket: Path, *names: str, most: int = 100, **more: Any) -> Comparison:
    plan = Plan(source(*names), endpoint(target), mode=Mode.FULL, selection=more.pop("selection", Selection()))
    return await RedisEngine(opening(FolderStorage(bucket))).compare(plan, most=most, **more)


def bucket_of(folder: Path, **files: bytes) -> Path:
    bucket = folder / "bucket"
    bucket.mkdir()
    for name, data in files.items():
        (bucket / name.replace("_", ".")).write_bytes(data)
    return bucket


def named(found: Comparison) -> set[tuple[str, str]]:
    return {(each.name, each.kind) for each in found.differences}


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
async def test_what_was_imported_is_equal_to_its_file(writer: str, reader: str, tmp_path: Path) -> None:
    with running(writer) as server, running(reader) as target:
        client = client_of(server)
        fill(client)
        client.set("big:text", bytes(range(256)) * 40_000)
        client.rpush("big:list", *("x" * 999 for _ in range(6000)))
        client.zadd("big:zset", {f"member:{n:0500}": n / 7 for n in range(12_000)})
        client.hset("big:hash", mapping={f"f:{n}": "v" * 1000 for n in range(6000)})
        for number in range(6000):
            client.xadd("big:stream", {"field": "v" * 900}, id=f"{number + 1}-1")
        client.xgroup_create("big:stream", "group", "0")
        client.xreadgroup("group", "me", {"big:stream": ">"}, count=300)
        bucket = bucket_of(tmp_path, dump_rdb=saved(server))
        keys = sum(client_of(server, db=number).dbsize() for number in (0, 3, 9))
        await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        found = await compared(target, bucket, "dump.rdb")
        assert found.equal, found.differences
        assert found.compared == keys
        _spoil_large(client_of(target))
        found = await compared(target, bucket, "dump.rdb")
        large = ("text", "list", "zset", "hash", "stream")
        assert named(found) == {(f"db0 big:{name}", "value") for name in large}


def _spoil_large(client: Any) -> None:
    """One small thing in each large value."""
    client.setrange("big:text", 5_000_000, "!")
    client.lset("big:list", 3000, "y" * 999)
    client.zadd("big:zset", {f"member:{5:0500}": 1})
    client.hset("big:hash", "f:77", "w" * 1000)
    client.xack("big:stream", "group", "7-1")


async def test_every_sort_of_difference_is_found_and_named(tmp_path: Path) -> None:
    with running("valkey91") as server, running("valkey91") as target:
        client = client_of(server)
        fill(client)
        bucket = bucket_of(tmp_path, dump_rdb=saved(server))
        await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        spoiled = client_of(target)
        client.execute_command("SELECT", 0)
        for number, name in enumerate(("string:text", "list:small", "set:integers16")):
            spoiled.delete(name)
            spoiled.set(name, "else") if number else None
        spoiled.pexpireat("string:bytes", 4_102_444_800_000)
        spoiled.delete("string:empty", "stream:emptied")
        spoiled.set("string:repeated", "x")
        spoiled.set("extra\xff", "x")
        client_of(target, db=3).set("in:three", "4")
        client_of(target, db=5).set("elsewhere", "5")
        spoiled.function_load("#!lua name=other\nredis.register_function('g', function() return 1 end)")
        found = await compared(target, bucket, "dump.rdb")
        assert not found.equal
        assert found.different == len(found.differences)
        assert named(found) == {
            ("db0 string:text", "missing"), ("db0 list:small", "type"), ("db0 set:integers16", "type"),
            ("db0 string:bytes", "expiry"), ("db0 string:empty", "missing"), ("db0 stream:emptied", "missing"),
            ("db0 string:repeated", "value"), ("db0 extraÿ", "extra"),
            ("db3 in:three", "value"), ("db5 elsewhere", "extra"), ("functions other", "extra"),
        }  # fmt: skip
        few = await compared(target, bucket, "dump.rdb", most=2)
        assert (few.different, len(few.differences)) == (found.different, 2)
        one = await compared(target, bucket, "dump.rdb", only=[Name(("3",))])
        assert named(one) == {("db3 in:three", "value")}


async def test_of_several_files_the_last_one_counts_and_databases_are_mapped(tmp_path: Path) -> None:
    with running("redis70") as target:
        far = 4_102_444_800_000
        one = sealed(database(0), text_key(b"a", b"1"), text_key(b"b", b"1"), expiring(1, text_key(b"x", b"1")))
        two = sealed(database(2), expiring(far, text_key(b"a", b"2")), expiring(5, text_key(b"b", b"2")))
        bucket = bucket_of(tmp_path, one_rdb=one, two_rdb=two)
        into = Selection(renames=(Rename("*", "4"),))
        await imported(endpoint(target), bucket, tmp_path / "job", "one.rdb", "two.rdb", selection=into)
        found = await compared(target, bucket, "one.rdb", "two.rdb", selection=into)
        assert found.equal, found.differences
        assert found.counts == {"db0,db2->db4": (2, 2)}
        found = await compared(target, bucket, "two.rdb", "one.rdb", selection=into)
        assert named(found) == {("db0,db2->db4 a", "value")}
        client_of(target, db=4).set("x", "1")
        found = await compared(target, bucket, "one.rdb", "two.rdb", selection=into)
        assert named(found) == {("db0,db2->db4 x", "extra")}
        counted = await compared(target, bucket, "one.rdb", "two.rdb", selection=into, depth=Depth.ROWS)
        assert (counted.counts, counted.different) == ({"db0,db2->db4": (2, 3)}, 1)


async def test_a_key_whose_time_ran_out_since_the_import_is_no_difference(tmp_path: Path) -> None:
    with running("redis80") as target:
        client = client_of(target)
        soon = time.time_ns() // 1_000_000 + 1500
        bucket = bucket_of(
            tmp_path, dump_rdb=sealed(expiring(soon, text_key(b"soon", b"1")), text_key(b"a", b"1"))
        )
        await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        wait_for(lambda: not client.exists("soon"))
        found = await compared(target, bucket, "dump.rdb")
        assert found.equal, found.differences
        assert found.compared == 1


async def test_fields_whose_time_ran_out_are_no_difference(tmp_path: Path) -> None:
    with running("redis80") as server, running("redis80") as target:
        client = client_of(server)
        assert knows_field_expiry(client)
        client.config_set("hz", 1)
        for name, count in (("hash", 3), ("emptied", 1), ("large", 3000)):
            client.hset(name, mapping={f"f{n}": "v" * (1 if count < 5 else 700) for n in range(count)})
            client.execute_command("HPEXPIRE", name, 1500, "FIELDS", 1, "f0")
        data = saved(server)
        bucket = bucket_of(tmp_path, dump_rdb=data)
        await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        its = client_of(target)
        wait_for(lambda: not its.hexists("large", "f0") and not its.exists("emptied"))
        found = await compared(target, bucket, "dump.rdb")
        assert found.equal, found.differences
        client_of(target).hset("hash", "f1", "w")
        assert named(await compared(target, bucket, "dump.rdb")) == {("db0 hash", "value")}


@pytest.mark.parametrize("preamble", ["yes", "no"])
async def test_an_aof_is_compared_while_it_is_a_data_set_alone(preamble: str, tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--appendfsync", "always")
    with running("redis70", *options) as server, running("redis70") as target:
        client = client_of(server)
        client.set("a", "1")
        rewritten(server)
        folder = server.folder / "appendonlydir"
        await imported(endpoint(target), folder, tmp_path / "job", "appendonly.aof.manifest")
        if preamble == "yes":
            found = await compared(target, folder, "appendonly.aof.manifest")
            assert (found.equal, found.compared) == (True, 1)
        client.incr("a")
        with pytest.raises(Unsupported, match=r"appendonly.aof.*commands at byte"):
            await compared(target, folder, "appendonly.aof.manifest")


async def test_commands_behind_a_preamble_are_found(tmp_path: Path) -> None:
    with running("redis70") as target:
        base = sealed(text_key(b"a", b"1"))
        bucket = bucket_of(tmp_path, a_rdb=base, b_aof=base + command(b"INCR", b"a"), c_aof=base + b"#TS:17\r\n")
        await imported(endpoint(target), bucket, tmp_path / "job", "a.rdb")
        assert (await compared(target, bucket, "c.aof")).equal
        with pytest.raises(Unsupported, match=f"b.aof has commands at byte {len(base)}"):
            await compared(target, bucket, "b.aof")


HARMED = [
    (sealed(text_key(b"a", b"1"))[:-3], "truncated"),
    (sealed(text_key(b"a", b"1"))[:-8] + b"harmless", "checksum"),
    (b"REDIS0011" + b"\xfc" + bytes(8) + b"\xff" + bytes(8), "stands between"),
    (sealed(key(b"a", 10, string(b"no ziplist"))), "key a: .* ziplist"),
    (sealed(key(b"a", 99, string(b"x"))), "99"),
]


async def test_a_damaged_file_is_named_and_no_difference(tmp_path: Path) -> None:
    with running("redis70") as target:
        client_of(target).rpush("a", "1")
        bucket = bucket_of(tmp_path)
        for data, said in HARMED:
            (bucket / "a.rdb").write_bytes(data)
            with pytest.raises(NeedsOperator, match=f"a.rdb: .*{said}"):
                await compared(target, bucket, "a.rdb")


async def test_a_repair_from_files_is_refused_by_name(tmp_path: Path) -> None:
    with running("redis70") as target:
        bucket = bucket_of(tmp_path, a_rdb=sealed(text_key(b"a", b"1")))
        with pytest.raises(Unsupported, match="import them again"):
            await compared(target, bucket, "a.rdb", repair=True)


async def test_files_are_compared_with_all_nodes_of_a_cluster(tmp_path: Path) -> None:
    with running("redis70") as server, cluster("redis70") as nodes:
        client = client_of(server)
        for number in range(300):
            client.set(f"key:{number}", number)
        bucket = bucket_of(tmp_path, dump_rdb=saved(server))
        await imported(endpoint(nodes[0]), bucket, tmp_path / "job", "dump.rdb")
        found = await compared(nodes[1], bucket, "dump.rdb")
        assert (found.equal, found.compared, found.counts) == (True, 300, {"db0": (300, 300)}), found.differences
        _in_cluster(nodes, "DEL", "key:7")
        _in_cluster(nodes, "SET", "more", "x")
        assert named(await compared(nodes[1], bucket, "dump.rdb")) == {
            ("db0 key:7", "missing"),
            ("db0 more", "extra"),
        }


def _in_cluster(nodes: Sequence[Server], *words: str) -> None:
    """Carry a command out where its key belongs."""
    import redis

    for node in nodes:
        try:
            client_of(node).execute_command(*words)
            return
        except redis.ResponseError:
            continue
    raise AssertionError("no node took it")


async def test_keys_that_hold_no_element_are_told_of_and_on_neither_side(tmp_path: Path) -> None:
    records = [*EMPTY.values(), text_key(b"there", b"x")]
    with running("redis80") as target:
        bucket = bucket_of(tmp_path, dump_rdb=sealed(*records))
        move = await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        assert client_of(target).keys() == [b"there"]
        (told,) = [event for event in await move.events() if event.level != "INFO"]
        assert (told.code, "15 keys hold no element" in told.message) == ("redis.file.left_out", True)
        assert "'set listpack'" not in told.message, "more than ten"
        found = await compared(target, bucket, "dump.rdb")
        assert found.equal, found.differences
        assert found.compared == 1


async def test_a_log_begins_a_key_anew_whose_part_before_it_held_no_element(tmp_path: Path) -> None:
    part = sealed(b"\xfa" + string(b"aof-base") + string(b"1"), EMPTY[b"list"], magic=b"REDIS0010")
    with running("redis70") as target:
        client = client_of(target)
        client.rpush("list", "the target's own")
        bucket = bucket_of(tmp_path, log_aof=part + command(b"SELECT", 0) + command(b"RPUSH", b"list", b"a"))
        await imported(endpoint(target), bucket, tmp_path / "job", "log.aof")
        assert client.lrange("list", 0, -1) == [b"a"]
