"""Rows as CSV: RFC 4180 in UTF-8, with a header. NULL is an empty field, empty text is two quotes.

A text of more than 1 MB stands in quotes in any case: it is not held, so nobody knows whether it needs them.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from sterna.core.schema import Column
from sterna.engines.sqlserver.exporting.texts import ToText, Unicode, encoded, hex_of, text_of
from sterna.engines.sqlserver.wire.longs import Long
from sterna.engines.sqlserver.wire.rows import Row

_ROWS = 256
"""Rows that are written together."""
_QUOTED = re.compile('[",\r\n]')


def write_csv(file: BinaryIO, columns: Sequence[Column], rows: Iterable[Row], unicode: Unicode) -> None:
    """A header and all rows, streamed. Raises BadData for text that UTF-8 cannot hold, and what reading raises."""
    write_header(file, columns, unicode)
    write_rows(file, columns, rows, unicode)


def write_header(file: BinaryIO, columns: Sequence[Column], unicode: Unicode) -> None:
    """The columns' names. Raises BadData for one that UTF-8 cannot hold."""
    names = [column.name for column in columns]
    _write(file, [[field(name) for name in names]], names, unicode)


def write_rows(file: BinaryIO, columns: Sequence[Column], rows: Iterable[Row], unicode: Unicode) -> None:
    """All rows, streamed. Raises BadData for text that UTF-8 cannot hold, and what reading raises."""
    texts = [text_of(column) for column in columns]
    names = [column.name for column in columns]

    def lines() -> Iterator[list[str]]:
        """Those without long values; the others are written when it is their turn."""
        for row in rows:
            if not any(type(value) is Long for value in row):
                yield ["" if value is None else field(text(value)) for text, value in zip(texts, row, strict=True)]
                continue
            yield []
            _write_long(file, row, texts, names, unicode)

    for some in _some(lines()):
        _write(file, some, names, unicode)


def _some(lines: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """A few lines at a time; a long one ends them, and so does an empty one, which is left out."""
    while some := list(islice(lines, 1)):
        size = sum(map(len, some[0]))
        while some[-1] and size < 1 << 18 and len(some) < _ROWS and (line := next(lines, None)) is not None:
            some.append(line)
            size += sum(map(len, line))
        if ready := [line for line in some if line]:
            yield ready


def _write_long(file: BinaryIO, row: Row, texts: Sequence[ToText], names: Sequence[str], unicode: Unicode) -> None:
    """A row with values that are not held."""
    for number, value in enumerate(row):
        if number:
            file.write(b",")
        if type(value) is not Long:
            plain = "" if value is None else field(texts[number](value))
            file.write(encoded(plain, names[number], unicode))
        elif value.binary:
            file.writelines(hex_of(value))
        else:
            file.write(b'"')
            for piece in value:
                assert isinstance(piece, str), "what is not binary is text"
                file.write(encoded(piece.replace('"', '""'), names[number], unicode))
            file.write(b'"')
    file.write(b"\r\n")


def field(text: str) -> str:
    """A text as a field, quoted where that is needed."""
    if text and not _QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _write(file: BinaryIO, lines: list[list[str]], names: Sequence[str], unicode: Unicode) -> None:
    try:
        data = ("\r\n".join(map(",".join, lines)) + "\r\n").encode()
    except UnicodeEncodeError:
        clean = [[unicode.clean(text, name) for text, name in zip(line, names, strict=True)] for line in lines]
        data = ("\r\n".join(map(",".join, clean)) + "\r\n").encode()
    file.write(data)
