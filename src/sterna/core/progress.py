"""How far a job is, in figures: written about once a second by the runner, read by everyone."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """Figures since the job's (last) start. Bytes are bytes read from the source; -1: not known."""

    phase: str = ""
    rows: int = 0
    """Rows or keys copied."""
    rows_total: int = -1
    bytes: int = 0
    """Bytes copied."""
    bytes_total: int = -1
    changes: int = 0
    """Changes applied while following."""
    change_bytes: int = 0
    rows_per_s: float = 0.0
    bytes_per_s: float = 0.0
    changes_per_s: float = 0.0
    lag_ms: int = -1
    """How long ago the oldest change that the target lacks was made, as far as known."""
    lag_bytes: int = -1
    """Bytes of the source's log that the target lacks."""
    eta_s: int = -1
    """Seconds until the copy is complete, by the rate of the last seconds."""
    source_rows: int = -1
    target_rows: int = -1
    skipped: int = 0
    """Rows or keys of the copy left out: expired, not selected, or the target's own."""
    retries: int = 0
    restored: int = -1
    """Percent of the files that the target's server has read by itself; -1: they are not read that way."""
    at_ms: int = 0

    @property
    def percent(self) -> int:
        """How much of the copy is done, 0 to 100."""
        if self.phase in ("FOLLOW", "CLOSE"):
            return 100
        if self.restored >= 0:
            return min(99, self.restored)
        done, total = (self.bytes, self.bytes_total) if self.bytes_total > 0 else (self.rows, self.rows_total)
        return max(0, min(99, done * 100 // total)) if total > 0 else 0
