"""DRS v3: both sides of tasks are compared, in the older and the newer form."""

import csv
import hashlib
import io
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import httpx
import pytest

from sterna.core.change import Name
from sterna.core.job import Condition, Phase
from tests.api.drs3 import UNKNOWN, V3, Postgres, call, configured, started
from tests.api.drs5 import ORDERS, until
from tests.api.service import Service, serving

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


@pytest.fixture
def id(service: Service, client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A task that follows changes."""
    made = started(client, "t-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20])
    service.play(made, (Phase.FOLLOW, Condition.RUNNING))
    return made


def begun(client: httpx.Client, id: str, **more: Any) -> dict[str, Any]:
    answer = call(client, "POST", "create-compare-task", {"job_id": id, **more})
    assert answer["job_id"] == id
    shown: dict[str, Any] = answer
    return shown


def rows_of(kind: str, **more: Any) -> dict[str, Any]:
    info = {"conflict_policy": "keep", "compare_type": kind, "compare_mode": None, "start_time": None, **more}
    return {"data_level_compare_info": info}


def results(client: httpx.Client, id: str, **more: Any) -> dict[str, Any]:
    answer = call(
        client, "POST", "query-compare-result", {"job_id": id, "current_page": 1, "per_page": 10, **more}
    )
    shown: dict[str, Any] = answer
    return shown


def all_ended(client: httpx.Client, id: str) -> list[dict[str, Any]]:
    def look() -> Any:
        listed = results(client, id)["compare_task_list_results"]["compare_task_list"]
        return listed if listed and all("end_time" in it for it in listed) else None

    found: list[dict[str, Any]] = until(look)
    return found


def get(client: httpx.Client, path: str, expected: int = 200, **query: Any) -> Any:
    answer = client.get(f"{V3}/{path}", params=query)
    assert answer.status_code == expected, answer.text
    return answer.json()


# The older form.


def test_objects_and_rows_are_compared_in_one_call(client: httpx.Client, id: str) -> None:
    answer = begun(client, id, object_level_compare_type="objects", **rows_of("contents"))
    ids = [answer[f"{level}_level_compare_create_result"]["compare_task_id"] for level in ("object", "data")]
    assert len({UUID(it) for it in ids}) == 2
    listed = all_ended(client, id)
    assert [it["compare_task_id"] for it in listed] == ids[::-1]
    assert [it["compare_type"] for it in listed] == ["contents", "object_comparison"]
    assert {it["compare_task_status"] for it in listed} == {"SUCCESSFUL"}
    assert all(it["create_time"].isdigit() for it in listed)


def test_the_objects_of_both_sides_are_counted(client: httpx.Client, id: str) -> None:
    task = begun(client, id, object_level_compare_type="objects")["object_level_compare_create_result"]
    all_ended(client, id)
    found = results(client, id, object_level_compare_id=task["compare_task_id"])["object_level_compare_results"]
    assert found["object_compare_overview"] == [
        {
            "object_type": "TABLE",
            "object_compare_result": "CONSISTENT",
            "target_count": 2,
            "source_count": 2,
            "diff_count": 0,
        },
        {
            "object_type": "INDEX",
            "object_compare_result": "INCONSISTENT",
            "target_count": 2,
            "source_count": 3,
            "diff_count": 1,
        },
    ]
    assert found["object_compare_details"]["TABLE"][0] == {
        "source_db_name": "shop",
        "target_db_name": "shop",
        "source_db_value": "public.orders",
        "target_db_value": "public.orders",
    }


def test_rows_are_counted_by_table(client: httpx.Client, id: str) -> None:
    task = begun(client, id, **rows_of("lines"))["data_level_compare_create_result"]["compare_task_id"]
    all_ended(client, id)
    found = results(client, id, line_compare_id=task)["line_compare_results"]
    assert found["line_compare_overview"] == [
        {"source_db_name": "shop", "target_db_name": "shop", "line_compare_result": "INCONSISTENT"}
    ]
    assert found["line_compare_overview_count"] == 1
    (details,) = found["line_compare_details"]
    assert details["line_compare_detail_count"] == 2
    assert details["line_compare_detail"][0] == {
        "source_table_name": "public.orders",
        "target_table_name": "public.orders",
        "source_row_num": 7,
        "target_row_num": 5,
        "diff_row_num": 2,
        "line_compare_result": "INCONSISTENT",
    }
    assert details["line_compare_detail"][1]["line_compare_result"] == "CONSISTENT"


def test_contents_are_compared_row_by_row(client: httpx.Client, id: str) -> None:
    task = begun(client, id, **rows_of("contents"))["data_level_compare_create_result"]["compare_task_id"]
    all_ended(client, id)
    found = results(client, id, content_compare_id=task)["content_compare_results"]
    assert found["content_compare_overview"][0]["content_compare_result"] == "INCONSISTENT"
    (details,) = found["content_compare_details"]
    assert (details["content_compare_detail_count"], details["content_uncompare_detail_count"]) == (2, 0)
    assert details["content_compare_detail"][0]["content_compare_result"] == "INCONSISTENT"
    (differences,) = found["content_compare_diffs"]
    assert (differences["source_table_name"], differences["content_compare_diff_count"]) == ("public.orders", 1)
    assert differences["content_compare_diff"] == [{"source_key_value": ["(4)"], "target_key_value": []}]


def test_a_page_of_everything_is_shown(client: httpx.Client, id: str) -> None:
    task = begun(client, id, **rows_of("lines"))["data_level_compare_create_result"]["compare_task_id"]
    begun(client, id, **rows_of("contents"))
    all_ended(client, id)
    page = results(client, id, line_compare_id=task, per_page=1)
    assert len(page["line_compare_results"]["line_compare_details"][0]["line_compare_detail"]) == 1
    assert page["compare_task_list_results"]["compare_task_list_count"] == 2
    assert [it["compare_type"] for it in page["compare_task_list_results"]["compare_task_list"]] == ["contents"]
    assert results(client, id, current_page=9)["compare_task_list_results"]["compare_task_list"] == []


def test_only_the_tables_that_are_named_are_compared(client: httpx.Client, id: str) -> None:
    objects = [{"db_name": "shop", "table_name": ["orders"]}]
    info = rows_of("lines", compare_object_infos=objects)
    task = begun(client, id, **info)["data_level_compare_create_result"]["compare_task_id"]
    all_ended(client, id)
    (details,) = results(client, id, line_compare_id=task)["line_compare_results"]["line_compare_details"]
    assert [it["source_table_name"] for it in details["line_compare_detail"]] == ["public.orders"]


def test_a_comparison_waits_for_its_time_and_is_given_up_for_another(
    service: Service, client: httpx.Client, id: str
) -> None:
    later = str(service.desk.clock() + 3_600_000)
    begun(client, id, **rows_of("lines", start_time=later))
    (listed,) = results(client, id)["compare_task_list_results"]["compare_task_list"]
    assert listed["compare_task_status"] == "WAITING_FOR_RUNNING"
    begun(client, id, **rows_of("lines", conflict_policy="cancel"))
    assert [it["compare_task_status"] for it in all_ended(client, id)] == ["SUCCESSFUL", "CANCELLED"]


def test_nothing_is_compared_before_changes_are_followed(client: httpx.Client) -> None:
    id = configured(client, "compared-too-early")
    answer = begun(client, id, object_level_compare_type="objects", **rows_of("lines"))
    for level in ("object", "data"):
        result = answer[f"{level}_level_compare_create_result"]
        assert result["error_code"] == "DRS.M00304"
        assert "compare_task_id" not in result


def test_what_does_not_exist_has_no_results(client: httpx.Client, id: str) -> None:
    body = {"job_id": UNKNOWN, "current_page": 1, "per_page": 2}
    assert call(client, "POST", "query-compare-result", body, 400)["error_code"] == "DRS.M00289"
    body = {"job_id": id, "line_compare_id": "f" * 32, "current_page": 1, "per_page": 2}
    assert call(client, "POST", "query-compare-result", body, 400)["error_code"] == "DRS.M00202"
    assert set(results(client, id)) == {"job_id", "compare_task_list_results"}


# The newer form.


def compared(client: httpx.Client, id: str, type: str, **more: Any) -> str:
    """The id of a comparison that has ended."""
    made = call(client, "POST", f"{id}/table/compare", {"type": type, **more}, 202)["id"]
    all_ended(client, id)
    return str(made)


def test_objects_are_compared_and_the_last_result_is_shown(client: httpx.Client, id: str) -> None:
    assert get(client, f"{id}/object/compare") == {"compare_result": []}
    assert call(client, "POST", f"{id}/object/compare", {"compare_task_num": 2}, 202) == {}
    all_ended(client, id)
    shown = get(client, f"{id}/object/compare")
    assert (shown["status"], shown["export_status"], shown["report_remain_seconds"]) == ("SUCCESSFUL", "INIT", -1)
    assert shown["compare_result"] == [
        {"type": "TABLE", "source_count": 2, "target_count": 2, "status": 2},
        {"type": "INDEX", "source_count": 3, "target_count": 2, "status": 0},
    ]
    pairs = get(client, f"{id}/object/compare/TABLE", limit=1)
    assert pairs["count"] == 2
    assert pairs["compare_detail"][0]["source_db_value"] == "public.orders"
    assert get(client, f"{id}/object/compare/TABLE", offset=5)["compare_detail"] == []


def test_table_comparisons_are_listed_newest_first(client: httpx.Client, id: str) -> None:
    ids = [compared(client, id, type) for type in ("lines", "contents")]
    listed = get(client, f"{id}/table/compare")
    assert listed["count"] == 2
    assert [it["id"] for it in listed["compare_jobs"]] == ids[::-1]
    newest = listed["compare_jobs"][0]
    assert (newest["type"], newest["status"], newest["export_status"]) == ("contents", "SUCCESSFUL", "INIT")
    assert newest["start_time"].endswith("Z")
    assert get(client, f"{id}/table/compare", offset=2) == {"compare_jobs": [], "count": 2}


def test_lines_are_told_by_database_and_by_table(client: httpx.Client, id: str) -> None:
    made = compared(client, id, "lines")
    base = f"{id}/compare/{made}"
    (database,) = get(client, f"{base}/line-overview")["data_compare_overview_infos"]
    assert database == {
        "source_db_name": "shop",
        "target_db_name": "shop",
        "status": 0,
        "compare_num": 2,
        "compare_end_num": 2,
        "data_inconsistent_num": 1,
        "uncomparable_num": 0,
    }
    assert get(client, f"{base}/line-overview", status=2)["total_count"] == 0
    tables = get(client, f"{base}/line-detail")
    assert tables["total_count"] == 2
    assert [it["status"] for it in tables["table_line_compare_result_infos"]] == [0, 2]
    assert get(client, f"{base}/line-detail", status=2)["total_count"] == 1
    assert get(client, f"{base}/line-detail", query_tb_name="ORD")["total_count"] == 1
    assert get(client, f"{base}/line-detail", db_name="other")["total_count"] == 0
    past = get(client, f"{base}/line-detail", offset=2)
    assert (past["total_count"], past["table_line_compare_result_infos"]) == (2, [])


def test_contents_are_told_by_database_by_table_and_by_row(client: httpx.Client, id: str) -> None:
    base = f"{id}/compare/{compared(client, id, 'contents')}"
    (database,) = get(client, f"{base}/content-overview")["content_compare_result_infos"]
    assert (database["source_db"], database["status"]) == ("shop", 0)
    tables = get(client, f"{base}/content-detail", limit=10)
    assert tables["total_count"] == 2
    orders = tables["content_compare_result_infos"][0]
    assert (orders["source_table_name"], orders["content_compare_result"], orders["status"]) == (
        "public.orders",
        False,
        0,
    )
    assert get(client, f"{base}/content-detail", type="uncompared")["total_count"] == 0
    rows = get(client, f"{base}/content-difference", db_name="shop", table_name="orders")
    assert rows == {
        "count": 1,
        "target_meta_is_null": 1,
        "source_meta_is_null": 0,
        "source_target_meta_not_null": 0,
        "contents_infos": [{"source_key_value": ["(4)"], "target_key_value": []}],
    }


@pytest.mark.parametrize(
    "body",
    [
        {"type": "random", "proportion_value": 20.1},
        {"type": "lines", "compare_object_with_token": [{"db_name": "a"}]},
        {"type": "lines", "compare_transformation_infos": [{"object_info": []}]},
    ],
)
def test_what_cannot_be_compared_is_refused_by_its_name(
    client: httpx.Client, id: str, body: dict[str, Any]
) -> None:
    answer = call(client, "POST", f"{id}/table/compare", body, 400)
    assert answer["error_code"] == "DRS.M00305"


def test_a_comparison_that_waits_is_cancelled(service: Service, client: httpx.Client, id: str) -> None:
    later = str(service.desk.clock() + 3_600_000)
    made = call(client, "POST", f"{id}/table/compare", {"type": "lines", "start_time": later}, 202)["id"]
    for _ in range(2):
        answer = client.delete(f"{V3}/{id}/compare/{made}")
        assert (answer.status_code, answer.json()) == (200, {})
    assert get(client, f"{id}/table/compare")["compare_jobs"][0]["status"] == "CANCELLED"
    unknown = client.delete(f"{V3}/{id}/compare/{UUID(int=0)}")
    assert (unknown.status_code, unknown.json()["error_code"]) == (400, "DRS.M00202")


def test_the_result_comes_as_a_file(client: httpx.Client, id: str) -> None:
    made = compared(client, id, "contents")
    path = f"{V3}/{id}/compare/result/file"
    body = {"compare_type": "contents", "compare_job_id": made}
    assert client.post(path, json=body).json()["error_code"] == "DRS.M00201"
    assert client.post(path, json=body, headers={"Region": "eu-test-1"}).json() == ""
    file = client.get(path, params=body)
    assert file.headers["Content-Type"].startswith("application/x-download")
    lines = list(csv.reader(io.StringIO(file.text.removeprefix("\ufeff"))))
    assert ["TABLE", "shop.public.orders", "shop.public.orders", "7", "5", "2", "INCONSISTENT"] in lines
    assert lines[-1][:2] == ["DIFFERENCE", "shop.public.orders (4)"]
    assert "INSERT" not in file.text
    assert client.get(path, params={"compare_type": "objects_comparison"}).status_code == 400


def test_a_task_that_does_not_exist_is_told_so(client: httpx.Client) -> None:
    for path in ("object/compare", "object/compare/TABLE", "table/compare", f"compare/{UUID(int=0)}/line-detail"):
        assert get(client, f"{UNKNOWN}/{path}", 400)["error_code"] == "DRS.10000010"


def test_names_of_tables_find_their_schemas(service: Service, client: httpx.Client, id: str) -> None:
    asked: list[Sequence[Name]] = []

    class Watching(Postgres):
        async def compare(self, plan: Any, **more: Any) -> Any:
            asked.append(more["only"])
            return await super().compare(plan, **more)

    service.desk.engines["postgresql"] = Watching()  # type: ignore[index]
    tables = [{"db_name": "shop", "table_name": ["orders", "sales.orders"]}, {"db_name": "logs", "table_name": []}]
    compared(client, id, "lines", compare_object=tables)
    assert list(asked[0]) == [ORDERS, Name(("shop", "sales", "orders")), Name(("logs",))]
