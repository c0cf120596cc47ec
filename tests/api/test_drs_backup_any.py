"""Whatever is sent to backup migration, the answer is a documented one: no bug is reached from outside."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from tests.api.backups import OLD, V5, backup_service, create, create_old, new_backup, new_task
from tests.api.service import PROJECT, Service
from tests.api.test_drs5_any import paths, with_at
from tests.effort import examples

pytestmark = pytest.mark.long

CREATE = f"/drs/v2.0/{PROJECT}/replication_task"
WORDS = [
    "true", "false", "1", "2", "full", "incre", "OBS", "RDS", "obs", "sqlserver", "", " ", "a.bak", "folder/",
    "zyy-obs", "SUCCESS", "name", "created_at", "asc", "2024-08-19", "2024-08-19T02:27:15Z", "1724034435000",
    "９", "{", "[]", '{"a":"b"}', "a=b", "0000-01-01", ",", "2024-01-01,", "9999999999999999",
]  # fmt: skip
leaves = (
    some.none()
    | some.booleans()
    | some.integers()
    | some.floats()
    | some.text(max_size=20)
    | some.sampled_from(WORDS)
)
values = some.recursive(
    leaves,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(WORDS), inner, max_size=4),
    max_leaves=12,
)
quiet = settings(max_examples=examples(60))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with backup_service() as running:
        yield running


@pytest.fixture(scope="module")
def task(client: httpx.Client) -> str:
    return create(client, "fuzzed-new")


@pytest.fixture(scope="module")
def old_task(client: httpx.Client) -> str:
    return create_old(client, "fuzzed-old")


def documented(answer: httpx.Response, code: str = "error_code") -> bool:
    return answer.is_success or (answer.status_code < 500 and bool(answer.json()[code]))


def spoilt(data: some.DataObject, body: dict[str, Any]) -> bytes:
    """The body with one value replaced."""
    place = data.draw(some.sampled_from(paths(body)[1:]))
    return json.dumps(with_at(body, place, data.draw(values))).encode()


@quiet
@given(data=some.data())
def test_a_new_task_of_v5_with_one_spoilt_value(client: httpx.Client, data: some.DataObject) -> None:
    answer = client.post(V5, content=spoilt(data, new_backup("fuzzed", reset_db_name_map={"a": "b"})))
    assert documented(answer), answer.text


@quiet
@given(data=some.data())
def test_a_new_task_of_v1_with_one_spoilt_value(client: httpx.Client, data: some.DataObject) -> None:
    answer = client.post(CREATE, content=spoilt(data, new_task("fuzzed-v1")))
    assert documented(answer, "err code"), answer.text


@quiet
@given(body=some.dictionaries(some.sampled_from(["name", "description", *WORDS]), values, max_size=4))
def test_any_change(client: httpx.Client, task: str, body: dict[str, Any]) -> None:
    answer = client.put(f"{V5}/{task}", content=json.dumps(body).encode())
    assert documented(answer), answer.text
    assert client.get(f"{V5}/{task}").is_success


@quiet
@given(body=values | some.binary(max_size=20))
def test_any_body_at_all(client: httpx.Client, body: Any) -> None:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert documented(client.post(V5, content=content))
    assert documented(client.post(CREATE, content=content), "err code")


QUERY = [
    "name", "status", "dbs_instance_ids", "description", "create_at", "completed_at", "enterprise_project_id",
    "tags", "limit", "offset", "sort_key", "sort_dir", "curpage", "perpage",
]  # fmt: skip


@quiet
@given(
    query=some.dictionaries(
        some.sampled_from(QUERY), some.sampled_from(WORDS) | some.text(max_size=12), max_size=5
    )
)
def test_any_query(client: httpx.Client, task: str, old_task: str, query: dict[str, str]) -> None:
    encodable = {key: value.encode("utf-8", "replace").decode() for key, value in query.items()}
    assert documented(client.get(V5, params=encodable))
    assert documented(client.get(f"{OLD}/replication_tasks", params=encodable), "err code")
