"""Which databases, schemas and tables are taken, and what they are called on the target.

Clients of v3 send a tree of rows, one for each object, whose ids are the names from the database on with ``-*-*-``
between. Key-value stores have databases alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sterna.api.errors import Told
from sterna.core.plan import Path, Picked, Plan, Rename, Selection

BETWEEN = "-*-*-"
DEFAULT_SCHEMA = "public"
"""Where a table is that is named right under its database."""

_CONTAINERS = ("database", "schema")


@dataclass(frozen=True, slots=True)
class Row:
    """One object as a client chose it."""

    id: str
    type: str
    """``database``, ``schema``, ``table`` or ``view``."""
    select: str
    """``true``, ``false``, or ``partial``: some of what it holds."""
    name: str = ""
    parent_id: str = ""
    alias: str = ""
    """What it is called on the target; empty: as it is."""


def selection_of(rows: Sequence[Row], engine: str) -> Selection:
    """What is taken; no rows: everything. Raises Told for a row whose id or name makes no sense."""
    names = {_path(row, engine): row.alias for row in rows}
    if engine == "redis":
        return _of_keys(rows, names)
    picked = [
        Picked(path, _renamed(path, names))
        for row in rows
        if row.select == "true"
        for path in [_path(row, engine)]
    ]
    without = tuple(_path(row, engine) for row in rows if row.select == "false")
    if rows and not picked:
        raise Told("DRS.M00305.nothing")
    inside = tuple(path for path in without if any(path[: len(it.path)] == it.path for it in picked))
    return Selection(objects=tuple(picked), without=inside)


def keep_filters(before: Selection, after: Selection) -> Selection:
    """The new selection, with the rows and columns that were chosen before of the tables that are still in it."""
    chosen = {it.path: it for it in before.objects if it.where or it.columns}
    objects = tuple(
        replace(it, columns=chosen[it.path].columns, where=chosen[it.path].where) if it.path in chosen else it
        for it in after.objects
    )
    return replace(after, objects=objects)


def with_filter(plan: Plan, path: Path, where: str) -> Plan:
    """Take of a table only the rows for which a condition holds. Raises Told for one that is not taken."""
    selection = plan.selection
    place = selection.place(path)
    if not selection.objects or place is None:
        raise Told("DRS.M00305.unselected", shown(path))
    others = tuple(it for it in selection.objects if it.path != path)
    one = Picked(path, place.to if place.to != path else (), place.columns, where)
    return replace(plan, selection=replace(selection, objects=(*others, one)))


def path_of(id: str, *, table: bool) -> Path:
    """The names that an id holds. Raises Told."""
    path = tuple(id.split(BETWEEN))
    if not all(path) or len(path) > 3 or "\0" in id:
        raise Told("DRS.M00202", "id")
    return (path[0], DEFAULT_SCHEMA, path[1]) if table and len(path) == 2 else path


def shown(path: Path) -> str:
    """A path for people."""
    return ".".join(path)


def kept_row(row: Row) -> Mapping[str, str | None]:
    """As the details of a task show it."""
    return {
        "id": row.id,
        "parent_id": row.parent_id or None,
        "type": row.type,
        "name": row.name or row.id.rpartition(BETWEEN)[2],
        "alias_name": row.alias or None,
    }


def _path(row: Row, engine: str) -> Path:
    return path_of(row.id, table=row.type not in _CONTAINERS and engine != "redis")


def _renamed(path: Path, names: Mapping[Path, str]) -> Path:
    """What a path is called on the target, by the aliases of it and of what holds it; empty: the same."""
    to = tuple(names.get(path[: length + 1]) or path[length] for length in range(len(path)))
    return to if to != path else ()


def _of_keys(rows: Sequence[Row], names: Mapping[Path, str]) -> Selection:
    if any(row.type != "database" or row.select == "partial" for row in rows):
        raise Told("DRS.M00202", "object_type")
    only = tuple(row.id for row in rows if row.select == "true")
    if rows and not only:
        raise Told("DRS.M00305.nothing")
    renames = tuple(Rename(id, names[id,]) for id in only if names[id,] and names[id,] != id)
    return Selection(only=only, renames=renames)
