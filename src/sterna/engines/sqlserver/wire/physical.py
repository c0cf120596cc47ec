"""How the rows of a table hold its columns, by what the catalogue says."""

import struct
from collections.abc import Sequence
from decimal import Context, Decimal

from sterna.engines.sqlserver.wire.base import PAGE, Row
from sterna.engines.sqlserver.wire.catalog import DECIMALS, TIMES, Place
from sterna.engines.sqlserver.wire.records import Physical
from sterna.engines.sqlserver.wire.types import (
    BINARY,
    CHAR,
    CLR,
    IMAGE,
    JSON,
    NAMES,
    NCHAR,
    ROWVERSION,
    VARBINARY,
    VARIANT,
    VECTOR,
    XML,
)
from sterna.engines.sqlserver.wire.variant import read_variant

NOT_NULL, COMPUTED = 0x1, 0x10
"""Flags in a column's status."""
_FAULTS = (ValueError, struct.error, IndexError, OverflowError, ArithmeticError, LookupError)
_SEALABLE = frozenset(NAMES) - {VARBINARY, BINARY, IMAGE, ROWVERSION, CLR, XML, JSON, VECTOR, VARIANT}
"""Types whose values Always Encrypted makes bytes of."""
_MOST_COLUMNS = 30_000
"""A table with sparse columns may have so many."""


def is_stored(column: Row, places: Sequence[dict[int, Place]]) -> bool:
    """Whether rows hold the column: a computed one only if it is persisted."""
    return not column["status"] & COMPUTED or any(column["colid"] in here for here in places)


def held_as(column: Row, places: Sequence[dict[int, Place]]) -> tuple[int, int]:
    """The type and length with which rows hold a column; its own if no row does."""
    here = next((each[column["colid"]] for each in places if column["colid"] in each), None)
    return (here.xtype, here.length) if here else (column["xtype"], column["length"])


def is_sealed(column: Row, held: int) -> bool:
    """Whether rows hold bytes in place of a value of another type: Always Encrypted."""
    return held == VARBINARY and column["xtype"] in _SEALABLE


def default_of(data: bytes, place: Place) -> object:
    """The value as the column holds it; None: it cannot be read, or is of another type than the column."""
    try:
        found = read_variant(_filled(data, place))
        if found.column.xtype != place.xtype:
            return None
        if isinstance(found.value, Decimal) and place.xtype in DECIMALS:
            return _scaled(found.value, place.scale)
        return found.value
    except _FAULTS:
        return None


_FILLERS = {CHAR: (8, b" "), NCHAR: (8, b" \0"), BINARY: (4, b"\0")}
"""For types of a fixed length: bytes of a variant before the value, and what makes the value as long as it is."""


def _filled(data: bytes, place: Place) -> bytes:
    head, filler = _FILLERS.get(place.xtype, (0, b""))
    if not filler or data[:1] != bytes((place.xtype,)):
        return data
    return data + filler * ((head + place.length - len(data)) // len(filler))


def _scaled(value: Decimal, scale: int) -> Decimal | None:
    """With the digits of the column; None: it has more."""
    scaled = value.quantize(Decimal(1).scaleb(-scale), context=Context(prec=80))
    return scaled if scaled == value else None


def physical_of(row: Row, place: Place, default: object, collation: int) -> Physical:
    """``collation``: of the database, which text without one of its own has."""
    return Physical(
        row.text("name"),
        place.xtype,
        place.length if place.length else row["length"],
        place.precision or row["prec"],
        place.scale if place.xtype in DECIMALS else place.scale or row["scale"],
        row["collationid"] or place.collation or collation,
        place.offset,
        place.nullbit,
        place.bitpos,
        row["status"],
        row["utype"],
        not row["status"] & NOT_NULL,
        row["colid"],
        default,
    )


def can_be(place: Place) -> bool:
    """Whether a record can hold a column like that."""
    return (
        -_MOST_COLUMNS <= place.offset < PAGE
        and place.nullbit <= _MOST_COLUMNS
        and place.bitpos < 8
        and (place.xtype not in DECIMALS or place.scale <= place.precision <= 38)
        and (place.xtype not in TIMES or place.scale <= 7)
    )
