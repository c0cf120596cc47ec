"""Full copies between real PostgreSQL servers."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sterna.core.plan import Picked, Plan, Selection
from tests.engines.moving import Move, full, postgres_endpoint
from tests.servers.postgres import PostgresServer, Unavailable, start

pytestmark = pytest.mark.server

_CONTENTS = "SELECT count(*), md5(coalesce(string_agg(t::text, E'\\n' ORDER BY t::text), '')) FROM ONLY {} t"


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[PostgresServer, PostgresServer]]:
    """A source and a newer target; each test uses databases of its own."""
    with ExitStack() as stack:
        try:
            pair = start("pg15"), start("pg18")
        except Unavailable as reason:
            pytest.skip(str(reason))
        for server in pair:
            stack.callback(server.close)
        yield pair


class Pair:
    """A database on either side, with the same tables."""

    def __init__(self, source: PostgresServer, target: PostgresServer, name: str, folder: Path) -> None:
        self.source, self.target, self.name, self.folder = source, target, name, folder
        for server in (source, target):
            server.create_database(name)

    def shape(self, text: str) -> None:
        """The same statements on both sides."""
        for server in (self.source, self.target):
            server.sql(text, self.name)

    def fill(self, text: str) -> None:
        self.source.sql(text, self.name)

    def move(self, plan: Plan | None = None) -> Move:
        plan = plan or full(selection=Selection(objects=(Picked((self.name,)),)))
        return Move(postgres_endpoint(self.source), postgres_endpoint(self.target), self.folder, plan)

    def same(self, *tables: str) -> None:
        for table in tables:
            query = _CONTENTS.format(table)
            assert self.source.sql(query, self.name) == self.target.sql(query, self.name), table


@pytest.fixture
def pair(servers: tuple[PostgresServer, PostgresServer], request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    return Pair(*servers, f"d{abs(hash(request.node.name)) % 10**9}", tmp_path / "job")


async def test_a_table_is_copied_whole(pair: Pair) -> None:
    pair.shape("CREATE TABLE a (id int PRIMARY KEY, t text); CREATE TABLE e (id int)")
    pair.fill("INSERT INTO a SELECT n, repeat('x', n % 100) FROM generate_series(1, 200000) n")
    move = await pair.move().start()
    await move.ended()
    pair.same("public.a", "public.e")
    assert (await move.progress()).rows == 200000
    assert pair.target.sql("SELECT count(*) FROM pg_namespace WHERE nspname = 'sterna'", pair.name) == [(0,)]
