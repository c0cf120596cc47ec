"""What kind of value a part of an expression has, and how one kind becomes another.

The languages differ by it: ``+`` joins texts in T-SQL, a bit is compared with a number, a number may stand for a
date. Only what was proven to mean the same has a counterpart here.
"""

from dataclasses import dataclass
from enum import StrEnum

from sterna.core.schema import Column, Kind
from sterna.engines.postgres.foreign.moments import moment, of_days
from sterna.engines.postgres.foreign.tsql import Literal, TypeName, Untranslatable
from sterna.engines.postgres.foreign.types import type_of
from sterna.engines.postgres.names import literal


class Family(StrEnum):
    INTEGER = "a whole number"
    DECIMAL = "a decimal"
    FLOAT = "a floating-point number"
    TEXT = "a text"
    PADDED = "a padded text"
    BIT = "a bit"
    DATE = "a date"
    TIME = "a time of day"
    TIMESTAMP = "a date and time"
    INSTANT = "an instant"
    UUID = "a uniqueidentifier"
    BINARY = "bytes"
    NULL = "NULL"
    CONDITION = "a condition"


NUMBERS = (Family.INTEGER, Family.DECIMAL, Family.FLOAT)
TEXTS = (Family.TEXT, Family.PADDED)
DATES = (Family.DATE, Family.TIMESTAMP)
_OF_KIND = {
    Kind.BOOLEAN: Family.BIT,
    Kind.INTEGER: Family.INTEGER,
    Kind.DECIMAL: Family.DECIMAL,
    Kind.FLOAT: Family.FLOAT,
    Kind.BINARY: Family.BINARY,
    Kind.DATE: Family.DATE,
    Kind.TIME: Family.TIME,
    Kind.TIMESTAMP: Family.TIMESTAMP,
    Kind.TIMESTAMP_ZONED: Family.INSTANT,
    Kind.UUID: Family.UUID,
}


@dataclass(frozen=True, slots=True)
class Said:
    """A part of an expression in PostgreSQL's language."""

    sql: str
    family: Family
    literal: Literal | None = None
    """Where it is one."""
    width: int = 0
    """Letters that a text may have; 0: not known, or any number of them."""
    native: str = ""
    """Of a number that reckons in its own way: ``real`` or ``money``."""


@dataclass
class Notes:
    """What a person, or the maker of a table, should know of a translation."""

    compares_text: bool = False
    """The source may compare without regard to case, accents or blanks at the end."""
    may_fail: bool = False
    """There are values for which it is an error."""
    inexact: bool = False
    """It may give other digits."""
    reckons: bool = False
    """With decimals."""


def family_of(column: Column) -> Family:
    """Raises Untranslatable for one whose values no expression knows."""
    if column.type.kind is Kind.TEXT:
        return Family.PADDED if type_of(column.type).startswith("char(") else Family.TEXT
    if column.type.kind not in _OF_KIND:
        raise Untranslatable(f"{column.type.native} has no counterpart that expressions know")
    return _OF_KIND[column.type.kind]


def literal_said(node: Literal) -> Said:
    """What is written out, in PostgreSQL's language."""
    match node.kind:
        case "text":
            return Said(literal(node.text), Family.TEXT, node)
        case "integer":
            return Said(node.text, Family.INTEGER if abs(int(node.text)) < 1 << 63 else Family.DECIMAL, node)
        case "decimal":
            return Said(node.text, Family.DECIMAL, node)
        case "float":
            return Said(f"{node.text}::double precision", Family.FLOAT, node)
        case "money":
            return Said(f"{node.text}::numeric(19,4)", Family.DECIMAL, node, native="money")
        case "binary":
            return Said(f"{literal(chr(92) + 'x' + node.text)}::bytea", Family.BINARY, node)
    return Said("NULL", Family.NULL)


def written(node: Literal, family: Family, style: int) -> str:
    """A literal as one of another family; empty: that is not known."""
    text = node.text.strip() if node.kind == "text" else node.text
    number = node.kind in ("integer", "decimal", "float", "money") or _is_number(text)
    if family in TEXTS and node.kind == "integer":
        return literal(node.text)
    if family in NUMBERS and number and node.kind != "binary":
        whole = family is Family.INTEGER and ("." in text or "e" in text.lower())
        return f"trunc({text}::numeric)::bigint" if whole else text
    if family is Family.BIT and node.kind != "binary":
        if text.lower() in ("true", "false"):
            return text.lower()
        return ("true" if float(text) else "false") if number else ""
    if family in (*DATES, Family.TIME, Family.INSTANT):
        return _written_moment(node, family, style)
    if family is Family.UUID and node.kind == "text" and len(text) in (36, 38):
        return f"{literal(text)}::uuid"
    return ""


def _written_moment(node: Literal, family: Family, style: int) -> str:
    if node.kind == "binary":
        return ""
    shown = moment(node.text, style) if node.kind == "text" else of_days(node.text)
    if family is Family.TIME:
        return f"{literal(shown.partition(' ')[2] or '00:00:00')}::time"
    if family is Family.DATE:
        return f"{literal(shown.partition(' ')[0])}::date"
    sql = f"{literal(shown)}::timestamp"
    return f"({sql} AT TIME ZONE 'UTC')" if family is Family.INSTANT else sql


