"""An RDB file becomes RESTORE commands, wherever it is cut and whatever is in it."""

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire.crc64 import crc64
from sterna.engines.redis.wire.rdb import Place, Restored
from sterna.engines.redis.wire.recode import length, string
from tests.unit.rdb_files import (
    NOW_MS,
    RECORDED,
    Walked,
    commands,
    database,
    expiring,
    key,
    listpack,
    many,
    recorded,
    sealed,
    steps,
    text_key,
    walk,
    walker,
)


def payload(number: int, value: bytes, version: int) -> bytes:
    body = b"%c" % number + value + version.to_bytes(2, "little")
    return body + crc64(body).to_bytes(8, "little")


def test_a_key_becomes_a_restore_with_its_value_untouched() -> None:
    seen = walk(sealed(database(0), text_key(b"name", b"value")))
    restore = [b"RESTORE", b"name", b"0", payload(0, b"\x05value", 6), b"REPLACE"]
    assert seen.commands == [[b"SELECT", b"0"], restore]
    assert (seen.keys, seen.replies) == (1, 2)
    assert seen.end
    assert seen.end.checked


@pytest.mark.parametrize("server", RECORDED)
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_recorded_file_gives_the_same_however_it_is_cut(server: str, chunk: int) -> None:
    data, version = recorded(server), RECORDED[server]
    whole = walk(data, target_version=version)
    cut = walk(data, chunk=chunk, most=100, target_version=version)
    assert cut.keyed == whole.keyed
    assert whole.keys == len([c for c in whole.commands if c[0] == b"RESTORE"]) >= 38
    assert whole.end == cut.end
    assert whole.functions == cut.functions


@pytest.mark.parametrize("server", RECORDED)
def test_another_walker_goes_on_from_every_place(server: str) -> None:
    data = recorded(server)
    options = {"target_version": RECORDED[server], "limit": 500}
    whole = walk(data, most=1, **options)
    assert len(whole.places) > 30
    for place in whole.places:
        copy = Place.parse(str(place))
        assert copy == place
        rest = walk(data, most=1, place=copy, **options)
        assert rest.end == whole.end
        done = len(whole.keyed) - len(rest.keyed)
        assert rest.keyed == whole.keyed[done:]


def test_a_walk_stops_when_it_has_enough() -> None:
    source = walker()
    source.feed(sealed(*(text_key(b"key%d" % n, b"x" * 100) for n in range(100))))
    result = source.walk(1000)
    assert isinstance(result, Restored)
    assert 1000 <= len(result.data) < 1200
    again = source.walk(1000, result.selected)
    assert isinstance(again, Restored)
    assert commands(again.data)[0][1] == b"key%d" % result.keys


def test_databases_are_mapped_and_left_out() -> None:
    data = sealed(
        database(0), text_key(b"a", b""), database(5), text_key(b"b", b""), database(7), text_key(b"c", b"")
    )
    seen = walk(data, databases={0: 3, 7: 3}.get)
    assert [words[:2] for words in seen.commands] == [[b"SELECT", b"3"], [b"RESTORE", b"a"], [b"RESTORE", b"c"]]
    assert seen.left_out == 1


def test_keys_that_nobody_wants_are_left_out() -> None:
    records = [text_key(b"%s:%d" % (name, n), b"") for n in range(50) for name in (b"user", b"cache")]
    seen = walk(sealed(database(2), *records), keep=lambda db, key: db == 2 and key.startswith(b"user:"))
    assert (seen.keys, seen.left_out) == (50, 50)
    assert all(words[1].startswith(b"user:") for words in seen.commands[1:])


def test_a_full_copy_leaves_out_what_has_expired() -> None:
    data = sealed(
        expiring(NOW_MS, text_key(b"gone", b"")),
        expiring(NOW_MS + 1, text_key(b"here", b"")),
        expiring(0, text_key(b"never was", b"")),
    )
    seen = walk(data)
    assert (seen.keys, seen.expired) == (1, 2)
    assert seen.commands[1][1:3] == [b"here", b"%d" % (NOW_MS + 1)]
    assert seen.commands[1][4:] == [b"REPLACE", b"ABSTTL"]


