"""Values and names as T-SQL writes them, so that they mean the same in any session, by any tool.

Tools cut scripts at lines that say ``GO`` and put variables in for ``$(name)``, and SQL Server takes a backslash
at the end of a line away together with that end: text with such things is written in pieces, or as its bytes.
"""

import math
import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import cast

from sterna.core.errors import Unsupported
from sterna.core.schema import Column, Kind
from sterna.engines.sqlserver.exporting.texts import binary_text, moment_text
from sterna.engines.sqlserver.wire.coltypes import describe
from sterna.engines.sqlserver.wire.floats import double_text, real_text
from sterna.engines.sqlserver.wire.variant import Variant

Write = Callable[[object], str]

NULL = "NULL"
_ODD = re.compile("[\0-\x08\x0a-\x1f\x7f\x85\u2028\u2029\ud800-\udfff]|\\$\\(")
_ENDS = re.compile("(\r\n|\r|\n)")
_MOST_PIECES = 100
"""Expressions that are nested too deeply are refused by the server."""
_NEWLINES = {"\r\n": "NCHAR(13) + NCHAR(10)", "\r": "NCHAR(13)", "\n": "NCHAR(10)"}
_MEASURED = re.compile(r"(-?[\d.]+(?:e[+-]?\d+)?) (-?[\d.]+(?:e[+-]?\d+)?) (-?[\d.]+(?:e[+-]?\d+)?)(?=[,)])", re.I)
_REFERENCE = re.compile(r"SRID=(-?\d+);")


def quoted(name: str) -> str:
    """``[name]``. Raises Unsupported for a name that no script can hold."""
    if _ODD.search(name):
        raise Unsupported(f"the name {name!r} cannot be written into a script of T-SQL")
    return f"[{name.replace(']', ']]')}]"


def text(value: str) -> str:
    """A text of any length as an expression."""
    if not _ODD.search(value):
        return _plain(value)
    pieces = _ENDS.split(value)
    if len(pieces) > _MOST_PIECES or any(_ODD.search(piece) for piece in pieces[::2]):
        return f"CONVERT(nvarchar(max), 0x{value.encode('utf-16-le', 'surrogatepass').hex().upper()})"
    written = [_NEWLINES[piece] if n % 2 else _plain(piece) for n, piece in enumerate(pieces) if piece]
    return " + ".join(["CAST(N'' AS nvarchar(max))", *written])


def _plain(value: str) -> str:
    return f"N'{value.replace(chr(39), chr(39) * 2)}'"


def literal(column: Column) -> Write:
    """A function from a value of this column, not None, to an expression of T-SQL.

    It raises ValueError for a value that cannot be written.
    """
    kind, native = column.type.kind, column.type.native
    if kind is Kind.FLOAT:
        return lambda value: _float(cast(float, value), column.type.bits)
    if kind is Kind.GEOMETRY:
        return lambda value: _spatial(cast(str, value), native)
    if native == "hierarchyid":
        return lambda value: f"CAST({text(cast(str, value))} AS hierarchyid)"
    if native == "datetime":
        return lambda value: f"'{_milliseconds(moment_text(value))}'"
    return _LITERALS.get(kind, _guess)


def _float(value: float, bits: int) -> str:
    if not math.isfinite(value):
        raise ValueError(f"{value} is a number that SQL Server takes from nobody")
    written = real_text(value) if bits == 32 else double_text(value)
    return written if "e" in written else f"{written}e0"


def _milliseconds(moment: str) -> str:
    """``datetime`` reads three digits of a second."""
    whole, _, part = moment.partition(".")
    return f"{whole}.{part.ljust(3, '0')}"


def _spatial(value: str, native: str) -> str:
    """From well-known text; SQL Server writes a measure without a height behind NULL."""
    found = _REFERENCE.match(value)
    shape = value[found.end() :] if found else value
    if " M (" in shape:
        shape = _MEASURED.sub(r"\1 \2 NULL \3", shape)
    shape = re.sub(r" Z?M? ?(?=\(|EMPTY)", " ", shape)
    return f"{native}::STGeomFromText({text(shape)}, {found[1] if found else 0})"


def _variant(value: object) -> str:
    """With the type that it carries."""
    column, plain = cast(Variant, value)
    kind = describe(column.xtype, column.utype, max(column.length, 1), column.precision, column.scale)
    if kind.kind is Kind.TEXT and not plain:
        return f"CAST(N'' AS {kind.native})"
    return f"CAST({literal(Column('', kind))(plain)} AS {kind.native})"


def _guess(value: object) -> str:
    return binary_text(value) if isinstance(value, bytes) else text(str(value))


_LITERALS: dict[Kind, Write] = {
    Kind.BOOLEAN: lambda value: "1" if value else "0",
    Kind.INTEGER: str,
    Kind.DECIMAL: lambda value: f"{cast(Decimal, value):f}",
    Kind.TEXT: lambda value: text(cast(str, value)),
    Kind.BINARY: binary_text,
    Kind.DATE: lambda value: f"'{cast(date, value).isoformat()}'",
    Kind.TIME: lambda value: f"'{value}'",
    Kind.TIMESTAMP: lambda value: f"'{moment_text(value)}'",
    Kind.TIMESTAMP_ZONED: lambda value: f"'{moment_text(value)}'",
    Kind.UUID: lambda value: f"'{value}'",
    Kind.XML: lambda value: f"CONVERT(xml, {text(cast(str, value))}, 1)",
    Kind.VARIANT: _variant,
    Kind.OTHER: binary_text,
}
