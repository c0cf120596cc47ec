"""Whether a column of the target keeps every value that a column of the source can hold, unharmed.

PostgreSQL rounds and cuts without a word where a type is narrower (``numeric(10,2)``, ``date``, ``real``); it
refuses where a value is too long. Both are found here, before a row is touched.
"""

from sterna.engines.postgres.wire.pgoutput import RelationColumn

FIRST_USER_OID = 16384
"""Objects that users make have this number or a greater one; smaller ones mean the same everywhere."""

_INT2, _INT4, _INT8, _FLOAT4, _FLOAT8, _NUMERIC = 21, 23, 20, 700, 701, 1700
_TEXT, _VARCHAR, _BPCHAR, _NAME = 25, 1043, 1042, 19
_JSON, _JSONB = 114, 3802
_DATE, _TIMESTAMP = 1082, 1114
_TIMESTAMPTZ, _TIME, _TIMETZ, _INTERVAL = 1184, 1083, 1266, 1186
_BIT, _VARBIT = 1560, 1562
_INT2S, _INT4S, _INT8S, _TEXTS, _VARCHARS = 1005, 1007, 1016, 1009, 1015

_WIDER: dict[int, frozenset[int]] = {
    _INT2: frozenset({_INT4, _INT8, _NUMERIC}),
    _INT4: frozenset({_INT8, _NUMERIC}),
    _INT8: frozenset({_NUMERIC}),
    _FLOAT4: frozenset({_FLOAT8}),
    _VARCHAR: frozenset({_TEXT}),
    _BPCHAR: frozenset({_TEXT, _VARCHAR}),
    _NAME: frozenset({_TEXT, _VARCHAR}),
    _JSON: frozenset({_TEXT}),
    _DATE: frozenset({_TIMESTAMP}),
    _BIT: frozenset({_VARBIT}),
    _INT2S: frozenset({_INT4S, _INT8S}),
    _INT4S: frozenset({_INT8S}),
    _VARCHARS: frozenset({_TEXTS}),
}
_LENGTHS = frozenset({_VARCHAR, _BPCHAR, _VARBIT, _BIT})
_FRACTIONS = frozenset({_TIMESTAMP, _TIMESTAMPTZ, _TIME, _TIMETZ})
_HEADER = 4
"""What the modifiers of texts and numbers count too."""


def fits(column: RelationColumn, type_oid: int, typmod: int) -> bool:
    """Whether every value of the source's column is kept by a target's column of this type.

    Types that users made have other numbers on every server: of them nothing is known here, and they fit.
    """
    if column.type_oid >= FIRST_USER_OID:
        return True
    if column.type_oid == type_oid:
        return typmod in (-1, column.typmod) or _wider(type_oid, column.typmod, typmod)
    if type_oid in (_TEXT, _VARCHAR) and typmod == -1:
        return True
    if type_oid >= FIRST_USER_OID:  # a domain, or an extension's type: its input function says what it takes
        return True
    return type_oid in _WIDER.get(column.type_oid, frozenset()) and (
        typmod == -1 or _holds(column, type_oid, typmod)
    )


def _wider(type_oid: int, source: int, target: int) -> bool:
    """Whether the same type with modifier ``target`` holds what it holds with ``source``."""
    if source == -1:
        return False
    if type_oid == _NUMERIC:
        digits, scale = _numeric(source)
        most, fraction = _numeric(target)
        return fraction >= scale and most - fraction >= digits - scale
    if type_oid == _BIT:
        return False
    return type_oid in _LENGTHS | _FRACTIONS and target >= source


def _holds(column: RelationColumn, type_oid: int, typmod: int) -> bool:
    """Whether another, wider type is wide enough with its modifier."""
    if type_oid == _NUMERIC:
        most, fraction = _numeric(typmod)
        return most - fraction >= {_INT2: 5, _INT4: 10, _INT8: 19}.get(column.type_oid, most + 1)
    if type_oid == _VARCHAR:
        return column.type_oid == _BPCHAR and typmod >= column.typmod > 0
    if type_oid == _VARBIT:
        return typmod >= column.typmod > 0
    return type_oid == _TIMESTAMP


def _numeric(typmod: int) -> tuple[int, int]:
    """Precision and scale; the scale has eleven bits with a sign since 15, and fewer before that read the same."""
    bits = typmod - _HEADER
    scale = bits & 0x7FF
    return bits >> 16 & 0xFFFF, scale - 0x800 if scale & 0x400 else scale
