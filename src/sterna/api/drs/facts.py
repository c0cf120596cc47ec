"""What a task's creator said that the service itself has no use for, kept in ``Job.extra`` and given back.

Nothing secret is ever here: passwords live in the plan alone.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from sterna.core.job import Job


@dataclass(frozen=True, slots=True)
class Facts:
    """Each under its name in v3. v5 calls ``db_use_type`` job_type."""

    db_use_type: str = "migration"
    """``migration`` or ``sync``."""
    engine_type: str = "postgresql"
    task_type: str = "FULL_INCR_TRANS"
    job_direction: str = "up"
    net_type: str = "eip"
    node_type: str = "high"
    node_num: int = 0
    """0: not said."""
    subnet_id: str = ""
    vpc_id: str = ""
    security_group_id: str = ""
    is_target_readonly: bool = True
    bind_eip: bool = False
    is_open_fast_clean: bool = False
    expired_days: str = "14"
    enterprise_project_id: str = "0"
    charging_mode: str = "on_demand"
    master_az: str = ""
    slave_az: str = ""
    tags: tuple[Mapping[str, str], ...] = ()
    """Each with ``key`` and ``value``."""
    source: Mapping[str, Any] = field(default_factory=dict)
    """What was said of the source besides address, user and password: ``region``, ``vpc_id`` …"""
    target: Mapping[str, Any] = field(default_factory=dict)
    replace_definer: bool = True
    speed_limit: tuple[Mapping[str, Any], ...] = ()
    """Each with ``begin``, ``end``, ``speed``, as they were sent."""
    conflict_policy: str = ""
    filter_ddl_policy: str = ""
    ddl_trans: bool = False
    index_trans: bool = True
    alarm_notify: Mapping[str, Any] = field(default_factory=dict)
    object_switch: bool = False
    """Whether objects were chosen; otherwise everything is taken."""
    sync_database: bool = False
    """Whether whole databases were chosen."""
    object_infos: tuple[Mapping[str, Any], ...] = ()
    """The chosen objects: ``id``, ``parent_id``, ``type``, ``name``, ``alias_name``."""
    transformations: tuple[Mapping[str, Any], ...] = ()
    """Rules for rows, as they were sent."""

    def extra(self) -> dict[str, object]:
        """As it is kept in ``Job.extra``."""
        return asdict(self)


_NAMES = frozenset(each.name for each in fields(Facts))
_LISTS = frozenset({"tags", "speed_limit", "object_infos", "transformations"})


def facts_of(job: Job) -> Facts:
    """What is kept of a job; what was never said has its default."""
    kept: dict[str, Any] = {name: value for name, value in job.extra.items() if name in _NAMES}
    kept |= {name: tuple(kept[name]) for name in _LISTS & kept.keys()}
    return Facts(**kept)
