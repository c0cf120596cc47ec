"""A layout in the form that the compiled code reads: eighteen bytes for each column, then tables of code pages."""

import struct

from sterna.engines.sqlserver.wire import collations, types
from sterna.engines.sqlserver.wire.records import Layout, Physical, width

_HEAD = struct.Struct("<HH")
"""How many columns; whether records are compressed."""
_COLUMN = struct.Struct("<BBBBHhHHHHH")
"""Operation, scale, position of a bit, 0, table of the code page, offset, NULL bit, bytes, characters to pad to,
bytes of the fixed form, id for the sparse vector."""
_NO_TABLE = 0xFFFF
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
    head = _HEAD.pack(len(layout.columns), layout.compression)
    return head + columns + b"".join(_table(page) for page in tables)


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


def _table(page: int) -> bytes:
    """For each byte how many bytes it becomes in escaped UTF-8, and these; 0: left to the Python code."""
    if page in collations.SINGLE_BYTE:
        entries = [character.encode() for character in collations.single_byte(page)]
    else:
        entries = [bytes([byte]) if byte < 0x80 else b"" for byte in range(256)]
    entries[0] = b""
    for byte, escaped in _ESCAPES.items():
        entries[byte] = escaped
    return b"".join(bytes([len(entry)]) + entry.ljust(3, b"\0") for entry in entries)
