"""The vendor's SDK imports real servers' files through a real service: from a folder, from an object store."""

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdcs.v2 import (
    BackupFilesBody,
    BackupInstanceBody,
    CopyInstanceRequest,
    CreateMigrationTaskBody,
    CreateMigrationTaskRequest,
    DcsClient,
    DeleteBackupFileRequest,
    DeleteMigrateTaskRequest,
    DeleteMigrationTaskRequest,
    Files,
    ListBackupRecordsRequest,
    ListMigrationTaskLogsRequest,
    ListMigrationTaskRequest,
    ShowMigrationTaskRequest,
    ShowMigrationTaskStatsRequest,
    TargetInstanceBody,
)

from tests.effort import PATIENCE
from tests.engines.redis_files import assert_equal, rewritten, saved
from tests.engines.redis_values import fill
from tests.journeys.command import Home, wait_for
from tests.journeys.drs_stand import until
from tests.servers.objectstore import ACCESS_KEY, SECRET_KEY
from tests.servers.places import Unavailable
from tests.servers.redis import Server, free_port, running
from tests.servers.seaweedfs import seaweedfs

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]
AOF = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass(frozen=True)
class Stand:
    """A service, two servers that are registered, and a client."""

    home: Home
    source: Server
    target: Server
    source_id: str
    target_id: str
    dcs: Any

    def imported(self, files: BackupFilesBody) -> str:
        body = CreateMigrationTaskBody(
            task_name="journey",
            migration_type="backupfile_import",
            migration_method="full_amount_migration",
            backup_files=files,
            target_instance=TargetInstanceBody(id=self.target_id),
        )
        answer = self.dcs.create_migration_task(CreateMigrationTaskRequest(body=body))
        assert answer.status == "MIGRATING"
        return str(answer.id)

    def status(self, id: str) -> str:
        return str(self.dcs.show_migration_task(ShowMigrationTaskRequest(task_id=id)).status)

    def equal(self) -> None:
        asyncio.run(assert_equal(self.source, self.target))
        assert not self.target.client().keys("sterna:*")


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    home = Home(tmp_path)
    made = home.good("init")
    port = free_port()
    with running("redis80", *AOF, password="of the source") as source, running("valkey91") as target:
        words = ("instance", "add", "--name", "source", "--address", source.address, "--password-env", "PW")
        source_id = home.good(*words, PW="of the source")["id"]
        target_id = home.good("instance", "add", "--name", "target", "--address", target.address)["id"]
        with home.running("serve", "--listen", f"127.0.0.1:{port}"):
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: _answers(url), "the service does not answer")
            credentials = BasicCredentials(made["access_key"], made["secret_key"], made["project_id"])
            builder = DcsClient.new_builder().with_credentials(credentials).with_endpoint(url)
            dcs = builder.with_http_config(HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)).build()
            yield Stand(home, source, target, source_id, target_id, dcs)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def listed(*names: str, bucket: str = "files") -> BackupFilesBody:
    return BackupFilesBody(
        file_source="self_build_obs", bucket_name=bucket, files=[Files(file_name=name) for name in names]
    )


