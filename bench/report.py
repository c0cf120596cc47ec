"""Results as a table for a terminal and for Markdown alike, kept in ``bench/results``."""

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass
class Row:
    """One contestant at one piece of work, with all that was measured of it."""

    work: str
    contestant: str
    measured: dict[str, list[float]] = field(default_factory=dict)
    """By column: one number for each run."""
    failure: str = ""

    def add(self, **numbers: float) -> None:
        """Note one run."""
        for column, number in numbers.items():
            self.measured.setdefault(column, []).append(number)

    def median(self, column: str) -> float | None:
        numbers = self.measured.get(column)
        return statistics.median(numbers) if numbers else None


@dataclass(frozen=True)
class Column:
    """A column of medians; with ``against``, the ratio of ``of`` to that contestant's at the same work."""

    title: str
    of: str
    digits: int = 1
    against: str = ""


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The rows as Markdown, aligned."""
    head = ["work", "contestant", *(column.title for column in columns)]
    lines = [[row.work, row.contestant, *(_cell(row, rows, column) for column in columns)] for row in rows]
    widths = [max(len(line[place]) for line in [head, *lines]) for place in range(len(head))]
    ruler = ["-" * width for width in widths]
    text = [_line(cells, widths) for cells in (head, ruler, *lines)]
    failures = dict.fromkeys(f"{row.contestant} failed: {row.failure}" for row in rows if row.failure)
    return "\n".join([*text, *(f"\n{line}" for line in failures)])


def publish(name: str, machine: Mapping[str, str], rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """Print the table and keep it, with every single number, in ``bench/results``."""
    text = "\n".join([f"{key}: {value}" for key, value in machine.items()] + ["", table(rows, columns), ""])
    print(text, flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text(text)
    kept = {"machine": dict(machine), "rows": [asdict(row) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1))


def _cell(row: Row, rows: Sequence[Row], column: Column) -> str:
    value = row.median(column.of)
    if value is None:
        return "failed" if row.failure else ""
    if not column.against:
        return f"{value:,.{column.digits}f}"
    other = next((each for each in rows if (each.work, each.contestant) == (row.work, column.against)), None)
    base = other.median(column.of) if other else None
    return f"{value / base:.2f}" if base else ""


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
    right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
    return "| " + " | ".join(left + right) + " |"
