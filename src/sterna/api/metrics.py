"""Figures for Prometheus, read from the store each time that they are asked for.

They tell the names of all projects' jobs, so not everybody may see them: whoever brings the metrics token if there
is one, else whoever asks from this machine.
"""

import hmac
import ipaddress
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request

from sterna.api.errors import Told
from sterna.core.job import Job
from sterna.core.progress import Progress
from sterna.core.stores import JobStore

_LABELS = ("job", "name", "project")


@dataclass(frozen=True, slots=True)
class Sample:
    """A job and its figures at one time."""

    job: Job
    progress: Progress


def admit(request: Request, token: str) -> None:
    """Raise Told unless this client may see the figures. ``token``: empty if none was set."""
    given = request.headers.get("authorization", "").encode("latin-1", "replace")
    welcome = hmac.compare_digest(given, b"Bearer " + token.encode()) if token else _from_here(request)
    if not welcome:
        missing = "the metrics token" if token else "/metrics answers this machine alone, or a metrics token"
        raise Told("APIGW.0301", missing, headers={"WWW-Authenticate": "Bearer"})


def _from_here(request: Request) -> bool:
    """Whether the client is on this machine, and no proxy that speaks for another one."""
    if any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip")):
        return False
    return request.client is not None and ipaddress.ip_address(request.client.host.partition("%")[0]).is_loopback


async def exposition(store: JobStore) -> bytes:
    """All figures in Prometheus's text form."""
    _, jobs = await store.jobs()
    samples = [Sample(job, await store.progress(job.id)) for job in jobs]
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot(samples))
    return generate_latest(registry)


class _Snapshot(Collector):
    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def collect(self) -> Iterable[Metric]:
        yield _states(self._samples)
        yield from _counters(self._samples)
        yield from _lags(self._samples)


def _states(samples: Sequence[Sample]) -> Metric:
    family = GaugeMetricFamily("sterna_jobs", "Jobs by phase and condition.", labels=("phase", "condition"))
    for state, count in sorted(Counter((it.job.phase, it.job.condition) for it in samples).items()):
        family.add_metric(state, count)
    return family


def _counters(samples: Sequence[Sample]) -> Iterator[Metric]:
    rows = CounterMetricFamily("sterna_job_rows", "Rows or keys copied since the start.", labels=_LABELS)
    size = CounterMetricFamily("sterna_job_bytes", "Bytes copied since the start.", labels=_LABELS)
    changes = CounterMetricFamily("sterna_job_changes", "Changes applied since the start.", labels=_LABELS)
    retries = CounterMetricFamily("sterna_job_retries", "Passing faults that were retried.", labels=_LABELS)
    for it in samples:
        labels = _labels(it.job)
        rows.add_metric(labels, it.progress.rows)
        size.add_metric(labels, it.progress.bytes)
        changes.add_metric(labels, it.progress.changes)
        retries.add_metric(labels, it.progress.retries)
    yield from (rows, size, changes, retries)


def _lags(samples: Sequence[Sample]) -> Iterator[Metric]:
    """What is not known has no sample."""
    seconds = GaugeMetricFamily("sterna_job_lag_seconds", "Age of the oldest change not applied.", labels=_LABELS)
    size = GaugeMetricFamily("sterna_job_lag_bytes", "Bytes of the source's log not applied.", labels=_LABELS)
    for it in samples:
        if it.progress.lag_ms >= 0:
            seconds.add_metric(_labels(it.job), it.progress.lag_ms / 1000)
        if it.progress.lag_bytes >= 0:
            size.add_metric(_labels(it.job), it.progress.lag_bytes)
    yield from (seconds, size)


def _labels(job: Job) -> tuple[str, str, str]:
    return job.id, job.name, job.project_id
