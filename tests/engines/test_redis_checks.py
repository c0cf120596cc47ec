"""Each check against real servers that are right, worth an alarm, or wrong."""

import asyncio
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from sterna.core.finding import Finding, Severity
from sterna.core.plan import Endpoint, Plan, Rename, Selection, Tls
from sterna.engines.redis.checks import checks
from sterna.engines.redis.checks_pair import clock, versions
from sterna.engines.redis.checks_source import backlog, modules, output_buffer, psync, replication
from sterna.engines.redis.checks_target import memory, writable
from sterna.engines.redis.mapping import Mapping as DatabaseMapping
from sterna.engines.redis.survey import Facts, _ahead
from sterna.engines.redis.verdict import Scene
from tests.effort import PATIENCE
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server, free_port, running

server = pytest.mark.server
PASSED, ALARM, FAILED = Severity.PASSED, Severity.ALARM, Severity.FAILED

EITHER = ("reachable", "authenticated", "version", "mode", "loading", "role", "rights")
SOURCE = (*EITHER, "psync", "output_buffer", "backlog", "replication", "modules", "functions")
TARGET = (*EITHER, "writable", "memory", "eviction", "databases", "empty")
PAIR = ("versions", "distinct", "loop", "clock")
NAMES = {
    f"redis.{side}.{name}"
    for side, names in (("source", SOURCE), ("target", TARGET), ("pair", PAIR))
    for name in names
}
ALL = Selection()


def endpoint(of: Server, **more: str) -> Endpoint:
    user, password = more.get("user", of.user or ""), more.get("password", of.password or "")
    return Endpoint("redis", ((of.host, of.port),), user, password)


def run(of: Server, *words: str) -> Any:
    """Any command, as the user that may do everything."""
    client: Any = of.client()
    return client.execute_command(*words)


async def look(source: Endpoint, target: Endpoint, selection: Selection = ALL) -> Mapping[str, Finding]:
    found: dict[str, Finding] = {}
    for check in checks(Plan(source, target, selection=selection)):
        (finding,) = await check.run()
        assert finding.check == check.name
        assert bool(finding.remedy) == (finding.severity is not PASSED)
        found[finding.check] = finding
    return found


def not_passed(findings: Mapping[str, Finding]) -> dict[str, Severity]:
    return {name: finding.severity for name, finding in findings.items() if finding.severity is not PASSED}


def wait_for(server: Server, name: str, value: str) -> None:
    """Until INFO says so."""
    deadline = time.monotonic() + PATIENCE
    while run(server, "INFO", "replication").get(name) != value:
        assert time.monotonic() < deadline, f"{name} never became {value}"
        time.sleep(0.01)


@server
@pytest.mark.parametrize("pair", ["valkey91 valkey91", "redis62 redis62", "redis62 valkey91", "redis70 redis82"])
async def test_two_plain_servers_pass_everything(redis_server: StartServer, pair: str) -> None:
    source, target = (redis_server(flavor) for flavor in pair.split())
    source.client().set("a", 1)
    found = await look(endpoint(source), endpoint(target))
    assert not_passed(found) == {}
    assert found.keys() == NAMES


@server
async def test_a_server_that_is_not_there_fails_and_the_rest_is_still_run(redis_server: StartServer) -> None:
    nobody = Endpoint("redis", (("127.0.0.1", free_port()),))
    found = await look(nobody, endpoint(redis_server()))
    assert found.keys() == NAMES
    assert found["redis.source.reachable"].severity is FAILED
    assert found["redis.target.reachable"].severity is PASSED
    assert found["redis.source.psync"].severity is ALARM


@server
@pytest.mark.parametrize("password", ["", "wrong"])
async def test_a_wrong_password_fails_and_is_never_shown(redis_server: StartServer, password: str) -> None:
    locked = redis_server("redis70", password="right-one")
    found = await look(endpoint(locked, password=password), endpoint(redis_server()))
    assert found["redis.source.reachable"].severity is PASSED
    assert found["redis.source.authenticated"].severity is FAILED
    assert "right-one" not in str(found)
    assert not password or password not in found["redis.source.authenticated"].evidence.replace("WRONGPASS", "")


