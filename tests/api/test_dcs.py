"""DCS by hand: the documented fields and samples, and what is refused, with which code, in both languages."""

from typing import Any

import httpx
import pytest

from sterna.api.settings import ApiSettings
from sterna.core.event import Level
from sterna.core.job import Condition, Failure, JobId, Phase
from sterna.core.plan import Rename
from tests.api.service import (
    FOREIGN_INSTANCE,
    FOREIGN_PROJECT,
    INSTANCE,
    PROJECT,
    SECOND_PROJECT,
    Service,
    serving,
)
from tests.api.test_signing import VECTORS

pytestmark = pytest.mark.long

BASE = f"/v2/{PROJECT}"
PLACES = {"vpc_id": "vpc-1", "subnet_id": "subnet-1", "security_group_id": "group-1"}
UNKNOWN = "f" * 32
FOLLOWING = (Phase.FOLLOW, Condition.RUNNING)
ENDED = (Phase.CLOSE, Condition.DONE)

DETAIL = {
    "task_id", "task_name", "description", "status", "migration_type", "migration_method", "task_status",
    "backup_files", "network_type", "source_instance", "target_instance", "created_at", "updated_at",
    "version", "resume_mode", "supported_features", "tenant_vpc_id", "tenant_subnet_id", "released_at",
    "bandwidth_limit_mb", "tenant_security_group_id", "ecs_tenant_private_ip",
}  # fmt: skip
INNER = {"addrs", "password", "task_status", "id", "ip", "port", "name", "proxy_multi_db", "db", "withProxy"}
LISTED = {
    "task_id", "task_name", "status", "migration_type", "migration_method", "ecs_tenant_private_ip", "data_source",
    "source_instance_name", "source_instance_id", "target_instance_addrs", "target_instance_name",
    "target_instance_id", "created_at", "description", "source_instance_status", "target_instance_status",
    "source_instance_subnet_id", "target_instance_subnet_id", "source_instance_spec_code",
    "target_instance_spec_code", "error_message", "released_at", "version", "resume_mode", "supported_features",
}  # fmt: skip


def created(client: httpx.Client, name: str = "by-hand") -> str:
    answer = client.post(f"{BASE}/migration/instance", json={"name": name, **PLACES})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["instance_id"])


def wish(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "migration_method": "incremental_migration",
        "resume_mode": "auto",
        "source_instance": {"addrs": "192.168.1.1:6379", "password": "s3cret-of-source"},
        "target_instance": {"addrs": "192.168.0.1:6379", "password": "s3cret-of-target"},
    }
    return body | changes


def configured(client: httpx.Client, id: str, **changes: Any) -> httpx.Response:
    return client.post(f"{BASE}/migration/{id}/task", json=wish(**changes))


def refused(answer: httpx.Response, code: str, status: int = 400, naming: str = "") -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body.keys() == {"error_code", "error_msg", "error_ext_msg"}
    assert (body["error_code"], body["error_ext_msg"]) == (code, None)
    assert body["error_msg"]
    assert naming in body["error_msg"]
    assert answer.headers["X-Request-Id"]


# Fields and samples.


def test_all_documented_fields_of_a_task_are_there_from_its_beginning(client: httpx.Client) -> None:
    id = created(client)
    for _ in range(2):
        task = client.get(f"{BASE}/migration-task/{id}").json()
        assert task.keys() == DETAIL
        for name in (
            "task_id",
            "task_name",
            "status",
            "ecs_tenant_private_ip",
            "version",
            "created_at",
            "network_type",
        ):
            assert isinstance(task[name], str), name
        assert task["supported_features"] == []
        row = client.get(f"{BASE}/migration-tasks").json()["migration_tasks"][0]
        assert row.keys() == LISTED
        configured(client, id)
    assert task["source_instance"].keys() == task["target_instance"].keys() == INNER


