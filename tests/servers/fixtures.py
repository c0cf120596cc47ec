"""Fixtures that hand out real servers, and skip a test by name where one cannot be had."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.servers import postgres
from tests.servers.postgres import PostgresServer
from tests.servers.redis import Server, Unavailable, start

StartServer = Callable[..., Server]
StartPostgres = Callable[..., PostgresServer]


@pytest.fixture
def redis_server() -> Iterator[StartServer]:
    """Starts servers that end with the test: ``redis_server("redis70", "--maxmemory", "64mb", password="x")``.

    The arguments are those of ``tests.servers.redis.start``.
    """
    with ExitStack() as stack:

        def start_one(flavor: str = "valkey91", *options: str, **settings: Any) -> Server:
            try:
                server = start(flavor, *options, **settings)
            except Unavailable as reason:
                pytest.skip(str(reason))
            stack.callback(server.close)
            return server

        yield start_one


@pytest.fixture
def postgres_server() -> Iterator[StartPostgres]:
    """Starts servers that end with the test: ``postgres_server("pg15", "max_connections=10", tls=True)``.

    The arguments are those of ``tests.servers.postgres.start``.
    """
    with ExitStack() as stack:

        def start_one(flavor: str = "pg18", *options: str, **settings: Any) -> PostgresServer:
            try:
                server = postgres.start(flavor, *options, **settings)
            except Unavailable as reason:
                pytest.skip(str(reason))
            stack.callback(server.close)
            return server

        yield start_one
