"""Whatever is sent, the answer is a documented one: no bug is reached from outside."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.api.service import INSTANCE, PROJECT
from tests.effort import examples

pytestmark = pytest.mark.long

BASE = f"/v2/{PROJECT}"
FIELDS = [
    "name", "task_name", "description", "vpc_id", "subnet_id", "security_group_id", "migration_method",
    "migration_type", "resume_mode", "bandwidth_limit_mb", "source_instance", "target_instance", "id", "addrs",
    "password", "db", "migration_tasks", "task_id_list", "auth", "identity", "methods", "user", "domain", "scope",
    "project", "token", "exchanged_ip", "backup_files", "file_source", "bucket_name", "files", "file_name",
    "backup_id", "remark", "backup_format", "expiration",
]  # fmt: skip
WORDS = [
    "online_migration",
    "backupfile_import",
    "self_build_obs",
    "backup_record",
    "full_amount_migration",
    "incremental_migration",
    "auto",
    "a:1",
    INSTANCE,
    "f" * 32,
    "0",
    "dcs-name",
    "password",
]
ROUTES = [
    ("POST", f"{BASE}/migration-task"),
    ("POST", f"{BASE}/migration/instance"),
    ("POST", f"{BASE}/instances/{INSTANCE}/backups"),
    ("POST", f"{BASE}/instances/{INSTANCE}/backups/{{}}/links"),
    ("POST", f"{BASE}/migration/{{}}/task"),
    ("PUT", f"{BASE}/migration-task/{{}}"),
    ("POST", f"{BASE}/migration-task/batch-stop"),
    ("POST", f"{BASE}/migration-tasks/batch-restart"),
    ("POST", f"{BASE}/migration-task/{{}}/exchange-ip"),
    ("DELETE", f"{BASE}/migration-tasks/delete"),
    ("POST", "/v3/auth/tokens"),
    ("POST", "/v3.0/OS-CREDENTIAL/securitytokens"),
]

numbers = some.booleans() | some.integers() | some.floats()
leaves = some.none() | numbers | some.text(max_size=20) | some.sampled_from(WORDS)
values = some.recursive(
    leaves,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=20,
)


@pytest.fixture(scope="module")
def task(client: httpx.Client) -> str:
    places = {"vpc_id": "v", "subnet_id": "s", "security_group_id": "g"}
    return str(client.post(f"{BASE}/migration/instance", json={"name": "fuzzed", **places}).json()["instance_id"])


@pytest.mark.parametrize(("method", "path"), ROUTES)
@settings(max_examples=examples(12))
@given(body=some.dictionaries(some.sampled_from(FIELDS), values, max_size=12))
def test_any_body_is_answered_in_a_documented_way(
    client: httpx.Client, task: str, method: str, path: str, body: dict[str, Any]
) -> None:
    answer = client.request(method, path.format(task), content=_as_json(body))
    assert answer.status_code in (200, 201, 400, 401, 403, 404), answer.text
    if answer.status_code >= 400:
        error = answer.json().get("error") or answer.json()
        assert error.get("error_code") or error.get("code")


@settings(max_examples=examples(50))
@given(body=some.binary(max_size=200))
def test_any_bytes_are_answered_in_a_documented_way(client: httpx.Client, body: bytes) -> None:
    answer = client.post(f"{BASE}/migration/instance", content=body)
    assert answer.json()["error_code"] in ("DCS.4004", "DCS.4005", "DCS.4010")


@settings(max_examples=examples(20))
@given(name=some.text(), value=some.text())
def test_any_query_is_answered_in_a_documented_way(client: httpx.Client, name: str, value: str) -> None:
    for parameter in (name, "name", "offset", "limit"):
        query = httpx.QueryParams({_encodable(parameter): _encodable(value)})
        answer = client.get(f"{BASE}/migration-tasks", params=query)
        assert answer.status_code == 200 or answer.json()["error_code"] == "DCS.4062"


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()


def _as_json(value: Any) -> bytes:
    """As a client might: with NaN where there is NaN, and escapes for what is no text."""
    return json.dumps(value).encode()
