"""Real PostgreSQL servers as child processes.

with running("pg15", "wal_sender_timeout=5s", tls=True) as server:
    server.sql("CREATE TABLE a (id int PRIMARY KEY)")
    with psycopg.connect(server.dsn()) as connection: ...

They run with ``wal_level=logical``, without fsync, with passwords (SCRAM), in UTC, UTF8 and the locale C.UTF-8.
"""

import contextlib
import ctypes
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.effort import PATIENCE
from tests.servers.certificates import Certificates, certificates_in, make_certificates
from tests.servers.guardian import Guardian, state
from tests.servers.places import Unavailable, made_once
from tests.servers.postgres_flavors import POSTGRES_FLAVORS, Installation, available, installation, program
from tests.servers.postgres_identity import new_identity
from tests.servers.redis import HOST, NotStarted, free_port

__all__ = [
    "POSTGRES_FLAVORS",
    "NotStarted",
    "PostgresServer",
    "Unavailable",
    "available",
    "postgres",
    "program",
    "running",
    "start",
]

SUPERUSER = "postgres"
START_SECONDS = PATIENCE
STOP_SECONDS = 60.0
PASSWORD = "pgpw"
DEFAULTS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "wal_level": "logical",
    "max_wal_senders": "20",
    "max_replication_slots": "20",
    "max_connections": "100",
    "max_prepared_transactions": "10",
    "max_wal_size": "256MB",
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
    # Off would hide rows just committed from a slot for up to 0.6 s.
    "synchronous_commit": "on",
    "track_commit_timestamp": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "dynamic_shared_memory_type": "mmap",  # in its folder: what a killed server leaves behind goes with that
}
_SETTINGS_FILE = "server.conf"
_IPC_RMID = 0
_guardian = Guardian()


