"""What can be moved to what, as v5 tells it."""

from collections.abc import Iterator
from typing import Any, Literal

from fastapi import APIRouter

from sterna.api.drs.entry import DrsRoute
from sterna.api.drs.links import LINKS, MODES, USES, Link
from sterna.api.drs.v5.doing import RESPONSES
from sterna.api.drs.v5.finding import Filter, Limit, Offset
from sterna.api.front import Front, FrontDep

Json = dict[str, Any]
Kind = Literal["migration", "sync", "cloudDataGuard", "replay", "verify", "cdc"]

NETWORKS = ("eip", "vpc", "vpn")
DIRECTIONS = ("up", "down", "non-dbs")

routes = APIRouter(route_class=DrsRoute, prefix="/v5/{project_id}", tags=["DRS v5"], responses=RESPONSES)


@routes.get("/support-links", name="ListSupportLinks")
async def support_links(front: FrontDep, job_type: Kind, offset: Offset = 0, limit: Limit = 10) -> Json:
    """Every kind of task that there is, by engine, network and direction."""
    rows = [
        {
            "engine_type": link.engine_type,
            "net_type": network,
            "task_modes": list(MODES),
            "job_direction": direction,
            "cluster_mode": cluster,
            "job_instance_type": "Single",
            "is_support_bind_eip": False,
        }
        for link, network, direction in _all(front, job_type)
        for cluster in _clusters(link)
    ]
    return {"total_count": len(rows), "support_links": rows[offset : offset + limit]}


@routes.get("/links", name="ListLinks")
async def links(front: FrontDep, job_type: Kind, offset: Offset = 0, limit: Limit = 10) -> Json:
    """The same, older: by where the two sides are."""
    rows = [
        {
            "job_type": job_type,
            "engine_type": link.engine_type,
            "source_endpoint_type": source,
            "target_endpoint_type": target,
            "job_direction": direction,
            "net_type": network,
            "task_types": list(MODES),
            "cluster_modes": list(_clusters(link)),
            "description": "",
        }
        for link, network, direction in _all(front, job_type)
        for source, target in (_ENDS[direction],)
    ]
    return {"total_count": len(rows), "job_links": rows[offset : offset + limit]}


_ENDS = {"up": ("offline", "cloud"), "down": ("cloud", "offline"), "non-dbs": ("offline", "offline")}


@routes.get("/features", name="ListFeatures")
async def features(site: Filter, offset: Offset = 0, limit: Limit = 10) -> Json:
    """The cloud's feature switches: there are none here."""
    return {"all_features": []}


def _all(front: Front, job_type: str) -> Iterator[tuple[Link, str, str]]:
    """Nothing for a kind of task that is not offered."""
    for link in LINKS.values() if job_type in USES else ():
        if link.engine in front.desk.engines:
            yield from ((link, network, direction) for network in NETWORKS for direction in DIRECTIONS)


def _clusters(link: Link) -> tuple[str, ...]:
    return ("Single", "Ha", "Cluster") if link.engine == "redis" else ("Single", "Ha")
