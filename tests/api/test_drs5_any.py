"""Whatever is sent to DRS v5, the answer is a documented one: no bug is reached from outside."""

import json
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from sterna.api.drs.operations import MULTIPART, OPERATIONS, Operation, Version
from sterna.api.drs.v5.routers import ROUTERS
from tests.api.drs5 import FakePostgres, create, new_job, side
from tests.api.service import PROJECT, Service
from tests.api.test_drs_surface import path_of
from tests.effort import examples

pytestmark = pytest.mark.long

OFFERED = {route.path for router in ROUTERS for route in router.routes}  # type: ignore[attr-defined]
OURS = [it for it in OPERATIONS if it.version in (Version.V5, Version.V51) and it.takes != MULTIPART]
WITH_BODY = [it for it in OURS if it.served in OFFERED and it.method in ("POST", "PUT", "DELETE")]
FIELDS = [
    "job", "jobs", "type", "params", "base_info", "name", "job_type", "engine_type", "db_object", "object_scope",
    "object_info", "schemas", "tables", "columns", "speed_limit", "begin", "end", "speed", "policy_config", "tags",
    "key", "value", "values", "matches", "action", "action_name", "action_params", "job_id", "is_force_stop",
    "source_endpoint", "endpoint", "ip", "db_port", "endpoints", "compare_task_param", "repair_info", "query_id",
    "skip_precheck_info", "skipped_precheck_list", "start_time", "db_names", "is_refresh", "alarm_notify", "all",
    "period", "begin_time", "end_time", "compare_type", "compare_policy", "interval_hour", "conflict_strategy",
]  # fmt: skip
WORDS = [
    "create", "name", "db_object", "policy", "endpoint", "network", "precheck", "start", "stop", "create_compare",
    "table", "all", "16:00", "15:59", "source", "sync", "10.0.0.1", "0", "2022-11-07T16:15:18Z", "９", "contents",
    "open", "close", "* * 1,3,5", "08:00:00", "10:00:00", "lines", "normal", "cover",
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
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.sampled_from(FIELDS), inner, max_size=6),
    max_leaves=20,
)
quiet = settings(max_examples=examples(12))


@pytest.fixture(scope="module")
def task(service: Service, client: httpx.Client) -> str:
    service.desk.engines["postgresql"] = FakePostgres()  # type: ignore[index]
    return create(client, "fuzzed")


def by_name(operation: Operation) -> str:
    return operation.name


def path_for(operation: Operation, task: str) -> str:
    return path_of(operation).replace("e11eaf8f-71ef-4fad-8890-aed7572ajb11", task)


def documented(answer: httpx.Response) -> bool:
    return answer.is_success or (answer.status_code < 500 and bool(answer.json()["error_code"]))


@pytest.mark.parametrize("operation", [it for it in WITH_BODY if it.name != "DeleteJob"], ids=by_name)
@quiet
@given(body=some.dictionaries(some.sampled_from(FIELDS), values, max_size=10))
def test_any_body_is_answered_in_a_documented_way(
    client: httpx.Client, task: str, operation: Operation, body: dict[str, Any]
) -> None:
    answer = client.request(operation.method, path_for(operation, task), content=json.dumps(body).encode())
    assert documented(answer), answer.text


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of everything inside."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at] + [found for key, inner in items for found in paths(inner, (*at, key))]


def with_at(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = with_at(value[path[0]], path[1:], new)
    return copy


WHOLE: dict[str, tuple[str, str, Any]] = {
    "create": ("POST", f"/v5/{PROJECT}/jobs", new_job("fuzzed-too")),
    "endpoint": (
        "PUT",
        f"/v5/{PROJECT}/jobs/{{}}",
        {"job": {"type": "endpoint", "params": {"source_endpoint": [side("so")]}}},
    ),
    "all": (
        "PUT",
        f"/v5/{PROJECT}/jobs/{{}}",
        {
            "job": {
                "type": "all",
                "params": {
                    "speed_limit": [{"begin": "16:00", "end": "15:59", "speed": "10"}],
                    "policy_config": {"conflict_policy": "ignore", "ddl_trans": True},
                    "db_object": {
                        "object_scope": "table",
                        "object_info": {
                            "shop": {
                                "schemas": {
                                    "public": {
                                        "tables": {
                                            "orders": {
                                                "filter_conditions": ["id > 1"],
                                                "columns": {"id": {"filtered": False}},
                                            }
                                        }
                                    }
                                }
                            }
                        },
                    },
                },
            }
        },
    ),
    "compare": (
        "POST",
        f"/v5/{PROJECT}/jobs/{{}}/action",
        {"job": {"action_name": "network", "action_params": {"endpoints": [side("ta")], "start_time": "1"}}},
    ),
}
"""Good bodies, of which one value is spoilt."""


@pytest.mark.parametrize("kind", WHOLE)
@settings(max_examples=examples(40))
@given(data=some.data())
def test_a_good_body_with_one_spoilt_value_is_answered_in_a_documented_way(
    client: httpx.Client, task: str, kind: str, data: some.DataObject
) -> None:
    method, path, body = WHOLE[kind]
    place = data.draw(some.sampled_from(paths(body)[1:]))
    spoilt = with_at(body, place, data.draw(values))
    answer = client.request(method, path.format(task), content=json.dumps(spoilt).encode())
    assert documented(answer), answer.text


@pytest.mark.parametrize(
    "operation", [it for it in OURS if it.served in OFFERED and it.method == "GET"], ids=by_name
)
@quiet
@given(
    query=some.dictionaries(
        some.sampled_from(
            [
                "type",
                "query_id",
                "offset",
                "limit",
                "compare_type",
                "query_type",
                "compare_task_id",
                "log_level",
                "job_type",
                "name",
                "status",
                "sort_key",
                "instance_ids",
                "site",
            ]
        ),
        some.sampled_from(["detail", "compare", "log", "progress", "sync", "overview", "", "-1", "7"])
        | some.text(),
    )
)
def test_any_query_is_answered_in_a_documented_way(
    client: httpx.Client, task: str, operation: Operation, query: dict[str, str]
) -> None:
    encodable = {key: value.encode("utf-8", "replace").decode() for key, value in query.items()}
    assert documented(client.get(path_for(operation, task), params=encodable))
