"""The servers' settings side by side, and changes of the target's.

A setting is read as a session of the user sees it in the database where it logs in: a value that was set for
the database or the user (``ALTER DATABASE … SET``, ``ALTER ROLE … SET``) hides the server's. Facts are those of
the view pg_settings: https://www.postgresql.org/docs/current/view-pg-settings.html
"""

# ruff: noqa: S608 - names in statements are those of the list below, texts are literals or parameters

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg

from sterna.core.errors import AccessDenied, Invalid, ServerBusy
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Parameter
from sterna.engines.postgres.connection import PLAIN, Connection, connected
from sterna.engines.postgres.names import literal
from sterna.engines.postgres.settable import fits, names_of

COMMON = """
    server_encoding lc_collate lc_ctype lc_messages lc_monetary lc_numeric lc_time TimeZone DateStyle
    IntervalStyle  default_transaction_isolation default_transaction_read_only
    default_transaction_deferrable  standard_conforming_strings escape_string_warning backslash_quote
    transform_null_equals array_nulls  quote_all_identifiers bytea_output xmlbinary xmloption
    extra_float_digits search_path row_security  check_function_bodies default_text_search_config
    default_tablespace temp_tablespaces  session_replication_role statement_timeout lock_timeout
    idle_in_transaction_session_timeout deadlock_timeout  password_encryption timezone_abbreviations"""
PERFORMANCE = """
    shared_buffers work_mem maintenance_work_mem temp_buffers effective_cache_size max_connections
    max_prepared_transactions max_locks_per_transaction max_worker_processes max_parallel_workers
    max_parallel_workers_per_gather max_parallel_maintenance_workers max_wal_size min_wal_size wal_buffers
    wal_level  wal_compression max_wal_senders max_replication_slots checkpoint_timeout
    checkpoint_completion_target  synchronous_commit fsync full_page_writes commit_delay autovacuum
    autovacuum_max_workers autovacuum_naptime  autovacuum_vacuum_scale_factor
    autovacuum_analyze_scale_factor autovacuum_vacuum_cost_limit  random_page_cost seq_page_cost
    effective_io_concurrency default_statistics_target huge_pages jit"""
GROUPS = dict.fromkeys(COMMON.split(), "common") | dict.fromkeys(PERFORMANCE.split(), "performance")
"""The settings that are compared, and to which group each belongs."""

_PURPOSE = "sterna settings"
_LISTS = frozenset({"search_path", "temp_tablespaces"})
"""Settings that hold names, each of which is quoted by itself."""
_FIXED = "internal"
_RESTART = "postmaster"
_SESSION = ("user", "superuser")
_PRIVILEGE_SINCE = 150_000
"""From 15 on the right to change a setting can be granted."""
_RELOAD_S = 10.0
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Setting:
    """A row of pg_settings."""

    name: str
    value: str
    unit: str
    context: str
    kind: str
    least: str
    most: str
    words: Sequence[str]

    @property
    def allowed(self) -> str:
        """What it takes, in its unit."""
        if self.context == _FIXED:
            return ""
        if self.kind == "bool":
            return "on|off"
        return "|".join(self.words) or (f"{self.least}-{self.most}" if self.least else "")


async def parameters(plan: Plan) -> Sequence[Parameter]:
    """Meets ``core.ports.Tunes``: those of the list that either server has, by group and name."""
    source, target = await _read(plan.source), await _read(plan.target)
    names = [name for name in sorted(GROUPS, key=_order) if name in source or name in target]
    return [_parameter(name, source.get(name), target.get(name)) for name in names]


def _order(name: str) -> tuple[str, str]:
    return GROUPS[name], name.lower()


def _parameter(name: str, source: Setting | None, target: Setting | None) -> Parameter:
    known = target or source
    assert known is not None, "one of the servers has it"
    return Parameter(
        name=name,
        group=GROUPS[name],
        source=source.value if source else "",
        target=target.value if target else "",
        kind=known.kind,
        unit=known.unit,
        allowed=target.allowed if target else "",
        needs_restart=known.context == _RESTART,
    )


async def set_parameters(plan: Plan, values: Mapping[str, str]) -> bool:
    """Meets ``core.ports.Tunes``: writes postgresql.auto.conf and lets the server read it."""
    settings = await _read(plan.target)
    for name, value in values.items():
        _check(settings.get(name), name, value)
    async with connected(plan.target, purpose=_PURPOSE, settings=PLAIN) as connection:
        await _may(connection, plan.target, list(values))
        for name, value in values.items():
            await _try(connection, settings[name], value)
        for name, value in values.items():
            await _set(connection, name, value)
        return await _reloaded(connection, list(values))


