"""Backup migration in v5: what is asked for becomes a plan, and is answered as the documents have it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from sterna.core.event import Level
from sterna.core.files import Entry
from sterna.core.job import Condition, Failure, JobId, Phase, Wish
from sterna.core.people import Instance
from sterna.core.plan import Conflict, Mode, Rename, StoredFile
from tests.api.backups import (
    FOREIGN,
    POSTGRES,
    REDIS,
    SECRET,
    SHELVES,
    SQLSERVER,
    V5,
    backup_service,
    create,
    fail,
    new_backup,
    plan,
    succeed,
)
from tests.api.service import PROJECT, SECOND_PROJECT, Service
from tests.effort import PATIENCE

CHECKS = Failure("STERNA.2008", "The checks failed. backupFiles: sales.bak is not there", "Upload it.")
BROKEN = Failure("STERNA.2003", "Page 1:9 is torn")


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with backup_service() as running:
        yield running


def shown(client: httpx.Client, id: str) -> dict[str, Any]:
    answer = client.get(f"{V5}/{id}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def listed(client: httpx.Client, **query: Any) -> list[str]:
    answer = client.get(V5, params={"limit": 2000, **query})
    assert answer.status_code == 200, answer.text
    assert answer.json()["count"] == len(answer.json()["jobs"])
    return [job["name"] for job in answer.json()["jobs"]]


def refused(client: httpx.Client, body: Any) -> tuple[int, str, str]:
    answer = client.post(V5, json=body)
    assert set(answer.json()) == {"error_code", "error_msg"}, answer.text
    return answer.status_code, answer.json()["error_code"], answer.json()["error_msg"]


def with_at(body: Any, path: str, value: Any) -> Any:
    """The body with another value in one place; None: without that place."""
    first, _, rest = path.partition(".")
    place: Any = int(first) if isinstance(body, list) else first
    copy = list(body) if isinstance(body, list) else dict(body)
    if rest:
        copy[place] = with_at(body[place], rest, value)
    elif value is None:
        del copy[place]
    else:
        copy[place] = value
    return copy


# Creation.


def test_a_task_restores_the_files_of_a_bucket_and_starts_at_once(service: Service, client: httpx.Client) -> None:
    id = create(client, "plain")
    assert id.endswith("jb703")
    assert len(id) == 36
    job = service.run(service.store.job(JobId(id)))
    assert (job.kind, job.wish, job.wished, job.phase) == ("drs-backup", Wish.RUN, True, Phase.DRAFT)
    made = plan(service, id)
    assert made.source.engine == "sqlserver"
    assert made.source.addresses == ()
    assert made.source.files == (StoredFile("bucket-1", "1706510914000_0_Test_Database.bak"),)
    assert (made.target.engine, made.target.instance_id, made.target.name) == (
        "sqlserver",
        SQLSERVER,
        "rds-sqlserver",
    )
    assert made.target.addresses == (("192.168.0.80", 1433),)
    assert (made.target.user, made.target.password) == ("sa", SECRET)
    assert (made.mode, made.conflict) == (Mode.FULL, Conflict.OVERWRITE)
    assert (made.selection.only, made.selection.renames) == ((), ())
    assert made.options == {
        "recovery_mode": "full",
        "last_backup": "true",
        "precheck": "true",
        "delete_backup_file": "true",
    }
    assert id in service.run(service.store.due())
    codes = [event.code for event in service.run(service.store.events(JobId(id)))[1]]
    assert {"job.created", "job.run"} <= set(codes)


def test_a_postgresql_server_is_a_target_too(service: Service, client: httpx.Client) -> None:
    id = create(client, "to-postgres", target=POSTGRES, is_cover=False)
    assert plan(service, id).target.engine == "postgresql"
    assert plan(service, id).conflict is Conflict.STOP


def test_databases_can_be_chosen_and_renamed(service: Service, client: httpx.Client) -> None:
    names = {"Sales": "sales_2024", "HR": ""}
    id = create(
        client,
        "chosen",
        is_default_restore=False,
        db_names=["Sales", "HR", "", "Sales"],
        reset_db_name_map=names,
        is_precheck=False,
        is_delete_backup_file=False,
    )
    made = plan(service, id)
    assert made.selection.only == ("Sales", "HR")
    assert made.selection.renames == (Rename("Sales", "sales_2024"),)
    assert (made.options["precheck"], made.options["delete_backup_file"]) == ("false", "false")
    now = shown(client, id)
    assert now["options"]["db_names"] == ["Sales", "HR"]
    assert now["options"]["reset_db_name_map"] == {"Sales": "sales_2024"}
    assert now["new_db_names"] == '["sales_2024"]'


@pytest.mark.parametrize(
    ("options", "old"),
    [
        ({"is_default_restore": True}, "*"),
        ({"is_default_restore": False, "db_names": ["Sales"]}, "Sales"),
        ({"is_default_restore": None, "db_names": ["Sales"]}, "Sales"),
    ],
)
def test_the_empty_name_is_that_of_the_only_database(
    service: Service, client: httpx.Client, options: dict[str, Any], old: str
) -> None:
    id = create(client, f"only-{old.replace('*', 'all')}-{len(options)}-{options['is_default_restore']}",
                reset_db_name_map={"": "new"}, **options)  # fmt: skip
    assert plan(service, id).selection.renames == (Rename(old, "new"),)


def test_names_of_databases_are_the_same_in_any_case(service: Service, client: httpx.Client) -> None:
    named: dict[str, Any] = {"is_default_restore": False, "db_names": ["Sales", "SALES", "hr"]}
    id = create(client, "any-case", **named, reset_db_name_map={"sales": "HR", "HR": "sales"})
    assert plan(service, id).selection.only == ("Sales", "hr")
    assert shown(client, id)["options"]["db_names"] == ["Sales", "hr"]
    two_become_one = new_backup("becomes-one", **named, reset_db_name_map={"sales": "HR"})
    assert refused(client, two_become_one)[1] == "DRS.M00202"


def test_a_list_of_new_names_is_taken_for_a_map(service: Service, client: httpx.Client) -> None:
    id = create(client, "names-as-a-list", reset_db_name_map=[{"a": "b"}, {"c": "d"}])
    assert plan(service, id).selection.renames == (Rename("a", "b"), Rename("c", "d"))


def test_files_of_a_folder_are_found_there(service: Service, client: httpx.Client) -> None:
    body = new_backup("in-a-folder")
    body["backup_info"]["files"] = [
        {"name": "ims.bak", "obs_path": "floder/"},
        {"name": "ims2.bak", "obs_path": None},
    ]
    id = client.post(V5, json=body).json()["job_id"]
    assert [file.name for file in plan(service, id).source.files] == ["floder/ims.bak", "ims2.bak"]
    first, second = shown(client, id)["backup_info"]["file_info"]
    assert first == {"file_name": "ims.bak", "file_size": "15.85MB", "file_last_modify": "1519374126000"}
    assert second == {"file_name": "ims2.bak"}, "what is not known is left out"


def test_flags_and_modes_come_in_several_spellings(service: Service, client: httpx.Client) -> None:
    id = create(
        client, "spellings", recovery_mode="1", is_cover="false", is_last_backup="true", is_precheck="false"
    )
    assert plan(service, id).options["recovery_mode"] == "full"
    assert shown(client, id)["options"] | {"db_names": 0} == {
        "is_cover": False,
        "is_default_restore": True,
        "is_last_backup": True,
        "is_precheck": False,
        "is_delete_backup_file": True,
        "recovery_mode": "full",
        "db_names": 0,
    }


def test_what_terraform_leaves_out_has_its_default(service: Service, client: httpx.Client) -> None:
    body = {
        "base_info": {"name": "terraform", "engine_type": "sqlserver"},
        "target_db_info": {"target_instance_id": SQLSERVER},
        "backup_info": {
            "file_source": "OBS",
            "bucket_name": "zyy-obs",
            "files": [{"name": "1706510914000_0_Test_Database.bak", "obs_path": ""}],
        },
        "options": {"is_last_backup": True, "is_precheck": True, "recovery_mode": "full"},
    }
    answer = client.post(V5, json=body)
    assert answer.status_code == 200, answer.text
    id = answer.json()["job_id"]
    assert plan(service, id).conflict is Conflict.STOP
    now = shown(client, id)
    assert now["status"] == "TRANSFERRING"
    assert "error_log" not in now
    assert "finish_time" not in now
    assert now["base_info"] == {"name": "terraform", "engine_type": "sqlserver", "enterprise_project_id": "0"}
    assert now["target_db_info"] == {"target_instance_id": SQLSERVER}
    assert now["options"]["is_default_restore"] is True
    assert now["options"]["is_delete_backup_file"] is True
    assert (now["new_db_names"], now["instance_name"]) == ("[]", "rds-sqlserver")


def test_a_consistency_check_is_not_promised_in_silence(service: Service, client: httpx.Client) -> None:
    """It is given back as it was asked for; that nobody makes it stands in the history."""
    answer = client.post(V5, json=new_backup("dbcc", consistency_check_mode="Async"))
    assert answer.status_code == 200, answer.text
    id = answer.json()["job_id"]
    assert shown(client, id)["options"]["consistency_check_mode"] == "async"
    _, events = service.run(service.store.events(JobId(id), level=Level.WARN))
    assert [event.code for event in events] == ["backup.unchecked"]


WRONG: list[tuple[str, Any, str, str]] = [
    ("base_info", None, "DRS.M00201", "base_info"),
    ("base_info.name", None, "DRS.M00201", "base_info.name"),
    ("base_info.name", "abc", "DRS.M00202", "base_info.name"),
    ("base_info.name", "a" * 51, "DRS.M00202", "base_info.name"),
    ("base_info.name", "with blank", "DRS.M00202", "base_info.name"),
    ("base_info.engine_type", "mysql", "DRS.M00202", "base_info.engine_type"),
    ("base_info.description", "d" * 1025, "DRS.M00202", "base_info.description"),
    ("base_info.tags", [{"key": "a"}, {"key": "a"}], "DRS.M00269", "unique"),
    ("base_info.tags", [{"key": "a" * 37}], "DRS.M00270", "length"),
    ("base_info.tags", [{"key": f"k{n}"} for n in range(21)], "DRS.M00271", "number"),
    ("target_db_info.target_instance_id", "", "DRS.M00201", "target_db_info.target_instance_id"),
    ("backup_info.file_source", "DISK", "DRS.M00202", "backup_info.file_source"),
    ("backup_info.bucket_name", "", "DRS.M00201", "backup_info.bucket_name"),
    ("backup_info.bucket_name", "No_Bucket", "DRS.M00202", "backup_info.bucket_name"),
    ("backup_info.bucket_name", "10.0.0.1", "DRS.M00202", "backup_info.bucket_name"),
    ("backup_info.bucket_name", "ab", "DRS.M00202", "backup_info.bucket_name"),
    ("backup_info.bucket_name", "not-registered", "DRS.M00202", "backup_info.bucket_name"),
    ("backup_info.bucket_name", "theirs", "DRS.M00202", "backup_info.bucket_name"),
    ("backup_info.files", [], "DRS.M00201", "backup_info.files"),
    ("backup_info.files", [{"name": f"{n}.bak"} for n in range(257)], "DRS.M00202", "backup_info.files"),
    ("backup_info.files", [{"name": "a"}, {"name": "a", "obs_path": ""}], "DRS.M00301", "backup_info.files"),
    ("backup_info.files.0.name", "", "DRS.M00201", "backup_info.files.name"),
    ("backup_info.files.0.name", "../up.bak", "DRS.M00202", "backup_info.files.name"),
    ("backup_info.files.0.name", "a\u0000.bak", "DRS.M00202", "backup_info.files.name"),
    ("backup_info.files.0.obs_path", "folder", "DRS.M00202", "backup_info.files.obs_path"),
    ("backup_info.files.0.obs_path", "/", "DRS.M00202", "backup_info.files.obs_path"),
    ("backup_info.files.0.obs_path", "a/../../b/", "DRS.M00202", "backup_info.files.obs_path"),
    ("options", None, "DRS.M00201", "options"),
    ("options.is_last_backup", "", "DRS.M00201", "options.is_last_backup"),
    ("options.is_precheck", None, "DRS.M00201", "options.is_precheck"),
    ("options.recovery_mode", "", "DRS.M00201", "options.recovery_mode"),
    ("options.recovery_mode", "3", "DRS.M00202", "options.recovery_mode"),
    ("options.is_cover", "perhaps", "DRS.M00202", "options.is_cover"),
    ("options.is_default_restore", False, "DRS.M00201", "options.db_names"),
    ("options.db_names", ["d" * 129], "DRS.M00202", "options.db_names"),
    ("options.reset_db_name_map", {"": "a", "b": "c"}, "DRS.M00202", "options.reset_db_name_map"),
    ("options.reset_db_name_map", {"a": "x", "b": "X"}, "DRS.M00202", "options.reset_db_name_map"),
    ("options.reset_db_name_map", {"a": "x", "A": "y"}, "DRS.M00202", "options.reset_db_name_map"),
    ("options.reset_db_name_map", {"": "x" * 129}, "DRS.M00202", "options.reset_db_name_map is"),
    ("options.reset_db_name_map", {"<b>": "x" * 129}, "DRS.M00202", "options.reset_db_name_map is"),
    ("base_info.tags", [{"key": "a", "value": "<b>"}], "DRS.M00202", "tags.value"),
    ("options.consistency_check_mode", "thorough", "DRS.M00202", "options.consistency_check_mode"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "code", "text"), WRONG, ids=lambda it: str(it)[:40])
def test_what_does_not_fit_is_refused_by_its_name(
    client: httpx.Client, path: str, value: Any, code: str, text: str
) -> None:
    body = with_at(new_backup("unfit"), path, value)
    status, shown_code, message = refused(client, body)
    assert (status, shown_code) == (400, code)
    assert text in message


@pytest.mark.parametrize("id", ["0" * 36, FOREIGN, REDIS])
def test_a_target_that_is_not_there_or_is_of_another_kind_is_refused(client: httpx.Client, id: str) -> None:
    assert refused(client, new_backup("unfit", target=id))[:2] == (422, "DRS.M05006")


def test_backups_of_the_clouds_own_are_refused_by_name(client: httpx.Client) -> None:
    """The documented sample, with what it leaves empty."""
    body = {
        "backup_info": {
            "file_source": "RDS",
            "files": [
                {
                    "file_name": "sqlserver-Auto-20240827181001498",
                    "name": "",
                    "obs_path": "",
                    "rds_source_instance_id": "7fb189b57339473a929d41dabb3878a2in04",
                    "rds_version": "2019_EE",
                }
            ],
        },
        "base_info": {"description": "miao'shu", "engine_type": "sqlserver", "name": "DRS-7526", "tags": []},
        "options": {
            "db_names": ["db_test12", "db_sqls2v5_01"],
            "is_last_backup": "",
            "is_precheck": True,
            "recovery_mode": "",
            "reset_db_name_map": {"db_sqls2v5_01": "", "db_test12": ""},
        },
        "target_db_info": {"file_id": "0d87037d934848999fdc10bbabb08e6fbr04", "target_instance_id": SQLSERVER},
    }
    status, code, message = refused(client, body)
    assert (status, code) == (400, "DRS.M00305")
    assert "file_source RDS" in message


def test_a_name_is_there_once_in_whatever_case(client: httpx.Client) -> None:
    create(client, "Same-Name")
    assert refused(client, new_backup("same-NAME"))[:2] == (400, "DRS.M00277")
    check = {"name": "sAME-name", "type": "offline"}
    answer = client.post(f"/v5/{PROJECT}/jobs/name-validation", json=check)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DRS.M00277")
    assert client.post(f"/v5/{PROJECT}/jobs/name-validation", json=check | {"type": "trans"}).json() == {
        "is_valid": True
    }
    assert client.post(
        f"/v5/{PROJECT}/jobs/name-validation", json={"name": "7" * 80, "type": "offline"}
    ).is_success


# States and their words.


def test_a_task_ends_in_success(service: Service, client: httpx.Client) -> None:
    id = create(client, "succeeds")
    service.play(id, (Phase.COPY, Condition.RUNNING))
    assert shown(client, id)["status"] == "TRANSFERRING"
    succeed(service, id)
    now = shown(client, id)
    assert now["status"] == "SUCCESS"
    assert now["finish_time"].endswith("Z")
    assert "error_log" not in now


def test_failed_checks_and_other_failures_have_words_of_their_own(service: Service, client: httpx.Client) -> None:
    checked, broken = create(client, "checked"), create(client, "broken")
    fail(service, checked, CHECKS)
    fail(service, broken, BROKEN, Phase.COPY)
    assert shown(client, checked)["status"] == "PRECHECK FAILED"
    assert shown(client, checked)["error_log"] == f"{CHECKS.message}. Upload it."
    assert shown(client, broken)["status"] == "FAILED"
    rows = {job["name"]: job for job in client.get(V5, params={"limit": 2000}).json()["jobs"]}
    assert rows["broken"]["error_log"] == "Page 1:9 is torn"
    assert rows["checked"]["status"] == "PRECHECK FAILED"
    assert "finish_time" in rows["broken"]
    assert listed(client, status="PRECHECK FAILED") == ["checked"]
    assert "broken" in listed(client, status="failed")


def test_a_long_error_log_still_says_what_to_do(service: Service, client: httpx.Client) -> None:
    id = create(client, name="long-and-hinted")
    fail(service, id, Failure("STERNA.2008", "x" * 5000, "Upload it."))
    log = shown(client, id)["error_log"]
    assert len(log) == 512
    assert log.endswith("x… Upload it.")


def test_an_error_log_is_bounded(service: Service, client: httpx.Client) -> None:
    id = create(client, "long-log")
    fail(service, id, Failure("STERNA.2003", "x" * 2000))
    assert len(shown(client, id)["error_log"]) == 512


def test_a_failed_task_keeps_its_end_when_it_is_renamed_or_tagged(service: Service, client: httpx.Client) -> None:
    id = create(client, "keeps-its-end")
    fail(service, id, BROKEN)
    before = service.run(service.store.job(JobId(id))).updated_ms
    assert client.put(f"{V5}/{id}", json={"name": "kept-its-end"}).is_success
    tags = {"tags": [{"key": "k", "value": "v"}]}
    assert client.post(f"/v5/{PROJECT}/backupMigration/{id}/tags/create", json=tags).status_code == 204
    job = service.run(service.store.job(JobId(id)))
    assert job.updated_ms >= before
    assert job.extra["backup_ended"] == [job.epoch, before]


# Changes.


def test_a_task_is_renamed_and_described_anew(client: httpx.Client) -> None:
    id = create(client, "to-rename")
    create(client, "in-the-way")
    answer = client.put(f"{V5}/{id}", json={"name": "renamed", "description": "other"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert shown(client, id)["base_info"]["name"] == "renamed"
    assert shown(client, id)["base_info"]["description"] == "other"
    assert client.put(f"{V5}/{id}", json={"name": "Renamed"}).is_success, "another case of its own name"
    assert shown(client, id)["base_info"]["description"] == "other"
    assert client.put(f"{V5}/{id}", json={"name": "renamed", "description": ""}).is_success
    assert "description" not in shown(client, id)["base_info"]
    for body, code in (
        ({"name": "in-the-WAY"}, "DRS.M00277"),
        ({"name": "no"}, "DRS.M00202"),
        ({"description": "x"}, "DRS.M00201"),
        ({"name": "renamed", "description": "d" * 1025}, "DRS.M00202"),
    ):
        answer = client.put(f"{V5}/{id}", json=body)
        assert (answer.status_code, answer.json()["error_code"]) == (400, code)


def test_a_name_that_two_ask_for_at_once_is_given_once(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bucket is slow, and a client that does not wait asks again."""
    both, shelf = threading.Barrier(2, timeout=PATIENCE), SHELVES["bucket-1"]
    look = shelf.head

    def slow(name: str) -> Entry:
        both.wait()
        return look(name)

    monkeypatch.setattr(shelf, "head", slow)
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(lambda _: client.post(V5, json=new_backup("asked-twice")), range(2)))
    assert sorted(answer.status_code for answer in answers) == [200, 400]
    assert [answer.json()["error_code"] for answer in answers if answer.is_error] == ["DRS.M00277"]
    assert listed(client, name="asked-twice") == ["asked-twice"]


