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

_BASE_TEXTS = 255 << 48 | base.VALUES << 16
"""The unit of texts of the catalogue that are too long for their rows."""
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
    owners = {unit.id: (one.id, unit) for one in tables for held in one.rowsets for unit in held.units.values()}
    by_object = {_object(number): owner for number, owner in owners.items()}
    mine: dict[int, str] = {}
    everything, notes = "", []
    for one in lost:
        exact = owners.get(one.unit)
        owner = exact or by_object.get(_object(one.unit))
        if one.context == redo.PFS:
            everything = everything or _NEEDS + one.why
        elif exact is None and _of_base_table(one):
            if _base_needs(one, catalog, pages):
                everything = everything or f"{_NEEDS}its catalogue is not up to date: {one.why}"
        elif exact is None and one.unit == _BASE_TEXTS:
            notes.append(f"A text of the catalogue may be older than the rest: {one.why}")
        elif owner and ((exact and one.context == redo.IAM) or _in_use(one, owner[1], pages)):
            mine.setdefault(owner[0], _NEEDS + one.why)
    return Affected(mine, everything, tuple(notes))


def _object(unit: int) -> int:
    """What a page's header has of its unit. Databases that came from SQL Server 2000 have nothing else right."""
    return unit >> 16 & 0xFFFFFFFF


def _of_base_table(one: Lost) -> bool:
    return _object(one.unit) in base.FIELDS and one.unit >> 48 == 1


def _base_needs(one: Lost, catalog: Catalog, pages: Pages) -> bool:
    unit = _base_unit(catalog, _object(one.unit))
    return unit is None or one.context == redo.IAM or _in_use(one, unit, pages)


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
