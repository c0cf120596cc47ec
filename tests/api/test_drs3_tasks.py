"""DRS v3: tasks are created, shown and found as clients expect it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sterna.core.job import Condition, Failure, JobId, Phase
from sterna.core.plan import Mode
from tests.api.drs3 import (
    SECRET,
    SUBNET,
    UNKNOWN,
    V3,
    Postgres,
    call,
    configured,
    created,
    detail,
    endpoint,
    one,
    plan_of,
    refused,
    started,
    status_of,
    task,
)
from tests.api.service import INSTANCE, INSTANCE_PASSWORD, PROJECT, SECOND_PROJECT, Service, serving


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


def test_a_new_task_is_being_created_and_then_waits_to_be_configured(client: httpx.Client) -> None:
    result = one(client, "POST", "batch-creation", task("DRS-0001"), 202)
    assert (result["name"], result["status"]) == ("DRS-0001", "CREATING")
    assert re.fullmatch(r"[0-9]{13}", result["create_time"])
    assert re.fullmatch(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-f]{7}jb2..", result["id"])
    status = call(client, "POST", "batch-status", {"jobs": [result["id"]]})
    assert status == {"results": [{"id": result["id"], "status": "CONFIGURATION"}], "count": 1}


def test_all_that_was_said_at_the_creation_is_given_back(client: httpx.Client) -> None:
    id = created(
        client,
        "told-back",
        db_use_type="migration",
        task_type="FULL_TRANS",
        job_direction="non-dbs",
        net_type="vpn",
        description="二 lines\nwith a tab\t",
        is_target_readonly=False,
        expired_days=20,
        tags=[{"key": "team", "value": "shop"}, {"key": "空", "value": ""}],
        sys_tags=[{"key": "_sys_enterprise_project_id", "value": "0"}],
        master_az="az1",
        slave_az="az2",
        source_endpoint=endpoint("10.0.0.1:5433", db_name="postgres", vpc_id="vpc-1", subnet_id="net-1"),
    )
    shown = detail(client, id)
    assert shown["name"] == "told-back"
    assert shown["status"] == "CONFIGURATION"
    assert shown["description"] == "二 lines\nwith a tab\t"
    assert (shown["db_use_type"], shown["task_type"]) == ("migration", "FULL_TRANS")
    assert (shown["job_direction"], shown["original_job_direction"]) == ("non-dbs", "non-dbs")
    assert shown["is_target_readonly"] is False
    assert shown["subnet_id"] == SUBNET
    assert (shown["master_az"], shown["slave_az"], shown["is_multi_az"]) == ("az1", "az2", True)
    assert shown["tags"] == [{"key": "team", "value": "shop"}, {"key": "空", "value": ""}]
    assert shown["source_endpoint"] == {
        "db_type": "postgresql",
        "region": "eu-de",
        "project_id": PROJECT,
        "vpc_id": "vpc-1",
        "subnet_id": "net-1",
        "ip": "10.0.0.1",
        "db_port": 5433,
        "db_user": "root",
        "db_name": "postgres",
        "ssl_link": False,
    }
    assert shown["inst_info"]["start_time"] == "0"
    assert shown["inst_info"]["inst_type"] == "high"
    assert "node_num" not in shown
    assert "net_type" not in shown
    assert shown["speed_limit"] == []


def test_a_registered_instance_brings_address_user_and_password(service: Service, client: httpx.Client) -> None:
    id = created(
        client,
        "by-instance",
        engine_type="redis",
        target_endpoint={"db_type": "redis", "inst_id": INSTANCE},
        source_endpoint={"db_type": "redis"},
    )
    target = plan_of(service, id).target
    assert (target.addresses, target.password) == ((("192.168.0.79", 6379),), INSTANCE_PASSWORD)
    shown = detail(client, id)["target_endpoint"]
    assert (shown["inst_id"], shown["inst_name"], shown["ip"]) == (INSTANCE, "dcs-test", "192.168.0.79")
    elsewhere = {"job_id": id, "target_endpoint": {"ip": "10.6.6.6", "db_type": "redis"}}
    assert one(client, "PUT", "batch-modification", elsewhere)["status"] == "success"
    assert plan_of(service, id).target.password == "", "a registered password is sent to no other server"


def test_an_instance_of_another_kind_cannot_be_a_side(client: httpx.Client) -> None:
    result = one(client, "POST", "batch-creation", task("wrong-kind", target_endpoint={"inst_id": INSTANCE}), 202)
    assert refused(result) == "DRS.M05006"


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"engine_type": "mysql"}, "DRS.M00302"),
        ({"engine_type": "mongodb"}, "DRS.M00302"),
        ({"engine_type": "cloudDataGuard-mysql", "db_use_type": "cloudDataGuard"}, "DRS.M00302"),
        ({"db_use_type": "cloudDataGuard"}, "DRS.M00302"),
        ({"multi_write": True}, "DRS.M00302"),
        ({"task_type": "INCR_TRANS"}, "DRS.M00305"),
        ({"target_endpoint": {"ip": "not a host"}}, "DRS.M00202"),
        ({"target_endpoint": {"ip": "host:70000"}}, "DRS.M00202"),
    ],
)
def test_what_cannot_be_moved_is_refused_in_its_place(
    client: httpx.Client, more: dict[str, Any], code: str
) -> None:
    body = {"jobs": [task("is-refused", **more), task(f"good-{abs(hash(str(more))) % 10**9}")]}
    answer = call(client, "POST", "batch-creation", body, 202)
    assert answer["count"] == 2
    assert refused(answer["results"][0]) == code
    assert answer["results"][1]["status"] == "CREATING"


def test_what_is_supported_is_said(client: httpx.Client) -> None:
    result = one(client, "POST", "batch-creation", task("no-mysql", engine_type="mysql"), 202)
    assert "postgresql" in result["error_msg"]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"name": None}, "DRS.M00201"),
        ({"name": ""}, "DRS.M00201"),
        ({"name": "abc"}, "DRS.M00202"),
        ({"name": "1abcd"}, "DRS.M00202"),
        ({"name": "a" * 51}, "DRS.M00202"),
        ({"name": "with space"}, "DRS.M00202"),
        ({"customize_sutnet_id": ""}, "DRS.M00201"),
        ({"net_type": "wifi"}, "DRS.M00202"),
        ({"job_direction": "sideways"}, "DRS.M00202"),
        ({"node_type": None}, "DRS.M00201"),
        ({"description": "a < b"}, "DRS.M00273"),
        ({"description": "a" * 257}, "DRS.M00202"),
        ({"expired_days": "13"}, "DRS.M00202"),
        ({"tags": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, "DRS.M00269"),
        ({"tags": [{"key": "a" * 37, "value": "1"}]}, "DRS.M00270"),
        ({"tags": [{"key": f"k{it}", "value": "1"} for it in range(21)]}, "DRS.M00271"),
        ({"source_endpoint": None}, "DRS.M00201"),
        ({"source_endpoint": {"db_port": 65536}}, "DRS.M00202"),
    ],
)
def test_a_creation_that_makes_no_sense_is_refused_as_a_whole(
    client: httpx.Client, more: dict[str, Any], code: str
) -> None:
    body = {"jobs": [task("good-name"), {**task("other-name"), **more}]}
    answer = call(client, "POST", "batch-creation", body, 400)
    assert answer["error_code"] == code
    assert answer["error_msg"]


def test_names_are_taken_once_in_a_project_in_whatever_case(service: Service, client: httpx.Client) -> None:
    created(client, "Taken-Name")
    assert refused(one(client, "POST", "batch-creation", task("tAKEN-nAME"), 202)) == "DRS.M00277"
    with service.client(service.token(SECOND_PROJECT)) as other:
        answer = other.post(f"/v3/{SECOND_PROJECT}/jobs/batch-creation", json={"jobs": [task("Taken-Name")]})
        assert answer.json()["results"][0]["status"] == "CREATING"


def test_a_task_that_does_not_exist_is_told_where_clients_look(client: httpx.Client) -> None:
    for id in (UNKNOWN, "no-id-at-all"):
        answer = call(client, "POST", "batch-detail", {"jobs": [id]}, 400)
        assert answer["count"] == 1
        assert answer["results"][0]["error_code"] == "DRS.M00289"
        assert answer["error_code"] == "DRS.M00289"
    (result,) = call(client, "POST", "batch-status", {"jobs": [UNKNOWN]})["results"]
    assert result["error_code"] == "DRS.M00289"
    assert result["error_message"]
    assert "status" not in result


def test_a_deleted_task_is_gone_and_its_status_says_so(client: httpx.Client) -> None:
    id = created(client, "soon-deleted")
    end = {"job_id": id, "delete_type": "force_terminate"}
    assert one(client, "DELETE", "batch-jobs", end, 202)["status"] == "success"
    assert status_of(client, id) == "RELEASE_RESOURCE_COMPLETE"
    one(client, "DELETE", "batch-jobs", {"job_id": id, "delete_type": "delete"}, 202)
    answer = call(client, "POST", "batch-detail", {"jobs": [id]}, 400)
    assert answer["results"][0]["error_code"] == "DRS.M05004"
    assert status_of(client, id) == "DELETED"
    assert id not in [it["id"] for it in call(client, "POST", "", {"db_use_type": "sync", "cur_page": 0})["jobs"]]
    created(client, "soon-deleted")


def test_tasks_of_other_projects_do_not_exist(service: Service, client: httpx.Client) -> None:
    id = created(client, "only-mine")
    with service.client(service.token(SECOND_PROJECT)) as other:
        base = f"/v3/{SECOND_PROJECT}/jobs"
        answer = other.post(f"{base}/batch-detail", json={"jobs": [id]})
        assert (answer.status_code, answer.json()["error_code"]) == (400, "DRS.M00289")
        found = other.post(base, json={"db_use_type": "sync", "name": id}).json()
        assert found == {"jobs": [], "total_record": 0}
        body = {"jobs": [{"job_id": id, "delete_type": "force_terminate"}]}
        (result,) = other.request("DELETE", f"{base}/batch-jobs", json=body).json()["results"]
        assert refused(result) == "DRS.M00289"
    assert status_of(client, id) == "CONFIGURATION"


def test_ids_are_given_once_and_at_least_one(client: httpx.Client) -> None:
    id = created(client, "given-twice")
    assert call(client, "POST", "batch-status", {"jobs": [id, id]}, 400)["error_code"] == "DRS.M00301"
    assert call(client, "POST", "batch-status", {"jobs": []}, 400)["error_code"] == "DRS.M00201"
    assert call(client, "POST", "batch-status", {}, 400)["error_code"] == "DRS.M00201"


def test_a_page_of_the_ids_can_be_asked_for(client: httpx.Client) -> None:
    ids = [created(client, f"paged-{number}") for number in range(7)]

    def shown(**page: Any) -> list[str]:
        answer = call(client, "POST", "batch-detail", {"jobs": ids, "page_req": page})
        assert answer["count"] == len(answer["results"])
        return [it["id"] for it in answer["results"]]

    assert shown() == ids
    assert shown(cur_page=1) == ids[:5]
    assert shown(cur_page=2) == ids[5:]
    assert shown(cur_page=2, per_page=3) == ids[3:6]
    assert shown(per_page=0) == ids
    beyond = {"jobs": ids, "page_req": {"cur_page": 3}}
    assert call(client, "POST", "batch-detail", beyond, 400)["error_code"] == "DRS.M00211"
    sample = {"jobs": ids, "pageReq": {"cur_page": 1, "per_page": 2}}
    assert call(client, "POST", "batch-status", sample)["count"] == 2


def test_a_failure_is_told_with_what_mends_it(service: Service, client: httpx.Client) -> None:
    id = started(client, "has-failed")
    failure = Failure("STERNA.2001", "The server refused the password", "Correct it.")
    service.play(id, (Phase.PREPARE, Condition.FAILED), failure=failure)
    shown = detail(client, id)
    assert shown["status"] == "START_JOB_FAILED"
    assert shown["error_code"] == "STERNA.2001"
    assert shown["error_message"] == "The server refused the password. Correct it."
    (row,) = call(client, "POST", "", {"db_use_type": "sync", "name": id})["jobs"]
    assert row["error_msg"] == shown["error_message"]


def test_it_is_told_when_a_task_began_and_when_its_copy_was_complete(
    service: Service, client: httpx.Client
) -> None:
    id = started(client, "has-moments")
    assert "actual_start_time" not in detail(client, id)
    service.play(id, (Phase.COPY, Condition.RUNNING))
    assert re.fullmatch("[0-9]{13}", detail(client, id)["actual_start_time"])
    assert "full_transfer_complete_time" not in detail(client, id)
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    shown = detail(client, id)
    assert shown["full_transfer_complete_time"] >= shown["actual_start_time"]
    assert plan_of(service, id).mode is Mode.INCREMENTAL


def test_no_password_comes_back_in_any_answer(service: Service, client: httpx.Client) -> None:
    id = started(client, "has-secrets")
    bodies = {
        "batch-detail": {"jobs": [id]},
        "batch-status": {"jobs": [id]},
        "batch-progress": {"jobs": [id]},
        "": {"db_use_type": "sync", "cur_page": 0},
    }
    for path, body in bodies.items():
        answer = client.post(f"{V3}/{path}".rstrip("/"), json=body)
        assert answer.status_code == 200
        assert SECRET not in repr(answer.json())
        assert '"db_password"' not in answer.text
    job = service.run(service.store.job(JobId(id)))
    assert SECRET not in repr(job.extra)
    assert job.plan
    assert job.plan.source.password == SECRET


def test_answers_speak_the_language_that_is_asked_for(client: httpx.Client) -> None:
    headers = {"X-Language": "ZH-CN"}
    answer = client.post(f"{V3}/batch-detail", json={"jobs": [UNKNOWN]}, headers=headers)
    assert answer.json()["error_msg"] == "任务不存在。"
    assert answer.json()["error_code"] == "DRS.M00289"
    body = {"jobs": [task("zh-mysql", engine_type="mysql")]}
    (result,) = client.post(f"{V3}/batch-creation", json=body, headers=headers).json()["results"]
    assert "传输方案无效" in result["error_msg"]


def test_configured_tasks_can_be_found_by_everything(client: httpx.Client) -> None:
    tags = [{"key": "team", "value": "search"}]
    id = configured(
        client,
        "found-Needle",
        tags=tags,
        net_type="vpc",
        sys_tags=[{"key": "_sys_enterprise_project_id", "value": "ep-1"}],
    )
    other = created(client, "hay-stack")

    def found(**filters: Any) -> list[str]:
        answer = call(client, "POST", "", {"db_use_type": "sync", "cur_page": 0, "per_page": 0, **filters})
        assert answer["total_record"] == len(answer["jobs"])
        return [it["id"] for it in answer["jobs"]]

    everything = found()
    assert {id, other} < set(everything)
    empty = {"engine_type": "", "enterprise_project_id": "", "name": "", "net_type": "", "status": ""}
    assert found(**empty) == found(**dict.fromkeys(empty)) == everything
    assert found(db_use_type="migration", name="found-Needle") == []
    assert found(name="NEEDLE") == [id]
    assert found(name=id) == [id]
    assert found(name=f"{id},{other}") == [other, id]
    assert id in found(engine_type="postgresql")
    assert found(engine_type="mysql") == []
    assert id in found(net_type="vpc")
    assert other not in found(net_type="vpc")
    assert found(enterprise_project_id="ep-1") == [id]
    assert id in found(service_name="eps")
    assert found(status="CONFIGURATION", name="Needle") == [id]
    assert found(status="PAUSING", name="Needle") == []
    assert found(status="PAUSEING") == []
    assert found(status="WHATEVER") == []
    assert found(tags=tags) == found(tags={"team": "search"}) == [id]
    assert found(tags={"team": "other"}) == []
    assert id in found(instance_ids=["e05a3679efe241d8b5dee80b17c1a863in01"])
    assert found(instance_ids=["f" * 32]) == []
    assert id in found(instance_ip="192.168.0.27")
    assert found(instance_ip="1.2.3.4") == []


def test_the_list_is_cut_into_pages(client: httpx.Client) -> None:
    ids = [created(client, f"pages-of-{number}") for number in range(12)][::-1]

    def shown(**page: Any) -> tuple[list[str], int]:
        answer = call(client, "POST", "", {"db_use_type": "sync", "name": "pages-of", **page})
        return [it["id"] for it in answer["jobs"]], answer["total_record"]

    assert shown() == (ids[:10], 12)
    assert shown(cur_page=2) == (ids[10:], 12)
    assert shown(cur_page=3, per_page=5) == (ids[10:], 12)
    assert shown(cur_page=9) == ([], 12)
    assert shown(cur_page=0, per_page=5) == (ids, 12)
    assert shown(per_page=0) == (ids, 12)
    for wrong in ({"cur_page": 2, "per_page": 0}, {"per_page": 101}, {"cur_page": -1}, {"db_use_type": "x"}):
        body = {"db_use_type": "sync", **wrong}
        assert call(client, "POST", "", body, 400)["error_code"] in ("DRS.M00210", "DRS.M00202")
    assert call(client, "POST", "", {}, 400)["error_code"] == "DRS.M00201"
