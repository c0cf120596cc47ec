"""Work by chance while backups are taken: transactions that commit, are taken back or stay open, over some logs.

Pages reach the full backup at any moment of the work, as a busy server's do; what they miss or have too much is in
the log. The model knows which rows must be there in the end.
"""

import copy
import random
from dataclasses import dataclass, field
from pathlib import Path

from tests.backups.corpus import later
from tests.backups.database import Built, build
from tests.backups.describe import Col, Db, Tbl
from tests.backups.log import ABORT, Log, Transaction
from tests.backups.pages import Page
from tests.backups.records import plain
from tests.backups.writer import Media, Set, write_backup

Line = tuple[int, str]
Spot = tuple[int, int]
"""Page (by its place in the table) and slot."""


@dataclass
class Open:
    """A transaction under way, and how its rows were before."""

    log: Transaction
    before: list[tuple[Spot, Line | None]] = field(default_factory=list)


@dataclass
class Work:
    """Changes rows in the log and on living pages; ``rows`` is what readers without isolation would see."""

    dice: random.Random
    built: Built
    pages: list[Page] = field(init=False)
    living: list[Page] = field(init=False)
    rows: dict[Spot, Line] = field(default_factory=dict)
    open: list[Open] = field(default_factory=list)
    next: int = 10_000

    def __post_init__(self) -> None:
        """Take the pages of the table as they are."""
        unit = self.built.tables["dbo", "busy"][1][0].units[0]
        self.pages = [self.built.image.pages[place] for place in unit.pages]
        self.living = [copy.deepcopy(page) for page in self.pages]
        number = 0
        for place, page in enumerate(self.living):
            for slot in range(len(page.records)):
                self.rows[place, slot] = (number, text_of(number))
                number += 1

    def locked(self) -> set[Spot]:
        """Rows that belong to a transaction under way."""
        return {spot for one in self.open for spot, _ in one.before}

    def step(self, log: Log) -> None:
        """One thing that happens."""
        what = self.dice.random()
        if what < 0.15 or not self.open:
            self.open.append(Open(log.begin()))
        elif what < 0.25:
            self.end(log, self.dice.choice(self.open))
        elif what < 0.3:
            self.flush(self.dice.randrange(len(self.pages)))
        elif what < 0.35:
            log.cut()
        else:
            self.change(log, self.dice.choice(self.open))

    def change(self, log: Log, mine: Open) -> None:
        """A row comes, goes or changes."""
        free = [spot for spot in self.rows if spot not in self.locked()]
        what = self.dice.random()
        if what < 0.4 or not free:
            self.insert(log, mine)
            return
        spot = self.dice.choice(free)
        page = self.living[spot[0]]
        mine.before.append((spot, self.rows[spot]))
        if what < 0.7:
            log.delete(mine.log, page, spot[1], applied=True)
            del self.rows[spot]
        else:
            self.next += 1
            log.modify(mine.log, page, spot[1], 4, self.next.to_bytes(4, "little"), applied=True)
            self.rows[spot] = (self.next, self.rows[spot][1])

    def insert(self, log: Log, mine: Open) -> None:
        """A row comes at the end of a page with room."""
        place = self.dice.randrange(len(self.living))
        page = self.living[place]
        self.next += 1
        record = self.record(self.next)
        if not page.fits(record + bytes(20)):
            return
        spot = (place, len(page.records))
        mine.before.append((spot, None))
        log.insert(mine.log, page, spot[1], record, applied=True)
        self.rows[spot] = (self.next, text_of(self.next))

    def record(self, number: int) -> bytes:
        """A row as its record."""
        layout = self.built.tables["dbo", "busy"][1][0].layout
        assert layout is not None
        return plain(layout, (number, text_of(number)), lambda spot, raw: None)

    def end(self, log: Log, mine: Open) -> None:
        """A transaction commits, or its changes are taken back one by one."""
        self.open.remove(mine)
        if self.dice.random() < 0.7:
            log.end(mine.log)
            return
        for spot, before in reversed(mine.before):
            page = self.living[spot[0]]
            if before is None:
                log.delete(mine.log, page, spot[1], applied=True)
            elif spot in self.rows:
                log.modify(mine.log, page, spot[1], 4, before[0].to_bytes(4, "little"), applied=True)
            else:
                self.put_back(log, mine, spot, before)
        self.forget(mine)
        log.end(mine.log, op=ABORT)

    def put_back(self, log: Log, mine: Open, spot: Spot, row: Line) -> None:
        """A deleted row comes again into its empty slot."""
        page = self.living[spot[0]]
        layout = self.built.tables["dbo", "busy"][1][0].layout
        assert layout is not None
        record = plain(layout, row, lambda spot, raw: None)
        del page.records[spot[1]]
        log.insert(mine.log, page, spot[1], record, applied=True)

    def forget(self, mine: Open) -> None:
        """The rows as they were before the transaction."""
        for spot, before in reversed(mine.before):
            if before is None:
                self.rows.pop(spot, None)
            else:
                self.rows[spot] = before

    def flush(self, place: int) -> None:
        """A page is copied into the full backup as it is now."""
        living, page = self.living[place], self.pages[place]
        page.records, page.lsn, page.used = list(living.records), living.lsn, living.used

    def committed(self) -> list[str]:
        """The rows that must be there: those of transactions that are still open are taken back."""
        for mine in self.open:
            self.forget(mine)
        return sorted(f"{number}\t{text}" for number, text in self.rows.values())


def text_of(number: int) -> str:
    """What a row says when it comes."""
    return f"row {number} " + "x" * (number % 40)


def chain(folder: Path, seed: int) -> tuple[list[Path], list[str]]:
    """Write a full backup under work and up to three logs; the files, and the rows that must come of them."""
    dice = random.Random(seed)
    rows = [(number, text_of(number)) for number in range(dice.choice((5, 120, 400)))]
    table = Tbl("dbo", "busy", [Col("n", "int"), Col("t", "varchar(60)")], rows)
    built = build(Db("Busy", [table], uniform=dice.random() < 0.5), dice.choice((2008.5, 2012, 2016, 2022)))
    work = Work(dice, built)
    log = Log(built.last[0], built.checkpoint[1], rowset=built.tables["dbo", "busy"][1][0].number)
    log.checkpoint()
    media = Media(compressed=dice.random() < 0.3)
    for _ in range(dice.choice((0, 10, 120))):
        work.step(log)
    full = Set(built, log=log.bytes(), log_to=log.next)
    paths = write_backup(folder / "busy.bak", [full], media)
    for number in range(dice.randrange(3)):
        log = follow(log)
        begin = log.next
        for _ in range(dice.choice((3, 40))):
            work.step(log)
        log.cut()
        one = Set(
            built, "log", base=full, log=log.bytes(), log_from=begin, log_to=log.next, start=later(number + 1)
        )
        paths += write_backup(folder / f"busy{number}.trn", [one], media)
    return paths, work.committed()


def follow(log: Log) -> Log:
    """The log that goes on where another ends."""
    return Log(
        log.vlf, log.block, previous=log.previous, transactions=log.transactions, lsns=log.lsns, rowset=log.rowset
    )
