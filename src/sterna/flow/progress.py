"""Counts what goes through, and works out rates over the last seconds and the time that is left."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sterna.core.change import Batch, Chunk
from sterna.core.progress import Progress

WINDOW = 5.0
"""Seconds over which a rate is taken."""
STALE = 3.0
"""Seconds for which a lag of nothing is believed. When nothing was heard of for longer, it is not known."""


@dataclass
class Meter:
    """A job's counters. Whoever works on the job adds to it; ``read`` gives the figures of the moment."""

    now: Progress = field(default_factory=Progress)
    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    _past: deque[tuple[float, Progress]] = field(default_factory=deque, init=False)
    _lag_seen: float = field(default=float("-inf"), init=False)

    def chunk(self, chunk: Chunk) -> None:
        """A chunk of the copy has landed."""
        now = self.now
        rows, size, skipped = now.rows + chunk.rows, now.bytes + chunk.size, now.skipped + chunk.skipped
        self.now = replace(now, rows=rows, bytes=size, skipped=skipped)

    def batch(self, batch: Batch, count: int) -> None:
        """A batch with ``count`` changes has landed."""
        changes, size = self.now.changes + count, self.now.change_bytes + batch.size
        self.now = replace(self.now, changes=changes, change_bytes=size)

    def lag(self, batch: Batch, behind: int) -> None:
        """The target has everything up to the batch, and ``behind`` bytes of log are left; -1: not known."""
        if behind == 0:
            lag_ms = 0
        elif batch.changes and batch.read_at_ms:
            lag_ms = max(0, self.wall() - batch.read_at_ms)
        else:
            lag_ms = self.now.lag_ms
        self.now = replace(self.now, lag_ms=lag_ms, lag_bytes=behind)
        self._lag_seen = self.clock()

    def note(self, **figures: int | str) -> None:
        """Set figures by their names in ``Progress``."""
        self.now = replace(self.now, **figures)  # type: ignore[arg-type]  # the names are Progress's own

    def retry(self) -> None:
        self.now = replace(self.now, retries=self.now.retries + 1)

    def restart(self) -> None:
        """The copy begins again: what was counted of it counts no more."""
        self.now = Progress(phase=self.now.phase, retries=self.now.retries)
        self._past.clear()

    def read(self) -> Progress:
        """The figures of this moment, with rates and the time that is left."""
        moment = self.clock()
        self._past.append((moment, self.now))
        while len(self._past) > 2 and moment - self._past[1][0] >= WINDOW:
            self._past.popleft()
        then, old = self._past[0]
        seconds = moment - then
        if self.now.phase == "FOLLOW" and self.now.lag_bytes == 0 and moment - self._lag_seen > STALE:
            self.now = replace(self.now, lag_ms=-1, lag_bytes=-1)
        if seconds > 0:
            self.now = replace(
                self.now,
                rows_per_s=max(0, self.now.rows - old.rows) / seconds,
                bytes_per_s=max(0, _size(self.now) - _size(old)) / seconds,
                changes_per_s=max(0, self.now.changes - old.changes) / seconds,
            )
        self.now = replace(self.now, eta_s=_left(self.now), at_ms=self.wall())
        return self.now


def _size(progress: Progress) -> int:
    """All bytes that landed: of the copy and of the changes."""
    return progress.bytes + progress.change_bytes


def _left(progress: Progress) -> int:
    """Seconds until the copy is complete; -1 if nobody knows."""
    if progress.phase in ("FOLLOW", "CLOSE"):
        return 0
    for done, total, rate in (
        (progress.bytes, progress.bytes_total, progress.bytes_per_s),
        (progress.rows, progress.rows_total, progress.rows_per_s),
    ):
        if total > 0 and rate > 0:
            return max(0, round((total - done) / rate))
    return -1
