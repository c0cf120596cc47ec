"""The runner of real servers keeps its promises."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.effort import PATIENCE
from tests.servers import redis as servers
from tests.servers.certificates import make_certificates
from tests.servers.fixtures import StartServer
from tests.servers.guardian import is_zombie as gone
from tests.servers.places import REPOSITORY
from tests.servers.redis import FLAVORS, NotStarted, Server, free_port, start

pytestmark = pytest.mark.server


def wait_until_gone(pid: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not (gone(pid) and not folder.exists()):
        assert time.monotonic() < deadline, f"{pid} or {folder} is still there"
        time.sleep(0.01)


@pytest.mark.parametrize("flavor", FLAVORS)
def test_each_flavor_runs_in_the_version_that_it_is_named_for(redis_server: StartServer, flavor: str) -> None:
    facts = redis_server(flavor).client().info("server")
    assert facts.get("valkey_version", facts["redis_version"]).startswith(FLAVORS[flavor].version)


def test_nothing_is_left_after_close(redis_server: StartServer) -> None:
    server: Server = redis_server()
    server.client().set("a", "1")
    server.close()
    assert gone(server.pid)
    assert not server.folder.exists()


def test_a_saving_server_has_its_data_after_a_restart_on_the_same_port(redis_server: StartServer) -> None:
    server: Server = redis_server("valkey91", "--save", "3600 1")
    port = server.port
    server.client().set("a", "1")
    server.restart()
    assert server.port == port
    assert server.client().get("a") == b"1"


def test_a_power_cut_loses_what_was_not_saved(redis_server: StartServer) -> None:
    server: Server = redis_server("valkey91", "--save", "3600 1")
    server.client().set("a", "1")
    server.kill9()
    assert not server.alive
    server.start()
    assert server.client().get("a") is None


def test_a_password_with_odd_characters_is_needed(redis_server: StartServer) -> None:
    server: Server = redis_server(password="p\"ä\\s' #s")
    assert server.client().ping()
    with pytest.raises(redis.AuthenticationError):
        server.client(password="other").ping()


def test_with_a_user_the_default_user_cannot_log_in(redis_server: StartServer) -> None:
    server: Server = redis_server("redis62", user="mover", password="secret")
    assert server.client().acl_whoami() in ("mover", b"mover")
    with pytest.raises(redis.AuthenticationError):
        server.client(username=None, password=None).ping()


def test_a_client_that_trusts_another_authority_turns_a_server_down(
    redis_server: StartServer, tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    server: Server = redis_server("redis70", tls=True, password="secret")
    assert server.client().ping()
    with pytest.raises(redis.ConnectionError, match="certificate verify failed"):
        server.client(ssl_ca_certs=str(tmp_path / "ca.crt")).ping()


def test_a_replica_follows_its_primary_with_password_and_tls(redis_server: StartServer) -> None:
    primary: Server = redis_server("redis70", tls=True, password="secret")
    replica: Server = redis_server(
        "redis70", "--replicaof", f"127.0.0.1 {primary.port}", tls=True, password="secret"
    )
    deadline = time.monotonic() + PATIENCE
    while replica.client().info("replication")["master_link_status"] != "up":
        assert time.monotonic() < deadline, replica.log()[-1000:]
        time.sleep(0.02)


def test_a_server_that_does_not_start_says_why_and_leaves_nothing() -> None:
    with pytest.raises(NotStarted, match="no-such-option"):
        start("valkey91", "--no-such-option", "1")


def test_a_taken_port_that_was_asked_for_is_an_error(redis_server: StartServer) -> None:
    server: Server = redis_server()
    with pytest.raises(NotStarted, match="in use"):
        redis_server(port=server.port)


def test_servers_die_with_the_process_that_started_them_even_if_it_is_killed() -> None:
    program = (
        "import sys, time\n"
        "from tests.servers.redis import start\n"
        "server = start()\n"
        "print(server.pid, server.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=os.environ
    ) as owner:
        assert owner.stdout
        pid, folder = owner.stdout.readline().split()
        assert not gone(int(pid))
        owner.send_signal(signal.SIGKILL)
    wait_until_gone(int(pid), Path(folder))


def test_a_port_that_one_process_has_is_given_to_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    few = range(24_000, 24_060)
    monkeypatch.setattr(servers, "_ports", lambda: few)
    program = (
        "import sys\n"
        "from tests.servers import redis\n"
        f"redis._ports = lambda: {few}\n"
        "print(*[redis.free_port() for _ in range(20)], flush=True)\n"
        "sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    ) as other:
        assert other.stdout
        theirs = {int(port) for port in other.stdout.readline().split()}
        ours = {free_port() for _ in range(20)}
        other.communicate()
    assert len(theirs) == len(ours) == 20
    assert not theirs & ours
