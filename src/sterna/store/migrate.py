"""Brings a store's tables to the form that this version knows, once, however many processes start together."""

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from sterna.core.errors import NeedsOperator
from sterna.store.tables import metadata

HEAD = "0004"
"""The newest revision in ``migrations/versions``: each names its forerunner."""

VERSION_TABLE = "sterna_revision"

_LOCK = 0x5354_4552_4E41  # any number that nobody else on the server would pick


def current(transaction: Connection) -> bool:
    """Whether nothing has to be done."""
    return _revision(transaction) == HEAD


def migrate(transaction: Connection) -> None:
    """Apply what is missing, all in this transaction. Raises NeedsOperator if a newer version wrote the store.

    The transaction keeps every other migration out: on SQLite because it writes, on PostgreSQL by a lock.
    """
    if transaction.dialect.name == "postgresql":
        transaction.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if current(transaction):
        return
    if inspect(transaction).get_table_names():
        _upgrade(transaction)
    else:
        _create(transaction)


def _create(transaction: Connection) -> None:
    """A store that holds nothing gets the newest form at once; a test keeps that equal to what revisions make."""
    metadata.create_all(transaction)
    transaction.execute(text("CREATE TABLE sterna_revision (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    transaction.execute(text("INSERT INTO sterna_revision VALUES (:head)"), {"head": HEAD})


def _revision(transaction: Connection) -> str | None:
    if not inspect(transaction).has_table(VERSION_TABLE):
        return None
    return transaction.execute(text("SELECT version_num FROM sterna_revision")).scalar()


def _upgrade(transaction: Connection) -> None:
    # Imported here: a process that finds its store in order starts faster without it.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config(attributes={"connection": transaction})
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    try:
        command.upgrade(config, HEAD)
    except CommandError as error:
        raise NeedsOperator(
            "The store was written by a version of Sterna that is newer than this one",
            hint="Start that version, or restore the data folder from a backup of this one's.",
        ) from error
