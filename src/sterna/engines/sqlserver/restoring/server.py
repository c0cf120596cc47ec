"""One session on a SQL Server, over python-tds: statements in, rows and progress out, errors by their numbers."""

import asyncio
import logging
import re
import ssl
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

import pytds

from sterna.core.errors import AccessDenied, Trouble, Unreachable
from sterna.core.plan import Endpoint
from sterna.engines.sqlserver.restoring import tsql
from sterna.engines.sqlserver.restoring.faults import Said, ServerFault, trouble
from sterna.engines.sqlserver.restoring.transport import LoginFailed, Wire
from sterna.engines.sqlserver.restoring.tsql import Statement

PORT = 1433
LOGIN_SECONDS = 15.0
ANSWER_SECONDS = 60.0
"""How long a look into the catalogue may take; a restore takes as long as it takes."""
MEDIA_SECONDS = 1800.0
"""How long a look into a backup file may take: of a large one on a slow share the server reads a good deal."""
_PERCENT = 3211
"""``%d percent processed.``: what STATS makes RESTORE say."""
_CANCELLED_SECONDS = 30.0
_ERROR = 11
"""Severity from which on a message is an error."""

_EDGE = (pytds.Error, OSError, ValueError, LookupError, AssertionError, RuntimeError, struct.error)
"""What the library raises where something else than a SQL Server answers."""

Row = Mapping[str, Any]
T = TypeVar("T")

logging.getLogger("pytds").setLevel(logging.WARNING)  # it writes down how statements begin


