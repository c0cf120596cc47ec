"""Cutting a COPY stream into runs of whole rows."""

import random
import struct
from collections.abc import Sequence

import pytest

from sterna.core.errors import BadData
from sterna.engines.postgres.wire.rows import HEADER, TRAILER, Cutter, walk_binary, walk_in_python


def row(*fields: bytes | None) -> bytes:
    parts = [struct.pack(">h", len(fields))]
    for field in fields:
        parts.append(struct.pack(">i", -1) if field is None else struct.pack(">i", len(field)) + field)
    return b"".join(parts)


def rows(chance: random.Random, count: int) -> list[bytes]:
    """Rows of 0 to 5 fields: nulls, empty ones, long ones, and ones that look like an end."""
    kinds: Sequence[bytes | None] = (None, b"", b"\xff\xff", HEADER, b"x" * 300)
    return [row(*chance.choices(kinds, k=chance.randrange(6))) for _ in range(count)]


def cut(pieces: Sequence[bytes], *, size: int, skip: int = 0, text: bool = False) -> list[tuple[bytes, int, bool]]:
    cutter = Cutter(text, size, skip)
    runs = [run for piece in pieces for run in cutter.feed(piece)]
    return [(run.data, run.rows, run.last) for run in [*runs, cutter.close()]]


@pytest.mark.parametrize("seed", range(20))
def test_the_runs_hold_all_rows_wherever_the_pieces_are_cut(seed: int) -> None:
    chance = random.Random(seed)
    some = rows(chance, 200)
    one = cut([HEADER + b"".join(some) + TRAILER], size=1000)
    at = sorted(chance.sample(range(200), 7))
    pieces = [b"".join(some[a:b]) for a, b in zip([0, *at], [*at, 200], strict=True)]
    other = cut([HEADER + pieces[0], *pieces[1:], TRAILER], size=1000)
    assert one == other
    assert b"".join(data for data, _, _ in one) == b"".join(some)
    assert sum(count for _, count, _ in one) == 200
    assert all(1000 <= len(data) < 1000 + max(map(len, some)) for data, _, last in one if not last)


@pytest.mark.parametrize("seed", range(20))
def test_after_any_run_the_same_runs_come(seed: int) -> None:
    some = rows(random.Random(seed), 100)
    stream = [HEADER + b"".join(some[:60]), b"".join(some[60:]) + TRAILER]
    whole = cut(stream, size=500)
    done = 0
    for number, (data, _, _) in enumerate(whole):
        assert cut(stream, size=500, skip=done) == whole[number:]
        done += len(data)


@pytest.mark.parametrize("seed", range(20))
def test_the_compiled_walk_and_the_plain_one_find_the_same(seed: int) -> None:
    chance = random.Random(seed)
    data = bytearray(b"".join(rows(chance, 30)) + TRAILER)
    for _ in range(chance.randrange(3)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    for stop in (0, 1, 500, len(data), 1 << 60):
        for cut_at in (len(data), chance.randrange(len(data))):
            assert walk_binary(data[:cut_at], 0, stop) == walk_in_python(data[:cut_at], 0, stop)


def test_an_empty_table_gives_one_empty_run() -> None:
    assert cut([HEADER + TRAILER], size=100) == [(b"", 0, True)]
    assert cut([], size=100, text=True) == [(b"", 0, True)]


def test_lines_are_rows() -> None:
    lines = [b"a\tb\n", b"\\N\t\\n\n", b"\n", b"c" * 50 + b"\n"] * 10
    runs = cut([b"".join(lines[:7]), b"".join(lines[7:])], size=60, text=True)
    assert b"".join(data for data, _, _ in runs) == b"".join(lines)
    assert [count for _, count, _ in runs] == [data.count(b"\n") for data, _, _ in runs]
    assert cut(lines, size=60, text=True) == runs
    assert cut(lines, size=60, skip=len(runs[0][0]), text=True) == runs[1:]


@pytest.mark.parametrize(
    "pieces",
    [
        [b"no header"],
        [HEADER + row(b"a")],
        [HEADER + row(b"a")[:-1] + TRAILER],
        [HEADER + TRAILER + row(b"a")],
        [HEADER + TRAILER, row(b"a")],
        [HEADER + b"\xff\xfe" + TRAILER],
        [HEADER + struct.pack(">hi", 1, -2) + TRAILER],
    ],
)
def test_what_is_no_copy_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(BadData):
        cut(pieces, size=100)


def test_rows_that_are_not_those_of_before_are_refused() -> None:
    with pytest.raises(BadData):
        cut([HEADER + row(b"abc") + TRAILER], size=100, skip=4)
    with pytest.raises(BadData):
        cut([HEADER + row(b"abc") + TRAILER], size=100, skip=1000)
