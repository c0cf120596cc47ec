"""From a job to what clients of v1.0 see of it: everything is text, and some keys are there in two spellings.

The tables and the samples of the documents disagree on ``file_last_modify`` and on ``total_record``.
"""

from collections.abc import Sequence
from typing import Any

from sterna.api.drs.backup.asked import AskedFile, asked_of
from sterna.api.drs.backup.states import error_log, finish_ms, old_status
from sterna.api.drs.backup.views import instance_name, size_text
from sterna.api.drs.times import ms_text, zoned_text
from sterna.core.job import Job

Json = dict[str, Any]


def page(total: int, jobs: Sequence[Job]) -> Json:
    """One page of the list."""
    return {"total_record": total, "totalrecord": total, "tasks": [listed(job) for job in jobs]}


def listed(job: Job) -> Json:
    """A task as a row of the list."""
    return {
        "id": job.id,
        "name": job.name,
        "status": old_status(job),
        "error_log": error_log(job),
        "description": job.description,
        "create_time_stamp": ms_text(job.created_ms),
        "finish_time_stamp": _finished(job),
    }


def detail(job: Job) -> Json:
    """All of a task."""
    asked = asked_of(job)
    return listed(job) | {
        "cover": "true" if asked.is_cover else "false",
        "backup": {
            "file_source": asked.file_source,
            "bucket_name": asked.bucket_name,
            "file_info": [_file(file) for file in asked.files],
        },
        "db_names": list(asked.db_names),
        "instance_id": asked.instance_id,
        "instance_name": instance_name(job),
    }


def _file(file: AskedFile) -> Json:
    modified = zoned_text(file.modified_ms) if file.modified_ms else ""
    return {
        "file_name": file.name,
        "file_size": size_text(file.size),
        "file_last_modify": modified,
        "file_lastmodify": modified,
    }


def _finished(job: Job) -> str:
    ended = finish_ms(job)
    return ms_text(ended) if ended else ""
