"""Doing something with one task, or with each of some, and saying how it went."""

from collections.abc import Awaitable, Callable
from typing import Any

from sterna.api.drs.codes import of_refusal
from sterna.api.drs.v5.finding import task
from sterna.api.errors import DrsError, GatewayError, Told
from sterna.api.front import Front
from sterna.core.errors import Refused
from sterna.core.job import Job

Json = dict[str, Any]

RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": DrsError},
    401: {"model": GatewayError},
    403: {"model": DrsError},
    500: {"model": DrsError},
}

TAKEN = "DRS.M00277.v5"
"""That another task has the name."""

UNKNOWN = "DRS.10020102"
"""That a task is not there, as the answers for several tasks have it."""


async def each(
    front: Front,
    project_id: str,
    id: str,
    action: Callable[[Job], Awaitable[Json | None]],
    language: str,
    missing: str = UNKNOWN,
) -> Json:
    """Do it to one task of several, and say how it went, in the action's own words if it has any."""
    name = ""
    try:
        job = await task(front, project_id, id, missing)
        name = job.name
        return {"id": id, "name": name} | (await action(job) or {"status": "Success"})
    except Told as told:
        return _failed(id, name, told, language)
    except Refused as refused:
        return _failed(id, name, of_refusal(refused), language)


def _failed(id: str, name: str, told: Told, language: str) -> Json:
    return {
        "id": id,
        "name": name,
        "status": "Failed",
        "error_code": told.shown_code,
        "error_msg": told.text(language),
    }