def test_the_documented_sample_of_a_task_comes_out_field_by_field(service: Service, client: httpx.Client) -> None:
    """As printed in the documentation, but for the password, which is never told."""
    id = created(client, "migration1")
    configured(
        client,
        id,
        source_instance={"id": INSTANCE, "db": "0"},
        target_instance={"id": INSTANCE, "db": "0"},
    )
    service.play(id, FOLLOWING)
    client.post(f"{BASE}/migration-task/{id}/stop")
    task = client.get(f"{BASE}/migration-task/{id}").json()
    side = {
        "addrs": "192.168.0.79:6379",
        "id": INSTANCE,
        "name": "dcs-test",
        "ip": "192.168.0.79",
        "port": "6379",
        "proxy_multi_db": False,
        "withProxy": False,
        "password": None,
        "task_status": "RUNNING",
        "db": "0",
    }
    assert task["source_instance"] == task["target_instance"] == side
    assert (task["task_name"], task["task_id"], task["status"]) == ("migration1", id, "TERMINATING")
    assert (task["network_type"], task["migration_method"]) == ("vpc", "incremental_migration")
    assert task["created_at"] <= task["updated_at"]


def test_a_failed_task_says_why_in_the_list(service: Service, client: httpx.Client) -> None:
    id = created(client, "fails-soon")
    configured(client, id)
    why = Failure("STERNA.2001", "The server refused the password.", "Correct it.")
    service.play(id, (Phase.PREPARE, Condition.FAILED), failure=why)
    row = client.get(f"{BASE}/migration-tasks", params={"name": "fails-soon"}).json()["migration_tasks"][0]
    assert (row["status"], row["task_id"]) == ("FAILED", id)
    assert row["error_message"] == "STERNA.2001 The server refused the password. Correct it."


def test_a_line_of_the_history_says_what_is_to_be_done(service: Service, client: httpx.Client) -> None:
    id = created(client, "fails-loud")
    told = service.desk.tell(JobId(id), Level.ERROR, "run.failed", "Not reachable", fault="X.1", hint="Start it")
    service.run(told)
    (row,) = client.get(f"{BASE}/migration-task/{id}/logs?log_level=ERROR").json()["migration_logs"]
    assert row["message"] == "Not reachable. Start it."
    assert row["keyword"] == ["X.1", "Start it"]


def test_the_legacy_path_creates_a_task_too(client: httpx.Client) -> None:
    body = {"task_name": "legacy-path", "migration_type": "online_migration", **wish(), "network_type": None}
    answer = client.post(f"/v1.0/{PROJECT}/migration-task", json=body)
    assert answer.json() == {
        "id": answer.json()["id"],
        "name": "legacy-path",
        "status": "FULLMIGRATING",
        "error": "",
    }


@pytest.mark.parametrize("limit", [123, "123", "0123"])
def test_a_number_is_taken_where_text_is_documented(client: httpx.Client, limit: Any) -> None:
    id = created(client)
    assert configured(client, id, bandwidth_limit_mb=limit).status_code == 200
    assert client.get(f"{BASE}/migration-task/{id}").json()["bandwidth_limit_mb"] == "123"


def test_nulls_and_unknown_fields_are_passed_over(client: httpx.Client) -> None:
    id = created(client)
    source = {"id": None, "addrs": "192.168.1.1:6379", "password": None, "colour": "red"}
    answer = configured(client, id, source_instance=source, bandwidth_limit_mb=None, more={"a": [1]})
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("source", "target", "only", "renames"),
    [
        (None, None, (), ()),
        ("3", None, ("3",), ()),
        ("3", "0", ("3",), (Rename("3", "0"),)),
        (3, 0, ("3",), (Rename("3", "0"),)),
        (None, "7", (), (Rename("*", "7"),)),
        ("255", "255", ("255",), (Rename("255", "255"),)),
    ],
)
def test_databases_are_mapped(
    service: Service, client: httpx.Client, source: Any, target: Any, only: Any, renames: Any
) -> None:
    id = created(client)
    configured(
        client,
        id,
        source_instance={"addrs": "a:1", "db": source},
        target_instance={"addrs": "b:2", "db": target},
    )
    plan = service.run(service.store.job(JobId(id))).plan
    assert plan
    assert (plan.selection.only, plan.selection.renames) == (only, renames)
    task = client.get(f"{BASE}/migration-task/{id}").json()
    assert task["source_instance"]["db"] == (None if source is None else str(source))
    assert task["target_instance"]["db"] == (None if target is None else str(target))


