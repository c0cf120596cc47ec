"""What the beginning of an RDB file says about the stream after it."""

import pytest

from sterna.engines.redis.wire.opening import stream_database
from sterna.engines.redis.wire.recode import string
from tests.unit.rdb_files import RECORDED, recorded

MAGIC = b"REDIS0011"


def aux(name: bytes, value: bytes) -> bytes:
    return b"\xfa" + string(name) + string(value)


def test_the_database_of_the_stream_is_read_however_the_file_is_cut() -> None:
    whole = MAGIC + aux(b"redis-ver", b"7.2.4") + b"\xfa" + string(b"repl-stream-db") + b"\xc0\x0b"
    assert [stream_database(whole[:size]) for size in range(len(whole))] == [None] * len(whole)
    assert stream_database(whole) == 11
    assert stream_database(whole + b"\xfe\x00") == 11


@pytest.mark.parametrize(
    "rest",
    [
        b"\xfe\x00",
        b"\xff",
        aux(b"redis-ver", b"7.2.4") + b"\xfe\x03",
        aux(b"repl-stream-db", b"-1"),
        aux(b"repl-stream-db", b"many"),
        b"\xfa\xc9damaged",
    ],
)
def test_a_file_that_does_not_say_says_so(rest: bytes) -> None:
    assert stream_database(MAGIC + rest) == -1


@pytest.mark.parametrize("server", RECORDED)
def test_files_of_masters_that_nobody_follows_do_not_say(server: str) -> None:
    assert stream_database(recorded(server)) == -1
