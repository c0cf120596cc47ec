"""Answers are counted and errors found, by the compiled loop and without it, however the bytes are cut."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.errors import BadData
from sterna.engines.redis.wire import replies
from sterna.engines.redis.wire.native import compiled
from sterna.engines.redis.wire.replies import ReplyCounter, ReplyError, reply_counter
from tests.effort import examples

COMPILED = compiled("_stream")
WAYS: list[Callable[[int], ReplyCounter]] = [replies._PythonCounter]
if COMPILED:
    WAYS.append(partial(replies._CompiledCounter, compiled=COMPILED))

PIPELINE = (
    b"+OK\r\n-ERR first\r\n$-1\r\n*-1\r\n$0\r\n\r\n$5\r\n-ERR \r\n*0\r\n:7\r\n"
    b"*5\r\n+OK\r\n-WRONGTYPE second\r\n*2\r\n$1\r\na\r\n*1\r\n:1\r\n$-1\r\n-ERR third\r\n+OK\r\n"
)


@pytest.mark.parametrize("way", WAYS)
def test_errors_are_found_wherever_they_stand_and_however_the_answers_are_cut(
    way: Callable[[int], ReplyCounter],
) -> None:
    for step in range(1, len(PIPELINE) + 1):
        counter = way(8)
        for place in range(0, len(PIPELINE), step):
            counter.feed(PIPELINE[place : place + step])
        assert (counter.complete, counter.failed, counter.nulls) == (10, 3, [2, 3])
        assert counter.errors == [
            ReplyError(1, -1, "ERR first"),
            ReplyError(8, 1, "WRONGTYPE second"),
            ReplyError(8, 4, "ERR third"),
        ]


@pytest.mark.parametrize("way", WAYS)
def test_only_the_first_errors_are_kept_and_all_are_counted(way: Callable[[int], ReplyCounter]) -> None:
    counter = way(2)
    for number in range(5):
        counter.feed(b"-ERR %d\r\n*-1\r\n" % number)
    assert (counter.complete, counter.failed, counter.nulls) == (10, 5, [1, 3])
    assert [error.text for error in counter.errors] == ["ERR 0", "ERR 1"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("data", [b"hello\r\n", b"\r\n", b"*x\r\n", b"$-7\r\n", b"*1\r\n!\r\n"])
def test_what_is_no_answer_is_refused(way: Callable[[int], ReplyCounter], data: bytes) -> None:
    with pytest.raises(BadData, match="no answer"):
        way(8).feed(b"+OK\r\n" + data)


def test_the_compiled_loop_is_used_where_there_is_one() -> None:
    assert isinstance(reply_counter(), replies._CompiledCounter if COMPILED else replies._PythonCounter)


def flat(text: bytes) -> bytes:
    return text.replace(b"\r", b"").replace(b"\n", b"")


texts = st.binary(max_size=12)
leaf = st.one_of(
    texts.map(lambda text: b"$%d\r\n%b\r\n" % (len(text), text)),
    st.integers(-5, 5).map(lambda number: b":%d\r\n" % number),
    texts.map(lambda text: b"+%b\r\n" % flat(text)),
    texts.map(lambda text: b"-ERR %b\r\n" % flat(text)),
    st.sampled_from([b"$-1\r\n", b"*-1\r\n", b"*0\r\n"]),
)
answers = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=4).map(lambda them: b"*%d\r\n" % len(them) + b"".join(them))
)


@pytest.mark.skipif(COMPILED is None, reason="the compiled loop was not built")
@settings(max_examples=examples(100), deadline=None)
@given(data=st.lists(answers, max_size=8).map(b"".join), cuts=st.lists(st.integers(0, 1000), max_size=5))
def test_both_count_the_same(data: bytes, cuts: list[int]) -> None:
    counters = [way(4) for way in WAYS]
    borders = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for counter in counters:
        for start, end in zip(borders, borders[1:] or [len(data)], strict=False):
            counter.feed(data[start:end])
    first, second = ((each.complete, each.failed, each.errors, each.nulls) for each in counters)
    assert first == second


@pytest.mark.skipif(COMPILED is None, reason="the compiled loop was not built")
@settings(max_examples=examples(100), deadline=None)
@given(data=st.binary(max_size=100), lead=st.sampled_from([b"", b"*3\r\n", b"$5\r\n", b"-"]))
def test_no_bytes_harm_the_compiled_loop(data: bytes, lead: bytes) -> None:
    counter = WAYS[-1](4)
    with suppress(BadData):
        counter.feed(lead + data)
    assert counter.complete <= len(lead + data)
