"""DRS v5, task by task: what is created, shown, changed, started, checked, compared and ended."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, JobId, Phase, Wish
from sterna.core.plan import Conflict, Mode, Picked, Plan, Window
from sterna.core.progress import Progress
from tests.api.drs5 import ORDERS, SECRET, V5, FakePostgres, act, create, detail, new_job, side, until
from tests.api.service import PROJECT, SECOND_PROJECT, Service, serving

RUNNING = Condition.RUNNING
COPYING = (Phase.COPY, RUNNING)
FOLLOWING = (Phase.FOLLOW, RUNNING)
ENDED = (Phase.CLOSE, Condition.DONE)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def engine(service: Service) -> FakePostgres:
    fake = FakePostgres()
    service.desk.engines["postgresql"] = fake  # type: ignore[index]
    return fake


@pytest.fixture(autouse=True)
def _engine(engine: FakePostgres) -> None:
    """Every test has a fresh one."""


@pytest.fixture
def id(client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A task that waits to be started."""
    return create(client, "t-" + str(abs(hash(request.node.name)) % 10**12))


def plan_of(service: Service, id: str) -> Plan:
    plan = service.run(service.store.job(JobId(id))).plan
    assert plan
    return plan


def status_of(client: httpx.Client, id: str) -> str:
    return str(detail(client, id)["status"])


def following(service: Service, client: httpx.Client, id: str) -> str:
    act(client, id, "start")
    service.play(id, FOLLOWING)
    return id


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error_code"])


# Creation.


def test_a_creation_is_answered_flat_with_text_for_whether_it_is_a_clone(client: httpx.Client) -> None:
    answer = client.post(f"{V5}/jobs", json=new_job("flat-one")).json()
    assert set(answer) == {"id", "name", "status", "create_time", "is_clone_job"}
    assert (answer["name"], answer["status"], answer["is_clone_job"]) == ("flat-one", "CREATING", "false")
    assert answer["create_time"].endswith("Z")
    assert status_of(client, answer["id"]) == "CONFIGURATION"


def test_a_detail_shows_what_was_described_and_no_password(client: httpx.Client) -> None:
    shown = detail(client, create(client, "shown-one", description="说明"))
    assert shown["base_info"] == {
        "name": "shown-one",
        "job_type": "sync",
        "multi_write": False,
        "engine_type": "postgresql",
        "job_direction": "up",
        "task_type": "FULL_INCR_TRANS",
        "net_type": "eip",
        "charging_mode": "on_demand",
        "enterprise_project_id": "0",
        "description": "说明",
        "expired_days": 14,
        "tags": [{"key": "test", "value": "test"}],
        "is_open_fast_clean": False,
    }
    source = shown["source_endpoint"][0]
    assert source["endpoint_role"] == "so"
    assert source["cloud"]["region"] == "eu-test-1"
    assert source["ssl"] == {"ssl_link": False}
    server = source["endpoint"]
    assert (server["ip"], server["db_port"], server["db_user"]) == ("10.0.0.5", "5432", "mover")
    assert "db_password" not in server
    assert shown["node_info"]["spec"]["node_type"] == "medium"
    assert shown["speed_limit"] == []
    assert SECRET not in json.dumps(shown, ensure_ascii=False)


def test_the_plan_has_what_was_described(service: Service, client: httpx.Client) -> None:
    plan = plan_of(service, create(client, "planned-one", task_type="FULL_TRANS"))
    assert plan.mode is Mode.FULL
    assert plan.source.addresses == (("10.0.0.5", 5432),)
    assert (plan.target.user, plan.target.password) == ("mover", SECRET)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "abc"}, "DRS.M00202"),
        ({"name": "1abc"}, "DRS.M00202"),
        ({"description": "a <b>"}, "DRS.M00273"),
        ({"engine_type": "oracle-to-gaussdbv5"}, "DRS.M00302"),
        ({"job_type": "cloudDataGuard"}, "DRS.M00302"),
        ({"task_type": "INCR_TRANS"}, "DRS.M00305"),
        ({"expired_days": "13"}, "DRS.M00202"),
        ({"tags": [{"key": "a"}, {"key": "a"}]}, "DRS.M00269"),
        ({"tags": [{"key": "a" * 37}]}, "DRS.M00270"),
        ({"net_type": None}, "DRS.M00201"),
    ],
)
def test_a_creation_that_does_not_fit_is_refused_by_its_code(
    client: httpx.Client, change: dict[str, Any], expected: str
) -> None:
    body = new_job("refused-one")
    body["job"]["base_info"] |= change
    assert code(client.post(f"{V5}/jobs", json=body)) == (400, expected)


