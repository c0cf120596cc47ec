"""Imports of files and backups of instances: the vendor's SDK, Terraform's order, and what is refused."""

import asyncio
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdcs.v2 import (
    BackupFilesBody,
    BackupInstanceBody,
    CopyInstanceRequest,
    CreateMigrationTaskBody,
    CreateMigrationTaskRequest,
    DeleteBackupFileRequest,
    DownloadBackupFilesReq,
    Files,
    ListBackupFileLinksRequest,
    ListBackupRecordsRequest,
    ListMigrationTaskRequest,
    ShowMigrationTaskRequest,
    ShowMigrationTaskStatsRequest,
    TargetInstanceBody,
)

from sterna.core.job import Condition, Failure, JobId, Phase, Wish
from sterna.core.people import Bucket, Instance
from sterna.core.plan import Mode, Rename, StoredFile
from sterna.core.progress import Progress
from tests.api.service import (
    AK,
    FOREIGN_INSTANCE,
    FOREIGN_PROJECT,
    INSTANCE,
    INSTANCE_PASSWORD,
    PROJECT,
    SK,
    Service,
    serving,
)
from tests.api.test_sdk_dcs import client_of
from tests.api.test_terraform import Provider, destroy

BASE = f"/v2/{PROJECT}"
BUCKET, FOREIGN_BUCKET = "b" * 32, "c" * 32
UNKNOWN = "f" * 32
DONE = (Phase.CLOSE, Condition.DONE)
BROKEN = (Phase.COPY, Condition.FAILED)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with tempfile.TemporaryDirectory() as folder, serving(data=Path(folder)) as running:
        for id, project in ((BUCKET, PROJECT), (FOREIGN_BUCKET, FOREIGN_PROJECT)):
            name = "my-bucket" if project == PROJECT else "foreign-bucket"
            running.run(running.store.add_bucket(Bucket(id, project, name, "folder", folder=folder)))
        yield running


@pytest.fixture(scope="module")
def dcs(service: Service) -> Any:
    return client_of(service, BasicCredentials(AK, SK, PROJECT))


@pytest.fixture(scope="module")
def provider(service: Service) -> Provider:
    return Provider(service.url)


@pytest.fixture
def nobody_backs_up(service: Service) -> None:
    """Backups that earlier tests left are over."""
    _, jobs = service.run(service.store.jobs(PROJECT, kinds=("dcs-backup",)))
    for job in jobs:
        service.play(job.id, DONE)


def body(**files: Any) -> dict[str, Any]:
    wanted = {"file_source": "self_build_obs", "bucket_name": "my-bucket", "files": [{"file_name": "dump.rdb"}]}
    return {
        "task_name": "migration1",
        "description": "Test",
        "migration_type": "backupfile_import",
        "migration_method": "full_amount_migration",
        "backup_files": {name: value for name, value in (wanted | files).items() if value is not None},
        "target_instance": {"id": INSTANCE, "name": "dcs-test", "password": "xxxxxx"},
    }


def test_files_of_a_bucket_are_imported(service: Service, dcs: Any) -> None:
    wanted = CreateMigrationTaskBody(
        task_name="from-files",
        description="d",
        migration_type="backupfile_import",
        migration_method="full_amount_migration",
        backup_files=BackupFilesBody(
            file_source="self_build_obs",
            bucket_name="my-bucket",
            files=[Files("a/shard1.rdb", "754.0MB", "2025-07-22T11:57:24.401Z"), Files("shard2.zip", "0.09KB")],
        ),
        target_instance=TargetInstanceBody(id=INSTANCE, db="3"),
    )
    answer = dcs.create_migration_task(CreateMigrationTaskRequest(body=wanted))
    assert (answer.name, answer.status) == ("from-files", "MIGRATING")
    job = service.run(service.store.job(answer.id))
    assert job.wished
    assert job.plan
    assert job.plan.source.files == (StoredFile(BUCKET, "a/shard1.rdb"), StoredFile(BUCKET, "shard2.zip"))
    assert (job.plan.source.addresses, job.plan.mode) == ((), Mode.FULL)
    assert job.plan.target.password == INSTANCE_PASSWORD
    assert job.plan.selection.renames == (Rename("*", "3"),)
    service.play(answer.id, (Phase.COPY, Condition.RUNNING))
    task = dcs.show_migration_task(ShowMigrationTaskRequest(task_id=answer.id))
    assert (task.status, task.migration_type) == ("MIGRATING", "backupfile_import")
    assert task.backup_files.file_source == "self_build_obs"
    assert [(file.file_name, file.size) for file in task.backup_files.files] == [
        ("a/shard1.rdb", "754.0MB"),
        ("shard2.zip", "0.09KB"),
    ]
    assert task.backup_files.files[0].update_at == "2025-07-22T11:57:24.401Z"
    figures = Progress(phase="COPY", rows=7, skipped=2, bytes=50, bytes_total=200, at_ms=service.soon())
    service.run(service.store.set_progress(JobId(answer.id), figures, epoch=1))
    stats = dcs.show_migration_task_stats(ShowMigrationTaskStatsRequest(task_id=answer.id))
    assert (stats.full_migration_progress, stats.source_dbsize, stats.target_dbsize) == ("25", "9", "7")
    assert stats.is_migrating
    assert stats.offset != "0"
    service.play(answer.id, DONE)
    rows = dcs.list_migration_task(ListMigrationTaskRequest(name="from-files")).migration_tasks
    (row,) = rows
    assert (row.status, row.migration_type, row.data_source) == ("SUCCESS", "backupfile_import", "my-bucket")
    assert row.released_at