def test_only_a_task_that_has_ended_can_be_deleted(service: Service, client: httpx.Client) -> None:
    id = create(client, "to-delete")
    answer = client.delete(f"{V5}/{id}")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DRS.M00304")
    succeed(service, id)
    answer = client.delete(f"{V5}/{id}")
    assert (answer.status_code, answer.json()) == (200, {})
    for answer in (
        client.get(f"{V5}/{id}"),
        client.delete(f"{V5}/{id}"),
        client.put(f"{V5}/{id}", json={"name": "gone"}),
    ):
        assert (answer.status_code, answer.json()["error_code"]) == (400, "DRS.10000010")
    assert "to-delete" not in listed(client)


def test_a_task_that_failed_in_its_checks_is_deleted_at_once(service: Service, client: httpx.Client) -> None:
    id = create(client, "failed-checks")
    fail(service, id, CHECKS)
    assert client.delete(f"{V5}/{id}").json() == {}
    assert service.run(service.store.job(JobId(id))).deleted


def test_a_task_that_failed_while_writing_is_ended_first(
    service: Service, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.api.drs.backup.finding.CLEANING_S", 0.2)
    id = create(client, "failed-copy")
    fail(service, id, BROKEN, Phase.COPY)
    assert client.delete(f"{V5}/{id}").json() == {}
    job = service.run(service.store.job(JobId(id)))
    assert (job.deleted, job.wish) == (True, Wish.STOP)


# Lists.


def test_a_list_is_filtered_sorted_and_paged(service: Service, client: httpx.Client) -> None:
    for name, target, described in (
        ("list-b", POSTGRES, "one"),
        ("list-a", SQLSERVER, "two"),
        ("list-c", POSTGRES, ""),
    ):
        body = new_backup(name, target=target)
        body["base_info"] |= {"description": described, "enterprise_project_id": f"ep-{name}"}
        body["base_info"]["tags"] = [{"key": "name", "value": name}]
        assert client.post(V5, json=body).is_success
    assert listed(client, name="LIST-") == ["list-c", "list-a", "list-b"]
    assert listed(client, name="list-", sort_key="name", sort_dir="asc") == ["list-a", "list-b", "list-c"]
    assert listed(client, name="list-", sort_key="tag_value") == ["list-c", "list-b", "list-a"]
    assert listed(client, name="list-", sort_key="description", sort_dir="asc") == ["list-c", "list-b", "list-a"]
    assert listed(client, name="list-", dbs_instance_ids=[SQLSERVER]) == ["list-a"]
    assert listed(client, name="list-", dbs_instance_ids=[f"{SQLSERVER},{POSTGRES}"]) == [
        "list-c",
        "list-a",
        "list-b",
    ]
    assert listed(client, name="list-", description="ON") == ["list-b"]
    assert listed(client, name="list-", enterprise_project_id="ep-list-a") == ["list-a"]
    assert len(listed(client, name="list-", enterprise_project_id="all_granted_eps")) == 3
    assert listed(client, name="list-", tags="name=list-c") == ["list-c"]
    assert listed(client, name="list-", tags='{"name": "list-b"}') == ["list-b"]
    assert listed(client, name="list-", tags='[{"key": "name"}]') == ["list-c", "list-a", "list-b"]
    assert listed(client, name="list-", tags='[{"key": "name", "values": ["list-a", "list-c"]}]') == [
        "list-c",
        "list-a",
    ]
    assert listed(client, name="list-", tags='{"name": ["list-b", "none"]}') == ["list-b"]
    assert listed(client, name="list-", tags="name:list-a,") == ["list-a"]
    assert listed(client, name="list-", tags="other") == []
    assert listed(client, name="list-", status="") == ["list-c", "list-a", "list-b"]
    assert listed(client, name="list-", limit="", offset="") == ["list-c", "list-a", "list-b"]
    page = client.get(V5, params={"name": "list-", "limit": 2, "offset": 1}).json()
    assert (page["count"], [job["name"] for job in page["jobs"]]) == (3, ["list-a", "list-b"])
    past = client.get(V5, params={"limit": 2000, "offset": 60000})
    assert (past.status_code, past.json()["jobs"]) == (200, [])


def test_a_list_is_filtered_by_its_moments(service: Service, client: httpx.Client) -> None:
    id = create(client, "at-a-moment")
    succeed(service, id)
    moment = shown(client, id)["create_time"]
    ended = shown(client, id)["finish_time"]
    assert "at-a-moment" in listed(client, create_at=moment)
    assert "at-a-moment" in listed(client, create_at=moment[:10])
    assert "at-a-moment" in listed(client, create_at=f"{moment[:10]},2100-01-01", completed_at=ended)
    assert "at-a-moment" not in listed(client, create_at="2001-01-01")
    assert "at-a-moment" not in listed(client, create_at="2001-01-01,2002-01-01")
    assert "at-a-moment" not in listed(client, completed_at="2001-01-01")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"status": "PAUSING"}, "status"),
        ({"sort_key": "colour"}, "sort_key"),
        ({"sort_dir": "up"}, "sort_dir"),
        ({"limit": -1}, "limit"),
        ({"limit": 65536}, "limit"),
        ({"offset": "x"}, "offset"),
        ({"create_at": "yesterday"}, "create_at"),
        ({"tags": "{"}, "tags"),
        ({"tags": '{"a": {"b": "c"}}'}, "tags"),
        ({"tags": "[1]"}, "tags"),
        ({"dbs_instance_ids": [str(n) for n in range(11)]}, "dbs_instance_ids"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(client: httpx.Client, query: dict[str, Any], field: str) -> None:
    answer = client.get(V5, params=query)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "DRS.M00202")
    assert field in answer.json()["error_msg"]


