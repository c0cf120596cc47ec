"""Files that real servers wrote, imported into real servers, and compared with the server that wrote them."""

import gzip
import io
import shutil
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.engines.moving import endpoint
from tests.engines.redis_files import assert_equal, imported, rewritten, saved
from tests.engines.redis_values import fill
from tests.servers.redis import available, running

pytestmark = pytest.mark.server

PAIRS = [("redis62", "redis70"), ("redis70", "valkey81"), ("redis80", "redis80"), ("valkey81", "valkey91"),
         ("valkey91", "valkey91")]  # fmt: skip


@pytest.mark.parametrize(("writer", "reader"), PAIRS)
async def test_an_rdb_file_brings_everything_that_its_server_has(writer: str, reader: str, tmp_path: Path) -> None:
    with running(writer) as source, running(reader) as target:
        fill(source.client())
        bucket = tmp_path / "bucket"
        bucket.mkdir()
        (bucket / "dump.rdb").write_bytes(saved(source))
        await imported(endpoint(target), bucket, tmp_path / "job", "dump.rdb")
        await assert_equal(source, target)
        assert not target.client().keys("sterna:*")
