"""Queries with ``$1`` for parameters, so that a ``%`` in a name or a filter is only that."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from sterna.engines.postgres.connection import Connection


@asynccontextmanager
async def _noted(connection: Connection) -> AsyncIterator[None]:
    try:
        yield
    except psycopg.Error as error:
        error.add_note(address(connection))
        raise


def address(connection: Connection) -> str:
    """Where a connection goes, as an endpoint says it."""
    return f"{connection.info.host}:{connection.info.port}"


Row = tuple[Any, ...]
PAGE = 2000
"""Rows that are fetched together of a large answer."""


async def ask(connection: Connection, query: str, parameters: Sequence[object] = ()) -> Sequence[Row]:
    """All rows of a small answer. Raises psycopg.Error, with the server's address as a note."""
    async with _noted(connection), psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(query.encode(), list(parameters) or None)
        return await cursor.fetchall() if cursor.description else ()


async def pages(
    connection: Connection, query: str, parameters: Sequence[object] = ()
) -> AsyncGenerator[Sequence[Row], None]:
    """The rows of an answer of any size, some at a time, inside the caller's transaction. Same errors."""
    async with _noted(connection), psycopg.AsyncRawServerCursor(connection, "sterna") as cursor:
        await cursor.execute(query.encode(), list(parameters) or None)
        while page := await cursor.fetchmany(PAGE):
            yield page


async def texts(
    connection: Connection, query: str, parameters: Sequence[object] = ()
) -> Sequence[Sequence[str | None]]:
    """All rows, each value as the text in which the server wrote it. Same errors."""
    async with _noted(connection), psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(query.encode(), list(parameters) or None)
        result = cursor.pgresult
        if result is None:
            return ()
        wide = range(result.nfields)
        return [[_text(result.get_value(row, at)) for at in wide] for row in range(result.ntuples)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else bytes(value).decode()