async def _read(endpoint: Endpoint) -> Mapping[str, Setting]:
    """The settings of the list that a server has, by name."""
    async with connected(endpoint, purpose=_PURPOSE, settings=PLAIN) as connection:
        rows = await (await connection.execute(_SETTINGS, (list(GROUPS),))).fetchall()
        locale = await (await connection.execute(_LOCALE)).fetchone()
    found = {row[0]: Setting(**dict(zip(_FACTS, row, strict=True))) for row in rows}
    for name, value in zip(("lc_collate", "lc_ctype"), locale or (), strict=False):
        found[name] = Setting(name, value, "", _FIXED, "string", "", "", ())
    return found


_FACTS = ("name", "value", "unit", "context", "kind", "least", "most", "words")
_SETTINGS = """
    SELECT name, setting, coalesce(unit, ''), context, vartype, coalesce(min_val, ''), coalesce(max_val, ''),
           coalesce(enumvals, '{}')
      FROM pg_catalog.pg_settings WHERE name = ANY (%s)"""
_LOCALE = "SELECT datcollate, datctype FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
"""From 16 on these two are no settings any more."""


def _check(setting: Setting | None, name: str, value: str) -> None:
    """Raises Invalid for what the server would not take."""
    if setting is None:
        raise Invalid(name, f"The target has no setting {name}, or none that is changed from here")
    if setting.context == _FIXED:
        raise Invalid(name, f"{name} cannot be changed")
    if not fits(value, setting.kind, setting.unit, setting.least, setting.most, setting.words):
        allowed = f": {setting.allowed} {setting.unit}".rstrip() if setting.allowed else ""
        raise Invalid(name, f"{name} does not take this value{allowed}")


async def _may(connection: Connection, target: Endpoint, names: Sequence[str]) -> None:
    """Raises AccessDenied unless the user may change all of them and make the server read them."""
    granted = "false"
    if connection.info.server_version >= _PRIVILEGE_SINCE:
        granted = "has_parameter_privilege(name, 'ALTER SYSTEM')"
    query = f"""
        SELECT array_agg(name) FILTER (WHERE NOT (rolsuper OR {granted})),
               bool_and(rolsuper OR has_function_privilege('pg_reload_conf()', 'EXECUTE'))
          FROM unnest(%s::text[]) name, pg_catalog.pg_roles WHERE rolname = current_user"""
    row = await (await connection.execute(query.encode(), (list(names),))).fetchone()
    lacking, reloads = row or (list(names), False)
    if lacking or not reloads:
        what = f"change {', '.join(lacking)}" if lacking else "let the server read its settings"
        raise AccessDenied(
            f"PostgreSQL at {target}: the user may not {what}",
            hint="Grant ALTER SYSTEM ON PARAMETER and EXECUTE ON FUNCTION pg_reload_conf() to the user, or name "
            "a superuser; for a managed server, change its settings where it is managed.",
        )


async def _try(connection: Connection, setting: Setting, value: str) -> None:
    """Set it for a transaction that is taken back, where a session can. Raises Invalid."""
    if setting.context not in _SESSION:
        return
    try:
        async with connection.transaction(force_rollback=True):
            await connection.execute(f"SET LOCAL {setting.name} = {_text(setting.name, value)}".encode())
    except pg.InsufficientPrivilege:
        return  # the right to change the server's setting does not include the session's
    except psycopg.Error as error:
        raise _refused(setting.name, error) from error


async def _set(connection: Connection, name: str, value: str) -> None:
    try:
        await connection.execute(f"ALTER SYSTEM SET {name} = {_text(name, value)}".encode())
    except (pg.InvalidParameterValue, pg.CantChangeRuntimeParam, pg.SyntaxError) as error:
        raise _refused(name, error) from error


def _refused(name: str, error: psycopg.Error) -> Invalid:
    return Invalid(name, error.diag.message_primary or f"{name} does not take this value")


def _text(name: str, value: str) -> str:
    if name not in _LISTS:
        return literal(value)
    return ", ".join(literal(each) for each in names_of(value)) or "''"


async def _reloaded(connection: Connection, names: Sequence[str]) -> bool:
    """Let the server read its settings, and wait until it has. True: one of them waits for a restart."""
    row = await (await connection.execute("SELECT pg_conf_load_time()")).fetchone()
    before = row[0] if row else None
    await connection.execute("SELECT pg_reload_conf()")
    end = asyncio.get_running_loop().time() + _RELOAD_S
    while True:
        row = await (await connection.execute(_PENDING, (before, list(names)))).fetchone()
        if row and row[0]:
            return bool(row[1])
        if asyncio.get_running_loop().time() > end:
            raise ServerBusy("The server has not read its settings yet: they were written, and count soon")
        await asyncio.sleep(_LOOK_S)


_PENDING = """
    SELECT pg_conf_load_time() > %s,
           EXISTS (SELECT FROM pg_catalog.pg_settings WHERE pending_restart AND name = ANY (%s))"""
"""The first is of our own process, to which the server passes the signal on once it has read them itself."""
