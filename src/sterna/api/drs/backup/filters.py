"""Which tasks of backup migration a list of v5 asks for, and in what order."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sterna.api.drs.backup.asked import asked_of, tags_of
from sterna.api.drs.backup.states import finish_ms, spelt, status
from sterna.api.drs.endpoints import shown_addresses
from sterna.api.drs.times import iso
from sterna.api.drs.v5.reading import moment_ms
from sterna.api.errors import Told
from sterna.core.job import Job

Moments = Callable[[int], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """As the query has it; what is empty filters nothing."""

    name: str = ""
    """A part of it, in any case."""
    status: str = ""
    instance_ids: tuple[str, ...] = ()
    description: str = ""
    """A part of it, in any case."""
    create_at: str = ""
    """A moment, or a part of one as answers have it (a day, an hour); two with a comma between: all from … to."""
    completed_at: str = ""
    enterprise_project_id: str = ""
    tags: str = ""
    """``key=value`` or ``key``, with commas between, or JSON: an object, or a list of key and value(s)."""


def chosen(jobs: list[Job], wanted: Wanted) -> list[Job]:
    """The tasks that are asked for, in the order that they had. Raises Told."""
    state = _checked("status", spelt, wanted.status)
    created = _checked("create_at", _moments, wanted.create_at)
    completed = _checked("completed_at", _moments, wanted.completed_at)
    tags = _checked("tags", _tags, wanted.tags) or {}
    return [
        job
        for job in jobs
        if wanted.name.lower() in job.name.lower()
        and wanted.description.lower() in job.description.lower()
        and state in (None, status(job))
        and (created is None or created(job.created_ms))
        and (completed is None or _completed(job, completed))
        and (not wanted.instance_ids or asked_of(job).instance_id in wanted.instance_ids)
        and wanted.enterprise_project_id in (*_ANY_ENTERPRISE, asked_of(job).enterprise_project_id)
        and _tagged(job, tags)
    ]


_ANY_ENTERPRISE = ("", "all_granted_eps")


def in_order(jobs: list[Job], key: str, direction: str) -> list[Job]:
    """Sorted, the greatest first unless ``direction`` is ``asc``; by their creation unless said. Raises Told."""
    if key not in ("", *_SORTS):
        raise Told("DRS.M00202", "sort_key")
    if direction.lower() not in ("", "asc", "desc"):
        raise Told("DRS.M00202", "sort_dir")
    return sorted(jobs, key=_SORTS[key or "created_at"], reverse=direction.lower() != "asc")


_SORTS: Mapping[str, Callable[[Job], Any]] = {
    "name": lambda job: job.name.lower(),
    "db_type": lambda job: asked_of(job).engine_type,
    "inst_id": lambda job: asked_of(job).instance_id,
    "ip": lambda job: shown_addresses(job.plan.target) if job.plan else ("", 0),
    "created_at": lambda job: job.created_ms,
    "description": lambda job: job.description.lower(),
    "tag_value": lambda job: sorted(tag["value"] for tag in tags_of(job)),
}


def _checked(field: str, read: Callable[[str], Any], text: str) -> Any:
    """What a filter means; None for an empty one. Raises Told."""
    try:
        return read(text) if text else None
    except ValueError as wrong:
        raise Told("DRS.M00202", field) from wrong


def _moments(text: str) -> Moments:
    """Raises ValueError."""
    first, comma, last = (piece.strip() for piece in text.partition(","))
    if comma:
        begin, end = moment_ms(first), moment_ms(last)
        return lambda ms: begin <= ms and (not end or ms < end + 1000)
    second = iso(moment_ms(first))
    digits = first.isascii() and first.isdigit()
    part = second if digits or len(first) > len("2024-08-19T02:27:15") else first.upper().replace(" ", "T")
    return lambda ms: iso(ms).startswith(part)


def _completed(job: Job, fits: Moments) -> bool:
    ended = finish_ms(job)
    return bool(ended) and fits(ended)


def _tags(text: str) -> dict[str, frozenset[str]]:
    """Values by key, of which one must fit; none: any. Raises ValueError."""
    if text.lstrip()[:1] not in ("{", "["):
        return {key: _values(value) for key, value in map(_tag, text.split(",")) if key}
    try:
        told = json.loads(text)
    except RecursionError as deep:
        raise ValueError("too deep") from deep
    pairs = told.items() if isinstance(told, dict) else [_pair(it) for it in told]
    return {str(key): _values(value) for key, value in pairs}


def _values(told: Any) -> frozenset[str]:
    several = told if isinstance(told, list) else [told]
    if not all(isinstance(it, str | int | None) for it in several):
        raise ValueError("no value of a tag")
    return frozenset(str(it) for it in several if it not in (None, ""))


def _pair(tag: Any) -> tuple[Any, Any]:
    """One value, as tags have it, or several, as filters of tags do."""
    if not isinstance(tag, dict) or "key" not in tag:
        raise ValueError("no tag")
    return tag["key"], tag.get("values", tag.get("value"))


def _tag(piece: str) -> tuple[str, str]:
    key, _, value = piece.strip().partition("=" if "=" in piece else ":")
    return key.strip(), value.strip()


def _tagged(job: Job, wanted: Mapping[str, frozenset[str]]) -> bool:
    known = {tag["key"]: tag["value"] for tag in tags_of(job)}
    return all(key in known and (not values or known[key] in values) for key, values in wanted.items())
