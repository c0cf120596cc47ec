"""What databases and their files are called on the server. Pure."""

import hashlib
import re
from collections.abc import Mapping, Sequence

from sterna.core.errors import KeyConflict, Unsupported
from sterna.core.plan import Plan
from sterna.engines.sqlserver.opening import STOP_AT
from sterna.engines.sqlserver.restoring.tsql import quoted
from sterna.engines.sqlserver.restoring.values import FILESTREAM_FILE, Instance, ListedFile

_LONGEST_STEM = 60


def target_name(plan: Plan, database: str) -> str:
    """What a database is called on the target. ``*`` renames whatever it is called; picked ones come first."""
    for each in plan.selection.objects:
        if each.path == (database,) and each.to:
            return each.to[0]
    low = database.lower()
    exact = [each.new for each in plan.selection.renames if each.old.lower() == low]
    other = [each.new for each in plan.selection.renames if each.old == "*"]
    return (exact + other + [database])[0]


def check_names(plan: Plan, databases: Sequence[str]) -> None:
    """Raises KeyConflict if two get one name, Unsupported for one that is no name, or for less than databases."""
    if plan.options.get(STOP_AT):
        raise Unsupported("A SQL Server is not restored to a moment within a log: it gets all that the files hold")
    if any(len(each.path) > 1 for each in plan.selection.objects) or any(
        len(each) > 1 for each in plan.selection.without
    ):
        raise Unsupported("A SQL Server restores whole databases: schemas and tables cannot be chosen")
    seen: dict[str, str] = {}
    for database in databases:
        name = target_name(plan, database)
        quoted(name)
        first = seen.setdefault(name.rstrip().lower(), database)  # blanks at the end do not count on a server
        if first != database:
            raise KeyConflict(
                f"{first} and {database} would both be called {name} on the server",
                hint="Give each a name of its own.",
            )


def new_files(listed: Sequence[ListedFile], target: str, instance: Instance, tag: str) -> Mapping[str, str]:
    """Logical names, and new paths: in the instance's own folders, with names that nothing else has."""
    if not instance.data_path or not instance.log_path:
        raise Unsupported("The server does not say where the files of new databases go")
    plain = re.sub(r"[^A-Za-z0-9_-]", "_", target)[:_LONGEST_STEM]
    stem = f"{plain}_{tag}_{hashlib.sha256(target.lower().encode()).hexdigest()[:6]}"
    return {each.logical: _path(each, f"{stem}_{each.file_id}", instance) for each in listed}


def _path(file: ListedFile, stem: str, instance: Instance) -> str:
    if file.kind == "L":
        return f"{instance.log_path}{stem}.ldf"
    ending = "" if file.kind in (FILESTREAM_FILE, "F") else ".mdf" if file.file_id == 1 else ".ndf"
    return f"{instance.data_path}{stem}{ending}"