def test_a_name_is_taken_once_whatever_its_case(client: httpx.Client) -> None:
    create(client, "Taken-one")
    assert code(client.post(f"{V5}/jobs", json=new_job("taken-ONE"))) == (400, "DRS.M00277")
    body = {"name": "taken-one", "type": "trans"}
    chinese = client.post(f"{V5}/jobs/name-validation", json=body, headers={"X-Language": "zh-cn"})
    assert code(chinese) == (400, "DRS.M00277")
    assert chinese.json()["error_msg"] == "任务名称已存在。"
    free = client.post(f"{V5}/jobs/name-validation", json={"name": "free-one", "type": "trans"})
    assert (free.status_code, free.json()) == (200, {"is_valid": True})


def test_an_unknown_task_is_told_as_clients_expect_it(client: httpx.Client, service: Service, id: str) -> None:
    for path in (f"{V5}/jobs/e11eaf8f-71ef-4fad-8890-aed7572ajb11", f"{V5}/jobs/nonsense"):
        assert code(client.get(path, params={"type": "detail"})) == (400, "DRS.10000010")
    with service.client(service.token(SECOND_PROJECT)) as other:
        answer = other.get(f"/v5/{SECOND_PROJECT}/jobs/{id}", params={"type": "detail"})
        assert code(answer) == (400, "DRS.10000010")
        assert code(other.delete(f"/v5/{SECOND_PROJECT}/jobs/{id}")) == (400, "DRS.10000010")
        assert other.get(f"/v5/{SECOND_PROJECT}/jobs", params={"job_type": "sync"}).json()["total_count"] == 0


# The list.


def test_the_list_is_filtered_sorted_and_paged_and_ends_with_an_empty_page(client: httpx.Client) -> None:
    ids = [create(client, f"listed-{letter}", job_type="migration") for letter in "abc"]

    def listed(**query: Any) -> Any:
        return client.get(f"{V5}/jobs", params={"job_type": "migration", **query}).json()

    everything = listed(name="", status="", engine_type="", net_type="", enterprise_project_id="")
    assert [job["id"] for job in everything["jobs"]] == ids[::-1]
    assert [job["id"] for job in listed(sort_key="name", sort_dir="asc")["jobs"]] == ids
    assert listed(offset=3)["jobs"] == []
    assert listed(offset=3)["total_count"] == 3
    assert listed(limit=2000)["total_count"] == 3
    assert [job["id"] for job in listed(name=f"{ids[0]},{ids[2]}")["jobs"]] == [ids[2], ids[0]]
    assert listed(name="ISTED-B")["jobs"][0]["id"] == ids[1]
    assert listed(status="PAUSING")["total_count"] == 0
    assert listed(instance_ids=["", "none"])["total_count"] == 0
    assert listed(instance_ip="10.0.0.6")["total_count"] == 3
    row = everything["jobs"][0]
    assert row["job_action"]["current_action"] is None
    assert "START" in row["job_action"]["available_actions"]
    assert row["job_type"] == "migration"
    assert code(client.get(f"{V5}/jobs", params={"job_type": "migration", "sort_key": "x"})) == (400, "DRS.M00202")
    assert code(client.get(f"{V5}/jobs")) == (400, "DRS.M00201")


# Changes.


def change(client: httpx.Client, id: str, type: str, **params: Any) -> httpx.Response:
    return client.put(f"{V5}/jobs/{id}", json={"job": {"type": type, "params": params}})


def test_name_description_days_and_notification_are_changed(client: httpx.Client, id: str) -> None:
    for type, params in (
        ("name", {"base_info": {"name": "renamed-one"}}),
        ("description", {"base_info": {"description": "new"}}),
        ("expired_days", {"base_info": {"expired_days": 20}}),
        ("notify", {"alarm_notify": {"alarm_to_user": True, "topic_urn": "urn:smn:x", "delay_time": 60}}),
        ("re_create", {}),
    ):
        answer = change(client, id, type, **params)
        assert (answer.status_code, answer.json()) == (200, {}), type
    shown = detail(client, id)
    assert [shown["base_info"][it] for it in ("name", "description", "expired_days")] == ["renamed-one", "new", 20]
    assert shown["alarm_notify"] == {"alarm_to_user": True, "topic_urn": "urn:smn:x", "delay_time": 60}
    assert code(change(client, id, "name", base_info={})) == (400, "DRS.M00201")


