"""DRS v5: a task that is compared by itself, by its compare policy."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from huaweicloudsdkdrs.v5 import ModifyComparePolicyReq, ShowComparePolicyRequest, UpdateComparePolicyRequest

from sterna.core.comparison import Depth
from sterna.core.job import Condition, JobId, Phase
from sterna.jobs.policies import ComparePolicy, policy_of
from tests.api.drs5 import V5, FakePostgres, act, create, detail, until
from tests.api.service import AK, PROJECT, SECOND_PROJECT, SK, Service, serving
from tests.api.test_drs5_sdk import client_of

FOLLOWING = (Phase.FOLLOW, Condition.RUNNING)
WEEKLY = {
    "action": "open",
    "period": "* * 1,3,5",
    "begin_time": "00:00:00",
    "end_time": "09:00:00",
    "compare_type": ["lines", "object_comparison"],
}
"""The sample of the documents."""
HOURLY = {
    "action": "open",
    "begin_time": "00:00:00",
    "compare_policy": "normal",
    "compare_type": ["lines", "object_comparison"],
    "end_time": "04:00:00",
    "period": "* * 1,2,3,4,5,6,7",
    "interval_hour": 1,
}


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = FakePostgres()  # type: ignore[index]
        yield running


@pytest.fixture
def id(client: httpx.Client, request: pytest.FixtureRequest) -> str:
    """A task that waits to be started."""
    return create(client, "p-" + str(abs(hash(request.node.name)) % 10**12))


def path(id: str, base: str = V5) -> str:
    return f"{base}/jobs/{id}/compare-policy"


def put(client: httpx.Client, id: str, body: Any) -> httpx.Response:
    return client.put(path(id), json=body)


def shown(client: httpx.Client, id: str) -> dict[str, Any]:
    answer = client.get(path(id))
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def kept(service: Service, id: str) -> ComparePolicy | None:
    return policy_of(service.run(service.store.job(JobId(id))))


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, str(answer.json()["error_code"])


@pytest.mark.parametrize("sample", [WEEKLY, HOURLY, {**WEEKLY, "conflict_strategy": "cover"}])
def test_a_policy_is_kept_and_given_back(client: httpx.Client, id: str, sample: dict[str, Any]) -> None:
    assert shown(client, id) == {"status": "CLOSED"}
    answer, asked = put(client, id, sample), datetime.now(UTC)
    assert (answer.status_code, answer.json()) == (200, {})
    body = shown(client, id)
    coming = datetime.fromisoformat(body.pop("next_compare_time"))
    said = {key: value for key, value in sample.items() if key != "action"}
    assert body == {"status": "OPEN", "compare_policy": "normal", **said}
    assert coming > asked
    assert str(coming.isoweekday()) in sample["period"]


@pytest.mark.parametrize("word", ["close", "closed"])
def test_a_policy_is_ended_once_or_more(client: httpx.Client, id: str, word: str) -> None:
    put(client, id, WEEKLY)
    for _ in range(2):
        answer = put(client, id, {"action": word})
        assert (answer.status_code, answer.json()) == (200, {})
        assert shown(client, id) == {"status": "CLOSED"}


def test_another_policy_replaces_the_first_one_wholly(service: Service, client: httpx.Client, id: str) -> None:
    put(client, id, {**HOURLY, "conflict_strategy": "ignore"})
    put(client, id, {**WEEKLY, "begin_time": "23:30:15", "interval_hour": None, "compare_policy": ""})
    body = shown(client, id)
    assert {"interval_hour", "conflict_strategy"}.isdisjoint(body)
    assert (body["begin_time"], body["end_time"]) == ("23:30:15", "09:00:00")
    policy = kept(service, id)
    assert policy
    assert (policy.depths, policy.days) == ((Depth.ROWS, Depth.OBJECTS), (1, 3, 5))
    assert (policy.begin_s, policy.end_s, policy.every_h) == (84615, 32400, 0)


@pytest.mark.parametrize(
    ("change", "expected", "field"),
    [
        ({"action": None}, "DRS.M00201", "action"),
        ({"action": "OPEN"}, "DRS.M00202", "action"),
        ({"period": None}, "DRS.M00201", "period"),
        ({"period": ""}, "DRS.M00201", "period"),
        ({"period": "* * 0"}, "DRS.M00202", "period"),
        ({"period": "* * 8"}, "DRS.M00202", "period"),
        ({"period": "* * 1,1"}, "DRS.M00202", "period"),
        ({"period": "* * 1,"}, "DRS.M00202", "period"),
        ({"period": "* * *"}, "DRS.M00202", "period"),
        ({"period": "1,3,5"}, "DRS.M00202", "period"),
        ({"period": "* * 1\n"}, "DRS.M00202", "period"),
        ({"period": "* * ١"}, "DRS.M00202", "period"),
        ({"begin_time": None}, "DRS.M00201", "begin_time"),
        ({"begin_time": "24:00:00"}, "DRS.M00202", "begin_time"),
        ({"begin_time": "8:00:00"}, "DRS.M00202", "begin_time"),
        ({"begin_time": "08:00"}, "DRS.M00202", "begin_time"),
        ({"begin_time": 8}, "DRS.M00202", "begin_time"),
        ({"end_time": None}, "DRS.M00201", "end_time"),
        ({"end_time": "09:60:00"}, "DRS.M00202", "end_time"),
        ({"end_time": "00:00:00"}, "DRS.M00306", ""),
        ({"compare_type": None}, "DRS.M00201", "compare_type"),
        ({"compare_type": []}, "DRS.M00201", "compare_type"),
        ({"compare_type": "lines"}, "DRS.M00202", "compare_type"),
        ({"compare_type": ["objects"]}, "DRS.M00202", "compare_type"),
        ({"compare_type": ["lines", None]}, "DRS.M00202", "compare_type"),
        ({"compare_type": ["lines", "lines"]}, "DRS.M00301", "compare_type"),
        ({"compare_type": ["lines", "account"]}, "DRS.10000001", "account"),
        ({"compare_policy": "manyToOne"}, "DRS.10000001", "manyToOne"),
        ({"compare_policy": "other"}, "DRS.M00202", "compare_policy"),
        ({"interval_hour": 0}, "DRS.M00202", "interval_hour"),
        ({"interval_hour": 25}, "DRS.M00202", "interval_hour"),
        ({"interval_hour": 1.5}, "DRS.M00202", "interval_hour"),
        ({"conflict_strategy": "keep"}, "DRS.M00202", "conflict_strategy"),
    ],
)
def test_what_is_out_of_bounds_is_refused_by_its_field(
    client: httpx.Client, id: str, change: dict[str, Any], expected: str, field: str
) -> None:
    answer = put(client, id, {**WEEKLY, **change})
    assert code(answer) == (400, expected), answer.text
    assert field in answer.json()["error_msg"]
    assert shown(client, id) == {"status": "CLOSED"}


def test_a_refused_change_leaves_the_policy_as_it_is(client: httpx.Client, id: str) -> None:
    put(client, id, HOURLY)
    before = shown(client, id)
    put(client, id, {**WEEKLY, "period": "x"})
    assert shown(client, id) == before


def test_a_task_without_changes_to_follow_has_no_policy(client: httpx.Client) -> None:
    id = create(client, "policy-full", task_type="FULL_TRANS")
    assert shown(client, id) == {"status": "NO_SUPPORT"}
    answer = put(client, id, WEEKLY)
    assert code(answer) == (400, "DRS.10000001")
    assert "FULL_TRANS" in answer.json()["error_msg"]


def test_a_task_that_has_ended_takes_no_new_policy_but_lets_go_of_its_old_one(
    service: Service, client: httpx.Client, id: str
) -> None:
    put(client, id, WEEKLY)
    act(client, id, "start")
    service.play(id, FOLLOWING)
    act(client, id, "terminate")
    service.play(id, (Phase.CLOSE, Condition.DONE))
    assert code(put(client, id, WEEKLY)) == (400, "DRS.M00304")
    assert put(client, id, {"action": "closed"}).status_code == 200
    assert shown(client, id) == {"status": "CLOSED"}


def test_a_deleted_or_unknown_task_has_none(client: httpx.Client, id: str) -> None:
    put(client, id, WEEKLY)
    client.delete(f"{V5}/jobs/{id}")
    for gone in (id, "e11eaf8f-71ef-4fad-8890-aed7572ajb11"):
        assert code(client.get(path(gone))) == (400, "DRS.10000010")
        for body in (WEEKLY, {"action": "close"}):
            assert code(put(client, gone, body)) == (400, "DRS.10000010")


def test_another_project_neither_sees_nor_changes_it(service: Service, client: httpx.Client, id: str) -> None:
    put(client, id, WEEKLY)
    before = kept(service, id)
    other = path(id, f"/v5/{SECOND_PROJECT}")
    with service.client(service.token(SECOND_PROJECT)) as stranger:
        for answer in (stranger.get(other), stranger.put(other, json={"action": "close"})):
            assert code(answer) == (400, "DRS.10000010")
        assert code(stranger.get(path(id))) == (403, "DRS.M00261")
    assert kept(service, id) == before


def test_a_clone_is_not_compared_by_itself(service: Service, client: httpx.Client, id: str) -> None:
    put(client, id, WEEKLY)
    act(client, id, "start")
    service.play(id, FOLLOWING)
    copy = client.post(f"{V5}/jobs/clone", json={"job_id": id, "name": "policy-clone"})
    assert shown(client, copy.json()["id"]) == {"status": "CLOSED"}


def test_the_sdk_sets_and_shows_it(service: Service, client: httpx.Client, id: str) -> None:
    drs = client_of(service, AK, SK, PROJECT)
    wanted = ModifyComparePolicyReq(
        action="open",
        period="* * 1,2,3,4,5,6,7",
        begin_time="01:00:00",
        end_time="05:00:00",
        compare_type=["contents"],
        compare_policy="normal",
        interval_hour=2,
        conflict_strategy="ignore",
    )
    answer = drs.update_compare_policy(UpdateComparePolicyRequest(job_id=id, body=wanted))
    assert answer.status_code == 200
    found = drs.show_compare_policy(ShowComparePolicyRequest(job_id=id))
    assert (found.status, found.period) == ("OPEN", "* * 1,2,3,4,5,6,7")
    assert (found.begin_time, found.end_time, found.interval_hour) == ("01:00:00", "05:00:00", 2)
    assert (found.compare_type, found.compare_policy) == (["contents"], "normal")
    assert (found.conflict_strategy, found.next_compare_time[-1]) == ("ignore", "Z")
    drs.update_compare_policy(UpdateComparePolicyRequest(job_id=id, body=ModifyComparePolicyReq(action="close")))
    assert drs.show_compare_policy(ShowComparePolicyRequest(job_id=id)).status == "CLOSED"


def test_what_terraform_sends_and_reads(client: httpx.Client, id: str) -> None:
    """Creation, change with what it has read before, and its end, after which it must read CLOSED."""
    body = {**WEEKLY, "compare_type": ["lines"], "compare_policy": "normal"}
    assert put(client, id, body).status_code == 200
    read = shown(client, id)
    assert (read["status"], read["compare_type"]) == ("OPEN", ["lines"])
    assert put(client, id, {**body, "period": "* * 1,2,3,4,5,6,7", "interval_hour": 2}).status_code == 200
    assert shown(client, id)["interval_hour"] == 2
    assert put(client, id, {**body, "interval_hour": 2}).status_code == 200
    assert put(client, id, {"action": "closed"}).status_code == 200
    assert shown(client, id)["status"] == "CLOSED"


def test_comparisons_by_a_policy_are_in_the_lists_of_v5_and_v3() -> None:
    """With a service of its own, whose clock the test sets."""
    with serving() as service, service.client(service.token()) as client:
        service.desk.engines["postgresql"] = FakePostgres()  # type: ignore[index]
        now = [service.desk.clock() // 86_400_000 * 86_400_000 + 3_600_000]
        object.__setattr__(service.desk, "clock", lambda: now[0])
        service.desk.background.look = 0.01
        id = create(client, "policy-runs")
        put(client, id, {**WEEKLY, "period": "* * 1,2,3,4,5,6,7", "begin_time": "02:00:00"})
        act(client, id, "start")
        service.play(id, FOLLOWING)
        service.run(_resume(service))
        try:
            now[0] += 3_600_000

            def done() -> list[dict[str, Any]]:
                listed = detail(client, id, "compare", compare_type="data_compare")["compare_result"]
                rows: list[dict[str, Any]] = listed["data_compare_task_list"]
                return rows if [row["status"] for row in rows] == ["SUCCESSFUL"] * 2 else []

            rows = until(done)
            assert sorted(row["type"] for row in rows) == ["lines", "object"]
            answer = client.post(
                f"/v3/{PROJECT}/jobs/query-compare-result", json={"job_id": id, "current_page": 1, "per_page": 10}
            )
            listed = answer.json()["compare_task_list_results"]["compare_task_list"]
            assert {row["compare_task_id"] for row in listed} == {row["id"] for row in rows}
        finally:
            service.run(service.desk.close())


async def _resume(service: Service) -> None:
    service.desk.resume()
