"""Which types hold another's values."""

import pytest

from sterna.engines.postgres.fitting import fits
from sterna.engines.postgres.wire.pgoutput import RelationColumn

INT2, INT4, INT8, NUMERIC, FLOAT4, FLOAT8 = 21, 23, 20, 1700, 700, 701
TEXT, VARCHAR, BPCHAR, JSON, JSONB, DATE, TIMESTAMP, BIT, VARBIT = (
    25,
    1043,
    1042,
    114,
    3802,
    1082,
    1114,
    1560,
    1562,
)
USER = 16500


def numeric(digits: int, scale: int) -> int:
    return (digits << 16 | scale & 0x7FF) + 4


HELD = [
    (INT4, -1, INT4, -1),
    (INT4, -1, INT8, -1),
    (INT4, -1, NUMERIC, -1),
    (INT4, -1, NUMERIC, numeric(10, 0)),
    (INT4, -1, TEXT, -1),
    (VARCHAR, 14, VARCHAR, 24),
    (VARCHAR, 14, VARCHAR, -1),
    (VARCHAR, 14, TEXT, -1),
    (BPCHAR, 14, VARCHAR, 14),
    (NUMERIC, numeric(6, 2), NUMERIC, numeric(7, 3)),
    (NUMERIC, numeric(6, 2), NUMERIC, -1),
    (NUMERIC, numeric(3, -2), NUMERIC, numeric(5, 0)),
    (FLOAT4, -1, FLOAT8, -1),
    (DATE, -1, TIMESTAMP, -1),
    (TIMESTAMP, 3, TIMESTAMP, 6),
    (BIT, 3, BIT, 3),
    (BIT, 3, VARBIT, 3),
    (USER, -1, USER + 1, -1),
    (TEXT, -1, USER, -1),
]
HARMED = [
    (INT8, -1, INT4, -1),
    (INT4, -1, NUMERIC, numeric(9, 0)),
    (INT8, -1, FLOAT8, -1),
    (NUMERIC, -1, INT4, -1),
    (NUMERIC, -1, NUMERIC, numeric(20, 5)),
    (NUMERIC, numeric(6, 2), NUMERIC, numeric(7, 1)),
    (NUMERIC, numeric(6, 2), NUMERIC, numeric(6, 3)),
    (FLOAT8, -1, FLOAT4, -1),
    (TEXT, -1, VARCHAR, 14),
    (VARCHAR, 24, VARCHAR, 14),
    (VARCHAR, -1, VARCHAR, 14),
    (VARCHAR, 14, BPCHAR, 14),
    (TIMESTAMP, -1, DATE, -1),
    (TIMESTAMP, -1, TIMESTAMP, 3),
    (JSON, -1, JSONB, -1),
    (BIT, 3, BIT, 4),
]


@pytest.mark.parametrize(("source", "typmod", "target", "modifier"), HELD)
def test_a_type_that_is_as_wide_holds_every_value(source: int, typmod: int, target: int, modifier: int) -> None:
    assert fits(RelationColumn("c", False, source, typmod), target, modifier)


@pytest.mark.parametrize(("source", "typmod", "target", "modifier"), HARMED)
def test_a_type_that_would_round_cut_or_refuse_does_not(
    source: int, typmod: int, target: int, modifier: int
) -> None:
    assert not fits(RelationColumn("c", False, source, typmod), target, modifier)
