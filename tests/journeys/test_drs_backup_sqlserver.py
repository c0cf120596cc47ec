"""Backups go from a bucket into a SQL Server by the SDK and the service: a stand-in, not a SQL Server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs import v5

from tests.backups.corpus import MAKERS
from tests.effort import PATIENCE
from tests.engines.sqlserver_scene import PASSWORD, USER
from tests.journeys.backup_stand import answers
from tests.journeys.command import Home, contents, wait_for
from tests.servers.redis import free_port
from tests.servers.sqlserver import Database, Fault, Model
from tests.servers.tds import HOST, serving

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


class Stand:
    """A service, a folder for a bucket, and a stand-in that sees the service's shared folder as ``D:\\share``."""

    def __init__(self, model: Model, sdk: Any, instance: str, bucket: Path, home: Home) -> None:
        self.model = model
        self.sdk = sdk
        self.instance = instance
        self.bucket = bucket
        self.home = home

    def run(self, name: str, *files: str, **options: Any) -> Any:
        usual = {"is_cover": False, "is_default_restore": True, "is_last_backup": True, "is_precheck": True}
        body = v5.CreateOfflineTaskReq(
            base_info=v5.BackupJobBaseInfo(name=name, engine_type="sqlserver"),
            target_db_info=v5.BackupJobEndpointInfo(target_instance_id=self.instance),
            backup_info=v5.BackupInfo(
                file_source="OBS",
                bucket_name="backups",
                files=[v5.BackupFileInfo(name=file, obs_path="") for file in files],
            ),
            options=v5.BackupRestoreOptionInfo(**{"recovery_mode": "full", **usual, **options}),
        )
        id = self.sdk.create_replication_job(v5.CreateReplicationJobRequest(body=body)).job_id
        wait_for(lambda: self.shown(id).status != "TRANSFERRING", "the task does not end")
        return self.shown(id)

    def shown(self, id: str) -> Any:
        return self.sdk.show_replication_job(v5.ShowReplicationJobRequest(job_id=id))


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    bucket, share = tmp_path / "bucket", tmp_path / "share"
    bucket.mkdir()
    share.mkdir()
    home, port, model = Home(tmp_path / "home"), free_port(), Model(share)
    with serving(model) as server:
        made = home.good("init")
        home.good("bucket", "add", "backups", "--folder", str(bucket))
        instance = home.good(
            "instance", "add", "--name", "target", "--engine", "sqlserver", "--address", f"{HOST}:{server.port}",
            "--user", USER, "--password-env", "PW", "--shared-folder", str(share), "--shared-path", "D:\\share",
            PW=PASSWORD,
        )  # fmt: skip
        with home.running("serve", "--listen", f"127.0.0.1:{port}"):
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: answers(url), "the service does not answer")
            keys = BasicCredentials(made["access_key"], made["secret_key"], made["project_id"])
            config = HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)
            builder = v5.DrsClient.new_builder().with_credentials(keys).with_http_config(config)
            yield Stand(model, builder.with_endpoint(url).build(), instance["id"], bucket, home)


def test_a_chain_goes_into_a_server_over_several_jobs_and_after_wrong_turns(stand: Stand) -> None:
    full, first, second = (path.name for path in MAKERS["log_chain"](stand.bucket).paths)
    later = {"is_last_backup": False, "recovery_mode": "incre"}
    stand.model.faults = [Fault("RESTORE DATABASE", ((3257, 16, "There is insufficient free space."),))]
    failed = stand.run("no-room", full, is_last_backup=False)
    assert failed.status == "FAILED"
    assert "error 3257" in failed.error_log
    assert list((stand.home.folder.parent / "share").iterdir()) == [], "a task that has failed leaves no copy"
    stand.sdk.delete_replication_job(v5.DeleteReplicationJobRequest(job_id=failed.id))
    begun = stand.run("begin", full, is_last_backup=False, reset_db_name_map={"": "neu"})
    assert begun.status == "SUCCESS", begun.error_log
    early = stand.run("too-early", second, **later)
    assert early.status == "PRECHECK FAILED"
    assert "the log backup between them is missing" in early.error_log
    for name in ("first", "first-again"):
        done = stand.run(name, first, **later)
        assert done.status == "SUCCESS", done.error_log
        assert stand.model.databases["neu"].state == "RESTORING"
    elsewhere = stand.run("elsewhere", second, reset_db_name_map={"": "another"}, **later)
    assert elsewhere.status == "PRECHECK FAILED"
    assert "no database waits" in elsewhere.error_log
    done = stand.run("last", second, recovery_mode="incre", is_delete_backup_file=True)
    assert done.status == "SUCCESS", done.error_log
    assert {name: each.state for name, each in stand.model.databases.items()} == {"neu": "ONLINE"}
    assert len(stand.model.databases["neu"].sets) == 3
    assert len(stand.model.ran("RESTORE LOG")) == 2


def test_what_is_in_the_way_fails_the_checks_and_is_covered_if_that_is_wanted(stand: Stand) -> None:
    (path,) = MAKERS["shop_2016"](stand.bucket).paths
    stand.model.databases["Shop"] = Database("Shop", files={"old": "D:\\data\\old.mdf"}, users=2)
    refused = stand.run("refused", path.name)
    assert refused.status == "PRECHECK FAILED"
    assert "has a database Shop already" in refused.error_log
    assert stand.model.databases["Shop"].sets == []
    done = stand.run("covered", path.name, is_cover=True)
    assert done.status == "SUCCESS", done.error_log
    assert len(stand.model.databases["Shop"].sets) == 1
    written = [content for _, content in contents(stand.home.folder)]
    assert written
    assert not any(PASSWORD.encode() in each for each in written)
