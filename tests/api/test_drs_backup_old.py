"""Backup migration in v1.0, on the same tasks as v5 has, with everything that its documents spell oddly."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sterna.core.job import Condition, Failure, Phase
from sterna.core.plan import Conflict, Rename
from tests.api.backups import (
    FOREIGN,
    OLD,
    SQLSERVER,
    V5,
    backup_service,
    create,
    create_old,
    fail,
    new_task,
    plan,
    succeed,
)
from tests.api.service import PROJECT, SECOND_PROJECT, Service
from tests.api.test_drs_backup import with_at

CREATE = f"/drs/v2.0/{PROJECT}/replication_task"


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with backup_service() as running:
        yield running


def shown(client: httpx.Client, id: str) -> dict[str, Any]:
    answer = client.get(f"{OLD}/replication_task/{id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert set(answer.json()) == {"err code", "error msg"}, answer.text
    return answer.status_code, answer.json()["err code"]


def test_flags_are_text_and_the_id_is_a_uuid(service: Service, client: httpx.Client) -> None:
    id = create_old(client, "migration-5be2")
    assert len(id) == 36
    made = plan(service, id)
    assert [file.name for file in made.source.files] == ["floder/ims.bak"]
    assert (made.conflict, made.target.instance_id) == (Conflict.OVERWRITE, SQLSERVER)
    assert made.options["recovery_mode"] == "full"
    assert made.options["precheck"] == "true"
    now = shown(client, id)
    assert set(now) == {
        "id", "status", "name", "description", "create_time_stamp", "finish_time_stamp", "cover", "backup",
        "db_names", "instance_id", "instance_name", "error_log",
    }  # fmt: skip
    assert (now["status"], now["cover"], now["error_log"], now["finish_time_stamp"]) == (
        "TRANSFERRING",
        "true",
        "",
        "",
    )
    (file,) = now["backup"]["file_info"]
    assert file["file_size"] == "15.85MB"
    assert file["file_last_modify"] == file["file_lastmodify"]
    assert now["instance_name"] == "rds-sqlserver"


@pytest.mark.parametrize("version", ["v1.0", "v2.0"])
@pytest.mark.parametrize("prefix", ["", "/drs"])
def test_every_path_of_the_years_is_served(
    service: Service, client: httpx.Client, version: str, prefix: str
) -> None:
    base, name = f"{prefix}/{version}/{PROJECT}", f"years-{version.replace('.', '-')}{prefix.replace('/', '-')}"
    id = client.post(f"{base}/replication_task", json=new_task(name)).json()["task_id"]
    assert client.get(f"{base}/replication_task/{id}").json()["name"] == name
    for path in (
        "replication_tasks",
        "replication_tasks/",
        "replication_tasks/offline",
        "replication_tasks/offline/",
    ):
        found = client.get(f"{base}/{path}", params={"name": name}).json()
        assert [task["id"] for task in found["tasks"]] == [id]
    succeed(service, id)
    answer = client.delete(f"{base}/replication_task/{id}")
    assert (answer.status_code, answer.content) == (200, b"")


def test_blanks_at_the_ends_of_keys_are_passed_over(service: Service, client: httpx.Client) -> None:
    """The documented sample has one."""
    body = new_task("blank-in-a-key")
    body["instance_id "] = body.pop("instance_id")
    body["options"][" cover"] = body["options"].pop("cover")
    answer = client.post(CREATE, json=body)
    assert answer.status_code == 200, answer.text
    assert shown(client, answer.json()["task_id"])["instance_id"] == SQLSERVER


def test_both_versions_see_the_same_tasks(service: Service, client: httpx.Client) -> None:
    old, new = create_old(client, "made-by-old"), create(client, "made-by-new")
    assert shown(client, new)["id"] == new
    assert shown(client, new)["db_names"] == []
    assert client.get(f"{V5}/{old}").json()["base_info"]["name"] == "made-by-old"
    names = [task["name"] for task in client.get(f"{OLD}/replication_tasks").json()["tasks"]]
    assert names[:2] == ["made-by-new", "made-by-old"]
    assert client.put(f"{V5}/{old}", json={"name": "made-by-old", "description": "x"}).is_success
    assert shown(client, old)["description"] == "x"


def test_a_long_name_of_old_may_stay_in_v5(client: httpx.Client) -> None:
    id = create_old(client, "a" * 64)
    assert client.put(f"{V5}/{id}", json={"name": "a" * 64, "description": "described"}).is_success
    assert shown(client, id)["description"] == "described"


def test_failed_checks_are_a_failure(service: Service, client: httpx.Client) -> None:
    id = create_old(client, "old-checks")
    fail(service, id, Failure("STERNA.2008", "The checks failed", "Mend it."))
    now = shown(client, id)
    assert (now["status"], now["error_log"]) == ("FAILED", "The checks failed. Mend it.")
    assert now["finish_time_stamp"].isdigit()
    failed = client.get(f"{OLD}/replication_tasks", params={"status": "FAILED"}).json()
    assert [task["name"] for task in failed["tasks"]] == ["old-checks"]
    assert failed["total_record"] == failed["totalrecord"] == 1


def test_a_list_has_pages(service: Service, client: httpx.Client) -> None:
    for number in range(3):
        create_old(client, f"page-{number}")
    query: dict[str, Any] = {"name": "PAGE-", "perpage": 2}
    first = client.get(f"{OLD}/replication_tasks", params={**query, "curpage": 1}).json()
    second = client.get(f"{OLD}/replication_tasks", params={**query, "curpage": 2, "status": ""}).json()
    past = client.get(f"{OLD}/replication_tasks", params={**query, "curpage": 9}).json()
    assert [task["name"] for task in first["tasks"] + second["tasks"]] == ["page-2", "page-1", "page-0"]
    assert (past["tasks"], past["totalrecord"]) == ([], 3)
    assert set(first["tasks"][0]) == {
        "id", "name", "status", "error_log", "description", "create_time_stamp", "finish_time_stamp",
    }  # fmt: skip
    spelt = client.get(f"{OLD}/replication_tasks", params={"name": "page-", "status": "TRANSFERING"}).json()
    assert spelt["totalrecord"] == 3
    assert client.get(f"{OLD}/replication_tasks", params={"curpage": "", "perpage": ""}).is_success


@pytest.mark.parametrize(
    "query", [{"status": "DONE"}, {"curpage": 0}, {"perpage": 501}, {"perpage": 0}, {"curpage": "x"}]
)
def test_a_query_that_means_nothing_is_refused(client: httpx.Client, query: dict[str, Any]) -> None:
    answer = client.get(f"{OLD}/replication_tasks", params=query)
    assert refused(answer) == (400, "DRS.0100")
    assert next(iter(query)) in answer.json()["error msg"]


WRONG: list[tuple[str, Any, str, str]] = [
    ("source", "", "DRS.0099", "source"),
    ("source", "disk", "DRS.0100", "source"),
    ("source", "rds", "DRS.0100", "rds"),
    ("backup.file_source", "RDS", "DRS.0100", "rds"),
    ("engine", "mysql", "DRS.0100", "engine"),
    ("name", "abc", "DRS.0100", "name"),
    ("name", "a" * 65, "DRS.0100", "name"),
    ("description", "it's", "DRS.0100", "description"),
    ("description", "d" * 257, "DRS.0100", "description"),
    ("instance_id", None, "DRS.0099", "instance_id"),
    ("instance_id", FOREIGN, "DRS.0100", "instance_id"),
    ("backup.bucket_name", "", "DRS.0099", "backup.bucket_name"),
    ("backup.bucket_name", "Upper", "DRS.0100", "backup.bucket_name"),
    ("backup.bucket_name", "not-registered", "DRS.0100", "backup.bucket_name"),
    ("backup.files", [], "DRS.0099", "backup.files"),
    ("backup.files.0.name", "", "DRS.0099", "backup.files.name"),
    ("backup.files.0.path", "floder", "DRS.0100", "backup.files.path"),
    ("options.cover", "", "DRS.0099", "options.cover"),
    ("options.cover", "yes", "DRS.0100", "options.cover"),
    ("options.recovery_mode", None, "DRS.0099", "options.recovery_mode"),
    ("options.recovery_mode", "3", "DRS.0100", "options.recovery_mode"),
    ("options.recovery_mode", "2", "DRS.0100", "incremental"),
    ("options.is_last_backup", None, "DRS.0099", "options.is_last_backup"),
    ("options.is_default_restore", "false", "DRS.0099", "db_names"),
    ("options.reset_db_name_map", {"a": "b", "c": "d"}, "DRS.0100", "options.reset_db_name_map"),
    ("db_names", None, "DRS.0099", "db_names"),
    ("db_names", "one", "DRS.0100", "db_names"),
]


@pytest.mark.parametrize(("path", "value", "code", "text"), WRONG, ids=lambda it: str(it)[:40])
def test_what_does_not_fit_is_refused_by_its_name(
    client: httpx.Client, path: str, value: Any, code: str, text: str
) -> None:
    answer = client.post(CREATE, json=with_at(new_task("unfit"), path, value))
    assert refused(answer) == (400, code)
    assert text in answer.json()["error msg"]


def test_new_names_are_for_one_whole_backup(service: Service, client: httpx.Client) -> None:
    body = with_at(new_task("renamed-db"), "options.reset_db_name_map", {"": "other"})
    id = client.post(CREATE, json=body).json()["task_id"]
    assert plan(service, id).selection.renames == (Rename("*", "other"),)
    body = with_at(body, "options.is_last_backup", "false")
    assert refused(client.post(CREATE, json=body)) == (400, "DRS.0100")


def test_a_chain_goes_on_in_the_other_version(service: Service, client: httpx.Client) -> None:
    body = new_task("old-chain", is_last_backup="false", is_default_restore="false")
    body["db_names"] = ["mixed"]
    succeed(service, client.post(CREATE, json=body).json()["task_id"])
    named = {"is_default_restore": False, "db_names": ["Mixed"], "recovery_mode": "incre"}
    id = create(client, "new-chain", "log.trn", **named)
    assert plan(service, id).options["last_backup"] == "true"


def test_what_cannot_be_read_is_told_in_the_old_form(client: httpx.Client) -> None:
    assert refused(client.post(CREATE, content=b"")) == (400, "DRS.0099")
    assert refused(client.post(CREATE, content=b"{")) == (400, "DRS.0100")
    assert refused(client.post(CREATE, content=b"a=b", headers={"Content-Type": "text/plain"})) == (
        415,
        "DRS.0100",
    )
    assert refused(client.put(CREATE)) == (405, "DRS.0100")


def test_a_task_that_is_not_there_or_has_not_ended(service: Service, client: httpx.Client) -> None:
    id = create_old(client, "old-delete")
    assert refused(client.delete(f"{OLD}/replication_task/{id}")) == (400, "DRS.0100")
    service.play(id, (Phase.CLOSE, Condition.DONE))
    assert client.delete(f"{OLD}/replication_task/{id}").content == b""
    for other in (id, "no-id", "7e45307c-83da-464f-aa74-7a2fa7fef6f3"):
        assert refused(client.get(f"{OLD}/replication_task/{other}")) == (404, "DRS.0016")
    create_old(client, "old-taken")
    answer = client.post(CREATE, json=new_task("OLD-taken"))
    assert refused(answer) == (400, "DRS.0100")
    assert "already exists" in answer.json()["error msg"]


def test_another_project_sees_nothing(service: Service, client: httpx.Client) -> None:
    id = create_old(client, "old-alone")
    with service.client(service.token(SECOND_PROJECT)) as second:
        base = f"/drs/v1.0/{SECOND_PROJECT}"
        assert second.get(f"{base}/replication_tasks").json()["tasks"] == []
        assert refused(second.get(f"{base}/replication_task/{id}")) == (404, "DRS.0016")
        assert refused(second.delete(f"{base}/replication_task/{id}")) == (404, "DRS.0016")


def test_refusals_are_in_chinese_too(client: httpx.Client) -> None:
    headers = {"X-Language": "zh-cn"}
    answer = client.post(CREATE, json=with_at(new_task("unfit"), "source", "rds"), headers=headers)
    assert refused(answer) == (400, "DRS.0100")
    assert not answer.json()["error msg"].isascii()