def test_paths_are_served_with_more_slashes_than_needed(service: Service, client: httpx.Client) -> None:
    for path in (f"{BASE}/migration-tasks", f"{BASE}/migration-tasks/", f"/{BASE}/migration-tasks"):
        assert client.get(service.url + path).status_code == 200


def test_the_list_matches_names_that_contain_the_text(client: httpx.Client) -> None:
    created(client, "find-needle-here")
    page = client.get(f"{BASE}/migration-tasks", params={"name": "needle"}).json()
    assert [it["task_name"] for it in page["migration_tasks"]] == ["find-needle-here"]
    assert client.get(f"{BASE}/migration-tasks", params={"name": ""}).json()["count"] > 1


# What is refused.


@pytest.mark.parametrize("name", ["abc", "1abc", "a b c d", "x" * 65, "", "名字名字", None, ["abcd"], 5.5, True])
def test_a_bad_name_is_refused(client: httpx.Client, name: Any) -> None:
    refused(client.post(f"{BASE}/migration/instance", json={"name": name, **PLACES}), "DCS.4010", naming="name")


@pytest.mark.parametrize("name", ["abcd", "x" * 64, "A-b_9"])
def test_a_good_name_is_taken(client: httpx.Client, name: str) -> None:
    created(client, name)


@pytest.mark.parametrize(
    ("field", "code"), [("vpc_id", "DCS.4013"), ("security_group_id", "DCS.4014"), ("subnet_id", "DCS.4016")]
)
@pytest.mark.parametrize("value", [None, "", "no spaces", {"id": "x"}, "x" * 65])
def test_a_bad_place_is_refused_by_its_name(client: httpx.Client, field: str, code: str, value: Any) -> None:
    body = {"name": "some-name", **PLACES, field: value}
    refused(client.post(f"{BASE}/migration/instance", json=body), code, naming=field)


def test_a_description_may_have_1024_characters(client: httpx.Client) -> None:
    body = {"name": "described", **PLACES}
    assert client.post(f"{BASE}/migration/instance", json={**body, "description": "描" * 1024}).status_code == 200
    refused(client.post(f"{BASE}/migration/instance", json={**body, "description": "x" * 1025}), "DCS.4011")
    refused(client.post(f"{BASE}/migration/instance", json={**body, "description": "a\0b"}), "DCS.4011")


