"""Random pages, sound and spoilt: the compiled code does what Python does, and errors come out by name."""

import contextlib
import random
import struct
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import rows as rows_module
from sterna.engines.sqlserver.wire.binxml import xml_text
from sterna.engines.sqlserver.wire.clr import hierarchy_path, well_known_text
from sterna.engines.sqlserver.wire.records import Layout, Physical, width
from sterna.engines.sqlserver.wire.rows import Rows
from sterna.engines.sqlserver.wire.scsu import expanded
from tests.unit.bak_pages import compressed, fixed_var, information, lob_page, page

needs_native = pytest.mark.skipif(rows_module.native is None, reason="the compiled code was not built")

_FIXED = (48, 52, 56, 127, 104, 60, 122, 62, 59, 40, 61, 58, 36, 189, 106, 41, 42, 43, 175, 239, 173)
_VARYING = (167, 231, 165, 98, 241, 240, 99)
_COLLATIONS = (0, 0x34 << 24, 0x15, 0x10, 0x24, 0x11, 0x03, 0x80)


def random_layout(chance: random.Random, compression: int) -> Layout:
    """Columns of any type at places that a server would give them."""
    columns: list[Physical] = []
    offset, varying = 4, 0
    for place in range(chance.randrange(1, 12)):
        xtype = chance.choice(_FIXED + _VARYING)
        precision = chance.randrange(1, 39)
        column = Physical(
            f"c{place}", xtype, chance.randrange(2, 20, 2), precision, chance.randrange(min(precision, 7) + 1),
            chance.choice(_COLLATIONS), 0, place + 1, chance.randrange(8), 0, chance.choice((128, 129, 130, 300)),
            chance.random() < 0.8, place + 1,
        )  # fmt: skip
        if xtype in _FIXED and chance.random() < 0.95:
            columns.append(moved(column, offset))
            offset += width(column)
        else:
            varying -= 1
            columns.append(moved(column, varying))
    chance.shuffle(columns)
    return Layout(tuple(columns), compression, "dbo.random")


def moved(column: Physical, offset: int) -> Physical:
    return replace(column, offset=offset)


def random_record(chance: random.Random, layout: Layout) -> bytes:
    size = max([4, *(c.offset + width(c) for c in layout.columns if c.offset > 0)]) - 4
    fixed = chance.randbytes(size) if chance.random() < 0.5 else bytes(size)
    count = max([0, *(-column.offset for column in layout.columns)])
    varying = [random_value(chance) for _ in range(count)]
    count_then = chance.choice((12, 12, 12, 4))
    nulls = [bit for bit in range(1, count_then + 1) if chance.random() < 0.2]
    marked = [place + 1 for place in range(count) if chance.random() < 0.05]
    kind = chance.choice((0, 0, 0, 0, 1, 2, 6))
    return fixed_var(fixed, varying, columns=count_then, nulls=nulls, complex_ones=marked, kind=kind)


def random_value(chance: random.Random) -> bytes:
    return chance.choice(
        (
            b"",
            b"plain\ttext\\",
            "日本\t語".encode("cp932"),
            "中文\\文".encode("gbk"),
            "żółw\n€😀".encode(),
            bytes.fromhex("129cbec1bab2b0"),
            bytes.fromhex("0f30423044d83dde0010"),
            bytes.fromhex("1ffa80e90b0000800541"),
            "wide\nтекст😀".encode("utf-16-le"),
            b"\x38\1" + struct.pack("<i", 7),
            chance.randbytes(chance.randrange(12)),
            b"\xdf\xff\1\xb0\4" + chance.randbytes(4),
            struct.pack("<iBBdd", 4326, 1, 0x0C, 1.0, 2.0),
        )
    )


def random_compressed(chance: random.Random, layout: Layout) -> bytes:
    pieces: list[bytes | int | None] = []
    for _ in range(chance.choice((12, 12, 12, 5))):
        choice = chance.randrange(8)
        if choice < 5:
            pieces.append(random_value(chance) if choice == 4 else chance.randbytes(chance.randrange(9)))
        else:
            pieces.append((None, -1, chance.randrange(4))[choice - 5])
    return compressed(pieces, kind=chance.choice((0, 0, 0, 4, 3, 1)))


def random_page(chance: random.Random, layout: Layout) -> bytes:
    count = chance.randrange(1, 20)
    if not layout.compression:
        return page([random_record(chance, layout) for _ in range(count)])
    records = [random_compressed(chance, layout) for _ in range(count)]
    if layout.compression == 1 or chance.random() < 0.3:
        return page(records)
    words = [random_value(chance) for _ in range(3)] if chance.random() < 0.6 else None
    return page(records, flags=0x80, information=information(random_compressed(chance, layout), words))


def outcome(read: Callable[[], object]) -> object:
    """What comes out, or the error: any but these two fails the test."""
    try:
        return read()
    except (BadData, Unsupported) as error:
        return type(error), error.message


def fetch(number: int, file: int) -> bytes:
    if number > 3:
        raise BadData(f"Page {file}:{number} is not there.")
    return lob_page([struct.pack("<H", 3) + b"outside"], number=number)


def compare(layout: Layout, made: bytes) -> None:
    """Compiled and plain code agree, in rows, losses and errors, and the values are as many."""
    native, plain = (Rows(layout, fetch, unstorable="replace") for _ in range(2))
    plain._plan = None
    text = outcome(lambda: native.copy_text(made))
    assert text == outcome(lambda: plain.copy_text(made))
    if isinstance(text, tuple) and isinstance(text[0], bytes):
        assert (native.losses, native.older) == (plain.losses, plain.older)
        assert text[0].count(b"\n") == text[1] == len(list(native.values(made)))


@needs_native
@pytest.mark.parametrize("compression", [0, 1, 2])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**64))
def test_the_compiled_code_writes_what_python_writes(compression: int, seed: int) -> None:
    chance = random.Random(seed)
    layout = random_layout(chance, compression)
    compare(layout, random_page(chance, layout))


@pytest.mark.parametrize("compression", [0, 1, 2])
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**64))
def test_spoilt_pages_give_rows_or_an_error_by_name(compression: int, seed: int) -> None:
    chance = random.Random(seed)
    layout = random_layout(chance, compression)
    made = bytearray(random_page(chance, layout))
    used = [*range(96, 400), *range(8150, 8192), 2, 22, 23]
    for _ in range(chance.randrange(1, 12)):
        made[chance.choice(used)] = chance.choice((0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)))
    compare(layout, bytes(made))


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**64), compression=st.integers(0, 2))
def test_pages_of_noise_give_rows_or_an_error_by_name(seed: int, compression: int) -> None:
    chance = random.Random(seed)
    made = bytearray(chance.randbytes(8192))
    struct.pack_into("<H", made, 22, chance.randrange(40))
    compare(random_layout(chance, compression), bytes(made))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_noise_in_values_is_refused_by_a_value_error(noise: bytes) -> None:
    readers: tuple[Callable[[bytes], object], ...] = (
        expanded,
        hierarchy_path,
        lambda raw: xml_text(b"\xdf\xff\1\xb0\4" + raw),
        lambda raw: well_known_text(b"\0\0\0\0\1\4" + raw, geography=False),
        lambda raw: well_known_text(raw, geography=True),
    )
    for read in readers:
        with contextlib.suppress(ValueError, struct.error, LookupError, OverflowError, Unsupported):
            assert read(noise) is not None