# Who sees what.


def test_a_server_that_a_chain_goes_into_is_not_forgotten(service: Service, client: httpx.Client) -> None:
    id = "4a3182607bc549bcb46cc9a8755761a6in04"
    service.run(
        service.store.add_instance(Instance(id, PROJECT, "chained", "sqlserver", (("192.168.0.81", 1433),)))
    )
    connection = f"/v5/{PROJECT}/connections/{id}"
    task = create(client, "chain-begins", target=id, is_last_backup=False)
    for _ in ("it runs", "it waits for its next backup"):
        told = client.delete(connection)
        assert (told.status_code, told.json()["error_code"]) == (400, "DRS.M00300"), told.text
        assert "chain-begins" in told.json()["error_msg"]
        succeed(service, task)
    last = create(client, "chain-ends", "log.trn", target=id, recovery_mode="incre")
    succeed(service, last)
    assert client.delete(connection).status_code == 200


def test_another_project_sees_nothing(service: Service, client: httpx.Client) -> None:
    id = create(client, "ours-alone")
    with service.client(service.token(SECOND_PROJECT)) as second:
        base = f"/v5/{SECOND_PROJECT}/backup-migration-jobs"
        assert second.get(base).json() == {"count": 0, "jobs": []}
        for answer in (
            second.get(f"{base}/{id}"),
            second.put(f"{base}/{id}", json={"name": "theirs"}),
            second.delete(f"{base}/{id}"),
            second.get(f"/v5/{SECOND_PROJECT}/backupMigration/{id}/tags"),
        ):
            assert answer.json()["error_code"] == "DRS.10000010"
        assert second.post(base, json=new_backup("theirs")).json()["error_code"] == "DRS.M05006"