@pytest.mark.parametrize(
    ("changes", "code", "naming"),
    [
        ({"migration_method": "sideways"}, "DCS.4063", "migration_method"),
        ({"migration_method": None}, "DCS.4063", "migration_method"),
        ({"resume_mode": None}, "DCS.4063", "resume_mode"),
        ({"resume_mode": 5}, "DCS.4063", "resume_mode"),
        ({"bandwidth_limit_mb": "0"}, "DCS.4063", "bandwidth_limit_mb"),
        ({"bandwidth_limit_mb": 10241}, "DCS.4063", "bandwidth_limit_mb"),
        ({"bandwidth_limit_mb": "fast"}, "DCS.4063", "bandwidth_limit_mb"),
        ({"bandwidth_limit_mb": True}, "DCS.4063", "bandwidth_limit_mb"),
        ({"bandwidth_limit_mb": "１２"}, "DCS.4063", "bandwidth_limit_mb"),
        ({"source_instance": None}, "DCS.4063", "source_instance"),
        ({"source_instance": {}}, "DCS.4063", "source_instance"),
        ({"source_instance": "a:1"}, "DCS.4063", "source_instance"),
        ({"source_instance": {"addrs": ""}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "host"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "host:0"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "host:65536"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "host:1,"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "redis://host:1"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "user@host:1"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "ho st:1"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": "::1:6379"}}, "DCS.4063", "source_instance.addrs"),
        ({"source_instance": {"addrs": ",".join(f"h{n}:1" for n in range(257))}}, "DCS.4063", "addrs"),
        ({"target_instance": {"addrs": "a:1", "db": "256"}}, "DCS.4063", "target_instance.db"),
        ({"target_instance": {"addrs": "a:1", "db": -1}}, "DCS.4063", "target_instance.db"),
        ({"target_instance": {"addrs": "a:1", "password": ["x"]}}, "DCS.4845", "password"),
        ({"target_instance": {"addrs": "a:1", "password": "x" * 513}}, "DCS.4845", "password"),
        ({"target_instance": {"id": "short"}}, "DCS.4061", ""),
    ],
)
def test_a_bad_configuration_is_refused_by_its_field(
    client: httpx.Client, changes: dict[str, Any], code: str, naming: str
) -> None:
    id = created(client)
    refused(configured(client, id, **changes), code, naming=naming)
    assert client.get(f"{BASE}/migration-task/{id}").json()["status"] == "RUNNING"


@pytest.mark.parametrize(
    ("addrs", "shown"),
    [
        ("redis.example.com:6379", "redis.example.com:6379"),
        ("10.0.0.1:1, 10.0.0.2:65535", "10.0.0.1:1,10.0.0.2:65535"),
        ("[fd00::1]:6379", "[fd00::1]:6379"),
        ("a:1,a:1", "a:1"),
    ],
)
def test_addresses_are_hosts_with_ports(client: httpx.Client, addrs: str, shown: str) -> None:
    id = created(client)
    assert configured(client, id, source_instance={"addrs": addrs}).status_code == 200
    assert client.get(f"{BASE}/migration-task/{id}").json()["source_instance"]["addrs"] == shown


@pytest.mark.parametrize("id", [UNKNOWN, FOREIGN_INSTANCE])
def test_an_instance_that_is_not_the_projects_is_not_there(client: httpx.Client, id: str) -> None:
    task = created(client)
    refused(configured(client, task, target_instance={"id": id}), "DCS.3022", 404)
    refused(client.get(f"{BASE}/instances/{id}"), "DCS.3022", 404)


def test_bodies_that_are_no_json_are_refused(client: httpx.Client) -> None:
    path = f"{BASE}/migration/instance"
    refused(client.post(path, content=b""), "DCS.4004")
    refused(client.post(path, content=b" \n"), "DCS.4004")
    for content in (b"{", b"[]", b'"text"', b"null", b"\xff{}", b'{"name": NaN}', b"[" * 100_000, b"1" * 5000):
        refused(client.post(path, content=content), "DCS.4005")
    refused(client.post(path, content=b'{"name": "\\ud800abcd"}'), "DCS.4005")
    refused(client.post(path, content=b"{}", headers={"Content-Type": "text/xml"}), "DCS.4005")


@pytest.mark.parametrize("kind", ["application/json", "application/json;charset=UTF-8", "Application/JSON", ""])
def test_a_body_may_come_as_json_with_a_charset_or_without_a_type(client: httpx.Client, kind: str) -> None:
    content = b'{"name": "typed-body", "vpc_id": "v", "subnet_id": "s", "security_group_id": "g"}'
    headers = {"Content-Type": kind} if kind else {}
    assert client.post(f"{BASE}/migration/instance", content=content, headers=headers).status_code == 200


def test_a_call_without_a_body_does_not_care_for_one(service: Service, client: httpx.Client) -> None:
    id = created(client)
    configured(client, id)
    service.play(id, FOLLOWING)
    answer = client.post(f"{BASE}/migration-task/{id}/stop", content=b"{]", headers={"Content-Type": "text/html"})
    assert answer.json()["status"] == "TERMINATING"


@pytest.mark.parametrize("padding", [1024 * 1024 + 1, 40 * 1024 * 1024])
def test_a_body_that_is_too_large_is_refused(client: httpx.Client, padding: int) -> None:
    try:
        answer = client.post(f"{BASE}/migration/instance", content=b" " * padding)
    except httpx.TransportError:
        assert padding > 16 * 1024 * 1024, "a little too much must be answered"
        return
    assert answer.status_code == 413
    assert answer.json()["error_code"] == "APIGW.0201"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]


def test_a_body_that_grows_too_large_on_the_way_is_refused(client: httpx.Client) -> None:
    answer = client.post(f"{BASE}/migration/instance", content=(b" " * 65536 for _ in range(20)))
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "query", ["offset=-1", "limit=0", "limit=1001", "limit=x", "offset=99999999999", "limit=", "name=%00"]
)
def test_bad_paging_is_refused_by_its_name(client: httpx.Client, query: str) -> None:
    naming = query.partition("=")[0]
    refused(client.get(f"{BASE}/migration-tasks?{query}"), "DCS.4062", naming=naming)


