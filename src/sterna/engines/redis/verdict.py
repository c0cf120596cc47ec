"""What a judgement is made of, and the words in which it is given."""

from dataclasses import dataclass

from sterna.core.finding import Severity
from sterna.core.plan import Plan
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.survey import Facts


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a judgement may look at."""

    plan: Plan
    mapping: Mapping
    source: Facts
    target: Facts


@dataclass(frozen=True, slots=True)
class Verdict:
    """How bad, what was seen, and what mends it."""

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
