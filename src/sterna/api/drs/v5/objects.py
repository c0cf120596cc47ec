"""What can be selected: read from the source in the background, shown in the shape in which it is picked."""

from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Query

from sterna.api.drs import tasks
from sterna.api.drs.actions import Action, check
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.states import Status, status
from sterna.api.drs.v5 import bodies
from sterna.api.drs.v5.doing import RESPONSES
from sterna.api.drs.v5.finding import QUERY, Limit, Offset, TaskDep, note_query, query
from sterna.api.drs.v5.plans import OBJECTS
from sterna.api.drs.v5.selecting import MOST_TABLES, counted, object_info
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.core.errors import Trouble
from sterna.core.job import Job
from sterna.core.plan import Selection

Json = dict[str, Any]
Kind = Literal["source", "modified", "synchronized"]

STATE = "objects"
UNREAD = "DRS.10030014"
"""That nothing was read yet, or not with this id."""

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)
routes_51 = APIRouter(route_class=DrsRoute, prefix="/v5.1/{project_id}", tags=["DRS v5"], responses=RESPONSES)


@routes_51.post("/jobs/{job_id}/db-objects/collect", name="CollectDbObjectsInfo", status_code=202)
async def collect(front: FrontDep, job: TaskDep, body: bodies.Collect) -> Json:
    """Begin to read what the source holds, or take what was picked; the id asks for it."""
    return await _collect(front, job, body.type, body.db_names)


@routes.post("/jobs/{job_id}/db-objects/collect", name="CollectDbObjectsAsync", status_code=202)
async def collect_older(
    front: FrontDep, job: TaskDep, type: Kind, db_names: Annotated[list[str] | None, Query(max_length=1000)] = None
) -> Json:
    """The same, older: with a query instead of a body."""
    return await _collect(front, job, type, db_names or [])


async def _collect(front: Front, job: Job, kind: str, databases: list[str]) -> Json:
    check(job, Action.RENAME, front.desk.clock())
    id = str(uuid4())
    if kind == "source":
        await note_query(front, job, STATE, id, state="pending", kind=kind)
        front.desk.background.begin((QUERY, job.id, id), _read(front, job, id, databases))
    else:
        await note_query(front, job, STATE, id, state="success", kind=kind)
    return {"id": id, "job_id": job.id, "status": "pending"}


async def _read(front: Front, job: Job, id: str, databases: list[str]) -> None:
    try:
        found = await front.desk.browse(tasks.plan(job).source, databases)
    except Trouble as trouble:
        await note_query(front, job, STATE, id, state="failed", kind="source", why=trouble.message)
        return
    await note_query(front, job, STATE, id, state="success", kind="source", info=object_info(found[:MOST_TABLES]))


@routes.get("/jobs/{job_id}/db-objects/collection-status", name="ShowDbObjectCollectionStatus")
async def collected(front: FrontDep, job: TaskDep, query_id: str) -> Json:
    """What was read, once it was."""
    note = await query(front, job, query_id, STATE, UNREAD)
    if note["state"] == "pending" and not front.desk.background.works((QUERY, job.id, query_id)):
        note = {**note, "state": "failed"}  # the service was started anew in between
    if note["state"] != "success":
        return {"id": query_id, "status": note["state"]}
    if note["kind"] != "source":
        return _picked(front, job, query_id, str(note["kind"]))
    return {"id": query_id, "status": "success", "object_scope": "table", **_block(note.get("info"))}


@routes_51.get("/jobs/{job_id}/db-object", name="ShowDbObjectsList")
async def picked(front: FrontDep, job: TaskDep, type: Literal["modified"]) -> Json:
    """What was picked."""
    return _picked(front, job, job.id, type)


@routes.get("/jobs/{job_id}/db-objects", name="ListDbObjects")
async def list_objects(
    front: FrontDep,
    job: TaskDep,
    type: Kind,
    offset: Offset = 0,
    limit: Limit = 10,
    db_names: Annotated[list[str] | None, Query(max_length=1000)] = None,
) -> Json:
    """What was picked, or what the source held when it was last read; some databases, or a page of them."""
    shown = await _last_read(front, job) if type == "source" else _picked(front, job, job.id, type)
    info = {name: it for name, it in shown["object_info"].items() if not db_names or name in db_names}
    return shown | {"object_info": dict(list(info.items())[offset : offset + limit])}


async def _last_read(front: Front, job: Job) -> Json:
    notes = (await front.store.notes(job.id, QUERY)).values()
    read = [it for it in notes if it.get("what") == STATE and it.get("state") == "success" and "info" in it]
    if not read:
        raise Told(UNREAD)
    return {"id": job.id, "status": "success", "object_scope": "table", **_block(read[-1]["info"])}


def _picked(front: Front, job: Job, id: str, kind: str) -> Json:
    """What a client picked; what is synchronized of it is nothing before a task has begun."""
    kept = job.extra.get(OBJECTS)
    given: Json = dict(kept) if isinstance(kept, dict) else _as_through_v3(tasks.plan(job).selection)
    begun = status(job, front.desk.clock()) not in (Status.CONFIGURATION, Status.WAITING_FOR_START)
    if kind == "synchronized" and not begun:
        given = {"object_scope": given["object_scope"]}
    root = {"target_root_db": given["target_root_db"]} if given.get("target_root_db") else {}
    return (
        {"id": id, "status": "success", "object_scope": given["object_scope"]}
        | root
        | _block(counted(given.get("object_info", {})))
    )


def _block(info: object) -> Json:
    return {"object_info": info or {}, "max_table_num": MOST_TABLES}


def _as_through_v3(selection: Selection) -> Json:
    """The same of a task whose objects were not picked here."""
    if not selection.objects:
        return {"object_scope": "all", "object_info": {}}
    info: Json = {}
    for it in selection.objects:
        to = it.to or it.path
        database = info.setdefault(it.path[0], {"name": to[0], "all": len(it.path) == 1})
        if len(it.path) > 1:
            schemas = database.setdefault("schemas", {})
            schema = schemas.setdefault(it.path[1], {"name": to[1], "all": len(it.path) == 2})
        if len(it.path) == 3:
            table = {"name": to[2], "type": "table", "all": not it.columns and not it.where}
            schema.setdefault("tables", {})[it.path[2]] = table
    return {"object_scope": "table", "object_info": info}


@routes.get("/jobs/{job_id}/db-objects/saving-status", name="ShowUpdateObjectSavingStatus")
async def saved(front: FrontDep, job: TaskDep, query_id: str) -> Json:
    """Whether the objects that were picked are kept: they were as soon as they were taken."""
    await query(front, job, query_id, "saving", "DRS.10030015")
    return {"id": query_id, "status": "success", "job_id": job.id}


@routes.get("/jobs/{job_id}/object/support", name="ShowSupportObjectType")
async def supported(job: TaskDep) -> Json:
    """How objects can be picked: in a request, not by a file."""
    columns = tasks.plan(job).source.engine == "postgresql"
    return {
        "is_full_trans_support_object": True,
        "is_incre_trans_support_object": False,
        "is_full_incre_trans_support_object": True,
        "support_object_import_engine": [],
        "is_support_column_mapping": columns,
        "is_database_support_search": True,
        "is_schema_support_search": columns,
        "is_table_support_search": columns,
        "file_size": "0",
        "previous_select": "",
        "import_level": "",
        "is_import_cloumn": False,
        "import_mapping_type": "",
        "is_import_unique_key": False,
    }
