"""Two databases of a server, and changes carried from one to the other as a slot hands them out."""

import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg

from sterna.core.event import Level
from sterna.core.plan import Conflict, Endpoint, Path, Plan, Selection
from sterna.engines.postgres.apply import Applier
from sterna.engines.postgres.catalogue import Table, tables
from sterna.engines.postgres.connection import Connection, connect
from sterna.engines.postgres.names import quoted
from tests.servers.postgres import PostgresServer

EVERYTHING = Selection()
SLOT = "feed"
SOURCE, TARGET = "here", "there"


@dataclass
class Told:
    """Collects what is told."""

    events: list[tuple[Level, str, str]] = field(default_factory=list)

    def __call__(self, level: Level, code: str, message: str, **fields: str) -> None:
        self.events.append((level, code, message))


@dataclass
class Pair:
    """A source and a target; ``feed`` carries over what was committed since."""

    source: psycopg.Connection[Any]
    target: Connection
    applier: Applier
    told: Told
    version: int

    async def feed(self, sql: str = "", *, most: int = 0) -> int:
        """Run statements on the source, and bring what changed to the target in batches of ``most`` messages."""
        if sql:
            self.source.execute(sql.encode())
        messages = changes(self.source)
        if messages:
            async with self.target.transaction():
                for start in range(0, len(messages), most or len(messages)):
                    await self.applier.apply(framed(messages[start : start + (most or len(messages))]))
        return len(messages)

    async def on_target(self, sql: str) -> list[tuple[Any, ...]]:
        cursor = await self.target.execute(sql.encode())
        return await cursor.fetchall() if cursor.description else []

    async def same(self, *names: str, there: Mapping[str, str] | None = None) -> None:
        """Every row is on both sides, as often."""
        for name in names:
            ours, theirs = (
                f"SELECT t::text FROM {each if '.' in each else 'public.' + each} AS t ORDER BY 1"
                for each in (name, (there or {}).get(name, name))
            )
            assert self.source.execute(ours.encode()).fetchall() == await self.on_target(theirs), name


def changes(source: psycopg.Connection[Any], slot: str = SLOT, upto: int | None = None) -> list[bytes]:
    query = (
        "SELECT data FROM pg_logical_slot_get_binary_changes(%s, NULL, %s, "
        "'proto_version', '1', 'publication_names', 'feed')"
    )
    return [data for (data,) in source.execute(query, [slot, upto], binary=True).fetchall()]


def framed(messages: list[bytes]) -> bytes:
    return b"".join(struct.pack(">I", len(each)) + each for each in messages)


def endpoint(server: PostgresServer) -> Endpoint:
    return Endpoint("postgresql", ((server.host, server.port),), "postgres", server.password)


def fresh(server: PostgresServer, name: str) -> None:
    """An empty database; one that is there is emptied, which takes a tenth of the time."""
    if not server.sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
        server.create_database(name)
    server.sql("DROP PUBLICATION IF EXISTS feed; DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
    for (schema,) in server.sql(
        "SELECT nspname FROM pg_namespace WHERE oid >= 16384 AND nspname <> 'public'", name
    ):
        server.sql(f"DROP SCHEMA {quoted(schema)} CASCADE", name)


@asynccontextmanager
async def pair(
    server: PostgresServer,
    schema: str,
    *,
    here: str = "",
    there: str | None = None,
    selection: Selection = EVERYTHING,
    conflict: Conflict = Conflict.OVERWRITE,
    options: Mapping[str, str] | None = None,
    replica: bool = True,
    target_server: PostgresServer | None = None,
) -> AsyncIterator[Pair]:
    """Two fresh databases with tables: ``schema`` on both; ``here`` on the source, ``there`` in its place."""
    other = target_server or server
    for each, name in ((server, SOURCE), (other, TARGET)):
        fresh(each, name)
    server.sql(f"{schema};{here}", SOURCE)
    other.sql(schema if there is None else there, TARGET)
    plan = Plan(endpoint(server), endpoint(other), selection=selection, conflict=conflict, options=options or {})
    told = Told()
    source = psycopg.connect(server.dsn(SOURCE), autocommit=True)
    target = await connect(plan.target, TARGET)
    try:
        source.execute("CREATE PUBLICATION feed FOR ALL TABLES")
        source.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", [SLOT])
        if replica:
            await target.execute("SET session_replication_role = replica")
        catalogue = await connect(plan.source, SOURCE)
        known: dict[Path, Table] = {each.path: each for each in await tables(catalogue, SOURCE, selection)}
        await catalogue.close()
        yield Pair(
            source, target, Applier(target, plan, SOURCE, known, told), told, target.info.server_version // 10000
        )
    finally:
        await target.close()
        source.execute("SELECT pg_drop_replication_slot(%s)", [SLOT])
        source.close()
