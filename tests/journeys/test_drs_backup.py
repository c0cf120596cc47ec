"""SQL Server backups go from a bucket into a real PostgreSQL server, driven by the SDK and by plain HTTP."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs import v5

from tests.backups.corpus import MAKERS, Fixture, Found
from tests.journeys.command import Home, wait_for
from tests.journeys.drs_stand import PASSWORD
from tests.servers.postgres import SUPERUSER, PostgresServer, Unavailable, running
from tests.servers.redis import free_port

pytestmark = [pytest.mark.server, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class Stand:
    """A service with a folder of backups for a bucket, and a server to restore into."""

    home: Home
    target: PostgresServer
    url: str
    project: str
    keys: tuple[str, str]
    user: tuple[str, str, str]
    """Name, password and domain."""
    instance: str
    fixtures: dict[str, Fixture]

    @property
    def sdk(self) -> Any:
        credentials = BasicCredentials(*self.keys, self.project)
        config = HttpConfig(timeout=(10, 60), retry_times=0)
        builder = v5.DrsClient.new_builder().with_credentials(credentials).with_http_config(config)
        return builder.with_endpoint(self.url).build()

    def create(self, name: str, *files: str, **options: Any) -> str:
        usual = {
            "is_cover": False,
            "is_default_restore": True,
            "is_last_backup": True,
            "is_precheck": True,
            "recovery_mode": "full",
        }
        body = v5.CreateOfflineTaskReq(
            base_info=v5.BackupJobBaseInfo(name=name, engine_type="sqlserver"),
            target_db_info=v5.BackupJobEndpointInfo(target_instance_id=self.instance),
            backup_info=v5.BackupInfo(
                file_source="OBS",
                bucket_name="backups",
                files=[v5.BackupFileInfo(name=file, obs_path="") for file in files],
            ),
            options=v5.BackupRestoreOptionInfo(**{**usual, **options}),
        )
        id: str = self.sdk.create_replication_job(v5.CreateReplicationJobRequest(body=body)).job_id
        return id

    def shown(self, id: str) -> Any:
        return self.sdk.show_replication_job(v5.ShowReplicationJobRequest(job_id=id))

    def ended(self, id: str) -> Any:
        """The task's detail, once it has ended."""
        wait_for(lambda: self.shown(id).status != "TRANSFERRING", "the task does not end")
        return self.shown(id)

    def databases(self) -> set[str]:
        return {str(name) for (name,) in self.target.sql("SELECT datname FROM pg_database")}

    def holds(self, database: str, tables: dict[str, Found]) -> None:
        """Exactly these rows, in whatever order."""
        for table, found in tables.items():
            schema, _, name = table.partition(".")
            columns = ", ".join(f'"{column}"' for column in found.columns)
            with (
                self.target.connect(database) as connection,
                connection.cursor().copy(f'COPY "{schema}"."{name}" ({columns}) TO STDOUT') as copy,
            ):
                lines = b"".join(copy).decode().splitlines()
            assert sorted(lines) == sorted(line.rstrip("\n") for line in found.lines), table


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    try:
        with running("pg18", password=PASSWORD) as target:
            yield from _served(tmp_path_factory, target)
    except Unavailable as reason:
        pytest.skip(str(reason))


def _served(tmp_path_factory: pytest.TempPathFactory, target: PostgresServer) -> Iterator[Stand]:
    home, bucket, port = Home(tmp_path_factory.mktemp("home")), tmp_path_factory.mktemp("bucket"), free_port()
    made = home.good("init")
    home.good("bucket", "add", "backups", "--folder", str(bucket))
    instance = home.good(
        "instance", "add", "--name", "target", "--engine", "postgresql", "--address", f"127.0.0.1:{target.port}",
        "--user", SUPERUSER, "--password-env", "TARGET_PASSWORD", TARGET_PASSWORD=PASSWORD,
    )  # fmt: skip
    with home.running("serve", "--listen", f"127.0.0.1:{port}"):
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url), "the service does not answer")
        keys = (made["access_key"], made["secret_key"])
        user = (made["user"], made["password"], made["domain"])
        yield Stand(home, target, url, made["project_id"], keys, user, instance["id"], _written(bucket))


def _written(bucket: Path) -> dict[str, Fixture]:
    names = ("shop_2016", "stripes_2_compressed", "several_sets", "log_chain", "encrypted_pages")
    return {name: MAKERS[name](bucket) for name in names}


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def names_of(fixture: Fixture) -> list[str]:
    return [path.name for path in fixture.paths]