def test_other_kinds_of_tasks_are_seen_apart(client: httpx.Client) -> None:
    id = create(client, "no-live-task")
    for job_type in ("migration", "sync"):
        assert client.get(f"/v5/{PROJECT}/jobs", params={"job_type": job_type}).json()["jobs"] == []
    assert client.post(f"/v3/{PROJECT}/jobs", json={"db_use_type": "migration"}).json()["jobs"] == []
    assert client.get(f"/v5/{PROJECT}/jobs/{id}", params={"type": "detail"}).json()["error_code"] == "DRS.10000010"
    assert client.get(f"/v2/{PROJECT}/migration-tasks").json()["migration_tasks"] == []


def test_no_secret_is_shown(service: Service, client: httpx.Client) -> None:
    id = create(client, "secrets")
    fail(service, id, BROKEN)
    for answer in (client.get(V5, params={"limit": 2000}), client.get(f"{V5}/{id}")):
        assert SECRET not in answer.text


# Tags.


def test_tasks_have_tags(client: httpx.Client) -> None:
    body = new_backup("tagged")
    body["base_info"]["tags"] = [{"key": "team", "value": "a b/c"}, {"key": "bare"}]
    id = client.post(V5, json=body).json()["job_id"]
    assert shown(client, id)["base_info"]["tags"] == [
        {"key": "team", "value": "a b/c"},
        {"key": "bare", "value": ""},
    ]
    base = f"/v5/{PROJECT}/backupMigration"
    assert client.post(f"{base}/{id}/tags/delete", json={"tags": [{"key": "bare"}]}).status_code == 204
    action = {"action": "create", "tags": [{"key": "size", "value": "small"}]}
    assert client.post(f"/v5/{PROJECT}/jobs/backupMigration/{id}/tags/action", json=action).status_code == 204
    wanted = [{"key": "team", "value": "a b/c"}, {"key": "size", "value": "small"}]
    assert client.get(f"{base}/{id}/tags").json() == {"tags": wanted}
    assert client.get(f"/v5/{PROJECT}/jobs/backupMigration/{id}/tags").json() == {"tags": wanted}
    assert {"key": "size", "values": ["small"]} in client.get(f"{base}/tags").json()["tags"]
    found = client.post(f"{base}/resource-instances/filter", json={"tags": [{"key": "size"}]}).json()
    assert [(it["resource_id"], it["resource_name"]) for it in found["resources"]] == [(id, "tagged")]
    assert client.get(f"/v5/{PROJECT}/migration/{id}/tags").json()["error_code"] == "DRS.10000010"