def test_a_bad_log_level_is_refused_by_its_name(client: httpx.Client) -> None:
    refused(
        client.get(f"{BASE}/migration-task/{created(client)}/logs?log_level=LOUD"), "DCS.4062", naming="log_level"
    )


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/migration-task/{}"),
        ("GET", "/migration-task/{}/stats"),
        ("GET", "/migration-task/{}/logs"),
        ("POST", "/migration-task/{}/stop"),
        ("POST", "/migration-task/{}/sync-stop"),
        ("POST", "/migration-task/{}/rollback-ip"),
        ("GET", "/jobs/{}"),
    ],
)
def test_an_unknown_task_and_a_malformed_id_are_told_apart(client: httpx.Client, method: str, path: str) -> None:
    refused(client.request(method, BASE + path.format(UNKNOWN)), "DCS.4133")
    refused(client.request(method, BASE + path.format("8aa6999e-71cb-638b-0171-f485f5266ef0")), "DCS.4133")
    for malformed in ("short", "g" * 32, "a%2Fb", "%00", "..%2f.."):
        refused(client.request(method, BASE + path.format(malformed)), "DCS.4070")


def test_batches_are_bounded_and_their_ids_well_formed(client: httpx.Client) -> None:
    for path in ("migration-task/batch-stop", "migration-tasks/batch-restart"):
        send = f"{BASE}/{path}"
        refused(client.post(send, json={"migration_tasks": [UNKNOWN] * 51}), "DCS.4100")
        for ids in ([], ["short"], [None], "text", None, [UNKNOWN, 5]):
            refused(client.post(send, json={"migration_tasks": ids}), "DCS.4855")
    delete = f"{BASE}/migration-tasks/delete"
    refused(client.request("DELETE", delete, json={"task_id_list": ["short"]}), "DCS.4070")
    refused(client.request("DELETE", delete, json={"task_id_list": [UNKNOWN] * 51}), "DCS.4100")
    refused(client.request("DELETE", delete), "DCS.4004")
    answer = client.request("DELETE", delete, json={"task_id_list": [UNKNOWN]})
    assert answer.json() == {"task_id_list": [UNKNOWN]}


def test_what_the_state_does_not_allow_is_refused(service: Service, client: httpx.Client) -> None:
    id = created(client)
    task = f"{BASE}/migration-task/{id}"
    refused(client.post(f"{task}/stop"), "DCS.4957")
    refused(client.post(f"{task}/sync-stop"), "DCS.4957")
    configured(client, id)
    refused(configured(client, id), "DCS.4957")
    service.play(id, FOLLOWING)
    refused(configured(client, id), "DCS.4957")
    refused(client.request("DELETE", f"{BASE}/migration-tasks/delete", json={"task_id_list": [id]}), "DCS.4957")
    client.post(f"{task}/stop")
    refused(client.post(f"{task}/stop"), "DCS.4957")
    service.play(id, ENDED)
    refused(client.post(f"{task}/stop"), "DCS.4957")
    assert configured(client, id, migration_method="full_amount_migration").json()["status"] == "FULLMIGRATING"


def test_nothing_is_deleted_if_one_of_the_tasks_runs(service: Service, client: httpx.Client) -> None:
    idle, busy = created(client), created(client)
    configured(client, busy)
    body = {"task_id_list": [idle, busy]}
    refused(client.request("DELETE", f"{BASE}/migration-tasks/delete", json=body), "DCS.4957")
    assert client.get(f"{BASE}/migration-task/{idle}").status_code == 200


# A failed task that is configured anew.


def test_a_failed_task_goes_on_if_only_its_password_was_wrong(service: Service, client: httpx.Client) -> None:
    id = created(client)
    configured(client, id)
    service.play(id, (Phase.FOLLOW, Condition.FAILED))
    source = {"addrs": "192.168.1.1:6379", "password": "right this time"}
    assert configured(client, id, source_instance=source).status_code == 200
    job = service.run(service.store.job(JobId(id)))
    assert (job.phase, job.condition, job.wished) == (Phase.FOLLOW, Condition.FAILED, True)