def _is_number(text: str) -> bool:
    """Whether a text is one that T-SQL turns into a number."""
    return text.isascii() and text.removeprefix("-").replace(".", "", 1).isdecimal()


def converted(value: Said, family: Family) -> str:
    """A value as one of another family; empty: that is not known."""
    sql = value.sql
    match value.family, family:
        case Family.BIT, Family.INTEGER | Family.DECIMAL | Family.FLOAT:
            return f"({sql})::integer"
        case Family.INTEGER | Family.DECIMAL | Family.FLOAT, Family.BIT:
            return f"({sql} <> 0)"
        case Family.INTEGER, Family.DECIMAL | Family.FLOAT:
            return sql
        case Family.DECIMAL, Family.FLOAT:
            return f"({sql})::double precision"
        case Family.DECIMAL | Family.FLOAT, Family.INTEGER:
            return f"trunc({sql})::bigint"
        case Family.TIMESTAMP, Family.DATE:
            return f"({sql})::date"
        case Family.TIMESTAMP, Family.TIME:
            return f"({sql})::time"
        case Family.DATE, Family.TIMESTAMP:
            return f"({sql})::timestamp"
        case Family.TIMESTAMP | Family.DATE, Family.INSTANT:
            return f"(({sql})::timestamp AT TIME ZONE 'UTC')"
        case Family.INTEGER, Family.TEXT | Family.PADDED:
            return f"({sql})::text"
        case Family.UUID, Family.TEXT | Family.PADDED:
            return f"upper(({sql})::text)"
    return ""


def unpadded(value: Said) -> str:
    """A text as ``||`` takes it: a padded one would lose its blanks."""
    return f"rpad({value.sql}, {value.width})" if value.family is Family.PADDED and value.width else value.sql


STYLES = {
    101: "MM/DD/YYYY",
    102: "YYYY.MM.DD",
    103: "DD/MM/YYYY",
    104: "DD.MM.YYYY",
    105: "DD-MM-YYYY",
    108: "HH24:MI:SS",
    110: "MM-DD-YYYY",
    111: "YYYY/MM/DD",
    112: "YYYYMMDD",
    120: "YYYY-MM-DD HH24:MI:SS",
    121: "YYYY-MM-DD HH24:MI:SS.MS",
    23: "YYYY-MM-DD",
}


SHORT_STYLES = (1, 2, 3, 4, 5, 10, 11, 12)
"""The same days with two digits of the year."""
TOO_SHORT = [f"{kind}({length})" for kind in ("char", "varchar") for length in range(10)]
"""Texts that might hold a part of a day alone."""


def styled(value: Said, style: int) -> str:
    """SQL for a date as a text in a style of CONVERT. Raises Untranslatable."""
    if value.literal or style not in STYLES or (value.family is Family.DATE and "HH24" in STYLES[style]):
        raise Untranslatable(f"a date as a text of style {style}")
    return f"to_char({value.sql}, '{STYLES[style]}')"


_TYPES = {
    "tinyint": (Family.INTEGER, "smallint"),
    "smallint": (Family.INTEGER, "smallint"),
    "int": (Family.INTEGER, "integer"),
    "integer": (Family.INTEGER, "integer"),
    "bigint": (Family.INTEGER, "bigint"),
    "bit": (Family.BIT, "boolean"),
    "money": (Family.DECIMAL, "numeric(19,4)"),
    "smallmoney": (Family.DECIMAL, "numeric(10,4)"),
    "float": (Family.FLOAT, "double precision"),
    "real": (Family.FLOAT, "real"),
    "date": (Family.DATE, "date"),
    "datetime": (Family.TIMESTAMP, "timestamp(3)"),
    "smalldatetime": (Family.TIMESTAMP, "timestamp(0)"),
    "uniqueidentifier": (Family.UUID, "uuid"),
}
_LONG = {"varchar": "varchar", "nvarchar": "varchar", "char": "char", "nchar": "char"}
_FRACTIONS = {"datetime2": (Family.TIMESTAMP, "timestamp"), "time": (Family.TIME, "time")}


def named_type(named: TypeName) -> tuple[Family, str, int]:
    """Its family, its name in PostgreSQL, and the width of a padded text. Raises Untranslatable."""
    if named.name in _TYPES and (not named.numbers or named.name == "float"):
        return *_TYPES[named.name], 0
    if named.name in ("decimal", "numeric", "dec"):
        precision, scale = (*named.numbers, 0)[:2] if named.numbers else (18, 0)
        return Family.DECIMAL, f"numeric({precision},{scale})", 0
    if named.name in _LONG:
        length = named.numbers[0] if named.numbers else 30
        kind = _LONG[named.name]
        padded = kind == "char"
        return Family.PADDED if padded else Family.TEXT, "text" if length < 0 else f"{kind}({length})", length
    if named.name in _FRACTIONS:
        family, name = _FRACTIONS[named.name]
        return family, f"{name}({min(named.numbers[0] if named.numbers else 7, 6)})", 0
    raise Untranslatable(f"the type {named.name[:128]} in an expression")
