"""DRS v3: tasks are checked, started, paused, ended, and watched on the way."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx
import pytest

from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, Failure, JobId, Phase, Wish
from sterna.core.progress import Progress
from tests.api.drs3 import UNKNOWN, V3, Postgres, call, configured, created, one, refused, started, status_of
from tests.api.drs5 import until
from tests.api.service import PROJECT, Service, serving

pytestmark = pytest.mark.long

RUNNING = Condition.RUNNING
COPYING = (Phase.COPY, RUNNING)
FOLLOWING = (Phase.FOLLOW, RUNNING)
ENDED = (Phase.CLOSE, Condition.DONE)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name of the test's own."""
    return "t-" + hashlib.sha256(request.node.name.encode()).hexdigest()[:20]


def asked(client: httpx.Client, verb: str, id: str, status: int = 200, **more: Any) -> Any:
    return one(client, "POST", verb, {"job_id": id, **more}, status)


def pause(client: httpx.Client, id: str) -> Any:
    return asked(client, "batch-pause-task", id, pause_mode="target")


def end(client: httpx.Client, id: str, type: str) -> Any:
    return one(client, "DELETE", "batch-jobs", {"job_id": id, "delete_type": type}, 202)


def wish_of(service: Service, id: str) -> Wish:
    job = service.run(service.store.job(JobId(id)))
    return job.wish if job.wished else Wish.NONE


def good(result: Any) -> bool:
    return bool(result["status"] == "success") and "error_code" not in result


# Checks.


def checked(client: httpx.Client, id: str, mode: str = "forStartJob") -> Any:
    """The report, once it is complete."""
    begun = asked(client, "batch-precheck", id, precheck_mode=mode)
    assert begun == {"id": id, "status": "success", "precheck_id": id}

    def report() -> Any:
        (result,) = call(client, "POST", "batch-precheck-result", {"jobs": [id]})["results"]
        return result if result["process"] == "100%" else None

    return until(report)


def with_findings(service: Service, *findings: Finding) -> None:
    service.desk.engines["postgresql"] = Postgres(findings=list(findings))  # type: ignore[index]


PASSED = Finding("postgresql.source.wal_level", Severity.PASSED, "wal_level is logical", group="db_params")
ALARM = Finding("postgresql.tables.without_key", Severity.ALARM, "shop.public.log has no key", "Add one.")
FAILED = Finding(
    "postgresql.target.rights", Severity.FAILED, "no right to create", "GRANT it", "db_user_privilege"
)


def test_alarms_do_not_stand_against_a_start(service: Service, client: httpx.Client, name: str) -> None:
    with_findings(service, PASSED, ALARM)
    report = checked(client, configured(client, name))
    assert (report["result"], report["total_passed_rate"]) == (True, "100%")
    assert report["job_direction"] == "up"
    assert report["rds_instance_id"] == "e05a3679efe241d8b5dee80b17c1a863in01"
    first, second = report["precheck_result"]
    assert first == {
        "item": "srcWalLevel",
        "result": "PASSED",
        "group": "db_params",
        "data": '{"evidence": "wal_level is logical"}',
    }
    assert (second["item"], second["result"]) == ("tablesWithoutKey", "ALARM")
    assert second["failed_reason"] == "shop.public.log has no key. Add one."


