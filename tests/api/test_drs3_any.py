"""Whatever is sent to DRS v3, the answer is a documented one: no bug is reached from outside."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sterna.api.drs.operations import OPERATIONS, Operation, Version
from sterna.api.drs.v3.routes import ROUTERS
from tests.api.drs3 import SOURCE, TARGET, Postgres, created, task
from tests.api.service import PROJECT, Service, serving
from tests.api.test_drs5_any import paths, with_at
from tests.api.test_drs_surface import path_of
from tests.effort import examples

pytestmark = pytest.mark.long

OFFERED = {route.path for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]
OURS = [it for it in OPERATIONS if it.version is Version.V3 and it.served in OFFERED]
WITH_BODY = [it for it in OURS if it.method != "GET"]
GETS = [it for it in OURS if it.method == "GET"]
FIELDS = [
    "jobs", "job_id", "id", "name", "description", "db_use_type", "engine_type", "job_direction",
    "net_type", "node_type", "task_type", "source_endpoint", "target_endpoint", "customize_sutnet_id",
    "tags", "key", "value", "sys_tags", "ip", "db_port", "db_user", "db_password", "db_type", "inst_id",
    "ssl_link", "ssl_cert_key", "end_point_type", "property", "page_req", "cur_page", "per_page",
    "status", "selected", "job", "object_type", "select", "object_alias_name", "speed_limits",
    "speed_limit", "begin", "end", "speed", "is_utc", "delete_type", "start_time", "precheck_mode",
    "pause_mode", "refresh", "group", "params", "target_value", "compare_type",
    "data_level_compare_info", "compare_object_infos", "db_name", "table_name", "type", "compare_object",
    "options", "alarm_notify_info", "subscriptions", "transformation_info", "transformation_type",
    "object_info",
]  # fmt: skip
WORDS = [
    "sync", "postgresql", "eip", "high", "up", "FULL_TRANS", "so", "ta", "table", "true", "partial",
    "16:00", "15:59", "terminate", "force_terminate", "delete", "10.0.0.1", "[::1]:5432",
    "a-*-*-b-*-*-c", "[]", '[{"ip": "a"}]', "９", "lines", "contents", "keep", "objects_comparison",
    "contentConditionalFilter", "1608188903063", "0", "common",
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
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(FIELDS), inner, max_size=8),
    max_leaves=20,
)
quiet = settings(max_examples=examples(6))


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


@pytest.fixture(scope="module")
def id(client: httpx.Client) -> str:
    return created(client, "fuzzed")


def by_name(operation: Operation) -> str:
    return operation.name


def path_for(operation: Operation, id: str) -> str:
    return path_of(operation).replace("e11eaf8f-71ef-4fad-8890-aed7572ajb11", id)


def documented(answer: httpx.Response) -> bool:
    return answer.is_success or (answer.status_code < 500 and bool(answer.json()["error_code"]))


@pytest.mark.parametrize("operation", WITH_BODY, ids=by_name)
@quiet
@given(body=some.dictionaries(some.sampled_from(FIELDS), values, max_size=10))
def test_any_body_is_answered_in_a_documented_way(
    client: httpx.Client, id: str, operation: Operation, body: dict[str, Any]
) -> None:
    answer = client.request(operation.method, path_for(operation, id), content=json.dumps(body).encode())
    assert documented(answer), answer.text


PROPERTY = [{"ip": "10.0.0.1:5432", "dbtype": "postgresql", "dbuser": "root", "endpointtype": "so"}]
INFO = {"compare_type": "lines", "compare_object_infos": [{"db_name": "shop", "table_name": ["orders"]}]}
RULE = {"transformation_type": "contentConditionalFilter", "value": "id > 5"}
ROW = {"id": "shop-*-*-public-*-*-orders", "object_type": "table", "select": "true", "object_alias_name": "sales"}

GOOD: dict[str, tuple[str, str, Any]] = {
    "batch-creation": (
        "POST",
        "jobs/batch-creation",
        {
            "jobs": [
                task(
                    "spoilt",
                    source_endpoint=SOURCE,
                    tags=[{"key": "a", "value": "b"}],
                    sys_tags=[{"key": "s", "value": "0"}],
                )
            ]
        },
    ),
    "batch-modification": (
        "PUT",
        "jobs/batch-modification",
        {
            "jobs": [
                {
                    "job_id": "ID",
                    "source_endpoint": SOURCE,
                    "target_endpoint": TARGET,
                    "store_db_info": True,
                    "alarm_notify": {"delay_time": 1, "subscriptions": [{"endpoints": ["a"]}]},
                }
            ]
        },
    ),
    "batch-connection": (
        "POST",
        "jobs/batch-connection",
        {"jobs": [{**SOURCE, "id": "ID", "net_type": "eip", "end_point_type": "so", "db_port": 5432}]},
    ),
    "cluster": (
        "POST",
        "jobs/cluster/batch-connection",
        {"jobs": [{"action": "testConnection", "job_id": "ID", "property": json.dumps(PROPERTY)}]},
    ),
    "objects": (
        "PUT",
        "jobs/batch-select-objects",
        {
            "jobs": [
                {
                    "job_id": "ID",
                    "selected": True,
                    "job": [ROW, {"id": "logs", "object_type": "database", "select": "true"}],
                }
            ]
        },
    ),
    "rules": (
        "POST",
        "jobs/batch-transformation",
        {"jobs": [{"job_id": "ID", "object_info": [{"id": ROW["id"]}], "transformation_info": RULE}]},
    ),
    "speed": (
        "PUT",
        "jobs/batch-limit-speed",
        {"speed_limits": [{"job_id": "ID", "speed_limit": [{"begin": "16:00", "end": "15:59", "speed": "15"}]}]},
    ),
    "compare": ("POST", "jobs/create-compare-task", {"job_id": "ID", "data_level_compare_info": INFO}),
    "find": (
        "POST",
        "jobs",
        {
            "cur_page": 1,
            "per_page": 5,
            "db_use_type": "sync",
            "name": "a",
            "tags": [{"key": "a"}],
            "instance_ids": ["a"],
        },
    ),
}
"""Good bodies, of which one value is spoilt."""


@pytest.mark.parametrize("kind", GOOD)
@settings(max_examples=examples(20))
@given(data=some.data())
def test_a_good_body_with_one_spoilt_value_is_answered_in_a_documented_way(
    client: httpx.Client, id: str, kind: str, data: some.DataObject
) -> None:
    method, path, body = GOOD[kind]
    body = json.loads(json.dumps(body).replace('"ID"', json.dumps(id)))
    place = data.draw(some.sampled_from(paths(body)[1:]))
    spoilt = with_at(body, place, data.draw(values))
    answer = client.request(method, f"/v3/{PROJECT}/{path}", content=json.dumps(spoilt).encode())
    assert documented(answer), answer.text
    shown = client.post(f"/v3/{PROJECT}/jobs/batch-detail", json={"jobs": [id]})
    assert shown.status_code == 200, "what was taken can be shown"


@pytest.mark.parametrize(
    "property", ["[" * 100_000, '{"ip": 1}', '[{"ip": NaN}]', '["\\ud800"]', '[{"ip": "a:b:c"}]']
)
def test_any_text_of_a_property_is_answered(client: httpx.Client, id: str, property: str) -> None:
    body = {"jobs": [{"job_id": id, "property": property}]}
    answer = client.post(f"/v3/{PROJECT}/jobs/cluster/batch-connection", json=body)
    assert documented(answer), answer.text


@pytest.mark.parametrize("operation", GETS, ids=by_name)
@quiet
@given(
    query=some.dictionaries(
        some.sampled_from(
            ["offset", "limit", "status", "type", "db_name", "table_name", "compare_type", "compare_job_id"]
        ),
        some.sampled_from(["lines", "0", "-1", "2", ""]) | some.text(),
    )
)
def test_any_query_is_answered_in_a_documented_way(
    client: httpx.Client, id: str, operation: Operation, query: dict[str, str]
) -> None:
    encodable = {key: value.encode("utf-8", "replace").decode() for key, value in query.items()}
    assert documented(client.get(path_for(operation, id), params=encodable))
