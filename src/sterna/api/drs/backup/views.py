"""From a job to what clients of v5 see of it. What is empty is left out where the documents leave it out."""

import json
from typing import Any

from sterna.api.drs.backup.asked import Asked, AskedFile, asked_of, tags_of
from sterna.api.drs.backup.states import error_log, finish_ms, status
from sterna.api.drs.times import iso, ms_text
from sterna.core.job import Job

Json = dict[str, Any]

_UNITS = ("B", "KB", "MB", "GB", "TB")


def listed(job: Job) -> Json:
    """A task as a row of the list."""
    asked = asked_of(job)
    return {
        "id": job.id,
        "name": job.name,
        "status": status(job),
        "engine_type": asked.engine_type,
        "create_time": iso(job.created_ms),
        "enterprise_project_id": asked.enterprise_project_id,
    } | _said(description=job.description, finish_time=_finished(job), error_log=error_log(job))


def detail(job: Job) -> Json:
    """All that was asked for, and how it went."""
    asked = asked_of(job)
    return {
        "id": job.id,
        "status": status(job),
        "create_time": iso(job.created_ms),
        "backup_info": {
            "file_source": asked.file_source,
            "bucket_name": asked.bucket_name,
            "file_info": [_file(file) for file in asked.files],
        },
        "base_info": {
            "name": job.name,
            "engine_type": asked.engine_type,
            "enterprise_project_id": asked.enterprise_project_id,
        }
        | _said(description=job.description, tags=tags_of(job)),
        "target_db_info": {"target_instance_id": asked.instance_id}
        | _said(ms_file_stream_status=asked.file_stream, file_id=asked.file_id),
        "options": _options(asked),
        "new_db_names": json.dumps(list(asked.new_names.values()), ensure_ascii=False),
        "instance_name": instance_name(job),
    } | _said(finish_time=_finished(job), error_log=error_log(job))


def instance_name(job: Job) -> str:
    """What the target's instance was called when the task was created."""
    return job.plan.target.name if job.plan else ""


def size_text(size: int) -> str:
    """Bytes in the largest unit that leaves at least one: ``704KB``, ``15.85MB``. Empty where it is not known."""
    if size < 0:
        return ""
    value, unit = float(size), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.2f}".rstrip("0").rstrip(".") + _UNITS[unit]


def _options(asked: Asked) -> Json:
    return {
        "is_cover": asked.is_cover,
        "is_default_restore": asked.is_default_restore,
        "is_last_backup": asked.is_last_backup,
        "is_precheck": asked.is_precheck,
        "is_delete_backup_file": asked.is_delete_backup_file,
        "recovery_mode": asked.recovery_mode,
        "db_names": list(asked.db_names),
    } | _said(reset_db_name_map=dict(asked.new_names), consistency_check_mode=asked.consistency_check_mode)


def _file(file: AskedFile) -> Json:
    modified = ms_text(file.modified_ms) if file.modified_ms else ""
    return {"file_name": file.name} | _said(file_size=size_text(file.size), file_last_modify=modified)


def _finished(job: Job) -> str:
    ended = finish_ms(job)
    return iso(ended) if ended else ""


def _said(**values: Any) -> Json:
    """Those that are not empty."""
    return {name: value for name, value in values.items() if value}
