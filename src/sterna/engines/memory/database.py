"""The server of the memory engine: tables, a log of what changed, and what Sterna keeps in a target.

It outlives the connections to it, as a server does, and every call is one transaction. All arguments and answers
can be pickled, so that a test may serve it to other processes. Faults are set on it, as a server has them.
"""

import json
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import assert_never
from zlib import crc32

from sterna.core.change import Change, Command, Ddl, Delete, Name, Position, Put, Truncate, Value
from sterna.core.errors import (
    ApplyFailed,
    BadData,
    Fenced,
    KeyConflict,
    PositionGone,
    StartAgain,
    Unreachable,
    Unsupported,
)

Key = int | str
Row = Mapping[str, Value]
Tables = dict[Name, dict[Key, Row]]
KEY = "id"
"""The column that every table is keyed by."""


def key_of(row: Row) -> Key:
    """Raises BadData where the key column is missing."""
    key = row.get(KEY)
    if not isinstance(key, int | str):
        raise BadData(f"A row without a usable {KEY}")
    return key


def rank(key: Key) -> tuple[str, Key]:
    """Sorts numbers apart from words."""
    return type(key).__name__, key


def add(name: Name, key: Key, column: str, by: int) -> Command:
    """A change that must be applied exactly once: add to a number."""
    return Command(json.dumps([name.path, key, column, by]).encode(), 1)


@dataclass
class Checkpoint:
    """What a job keeps in its target beside the data."""

    epoch: int
    lanes: dict[str, Position] = field(default_factory=dict)
    filled: set[Name] = field(default_factory=set)
    """Tables that were empty when the job came to them: all their rows are the job's."""


@dataclass
class Mark:
    """What a job keeps in its source: everything as of one moment, and how far the log may forget."""

    number: int
    confirmed: int
    snapshot: Tables | None


