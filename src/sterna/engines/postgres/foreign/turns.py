"""One job at a time loads a database: of two that make the same tables, neither would hold what it was given.

The lock is the target's own and lasts as long as its session, so that it falls with the job's process.
"""

import asyncio
import hashlib
from collections.abc import Iterable

from sterna.core.errors import NeedsOperator, ServerBusy
from sterna.core.plan import Endpoint
from sterna.engines.postgres.connection import Connection, connect, translated
from sterna.engines.postgres.names import DEFAULT_DATABASE

_SPACE = 7310295
"""The first half of the keys, Sterna's own."""
_NOTICED = (
    "SELECT set_config('tcp_keepalives_idle', '30', false), set_config('tcp_keepalives_interval', '10', false), "
    "set_config('tcp_keepalives_count', '3', false)"
)
"""A machine that is gone does not keep its locks for the two hours that systems wait by default."""


class Turns:
    """The databases of a target that a run has for itself. Close it."""

    def __init__(self, target: Endpoint, purpose: str) -> None:
        self._target = target
        self._purpose = purpose
        self._connection: Connection | None = None
        self._held: set[str] = set()
        self._taking = asyncio.Lock()

    async def take(self, databases: Iterable[str]) -> None:
        """Have them alone, all or none; twice is once. Raises ServerBusy while another job has one of them."""
        wanted = set(databases)
        async with self._taking:
            for name in sorted(wanted - self._held):
                if not await self._try(name):
                    await self.close()
                    raise ServerBusy(
                        f"Another job loads the database {name} on {self._target}: this one waits for its end"
                    )
                self._held.add(name)

    async def close(self) -> None:
        """Let others have them. Twice is once."""
        connection, self._connection = self._connection, None
        self._held.clear()
        if connection is not None:
            await connection.close()

    async def _try(self, name: str) -> bool:
        if self._connection is None:
            self._connection = await self._connect()
        with translated(self._target):
            if await _granted(self._connection, name):
                return True
            # An earlier run of this job, which may be cut off from us, writes nothing any more: it is fenced.
            await self._connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s "
                "AND usename = current_user AND pid <> pg_backend_pid()",
                (self._purpose,),
            )
            return await _granted(self._connection, name)

    async def _connect(self) -> Connection:
        """All jobs look for locks in the same database, if they may: a lock is seen in its own alone."""
        try:
            connection = await connect(self._target, DEFAULT_DATABASE, purpose=self._purpose)
        except NeedsOperator:  # not there, or not for this user
            connection = await connect(self._target, purpose=self._purpose)
        with translated(self._target):
            await connection.execute(_NOTICED)
        return connection


async def _granted(connection: Connection, name: str) -> bool:
    found = await connection.execute("SELECT pg_try_advisory_lock(%s, %s)", (_SPACE, _key(name)))
    row = await found.fetchone()
    return bool(row and row[0])


def _key(name: str) -> int:
    """32 bits with a sign, as the server takes them."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], signed=True)
