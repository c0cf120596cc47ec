"""Connections to PostgreSQL, and what its errors mean.

Three kinds: ``connect`` (psycopg) for catalogues and changes, ``replication`` (psycopg at libpq's level) for the
stream of a slot, ``bulk`` (asyncpg) for COPY, which moves several times as many bytes a second of our own CPU.
"""

import asyncio
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, LiteralString

import asyncpg
import psycopg
from psycopg import errors as pg

from sterna.core.errors import (
    AccessDenied,
    NeedsOperator,
    Retryable,
    ServerBusy,
    TargetFull,
    Trouble,
    Unreachable,
)
from sterna.core.plan import Endpoint, Tls
from sterna.engines.postgres.names import DEFAULT_DATABASE

Connection = psycopg.AsyncConnection[Any]

CONNECT_SECONDS = 15
SETTINGS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "array_nulls": "on",
    "xmloption": "content",
    "search_path": "",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "row_security": "off",
    "synchronize_seqscans": "off",
    "standard_conforming_strings": "on",
    "TimeZone": "UTC",
}
"""What every session begins with: values are written and read the same way on both sides, nothing is resolved
by a search path, no timeout of the server's ends a long copy, a row policy is an error instead of missing rows."""
_OPTIONS = " ".join(f"-c {name}=" + value.replace(" ", "\\ ") for name, value in SETTINGS.items())


IDLE_TIMEOUT_SINCE = 140000
TRANSACTION_TIMEOUT_SINCE = 170000
PLAIN = "-c client_encoding=UTF8"
"""What a session begins with that is to see the server's own settings."""


async def connect(
    endpoint: Endpoint,
    database: str = "",
    *,
    autocommit: bool = True,
    purpose: str = "sterna",
    settings: str = _OPTIONS,
) -> Connection:
    """A new connection; ``purpose`` is its application_name. Raises Unreachable, AccessDenied, ServerBusy.

    Without ``database``: to the one that the endpoint names; if that has still to be made, to the default one.
    """
    with translated(endpoint):
        try:
            return await _connect(endpoint, database, autocommit, purpose, settings)
        except psycopg.OperationalError as error:
            if database or not endpoint.database or sqlstate(error) != "3D000":
                raise
            return await _connect(endpoint, DEFAULT_DATABASE, autocommit, purpose, settings)


async def _connect(endpoint: Endpoint, database: str, autocommit: bool, purpose: str, settings: str) -> Connection:
    connection = await psycopg.AsyncConnection.connect(
        autocommit=True, **words(endpoint, database, purpose), options=settings
    )
    if settings != PLAIN:
        await _unhurried(connection)
    await connection.set_autocommit(autocommit)
    return connection


async def _unhurried(connection: Connection) -> None:
    """No timeout of the younger servers either."""
    if patience := _patience(connection.info.server_version):
        try:
            await connection.execute(patience)
        except BaseException:
            await connection.close()
            raise


def _patience(version: int) -> LiteralString:
    """What ``SETTINGS`` cannot say: a server that does not know a setting refuses the login. May be empty."""
    if version < IDLE_TIMEOUT_SINCE:
        return ""
    more = "; SET transaction_timeout = 0" if version >= TRANSACTION_TIMEOUT_SINCE else ""
    return f"SET idle_session_timeout = 0{more}"


@asynccontextmanager
async def connected(
    endpoint: Endpoint, database: str = "", *, purpose: str = "sterna", settings: str = _OPTIONS
) -> AsyncIterator[Connection]:
    """``connect``, closed at the end; its errors come translated out of the block."""
    connection = await connect(endpoint, database, purpose=purpose, settings=settings)
    try:
        with translated(endpoint):
            yield connection
    finally:
        await connection.close()


async def replication(endpoint: Endpoint, database: str, *, purpose: str = "sterna") -> Connection:
    """A connection that takes replication commands of one database. Same errors as ``connect``."""
    with translated(endpoint):
        connection = await psycopg.AsyncConnection.connect(
            autocommit=True, **words(endpoint, database, purpose), options=_OPTIONS, replication="database"
        )
        await _unhurried(connection)
        return connection


async def bulk(endpoint: Endpoint, database: str, *, purpose: str = "sterna") -> "asyncpg.Connection[Any]":
    """A connection for COPY. Same errors as ``connect``."""
    host, port = endpoint.addresses[0]
    with translated(endpoint):
        connection = await asyncpg.connect(
            host=host,
            port=port,
            user=endpoint.user or "postgres",
            password=endpoint.password or None,
            database=database or endpoint.database or DEFAULT_DATABASE,
            ssl=_context(endpoint.tls) if endpoint.tls else False,
            timeout=CONNECT_SECONDS,
            command_timeout=None,
            statement_cache_size=0,
            server_settings={**SETTINGS, "application_name": purpose},
        )
        major, minor = connection.get_server_version()[:2]
        if patience := _patience(major * 10_000 + minor):
            await connection.execute(patience)
        return connection


