"""What both servers say about themselves, asked once and shared by all checks.

Each question is asked by itself: what a user may not know is left out, and never hides the rest.
"""

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import psycopg

from sterna.core.errors import Trouble
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Path, Plan, Selection
from sterna.engines.postgres import catalogue
from sterna.engines.postgres.catalogue import OWN, Table
from sterna.engines.postgres.connection import Connection, connect, trouble_of
from sterna.engines.postgres.names import SCHEMA, literal, own, quoted

FRESH_S = 5.0
"""A survey is good for so long; a check that is run later asks again."""
ANSWER_S = 60.0
"""How long a server may take to answer everything."""
PURPOSE = "sterna checks"
_OURS = f"n.nspname NOT IN ({', '.join(literal(name) for name in OWN)}) AND n.nspname !~ '^pg_(toast_)?temp_'"


@dataclass(frozen=True, slots=True)
class Database:
    """One selected database of a server as it was seen."""

    name: str
    source: str
    """What the source calls it."""
    trouble: Trouble | None = None
    tables: tuple[Table, ...] = ()
    """On the source: the selected ones. On the target: all."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """``encoding``, ``collate``, ``ctype``, ``size``, ``may_create`` …"""
    extensions: Mapping[str, str] = field(default_factory=dict)
    """Installed ones with their versions."""
    offered: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Extensions that could be installed, with their versions."""
    schemas: frozenset[str] = frozenset()
    unreadable: tuple[Path, ...] = ()
    """Selected tables that the user may not read."""
    foreign: tuple[Path, ...] = ()
    """Selected tables that the user does not own: they cannot be put into a publication."""
    hidden: tuple[Path, ...] = ()
    """Selected tables of which row security hides rows from the user."""
    dependent: tuple[tuple[Path, Path], ...] = ()
    """Foreign keys: table, and the table that it refers to."""
    always: tuple[str, ...] = ()
    """Triggers that fire even for replication."""
    outside: tuple[Path, ...] = ()
    """Foreign tables: their rows live elsewhere."""
    virtual: tuple[str, ...] = ()
    generated: int = 0
    filled: frozenset[Path] = frozenset()
    """Tables that hold rows or did."""
    ours: frozenset[Path] = frozenset()
    """Tables all of whose rows the job that asks has written."""
    jobs: tuple[str, ...] = ()
    """Other jobs of Sterna that write here."""
    invalid: Mapping[Path, str] = field(default_factory=dict)
    """Row filters that the server does not take, with its words."""


