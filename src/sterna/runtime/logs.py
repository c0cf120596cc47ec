"""The log file of one job's child processes, kept from growing without bound."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobLog:
    """A file that children append to. At about ``most`` bytes its content moves to the same name with ``.1``."""

    path: Path
    most: int = 10 << 20

    def open(self) -> int:
        """A file number to append with; its owner alone can read the file."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def trim(self) -> None:
        """Move the content away if it is too much. A child that appends goes on at the file's new end."""
        if self.path.exists() and self.path.stat().st_size > self.most:
            shutil.copy(self.path, self.path.with_name(self.path.name + ".1"))
            os.truncate(self.path, 0)