def test_servers_are_changed_and_a_password_that_is_left_out_stays(
    service: Service, client: httpx.Client, id: str
) -> None:
    without = side("so", db_user="other")
    del without["endpoint"]["db_password"]
    assert change(client, id, "endpoint", source_endpoint=[without]).json() == {}
    source = plan_of(service, id).source
    assert (source.user, source.password) == ("other", SECRET)
    without["endpoint"]["ip"] = "10.9.9.9"
    assert change(client, id, "endpoint", source_endpoint=[without]).json() == {}
    source = plan_of(service, id).source
    assert (source.addresses, source.password) == ((("10.9.9.9", 5432),), SECRET)
    assert detail(client, id)["source_endpoint"][0]["endpoint"]["ip"] == "10.9.9.9"


def test_policy_and_speed_are_in_the_plan_and_in_the_detail(
    service: Service, client: httpx.Client, id: str
) -> None:
    policy = {"conflict_policy": "ignore", "ddl_trans": True}
    limits = [{"begin": "16:00", "end": "15:59", "speed": "10"}]
    assert change(client, id, "policy", policy_config=policy, speed_limit=limits).json() == {}
    plan = plan_of(service, id)
    assert (plan.conflict, plan.options["ddl"]) == (Conflict.SKIP, "apply")
    assert plan.pace.windows == (Window(16 * 60, 15 * 60 + 59, 10 * 1024 * 1024),)
    shown = detail(client, id)
    assert shown["speed_limit"] == limits
    assert shown["policy_config"]["conflict_policy"] == "ignore"
    for begin, end, speed, expected in (
        ("16:00", "16:00", "1", "DRS.M00306"),
        ("16:00", "17:00", "1", "DRS.M00202"),
        ("25:00", "15:59", "1", "DRS.M00202"),
        ("16:00", "15:59", "0", "DRS.M00202"),
    ):
        wrong = [{"begin": begin, "end": end, "speed": speed}]
        assert code(change(client, id, "policy", speed_limit=wrong)) == (400, expected)


def test_picked_objects_become_the_selection(service: Service, client: httpx.Client, id: str) -> None:
    info: dict[str, dict[str, Any]] = {
        "shop": {
            "name": "store",
            "schemas": {
                "public": {
                    "name": "public",
                    "tables": {
                        "orders": {"name": "bought", "type": "table", "filter_conditions": ["id > 1", "id < 9"]},
                        "customers": {
                            "name": "customers",
                            "columns": {"id": {"name": "id"}, "mail": {"name": "mail", "filtered": True}},
                        },
                    },
                },
                "audit": {"all": True},
            },
        },
        "wiki": {"name": "wiki", "all": True},
    }
    answer = change(client, id, "db_object", db_object={"object_scope": "table", "object_info": info})
    assert answer.status_code == 202
    assert answer.json()["status"] == "pending"
    objects = plan_of(service, id).selection.objects
    shop = ("shop", "public")
    assert set(objects) == {
        Picked((*shop, "orders"), ("store", "public", "bought"), where="(id > 1) AND (id < 9)"),
        Picked((*shop, "customers"), ("store", "public", "customers"), columns=("id",)),
        Picked(("shop", "audit"), ("store", "audit")),
        Picked(("wiki",)),
    }
    saved = client.get(f"{V5}/jobs/{id}/db-objects/saving-status", params={"query_id": answer.json()["id"]})
    assert saved.json()["status"] == "success"
    back = client.get(f"/v5.1/{PROJECT}/jobs/{id}/db-object", params={"type": "modified"}).json()
    assert back["object_scope"] == "table"
    assert back["object_info"]["shop"]["total_table_num"] == 2
    assert back["object_info"]["shop"]["schemas"] == info["shop"]["schemas"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"columns": {"a": {"name": "b"}}}, "DRS.M00305"),
        ({"columns": {"a": {"additional": True}}}, "DRS.M00305"),
        ({"config_conditions": ["x"]}, "DRS.M00202"),
    ],
)
def test_a_selection_that_cannot_be_kept_is_refused(
    client: httpx.Client, id: str, table: dict[str, Any], expected: str
) -> None:
    info = {"shop": {"schemas": {"public": {"tables": {"orders": table}}}}}
    answer = change(client, id, "db_object", db_object={"object_scope": "table", "object_info": info})
    assert code(answer) == (400, expected)


