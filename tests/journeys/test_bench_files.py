"""The measurements of files work, on small data, and notice a result that is wrong."""

import resource
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from bench import redis_file, sqlserver_backup
from bench.backup_data import Prepared, prepared
from bench.redis_data import loaded, title
from bench.report import Row
from tests.servers.places import Unavailable
from tests.servers.redis import Server

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
ROWS = 3000
SCALE = 0.002
WORKS = {(kind, who): work for kind, who, work in sqlserver_backup.contestants()}


@pytest.fixture(autouse=True)
def limit_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is begun by these tests counts what they take themselves as its own peak."""
    inherited = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    for bench in (redis_file, sqlserver_backup):
        monkeypatch.setattr(bench, "MEMORY_MB", bench.MEMORY_MB + inherited)


@pytest.fixture(scope="module")
def data() -> Prepared:
    return prepared(ROWS)


@pytest.mark.parametrize("what", WORKS, ids=": ".join)
def test_backups_are_measured(data: Prepared, what: tuple[str, str]) -> None:
    row = Row(*what)
    try:
        sqlserver_backup.measure(row, WORKS[what], data, 1)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert row.failure == ""
    assert row.measured["rows_s"][0] > 0


@pytest.mark.parametrize("work", [sqlserver_backup.read_as_text, sqlserver_backup.job])
def test_other_rows_than_expected_give_no_number(
    data: Prepared, tmp_path: Path, work: "sqlserver_backup.OfForm"
) -> None:
    shutil.copytree(data.folder, tmp_path / "data")
    other = Prepared(tmp_path / "data", ROWS)
    other.text.write_bytes(other.text.read_bytes().replace(b"name 0000000007", b"name 0000000008"))
    row = Row("a backup", "Sterna")
    try:
        sqlserver_backup.measure(row, partial(work, "uncompressed"), other, 1)
    except Unavailable as reason:
        pytest.skip(str(reason))
    assert "not th" in row.failure
    assert not row.measured


@pytest.fixture(scope="module", params=["A", "B"])
def source(request: pytest.FixtureRequest) -> Iterator[tuple[str, Server]]:
    try:
        with loaded(request.param, SCALE) as server:
            yield request.param, server
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("contestant", redis_file.CONTESTANTS)
def test_imports_of_rdb_files_are_measured(source: tuple[str, Server], contestant: str) -> None:
    name, server = source
    row = Row(title(name, SCALE), contestant)
    redis_file.measure(server, row, redis_file.CONTESTANTS[contestant], server.client().dbsize())
    assert row.failure == ""
    assert row.measured["keys_s"][0] > 0
