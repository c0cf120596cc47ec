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


@dataclass(frozen=True, slots=True)
class Verdict:
    """A finding that does not say yet which check it is of."""

    severity: Severity
    evidence: str
    remedy: str = ""


def passed(evidence: str) -> Verdict:
    return Verdict(Severity.PASSED, evidence)


def alarm(evidence: str, remedy: str) -> Verdict:
    return Verdict(Severity.ALARM, evidence, remedy)


def failed(evidence: str, remedy: str) -> Verdict:
    return Verdict(Severity.FAILED, evidence, remedy)


def size(count: float) -> str:
    """Bytes for people: ``1.5 GiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