def test_what_runs_is_not_reconfigured(service: Service, client: httpx.Client, id: str) -> None:
    following(service, client, id)
    for type, params in (
        ("endpoint", {"source_endpoint": [side("so")]}),
        ("db_object", {"db_object": {"object_scope": "all"}}),
        ("policy", {"policy_config": {"conflict_policy": "stop"}}),
        ("re_create", {}),
    ):
        assert code(change(client, id, type, **params)) == (400, "DRS.M00304"), type
    faster = [{"begin": "00:00", "end": "11:59", "speed": 5}]
    assert change(client, id, "policy", speed_limit=faster).json() == {}
    assert plan_of(service, id).pace.windows[0].bytes_per_s == 5 * 1024 * 1024


# A life.


def test_a_task_lives_from_start_to_deletion(service: Service, client: httpx.Client, id: str) -> None:
    assert act(client, id, "start").json() == {"status": "success"}
    assert status_of(client, id) == "STARTJOBING"
    service.play(id, COPYING)
    assert status_of(client, id) == "FULL_TRANSFER_STARTED"
    service.play(id, FOLLOWING)
    assert status_of(client, id) == "INCRE_TRANSFER_STARTED"
    assert act(client, id, "stop", pause_mode="target").json() == {"status": "success"}
    service.play(id, (Phase.FOLLOW, Condition.PAUSED))
    assert status_of(client, id) == "PAUSING"
    assert act(client, id, "restart").json() == {"status": "success"}
    service.play(id, FOLLOWING)
    assert code(client.delete(f"{V5}/jobs/{id}")) == (400, "DRS.M00304")
    ended = client.post(f"{V5}/jobs/{id}/stop", json={"is_force_stop": False})
    assert (ended.status_code, ended.json()["status"]) == (200, "success")
    assert service.run(service.store.job(JobId(id))).wish is Wish.FINISH
    assert status_of(client, id) == "RELEASE_RESOURCE_STARTED"
    service.play(id, ENDED)
    assert status_of(client, id) == "RELEASE_RESOURCE_COMPLETE"
    deleted = client.delete(f"{V5}/jobs/{id}")
    assert (deleted.status_code, deleted.content) == (200, b"")
    assert code(client.get(f"{V5}/jobs/{id}", params={"type": "detail"})) == (400, "DRS.10000010")


def test_a_task_can_be_started_at_a_time(service: Service, client: httpx.Client, id: str) -> None:
    later = service.desk.clock() + 3_600_000
    assert act(client, id, "start", start_time=str(later)).status_code == 200
    assert status_of(client, id) == "WAITING_FOR_START"
    assert id not in service.run(service.store.due())
    act(client, id, "start")
    assert id in service.run(service.store.due())


def test_a_force_stop_ends_a_task_where_it_is(service: Service, client: httpx.Client, id: str) -> None:
    following(service, client, id)
    client.post(f"{V5}/jobs/{id}/stop", json={"is_force_stop": True})
    assert service.run(service.store.job(JobId(id))).wish is Wish.STOP


def test_a_failed_task_can_begin_anew(service: Service, client: httpx.Client, id: str) -> None:
    act(client, id, "start")
    service.play(id, (Phase.COPY, Condition.FAILED))
    assert status_of(client, id) == "FULL_TRANSFER_FAILED"
    assert act(client, id, "reset").json() == {"status": "success"}
    job = service.run(service.store.job(JobId(id)))
    assert (job.phase, job.wish, job.wished) == (Phase.PREPARE, Wish.RUN, True)


def test_a_task_that_was_never_started_is_deleted_at_once_as_terraform_does(client: httpx.Client) -> None:
    """The order of ``huaweicloud_drs_job_v5``: create, wait for CONFIGURATION, delete, and be gone."""
    created = client.post(f"{V5}/jobs", json=new_job("terraformed"))
    assert created.status_code == 200
    id = created.json()["id"]
    assert detail(client, id)["status"] == "CONFIGURATION"
    deleted = client.delete(f"{V5}/jobs/{id}")
    assert deleted.status_code in (200, 202, 204)
    assert code(client.get(f"{V5}/jobs/{id}", params={"type": "detail"})) == (400, "DRS.10000010")


@pytest.mark.parametrize("action", ["stop", "restart", "reset", "create_compare", "start_repair"])
def test_what_is_not_legal_yet_is_refused(client: httpx.Client, id: str, action: str) -> None:
    assert code(act(client, id, action)) == (400, "DRS.M00304")


