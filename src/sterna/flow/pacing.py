"""Limits how fast bytes go: a bucket that fills at the allowed rate, and may be drawn on before it is full."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

_LOOK = 0.2
"""Seconds between two looks at whether the rate has changed or a stop was asked for."""

_SIGN = 1.0
"""Seconds of waiting after which others are told that somebody waits."""

_NOTHING = 0.001
"""Seconds that are not worth a sleep, and which rounding may leave over."""


@dataclass
class Limit:
    """At most ``rate`` bytes a second over any longer time; 0: no limit.

    The rate may be changed at any time, also while somebody waits; or it is a function, which is asked each time.
    Something larger than a second's worth is let through at once and paid for by what comes after it.
    """

    rate: int | Callable[[], int] = 0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _debt: float = field(default=0.0, init=False)
    _at: float | None = field(default=None, init=False)

    async def take(
        self,
        size: int,
        stop: asyncio.Event | None = None,
        meanwhile: Callable[[], Awaitable[object]] | None = None,
    ) -> None:
        """Wait until earlier bytes are paid for, then take ``size`` more. Returns early once ``stop`` is set.

        ``meanwhile`` is called about once a second of waiting.
        """
        signed = self.clock()
        while (wait := self._wait()) > _NOTHING and not (stop and stop.is_set()):
            await self.sleep(min(wait, _LOOK))
            if meanwhile and self.clock() - signed >= _SIGN:
                await meanwhile()
                signed = self.clock()
        if self._rate() > 0:
            self._debt += size

    def _wait(self) -> float:
        """Seconds until the debt is paid at the present rate."""
        now = self.clock()
        passed, self._at = now - (now if self._at is None else self._at), now
        rate = self._rate()
        if rate <= 0:
            self._debt = 0.0
            return 0.0
        self._debt = max(0.0, self._debt - passed * rate)
        return self._debt / rate

    def _rate(self) -> int:
        return self.rate() if callable(self.rate) else self.rate
