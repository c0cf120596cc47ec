"""Rows as CSV out of the text of COPY, which the compiled code writes: many times as fast as value by value.

For columns whose text is the same in both, or nearly: what has to be written otherwise, or what COPY refuses, goes
value by value.
"""

import re
from collections.abc import Callable, Iterable, Sequence

from sterna.core.schema import Column, Kind
from sterna.engines.sqlserver.exporting.commas import field
from sterna.engines.sqlserver.wire.copytext import NULL

Convert = Callable[[Sequence[str]], Iterable[str]]
"""The fields of one column, as COPY has them, to fields of CSV."""

_AS_THEY_ARE = (Kind.INTEGER, Kind.DECIMAL, Kind.FLOAT, Kind.DATE, Kind.UUID)
_TEXTS = ("varchar", "nvarchar")
"""Of a limited length: all rows of a page are in memory together."""
_MOST_DIGITS = 6
"""Of a second, in COPY: it rounds the seventh away."""
_TRUTH = {"t": "1", "f": "0", NULL: ""}
_ODD = re.compile('[",\\\\]')
_ESCAPED = re.compile(r"\\(.)")
_MEANT = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def converter(columns: Sequence[Column]) -> Callable[[bytes], bytes] | None:
    """A function from whole lines of COPY to lines of CSV; None if a column has to go value by value."""
    converts = [_convert(column) for column in columns]
    known = [each for each in converts if each is not None]
    if len(known) < len(converts):
        return None

    def convert(data: bytes) -> bytes:
        lines = [line.split("\t") for line in data.decode().split("\n")[:-1]]
        if not lines:
            return b""
        done = [each(fields) for each, fields in zip(known, zip(*lines, strict=True), strict=True)]
        return "".join([f"{','.join(line)}\r\n" for line in zip(*done, strict=True)]).encode()

    return convert


def _convert(column: Column) -> Convert | None:
    kind = column.type.kind
    if kind is Kind.BOOLEAN:
        return lambda fields: map(_TRUTH.__getitem__, fields)
    if kind is Kind.TIMESTAMP and 0 <= column.type.scale <= _MOST_DIGITS:
        return lambda fields: _together(fields).replace(" ", "T").split("\n")
    if kind in _AS_THEY_ARE:
        return lambda fields: _together(fields).split("\n") if NULL in fields else fields
    if kind is Kind.TEXT and column.type.native.partition("(")[0] in _TEXTS and column.type.length > 0:
        return _texts
    return None


def _together(fields: Sequence[str]) -> str:
    """A line for each field; that of NULL is empty. For columns without other backslashes."""
    return "\n".join(fields).replace(NULL, "")


def _texts(fields: Sequence[str]) -> Iterable[str]:
    if "" not in fields and not _ODD.search("\n".join(fields)):
        return fields
    return ["" if each == NULL else field(_unescaped(each)) for each in fields]


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: _MEANT[found[1]], text) if "\\" in text else text