def test_the_provider_imports_and_destroys(service: Service, provider: Provider) -> None:
    files = [{"file_name": "appendonly.aof", "size": "0.09KB", "update_at": "2025-07-22T11:57:24.401Z"}]
    answer = provider.call("POST", "/migration-task", body(files=files))
    task = provider.read(answer["id"])
    assert task
    assert task["status"] == "MIGRATING"
    service.play(answer["id"], DONE)
    task = provider.read(answer["id"])
    assert task
    assert (task["status"], task["migration_method"]) == ("SUCCESS", "full_amount_migration")
    assert (task["task_name"], task["description"], task["network_type"]) == ("migration1", "Test", "vpc")
    assert task["backup_files"]["files"] == files
    assert task["backup_files"]["bucket_name"] == "my-bucket"
    assert task["target_instance"]["id"] == INSTANCE
    assert task["target_instance"]["name"] == "dcs-test"
    assert task["target_instance"]["password"] is None
    assert task["released_at"]
    destroy(provider, answer["id"])


@pytest.mark.usefixtures("nobody_backs_up")
def test_the_provider_takes_a_backup_imports_it_and_destroys_both(service: Service, provider: Provider) -> None:
    path = f"/instances/{INSTANCE}/backups"
    id = provider.call("POST", path, {"remark": "by terraform", "backup_format": "rdb"})["backup_id"]
    assert provider.call("GET", path)["backup_record_response"][0]["status"] in ("waiting", "backuping")
    refused(provider.send("POST", BASE + "/migration-task", record(id)), "DCS.4087")
    service.play(id, (Phase.COPY, Condition.RUNNING))
    figures = Progress(phase="COPY", rows=1, bytes=1234, bytes_total=1234)
    service.run(service.store.set_progress(JobId(id), figures, epoch=1))
    assert provider.call("GET", path)["backup_record_response"][0]["status"] == "backuping"
    service.play(id, DONE)
    row = provider.call("GET", path)["backup_record_response"][0]
    assert (row["backup_id"], row["status"], row["progress"], row["size"]) == (id, "succeed", "100.00", 1234)
    assert (row["remark"], row["backup_format"], row["is_support_restore"]) == ("by terraform", "rdb", "TRUE")
    assert (row["backup_type"], row["instance_id"]) == ("manual", INSTANCE)

    answer = provider.call("POST", "/migration-task", record(id))
    job = service.run(service.store.job(answer["id"]))
    backup = service.run(service.store.job(JobId(id)))
    assert job.plan
    assert backup.plan
    assert job.plan.source.files == backup.plan.target.files
    assert [file.name for file in job.plan.source.files] == [f"{INSTANCE}/{id}.rdb"]
    service.play(answer["id"], DONE)
    task = provider.read(answer["id"])
    assert task
    assert task["backup_files"]["backup_record"]["backup_id"] == task["backup_files"]["backup_id"] == id
    assert task["backup_files"]["file_source"] == "backup_record"
    destroy(provider, answer["id"])

    assert provider.send("DELETE", f"{BASE}{path}/{id}").status_code == 204
    refused(provider.send("DELETE", f"{BASE}{path}/{id}"), "DCS.4031")
    assert id not in [row["backup_id"] for row in provider.call("GET", path)["backup_record_response"]]


def record(id: str) -> dict[str, Any]:
    return body(file_source="backup_record", bucket_name=None, files=None, backup_id=id)


