"""Two real PostgreSQL servers, a real service between them, and the vendor's SDKs that drive it."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.http.http_config import HttpConfig

from tests.effort import PATIENCE
from tests.journeys.command import Home, wait_for
from tests.servers.postgres import PostgresServer, Unavailable, running
from tests.servers.redis import free_port

PASSWORD = "pw' \\\"%&?@/:#ü密"


@dataclass(frozen=True)
class Stand:
    """A service, two servers, and clients with a project's keys."""

    home: Home
    source: PostgresServer
    target: PostgresServer
    url: str
    project: str
    keys: tuple[str, str]

    def client(self, kind: Any) -> Any:
        credentials = BasicCredentials(*self.keys, self.project)
        config = HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)
        builder = kind.new_builder().with_credentials(credentials).with_http_config(config)
        return builder.with_endpoint(self.url).build()


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """PostgreSQL 15 as the source, 18 as the target, a service between them, and data."""
    home = Home(tmp_path_factory.mktemp("home"))
    made = home.good("init")
    port = free_port()
    try:
        with running("pg15", password=PASSWORD) as source, running("pg18", password=PASSWORD) as target:
            yield from _served(home, made, source, target, port)
    except Unavailable as reason:
        pytest.skip(str(reason))


def _served(home: Home, made: Any, source: PostgresServer, target: PostgresServer, port: int) -> Iterator[Stand]:
    with home.running("serve", "--listen", f"127.0.0.1:{port}"):
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: _answers(url), "the service does not answer")
        project, keys = _facts(made)
        yield Stand(home, source, target, url, project, keys)


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def _facts(made: Any) -> tuple[str, tuple[str, str]]:
    return made["project_id"], (made["access_key"], made["secret_key"])


def shop(stand: Stand, name: str) -> None:
    stand.source.create_database(name)
    stand.source.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');"
        "CREATE TABLE orders (id serial PRIMARY KEY, note text, doc jsonb, m mood DEFAULT 'glad', tags text[]);"
        "CREATE INDEX orders_note ON orders (note);"
        "CREATE TABLE log (v int, w text);"
        "CREATE TABLE items (id int PRIMARY KEY, order_id int REFERENCES orders);"
        "INSERT INTO orders (note, tags) SELECT 'n' || n, ARRAY['a', 'b'] FROM generate_series(1, 20000) n;"
        "INSERT INTO items SELECT n, n FROM generate_series(1, 1000) n;"
        "INSERT INTO log SELECT n % 5, 'old' FROM generate_series(1, 300) n;"
        "CREATE VIEW glad AS SELECT id FROM orders WHERE m = 'glad'",
        name,
    )


def same(stand: Stand, name: str) -> None:
    """All rows of both sides are equal, as multisets."""
    for query in (
        "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.orders t",
        "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.log t",
        "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.items t",
        "SELECT count(*) FROM public.glad",
        "SELECT indexname FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
    ):
        assert stand.source.sql(query, name) == stand.target.sql(query, name), query


def nothing_left(stand: Stand, name: str) -> None:
    assert stand.source.sql(f"SELECT slot_name FROM pg_replication_slots WHERE database = '{name}'") == []
    assert stand.source.sql("SELECT pubname FROM pg_publication", name) == []
    assert stand.source.sql("SELECT evtname FROM pg_event_trigger", name) == []
    left = "SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'"
    assert stand.source.sql(left, name) == stand.target.sql(left, name) == []
    assert stand.target.sql("SELECT roname FROM pg_replication_origin") == []
    identity = "SELECT relreplident::text FROM pg_class WHERE relname = 'log'"
    assert stand.source.sql(identity, name) == [("d",)]


def until(ask: Callable[[], str], *wanted: str, despite: tuple[str, ...] = ()) -> str:
    """Wait for a status; fails at once on one that ends in FAILED, but for those in ``despite``."""
    end = time.monotonic() + PATIENCE
    while (status := ask()) not in wanted:
        assert not status.endswith("FAILED") or status in despite, status
        assert time.monotonic() < end, status
        time.sleep(0.2)
    return status
