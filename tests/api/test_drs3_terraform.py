"""The Terraform providers and the Go client, replayed: their calls in their order, as strict as they are.

The calls, what is read of each answer, and which statuses count are those of opentelekomcloud_drs_task_v3 and the
life cycle test of its client (2024-10), and of huaweicloud_drs_job (2026-08), as far as it uses v3.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from sterna.core.job import Condition, Phase
from tests.api.drs3 import SUBNET, V3, Postgres
from tests.api.drs5 import SECRET, until
from tests.api.service import PROJECT, Service, serving

STRICT = {
    "batch-creation": (201, 202),
    "batch-status": (200,),
    "batch-connection": (200,),
    "batch-modification": (200,),
    "batch-limit-speed": (200,),
    "batch-precheck": (200,),
    "batch-precheck-result": (200,),
    "batch-starting": (202,),
    "batch-detail": (200,),
    "batch-jobs": (202, 204),
    "batch-progress": (200, 201, 202),
    "cluster/batch-connection": (200, 201, 202),
    "batch-sync-policy": (200, 201, 202),
    "": (200,),
}
"""Which statuses the stricter of the clients takes for each call."""

TAGS = [{"key": "muh", "value": "kuh"}]


@dataclass(frozen=True)
class Provider:
    """Sends, and reads what comes back as strictly as Go does."""

    client: httpx.Client

    def send(self, method: str, path: str, body: Any) -> Any:
        headers = {"X-Language": "en-us", "Accept": "application/json"}
        answer = self.client.request(method, f"{V3}/{path}".rstrip("/"), json=body, headers=headers)
        assert answer.status_code in STRICT[path], answer.text
        assert answer.headers["Content-Type"] == "application/json"
        return answer.json()

    def one(self, method: str, path: str, item: Any, key: str = "jobs") -> Any:
        answer = self.send(method, path, {key: [item]})
        assert answer["count"] == len(answer["results"]) == 1
        assert answer["results"][0].get("error_code", "") == ""
        return answer["results"][0]

    def wait(self, id: str, pending: set[str], target: set[str]) -> str:
        """Poll as the providers do: a status that is neither pending nor wanted is an error."""

        def look() -> str | None:
            status = str(self.one("POST", "batch-status", id)["status"])
            assert status in pending | target, status
            return status if status in target else None

        return str(until(look))

    def is_gone(self, id: str) -> bool:
        """What both providers take for gone."""
        answer = self.client.post(f"{V3}/batch-detail", json={"jobs": [id], "page_req": {}})
        codes = ("DRS.M00289", "DRS.M05004")
        return answer.status_code == 400 and answer.json()["results"][0]["error_code"] in codes

    def precheck(self, id: str, mode: str = "forStartJob") -> None:
        self.one("POST", "batch-precheck", {"job_id": id, "precheck_mode": mode})

        def complete() -> bool:
            result = self.one("POST", "batch-precheck-result", id)
            if result["process"] != "100%":
                return False
            assert result["total_passed_rate"] == "100%"
            return True

        until(complete)

    def detail(self, id: str) -> dict[str, Any]:
        detail: dict[str, Any] = self.one("POST", "batch-detail", id)
        _check_types(detail)
        return detail


def _check_types(detail: dict[str, Any]) -> None:
    """Go decodes these into fields of a type; anything else fails."""
    texts = ("id", "name", "status", "description", "create_time", "task_type", "job_direction", "db_use_type")
    for name in (*texts, "update_time", "subnet_id"):
        assert isinstance(detail[name], str), name
    for name in ("is_target_readonly", "multi_write", "replace_definer", "object_switch", "sync_database"):
        assert isinstance(detail[name], bool), name
    for name in ("ip", "public_ip", "start_time", "inst_type", "engine_type", "status"):
        assert isinstance(detail["inst_info"][name], str), name
    for name in ("source_endpoint", "target_endpoint"):
        endpoint = detail[name]
        assert isinstance(endpoint.get("db_port", 0), int), name
        assert isinstance(endpoint["ssl_link"], bool), name
        assert "db_password" not in endpoint
    assert "node_num" not in detail, "one client reads it as text, another as a number"
    assert "period_order" not in detail, "it would make the task a prepaid one"
    assert all(set(tag) == {"key", "value"} for tag in detail["tags"])
    assert all(isinstance(value, str) for window in detail["speed_limit"] for value in window.values())


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


@pytest.fixture(scope="module")
def provider(client: httpx.Client) -> Provider:
    return Provider(client)


def side(ip: str, **more: Any) -> dict[str, Any]:
    return {
        "db_type": "postgresql",
        "ip": ip,
        "db_user": "root",
        "db_password": SECRET,
        "db_port": 5432,
        "region": "eu-test-1",
        "project_id": PROJECT,
        "ssl_link": False,
        **more,
    }


def job(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "db_use_type": "migration",
        "engine_type": "postgresql",
        "job_direction": "up",
        "net_type": "eip",
        "bind_eip": True,
        "is_target_readonly": True,
        "task_type": "FULL_INCR_TRANS",
        "description": "description",
        "multi_write": False,
        "expired_days": "14",
        "node_type": "high",
        "source_endpoint": side("192.168.0.27"),
        "target_endpoint": side("192.168.0.131", inst_id="3def1ac7f8ab4ae48d7c025339f80414in01", subnet_id=SUBNET),
        "customize_sutnet_id": SUBNET,
        "tags": TAGS,
        **more,
    }


def connection(id: str, side: str, endpoint: dict[str, Any]) -> dict[str, Any]:
    return {"id": id, "net_type": "eip", "end_point_type": side, **endpoint}


def configured(provider: Provider, wanted: dict[str, Any]) -> str:
    """Everything up to the check, as both providers do it."""
    id = str(provider.one("POST", "batch-creation", wanted)["id"])
    provider.wait(id, {"CREATING"}, {"CONFIGURATION"})
    source, target = wanted["source_endpoint"], wanted["target_endpoint"]
    tests = [connection(id, "so", source), connection(id, "ta", target)]
    answer = provider.send("POST", "batch-connection", {"jobs": tests})
    assert answer["count"] == 2
    assert [it["success"] for it in answer["results"]] == [True, True]
    names = ("name", "net_type", "engine_type", "node_type", "db_use_type", "description", "task_type")
    change = {name: wanted[name] for name in (*names, "job_direction", "is_target_readonly")}
    change |= {"source_endpoint": source, "target_endpoint": target, "replace_definer": True}
    provider.one(
        "PUT", "batch-modification", {"job_id": id, "store_db_info": True, "is_recreate": False, **change}
    )
    return id


def test_the_provider_of_open_telekom_cloud_creates_reads_updates_and_destroys(
    service: Service, provider: Provider
) -> None:
    id = configured(provider, job("otc-task"))
    limit = {"job_id": id, "speed_limit": [{"speed": "15", "begin": "16:00", "end": "15:59"}]}
    provider.one("PUT", "batch-limit-speed", limit, "speed_limits")
    provider.precheck(id)
    provider.one("POST", "batch-starting", {"job_id": id, "start_time": ""})
    assert provider.one("POST", "batch-status", id)["status"] == "STARTJOBING"
    service.play(id, (Phase.COPY, Condition.RUNNING))
    moving = {"FULL_TRANSFER_STARTED", "FULL_TRANSFER_COMPLETE", "INCRE_TRANSFER_STARTED"}
    assert provider.wait(id, {"STARTJOBING", "WAITING_FOR_START"}, moving) == "FULL_TRANSFER_STARTED"

    detail = provider.detail(id)
    assert (detail["name"], detail["description"], detail["db_use_type"]) == (
        "otc-task",
        "description",
        "migration",
    )
    assert (detail["job_direction"], detail["task_type"]) == ("up", "FULL_INCR_TRANS")
    assert detail["inst_info"]["engine_type"] == "postgresql"
    assert detail["source_endpoint"]["ip"] == "192.168.0.27"
    assert detail["target_endpoint"]["inst_id"] == "3def1ac7f8ab4ae48d7c025339f80414in01"
    query = {"cur_page": 1, "per_page": 1, "name": id, "db_use_type": detail["db_use_type"]}
    assert provider.send("POST", "", query)["jobs"][0]["net_type"] == "eip"

    provider.one("PUT", "batch-modification", {"job_id": id, "name": "otc-task-2", "description": "other"})
    assert provider.detail(id)["name"] == "otc-task-2"

    provider.one("DELETE", "batch-jobs", {"job_id": id, "delete_type": "force_terminate"})
    assert provider.one("POST", "batch-status", id)["status"] == "RELEASE_RESOURCE_STARTED"
    service.play(id, (Phase.CLOSE, Condition.DONE))
    provider.wait(id, {"RELEASE_RESOURCE_STARTED"}, {"RELEASE_RESOURCE_COMPLETE"})
    assert not provider.is_gone(id)
    provider.one("DELETE", "batch-jobs", {"job_id": id, "delete_type": "delete"})
    assert provider.is_gone(id)


def test_the_provider_of_huawei_cloud_creates_and_reads(service: Service, provider: Provider) -> None:
    system = [{"key": "_sys_enterprise_project_id", "value": "0"}]
    wanted = job("hwc-job", db_use_type="sync", sys_tags=system, master_az="", slave_az="", public_ip_list=[])
    id = configured(provider, wanted)
    limit = {"job_id": id, "speed_limit": [{"speed": "15", "begin": "16:00", "end": "15:59"}]}
    provider.one("PUT", "batch-limit-speed", limit, "speed_limits")
    policy = {
        "job_id": id,
        "conflict_policy": "overwrite",
        "filter_ddl_policy": "drop_database",
        "index_trans": True,
    }
    provider.one("POST", "batch-sync-policy", policy)
    provider.precheck(id)
    provider.one("POST", "batch-starting", {"job_id": id, "start_time": str(service.desk.clock() + 3_600_000)})
    provider.wait(id, {"CONFIGURATION"}, {"WAITING_FOR_START"})

    detail = provider.detail(id)
    assert detail["tags"] == TAGS
    assert detail["speed_limit"] == [{"begin": "16:00", "end": "15:59", "speed": "15"}]
    assert detail["original_job_direction"] == "up"
    assert detail["is_open_fast_clean"] is False
    assert detail["object_switch"] is False
    assert int(detail["create_time"]) <= int(detail["update_time"])
    query = {"cur_page": 1, "per_page": 1, "name": id, "db_use_type": "sync"}
    (row,) = provider.send("POST", "", query)["jobs"]
    assert "children" not in row
    assert provider.one("POST", "batch-progress", id)["progress"] == "0"

    provider.one("DELETE", "batch-jobs", {"job_id": id, "delete_type": "force_terminate"})
    service.play(id, (Phase.CLOSE, Condition.DONE))
    provider.wait(id, {"RELEASE_RESOURCE_STARTED"}, {"RELEASE_RESOURCE_COMPLETE"})
    provider.one("DELETE", "batch-jobs", {"job_id": id, "delete_type": "delete"})
    assert provider.is_gone(id)


def test_the_objects_that_the_provider_of_huawei_cloud_reads_are_grouped_by_database(
    provider: Provider, client: httpx.Client
) -> None:
    id = configured(provider, job("hwc-objects", db_use_type="sync"))
    rows = [
        {"id": "shop", "object_name": "shop", "object_type": "database", "select": "partial"},
        {
            "id": "shop-*-*-orders",
            "parent_id": "shop",
            "object_name": "orders",
            "object_type": "table",
            "select": "true",
        },
    ]
    answer = client.put(
        f"{V3}/batch-select-objects", json={"jobs": [{"job_id": id, "selected": True, "job": rows}]}
    )
    assert answer.status_code == 202
    detail = provider.detail(id)
    assert detail["object_switch"]
    tables = [it for it in detail["object_infos"] if it["type"] == "table"]
    assert [(it["parent_id"], it["name"]) for it in tables] == [("shop", "orders")]


def test_the_life_cycle_test_of_the_go_client_passes(service: Service, provider: Provider) -> None:
    """It checks before it has tried a connection, tries one in vain, and starts all the same."""
    wanted = job("go-life-cycle", db_use_type="sync", task_type="FULL_TRANS")
    id = str(provider.one("POST", "batch-creation", wanted)["id"])
    until(lambda: provider.detail(id)["status"] == "CONFIGURATION")
    check = {"job_id": id, "precheck_mode": "forStartJob"}
    assert provider.one("POST", "batch-precheck", check)["status"] == "success"
    tried = connection(id, "so", side("nowhere", db_port=8635))
    answer = provider.send("POST", "batch-connection", {"jobs": [tried]})
    assert answer["results"][0]["status"] == "failed"
    change = {"job_id": id, "name": "updated-task", "description": "new_description"}
    assert provider.one("PUT", "batch-modification", change)["status"] == "success"
    limit = {"job_id": id, "speed_limit": [{"speed": "15", "begin": "16:00", "end": "15:59"}]}
    assert provider.one("PUT", "batch-limit-speed", limit, "speed_limits")["status"] == "success"
    assert provider.one("POST", "batch-starting", {"job_id": id})["status"] == "success"
    provider.one("DELETE", "batch-jobs", {"job_id": id, "delete_type": "force_terminate"})
    service.play(id, (Phase.CLOSE, Condition.DONE))
    until(lambda: provider.detail(id)["status"] == "RELEASE_RESOURCE_COMPLETE")
    provider.one("DELETE", "batch-jobs", {"job_id": id, "delete_type": "delete"})


def test_connections_of_a_pair_of_zones_are_tried_as_text(provider: Provider) -> None:
    wanted = job("hwc-two-zones", master_az="az1", slave_az="az2")
    id = str(provider.one("POST", "batch-creation", wanted)["id"])
    texts = []
    for end in ("so", "ta"):
        server = {
            "ip": "192.168.0.27:5432",
            "dbtype": "postgresql",
            "dbuser": "root",
            "dbpassword": SECRET,
            "nettype": "eip",
            "endpointtype": end,
            "ssllink": False,
            "projectId": PROJECT,
        }
        texts.append({"action": "testConnection", "job_id": id, "property": json.dumps([server])})
    answer = provider.send("POST", "cluster/batch-connection", {"jobs": texts})
    assert answer["count"] == 2
    assert [it["success"] for it in answer["results"]] == [True, True]
    detail = provider.detail(id)
    assert (detail["master_az"], detail["slave_az"]) == ("az1", "az2")
