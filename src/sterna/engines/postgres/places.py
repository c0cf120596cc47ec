"""Where a source's databases are on the target."""

from collections.abc import Iterable

from sterna.core.errors import Unsupported
from sterna.core.plan import Plan, Selection


def target_database(selection: Selection, database: str) -> str:
    """The target's name of a database of which something is taken.

    Raises Unsupported where its tables would go to several: what lies between them (foreign keys, views,
    transactions) cannot.
    """
    whole = selection.place((database,))
    found = {each.to[0] for each in selection.objects if each.to and each.path[0] == database}
    if whole and not all(each.path[0] == database and each.to for each in selection.objects):
        found.add(whole.to[0])
    if any(not each.to and each.path[0] == database for each in selection.objects):
        found.add(whole.to[0] if whole else database)
    if len(found) > 1:
        names = ", ".join(sorted(found))
        raise Unsupported(
            f"Tables of the database {database} are to go to several databases: {names}",
            hint="Let all of a database go to one, or use a job for each.",
        )
    return found.pop() if found else database


def by_target(plan: Plan, databases: Iterable[str]) -> dict[str, list[str]]:
    """The target's databases, each with those of the source that go there."""
    found: dict[str, list[str]] = {}
    for database in databases:
        found.setdefault(target_database(plan.selection, database), []).append(database)
    return found