@pytest.mark.parametrize(
    "action",
    [
        "column_limit",
        "reload_parameters",
        "bind_eip",
        "unbind_eip",
        "set_readonly",
        "cloud_connection",
        "diagnosis",
    ],
)
def test_what_is_not_offered_says_so(client: httpx.Client, id: str, action: str) -> None:
    answer = act(client, id, action)
    assert code(answer) == (400, "DRS.10000001")
    assert action in answer.json()["error_msg"]


def test_objects_cannot_be_edited_while_a_task_runs(service: Service, client: httpx.Client, id: str) -> None:
    act(client, id, "start")
    service.play(id, (Phase.FOLLOW, Condition.PAUSED))
    assert code(act(client, id, "restart", is_sync_re_edit=True)) == (400, "DRS.M00401")


# Several at once.


def test_each_of_several_tasks_has_its_own_outcome(service: Service, client: httpx.Client, id: str) -> None:
    unknown = "c7debc9c-8e09-4a5d-8dd6-cc44f78jb20r"
    jobs = [{"job_id": it, "action_name": "start"} for it in (id, unknown)]
    answer = client.post(f"{V5}/jobs/action", json={"jobs": jobs})
    good, bad = answer.json()["jobs"]
    assert answer.status_code == 200
    assert (good["id"], good["status"], "error_code" in good) == (id, "Success", False)
    assert (bad["status"], bad["error_code"]) == ("Failed", "DRS.10020102")
    checked = client.post(
        f"{V5}/jobs/action", json={"jobs": [{"job_id": create(client, "batched"), "action_name": "precheck"}]}
    )
    assert checked.status_code == 202
    assert set(checked.json()["jobs"][0]) == {"id", "name", "query_id"}
    stopped = client.post(f"{V5}/jobs/batch-stop", json={"jobs": [{"job_id": id}, {"job_id": unknown}]}).json()
    assert [job["status"] for job in stopped["jobs"]] == ["Success", "Failed"]
    gone = client.request("DELETE", f"{V5}/jobs", json={"jobs": [create(client, "to-go"), unknown]}).json()
    assert [job["status"] for job in gone["jobs"]] == ["Success", "Failed"]
    assert gone["jobs"][1]["error_code"] == "DRS.10000010"
    twice = client.request("DELETE", f"{V5}/jobs", json={"jobs": [unknown, unknown]})
    assert code(twice) == (400, "DRS.M00301")


# Checks.


def checked(client: httpx.Client, id: str) -> dict[str, Any]:
    query = act(client, id, "precheck", precheck_mode="forStartJob")
    assert query.status_code == 202

    def look() -> Any:
        result = detail(client, id, "precheck", query_id=query.json()["query_id"])["precheck_result"]
        return result if result["process"] == "100%" else None

    found: dict[str, Any] = until(look)
    return found


def test_checks_that_only_warn_pass_and_can_be_skipped(client: httpx.Client, id: str) -> None:
    result = checked(client, id)
    assert (result["result"], result["total_passed_rate"]) == (True, "100%")
    assert [row["result"] for row in result["precheck_results"]] == ["PASSED", "ALARM"]
    assert result["precheck_results"][1]["group"] == "db_params"
    skip = {"skipped_precheck_list": ["tableWithoutKey"], "skip_reason": "known"}
    assert act(client, id, "skip_precheck", skip_precheck_info=skip).json() == {"status": "success"}
    again = detail(client, id, "precheck")["precheck_result"]["precheck_results"]
    assert [row["is_skipped"] for row in again] == [False, True]


def test_a_check_that_failed_is_never_a_hundred_percent_and_cannot_be_skipped(
    client: httpx.Client, id: str, engine: FakePostgres
) -> None:
    engine.findings.append(Finding("slots", Severity.FAILED, "no slot is free", "Raise it."))
    result = checked(client, id)
    assert (result["result"], result["total_passed_rate"]) == (False, "66%")
    assert result["precheck_results"][2]["failed_reason"] == "no slot is free. Raise it."
    skip = {"skipped_precheck_list": ["slots"], "skip_reason": "please"}
    assert code(act(client, id, "skip_precheck", skip_precheck_info=skip)) == (400, "DRS.M00202")


def test_both_servers_are_tried(client: httpx.Client, id: str) -> None:
    def tried(*endpoints: dict[str, Any]) -> Any:
        query = act(client, id, "network", endpoints=list(endpoints)).json()["query_id"]
        count = len(endpoints) or 2

        def look() -> Any:
            rows = detail(client, id, "network", query_id=query)["network_results"]
            return rows if len(rows) == count else None

        return until(look)

    assert [(row["ip"], row["success"]) for row in tried()] == [("10.0.0.5", True), ("10.0.0.6", True)]
    (refused,) = tried(side("ta", db_password="wrong-one"))
    assert (refused["success"], refused["status"]) == (False, "failed")
    assert "wrong-one" not in json.dumps(refused)
    assert code(client.get(f"{V5}/jobs/{id}", params={"type": "network", "query_id": "x"})) == (400, "DRS.M00202")


