"""What of a source database the slot hands out: publications of the selected tables, and of nothing else.

PostgreSQL refuses every UPDATE and DELETE of a table that publishes them and cannot tell its rows. So tables
without a key are made to tell them before they are published (``identity.py``). A second publication, with inserts
and truncations alone, takes what could not be made so.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from psycopg import errors as pg

from sterna.core.errors import AccessDenied
from sterna.core.plan import Path, Selection
from sterna.core.ports import Teller
from sterna.engines.postgres.catalogue import OWN, Table, tables, taken
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.identity import restored, widened
from sterna.engines.postgres.names import own, quoted

PIECE = 500
"""Tables named in one statement."""


def names(job_id: str) -> tuple[str, str]:
    """The publication with all changes, and the one with inserts alone."""
    return own(job_id), f"{own(job_id)}_insert"


def blind(table: Table) -> bool:
    """Whether the log cannot tell which row of the table was changed or deleted."""
    return not table.key and table.identity != "f"


async def publish(
    connection: Connection, job_id: str, database: str, selection: Selection, tell: Teller
) -> Sequence[Table]:
    """Make both publications anew; gives the selected tables. Raises AccessDenied with what lacks, ServerBusy.

    A partitioned table that is taken whole is named itself where PostgreSQL can (13): partitions that it gets
    later come with it.
    """
    await withdraw(connection, job_id, tell)
    version = connection.info.server_version
    whole, inserts = names(job_id)
    truncate = ", truncate" if version >= 110000 else ""
    await _make(connection, whole, f"insert, update, delete{truncate}")
    await _make(connection, inserts, f"insert{truncate}")
    alone = await _let_tell_rows(connection, job_id, database, selection, tell)
    found = await tables(connection, database, Selection())
    mine = [table for table in found if taken(selection, table.path, table.root) is not None]
    every = [table for table in found if not table.unlogged]
    taken_ones = {table.path for table in mine}
    roots = await _roots(connection, database, selection) if version >= 130000 else {}
    roots = {path: no_key for path, no_key in roots.items() if path not in alone}
    for table in every:
        if table.root in roots and (table.path not in taken_ones or blind(table) != roots[table.root]):
            del roots[table.root]
    chosen = [
        (table.path, blind(table)) for table in every if table.path in taken_ones and table.root not in roots
    ]
    members = [*roots.items(), *chosen]
    await _add(connection, whole, [path for path, no_key in members if not no_key])
    await _add(connection, inserts, [path for path, no_key in members if no_key])
    return mine


async def _let_tell_rows(
    connection: Connection, job_id: str, database: str, selection: Selection, tell: Teller
) -> frozenset[Path]:
    """Selected tables without a key, and partitioned ones above them, get REPLICA IDENTITY FULL.

    Partitions that come later can be given it by the event trigger alone. Where there will be none, partitioned
    tables without a key are not to be published themselves, only their partitions: those are returned.
    """
    leaves = [
        (table.path[1], table.path[2], table.identity)
        for table in await tables(connection, database, selection)
        if blind(table) and not table.unlogged
    ]
    rows = await (await connection.execute(_BLIND_ROOTS, (list(OWN),))).fetchall()
    roots = [(s, t, it) for s, t, it in rows if taken(selection, (database, s, t), None) is not None]
    (trigger,) = (await (await connection.execute(_SUPER)).fetchall())[0]
    with _denied(connection):
        await widened(connection, job_id, [*leaves, *(roots if trigger else [])], tell)
    return frozenset() if trigger else frozenset((database, s, t) for s, t, _ in roots)


_SUPER = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"

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


_BLIND_ROOTS = f"""
    SELECT n.nspname, c.relname, c.relreplident::text
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind = 'p' AND NOT c.relispartition AND c.relpersistence = 'p' AND NOT {KEYED}
       AND n.nspname <> ALL (%s)"""  # noqa: S608 - as above


async def _make(connection: Connection, name: str, kinds: str) -> None:
    with _denied(connection):
        await connection.execute(f"CREATE PUBLICATION {quoted(name)} WITH (publish = '{kinds}')".encode())


async def _add(connection: Connection, name: str, paths: Sequence[Path]) -> None:
    with _denied(connection):
        for begin in range(0, len(paths), PIECE):
            named = ", ".join("ONLY " + quoted(*path[1:]) for path in paths[begin : begin + PIECE])
            await connection.execute(f"ALTER PUBLICATION {quoted(name)} ADD TABLE {named}".encode())


@contextmanager
def _denied(connection: Connection) -> Iterator[None]:
    try:
        yield
    except pg.InsufficientPrivilege as error:
        database, user = quoted(connection.info.dbname), quoted(connection.info.user)
        raise AccessDenied(
            f"The source's user may not publish the selected tables: {error.diag.message_primary}",
            hint=f"On the source: GRANT CREATE ON DATABASE {database} TO {user}; and let {user} own the tables, "
            "or be a member of the role that does.",
        ) from error


async def withdraw(connection: Connection, job_id: str, tell: Teller) -> None:
    """Both publications are gone, and tables tell their rows as they did before. Twice is once.

    Raises ServerBusy.
    """
    await restored(connection, job_id, tell)
    for name in names(job_id):
        await connection.execute(f"DROP PUBLICATION IF EXISTS {quoted(name)}".encode())
