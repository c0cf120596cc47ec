"""Proves that the target's tables hold what was sent: each is read back, and its digest compared."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sterna.core.digest import Digest
from sterna.core.errors import ApplyFailed
from sterna.core.event import Level
from sterna.core.plan import Path, Plan
from sterna.core.ports import Teller
from sterna.core.schema import Kind
from sterna.engines.postgres.connection import connected
from sterna.engines.postgres.foreign.drafting import Drafted
from sterna.engines.postgres.foreign.reading import digest_at
from sterna.engines.postgres.names import shown

READERS = 2
"""How many tables are read back at the same time."""
OPTION = "proof"
"""The plan's option: ``false`` leaves it out."""
SHORTEST_SINCE = 120000
"""From 12 on, PostgreSQL writes a float with as few digits as tell it from all others, as the rows come."""


@dataclass
class Proof:
    """Compares tables of the target with what was sent of them. ``purpose``: what its connections are called."""

    plan: Plan
    tell: Teller
    purpose: str
    _rows: int = field(default=0, init=False)
    _other: list[str] = field(default_factory=list, init=False)

    async def run(self, tables: Sequence[Drafted], sent: Mapping[Path, Digest]) -> None:
        """Raises ApplyFailed where rows are missing, or there are too many. Other contents are told of."""
        if self.plan.options.get(OPTION, "").lower() == "false" or not tables:
            return
        async with connected(self.plan.target, tables[0].to[0], purpose=self.purpose) as connection:
            version = connection.info.server_version
        waiting = deque(tables)

        async def work() -> None:
            while waiting:
                table = waiting.popleft()
                await self._prove(table, sent.get(table.to, Digest()), version)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(READERS, len(waiting))):
                    group.create_task(work())
        except BaseExceptionGroup as several:
            raise several.exceptions[0] from several
        self._say(tables)

    async def _prove(self, table: Drafted, sent: Digest, version: int) -> None:
        there = await digest_at(self.plan.target, table.to, table.columns, self.purpose)
        if there.rows != sent.rows:
            raise ApplyFailed(
                f"The target holds {there.rows} rows of {shown(table.to)}, but {sent.rows} were sent",
                hint="Something else writes to that table. End it, then start the job again.",
            )
        self._rows += there.rows
        floats = any(column.type.kind is Kind.FLOAT for column in table.source.columns)
        if there.sum != sent.sum and not (floats and version < SHORTEST_SINCE):
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