class Server:
    """A session in ``master``. One statement at a time; all of them in a thread of its own."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tds")
        self._wire: Wire | None = None
        self._connection: Any = None
        self._cursor: Any = None
        self._closed = False

    async def open(self) -> None:
        """Raises Unreachable, AccessDenied."""
        await self._do(self._open, f"Logging in to {self.endpoint}")

    async def close(self) -> None:
        """Twice is once."""
        if self._closed:
            return
        self._closed = True
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown(wait=False)

    async def rows(self, statement: Statement, what: str, *, patience: float = ANSWER_SECONDS) -> Sequence[Row]:
        """What a query answers, each row by the names of its columns. ``what``: for the error, what was done.

        ``patience``: seconds that the server may be silent. Cancelled, it tells the server to stop.
        Raises Unreachable, AccessDenied, and what the server's errors stand for.
        """
        return await self._do(lambda: self._rows(statement, patience), what)

    async def alone(self, resource: str, wait_ms: int = 0) -> bool:
        """Take a name for this session alone, as long as it lasts. False: another session has it."""
        return await self._granted(tsql.hold(resource, wait_ms), resource)

    async def together(self, resource: str) -> bool:
        """Take a name as others of Sterna's may at the same time. False: another session has it alone."""
        return await self._granted(tsql.share(resource), resource)

    async def leave(self, resource: str) -> None:
        """Give up a name that was taken once."""
        await self._granted(tsql.release(resource), resource)

    async def _granted(self, statement: Statement, resource: str) -> bool:
        (row,) = await self.rows(statement, f"Taking the lock {resource}")
        return int(row["granted"]) >= 0

    async def run(self, statement: Statement, what: str, heard: Callable[[int], None] | None = None) -> None:
        """Carry out a statement to its end, telling the percentage where the server does.

        Cancelled, it tells the server to stop, and waits until it has. Raises as ``rows``.
        """
        loop = asyncio.get_running_loop()

        def tell(percent: int) -> None:
            if heard:
                loop.call_soon_threadsafe(heard, percent)

        await self._do(lambda: self._run(statement, tell), what)

    async def raw_rows(self, statement: Statement, *, patience: float = ANSWER_SECONDS) -> Sequence[Row]:
        """``rows`` with the server's errors as they are. Raises ServerFault, Unreachable."""
        return await self._alone(lambda: self._rows(statement, patience))

    async def _do(self, work: Callable[[], T], what: str) -> T:
        try:
            return await self._alone(work)
        except ServerFault as fault:
            raise trouble(fault, what) from fault

    async def _alone(self, work: Callable[[], T]) -> T:
        """In the thread. Cancelled, it leaves once the thread is done: the server has stopped, or is cut off."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, self._translated, work)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            if self._wire:
                self._wire.stop()
            await asyncio.wait({future}, timeout=_CANCELLED_SECONDS)
            if self._wire and not future.done():
                self._wire.cut()
            if future.done() and not future.cancelled():
                future.exception()  # it is of no account any more
            raise

    def _translated(self, work: Callable[[], T]) -> T:
        """Run it; the library's errors become ours."""
        try:
            return work()
        except (Trouble, ServerFault):
            raise
        except LoginFailed as failed:
            cause = failed.__cause__
            assert isinstance(cause, Exception)
            raise self._understood(cause) from cause
        except _EDGE as error:
            raise self._understood(error) from error

    def _understood(self, error: Exception) -> Exception:
        """An error of the library, of the socket, or of TLS."""
        if isinstance(error, Trouble | ServerFault):
            return error
        if isinstance(error, pytds.DatabaseError) and error.number:
            return ServerFault(self._errors() or [Said(int(error.number), str(error.args[0]))])
        if isinstance(error, ssl.SSLCertVerificationError):
            hint = "Register the instance with the authority that signed its certificate."
            return AccessDenied(
                f"The certificate of {self.endpoint} is refused: {error.verify_message}", hint=hint
            )
        if isinstance(error, ssl.SSLError):
            return Unreachable(f"No TLS with {self.endpoint}: {error.reason or error}")
        if isinstance(error, pytds.ClosedConnectionError | OSError):
            return Unreachable(f"The connection to {self.endpoint} broke: {_plain(error)}")
        if type(error) is ValueError and self._connection is None:
            return AccessDenied(f"{self.endpoint} cannot be logged in to: {_plain(error)}")
        if "encryption" in str(error).lower():
            hint = "Register the instance with TLS."
            return AccessDenied(f"{self.endpoint} takes encrypted connections only", hint=hint)
        return Unreachable(f"{self.endpoint} does not speak as a SQL Server does: {_plain(error)}")

    # In the thread.

    def _open(self) -> None:
        host, port = self.endpoint.addresses[0]
        self._wire = Wire(host, port or PORT, self.endpoint.tls, LOGIN_SECONDS)
        self._connection = pytds.connect(
            host,
            port=port or PORT,
            database="master",
            user=self.endpoint.user,
            password=self.endpoint.password,
            appname="Sterna",
            autocommit=True,
            login_timeout=LOGIN_SECONDS,
            disable_connect_retry=True,
            sock=self._wire,
        )
        self._cursor = self._connection.cursor()
        self._wire.logged_in = True
        self._drain(self._execute(tsql.english(), LOGIN_SECONDS))

    def _close(self) -> None:
        connection, self._connection, self._cursor = self._connection, None, None
        if connection is not None:
            with suppress(pytds.Error, OSError):
                connection.close()
        if self._wire is not None:
            self._wire.logged_in = True
            self._wire.close()

    def _rows(self, statement: Statement, patience: float) -> Sequence[Row]:
        cursor = self._execute(statement, patience)
        found: list[Row] = []
        if cursor.description:
            names = [column[0] for column in cursor.description]
            found = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
        self._drain(cursor)
        return found

    def _run(self, statement: Statement, tell: Callable[[int], None]) -> None:
        hearing = _Hearing(self._cursor, tell)
        if self._wire:
            self._wire.look_up = hearing
        try:
            self._drain(self._execute(statement, None))
            hearing()
        finally:
            if self._wire:
                self._wire.look_up = lambda: None

    def _execute(self, statement: Statement, limit: float | None) -> Any:
        if self._cursor is None or self._wire is None:
            raise Unreachable(f"The connection to {self.endpoint} is closed")
        self._wire.settimeout(limit)
        self._cursor.execute(statement.text, statement.values or None)
        return self._cursor

    def _drain(self, cursor: Any) -> None:
        """To the end of the answer. An error that did not end the batch is one all the same."""
        while cursor.nextset():
            pass
        if errors := self._errors():
            raise ServerFault(errors)

    def _errors(self) -> Sequence[Said]:
        said = (self._cursor.messages or []) if self._cursor is not None else []
        return [Said(int(each.number), str(each.text)) for _, each in said if each.severity >= _ERROR]


class _Hearing:
    """Tells of each percentage once."""

    def __init__(self, cursor: Any, tell: Callable[[int], None]) -> None:
        self._cursor = cursor
        self._tell = tell
        self._last = -1

    def __call__(self) -> None:
        for _, message in reversed(self._cursor.messages or []):
            if message.number == _PERCENT and (found := re.search(r"\d{1,3}", str(message.text))):
                percent = min(100, int(found[0]))
                if percent != self._last:
                    self._last = percent
                    self._tell(percent)
                return


def _plain(error: Exception) -> str:
    """In short; the library's texts may be long."""
    return (str(getattr(error, "strerror", "") or error) or type(error).__name__)[:200]


@asynccontextmanager
async def connected(endpoint: Endpoint) -> AsyncIterator[Server]:
    """A session for a while. Raises Unreachable, AccessDenied."""
    server = Server(endpoint)
    try:
        await server.open()
        yield server
    finally:
        await server.close()