def test_a_failed_task_with_another_source_is_ended_before_it_begins_anew() -> None:
    with serving(ApiSettings(stop_wait_s=0.2)) as service, service.client(service.token()) as client:
        id = created(client)
        configured(client, id)
        service.play(id, (Phase.FOLLOW, Condition.FAILED))
        elsewhere = {"addrs": "192.168.7.7:6379"}
        refused(configured(client, id, source_instance=elsewhere), "DCS.4017")
        service.play(id, ENDED)
        assert configured(client, id, source_instance=elsewhere).status_code == 200
        job = service.run(service.store.job(JobId(id)))
        assert (job.condition, job.wished) == (Condition.DONE, True)


# Who may see what.


def test_another_project_does_not_see_a_task(service: Service, client: httpx.Client) -> None:
    id = created(client)
    with service.client(service.token(SECOND_PROJECT)) as second:
        base = f"/v2/{SECOND_PROJECT}"
        refused(second.get(f"{base}/migration-task/{id}"), "DCS.4133")
        refused(second.get(f"{base}/jobs/{id[::-1]}"), "DCS.4133")
        refused(second.post(f"{base}/migration/{id}/task", json=wish()), "DCS.4133")
        assert second.get(f"{base}/migration-tasks").json() == {"count": 0, "migration_tasks": []}
        outcome = second.post(f"{base}/migration-task/batch-stop", json={"migration_tasks": [id]}).json()
        assert outcome["migration_tasks"][0]["error_code"] == "DCS.4133"
        second.request("DELETE", f"{base}/migration-tasks/delete", json={"task_id_list": [id]})
        assert second.get(f"{base}/instances").json()["instances"] == []
        refused(second.get(f"{BASE}/migration-task/{id}"), "DCS.1004", 401)
    assert client.get(f"{BASE}/migration-task/{id}").status_code == 200


def test_a_job_that_another_interface_made_is_not_a_task(service: Service, client: httpx.Client) -> None:
    job = service.run(service.desk.create(PROJECT, "cli", "not-dcs"))
    refused(client.get(f"{BASE}/migration-task/{job.id}"), "DCS.4133")
    assert client.get(f"{BASE}/migration-tasks", params={"name": "not-dcs"}).json()["count"] == 0


@pytest.mark.parametrize("project", [None, FOREIGN_PROJECT])
def test_a_token_without_the_project_opens_nothing(service: Service, project: str | None) -> None:
    token = service.token(None) if project is None else service.token(project, name="other")
    with service.client(token) as stranger:
        refused(stranger.get(f"{BASE}/migration-tasks"), "DCS.1004", 401)
        refused(stranger.post(f"{BASE}/migration/instance", content=b"{"), "DCS.1004", 401)


def test_a_malformed_project_id_is_said_to_be_one(client: httpx.Client) -> None:
    refused(client.get("/v2/short/migration-tasks"), "DCS.4002")
    refused(client.get("/v2/%7Bproject_id%7D/migration-tasks"), "DCS.4002", naming="{project_id}")


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ({}, "x-auth-token not found"),
        ({"X-Auth-Token": "nonsense"}, "decrypt token fail"),
        ({"X-Auth-Token": "nönsense".encode().decode("latin-1")}, "decrypt token fail"),
        ({"Authorization": "V11-HMAC-SHA256 Credential=a/b"}, "unsupported signing algorithm"),
        ({"Authorization": "SDK-HMAC-SHA256 nonsense"}, "malformed Authorization header"),
        (dict(pair for pair in VECTORS[0]["headers"] if pair[0] in ("Authorization", "X-Sdk-Date")), "expired"),
    ],
)
def test_without_a_proof_the_gateway_answers(service: Service, headers: dict[str, str], why: str) -> None:
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    with service.client() as nobody:
        answer = nobody.get(f"{BASE}/migration-tasks", headers=raw)
    assert answer.status_code == 401
    assert answer.json().keys() == {"error_code", "error_msg", "request_id"}
    assert answer.json()["error_code"] == "APIGW.0301"
    assert answer.json()["request_id"] == answer.headers["X-Request-Id"]
    assert why in answer.json()["error_msg"]


