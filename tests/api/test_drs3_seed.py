"""The documented page about the task list, key by key: what it sends is taken, and what it shows comes back so."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sterna.core.job import Condition, Failure, JobId, Phase
from tests.api.drs3 import Postgres, call, configured, one
from tests.api.service import Service, serving

REQUEST = {
    "cur_page": 1,
    "db_use_type": "migration",
    "engine_type": "",
    "name": "",
    "net_type": "",
    "per_page": 5,
    "status": "",
}
"""The sample request."""

TEXT = (
    "[using] api test 2\n1. This API is used to configure the source and destination database "
    "information. Before selecting a table, you must perform this operation. \n2. If the "
    "description of a task in the configuration is successfully modified, 202 success is "
    "returned. \n3. If the description of a task in an incremental migration fails to be "
    "modified, 202 failed DRS.M01504\nAnother operation is being performed on the migration task "
    "or the migration task is abnormal. Try again later./"
)
"""A description of the sample, longer than a client may send one."""

SAMPLES: list[dict[str, Any]] = [
    {
        "name": "DRS-3999-lws",
        "status": "INCRE_TRANSFER_FAILED",
        "job_direction": "up",
        "error_msg": "Unable to connect.",
    },
    {"name": "DRS-0042-linxiaolu", "status": "CONFIGURATION", "job_direction": "up"},
    {"name": "DRS-0796", "status": "RELEASE_RESOURCE_COMPLETE", "job_direction": "non-dbs"},
    {
        "name": "masj-mysql_migration_down-1",
        "status": "INCRE_TRANSFER_STARTED",
        "job_direction": "down",
        "description": TEXT,
    },
    {
        "name": "masj-2-mysql_migration_down",
        "status": "CONFIGURATION",
        "job_direction": "down",
        "description": TEXT,
    },
]
"""The rows of the sample, as far as they are not alike."""

KEYS = {
    "id": str,
    "name": str,
    "status": str,
    "description": str,
    "create_time": str,
    "engine_type": str,
    "net_type": str,
    "billing_tag": bool,
    "job_direction": str,
    "db_use_type": str,
    "task_type": str,
    "node_newFramework": bool,
}
"""What every row of the sample has."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


@pytest.fixture(scope="module")
def rows(service: Service, client: httpx.Client) -> list[dict[str, Any]]:
    """The first page of seven tasks, of which the five newest are as in the sample."""
    for name in ("older-1", "older-2"):
        configured(client, name, db_use_type="migration")
    for sample in reversed(SAMPLES):
        make(service, client, sample)
    answer = call(client, "POST", "", REQUEST)
    assert set(answer) == {"jobs", "total_record"}
    assert answer["total_record"] == 7
    found: list[dict[str, Any]] = answer["jobs"]
    return found


def make(service: Service, client: httpx.Client, sample: dict[str, Any]) -> None:
    id = configured(client, sample["name"], db_use_type="migration", job_direction=sample["job_direction"])
    if "description" in sample:
        service.run(service.store.describe(JobId(id), description=sample["description"]))
    if sample["status"] == "RELEASE_RESOURCE_COMPLETE":
        one(client, "DELETE", "batch-jobs", {"job_id": id, "delete_type": "terminate"}, 202)
    if sample["status"].startswith("INCRE"):
        one(client, "POST", "batch-starting", {"job_id": id}, 202)
        service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    if "error_msg" in sample:
        service.play(id, (Phase.FOLLOW, Condition.FAILED), failure=Failure("STERNA.1001", sample["error_msg"]))


@pytest.mark.parametrize("number", range(5))
def test_a_row_of_the_sample_comes_back(rows: list[dict[str, Any]], number: int) -> None:
    sample, row = SAMPLES[number], rows[number]
    extra = {"job_action"} | ({"error_msg"} if "error_msg" in sample else set())
    assert set(row) == set(KEYS) | extra
    assert {key: type(row[key]) for key in KEYS} == KEYS
    expected: dict[str, Any] = {
        "description": "",
        "net_type": "eip",
        "db_use_type": "migration",
        "task_type": "FULL_INCR_TRANS",
    }
    expected |= {"billing_tag": False, "node_newFramework": False, "engine_type": "postgresql", **sample}
    assert {key: row[key] for key in expected} == expected
    time.strptime(row["create_time"], "%Y-%m-%d %H:%M:%S")


def test_the_actions_of_a_row_are_complete(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert set(row["job_action"]) == {"available_actions", "unavailable_actions"}
