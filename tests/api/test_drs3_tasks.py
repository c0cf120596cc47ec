"""DRS v3: tasks are created, shown and found as clients expect it."""

import re
from typing import Any

import httpx

from tests.api.service import PROJECT

BASE = f"/v3/{PROJECT}/jobs"
SECRET = "s3cret'\"pass"


def task(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "db_use_type": "sync",
        "engine_type": "postgresql",
        "job_direction": "up",
        "net_type": "eip",
        "node_type": "high",
        "task_type": "FULL_INCR_TRANS",
        "customize_sutnet_id": "352ad828-3467-4f03-987a-c55a5a9dd417",
        "bind_eip": True,
        "source_endpoint": {"db_type": "postgresql"},
        "target_endpoint": {"db_type": "postgresql", "region": "eu-de"},
        **more,
    }


def created(client: httpx.Client, name: str, **more: Any) -> str:
    """A new task's id."""
    answer = client.post(f"{BASE}/batch-creation", json={"jobs": [task(name, **more)]})
    assert answer.status_code == 202, answer.text
    (result,) = answer.json()["results"]
    assert "error_code" not in result, answer.text
    return str(result["id"])


def test_a_new_task_is_being_created_and_then_waits_to_be_configured(client: httpx.Client) -> None:
    answer = client.post(f"{BASE}/batch-creation", json={"jobs": [task("DRS-0001")]})
    assert answer.status_code == 202
    assert answer.json()["count"] == 1
    (result,) = answer.json()["results"]
    assert (result["name"], result["status"]) == ("DRS-0001", "CREATING")
    assert re.fullmatch(r"[0-9]{13}", result["create_time"])
    assert re.fullmatch(r"[0-9a-z]{8}(-[0-9a-z]{4}){3}-[0-9a-f]{7}jb2..", result["id"])
    status = client.post(f"{BASE}/batch-status", json={"jobs": [result["id"]]})
    assert status.json() == {"results": [{"id": result["id"], "status": "CONFIGURATION"}], "count": 1}