def test_a_failure_is_never_100_percent_passed(service: Service, client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    for findings, rate in (((PASSED, FAILED), "50%"), ((FAILED,), "0%"), ((PASSED,) * 300 + (FAILED,), "99%")):
        with_findings(service, *findings)
        report = checked(client, id)
        assert (report["result"], report["total_passed_rate"]) == (False, rate)
    assert report["precheck_result"][-1]["item"] == "dstRights"
    assert report["precheck_result"][-1]["group"] == "db_user_privilege"
    with_findings(service, PASSED)
    assert checked(client, id)["total_passed_rate"] == "100%"


def test_a_check_before_the_sides_are_known_is_taken_and_fails(client: httpx.Client, name: str) -> None:
    report = checked(client, created(client, name))
    assert (report["result"], report["total_passed_rate"]) == (False, "0%")
    assert report["precheck_result"][0]["item"] == "srcDbConnection"


def test_a_report_that_was_never_asked_for_is_empty(client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    results = call(client, "POST", "batch-precheck-result", {"jobs": [id, UNKNOWN]})["results"]
    assert [it["error_code"] for it in results] == ["DRS.M00002", "DRS.M00289"]


def test_a_task_that_is_being_ended_is_not_checked(client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    end(client, id, "terminate")
    assert refused(asked(client, "batch-precheck", id)) == "DRS.M01504"


# Starting.


def test_a_start_needs_both_sides(client: httpx.Client, name: str) -> None:
    assert refused(asked(client, "batch-starting", created(client, name), 202)) == "DRS.M00305"


def test_a_task_is_started_once(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    assert status_of(client, id) == "STARTJOBING"
    assert refused(asked(client, "batch-starting", id, 202)) == "DRS.M01504"
    assert wish_of(service, id) is Wish.RUN
    service.play(id, COPYING)
    assert status_of(client, id) == "FULL_TRANSFER_STARTED"
    service.play(id, FOLLOWING)
    assert status_of(client, id) == "INCRE_TRANSFER_STARTED"


def test_a_task_waits_for_its_time_and_can_be_started_earlier(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = configured(client, name)
    later = str(service.desk.clock() + 3_600_000)
    assert good(asked(client, "batch-starting", id, 202, start_time=later))
    assert status_of(client, id) == "WAITING_FOR_START"
    assert service.run(service.store.due()) == [] or id not in service.run(service.store.due())
    assert good(asked(client, "batch-starting", id, 202, start_time="0"))
    assert status_of(client, id) == "STARTJOBING"


def test_a_time_that_has_passed_is_now_and_one_that_is_none_is_refused(client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    for wrong in ("soon", "-1", "9" * 16):
        body = {"jobs": [{"job_id": id, "start_time": wrong}]}
        assert call(client, "POST", "batch-starting", body, 400)["error_code"] == "DRS.M00202"
    assert good(asked(client, "batch-starting", id, 202, start_time="1608188903063"))
    assert status_of(client, id) == "STARTJOBING"


# Pausing and going on.


def test_a_task_is_paused_and_goes_on(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    assert refused(pause(client, id)) == "DRS.M01504"
    service.play(id, FOLLOWING)
    assert good(pause(client, id))
    assert status_of(client, id) == "INCRE_TRANSFER_STARTED", "it is paused once its runner says so"
    (row,) = call(client, "POST", "", {"db_use_type": "sync", "name": id})["jobs"]
    assert row["job_action"]["current_action"] == "STOP_JOB"
    service.play(id, (Phase.FOLLOW, Condition.PAUSED))
    assert status_of(client, id) == "PAUSING"
    assert good(asked(client, "batch-retry-task", id))
    assert status_of(client, id) == "STARTJOBING"
    service.play(id, FOLLOWING)
    assert status_of(client, id) == "INCRE_TRANSFER_STARTED"


@pytest.mark.parametrize(
    ("phase", "word"),
    [
        (Phase.PREPARE, "START_JOB_FAILED"),
        (Phase.COPY, "FULL_TRANSFER_FAILED"),
        (Phase.FOLLOW, "INCRE_TRANSFER_FAILED"),
    ],
)
def test_a_task_that_failed_goes_on(
    service: Service, client: httpx.Client, name: str, phase: Phase, word: str
) -> None:
    id = started(client, name)
    service.play(id, (phase, Condition.FAILED), failure=Failure("STERNA.1001", "away"))
    assert status_of(client, id) == word
    assert good(asked(client, "batch-retry-task", id))
    assert status_of(client, id) == "STARTJOBING"


def test_a_task_that_failed_can_be_set_to_rest(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    service.play(id, (Phase.FOLLOW, Condition.FAILED), failure=Failure("STERNA.1001", "away"))
    assert good(pause(client, id))
    assert status_of(client, id) == "PAUSING"
    assert good(asked(client, "batch-retry-task", id))


def test_objects_are_not_edited_by_going_on(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    service.play(id, (Phase.FOLLOW, Condition.PAUSED))
    assert refused(asked(client, "batch-retry-task", id, is_sync_re_edit=True)) == "DRS.M00401"


# Ending.


def test_an_end_carries_over_what_is_missing_and_a_forced_one_does_not(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = started(client, name)
    service.play(id, FOLLOWING)
    assert good(end(client, id, "terminate"))
    assert wish_of(service, id) is Wish.FINISH
    assert status_of(client, id) == "RELEASE_RESOURCE_STARTED"
    assert refused(end(client, id, "terminate")) == "DRS.M01504"
    assert refused(end(client, id, "delete")) == "DRS.M01504"
    assert good(end(client, id, "force_terminate")), "a drain that hangs can be given up"
    assert wish_of(service, id) is Wish.STOP
    assert good(end(client, id, "force_terminate"))
    service.play(id, ENDED)
    assert status_of(client, id) == "RELEASE_RESOURCE_COMPLETE"
    assert good(end(client, id, "force_terminate")), "it has ended, which is what was wanted"
    assert good(end(client, id, "delete"))
    assert refused(end(client, id, "delete")) == "DRS.M05004"


@pytest.mark.parametrize("type", ["terminate", "force_terminate"])
def test_a_task_that_never_ran_is_ended_at_once(client: httpx.Client, name: str, type: str) -> None:
    id = created(client, name)
    assert good(end(client, id, type))
    assert status_of(client, id) == "RELEASE_RESOURCE_COMPLETE"
    assert refused(asked(client, "batch-starting", id, 202)) == "DRS.M01504"


def test_a_task_that_waits_for_its_time_is_ended(service: Service, client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    asked(client, "batch-starting", id, 202, start_time=str(service.desk.clock() + 3_600_000))
    assert good(end(client, id, "force_terminate"))
    assert status_of(client, id) == "RELEASE_RESOURCE_STARTED"
    assert JobId(id) in service.run(service.store.due())


def test_a_copy_that_is_made_once_rests_until_it_is_ended(
    service: Service, client: httpx.Client, name: str
) -> None:
    id = started(client, name, task_type="FULL_TRANS")
    service.play(id, COPYING)
    service.play(id, (Phase.CLOSE, RUNNING))
    assert status_of(client, id) == "FULL_TRANSFER_STARTED"
    service.play(id, ENDED)
    assert status_of(client, id) == "FULL_TRANSFER_COMPLETE"
    assert refused(end(client, id, "delete")) == "DRS.M01504"
    assert good(end(client, id, "terminate"))
    assert status_of(client, id) == "RELEASE_RESOURCE_COMPLETE"
    assert good(end(client, id, "delete"))


def test_an_unclean_end_can_be_forced_again(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    service.play(id, FOLLOWING)
    end(client, id, "terminate")
    service.play(id, (Phase.CLOSE, Condition.FAILED), failure=Failure("STERNA.1001", "away"))
    assert status_of(client, id) == "RELEASE_RESOURCE_FAILED"
    assert good(end(client, id, "force_terminate"))
    assert status_of(client, id) == "RELEASE_RESOURCE_STARTED"


def test_many_tasks_are_ended_each_with_its_own_outcome(service: Service, client: httpx.Client, name: str) -> None:
    running, new = started(client, f"{name}-1"), created(client, f"{name}-2")
    service.play(running, FOLLOWING)
    body = {"jobs": [{"job_id": id, "delete_type": "delete"} for id in (running, new, UNKNOWN)]}
    answer = call(client, "DELETE", "batch-jobs", body, 202)
    assert answer["count"] == 3
    assert [refused(it) for it in answer["results"]] == ["DRS.M01504", "DRS.M01504", "DRS.M00289"]
    assert [it["id"] for it in answer["results"]] == [running, new, UNKNOWN]


def test_there_is_nothing_to_switch_over(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    answer = call(client, "POST", "batch-switchover", {"jobs": [id, UNKNOWN]})
    assert [it["error_code"] for it in answer["results"]] == ["DRS.M00304", "DRS.M00289"]
    assert answer["count"] == 2


# Watching.


def progress_of(client: httpx.Client, id: str) -> dict[str, Any]:
    (result,) = call(client, "POST", "batch-progress", {"jobs": [id]})["results"]
    shown: dict[str, Any] = result
    return shown


def play(service: Service, id: str, facts: Sequence[tuple[Phase, Condition]], **figures: Any) -> None:
    service.play(id, *facts)
    job = service.run(service.store.job(JobId(id)))
    now = {"at_ms": service.soon(), "phase": job.phase.value}
    service.run(service.store.set_progress(JobId(id), Progress(**now | figures), epoch=job.epoch))


def test_the_progress_of_a_task_is_text(service: Service, client: httpx.Client, name: str) -> None:
    id = configured(client, name)
    assert progress_of(client, id) == {
        "job_id": id,
        "progress": "0",
        "incre_trans_delay": "-1",
        "incre_trans_delay_millis": "-1",
        "task_mode": "FULL_INCR_TRANS",
        "transfer_status": "CONFIGURATION",
        "process_time": "0",
        "remaining_time": "0",
        "progress_map": {part: {"completed": "0%"} for part in ("struct", "data", "index")},
        "apply_rows_rate": 0,
        "apply_bytes_rate": 0,
    }
    asked(client, "batch-starting", id, 202)
    play(service, id, [COPYING], bytes=430, bytes_total=1000, eta_s=61, rows_per_s=5.4, bytes_per_s=99.6)
    shown = progress_of(client, id)
    assert (shown["progress"], shown["transfer_status"]) == ("43", "FULL_TRANSFER_STARTED")
    assert (shown["remaining_time"], shown["incre_trans_delay"]) == ("61", "-1")
    assert shown["progress_map"] == {
        "struct": {"completed": "100%"},
        "data": {"completed": "43%"},
        "index": {"completed": "0%"},
    }
    assert (shown["apply_rows_rate"], shown["apply_bytes_rate"]) == (5, 100)
    play(service, id, [FOLLOWING], lag_ms=2345, changes_per_s=7)
    shown = progress_of(client, id)
    assert (shown["progress"], shown["incre_trans_delay"]) == ("100", "2")
    assert shown["incre_trans_delay_millis"] == "2345"
    assert shown["process_time"].isdigit()


def test_a_delay_that_is_not_known_is_never_0(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    play(service, id, [FOLLOWING], lag_ms=0, at_ms=service.desk.clock() - 60_000)
    assert progress_of(client, id)["incre_trans_delay"] == "-1"
    play(service, id, [(Phase.FOLLOW, Condition.FAILED)], lag_ms=0)
    assert progress_of(client, id)["incre_trans_delay"] == "-1"


def test_a_copy_that_is_complete_shows_100_percent(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name, task_type="FULL_TRANS")
    play(service, id, [(Phase.CLOSE, RUNNING), ENDED], bytes=9, bytes_total=10)
    assert progress_of(client, id)["progress"] == "100"


def test_how_far_the_target_is_behind(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    play(service, id, [FOLLOWING], lag_ms=1999)
    epoch = service.run(service.store.job(JobId(id))).epoch
    service.run(service.store.advance(JobId(id), "follow", '{"shop": "0/16B3748"}', epoch=epoch))  # type: ignore[arg-type]
    (result, unknown) = call(client, "POST", "batch-rpo-and-rto", {"jobs": [id, UNKNOWN]}, 202)["results"]
    assert result["rpo_info"] == result["rto_info"]
    assert (result["rpo_info"]["delay"], result["rpo_info"]["gtid_set"]) == ("1", "NA")
    assert "0/16B3748" in result["rpo_info"]["check_point"]
    assert unknown["error_code"] == "DRS.M00289"


def test_the_figures_of_the_moment(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    play(service, id, [FOLLOWING], lag_ms=5, bytes=3 << 20, change_bytes=2 << 20, rows=7, changes=3, bytes_per_s=8)
    (result,) = call(client, "POST", "disaster-recovery-monitoring-data", {"jobs": [id]})["results"]
    seen = result["data_guard_minitor"]
    assert (seen["src_normal"], seen["dst_normal"], seen["dst_delay"]) == (True, True, 5)
    assert (seen["trans_inMB"], seen["trans_lines"], seen["migration_bytes_per_second"]) == ("5", "10", 8)


def test_quotas_count_the_tasks_of_the_project(client: httpx.Client, name: str) -> None:
    def used() -> int:
        quotas = client.get(f"/v3/{PROJECT}/quotas").json()["quotas"]
        assert {key: quotas["resource"][key] for key in ("type", "min")} == {"type": "instances", "min": 0}
        return int(quotas["resource"]["used"])

    before = used()
    created(client, name)
    assert used() == before + 1


@pytest.mark.parametrize("path", ["node-type", "node_type"])
def test_sizes_can_be_chosen_of_what_is_supported(client: httpx.Client, path: str) -> None:
    good = {"engine_type": "postgresql", "db_use_type": "sync", "job_direction": "up"}
    answer = client.get(f"/v3/{PROJECT}/{path}", params=good | {"is_use_sellout_info": "true"})
    assert {"node_type": "high", "is_sellout": False} in answer.json()["node_types"]
    for change, code in (({"job_direction": "x"}, "DRS.M00202"), ({"engine_type": "mysql"}, "DRS.M00302")):
        answer = client.get(f"/v3/{PROJECT}/{path}", params=good | change)
        assert (answer.status_code, answer.json()["error_code"]) == (400, code)
    answer = client.get(f"/v3/{PROJECT}/{path}", params={"engine_type": "postgresql", "db_use_type": "sync"})
    assert answer.json()["error_code"] == "DRS.M00201"


def test_the_one_zone_is_the_service(client: httpx.Client) -> None:
    body = {"engine_type": "postgresql", "db_use_type": "sync", "job_direction": "up", "node_type": "medium"}
    (zone,) = client.post(f"/v3/{PROJECT}/available-zone", json=body).json()["az_infos"]
    assert zone["status"] == "ENABLED"
    assert zone["code"]


def test_every_path_may_begin_with_drs(client: httpx.Client, name: str) -> None:
    id = created(client, name)
    answer = client.post(f"/drs{V3}/batch-status", json={"jobs": [id]})
    assert answer.json()["results"] == [{"id": id, "status": "CONFIGURATION"}]


def test_a_copy_anew_begins_at_the_beginning(service: Service, client: httpx.Client, name: str) -> None:
    id = started(client, name)
    service.play(id, (Phase.FOLLOW, Condition.FAILED), failure=Failure("STERNA.2002", "gone"))
    job = service.run(service.store.job(JobId(id)))
    service.run(service.desk.reset(job))
    after = service.run(service.store.job(JobId(id)))
    assert (after.phase, after.wish, after.wished) == (Phase.PREPARE, Wish.RUN, True)
    assert replace(after, asked=0, updated_ms=0, phase=job.phase) == replace(job, asked=0, updated_ms=0)
