"""Values are built again from ordinary commands, and have the same fingerprint in every encoding."""

import math
import struct
from collections.abc import Iterator
from itertools import pairwise

import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire.canon import Canon, canonical
from sterna.engines.redis.wire.kinds import kind_in, readable
from sterna.engines.redis.wire.recode import length, recode, string
from sterna.engines.redis.wire.tape import Tape
from sterna.engines.redis.wire.values import PIECE_BYTES, Piece, rebuild
from tests.unit.rdb_files import RECORDED, Words, commands, listpack, many, recorded, walk
from tests.unit.test_rdb_bytes import compress

Payloads = dict[bytes, bytes]


def build(number: int, value: bytes, *, source: int = 12, target: int = 12, step: int = 0) -> list[Piece]:
    """The pieces of a value that arrives ``step`` bytes at a time; 0: at once."""
    kind = kind_in(source, number)
    assert kind
    tape = Tape(b"" if step else value)
    at, pieces = 0, []
    for piece in rebuild(tape, kind, b"k", target=target, expires_ms=77):
        tape.drop()
        if piece:
            pieces.append(piece)
        else:
            assert at < len(value)
            tape.data += value[at : at + step]
            at += step
    assert tape.base == len(value)
    return pieces


def words(pieces: list[Piece]) -> list[Words]:
    found = [command for piece in pieces for command in commands(piece.data)]
    assert len(found) == sum(piece.commands for piece in pieces)
    assert found[0] == [b"DEL", b"k"]
    assert found[-1] == [b"PEXPIREAT", b"k", b"77"]
    return found[1:-1]


def text_of(found: list[Words]) -> bytes:
    assert all(command[:2] == [b"APPEND", b"k"] for command in found)
    return b"".join(command[2] for command in found)


@pytest.mark.parametrize("step", [0, 1000, 70000])
def test_long_strings_come_in_pieces_of_one_size(step: int) -> None:
    text = bytes(n * n % 251 for n in range(300_000))
    for value in (string(text), b"\xc3" + length(len(compress(text))) + length(len(text)) + compress(text)):
        pieces = build(0, value, step=step)
        assert text_of(words(pieces)) == text
        assert [len(command[2]) for command in words(pieces)[:-1]] == [PIECE_BYTES] * 4


def test_a_string_that_expands_a_thousandfold_stays_in_small_pieces() -> None:
    text = b"a" * 500_000
    pieces = build(0, b"\xc3" + length(len(compress(text))) + length(len(text)) + compress(text), step=100)
    assert text_of(words(pieces)) == text
    assert max(len(piece.data) for piece in pieces) < PIECE_BYTES + 200


def test_integers_and_the_empty_string() -> None:
    assert text_of(words(build(0, b"\xc1\x39\x30", step=1))) == b"12345"
    assert text_of(words(build(0, b"\x00", step=1))) == b""


@pytest.mark.parametrize("step", [0, 1, 999])
def test_collections_come_in_bounded_pieces_that_do_not_depend_on_their_arrival(step: int) -> None:
    elements = [b"element-%d" % n for n in range(1300)]
    pieces = build(1, length(1300) + many(*elements), step=step)
    assert [e for command in words(pieces) for e in command[2:]] == elements
    assert [len(command) - 2 for command in words(pieces)] == [512, 512, 276]
    wide = [b"%d" % n + b"x" * 20000 for n in range(10)]
    assert [len(command) - 2 for command in words(build(2, length(10) + many(*wide)))] == [4, 4, 2]


def test_scores_come_out_exactly() -> None:
    scores = [0.1, 1 / 3, 1e300, -5e-324, math.inf, -math.inf, 17.0, 2.0**60 + 512]
    value = length(len(scores)) + b"".join(string(b"m%d" % n) + _double(score) for n, score in enumerate(scores))
    found = words(build(5, value, step=3))
    assert [float(score) for score in found[0][2::2]] == scores
    old = length(3) + many(b"a") + b"\x0417.5" + many(b"b") + b"\xfe" + many(b"c") + b"\xff"
    assert words(build(3, old, step=1))[0][2:] == [b"17.5", b"a", b"inf", b"b", b"-inf", b"c"]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(BadData, match=r"Key 'k'.*no number"):
        build(5, length(1) + string(b"m") + _double(math.nan))


def _double(score: float) -> bytes:
    return struct.pack("<d", score)


def test_expiries_of_fields_are_set_where_the_target_knows_them() -> None:
    value = (
        (500).to_bytes(8, "little")
        + b"\x03"
        + b"\x01"
        + many(b"a", b"1")
        + b"\x00"
        + many(b"b", b"2")
        + b"\x01"
        + many(b"c", b"3")
    )
    found = words(build(24, value, step=1))
    assert found[0] == [b"HSET", b"k", b"a", b"1", b"b", b"2", b"c", b"3"]
    assert found[1] == [b"HPEXPIREAT", b"k", b"500", b"FIELDS", b"2", b"a", b"c"]
    assert words(build(24, value, target=80)) == found
    with pytest.raises(Unsupported, match=r"Key 'k'.*no expiry of single hash fields"):
        build(24, value, target=11)


