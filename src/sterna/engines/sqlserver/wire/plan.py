"""A layout in the form that the compiled code reads: eighteen bytes for each column, then tables of code pages.

A table says for each byte how many bytes of escaped UTF-8 it becomes, and which. Then comes for each table the
number of its table of pairs, and these tables.
"""

import struct
from functools import cache

from sterna.engines.sqlserver.wire import collations, types
from sterna.engines.sqlserver.wire.records import Layout, Physical, width

_HEAD = struct.Struct("<HHH")
"""How many columns; whether records are compressed; how many tables."""
_COLUMN = struct.Struct("<BBBBHhHHHHH")
"""Operation, scale, position of a bit, 0, table of the code page, offset, NULL bit, bytes, characters to pad to,
bytes of the fixed form, id for the sparse vector."""
_NO_TABLE = 0xFFFF
_LEADS, _OF_UTF8 = b"\xff\0\0\0", b"\xfe\0\0\0"
"""In a table: the byte begins a pair; begins a character of UTF-8."""
_FALLBACK, _DECIMAL, _NARROW, _WIDE, _BINARY, _ROWVERSION = 0, 6, 17, 18, 19, 21
_OPERATIONS = {
    types.TINYINT: 1, types.SMALLINT: 2, types.INT: 3, types.BIGINT: 4, types.BIT: 5, types.DECIMAL: _DECIMAL,
    types.NUMERIC: _DECIMAL, types.MONEY: 7, types.SMALLMONEY: 8, types.FLOAT: 9, types.REAL: 10, types.DATE: 11,
    types.TIME: 12, types.DATETIME2: 13, types.DATETIMEOFFSET: 14, types.DATETIME: 15, types.SMALLDATETIME: 16,
    types.CHAR: _NARROW, types.VARCHAR: _NARROW, types.NCHAR: _WIDE, types.NVARCHAR: _WIDE, types.BINARY: _BINARY,
    types.VARBINARY: _BINARY, types.UUID_TYPE: 20, types.ROWVERSION: _ROWVERSION,
}  # fmt: skip
_ESCAPES = {8: b"\\b", 9: b"\\t", 10: b"\\n", 11: b"\\v", 12: b"\\f", 13: b"\\r", 92: b"\\\\"}


def compiled(layout: Layout) -> bytes | None:
    """None: the layout has numbers that do not fit, so that all is left to the Python code."""
    tables: dict[int, int] = {}
    try:
        columns = b"".join(_column(column, tables, layout.compression) for column in layout.columns)
    except struct.error:
        return None
    head = _HEAD.pack(len(layout.columns), layout.compression, len(tables))
    return head + columns + b"".join(_table(page) for page in tables) + _pairs(list(tables))


def _column(column: Physical, tables: dict[int, int], compression: int) -> bytes:
    operation = _OPERATIONS.get(column.xtype, _FALLBACK)
    if operation == _DECIMAL and column.offset < 0 and not compression:
        operation = _FALLBACK  # the vardecimal of 2005
    table, pad, fixed = _NO_TABLE, 0, 0
    if operation == _NARROW:
        page = collations.code_page(column.collation)
        table = tables.setdefault(page, len(tables))
    if column.xtype in (types.CHAR, types.NCHAR):
        pad = column.length // (2 if column.xtype == types.NCHAR else 1)
    if operation and (column.xtype not in _VARYING or (column.offset > 0 and not compression)):
        fixed = width(column)
    place = (column.bitpos, 0, table, column.offset, column.nullbit)
    return _COLUMN.pack(operation, column.scale, *place, max(column.length, 0), pad, fixed, column.column_id)


_VARYING = (types.VARCHAR, types.NVARCHAR, types.VARBINARY)


@cache
def _table(page: int) -> bytes:
    entries = [_entry(page, byte) for byte in range(256)]
    entries[0] = bytes(4)  # left to the Python code
    for byte, escaped in _ESCAPES.items():
        entries[byte] = _packed(escaped)
    return b"".join(entries)


def _entry(page: int, byte: int) -> bytes:
    if byte < 0x80:
        return _packed(bytes([byte]))
    if page == collations.UTF8_PAGE:
        return _OF_UTF8
    if page in collations.SINGLE_BYTE:
        return _packed(collations.single_byte(page)[byte].encode())
    try:
        return _packed(bytes([byte]).decode(collations.DOUBLE[page]).encode())
    except UnicodeDecodeError:
        return _LEADS


def _packed(text: bytes) -> bytes:
    return bytes([len(text)]) + text.ljust(3, b"\0")


def _pairs(pages: list[int]) -> bytes:
    with_pairs = [page for page in pages if page in collations.DOUBLE]
    numbers = [with_pairs.index(page) if page in with_pairs else _NO_TABLE for page in pages]
    return struct.pack(f"<{len(numbers)}H", *numbers) + b"".join(_pair_table(page) for page in with_pairs)


@cache
def _pair_table(page: int) -> bytes:
    """For each pair of bytes; nothing for those that are none."""
    leads = {byte for byte in range(0x80, 256) if _entry(page, byte) == _LEADS}
    return b"".join(_row(page, lead) if lead in leads else bytes(4 * 256) for lead in range(256))


def _row(page: int, lead: int) -> bytes:
    return b"".join(_packed(collations.pair(page, lead, trail).encode()) for trail in range(256))