# Progress, history.


def test_progress_is_told_in_text(service: Service, client: httpx.Client, id: str) -> None:
    assert detail(client, id, "progress")["progress_info"]["progress"] == "0"
    act(client, id, "start")
    service.play(id, COPYING)
    half = Progress(phase="COPY", bytes=50, bytes_total=100, eta_s=9, at_ms=service.soon())
    job = service.run(service.store.job(JobId(id)))
    service.run(service.store.set_progress(job.id, half, epoch=job.epoch))
    shown = detail(client, id, "progress")["progress_info"]
    assert (shown["progress"], shown["remaining_time"], shown["incr_trans_delay"]) == ("50", "9", "-1")
    assert shown["progress_map"]["data"] == {"completed": "50%", "remaining_time": "9"}
    service.play(id, FOLLOWING)
    behind = replace(half, phase="FOLLOW", lag_ms=2500)
    service.run(service.store.set_progress(job.id, behind, epoch=job.epoch))
    shown = detail(client, id, "progress")["progress_info"]
    assert (shown["incr_trans_delay"], shown["incr_trans_delay_millis"]) == ("2", "2500")
    assert shown["transfer_status"] == "INCRE_TRANSFER_STARTED"
    assert client.get(f"{V5}/jobs/{id}/monitor-data").json()["dst_delay"] == 2


def test_history_and_requests_are_told(client: httpx.Client, id: str) -> None:
    act(client, id, "start")
    logs = detail(client, id, "log", offset=0, limit=10)["logs"]
    assert {"create_time", "level", "message"} == set(logs[0])
    assert detail(client, id, "log", log_level="Error")["logs"] == []
    assert code(client.get(f"{V5}/jobs/{id}", params={"type": "log", "log_level": "x"})) == (400, "DRS.M00202")
    timeline = client.get(f"{V5}/jobs/{id}/timelines").json()
    assert [it["name"] for it in timeline["timelines"]] == ["start", "create"]


def test_the_allowed_operations_are_told(client: httpx.Client, id: str) -> None:
    action = client.get(f"{V5}/jobs/{id}/actions").json()["job_action"]
    assert {"START", "PRE_CHECK", "CHOOSE_OBJECT"} <= set(action["available_actions"])
    assert not set(action["available_actions"]) & set(action["unavailable_actions"])


# Comparisons.


def compared(client: httpx.Client, id: str, type: str, **more: Any) -> str:
    answer = act(client, id, "create_compare", compare_task_param={"type": type, **more})
    assert answer.status_code == 202, answer.text
    query = str(answer.json()["query_id"])

    def done() -> bool:
        listed = detail(client, id, "compare", compare_type="data_compare")["compare_result"]
        rows = {row["id"]: row["status"] for row in listed["data_compare_task_list"]}
        return bool(rows[query] == "SUCCESSFUL")

    until(done)
    return query


def result(client: httpx.Client, id: str, **query: Any) -> Any:
    return detail(client, id, "compare", **query)["compare_result"]


def test_objects_lines_and_contents_are_compared(service: Service, client: httpx.Client, id: str) -> None:
    following(service, client, id)
    compared(client, id, "object")
    overview = result(client, id, compare_type="object_compare", query_type="overview")
    rows = {row["type"]: row for row in overview["objects_compare_overview_info"]["compare_results"]}
    assert rows["TABLE"]["status"] == "CONSISTENT"
    assert (rows["INDEX"]["source_count"], rows["INDEX"]["status"]) == (3, "INCONSISTENT")
    lines = compared(client, id, "lines", db_object={"shop": {"schemas": {"public": {"tables": {"orders": {}}}}}})
    asked = {"compare_type": "line_compare", "compare_task_id": lines}
    assert result(client, id, **asked)["line_compare_overview_infos"] == [
        {"source_db_name": "shop", "target_db_name": "shop", "status": "INCONSISTENT"}
    ]
    (row,) = result(client, id, **asked, query_type="detail", source_db_name="shop")["line_compare_detail_infos"]
    assert (row["source_table_name"], row["source_row_num"], row["target_row_num"]) == ("public.orders", "7", "5")
    contents = compared(client, id, "contents")
    asked = {"compare_type": "content_compare", "compare_task_id": contents}
    details = result(client, id, **asked, query_type="detail")["content_compare_detail_infos"]
    assert [it["content_compare_result"] for it in details] == [False, True]
    differing = result(client, id, **asked, query_type="diff")["content_diff_detail_info"]
    assert (differing["count"], differing["target_meta_is_null"]) == (1, 1)


