"""A lock that one process at a time has, and that falls with the process, however it ends."""

import fcntl
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Lock:
    """A lock on a file. The file stays; child processes do not inherit the lock."""

    path: Path
    _held: int | None = field(default=None, init=False)

    def take(self) -> bool:
        """Whether it is ours, now or already."""
        if self._held is not None:
            return True
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._held = file
        return True

    def free(self) -> None:
        """Let another process have it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None
