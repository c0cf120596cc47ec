"""Looks at a target before rows of another kind of source go there: once for all checks that ask."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as File

from sterna.core.errors import Trouble
from sterna.core.job import JobId
from sterna.core.plan import Conflict, Path, Plan
from sterna.core.ports import Describes, Room
from sterna.core.schema import Table
from sterna.engines.postgres.checkpoint import Checkpoint, enterable
from sterna.engines.postgres.connection import Connection, connected
from sterna.engines.postgres.foreign.building import InTheWay, in_the_way, needing
from sterna.engines.postgres.foreign.drafting import draft
from sterna.engines.postgres.foreign.drafts import Draft

PURPOSE = "sterna checks"


@dataclass(frozen=True, slots=True)
class Server:
    """What the target's server says of itself."""

    version: int
    label: str
    user: str
    standby: bool
    readonly: bool
    """Whether the user's sessions begin read-only, wherever nothing else is set."""
    may_make: bool
    """Whether the user may make databases."""
    encodings: Mapping[str, str]
    """Of all databases, by name."""
    enterable: frozenset[str]


@dataclass(frozen=True, slots=True)
class Seen:
    """That, what the source describes, and what of both meets."""

    plan: Plan
    server: Server
    draft: Draft
    barred: Sequence[Path]
    """Databases where schemas are to be made, and schemas where tables are to be made, and the user may not."""
    way: Sequence[InTheWay]
    """What has the names of tables that are to be made, and is not the job's own."""
    needed: Sequence[str]
    """What keeps it from being replaced."""
    readonly: Sequence[str]
    """Databases in which the user's sessions begin read-only."""

    @property
    def wanted(self) -> Sequence[str]:
        """The databases that the tables go to."""
        return sorted(set(self.draft.databases().values()))

    @property
    def tables(self) -> Sequence[Table]:
        return [each.source for each in self.draft.tables.values()]


@dataclass
class Look:
    """Looks once at the server, and once at the tables; what that raised is raised again."""

    source: Describes
    plan: Plan
    job_id: JobId | None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _server: Server | Trouble | None = field(default=None, init=False)
    _seen: Seen | Trouble | None = field(default=None, init=False)

    async def server(self, *, anew: bool = False) -> Server:
        """Raises what the connection raises. ``anew``: after a trouble, look once more."""
        async with self._lock:
            if self._server is None or (anew and isinstance(self._server, Trouble)):
                try:
                    self._server = await self._look_at_server()
                except Trouble as trouble:
                    self._server = trouble
            if isinstance(self._server, Trouble):
                raise self._server
            return self._server

    async def seen(self, *, anew: bool = False) -> Seen:
        """Raises what the source and the connection raise."""
        server = await self.server()
        async with self._lock:
            if self._seen is None or (anew and isinstance(self._seen, Trouble)):
                try:
                    self._seen = await self._look(server)
                except Trouble as trouble:
                    self._seen = trouble
            if isinstance(self._seen, Trouble):
                raise self._seen
            return self._seen

    async def _look_at_server(self) -> Server:
        async with connected(self.plan.target, purpose=PURPOSE) as target:
            row = await (await target.execute(_FACTS)).fetchone()
            assert row is not None, "a query without FROM gives one row"
            encodings = dict(await (await target.execute(_ENCODINGS)).fetchall())
            label, user, standby, readonly, may_make = row
            there = frozenset(await enterable(target))
            return Server(target.info.server_version, label, user, standby, readonly, may_make, encodings, there)

    async def _look(self, server: Server) -> Seen:
        found = draft(await self.source.schema(), self.plan.selection, server.version)
        barred: list[Path] = []
        way: list[InTheWay] = []
        needed: list[str] = []
        readonly: list[str] = []
        for name in sorted(set(found.databases().values()) & server.enterable):
            async with connected(self.plan.target, name, purpose=PURPOSE) as target:
                some = await self._in_the_way(target, name, found)
                way += some
                needed += await needing(target, some) if self.plan.conflict is Conflict.OVERWRITE else ()
                readonly += [name] if await _is_readonly(target) else []
                schemas = sorted({each.to[1] for each in found.among(name)})
                barred += [(name, *each) for each in await _bars(target, schemas)]
        return Seen(self.plan, server, found, barred, way, needed, readonly)

    async def _in_the_way(self, target: Connection, name: str, found: Draft) -> Sequence[InTheWay]:
        ours: set[Path] = set()
        if self.job_id:
            checkpoint = Checkpoint(target, Room(self.job_id, 0, File()))
            ours = await checkpoint.filled() if await checkpoint.there() else set()
        return [each for each in await in_the_way(target, found.among(name)) if each.path not in ours]


_FACTS = """
    SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1), current_user::text,
           pg_is_in_recovery(), current_setting('default_transaction_read_only')::bool,
           (SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user)"""


async def _is_readonly(target: Connection) -> bool:
    row = await (await target.execute("SELECT current_setting('default_transaction_read_only')::bool")).fetchone()
    return bool(row and row[0])


_ENCODINGS = "SELECT datname::text, pg_encoding_to_char(encoding)::text FROM pg_database"


async def _bars(target: Connection, schemas: Sequence[str]) -> Sequence[Path]:
    """The schemas that are there and in which nothing can be made; empty: the same of the database itself."""
    query = """
        SELECT NULL WHERE NOT has_database_privilege(current_database(), 'CREATE')
        UNION ALL SELECT nspname::text FROM pg_namespace
         WHERE nspname = ANY (%s) AND NOT has_schema_privilege(oid, 'CREATE')"""
    rows = await (await target.execute(query, (schemas,))).fetchall()
    return [(name,) if name else () for (name,) in rows]
