"""From a task to what clients of v3 see of it. Nothing here is stored, and no password passes through."""

from typing import Any

from sterna.api.drs.actions import job_action
from sterna.api.drs.endpoints import shown_addresses
from sterna.api.drs.facts import Facts, facts_of
from sterna.api.drs.links import LINKS
from sterna.api.drs.moments import Moments
from sterna.api.drs.states import Status, status
from sterna.api.drs.tasks import plan
from sterna.api.drs.times import local_text, ms_text
from sterna.api.drs.v3 import answers
from sterna.core.job import Job
from sterna.core.plan import Conflict, Endpoint

_POLICIES = {Conflict.OVERWRITE: "overwrite", Conflict.SKIP: "ignore", Conflict.STOP: "stop"}
_FAILED = (
    Status.START_JOB_FAILED,
    Status.FULL_TRANSFER_FAILED,
    Status.INCRE_TRANSFER_FAILED,
    Status.RELEASE_RESOURCE_FAILED,
)


def detail(job: Job, moments: Moments, worker: str, now_ms: int) -> answers.TaskDetail:
    """A task in full. ``worker``: the address from which databases are reached."""
    facts, told = facts_of(job), plan(job)
    failed = failure_text(job, now_ms)
    return answers.TaskDetail(
        id=job.id,
        name=job.name,
        status=status(job, now_ms),
        description=job.description,
        create_time=ms_text(job.created_ms),
        update_time=ms_text(job.updated_ms),
        actual_start_time=ms_text(moments.started_ms) if moments.started_ms else None,
        full_transfer_complete_time=ms_text(moments.copied_ms) if moments.copied_ms else None,
        task_type=facts.task_type,
        source_endpoint=endpoint(told.source, facts, "source"),
        target_endpoint=endpoint(told.target, facts, "target"),
        inst_info=answers.WorkerPart(
            engine_type=facts.engine_type, inst_type=facts.node_type, ip=worker, public_ip=worker
        ),
        failed_reason=failed or None,
        error_code=job.failure.code if failed and job.failure else None,
        error_message=failed or None,
        job_direction=facts.job_direction,
        original_job_direction=facts.job_direction,
        db_use_type=facts.db_use_type,
        need_restart=False,
        is_target_readonly=facts.is_target_readonly,
        conflict_policy=_POLICIES[told.conflict] if facts.db_use_type == "sync" else None,
        filter_ddl_policy=facts.filter_ddl_policy or None,
        speed_limit=[answers.SpeedWindow(**_window(it)) for it in facts.speed_limit],
        schema_type="Replication",
        object_switch=facts.object_switch,
        index_trans=True,
        struct_trans=True,
        replace_definer=facts.replace_definer,
        migrate_user=False,
        sync_database=facts.sync_database,
        az_code=facts.master_az or None,
        vpc_id=facts.vpc_id or None,
        subnet_id=facts.subnet_id or None,
        security_group_id=facts.security_group_id or None,
        multi_write=False,
        support_ip_v6=True,
        alarm_notify=alarm(facts),
        is_multi_az=bool(facts.master_az and facts.slave_az),
        master_az=facts.master_az or None,
        slave_az=facts.slave_az or None,
        object_infos=[answers.ChosenObject(**it) for it in facts.object_infos] or None,
        data_transformation=_transformation(facts),
        tags=[answers.Tag(**it) for it in facts.tags],
        is_open_fast_clean=facts.is_open_fast_clean,
    )


def endpoint(it: Endpoint, facts: Facts, side: str) -> answers.EndpointPart:
    """One side of a task."""
    said = dict(facts.source if side == "source" else facts.target)
    link = LINKS[facts.engine_type]
    types = link.source_types if side == "source" else link.target_types
    ip, port = shown_addresses(it)
    return answers.EndpointPart(
        **{"db_type": types[0]} | said,
        ip=ip or None,
        db_port=port if ip else None,
        db_user=it.user or None,
        db_name=it.database or None,
        ssl_link=it.tls is not None,
    )


def listed(job: Job, now_ms: int) -> answers.ListedTask:
    """A task in a list."""
    facts = facts_of(job)
    return answers.ListedTask(
        id=job.id,
        name=job.name,
        status=status(job, now_ms),
        description=job.description,
        create_time=local_text(job.created_ms),
        error_msg=failure_text(job, now_ms) or None,
        engine_type=facts.engine_type,
        net_type=facts.net_type,
        job_direction=facts.job_direction,
        db_use_type=facts.db_use_type,
        task_type=facts.task_type,
        job_action=answers.JobAction.model_validate(job_action(job, now_ms)),
    )


def failure_text(job: Job, now_ms: int) -> str:
    """Why a task that has failed did, and what to do; empty for any other."""
    if not job.failure or status(job, now_ms) not in _FAILED:
        return ""
    texts = (job.failure.message, job.failure.hint)
    return " ".join(text if text.endswith((".", "!", "?", "…")) else text + "." for text in texts if text)


def alarm(facts: Facts) -> answers.AlarmPart | None:
    """Who would be told of trouble; None: nobody was named."""
    if not facts.alarm_notify:
        return None
    kept = dict(facts.alarm_notify)
    topic = str(kept.pop("topic_urn", "")).rpartition(":")[2]
    return answers.AlarmPart(**kept, topic_name=topic or None)


def _window(kept: Any) -> dict[str, str]:
    return {name: str(kept[name]) for name in ("begin", "end", "speed")}


def _transformation(facts: Facts) -> dict[str, Any] | None:
    if not facts.transformations:
        return None
    rules = [dict(it) for it in facts.transformations]
    return {"total_count": len(rules), "filter_conditions": rules}
