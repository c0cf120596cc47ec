"""What a client asked for when it created a task of backup migration: the same for both versions of the API.

It is kept in ``Job.extra`` and given back; what the job does is said by its plan.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from sterna.core.job import Job

ASKED = "backup"
"""In ``Job.extra``: this page."""

TAGS = "tags"
"""In ``Job.extra``: the task's tags, where those of other tasks are too."""

FULL, INCREMENTAL = "full", "incre"
"""Recovery modes."""

SOURCE = "OBS"
"""Where backup files come from: a registered bucket."""


@dataclass(frozen=True, slots=True)
class AskedFile:
    """One backup file."""

    name: str
    path: str = ""
    """Its folder in the bucket, ending with ``/``; empty: the root."""
    size: int = -1
    """Bytes, as they were at the creation; -1: not known."""
    modified_ms: int = 0
    """When it was last written, epoch milliseconds; 0: not known."""


@dataclass(frozen=True, slots=True)
class Asked:
    """All of it, but for the name and the description, which the job has, and the tags, which change."""

    instance_id: str
    bucket_name: str
    files: tuple[AskedFile, ...]
    engine_type: str = "sqlserver"
    file_source: str = SOURCE
    is_cover: bool = False
    is_default_restore: bool = True
    is_last_backup: bool = True
    is_precheck: bool = True
    is_delete_backup_file: bool = True
    recovery_mode: str = FULL
    db_names: tuple[str, ...] = ()
    """Without empty ones."""
    new_names: Mapping[str, str] = field(default_factory=dict)
    """By the old name, or by the empty one for the only database that there is. Without empty new ones."""
    consistency_check_mode: str = ""
    file_stream: str = ""
    file_id: str = ""
    enterprise_project_id: str = "0"

    @property
    def chosen(self) -> tuple[str, ...]:
        """The databases that are restored; none: all."""
        return () if self.is_default_restore else self.db_names

    def extra(self, tags: Sequence[Mapping[str, str]]) -> dict[str, object]:
        """As it is kept in ``Job.extra``."""
        return {ASKED: asdict(self), TAGS: [dict(tag) for tag in tags]}


_NAMES = frozenset(each.name for each in fields(Asked))


def asked_of(job: Job) -> Asked:
    """What was asked for when a task was created."""
    kept: Any = job.extra[ASKED]
    asked = Asked(**{name: value for name, value in kept.items() if name in _NAMES})
    files = tuple(AskedFile(**file) for file in kept["files"])
    return replace(asked, files=files, db_names=tuple(asked.db_names), new_names=dict(asked.new_names))


def tags_of(job: Job) -> list[dict[str, str]]:
    """A task's tags."""
    kept: Any = job.extra.get(TAGS) or []
    return [{"key": tag["key"], "value": tag.get("value", "")} for tag in kept]
