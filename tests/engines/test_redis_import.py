"""Files that real servers wrote, imported into real servers, and compared with the server that wrote them."""

import gzip
import io
import shutil
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sterna.core.errors import BadData, KeyConflict, Unreachable
from sterna.core.files import Entry, Storage
from sterna.core.job import Condition, Failure, Phase
from sterna.core.plan import Conflict, Endpoint, Mode, Pace, Plan, Rename, Selection, StoredFile
from sterna.engines.redis.engine import RedisEngine
from sterna.engines.redis.wire.recode import string
from sterna.engines.redis.wire.resp import command
from sterna.storage.folder import FolderStorage
from tests.engines.moving import Move, endpoint
from tests.engines.redis_files import (
    BUCKET,
    assert_equal,
    client_of,
    imported,
    importing,
    opening,
    rewritten,
    saved,
    wait_for,
)
from tests.engines.redis_values import fill
from tests.servers.redis import Server, running
from tests.unit.rdb_files import expiring, sealed, text_key
from tests.unit.rdb_files import key as record

pytestmark = pytest.mark.server


def touch(client: Any) -> None:
    """Writes that an AOF has as commands: relative ones, expiries, transactions, and some that undo others."""
    for number in range(500):
        client.incrby(f"counter:{number % 50}", number)
        client.rpush("aof:list", number)
    pipeline = client.pipeline(transaction=True)
    pipeline.set("tx:a", 1).incr("tx:a").hset("tx:h", mapping={"f": "v"})
    pipeline.execute()
    client.set("aof:gone", "x")
    client.delete("aof:gone")
    client.set("aof:short", "x", px=1)
    client.set("aof:kept", 5, ex=1000)
    client.persist("aof:kept")
    client.expire("counter:1", 5000)
    client.execute_command("SELECT", 5)
    client.incr("five")
    client.execute_command("SELECT", 0)
    client.eval("redis.call('SET', KEYS[1], ARGV[1])", 1, "aof:script", "7")


PAIRS = [("redis62", "redis70"), ("redis70", "valkey81"), ("redis80", "redis80"), ("valkey81", "valkey91"),
         ("valkey91", "valkey91")]  # fmt: skip


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
async def test_an_rdb_file_brings_everything_that_its_server_has(writer: str, reader: str, tmp_path: Path) -> None:
    with running(writer) as source, running(reader) as target:
        fill(client_of(source))
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        (bucket / "dump.rdb").write_bytes(saved(source))
        await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        await assert_equal(source, target)
        assert not client_of(target).keys("sterna:*")