# Secrets, languages, lost ways.


def test_no_password_ever_comes_back(
    service: Service, client: httpx.Client, capfd: pytest.CaptureFixture[str]
) -> None:
    secret = "s3cret-of-source"
    id = created(client)
    answers = [
        configured(client, id),
        client.get(f"{BASE}/migration-task/{id}"),
        client.get(f"{BASE}/migration-tasks"),
        client.get(f"{BASE}/migration-task/{id}/logs"),
        client.get("/metrics"),
        configured(client, id, migration_method="wrong"),
        configured(client, id, source_instance={"addrs": secret, "password": secret}),
        configured(client, id, source_instance={"password": secret}),
        configured(client, id, source_instance={"addrs": "a:1", "password": [secret]}),
        configured(client, id, source_instance=secret),
        client.post(f"{BASE}/migration/{id}/task", content=f'{{"password": "{secret}"'.encode()),
        client.post(f"{BASE}/migration/instance", json={"name": secret + " !", "vpc_id": secret}),
    ]
    assert [answer for answer in answers if secret in answer.text] == []
    assert secret not in "".join(capfd.readouterr())


def test_refusals_are_told_in_chinese_if_asked(client: httpx.Client) -> None:
    chinese = {"X-Language": "zh-cn"}
    answer = client.get(f"{BASE}/migration-task/{UNKNOWN}", headers=chinese)
    refused(answer, "DCS.4133", naming="任务不存在")
    batch = client.post(f"{BASE}/migration-task/batch-stop", json={"migration_tasks": [UNKNOWN]}, headers=chinese)
    assert batch.json()["migration_tasks"][0]["error_msg"] == "任务不存在。"
    english = client.get(f"{BASE}/migration-task/{UNKNOWN}", headers={"X-Language": "fr-fr"})
    refused(english, "DCS.4133", naming="Instance job is not found.")


def test_a_lost_request_is_answered_by_whom_it_was_meant_for(client: httpx.Client) -> None:
    refused(client.get(f"{BASE}/nowhere"), "DCS.4001", 404)
    refused(client.get(f"{BASE}/instances/{INSTANCE}/restores"), "DCS.4001", 404)
    wrong = client.put(f"{BASE}/migration-tasks")
    refused(wrong, "DCS.5001", 405)
    assert wrong.headers["Allow"] == "GET"
    both = client.patch(f"{BASE}/migration-task/{UNKNOWN}")
    assert (both.status_code, both.headers["Allow"]) == (405, "GET, PUT")
    elsewhere = client.get("/v9/nowhere")
    assert (elsewhere.status_code, elsewhere.json()["error_code"]) == (404, "APIGW.0101")
    assert elsewhere.json()["request_id"] == elsewhere.headers["X-Request-Id"]


@pytest.mark.parametrize("path", ["/", "/v3", "/v9", "/healthz", "/metrics", "/docs", f"{BASE}/x", "/v3/auth/x"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_every_answer_has_a_number_and_none_is_the_frameworks_own(
    client: httpx.Client, method: str, path: str
) -> None:
    answer = client.request(method, path)
    assert len(answer.headers["X-Request-Id"]) == 32
    assert '"detail"' not in answer.text
    assert answer.status_code < 500
    assert not 300 <= answer.status_code < 400


def test_a_bug_is_answered_without_its_traceback(service: Service, capfd: pytest.CaptureFixture[str]) -> None:
    async def broken(*_: object, **__: object) -> object:
        raise RuntimeError("the inside of it")

    with service.client(service.token()) as client:
        id = created(client)
        service.store.events = broken  # type: ignore[method-assign,assignment]
        try:
            answer = client.get(f"{BASE}/migration-task/{id}/logs")
        finally:
            del service.store.events
    refused(answer, "DCS.5000", 500)
    assert "inside" not in answer.text
    logged = capfd.readouterr().out
    assert "the inside of it" in logged
    assert answer.headers["X-Request-Id"] in logged
