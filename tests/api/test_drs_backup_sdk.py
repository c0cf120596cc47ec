"""Unmodified clients drive backup migration: the vendor's Python SDK, and the calls of its Terraform provider."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdrs.v5 import (
    BackupFileInfo,
    BackupInfo,
    BackupJobBaseInfo,
    BackupJobEndpointInfo,
    BackupRestoreOptionInfo,
    BatchAddTagReq,
    BatchCreateTagsRequest,
    CreateOfflineTaskReq,
    CreateReplicationJobRequest,
    DeleteReplicationJobRequest,
    ListInstanceTagsRequest,
    ListReplicationJobsRequest,
    ModifyOfflineTaskReq,
    ResourceTag,
    ShowReplicationJobRequest,
    UpdateReplicationJobRequest,
)

from sterna.core.job import Condition, Failure, Phase
from tests.api.backups import POSTGRES, V5, backup_service, fail, succeed
from tests.api.service import AK, OTHER_AK, OTHER_SK, PROJECT, SK, Service
from tests.api.test_drs5_sdk import client_of


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with backup_service() as running:
        yield running


@pytest.fixture(scope="module")
def drs(service: Service) -> Any:
    return client_of(service, AK, SK, PROJECT)


def wanted(name: str) -> CreateReplicationJobRequest:
    return CreateReplicationJobRequest(
        body=CreateOfflineTaskReq(
            base_info=BackupJobBaseInfo(
                name=name,
                engine_type="sqlserver",
                description="by the SDK",
                tags=[ResourceTag(key="a", value="b")],
            ),
            target_db_info=BackupJobEndpointInfo(target_instance_id=POSTGRES),
            backup_info=BackupInfo(
                file_source="OBS",
                bucket_name="zyy-obs",
                files=[BackupFileInfo(name="ims.bak", obs_path="floder/")],
            ),
            options=BackupRestoreOptionInfo(
                is_cover=True,
                is_default_restore=False,
                is_last_backup=True,
                is_precheck=True,
                recovery_mode="full",
                db_names=["ims"],
                reset_db_name_map={"": "ims_new"},
                is_delete_backup_file=True,
            ),
        )
    )


def test_the_sdk_drives_a_task_from_its_creation_to_its_end(service: Service, drs: Any) -> None:
    id = drs.create_replication_job(wanted("by-sdk")).job_id
    now = drs.show_replication_job(ShowReplicationJobRequest(job_id=id))
    assert (now.id, now.status, now.instance_name) == (id, "TRANSFERRING", "rds-postgres")
    assert (now.base_info.name, now.base_info.tags[0].key) == ("by-sdk", "a")
    (file,) = now.backup_info.file_info
    assert (file.file_name, file.file_size, file.file_last_modify) == ("ims.bak", "15.85MB", "1519374126000")
    assert (now.options.db_names, now.options.reset_db_name_map) == (["ims"], {"": "ims_new"})
    assert now.new_db_names == '["ims_new"]'
    with pytest.raises(ClientRequestException) as refusal:
        drs.delete_replication_job(DeleteReplicationJobRequest(job_id=id))
    assert (refusal.value.status_code, refusal.value.error_code) == (400, "DRS.M00304")
    change = ModifyOfflineTaskReq(name="by-sdk-2", description="again")
    drs.update_replication_job(UpdateReplicationJobRequest(job_id=id, body=change))
    succeed(service, id)
    found = drs.list_replication_jobs(
        ListReplicationJobsRequest(
            name="BY-SDK", status="SUCCESS", dbs_instance_ids=[POSTGRES], limit=10, offset=0, sort_key="created_at"
        )
    )
    assert (found.count, found.jobs[0].id, found.jobs[0].description) == (1, id, "again")
    tags = BatchAddTagReq(tags=[ResourceTag(key="c", value="d")])
    drs.batch_create_tags(BatchCreateTagsRequest(resource_type="backupMigration", resource_id=id, body=tags))
    told = drs.list_instance_tags(ListInstanceTagsRequest(resource_type="backupMigration", resource_id=id))
    assert {tag.key: tag.value for tag in told.tags} == {"a": "b", "c": "d"}
    drs.delete_replication_job(DeleteReplicationJobRequest(job_id=id))
    with pytest.raises(ClientRequestException) as gone:
        drs.show_replication_job(ShowReplicationJobRequest(job_id=id))
    assert (gone.value.status_code, gone.value.error_code) == (400, "DRS.10000010")


def test_someone_elses_keys_open_nothing(service: Service) -> None:
    other = client_of(service, OTHER_AK, OTHER_SK, PROJECT)
    with pytest.raises(ClientRequestException) as refusal:
        other.list_replication_jobs(ListReplicationJobsRequest())
    assert (refusal.value.status_code, refusal.value.error_code) == (403, "DRS.M00261")


# The Terraform provider: what it sends, in its order, and what it insists on in the answers.


def provider_creates(client: httpx.Client, name: str) -> str:
    body = {
        "base_info": {"name": name, "engine_type": "sqlserver", "tags": [{"key": "by"}]},
        "target_db_info": {"target_instance_id": POSTGRES},
        "backup_info": {
            "file_source": "OBS",
            "files": [{"name": "1706510914000_0_Test_Database.bak", "obs_path": ""}],
            "bucket_name": "zyy-obs",
        },
        "options": {
            "is_last_backup": True,
            "is_precheck": True,
            "recovery_mode": "full",
            "is_cover": True,
            "is_default_restore": True,
            "is_delete_backup_file": True,
        },
    }
    answer = client.post(V5, json=body, headers={"Content-Type": "application/json", "X-Language": "en-us"})
    assert answer.status_code == 200, answer.text
    id: str = answer.json()["job_id"]
    return id


def provider_polls(client: httpx.Client, id: str) -> str:
    """Its next move: pending, completed, or the error that it shows."""
    found = client.get(f"{V5}/{id}").json()
    if found["status"] == "SUCCESS":
        return "COMPLETED"
    return f"error migrate backup: {found['error_log']}" if "FAILED" in found["status"] else "PENDING"


def test_terraform_creates_waits_reads_updates_and_destroys(service: Service, client: httpx.Client) -> None:
    id = provider_creates(client, "terraform-1")
    assert provider_polls(client, id) == "PENDING"
    service.play(id, (Phase.COPY, Condition.RUNNING))
    assert provider_polls(client, id) == "PENDING"
    succeed(service, id)
    assert provider_polls(client, id) == "COMPLETED"
    read = client.get(f"{V5}/{id}").json()
    assert isinstance(read["options"]["is_cover"], bool)
    assert read["options"]["recovery_mode"] == "full"
    assert client.put(f"{V5}/{id}", json={"name": "terraform-2", "description": ""}).status_code == 200
    rows: list[Any] = []
    while page := client.get(f"{V5}?limit=2000&name=terraform&offset={len(rows)}").json()["jobs"]:
        rows += page
    assert [row["name"] for row in rows] == ["terraform-2"]
    assert client.delete(f"{V5}/{id}").status_code == 200
    gone = client.get(f"{V5}/{id}")
    assert (gone.status_code, gone.json()["error_code"]) == (400, "DRS.10000010")


def test_terraform_shows_why_a_task_failed(service: Service, client: httpx.Client) -> None:
    id = provider_creates(client, "terraform-3")
    fail(service, id, Failure("STERNA.2008", "The checks failed", "Upload the file."))
    assert provider_polls(client, id) == "error migrate backup: The checks failed. Upload the file."
    assert client.delete(f"{V5}/{id}").status_code == 200
