"""How long a run waits for what: the times that a test would want to hold, in one place."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tempo:
    """Times in seconds."""

    look: float = 0.3
    """Between two looks at the wish."""
    beat: float = 1.0
    """Between two notes of the same lane or of the progress."""
    grace: float = 5.0
    """How long a write in flight may go on once a stop was asked for."""
    quiet: float = 1.0
    """How long the source must have nothing new before a cutover ends the job."""
    patience: float = 60.0
    """How long a cutover waits for such a quiet; then it takes the first moment without lag."""
    count: float = 10.0
    """Between two counts of the rows on both sides."""
    first_wait: float = 0.2
    longest_wait: float = 30.0
    calm: float = 60.0
    """After this long without a fault, waiting begins again with ``first_wait``."""
    check_tries: int = 3
    """How often a check may fail to look before that is its finding."""
    clean_tries: int = 5
    """How often a clean-up is tried before something is left behind."""
    clean_limit: float = 600.0
    """How long one try of a clean-up may take: it may have to touch every key of the target once."""
    at_once: int = 4
    """How many parts are copied at the same time."""


@dataclass
class Backoff:
    """How long to wait before the next try: twice as long each time, half of it by chance."""

    tempo: Tempo
    clock: Callable[[], float] = time.monotonic
    chance: Callable[[], float] = random.random
    _tries: int = field(default=0, init=False)
    _until: float = field(default=0.0, init=False)

    def next(self) -> float:
        """Seconds to wait now."""
        if self.clock() - self._until > self.tempo.calm:
            self._tries = 0
        whole = min(self.tempo.longest_wait, self.tempo.first_wait * 2.0 ** min(self._tries, 30))
        wait = whole * (0.5 + self.chance() / 2)
        self._tries += 1
        self._until = self.clock() + wait
        return wait
