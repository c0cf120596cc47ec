"""Damaged files make no harm, and the compiled walk does what the one in Python does, byte for byte.

It goes on for longer where the tests are told to make an effort, see ``tests.effort``.
"""

import random
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire.native import native
from sterna.engines.redis.wire.recode import length, string
from tests.effort import EFFORT, examples
from tests.unit.rdb_files import (
    NOW_MS,
    RECORDED,
    Walked,
    database,
    expiring,
    key,
    listpack,
    pure_python,
    recorded,
    sealed,
    steps,
    walker,
)

pytestmark = pytest.mark.long

SECONDS = 4 * EFFORT
Outcome = tuple[object, ...]
compiled = pytest.mark.skipif(native is None, reason="the compiled module is not built, or turned off")


def outcome(data: bytes, chunk: int, most: int, options: dict[str, Any]) -> Outcome:
    """All that came out, and how it ended."""
    seen = Walked(walker=walker(**options))
    error = ""
    try:
        for _ in steps(seen, data, chunk, most):
            pass
    except (BadData, Unsupported) as trouble:
        error = f"{type(trouble).__name__}: {trouble.message}"
    assert seen.walker
    assert len(seen.commands) == seen.replies
    counts = (seen.keys, seen.expired, seen.left_out, seen.functions, seen.bigs, seen.walker.facts)
    return seen.data, error, *counts, seen.places, seen.walker.place


def both(data: bytes, chunk: int, most: int, options: dict[str, Any]) -> Outcome:
    with pure_python():
        plain = outcome(data, chunk, most, options)
    if native:
        assert outcome(data, chunk, most, options) == plain
    return plain


def flip(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 6)):
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def overwrite(data: bytearray, chance: random.Random) -> None:
    at = chance.randrange(len(data))
    data[at : at + chance.randrange(1, 9)] = chance.randbytes(chance.randrange(1, 9))


def inflate(data: bytearray, chance: random.Random) -> None:
    """A length of many bytes, somewhere."""
    at = chance.randrange(9, len(data))
    size = chance.choice([2**16, 2**31, 2**32 - 1, 2**40, 2**40 + 1, 2**60, 2**63, 2**64 - 1])
    data[at : at + 1] = b"\x81" + size.to_bytes(8, "big")


def cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randrange(len(data)) :]


def repeat(data: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(data))
    data[start:start] = data[start : start + chance.randrange(1, 200)]


DAMAGE: list[Callable[[bytearray, random.Random], None]] = [flip, flip, overwrite, inflate, cut, repeat]


def test_damaged_files_are_refused_or_read_and_nothing_else() -> None:
    chance = random.Random(20261121)
    files = [(recorded(server), version) for server, version in RECORDED.items()]
    deadline = time.monotonic() + SECONDS
    rounds = refused = 0
    while time.monotonic() < deadline or rounds < 50:
        whole, version = chance.choice(files)
        data = bytearray(whole)
        chance.choice(DAMAGE)(data, chance)
        target = chance.choice([version, version, 9, 11, 12, 80])
        options = {"target_version": target, "limit": chance.choice([0, 60, 2000, 1 << 20])}
        result = both(bytes(data), chance.choice([500, 4096, 1 << 20]), chance.choice([1, 3000, 1 << 20]), options)
        rounds += 1
        refused += result[1] != ""
    assert refused > rounds // 2


words = st.binary(max_size=40)
plain_strings = st.lists(words, min_size=1, max_size=5)
records = st.one_of(
    st.builds(lambda name, value: key(name, 0, string(value)), words, words),
    st.builds(lambda name, value: key(name, 0, b"\xc1" + value), words, st.binary(min_size=2, max_size=2)),
    st.builds(lambda name, all: key(name, 1, length(len(all)) + b"".join(map(string, all))), words, plain_strings),
    st.builds(
        lambda name, all: key(name, 4, length(len(all)) + b"".join(string(w) * 2 for w in all)),
        words,
        plain_strings,
    ),
    st.builds(lambda name, all: key(name, 20, string(listpack(*all))), words, plain_strings),
    st.builds(lambda name, all: key(name, 16, string(listpack(*all, *all))), words, plain_strings),
    st.builds(lambda name: key(name, 0, b"\xc3\x05\x0b\x00a\xe0\x01\x00"), words),
    st.builds(lambda size: b"\x00\xc3\x05\x0b\x00a\xe0\x01\x00" + string(b"x" * size), st.integers(0, 100)),
    st.builds(database, st.integers(0, 3)),
    st.builds(lambda code: b"\xf5" + string(code), words),
    st.just(b"\xfb\x05\x01"),
)
times = st.sampled_from([-(2**63), -1, 0, 1, NOW_MS - 1, NOW_MS, NOW_MS + 1, 10**15, 2**63 - 1])
prefixed = st.one_of(
    records,
    st.builds(expiring, times, st.builds(lambda name: key(name, 0, string(name)), words)),
    st.builds(lambda idle, name: b"\xf8" + length(idle) + key(name, 0, b"\x00"), st.integers(0, 2**64 - 1), words),
    st.builds(lambda count, name: b"\xf9" + bytes([count]) + key(name, 0, b"\x00"), st.integers(0, 255), words),
    st.builds(
        lambda s, name: b"\xfd" + s.to_bytes(4, "little", signed=True) + key(name, 0, b"\x00"),
        st.integers(-5, 5),
        words,
    ),
)
choices = st.fixed_dictionaries(
    {
        "target_version": st.sampled_from([9, 11, 12, 80]),
        "limit": st.sampled_from([0, 20, 1000]),
        "databases": st.sampled_from([None, {0: 1, 1: 1, 3: 0}.get]),
        "keep": st.sampled_from([None, lambda number, name: len(name) % 2 == number % 2]),
        "hold_ms": st.sampled_from([0, 10**15, 2**63 - 1, 2**70]),
        "replace": st.booleans(),
        "absolute": st.booleans(),
        "hints": st.booleans(),
        "skip_expired_before_ms": st.sampled_from([None, NOW_MS]),
    }
)


@compiled
@settings(deadline=None, max_examples=examples(60))
@given(st.lists(prefixed, max_size=12), choices, st.integers(1, 60), st.integers(1, 400))
def test_the_compiled_walk_gives_the_same_bytes(
    parts: list[bytes], options: dict[str, Any], chunk: int, most: int
) -> None:
    both(sealed(*parts), chunk, most, options)


@pytest.mark.parametrize("server", RECORDED)
def test_recorded_files_give_the_same_bytes_both_ways(server: str) -> None:
    for chunk, most, limit in [(1, 1, 1 << 20), (777, 5000, 100), (1 << 20, 1 << 20, 1 << 20)]:
        result = both(recorded(server), chunk, most, {"target_version": RECORDED[server], "limit": limit})
        assert result[1] == ""


def test_an_error_in_the_choice_of_keys_comes_through() -> None:
    def keep(number: int, name: bytes) -> bool:
        raise RuntimeError("no choice")

    source = walker(keep=keep)
    source.feed(sealed(key(b"a", 0, string(b""))))
    with pytest.raises(RuntimeError, match="no choice"):
        source.walk(100)
