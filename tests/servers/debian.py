"""Programs of Debian and Ubuntu packages, unpacked into a folder: no root, nothing installed, their own libraries.

A private apt world (its own sources, lists and an empty package status) finds a package with all that it needs,
the C library included, on the mirror that this machine uses already. apt checks the archive's signatures.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.servers.places import Unavailable

RELEASE = Path("/etc/os-release")
MAINTAINER_PROGRAMS = ("apt-get", "apt-cache", "dpkg-deb", "dpkg")


@dataclass(frozen=True)
class World:
    """A folder in which apt works as if on an empty machine of one suite."""

    folder: Path
    mirror: str
    suite: str
    components: str
    keyring: str

    def options(self) -> list[str]:
        lists, archives = self.folder / "lists", self.folder / "archives"
        settings = {
            "Dir::Etc::SourceList": self.folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": self.folder,
            "Dir::State::Lists": lists,
            "Dir::State::status": self.folder / "status",
            "Dir::Cache": self.folder,
            "Dir::Cache::Archives": archives,
            "Debug::NoLocking": "true",
            "Acquire::Languages": "none",
            "Acquire::Retries": "2",
            "APT::Keep-Downloaded-Packages": "true",
            "APT::Install-Recommends": "false",
        }
        if os.geteuid() == 0:  # else apt works as a user who may not write here
            settings["APT::Sandbox::User"] = "root"
        return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]

    def create(self) -> None:
        for part in ("lists/partial", "archives/partial"):
            (self.folder / part).mkdir(parents=True)
        (self.folder / "status").touch()
        line = f"deb [signed-by={self.keyring}] {self.mirror} {self.suite} {self.components}\n"
        (self.folder / "sources.list").write_text(line)
        _run(["apt-get", "-qq", *self.options(), "update"])

    def version(self, package: str) -> str:
        """The version on offer, without epoch and Debian revision; empty if there is none."""
        text = _run(["apt-cache", *self.options(), "policy", package])
        found = re.search(r"Candidate: (?:\d+:)?(\d[\w.]*)", text)
        return found[1] if found else ""

    def unpack(self, package: str, into: Path) -> None:
        _run(["apt-get", "-qq", "-y", *self.options(), "--download-only", "install", package])
        for archive in sorted((self.folder / "archives").glob("*.deb")):
            _run(["dpkg-deb", "-x", str(archive), str(into)])


def unpack(package: str, version: str, suite: str, into: Path) -> None:
    """Unpack ``package`` of a Debian suite (on Ubuntu: of the machine's own release) with all its libraries.

    Raises Unavailable where there is no apt, or where the version on offer does not begin with ``version``.
    """
    world = _world(suite, into / "apt")
    try:
        world.create()
        offered = world.version(package)
        if not offered.startswith(version):
            raise Unavailable(f"{package} in {world.suite} is {offered or 'missing'}, not {version}")
        world.unpack(package, into / "root")
    except subprocess.CalledProcessError as error:
        raise Unavailable(f"{package} of {world.suite}: {_last_line(error.stderr)}") from error
    shutil.rmtree(into / "apt")
    for junk in ("doc", "man", "locale", "lintian", "i18n", "zoneinfo"):
        shutil.rmtree(into / "root" / "usr" / "share" / junk, ignore_errors=True)


def loader(root: Path) -> list[str]:
    """The words to put before a program of ``root`` so that it runs with the libraries unpacked beside it."""
    # A link beside it is absolute and leads to this machine's own loader, which fits its own C library alone.
    found = sorted(path for path in root.glob("**/ld-linux-*.so.*") if not path.is_symlink())
    if not found:
        raise Unavailable(f"no dynamic loader below {root.name}")
    libraries = sorted({str(path.parent) for path in root.glob("**/lib*.so.*")})
    return [str(found[0]), "--library-path", ":".join(libraries)]


def _world(suite: str, folder: Path) -> World:
    missing = [program for program in MAINTAINER_PROGRAMS if not shutil.which(program)]
    if missing:
        raise Unavailable(f"comes as a Debian package, and here is no {missing[0]}")
    facts = dict(re.findall(r'^(\w+)="?([^"\n]*)', RELEASE.read_text(), re.M)) if RELEASE.exists() else {}
    ours = facts.get("VERSION_CODENAME", "")
    mirror = _mirror(ours)
    if facts.get("ID") == "ubuntu":
        return World(folder, mirror, ours, "main universe", _keyring("ubuntu"))
    if facts.get("ID") != "debian":
        raise Unavailable(f"comes as a Debian package, and this is {facts.get('PRETTY_NAME', 'not Debian')}")
    return World(folder, mirror, suite, "main", _keyring("debian"))


def _mirror(codename: str) -> str:
    """The archive from which this machine takes its own release."""
    asked = subprocess.run(
        ["apt-get", "update", "--print-uris"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    found = re.search(rf"'([^']+)/dists/{re.escape(codename)}/", asked.stdout) if codename else None
    if not found:
        raise Unavailable("comes as a Debian package, and apt has no source for this release")
    return found[1]


def _keyring(distribution: str) -> str:
    found = sorted(Path("/usr/share/keyrings").glob(f"{distribution}-archive-keyring.*"))
    if not found:
        raise Unavailable(f"the {distribution}-archive-keyring is not installed")
    return str(found[0])


def _run(words: Sequence[str]) -> str:
    quiet = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=quiet, stdin=subprocess.DEVNULL)
    return done.stdout


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "apt failed without a word"
