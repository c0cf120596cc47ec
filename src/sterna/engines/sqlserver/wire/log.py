"""The log of a chain played onto its pages: what was missing is done, what was never committed is taken back.

A backup copies pages while others write; the log that comes with it says what the pages lack. Each record of it
names a page and what the page's place in the log was before: so it is known exactly whether the record is still to
be done, and whether nothing between is missing. Where that does not hold, or the record is of a kind that is not
known, the page is given up, and the table that it belongs to needs SQL Server. Nothing is guessed.
"""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from struct import error as StructError

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import redo
from sterna.engines.sqlserver.wire.base import Pointer
from sterna.engines.sqlserver.wire.logrecords import (
    ABORT,
    BEGIN,
    COMMIT,
    Change,
    Lsn,
    Stretch,
    changes,
    lsn_text,
)
from sterna.engines.sqlserver.wire.overlay import Overlay
from sterna.engines.sqlserver.wire.rowpage import RowPage, page_lsn, with_lsn
from sterna.engines.sqlserver.wire.tables import BulkPages

_KEPT_PAGES = 512
_MOST_OPEN = 64 << 20
"""Bytes of records of transactions that are not finished yet; a larger one is not taken back."""
_RECORD_COST = 200
_FAULTS = (ValueError, IndexError, StructError, OverflowError)


@dataclass(frozen=True, slots=True)
class Lost:
    """A page that could not be brought up to date."""

    place: Pointer
    unit: int
    """The allocation unit whose page it is."""
    context: int
    why: str


@dataclass(frozen=True)
class Replay:
    """What came of the log."""

    pages: BulkPages
    done: int
    """Records that pages lacked."""
    undone: int
    """Records of unfinished transactions that were taken back."""
    lost: Sequence[Lost]
    unfinished: int
    """Transactions that were open at the end and had changed pages."""

    @property
    def clean(self) -> bool:
        """Whether the pages were as they should be."""
        return not (self.done or self.undone or self.lost)


@dataclass
class _Transaction:
    """One that is not finished."""

    first: Lsn
    last: Lsn
    whole: bool
    """Whether its begin was seen."""
    steps: dict[Lsn, tuple[Lsn, Change | None]] = field(default_factory=dict)
    """For each record: the one to go on with when taking back, and the change, if it is one to take back."""
    size: int = 0
    touched: dict[Pointer, tuple[int, int]] = field(default_factory=dict)
    """Unit and context of the pages that it changed; kept where the changes themselves are too many."""


def replay(
    pages: BulkPages, log: Sequence[Stretch], later: Sequence[Stretch] = (), stop_at: datetime | None = None
) -> Replay:
    """Play ``log``, which came with the pages, then ``later``, onto them.

    ``stop_at``: what was committed after that moment, by the server's clock, is not done. It lies in ``later``.
    Raises BadData for a log that cannot be read.
    """
    return _Player(pages, [*log, *later], stop_at).play()


def _is_after(change: Change, moment: datetime) -> bool:
    """Whether it is a commit after the moment."""
    if change.operation != COMMIT:
        return False
    committed = change.committed
    return committed is not None and committed > moment


