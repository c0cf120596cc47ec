"""What real servers hold, as it is shown to those who pick from it."""

import asyncio

import pytest
import redis

from sterna.core.errors import AccessDenied
from sterna.core.plan import Endpoint
from sterna.core.ports import Browses, Found
from sterna.engines.postgres.engine import PostgresEngine
from sterna.engines.redis.engine import RedisEngine
from tests.servers.fixtures import StartPostgres, StartServer

pytestmark = pytest.mark.server

_SHAPE = """
    CREATE SCHEMA "The ""Öther"".one";
    CREATE SCHEMA nothing;
    CREATE TABLE public.orders (id int, made date) PARTITION BY RANGE (made);
    CREATE TABLE public.orders_2026 PARTITION OF public.orders FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
    CREATE VIEW public.totals AS SELECT count(*) FROM public.orders;
    CREATE MATERIALIZED VIEW public.kept AS SELECT 1 AS one;
    CREATE TABLE "The ""Öther"".one"."表" (id int);
"""


def test_databases_schemas_tables_and_views_are_found_without_partitions(postgres_server: StartPostgres) -> None:
    server = postgres_server()
    for name in ("shop", 'odd "name".x'):
        server.create_database(name)
    server.sql(_SHAPE, "shop")
    endpoint = Endpoint("postgresql", ((server.host, server.port),), "postgres", server.password)
    engine = PostgresEngine()
    assert isinstance(engine, Browses)
    found = asyncio.run(engine.browse(endpoint, ["shop"]))
    odd = 'The "Öther".one'
    assert set(found) == {
        Found(("shop",), "database"),
        Found(("shop", "nothing"), "schema"),
        Found(("shop", "public"), "schema"),
        Found(("shop", "public", "orders"), "table"),
        Found(("shop", "public", "totals"), "view"),
        Found(("shop", "public", "kept"), "view"),
        Found(("shop", odd), "schema"),
        Found(("shop", odd, "表"), "table"),
    }
    assert found[0].kind == "database"
    databases = {it.path[0] for it in asyncio.run(engine.browse(endpoint))}
    assert databases == {"postgres", "shop", 'odd "name".x'}
    with pytest.raises(AccessDenied):
        asyncio.run(engine.browse(Endpoint("postgresql", endpoint.addresses, "postgres", "wrong")))


def test_databases_that_hold_keys_are_found(redis_server: StartServer) -> None:
    server = redis_server()
    for database in (0, 3):
        with redis.Redis(port=server.port, password=server.password or None, db=database) as client:
            client.set("key", "value")
    endpoint = Endpoint("redis", (("127.0.0.1", server.port),), password=server.password or "")
    engine = RedisEngine()
    assert isinstance(engine, Browses)
    assert list(asyncio.run(engine.browse(endpoint))) == [Found(("0",), "database"), Found(("3",), "database")]
    assert list(asyncio.run(engine.browse(endpoint, ["3"]))) == [Found(("3",), "database")]
