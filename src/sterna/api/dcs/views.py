"""From a job to what clients see of it. Nothing here is stored, and no password passes through."""

import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TypeGuard

from sterna import __version__
from sterna.api.dcs import answers
from sterna.api.dcs.plans import MEGABYTE, METHODS
from sterna.api.dcs.states import MIGRATING, Status, imports, status
from sterna.core.event import Event
from sterna.core.job import Condition, Job, Phase, Wish
from sterna.core.people import Instance
from sterna.core.plan import Endpoint, Plan
from sterna.core.progress import Progress

FRESH_MS = 5000
"""For so long figures of a running task are believed: its runner renews them every other second."""

_METHOD_OF = {mode: method for method, mode in METHODS.items()}


def task(job: Job, worker: str) -> answers.Task:
    """A task in full. ``worker``: the address from which databases are reached."""
    return answers.Task(
        task_id=job.id,
        task_name=job.name,
        description=job.description or None,
        status=status(job),
        migration_type=_type(job),
        migration_method=_method(job),
        ecs_tenant_private_ip=worker,
        backup_files=_backup_files(job),
        network_type=_extra(job, "network_type") or "vpc",
        source_instance=_side(job.plan.source, _source_database(job.plan)) if _from_server(job.plan) else None,
        target_instance=_side(job.plan.target, _target_database(job.plan)) if job.plan else None,
        created_at=iso(job.created_ms),
        updated_at=iso(job.ended_ms or job.updated_ms),
        released_at=_released(job),
        version=__version__,
        resume_mode=_resume_mode(job),
        tenant_vpc_id=_extra(job, "vpc_id"),
        tenant_subnet_id=_extra(job, "subnet_id"),
        tenant_security_group_id=_extra(job, "security_group_id"),
        bandwidth_limit_mb=_bandwidth(job),
    )


def listed(job: Job, worker: str) -> answers.ListedTask:
    """A task as a row of the list."""
    source, target = (job.plan.source, job.plan.target) if job.plan else (None, None)
    return answers.ListedTask(
        task_id=job.id,
        task_name=job.name,
        status=status(job),
        migration_type=_type(job),
        migration_method=_method(job),
        ecs_tenant_private_ip=worker,
        data_source=_data_source(job),
        source_instance_name=source.name if source else "",
        source_instance_id=source.instance_id if source else "",
        target_instance_addrs=addresses(target.addresses) if target else None,
        target_instance_name=target.name if target else "",
        target_instance_id=target.instance_id if target else "",
        created_at=iso(job.created_ms),
        description=job.description or None,
        source_instance_status=_instance_status(source) or "",
        target_instance_status=_instance_status(target) or "",
        error_message=_failure(job),
        released_at=_released(job),
        version=__version__,
        resume_mode=_resume_mode(job),
    )


def stats(job: Job, progress: Progress, now_ms: int) -> answers.Stats:
    """A task's figures. What is not known yet is 0; an offset of 0 says that the target lacks nothing."""
    if _about_to_begin(job):
        progress = Progress()  # what an earlier run left counts no more
    now, following = status(job), job.phase is Phase.FOLLOW
    at_work = now in MIGRATING
    known = (progress.source_rows, progress.rows_total, progress.rows + progress.skipped)
    source = next((it for it in known if it >= 0), 0)
    target = next((it for it in (progress.target_rows, progress.rows) if it >= 0), 0)
    if imports(job) and not source:
        source = target  # an AOF does not say how many keys its commands make
    return answers.Stats(
        full_migration_progress=str(100 if following or now is Status.SUCCESS else progress.percent),
        offset=str(_behind(job, progress, now_ms)),
        source_dbsize=str(source),
        target_dbsize=str(target),
        target_input_kbps=str(round(max(0.0, progress.bytes_per_s) / 1024) if at_work else 0),
        target_ops=str(
            round(max(0.0, progress.changes_per_s if following else progress.rows_per_s)) if at_work else 0
        ),
        is_migrating=at_work,
    )


def _about_to_begin(job: Job) -> bool:
    """Asked to run from the beginning, and no runner has taken it up yet."""
    return job.wished and job.wish is Wish.RUN and job.condition in (Condition.IDLE, Condition.DONE)


def _behind(job: Job, progress: Progress, now_ms: int) -> int:
    """Bytes that the target lacks. Scripts cut over at 0: where it is not known it is what is left of the copy,
    and never 0."""
    fresh = now_ms - progress.at_ms < FRESH_MS
    match status(job):
        case Status.RUNNING | Status.SUCCESS:
            return 0
        case Status.INCRMIGEATING if progress.lag_bytes >= 0 and fresh:
            return progress.lag_bytes
        case Status.TERMINATING | Status.TERMINATED if progress.lag_bytes >= 0:
            return progress.lag_bytes
        case _:
            return max(1, progress.bytes_total - progress.bytes, progress.lag_bytes)


