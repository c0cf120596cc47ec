"""The runner of PostgreSQL servers keeps its promises."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.servers.certificates import make_certificates
from tests.servers.fixtures import StartPostgres
from tests.servers.guardian import is_zombie as gone
from tests.servers.places import REPOSITORY
from tests.servers.postgres import POSTGRES_FLAVORS, NotStarted, PostgresServer, Unavailable, program, start
from tests.servers.test_redis import wait_until_gone

pytestmark = pytest.mark.server

TLS_FLAVORS = [flavor.name for flavor in POSTGRES_FLAVORS.values() if flavor.tls]


@pytest.mark.parametrize("flavor", POSTGRES_FLAVORS)
def test_each_flavor_runs_in_the_version_that_it_is_named_for(postgres_server: StartPostgres, flavor: str) -> None:
    server = postgres_server(flavor)
    assert str(server.sql("SELECT version()")[0][0]).startswith(f"PostgreSQL {server.version}")
    assert server.version.startswith(POSTGRES_FLAVORS[flavor].version)
    assert server.sql("SHOW wal_level") == [("logical",)]
    assert server.sql("SHOW server_encoding") == [("UTF8",)]


@pytest.mark.parametrize("flavor", POSTGRES_FLAVORS)
def test_what_was_committed_survives_a_power_cut(postgres_server: StartPostgres, flavor: str) -> None:
    server: PostgresServer = postgres_server(flavor)
    server.sql("CREATE TABLE a (id int); INSERT INTO a VALUES (1)")
    address, connection = server.address, server.connect()
    backend = connection.info.backend_pid
    server.kill9()
    assert not server.alive
    assert gone(backend)
    server.start()
    assert server.address == address
    assert server.sql("SELECT id FROM a") == [(1,)]


@pytest.mark.parametrize("flavor", POSTGRES_FLAVORS)
def test_two_servers_run_at_once_and_are_not_taken_for_one(postgres_server: StartPostgres, flavor: str) -> None:
    one, two = postgres_server(flavor), postgres_server(flavor)
    one.sql("CREATE TABLE only_here (id int)")
    assert two.sql("SELECT to_regclass('only_here')") == [(None,)]
    identifier = "SELECT system_identifier FROM pg_control_system()"
    assert one.sql(identifier) != two.sql(identifier)


def test_nothing_is_left_after_close(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server()
    backend = server.connect().info.backend_pid
    server.close()
    assert gone(server.pid)
    assert gone(backend)
    assert not server.folder.exists()


def test_no_shared_memory_is_left_by_a_server_that_was_killed(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server()
    segment = (server.folder / "data" / "postmaster.pid").read_text().splitlines()[6].split()[1]
    server.kill9()
    assert segment in shared_memory()
    server.close()
    assert segment not in shared_memory()


def test_a_restart_keeps_port_and_data_and_takes_changed_options(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server("pg18", "wal_sender_timeout=5s", "application_name=it's")
    assert server.sql("SHOW wal_sender_timeout") == [("5s",)]
    address = server.address
    server.create_database("Müll & /more")
    server.options["wal_sender_timeout"] = "7s"
    server.restart()
    assert server.address == address
    assert server.sql("SHOW wal_sender_timeout", "Müll & /more") == [("7s",)]


def test_a_setting_can_be_altered_while_it_runs(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server()
    server.sql("ALTER SYSTEM SET wal_level = 'replica'")
    server.restart()
    assert server.sql("SHOW wal_level") == [("replica",)]


def test_a_password_with_odd_characters_is_needed(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server(password="p\"ä/' #?@:%s")
    assert server.sql("SELECT 1") == [(1,)]
    server.restart()
    assert server.sql("SELECT 1") == [(1,)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(server.dsn(password="other"))


def test_another_user_logs_in_with_a_password_of_its_own(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server()
    server.sql("CREATE ROLE \"the mover\" LOGIN REPLICATION PASSWORD 'a:b'")
    with psycopg.connect(server.dsn(user="the mover", password="a:b")) as connection:
        assert connection.execute("SELECT current_user").fetchall() == [("the mover",)]


def test_a_frozen_server_answers_nothing_until_it_is_thawed(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server()
    connection = server.connect()
    server.freeze()
    with pytest.raises(psycopg.errors.ConnectionTimeout):
        psycopg.connect(server.dsn(), connect_timeout=2)
    connection.pgconn.send_query(b"SELECT 1")
    assert connection.pgconn.flush() == 0
    assert select.select([connection], [], [], 0.2)[0] == [], "no word comes back"
    server.thaw()
    result = connection.pgconn.get_result()
    assert result
    assert result.get_value(0, 0) == b"1"


@pytest.mark.parametrize("flavor", TLS_FLAVORS)
def test_a_server_with_tls_lets_nobody_in_without(
    postgres_server: StartPostgres, flavor: str, tmp_path: Path
) -> None:
    server: PostgresServer = postgres_server(flavor, tls=True)
    assert server.sql("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") == [(True,)]
    with pytest.raises(psycopg.OperationalError, match="no encryption"):
        psycopg.connect(server.dsn(), sslmode="disable")
    make_certificates(tmp_path)
    with pytest.raises(psycopg.OperationalError, match="SSL error"):
        psycopg.connect(server.dsn(), sslrootcert=str(tmp_path / "ca.crt"))


def test_a_flavor_without_tls_says_so() -> None:
    with pytest.raises(Unavailable, match="pg18 is built without TLS"):
        start("pg18", tls=True)


@pytest.mark.parametrize("flavor", POSTGRES_FLAVORS)
def test_the_client_programs_of_each_flavor_work(postgres_server: StartPostgres, flavor: str) -> None:
    server: PostgresServer = postgres_server(flavor)
    other = server.create_database("other")
    run([*words(flavor, "pgbench"), "--initialize", "--quiet", server.dsn()])
    dump = run([*words(flavor, "pg_dump"), "--format=custom", server.dsn()])
    run([*words(flavor, "pg_restore"), "--dbname", other], dump)
    assert (
        run([*words(flavor, "psql"), "-At", "-c", "SELECT count(*) FROM pgbench_accounts", other]) == b"100000\n"
    )
    assert program(flavor, "no-such-tool") is None


def test_logical_changes_come_through_a_slot(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server("pg15")
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    server.sql("SELECT pg_create_logical_replication_slot('s', 'test_decoding')")
    server.sql("INSERT INTO a VALUES (7)")
    server.kill9()
    server.start()
    rows = server.sql("SELECT data FROM pg_logical_slot_get_changes('s', NULL, NULL)")
    assert ("table public.a: INSERT: id[integer]:7",) in rows


def test_a_server_that_does_not_start_says_why_and_leaves_nothing() -> None:
    with pytest.raises(NotStarted, match="no_such_option"):
        start("pg18", "no_such_option=1")


def test_a_taken_port_that_was_asked_for_is_an_error(postgres_server: StartPostgres) -> None:
    server: PostgresServer = postgres_server()
    with pytest.raises(NotStarted, match="in use"):
        postgres_server(port=server.port)


def test_servers_die_with_the_process_that_started_them_even_if_it_is_killed() -> None:
    text = (
        "import time\n"
        "from tests.servers.postgres import start\n"
        "server = start()\n"
        "print(server.pid, server.connect().info.backend_pid, server.folder, flush=True)\n"
        "time.sleep(600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, env=os.environ
    ) as owner:
        assert owner.stdout
        pid, backend, folder = owner.stdout.readline().split()
        assert not gone(int(pid))
        owner.send_signal(signal.SIGKILL)
    wait_until_gone(int(pid), Path(folder))
    wait_until_gone(int(backend), Path(folder))


def words(flavor: str, tool: str) -> list[str]:
    found = program(flavor, tool)
    assert found, f"{flavor} has no {tool}"
    return found


def run(command: list[str], given: bytes = b"") -> bytes:
    return subprocess.run(command, input=given, capture_output=True, check=True).stdout


def shared_memory() -> set[str]:
    """The segments of this machine, by their numbers."""
    return {line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]}
