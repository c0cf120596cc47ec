"""The Terraform provider for Huawei Cloud, replayed: its calls in its order, as strict about answers as it is.

The calls, what is read of each answer and which statuses count as final are those of the provider of 2026-08: its
resources dcs_online_data_migration_task, dcs_migration_task_stop and
dcs_online_data_migration_task_restart, data sources dcs_migration_tasks and dcs_migration_task_logs. Requests are
signed as its library signs them: neither the host nor the project is.
"""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from sterna.core.job import Condition, Phase
from tests.api.service import AK, INSTANCE, PROJECT, REGION, SK, Service
from tests.effort import PATIENCE

SIGNED = "accept;content-type;user-agent;x-sdk-date"
Query = Sequence[tuple[str, str]]
FINAL = {"SUCCESS", "FAILED", "TERMINATED", "INCRMIGEATING", "MIGRATION_FAILED", "RELEASED", "DELETED"}
ACCEPTED = {"GET": (200,), "POST": (200, 201, 202), "PUT": (200, 201, 202), "DELETE": (200, 202, 204)}


@dataclass(frozen=True)
class Provider:
    """Signs and sends."""

    url: str

    def send(self, method: str, path: str, body: Any = None, query: Query = ()) -> httpx.Response:
        content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode() + b"\n"
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query))
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "golangsdk/2.0.0",
            "X-Sdk-Date": f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}",
        }
        headers["Authorization"] = _authorization(method, path, text, headers, content)
        headers |= {"X-Project-Id": PROJECT, "X-Language": "en-us"}
        target = f"{self.url}{path}" + (f"?{text}" if text else "")
        return httpx.request(method, target, content=content, headers=headers, timeout=PATIENCE)

    def call(self, method: str, path: str, body: Any = None, query: Query = ()) -> Any:
        """The answer's JSON. Any status that the provider does not know is an error."""
        answer = self.send(method, f"/v2/{PROJECT}{path}", body, query)
        assert answer.status_code in ACCEPTED[method], answer.text
        return answer.json() if answer.content else None

    def all_tasks(self) -> list[dict[str, Any]]:
        """Page until an empty array comes, first without a limit."""
        found: list[dict[str, Any]] = []
        while True:
            page = self.call("GET", "/migration-tasks", query=[("offset", str(len(found)))] if found else [])
            arrays = [value for value in page.values() if isinstance(value, list)]
            assert len(arrays) == 1
            if not arrays[0]:
                return found
            found += arrays[0]

    def read(self, id: str) -> dict[str, Any] | None:
        """The task, or None where the provider takes it for gone."""
        answer = self.send("GET", f"/v2/{PROJECT}/migration-task/{id}")
        if answer.status_code == 400 and answer.json()["error_code"] == "DCS.4133":
            return None
        task: dict[str, Any] = answer.json()
        if task["status"] == "SUCCESS" and id not in [it["task_id"] for it in self.all_tasks()]:
            return None
        return task


def _authorization(method: str, path: str, query: str, headers: dict[str, str], content: bytes) -> str:
    values = {name.lower(): value for name, value in headers.items()}
    lines = "".join(f"{name}:{values[name]}\n" for name in SIGNED.split(";"))
    payload = hashlib.sha256(content).hexdigest()
    canonical = "\n".join([method, path + "/", query, lines, SIGNED, payload])
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"SDK-HMAC-SHA256\n{values['x-sdk-date']}\n{digest}"
    signature = hmac.new(SK.encode(), to_sign.encode(), hashlib.sha256).hexdigest()
    return f"SDK-HMAC-SHA256 Access={AK}, SignedHeaders={SIGNED}, Signature={signature}"


@pytest.fixture(scope="module")
def provider(service: Service) -> Provider:
    return Provider(service.url)


def configuration(method: str, source: str) -> dict[str, Any]:
    return {
        "migration_method": method,
        "resume_mode": "auto",
        "bandwidth_limit_mb": "123",
        "source_instance": {"addrs": source, "password": "pass"},
        "target_instance": {"id": INSTANCE, "password": "pass"},
    }