def log_row(event: Event) -> answers.LogRow:
    """A line of a task's history; where something is to be done, it says what."""
    return answers.LogRow(
        created_at=iso(event.at_ms),
        log_level=event.level,
        message=_sentences(event.message, event.fields["hint"]) if event.fields.get("hint") else event.message,
        log_code=event.code,
        keyword=list(event.fields.values()),
    )


def instance(it: Instance) -> answers.Instance:
    """A registered Redis."""
    hosts = list(dict.fromkeys(host for host, _ in it.addresses))
    return answers.Instance(
        instance_id=it.id,
        name=it.name,
        ip=",".join(hosts),
        port=it.addresses[0][1] if it.addresses else 0,
        domain_name=next((host for host in hosts if not _is_ip(host)), None),
        backend_addrs=addresses(it.addresses),
        access_user=it.user or None,
        no_password_access="false" if it.password else "true",
        enable_ssl=bool(it.tls),
        created_at=iso(it.created_ms),
        features=answers.Features(support_ssl=bool(it.tls), support_acl=bool(it.user)),
        cache_mode="cluster" if len(it.addresses) > 1 else "single",
    )


def iso(ms: int) -> str:
    """Epoch milliseconds as ``2026-11-21T06:12:55.508Z``."""
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}.{ms % 1000:03d}Z"


def addresses(pairs: Iterable[tuple[str, int]]) -> str:
    """``host:port,host:port``, IPv6 in brackets."""
    return ",".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in pairs)


def _side(endpoint: Endpoint, database: str | None) -> answers.InstancePart:
    host, port = endpoint.addresses[0]
    return answers.InstancePart(
        id=endpoint.instance_id or None,
        name=endpoint.name or None,
        addrs=addresses(endpoint.addresses),
        ip=host,
        port=str(port),
        task_status=_instance_status(endpoint),
        db=database,
    )


def _instance_status(endpoint: Endpoint | None) -> str | None:
    """Known for registered instances alone."""
    return "RUNNING" if endpoint and endpoint.instance_id else None


def _source_database(plan: Plan) -> str | None:
    return plan.selection.only[0] if plan.selection.only else None


def _target_database(plan: Plan) -> str | None:
    return plan.selection.renames[0].new if plan.selection.renames else None


def _method(job: Job) -> str | None:
    return _extra(job, "migration_method") or (_METHOD_OF[job.plan.mode] if job.plan else None)


def _type(job: Job) -> str:
    return "backupfile_import" if imports(job) else "online_migration"


def _from_server(plan: Plan | None) -> TypeGuard[Plan]:
    return plan is not None and not plan.source.files


def _data_source(job: Job) -> str | None:
    """A server's address, or a bucket's name."""
    if job.plan is None:
        return None
    return _extra(job, "bucket_name") if imports(job) else addresses(job.plan.source.addresses)


def _backup_files(job: Job) -> answers.BackupFilesPart | None:
    """As it was asked for; a record's id in both places where clients look for it."""
    asked = job.extra.get("backup_files")
    if not isinstance(asked, dict):
        return None
    part = answers.BackupFilesPart.model_validate(asked)
    if part.backup_id:
        part.backup_record = answers.BackupRecord(backup_id=part.backup_id)
    return part


def _resume_mode(job: Job) -> str | None:
    return job.plan.resume.value if job.plan else _extra(job, "resume_mode")


def _bandwidth(job: Job) -> str | None:
    limit = job.plan.pace.follow_bytes_per_s // MEGABYTE if job.plan else 0
    return str(limit) if limit else None


def _released(job: Job) -> str | None:
    """When the worker was let go: as soon as the task had ended. In the documented form, to the minute."""
    return f"{datetime.fromtimestamp(job.ended_ms / 1000, UTC):%Y%m%d%H%M}" if job.ended_ms else None


def _failure(job: Job) -> str | None:
    if not job.failure or status(job) is not Status.FAILED:
        return None
    return f"{job.failure.code} {_sentences(job.failure.message, job.failure.hint)}"


def _sentences(*texts: str) -> str:
    """Texts one after the other, each with its full stop."""
    return " ".join(text if text.endswith((".", "!", "?", "…")) else text + "." for text in texts if text)


def _extra(job: Job, name: str) -> str | None:
    value = job.extra.get(name)
    return value if isinstance(value, str) else None


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