@server
async def test_a_certificate_that_nobody_knows_is_no_wrong_password(redis_server: StartServer) -> None:
    plain = redis_server("redis70")
    with running("redis70", tls=True) as secure:
        end = Endpoint("redis", ((secure.host, secure.port),), tls=Tls())
        finding = (await look(endpoint(plain), end))["redis.target.authenticated"]
    assert finding.severity is FAILED
    assert "certificate not accepted" in finding.evidence
    assert "ssl_ca_certs" in finding.remedy


@server
@pytest.mark.parametrize("flavor", ["redis62", "redis70", "valkey91"])
async def test_rights_that_a_user_lacks_are_named(redis_server: StartServer, flavor: str) -> None:
    source, target = redis_server(flavor), redis_server(flavor)
    grants = ["+@all", "-psync", "-dump"]
    run(source, "ACL", "SETUSER", "mover", "on", ">secret", "~*", "&*", *grants)
    grants = ["+@all", "-restore", "-multi"]
    run(target, "ACL", "SETUSER", "mover", "on", ">secret", "~*", "&*", *grants)
    found = await look(
        endpoint(source, user="mover", password="secret"), endpoint(target, user="mover", password="secret")
    )
    assert found["redis.source.psync"].severity is FAILED
    assert "+psync" in found["redis.source.psync"].remedy
    assert found["redis.source.rights"].severity is ALARM
    assert "+dump" in found["redis.source.rights"].remedy
    assert found["redis.target.rights"].severity is FAILED
    assert "+multi" in found["redis.target.rights"].remedy


@server
@pytest.mark.parametrize("flavor", ["redis62", "valkey91"])
async def test_rights_are_tried_without_writing(redis_server: StartServer, flavor: str) -> None:
    target = redis_server(flavor)
    run(target, "ACL", "SETUSER", "mover", "on", ">x", "~*", "&*", "+@all", "-restore", "-eval")
    found = await look(endpoint(redis_server()), endpoint(target, user="mover", password="x"))
    evidence = found["redis.target.rights"]
    assert evidence.severity is FAILED
    assert "+eval" in evidence.remedy
    assert "+restore" in evidence.remedy
    assert target.client().dbsize() == 0


@server
async def test_a_user_of_some_keys_only_cannot_be_a_targets(redis_server: StartServer) -> None:
    target = redis_server("redis70")
    run(target, "ACL", "SETUSER", "mover", "on", ">x", "~app:*", "&*", "+@all")
    found = await look(endpoint(redis_server("redis70")), endpoint(target, user="mover", password="x"))
    assert found["redis.target.rights"].severity is FAILED
    assert "~*" in found["redis.target.rights"].remedy


@server
async def test_asking_about_psync_makes_no_fork(redis_server: StartServer) -> None:
    source = redis_server("redis70")
    found = await look(endpoint(source), endpoint(redis_server()))
    assert found["redis.source.psync"].severity is PASSED
    assert run(source, "INFO", "stats")["sync_full"] == 0


@server
async def test_psync_that_was_renamed_away_fails(redis_server: StartServer) -> None:
    source = redis_server("redis62", "--rename-command", "PSYNC", "")
    found = await look(endpoint(source), endpoint(redis_server()))
    assert found["redis.source.psync"].severity is FAILED
    assert "rename-command" in found["redis.source.psync"].remedy


@server
async def test_settings_that_may_not_be_read_are_no_reason_to_fail(redis_server: StartServer) -> None:
    hidden = ["--rename-command", "CONFIG", ""]
    source, target = redis_server("redis62", *hidden), redis_server("redis70", *hidden)
    found = await look(endpoint(source), endpoint(target))
    assert not_passed(found) == {}
    assert "could not be read" in found["redis.source.output_buffer"].evidence


