"""What an operator sees of a job that runs: each new event, and how far it is, until it rests."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from sterna.cli.output import bytes_of, console, literal, print_json, span_of, time_of
from sterna.core.event import Event, Level
from sterna.core.finding import Finding, Severity
from sterna.core.job import Condition, Job, JobId, Wish
from sterna.core.progress import Progress
from sterna.core.stores import JobStore
from sterna.jobs.desk import now_ms

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LOOK = 0.2
"""Seconds between two looks at the store."""
_PAGE = 100


class Screen(Protocol):
    """Shows a job that runs."""

    def event(self, event: Event) -> None: ...

    def findings(self, findings: Sequence[Finding]) -> None: ...

    def progress(self, job: Job, progress: Progress) -> None: ...

    def note(self, text: str) -> None:
        """A sentence of the command itself."""
        ...

    def close(self) -> None: ...


def resting(job: Job) -> bool:
    """Whether nothing will happen to the job until somebody asks for something."""
    return not job.wished and job.condition is not Condition.RUNNING


def waits(job: Job) -> bool:
    """Whether it was asked to run, but not yet."""
    asked = job.wished and job.wish is Wish.RUN and job.condition is not Condition.RUNNING
    return asked and job.starts_ms > now_ms()


async def watch(store: JobStore, id: JobId, screen: Screen, over: Callable[[Job], bool], after: int = 0) -> None:
    """Show a job until ``over`` says that it is; events up to the number ``after`` are left out."""
    seen = after
    while True:
        job = await store.job(id)
        for event in await events_after(store, id, seen):
            screen.event(event)
            seen = event.seq
        screen.progress(job, await store.progress(id))
        if over(job):
            return
        await asyncio.sleep(LOOK)


async def events_after(store: JobStore, id: JobId, seen: int) -> list[Event]:
    """The events with higher numbers than ``seen``, oldest first."""
    found: list[Event] = []
    while True:
        _, page = await store.events(id, offset=len(found), limit=_PAGE)
        fresh = [event for event in page if event.seq > seen]
        found += fresh
        if len(fresh) < _PAGE:
            return sorted({event.seq: event for event in found}.values(), key=lambda event: event.seq)


def screen_for(as_json: bool) -> Screen:
    """JSON lines for scripts, a live picture for a terminal, otherwise plain lines."""
    if as_json:
        return JsonScreen()
    return LiveScreen() if console().is_terminal else PlainScreen()


def facts_of(job: Job, progress: Progress) -> dict[str, object]:
    """A job's figures as scripts read them. Bytes are bytes read from the source; -1: not known."""
    return {
        "phase": job.phase.value,
        "condition": job.condition.value,
        "percent": progress.percent,
        "rows": progress.rows,
        "rows_total": progress.rows_total,
        "bytes": progress.bytes,
        "bytes_total": progress.bytes_total,
        "changes": progress.changes,
        "change_bytes": progress.change_bytes,
        "rows_per_s": round(progress.rows_per_s, 1),
        "bytes_per_s": round(progress.bytes_per_s, 1),
        "changes_per_s": round(progress.changes_per_s, 1),
        "lag_ms": progress.lag_ms,
        "lag_bytes": progress.lag_bytes,
        "eta_s": progress.eta_s,
        "skipped": progress.skipped,
        "retries": progress.retries,
    }


def event_facts(event: Event) -> dict[str, object]:
    """An event as scripts read it."""
    return {
        "seq": event.seq,
        "at_ms": event.at_ms,
        "level": event.level.value,
        "code": event.code,
        "message": event.message,
        "fields": dict(event.fields),
    }


def finding_facts(finding: Finding) -> dict[str, object]:
    """A finding as scripts read it."""
    return {
        "check": finding.check,
        "severity": finding.severity.value,
        "evidence": finding.evidence,
        "remedy": finding.remedy,
        "group": finding.group,
    }


def findings_table(findings: Sequence[Finding]) -> "Table":
    """What the checks found, worst first, with what to do about it."""
    from rich.table import Table

    colors = {Severity.FAILED: "red", Severity.ALARM: "yellow", Severity.PASSED: "green"}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("RESULT", "CHECK", "EVIDENCE", "WHAT TO DO"):
        table.add_column(column, overflow="fold")
    for each in sorted(findings, key=lambda finding: list(colors).index(finding.severity)):
        result = f"[{colors[each.severity]}]{each.severity.value}[/]"
        table.add_row(result, literal(each.check), literal(each.evidence), literal(each.remedy))
    return table