@dataclass(frozen=True, slots=True)
class Server:
    """One server as it was seen. What could not be read is empty or None; ``trouble`` says why nothing was."""

    where: str
    endpoint: Endpoint
    trouble: Trouble | None = None
    version: int = 0
    """``server_version_num``."""
    label: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    role: Mapping[str, bool] = field(default_factory=dict)
    """``super``, ``replication``, ``createdb``, ``createrole``, ``bypassrls``."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    roles: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    """All databases that take connections."""
    databases: tuple[Database, ...] = ()
    clock_ms: float | None = None
    """How far its clock is ahead of ours."""

    @property
    def seen(self) -> tuple[Database, ...]:
        """The databases that could be looked into."""
        return tuple(each for each in self.databases if each.trouble is None)

    def number(self, setting: str) -> int:
        """A setting as a number; -1: not known."""
        try:
            return int(self.settings.get(setting, -1))
        except ValueError:
            return -1


@dataclass
class Survey:
    """Both servers, looked at when a check needs them."""

    plan: Plan
    job_id: JobId | None = None
    """The job that asks; None: there is none yet."""
    _seen: tuple[Server, Server] | None = field(default=None, init=False)
    _at: float = field(default=0.0, init=False)
    _alone: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def look(self) -> tuple[Server, Server]:
        """The source and the target as they are now, or were a moment ago."""
        async with self._alone:
            if self._seen is None or time.monotonic() - self._at > FRESH_S:
                source = await _looked(_source(self.plan, self.job_id), self.plan.source)
                target = await _looked(_target(self.plan, source, self.job_id), self.plan.target)
                self._seen, self._at = (source, target), time.monotonic()
            return self._seen


async def _looked(look: Awaitable[Server], endpoint: Endpoint) -> Server:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await look
    except TimeoutError:
        trouble = Trouble(f"PostgreSQL at {endpoint} did not answer in {ANSWER_S:.0f} s")
    except Trouble as error:
        trouble = error
    except psycopg.Error as error:
        trouble = trouble_of(error, endpoint)
    return Server(str(endpoint), endpoint, trouble)


async def _source(plan: Plan, job_id: JobId | None) -> Server:
    server = await _server(plan.source, job_id)
    chosen = [name for name in server.names if plan.selection.touches((name,))]
    found = [await _into(plan.source, name, name, lambda c, d: _source_database(c, d, plan)) for name in chosen]
    return replace(server, databases=tuple(found))


async def _target(plan: Plan, source: Server, job_id: JobId | None) -> Server:
    server = await _server(plan.target, job_id)
    found = []
    for database in source.databases:
        name = target_name(plan, database.name)
        if name in server.names:
            look = partial(_target_database, job_id=job_id)
            found.append(await _into(plan.target, name, database.name, look))
    return replace(server, databases=tuple(found))


def target_name(plan: Plan, database: str) -> str:
    """What a database is called on the target."""
    inside = [each for each in plan.selection.objects if each.path[0] == database and each.to]
    place = plan.selection.place((database,))
    return place.to[0] if place else (inside[0].to[0] if inside else database)


async def _server(endpoint: Endpoint, job_id: JobId | None) -> Server:
    connection = await connect(endpoint, purpose=PURPOSE)
    try:
        before = time.time()
        (clock,) = await _one(connection, "SELECT extract(epoch FROM clock_timestamp())::float8")
        after = time.time()
        settings = await _rows(connection, _SETTINGS)
        return Server(
            str(endpoint),
            endpoint,
            version=connection.info.server_version,
            label=f"PostgreSQL {connection.info.parameter_status('server_version')}",
            settings=dict(settings),
            role=await _named(connection, _ROLE),
            facts=await _server_facts(connection, own(job_id) if job_id else ""),
            roles=tuple(name for (name,) in await _rows(connection, "SELECT rolname FROM pg_roles")),
            names=tuple(name for (name,) in await _rows(connection, _DATABASES)),
            # At least so far ahead: a slow answer makes it no other clock.
            clock_ms=(max(0.0, clock - after) + min(0.0, clock - before)) * 1000,
        )
    finally:
        await connection.close()


_SETTINGS = "SELECT name, setting FROM pg_settings"
_DATABASES = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
_ROLE = """SELECT rolsuper AS super, rolreplication AS replication, rolcreatedb AS createdb,
    rolcreaterole AS createrole, rolbypassrls AS bypassrls, rolconnlimit AS connections,
    coalesce(rolconfig, '{}') AS config, rolname AS name
    FROM pg_roles WHERE rolname = current_user"""
_QUESTIONS: Mapping[str, str] = {
    "standby": "SELECT pg_is_in_recovery()",
    "system": "SELECT system_identifier::text FROM pg_control_system()",
    "slots": "SELECT count(*) FROM pg_replication_slots WHERE %(own)s = '' OR"
    " slot_name !~ ('^' || %(own)s || '_[0-9a-f]{8}$')",
    "senders": "SELECT count(*) FROM pg_stat_replication WHERE %(own)s = '' OR"
    " application_name !~ ('^' || %(own)s || '_[0-9a-f]{8}')",
    "connections": "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'",
    "longest": "SELECT coalesce(max(extract(epoch FROM now() - xact_start))::float8, 0) FROM pg_stat_activity"
    " WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL",
    "prepared": "SELECT count(*) FROM pg_prepared_xacts",
    "ssl": "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()",
    "hashes": "SELECT has_table_privilege('pg_catalog.pg_authid', 'SELECT')",
    "origins": "SELECT has_function_privilege('pg_replication_origin_create(text)', 'EXECUTE')",
    "managed": "SELECT pg_has_role(current_user, oid, 'MEMBER') FROM pg_roles WHERE rolname IN"
    " ('rds_replication', 'rds_superuser', 'cloudsqlsuperuser', 'azure_pg_admin') ORDER BY 1 DESC LIMIT 1",
    "local": "SELECT inet_server_addr() IS NULL OR inet_server_addr() <<= '127.0.0.0/8' OR"
    " inet_server_addr() = '::1'",
}


async def _server_facts(connection: Connection, own: str) -> Mapping[str, Any]:
    """What else there is to know; what the user may not ask is left out. ``own``: what is the job's begins so."""
    facts = {}
    for name, question in _QUESTIONS.items():
        try:
            named = {"own": own} if "%(own)s" in question else None
            row = await (await connection.execute(question.encode(), named)).fetchone()
        except psycopg.Error:
            continue
        if row:
            facts[name] = row[0]
    facts["replica"] = await _may_be_replica(connection)
    return facts