@pytest.mark.parametrize("flavor", ["redis62", "redis70", "redis80", "valkey81", "valkey91"])
@pytest.mark.parametrize("preamble", ["yes", "no"])
async def test_an_aof_brings_what_its_commands_made(flavor: str, preamble: str, tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--aof-use-rdb-preamble", preamble, "--appendfsync", "always")
    with running(flavor, *options) as source, running(flavor) as target:
        client = client_of(source)
        fill(client)
        rewritten(source)
        touch(client)
        bucket = shelved(source, tmp_path / "bucket")
        names = ["appendonly.aof"] if flavor == "redis62" else ["appendonlydir/"]
        move = await imported(endpoint(target), bucket, tmp_path / "job", *names)
        source.restart()
        await assert_equal(source, target)
        assert not client_of(target).keys("sterna:*")
        assert not [event for event in await move.events() if event.level != "INFO"]


def shelved(server: Any, bucket: Path) -> Path:
    """The server's AOF, put into a bucket."""
    bucket.mkdir(exist_ok=True)
    if (server.folder / "appendonlydir").is_dir():
        shutil.copytree(server.folder / "appendonlydir", bucket / "appendonlydir", dirs_exist_ok=True)
    else:
        shutil.copy(server.folder / "appendonly.aof", bucket)
    return bucket


async def test_only_the_manifest_needs_to_be_named(tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "always", "--aof-timestamp-enabled", "yes")
    with running("valkey91", *options) as source, running("valkey91") as target:
        fill(client_of(source))
        touch(client_of(source))
        bucket = shelved(source, tmp_path / "bucket")
        (bucket / "appendonlydir" / "appendonly.aof.9.incr.aof").write_bytes(b"history, and no AOF")
        await imported(endpoint(target), bucket, tmp_path / "job", "appendonlydir/appendonly.aof.manifest")
        source.restart()  # an AOF does not know a consumer that never got anything: its server forgets it too
        await assert_equal(source, target)


@pytest.mark.parametrize("packing", ["zip", "stored zip", "tar.gz", "tar", "gz"])
async def test_archives_are_opened(packing: str, tmp_path: Path) -> None:
    with running("redis70") as source, running("valkey81") as target:
        fill(client_of(source))
        data = saved(source)
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        (bucket / "packed").write_bytes(packed(packing, {"readme.txt": b"hello", "data/dump.rdb": data}))
        await imported(endpoint(target), bucket, tmp_path / "job", "packed")
        await assert_equal(source, target)


@pytest.mark.parametrize("packing", ["zip", "tar.gz"])
async def test_a_multi_part_aof_in_an_archive_is_put_in_order(packing: str, tmp_path: Path) -> None:
    with (
        running("redis80", "--appendonly", "yes", "--appendfsync", "always") as source,
        running("redis80") as target,
    ):
        fill(client_of(source))
        rewritten(source)
        touch(client_of(source))
        folder = source.folder / "appendonlydir"
        files = {f"x/{path.name}": path.read_bytes() for path in sorted(folder.iterdir(), reverse=True)}
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        (bucket / "packed").write_bytes(packed(packing, files))
        await imported(endpoint(target), bucket, tmp_path / "job", "packed")
        await assert_equal(source, target)


def packed(how: str, files: dict[str, bytes]) -> bytes:
    """The files in an archive; a plain gz has the last one alone."""
    out = io.BytesIO()
    match how:
        case "zip" | "stored zip":
            method = zipfile.ZIP_DEFLATED if how == "zip" else zipfile.ZIP_STORED
            with zipfile.ZipFile(out, "w", method) as archive:
                for name, data in files.items():
                    archive.writestr(name, data)
        case "gz":
            return gzip.compress(list(files.values())[-1])
        case _:
            with tarfile.open(fileobj=out, mode="w:gz" if how == "tar.gz" else "w") as tar:
                for name, data in files.items():
                    about = tarfile.TarInfo(name)
                    about.size = len(data)
                    tar.addfile(about, io.BytesIO(data))
    return out.getvalue()


LOG = ("--appendonly", "yes", "--aof-use-rdb-preamble", "no", "--appendfsync", "always")


async def test_keys_that_an_aof_writes_begin_anew_and_others_stay(tmp_path: Path) -> None:
    with running("redis62", *LOG) as source, running("redis62") as target:
        touch(client_of(source))
        client = client_of(target)
        client.rpush("aof:list", "old")
        client.set("counter:7", 1_000_000)
        client.set("five", "other database")
        client.set("others", "stay")
        bucket = shelved(source, tmp_path / "bucket")
        await imported(endpoint(target), bucket, tmp_path / "job", "appendonly.aof")
        assert client.get("others") == b"stay"
        assert client.get("five") == b"other database"
        client.delete("others", "five")
        source.restart()
        await assert_equal(source, target)


@pytest.mark.parametrize("full", [False, True])
async def test_a_flush_takes_away_what_the_file_brought_and_nothing_else(full: bool, tmp_path: Path) -> None:
    with running("redis62", *LOG) as source, running("redis62") as target:
        client, other = client_of(source), client_of(target)
        if full:
            other.set("others", "stay")
        touch(client)
        client.execute_command("SELECT", 5)
        client.flushdb()
        client.set("after", 1)
        client.execute_command("SELECT", 0)
        client.set("before", 1)
        client.flushall()
        client.set("last", 1)
        bucket = shelved(source, tmp_path / "bucket")
        await imported(endpoint(target), bucket, tmp_path / "job", "appendonly.aof")
        assert set(other.keys()) == {b"last", *([b"others"] if full else [])}
        assert "db5" not in other.info("keyspace")


async def test_expiries_that_are_over_end_keys_only_at_the_end(tmp_path: Path) -> None:
    log = (
        b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n"
        b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n5\r\n"
        b"*3\r\n$9\r\nPEXPIREAT\r\n$1\r\na\r\n$13\r\n1600000000000\r\n"
        b"#TS:1600000000\r\n"
        b"*2\r\n$4\r\nINCR\r\n$1\r\na\r\n"
        b"*2\r\n$7\r\nPERSIST\r\n$1\r\na\r\n"
        b"*5\r\n$3\r\nSET\r\n$1\r\nb\r\n$1\r\n1\r\n$4\r\nPXAT\r\n$13\r\n1600000000000\r\n"
    )
    with running("valkey91") as target:
        (tmp_path / "appendonly.aof").write_bytes(log)
        await imported(endpoint(target), tmp_path, tmp_path / "job", "appendonly.aof")
        client = client_of(target)
        assert client.get("a") == b"6"
        assert client.ttl("a") == -1
        assert not client.exists("b")


async def test_an_import_that_is_cut_goes_on_and_applies_everything_once(tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, running("redis70") as target:
        client = client_of(source)
        pipeline = client.pipeline(transaction=False)
        for number in range(60_000):
            pipeline.incr(f"n:{number % 100}").rpush(f"l:{number % 10}", number)
        pipeline.execute()
        bucket = shelved(source, tmp_path / "bucket")
        move = await importing(
            endpoint(target), bucket, tmp_path / "job", "appendonlydir/", pace=Pace(copy_bytes_per_s=1 << 20)
        ).start()
        for _ in range(3):
            before = (await move.progress()).bytes
            await move.until(lambda job, figures, before=before: figures.bytes > before)  # type: ignore[misc]
            await move.cut()
            assert client_of(target).dbsize() > 0
            move.go()
        await move.hurry()
        await move.ended()
        await assert_equal(source, target)
        figures = await move.progress()
        assert figures.bytes_total == sum(path.stat().st_size for path in (bucket / "appendonlydir").iterdir())
        assert figures.bytes_total / 2 < figures.bytes <= figures.bytes_total


@pytest.mark.parametrize("tail", [b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$10\r\n12",
                                  b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n"])  # fmt: skip
async def test_the_end_of_an_aof_that_is_cut_off_is_left_out_and_told(tail: bytes, tmp_path: Path) -> None:
    with running("redis62", *LOG) as source, running("redis62") as target:
        touch(client_of(source))
        bucket = shelved(source, tmp_path / "bucket")
        with (bucket / "appendonly.aof").open("ab") as file:
            start = file.tell()
            file.write(tail)
        move = await imported(endpoint(target), bucket, tmp_path / "job", "appendonly.aof")
        (told,) = await move.events("redis.file.cut_off")
        assert f"begins at byte {start}: these last {len(tail)} bytes" in told.message
        source.restart()
        await assert_equal(source, target)


@pytest.mark.parametrize("full", [True, False])
async def test_parts_that_end_with_a_new_key_or_a_note_are_whole(full: bool, tmp_path: Path) -> None:
    with running("redis70") as target:
        parts = {
            "x.aof.1.base.aof": command(b"SET", b"a", b"1"),
            "x.aof.1.incr.aof": command(b"SET", b"b", b"1") + command(b"PUBLISH", b"c", b"m"),
            "x.aof.2.incr.aof": command(b"SET", b"c", b"1") + b"#TS:1700000000\r\n",
            "x.aof.manifest": b"file x.aof.1.base.aof seq 1 type b\nfile x.aof.1.incr.aof seq 1 type i\n"
            b"file x.aof.2.incr.aof seq 2 type i\n",
        }
        for name, data in parts.items():
            (tmp_path / name).write_bytes(data)
        if full:
            client_of(target).set("d", 1)
        move = await imported(endpoint(target), tmp_path, tmp_path / "job", "x.aof.manifest")
        assert not await move.events("redis.file.cut_off")
        assert sorted(client_of(target).keys()) == [b"a", b"b", b"c", *([b"d"] if full else [])]


async def test_a_length_that_servers_refuse_is_damage_and_not_a_broken_link(tmp_path: Path) -> None:
    with running("redis70") as target:
        (tmp_path / "a.aof").write_bytes(b"*3\r\n$03\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n")
        failure = await failed(importing(endpoint(target), tmp_path, tmp_path / "job", "a.aof"))
        assert (failure.code, "a length is no number" in failure.message) == (BadData.code, True)


async def test_a_value_that_the_target_refused_is_not_passed_over_by_the_next_run(tmp_path: Path) -> None:
    with running("redis70") as target:
        broken = record(b"broken", 10, string(b"no ziplist at all"))
        (tmp_path / "a.rdb").write_bytes(sealed(broken, text_key(b"a", b"1")))
        move = importing(endpoint(target), tmp_path, tmp_path / "job", "a.rdb")
        assert (await failed(move)).code == BadData.code
        await move.again()
        failure = await ended_in_failure(move)
        assert "An earlier run failed" in failure.message
        assert "RESTORE broken" in failure.message
        (tmp_path / "a.rdb").write_bytes(sealed(text_key(b"broken", b"mended"), text_key(b"a", b"1")))
        await move.again()
        await move.ended()
        assert client_of(target).mget("broken", "a") == [b"mended", b"1"]


@pytest.mark.parametrize("full", [True, False])
async def test_commands_behind_an_rdb_file_that_names_none_are_carried_out_as_an_aof(
    full: bool, tmp_path: Path
) -> None:
    with running("redis70") as target:
        log = command(b"INCR", b"a") + command(b"PERSIST", b"over") + command(b"RPUSH", b"list", b"x") * 3
        (tmp_path / "a.rdb").write_bytes(
            sealed(text_key(b"a", b"5"), expiring(1000, text_key(b"over", b"kept")), magic=b"REDIS0009") + log
        )
        if full:
            client_of(target).rpush("list", "old")
        for run in ("one", "two"):
            move = await imported(endpoint(target), tmp_path, tmp_path / run, "a.rdb")
            assert len(await move.events("redis.file.log")) == 1
            client = client_of(target)
            assert client.mget("a", "over") == [b"6", b"kept"]
            assert client.lrange("list", 0, -1) == [b"x"] * 3
            assert client.pexpiretime("over") == -1
            assert sorted(client.keys()) == [b"a", b"list", b"over"]


async def test_a_broken_middle_stops_the_import_and_says_where(tmp_path: Path) -> None:
    with running("redis62", *LOG) as source, running("redis62") as target:
        touch(client_of(source))
        bucket = shelved(source, tmp_path / "bucket")
        data = bytearray((bucket / "appendonly.aof").read_bytes())
        place = data.index(b"*3\r\n", len(data) // 2)
        data[place] = ord("x")
        (bucket / "appendonly.aof").write_bytes(data)
        move = importing(endpoint(target), bucket, tmp_path / "job", "appendonly.aof")
        failure = await failed(move)
        assert failure.code == BadData.code
        assert f"appendonly.aof: The stream of commands is not readable at byte {place}" in failure.message


async def test_a_flipped_bit_in_an_rdb_file_is_found(tmp_path: Path) -> None:
    with running("redis70") as source, running("redis70") as target:
        fill(client_of(source))
        data = bytearray(saved(source))
        data[data.index("wörld".encode())] ^= 1
        (tmp_path / "dump.rdb").write_bytes(data)
        failure = await failed(importing(endpoint(target), tmp_path, tmp_path / "job", "dump.rdb"))
        assert failure.code == BadData.code
        assert "dump.rdb: RDB offset" in failure.message
        assert "the checksum is" in failure.message


async def failed(move: Move) -> Failure:
    """Run a job that cannot succeed; why it did not."""
    await move.start()
    return await ended_in_failure(move)


async def ended_in_failure(move: Move) -> Failure:
    """The same of a run that has begun."""
    assert move.task
    await move.task
    job = await move.now()
    assert job.condition is Condition.FAILED
    assert job.failure
    return job.failure


async def test_an_admin_command_in_a_file_is_refused_by_name(tmp_path: Path) -> None:
    with running("redis70") as target:
        (tmp_path / "a.aof").write_bytes(command(b"SELECT", b"0") + command(b"CONFIG", b"SET", b"maxmemory", b"1"))
        failure = await failed(importing(endpoint(target), tmp_path, tmp_path / "job", "a.aof"))
        assert "CONFIG at byte 23 is not a command about data" in failure.message
        assert client_of(target).config_get("maxmemory")["maxmemory"] == "0"


async def test_databases_are_selected_and_mapped(tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, running("redis70") as target:
        for number in (0, 2, 5):
            client_of(source, db=number).set(f"in:{number}", 1)
        bucket = shelved(source, tmp_path / "bucket")
        selection = Selection(only=("2",), renames=(Rename("2", "7"),))
        await imported(endpoint(target), bucket, tmp_path / "job", "appendonlydir/", selection=selection)
        assert client_of(target, db=7).keys() == [b"in:2"]
        assert set(client_of(target).info("keyspace")) == {"db7"}


async def test_a_cluster_gets_each_key_where_it_belongs(tmp_path: Path) -> None:
    with running("redis70") as source, cluster("redis70") as nodes:
        fill(client_of(source))
        for number in (3, 9):
            client_of(source, db=number).flushdb()
        big = {f"field-{number}": "x" * 100 for number in range(200_000)}
        client_of(source).hset("big", mapping=big)
        (tmp_path / "dump.rdb").write_bytes(saved(source))
        end = replace(endpoint(nodes[0]), addresses=tuple((node.host, node.port) for node in nodes))
        await imported(end, tmp_path, tmp_path / "job", "dump.rdb")
        assert_spread(source, nodes)


async def test_an_aof_goes_into_a_cluster_also_after_a_break(tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, cluster("redis70") as nodes:
        pipeline = client_of(source).pipeline(transaction=False)
        for number in range(50):
            pipeline.set(f"expiring:{number}", 1, ex=5000 + number)
        for number in range(40_000):
            pipeline.incr(f"n:{number % 100}").rpush(f"l:{number % 10}", number)
        pipeline.execute()
        client_of(nodes[0]).flushall()
        bucket = shelved(source, tmp_path / "bucket")
        pace = Pace(copy_bytes_per_s=1 << 20)
        move = await importing(endpoint(nodes[1]), bucket, tmp_path / "job", "appendonlydir/", pace=pace).start()
        await move.until(lambda job, figures: figures.bytes > 0)
        await move.cut()
        assert sum(client_of(node).dbsize() for node in nodes) > 0
        move.go()
        await move.ended()
        assert_spread(source, nodes)


async def test_another_database_than_0_is_found_before_a_cluster_is_written(tmp_path: Path) -> None:
    with running("redis70") as source, cluster("redis70") as nodes:
        client_of(source, db=4).set("a", 1)
        (tmp_path / "dump.rdb").write_bytes(saved(source))
        failure = await failed(importing(endpoint(nodes[0]), tmp_path, tmp_path / "job", "dump.rdb"))
        assert "The files have keys in database 4" in failure.message


def assert_spread(source: Server, nodes: list[Server]) -> None:
    """Every key is on one node, with the same value."""
    mine = client_of(source)
    found = {key: client_of(node) for node in nodes for key in client_of(node).keys("*")}
    assert sorted(found) == sorted(mine.keys())
    for key, client in found.items():
        assert mine.type(key) == client.type(key)
        assert mine.pexpiretime(key) == client.pexpiretime(key)
        if mine.type(key) != b"stream":
            assert contents(mine, key) == contents(client, key)


def contents(client: Any, key: bytes) -> Any:
    match client.type(key):
        case b"string":
            return client.get(key)
        case b"list":
            return client.lrange(key, 0, -1)
        case b"set":
            return client.smembers(key)
        case b"hash":
            return client.hgetall(key)
        case _:
            return client.zrange(key, 0, -1, withscores=True)


@contextmanager
def cluster(flavor: str) -> Iterator[list[Server]]:
    """Three masters that share the slots."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(running(flavor, "--cluster-enabled", "yes")) for _ in range(3)]
        for number, node in enumerate(nodes):
            client = client_of(node)
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * 5462, min(16383, number * 5462 + 5461))
            client.execute_command("CLUSTER", "MEET", nodes[0].host, nodes[0].port)
        for node in nodes:
            wait_for(lambda node=node: b"cluster_state:ok" in info_of(node))  # type: ignore[misc]
            wait_for(lambda node=node: len(client_of(node).execute_command("CLUSTER", "SLOTS")) == 3)  # type: ignore[misc]
        yield nodes


def info_of(node: Server) -> bytes:
    found = client_of(node).execute_command("CLUSTER", "INFO")
    return found if isinstance(found, bytes) else "\r\n".join(f"{k}:{v}" for k, v in found.items()).encode()


@pytest.mark.parametrize("flavor", ["redis62", "redis70", "valkey91"])
@pytest.mark.parametrize("form", ["rdb", "aof"])
async def test_a_backup_of_a_server_is_taken_and_its_own_kind_reads_it(
    flavor: str, form: str, tmp_path: Path
) -> None:
    with running(flavor) as source, running(flavor) as target:
        fill(client_of(source))
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        move = backing_up(source, FolderStorage(bucket), tmp_path / "job", name := f"i/1.{form}")
        await move.start()
        await move.ended()
        assert (await move.progress()).bytes == (bucket / name).stat().st_size
        await imported(endpoint(target), bucket, tmp_path / "import", name)
        await assert_equal(source, target)
        home = tmp_path / "home"
        home.mkdir()
        shutil.copy(bucket / name, home / ("dump.rdb" if form == "rdb" else "appendonly.aof"))
        with running(flavor, "--appendonly", "yes" if form == "aof" else "no", folder=home) as reader:
            await assert_equal(source, reader)


async def test_a_file_that_is_replaced_meanwhile_is_imported_anew(tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, running("redis70") as target:
        pipeline = client_of(source).pipeline(transaction=False)
        for number in range(60_000):
            pipeline.incr(f"n:{number % 100}")
        pipeline.execute()
        bucket = shelved(source, tmp_path / "bucket")
        pace = Pace(copy_bytes_per_s=1 << 18)
        move = await importing(endpoint(target), bucket, tmp_path / "job", "appendonlydir/", pace=pace).start()
        await move.until(lambda job, figures: figures.bytes > 0)
        await move.cut()
        await move.hurry()
        client_of(source).incr("later")
        shelved(source, bucket)
        move.go()
        await move.ended()
        assert [event.message for event in await move.events("run.again") if "replaced" in event.message]
        await assert_equal(source, target)


async def test_the_policy_stop_leaves_a_target_with_keys_alone(tmp_path: Path) -> None:
    with running("redis70") as target:
        (tmp_path / "a.aof").write_bytes(command(b"SET", b"a", b"1"))
        client_of(target).set("b", 2)
        move = importing(endpoint(target), tmp_path, tmp_path / "job", "a.aof", conflict=Conflict.STOP)
        failure = await failed(move)
        assert (failure.code, client_of(target).keys("*")) == (KeyConflict.code, [b"b"])
        client_of(target).delete("b")
        await move.again()
        await move.ended()
        assert client_of(target).keys("*") == [b"a"]


async def test_the_policy_skip_keeps_what_the_target_has(tmp_path: Path) -> None:
    with running("redis70") as target:
        (tmp_path / "a.aof").write_bytes(command(b"SET", b"a", b"1") + command(b"MSET", b"b", b"1", b"c", b"1"))
        client_of(target).set("b", 2)
        await imported(endpoint(target), tmp_path, tmp_path / "job", "a.aof", conflict=Conflict.SKIP)
        assert client_of(target).mget("a", "b", "c") == [b"1", b"2", b"1"]


async def test_of_several_files_the_last_one_wins(tmp_path: Path) -> None:
    with running("redis70") as source, running("redis70") as target:
        client_of(source).rpush("both", "rdb")
        client_of(source).set("one", 1)
        (tmp_path / "1.rdb").write_bytes(saved(source))
        (tmp_path / "2.aof").write_bytes(command(b"RPUSH", b"both", b"aof") + command(b"INCR", b"two"))
        (tmp_path / "3.aof").write_bytes(command(b"RPUSH", b"both", b"last") + command(b"SET", b"three", b"3"))
        move = await imported(endpoint(target), tmp_path, tmp_path / "job", "1.rdb", "2.aof", "3.aof")
        client = client_of(target)
        assert client.lrange("both", 0, -1) == [b"last"]
        assert client.mget("one", "two", "three") == [b"1", b"1", b"3"]
        figures = await move.progress()
        assert figures.bytes == figures.bytes_total > 100


async def test_twice_the_same_import_is_the_same_as_once(tmp_path: Path) -> None:
    with running("redis62", *LOG) as source, running("redis62") as target:
        touch(client_of(source))
        bucket = shelved(source, tmp_path / "bucket")
        move = await imported(endpoint(target), bucket, tmp_path / "job", "appendonly.aof")
        await move.again()
        await move.ended()
        source.restart()
        await assert_equal(source, target)


def backing_up(source: Server, storage: Storage, folder: Path, *names: str) -> Move:
    end = Endpoint("redis", (), files=tuple(StoredFile(BUCKET, name) for name in names))
    move = Move(endpoint(source), end, folder, Plan(endpoint(source), end, mode=Mode.FULL))
    move.engine = move.engines["redis"] = RedisEngine(opening(storage))
    return move


class Stubborn(FolderStorage):
    """Refuses some writes before it takes one."""

    refusals = 2

    def write(self, name: str, pieces: Iterable[bytes]) -> Entry:
        if self.refusals:
            self.refusals -= 1
            next(iter(pieces))
            raise Unreachable("the bucket is away")
        return super().write(name, pieces)


async def test_a_backup_waits_for_its_bucket(tmp_path: Path) -> None:
    with running("redis70") as source:
        fill(client_of(source))
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        move = await backing_up(source, Stubborn(bucket), tmp_path / "job", "1.rdb").start()
        await move.ended()
        assert (await move.progress()).retries == 2
        assert (bucket / "1.rdb").read_bytes().startswith(b"REDIS0010")
        assert [path.name for path in bucket.iterdir()] == ["1.rdb"]


async def test_a_backup_that_is_cut_is_taken_anew(tmp_path: Path) -> None:
    with running("redis70", "--rdb-key-save-delay", "200") as source:
        client_of(source).mset({f"key:{number}": "x" * 1000 for number in range(3000)})
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        move = await backing_up(source, FolderStorage(bucket), tmp_path / "job", "1.rdb").start()
        await move.until(lambda job, figures: job.phase is Phase.COPY)
        await move.cut()
        move.go()
        await move.ended()
        assert (bucket / "1.rdb").stat().st_size == (await move.progress()).bytes > 50_000


async def test_a_backup_of_a_server_that_is_away_says_so(tmp_path: Path) -> None:
    with running("redis70") as source:
        move = backing_up(source, FolderStorage(tmp_path), tmp_path / "job", "1.rdb")
        source.kill9()
        failure = await failed(move)
        assert "redis.source.reachable" in failure.message


async def test_an_import_onto_other_keys_that_is_cut_ends_the_same(tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, running("redis70") as target:
        for round in range(2):
            pipeline = client_of(source).pipeline(transaction=False)
            for number in range(20_000):
                pipeline.incr(f"n:{number % 100 + round}").rpush(f"l:{number % 10}", number)
            if not round:
                pipeline.flushall()
            pipeline.execute()
        client_of(target).mset({f"n:{number}": 1_000_000 for number in range(150)})
        client_of(target).rpush("l:3", "old")
        bucket = shelved(source, tmp_path / "bucket")
        pace = Pace(copy_bytes_per_s=1 << 19)
        move = await importing(endpoint(target), bucket, tmp_path / "job", "appendonlydir/", pace=pace).start()
        for _ in range(3):
            before = (await move.progress()).bytes
            await move.until(lambda job, figures, before=before: figures.bytes > before)  # type: ignore[misc]
            await move.cut()
            move.go()
        await move.hurry()
        await move.ended()
        kept = [f"n:{number}" for number in (0, *range(101, 150))]
        assert client_of(target).mget(kept) == [None, *[b"1000000"] * 49], "n:0 was the file's, and flushed"
        client_of(target).delete(*kept)
        await assert_equal(source, target)


def lengthy(client: Any) -> None:
    """Commands that are too long to be held, on their own and in transactions, beside short ones."""
    client.set("big:text", bytes(range(256)) * 10_000)
    client.set("big:short-lived", b"x" * 3_000_000, ex=5000)
    client.rpush("big:list", *(b"%0100d" % number for number in range(50_000)))
    client.hset("big:hash", mapping={"short": "1", "long": b"v" * 5_000_000, b"f" * 2_000_000: "field"})
    client.set(b"k" * 1_500_000, "a long key")
    pipeline = client.pipeline(transaction=True)
    for number in range(4):
        pipeline.incr("count").append("big:text", b"%d" % number * 2_000_000)
    pipeline.execute()
    client.incr("count")


@pytest.mark.parametrize("empty", [True, False])
async def test_commands_that_are_too_long_to_be_held_are_carried_out_once(empty: bool, tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, running("redis70") as target:
        lengthy(client_of(source))
        client_of(source, db=3).append("other:database", b"y" * 4_000_000)
        client_of(source).mset({f"many:{number}": "x" * 500 for number in range(10_000)})
        bucket = shelved(source, tmp_path / "bucket")
        if not empty:
            client_of(target).rpush("big:list", "the target's own")
        pace = Pace(copy_bytes_per_s=20 << 20)
        move = await importing(endpoint(target), bucket, tmp_path / "job", "appendonlydir/", pace=pace).start()
        for _ in range(2):
            before = (await move.progress()).bytes
            await move.until(lambda job, figures, before=before: figures.bytes > before)  # type: ignore[misc]
            await move.cut()
            move.go()
        await move.ended()
        await assert_equal(source, target)
        assert client_of(target).get("count") == b"5"


async def test_long_words_go_to_the_nodes_of_a_cluster(tmp_path: Path) -> None:
    with running("redis70", *LOG) as source, cluster("redis70") as nodes:
        lengthy(client_of(source))
        bucket = shelved(source, tmp_path / "bucket")
        await imported(endpoint(nodes[0]), bucket, tmp_path / "job", "appendonlydir/")
        assert_spread(source, nodes)
