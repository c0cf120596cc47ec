"""The compact form of Thrift: what is read and written again is the same."""

import io

import pytest

from sterna.engines.sqlserver.exporting.thrift import (
    BINARY,
    BYTE,
    DOUBLE,
    FALSE,
    I16,
    I32,
    I64,
    LIST,
    STRUCT,
    TRUE,
    Field,
    Items,
    Reader,
    struct_bytes,
)

EVERYTHING = {
    1: Field(TRUE, True),
    2: Field(FALSE, False),
    3: Field(BYTE, b"\x80"),
    4: Field(I16, -1),
    5: Field(I32, -(1 << 31)),
    20: Field(I64, (1 << 63) - 1),
    21: Field(DOUBLE, bytes(range(8))),
    37: Field(BINARY, b"x" * 300),
    300: Field(LIST, Items(TRUE, [True, False])),
    301: Field(LIST, Items(I32, list(range(-20, 20)))),
    302: Field(STRUCT, {7: Field(LIST, Items(STRUCT, [{}, {1: Field(BINARY, b"")}]))}),
}


def test_every_kind_of_value_is_the_same_when_it_is_read_again() -> None:
    reader = Reader(struct_bytes(EVERYTHING))
    assert reader.struct() == EVERYTHING
    assert reader.at == len(struct_bytes(EVERYTHING))


def test_a_footer_that_pyarrow_wrote_is_the_same_when_it_is_written_again() -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    table = arrow.table({f"column {n}": [n, None, 3] for n in range(40)})
    parquet.write_table(table, file, row_group_size=1)
    data = file.getvalue()
    footer = data[-8 - int.from_bytes(data[-8:-4], "little") : -8]
    assert struct_bytes(Reader(footer).struct()) == footer


def test_what_is_nested_too_deep_or_of_no_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="nested too deep"):
        Reader(b"\x1c" * 100).struct()
    with pytest.raises(ValueError, match="kind 15"):
        Reader(b"\x1f").struct()
    with pytest.raises(IndexError):
        Reader(b"\x15").struct()