@pytest.mark.usefixtures("nobody_backs_up")
def test_backups_by_the_sdk(service: Service, dcs: Any) -> None:
    taking = CopyInstanceRequest(instance_id=INSTANCE, body=BackupInstanceBody(remark="r", backup_format="aof"))
    id = dcs.copy_instance(taking).backup_id
    with pytest.raises(ClientRequestException) as no:
        dcs.copy_instance(taking)
    assert no.value.error_code == "DCS.4096"
    with pytest.raises(ClientRequestException) as no:
        dcs.delete_backup_file(DeleteBackupFileRequest(instance_id=INSTANCE, backup_id=id))
    assert no.value.error_code == "DCS.4096"
    service.play(id, BROKEN, failure=Failure("STERNA.1001", "away"))
    page = dcs.list_backup_records(ListBackupRecordsRequest(instance_id=INSTANCE, limit=1))
    (row,) = page.backup_record_response
    assert page.total_num >= 1
    assert (row.backup_id, row.status, row.error_code, row.backup_format) == (id, "failed", "dcs.08.0001", "aof")
    assert row.is_support_restore == "FALSE"
    links = ListBackupFileLinksRequest(
        instance_id=INSTANCE, backup_id=id, body=DownloadBackupFilesReq(expiration=300)
    )
    with pytest.raises(ClientRequestException) as no:
        dcs.list_backup_file_links(links)
    assert no.value.error_code == "DCS.4027"
    assert (
        dcs.list_backup_records(
            ListBackupRecordsRequest(instance_id=INSTANCE, begin_time="20000101000000", end_time="20000102000000")
        ).backup_record_response
        == []
    )
    dcs.delete_backup_file(DeleteBackupFileRequest(instance_id=INSTANCE, backup_id=id))
    with pytest.raises(ClientRequestException) as no:
        dcs.delete_backup_file(DeleteBackupFileRequest(instance_id=INSTANCE, backup_id=id))
    assert (no.value.status_code, no.value.error_code) == (400, "DCS.4031")


@pytest.mark.usefixtures("nobody_backs_up")
def test_a_deleted_backup_takes_its_file_along(service: Service, client: httpx.Client) -> None:
    id = client.post(f"{BASE}/instances/{INSTANCE}/backups", json={"remark": ""}).json()["backup_id"]
    job = service.run(service.store.job(JobId(id)))
    assert job.plan
    bucket = service.run(service.store.bucket(job.plan.target.files[0].bucket))
    assert bucket.name == "sterna-backups"
    file = Path(bucket.folder) / job.plan.target.files[0].name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"REDIS")
    service.play(id, DONE)
    assert client.delete(f"{BASE}/instances/{INSTANCE}/backups/{id}").status_code == 204
    assert not file.exists()


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"bucket_name": "nowhere"}, "DCS.4063"),
        ({"bucket_name": "foreign-bucket"}, "DCS.4063"),
        ({"bucket_name": None}, "DCS.4063"),
        ({"files": []}, "DCS.4063"),
        ({"files": None}, "DCS.4063"),
        ({"files": [{"size": "1"}]}, "DCS.4063"),
        ({"files": [{"file_name": ""}]}, "DCS.4063"),
        ({"files": [{"file_name": "a\nb"}]}, "DCS.4063"),
        ({"files": [{"file_name": "../../etc/passwd"}]}, "DCS.4063"),
        ({"files": [{"file_name": "a/./b.rdb"}]}, "DCS.4063"),
        ({"files": [{"file_name": "é" * 513}]}, "DCS.4063"),
        ({"file_source": "elsewhere"}, "DCS.4063"),
        ({"file_source": "backup_record", "bucket_name": None, "backup_id": UNKNOWN}, "DCS.4063"),
        ({"file_source": "backup_record", "bucket_name": None}, "DCS.4063"),
        ({"file_source": "backup_record", "bucket_name": None, "backup_id": "no-id"}, "DCS.4063"),
    ],
)
def test_what_cannot_be_imported_is_refused(client: httpx.Client, files: dict[str, Any], code: str) -> None:
    refused(client.post(f"{BASE}/migration-task", json=body(**files)), code)


def test_a_folder_of_an_aof_in_parts_can_be_imported(client: httpx.Client) -> None:
    answer = client.post(f"{BASE}/migration-task", json=body(files=[{"file_name": "a b/appendonlydir/"}]))
    assert answer.status_code == 200, answer.text


def test_an_import_needs_its_files_and_a_known_target(client: httpx.Client) -> None:
    refused(client.post(f"{BASE}/migration-task", json=body() | {"backup_files": None}), "DCS.4063")
    foreign = body() | {"target_instance": {"id": FOREIGN_INSTANCE}}
    refused(client.post(f"{BASE}/migration-task", json=foreign), "DCS.3022", 404)


def test_an_import_is_neither_configured_nor_reconnected(client: httpx.Client) -> None:
    id = client.post(f"{BASE}/migration-task", json=body() | {"migration_method": "incremental_migration"}).json()[
        "id"
    ]
    assert client.get(f"{BASE}/migration-task/{id}").json()["migration_method"] == "incremental_migration"
    again = {
        "migration_method": "full_amount_migration",
        "resume_mode": "auto",
        "source_instance": {"addrs": "a:1"},
        "target_instance": {"addrs": "b:1"},
    }
    refused(client.post(f"{BASE}/migration/{id}/task", json=again), "DCS.4957")
    refused(client.put(f"{BASE}/migration-task/{id}", json={"resume_mode": "auto"}), "DCS.4957")


