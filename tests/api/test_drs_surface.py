"""Every documented operation of DRS is answered in the documented form, whether it is offered or not."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sterna.api.app import create_app
from sterna.api.drs.operations import MULTIPART, OPERATIONS, Operation, Version, state
from sterna.jobs.desk import Desk
from sterna.store.memory import MemoryStore
from tests.api.service import FOREIGN_PROJECT, PROJECT, Service

pytestmark = pytest.mark.long

COUNTS = {Version.V1: 4, Version.V3: 55, Version.V5: 136, Version.V51: 2}

SAMPLES = {
    "project_id": PROJECT,
    "job_id": "e11eaf8f-71ef-4fad-8890-aed7572ajb11",
    "task_id": "e11eaf8f-71ef-4fad-8890-aed7572a0001",
    "type": "table",
    "compare_type": "TABLE",
    "resource_type": "migration",
    "resource_id": "e11eaf8f-71ef-4fad-8890-aed7572ajb11",
    "agency_name": "DRSAgency",
}
"""What stands in the places of paths; ids of anything else are a UUID."""


def path_of(operation: Operation, project: str = PROJECT) -> str:
    samples = {**SAMPLES, "project_id": project}
    return re.sub(
        r"{(\w+)}", lambda place: samples.get(place[1], "e11eaf8f-71ef-4fad-8890-aed7572a9999"), operation.path
    )


def by_name(operation: Operation) -> str:
    return operation.name


every = pytest.mark.parametrize("operation", OPERATIONS, ids=by_name)


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    store = MemoryStore()
    return create_app(store, Desk(store, {})).openapi()


@pytest.fixture(scope="module")
def nobody(service: Service) -> Iterator[httpx.Client]:
    """Without a proof of who it is."""
    with service.client() as client:
        yield client


def ask(client: httpx.Client, operation: Operation, path: str) -> httpx.Response:
    if operation.takes == MULTIPART:
        return client.request(operation.method, path, files={"file": ("a.xlsx", b"bytes")})
    body: dict[str, Any] | None = {} if operation.method in ("POST", "PUT", "DELETE") else None
    return client.request(operation.method, path, json=body)


def in_form(operation: Operation, answer: httpx.Response) -> bool:
    keys = set(answer.json())
    if operation.version is Version.V1:
        return keys == {"err code", "error msg"}
    return {"error_code", "error_msg"} <= keys


def test_all_operations_are_in_the_list_once() -> None:
    assert {it: sum(each.version is it for each in OPERATIONS) for it in Version} == COUNTS
    assert len({(it.method, it.path) for it in OPERATIONS}) == len({it.name for it in OPERATIONS}) == 197


@every
def test_every_operation_is_answered_in_form(client: httpx.Client, operation: Operation) -> None:
    """Never as an unknown path, never as a fault of the service."""
    answer = ask(client, operation, path_of(operation))
    assert answer.status_code < 500, answer.text
    if answer.status_code == 404:  # v1.0 says so of a task that does not exist
        assert (operation.version, answer.json()["err code"]) == (Version.V1, "DRS.0016")
    assert answer.status_code not in (405, 415), answer.text
    assert answer.headers["X-Request-Id"]
    if answer.is_error:
        assert in_form(operation, answer), answer.text


@every
def test_the_prefix_drs_changes_nothing(client: httpx.Client, operation: Operation) -> None:
    path = path_of(operation).removeprefix("/drs")
    answers = [ask(client, operation, it) for it in (path, f"/drs{path}")]
    assert answers[0].status_code == answers[1].status_code
    if answers[0].is_error:
        assert answers[0].json() == answers[1].json()


@every
def test_nobody_gets_in_without_a_proof_or_to_a_project_of_others(
    nobody: httpx.Client, client: httpx.Client, operation: Operation
) -> None:
    answer = ask(nobody, operation, path_of(operation))
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")
    answer = ask(client, operation, path_of(operation, FOREIGN_PROJECT))
    assert answer.status_code == 403
    code = answer.json().get("error_code") or answer.json()["err code"]
    assert code == ("DRS.0015" if operation.version is Version.V1 else "DRS.M00261")


@every
def test_a_refused_operation_says_so_by_its_name_in_both_languages(
    client: httpx.Client, described: dict[str, Any], operation: Operation
) -> None:
    told = state(described, operation)
    if not told.startswith("refused"):
        pytest.skip("it is offered")
    client.headers["X-Language"] = "zh-cn"
    chinese = ask(client, operation, path_of(operation))
    client.headers["X-Language"] = "en-us"
    english = ask(client, operation, path_of(operation))
    code, text = ("err code", "error msg") if operation.version is Version.V1 else ("error_code", "error_msg")
    for answer in (chinese, english):
        assert answer.json()[code] == told.removeprefix("refused: ")
        assert operation.name in answer.json()[text]
    assert english.json()[text] != chinese.json()[text]
    assert english.json()[text].isascii()


def test_a_method_that_a_path_does_not_have_is_told_with_those_that_it_has(client: httpx.Client) -> None:
    answer = client.put(f"/v5/{PROJECT}/features")
    assert (answer.status_code, answer.headers["Allow"]) == (405, "GET")
    assert answer.json()["error_code"] == "DRS.M00300"


@pytest.mark.parametrize("path", [f"/v3/{PROJECT}/no-such", f"/v5/{PROJECT}/jobs/a/b/c/d", f"/drs/v5/{PROJECT}/x"])
def test_a_path_that_does_not_exist_is_told_by_the_gateway(client: httpx.Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "APIGW.0101")


@pytest.mark.parametrize(
    "operation",
    [it for it in OPERATIONS if it.method in ("POST", "PUT") and it.version is not Version.V1][::7],
    ids=by_name,
)
def test_a_body_of_another_type_is_not_read(client: httpx.Client, operation: Operation) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = client.request(operation.method, path_of(operation), content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (415, "DRS.M00300")


def test_an_sdk_without_a_project_id_is_told_so(client: httpx.Client) -> None:
    answer = client.get("/v5/{project_id}/jobs")
    assert (answer.status_code, answer.json()["error_code"]) == (403, "DRS.M00261")
    assert "give the client a project ID" in answer.json()["error_msg"]


@pytest.mark.parametrize("path", ["/v1.0/{}/replication_tasks/offline/", "/v2.0/{}/replication_tasks"])
def test_the_paths_of_other_years_are_answered_too(client: httpx.Client, path: str) -> None:
    answer = client.get(path.format(PROJECT))
    assert (answer.status_code, answer.json()["tasks"]) == (200, [])