def test_expiries_are_held_while_changes_follow() -> None:
    hold = 10**15
    data = sealed(
        expiring(5, text_key(b"a", b"")), expiring(-5, text_key(b"b", b"")), expiring(hold, text_key(b"c", b""))
    )
    seen = walk(data, hold_ms=hold)
    assert [words[2] for words in seen.commands[1:]] == [b"%d" % (hold + 5), b"1", b"%d" % hold]


def test_what_expired_before_a_moment_can_be_left_out_too() -> None:
    data = sealed(expiring(99, text_key(b"a", b"")), expiring(100, text_key(b"b", b"")))
    seen = walk(data, hold_ms=1000, skip_expired_before_ms=100)
    assert [words[1:3] for words in seen.commands[1:]] == [[b"b", b"1100"]]


def test_expiries_in_seconds_and_relative_ones() -> None:
    record = b"\xfd" + (NOW_MS // 1000 + 60).to_bytes(4, "little") + text_key(b"a", b"")
    assert walk(sealed(record)).commands[1][2] == b"%d" % (NOW_MS + 60_000)
    relative = walk(sealed(record), absolute=False, hints=False, replace=False).commands[1]
    assert relative[2] == b"60000"
    assert len(relative) == 4


def test_idle_time_and_frequency_are_passed_on() -> None:
    data = sealed(b"\xf8" + length(500) + text_key(b"a", b""), b"\xf9\xc8" + text_key(b"b", b""))
    assert [words[5:] for words in walk(data).commands[1:]] == [[b"IDLETIME", b"500"], [b"FREQ", b"200"]]
    assert [words[5:] for words in walk(data, hints=False).commands[1:]] == [[], []]


def test_keys_may_be_integers_and_compressed() -> None:
    integer = b"\x00\xc1\x39\x30" + string(b"x")
    compressed = b"\x00\xc3" + length(5) + length(11) + b"\x00a\xe0\x01\x00" + string(b"x")
    assert [words[1] for words in walk(sealed(integer, compressed)).commands[1:]] == [b"12345", b"a" * 11]


def test_what_the_file_says_about_itself_is_kept() -> None:
    data = sealed(
        b"\xfa" + many(b"redis-ver", b"7.2.4"),
        b"\xfa" + string(b"used-mem") + b"\xc2\x00\x00\x10\x00",
        database(0),
        b"\xfb\x07\x02",
        b"\xf4" + length(16383) + b"\x01\x00",
        text_key(b"a", b""),
        database(1),
        b"\xfb\x05\x00",
    )
    source = walk(data).walker
    assert source
    assert source.facts.aux == {"redis-ver": "7.2.4", "used-mem": "1048576"}
    assert source.facts.keys == 12


def test_function_libraries_come_after_the_keys_before_them() -> None:
    data = sealed(text_key(b"a", b""), b"\xf5" + string(b"#!lua name=x"), text_key(b"b", b""))
    seen = walk(data)
    assert seen.functions == [b"#!lua name=x"]
    assert seen.keys == 2


def test_settings_of_a_module_are_passed_over_with_a_note() -> None:
    id = _module_id("ReJSON-RL", 3)
    note = (
        b"\xf7"
        + b"\x81"
        + id.to_bytes(8, "big")
        + b"\x02\x02"
        + b"\x01\x05\x02\x40\x41\x03abcd\x04abcdefgh\x05\x02hi\x00"
    )
    for chunk in (1, 1000):
        seen = walk(sealed(note, text_key(b"a", b"")), chunk=chunk)
        assert seen.keys == 1
        assert seen.walker
        assert seen.walker.facts.notes == ["What the module 'ReJSON-RL' keeps beside its keys is not moved"]


def _module_id(name: str, version: int) -> int:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    id = 0
    for letter in name:
        id = id << 6 | letters.index(letter)
    return id << 10 | version


MODULE_VALUE = b"\x81" + _module_id("ReJSON-RL", 3).to_bytes(8, "big") + b"\x05\x02hi\x00"


def test_a_value_of_a_module_is_refused_by_name() -> None:
    data = sealed(text_key(b"a", b""), key(b"document", 7, MODULE_VALUE))
    seen = Walked(walker=walker())
    with pytest.raises(Unsupported, match=r"RDB offset 23: key 'document' is a value of the module 'ReJSON-RL'"):
        for _ in steps(seen, data, 1000, 1000):
            pass
    assert seen.keys == 1


def test_a_value_of_a_module_that_nobody_wants_is_passed_over() -> None:
    data = sealed(key(b"document", 7, MODULE_VALUE), text_key(b"a", b""))
    assert walk(data, chunk=3, keep=lambda _, key: key == b"a").left_out == 1


@pytest.mark.parametrize(
    ("magic", "record", "words"),
    [
        (b"REDIS0012", key(b"k", 22, b""), "release candidate of Redis 7.4"),
        (b"REDIS0015", key(b"k", 29, b""), "template"),
        (b"VALKEY081", key(b"k", 23, b""), "path hash"),
        (b"REDIS0008", key(b"k", 6, b""), "release candidate of Redis 4.0"),
        (b"REDIS0010", b"\xf6", "functions of a release candidate"),
        (b"REDIS0013", b"\xf3\x01", "metadata that a module"),
        (b"REDIS0013", b"\xfc" + bytes(8) + b"\xf3\x01", "metadata that a module"),
        (b"REDIS0015", b"\xf2", "hash templates"),
    ],
)
def test_what_cannot_be_moved_is_refused_by_name(magic: bytes, record: bytes, words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        walk(sealed(text_key(b"a", b""), record, magic=magic))


def test_an_importing_slot_of_a_valkey_is_noted() -> None:
    seen = walk(sealed(b"\xf3" + string(b"job") + b"\x02\x00\x05\x10\x20", magic=b"VALKEY080"), target_version=80)
    assert seen.walker
    assert seen.walker.facts.notes == ["The source was importing slots"]


@pytest.mark.parametrize(
    ("source", "number", "value", "target", "expected"),
    [
        (b"REDIS0010", 16, string(listpack(b"f", b"v")), 9, (4, b"\x01\x01f\x01v", 6)),
        (b"REDIS0010", 17, string(listpack(b"m", b"2.5")), 9, (5, b"\x01\x01m" + bytes(6) + b"\x04@", 8)),
        (b"REDIS0010", 17, string(listpack(b"m", b"2.5")), 7, (3, b"\x01\x01m\x032.5", 6)),
        (
            b"REDIS0010",
            18,
            b"\x02\x02" + string(listpack(b"a", b"b")) + b"\x01" + string(b"c"),
            9,
            (1, b"\x03\x01a\x01b\x01c", 6),
        ),
        (b"REDIS0011", 20, string(listpack(b"a", b"b")), 10, (2, b"\x02\x01a\x01b", 6)),
        (b"REDIS0011", 20, string(listpack(b"a", b"b")), 80, (20, string(listpack(b"a", b"b")), 11)),
        (
            b"REDIS0012",
            24,
            (500).to_bytes(8, "little") + b"\x01\x00" + many(b"f", b"v"),
            11,
            (4, b"\x01\x01f\x01v", 6),
        ),
        (
            b"REDIS0012",
            24,
            (500).to_bytes(8, "little") + b"\x02\x03" + many(b"f", b"v") + b"\x00" + many(b"g", b"w"),
            80,
            (22, b"\x02\x01f\x01v" + (502).to_bytes(8, "little") + b"\x01g\x01w" + b"\xff" * 8, 80),
        ),
        (
            b"VALKEY080",
            22,
            b"\x02\x01f\x01v" + (502).to_bytes(8, "little") + b"\x01g\x01w" + b"\xff" * 8,
            12,
            (24, (502).to_bytes(8, "little") + b"\x02\x01" + many(b"f", b"v") + b"\x00" + many(b"g", b"w"), 12),
        ),
    ],
)
def test_a_value_that_the_target_cannot_read_is_written_in_a_form_that_it_can(
    source: bytes, number: int, value: bytes, target: int, expected: tuple[int, bytes, int]
) -> None:
    seen = walk(sealed(key(b"k", number, value), magic=source), target_version=target)
    assert seen.commands[1][3] == payload(*expected)


def test_field_expiries_that_the_target_does_not_know_are_refused_with_the_key() -> None:
    value = (500).to_bytes(8, "little") + b"\x01\x01" + many(b"f", b"v")
    for limit in (1000, 1):
        with pytest.raises(Unsupported, match=r"ey 'k'.*no expiry of single hash fields"):
            walk(sealed(key(b"k", 24, value), magic=b"REDIS0012"), target_version=11, limit=limit)


def test_streams_are_refused_by_a_target_that_is_older_than_they() -> None:
    value = b"\x00\x00\x01\x01\x00"
    with pytest.raises(Unsupported, match="no streams"):
        walk(sealed(key(b"k", 15, value), magic=b"REDIS0009"), target_version=8)


def test_what_redis_8_6_remembers_of_producers_is_read_and_left_to_it() -> None:
    producers = (
        b"\x10\x20"
        + b"\x01"
        + string(b"producer")
        + b"\x02"
        + string(b"one")
        + b"\x05\x01"
        + string(b"two")
        + b"\x05\x02"
    )
    head = b"\x00" + b"\x00" + b"\x05\x01" + b"\x00\x00" + b"\x00\x00" + b"\x02" + b"\x00"
    data = sealed(key(b"k", 26, head + producers + b"\x02\x00"), text_key(b"a", b""), magic=b"REDIS0013")
    assert walk(data, target_version=13).commands[1][3] == payload(26, head + producers + b"\x02\x00", 13)
    assert walk(data, target_version=12).commands[1][3] == payload(21, head, 11)
    assert walk(data, target_version=9).commands[1][3] == payload(15, b"\x00\x00\x05\x01\x00", 9)


def test_arrays_go_to_servers_that_have_them() -> None:
    value = (
        b"\x04\x01\x09" + b"\x00\x00\x02hi" + b"\x01\x01" + bytes(8) + b"\x02\x02" + bytes(8) + b"\x03\x03\x01x"
    )
    data = sealed(key(b"k", 28, value), text_key(b"a", b""), magic=b"REDIS0014")
    for chunk in (1, 1000):
        assert walk(data, chunk=chunk, target_version=14).commands[1][3] == payload(28, value, 14)
    with pytest.raises(Unsupported, match="array is not known"):
        walk(data, target_version=13)


# Large values


def test_a_value_above_the_limit_is_built_again_in_pieces() -> None:
    value = length(3000) + many(*(b"element-%d" % n for n in range(3000)))
    data = sealed(
        database(4), text_key(b"a", b""), expiring(NOW_MS + 9, key(b"list", 1, value)), text_key(b"z", b"")
    )
    seen = walk(data, chunk=100, limit=1000)
    big = seen.bigs[0]
    assert (big.key, big.type, big.database, big.expires_ms) == (b"list", "list", 4, NOW_MS + 9)
    words = [c for c in seen.commands if c[1] == b"list"]
    assert words[0] == [b"DEL", b"list"]
    assert words[-1] == [b"PEXPIREAT", b"list", b"%d" % (NOW_MS + 9)]
    assert [e for c in words[1:-1] for e in c[2:]] == [b"element-%d" % n for n in range(3000)]
    assert all(len(c) <= 514 for c in words)
    assert seen.end
    assert seen.end.checked
    assert seen.commands[-1][1] == b"z"


def test_pieces_can_be_skipped_after_an_interruption() -> None:
    value = length(3000) + many(*(b"element-%d" % n for n in range(3000)))
    data = sealed(key(b"list", 1, value))
    source = walker(limit=100)
    source.feed(data)
    source.walk(1000)
    whole = list(source.pieces())
    assert [piece.number for piece in whole if piece] == list(range(6))
    again = walker(limit=100, place=Place.parse("9:0:" + f"{crc64(data[:9]):016x}:REDIS0011"))
    again.feed(data[9:])
    again.walk(1000)
    assert list(again.pieces(skip=4)) == whole[4:]


def test_whether_a_value_is_large_does_not_depend_on_how_it_arrives() -> None:
    data = sealed(
        key(b"a", 0, string(b"x" * 100)), key(b"b", 2, length(10) + many(*(b"member%d" % n for n in range(10))))
    )
    for limit in range(60, 110):
        sizes = {tuple(big.key for big in walk(data, chunk=chunk, limit=limit).bigs) for chunk in (1, 13, 1000)}
        assert len(sizes) == 1


def test_memory_stays_small_while_a_large_value_that_nobody_wants_goes_past() -> None:
    source = walker(keep=lambda _, key: key == b"a")
    head = b"REDIS0011" + b"\x00" + string(b"huge") + length(1 << 33)
    source.feed(head)
    source.walk(1000)
    for _ in range(64):
        source.feed(bytes(1 << 16))
        source.walk(1000)
        assert len(source._tape.data) <= 1 << 17
    assert source.place.offset == 9


# Damage


def test_a_file_that_is_cut_off_says_where() -> None:
    data = recorded("redis70")
    for at in [*range(1, 200), *range(200, len(data), 97), len(data) - 1]:
        with pytest.raises(BadData, match=f"truncated at offset {at}$"):
            walk(data[:at], chunk=50, limit=300, target_version=10)


def test_a_wrong_checksum_is_found_also_after_going_on_in_the_middle() -> None:
    data = bytearray(sealed(text_key(b"a", b"value"), text_key(b"b", b"value")))
    middle = walk(bytes(data), most=1).places[0]
    data[-12] ^= 1
    with pytest.raises(BadData, match="checksum"):
        walk(bytes(data))
    with pytest.raises(BadData, match="checksum"):
        walk(bytes(data), place=middle)


def test_a_file_without_checksum_is_taken() -> None:
    end = walk(sealed(text_key(b"a", b""), checksum=False)).end
    assert end
    assert not end.checked
    old = b"REDIS0004" + text_key(b"a", b"") + b"\xff"
    assert walk(old).keys == 1


def test_what_is_behind_the_file_is_given_back() -> None:
    source = walk(sealed(text_key(b"a", b"")) + b"*1\r\n$4\r\nPING\r\n").walker
    assert source
    assert source.rest() == b"*1\r\n$4\r\nPING\r\n"


@pytest.mark.parametrize(
    "magic", [b"GARBAGE!!", b"REDIS00xx", b"VALKEY011", b"REDIS0080", b"REDIS0000", b"redis0011"]
)
def test_other_files_are_not_taken_for_rdb_files(magic: bytes) -> None:
    with pytest.raises(BadData, match="no RDB file begins with"):
        walk(sealed(magic=magic))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (b"\x08" + string(b"k"), "offset 21: key 'k': no value has the type 8"),
        (b"\xf1", "offset 18: no record begins with 241|no value has the type 241"),
        (b"\x00" + string(b"k") + b"\x82", "key 'k': no length begins with 0x82"),
        (b"\x00" + string(b"k") + b"\xc4", "key 'k': no string has the encoding 4"),
        (b"\x00" + string(b"k") + b"\x81" + b"\xff" * 8, "key 'k': a string of 18446744073709551615 bytes"),
        (b"\x01" + string(b"k") + b"\x81\x10" + bytes(7), "key 'k': 1152921504606846976 elements"),
        (b"\x00" + string(b"k") + b"\xc3\x01\x80\x00\x00\xff\xff" + b"\0", "cannot have 1 bytes for 65535"),
        (b"\x00\x81\x10" + bytes(7), "a string of 1152921504606846976 bytes"),
        (b"\xfc" + bytes(8) + b"\xfe\x00", "254 stands between an expiry and its key"),
        (b"\xfe\xc0", "a length was expected"),
        (b"\x04" + string(b"k") + b"\xc1", "key 'k': a length was expected"),
    ],
)
def test_damage_is_said_with_its_place_and_nothing_behind_it_is_given_out(record: bytes, words: str) -> None:
    data = sealed(text_key(b"ok", b"fine"), record, text_key(b"behind", b""))
    for chunk in (1, 5, 1000):
        seen = Walked(walker=walker())
        with pytest.raises(BadData, match=words):
            for _ in steps(seen, data, chunk, 1000):
                pass
        assert seen.keys == 1
        assert b"behind" not in seen.data


def test_a_length_of_many_bytes_allocates_nothing() -> None:
    data = b"REDIS0011" + b"\x00" + string(b"k") + b"\x81" + (1 << 39).to_bytes(8, "big") + b"xxxx"
    with pytest.raises(BadData, match="truncated"):
        walk(data)


def test_a_place_that_was_not_written_by_us_is_refused() -> None:
    for text in ("", "1:2:3", "a:0:0:REDIS0011", "1:0:0:NONSENSE!"):
        with pytest.raises(BadData):
            Place.parse(text)
