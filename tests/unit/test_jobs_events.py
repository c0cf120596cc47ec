"""A run's page in the store, where the store fails for a moment."""

from collections.abc import Sequence

import pytest

from sterna.core.event import Event, Level
from sterna.jobs.desk import Desk
from sterna.jobs.ledger import Ledger
from sterna.store.memory import MemoryStore


class Failing(MemoryStore):
    """Cannot take events while it is full."""

    full = False

    async def add_events(self, events: Sequence[Event]) -> None:
        if self.full:
            raise OSError("no space left")
        await super().add_events(events)


async def test_what_could_not_be_told_is_told_later_and_in_order() -> None:
    store = Failing()
    job = await Desk(store, {}).create("0" * 32, "cli", "move")
    ledger = Ledger(store, job)
    store.full = True
    ledger.tell(Level.WARN, "test.first", "first")
    with pytest.raises(OSError, match="no space"):
        await ledger.write_events()
    ledger.tell(Level.WARN, "test.second", "second")
    store.full = False
    await ledger.write_events()
    await ledger.write_events()
    _, events = await store.events(job.id, newest=False)
    assert [event.code for event in events if event.code.startswith("test")] == ["test.first", "test.second"]
