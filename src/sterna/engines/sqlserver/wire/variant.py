"""sql_variant: a value that carries its own type.

u8 type, u8 version 1, properties (decimal: precision, scale; times: scale; characters: u16 most bytes, u32
collation; binary: u16 most bytes), then the value as a column of that type holds it.
"""

import struct
from typing import NamedTuple

from sterna.engines.sqlserver.wire import types
from sterna.engines.sqlserver.wire.records import Physical


class Variant(NamedTuple):
    """A value, and the type that it has."""

    column: Physical
    value: object


def read_variant(raw: bytes) -> Variant:
    """Raises ValueError for bytes that are none."""
    if len(raw) < 2 or raw[1] != 1:
        raise ValueError("these bytes are no sql_variant")
    column, start = _described(raw[0], raw)
    return Variant(column, types.decoder(column)(raw[start:]))


def _described(xtype: int, raw: bytes) -> tuple[Physical, int]:
    """The type as a column would have it, and where the value begins."""
    if xtype in (types.DECIMAL, types.NUMERIC):
        precision, scale = struct.unpack_from("<BB", raw, 2)
        if not scale <= precision <= 38:
            raise ValueError(f"a decimal number of {precision} digits, {scale} of them after the point")
        return Physical("", xtype, precision=precision, scale=scale), 4
    if xtype in (types.TIME, types.DATETIME2, types.DATETIMEOFFSET):
        if raw[2] > 7:
            raise ValueError(f"a time with {raw[2]} digits of a second")
        return Physical("", xtype, scale=raw[2]), 3
    if xtype in (types.CHAR, types.VARCHAR, types.NCHAR, types.NVARCHAR):
        length, collation = struct.unpack_from("<HI", raw, 2)
        return Physical("", xtype, length=length, collation=collation), 8
    if xtype in (types.BINARY, types.VARBINARY):
        return Physical("", xtype, length=struct.unpack_from("<H", raw, 2)[0]), 4
    if xtype in _SIMPLE:
        return Physical("", xtype), 2
    raise ValueError(f"an sql_variant cannot hold a value of type {xtype}")


_SIMPLE = (
    types.TINYINT, types.SMALLINT, types.INT, types.BIGINT, types.BIT, types.REAL, types.FLOAT, types.MONEY,
    types.SMALLMONEY, types.DATE, types.DATETIME, types.SMALLDATETIME, types.UUID_TYPE,
)  # fmt: skip