class Database:
    """A server. ``retention``: how many transactions its log keeps even for a job that has not confirmed them."""

    def __init__(self, identity: str = "a", *, retention: int = 100_000, lasting: bool = True) -> None:
        self._lock = threading.RLock()
        self._identity = identity
        self._retention = retention
        self._lasting = lasting
        self._tables: Tables = {}
        self._log: deque[tuple[int, tuple[Change, ...]]] = deque()
        self._end = 0
        self._marks: dict[str, Mark] = {}
        self._checkpoints: dict[str, Checkpoint] = {}
        self._calls = 0
        self._cuts: set[int] = set()
        self._down = False
        self._delay = 0.0

    # Faults.

    def cut(self, *calls: int) -> None:
        """Lose the connection at these calls from now on, counted from 1, before they do anything."""
        with self._lock:
            self._cuts = {self._calls + call for call in calls}

    def down(self, down: bool = True) -> None:
        """Answer nobody, until it is up again."""
        self._down = down

    def slow(self, seconds: float) -> None:
        """Every write of a chunk or batch takes this long."""
        self._delay = seconds

    def delay(self) -> float:
        return self._delay

    def calls(self) -> int:
        return self._calls

    def replace(self, identity: str) -> None:
        """Become another server with the same rows: no position of the old one means anything."""
        with self._lock:
            self._identity, self._end = identity, 0
            self._log.clear()
            self._marks.clear()

    def wipe(self) -> None:
        """Lose everything, as a cache does that restarts without its disk."""
        with self._lock:
            self._tables.clear()
            self._checkpoints.clear()

    # As any client sees it.

    def apply(self, *changes: Change) -> None:
        """One transaction of a client."""
        with self._lock:
            self._change(changes)

    def contents(self) -> Tables:
        """Everything, without tables that hold no rows."""
        with self._lock:
            return {name: dict(rows) for name, rows in self._tables.items() if rows}

    def count(self) -> int:
        with self._lock:
            self._call()
            return sum(len(rows) for rows in self._tables.values())

    def skip(self, count: int) -> None:
        """The log goes on by what is nobody's concern, and which no reader is shown."""
        with self._lock:
            for _ in range(count):
                self._end += 1
                self._log.append((self._end, ()))

    def kept(self) -> int:
        """How many transactions the log holds."""
        with self._lock:
            return len(self._log)

    def leftovers(self) -> Sequence[str]:
        """The jobs that have left something here: a mark or a checkpoint."""
        with self._lock:
            return sorted({*self._marks, *self._checkpoints})

    # As a source.

    def ping(self) -> None:
        """Raises Unreachable."""
        with self._lock:
            self._call()

    def mark(self, job: str) -> Position:
        """Keep all rows as they are now, and the log from now on."""
        with self._lock:
            self._call()
            self._marks[job] = Mark(self._end, self._end, {n: dict(rows) for n, rows in self._tables.items()})
            return self._position(self._end)

    def hang_up(self, job: str) -> None:
        """A source connection has ended; unless snapshots last, the job's goes with it."""
        with self._lock:
            mark = self._marks.get(job)
            if mark and not self._lasting:
                mark.snapshot = None

    def names(self, job: str) -> Sequence[Name]:
        with self._lock:
            self._call()
            return sorted(self._snapshot(job), key=lambda name: name.path)

    def size(self, job: str, name: Name, piece: int, pieces: int) -> int:
        """How many rows a piece holds."""
        with self._lock:
            self._call()
            return sum(crc32(repr(key).encode()) % pieces == piece for key in self._snapshot(job).get(name, {}))

    def page(self, job: str, name: Name, piece: int, pieces: int, after: Key | None, most: int) -> Sequence[Row]:
        """At most ``most`` rows of a piece, in order of their keys."""
        with self._lock:
            self._call()
            rows = self._snapshot(job).get(name, {})
            keys = [
                key
                for key in sorted(rows, key=rank)
                if crc32(repr(key).encode()) % pieces == piece and (after is None or rank(key) > rank(after))
            ]
            return [rows[key] for key in keys[:most]]

    def read(self, after: Position, most: int) -> tuple[Position, Sequence[Change]]:
        """What changed after a position, whole transactions. Raises PositionGone."""
        with self._lock:
            self._call()
            number = self._kept(after)
            entries = [entry for entry in self._log if entry[0] > number][:most]
            last = entries[-1][0] if entries else number
            return self._position(last), [change for _, changes in entries for change in changes]

    def confirm(self, job: str, upto: Position) -> None:
        with self._lock:
            self._call()
            if job in self._marks:
                self._marks[job].confirmed = self._number(upto)
                self._forget()

    def release(self, job: str) -> None:
        with self._lock:
            self._call()
            self._marks.pop(job, None)
            self._forget()

    def behind(self, position: Position) -> int:
        """How many transactions came after a position."""
        with self._lock:
            self._call()
            return self._end - self._number(position)

    # As a target.

    def claim(self, job: str, epoch: int) -> None:
        with self._lock:
            self._call()
            checkpoint = self._checkpoints.setdefault(job, Checkpoint(epoch))
            if checkpoint.epoch > epoch:
                raise Fenced()
            checkpoint.epoch = epoch

    def position(self, job: str, lane: str) -> Position | None:
        with self._lock:
            self._call()
            checkpoint = self._checkpoints.get(job)
            return checkpoint.lanes.get(lane) if checkpoint else None

    def prepare(self, job: str, epoch: int, *, empty: bool) -> None:
        """Take away what the job has copied so far. ``empty``: raises KeyConflict if rows of others are here."""
        with self._lock:
            self._call()
            checkpoint = self._mine(job, epoch)
            for name in checkpoint.filled:
                self._tables.pop(name, None)
            checkpoint.lanes.clear()
            if empty and any(self._tables.values()):
                raise KeyConflict()

    def load(self, job: str, epoch: int, lane: str, name: Name, rows: Sequence[Row], position: Position) -> None:
        with self._lock:
            self._call()
            checkpoint = self._mine(job, epoch)
            if not self._tables.get(name):
                checkpoint.filled.add(name)
            self._change([Put(name, row) for row in rows])
            checkpoint.lanes[lane] = position

    def write(self, job: str, epoch: int, changes: Sequence[Change], position: Position) -> None:
        """Changes and position in one transaction; nothing at all if the target has them already."""
        with self._lock:
            self._call()
            lanes = self._mine(job, epoch).lanes
            if "follow" in lanes and _number(lanes["follow"]) >= _number(position):
                return
            self._change(changes)
            lanes["follow"] = position

    def keep(self, job: str, epoch: int, lane: str, position: Position) -> None:
        with self._lock:
            self._call()
            self._mine(job, epoch).lanes[lane] = position

    def verify(self, job: str, epoch: int) -> None:
        """Raises Fenced if this run has not the target, or no longer."""
        with self._lock:
            self._call()
            self._mine(job, epoch)

    def unclaim(self, job: str, epoch: int) -> None:
        """Take the checkpoint away."""
        with self._lock:
            self._call()
            if job in self._checkpoints:
                self._mine(job, epoch)
                del self._checkpoints[job]

    # Within.

    def _call(self) -> None:
        self._calls += 1
        if self._down or self._calls in self._cuts:
            raise Unreachable(f"The memory database {self._identity} is not there")

    def _mine(self, job: str, epoch: int) -> Checkpoint:
        """A missing checkpoint was taken away by a later run which ended the job."""
        checkpoint = self._checkpoints.get(job)
        if checkpoint is None or checkpoint.epoch != epoch:
            raise Fenced()
        return checkpoint

    def _snapshot(self, job: str) -> Tables:
        mark = self._marks.get(job)
        if mark is None or mark.snapshot is None:
            raise StartAgain("The source no longer has the snapshot that the copy was made from")
        return mark.snapshot

    def _position(self, number: int) -> Position:
        return Position(f"{self._identity}:{number}")

    def _number(self, position: Position) -> int:
        if position.partition(":")[0] != self._identity:
            raise PositionGone("The source is not the server that it was")
        return _number(position)

    def _kept(self, after: Position) -> int:
        number = self._number(after)
        first = self._log[0][0] if self._log else self._end + 1
        if number + 1 < first:
            raise PositionGone()
        return number

    def _change(self, changes: Sequence[Change]) -> None:
        """All or nothing."""
        touched = {name: dict(self._tables.get(name, {})) for name in {_table(change) for change in changes}}
        for change in changes:
            _make(touched, change)
        self._tables |= touched
        if changes:
            self._end += 1
            self._log.append((self._end, tuple(changes)))
            self._forget()

    def _forget(self) -> None:
        """A log keeps what some job has not confirmed, within its retention; with no job, all of its retention."""
        confirmed = min((mark.confirmed for mark in self._marks.values()), default=0)
        while self._log and (self._log[0][0] <= confirmed or len(self._log) > self._retention):
            self._log.popleft()


def _number(position: Position) -> int:
    return int(position.rpartition(":")[2])


def _table(change: Change) -> Name:
    match change:
        case Put() | Delete() | Truncate():
            return change.name
        case Command():
            return Name(tuple(json.loads(change.data)[0]))
        case Ddl():
            raise Unsupported("The memory engine has no statements")
        case _:
            assert_never(change)


def _make(tables: Tables, change: Change) -> None:
    rows = tables[_table(change)]
    match change:
        case Put(_, row, before):
            if before is not None:
                rows.pop(key_of(before), None)
            rows[key_of(row)] = dict(row)
        case Delete(_, before):
            rows.pop(key_of(before), None)
        case Truncate():
            rows.clear()
        case Command(data):
            _, key, column, by = json.loads(data)
            _add(rows, key, column, by)
        case Ddl():
            raise Unsupported("The memory engine has no statements")
        case _:
            assert_never(change)


def _add(rows: dict[Key, Row], key: Key, column: str, by: int) -> None:
    old = rows.get(key, {KEY: key}).get(column, 0)
    if not isinstance(old, int):
        raise ApplyFailed(f"{column} of {key!r} is not a number")
    rows[key] = {KEY: key, **rows.get(key, {}), column: old + by}