@server
async def test_a_node_of_a_cluster_and_a_sentinel_are_told_apart_from_servers(redis_server: StartServer) -> None:
    node = redis_server("redis70", "--cluster-enabled", "yes")
    sentinel = redis_server("redis70", "--sentinel")
    found = await look(endpoint(node), endpoint(sentinel))
    assert found["redis.source.mode"].severity is FAILED
    assert "cluster" in found["redis.source.mode"].evidence
    assert found["redis.target.mode"].severity is FAILED
    assert "SENTINEL GET-MASTER-ADDR-BY-NAME" in found["redis.target.mode"].remedy


@server
async def test_several_servers_that_are_no_cluster_are_not_taken_for_one(redis_server: StartServer) -> None:
    first, second, target = (redis_server() for _ in range(3))
    both = Endpoint("redis", ((first.host, first.port), (second.host, second.port)))
    found = await look(both, endpoint(target))
    assert not_passed(found) == {"redis.source.mode": FAILED}
    assert "2 addresses" in found["redis.source.mode"].evidence


@server
async def test_a_target_that_replicates_from_the_source_is_a_loop(redis_server: StartServer) -> None:
    source = redis_server("redis70")
    target = redis_server("redis70", "--replicaof", f"{source.host} {source.port}")
    wait_for(target, "master_link_status", "up")
    found = await look(endpoint(source), endpoint(target))
    assert found["redis.target.role"].severity is FAILED
    assert found["redis.pair.loop"].severity is FAILED
    assert found["redis.pair.distinct"].severity is PASSED


@server
async def test_a_source_that_replicates_from_the_target_is_a_loop(redis_server: StartServer) -> None:
    target = redis_server("redis70")
    source = redis_server("redis70", "--replicaof", f"{target.host} {target.port}")
    wait_for(source, "master_link_status", "up")
    found = await look(endpoint(source), endpoint(target))
    assert found["redis.pair.loop"].severity is FAILED


@server
async def test_a_replica_may_be_a_source_while_its_link_is_up(redis_server: StartServer) -> None:
    master = redis_server("redis70")
    source = redis_server("redis70", "--replicaof", f"{master.host} {master.port}")
    wait_for(source, "master_link_status", "up")
    found = await look(endpoint(source), endpoint(redis_server("redis70")))
    assert found["redis.source.role"].severity is ALARM
    assert found["redis.source.psync"].severity is PASSED
    master.stop()
    wait_for(source, "master_link_status", "down")
    found = await look(endpoint(source), endpoint(redis_server("redis70")))
    assert found["redis.source.role"].severity is FAILED
    assert found["redis.source.psync"].severity is FAILED


@server
async def test_a_server_is_not_its_own_target(redis_server: StartServer) -> None:
    one = redis_server()
    found = await look(endpoint(one), endpoint(one))
    assert found["redis.pair.distinct"].severity is FAILED


@server
async def test_a_newer_source_names_what_may_not_fit(redis_server: StartServer) -> None:
    found = await look(endpoint(redis_server("valkey91")), endpoint(redis_server("redis62")))
    finding = found["redis.pair.versions"]
    assert finding.severity is ALARM
    assert "functions" in finding.evidence
    assert "hash fields" in finding.evidence
    assert "streams" not in finding.evidence


@server
async def test_functions_need_a_target_that_knows_them(redis_server: StartServer) -> None:
    source = redis_server("redis70")
    code = "#!lua name=mine\nredis.register_function('one', function() return 1 end)"
    run(source, "FUNCTION", "LOAD", code)
    found = await look(endpoint(source), endpoint(redis_server("redis62")))
    assert found["redis.source.functions"].severity is ALARM
    found = await look(endpoint(source), endpoint(redis_server("valkey91")))
    assert found["redis.source.functions"].severity is PASSED


