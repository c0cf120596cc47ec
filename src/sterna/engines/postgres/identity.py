"""Lets the log tell changed rows of tables without a key, while a job follows them.

Such a table gets REPLICA IDENTITY FULL at the mark, and what it had back at the end. What that was stands in the
comment of the job's publication before anything is changed, so that any later run finds it. A table that another
job follows too keeps FULL for as long as that job needs it, which then sets it back.
"""

import asyncio
import json
from collections.abc import Sequence

from psycopg import errors as pg

from sterna.core.errors import ServerBusy
from sterna.core.event import Level
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import literal, own, quoted

Before = tuple[str, str, str]
"""Schema, table, and its ``relreplident`` as it was."""

OURS = "sterna.own"
"""A setting that is on in sessions whose commands no job's event trigger shall look at."""
TRIES = 20
LOCK_S = 2
"""Seconds to wait for a table: everybody who comes later waits behind us."""
PAUSE_S = 1.0
_WORDS = {"d": "DEFAULT", "n": "NOTHING", "f": "FULL"}


async def widened(connection: Connection, job_id: str, tables: Sequence[Before], tell: Teller) -> None:
    """Give tables REPLICA IDENTITY FULL. The job's publication must be there. Raises ServerBusy."""
    if not tables:
        return
    await _note(connection, own(job_id), tables)
    for schema, name, _ in tables:
        await _alter(connection, schema, name, "f", tell)


async def restored(connection: Connection, job_id: str, tell: Teller) -> None:
    """Set back what ``widened`` changed, where nobody else changed it since. Twice is once. Raises ServerBusy."""
    noted = await _noted(connection, own(job_id))
    if not noted:
        return
    # Without this, the source would refuse to update a table that is published and cannot tell its rows.
    await connection.execute(f"ALTER PUBLICATION {quoted(own(job_id))} SET (publish = 'insert')".encode())
    for schema, name, before in noted:
        other = await _another_job(connection, job_id, schema, name)
        if other:
            known = await _noted(connection, other)
            await _note(connection, other, [*known, (schema, name, before)])
        elif await _identity(connection, schema, name) == "f":
            await _alter(connection, schema, name, before, tell)


async def _alter(connection: Connection, schema: str, name: str, identity: str, tell: Teller) -> None:
    statement = f"ALTER TABLE ONLY {quoted(schema, name)} REPLICA IDENTITY {_WORDS[identity]}"
    for attempt in range(TRIES):
        try:
            async with connection.transaction():
                await connection.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'".encode())
                await connection.execute(f"SET LOCAL {OURS} = 'on'".encode())
                await connection.execute(statement.encode())
            return
        except pg.LockNotAvailable:
            if not attempt:
                message = f"Waiting for {schema}.{name}, which another session holds: {statement}"
                tell(Level.WARN, "postgres.waits", message)
            await asyncio.sleep(PAUSE_S)
    raise ServerBusy(f"{schema}.{name} on the source is held by another session all the time: {statement}")


async def _note(connection: Connection, publication: str, tables: Sequence[Before]) -> None:
    """Each with its oid: it may get another name."""
    several = sorted({(schema, name): (schema, name, it) for schema, name, it in tables}.values())
    oids = [await _oid(connection, schema, name) for schema, name, _ in several]
    text = literal(json.dumps([[*each, oid] for each, oid in zip(several, oids, strict=True)]))
    async with connection.transaction():
        await connection.execute(f"SET LOCAL {OURS} = 'on'".encode())
        await connection.execute(f"COMMENT ON PUBLICATION {quoted(publication)} IS {text}".encode())


async def _oid(connection: Connection, schema: str, name: str) -> int:
    rows = await (await connection.execute(_OID, (schema, name))).fetchall()
    return int(rows[0][0]) if rows else 0


_OID = """
    SELECT c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"""


async def _noted(connection: Connection, publication: str) -> Sequence[Before]:
    """What is noted, by the names that the tables have now."""
    rows = await (await connection.execute(_COMMENT, (publication,))).fetchall()
    try:
        noted = json.loads(rows[0][0]) if rows and rows[0][0] else []
        found = [(str(schema), str(name), str(it), int(oid)) for schema, name, it, oid in noted if it in _WORDS]
    except (ValueError, TypeError):
        return []  # somebody else's comment
    names = await (await connection.execute(_NAMES, ([oid for *_, oid in found],))).fetchall()
    now = {oid: (schema, name) for oid, schema, name in names}
    return [(*now.get(oid, (schema, name)), it) for schema, name, it, oid in found]


_NAMES = """
    SELECT c.oid::bigint, n.nspname::text, c.relname::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = ANY (%s::oid[])"""
_COMMENT = "SELECT obj_description(oid, 'pg_publication') FROM pg_publication WHERE pubname = %s"


async def _identity(connection: Connection, schema: str, name: str) -> str:
    rows = await (await connection.execute(_IDENTITY, (schema, name))).fetchall()
    return str(rows[0][0]) if rows else ""


_IDENTITY = """
    SELECT c.relreplident::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname = %s AND c.relname = %s AND c.relkind IN ('r', 'p')"""


async def _another_job(connection: Connection, job_id: str, schema: str, name: str) -> str:
    """The publication of another job that has the table with all its changes; empty: none."""
    rows = await (await connection.execute(_OTHERS, (own(job_id), schema, name))).fetchall()
    return str(rows[0][0]) if rows else ""


_OTHERS = r"""
    SELECT p.pubname FROM pg_publication p JOIN pg_publication_tables t ON t.pubname = p.pubname
     WHERE p.pubname LIKE 'sterna\_%%' AND p.pubname <> %s AND p.pubupdate
       AND t.schemaname = %s AND t.tablename = %s LIMIT 1"""
