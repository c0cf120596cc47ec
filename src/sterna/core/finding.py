"""What a check found: the evidence, how bad it is, and what mends it."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    PASSED = "PASSED"
    ALARM = "ALARM"  #: can start, and the operator should know
    FAILED = "FAILED"  #: cannot start


@dataclass(frozen=True, slots=True)
class Finding:
    """One answer of one check."""

    check: str
    """The check's stable name, e.g. ``redis.source.psync``."""
    severity: Severity
    evidence: str
    """What was seen, with the actual value."""
    remedy: str = ""
    """What to do about it; empty when passed."""
    group: str = ""
    """What it belongs to, in the words of the cloud's checks: ``network``, ``db_params`` …; may be empty."""