def _node() -> bytes:
    """Three entries, the second deleted, the third with fields of its own, as one listpack."""
    entries: list[bytes | int] = [2, 1, 2, b"a", b"b", 0]
    entries += [2, 0, 1, b"1", b"2", 5]
    entries += [3, 0, 2, b"3", b"4", 5]
    entries += [0, 1, 0, 1, b"own", b"5", 6]
    body = b""
    for entry in entries:
        form = bytes([entry]) if isinstance(entry, int) else bytes([0x80 | len(entry)]) + entry
        body += form + bytes([len(form)])
    return (len(body) + 7).to_bytes(4, "little") + len(entries).to_bytes(2, "little") + body + b"\xff"


def _id(ms: int, seq: int) -> bytes:
    return ms.to_bytes(8, "big") + seq.to_bytes(8, "big")


def _stream(level: int) -> bytes:
    value = b"\x01" + string(_id(10, 0)) + string(_node())
    value += b"\x02" + b"\x0b\x00"
    value += b"\x0a\x01" + b"\x0a\x02" + b"\x03" if level > 1 else b""
    value += b"\x01" + string(b"group") + b"\x0b\x00" + (b"\x02" if level > 1 else b"")
    value += b"\x01" + _id(10, 1) + (999).to_bytes(8, "little") + b"\x04"
    value += b"\x02" + string(b"busy") + bytes(8) + (bytes(8) if level > 2 else b"") + b"\x01" + _id(10, 1)
    value += string(b"idle") + bytes(8) + (bytes(8) if level > 2 else b"") + b"\x00"
    return value


@pytest.mark.parametrize(("number", "level"), [(15, 1), (19, 2), (21, 3)])
def test_streams_come_with_their_ids_groups_and_pending_entries(number: int, level: int) -> None:
    found = words(build(number, _stream(level), step=1))
    assert found[:2] == [[b"XADD", b"k", b"10-1", b"a", b"1", b"b", b"2"], [b"XADD", b"k", b"11-0", b"own", b"5"]]
    more = [b"ENTRIESADDED", b"3", b"MAXDELETEDID", b"10-2"], [b"ENTRIESREAD", b"2"]
    extra = more if level > 1 else ([], [])
    claim = b"XCLAIM k group busy 0 10-1 TIME 999 RETRYCOUNT 4 FORCE JUSTID".split()
    assert found[2:] == [
        [b"XSETID", b"k", b"11-0", *extra[0]],
        [b"XGROUP", b"CREATE", b"k", b"group", b"11-0", *extra[1]],
        [b"XGROUP", b"CREATECONSUMER", b"k", b"group", b"busy"],
        claim,
        [b"XGROUP", b"CREATECONSUMER", b"k", b"group", b"idle"],
    ]


def test_older_targets_get_stream_commands_that_they_know() -> None:
    found = words(build(21, _stream(3), target=9))
    assert found[2] == [b"XSETID", b"k", b"11-0"]
    assert found[4] == [b"XREADGROUP", b"GROUP", b"group", b"busy", b"COUNT", b"1", b"STREAMS", b"k", b"0"]
    with pytest.raises(Unsupported, match="no streams"):
        build(21, _stream(3), target=8)


def test_an_empty_stream_is_made_through_a_group() -> None:
    found = words(build(15, b"\x00\x00\x05\x01\x00"))
    assert [command[:2] for command in found] == [
        [b"XGROUP", b"CREATE"],
        [b"XGROUP", b"DESTROY"],
        [b"XSETID", b"k"],
    ]


def _until_starved(pieces: Iterator[Piece | None]) -> Iterator[Piece]:
    for piece in pieces:
        if piece is None:
            return
        yield piece


def test_damaged_streams_do_no_more_than_raise() -> None:
    whole = _stream(1)
    kind = kind_in(9, 15)
    assert kind
    refused = 0
    for at in range(len(whole)):
        for bits in (0xFF, 0x80, 0x01):
            value = bytearray(whole)
            value[at] ^= bits
            try:
                pieces = list(_until_starved(rebuild(Tape(value), kind, b"k", target=11)))
            except (BadData, Unsupported):
                refused += 1
                continue
            assert sum(len(piece.data) for piece in pieces) < 2000
    assert refused > 100


def test_entries_that_were_handed_back_are_refused() -> None:
    value = _stream(3)
    up_to_consumers = value[: value.index(b"\x02" + string(b"busy"))]
    nobodys = up_to_consumers + b"\x00" + b"\x01" + _id(10, 1) + bytes(5)
    with pytest.raises(Unsupported, match="XNACK"):
        build(27, nobodys, source=14, target=14)
    kind = kind_in(14, 27)
    assert kind
    with pytest.raises(Unsupported, match="XNACK"):
        recode(kind, nobodys, 12)


# Fingerprints


def payloads(server: str) -> Payloads:
    seen = walk(recorded(server), target_version=RECORDED[server])
    return {words[1]: words[3] for words in seen.commands if words[0] == b"RESTORE"}


