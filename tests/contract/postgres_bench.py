"""Two real PostgreSQL servers under the contract that every engine keeps."""

from dataclasses import dataclass

from sterna.core.plan import Endpoint, Plan
from sterna.engines.postgres.engine import PostgresEngine
from sterna.engines.postgres.names import SCHEMA
from tests.servers.postgres import SUPERUSER, PostgresServer


@dataclass
class PostgresBench:
    """Rows are in one table of the database ``postgres``; all else is as in new servers."""

    source: PostgresServer
    target: PostgresServer

    def __post_init__(self) -> None:
        self.engine = PostgresEngine()
        self.plan = Plan(_endpoint(self.source), _endpoint(self.target))
        if not self.source.alive:
            self.source.start()
        self.forget()
        self.source.sql("CREATE TABLE rows (id int PRIMARY KEY, n int NOT NULL)")

    def forget(self) -> None:
        """Take away what the test before left."""
        self.lose_log()
        for server in (self.source, self.target):
            server.sql("DROP SCHEMA IF EXISTS sterna CASCADE; DROP TABLE IF EXISTS rows")
        for name in ("sterna_j", "sterna_j_drop"):
            self.source.sql(f"DROP EVENT TRIGGER IF EXISTS {name}")
        for (name,) in self.source.sql("SELECT pubname FROM pg_publication"):
            self.source.sql(f'DROP PUBLICATION "{name}"')
        self.target.sql("SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin")

    def put(self, *ids: int) -> None:
        self.source.sql("INSERT INTO rows VALUES " + ", ".join(f"({id}, 0)" for id in ids))

    def remove(self, *ids: int) -> None:
        self.source.sql(f"DELETE FROM rows WHERE id = ANY (ARRAY{list(ids)})")

    def increase(self, id: int) -> None:
        self.source.sql(f"UPDATE rows SET n = n + 1 WHERE id = {id}")

    def same(self) -> bool:
        query = "SELECT * FROM rows ORDER BY id"
        return self.source.sql(query) == self.target.sql(query)

    def lose_log(self) -> None:
        self.source.sql(
            "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active_pid IS NOT NULL"
        )
        while self.source.sql("SELECT slot_name FROM pg_replication_slots WHERE active"):
            pass
        self.source.sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")

    def hang_up(self) -> None:
        self.source.kill9()

    def clean(self) -> bool:
        left = "SELECT count(*) FROM pg_replication_slots UNION ALL SELECT count(*) FROM pg_publication"
        left += f" UNION ALL SELECT count(*) FROM pg_namespace WHERE nspname = '{SCHEMA}'"
        left += " UNION ALL SELECT count(*) FROM pg_replication_origin"
        return all(server.sql(left) == [(0,)] * 4 for server in (self.source, self.target))


def _endpoint(server: PostgresServer) -> Endpoint:
    return Endpoint("postgresql", ((server.host, server.port),), user=SUPERUSER, password=server.password)