async def _may_be_replica(connection: Connection) -> bool:
    """Whether the session may switch triggers and foreign keys off. The setting does not outlive the question."""
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute("SET LOCAL session_replication_role = replica")
    except psycopg.Error:
        return False
    return True


async def _into(endpoint: Endpoint, name: str, source: str, look: Any) -> Database:
    """One database, or why it could not be looked into."""
    bare = Database(name, source)
    try:
        connection = await connect(endpoint, name, purpose=PURPOSE)
    except Trouble as trouble:
        return replace(bare, trouble=trouble)
    try:
        found: Database = await look(connection, bare)
        return found
    except psycopg.Error as error:
        return replace(bare, trouble=trouble_of(error, endpoint))
    finally:
        await connection.close()


async def _source_database(connection: Connection, bare: Database, plan: Plan) -> Database:
    tables = tuple(await catalogue.tables(connection, bare.name, plan.selection))
    by_oid = {table.oid: table.path for table in tables}
    rights = await _rows(connection, _RIGHTS)
    mine = [(by_oid[oid], *facts) for oid, *facts in rights if oid in by_oid]
    return replace(
        await _common(connection, bare),
        tables=tables,
        unreadable=tuple(path for path, may_read, _, _ in mine if not may_read),
        foreign=tuple(path for path, _, owner, _ in mine if not owner),
        hidden=tuple(path for path, _, _, hides in mine if hides),
        outside=tuple((bare.name, *path) for path in await _rows(connection, _FOREIGN_TABLES)),
        dependent=tuple(
            ((bare.name, *row[:2]), (bare.name, *row[2:])) for row in await _rows(connection, _FOREIGN_KEYS)
        ),
        invalid=await _bad_filters(connection, bare.name, tables, plan),
    )


async def _target_database(connection: Connection, bare: Database, *, job_id: JobId | None) -> Database:
    tables = tuple(await catalogue.tables(connection, bare.name, Selection()))
    common = await _common(connection, bare)
    always = await _rows(connection, _ALWAYS)
    told = SCHEMA in common.schemas
    jobs = await _told(connection, _JOBS, job_id or "") if told else []
    ours = await _told(connection, _FILLED, job_id) if told and job_id else []
    return replace(
        common,
        tables=tables,
        always=tuple(f"{schema}.{table}.{trigger}" for schema, table, trigger in always),
        ours=frozenset(tuple(path) for (path,) in ours),
        jobs=tuple(job for (job,) in jobs),
        filled=frozenset([table.path for table in tables if table.pages and await _has_rows(connection, table)]),
    )


async def _told(connection: Connection, query: str, job_id: str) -> list[tuple[Any, ...]]:
    """What the checkpoints there tell, as far as the user may see them."""
    try:
        return await (await connection.execute(query.encode(), (job_id,))).fetchall()
    except psycopg.Error:
        return []


