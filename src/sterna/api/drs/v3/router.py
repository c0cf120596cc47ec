"""What all routes of v3 have in common."""

from fastapi import APIRouter

from sterna.api.drs.entry import DrsRoute
from sterna.api.errors import DrsError, GatewayError

_RESPONSES = {
    400: {"model": DrsError},
    401: {"model": GatewayError},
    403: {"model": DrsError},
    500: {"model": DrsError},
}


def router() -> APIRouter:
    """A router for some of them."""
    return APIRouter(
        route_class=DrsRoute,
        prefix="/v3/{project_id}",
        tags=["DRS"],
        responses=_RESPONSES,  # type: ignore[arg-type]
    )
