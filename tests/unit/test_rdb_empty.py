"""Keys of an RDB file that hold no element."""

from typing import Any

import pytest

from sterna.engines.redis.wire.recode import length, string
from tests.unit.rdb_files import Walked, commands, key, listpack, pure_python, sealed, text_key, walk

ZIPLIST = bytes.fromhex("0b0000000a0000000000ff")
LISTPACK = listpack()
LATER = (4_102_444_800_000).to_bytes(8, "little")

EMPTY = {
    b"list": key(b"list", 1, length(0)),
    b"set": key(b"set", 2, length(0)),
    b"zset": key(b"zset", 3, length(0)),
    b"hash": key(b"hash", 4, length(0)),
    b"zset 2": key(b"zset 2", 5, length(0)),
    b"list ziplist": key(b"list ziplist", 10, string(ZIPLIST)),
    b"zset ziplist": key(b"zset ziplist", 12, string(ZIPLIST)),
    b"hash ziplist": key(b"hash ziplist", 13, string(ZIPLIST)),
    b"quicklist": key(b"quicklist", 14, length(0)),
    b"quicklist of empty nodes": key(b"quicklist of empty nodes", 14, length(2) + string(ZIPLIST) * 2),
    b"hash listpack": key(b"hash listpack", 16, string(LISTPACK)),
    b"zset listpack": key(b"zset listpack", 17, string(LISTPACK)),
    b"quicklist 2": key(b"quicklist 2", 18, length(0)),
    b"quicklist 2, empty node": key(b"quicklist 2, empty node", 18, length(1) + b"\x02" + string(LISTPACK)),
    b"set listpack": key(b"set listpack", 20, string(LISTPACK)),
}  # fmt: skip
EMPTY_12 = {
    b"hash with expiries": key(b"hash with expiries", 24, LATER + length(0)),
    b"listpack with expiries": key(b"listpack with expiries", 25, LATER + string(LISTPACK)),
}
NOT_EMPTY = {
    b"text": text_key(b"text", b""),
    b"seven": text_key(b"seven", b"x" * 7),
    b"plain node": key(b"plain node", 18, length(1) + b"\x01" + string(b"x" * 7)),
    b"second node": key(
        b"second node", 18, length(2) + b"\x02" + string(LISTPACK) + b"\x02" + string(listpack(b"a"))
    ),
    b"stream": key(b"stream", 15, length(0) * 5),
    b"one": key(b"one", 2, length(1) + string(b"")),
}


def walked(data: bytes, native: bool, **options: Any) -> Walked:
    if native:
        return walk(data, target_version=12, **options)
    with pure_python():
        return walk(data, target_version=12, **options)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("chunk", [1 << 20, 7])
def test_keys_that_hold_no_element_are_left_out_counted_and_named(native: bool, chunk: int) -> None:
    """Each stands between two keys that do hold something."""
    files = EMPTY | EMPTY_12
    records = [each + text_key(b"after " + name, b"x") for name, each in files.items()]
    found = walked(sealed(*records, magic=b"REDIS0012"), native, chunk=chunk)
    assert found.walker is not None
    facts = found.walker.facts
    assert (facts.empty, facts.empty_keys) == (len(files), list(files)[:10])
    assert [words[1] for words in found.keyed] == [b"after " + name for name in files]
    assert (found.keys, found.left_out) == (len(files), len(files))
    (said,) = facts.said()
    assert said.startswith("17 keys hold no element and are left out")
    assert "'list', 'set', 'zset'" in said
    assert said.endswith(" …")


@pytest.mark.parametrize("native", [True, False])
def test_what_is_short_but_holds_something_is_no_empty_key(native: bool) -> None:
    found = walked(sealed(*NOT_EMPTY.values(), magic=b"REDIS0012"), native)
    assert found.walker is not None
    assert [words[1] for words in found.keyed] == list(NOT_EMPTY)
    assert not found.walker.facts.said()


def test_an_empty_key_may_clear_its_name_on_the_target() -> None:
    data = sealed(text_key(b"a", b"1"), EMPTY[b"list"], text_key(b"b", b"2"), magic=b"REDIS0012")
    found = walked(data, True, clear=True)
    assert [words[:2] for words in commands(found.data)] == [
        [b"SELECT", b"0"], [b"RESTORE", b"a"], [b"DEL", b"list"], [b"RESTORE", b"b"],
    ]  # fmt: skip
    assert found.replies == 4
    assert found.keys == 2
