"""Whether what the operator described makes sense by itself, before any server is asked."""

from sterna.core.errors import Invalid
from sterna.core.plan import MINUTES, Pace, Path, Picked, Plan, Selection

DEEPEST = 3
"""Database, schema and table."""


def check_plan(plan: Plan) -> None:
    """Raises Invalid, naming what is wrong."""
    _selection(plan.selection)
    _pace(plan.pace)


def _selection(selection: Selection) -> None:
    for picked in selection.objects:
        _picked(picked)
    for path in selection.without:
        _path(path, "without")
    _once([picked.path for picked in selection.objects], "is selected twice")
    taken = [picked.path for picked in selection.objects if selection.place(picked.path)]
    _once([place.to for path in taken if (place := selection.place(path))], "would be the target of two")


def _picked(picked: Picked) -> None:
    _path(picked.path, "objects")
    if picked.to:
        _path(picked.to, "objects")
        if len(picked.to) != len(picked.path):
            raise Invalid("objects", f"{_said(picked.path)} cannot be called {_said(picked.to)}: another depth")
    if (picked.columns or picked.where) and len(picked.path) != DEEPEST:
        raise Invalid("objects", f"{_said(picked.path)} is not a table: it has neither columns nor rows to choose")
    if not all(picked.columns) or len(set(picked.columns)) != len(picked.columns):
        raise Invalid("objects", f"The columns of {_said(picked.path)} are empty or named twice")


def _path(path: Path, field: str) -> None:
    if not 0 < len(path) <= DEEPEST:
        raise Invalid(field, "A path names a database, a schema in it, and a table in that")
    if not all(path) or any("\0" in name for name in path):
        raise Invalid(field, f"{_said(path)} holds a name that no server knows")


def _once(paths: list[Path], trouble: str) -> None:
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            raise Invalid("objects", f"{_said(path)} {trouble}")
        seen.add(path)


def _pace(pace: Pace) -> None:
    rates = [pace.copy_bytes_per_s, pace.follow_bytes_per_s, *(window.bytes_per_s for window in pace.windows)]
    if min(rates) < 0:
        raise Invalid("pace", "A limit is not below zero")
    for window in pace.windows:
        if not (0 <= window.begin < MINUTES and 0 <= window.end < MINUTES):
            raise Invalid("pace", "A window begins and ends at a minute of the day, 0 to 1439")


def _said(path: Path) -> str:
    return ".".join(path)
