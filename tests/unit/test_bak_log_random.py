"""Many transactions at once on one page, copied at any moment: what was committed is what comes out."""

import random
import struct
from dataclasses import dataclass, field

import pytest

from sterna.engines.sqlserver.wire import redo
from tests.backups.log import ABORT, Transaction
from tests.unit.bak_logs import PLACE, Script, page_of, record, records_of


@dataclass(eq=False)
class RowOnPage:
    """A row that is on the page, or a ghost of it."""

    key: int
    text: str
    owner: Transaction | None = None
    ghost: bool = False

    def stored(self) -> bytes:
        made = record(self.text, self.key)
        return bytes((made[0] | 6 << 1,)) + made[1:] if self.ghost else made


@dataclass(eq=False)
class Step:
    """One change of a transaction, and how to take it back."""

    kind: str
    row: RowOnPage
    key: int
    before: tuple[int, int, int]
    """What the log has of the transaction before this."""


@dataclass
class Busy:
    """A page at work, and the log of it."""

    dice: random.Random
    heap: bool
    script: Script = field(default_factory=Script)
    rows: list[RowOnPage | None] = field(default_factory=list)
    open: dict[int, list[Step]] = field(default_factory=dict)
    by_number: dict[int, Transaction] = field(default_factory=dict)
    copies: list[bytes] = field(default_factory=list)

    @property
    def context(self) -> int:
        return redo.HEAP if self.heap else redo.CLUSTERED

    def snapshot(self) -> None:
        """The page as a backup might copy it now."""
        self.script.log.cut()
        newest = self.script.log.lsns.get(PLACE, (1, 0, 0))
        stored = [row.stored() if row else None for row in self.rows]
        self.copies.append(page_of(stored, lsn=newest[0] << 48 | newest[1] << 16 | newest[2]))

    def act(self) -> None:
        choice = self.dice.random()
        if choice < 0.15 or not self.open:
            mine = self.script.begin()
            self.open[mine.number], self.by_number[mine.number] = [], mine
            return
        mine = self.by_number[self.dice.choice(list(self.open))]
        if choice < 0.25:
            self.finish(mine, roll_back=self.dice.random() < 0.4)
        elif choice < 0.35 and self.open[mine.number]:
            self.back(mine)
        elif choice < 0.65:
            self.insert(mine)
        else:
            self.change(mine)

    def insert(self, mine: Transaction) -> None:
        row = RowOnPage(self.dice.randrange(-1000, 1000), "t" * self.dice.randrange(9), mine)
        before = mine.last
        slot = len(self.rows) if self.heap else self.dice.randint(0, len(self.rows))
        self.script.insert(mine, slot, row.stored(), context=self.context)
        self.rows.insert(slot, row)
        self.open[mine.number].append(Step("insert", row, row.key, before))

    def change(self, mine: Transaction) -> None:
        """A row that nobody else holds gets another key, or goes."""
        free = [row for row in self.rows if row and not row.ghost and row.owner in (None, mine)]
        if not free:
            return
        row = self.dice.choice(free)
        slot, before = self.rows.index(row), mine.last
        if self.dice.random() < 0.6:
            step = Step("modify", row, row.key, before)
            old, row.key = row.key, self.dice.randrange(1000)
            self.script.modify(mine, slot, 4, struct.pack("<i", old), struct.pack("<i", row.key), self.context)
        else:
            step = Step("delete", row, row.key, before)
            self.script.delete(mine, slot, row.stored(), redo.HEAP if self.heap else redo.GHOST)
            if self.heap:
                self.rows[slot] = None
                step = Step(f"slot {slot}", row, row.key, before)
            row.ghost = not self.heap
        row.owner = mine
        self.open[mine.number].append(step)

    def back(self, mine: Transaction) -> None:
        """The newest change is taken back, and the log has a record of that."""
        step = self.open[mine.number].pop()
        row, slot = step.row, self.rows.index(step.row) if step.row in self.rows else -1
        mine.last = step.before
        if step.kind == "insert":
            self.script.delete(mine, slot, row.stored(), self.context)
            if self.heap:
                self.rows[slot] = None
            else:
                del self.rows[slot]
        elif step.kind == "modify":
            now, row.key = row.key, step.key
            self.script.modify(mine, slot, 4, struct.pack("<i", now), struct.pack("<i", row.key), self.context)
        elif step.kind == "delete":
            ghost = row.stored()
            row.ghost = False
            self.script.modify(mine, slot, 0, ghost[:1], row.stored()[:1], self.context)
        else:
            slot = int(step.kind.split()[1])
            self.rows[slot] = row
            self.script.insert(mine, slot, row.stored(), context=redo.HEAP)

    def finish(self, mine: Transaction, roll_back: bool) -> None:
        while roll_back and self.open[mine.number]:
            self.back(mine)
        self.script.log.end(mine, ABORT if roll_back else 0x81)
        for row in self.rows:
            if row and row.owner is mine:
                row.owner = None
        del self.open[mine.number]

    def committed(self) -> list[bytes]:
        """The rows without what is still open."""
        gone, keys, back = set(), {}, []
        for steps in self.open.values():
            for step in reversed(steps):
                if step.kind == "insert":
                    gone.add(step.row)
                elif step.kind == "modify":
                    keys[step.row] = step.key
                else:
                    back.append(step.row)
        live = [row for row in self.rows if row and row not in gone and (not row.ghost or row in back)]
        live += [row for row in back if row not in self.rows and row not in gone]
        return sorted(record(row.text, keys.get(row, row.key)) for row in live)


def is_row(stored: bytes | None) -> bool:
    return stored is not None and stored[0] >> 1 & 7 == 0


@pytest.mark.parametrize("heap", [False, True])
@pytest.mark.parametrize("seed", range(40))
def test_what_was_committed_comes_out(seed: int, heap: bool) -> None:
    dice = random.Random(seed)
    busy = Busy(dice, heap)
    busy.rows = [RowOnPage(number, "old") for number in range(dice.randrange(12))]
    busy.snapshot()
    for number in range(dice.randrange(10, 90)):
        busy.act()
        if number % 10 == 0:
            busy.snapshot()
    busy.snapshot()
    for copied in busy.copies:
        played = busy.script.play(copied)
        assert not played.lost, played.lost
        found = [stored for stored in records_of(played) if stored is not None and is_row(stored)]
        assert sorted(found) == busy.committed()
