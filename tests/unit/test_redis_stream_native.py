"""The compiled loop and pure Python agree to the byte, on any stream, however it is cut, sound or not."""

from dataclasses import asdict
from itertools import pairwise
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sterna.core.errors import Trouble
from sterna.engines.redis.wire import stream as module
from sterna.engines.redis.wire.native import compiled
from sterna.engines.redis.wire.resp import command
from sterna.engines.redis.wire.stream import Rules, Transformer
from tests.effort import examples

pytestmark = pytest.mark.skipif(compiled("_stream") is None, reason="the compiled loop was not built")

NOW = 1_700_000_000_000

numbers = st.one_of(
    st.integers(-2, 20),
    st.integers((1 << 52) - NOW - 3, (1 << 52) + 3),
    st.integers(NOW - 5, NOW + 10**9),
    st.integers(10**15, 10**20),
).map(b"%d".__mod__)
plain = st.sampled_from(
    [b"a", b"k1", b"", b"EX", b"px", b"NX", b"XX", b"keepttl", b"GET", b"IFEQ", b"DB", b"x" * 70_000]
)
options = st.sampled_from([b"EX", b"px", b"PXAT", b"exat", b"NX", b"XX", b"GET", b"KEEPTTL", b"IFEQ", b"ABSTTL"])
names = st.sampled_from(
    b"SET set Set SETEX psetex EXPIRE pexpire EXPIREAT PEXPIREAT INCR incr LPUSH UNKNOWN.THING RESTORE GETEX"
    b" HEXPIRE HSETEX MSETEX PUBLISH script FUNCTION PING replconf FLUSHALL flushdb SWAPDB MOVE COPY DEL"
    b" SETRANGE".split()
)
generic = st.tuples(names, st.lists(st.one_of(plain, numbers, options), max_size=5)).map(
    lambda it: [it[0], *it[1]]
)
sets = st.tuples(plain, st.lists(st.one_of(options, numbers), max_size=6)).map(
    lambda it: [b"SET", b"k", it[0], *it[1]]
)
timed = st.tuples(
    st.sampled_from([b"EXPIRE", b"PEXPIRE", b"expireat", b"PEXPIREAT", b"SETEX", b"PSETEX"]), numbers, plain
).map(lambda it: [it[0], b"k", it[1], it[2]])
selects = st.sampled_from([0, 1, 2, 3, 4, 17, 1 << 16]).map(lambda number: [b"SELECT", b"%d" % number])
single = st.one_of(generic, sets, timed, selects).map(lambda words: command(*words))
transactions = st.lists(single, max_size=5).map(lambda them: command(b"MULTI") + b"".join(them) + command(b"exec"))
noise = st.sampled_from(
    [b"\n", b"\r\n", b"*0\r\n", b"*1\r\n$04\r\nPING\r\n", command(b"EXEC"), command(b"MULTI"), b"x"]
)
streams = st.lists(st.one_of(single, single, single, transactions), max_size=12).map(b"".join)
noisy = st.tuples(streams, noise, streams).map(b"".join)
rules = st.builds(
    Rules,
    databases=st.one_of(st.none(), st.dictionaries(st.integers(0, 3), st.integers(0, 5))),
    hold_ms=st.sampled_from([0, 10**11, 3 << 52]),
    flush=st.booleans(),
    count=st.sampled_from([1, 3, 16]),
)


def outcome(data: bytes, how: Rules, cuts: list[int], limits: tuple[int, int], *, database: int) -> list[object]:
    """Every piece, and the error at the end if there is one."""
    found: list[object] = []
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    try:
        transformer = Transformer(how, database=database)
        for number, (start, end) in enumerate(pairwise(borders)):
            transformer.feed(data[start:end], NOW + number)
            while (piece := transformer.take(*limits)).consumed:
                found.append(asdict(piece))
    except Trouble as trouble:
        found.append((type(trouble), trouble.message))
    return found


@settings(max_examples=examples(150), deadline=None)
@given(
    data=st.one_of(streams, streams, noisy),
    how=rules,
    cuts=st.lists(st.integers(0, 1 << 20), max_size=6),
    limits=st.tuples(st.sampled_from([1, 100, 1 << 20]), st.sampled_from([1, 3, 1000])),
    database=st.integers(-1, 2),
)
@example(data=b"\r", how=Rules(), cuts=[], limits=(1, 1), database=0)
def test_both_say_the_same(
    data: bytes, how: Rules, cuts: list[int], limits: tuple[int, int], database: int
) -> None:
    fast = outcome(data, how, cuts, limits, database=database)
    with mock.patch.object(module, "_native", None):
        assert fast == outcome(data, how, cuts, limits, database=database)


@settings(max_examples=examples(100), deadline=None)
@given(
    data=streams, changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=4), how=rules
)
def test_both_say_the_same_about_damaged_bytes(data: bytes, changes: list[tuple[int, int]], how: Rules) -> None:
    damaged = bytearray(data or b"x")
    for place, value in changes:
        damaged[place % len(damaged)] = value
    fast = outcome(bytes(damaged), how, [], (1 << 20, 1000), database=0)
    with mock.patch.object(module, "_native", None):
        assert fast == outcome(bytes(damaged), how, [], (1 << 20, 1000), database=0)


@settings(max_examples=examples(100), deadline=None)
@given(data=st.binary(max_size=200), lead=st.sampled_from([b"", b"*", b"*2\r\n$", b"*1\r\n$3\r\n"]))
def test_both_say_the_same_about_any_bytes(data: bytes, lead: bytes) -> None:
    fast = outcome(lead + data, Rules(), [], (1 << 20, 1000), database=0)
    with mock.patch.object(module, "_native", None):
        assert fast == outcome(lead + data, Rules(), [], (1 << 20, 1000), database=0)


def test_the_compiled_loop_refuses_values_that_cannot_be() -> None:
    loop = compiled("_stream")
    assert loop is not None
    good = [b"abc", 0, 0, 3, 3, 1, 1, False, None, 0, 0, 0, 0, 0, 16, 0, 0]
    for place, value in ((2, -1), (2, 4), (8, []), (13, -1), (13, (1 << 54) + 1), (12, -1), (15, -1)):
        with pytest.raises(ValueError, match="cannot be"):
            loop.scan(*good[:place], value, *good[place + 1 :])
    with pytest.raises(ValueError, match="cannot be"):
        loop.scan(*good[:15], 1, 4)
