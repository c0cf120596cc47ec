"""The stores that the contract tests run against: in memory, SQLite, PostgreSQL."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from sterna.core.people import new_id
from sterna.core.stores import Store
from sterna.store.memory import MemoryStore
from sterna.store.sql import open_store
from tests.contract.stores import KEY
from tests.servers.postgres import postgres


@pytest.fixture(scope="session")
def store_server() -> Iterator[str]:
    with postgres() as dsn:
        yield dsn


@pytest.fixture
def postgres_url(store_server: str) -> str:
    """An empty schema of its own on the session's server: there faster, and gone faster, than a database."""
    name = f"sterna_{new_id()}"
    with psycopg.connect(store_server, autocommit=True) as connection:
        connection.execute(psycopg.sql.SQL("CREATE SCHEMA {}").format(psycopg.sql.Identifier(name)))
    return f"{store_server}?options=-csearch_path%3D{name}"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return str(tmp_path / "sterna.db")


@pytest.fixture(scope="session")
def empty_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with an empty store, to be copied: that is much quicker than making one."""
    path = tmp_path_factory.mktemp("store") / "empty.db"

    async def make() -> None:
        await (await open_store(path, KEY)).close()

    asyncio.run(make())
    assert [file.name for file in path.parent.iterdir()] == [path.name], "all of it is in one file"
    return path


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.server)])
def url(request: pytest.FixtureRequest) -> str:
    """The address of an empty database."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.server)])
async def store(request: pytest.FixtureRequest, empty_sqlite: Path) -> AsyncIterator[Store]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "sqlite":
        shutil.copy(empty_sqlite, request.getfixturevalue("sqlite_url"))
    opened = await open_store(request.getfixturevalue(f"{request.param}_url"), KEY)
    yield opened
    await opened.close()
