"""Where a job stops at a change of shape, within a transaction of the source, and how it goes on from there.

Rows before the change have the old shape and those behind it the new one. A person can make only one change at a
time, so what comes before it is kept on the target together with a mark; the run that follows leaves that out. The
mark tells the transaction by the place of its commit in the source's log, and the change by its number in there.
"""

# ruff: noqa: S608 - names in statements are quoted, texts are literals or parameters

import hashlib
from dataclasses import dataclass

from sterna.core.change import Batch, Change, Command, Ddl
from sterna.engines.postgres.checkpoint import LANE
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import literal
from sterna.engines.postgres.wire.pgoutput import Begin, decode, frames

CHANGED = "ddl"
"""Lane: the change of shape at which the job stopped last, and in which epoch."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A change of shape at which a run stopped; all before it is on the target."""

    epoch: int
    transaction: str
    number: int
    """Of the change among those of its transaction, from 1."""
    tried: bool
    """It was run on the target, which refused it."""

    def text(self) -> str:
        return f"{self.epoch} {self.transaction} {self.number} {int(self.tried)}"

    @classmethod
    def of(cls, text: str) -> "Mark":
        epoch, transaction, number, tried = text.split()
        return cls(int(epoch), transaction, int(number), tried == "1")


@dataclass
class Progress:
    """How far a transaction is that may hold changes of shape."""

    transaction: str
    mark: Mark | None
    """Where an earlier attempt at this transaction stopped."""
    number: int = 0
    """Changes of shape so far."""

    def there(self, change: Change) -> bool:
        """Count a change; whether it lies before the mark, and so is on the target."""
        if isinstance(change, Ddl):
            self.number += 1
        return self.mark is not None and self.number < self.mark.number

    @property
    def marked(self) -> Mark | None:
        """The mark, if the change of shape that was counted last is the one where an attempt stopped."""
        return self.mark if self.mark and self.mark.number == self.number else None


async def progress(connection: Connection, job: str, database: str, batch: Batch) -> Progress:
    """How far the transaction is on the target that a batch begins."""
    transaction = _transaction(batch)
    query = f"SELECT position FROM {LANE} WHERE job = {literal(job)} AND lane = {literal(lane(database))}"
    row = await (await connection.execute(query.encode())).fetchone()
    mark = Mark.of(row[0]) if row else None
    return Progress(transaction, mark if mark and mark.transaction == transaction else None)


async def forgotten(connection: Connection, job: str, database: str) -> None:
    """The mark is of no use any more: its transaction is complete."""
    query = f"DELETE FROM {LANE} WHERE job = {literal(job)} AND lane = {literal(lane(database))}"
    await connection.execute(query.encode())


def lane(database: str) -> str:
    """The lane of one of the source's databases."""
    return f"{CHANGED}:{database}"


def seen_late(batch: Batch) -> bool:
    """Whether it holds nothing but a change of shape that no trigger saw, which has no place in the log."""
    return bool(batch.changes) and all(isinstance(change, Ddl) for change in batch.changes)


def _transaction(batch: Batch) -> str:
    """What tells the batch's transaction from others, also when it is read again."""
    for change in batch.changes:
        if isinstance(change, Command):
            for message in frames(change.data):
                if message[:1] == b"B":
                    begun = decode(message)
                    assert isinstance(begun, Begin)
                    return f"{begun.lsn:X}"
    texts = "\n".join(change.text for change in batch.changes if isinstance(change, Ddl))
    return hashlib.sha256(texts.encode()).hexdigest()
