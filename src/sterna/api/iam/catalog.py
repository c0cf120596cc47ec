"""Where the services are: what clients that read a catalogue find, each under the names that it looks for.

The types and paths are those that the clients were seen to need: openstacksdk and its Open Telekom Cloud
extensions (``identity``, ``drs``, ``dcs``), that cloud's Terraform provider (``dcsv1`` for versions 1 and 2 of
DCS, and ``volumev2``, from which it derives the address of DRS), and names of Sterna's own for people who use
plain sessions.
"""

import hashlib
import re
from collections.abc import Sequence

from fastapi import Request

from sterna.api.front import Front
from sterna.api.iam.bodies import CatalogEntry, EndpointPart
from sterna.core.people import Project

_PATHS = (
    ("identity", "v3"),
    ("drs", "v3/{project_id}"),
    ("drsv5", "v5/{project_id}"),
    ("dcs", "v1.0/{project_id}"),
    ("dcsv1", "v1.0/{project_id}"),
    ("dcsv2", "v2/{project_id}"),
    ("volumev2", "v2/{project_id}"),
)
_HOST = re.compile(r"[\w.\-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?", re.ASCII)


def base_url(front: Front, request: Request) -> str:
    """Scheme and host of the addresses handed out: the configured ones, else those that the client used."""
    if front.settings.public_url:
        return front.settings.public_url.rstrip("/")
    host = request.headers.get("host", "")
    if not _HOST.fullmatch(host):
        address, port = request.scope.get("server") or ("localhost", 80)
        host = f"{address}:{port}"
    return f"{request.url.scheme}://{host}"


def entries(base: str, projects: Sequence[Project]) -> list[CatalogEntry]:
    """All services, with one endpoint for each project. A project's region has its name."""
    return [
        CatalogEntry(
            id=_id(kind), type=kind, name=kind, endpoints=[_endpoint(base, kind, path, it) for it in projects]
        )
        for kind, path in _PATHS
    ]


def _endpoint(base: str, kind: str, path: str, project: Project) -> EndpointPart:
    return EndpointPart(
        id=_id(kind, project.id),
        region=project.name,
        region_id=project.name,
        url=f"{base}/{path.format(project_id=project.id)}",
    )


def _id(*parts: str) -> str:
    """The same 32 digits every time."""
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:32]