def line_of(job: Job, progress: Progress) -> str:
    """Everything that matters about a running job, on one line."""
    pieces = [f"{job.phase.value} {job.condition.value}"]
    if waits(job):
        pieces.append(f"starts {time_of(job.starts_ms)}")
    if job.phase.value == "COPY" or not progress.changes:
        total = f"/{progress.rows_total}" if progress.rows_total >= 0 else ""
        pieces.append(f"{progress.percent}%  {progress.rows}{total} rows  {bytes_of(progress.bytes)}")
    if job.phase.value == "COPY":
        pieces.append(f"{bytes_of(progress.bytes_per_s)}/s  left {span_of(progress.eta_s)}")
    if job.phase.value == "FOLLOW":
        lag = f"{progress.lag_ms / 1000:.1f} s" if progress.lag_ms >= 0 else "?"
        pieces.append(f"{progress.changes} changes  {progress.changes_per_s:.0f}/s")
        pieces.append(f"lag {lag}, {bytes_of(progress.lag_bytes)}")
    if progress.skipped:
        pieces.append(f"{progress.skipped} skipped")
    if progress.retries:
        pieces.append(f"{progress.retries} retries")
    return "  ".join(pieces)


@dataclass
class Rhythm:
    """Says when it is time to say something again: after some seconds, or at once when the job has moved."""

    every: float
    clock: Callable[[], float] = monotonic
    _moved: str = ""
    _said: float = field(default=float("-inf"))

    def due(self, job: Job) -> bool:
        state, now = f"{job.phase} {job.condition}", self.clock()
        if state == self._moved and now - self._said < self.every:
            return False
        self._moved, self._said = state, now
        return True


class JsonScreen:
    """One JSON object a line: figures at least once a second and at each move, events, findings."""

    def __init__(self) -> None:
        self._rhythm = Rhythm(0.9)

    def event(self, event: Event) -> None:
        print_json({"event": event_facts(event)})

    def findings(self, findings: Sequence[Finding]) -> None:
        print_json({"findings": [finding_facts(each) for each in findings]})

    def progress(self, job: Job, progress: Progress) -> None:
        if self._rhythm.due(job):
            print_json(facts_of(job, progress))

    def note(self, text: str) -> None:
        print_json({"note": text})

    def close(self) -> None:
        """Nothing is held."""


class PlainScreen:
    """A line every few seconds and at each move, for logs and pipes."""

    def __init__(self) -> None:
        self._rhythm = Rhythm(5.0)
        self._console = console()

    def event(self, event: Event) -> None:
        self._console.print(_event_text(event))

    def findings(self, findings: Sequence[Finding]) -> None:
        self._console.print(findings_table(findings))

    def progress(self, job: Job, progress: Progress) -> None:
        if self._rhythm.due(job):
            self._console.print(literal(line_of(job, progress)))

    def note(self, text: str) -> None:
        self._console.print(literal(text))

    def close(self) -> None:
        """Nothing is held."""


class LiveScreen:
    """A bar and a line that change in place; events scroll by above them."""

    def __init__(self) -> None:
        from rich.live import Live

        self._live = Live(console=console(), refresh_per_second=8, transient=False)
        self._live.start()

    def event(self, event: Event) -> None:
        self._live.console.print(_event_text(event))

    def findings(self, findings: Sequence[Finding]) -> None:
        self._live.console.print(findings_table(findings))

    def progress(self, job: Job, progress: Progress) -> None:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        bar = ProgressBar(total=100, completed=progress.percent, width=40)
        self._live.update(Group(bar, Text(line_of(job, progress))))

    def note(self, text: str) -> None:
        self._live.console.print(literal(text))

    def close(self) -> None:
        self._live.stop()


def _event_text(event: Event) -> "Text":
    from rich.text import Text

    style = {Level.ERROR: "red", Level.WARN: "yellow", Level.DEBUG: "dim"}.get(event.level, "")
    return Text(f"{time_of(event.at_ms)}  {event.level.value:5}  {event.message}", style=style)
