"""Rows as CSV: RFC 4180 in UTF-8, with a header. NULL is an empty field, empty text is two quotes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import BinaryIO

from sterna.core.schema import Column
from sterna.engines.sqlserver.exporting.texts import Unicode, text_of
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
    lines = (
        ["" if value is None else field(text(value)) for text, value in zip(texts, row, strict=True)]
        for row in rows
    )
    for some in _some(lines):
        _write(file, some, names, unicode)


def _some(lines: Iterator[list[str]]) -> Iterator[list[list[str]]]:
    """A few lines at a time; a long one ends them."""
    while some := list(islice(lines, 1)):
        size = sum(map(len, some[0]))
        while size < 1 << 18 and len(some) < _ROWS and (line := next(lines, None)) is not None:
            some.append(line)
            size += sum(map(len, line))
        yield some


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