def test_backups_are_of_a_projects_own_instances(client: httpx.Client) -> None:
    path = f"{BASE}/instances/{FOREIGN_INSTANCE}/backups"
    refused(client.get(path), "DCS.3022", 404)
    refused(client.post(path, json={"remark": "x"}), "DCS.3022", 404)
    refused(client.delete(f"{path}/{UNKNOWN}"), "DCS.4031")
    refused(client.get(f"{BASE}/instances/no-id/backups"), "DCS.4061")
    own = f"{BASE}/instances/{INSTANCE}/backups"
    refused(client.post(own, json={"remark": "x" * 129}), "DCS.4098")
    refused(client.post(own, json={"backup_format": "tar"}), "DCS.4063")
    refused(client.get(own, params={"begin_time": "yesterday"}), "DCS.4062")
    refused(client.post(f"{own}/{UNKNOWN}/links", json={"expiration": 1}), "DCS.4063")


@pytest.mark.parametrize("condition", [Condition.FAILED, Condition.PAUSED])
def test_an_import_that_stopped_halfway_is_ended_before_it_is_deleted(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch, condition: Condition
) -> None:
    monkeypatch.setattr("sterna.api.dcs.routes.CLEANING_S", 0.2)
    id = client.post(f"{BASE}/migration-task", json=body()).json()["id"]
    service.play(id, (Phase.COPY, condition))
    answer = client.request("DELETE", f"{BASE}/migration-tasks/delete", json={"task_id_list": [id, id]})
    assert answer.json() == {"task_id_list": [id, id]}
    job = service.run(service.store.job(JobId(id)))
    assert (job.deleted, job.wish) == (True, Wish.STOP)


@pytest.mark.usefixtures("nobody_backs_up")
def test_of_two_backups_that_are_asked_for_at_once_one_is_taken(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed, asked = service.store.jobs, 0

    async def slow(*what: Any, **how: Any) -> Any:
        nonlocal asked
        asked += 1
        found = await listed(*what, **how)
        for _ in range(1000):  # room for the other one to come in between
            await asyncio.sleep(0)
        return found

    monkeypatch.setattr(service.store, "jobs", slow)
    own = f"{BASE}/instances/{INSTANCE}/backups"
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: client.post(own, json={}), range(4)))
    assert asked == 4
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400]
    assert {answer.json()["error_code"] for answer in answers if answer.is_error} == {"DCS.4096"}


@pytest.mark.usefixtures("nobody_backs_up")
def test_a_backup_that_is_being_imported_stays(service: Service, client: httpx.Client) -> None:
    own = f"{BASE}/instances/{INSTANCE}/backups"
    backup = client.post(own, json={"remark": ""}).json()["backup_id"]
    service.play(backup, DONE)
    files = {"file_source": "backup_record", "bucket_name": None, "files": None, "backup_id": backup}
    task = client.post(f"{BASE}/migration-task", json=body(**files)).json()["id"]
    refused(client.delete(f"{own}/{backup}"), "DCS.4097")
    service.play(task, DONE)
    assert client.delete(f"{own}/{backup}").status_code == 204


@pytest.mark.usefixtures("nobody_backs_up")
def test_a_backup_that_was_stopped_is_none(service: Service, client: httpx.Client) -> None:
    backup = client.post(f"{BASE}/instances/{INSTANCE}/backups", json={}).json()["backup_id"]
    service.play(backup, (Phase.COPY, Condition.RUNNING))
    service.run(service.store.ask(JobId(backup), Wish.STOP))
    service.play(backup, DONE)
    files = {"file_source": "backup_record", "bucket_name": None, "files": None, "backup_id": backup}
    refused(client.post(f"{BASE}/migration-task", json=body(**files)), "DCS.4087")


def test_servers_of_other_kinds_are_no_instances(service: Service, client: httpx.Client) -> None:
    id = "5a3182607bc549bcb46cc9a8755761a6"
    service.run(service.store.add_instance(Instance(id, PROJECT, "shop", "postgresql", (("h", 5432),))))
    assert id not in [each["instance_id"] for each in client.get(f"{BASE}/instances").json()["instances"]]
    refused(client.get(f"{BASE}/instances/{id}"), "DCS.3022", 404)
    refused(client.post(f"{BASE}/instances/{id}/backups", json={}), "DCS.4006")
    refused(client.post(f"{BASE}/migration-task", json=body() | {"target_instance": {"id": id}}), "DCS.4006")


def refused(answer: httpx.Response, code: str, status: int = 400) -> None:
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
