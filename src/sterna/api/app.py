"""Puts the APIs together: one application in front of a store and a desk."""

import asyncio
import re
import threading
from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from sterna import __version__
from sterna.api import docs, metrics
from sterna.api.dcs import codes
from sterna.api.dcs.instances import routes as instance_routes
from sterna.api.dcs.routes import old_routes
from sterna.api.dcs.routes import routes as dcs_routes
from sterna.api.door import REQUEST_ID, Door
from sterna.api.drs import codes as drs_codes
from sterna.api.drs.surface import drs_routes
from sterna.api.errors import Told, answer, broken, is_drs, is_iam, is_old_drs, unknown_path, wrong_method
from sterna.api.front import Front, FrontDep
from sterna.api.iam.routes import open_routes
from sterna.api.iam.routes import routes as iam_routes
from sterna.api.language import chosen
from sterna.api.settings import ApiSettings
from sterna.api.turn import Turn
from sterna.core.errors import Refused
from sterna.core.stores import Store
from sterna.jobs.desk import Desk

log = structlog.get_logger("sterna.api")

_ABOUT = (
    "Moves live databases behind the HTTP APIs of DRS, DCS data migration and IAM. Requests carry X-Auth-Token, "
    "or an AK/SK signature (SDK-HMAC-SHA256)."
)


def create_app(store: Store, desk: Desk, settings: ApiSettings | None = None) -> FastAPI:
    """The application, to be served at the root of its host. It starts and closes nothing: who calls does."""
    settings = settings or ApiSettings()
    app = FastAPI(
        title="Sterna",
        version=__version__,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.front = Front(store, desk, settings, turn=Turn(settings.turn_file))
    app.add_middleware(Door, body_limit=settings.body_limit)
    _handle_errors(app)
    _own_routes(app)
    for router in (open_routes, iam_routes, dcs_routes, instance_routes, old_routes, drs_routes()):
        app.include_router(router)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _own_routes(app: FastAPI) -> None:
    @app.get("/healthz", name="Health", tags=["Service"], response_model=dict[str, str])
    async def health(front: FrontDep) -> JSONResponse:
        """Whether the service can reach its store: 200, or 503 if it cannot."""
        try:
            await front.store.jobs(limit=1)
        except Exception as wrong:  # whatever it is, the service is of no use without its store
            log.error("api.store", error=type(wrong).__name__)
            return JSONResponse({"status": "the store does not answer"}, 503)
        return JSONResponse({"status": "ok"})

    @app.get("/metrics", name="Metrics", tags=["Service"], response_class=Response)
    async def figures(front: FrontDep, request: Request) -> Response:
        """Figures for Prometheus: for clients on the service's machine, or with its metrics token."""
        metrics.admit(request, front.settings.metrics_token)
        return Response(await metrics.exposition(front.store), media_type="text/plain; version=0.0.4")

    @app.get("/docs", include_in_schema=False)
    async def documentation() -> HTMLResponse:
        return HTMLResponse(docs.page(await _description(app)))

    @app.get("/openapi.json", include_in_schema=False)
    async def description() -> JSONResponse:
        return JSONResponse(await _description(app))


def _handle_errors(app: FastAPI) -> None:
    @app.exception_handler(Told)
    async def told(request: Request, error: Told) -> JSONResponse:
        return _answer(request, error)

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        return _answer(request, _of_refusal(request, error))

    @app.exception_handler(RequestValidationError)
    async def unfit(request: Request, error: RequestValidationError) -> JSONResponse:
        return _answer(request, _of_fields(request, error))

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> JSONResponse:
        allowed = await _methods(request.app, request.scope["path"]) if error.status_code == 405 else []
        return _answer(request, _of_status(request, error, allowed))


def _of_fields(request: Request, error: RequestValidationError) -> Told:
    problems = error.errors()
    if is_old_drs(request.scope["path"]):
        return drs_codes.of_old_fields(problems)
    if is_drs(request.scope["path"]):
        return drs_codes.of_fields(problems)
    if not is_iam(request.scope["path"]):
        return codes.of_fields(problems)
    steps = [str(step) for step in problems[0]["loc"][1:] if not isinstance(step, int)]
    return Told("IAM.400", ".".join(steps) or "the body")


def _of_refusal(request: Request, refused: Refused) -> Told:
    path = request.scope["path"]
    if is_old_drs(path):
        return drs_codes.of_old_refusal(refused)
    return drs_codes.of_refusal(refused) if is_drs(path) else codes.of_refusal(refused)


def _of_status(request: Request, error: HTTPException, allowed: Sequence[str]) -> Told:
    path = request.scope["path"]
    match error.status_code:
        case 404:
            return unknown_path(path)
        case 405:
            return wrong_method(path, ", ".join(allowed))
        case _:
            return broken(path)


async def _methods(app: FastAPI, path: str) -> list[str]:
    """All methods that routes have for a path."""
    description = await _description(app)
    return sorted(
        method.upper()
        for template, methods in description["paths"].items()
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path)
        for method in methods
    )


def _answer(request: Request, told: Told) -> JSONResponse:
    return answer(told, chosen(request.headers.get("x-language")), request.scope[REQUEST_ID])


async def _description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description. Making it takes seconds, once, in which other requests are answered."""
    return await asyncio.to_thread(app.openapi)


_ONE = threading.Lock()


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description, without the framework's own errors, which are never sent."""
    with _ONE:
        return _made(app)


def _made(app: FastAPI) -> dict[str, Any]:
    if not app.openapi_schema:
        document = FastAPI.openapi(app)
        for methods in document["paths"].values():
            for operation in methods.values():
                operation["responses"].pop("422", None)
                if operation["operationId"] in _OPEN:
                    operation["security"] = []
        for name in ("HTTPValidationError", "ValidationError"):
            document["components"]["schemas"].pop(name, None)
        document["components"]["securitySchemes"] = _SCHEMES
        document["security"] = [{name: []} for name in _SCHEMES]
    return app.openapi_schema or {}


_OPEN = ("ListVersions", "ShowVersion", "CreateToken", "Health", "Metrics")
"""What needs no proof."""

_SCHEMES = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
    "signature": {"type": "apiKey", "in": "header", "name": "Authorization"},
}
