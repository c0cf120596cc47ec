"""A limit holds over time, lets large things through, and follows a rate that changes."""

import asyncio
from dataclasses import dataclass

from sterna.flow.pacing import Limit


@dataclass
class Clock:
    """A time that passes only in sleep."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def limit(rate: int) -> tuple[Limit, Clock]:
    clock = Clock()
    return Limit(rate, clock, clock.sleep), clock


async def test_no_limit_never_waits() -> None:
    free, clock = limit(0)
    for _ in range(100):
        await free.take(1 << 30)
    assert clock.now == 0


async def test_bytes_go_at_the_rate_over_any_longer_time() -> None:
    tight, clock = limit(1000)
    for _ in range(101):
        await tight.take(100)
    assert abs(clock.now - 10.0) < 0.01


async def test_something_large_goes_at_once_and_is_paid_for_by_the_next() -> None:
    tight, clock = limit(1000)
    await tight.take(5000)
    assert clock.now == 0
    await tight.take(1)
    assert abs(clock.now - 5.0) < 0.01


async def test_a_rate_may_change_while_somebody_waits() -> None:
    tight, clock = limit(10)
    await tight.take(1000)
    waiting = asyncio.create_task(tight.take(1))
    await asyncio.sleep(0)
    tight.rate = 100_000
    await waiting
    assert clock.now < 1


async def test_time_without_work_is_not_saved_up() -> None:
    tight, clock = limit(1000)
    await tight.take(1)
    clock.now += 3600
    await tight.take(1000)
    await tight.take(1000)
    assert clock.now > 3600.99


async def test_a_stop_ends_the_wait() -> None:
    tight, clock = limit(1)
    await tight.take(1000)
    stop = asyncio.Event()
    stop.set()
    await tight.take(1, stop)
    assert clock.now == 0
