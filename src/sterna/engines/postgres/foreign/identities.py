"""Identities of the source, as PostgreSQL counts: by an identity of its own, or by a sequence."""

from sterna.core.schema import Column, Kind
from sterna.engines.postgres.names import literal, quoted

_WIDEST = 1 << 63


def _bounds(column: Column) -> tuple[int, int]:
    """The lowest and the highest number that an identity of the source gives, and a sequence can."""
    if column.type.kind is Kind.DECIMAL:
        most = min(10**column.type.precision - 1, _WIDEST - 1)
        return -most, most
    if column.type.bits == 8:
        return 0, 255
    width = 1 << (column.type.bits or 64) - 1
    return -width, width - 1


def countable(column: Column) -> bool:
    """Whether a sequence can give the numbers of a decimal column's identity."""
    if column.identity is None or column.type.kind is not Kind.DECIMAL or column.type.scale:
        return False
    lowest, highest = _bounds(column)
    return lowest <= column.identity.following <= highest and abs(column.identity.increment) < _WIDEST


def counting(column: Column, start: int | None = None) -> str:
    """The options of a sequence: its bounds are those of the source's type, also below nought."""
    assert column.identity
    lowest, highest = _bounds(column)
    seed = column.identity.seed if start is None else start
    step = column.identity.increment or 1
    return f"START WITH {seed} INCREMENT BY {step} MINVALUE {lowest} MAXVALUE {highest}"


def following(table: str, name: str, column: Column) -> tuple[str, str, str]:
    """The column, what makes its identity go on, and that number. One that is used up stays so."""
    assert column.identity
    following = column.identity.following
    lowest, highest = _bounds(column)
    if lowest <= following <= highest:
        sql = f"ALTER TABLE {table} ALTER COLUMN {quoted(name)} RESTART WITH {following}"
    else:
        sequence = f"pg_get_serial_sequence({literal(table)}, {literal(name)})"
        sql = f"SELECT setval({sequence}, {highest if following > highest else lowest})"
    return name, sql, str(following)


def described(column: Column) -> str:
    assert column.identity
    found = column.identity
    return f"{column.type.native} IDENTITY({found.seed},{found.increment}), the next is {found.following}"
