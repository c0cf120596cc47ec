"""Figures for Prometheus are the store's, at the moment that they are asked for."""

from prometheus_client.parser import text_string_to_metric_families

from sterna.core.job import Condition, JobId, Phase
from sterna.core.plan import Endpoint, Plan
from sterna.core.progress import Progress
from tests.api.service import PROJECT, Service

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
