"""One at a time, also among several services that share a data folder."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from sterna.core.errors import ServerBusy
from sterna.runtime.lock import Lock

LONGEST_S = 30.0
"""How long another service may have its turn: its work is a few requests to the store."""
LOOK_S = 0.02
"""Between two looks whether its turn is over."""


@dataclass(frozen=True, slots=True)
class Turn:
    """``async with turn:`` holds it. ``path``: a file whose lock other services see; None: there are no others.

    What is held falls with the process. Raises ServerBusy where another service does not let go of it.
    """

    path: Path | None = None
    longest_s: float = LONGEST_S
    _mine: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _theirs: Lock | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_theirs", Lock(self.path) if self.path else None)

    async def __aenter__(self) -> None:
        await self._mine.acquire()
        try:
            await self._alone()
        except BaseException:
            self._mine.release()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._theirs:
            self._theirs.free()
        self._mine.release()

    async def _alone(self) -> None:
        end = time.monotonic() + self.longest_s
        while self._theirs and not self._theirs.take():
            if time.monotonic() > end:
                raise ServerBusy(f"Another service keeps the lock on {self.path}")
            await asyncio.sleep(LOOK_S)
