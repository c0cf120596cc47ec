"""A limit holds over time, lets large things through, and follows a rate that changes."""

import asyncio
from dataclasses import dataclass

import pytest

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


@pytest.mark.parametrize(
    ("begins", "ends"), [("slow", "fast"), ("slow", "unlimited"), ("fast", "slow"), ("unlimited", "slow")]
)
async def test_another_rate_takes_effect_within_a_second_also_in_a_long_wait(begins: str, ends: str) -> None:
    """Counted before and after the change, which comes in the middle of a wait where the rate is slow."""
    rates = {"slow": 10, "fast": 1000, "unlimited": 0}
    clock = Clock()

    def rate() -> int:
        return rates[begins if clock.now < 55 else ends]

    paced = Limit(rate, clock, clock.sleep)
    moved = [0, 0]
    await paced.take(100)
    while clock.now < 110:
        moved[int(clock.now // 55)] += 100
        clock.now += 0 if rate() else 0.1
        await paced.take(100)
    for amount, name in zip(moved, (begins, ends), strict=True):
        a_second = rates[name] or 1000
        assert abs(amount - 55 * a_second) <= max(a_second, 100)


async def test_who_waits_says_so_about_once_a_second() -> None:
    tight, clock = limit(100)
    told: list[float] = []

    async def meanwhile() -> None:
        told.append(clock.now)

    await tight.take(1000, None, meanwhile)
    assert told == []
    await tight.take(1, None, meanwhile)
    assert 9 <= len(told) <= 10
    assert max(later - before for before, later in zip([0.0, *told], told, strict=False)) < 1.3


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
