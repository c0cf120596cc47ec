"""Proves that the target's tables hold what was sent: each is read back, and its digest compared."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
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
from sterna.engines.postgres.foreign.reading import digest_on
from sterna.engines.postgres.names import shown

if TYPE_CHECKING:
    import asyncpg

READERS = 2
"""How many tables are read back at the same time."""
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
    _rows: int = field(default=0, init=False)
    _other: list[str] = field(default_factory=list, init=False)

    async def run(self, tables: Sequence[Drafted], sent: Mapping[Path, Digest]) -> None:
        """Raises ApplyFailed where rows are missing, or there are too many. Other contents are told of."""
        if self.plan.options.get(OPTION, "").lower() == "false" or not tables:
            return
        waiting = deque(tables)

        async def work() -> None:
            with translated(self.plan.target):
                connection = await bulk(self.plan.target, tables[0].to[0], purpose=self.purpose)
                try:
                    while waiting:
                        table = waiting.popleft()
                        await self._prove(connection, table, sent.get(table.to, Digest()))
                finally:
                    connection.terminate()

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(READERS, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        self._say(tables)

    async def _prove(self, connection: "asyncpg.Connection[Any]", table: Drafted, sent: Digest) -> None:
        there = await digest_on(connection, table.to, table.columns)
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
