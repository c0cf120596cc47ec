"""What every route stands on: the store, the desk, the settings, and the routes' own manner of taking a request.

A route takes a request in this order: who is it, may they use this project, is the body readable. Only then are
fields looked at, so nobody learns anything from a refusal that they are not entitled to.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

from fastapi import Depends, Request, Response
from fastapi.routing import APIRoute

from sterna.api.auth import Guard, admitted
from sterna.api.door import RAW
from sterna.api.errors import NotProven, Told
from sterna.api.settings import ApiSettings
from sterna.api.signing import RawRequest
from sterna.api.turn import Turn
from sterna.core.people import Identity
from sterna.core.stores import Store
from sterna.jobs.desk import Desk

Handler = Callable[[Request], Coroutine[Any, Any, Response]]

LOGINS = 4
"""How many passwords are compared at the same time."""

DEEPEST = 40
"""How deep a body may be nested."""


@dataclass(frozen=True, slots=True)
class Front:
    """What the routes may use."""

    store: Store
    desk: Desk
    settings: ApiSettings
    logins: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(LOGINS))
    """Passwords are slow to compare on purpose: only so many at once, or they would keep all else waiting."""
    turn: Turn = field(default_factory=Turn)
    """Held from a look at what is there to a change that must fit it: a name that is free, tags that are added."""

    @property
    def guard(self) -> Guard:
        return Guard(self.store, self.settings.clock_window_s)


def front_of(request: Request) -> Front:
    front: Front = request.app.state.front
    return front


def identity_of_request(request: Request) -> Identity:
    """Set by the route before its function runs."""
    identity: Identity = request.state.identity
    return identity


FrontDep = Annotated[Front, Depends(front_of)]
IdentityDep = Annotated[Identity, Depends(identity_of_request)]


class PlainRoute(APIRoute):
    """A route that anybody may use."""

    no_body: ClassVar[str] = "IAM.400.empty"
    bad_body: ClassVar[str] = "IAM.400.json"

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()
        wants_body = self.body_field is not None

        async def take(request: Request) -> Response:
            await self.admit(request)
            return await handle(self._readable(request) if wants_body else request)

        return take

    async def admit(self, request: Request) -> None:
        """Raise if this request may not come in."""

    def _readable(self, request: Request) -> Request:
        raw: RawRequest = request.scope[RAW]
        if not raw.body.strip():
            raise Told(self.no_body)
        try:
            if not _is_json(request.headers.get("content-type")):
                raise ValueError("not JSON")
            value = read_json(raw.body)
        except (ValueError, RecursionError) as wrong:
            raise Told(self.bad_body) from wrong
        if not isinstance(value, dict):
            raise Told(self.bad_body)
        return _Parsed(request, value)


class IamRoute(PlainRoute):
    """A route of IAM that needs a token or a signature."""

    async def admit(self, request: Request) -> None:
        try:
            request.state.identity = await identified(request)
        except NotProven as why:
            raise Told("IAM.401", str(why)) from why


class DcsRoute(PlainRoute):
    """A route of DCS: proven, and within a project of one's own."""

    no_body = "DCS.4004"
    bad_body = "DCS.4005"

    async def admit(self, request: Request) -> None:
        try:
            identity = await identified(request)
        except NotProven as why:
            raise Told("APIGW.0301", str(why)) from why
        admitted(identity, request.path_params["project_id"])
        request.state.identity = identity


def read_json(body: bytes) -> Any:
    """A JSON value as the standard has it. Raises ValueError, RecursionError.

    Refused as well: NaN and infinity, nesting deeper than DEEPEST, and text that is no text (lone surrogates).
    """
    text = body.decode("utf-8-sig")
    value = json.loads(text, parse_constant=_no_constant)
    _check_depth(value, DEEPEST)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


class _Parsed(Request):
    """A request whose body was read already."""

    def __init__(self, request: Request, value: Any) -> None:
        headers = [pair for pair in request.scope["headers"] if pair[0].lower() != b"content-type"]
        scope = {**request.scope, "headers": [*headers, (b"content-type", b"application/json")]}
        super().__init__(scope, request.receive)
        self._value = value

    async def json(self) -> Any:
        return self._value


async def identified(request: Request) -> Identity:
    front = front_of(request)
    return await front.guard.identify(request.scope[RAW], front.desk.clock())


def _is_json(content_type: str | None) -> bool:
    """Missing is taken for JSON, since some clients leave it out."""
    return not content_type or content_type.partition(";")[0].strip().lower() == "application/json"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise ValueError("nested too deep")
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _check_depth(item, left - 1)
