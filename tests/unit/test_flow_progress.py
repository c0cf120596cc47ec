"""The meter counts, takes rates over the last seconds, and works out what is left."""

from dataclasses import dataclass

from sterna.core.change import VALUES, Batch, Chunk, Delete, Name, Position
from sterna.core.progress import Progress
from sterna.flow.progress import Meter


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def chunk(rows: int, size: int) -> Chunk:
    return Chunk(VALUES, [], rows, size, Position("x"))


def batch(read_at_ms: int = 0) -> Batch:
    return Batch([Delete(Name(("t",)), {"id": 1})], Position("x"), read_at_ms, 7)


def meter(clock: Clock, **facts: int | str) -> Meter:
    made = Meter(clock=clock, wall=lambda: 5000)
    made.note(phase="COPY", **facts)
    return made


def test_the_rate_is_that_of_the_last_seconds() -> None:
    clock = Clock()
    copying = meter(clock, bytes_total=100_000)
    for _ in range(20):
        copying.read()
        copying.chunk(chunk(10, 1000))
        clock.now += 1
    fast = copying.read()
    assert (fast.rows, fast.bytes) == (200, 20_000)
    assert abs(fast.bytes_per_s - 1000) < 1
    assert abs(fast.rows_per_s - 10) < 0.1
    assert fast.eta_s == 80
    assert fast.percent == 20
    for _ in range(10):
        clock.now += 1
        slow = copying.read()
    assert slow.bytes_per_s == 0
    assert slow.eta_s == -1


def test_a_lag_of_nothing_is_not_believed_for_long() -> None:
    clock = Clock()
    following = meter(clock)
    following.note(phase="FOLLOW")
    following.lag(batch(), 0)
    clock.now += 2
    assert (following.read().lag_bytes, following.read().lag_ms) == (0, 0)
    clock.now += 2
    assert (following.read().lag_bytes, following.read().lag_ms) == (-1, -1)
    following.lag(batch(), 70)
    clock.now += 60
    assert following.read().lag_bytes == 70


def test_changes_count_for_the_rate_of_bytes() -> None:
    clock = Clock()
    following = meter(clock)
    following.read()
    following.batch(batch(), 1)
    clock.now += 1
    assert following.read().bytes_per_s == 7


def test_rows_tell_what_is_left_where_bytes_are_not_known() -> None:
    clock = Clock()
    copying = meter(clock, rows_total=100)
    copying.read()
    copying.chunk(chunk(10, 0))
    clock.now += 1
    assert copying.read().eta_s == 9


def test_lag_is_nothing_once_nothing_is_left() -> None:
    following = meter(Clock())
    following.batch(batch(2000), 3)
    following.lag(batch(2000), 50)
    assert (following.now.lag_ms, following.now.lag_bytes, following.now.changes) == (3000, 50, 3)
    following.lag(batch(2000), 0)
    assert (following.now.lag_ms, following.now.lag_bytes) == (0, 0)


def test_a_copy_that_begins_again_counts_from_nothing() -> None:
    clock = Clock()
    copying = meter(clock)
    copying.chunk(chunk(10, 10))
    copying.retry()
    copying.read()
    copying.restart()
    clock.now += 1
    assert copying.read() == Progress(phase="COPY", retries=1, at_ms=5000)
