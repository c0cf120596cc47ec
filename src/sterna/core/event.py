"""One line of a job's history: every move, and everything an operator would want to have been told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from sterna.core.job import JobId


class Level(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Event:
    """What happened, when. ``code`` is stable, ``message`` is for people, ``fields`` hold no secret."""

    job_id: JobId
    at_ms: int
    level: Level
    code: str
    message: str
    fields: Mapping[str, str] = field(default_factory=dict)
    seq: int = 0
    """Given by the store: later events have higher numbers."""
