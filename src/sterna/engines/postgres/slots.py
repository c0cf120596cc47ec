"""Logical replication slots: made, found, freed from a dead worker, dropped.

A slot makes the source keep every change that was not confirmed. One that nobody reads fills the source's disk,
so whatever happens to a job, its slots can be found by their names alone.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
from psycopg import errors as pg

from sterna.core.errors import AccessDenied, NeedsOperator, ServerBusy, Trouble
from sterna.core.event import Level
from sterna.core.plan import Endpoint
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection, connect, replication, sqlstate, translated
from sterna.engines.postgres.names import own, quoted
from sterna.engines.postgres.position import lsn

PATIENCE_S = 600.0
"""How long the making of a slot waits for transactions that were running before it."""
SAID_AFTER_S = 5.0
"""After this long the operator is told whom it waits for; then again each time twice as long has passed."""
FREED_WITHIN_S = 15.0
LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot as the server shows it."""

    name: str
    database: str
    pid: int | None
    """The walsender that reads it now."""
    restart: int
    """The source keeps its log from here on; 0: it keeps nothing."""
    confirmed: int
    """Changes before this were confirmed and are not sent again."""
    lost: bool
    """The source has thrown away what the slot needs (``max_slot_wal_keep_size``)."""


@dataclass(frozen=True, slots=True)
class Made:
    """A slot that was just made."""

    start: int
    """Every transaction that commits from here on is in the slot, every earlier one in the snapshot."""
    snapshot: str
    """Its exported snapshot; it is gone with the connection that made the slot."""


async def found(connection: Connection, job_id: str) -> Sequence[Slot]:
    """The job's slots in all databases of the server, whatever is selected now."""
    version = connection.info.server_version
    lost = "COALESCE(wal_status = 'lost', false)" if version >= 130000 else "restart_lsn IS NULL"
    query = f"""
        SELECT slot_name::text, database::text, active_pid, restart_lsn::text, confirmed_flush_lsn::text, {lost}
          FROM pg_replication_slots WHERE slot_name ~ %s ORDER BY slot_name"""  # noqa: S608 - two words of our own
    rows = await (await connection.execute(query, (f"^{own(job_id)}_[0-9a-f]{{8}}$",))).fetchall()
    return [
        Slot(name, database, pid, lsn(restart or "0/0"), lsn(confirmed or "0/0"), gone)
        for name, database, pid, restart, confirmed, gone in rows
    ]


@asynccontextmanager
async def made(endpoint: Endpoint, database: str, name: str, tell: Teller) -> AsyncIterator[Made]:
    """Make a slot; its snapshot can be taken over inside the block.

    Waits for transactions that write now, says for which ones, and raises ServerBusy after ``PATIENCE_S``, leaving
    no slot. Raises NeedsOperator or AccessDenied with the statement that mends the server.
    """
    with _mended(endpoint):
        connection = await replication(endpoint, database, purpose=name)
    try:
        with _mended(endpoint):
            slot = await _make(connection, endpoint, database, name, tell)
        yield slot
    finally:
        connection.pgconn.finish()


async def _make(connection: Connection, endpoint: Endpoint, database: str, name: str, tell: Teller) -> Made:
    version = connection.info.server_version
    export = "(SNAPSHOT 'export')" if version >= 150000 else "EXPORT_SNAPSHOT"
    command = f"CREATE_REPLICATION_SLOT {quoted(name)} LOGICAL pgoutput {export}"
    making = asyncio.create_task(connection.execute(command.encode()))
    try:
        await _wait(making, endpoint, database, connection.info.backend_pid, tell)
        row = await (await making).fetchone()
    finally:
        if not making.done():
            making.cancel()
            with contextlib.suppress(asyncio.CancelledError, psycopg.Error):
                await making
    if row is None:
        raise NeedsOperator(f"PostgreSQL at {endpoint} made no slot")
    return Made(lsn(row[1]), row[2])


async def _wait(making: "asyncio.Task[object]", endpoint: Endpoint, database: str, pid: int, tell: Teller) -> None:
    """Until the slot is made; tells who holds it up. Raises ServerBusy."""
    waited, until = 0.0, SAID_AFTER_S
    while True:
        done, _ = await asyncio.wait({making}, timeout=until - waited)
        if done:
            return
        waited = until
        holding = await _holding(endpoint, database, pid)
        if waited >= PATIENCE_S:
            raise ServerBusy(
                f"PostgreSQL at {endpoint} could not begin to record changes within {waited:.0f} s: {holding}",
                hint="End these transactions, or wait for a calmer hour; the job tries again by itself.",
            )
        message = f"The mark in the log of {database} waits for transactions that were running before: {holding}"
        tell(Level.WARN, "postgres.slot_waits", message, database=database, waited_s=f"{waited:.0f}")
        until = min(PATIENCE_S, until * 2)


