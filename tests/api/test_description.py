"""What the service says about itself: the OpenAPI document, the page made from it, and the coverage."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from scripts.api_coverage import PAGE, page

from sterna.api.dcs.operations import OPERATIONS
from tests.api.service import PROJECT, Service
from tests.effort import PATIENCE

OPERATION_COUNT = 33


def test_the_coverage_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == page(), "run scripts/api_coverage.py"


def test_every_documented_operation_is_in_the_list_once() -> None:
    assert len(OPERATIONS) == len({(it.method, it.path) for it in OPERATIONS}) == OPERATION_COUNT


def test_each_operation_of_the_core_is_described_with_real_models(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    show = document["paths"]["/v2/{project_id}/migration-task/{task_id}"]["get"]
    assert show["operationId"] == "ShowMigrationTask"
    assert show["description"]
    assert show["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Task")
    assert show["responses"]["400"]["content"]["application/json"]["schema"]["$ref"].endswith("/ServiceError")
    configure = document["paths"]["/v2/{project_id}/migration/{task_id}/task"]["post"]
    assert configure["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith("/ConfigureOnline")
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["description"], operation["operationId"]
            assert "422" not in operation["responses"]


def test_what_needs_no_proof_says_so(client: httpx.Client) -> None:
    """And really needs none, while all else does."""
    document = client.get("/openapi.json").json()
    assert document["security"] == [{"token": []}, {"signature": []}]
    with httpx.Client(base_url=client.base_url, timeout=PATIENCE) as nobody:
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                answer = nobody.request(method, path.replace("{project_id}", PROJECT))
                assert (answer.status_code == 401) == ("security" not in operation), (method, path)


def test_no_reference_in_the_description_points_nowhere(client: httpx.Client) -> None:
    document = client.get("/openapi.json").json()
    names = set(document["components"]["schemas"])
    assert {reference.rsplit("/", 1)[1] for reference in references(document)} <= names
    assert not {"HTTPValidationError", "ValidationError"} & names


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [it for inner in value.values() for it in references(inner)]
    return [it for inner in value for it in references(inner)] if isinstance(value, list) else []


class Outside(HTMLParser):
    """Collects what a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "link", "img", "iframe"):
            self.fetched.append(tag)


def test_the_page_for_people_needs_nothing_from_elsewhere(client: httpx.Client) -> None:
    answer = client.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    parser = Outside()
    parser.feed(answer.text)
    assert parser.fetched == []
    assert "http://" not in answer.text
    assert "https://" not in answer.text
    assert "BatchRestartOnlineMigrationTasks" in answer.text
    assert json.dumps("dcs-migration-thrc")[1:-1] in answer.text


def test_the_repositorys_page_lists_what_is_refused() -> None:
    text = Path(PAGE).read_text("utf-8")
    assert (
        "| `POST` | `/v2/{project_id}/migration-task/{task_id}/exchange-ip` | ExchangeInstanceIp | refused" in text
    )
    assert "ListRestoreRecords | not offered" in text


def test_health_is_told_without_a_proof(service: Service) -> None:
    with service.client() as nobody:
        assert nobody.get("/healthz").json() == {"status": "ok"}


def test_a_store_that_does_not_answer_is_told(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object, **__: object) -> object:
        raise OSError("the disk is gone")

    monkeypatch.setattr(service.store, "jobs", broken)
    with service.client() as nobody:
        answer = nobody.get("/healthz")
    assert (answer.status_code, answer.json()) == (503, {"status": "the store does not answer"})
