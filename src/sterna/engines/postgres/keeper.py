"""Keeps a snapshot of the source alive for hours, through network cuts and the death of the worker.

A snapshot lives as long as the transaction that exported it. That transaction is a session of its own which is
busy inside one statement: a busy server process does not notice that its client has gone, unless it is told to
look (``client_connection_check_interval``, PostgreSQL 14). It ends by itself: with the job's slot; without a
slot when no process of the job was seen for ``ALONE_SECONDS``. The snapshot's id is in the session's
application_name, so any worker on any machine finds it.

While it lives, the source's VACUUM keeps dead rows, and its CREATE INDEX CONCURRENTLY waits: so it ends with the
copy, as soon as the last part is on the target.
"""

import asyncio
import hashlib

from sterna.core.errors import Unreachable
from sterna.core.plan import Endpoint
from sterna.engines.postgres.connection import Connection, connect, translated
from sterna.engines.postgres.names import literal, own

ALONE_SECONDS = 3600
_LONGEST_WORD = 43
"""A longer name of a job would leave no room in application_name's 63 bytes for the snapshot's id."""
_SEND_S = 15.0


def presence(job_id: str) -> str:
    """The application_name of a session that says: a worker of this job lives."""
    return f"{_marker(job_id)}here"


async def kept(endpoint: Endpoint, database: str, job_id: str, *, snapshot: str = "", slot: str = "") -> str:
    """Start a keeper; gives the id of its snapshot.

    ``snapshot``: another session's, to be the same as; empty: the present. ``slot``: lives as long as this slot;
    empty: as long as a session named ``presence`` was there within ``ALONE_SECONDS``.
    """
    connection = await connect(endpoint, database, purpose=_marker(job_id))
    try:
        with translated(endpoint):
            exported = await _exported(connection, snapshot)
            name = f"{_marker(job_id)}{exported}"
            await connection.execute("SELECT set_config('application_name', %s, false)", (name,))
            await _left_alone(connection, _while_slot(slot) if slot else _while_seen(job_id))
    finally:
        connection.pgconn.finish()
    return exported


async def _exported(connection: Connection, snapshot: str) -> str:
    await connection.execute("SET client_min_messages = error")
    for setting, since in (("client_connection_check_interval", 140000), ("transaction_timeout", 170000)):
        if connection.info.server_version >= since:
            await connection.execute(f"SET {setting} = 0".encode())
    await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
    if snapshot:
        await connection.execute(f"SET TRANSACTION SNAPSHOT {literal(snapshot)}".encode())
    row = await (await connection.execute("SELECT pg_export_snapshot()")).fetchone()
    return str(row[0]) if row else ""


def _while_slot(slot: str) -> str:
    return f"""DO $$ BEGIN
        WHILE EXISTS (SELECT FROM pg_catalog.pg_replication_slots WHERE slot_name = {literal(slot)}) LOOP
            PERFORM pg_catalog.pg_sleep(1);
        END LOOP; END $$"""


def _while_seen(job_id: str) -> str:
    # The list of sessions is read once per transaction unless it is told to forget what it read.
    return f"""DO $$ DECLARE seen timestamptz := pg_catalog.clock_timestamp(); BEGIN
        WHILE pg_catalog.clock_timestamp() < seen + interval '{ALONE_SECONDS} seconds' LOOP
            PERFORM pg_catalog.pg_sleep(1);
            PERFORM pg_catalog.pg_stat_clear_snapshot();
            IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                        WHERE application_name = {literal(presence(job_id))}) THEN
                seen := pg_catalog.clock_timestamp();
            END IF;
        END LOOP; END $$"""


async def _left_alone(connection: Connection, statement: str) -> None:
    """Send a statement that runs on by itself, and do not wait for its end."""
    low = connection.pgconn
    low.nonblocking = 1
    low.send_query(statement.encode())
    end = asyncio.get_running_loop().time() + _SEND_S
    while low.flush():
        if asyncio.get_running_loop().time() > end:
            raise Unreachable("The session that keeps the snapshot cannot be started")
        await asyncio.sleep(0.01)


async def keepers(connection: Connection, job_id: str, database: str = "") -> dict[int, str]:
    """The server processes that keep snapshots of the job, with the snapshots' ids."""
    marker = _marker(job_id)
    query = """SELECT pid, substr(application_name, length(%s) + 1) FROM pg_stat_activity
                WHERE application_name ~ %s AND (datname = %s OR %s = '')
                  AND state IS DISTINCT FROM 'idle in transaction'"""
    words = (marker, f"^{marker}[0-9A-F]+(-[0-9A-F]+)+$", database, database)
    rows = await (await connection.execute(query, words)).fetchall()
    return dict(rows)


def _marker(job_id: str) -> str:
    word = own(job_id)
    if len(word) > _LONGEST_WORD:
        word = f"sterna_{hashlib.sha256(job_id.encode()).hexdigest()[:32]}"
    return f"{word} "
