"""What a judgement is made of, and the words in which it is given."""

from dataclasses import dataclass

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
