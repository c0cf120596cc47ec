"""How often and how long a passing fault is waited out, before it is somebody else's to decide."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from sterna.core.errors import Retryable

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """Pauses between tries: ``first`` seconds, then twice as long each time, up to ``longest``."""

    tries: int = 6
    first: float = 0.2
    longest: float = 5.0
    sleep: Callable[[float], None] = time.sleep

    def pause(self, failures: int) -> None:
        """Wait after so many failures in a row, at least one."""
        self.sleep(min(self.longest, self.first * 2 ** (failures - 1)))

    def over(self, failures: int) -> bool:
        """Whether that were enough."""
        return failures >= self.tries

    def try_again(self, call: Callable[[], T]) -> T:
        """Do something that may be done twice until it does not end in a Retryable. Raises the last one."""
        failures = 0
        while True:
            try:
                return call()
            except Retryable:
                failures += 1
                if self.over(failures):
                    raise
                self.pause(failures)
