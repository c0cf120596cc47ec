"""Which types of PostgreSQL hold what a source of another kind has.

XML becomes text: PostgreSQL's own ``xml`` refuses documents that others take (with a document type, or several
roots beside text), is not in every build, and would keep the text as it is anyway.
"""

from sterna.core.schema import Column, Kind, Type

LONGEST_TEXT = 10_485_760
"""Characters that ``varchar(n)`` may name (``MaxAttrSize`` of PostgreSQL)."""
DIGITS = 6
"""Of a second, that PostgreSQL keeps."""
MOST_PRECISION = 1000
"""Digits that ``numeric(p,s)`` may name."""
_INTEGERS = {8: "smallint", 16: "smallint", 32: "integer", 64: "bigint"}
_PLAIN = {
    Kind.BOOLEAN: "boolean",
    Kind.BINARY: "bytea",
    Kind.DATE: "date",
    Kind.UUID: "uuid",
    Kind.XML: "text",
    Kind.JSON: "json",
    Kind.VARIANT: "text",
    Kind.GEOMETRY: "text",
}
_TIMES = {Kind.TIME: "time", Kind.TIMESTAMP: "timestamp", Kind.TIMESTAMP_ZONED: "timestamptz"}


def type_of(type: Type) -> str:
    """The type in PostgreSQL's words: ``numeric(19,4)``."""
    match type.kind:
        case Kind.INTEGER:
            return _INTEGERS.get(type.bits, "bigint")
        case Kind.DECIMAL:
            named = 0 < type.precision <= MOST_PRECISION
            return f"numeric({type.precision},{type.scale})" if named else "numeric"
        case Kind.FLOAT:
            return "real" if type.bits == 32 else "double precision"
        case Kind.TEXT:
            return _text(type)
        case Kind.TIME | Kind.TIMESTAMP | Kind.TIMESTAMP_ZONED:
            return f"{_TIMES[type.kind]}({min(type.scale, DIGITS)})"
        case Kind.OTHER:
            return "text" if type.native.lower().startswith("hierarchyid") else "bytea"
        case kind:
            return _PLAIN[kind]


def _text(type: Type) -> str:
    if not 0 < type.length <= LONGEST_TEXT:
        return "text"
    return f"char({type.length})" if type.fixed else f"varchar({type.length})"


_BYTES = {"smallint": 2, "integer": 4, "real": 4, "boolean": 1, "uuid": 16, "date": 4}


def longest(column: Column) -> int:
    """The most bytes that a value takes, about; of one without a limit, more than an index can hold."""
    kind = type_of(column.type)
    if column.type.kind is Kind.DECIMAL:
        return 8 + (column.type.precision or MOST_PRECISION) // 2
    if column.type.kind in (Kind.TEXT, Kind.BINARY) and column.type.length > 0:
        return 4 + column.type.length * (1 if column.type.kind is Kind.BINARY else 3)
    return _UNLIMITED if kind in ("text", "bytea", "json", "numeric") else _BYTES.get(kind, 8)


_UNLIMITED = 1 << 30


def loses_digits(column: Column) -> bool:
    """Whether the column has more digits of a second than PostgreSQL keeps."""
    return column.type.kind in _TIMES and column.type.scale > DIGITS


def numbers_changes(column: Column) -> bool:
    """Whether the source itself gives the column a new value with each change (``rowversion``).

    Nobody writes such a column, so that it must not be NOT NULL where nothing fills it.
    """
    return column.type.kind is Kind.BINARY and column.type.native.lower() in ("rowversion", "timestamp")


def changed(column: Column) -> str:
    """What a person should know about the way a type was changed; empty: its values mean the same."""
    if numbers_changes(column):
        return "bytes that stay as they are, and NULL in new rows, as nothing in PostgreSQL numbers changes"
    match column.type.kind:
        case Kind.XML:
            return "text, as PostgreSQL's xml does not take every document"
        case Kind.VARIANT:
            return "text, without the type of each value"
        case Kind.GEOMETRY:
            return "text, as well-known text"
        case Kind.TIMESTAMP_ZONED:
            return "timestamptz: the instant stays, the offset that it was given with does not"
        case Kind.OTHER:
            return f"{type_of(column.type)}, as PostgreSQL has no such type"
        case Kind.TEXT if column.type.native.lower() == "hierarchyid":
            return "text, as its path"
        case _:
            return ""
