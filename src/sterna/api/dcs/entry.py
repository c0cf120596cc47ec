"""What the routes of DCS share: their manner and bounds, and the mark of operations that are only refused."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from sterna.api.errors import GatewayError, ServiceError
from sterna.api.front import DcsRoute

LARGEST_OFFSET = 2**31 - 1
LARGEST_PAGE = 1000

_RESPONSES: dict[int | str, dict[str, Any]] = {
    400: {"model": ServiceError},
    401: {"model": GatewayError},
    403: {"model": ServiceError},
    404: {"model": ServiceError},
    500: {"model": ServiceError},
}
REFUSED = {"x-sterna-refused": True}
"""Marks an operation that is answered with a refusal only."""

Offset = Annotated[int, Query(ge=0, le=LARGEST_OFFSET)]


def router(version: str) -> APIRouter:
    """A router for one version of the API: ``v2`` or ``v1.0``."""
    return APIRouter(
        route_class=DcsRoute,
        prefix=f"/{version}/{{project_id}}",
        tags=["DCS"],
        responses=_RESPONSES,
    )
