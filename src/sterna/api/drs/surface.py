"""The whole surface of DRS: what is offered, and an answer in the documented form to all that is not."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from sterna.api.drs.backup import old_routes as old_backups
from sterna.api.drs.backup import routes as backups
from sterna.api.drs.entry import DrsRoute, UploadRoute
from sterna.api.drs.operations import MULTIPART, OPERATIONS, REFUSED, Operation, Version
from sterna.api.drs.v3.routes import ROUTERS as V3
from sterna.api.drs.v5.routers import ROUTERS as V5
from sterna.api.errors import DrsError, GatewayError, Told

OFFERED: tuple[APIRouter, ...] = (*V3, *V5, backups.routes, old_backups.routes)
"""Routers whose paths are complete."""

_CODES = {
    Version.V3: "DRS.M00300.unsupported",
    Version.V5: "DRS.10000001.unsupported",
    Version.V51: "DRS.10000001.unsupported",
}

_RESPONSES: dict[int | str, dict[str, Any]] = {401: {"model": GatewayError}}


def drs_routes() -> APIRouter:
    """One router for all of DRS. Of two routes that fit a path, the one with the more fixed words comes first."""
    router = APIRouter(tags=["DRS"])
    offered = [route for it in OFFERED for route in it.routes if isinstance(route, APIRoute)]
    answered = {(method, route.path) for route in offered for method in route.methods or ()}
    refusals = [_refusal(it) for it in OPERATIONS if (it.method, it.served) not in answered]
    everything: list[APIRoute] = sorted([*offered, *refusals], key=_order)
    router.routes.extend(everything)
    return router


def _refusal(operation: Operation) -> APIRoute:
    told = Told(_CODES[operation.version], operation.name)
    kind = UploadRoute if operation.takes == MULTIPART else DrsRoute
    return kind(
        operation.served,
        _refuse(told),
        methods=[operation.method],
        name=operation.name,
        tags=["DRS"],
        description=f"Refused ({told.shown_code}): not supported here.",
        response_model=None,
        responses=_RESPONSES | {told.status: {"model": DrsError}},
        openapi_extra={REFUSED: told.shown_code},
        generate_unique_id_function=_name,
    )


def _refuse(told: Told) -> Callable[[], Coroutine[Any, Any, None]]:
    async def refuse() -> None:
        raise told

    return refuse


def _name(route: APIRoute) -> str:
    return route.name


def _order(route: APIRoute) -> tuple[bool, ...]:
    """Fixed words before places, from left to right."""
    return tuple(step.startswith("{") for step in route.path.split("/"))
