"""What of a source database the slot hands out: publications of the selected tables, and of nothing else.

Two of them: tables whose changed rows the log can tell, with all their changes; and tables that have neither a
key nor REPLICA IDENTITY FULL, with inserts and truncations alone. PostgreSQL refuses every UPDATE and DELETE of
a table that publishes them and cannot tell its rows, and a migration must not break the source's own
applications.
"""

from collections.abc import Sequence

from psycopg import errors as pg

from sterna.core.errors import AccessDenied
from sterna.core.plan import Path, Selection
from sterna.engines.postgres.catalogue import OWN, Table, tables, taken
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import own, quoted

PIECE = 500
"""Tables named in one statement."""


def names(job_id: str) -> tuple[str, str]:
    """The publication with all changes, and the one with inserts alone."""
    return own(job_id), f"{own(job_id)}_insert"


def blind(table: Table) -> bool:
    """Whether the log cannot tell which row of the table was changed or deleted."""
    return not table.key and table.identity != "f"


async def publish(connection: Connection, job_id: str, database: str, selection: Selection) -> None:
    """Make both publications anew. Raises AccessDenied with what is lacking.

    A partitioned table that is taken whole is named itself where PostgreSQL can (13): partitions that it gets
    later come with it.
    """
    await withdraw(connection, job_id)
    version = connection.info.server_version
    every = [table for table in await tables(connection, database, Selection()) if not table.unlogged]
    taken_ones = {table.path for table in await tables(connection, database, selection)}
    roots = await _roots(connection, database, selection) if version >= 130000 else {}
    for table in every:
        if table.root in roots and (table.path not in taken_ones or blind(table) != roots[table.root]):
            del roots[table.root]
    chosen = [
        (table.path, blind(table)) for table in every if table.path in taken_ones and table.root not in roots
    ]
    members = [*roots.items(), *chosen]
    whole, inserts = names(job_id)
    truncate = ", truncate" if version >= 110000 else ""
    await _make(
        connection, whole, f"insert, update, delete{truncate}", [path for path, no_key in members if not no_key]
    )
    await _make(connection, inserts, f"insert{truncate}", [path for path, no_key in members if no_key])


KEYED = """
    (c.relreplident = 'f' OR EXISTS (
        SELECT FROM pg_index i WHERE i.indrelid = c.oid
           AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident ELSE false END))"""
"""Whether the log can tell which row of the table ``c`` (pg_class) was changed."""


async def _roots(connection: Connection, database: str, selection: Selection) -> dict[Path, bool]:
    """The partitioned tables that are selected, each with whether it has no key."""
    rows = await (await connection.execute(_ROOTS, (list(OWN),))).fetchall()
    roots = {(database, schema, name): no_key for schema, name, no_key in rows}
    return {path: no_key for path, no_key in roots.items() if taken(selection, path, None) is not None}


_ROOTS = f"""
    SELECT n.nspname, c.relname, NOT {KEYED}
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'p' AND NOT c.relispartition AND c.relpersistence = 'p'
       AND n.nspname <> ALL (%s)"""  # noqa: S608 - as above


async def _make(connection: Connection, name: str, kinds: str, paths: Sequence[Path]) -> None:
    try:
        async with connection.transaction():
            await connection.execute(f"CREATE PUBLICATION {quoted(name)} WITH (publish = '{kinds}')".encode())
            for begin in range(0, len(paths), PIECE):
                named = ", ".join("ONLY " + quoted(*path[1:]) for path in paths[begin : begin + PIECE])
                await connection.execute(f"ALTER PUBLICATION {quoted(name)} ADD TABLE {named}".encode())
    except pg.InsufficientPrivilege as error:
        database, user = quoted(connection.info.dbname), quoted(connection.info.user)
        raise AccessDenied(
            f"The source's user may not publish the selected tables: {error.diag.message_primary}",
            hint=f"On the source: GRANT CREATE ON DATABASE {database} TO {user}; and let {user} own the tables, "
            "or be a member of the role that does.",
        ) from error


async def withdraw(connection: Connection, job_id: str) -> None:
    """Both publications are gone. Twice is once."""
    for name in names(job_id):
        await connection.execute(f"DROP PUBLICATION IF EXISTS {quoted(name)}".encode())
