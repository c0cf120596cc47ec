"""Column types of SQL Server in the words that every kind of database understands."""

from functools import lru_cache

from sterna.core.schema import Kind, Type

_SIMPLE = {
    104: Type(Kind.BOOLEAN, "bit"),
    48: Type(Kind.INTEGER, "tinyint", bits=8),
    52: Type(Kind.INTEGER, "smallint", bits=16),
    56: Type(Kind.INTEGER, "int", bits=32),
    127: Type(Kind.INTEGER, "bigint", bits=64),
    60: Type(Kind.DECIMAL, "money", precision=19, scale=4),
    122: Type(Kind.DECIMAL, "smallmoney", precision=10, scale=4),
    59: Type(Kind.FLOAT, "real", bits=32),
    62: Type(Kind.FLOAT, "float", bits=64),
    35: Type(Kind.TEXT, "text"),
    99: Type(Kind.TEXT, "ntext"),
    34: Type(Kind.BINARY, "image"),
    189: Type(Kind.BINARY, "rowversion", length=8, fixed=True),
    40: Type(Kind.DATE, "date"),
    58: Type(Kind.TIMESTAMP, "smalldatetime"),
    61: Type(Kind.TIMESTAMP, "datetime", scale=3),
    36: Type(Kind.UUID, "uniqueidentifier"),
    98: Type(Kind.VARIANT, "sql_variant"),
    241: Type(Kind.XML, "xml"),
    244: Type(Kind.JSON, "json"),
}
_SCALED = {
    41: (Kind.TIME, "time"),
    42: (Kind.TIMESTAMP, "datetime2"),
    43: (Kind.TIMESTAMP_ZONED, "datetimeoffset"),
}
_SIZED = {
    165: (Kind.BINARY, "varbinary", 1, False),
    173: (Kind.BINARY, "binary", 1, True),
    167: (Kind.TEXT, "varchar", 1, False),
    175: (Kind.TEXT, "char", 1, True),
    231: (Kind.TEXT, "nvarchar", 2, False),
    239: (Kind.TEXT, "nchar", 2, True),
}
_DECIMALS = {106: "decimal", 108: "numeric"}
_CLR = 240
_CLR_TYPES = {
    128: Type(Kind.TEXT, "hierarchyid"),
    129: Type(Kind.GEOMETRY, "geometry"),
    130: Type(Kind.GEOMETRY, "geography"),
}


@lru_cache(4096)
def describe(xtype: int, utype: int, length: int, precision: int, scale: int) -> Type:
    """A column's type from syscolpars. ``length`` is in bytes, -1: without a limit. Any has an answer."""
    if xtype in _SIMPLE:
        return _SIMPLE[xtype]
    if xtype in _DECIMALS:
        return Type(Kind.DECIMAL, f"{_DECIMALS[xtype]}({precision},{scale})", precision=precision, scale=scale)
    if xtype in _SCALED:
        kind, name = _SCALED[xtype]
        return Type(kind, f"{name}({scale})", scale=scale)
    if xtype in _SIZED:
        return _sized(xtype, length)
    if xtype == _CLR:
        return _CLR_TYPES.get(utype, Type(Kind.OTHER, "CLR type"))
    return Type(Kind.OTHER, "vector" if xtype == 255 else f"type {xtype}")


def _sized(xtype: int, length: int) -> Type:
    kind, name, width, fixed = _SIZED[xtype]
    if length < 0:
        return Type(kind, f"{name}(max)", length=-1)
    return Type(kind, f"{name}({length // width})", length=length // width, fixed=fixed)
