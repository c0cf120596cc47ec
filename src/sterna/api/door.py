"""The first thing that a request meets: it gets a number, its body is read within bounds, and nothing leaks out.

The raw request is kept for the signature check; what the routes see is tidied: no trailing slash, HEAD as GET, and
an encoded slash inside a path segment stays inside it.
"""

import re
import time
import traceback
from urllib.parse import unquote

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sterna.api.errors import Told, answer, broken, is_drs, is_iam
from sterna.api.language import chosen
from sterna.api.signing import RawRequest
from sterna.core.errors import Trouble
from sterna.core.people import new_id

log = structlog.get_logger("sterna.api")

RAW = "sterna.raw"
REQUEST_ID = "sterna.request_id"

DRAINED = 16
"""How many times the limit is still read of a body that is too large."""


_ORIGIN = re.compile(rb"^https?://[^/]*", re.IGNORECASE)


class TooLarge(Exception):
    """The body is larger than allowed."""


class Gone(Exception):
    """The client went away before its request was complete."""


class Door:
    """ASGI middleware around the whole application."""

    def __init__(self, app: ASGIApp, body_limit: int) -> None:
        self._app = app
        self._body_limit = body_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope, send)
        try:
            await self._enter(visit, scope, receive)
        except Gone:
            return
        except TooLarge:
            await visit.refuse(Told("APIGW.0201", headers={"Connection": "close"}))
        except Trouble as trouble:  # a full disk, a store that is away: the log says it in a sentence
            log.error("api.trouble", request_id=visit.id, error=trouble.message, hint=trouble.hint)
            await visit.refuse(broken(tidy_path(_raw_path(scope))))
        except Exception:  # a bug: the client learns a number, the log the rest
            log.error("api.bug", request_id=visit.id, traceback=traceback.format_exc())
            await visit.refuse(broken(tidy_path(_raw_path(scope))))
        visit.note()

    async def _enter(self, visit: "_Visit", scope: Scope, receive: Receive) -> None:
        body = await _read(scope, receive, self._body_limit)
        inner = dict(scope)
        inner[RAW] = _raw(scope, body)
        inner[REQUEST_ID] = visit.id
        inner["method"] = "GET" if scope["method"] == "HEAD" else scope["method"]
        inner["path"] = tidy_path(_raw_path(scope))
        await self._app(inner, _again(body, receive), visit.send)


class _Visit:
    """One request on its way: its number, and what was answered."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = new_id()
        self._scope = scope
        self._send = send
        self._status = 0
        self._began = time.monotonic()

    async def send(self, message: Message) -> None:
        """Pass on, with the request's number in the headers."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message = {**message, "headers": [*message["headers"], *self._marks()]}
        await self._send(message)

    def _marks(self) -> list[tuple[bytes, bytes]]:
        """The headers that carry the number; clients of IAM quote another one."""
        marks = [(b"x-request-id", self.id.encode())]
        if is_iam(tidy_path(_raw_path(self._scope))):
            marks.append((b"x-iam-trace-id", self.id.encode()))
        return marks

    async def refuse(self, told: Told) -> None:
        if self._status:
            return  # too late: the answer has begun
        response = answer(told, chosen(_header(self._scope, b"x-language")), self.id)
        await response(self._scope, _nothing, self.send)

    def note(self) -> None:
        took = round((time.monotonic() - self._began) * 1000, 1)
        method, path = self._scope["method"], _raw_path(self._scope).decode("latin-1")
        log.info("api.request", request_id=self.id, method=method, path=path, status=self._status, took_ms=took)


def tidy_path(raw: bytes) -> str:
    """The path that routes are matched with: decoded segment by segment, one slash in front and none behind.

    Java clients whose endpoint ends with a slash send two in front. Any path of DRS may begin with ``/drs``.
    """
    segments = [
        unquote(segment, errors="replace").replace("/", "%2F") for segment in raw.decode("latin-1").split("/")
    ]
    path = "/" + "/".join(segments).strip("/")
    inner = path.removeprefix("/drs")
    return inner if is_drs(inner) else path


def _raw(scope: Scope, body: bytes) -> RawRequest:
    path = _raw_path(scope)
    query = scope.get("query_string", b"")
    headers = tuple((name.decode("latin-1").lower(), value) for name, value in scope["headers"])
    return RawRequest(scope["method"], path + b"?" + query if query else path, headers, body)


def _raw_path(scope: Scope) -> bytes:
    """The path as it was sent. A target may be a whole URL (RFC 9112, 3.2.2): its scheme and host are left out."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return _ORIGIN.sub(b"", raw) or b"/"


async def _read(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. Raises TooLarge for more than ``limit`` bytes.

    A little too much is read to its end and thrown away, since a client that is still sending would not see the
    answer; of far too much nothing more is read.
    """
    declared = _header(scope, b"content-length") or ""
    if declared.isdigit() and int(declared[:20]) > limit * DRAINED:
        raise TooLarge
    body, size = bytearray(), 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        piece = message.get("body", b"")
        size += len(piece)
        if size <= limit:
            body += piece
        if size > limit * DRAINED or (size > limit and not message.get("more_body", False)):
            raise TooLarge
        if not message.get("more_body", False):
            return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    """A receive that hands out the body that was read, once, and then what else comes."""
    pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def give() -> Message:
        return pending.pop() if pending else await receive()

    return give


async def _nothing() -> Message:
    return {"type": "http.disconnect"}


def _header(scope: Scope, name: bytes) -> str | None:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key.lower() == name), None)
