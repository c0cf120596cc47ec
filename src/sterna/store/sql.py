"""The store on disk: SQLite in the data folder by default, PostgreSQL where many machines share it."""

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, insert, select

from sterna.store import rules
from sterna.store.database import Database, connect
from sterna.store.migrate import current, migrate
from sterna.store.secrets import Vault
from sterna.store.sqljobs import SqlJobs
from sterna.store.sqlpeople import SqlPeople
from sterna.store.tables import facts

_CHECK = "key_check"


class SqlStore(SqlJobs, SqlPeople):
    """A whole store in a database. Made by ``open_store``."""

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()


async def open_store(url_or_path: str | Path, key: bytes, clock: Callable[[], int] = rules.now_ms) -> SqlStore:
    """Open a store, made or brought up to date if need be.

    ``url_or_path``: a file, ``sqlite:///file``, or ``postgresql://user:password@host/database``. ``key``: 32 bytes
    that seal the secrets. Raises Invalid for another URL, WrongKey if the data was sealed with another key,
    Unreachable, and NeedsOperator if the store cannot be used or was written by a newer version.
    """
    vault = Vault(key)
    database = connect(url_or_path)
    try:
        if not await database.read(current):
            await database.write(migrate)
        await _check_key(database, vault)
    except BaseException:
        await database.close()
        raise
    return SqlStore(database, vault, clock)


async def _check_key(database: Database, vault: Vault) -> None:
    """The first to come seals a word; everyone after must be able to open it."""
    sealed = await database.read(_sealed_word)
    if sealed is None:
        sealed = await database.write(_keep_word, vault.seal("sterna", *_place()))
    vault.open(sealed, *_place())


def _place() -> tuple[str, str, str]:
    return facts.name, _CHECK, "value"


def _sealed_word(transaction: Connection) -> bytes | None:
    return transaction.execute(select(facts.c.value).where(facts.c.name == _CHECK)).scalar()


def _keep_word(transaction: Connection, sealed: bytes) -> bytes:
    """The word that counts: of two processes with different keys, only one may go on."""
    there = _sealed_word(transaction)
    if there is not None:
        return there
    transaction.execute(insert(facts).values(name=_CHECK, value=sealed))
    return sealed