def test_what_differs_is_repaired_on_request(
    service: Service, client: httpx.Client, id: str, engine: FakePostgres
) -> None:
    following(service, client, id)
    contents = compared(client, id, "contents")
    remedy = detail(client, id, "repair_detail", query_id=contents)["repair_detail_info"]["repair_details"][0]
    assert remedy["repair_sql_info"] == "INSERT INTO public.orders VALUES (4)"
    assert act(client, id, "start_repair", repair_info={"query_id": contents}).json() == {"status": "success"}
    until(lambda: detail(client, id, "repair_progress")["repair_progress_info"]["status"] == "SUCCESSFUL")
    assert [list(names) for names in engine.repaired] == [[ORDERS]]
    chosen = {"query_id": contents, "objects": [{"database": "shop", "schema": "public", "table": "customers"}]}
    act(client, id, "start_repair", repair_info=chosen)
    until(lambda: len(engine.repaired) == 2)
    until(lambda: detail(client, id, "repair_progress")["repair_progress_info"]["status"] == "SUCCESSFUL")
    assert code(act(client, id, "stop_repair")) == (400, "DRS.M00304")


def test_a_comparison_that_waits_for_its_time_can_be_cancelled(
    service: Service, client: httpx.Client, id: str
) -> None:
    following(service, client, id)
    later = str(service.desk.clock() + 3_600_000)
    asked = act(client, id, "create_compare", compare_task_param={"type": "lines", "start_time": later})
    query = asked.json()["query_id"]
    assert act(client, id, "cancel_compare", compare_task_param={"compare_task_id": query}).status_code == 200
    (row,) = result(client, id, compare_type="data_compare")["data_compare_task_list"]
    assert row["status"] == "CANCELLED"
    again = act(client, id, "cancel_compare", compare_task_param={"compare_task_id": query})
    assert code(again) == (400, "DRS.M00304")
    unknown = act(client, id, "cancel_compare", compare_task_param={"compare_task_id": "x"})
    assert code(unknown) == (400, "DRS.M00202")


# Objects, tags, links.


def test_what_the_source_holds_is_read_and_shown(client: httpx.Client, id: str) -> None:
    asked = client.post(
        f"/v5.1/{PROJECT}/jobs/{id}/db-objects/collect", json={"type": "source", "is_refresh": True}
    )
    assert (asked.status_code, asked.json()["status"], asked.json()["job_id"]) == (202, "pending", id)
    query = {"query_id": asked.json()["id"]}

    def look() -> Any:
        shown = client.get(f"{V5}/jobs/{id}/db-objects/collection-status", params=query).json()
        return shown if shown["status"] != "pending" else None

    shown = until(look)
    assert (shown["status"], shown["max_table_num"]) == ("success", 50000)
    tables = shown["object_info"]["shop"]["schemas"]["public"]["tables"]
    assert {name: it["type"] for name, it in tables.items()} == {"orders": "table", "totals": "view"}
    assert shown["object_info"]["empty"]["total_table_num"] == 0
    page = client.get(f"{V5}/jobs/{id}/db-objects", params={"type": "source", "limit": 1}).json()
    assert list(page["object_info"]) == ["shop"]
    unknown = client.get(f"{V5}/jobs/{id}/db-objects/collection-status", params={"query_id": "x"})
    assert code(unknown) == (400, "DRS.10030014")


