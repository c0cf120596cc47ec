"""The checks before a start: each looks at one thing, says what it saw, and what to type where it is not right.

All of them share one survey of both servers; each judgement is a function of what was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sterna.core.finding import Finding, Severity, Verdict, alarm
from sterna.core.plan import Plan
from sterna.core.ports import Check
from sterna.engines.redis import checks_pair, checks_source, checks_target
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.survey import Facts, Survey
from sterna.engines.redis.verdict import Scene

Judge = Callable[[Scene], Verdict]


@dataclass(frozen=True)
class RedisCheck:
    """One check: judges what the survey saw."""

    name: str
    """Stable, e.g. ``redis.source.psync``."""
    survey: Survey
    plan: Plan
    mapping: Mapping
    judge: Judge
    sides: tuple[str, ...]
    """Which servers must have been seen for it to be judged."""

    async def run(self) -> Sequence[Finding]:
        """Its one finding. Never raises for what is wrong with a server."""
        source, target = await self.survey.look()
        scene = Scene(self.plan, self.mapping, source, target)
        for side, facts in (("source", source), ("target", target)):
            if side in self.sides and facts.trouble:
                return [
                    _finding(
                        self.name,
                        alarm(f"Not looked at: the {side} was not seen", f"Mend what redis.{side}.* says first"),
                    )
                ]
        return [_finding(self.name, self.judge(scene))]


def checks(plan: Plan) -> Sequence[Check]:
    """All checks of a migration. Raises Invalid where the plan's selection makes no sense."""
    mapping = Mapping.of(plan.selection)
    survey = Survey(plan, lambda source: max(mapping.sources_in(source.keys or {0: 0}), default=0))
    found: list[Check] = []
    for side, judges in (
        ("source", checks_source.JUDGES),
        ("target", checks_target.JUDGES),
        ("pair", checks_pair.JUDGES),
    ):
        for name, (judge, sides) in judges.items():
            found.append(RedisCheck(f"redis.{side}.{name}", survey, plan, mapping, judge, sides))
    return found


_FOR_A_BACKUP = ("reachable", "authenticated", "version", "loading", "role", "psync", "output_buffer")


@dataclass(frozen=True)
class BackupCheck:
    """One check of a server of which a backup is to be taken."""

    name: str
    survey: Survey
    plan: Plan
    judge: Judge

    async def run(self) -> Sequence[Finding]:
        """Its one finding."""
        source = await self.survey.look_at_source()
        if source.trouble and self.name not in ("redis.source.reachable", "redis.source.authenticated"):
            return []
        return [_finding(self.name, self.judge(Scene(self.plan, Mapping(), source, Facts(str(self.plan.target)))))]


def backup_checks(plan: Plan) -> Sequence[Check]:
    """What to look at before a backup: of each server that is named."""
    found: list[Check] = []
    for address in plan.source.addresses:
        one = replace(plan, source=replace(plan.source, addresses=(address,)))
        survey = Survey(one, lambda _: 0)
        judges = {name: checks_source.JUDGES[name][0] for name in _FOR_A_BACKUP}
        found += [BackupCheck(f"redis.source.{name}", survey, one, judge) for name, judge in judges.items()]
    return found


def _finding(name: str, verdict: Verdict) -> Finding:
    remedy = "" if verdict.severity is Severity.PASSED else verdict.remedy
    return Finding(name, verdict.severity, verdict.evidence, remedy)