def test_the_sdk_restores_a_striped_backup_under_another_name(stand: Stand) -> None:
    fixture = stand.fixtures["stripes_2_compressed"]
    id = stand.create("striped", *names_of(fixture), reset_db_name_map={"": "new name"})
    done = stand.ended(id)
    assert done.status == "SUCCESS", done.error_log
    assert [file.file_name for file in done.backup_info.file_info] == names_of(fixture)
    assert all(file.file_size.endswith("KB") and file.file_last_modify for file in done.backup_info.file_info)
    stand.holds("new name", fixture.databases["Striped"])
    assert "Striped" not in stand.databases()
    stand.sdk.delete_replication_job(v5.DeleteReplicationJobRequest(job_id=id))
    with pytest.raises(ClientRequestException, match=r"DRS\.10000010"):
        stand.shown(id)
    stand.holds("new name", fixture.databases["Striped"])


def test_v1_restores_one_database_of_several(stand: Stand) -> None:
    fixture = stand.fixtures["several_sets"]
    user = {"name": stand.user[0], "password": stand.user[1], "domain": {"name": stand.user[2]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    token = {"auth": {"identity": identity, "scope": {"project": {"id": stand.project}}}}
    with httpx.Client(base_url=stand.url, timeout=60) as client:
        client.headers["X-Auth-Token"] = client.post("/v3/auth/tokens", json=token).headers["X-Subject-Token"]
        body = {
            "source": "obs",
            "engine": "sqlserver",
            "name": "one-of-several",
            "description": "",
            "instance_id ": stand.instance,
            "backup": {
                "file_source": "OBS",
                "bucket_name": "backups",
                "files": [{"name": names_of(fixture)[0], "path": ""}],
            },
            "options": {
                "cover": "false",
                "recovery_mode": "1",
                "is_default_restore": "false",
                "is_last_backup": "true",
            },
            "db_names": ["Other"],
        }
        answer = client.post(f"/drs/v2.0/{stand.project}/replication_task", json=body)
        assert answer.status_code == 200, answer.text
        path = f"/drs/v1.0/{stand.project}/replication_task/{answer.json()['task_id']}"
        wait_for(lambda: client.get(path).json()["status"] != "TRANSFERRING", "the task does not end")
        assert (client.get(path).json()["status"], client.get(path).json()["error_log"]) == ("SUCCESS", "")
        stand.holds("Other", fixture.databases["Other"])
        assert "Shop" not in stand.databases()
        assert client.delete(path).status_code == 200
        assert client.get(path).json()["err code"] == "DRS.0016"


def test_a_chain_is_loaded_with_its_last_backup(stand: Stand) -> None:
    fixture = stand.fixtures["log_chain"]
    full, first, second = names_of(fixture)
    steps = (
        ("chain-0", full, {"is_last_backup": False}),
        ("chain-1", first, {"is_last_backup": False, "recovery_mode": "incre"}),
        ("chain-2", second, {"recovery_mode": "incre"}),
    )
    for name, file, options in steps:
        assert "Logged" not in stand.databases()
        done = stand.ended(stand.create(name, file, **options))
        assert done.status == "SUCCESS", done.error_log
    stand.holds("Logged", fixture.databases["Logged"])


def test_what_is_there_is_replaced_only_where_it_was_said(stand: Stand) -> None:
    fixture = stand.fixtures["shop_2016"]
    first = stand.ended(stand.create("shop-1", *names_of(fixture)))
    assert first.status == "SUCCESS", first.error_log
    stand.target.sql('DELETE FROM "dbo"."Orders"', "Shop")
    kept = stand.ended(stand.create("shop-2", *names_of(fixture)))
    assert "FAILED" in kept.status
    assert "Shop" in kept.error_log
    assert stand.target.sql('SELECT count(*) FROM "dbo"."Orders"', "Shop") == [(0,)]
    covered = stand.ended(stand.create("shop-3", *names_of(fixture), is_cover=True))
    assert covered.status == "SUCCESS", covered.error_log
    stand.holds("Shop", fixture.databases["Shop"])


@pytest.mark.parametrize(("name", "files"), [("missing", ["no-such.bak"]), ("encrypted", ["encrypted_pages.bak"])])
def test_what_cannot_be_restored_is_found_before_anything_changes(
    stand: Stand, name: str, files: list[str]
) -> None:
    before = stand.databases()
    done = stand.ended(stand.create(name, *files))
    assert done.status == "PRECHECK FAILED", (done.status, done.error_log)
    assert files[0] in done.error_log or "encrypt" in done.error_log.lower()
    assert stand.databases() == before