def create(provider: Provider, name: str) -> str:
    """Create, and wait for the job as the provider does."""
    body = {"name": name, "vpc_id": "vpc", "subnet_id": "subnet", "security_group_id": "group", "description": "d"}
    answer = provider.call("POST", "/migration/instance", body)
    job = provider.call("GET", f"/jobs/{answer['job_id']}")
    assert job["status"] == "SUCCESS"
    return str(answer["instance_id"])


def test_the_project_and_the_domain_are_looked_up_first(provider: Provider) -> None:
    (project,) = provider.send("GET", "/v3/projects", query=[("name", REGION)]).json()["projects"]
    assert project["id"] == PROJECT
    (domain,) = provider.send("GET", "/v3/auth/domains").json()["domains"]
    assert domain["name"] == "acme"


def test_a_task_is_created_stopped_restarted_and_destroyed(service: Service, provider: Provider) -> None:
    id = create(provider, "tf-incremental")
    provider.call("POST", f"/migration/{id}/task", configuration("incremental_migration", "192.168.0.200:6379"))
    task = provider.read(id)
    assert task
    assert task["status"] not in FINAL
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    task = provider.read(id)
    assert task
    assert task["status"] == "INCRMIGEATING"
    assert task["task_name"] == "tf-incremental"
    assert task["source_instance"]["addrs"] == "192.168.0.200:6379"
    assert task["target_instance"]["id"] == INSTANCE
    for field in ("tenant_vpc_id", "tenant_subnet_id", "tenant_security_group_id", "description", "resume_mode"):
        assert isinstance(task[field], str), field
    assert task["bandwidth_limit_mb"] == "123"

    rows = [it for it in provider.all_tasks() if it["task_name"] == "tf-incremental"]
    assert [it["task_id"] for it in rows] == [id]
    for field in ("ecs_tenant_private_ip", "version", "supported_features", "data_source", "created_at"):
        assert rows[0][field] is not None, field
    logs = provider.call("GET", f"/migration-task/{id}/logs", query=[("log_level", "INFO")])
    assert logs["migration_logs"][0]["log_code"]
    assert logs["migration_logs"][0]["message"]

    provider.call("POST", f"/migration-task/{id}/stop")
    task = provider.read(id)
    assert task
    assert task["status"] not in FINAL
    service.play(id, (Phase.CLOSE, Condition.DONE))
    task = provider.read(id)
    assert task
    assert task["status"] == "TERMINATED"

    outcome = provider.call("POST", "/migration-tasks/batch-restart", {"migration_tasks": [id]})
    assert outcome["migration_tasks"][0]["result"] == "success"
    task = provider.read(id)
    assert task
    assert task["status"] not in FINAL
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    provider.call("POST", f"/migration-task/{id}/stop")
    service.play(id, (Phase.CLOSE, Condition.DONE))
    destroy(provider, id)


def test_a_full_task_is_run_again_with_another_source_and_method(service: Service, provider: Provider) -> None:
    id = create(provider, "tf-full")
    provider.call("POST", f"/migration/{id}/task", configuration("full_amount_migration", "192.168.0.200:6379"))
    service.play(id, (Phase.CLOSE, Condition.DONE))
    task = provider.read(id)
    assert task
    assert task["status"] == "SUCCESS"
    assert task["updated_at"]

    provider.call("POST", f"/migration/{id}/task", configuration("incremental_migration", "192.168.0.201:6379"))
    task = provider.read(id)
    assert task
    assert task["status"] not in FINAL
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    task = provider.read(id)
    assert task
    assert (task["status"], task["migration_method"]) == ("INCRMIGEATING", "incremental_migration")
    assert task["source_instance"]["addrs"] == "192.168.0.201:6379"
    provider.call("POST", f"/migration-task/{id}/stop")
    service.play(id, (Phase.CLOSE, Condition.DONE))
    destroy(provider, id)


def destroy(provider: Provider, id: str) -> None:
    answer = provider.call("DELETE", "/migration-tasks/delete", {"task_id_list": [id]})
    assert answer["task_id_list"][0] == id
    assert provider.read(id) is None
    assert id not in [it["task_id"] for it in provider.all_tasks()]