class _Player:
    """Plays a log once. Its fields: the pages with changes, open pages, open transactions, and what came of it."""

    def __init__(self, pages: BulkPages, log: Sequence[Stretch], stop_at: datetime | None) -> None:
        self._overlay = Overlay(pages)
        self._log = log
        self._stop_at = stop_at
        self._open: dict[int, _Transaction] = {}
        self._apart: OrderedDict[Pointer, RowPage] = OrderedDict()
        self._lost: dict[Pointer, Lost] = {}
        self._held = 0
        self._done = self._undone = 0

    def play(self) -> Replay:
        for change in self._records():
            self._follow(change)
            if change.on_page and change.context not in redo.OF_NO_ROWS:
                self._redo(change)
        unfinished = [one for one in self._open.values() if one.touched]
        if unfinished:
            self._take_back(unfinished)
        self._put_together()
        pages: BulkPages = self._overlay
        return Replay(pages, self._done, self._undone, tuple(self._lost.values()), len(unfinished))

    def _records(self, since: Lsn = 0) -> Iterator[Change]:
        """Each record once, up to the moment at which to stop: backups of the log overlap those before them."""
        last = max(since - 1, 0)
        for stretch in self._log:
            for change in changes(stretch):
                if change.lsn > last:
                    if self._stop_at is not None and _is_after(change, self._stop_at):
                        return
                    last = change.lsn
                    yield change

    # transactions

    def _follow(self, change: Change) -> None:
        """Remember what a transaction would need to be taken back, until it is finished."""
        number = change.transaction
        if not number:
            return
        if change.operation in (COMMIT, ABORT):
            finished = self._open.pop(number, None)
            self._held -= finished.size if finished else 0
            return
        mine = self._open.get(number)
        if mine is None:
            begins = change.operation == BEGIN
            mine = self._open[number] = _Transaction(change.lsn, change.before, begins)
        self._remember(mine, change)

    def _remember(self, mine: _Transaction, change: Change) -> None:
        compensates = change.before != mine.last and change.operation != BEGIN
        wanted = change.on_page and change.context not in redo.OF_NO_ROWS
        mine.steps[change.lsn] = change.before, change if wanted and not compensates else None
        mine.last = change.lsn
        cost = _RECORD_COST + (len(change.data) if wanted else 0)
        mine.size += cost
        self._held += cost
        if wanted:
            mine.touched[change.place] = change.unit, change.context
        if self._held > _MOST_OPEN:
            self._forget_largest()

    def _forget_largest(self) -> None:
        """Too much to keep: what the largest transaction changed will be lost if it is never finished."""
        largest = max(self._open.values(), key=lambda one: one.size)
        largest.steps.clear()
        largest.whole = False
        self._held -= largest.size
        largest.size = 0

    # doing

    def _redo(self, change: Change) -> None:
        place = change.place
        if place in self._lost:
            if change.operation != redo.FORMAT:
                return
            del self._lost[place]
        try:
            if self._do(change):
                self._done += 1
        except BadData as fault:
            self._lose(change, fault.message)
        except _FAULTS as fault:
            self._lose(change, str(fault))

    def _do(self, change: Change) -> bool:
        """Do it if the page lacks it. Raises ValueError where it cannot be done."""
        place = change.place
        if change.operation == redo.FORMAT:
            return self._format(change)
        if not self._overlay.has(*place):
            raise ValueError("the page is not in the backup")
        if self._kind(place) == redo.INDEX_PAGE:
            return False
        before = self._lsn(place)
        if before >= change.lsn:
            return False
        if before != change.page_before:
            raise ValueError(f"the page is at {lsn_text(before)}, and should be at {lsn_text(change.page_before)}")
        self._change(change)
        return True

    def _format(self, change: Change) -> bool:
        place = change.place
        if self._is_ahead(change):
            return False
        self._apart.pop(place, None)
        self._overlay.put(place, with_lsn(redo.formatted(change), change.lsn))
        return True

    def _is_ahead(self, change: Change) -> bool:
        """Whether the page is as the log says it becomes, or later; what was never formatted is not."""
        try:
            return self._overlay.has(*change.place) and self._lsn(change.place) >= change.lsn
        except BadData:
            return False

    def _change(self, change: Change) -> None:
        place = change.place
        if change.context in (redo.IAM, redo.PFS):
            page = redo.apply_to_map(self._whole(place), change)
            self._overlay.put(place, with_lsn(page, change.lsn))
            return
        page_of_rows = self._rows_of(place)
        redo.apply(page_of_rows, change)
        page_of_rows.stamp(change.lsn)

    def _lose(self, change: Change, why: str) -> None:
        self._apart.pop(change.place, None)
        told = f"log record {lsn_text(change.lsn)} on page {change.place[0]}:{change.place[1]}: {why}"
        self._lost[change.place] = Lost(change.place, change.unit, change.context, told)

    # pages

    def _whole(self, place: Pointer) -> bytes:
        apart = self._apart.pop(place, None)
        if apart is not None:
            self._overlay.put(place, apart.render())
        return self._overlay.page(*place)

    def _lsn(self, place: Pointer) -> Lsn:
        apart = self._apart.get(place)
        return page_lsn(apart.head if apart is not None else self._overlay.page(*place))

    def _kind(self, place: Pointer) -> int:
        apart = self._apart.get(place)
        return (apart.head if apart is not None else self._overlay.page(*place))[1]

    def _rows_of(self, place: Pointer) -> RowPage:
        """The page taken apart. The longest unused one is put together for it."""
        page = self._apart.get(place)
        if page is None:
            page = self._apart[place] = RowPage.parse(self._overlay.page(*place))
            if len(self._apart) > _KEPT_PAGES:
                self._close(next(iter(self._apart)))
        self._apart.move_to_end(place)
        return page

    def _close(self, place: Pointer) -> None:
        page = self._apart.pop(place)
        try:
            self._overlay.put(place, page.render())
        except ValueError as fault:
            unit = (
                int.from_bytes(page.head[6:8], "little") << 48 | int.from_bytes(page.head[24:28], "little") << 16
            )
            self._lost[place] = Lost(place, unit, redo.CLUSTERED, f"page {place[0]}:{place[1]}: {fault}")

    def _put_together(self) -> None:
        for place in list(self._apart):
            self._close(place)

    # taking back

    def _take_back(self, unfinished: Sequence[_Transaction]) -> None:
        """Undo transactions that were open at the end, the newest change first."""
        steps: list[Change] = []
        for one in unfinished:
            chosen = _steps_back(one)
            if chosen is None:
                self._give_up(one)
            else:
                steps.extend(chosen)
        moves = self._moves(steps)
        for change in sorted(steps, key=lambda step: step.lsn, reverse=True):
            self._undo(change, moves[change.place])

    def _give_up(self, one: _Transaction) -> None:
        for place, (unit, context) in one.touched.items():
            why = "a transaction that was open at the end of the backup cannot be taken back as a whole"
            self._lost.setdefault(place, Lost(place, unit, context, f"page {place[0]}:{place[1]}: {why}"))
            self._apart.pop(place, None)

    def _moves(self, steps: Iterable[Change]) -> dict[Pointer, list[tuple[Lsn, int, int]]]:
        """How records moved on the pages concerned, from the oldest step on: log place, slot, by how many."""
        found: dict[Pointer, list[tuple[Lsn, int, int]]] = defaultdict(list)
        places = {step.place for step in steps}
        oldest = min((step.lsn for step in steps), default=0)
        for change in self._records(oldest):
            if change.on_page and change.place in places:
                try:
                    shift = redo.shift_of(change)
                except _FAULTS:
                    continue
                if shift:
                    found[change.place].append((change.lsn, *shift))
        return found

    def _undo(self, change: Change, moves: list[tuple[Lsn, int, int]]) -> None:
        if change.place in self._lost:
            return
        try:
            if change.context in (redo.IAM, redo.PFS):
                if change.operation != redo.FORMAT:
                    page = redo.apply_to_map(self._whole(change.place), change, back=True)
                    self._overlay.put(change.place, page)
            else:
                self._undo_rows(change, moves)
            self._undone += 1
        except BadData as fault:
            self._lose(change, f"taking it back: {fault.message}")
        except _FAULTS as fault:
            self._lose(change, f"taking it back: {fault}")

    def _undo_rows(self, change: Change, moves: list[tuple[Lsn, int, int]]) -> None:
        if not self._overlay.has(*change.place):
            raise ValueError("the page is not in the backup")
        if self._kind(change.place) == redo.INDEX_PAGE:
            return
        slot = _moved(change, moves)
        redo.take_back(self._rows_of(change.place), change, slot)
        shift = redo.shift_of(change)
        if shift:
            moves.append((1 << 80, slot, -shift[1]))


def _steps_back(one: _Transaction) -> list[Change] | None:
    """What is to be taken back; None: not all of it is known. What was taken back already is stepped over."""
    if not one.whole:
        return None
    found: list[Change] = []
    at = one.last
    for _ in range(len(one.steps)):
        if at == one.first:
            return found
        step = one.steps.get(at)
        if step is None or step[0] >= at:
            return None
        at, change = step
        if change is not None:
            found.append(change)
    return found if at == one.first else None


def _moved(change: Change, moves: Iterable[tuple[Lsn, int, int]]) -> int:
    """Where the record of a change lies by now. Raises ValueError if it is gone."""
    slot = change.slot
    for lsn, first, count in moves:
        if lsn <= change.lsn:
            continue
        if count < 0 and first <= slot < first - count:
            raise ValueError("the record was moved to another page")
        if first <= slot:
            slot += count
    return slot
