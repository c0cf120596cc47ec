"""From a job to what clients of v5 see of it. Nothing here is stored, and no password passes through."""

from collections.abc import Mapping, Sequence
from typing import Any

from sterna.api.drs.actions import job_action
from sterna.api.drs.endpoints import shown_addresses
from sterna.api.drs.facts import Facts, facts_of
from sterna.api.drs.figures import figures
from sterna.api.drs.links import task_type_of
from sterna.api.drs.prechecks import Item, Report
from sterna.api.drs.speed import MEGABYTE
from sterna.api.drs.states import status
from sterna.api.drs.times import iso
from sterna.api.drs.v5.plans import NODE, POLICY, SKIPPED, SOURCE, START, TARGET
from sterna.core.event import Event, Level
from sterna.core.finding import Severity
from sterna.core.job import Condition, Job, Phase
from sterna.core.plan import Conflict, Endpoint, Plan, Window
from sterna.core.progress import Progress

Json = dict[str, Any]


def action_of(job: Job, now_ms: int) -> Json:
    """What may be done with a task; ``current_action`` is always there, null when there is none."""
    return {"current_action": None, **job_action(job, now_ms)}


def tags_of(facts: Facts) -> list[Json]:
    """A task's tags."""
    return [{"key": tag["key"], "value": tag.get("value", "")} for tag in facts.tags]


def listed(job: Job, now_ms: int) -> Json:
    """A task as a row of the list."""
    facts = facts_of(job)
    return {
        "id": job.id,
        "name": job.name,
        "status": status(job, now_ms),
        "description": job.description,
        "create_time": iso(job.created_ms),
        "engine_type": facts.engine_type,
        "net_type": facts.net_type,
        "charging_mode": facts.charging_mode,
        "billing_tag": False,
        "job_direction": facts.job_direction,
        "job_type": facts.db_use_type,
        "task_type": task_type(job),
        "enterprise_project_id": facts.enterprise_project_id,
        "job_mode": "single",
        "job_mode_role": "parent",
        "is_multi_az": False,
        "node_role": "",
        "node_new_framework": True,
        "job_action": action_of(job, now_ms),
    }


def head(job: Job, now_ms: int) -> Json:
    """What every kind of detail begins with."""
    return {"id": job.id, "status": status(job, now_ms), "create_time": iso(job.created_ms)}


def detail(job: Job) -> Json:
    """All that was described, and all that was left at its default."""
    facts = facts_of(job)
    known: Json = {
        "base_info": base_info(job),
        "node_info": job.extra.get(NODE) or {"spec": {"node_type": facts.node_type}},
        "alarm_notify": dict(facts.alarm_notify) or {"alarm_to_user": False},
        "speed_limit": _speed_limit(job.plan),
        "policy_config": _policy(job),
    }
    if job.plan:
        known["source_endpoint"] = [_side(job, SOURCE, job.plan.source, facts.source)]
        known["target_endpoint"] = [_side(job, TARGET, job.plan.target, facts.target)]
    return known


def task_type(job: Job) -> str:
    """FULL_TRANS or FULL_INCR_TRANS: the plan's, once there is one."""
    return task_type_of(job.plan.mode) if job.plan else facts_of(job).task_type


def base_info(job: Job) -> Json:
    """What a task is called and what it does."""
    facts = facts_of(job)
    start = job.extra.get(START) or (str(job.starts_ms) if job.starts_ms else "")
    base: Json = {
        "name": job.name,
        "job_type": facts.db_use_type,
        "multi_write": False,
        "engine_type": facts.engine_type,
        "job_direction": facts.job_direction,
        "task_type": task_type(job),
        "net_type": facts.net_type,
        "charging_mode": facts.charging_mode,
        "enterprise_project_id": facts.enterprise_project_id,
        "description": job.description,
        "expired_days": int(facts.expired_days) if facts.expired_days.isdigit() else 14,
        "tags": tags_of(facts),
        "is_open_fast_clean": facts.is_open_fast_clean,
    }
    return base | ({"start_time": start} if start else {})


_ROLES = {SOURCE: "so", TARGET: "ta"}


def _side(job: Job, key: str, endpoint: Endpoint, facts: Mapping[str, Any]) -> Json:
    """One side: what the client gave, with the address, user and encryption that are used."""
    given = job.extra.get(key)
    side: Json = dict(given) if isinstance(given, Mapping) else _side_of_facts(facts, endpoint)
    server = {"endpoint_name": endpoint.engine, "id": _endpoint_id(job, key), **side.get("endpoint", {})}
    server |= {"db_user": endpoint.user} | _where(endpoint)
    if endpoint.instance_id:
        server |= {"instance_id": endpoint.instance_id, "instance_name": endpoint.name}
    if endpoint.database:
        server["db_name"] = endpoint.database
    side |= {"endpoint": server, "ssl": {**side.get("ssl", {}), "ssl_link": endpoint.tls is not None}}
    usual = {"endpoint_type": "cloud" if endpoint.instance_id else "offline", "endpoint_role": _ROLES[key]}
    return {"db_type": endpoint.engine} | usual | side


_PARTS = {"cloud": ("region", "project_id", "az_code"), "vpc": ("vpc_id", "subnet_id", "security_group_id")}


def _side_of_facts(facts: Mapping[str, Any], endpoint: Endpoint) -> Json:
    """The same of a task that was made through v3."""
    side: Json = {
        part: {name: facts[name] for name in names if facts.get(name)}
        for part, names in _PARTS.items()
        if any(facts.get(name) for name in names)
    }
    return side | {"db_type": facts.get("db_type") or endpoint.engine}


