"""Which documented code a refusal gets: by the field that is wrong, or by what went wrong inside."""

from collections.abc import Mapping, Sequence
from typing import Any

from sterna.api.errors import Told
from sterna.core.errors import IllegalMove, Invalid, NotFound, Refused

_FIELDS = {
    "name": "DCS.4010",
    "task_name": "DCS.4010",
    "description": "DCS.4011",
    "vpc_id": "DCS.4013",
    "security_group_id": "DCS.4014",
    "subnet_id": "DCS.4016",
    "source_instance.id": "DCS.4061",
    "target_instance.id": "DCS.4061",
    "source_instance.password": "DCS.4845",
    "target_instance.password": "DCS.4845",
    "remark": "DCS.4098",
    "migration_tasks": "DCS.4855",
    "task_id_list": "DCS.4070",
}


def of_fields(problems: Sequence[Mapping[str, Any]]) -> Told:
    """The refusal of a request whose fields do not fit; only names of known fields go into it, never values."""
    problem = problems[0]
    place, *path = problem["loc"]
    field = ".".join(str(step) for step in path if not isinstance(step, int))
    if place != "body":
        return Told("DCS.4062", field)
    if not field:
        return Told("DCS.4005")
    if field in ("migration_tasks", "task_id_list") and problem["type"] == "too_long":
        return Told("DCS.4100")
    code = _FIELDS.get(field, "DCS.4063")
    return Told(code, field)


def of_refusal(refused: Refused) -> Told:
    """The refusal of something that the job or the store did not allow."""
    match refused:
        case IllegalMove():
            return Told("DCS.4957")
        case NotFound():
            return Told("DCS.4133")
        case Invalid():
            return Told("DCS.4063", refused.field)
        case _:
            return Told("DCS.4957")
