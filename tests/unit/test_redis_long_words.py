"""Commands of an AOF that are too long to be held: what is long goes over the disk, and the same comes out."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.files import longs
from sterna.engines.redis.files.item import BATCH_COMMANDS
from sterna.engines.redis.files.scratch import Nowhere, Scratch
from sterna.engines.redis.files.sieve import Sieve
from sterna.engines.redis.files.touched import Touched
from sterna.engines.redis.spilled import Spilled, short
from sterna.engines.redis.wire.resp import command
from sterna.engines.redis.wire.stream import Rules, Transformer
from tests.unit.rdb_files import commands

Words = list[bytes]


@pytest.fixture(autouse=True)
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(longs, "LONG_WORD", 60)  # a mark has 50 bytes
    monkeypatch.setattr(longs, "LONG_RUN", 150)
    monkeypatch.setattr(longs, "MIDDLING", 55)


def through(
    data: bytes,
    step: int,
    folder: Path,
    touched: Touched | None = None,
    *,
    plain: bool = False,
    keys_matter: bool = True,
) -> tuple[list[Words], list[int]]:
    """What is sent for a log that comes in steps, and the places in it between the pieces; ``plain``: all is
    held.
    """
    scratch = Scratch(folder)
    store = None if plain else scratch
    sieve = Sieve("x", 0, 0, touched, alone=False, store=store, keys_matter=keys_matter)
    transformer = Transformer(Rules(databases={0: 0, 1: 3}), database=0)
    found: list[Words] = []
    places, taken = [0], 0
    for at in range(0, len(data), step):
        sieve.feed(data[at : at + step])
        for given in sieve.take():
            transformer.feed(given, 1_700_000_000_000)
            while (piece := transformer.take(100, BATCH_COMMANDS)).consumed:
                taken += piece.consumed
                places.append(sieve.place(taken))
                whole = scratch.commands(piece.data, places[-1])
                sent = b"".join(whole) if isinstance(whole, Spilled) else whole
                assert len(commands(sent)) == piece.count
                found += [words for words in commands(sent) if words[0] != b"SELECT"]
        assert sieve.at + sieve.waiting == min(at + step, len(data))
    return found, places


def some_log(seed: int) -> tuple[bytes, list[int]]:
    """Commands with words of every length, and where each ends."""
    chance = random.Random(seed)

    def word(most: int = 120) -> bytes:
        return chance.randbytes(chance.choice([0, 1, 5, 59, 60, 61, most]))

    made, ends = b"", []
    for _ in range(60):
        key = chance.choice([b"a", b"b", b"long key " * 9])
        many = [word(60) for _ in range(2 * chance.choice([1, 2, 30]))]
        words: Sequence[bytes | int] = chance.choice(
            [
                (b"SET", key, word()), (b"SET", key, word(), b"EX", 50), (b"set", key, word(), b"px", b"5000"),
                (b"RPUSH", key, *many), (b"rpush", key, *many), (b"HSET", key, *many), (b"MSET", *many),
                (b"DEL", key, *many), (b"XADD", key, b"1-1", *many), (b"SELECT", chance.choice([0, 1, 2])),
                (b"APPEND", key, word(400)), (b"INCR", b"c"), (b"EVAL", word(300), 1, key, word()),
                (b"RESTORE", key, 5000, word(), b"REPLACE"), (b"PUBLISH", b"x", word(200)), (b"PING",),
                (b"GETEX", key, b"EX", b"100"), (b"SETEX", key, 100, word(300)), (b"FUNCTION", b"LOAD", word(99)),
                (b"PFADD", key, *many), (b"COPY", key, b"d"), (b"EVAL", b"return 1", 1, key, *many),
            ]
        )  # fmt: skip
        inside = chance.random() < 0.2 and words[0] != b"SELECT"
        made += b"".join([command(b"MULTI"), command(*words), command(b"EXEC")]) if inside else command(*words)
        made += chance.choice([b"", b"", b"#TS:1700000000\r\n"])
        ends.append(len(made))
    return made, ends


@pytest.mark.parametrize("seed", range(12))
def test_long_words_come_out_as_they_went_in(seed: int, tmp_path: Path) -> None:
    data, _ = some_log(seed)
    chance = random.Random(seed)
    tracks = chance.random() < 0.5
    held = Touched(tmp_path / "held.db") if tracks else None
    expected, _ = through(data, len(data), tmp_path, held, plain=True)
    for step in (3, 100, 1000):
        touched = Touched(tmp_path / "keys.db") if tracks else None
        found, places = through(data, step, tmp_path, touched, keys_matter=chance.random() < 0.5)
        assert found == expected
        assert places == sorted(places)
        if touched:
            touched.close()
    if held:
        held.close()
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("words-")], "the files have no names"


@pytest.mark.parametrize("seed", range(4))
def test_another_reader_goes_on_from_every_place(seed: int, tmp_path: Path) -> None:
    data, ends = some_log(1000 + seed)
    _, places = through(data, 50, tmp_path)
    assert set(places[1:-1]) <= set(ends) | {end - len(b"#TS:1700000000\r\n") for end in ends}


def test_what_is_sent_is_told_of_by_its_short_form(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    sieve = Sieve("x", 0, 0, None, alone=True, store=scratch)
    data = command(b"SET", b"key", b"v" * 5000)
    given = b""
    for at in range(0, len(data), 100):
        sieve.feed(data[at : at + 100])
        given += b"".join(sieve.take())
    whole = scratch.commands(given, len(data))
    assert isinstance(whole, Spilled)
    assert b"".join(whole) == b"".join(whole) == data, "as often as it is asked for"
    assert commands(short(whole))[0][:2] == [b"SET", b"key"]
    assert len(short(whole)) < 200


def test_a_word_that_is_not_as_long_as_it_says_is_damage_at_its_place(tmp_path: Path) -> None:
    before = command(b"SET", b"a", b"x" * 100)
    bad = command(b"SET", b"b", b"y" * 500)[:-2] + b"zz" + before
    sieve = Sieve("x", 0, 0, None, alone=True, store=Scratch(tmp_path))
    given: list[bytes] = []

    def read() -> None:
        for at in range(0, len(before + bad), 30):
            sieve.feed((before + bad)[at : at + 30])
            given.extend(sieve.take())

    with pytest.raises(BadData, match=f"at byte {len(before) + len(command(b'SET', b'b', b'y' * 500)) - 2}: "):
        read()
    assert len(commands(b"".join(given))) == 1


@pytest.mark.parametrize("cut", [60, 200, 520, 521])
def test_a_long_word_that_is_cut_off_is_given_out_in_no_part(cut: int, tmp_path: Path) -> None:
    before = command(b"INCR", b"a")
    data = before + command(b"RPUSH", b"l", b"x" * 500, b"y")[:cut]
    found, places = through(data, 64, tmp_path)
    assert found == [[b"INCR", b"a"]]
    assert places == [0, len(before)]


def test_what_a_server_would_not_take_is_refused_by_name(tmp_path: Path) -> None:
    sieve = Sieve("x.aof", 0, 0, None, alone=True, store=Scratch(tmp_path))
    sieve.feed(b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$%d\r\n" % (600 << 20))
    with pytest.raises(Unsupported, match=r"x\.aof: the command at byte 0 has a word of 629145600 bytes"):
        list(sieve.take())


def test_a_reader_that_wants_no_words_keeps_none() -> None:
    sieve = Sieve("x", 0, 0, None, alone=True, store=Nowhere())
    data = command(b"SET", b"a", b"x" * 5000) + command(b"RPUSH", b"l", *[b"w" * 30] * 50)
    given = b""
    for at in range(0, len(data), 100):
        sieve.feed(data[at : at + 100])
        given += b"".join(sieve.take())
    assert [words[:2] for words in commands(given)] == [[b"SET", b"a"], [b"RPUSH", b"l"]]
    assert sieve.at == len(data)