_HOLDING = """
    SELECT format('process %%s of %%s in %%s, %%s s old%%s', pid, usename, datname,
                  extract(epoch FROM clock_timestamp() - xact_start)::bigint,
                  CASE WHEN state LIKE 'idle in%%' THEN ' and idle' ELSE '' END), xact_start
      FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> %s
    UNION ALL
    SELECT format('prepared transaction %%s in %%s, %%s s old', gid, database,
                  extract(epoch FROM clock_timestamp() - prepared)::bigint), prepared
      FROM pg_prepared_xacts ORDER BY 2 LIMIT 5"""


async def _holding(endpoint: Endpoint, database: str, pid: int) -> str:
    """The oldest transactions that write, for people."""
    try:
        connection = await connect(endpoint, database)
        async with connection:
            rows = await (await connection.execute(_HOLDING, (pid,))).fetchall()
    except (Trouble, psycopg.Error):
        return "the server does not say which"
    return "; ".join(row[0] for row in rows) or "none that this user may see"


async def freed(connection: Connection, slot: Slot) -> None:
    """Nobody reads the slot any more: a walsender that a dead worker left is ended. Raises ServerBusy."""
    end = asyncio.get_running_loop().time() + FREED_WITHIN_S
    while slot.pid is not None:
        await ended(connection, slot.pid)
        row = await (await connection.execute(_READER, (slot.name,))).fetchone()
        if row is None or row[0] is None:
            return
        if asyncio.get_running_loop().time() > end:
            raise ServerBusy(f"Process {row[0]} of the source still reads the slot {slot.name}")
        await asyncio.sleep(LOOK_S)


_READER = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s"


async def ended(connection: Connection, pid: int) -> None:
    """Ask a process of the server to end. One that is already gone is fine. Raises AccessDenied."""
    await connection.execute("SELECT pg_terminate_backend(%s)", (pid,))


async def dropped(connection: Connection, slot: Slot) -> None:
    """The slot is gone. Twice is once. Raises ServerBusy."""
    await freed(connection, slot)
    try:
        await connection.execute("SELECT pg_drop_replication_slot(%s)", (slot.name,))
    except pg.UndefinedObject:
        return


@contextlib.contextmanager
def _mended(endpoint: Endpoint) -> Iterator[None]:
    """What the server says when it cannot make a slot, with the statement that helps."""
    try:
        with translated(endpoint):
            yield
    except Trouble as trouble:
        cause = trouble.__cause__
        better = _better(cause, endpoint) if isinstance(cause, psycopg.Error) else None
        if better is None:
            raise
        raise better from cause


def _better(error: psycopg.Error, endpoint: Endpoint) -> Trouble | None:
    said = error.diag.message_primary or ""
    restart = "then restart the source and let the job go on."
    match sqlstate(error):
        case "53400" | "55000" if "wal_level" not in said:
            return NeedsOperator(
                f"PostgreSQL at {endpoint}: {said}",
                hint=f"On the source: ALTER SYSTEM SET max_replication_slots = 20; {restart} Or drop a slot that "
                "nobody needs; pg_replication_slots lists them.",
            )
        case "55000":
            return NeedsOperator(
                f"PostgreSQL at {endpoint}: {said}",
                hint=f"On the source: ALTER SYSTEM SET wal_level = logical; {restart}",
            )
        case "42501":
            return AccessDenied(
                f"PostgreSQL at {endpoint}: {said or 'the user may not read the log of changes'}",
                hint=f"On the source: ALTER ROLE {quoted(endpoint.user or 'postgres')} REPLICATION;",
            )
    return None


async def places(connection: Connection) -> tuple[int, int]:
    """Where the server's log is: up to where transactions may have committed, and up to where it is on disk."""
    (row,) = await (await connection.execute(_PLACES)).fetchall()
    return lsn(row[0]), lsn(row[1])


async def present(connection: Connection) -> int:
    """Where the server's log is: nothing was committed behind this place."""
    return (await places(connection))[0]


_PLACES = """
    SELECT CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END::text,
           CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END::text"""