def words(endpoint: Endpoint, database: str, purpose: str) -> dict[str, Any]:
    """The connection parameters for libpq; nothing is taken from the environment or a password file."""
    host, port = endpoint.addresses[0]
    given = {
        "host": host,
        "port": port,
        "user": endpoint.user or "postgres",
        "password": endpoint.password,
        "dbname": database or endpoint.database or DEFAULT_DATABASE,
        "connect_timeout": CONNECT_SECONDS,
        "application_name": purpose,
        "passfile": "",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        "target_session_attrs": "any",
        "gssencmode": "disable",
        "sslmode": "disable",
    }
    if endpoint.tls:
        given |= _tls_words(endpoint.tls)
    return given


def _tls_words(tls: Tls) -> Mapping[str, str]:
    files = {"sslcert": tls.cert_file, "sslkey": tls.key_file}
    if tls.verify:
        root = _file_of(tls.authority) if tls.authority else tls.ca_file or "system"
        files |= {"sslmode": "verify-full" if tls.host_name else "verify-ca", "sslrootcert": root}
    else:
        files |= {"sslmode": "require"}
    return {name: value for name, value in files.items() if value}


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None, cadata=tls.authority or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
    except OSError as error:
        raise NeedsOperator(f"The TLS files cannot be used: {error.strerror or error}") from error
    context.check_hostname = tls.verify and tls.host_name
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    return context


@lru_cache(maxsize=64)
def _file_of(certificates: str) -> str:
    """A file with this text, for libpq, which takes certificates from files alone; it goes with the process.

    It lies in memory where the system has such files (Linux), so that nothing of it stays behind when the process
    is killed; else in the folder for temporary files.
    """
    if not (hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir()):
        return _temporary(certificates)
    file = os.memfd_create("sterna-certificates")  # open as long as the process lives
    with os.fdopen(file, "wb", closefd=False) as written:
        written.write(certificates.encode("ascii"))
    return f"/proc/self/fd/{file}"


def _temporary(certificates: str) -> str:
    file = tempfile.NamedTemporaryFile("w", prefix="sterna-", suffix=".pem", encoding="ascii")  # noqa: SIM115
    file.write(certificates)
    file.flush()
    _FILES.append(file)
    return file.name


_FILES: list[object] = []
"""Open while the process lives."""


@contextmanager
def translated(where: Endpoint) -> Iterator[None]:
    """Turns what the drivers raise into ``core.errors``. ``where`` is named in the message."""
    try:
        yield
    except Trouble:
        raise
    except (psycopg.Error, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise trouble_of(error, where) from error
    except (OSError, TimeoutError, asyncio.IncompleteReadError, socket.gaierror) as error:
        raise Unreachable(f"PostgreSQL at {where} cannot be reached: {error or type(error).__name__}") from error


def trouble_of(error: Exception, where: Endpoint) -> Trouble:
    """What an error of a driver means, by its SQLSTATE (PostgreSQL documentation, appendix A)."""
    state = sqlstate(error)
    said = _said(error)
    match state[:2], state:
        case _, "57P03" | "53300" | "55006" | "55P03" | "57014" | "25006":
            return ServerBusy(f"PostgreSQL at {where} is not ready: {said}")
        case ("28", _) | (_, "42501"):
            return AccessDenied(f"PostgreSQL at {where} refused: {said}")
        case "3D", _:
            return NeedsOperator(
                f"PostgreSQL at {where}: {said}", hint="Create the database, or correct its name."
            )
        case _, "53100":
            return TargetFull(f"PostgreSQL at {where} has no room left: {said}")
        case ("08" | "57" | "58", _) | (_, ""):
            return Unreachable(f"PostgreSQL at {where} does not answer: {said}")
        case "40" | "53", _:
            return Retryable(f"PostgreSQL at {where}: {said}")
    return NeedsOperator(f"PostgreSQL at {where} answered {state}: {said}")


def sqlstate(error: BaseException) -> str:
    """The five letters of an error of either driver; empty: it did not come from the server.

    libpq tells a refused login by text alone, while the connection is being made.
    """
    state = getattr(error, "sqlstate", None)
    if state:
        return str(state)
    if isinstance(error, pg.OperationalError | psycopg.OperationalError):
        text = str(error)
        if "authentication failed" in text or "no password supplied" in text or "pg_hba.conf" in text:
            return "28P01"
        if "does not exist" in text and "database" in text:
            return "3D000"
        if "not permitted to log in" in text or ("role" in text and "does not exist" in text):
            return "28000"
        if "permission denied for database" in text:
            return "42501"
        if "starting up" in text or "shutting down" in text or "in recovery mode" in text:
            return "57P03"
        if "start WAL sender" in text or "start walsender" in text:
            return "42501"
        if "too many clients" in text or "max_wal_senders" in text or "remaining connection slots" in text:
            return "53300"
    return ""


def _said(error: BaseException) -> str:
    """The server's sentence, without the values of rows that PostgreSQL puts into DETAIL."""
    diagnostic = getattr(error, "diag", None)
    primary = getattr(diagnostic, "message_primary", None)
    return str(primary or getattr(error, "message", "") or error).strip().partition("\n")[0]
