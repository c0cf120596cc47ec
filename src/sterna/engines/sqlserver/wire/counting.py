"""The tables of backup files with their rows really read: to be shown, and as the last test of a file.

A table of which the server counted other rows than there are, or whose pages are not all there, is damaged.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sterna.core.errors import BadData, NeedsOperator, Unsupported
from sterna.core.schema import Table
from sterna.engines.sqlserver.wire.chain import FULL, Chain, LogicalSet, logical_sets
from sterna.engines.sqlserver.wire.database import DatabaseBackup, databases_of
from sterna.engines.sqlserver.wire.faults import Damaged, Fault
from sterna.engines.sqlserver.wire.media import MediaFile

_LOOK = "sterna backup inspect shows what the files hold."
_NAME_ALL = (
    "Name all stripes, and all files of the chain: the full backup, a differential, the logs after it. "
    "--set N takes one of several sets in a file; sterna backup inspect shows them."
)


@dataclass(frozen=True, slots=True)
class Counted:
    """A table, and how many rows it has."""

    database: str
    table: Table
    rows: int
    """-1: they could not be read."""
    trouble: str = ""
    """Why not."""
    note: str = ""
    """What is odd about their number."""

    def as_json(self) -> Mapping[str, Any]:
        """Schema, table, rows, columns, the server's own count, and what is wrong or odd, if anything is."""
        found = {
            "schema": self.table.path[1],
            "table": self.table.path[2],
            "rows": self.rows if self.rows >= 0 else None,
            "rcrows": self.table.rows if self.table.rows >= 0 else None,
            "columns": [column.name for column in self.table.columns],
        }
        told = {"trouble": self.trouble, "note": self.note}
        return found | {name: text for name, text in told.items() if text}


def count_tables(medias: Sequence[MediaFile], set_number: int | None = None) -> Iterator[Counted]:
    """All tables of all databases of which the files hold backups.

    Raises BadData for files that do not give a database, naming what they lack.
    """
    for database in whole_databases(medias, set_number):
        for table in database.tables:
            yield _counted(database, table)


def whole_databases(medias: Sequence[MediaFile], set_number: int | None = None) -> Sequence[DatabaseBackup]:
    """All databases of which the files hold backups. Raises BadData unless there are some and all are complete."""
    databases = databases_of(medias, set_number=set_number)
    if not databases:
        told = "no backup set" if set_number is None else f"no backup set {set_number}"
        raise BadData(f"There is {told} in {', '.join(media.name for media in medias)}.", hint=_LOOK)
    for database in databases:
        if database.problems:
            raise BadData(" ".join(database.problems), hint=_NAME_ALL)
    return databases


def _counted(database: DatabaseBackup, table: Table) -> Counted:
    if table.trouble:
        return Counted(database.name, table, -1, table.trouble)
    try:
        rows = database.count(table.path)
        return Counted(database.name, table, rows, note=database.oddity(table.path, rows))
    except (BadData, Unsupported) as trouble:
        return Counted(database.name, table, -1, trouble.message)


def verify_rows(medias: Sequence[MediaFile], not_checked: list[str]) -> Iterator[Fault]:
    """Of each full backup whose stripes are all there: tables whose pages or rows are not as they should be.

    Differential and log backups have no tables of their own.
    """
    sets, _ = logical_sets(medias)
    for one in sets:
        if one.kind == FULL and not list(one.faults()):
            yield from _verify_set(one, not_checked)


def _verify_set(one: LogicalSet, not_checked: list[str]) -> Iterator[Fault]:
    database = DatabaseBackup(Chain(one.record.database, one))
    place = one.stripes[0].file, one.stripes[0].at
    try:
        tables = database.tables
    except BadData as wrong:
        yield _fault(wrong, place)
        return
    except NeedsOperator as trouble:
        not_checked.append(f"the rows of {one.record.database} in {one}: {trouble.message}")
        return
    not_checked += [f"the catalogue of {one}: {told}" for told in database.miscounted_catalogue()]
    for table in tables:
        if table.trouble:
            not_checked.append(f"the rows of {'.'.join(table.path[1:])} in {one}: {table.trouble}")
            continue
        try:
            told = database.miscounted(table.path)
        except BadData as wrong:
            yield _fault(wrong, place)
            continue
        except NeedsOperator as trouble:
            not_checked.append(f"the rows of {'.'.join(table.path[1:])} in {one}: {trouble.message}")
            continue
        if told:
            yield Fault(*place, told)


def _fault(wrong: BadData, place: tuple[str, int]) -> Fault:
    """What is wrong, at its own place if that is known."""
    return wrong.fault if isinstance(wrong, Damaged) else Fault(*place, wrong.message)
