"""What is known of files in buckets is told soon or not at all."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from sterna.core.errors import AccessDenied, NotFound
from sterna.core.files import Blob, Entry
from sterna.core.plan import StoredFile
from sterna.jobs.desk import Desk
from sterna.jobs.stored import look
from sterna.store.memory import MemoryStore
from tests.effort import PATIENCE

SALES, STOCK, GONE = (StoredFile("b", name) for name in ("sales.bak", "stock.bak", "gone.bak"))


@dataclass
class Shelf:
    """A bucket; ``hangs`` on one file until it is let go, and refuses another."""

    hangs: str = ""
    refuses: str = ""
    asked: list[str] = field(default_factory=list)
    let_go: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)

    def head(self, name: str) -> Entry:
        self.asked.append(name)
        if name == self.refuses:
            raise AccessDenied
        if name == GONE.name:
            raise NotFound
        if name == self.hangs:
            self.let_go.wait(PATIENCE)
            self.left.set()
        return Entry(name, len(name))

    def list(self, prefix: str = "") -> Iterator[Entry]:
        raise NotImplementedError

    def open(self, name: str) -> Blob:
        raise NotImplementedError

    def write(self, name: str, pieces: Any) -> Entry:
        raise NotImplementedError

    def delete(self, name: str) -> None:
        raise NotImplementedError


def opening(shelf: Shelf) -> Any:
    async def opens(bucket_id: str) -> Shelf:
        if bucket_id != "b":
            raise NotFound
        return shelf

    return opens


async def test_each_file_is_found_or_not() -> None:
    found = await look(opening(Shelf()), [SALES, GONE, StoredFile("other", "a"), STOCK])
    assert found == [Entry("sales.bak", 9), None, None, Entry("stock.bak", 9)]


async def test_a_bucket_that_refuses_is_asked_once() -> None:
    shelf = Shelf(refuses="sales.bak")
    assert await look(opening(shelf), [SALES, STOCK]) == [None, None]
    assert shelf.asked == ["sales.bak"]


async def test_a_bucket_that_hangs_is_not_waited_for() -> None:
    for limit in (0.2, 2, 20):
        shelf = Shelf(hangs="stock.bak")
        found = await look(opening(shelf), [SALES, STOCK, GONE], limit=limit)
        shelf.let_go.set()
        if "stock.bak" in shelf.asked:  # else this machine was too busy for the first one
            break
    assert found == [Entry("sales.bak", 9), None, None]
    assert shelf.left.wait(PATIENCE)
    assert shelf.asked == ["sales.bak", "stock.bak"], "once given up, nothing more is asked"


async def test_a_desk_without_buckets_knows_nothing() -> None:
    assert await Desk(MemoryStore(), {}).stored([SALES, STOCK]) == [None, None]
