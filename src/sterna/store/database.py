"""One transaction per call, on SQLite or PostgreSQL: writers wait their turn, and what was busy is tried again."""

import asyncio
import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from sterna.core.errors import BadData, DiskFull, Invalid, NeedsOperator, ServerBusy, Trouble, Unreachable

P = ParamSpec("P")
T = TypeVar("T")

_BUSY_MS = 5_000
_PATIENCE_S = 60.0
_AGAIN = {"40001", "40P01"}  # serialization failure, deadlock: PostgreSQL appendix A
_COLLISIONS = 3


class Database:
    """Runs functions in transactions, in threads. A function may be run again after a rollback."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lite = engine.dialect.name == "sqlite"
        self._writer = engine.execution_options(immediate=True) if self._lite else engine
        self._reader = engine if self._lite else engine.execution_options(isolation_level="REPEATABLE READ")
        self._turn: contextlib.AbstractContextManager[object] = (
            threading.Lock() if self._lite else contextlib.nullcontext()
        )

    @property
    def lite(self) -> bool:
        """Whether it is SQLite."""
        return self._lite

    async def read(self, look: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """See one state of everything. Raises Unreachable, ServerBusy and what ``look`` raises."""
        return await asyncio.to_thread(self._try, partial(self._look, look, *args, **named))

    async def write(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        """All or nothing, durable on return. Raises as ``read`` does, and DiskFull."""
        return await asyncio.to_thread(self._try, partial(self._change, change, *args, **named))

    async def close(self) -> None:
        await asyncio.to_thread(self._engine.dispose)

    def _look(self, look: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        with self._reader.begin() as transaction:
            return look(transaction, *args, **named)

    def _change(self, change: Callable[Concatenate[Connection, P], T], *args: P.args, **named: P.kwargs) -> T:
        # SQLite's own waiting is by sleeping and unfair: within the process, writers queue here instead.
        with self._turn, self._writer.begin() as transaction:
            return change(transaction, *args, **named)

    def _try(self, run: Callable[[], T]) -> T:
        end = time.monotonic() + _PATIENCE_S
        collisions = 0
        while True:
            try:
                return run()
            except IntegrityError:
                # Another writer was first between our look and our write: look again, and say what is the matter.
                collisions += 1
                if collisions == _COLLISIONS:
                    raise
            except PoolTimeout as error:
                raise ServerBusy("The store is too busy") from error
            except DBAPIError as error:
                if not _passing(error):
                    raise _explained(error) from error
                if time.monotonic() > end:
                    raise ServerBusy("The store's database stays locked by another process") from error
            time.sleep(random.uniform(0.005, 0.05))


def connect(url_or_path: str | Path) -> Database:
    """Raises Invalid for a URL that is neither SQLite nor PostgreSQL. Nothing is opened yet."""
    url = _url(url_or_path)
    if url.drivername.startswith("sqlite"):
        return Database(_sqlite(url))
    # Parameters stay out of error texts: they hold hashes and sealed secrets.
    return Database(create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=5, max_overflow=10))


def _url(url_or_path: str | Path) -> URL:
    text = str(url_or_path)
    if "://" not in text:
        return URL.create("sqlite", database=text)
    try:
        url = make_url(text)
    except ArgumentError:
        raise Invalid("store", "The store's address is not a URL") from None
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    raise Invalid("store", "The store must be a file, sqlite:///file or postgresql://host/database")


def _sqlite(url: URL) -> Engine:
    _make_file(Path(url.database or ""))
    engine = create_engine(
        url,
        hide_parameters=True,
        max_overflow=-1,
        connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False},
    )
    event.listen(engine, "connect", _prepare_connection)
    event.listen(engine, "begin", _begin)
    return engine


def _make_file(path: Path) -> None:
    """The file holds hashes and sealed secrets: readable by its owner alone; SQLite's side files follow it."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise NeedsOperator(f"The store {path} cannot be opened: {error.strerror}") from error


def _prepare_connection(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where we say, not where the driver guesses
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose the last commits in a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: Connection) -> None:
    # A writer takes the write lock at once: a read lock cannot become one while another writer waits.
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _lite_code(error: DBAPIError) -> int:
    """SQLite's primary result code; 0 for another database. See https://sqlite.org/rescode.html."""
    return int(getattr(error.orig, "sqlite_errorcode", 0)) & 0xFF


def _state(error: DBAPIError) -> str:
    """PostgreSQL's SQLSTATE; empty if the server gave none."""
    return str(getattr(error.orig, "sqlstate", None) or "")


def _passing(error: DBAPIError) -> bool:
    return _lite_code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) or _state(error) in _AGAIN


def _explained(error: DBAPIError) -> Exception:
    """What happened in our own words; the error itself if it can only be a bug."""
    lite, state = _lite_code(error), _state(error)
    if lite == sqlite3.SQLITE_FULL or state == "53100":
        return DiskFull("The disk that holds the store is full")
    if lite in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return BadData("The store's file is damaged", hint="Restore the data folder from a backup.")
    if lite in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PERM):
        return _unusable(error)
    if state[:2] == "28" or state in ("3D000", "42501"):
        return _unusable(error)
    lost = error.connection_invalidated or state[:2] in ("08", "53", "57")
    # A connection that was never made has no SQLSTATE, whatever the server said: its words are all there is.
    unheard = type(error.orig).__module__.startswith("psycopg") and type(error.orig).__name__ == "OperationalError"
    if lost or (unheard and not state):
        return Unreachable(f"The store's database cannot be reached: {error.orig}")
    return error


def _unusable(error: DBAPIError) -> Trouble:
    return NeedsOperator(
        f"The store cannot be used: {error.orig}",
        hint="Correct its address or the rights on it, then start again.",
    )
