"""What a judgement is made of, and the words in which it is given."""

from collections.abc import Sequence
from dataclasses import dataclass

from sterna.core.plan import Mode, Plan
from sterna.engines.postgres.checks.survey import Server

NAMED = 10
"""How many things are named one by one."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a judgement may look at."""

    plan: Plan
    source: Server
    target: Server

    @property
    def follows(self) -> bool:
        """Whether changes are carried over as well."""
        return self.plan.mode is Mode.INCREMENTAL


def listed(things: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(things) - NAMED
    return ", ".join(things[:NAMED]) + (f" and {more} more" if more > 0 else "")


def statements(lines: Sequence[str]) -> str:
    """The first few statements, each ended; and that there are more."""
    more = len(lines) - NAMED
    return " ".join(f"{line};" for line in lines[:NAMED]) + (f" -- and {more} more like these" if more > 0 else "")
