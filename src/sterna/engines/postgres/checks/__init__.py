"""The checks before a start: each looks at one thing, says what it saw, and gives the SQL that mends it.

All of them share one survey of both servers; each judgement is a function of what was seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sterna.core.finding import Finding, Severity, Verdict, failed, passed
from sterna.core.job import JobId
from sterna.core.plan import Plan
from sterna.core.ports import Check
from sterna.engines.postgres.checks import on_source, on_target
from sterna.engines.postgres.checks.survey import Server, Survey
from sterna.engines.postgres.checks.verdict import Scene

Judge = Callable[[Scene], Verdict]
SOURCE, TARGET = "source", "target"


@dataclass(frozen=True)
class PostgresCheck:
    """One check: judges what the survey saw."""

    name: str
    """Stable, e.g. ``postgresql.source.wal_level``."""
    group: str
    survey: Survey
    plan: Plan
    judge: Judge
    needs: tuple[str, ...]
    """The servers that must have been seen."""

    async def run(self) -> Sequence[Finding]:
        """Its one finding. Never raises for what is wrong with a server."""
        source, target = await self.survey.look()
        for side, server in ((SOURCE, source), (TARGET, target)):
            if side in self.needs and server.trouble:
                return []  # said once, by ``reachable``
        verdict = self.judge(Scene(self.plan, source, target))
        remedy = "" if verdict.severity is Severity.PASSED else verdict.remedy
        return [Finding(self.name, verdict.severity, verdict.evidence, remedy, self.group)]


def checks(plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
    """All checks of a migration. ``job_id``: of this job; what it has made already is not in its way."""
    survey = Survey(plan, job_id)
    found: list[Check] = []
    for side, judges in ((SOURCE, on_source.JUDGES), (TARGET, on_target.JUDGES)):
        needs = (SOURCE,) if side == SOURCE else (SOURCE, TARGET)
        found.append(PostgresCheck(f"postgresql.{side}.reachable", "network", survey, plan, _reachable(side), ()))
        for name, (judge, group) in judges.items():
            found.append(PostgresCheck(f"postgresql.{side}.{name}", group, survey, plan, judge, needs))
    return found


def _reachable(side: str) -> Judge:
    def judge(scene: Scene) -> Verdict:
        server: Server = scene.source if side == SOURCE else scene.target
        if server.trouble is None:
            return passed(f"{server.label} at {server.where}")
        hint = server.trouble.hint or "Check the address, the user and the password, and that the server runs"
        return failed(server.trouble.message, hint)

    return judge