@server
async def test_a_small_target_fails_and_a_tight_one_is_an_alarm(redis_server: StartServer) -> None:
    source = redis_server("redis70")
    client = source.client()
    for number in range(2000):
        client.set(f"k{number}", b"\x00\x01" * 5_000)
    small, tight = redis_server("redis70", "--maxmemory", "10mb"), redis_server("redis70", "--maxmemory", "21mb")
    found = await look(endpoint(source), endpoint(small))
    assert found["redis.target.memory"].severity is FAILED
    assert "CONFIG SET maxmemory" in found["redis.target.memory"].remedy
    found = await look(endpoint(source), endpoint(small), Selection(only=("3",)))
    assert found["redis.target.memory"].severity is ALARM
    found = await look(endpoint(source), endpoint(tight))
    assert found["redis.target.memory"].severity is ALARM


@server
async def test_a_target_that_evicts_is_an_alarm(redis_server: StartServer) -> None:
    target = redis_server("redis70", "--maxmemory", "500mb", "--maxmemory-policy", "allkeys-lru")
    found = await look(endpoint(redis_server("redis70")), endpoint(target))
    assert not_passed(found) == {"redis.target.eviction": ALARM}
    assert found["redis.target.eviction"].remedy.startswith("CONFIG SET maxmemory-policy noeviction")


@server
async def test_a_database_that_the_target_lacks_fails_unless_it_is_moved(redis_server: StartServer) -> None:
    source, target = redis_server("redis70"), redis_server("redis70", "--databases", "4")
    source.client(db=9).set("a", 1)
    found = await look(endpoint(source), endpoint(target))
    assert found["redis.target.databases"].severity is FAILED
    found = await look(endpoint(source), endpoint(target), Selection(renames=(Rename("9", "3"),)))
    assert found["redis.target.databases"].severity is PASSED
    found = await look(endpoint(source), endpoint(target), Selection(only=("0",)))
    assert found["redis.target.databases"].severity is PASSED


@server
async def test_databases_that_are_merged_are_an_alarm(redis_server: StartServer) -> None:
    source = redis_server("redis70")
    source.client().set("a", 1)
    source.client(db=2).set("a", 1)
    selection = Selection(renames=(Rename("*", "0"),))
    found = await look(endpoint(source), endpoint(redis_server("redis70")), selection)
    assert not_passed(found) == {"redis.target.databases": ALARM}
    assert "0+2→0" in found["redis.target.databases"].evidence


@server
async def test_keys_on_the_target_are_counted_where_the_data_goes(redis_server: StartServer) -> None:
    source, target = redis_server("redis70"), redis_server("redis70")
    source.client().set("a", 1)
    target.client(db=5).set("b", 1)
    found = await look(endpoint(source), endpoint(target))
    assert found["redis.target.empty"].severity is PASSED
    target.client().set("b", 1)
    found = await look(endpoint(source), endpoint(target))
    assert found["redis.target.empty"].severity is ALARM
    assert "1 keys" in found["redis.target.empty"].evidence


@server
async def test_a_target_that_waits_for_replicas_cannot_be_written(redis_server: StartServer) -> None:
    target = redis_server("redis70", "--min-replicas-to-write", "1")
    found = await look(endpoint(redis_server("redis70")), endpoint(target))
    assert found["redis.target.writable"].severity is FAILED


@server
async def test_a_short_timeout_of_the_source_is_an_alarm(redis_server: StartServer) -> None:
    source = redis_server("redis70", "--repl-timeout", "10")
    found = await look(endpoint(source), endpoint(redis_server("redis70")))
    assert not_passed(found) == {"redis.source.replication": ALARM}
    assert found["redis.source.replication"].remedy == "CONFIG SET repl-timeout 300"


@server
async def test_a_backlog_that_the_writes_run_through_is_an_alarm(redis_server: StartServer) -> None:
    source = redis_server("redis70", "--repl-backlog-size", "16kb")
    replica = redis_server("redis70", "--replicaof", f"{source.host} {source.port}")
    wait_for(replica, "master_link_status", "up")
    client, begun, stop = source.client(), threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            client.set("a", "x" * 1000)
            begun.set()

    writer = asyncio.create_task(asyncio.to_thread(write))
    try:
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        found = await look(endpoint(source), endpoint(redis_server("redis70")))
    finally:
        stop.set()
        await writer
    assert found["redis.source.backlog"].severity is ALARM
    assert found["redis.source.backlog"].remedy.startswith("CONFIG SET repl-backlog-size ")