@pytest.fixture(scope="module")
def dumps() -> dict[str, Payloads]:
    return {server: payloads(server) for server in RECORDED}


def fingerprint(number: int, value: bytes, version: int) -> Canon:
    return canonical(bytes([number]) + value + version.to_bytes(2, "little") + bytes(8))


TIMED = (b"stream:groups",)  # the moments of delivery are those of the recording


def test_every_version_of_a_server_gives_the_same_fingerprints(dumps: dict[str, Payloads]) -> None:
    for older, newer in pairwise(dumps):
        shared = [key for key in dumps[older] if key in dumps[newer] and key not in TIMED]
        assert len(shared) >= 37
        for key in shared:
            assert canonical(dumps[older][key]) == canonical(dumps[newer][key]), (older, newer, key)
    assert any(dumps["redis62"][key] != dumps["valkey91"][key] for key in dumps["redis62"])


def test_rewriting_a_value_keeps_its_fingerprint(dumps: dict[str, Payloads]) -> None:
    rewritten = 0
    for server, version in RECORDED.items():
        for key, payload in dumps[server].items():
            kind = kind_in(version, payload[0])
            assert kind
            for target in (7, 8, 9, 10, 11, 12, 80):
                if readable(kind, target) or not _can(kind.type, key, target):
                    continue
                new, value = recode(kind, payload[1:-10], target)
                assert readable(new, target)
                assert fingerprint(new.number, value, new.since) == canonical(payload), (server, key, target)
                rewritten += 1
    assert rewritten > 100


def _can(type: str, key: bytes, target: int) -> bool:
    return (type != "stream" or target >= 9) and (not key.startswith(b"hash:expiring") or target >= 12)


def test_building_a_value_again_names_all_that_it_holds(dumps: dict[str, Payloads]) -> None:
    for server, version in RECORDED.items():
        for key, payload in dumps[server].items():
            canon = canonical(payload)
            found = words(build(payload[0], payload[1:-10], source=version, step=100))
            assert _count(canon.type, found) == canon.count, (server, key)


def _count(type: str, found: list[Words]) -> int:
    if type == "string":
        return len(text_of(found))
    if type == "stream":
        return sum(command[0] == b"XADD" for command in found)
    width = 2 if type in ("hash", "zset") else 1
    return sum((len(command) - 2) // width for command in found if command[0] != b"HPEXPIREAT")


def test_the_order_counts_only_where_clients_see_it() -> None:
    def of(number: int, *strings: bytes) -> Canon:
        width = 2 if number == 4 else 1
        return fingerprint(number, length(len(strings) // width) + many(*strings), 11)

    assert of(2, b"a", b"b") == of(2, b"b", b"a")
    assert of(4, b"a", b"1", b"b", b"2") == of(4, b"b", b"2", b"a", b"1")
    assert of(4, b"a", b"1", b"b", b"2") != of(4, b"a", b"2", b"b", b"1")
    assert of(1, b"a", b"b") != of(1, b"b", b"a")
    assert of(1, b"ab", b"c") != of(1, b"a", b"bc")
    assert of(2, b"1", b"2") == fingerprint(11, string(b"\x02\0\0\0\x02\0\0\0\x02\0\x01\0"), 11)


def test_expiries_scores_and_pending_entries_count() -> None:
    def field(moment: int) -> Canon:
        return fingerprint(22, b"\x01" + many(b"f", b"v") + moment.to_bytes(8, "little", signed=True), 80)

    assert field(500) != field(501) != field(-1)
    assert field(-1) == fingerprint(4, b"\x01" + many(b"f", b"v"), 11)
    assert fingerprint(5, b"\x01" + string(b"m") + _double(-0.0), 11) == fingerprint(3, b"\x01\x01m\x010", 11)
    assert fingerprint(15, _stream(1), 9) == fingerprint(21, _stream(3), 11)
    other = _stream(3).replace((999).to_bytes(8, "little"), (998).to_bytes(8, "little"))
    assert fingerprint(21, other, 11) != fingerprint(21, _stream(3), 11)


def test_old_encodings_are_the_same_as_new_ones() -> None:
    plain = fingerprint(4, b"\x01" + many(b"f", b"val"), 11)
    assert fingerprint(9, string(b"\x01\x01f\x03\x00val\xff"), 11) == plain
    assert fingerprint(16, string(listpack(b"f", b"val")), 11) == plain


BROKEN = [
    b"",
    bytes(10),
    b"\x00\x05ab" + b"\x0b\x00" + bytes(8),
    b"\x00\x02abc" + b"\x0b\x00" + bytes(8),
    b"\x10" + string(listpack(b"f")) + b"\x0b\x00" + bytes(8),
    b"\x10" + string(b"rubbish") + b"\x0b\x00" + bytes(8),
]


@pytest.mark.parametrize("payload", BROKEN)
def test_payloads_that_are_damaged_have_no_fingerprint(payload: bytes) -> None:
    with pytest.raises(BadData):
        canonical(payload)


def test_values_of_modules_cannot_be_compared() -> None:
    with pytest.raises(Unsupported):
        canonical(b"\x07" + bytes(20))
