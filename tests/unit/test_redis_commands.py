"""The table of keys says what real servers say."""

import json
from pathlib import Path
from typing import Any

import pytest

from sterna.engines.redis.wire import commands
from sterna.engines.redis.wire.rewrite import HANDLERS

FACTS: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "redis_commands.json").read_text())
WITHOUT_KEYS = {b"FLUSHALL", b"FLUSHDB", b"SWAPDB"}
NEVER_REPLICATED = {b"MIGRATE"}


@pytest.mark.parametrize("name", FACTS["write_commands"])
def test_every_write_command_of_a_server_has_the_keys_that_the_server_names(name: str) -> None:
    first, last, step, movable = FACTS["write_commands"][name]
    known = name.encode()
    if known in WITHOUT_KEYS:
        assert known in HANDLERS
    elif movable:
        assert known in commands.FINDERS or known in NEVER_REPLICATED
    else:
        assert commands.RANGES[known] == (first, last, step)


@pytest.mark.parametrize("text", FACTS["keys"])
def test_the_keys_of_a_command_are_those_that_the_server_finds(text: str) -> None:
    words = text.encode().split()
    places = commands.keys(words[0], words)
    assert places is not None
    assert {words[place].decode() for place in places} == set(FACTS["keys"][text])


def test_commands_cut_short_have_no_keys_beyond_their_end() -> None:
    for name in (*commands.RANGES, *commands.FINDERS, b"JSON.SET"):
        for count in range(5):
            words = [name, *[b"9"] * count]
            assert all(0 < place < len(words) for place in commands.keys(name, words) or [])


def test_an_unknown_command_has_no_known_keys() -> None:
    assert commands.keys(b"NEWTHING", [b"NEWTHING", b"a"]) is None
    assert commands.keys(b"OTHER.THING", [b"OTHER.THING", b"a"]) is None
