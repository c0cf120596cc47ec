"""Proves that the target's tables hold what was sent: each is read back, and its digest compared."""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sterna.core.digest import Digest
from sterna.core.errors import ApplyFailed
from sterna.core.event import Level
from sterna.core.plan import Path, Plan
from sterna.core.ports import Teller
from sterna.core.schema import Kind
from sterna.engines.postgres.connection import bulk, translated
from sterna.engines.postgres.foreign.drafts import Drafted
from sterna.engines.postgres.foreign.reading import Blocks, digest_on, stretches
from sterna.engines.postgres.names import shown

if TYPE_CHECKING:
    import asyncpg

READERS = 2
"""How many tables, or stretches of one, are read back at the same time."""
OPTION = "proof"
"""The plan's option: ``false`` leaves it out."""
SHORTEST_SINCE = 12
"""From 12 on, PostgreSQL writes a float with as few digits as tell it from all others, as the rows come."""


@dataclass
class Proof:
    """Compares tables of one of the target's databases with what was sent of them.

    ``purpose``: what its connections are called.
    """

    plan: Plan
    tell: Teller
    purpose: str
    _found: dict[Path, Digest] = field(default_factory=dict, init=False)
    _left: Counter[Path] = field(default_factory=Counter, init=False)
    """Stretches of each table that are still to be read."""
    _rows: int = field(default=0, init=False)
    _other: list[str] = field(default_factory=list, init=False)

    async def run(self, tables: Sequence[Drafted], sent: Mapping[Path, Digest]) -> None:
        """Raises ApplyFailed where rows are missing, or there are too many. Other contents are told of."""
        if self.plan.options.get(OPTION, "").lower() == "false" or not tables:
            return
        by_name = {table.to: table for table in tables}
        async with self._connection(tables[0].to[0]) as connection:
            waiting = deque(await stretches(connection, list(by_name)))
        self._left = Counter(to for to, _ in waiting)

        async def work() -> None:
            async with self._connection(tables[0].to[0]) as connection:
                while waiting:
                    to, blocks = waiting.popleft()
                    await self._prove(connection, by_name[to], blocks, sent.get(to, Digest()))

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(READERS, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        self._say(tables)

    @asynccontextmanager
    async def _connection(self, database: str) -> AsyncIterator["asyncpg.Connection[Any]"]:
        with translated(self.plan.target):
            connection = await bulk(self.plan.target, database, purpose=self.purpose)
            try:
                yield connection
            finally:
                connection.terminate()

    async def _prove(
        self, connection: "asyncpg.Connection[Any]", table: Drafted, blocks: Blocks, sent: Digest
    ) -> None:
        """Read a stretch back; after the last one of a table, compare."""
        there = await digest_on(connection, table.to, table.columns, blocks)
        there += self._found.pop(table.to, Digest())
        self._left[table.to] -= 1
        if self._left[table.to]:
            self._found[table.to] = there
            return
        if there.rows != sent.rows:
            raise ApplyFailed(
                f"The target holds {there.rows} rows of {shown(table.to)}, but {sent.rows} were sent",
                hint="Something else writes to that table. End it, then start the job again.",
            )
        self._rows += there.rows
        floats = any(column.type.kind is Kind.FLOAT for column in table.source.columns)
        old = connection.get_server_version().major < SHORTEST_SINCE
        if there.sum != sent.sum and not (floats and old):
            self._other.append(shown(table.to))
            message = (
                f"{shown(table.to)} holds as many rows as were sent, but some read otherwise than they were sent"
            )
            self.tell(Level.WARN, "proof.differs", message, table=shown(table.to), rows=str(there.rows))

    def _say(self, tables: Sequence[Drafted]) -> None:
        equal = len(tables) - len(self._other)
        database, rows = tables[0].to[0], str(self._rows)
        message = f"{equal} of {len(tables)} tables of {database} were read back and hold exactly what was sent"
        self.tell(Level.INFO, "proof.equal", message, database=database, tables=str(equal), rows=rows)