def _endpoint_id(job: Job, key: str) -> str:
    """An id for one side of a task, the same every time: the task's, with the side in its first digit."""
    return ("a" if key == SOURCE else "b") + job.id[1:]


def _where(endpoint: Endpoint) -> Json:
    ip, port = shown_addresses(endpoint)
    return {"ip": ip, "db_port": str(port)} if ip else {}


def _speed_limit(plan: Plan | None) -> list[Json]:
    return [_window(window) for window in plan.pace.windows] if plan else []


def _window(window: Window) -> Json:
    begin, end = (f"{minute // 60:02d}:{minute % 60:02d}" for minute in (window.begin, window.end))
    return {"begin": begin, "end": end, "speed": str(max(1, window.bytes_per_s // MEGABYTE))}


_CONFLICTS = {Conflict.SKIP: "ignore", Conflict.OVERWRITE: "overwrite", Conflict.STOP: "stop"}


def _policy(job: Job) -> Json:
    given = job.extra.get(POLICY)
    policy: Json = dict(given) if isinstance(given, Mapping) else {}
    if job.plan:
        policy["conflict_policy"] = _CONFLICTS[job.plan.conflict]
        policy["ddl_trans"] = job.plan.options.get("ddl") == "apply"
        policy["index_trans"] = True
    return policy


# Progress.


def progress_info(job: Job, progress: Progress, now_ms: int) -> Json:
    """How far a task is: all text, as documented. A delay that is not known is -1."""
    known = figures(job, progress, now_ms)
    left = max(0, known.remaining_s)
    parts = {"struct": known.struct_percent, "data": known.percent, "index": known.index_percent}
    return {
        "progress": str(known.percent),
        "incr_trans_delay": str(known.lag_ms // 1000 if known.lag_ms >= 0 else -1),
        "incr_trans_delay_millis": str(known.lag_ms),
        "task_mode": task_type(job),
        "transfer_status": status(job, now_ms),
        "process_time": str(known.at_ms),
        "remaining_time": str(left),
        "progress_map": {
            name: {"completed": f"{percent}%", "remaining_time": str(left) if name == "data" and left else None}
            for name, percent in parts.items()
        },
    }


# History.

_LEVELS = {Level.DEBUG: "Info", Level.INFO: "Info", Level.WARN: "Warn", Level.ERROR: "Error"}
LEVELS = {"info": Level.INFO, "warn": Level.WARN, "error": Level.ERROR}
"""The words of the filter, in small letters."""


def log_row(event: Event) -> Json:
    """A line of a task's history; where something is to be done, it says what."""
    hint = event.fields.get("hint")
    message = f"{event.message.rstrip('.')}. {hint}" if hint else event.message
    return {"create_time": iso(event.at_ms), "level": _LEVELS[event.level], "message": message}


HISTORY = 1000
"""How many events are looked through for what was asked."""

OPERATIONS = {
    "job.created": "create",
    "job.run": "start",
    "job.pause": "stop",
    "job.stop": "terminate",
    "job.finish": "terminate",
}
"""What of the history somebody asked for."""


def timeline(event: Event) -> Json:
    """One thing that was asked for."""
    return {
        "name": OPERATIONS[event.code],
        "status": "success",
        "operation_time": iso(event.at_ms),
        "user_name": event.fields.get("user", ""),
    }


# Checks.


def precheck_result(job: Job, report: Report | None, items: Sequence[Item]) -> Json:
    """What the checks found so far, or a page of it; the rates are those of all."""
    return {
        "result": report is not None and report.passed,
        "process": f"{report.percent if report else 0}%",
        "total_passed_rate": f"{report.passed_percent if report and report.done else 0}%",
        "rds_instance_id": (job.plan.target.instance_id if job.plan else "") or None,
        "job_direction": facts_of(job).job_direction,
        "precheck_results": [_checked(job, item) for item in items],
    }


def _checked(job: Job, item: Item) -> Json:
    skipped = job.extra.get(SKIPPED)
    return {
        "item": item.item,
        "result": item.result,
        "failed_reason": item.failed_reason or None,
        "data": item.data,
        "raw_error_msg": None,
        "group": item.group,
        "is_support_skip": item.result == Severity.ALARM,
        "is_skipped": isinstance(skipped, list) and item.item in skipped,
        "failed_sub_jobs": [],
    }


# Figures.


def monitor_data(job: Job, progress: Progress, now_ms: int) -> Json:
    """How fast a task is now. What is not known is left out, a delay that is not known is 0."""
    known = figures(job, progress, now_ms)
    megabytes = f"{known.bytes_per_s / MEGABYTE:.1f}"
    healthy = job.condition is not Condition.FAILED
    return {
        "bandwidth": megabytes,
        "is_src_normal": healthy,
        "is_dst_normal": healthy,
        "src_delay": 0,
        "dst_delay": max(0, known.lag_ms) // 1000,
        "src_rps": str(known.rows_per_s),
        "src_io": megabytes,
        "dst_rps": str(known.rows_per_s),
        "dst_io": megabytes,
        "trans_data": str((progress.bytes + progress.change_bytes) // MEGABYTE),
        "trans_lines": str(progress.rows + progress.changes),
        "apply_rate": known.rows_per_s if job.phase is Phase.FOLLOW else 0,
        "update_time": iso(known.at_ms or now_ms),
    }
