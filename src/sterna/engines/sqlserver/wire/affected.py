"""Which tables suffer from pages that the log could not bring up to date."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import base, redo, units
from sterna.engines.sqlserver.wire.base import Pages
from sterna.engines.sqlserver.wire.catalog import Catalog, Unit
from sterna.engines.sqlserver.wire.definitions import Found
from sterna.engines.sqlserver.wire.log import Lost
from sterna.engines.sqlserver.wire.units import Span

SYSTEM_OBJECTS = 100
"""Base tables have smaller numbers."""
_BASE_INDEXES = (0, 1)
_BASE_TEXTS = 255
_NEEDS = "SQL Server is needed to read it: "


@dataclass(frozen=True, slots=True)
class Affected:
    """What is wrong, told."""

    tables: Mapping[int, str]
    """By the table's id: why it needs SQL Server."""
    all: str = ""
    """Why every table does; empty: not every one."""
    notes: tuple[str, ...] = ()


def affected(lost: Sequence[Lost], catalog: Catalog, tables: Iterable[Found], pages: Pages) -> Affected:
    """Pages that are no longer in use, and those of indexes, are of no account."""
    owners = {unit.id: (one.id, unit) for one in tables for set_ in one.rowsets for unit in set_.units.values()}
    by_object = {number >> 16 & 0xFFFFFFFF: owner for number, owner in owners.items()}
    mine: dict[int, str] = {}
    everything, notes = "", []
    for one in lost:
        if one.context == redo.PFS:
            everything = everything or _NEEDS + one.why
            continue
        number = one.unit >> 16 & 0xFFFFFFFF
        owner = owners.get(one.unit) or (by_object.get(number) if number >= SYSTEM_OBJECTS else None)
        if owner:
            if one.context == redo.IAM or _in_use(one, owner[1], pages):
                mine.setdefault(owner[0], _NEEDS + one.why)
        elif number in base.FIELDS and one.unit >> 48 in _BASE_INDEXES:
            unit = _base_unit(catalog, number)
            if unit is None or one.context == redo.IAM or _in_use(one, unit, pages):
                everything = everything or f"{_NEEDS}its catalogue is not up to date: {one.why}"
        elif number == base.VALUES and one.unit >> 48 == _BASE_TEXTS:
            notes.append(f"A text of the catalogue may be older than the rest: {one.why}")
    return Affected(mine, everything, tuple(notes))


def _base_unit(catalog: Catalog, table: int) -> Unit | None:
    rowsets = catalog.rowsets.get(table, ())
    return next((unit for one in rowsets if one.index <= 1 for unit in one.units.values() if unit.kind == 1), None)


def _in_use(one: Lost, unit: Unit, pages: Pages) -> bool:
    """Whether the unit has the page; if that cannot be known, it has."""
    file, page = one.place
    try:
        return page in units.allocation(pages, unit.first_iam).within(Span(file, page, page + 1))
    except BadData:
        return True