# Chains.


def test_incremental_backups_follow_a_full_one_until_the_last(service: Service, client: httpx.Client) -> None:
    """Into PostgreSQL: each job has the files of all before it, and goes where the first went."""
    chain: dict[str, Any] = {"target": POSTGRES, "is_default_restore": False, "db_names": ["ims"]}
    first = create(client, "DRS-7527", "ims.bak", is_last_backup=False, reset_db_name_map={"": "ims2"}, **chain)
    late = new_backup("DRS-7527", "ims_log1.bak", recovery_mode="incre", is_last_backup=False, **chain)
    status, code, message = refused(client, late)
    assert (status, code) == (400, "DRS.M00300")
    assert "still being restored" in message
    succeed(service, first)
    second = create(
        client, "DRS-7527", "ims_log1.bak", recovery_mode="2", is_last_backup=False, is_cover=False, **chain
    )
    fail(service, second, BROKEN)
    again = create(client, "again", "ims_log1.bak", recovery_mode="incre", is_last_backup=False, **chain)
    succeed(service, again)
    last = create(client, "DRS-7528", "ims_log2.bak", recovery_mode="incre", target=POSTGRES)
    made = plan(service, last)
    assert [file.name for file in made.source.files] == ["ims.bak", "ims_log1.bak", "ims_log2.bak"]
    assert made.selection.only == ("ims",)
    assert made.selection.renames == (Rename("ims", "ims2"),)
    assert made.conflict is Conflict.OVERWRITE
    assert (made.options["recovery_mode"], made.options["last_backup"]) == ("incre", "true")
    assert [file["file_name"] for file in shown(client, last)["backup_info"]["file_info"]] == ["ims_log2.bak"]
    succeed(service, last)
    assert refused(client, late)[1] == "DRS.M00300", "the chain has ended"


