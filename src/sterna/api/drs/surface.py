"""The whole surface of DRS: what is offered, and an answer in the documented form to all that is not."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute

from sterna.api.drs.entry import DrsRoute, OldDrsRoute, UploadRoute
from sterna.api.drs.operations import MULTIPART, OLDER_PATHS, OPERATIONS, REFUSED, Operation, Version
from sterna.api.drs.v3.routes import ROUTERS as V3
from sterna.api.drs.v5.routers import ROUTERS as V5
from sterna.api.errors import DrsError, GatewayError, OldDrsError, Told

OFFERED: tuple[APIRouter, ...] = (*V3, *V5)
"""Routers whose paths are complete."""

_CODES = {
    Version.V1: "DRS.0999",
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
    refusals = [route for it in OPERATIONS if (it.method, it.served) not in answered for route in _refusals(it)]
    everything: list[APIRoute] = sorted([*offered, *refusals], key=_order)
    router.routes.extend(everything)
    return router


def _refusals(operation: Operation) -> Iterator[APIRoute]:
    yield _refusal(operation, operation.served, described=True)
    for path in OLDER_PATHS.get(operation.name, ()):
        yield _refusal(operation, path, described=False)


def _refusal(operation: Operation, path: str, *, described: bool) -> APIRoute:
    told = Told(_CODES[operation.version], operation.name)
    old = operation.version is Version.V1
    kind = OldDrsRoute if old else UploadRoute if operation.takes == MULTIPART else DrsRoute
    return kind(
        path,
        _refuse(told),
        methods=[operation.method],
        name=operation.name,
        tags=["DRS"],
        description=f"Refused ({told.shown_code}): not supported here.",
        response_model=None,
        responses=_RESPONSES | {told.status: {"model": OldDrsError if old else DrsError}},
        include_in_schema=described,
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
