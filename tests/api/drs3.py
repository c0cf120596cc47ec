"""What the tests of DRS v3 share: bodies as clients send them, and calls that are strict about their answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from sterna.core.errors import Unreachable
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Plan
from tests.api.drs5 import SECRET as SECRET
from tests.api.drs5 import FakePostgres
from tests.api.service import PROJECT, Service

V3 = f"/v3/{PROJECT}/jobs"
SUBNET = "352ad828-3467-4f03-987a-c55a5a9dd417"
UNKNOWN = "00000000-0000-0000-0000-0000000jb20p"


@dataclass(frozen=True)
class Postgres(FakePostgres):
    """The same as for v5, with a server that is not there."""

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        if endpoint.addresses[0][0] == "nowhere":
            raise Unreachable(f"PostgreSQL at {endpoint} cannot be reached: connection refused")
        return await super().probe(endpoint)


def endpoint(ip: str, **more: Any) -> dict[str, Any]:
    """One side, as it is sent once it is known."""
    return {
        "region": "eu-de",
        "ip": ip,
        "db_port": "5432",
        "db_user": "root",
        "db_password": SECRET,
        "ssl_link": False,
        "db_type": "postgresql",
        "project_id": PROJECT,
        **more,
    }


SOURCE, TARGET = (
    endpoint("192.168.0.27"),
    endpoint("192.168.0.131", inst_id="e05a3679efe241d8b5dee80b17c1a863in01"),
)


def task(name: str, **more: Any) -> dict[str, Any]:
    """One task of a creation, as the documents show it."""
    return {
        "name": name,
        "db_use_type": "sync",
        "engine_type": "postgresql",
        "job_direction": "up",
        "net_type": "eip",
        "node_type": "high",
        "task_type": "FULL_INCR_TRANS",
        "customize_sutnet_id": SUBNET,
        "bind_eip": True,
        "source_endpoint": {"db_type": "postgresql"},
        "target_endpoint": {"db_type": "postgresql", "region": "eu-de"},
        **more,
    }


def call(client: httpx.Client, method: str, path: str, body: Any, status: int = 200) -> Any:
    """The answer's JSON."""
    answer = client.request(method, f"{V3}/{path}".rstrip("/"), json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def one(client: httpx.Client, method: str, path: str, item: Mapping[str, Any], status: int = 200) -> Any:
    """What came of a batch of one."""
    answer = call(client, method, path, {"jobs": [item]}, status)
    assert answer.get("count", answer.get("all_counts")) == 1
    (result,) = answer.get("results") or answer["params_list"]
    return result


def refused(result: Mapping[str, Any]) -> str:
    """The code with which one task of a batch was refused."""
    assert result["status"] in ("failed", False, "CREATE_FAILED")
    assert result["error_msg"]
    return str(result["error_code"])


def created(client: httpx.Client, name: str, **more: Any) -> str:
    """A new task's id."""
    result = one(client, "POST", "batch-creation", task(name, **more), 202)
    assert "error_code" not in result, result
    return str(result["id"])


def configured(client: httpx.Client, name: str, **more: Any) -> str:
    """The id of a task whose endpoints are stored."""
    id = created(client, name, **more)
    body = {"job_id": id, "source_endpoint": SOURCE, "target_endpoint": TARGET, "store_db_info": True}
    assert one(client, "PUT", "batch-modification", body) == {"id": id, "status": "success"}
    return id


def started(client: httpx.Client, name: str, **more: Any) -> str:
    """The id of a task that is being started."""
    id = configured(client, name, **more)
    assert one(client, "POST", "batch-starting", {"job_id": id}, 202) == {"id": id, "status": "success"}
    return id


def status_of(client: httpx.Client, id: str) -> str:
    answer = call(client, "POST", "batch-status", {"jobs": [id]})
    (result,) = answer["results"]
    return str(result["status"])


def detail(client: httpx.Client, id: str) -> dict[str, Any]:
    answer = call(client, "POST", "batch-detail", {"jobs": [id], "page_req": {}})
    (result,) = answer["results"]
    shown: dict[str, Any] = result
    return shown


def plan_of(service: Service, id: str) -> Plan:
    plan = service.run(service.store.job(JobId(id))).plan
    assert plan
    return plan