class PostgresServer:
    """One server that runs, or can be started again on the same folder and port.

    ``options`` may be changed while it does not run; ``folder / "data"`` is its data directory.
    """

    host = HOST

    def __init__(
        self,
        installed: Installation,
        options: dict[str, str],
        *,
        folder: Path,
        port: int,
        password: str,
        certificates: Certificates | None,
    ) -> None:
        self.flavor = installed.flavor.name
        self.version = installed.version
        self.options = options
        self.folder = folder
        self.port = port
        self.password = password
        self.certificates = certificates
        self._bin = installed.bin
        self._process: subprocess.Popen[bytes] | None = None
        self._connections: list[psycopg.Connection[Any]] = []

    @property
    def pid(self) -> int:
        """The running postmaster, or the last one."""
        assert self._process, "never started"
        return self._process.pid

    @property
    def tls_ca(self) -> Path | None:
        """The authority's certificate, if the server speaks TLS."""
        return self.certificates.ca if self.certificates else None

    @property
    def address(self) -> str:
        """``host:port``"""
        return f"{self.host}:{self.port}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def dsn(self, database: str = SUPERUSER, user: str | None = None, password: str | None = None) -> str:
        """The address as a URL; the user is the superuser unless named, ``password`` without a user his other one.

        A server with TLS gets parameters after a ``?`` that make the client check its certificate.
        """
        login = f"{quote(user or SUPERUSER, safe='')}:{quote(password or self.password, safe='')}"
        url = f"postgresql://{login}@{self.address}/{quote(database, safe='')}"
        if self.certificates:
            url += f"?sslmode=verify-full&sslrootcert={quote(str(self.certificates.ca), safe='')}"
        return url

    def connect(self, database: str = SUPERUSER, **settings: Any) -> psycopg.Connection[Any]:
        """A new connection in autocommit mode; it is closed with the server. ``settings`` go to psycopg."""
        connection = psycopg.connect(self.dsn(database), **({"autocommit": True} | settings))
        self._connections.append(connection)
        return connection

    def sql(self, text: str, database: str = SUPERUSER) -> list[tuple[Any, ...]]:
        """Run statements on a connection of their own; the rows of the last, none if it gives none."""
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            cursor = connection.execute(text.encode())
            while cursor.nextset():
                pass
            return [] if cursor.description is None else cursor.fetchall()  # rows may have no columns

    def create_database(self, name: str) -> str:
        """Make an empty database; gives its ``dsn``."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def start(self) -> None:
        """Start the server and wait until it lets clients in. Raises NotStarted."""
        assert not self.alive, "already started"
        self._write_settings()
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.folder / "data")],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **_surroundings(self.folder),
            )
        # SIGKILL would leave its backends and its shared memory behind.
        _guardian.watch(self.pid, self.folder, signal.SIGQUIT)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill9()
            raise

    def stop(self) -> None:
        """End the server in order: clients are cut off, everything is on disk. If that takes too long, kill it."""
        self._end(signal.SIGINT)

    def kill9(self) -> None:
        """End the server with all its processes at once, as a power cut would."""
        self._close_connections()
        if self._process is None:
            return
        if self.alive:
            self._halt()
            ended = self._children()
            _signal(ended, signal.SIGKILL)
            self._process.kill()
            self._process.wait()
            _wait_until(lambda: all(state(pid) in "Z" for pid in ended), f"some of {ended} live on after SIGKILL")
        _guardian.forget(self.pid)

    def restart(self) -> None:
        """Start again on the same folder and port, after ending what still runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop all its processes without ending them: connections stay open, nothing answers."""
        self._halt()
        children = self._children()
        _signal(children, signal.SIGSTOP)
        _wait_until(lambda: all(state(pid) in "TZ" for pid in children), f"some of {children} go on")

    def _halt(self) -> None:
        """Stop the postmaster, and wait until it has stopped: then it starts no more processes."""
        _signal([self.pid], signal.SIGSTOP)
        _wait_until(lambda: state(self.pid) in "TZ", "the postmaster goes on")

    def thaw(self) -> None:
        """Let a frozen server go on."""
        _signal([*self._children(), self.pid], signal.SIGCONT)

    def log(self) -> str:
        """What the server wrote so far, in all its runs."""
        return (self.folder / "server.log").read_text(errors="replace")

    def close(self) -> None:
        """End the server for good and remove its folder. Twice is once."""
        self._end(signal.SIGQUIT)
        _free_shared_memory(self.folder / "data" / "postmaster.pid")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        self._close_connections()
        if self._process is not None and self.alive:
            self.thaw()
            self._process.send_signal(how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_SECONDS)
        self.kill9()

    def _close_connections(self) -> None:
        for connection in self._connections:
            connection.close()
        self._connections.clear()

    def _children(self) -> list[int]:
        """The processes that the postmaster started. Each is a session of its own, so that no group holds them."""
        return [pid for pid, parent in _processes() if parent == self.pid]

    def _write_settings(self) -> None:
        settings = DEFAULTS | {"port": str(self.port)}
        if self.certificates:
            settings |= {"ssl": "on", "ssl_ca_file": "ca.crt"}
            settings |= {"ssl_cert_file": "server.crt", "ssl_key_file": "server.key"}
        lines = [f"{name} = {_quoted(value)}\n" for name, value in (settings | self.options).items()]
        path = self.folder / "data" / _SETTINGS_FILE
        path.write_text("".join(lines))
        _give_away(path)

    def _wait_until_ready(self) -> None:
        """Wait for its own word in its pid file: unlike an answer on the port, that cannot be another server's."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive:
            with contextlib.suppress(FileNotFoundError):
                lines = (self.folder / "data" / "postmaster.pid").read_text().splitlines()
                if len(lines) > 7 and int(lines[0]) == self.pid and lines[7].strip() in ("ready", "standby"):
                    return
            time.sleep(0.01)
        raise NotStarted(f"{self.flavor} on port {self.port}\n{self.log()[-2000:]}")


def start(
    flavor: str = "pg18",
    *options: str,
    password: str = PASSWORD,
    tls: bool = False,
    port: int | None = None,
) -> PostgresServer:
    """Start a server; the caller must ``close`` it.

    ``options`` are settings, ``name=value`` each, and win over ``DEFAULTS``. ``password``: the superuser's.
    ``tls``: the port lets nobody in without TLS. Raises Unavailable, NotStarted.
    """
    installed = installation(flavor)
    if tls and not installed.flavor.tls:
        raise Unavailable(f"{flavor} is built without TLS")
    template = _template(installed)
    folder = _new_folder(f"sterna-{flavor}-")
    server = PostgresServer(
        _reachable(installed),
        dict(option.split("=", 1) for option in options),
        folder=folder,
        port=port or free_port(),
        password=PASSWORD,
        certificates=certificates_in(made_once("certificates", make_certificates)) if tls else None,
    )
    try:
        _fill(server, template)
        _start_on_a_free_port(server, chosen=port is not None)
        _change_password(server, password)
    except BaseException:
        server.close()
        raise
    return server


