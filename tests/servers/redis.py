"""Real Redis and Valkey servers as child processes.

with running("redis70", "--maxmemory", "64mb", password="secret") as server:
    server.client().set("a", "1")
"""

import fcntl
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.effort import PATIENCE
from tests.servers.certificates import Certificates, certificates_in, make_certificates
from tests.servers.flavors import FLAVORS, available, command
from tests.servers.guardian import Guardian
from tests.servers.places import Unavailable, made_once

__all__ = ["FLAVORS", "NotStarted", "Server", "Unavailable", "available", "free_port", "running", "start"]

HOST = "127.0.0.1"
START_SECONDS = PATIENCE
STOP_SECONDS = 60.0
_LOWEST, _BEYOND = 10_000, 32_000
_TRIES = 100_000
_chance = random.SystemRandom()
"""Not the generator that a test may seed: then all of them would try the same ports."""
_given_ports: set[int] = set()
_guardian = Guardian()


class NotStarted(Exception):
    """The server ended, or did not answer, at its start; the message ends with its log."""


class Server:
    """One server that runs, or can be started again on the same folder and port."""

    host = HOST

    def __init__(
        self,
        flavor: str,
        options: tuple[str, ...],
        *,
        folder: Path,
        port: int,
        user: str | None,
        password: str | None,
        certificates: Certificates | None,
        keep_folder: bool,
    ) -> None:
        self.flavor = flavor
        self.options = options
        self.folder = folder
        self.port = port
        self.user = user
        self.password = password
        self.certificates = certificates
        self._keep_folder = keep_folder
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[redis.Redis] = []

    @property
    def pid(self) -> int:
        """The running process, or the last one."""
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

    def client(self, **settings: Any) -> redis.Redis:
        """A new client that may do everything; it is closed with the server. ``settings`` go to redis-py."""
        words: dict[str, Any] = {"host": self.host, "port": self.port, "password": self.password}
        words |= {"username": self.user, "protocol": 2, "socket_timeout": PATIENCE}
        words["retry"] = Retry(NoBackoff(), 0)  # a test wants to see the first error
        if self.certificates:
            words |= {"ssl": True, "ssl_ca_certs": str(self.certificates.ca)}
            words |= {"ssl_certfile": str(self.certificates.cert), "ssl_keyfile": str(self.certificates.key)}
        client = redis.Redis(**(words | settings))
        self._clients.append(client)
        return client

    def start(self) -> None:
        """Start the process and wait until it answers PING. Raises NotStarted, Unavailable."""
        assert not self.alive, "already started"
        words = [*command(self.flavor), str(self._write_settings()), *self.options]
        with (self.folder / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        _guardian.watch(self.pid, None if self._keep_folder else self.folder)
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill9()
            raise

    def stop(self) -> None:
        """End the process: SIGTERM, which saves if the server was told to save, then SIGKILL."""
        self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """End the process at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Start again on the same folder and port, after ending what still runs."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Stop the process without ending it: connections stay open, nothing answers."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen process go on."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def log(self) -> str:
        """What the server wrote so far, in all its runs."""
        return (self.folder / "server.log").read_text(errors="replace")

    def close(self) -> None:
        """Stop for good and remove the folder, unless it was given by the caller. Twice is once."""
        if self._keep_folder:
            self.stop()
        else:
            self.kill9()  # in order it takes a tenth of a second, and nobody will see what it saves
            shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(how)
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        _guardian.forget(self._process.pid)

    def _write_settings(self) -> Path:
        settings = [("port", "0" if self.certificates else str(self.port)), ("bind", self.host)]
        settings += [("dir", str(self.folder)), ("daemonize", "no"), ("appendonly", "no"), ("save", "")]
        settings += [("protected-mode", "no"), ("repl-diskless-sync-delay", "0"), ("always-show-logo", "no")]
        if self.certificates:
            settings += [("tls-port", str(self.port)), ("tls-auth-clients", "no"), ("tls-replication", "yes")]
            settings += [("tls-ca-cert-file", str(self.certificates.ca))]
            settings += [("tls-cert-file", str(self.certificates.server_cert))]
            settings += [("tls-key-file", str(self.certificates.server_key))]
        lines = [f"{name} {_quoted(value)}" for name, value in settings] + self._login_settings()
        path = self.folder / "server.conf"
        path.write_text("".join(f"{line}\n" for line in lines))
        path.chmod(0o600)
        return path

    def _login_settings(self) -> list[str]:
        if self.password is None:
            return []
        if self.user is None:
            return [f"requirepass {_quoted(self.password)}", f"masterauth {_quoted(self.password)}"]
        rule = f"user {self.user} on {_quoted('>' + self.password)} ~* &* +@all"
        replica = [f"masteruser {self.user}", f"masterauth {_quoted(self.password)}"]
        return ["user default off", rule, *replica]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        client = self.client()
        while time.monotonic() < deadline:
            if not self.alive:
                break
            try:
                # The number tells this server from a stranger that took the port first.
                if client.ping() and client.info("server")["process_id"] == self.pid:
                    return
            except redis.RedisError:
                pass  # not listening yet, or still loading its data
            time.sleep(0.01)
        raise NotStarted(f"{self.flavor} on port {self.port}\n{self.log()[-2000:]}")


def start(
    flavor: str = "valkey91",
    *options: str,
    password: str | None = None,
    tls: bool = False,
    user: str | None = None,
    folder: Path | None = None,
    port: int | None = None,
) -> Server:
    """Start a server; the caller must ``close`` it.

    ``options`` are the server's own, word by word (``"--replicaof", "127.0.0.1", "6379"``), and win over the
    settings made here. With ``user``, only that user can log in, with ``password``. ``tls``: the port speaks
    TLS and nothing else. ``folder``: an existing one to work in, which is kept; else a temporary one.
    Raises Unavailable, NotStarted.
    """
    if tls and not FLAVORS[flavor].tls:
        raise Unavailable(f"{flavor} is built without TLS")
    command(flavor)
    home = folder or Path(tempfile.mkdtemp(prefix=f"sterna-{flavor}-"))
    server = Server(
        flavor,
        options,
        folder=home.resolve(),
        port=port or free_port(),
        user=user,
        password=password,
        certificates=_certificates() if tls else None,
        keep_folder=folder is not None,
    )
    try:
        _start_on_a_free_port(server, chosen=port is not None)
    except BaseException:
        server.close()
        raise
    return server


@contextmanager
def running(
    flavor: str = "valkey91",
    *options: str,
    password: str | None = None,
    tls: bool = False,
    user: str | None = None,
    folder: Path | None = None,
    port: int | None = None,
) -> Iterator[Server]:
    """A server for the length of a block; the arguments are those of ``start``."""
    server = start(flavor, *options, password=password, tls=tls, user=user, folder=folder, port=port)
    with ExitStack() as stack:
        stack.callback(server.close)
        yield server


def free_port() -> int:
    """A port that nothing listens on, below those that the kernel hands to outgoing connections.

    It is this process's own until it ends: it is not given twice, and no other process of any test run of this
    user gets it. So it may be used a while later, and again after a server was ended.
    """
    for _ in range(_TRIES):
        port = _chance.choice(_ports())
        if port not in _given_ports and _reserved(port):
            _given_ports.add(port)
            if _is_free(port):
                return port
    raise Unavailable("all ports are taken")


@functools.cache
def _ports() -> range:
    """Those to choose from."""
    try:
        first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError):  # not Linux
        return range(_LOWEST, _BEYOND)
    return range(_LOWEST, min(first, _BEYOND) if first > _LOWEST + 2000 else _BEYOND)


@functools.cache
def _reservations() -> BinaryIO:
    """A file whose byte number n is locked by the process that has port n; the kernel unlocks it at its end."""
    return Path(tempfile.gettempdir(), f"sterna-test-ports-{os.geteuid()}").open("ab")


def _reserved(port: int) -> bool:
    """Take a port, unless another process has it."""
    try:
        fcntl.lockf(_reservations(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _certificates() -> Certificates:
    """The same for all servers, so that they trust one another."""
    return certificates_in(made_once("certificates", make_certificates))


def _start_on_a_free_port(server: Server, *, chosen: bool) -> None:
    """Another process may take a free port before the server does: try others."""
    for _ in range(5):
        try:
            return server.start()
        except NotStarted as failure:
            if chosen or "in use" not in str(failure):
                raise
            server.port = free_port()
    return server.start()


def _quoted(value: str) -> str:
    """A value as the server's settings file takes it."""
    inner = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in value.encode()
    )
    return f'"{inner}"'