SILENT = Facts("nowhere")


def scene(source: Facts = SILENT, target: Facts = SILENT) -> Scene:
    plan = Plan(Endpoint("redis", (("a", 1),)), Endpoint("redis", (("b", 1),)))
    return Scene(plan, DatabaseMapping.of(plan.selection), source, target)


def settings(**words: str) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in words.items()}


def test_an_output_buffer_that_is_small_beside_the_data_is_an_alarm() -> None:
    limit = settings(client_output_buffer_limit="normal 0 0 0 slave 268435456 67108864 60 pubsub 1 1 1")
    facts = Facts("a", info={"used_memory": str(10 << 30), "redis_version": "4.0.1"}, config=limit)
    found = output_buffer(scene(facts))
    assert found.severity is ALARM
    assert found.remedy == f'CONFIG SET client-output-buffer-limit "slave {2 << 30} {2 << 30} 120"'
    unlimited = settings(client_output_buffer_limit="replica 0 0 0")
    assert output_buffer(scene(Facts("a", info=facts.info, config=unlimited))).severity is PASSED


def test_a_soft_limit_that_the_writes_reach_is_an_alarm() -> None:
    limit = settings(client_output_buffer_limit="replica 268435456 67108864 60")
    busy = Facts("a", info={"used_memory": "1000", "redis_version": "7.0.0"}, config=limit, write_rate=10e6)
    assert output_buffer(scene(busy)).severity is ALARM


def test_a_module_with_types_of_its_own_fails_where_the_target_lacks_it() -> None:
    assert modules(scene(Facts("a", modules=("ReJSON",)), Facts("b", modules=()))).severity is FAILED
    assert modules(scene(Facts("a", modules=("ReJSON",)), Facts("b", modules=("ReJSON",)))).severity is ALARM
    assert modules(scene(Facts("a", modules=("vectorset",)))).severity is PASSED
    assert modules(scene(Facts("a", modules=("vectorset",), used=frozenset({"VADD"})))).severity is ALARM


def test_clocks_that_differ_are_an_alarm() -> None:
    found = clock(scene(Facts("a", clock_ms=20.0), Facts("b", clock_ms=-5000.0)))
    assert found.severity is ALARM
    assert "5020 ms behind" in found.evidence


def test_a_clock_that_was_told_slowly_is_no_other_clock() -> None:
    assert _ahead([b"100", b"500000"], 97.0, 103.0) == 0
    assert _ahead([b"100", b"0"], 97.0, 98.5) == 1500
    assert _ahead([b"100", b"0"], 102.0, 103.0) == -2000


def test_from_older_to_newer_passes() -> None:
    old, new = Facts("a", info={"redis_version": "2.8.4"}), Facts("b", info={"redis_version": "7.2.1"})
    assert versions(scene(old, new)).severity is PASSED
    assert versions(scene(new, old)).severity is ALARM
    assert "RDB 6" in versions(scene(old, new)).evidence


def test_a_failed_save_forbids_writes() -> None:
    assert writable(scene(target=Facts("b", info={"rdb_last_bgsave_status": "err"}))).severity is FAILED
    allowed = Facts("b", info={"rdb_last_bgsave_status": "err"}, config={"stop-writes-on-bgsave-error": "no"})
    assert writable(scene(target=allowed)).severity is PASSED


def test_a_machine_smaller_than_the_data_is_an_alarm() -> None:
    source = Facts("a", info={"used_memory": str(20 << 30)})
    target = Facts("b", info={"maxmemory": "0", "total_system_memory": str(16 << 30)})
    assert memory(scene(source, target)).severity is ALARM


@pytest.mark.parametrize(
    "judge", [psync, backlog, replication, output_buffer, modules, memory, writable, versions, clock]
)
def test_servers_that_say_nothing_never_fail(judge: object) -> None:
    assert callable(judge)
    assert judge(scene()).severity in (PASSED, ALARM)
