"""How often a database that is to be overwritten may be taken by others before the job gives it up.

Each try sends its users away; programs that come back at once would otherwise be cut off for ever.
"""

from dataclasses import dataclass
from pathlib import Path

from sterna.core.errors import ApplyFailed, ServerBusy

TRIES = 25
"""With the waits between them, about ten minutes."""


@dataclass(frozen=True)
class Patience:
    """Counts in a file, as each try may be another run's."""

    file: Path

    def taken(self, target: str, by: ServerBusy) -> None:
        """Raises ApplyFailed at the last of the tries; the next one counts anew."""
        tries = self._tries() + 1
        if tries >= TRIES:
            self.over()
            raise ApplyFailed(
                f"Others keep taking the database {target}: it could not be had alone {tries} times. {by.message}",
                hint="Stop the programs that use it, or disable their logins, then start the job again.",
            ) from by
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file.write_text(str(tries), encoding="ascii")

    def over(self) -> None:
        """It was had."""
        self.file.unlink(missing_ok=True)

    def _tries(self) -> int:
        try:
            return int(self.file.read_text(encoding="ascii"))
        except (FileNotFoundError, ValueError):
            return 0