@contextlib.contextmanager
def running(
    flavor: str = "pg18",
    *options: str,
    password: str = PASSWORD,
    tls: bool = False,
    port: int | None = None,
) -> Iterator[PostgresServer]:
    """A server for the length of a block; the arguments are those of ``start``."""
    server = start(flavor, *options, password=password, tls=tls, port=port)
    with contextlib.ExitStack() as stack:
        stack.callback(server.close)
        yield server


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start a fresh server and give its DSN; skips the test if the binaries cannot be had."""
    with contextlib.ExitStack() as stack:
        try:
            server = stack.enter_context(running())
        except Unavailable as reason:
            pytest.skip(str(reason))
        yield server.dsn()


def _template(installed: Installation) -> Path:
    """A data directory fresh from initdb, made once: a copy of it is there in a tenth of the time."""
    return made_once(f"{installed.flavor.name}-{installed.version}-data", lambda into: _initdb(installed, into))


def _initdb(installed: Installation, into: Path) -> None:
    folder = _new_folder("sterna-initdb-")
    try:
        (folder / "password").write_text(PASSWORD)
        _give_away(folder / "password")
        words = [str(_reachable(installed).bin / "initdb"), "-D", str(folder / "data"), "-U", SUPERUSER]
        words += ["-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C.UTF-8"]
        words += ["--no-sync", "--no-instructions"]
        done = subprocess.run(words, capture_output=True, text=True, check=False, **_surroundings(folder))
        if done.returncode:
            raise Unavailable(f"{installed.flavor.name}: initdb failed: {done.stderr.strip()[-300:]}")
        with (folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"include_if_exists '{_SETTINGS_FILE}'\n")
        shutil.copytree(folder / "data", into, dirs_exist_ok=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _fill(server: PostgresServer, template: Path) -> None:
    """Give a new server its data directory, who may come in, and its certificates."""
    data = server.folder / "data"
    shutil.copytree(template, data)
    data.chmod(0o700)
    new_identity(data)  # else two servers would be taken for one that is reached by two addresses
    kind = "hostssl" if server.certificates else "host"
    lines = [f"{kind} {what} all {HOST}/32 scram-sha-256\n" for what in ("all", "replication")]
    (data / "pg_hba.conf").write_text("".join(lines))
    if server.certificates:
        for file in (server.certificates.ca, server.certificates.server_cert, server.certificates.server_key):
            shutil.copy(file, data)
    for path in (data, *data.rglob("*")):
        _give_away(path)


def _start_on_a_free_port(server: PostgresServer, *, chosen: bool) -> None:
    """Another process may take a free port before the server does: try others."""
    for _ in range(5):
        try:
            return server.start()
        except NotStarted as failure:
            if chosen or "in use" not in str(failure):
                raise
            server.port = free_port()
    return server.start()


def _change_password(server: PostgresServer, password: str) -> None:
    if password == server.password:
        return
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(password)))
    server.password = password


def _new_folder(prefix: str) -> Path:
    folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
    _give_away(folder)
    if _somebody() and not _open_to_all(folder):
        folder.rmdir()
        raise Unavailable(f"PostgreSQL: {folder.parent} is closed to the user that it must run as")
    return folder


@functools.cache
def _somebody() -> pwd.struct_passwd | None:
    """Whom to run as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise Unavailable("PostgreSQL: root has no other user to run it as")


def _surroundings(folder: Path) -> dict[str, Any]:
    """What Popen is told so that a program works in ``folder`` as that user, away from the caller's settings."""
    user = _somebody()
    words: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": str(folder), "TZ": "UTC"}
    return words | {"cwd": folder, "env": environment}


def _give_away(path: Path) -> None:
    """Let the user that the server runs as own a file."""
    user = _somebody()
    if user:
        os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & 0o001 for parent in path.parents)


@functools.cache
def _reachable(installed: Installation) -> Installation:
    """The programs where another user than root can run them: a clone in root's home is closed to others.

    A copy of them is made once and goes with this process.
    """
    if not _somebody() or _open_to_all(installed.bin):
        return installed
    folder = _new_folder(f"sterna-{installed.flavor.name}-programs-")
    _guardian.remove(folder)
    copy = folder / "installation"
    shutil.copytree(installed.home, copy, symlinks=True)
    inside = installed.bin.relative_to(installed.home)
    return Installation(installed.flavor, copy, copy / inside, installed.version)


def _processes() -> Iterator[tuple[int, int]]:
    """Every process of this machine, with its parent."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            yield int(path.parent.name), int(path.read_text().rsplit(")", 1)[1].split()[1])


def _signal(pids: list[int], how: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, how)


def _wait_until(fact: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while not fact():
        assert time.monotonic() < deadline, otherwise
        time.sleep(0.005)


def _free_shared_memory(pid_file: Path) -> None:
    """Free the memory segment that a killed server left behind: its own next start would, but none will come."""
    with contextlib.suppress(OSError):
        lines = pid_file.read_text().splitlines()
        if len(lines) > 6 and len(lines[6].split()) == 2:
            ctypes.CDLL(None).shmctl(int(lines[6].split()[1]), _IPC_RMID, None)


def _quoted(value: str) -> str:
    """A value as the server's settings file takes it."""
    inner = value.replace("\\", "\\\\").replace("'", "''")
    return f"'{inner}'"
