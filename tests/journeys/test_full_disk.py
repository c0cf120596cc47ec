"""The disk with the service's data is full: it says so, loses nothing, and goes on once there is room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.effort import PATIENCE
from tests.journeys.backup_stand import answers
from tests.journeys.command import Home, wait_for
from tests.servers.redis import Server, Unavailable, free_port, running

pytestmark = [pytest.mark.server, pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = 6 << 20
KEPT = 1 << 20
"""Bytes of the source's data set, at least."""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own."""
    folder, mount = tmp_path / "disk", shutil.which("mount")
    folder.mkdir()
    words = [str(mount), "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be made here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def source() -> Iterator[Server]:
    try:
        with running() as server:
            with server.client() as client:
                for number in range(KEPT // 4096):
                    client.set(f"key:{number}", os.urandom(4096))
            yield server
    except Unavailable as reason:
        pytest.skip(str(reason))


def fill(disk: Path, leave: int = 0) -> Path:
    """Take all room but so many bytes."""
    filler, facts = disk / "filler", os.statvfs(disk)
    filler.write_bytes(b"x" * max(0, facts.f_bavail * facts.f_frsize - leave))
    return filler


def test_a_service_without_room_says_so_and_goes_on_with_room(disk: Path, source: Server, tmp_path: Path) -> None:
    home, port = Home(tmp_path / "home"), free_port()
    home.folder.mkdir()
    (disk / "data").mkdir(mode=0o700)
    home.data.symlink_to(disk / "data")
    made = home.good("init")
    cache = home.good("instance", "add", "--name", "cache", "--address", f"127.0.0.1:{source.port}")
    url = f"http://127.0.0.1:{port}"
    with (
        home.running("serve", "--listen", f"127.0.0.1:{port}") as service,
        httpx.Client(base_url=url, timeout=PATIENCE) as client,
    ):
        wait_for(lambda: answers(url), "the service does not answer")
        user = {"name": made["user"], "password": made["password"], "domain": {"name": made["domain"]}}
        identity = {"methods": ["password"], "password": {"user": user}}
        token = {"auth": {"identity": identity, "scope": {"project": {"id": made["project_id"]}}}}
        client.headers["X-Auth-Token"] = client.post("/v3/auth/tokens", json=token).headers["X-Subject-Token"]
        path = f"/v2/{made['project_id']}/instances/{cache['id']}"

        def backup() -> str:
            """How the next one ends."""
            answer = client.post(f"{path}/backups", json={})
            assert answer.status_code == 200, answer.text
            wait_for(lambda: records()[0]["status"] in ("succeed", "failed"), "the backup does not end")
            return str(records()[0]["status"])

        def records() -> list[dict[str, Any]]:
            rows: list[dict[str, Any]] = client.get(f"{path}/backups").json()["backup_record_response"]
            return rows

        assert backup() == "succeed"
        filler = fill(disk)
        refused = client.post(f"{path}/backups", json={})
        assert (refused.status_code, refused.json()["error_code"]) == (500, "DCS.5000")
        assert len(records()) == 1, "what is only read is answered"
        assert "The disk that holds the store is full" in service.written()
        assert "Traceback" not in service.written()
        filler.unlink()
        filler = fill(disk, leave=KEPT // 2)
        assert backup() == "failed"
        job = home.good("job", "list")[0]
        assert job["failure"]["code"] == "STERNA.2010", job
        assert "No space left" in job["failure"]["message"]
        filler.unlink()
        assert backup() == "succeed"
        assert service.process.poll() is None
