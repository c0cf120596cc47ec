"""What a single row of the catalogue says."""

from collections.abc import Sequence

from sterna.core.schema import Identity
from sterna.engines.sqlserver.wire.base import Row
from sterna.engines.sqlserver.wire.catalog import DECIMALS

INCLUDED = 0x10
DISABLED, NOT_TRUSTED = 0x100, 0x400
NEVER_USED = 1


def in_key(row: Row) -> bool:
    """Whether a column of an index is part of its key, and not only carried along."""
    return not row["status"] & INCLUDED


def by_name(rows: Sequence[Row], kind: bytes) -> list[Row]:
    """The objects of one kind."""
    return sorted((row for row in rows if row.raw("type") == kind), key=lambda row: row.text("name"))


def enabled(row: Row) -> bool:
    """Whether the server holds rows to a rule."""
    return not row["status"] & DISABLED


def trusted(row: Row) -> bool:
    """Whether the server knows that all rows keep a rule."""
    return not row["status"] & NOT_TRUSTED


def referenced(references: Sequence[Row], kind: int, names: dict[int, str]) -> tuple[str, ...]:
    """The columns of a foreign key, of one side of it, in their order."""
    rows = sorted((row for row in references if row["class"] == kind), key=lambda row: row["depsubid"])
    return tuple(names.get(row["indepsubid"], "") for row in rows)


def identity(row: Row) -> Identity | None:
    """Last value, increment and seed, each as wide as the column, and a flag."""
    data = row.raw("idtval")
    width = (len(data) - 1) // 3
    if width <= 0:
        return None
    last, increment, seed = (_number(data[at : at + width], row["xtype"]) for at in range(0, 3 * width, width))
    return Identity(seed, increment, seed if data[-1] & NEVER_USED else last + increment)


def _number(data: bytes, xtype: int) -> int:
    if xtype in DECIMALS:
        return int.from_bytes(data[1:], "little") * (1 if data[0] else -1)
    return int.from_bytes(data, "little", signed=xtype != 48)
