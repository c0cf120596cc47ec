"""Checks before a start, as DRS tells of them."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from sterna.api.drs.endpoints import complete
from sterna.api.front import Front
from sterna.core.finding import Finding, Severity
from sterna.core.job import Job
from sterna.jobs.checking import Checked, CheckState

_SIDES = {"source": "src", "target": "dst"}
_DEFAULT_GROUP = "db_params"
_WORDS = re.compile(r"[^0-9A-Za-z]+")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was looked at."""

    item: str
    """Its name, e.g. ``srcWalLevel``."""
    result: str
    """``PASSED``, ``ALARM`` or ``FAILED``."""
    group: str
    data: str
    """A JSON object with what was seen."""
    failed_reason: str = ""
    """What was seen and what mends it; empty when passed."""


@dataclass(frozen=True, slots=True)
class Report:
    """How far the checks of a task are, and what they have found so far."""

    percent: int
    items: tuple[Item, ...]

    @property
    def done(self) -> bool:
        return self.percent == 100

    @property
    def passed(self) -> bool:
        """Whether all has been looked at and nothing stands against a start; alarms do not."""
        return self.done and not any(it.result == Severity.FAILED for it in self.items)

    @property
    def passed_percent(self) -> int:
        """100 exactly when ``passed``."""
        if self.passed:
            return 100
        good = sum(it.result != Severity.FAILED for it in self.items)
        return min(99, good * 100 // len(self.items)) if self.items else 0


async def begin(front: Front, job: Job) -> None:
    """Check in the background. A task whose sides are not known yet is told so as the result of its checks."""
    if complete(job.plan):
        await front.desk.begin_check(job)
    else:
        await front.store.set_findings(job.id, [_nowhere(job)])


async def report(front: Front, job: Job) -> Report | None:
    """What the last checks have found. None: there were none."""
    state = await front.desk.check_state(job) if complete(job.plan) else None
    findings = await front.store.findings(job.id)
    if state is None:
        return Report(100, tuple(map(_item, findings))) if findings else None
    return Report(state.percent, (*map(_item, findings), *_broken(state)))


def _nowhere(job: Job) -> Finding:
    side = "source" if not (job.plan and job.plan.source.addresses) else "target"
    return Finding(
        f"drs.{side}.db_connection",
        Severity.FAILED,
        f"The address of the {side} is not known",
        "Store the connection of both databases, then check again",
        "network",
    )


def _broken(state: CheckState) -> Sequence[Item]:
    """What kept the checks from being run, as an item of its own."""
    if state.state is not Checked.BROKEN or state.failure is None:
        return ()
    failure = state.failure
    return (_item(Finding("drs.source.db_connection", Severity.FAILED, failure.message, failure.hint, "network")),)


def _item(finding: Finding) -> Item:
    passed = finding.severity is Severity.PASSED
    sentences = [it.rstrip(".") + "." for it in (finding.evidence, finding.remedy) if it]
    return Item(
        item=item_name(finding.check),
        result=finding.severity.value,
        group=finding.group or _DEFAULT_GROUP,
        data=json.dumps({"evidence": finding.evidence}, ensure_ascii=False),
        failed_reason="" if passed else " ".join(sentences),
    )


def item_name(check: str) -> str:
    """``postgresql.source.wal_level`` is ``srcWalLevel``: the engine is known anyway."""
    words = [word for word in _WORDS.split(check.partition(".")[2] or check) if word]
    first = _SIDES.get(words[0], words[0]) if words else ""
    return first + "".join(word[:1].upper() + word[1:] for word in words[1:])
