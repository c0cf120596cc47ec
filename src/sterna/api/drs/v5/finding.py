"""How the routes of v5 find what a path or a body names."""

import re
from typing import Annotated
from uuid import uuid4

from fastapi import Depends, Query
from pydantic import AfterValidator, BeforeValidator

from sterna.api.dcs.bodies import printable
from sterna.api.drs.tasks import find
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.core.job import Job

UNKNOWN = "DRS.10000010"
"""That a task is not there, or is no longer."""

QUERY = "query"
"""The kind of note that keeps what a query id stands for."""

LARGEST_OFFSET = 2**31 - 1
LARGEST_PAGE = 2000

Offset = Annotated[int, Query(ge=0, le=LARGEST_OFFSET)]
Limit = Annotated[int, Query(ge=0, le=LARGEST_PAGE)]


def default_of_empty(usual: int) -> BeforeValidator:
    """An empty text is as good as nothing."""
    return BeforeValidator(lambda value: usual if value == "" else value)


Filter = Annotated[str, Query(max_length=4096), AfterValidator(printable)]


async def task(front: Front, project_id: str, id: str, missing: str = UNKNOWN) -> Job:
    """The task with this id. Raises Told, with ``missing`` for one that is not there."""
    return await find(front, project_id, id, unknown=missing, gone=missing)


async def _of_path(front: FrontDep, project_id: str, job_id: str) -> Job:
    return await task(front, project_id, job_id)


TaskDep = Annotated[Job, Depends(_of_path)]


def is_uuid(text: str) -> bool:
    """Whether this can be the id of a query or a comparison."""
    return bool(_UUID.fullmatch(text))


_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def note_query(front: Front, job: Job, what: str, id: str = "", **facts: object) -> str:
    """A new query id, which stands for something that was begun."""
    id = id or str(uuid4())
    await front.store.put_note(job.id, QUERY, id, {"what": what, **facts})
    return id


async def query(front: Front, job: Job, id: str, what: str, missing: str = "") -> dict[str, object]:
    """What a query id stands for. Raises Told."""
    note = (await front.store.notes(job.id, QUERY)).get(id) if is_uuid(id) else None
    if note is None or note.get("what") != what:
        raise Told(missing) if missing else Told("DRS.M00202", "query_id")
    return dict(note)