def test_a_sql_server_restores_each_file_when_it_comes(service: Service, client: httpx.Client) -> None:
    chain = {"is_default_restore": False, "db_names": ["own"]}
    first = create(client, "own-1", "own.bak", is_last_backup=False, **chain)
    succeed(service, first)
    second = create(client, "own-2", "own_log.bak", recovery_mode="incre", **chain)
    assert [file.name for file in plan(service, second).source.files] == ["own_log.bak"]


def test_an_incremental_backup_needs_a_full_one_before(client: httpx.Client) -> None:
    named: dict[str, Any] = {"is_default_restore": False, "db_names": ["never-seen"], "recovery_mode": "incre"}
    status, code, message = refused(client, new_backup("lonely", target=POSTGRES, **named))
    assert (status, code) == (400, "DRS.M00300")
    assert "is_last_backup false" in message


def test_of_several_chains_one_has_to_be_named(service: Service, client: httpx.Client) -> None:
    for name in ("several-a", "several-b"):
        id = create(client, name, target=POSTGRES, is_last_backup=False, is_default_restore=False, db_names=[name])
        succeed(service, id)
    status, code, message = refused(client, new_backup("which", target=POSTGRES, recovery_mode="incre"))
    assert (status, code) == (400, "DRS.M00300")
    assert "db_names" in message
    chosen: dict[str, Any] = {"is_default_restore": False, "db_names": ["SEVERAL-B"]}
    id = create(client, "that-one", "log.bak", target=POSTGRES, recovery_mode="incre", **chosen)
    assert len(plan(service, id).source.files) == 2


