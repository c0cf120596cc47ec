"""Connections: database servers that are registered by name, so that tasks can name them by id.

A connection is a registered instance of the project, however it was registered. A task uses it by giving its id as
``instance_id``.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Depends

from sterna.api.drs.backup.finding import KIND as BACKUPS
from sterna.api.drs.endpoints import endpoint_of, shown_addresses
from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.links import link_of
from sterna.api.drs.v5 import bodies
from sterna.api.drs.v5.doing import RESPONSES
from sterna.api.drs.v5.finding import Filter, Limit, Offset
from sterna.api.drs.v5.plans import said_of
from sterna.api.errors import Told
from sterna.api.front import Front, FrontDep
from sterna.core.errors import IllegalMove, NotFound
from sterna.core.people import Instance
from sterna.core.plan import Endpoint, Tls
from sterna.jobs.using import check_instance

Json = dict[str, Any]

UNKNOWN = "DRS.10010069"
TAKEN = "DRS.10010065"

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)


async def _connection(front: FrontDep, project_id: str, connection_id: str) -> Instance:
    """Raises Told: one of another project is as if it were not there."""
    try:
        found = await front.store.instance(connection_id)
    except NotFound as missing:
        raise Told(UNKNOWN) from missing
    if found.project_id != project_id:
        raise Told(UNKNOWN)
    return found


ConnectionDep = Annotated[Instance, Depends(_connection)]


@routes.post("/connections", name="CreateConnection")
async def create(front: FrontDep, project_id: str, body: bodies.NewConnection) -> Json:
    """Register a database server."""
    endpoint = await _endpoint(front, project_id, body.db_type, body, None)
    if not endpoint.addresses:
        raise Told("DRS.M00201", "endpoint.ip")
    made = Instance(
        id=str(uuid4()),
        project_id=project_id,
        name=body.name,
        engine=endpoint.engine,
        addresses=(),
        created_ms=front.desk.clock(),
        facts=bodies.kept(body),
    )
    made = _at(made, endpoint)
    async with front.turn:
        await _free(front, project_id, body.name)
        await front.store.add_instance(made)
    return _shown(made)


@routes.get("/connections", name="ListConnections")
async def list_connections(
    front: FrontDep,
    project_id: str,
    connection_id: Filter = "",
    db_type: Filter = "",
    name: Filter = "",
    inst_id: Filter = "",
    ip: Filter = "",
    description: Filter = "",
    enterprise_project_id: Filter = "",
    fetch_all: bool = False,
    offset: Offset = 0,
    limit: Limit = 10,
    sort_key: Filter = "",
    sort_dir: Filter = "desc",
) -> Json:
    """The database servers that are registered, newest first."""
    wanted = {"connection_id": connection_id, "db_type": db_type, "enterprise_project_id": enterprise_project_id}
    rows = [
        row
        for it in await front.store.instances(project_id)
        for row in (_shown(it),)
        if all(value in ("", row.get(key)) for key, value in wanted.items())
        and name in it.name
        and inst_id in ("", row["endpoint"].get("instance_id"), it.id)
        and ip in row["endpoint"]["ip"]
        and description in row["description"]
    ]
    rows.sort(key=_SORTS.get(sort_key, _SORTS["created_at"]), reverse=sort_dir != "asc")
    return {"count": len(rows), "connections": rows if fetch_all else rows[offset : offset + limit]}


_SORTS: Mapping[str, Any] = {
    "created_at": lambda row: row["create_time"],
    "name": lambda row: row["name"].lower(),
    "db_type": lambda row: row["db_type"],
    "inst_id": lambda row: row["endpoint"].get("instance_id", ""),
    "ip": lambda row: row["endpoint"]["ip"],
    "description": lambda row: row["description"],
}


@routes.put("/connections/{connection_id}", name="ModifyConnection")
async def modify(front: FrontDep, known: ConnectionDep, body: bodies.ChangedConnection) -> Json:
    """Change what is given. Tasks that were made with it keep what they have."""
    changed = replace(known, name=body.name or known.name, facts={**known.facts, **bodies.kept(body)})
    if body.endpoint is not None or body.ssl is not None:
        endpoint = await _endpoint(front, known.project_id, body.db_type or known.engine, body, known)
        changed = _at(changed, endpoint)
    async with front.turn:
        if body.name is not None:
            await _free(front, known.project_id, body.name, known.id)
        await front.store.put_instance(changed)
    return {}


@routes.delete("/connections/{connection_id}", name="DeleteConnection")
async def delete(front: FrontDep, known: ConnectionDep) -> Json:
    """Forget a database server. Tasks that were made with it keep what they have.

    Refused while backups are being restored into it, or while a chain of them waits for its next one.
    """
    async with front.turn:
        _, restores = await front.store.jobs(known.project_id, kinds=(BACKUPS,))
        try:
            check_instance(restores, known.id, known.name)
        except IllegalMove as needed:
            raise Told("DRS.M00300.needed", needed.message) from needed
        await front.store.remove_instance(known.id)
    return {}


async def _free(front: Front, project_id: str, name: str, but: str = "") -> None:
    for it in await front.store.instances(project_id):
        if it.name.lower() == name.lower() and it.id != but:
            raise Told(TAKEN)


async def _endpoint(
    front: Front,
    project_id: str,
    db_type: str,
    body: bodies.NewConnection | bodies.ChangedConnection,
    before: Instance | None,
) -> Endpoint:
    """Where it is, in the words of a task's side. Raises Told."""
    link = link_of(_LINKS.get(db_type, db_type), "migration", front.desk.engines)
    side = bodies.Side(
        db_type=db_type,
        endpoint_role="so",
        endpoint=body.endpoint or bodies.Server.model_validate({}),
        ssl=body.ssl or bodies.Ssl(),
    )
    known = _endpoint_of(before) if before and before.engine == link.engine else None
    return await endpoint_of(front.store, project_id, link, said_of(side), known)


_LINKS = {"rediscluster": "redis", "gaussredis": "redis", "valkey": "redis", "postgres": "postgresql"}


def _endpoint_of(it: Instance) -> Endpoint:
    tls = Tls(**json.loads(it.tls)) if it.tls else None
    database = _dict(it.facts, "endpoint").get("db_name", "")
    return Endpoint(
        it.engine, it.addresses, it.user, it.password, tls, instance_id=it.id, name=it.name, database=str(database)
    )


def _at(it: Instance, endpoint: Endpoint) -> Instance:
    return replace(
        it,
        engine=endpoint.engine,
        addresses=endpoint.addresses,
        user=endpoint.user,
        password=endpoint.password,
        tls=json.dumps(asdict(endpoint.tls)) if endpoint.tls else "",
    )


def _shown(it: Instance) -> Json:
    """A connection as it was described, without its password."""
    ip, port = shown_addresses(_endpoint_of(it))
    server = {"endpoint_name": it.engine, **_dict(it.facts, "endpoint")}
    return {
        "connection_id": it.id,
        "name": it.name,
        "create_time": it.created_ms,
        "db_type": it.facts.get("db_type") or it.engine,
        "config": _dict(it.facts, "config"),
        "endpoint": server | {"ip": ip, "db_port": str(port), "db_user": it.user},
        "vpc": _dict(it.facts, "vpc"),
        "ssl": {**_dict(it.facts, "ssl"), "ssl_link": bool(it.tls)},
        "enterprise_project_id": it.facts.get("enterprise_project_id") or "0",
        "description": it.facts.get("description") or "",
    }


def _dict(facts: Mapping[str, object], name: str) -> Json:
    value = facts.get(name)
    return dict(value) if isinstance(value, Mapping) else {}