def test_tags_are_given_found_and_taken_by_both_forms(client: httpx.Client) -> None:
    id = create(client, "tagged-one", tags=[], job_type="migration")
    kind = f"{V5}/migration"
    first = [{"key": "stage", "value": "test"}, {"key": "team.a", "value": ""}]
    assert client.post(f"{kind}/{id}/tags/create", json={"tags": first}).status_code == 204
    older = f"{V5}/jobs/migration/{id}/tags"
    added = client.post(f"{older}/action", json={"action": "create", "tags": [{"key": "stage", "value": "live"}]})
    assert (added.status_code, added.content) == (204, b"")
    expected = {"tags": [{"key": "stage", "value": "live"}, {"key": "team.a", "value": ""}]}
    assert client.get(f"{kind}/{id}/tags").json() == client.get(older).json() == expected
    listed = {"key": "stage", "values": ["live"]}
    assert listed in client.get(f"{kind}/tags").json()["tags"]
    assert listed in client.get(f"{V5}/jobs/migration/tags").json()["tags"]
    wanted = {
        "tags": [{"key": "stage", "values": ["live", "x"]}],
        "matches": [{"key": "resource_name", "value": "tagged"}],
    }
    found = client.post(f"{kind}/resource-instances/filter", json=wanted).json()
    assert (found["total_count"], found["resources"][0]["resource_id"]) == (1, id)
    assert client.post(f"{kind}/resource-instances/count", json=wanted).json() == {"total_count": 1}
    client.post(f"{kind}/{id}/tags/delete", json={"tags": [{"key": "stage"}, {"key": "unknown"}]})
    assert client.get(older).json() == {"tags": [{"key": "team.a", "value": ""}]}
    assert code(client.get(f"{V5}/sync/{id}/tags")) == (400, "DRS.10000010")
    bad = {"tags": [{"key": "_sys_x", "value": ""}]}
    assert code(client.post(f"{kind}/{id}/tags/create", json=bad)) == (400, "DRS.M00202")
    many = {"tags": [{"key": f"k{number}", "value": ""} for number in range(20)]}
    assert code(client.post(f"{kind}/{id}/tags/create", json=many)) == (400, "DRS.M00271")


def test_links_tell_what_can_be_moved(client: httpx.Client) -> None:
    found = client.get(f"{V5}/support-links", params={"job_type": "sync", "limit": 1000}).json()
    assert {"postgresql", "redis"} <= {it["engine_type"] for it in found["support_links"]}
    assert found["total_count"] == len(found["support_links"])
    assert client.get(f"{V5}/links", params={"job_type": "cloudDataGuard"}).json() == {
        "total_count": 0,
        "job_links": [],
    }
    assert client.get(f"{V5}/features", params={"site": "x"}).json() == {"all_features": []}


def test_a_clone_has_the_servers_and_passwords_of_its_model(
    service: Service, client: httpx.Client, id: str
) -> None:
    assert code(client.post(f"{V5}/jobs/clone", json={"job_id": id, "name": "copied-one"})) == (400, "DRS.M00304")
    following(service, client, id)
    answer = client.post(f"{V5}/jobs/clone", json={"job_id": id, "name": "copied-one", "task_version": "2.0"})
    assert (answer.status_code, answer.json()["is_clone_job"]) == (202, True)
    copy = answer.json()["id"]
    assert plan_of(service, copy) == plan_of(service, id)
    assert status_of(client, copy) == "CONFIGURATION"


def test_the_target_is_writable_as_soon_as_it_is_asked_for(client: httpx.Client, id: str) -> None:
    query = act(client, id, "set_writable")
    assert query.status_code == 202
    assert detail(client, id, "is_writable", query_id=query.json()["query_id"])["is_writable"] == "success"


def test_no_answer_holds_a_password(service: Service, client: httpx.Client, id: str) -> None:
    act(client, id, "network")
    checked(client, id)
    for type in ("overview", "detail", "precheck", "progress", "log", "compare", "file"):
        text = json.dumps(detail(client, id, type), ensure_ascii=False)
        assert SECRET not in text
        assert "password" not in text
    job = service.run(service.store.job(JobId(id)))
    assert SECRET not in json.dumps(job.extra, ensure_ascii=False)


def test_v3_sees_the_same_task(client: httpx.Client, id: str) -> None:
    info = {"shop": {"schemas": {"public": {"tables": {"orders": {"name": "bought"}}}}}}
    change(client, id, "db_object", db_object={"object_scope": "table", "object_info": info})
    v3 = f"/v3/{PROJECT}/jobs"
    (row,) = client.post(f"{v3}/batch-status", json={"jobs": [id]}).json()["results"]
    assert row == {"id": id, "status": "CONFIGURATION"}
    listed = client.post(v3, json={"db_use_type": "sync", "name": id}).json()
    assert (listed["total_record"], listed["jobs"][0]["id"]) == (1, id)
    (shown,) = client.post(f"{v3}/batch-detail", json={"jobs": [id]}).json()["results"]
    (table,) = shown["object_infos"]
    assert (table["id"], table["alias_name"]) == ("shop-*-*-public-*-*-orders", "bought")
    assert SECRET not in json.dumps(shown, ensure_ascii=False)
