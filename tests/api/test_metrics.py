"""Figures for Prometheus are the store's, at the moment that they are asked for."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sterna.api.settings import ApiSettings
from sterna.core.job import Condition, JobId, Phase
from sterna.core.plan import Endpoint, Plan
from sterna.core.progress import Progress
from tests.api.service import PROJECT, Service, serving

TOKEN = "of-the-metrics"
PLAN = Plan(Endpoint("redis", (("a", 1),)), Endpoint("redis", (("b", 2),)))


def scrape(service: Service) -> dict[tuple[str, tuple[str, ...]], float]:
    with service.client() as nobody:
        answer = nobody.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_the_figures_of_a_running_job_are_shown(service: Service) -> None:
    job = service.run(service.desk.create(PROJECT, "cli", 'odd "name"', plan=PLAN))
    service.run(service.desk.run(job))
    service.play(job.id, (Phase.FOLLOW, Condition.RUNNING))
    figures = Progress(rows=5, bytes=60, changes=7, retries=2, lag_ms=1500, lag_bytes=80)
    service.run(service.store.set_progress(JobId(job.id), figures, epoch=1))
    idle = service.run(service.desk.create(PROJECT, "cli", "idle"))

    seen = scrape(service)
    labels = (job.id, 'odd "name"', PROJECT)
    assert seen["sterna_jobs", ("RUNNING", "FOLLOW")] == 1
    assert seen["sterna_jobs", ("IDLE", "DRAFT")] == 1
    assert seen["sterna_job_rows_total", labels] == 5
    assert seen["sterna_job_bytes_total", labels] == 60
    assert seen["sterna_job_changes_total", labels] == 7
    assert seen["sterna_job_retries_total", labels] == 2
    assert seen["sterna_job_lag_seconds", labels] == 1.5
    assert seen["sterna_job_lag_bytes", labels] == 80
    assert ("sterna_job_lag_bytes", (idle.id, "idle", PROJECT)) not in seen


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
def test_figures_are_not_for_clients_behind_a_proxy(service: Service, header: str) -> None:
    with service.client() as client:
        answer = client.get("/metrics", headers={header: "203.0.113.7"})
    assert answer.status_code == 401
    assert answer.json()["error_code"] == "APIGW.0301"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"sterna_job" not in answer.content


def test_a_metrics_token_is_asked_for_wherever_the_client_is() -> None:
    with serving(ApiSettings(metrics_token=TOKEN)) as service, service.client() as client:
        for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            assert client.get("/metrics", headers=wrong).status_code == 401
        right = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "203.0.113.7"}
        answer = client.get("/metrics", headers=right)
        assert answer.status_code == 200
        assert b"sterna_jobs" in answer.content
    assert TOKEN not in repr(ApiSettings(metrics_token=TOKEN))
