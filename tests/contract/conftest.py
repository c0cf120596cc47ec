"""The stores that the contract tests run against: in memory, SQLite, PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from sterna.core.people import new_id
from sterna.core.ports import Store
from sterna.store.memory import MemoryStore
from sterna.store.sql import open_store
from tests.contract.stores import KEY
from tests.servers.postgres import postgres


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres() as dsn:
        yield dsn


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """A database of its own on the session's server."""
    name = f"sterna_{new_id()}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
    return postgres_server.rsplit("/", 1)[0] + "/" + name


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    if request.param == "sqlite":
        return str(tmp_path / "sterna.db")
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.server)])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore()
        return
    address = tmp_path / "sterna.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    opened = await open_store(address, KEY)
    yield opened
    await opened.close()