async def _has_rows(connection: Connection, table: Table) -> bool:
    """Whether a table holds a row; one that may not be read does, for all we know."""
    try:
        query = f"SELECT FROM ONLY {quoted(*table.path[1:])} LIMIT 1"
        return bool(await _rows(connection, query))
    except psycopg.Error:
        return True


async def _common(connection: Connection, bare: Database) -> Database:
    offered: dict[str, set[str]] = {}
    for name, version in await _rows(connection, "SELECT name, version FROM pg_available_extension_versions"):
        offered.setdefault(name, set()).add(version)
    return replace(
        bare,
        facts=await _named(connection, _DATABASE),
        extensions=dict(await _rows(connection, "SELECT extname, extversion FROM pg_extension")),
        offered={name: frozenset(versions) for name, versions in offered.items()},
        schemas=frozenset(name for (name,) in await _rows(connection, "SELECT nspname FROM pg_namespace")),
    )


async def _bad_filters(
    connection: Connection, database: str, tables: Sequence[Table], plan: Plan
) -> Mapping[Path, str]:
    """Row filters that the server does not take: they are planned, and never run."""
    wrong = {}
    for table in tables:
        place = catalogue.taken(plan.selection, table.path, table.root)
        if place is None or not place.where:
            continue
        try:
            async with connection.transaction(force_rollback=True):
                await connection.execute("SET LOCAL transaction_read_only = on")
                query = f"EXPLAIN SELECT FROM ONLY {quoted(*table.path[1:])} WHERE ({place.where})"
                await connection.execute(query.encode(), prepare=True)  # prepared: one statement, and no more
        except psycopg.Error as error:
            wrong[table.path] = str(error).partition("\n")[0]
    return wrong


_JOBS = f"SELECT job FROM {quoted(SCHEMA, 'job')} WHERE job <> %s"  # noqa: S608 - a constant
_FILLED = f"SELECT name FROM {quoted(SCHEMA, 'filled')} WHERE job = %s"  # noqa: S608 - a constant
_DATABASE = """
    SELECT pg_encoding_to_char(encoding) AS encoding, datcollate AS collate, datctype AS ctype,
           pg_database_size(oid) AS size, has_database_privilege(oid, 'CREATE') AS may_create,
           current_setting('lc_monetary') AS money, current_setting('default_transaction_read_only') AS read_only,
           (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects,
           current_setting('session_replication_role') AS role
      FROM pg_database WHERE datname = current_database()"""
_RIGHTS = f"""
    SELECT c.oid, has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
           pg_has_role(current_user, c.relowner, 'USAGE'),
           c.relrowsecurity AND row_security_active(c.oid)
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND {_OURS}"""  # noqa: S608
_FOREIGN_TABLES = f"""
    SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'f' AND {_OURS} ORDER BY 1, 2"""  # noqa: S608
_FOREIGN_KEYS = f"""
    SELECT n.nspname, c.relname, fn.nspname, fc.relname
      FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_class fc ON fc.oid = k.confrelid JOIN pg_namespace fn ON fn.oid = fc.relnamespace
     WHERE k.contype = 'f' AND {_OURS}"""  # noqa: S608
_ALWAYS = f"""
    SELECT n.nspname, c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE t.tgenabled IN ('A', 'R') AND NOT t.tgisinternal AND {_OURS}"""  # noqa: S608


async def _rows(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode())).fetchall()


async def _one(connection: Connection, query: str) -> tuple[Any, ...]:
    (row,) = await _rows(connection, query)
    return row


async def _named(connection: Connection, query: str) -> dict[str, Any]:
    """The one row of a query by the names of its columns."""
    cursor = await connection.execute(query.encode())
    row = await cursor.fetchone()
    names = [column.name for column in cursor.description or ()]
    return dict(zip(names, row, strict=True)) if row else {}