def _ims(name: str, **options: Any) -> dict[str, Any]:
    chain = {"is_default_restore": False, "db_names": ["kept"], "is_last_backup": False}
    return new_backup(name, f"{name}.bak", target=POSTGRES, **{**chain, **options})


def _made(service: Service, client: httpx.Client, body: dict[str, Any]) -> str:
    id = str(client.post(V5, json=body).json()["job_id"])
    succeed(service, id)
    return id


def test_a_chain_outlives_the_tasks_that_are_deleted(service: Service, client: httpx.Client) -> None:
    """A database that is being restored stays so, whatever is forgotten about how it came there."""
    full = _made(service, client, _ims("kept-full"))
    log = _made(service, client, _ims("kept-log", recovery_mode="incre"))
    assert client.delete(f"{V5}/{log}").status_code == 200
    second = _made(service, client, _ims("kept-log", recovery_mode="incre", is_last_backup=False))
    assert len(plan(service, second).source.files) == 2, "the same file is the same backup"
    for id in (full, second):
        assert client.delete(f"{V5}/{id}").status_code == 200
    assert "kept-log" not in listed(client)
    last = _made(service, client, _ims("kept-last", recovery_mode="incre", is_last_backup=True))
    made = plan(service, last)
    assert [file.name for file in made.source.files] == ["kept-full.bak", "kept-log.bak", "kept-last.bak"]
    assert (made.target.password, made.selection.only) == (SECRET, ("kept",))
    client.delete(f"{V5}/{last}")
    assert refused(client, _ims("kept-more", recovery_mode="incre"))[1] == "DRS.M00300", "the chain has ended"


def test_of_several_chains_the_one_whose_tasks_are_there_is_meant(service: Service, client: httpx.Client) -> None:
    other = "4a3182607bc549bcb46cc9a8755761a6in03"
    service.run(service.store.add_instance(Instance(other, PROJECT, "pg", "postgresql", (("h", 5432),))))
    ids = {}
    for name in ("gone-chain", "this-chain"):
        options: dict[str, Any] = {"is_default_restore": False, "db_names": [name], "is_last_backup": False}
        ids[name] = _made(service, client, new_backup(name, f"{name}.bak", target=other, **options))
    client.delete(f"{V5}/{ids['gone-chain']}")
    id = _made(service, client, new_backup("goes-on", "log.bak", target=other, recovery_mode="incre"))
    assert plan(service, id).selection.only == ("this-chain",)