def test_an_rdb_file_and_an_aof_come_from_a_folder(stand: Stand, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    stand.home.good("bucket", "add", "files", "--folder", str(bucket))
    fill(stand.source.client())
    (bucket / "dump.rdb").write_bytes(saved(stand.source))
    id = stand.imported(listed("dump.rdb"))
    until(lambda: stand.status(id), "SUCCESS")
    stand.equal()
    stats = stand.dcs.show_migration_task_stats(ShowMigrationTaskStatsRequest(task_id=id))
    assert (stats.full_migration_progress, stats.offset, stats.is_migrating) == ("100", "0", False)
    assert stats.source_dbsize == stats.target_dbsize == str(sum_of_keys(stand.source))
    logs = stand.dcs.list_migration_task_logs(ListMigrationTaskLogsRequest(task_id=id, log_level="INFO"))
    assert any("dump.rdb is to be read, RDB" in row.message for row in logs.migration_logs)
    assert any(f"dump.rdb: {stats.source_dbsize} keys restored" in row.message for row in logs.migration_logs)

    rewritten(stand.source)
    stand.source.client().incr("after the rewrite")
    shutil.copytree(stand.source.folder / "appendonlydir", bucket / "aof")
    id = stand.imported(listed("aof/"))
    until(lambda: stand.status(id), "SUCCESS")
    stand.equal()


def sum_of_keys(server: Server) -> int:
    return sum(facts["keys"] for facts in server.client().info("keyspace").values())


def test_what_is_wrong_with_a_file_is_told(stand: Stand, tmp_path: Path) -> None:
    bucket = tmp_path / "bucket"
    bucket.mkdir()
    stand.home.good("bucket", "add", "files", "--folder", str(bucket))
    (bucket / "dump.rdb").write_bytes(b"not what it says")
    for name, said in (("gone.rdb", "gone.rdb"), ("dump.rdb", "neither an RDB nor an AOF")):
        id = stand.imported(listed(name))
        wait_for(lambda id=id: stand.status(id) == "FAILED", "it does not fail")  # type: ignore[misc]
        rows = stand.dcs.list_migration_task(ListMigrationTaskRequest()).migration_tasks
        assert said in next(row.error_message for row in rows if row.task_id == id)
    assert not stand.target.client().dbsize()

    fill(stand.source.client())
    whole = saved(stand.source)
    (bucket / "cut.rdb").write_bytes(whole[: len(whole) * 3 // 4])
    id = stand.imported(listed("cut.rdb"))
    wait_for(lambda: stand.status(id) == "FAILED", "it does not fail")
    deleting = DeleteMigrationTaskRequest(body=DeleteMigrateTaskRequest(task_id_list=[id]))
    assert stand.dcs.delete_migration_task(deleting).task_id_list == [id]
    assert not stand.target.client().keys("sterna:*"), "what it left on the target goes with it"


def test_a_backup_is_taken_imported_and_deleted(stand: Stand) -> None:
    fill(stand.source.client())
    for form in ("rdb", "aof"):
        body = BackupInstanceBody(remark="r", backup_format=form)
        id = stand.dcs.copy_instance(CopyInstanceRequest(instance_id=stand.source_id, body=body)).backup_id
        until(lambda: records(stand)[0].status, "succeed")
        (file,) = (stand.home.data / "buckets").rglob(f"{id}.{form}")
        row = records(stand)[0]
        assert (row.backup_id, row.size, row.backup_format) == (id, file.stat().st_size, form)
        stand.target.client().flushall()
        task = stand.imported(BackupFilesBody(file_source="backup_record", backup_id=id, files=[]))
        until(lambda task=task: stand.status(task), "SUCCESS")  # type: ignore[misc]
        stand.equal()
        stand.dcs.delete_backup_file(DeleteBackupFileRequest(instance_id=stand.source_id, backup_id=id))
        assert not file.exists()
    assert records(stand) == []


def records(stand: Stand) -> list[Any]:
    request = ListBackupRecordsRequest(instance_id=stand.source_id)
    return list(stand.dcs.list_backup_records(request).backup_record_response)


def test_a_worker_that_is_killed_again_and_again_imports_everything_once(stand: Stand) -> None:
    """From an object store: an AOF whose commands must not be carried out twice."""
    pipeline = stand.source.client().pipeline(transaction=False)
    for number in range(200_000):
        pipeline.incr(f"n:{number % 1000}")
        pipeline.rpush(f"l:{number % 10}", number)
        if number % 20_000 == 0:
            pipeline.execute()
    pipeline.execute()
    try:
        with seaweedfs() as store:
            store.client().create_bucket(Bucket="backups")
            for path in (stand.source.folder / "appendonlydir").iterdir():
                store.client().put_object(Bucket="backups", Key=f"aof/{path.name}", Body=path.read_bytes())
            words = ("bucket", "add", "files", "--endpoint", store.endpoint, "--access-key", ACCESS_KEY)
            more = ("--style", "path", "--remote-name", "backups", "--secret-env", "SK")
            stand.home.good(*words, *more, SK=SECRET_KEY)
            id = stand.imported(listed("aof/appendonly.aof.manifest"))
            kill_while_it_grows(stand, id, times=3)
            until(lambda: stand.status(id), "SUCCESS")
            stand.equal()
    except Unavailable as reason:
        pytest.skip(str(reason))


def kill_while_it_grows(stand: Stand, id: str, times: int) -> None:
    """End the job's process without warning, each time after it has written some more to the target."""
    target, seen = stand.target.client(), 0
    for _ in range(times):
        wait_for(lambda seen=seen: target.llen("l:0") > seen, "nothing is written")  # type: ignore[misc]
        assert stand.status(id) == "MIGRATING", "it was over too soon"
        for pid in workers(id):
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not workers(id), "it does not die")
        seen = target.llen("l:0")


def workers(id: str) -> list[int]:
    """The processes that work on a job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if id.encode() in words and b"worker" in words:
            found.append(int(path.parent.name))
    return found
