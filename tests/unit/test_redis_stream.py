"""The command stream: every rule on literal bytes as masters send them, however they are cut."""

from collections.abc import Callable

import hiredis
import pytest

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire import stream as module
from sterna.engines.redis.wire.resp import MOST_BULK, command
from sterna.engines.redis.wire.stream import Piece, Rules, Transformer

NOW = 1_700_000_000_000
HOLD = 10**11
FAR = 1_800_000_000_000


def line(text: str) -> bytes:
    """A command from its words, separated by blanks."""
    return command(*text.encode().split())


def lines(*texts: str) -> bytes:
    return b"".join(map(line, texts))


def words(data: bytes) -> list[str]:
    """The commands in some bytes, one text for each."""
    reader = hiredis.Reader()
    reader.feed(data)
    found = []
    while (reply := reader.gets()) is not False:
        found.append(b" ".join(reply).decode(errors="replace"))
    return found


def all_of(data: bytes, rules: Rules, *, database: int = -1) -> Piece:
    """One piece that covers all of some stream."""
    transformer = Transformer(rules, database=database)
    transformer.feed(data, NOW)
    piece = transformer.take(1 << 30, 1 << 30)
    assert piece.consumed == len(data)
    assert piece.count == len(words(piece.data))
    assert transformer.take(1 << 30, 1 << 30).consumed == 0
    return piece


def sent(*texts: str, rules: Rules | None = None, database: int = 0) -> list[str]:
    """What becomes of some commands in database 0; the SELECT before them is left out."""
    found = words(all_of(lines(*texts), rules or Rules(), database=database).data)
    if found:
        assert found[0].startswith("SELECT ")
    return found[1:]


def exhaust(transformer: Transformer) -> None:
    while transformer.take(1 << 20, 100).consumed:
        pass


def refused(*texts: str, rules: Rules | None = None) -> Unsupported:
    transformer = Transformer(rules or Rules(), database=0)
    transformer.feed(lines(*texts), NOW)
    with pytest.raises(Unsupported) as caught:
        transformer.take(1 << 30, 1 << 30)
    assert texts[0].split()[0] in caught.value.message
    return caught.value


REDIS_70 = (
    b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*3\r\n$3\r\nset\r\n$1\r\na\r\n$1\r\n1\r\n*1\r\n$4\r\nPING\r\n"
    b"*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nincr\r\n$1\r\na\r\n*2\r\n$6\r\nSELECT\r\n$1\r\n2\r\n"
    b"*5\r\n$3\r\nset\r\n$1\r\nb\r\n$1\r\n2\r\n$4\r\nPXAT\r\n$13\r\n1800000000000\r\n*1\r\n$4\r\nEXEC\r\n"
    b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n\n*3\r\n$9\r\nPEXPIREAT\r\n$1\r\nb\r\n$13\r\n1800000000001\r\n"
)


def test_a_stream_becomes_a_piece_that_selects_its_databases_itself() -> None:
    piece = all_of(REDIS_70, Rules())
    assert words(piece.data) == [
        "SELECT 0",
        "set a 1",
        "incr a",
        "SELECT 2",
        "set b 2 PXAT 1800000000000",
        "PEXPIREAT b 1800000000001",
    ]
    assert (piece.count, piece.database, piece.read_at_ms) == (6, 2, NOW)


def test_a_stream_cut_at_every_byte_says_the_same() -> None:
    for rules in (Rules(), Rules(hold_ms=HOLD), Rules(databases={2: 5}), Rules(keep=lambda _, key: key == b"b")):
        whole = [text for text in words(all_of(REDIS_70, rules).data) if not text.startswith("SELECT")]
        for cut in range(len(REDIS_70) + 1):
            transformer = Transformer(rules)
            found: list[str] = []
            consumed = 0
            for data in (REDIS_70[:cut], REDIS_70[cut:]):
                transformer.feed(data, NOW)
                piece = transformer.take(1 << 20, 1 << 20)
                assert not piece.data or words(piece.data)[0].startswith("SELECT ")
                assert piece.count == len(words(piece.data))
                found += [text for text in words(piece.data) if not text.startswith("SELECT")]
                consumed += piece.consumed
            assert (found, consumed) == (whole, len(REDIS_70))


def test_a_stream_can_be_entered_again_where_any_piece_ended() -> None:
    whole = [text for text in words(all_of(REDIS_70, Rules()).data) if not text.startswith("SELECT")]
    transformer = Transformer(Rules())
    transformer.feed(REDIS_70, NOW)
    position, before = 0, []
    while (piece := transformer.take(1, 1)).consumed:
        position += piece.consumed
        before += [text for text in words(piece.data) if not text.startswith("SELECT")]
        rest = words(all_of(REDIS_70[position:], Rules(), database=piece.database).data)
        assert not rest or rest[0].startswith("SELECT ")
        assert before + [text for text in rest if not text.startswith("SELECT")] == whole


def test_a_piece_never_ends_inside_a_source_transaction() -> None:
    data = lines("SELECT 0", "SET a 1", "MULTI", "SET b 1", "SET c 1", "EXEC", "SET d 1")
    transformer = Transformer(Rules())
    found = []
    for place in range(len(data)):
        transformer.feed(data[place : place + 1], NOW + place)
        if (piece := transformer.take(1, 1)).data:
            found.append((words(piece.data)[1:], piece.read_at_ms - NOW))
    starts = [data.index(line(text)) for text in ("SET a 1", "MULTI", "SET d 1")]
    assert found == [
        (["SET a 1"], starts[0]),
        (["SET b 1", "SET c 1"], starts[1]),
        (["SET d 1"], starts[2]),
    ]


def test_limits_are_kept_between_commands() -> None:
    transformer = Transformer(Rules(), database=0)
    transformer.feed(line("SET a 1") * 10, NOW)
    assert transformer.take(len(line("SET a 1")) * 3, 100).consumed == len(line("SET a 1")) * 3
    assert transformer.take(len(line("SET a 1")) * 3 - 1, 100).count == 3
    assert transformer.take(1000, 3).count == 3
    assert transformer.take(1, 100).count == 2
    assert transformer.take(1 << 20, 100).count == 3


def test_a_command_that_is_larger_than_the_limit_is_taken_alone() -> None:
    large = command(b"SET", b"a", bytes(100_000))
    transformer = Transformer(Rules(), database=0)
    transformer.feed(line("SET b 1") + large + line("SET c 1"), NOW)
    assert [transformer.take(1000, 10).consumed for _ in range(3)] == [len(line("SET b 1")), len(large), 27]


def test_what_is_nothing_to_the_target_is_consumed() -> None:
    for data in (b"\n", b"\r\n", b"*0\r\n", lines("PING", "SELECT 3", "ping", "replconf ACK 7", "MULTI", "EXEC")):
        piece = all_of(data, Rules())
        assert (piece.data, piece.count, piece.consumed) == (b"", 0, len(data))


def test_databases_are_mapped_and_those_left_out_are_dropped() -> None:
    piece = all_of(lines("SELECT 1", "SET a 1", "SELECT 2", "SET b 1", "SELECT 3", "SET c 1"), Rules({1: 0, 3: 7}))
    assert words(piece.data) == ["SELECT 0", "SET a 1", "SELECT 7", "SET c 1"]
    assert piece.dropped == 1


def test_a_select_is_sent_only_where_the_target_database_changes() -> None:
    piece = all_of(lines("SELECT 1", "SET a 1", "SELECT 2", "SET b 1"), Rules({1: 4, 2: 4}))
    assert words(piece.data) == ["SELECT 4", "SET a 1", "SET b 1"]


def test_messages_and_scripts_belong_to_no_database() -> None:
    texts = ("PUBLISH a b", "spublish a b", "SCRIPT LOAD x", "FUNCTION DELETE f")
    for rules in (Rules(), Rules(databases={}), Rules(keep=lambda *_: False)):
        assert words(all_of(lines(*texts), rules).data) == ["SELECT 0", *texts]
    assert sent(*texts, "EVAL script 0", rules=Rules(keep=lambda *_: False)) == [*texts, "EVAL script 0"]
    assert sent(*texts, "EVAL script 0", rules=Rules({1: 1})) == list(texts)


def test_unknown_commands_are_sent_as_they_are() -> None:
    assert sent("NEWTHING a b", "EVAL s 1 a", "FCALL f 0") == ["NEWTHING a b", "EVAL s 1 a", "FCALL f 0"]


def test_a_flush_is_left_out_and_told_or_repeated() -> None:
    piece = all_of(lines("FLUSHALL", "flushdb ASYNC"), Rules(), database=3)
    assert (piece.data, piece.flushes) == (b"", 2)
    assert piece.notes == (
        "FLUSHALL emptied all databases of the source at byte 0 of the stream; it is not repeated on the target",
        "FLUSHDB emptied database 3 of the source at byte 18 of the stream; it is not repeated on the target",
    )
    assert sent("FLUSHALL", "FLUSHDB ASYNC", rules=Rules(flush=True)) == ["FLUSHALL", "FLUSHDB ASYNC"]
    mapped = Rules({0: 3, 1: 4}, flush=True)
    assert words(all_of(lines("FLUSHALL SYNC"), mapped, database=0).data) == [
        "SELECT 3",
        "FLUSHDB SYNC",
        "SELECT 4",
        "FLUSHDB SYNC",
    ]
    assert sent("FLUSHDB", rules=mapped) == ["FLUSHDB"]
    assert all_of(line("FLUSHDB"), mapped, database=2).dropped == 1


def test_a_flush_that_would_empty_too_much_or_too_little_stops_the_job() -> None:
    assert "merged" in refused("FLUSHDB", rules=Rules({0: 3, 1: 3}, flush=True)).message
    assert "only some keys" in refused("FLUSHALL", rules=Rules(flush=True, keep=lambda *_: True)).message


def test_swapped_databases_are_swapped_on_the_target_where_that_means_the_same() -> None:
    piece = all_of(line("SWAPDB 0 1"), Rules(), database=0)
    assert (words(piece.data), piece.swaps) == (["SELECT 0", "SWAPDB 0 1"], ((0, 1),))
    piece = all_of(line("SWAPDB 0 1"), Rules({0: 5, 1: 6}), database=0)
    assert (words(piece.data), piece.swaps) == (["SELECT 5", "SWAPDB 5 6"], ((5, 6),))
    assert sent("SWAPDB 2 3", rules=Rules({0: 5})) == []
    assert "only one is migrated" in refused("SWAPDB 0 1", rules=Rules({0: 5})).message
    assert "merged" in refused("SWAPDB 0 1", rules=Rules({0: 5, 1: 5})).message
    assert "only some keys" in refused("SWAPDB 0 1", rules=Rules(keep=lambda *_: True)).message


def test_a_key_that_moves_to_another_database_moves_on_the_target() -> None:
    mapped = Rules({0: 5, 1: 6, 2: 5})
    assert sent("MOVE a 1") == ["MOVE a 1"]
    assert sent("MOVE a 1", rules=mapped) == ["MOVE a 6"]
    assert sent("MOVE a 3", rules=mapped) == ["UNLINK a"]
    assert sent("MOVE a 2", rules=mapped) == []
    assert sent("MOVE a 4", rules=Rules({1: 1})) == []
    assert "not migrated" in refused("MOVE a 1", rules=Rules({1: 1})).message


def test_a_copy_goes_where_the_source_put_it() -> None:
    mapped = Rules({0: 5, 1: 6})
    assert sent("COPY a b DB 1 REPLACE") == ["COPY a b DB 1 REPLACE"]
    assert sent("COPY a b REPLACE", "copy a b replace db 1", rules=mapped) == [
        "COPY a b REPLACE",
        "copy a b replace db 6",
    ]
    assert sent("COPY a b DB 2", rules=mapped) == []
    assert "not migrated" in refused("COPY a b DB 1", rules=Rules({1: 6})).message


def test_slots_that_move_stop_the_job() -> None:
    for text in ("CLUSTER SYNCSLOTS FINISH", "TRIMSLOTS RANGES 1 0 10"):
        assert "slots" in refused(text).hint


def held(text: str, rules: Rules | None = None) -> str:
    [found] = sent(text, rules=rules or Rules(hold_ms=HOLD))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EXPIRE k 10", f"PEXPIREAT k {NOW + HOLD + 10_000}"),
        ("pexpire k 10 NX", f"PEXPIREAT k {NOW + HOLD + 10} NX"),
        ("EXPIREAT k 1800000000 GT", f"PEXPIREAT k {FAR + HOLD} GT"),
        ("PEXPIREAT k 1800000000000", f"PEXPIREAT k {FAR + HOLD}"),
        (f"PEXPIREAT k {NOW - 5}", f"PEXPIREAT k {NOW - 5 + HOLD}"),
        ("EXPIRE k 0", "UNLINK k"),
        ("PEXPIRE k -1", "UNLINK k"),
        ("EXPIREAT k -1", "UNLINK k"),
        (f"PEXPIREAT k {1 << 52}", f"PEXPIREAT k {1 << 52}"),
        (f"PEXPIREAT k {(1 << 52) - 1}", f"PEXPIREAT k {(1 << 52) - 1 + HOLD}"),
        (f"PEXPIRE k {1 << 52}", f"PEXPIREAT k {NOW + (1 << 52)}"),
        ("EXPIRE k soon", "EXPIRE k soon"),
        ("EXPIRE k", "EXPIRE k"),
        ("SETEX k 10 v", f"SET k v PXAT {NOW + HOLD + 10_000}"),
        ("psetex k 10 v", f"SET k v PXAT {NOW + HOLD + 10}"),
        ("SET k v", "SET k v"),
        ("SET k v KEEPTTL", "SET k v KEEPTTL"),
        ("SET EX EX NX ex 10 GET", f"SET EX EX NX PXAT {NOW + HOLD + 10_000} GET"),
        ("set k v PX 10", f"set k v PXAT {NOW + HOLD + 10}"),
        ("SET k v EXAT 1800000000 XX", f"SET k v PXAT {FAR + HOLD} XX"),
        ("SET k v pxat 1800000000000", f"SET k v PXAT {FAR + HOLD}"),
        ("SET k v IFEQ PX EX 10", f"SET k v IFEQ PX PXAT {NOW + HOLD + 10_000}"),
        ("SET k v EX", "SET k v EX"),
        ("GETEX k PX 10", f"GETEX k PXAT {NOW + HOLD + 10}"),
        ("GETEX k PERSIST", "GETEX k PERSIST"),
        ("RESTORE k 0 payload", "RESTORE k 0 payload"),
        ("RESTORE k 10 payload REPLACE", f"RESTORE k {NOW + HOLD + 10} payload REPLACE ABSTTL"),
        ("RESTORE k 1800000000000 p absttl", f"RESTORE k {FAR + HOLD} p absttl"),
        ("RESTORE-ASKING k 10 p IDLETIME 7", f"RESTORE-ASKING k {NOW + HOLD + 10} p IDLETIME 7 ABSTTL"),
        ("MSETEX 2 a 1 EX 2 PX 10 NX", f"MSETEX 2 a 1 EX 2 PXAT {NOW + HOLD + 10} NX"),
        ("MSETEX 1 a 1 KEEPTTL", "MSETEX 1 a 1 KEEPTTL"),
        ("HEXPIRE k 10 FIELDS 1 f", f"HPEXPIREAT k {NOW + 10_000} FIELDS 1 f"),
        ("HPEXPIRE k 10 GT FIELDS 1 f", f"HPEXPIREAT k {NOW + 10} GT FIELDS 1 f"),
        ("HPEXPIREAT k 1800000000000 FIELDS 1 f", "HPEXPIREAT k 1800000000000 FIELDS 1 f"),
        ("HSETEX k EX 10 FIELDS 1 PX 20", f"HSETEX k PXAT {NOW + 10_000} FIELDS 1 PX 20"),
        ("HSETEX k PXAT 1800000000000 FIELDS 1 f v", "HSETEX k PXAT 1800000000000 FIELDS 1 f v"),
        ("HGETEX k PX 10 FIELDS 1 f", f"HGETEX k PXAT {NOW + 10} FIELDS 1 f"),
        ("PERSIST k", "PERSIST k"),
    ],
)
def test_expiries_are_absolute_and_held(text: str, expected: str) -> None:
    assert held(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("EXPIRE k 10", f"PEXPIREAT k {NOW + 10_000}"),
        ("EXPIREAT k 1800000000", "EXPIREAT k 1800000000"),
        ("SETEX k 10 v", f"SET k v PXAT {NOW + 10_000}"),
        ("SET k v EXAT 1800000000", "SET k v EXAT 1800000000"),
        ("RESTORE k 10 p", f"RESTORE k {NOW + 10} p ABSTTL"),
    ],
)
def test_without_a_hold_only_relative_expiries_change(text: str, expected: str) -> None:
    assert held(text, Rules()) == expected


def test_a_relative_expiry_counts_from_when_its_command_arrived() -> None:
    transformer = Transformer(Rules(), database=0)
    transformer.feed(line("EXPIRE a 1") + line("EXPIRE b 1")[:5], NOW)
    transformer.feed(line("EXPIRE b 1")[5:] + line("EXPIRE c 1"), NOW + 7)
    transformer.feed(line("EXPIRE d 1"), NOW + 9)
    piece = transformer.take(1 << 20, 100)
    assert words(piece.data)[1:] == [
        f"PEXPIREAT {key} {NOW + 1000 + later}" for key, later in (("a", 0), ("b", 0), ("c", 7), ("d", 9))
    ]


KEPT = Rules(keep=lambda database, key: database == 0 and key.startswith(b"k"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SET k1 v", ["SET k1 v"]),
        ("SET x v", []),
        ("DEL x k1 y k2", ["DEL k1 k2"]),
        ("unlink x k1", ["unlink k1"]),
        ("MSET k1 x x k1 k2 2", ["MSET k1 x k2 2"]),
        ("MSETEX 3 k1 1 x 2 k2 3 EX 10", [f"MSETEX 2 k1 1 k2 3 PXAT {NOW + 10_000}"]),
        ("MSETEX 2 k1 1 x 2 NX", ["MSETEX 1 k1 1 NX"]),
        ("EVAL s 2 k1 k2 x", ["EVAL s 2 k1 k2 x"]),
        ("EVAL s 2 x y k1", []),
        ("FCALL f 0 x", ["FCALL f 0 x"]),
        ("XREADGROUP GROUP g c COUNT 1 STREAMS k1 k2 > >", ["XREADGROUP GROUP g c COUNT 1 STREAMS k1 k2 > >"]),
        ("XGROUP CREATE k1 g 0", ["XGROUP CREATE k1 g 0"]),
        ("XGROUP CREATE x k1 0", []),
        ("SUNIONSTORE x k1 k2", []),
        ("SUNIONSTORE k k1 k2", ["SUNIONSTORE k k1 k2"]),
        ("ZUNIONSTORE x 2 k1 k2 WEIGHTS 1 2", []),
        ("ZUNIONSTORE k 2 k1 k2 WEIGHTS 1 2", ["ZUNIONSTORE k 2 k1 k2 WEIGHTS 1 2"]),
        ("BITOP AND x k1 k2", []),
        ("LMPOP 1 k1 LEFT", ["LMPOP 1 k1 LEFT"]),
        ("BLMPOP 0 1 x LEFT", []),
        ("SORT k1 STORE x", []),
        ("SORT k1 STORE k2", ["SORT k1 STORE k2"]),
        ("GEORADIUS k1 0 0 1 km STORE x", []),
        ("COPY k1 x", []),
        ("COPY k1 k2 DB 1", []),
        ("RENAME k1 x", ["UNLINK k1"]),
        ("RENAME k1 k2", ["RENAME k1 k2"]),
        ("MOVE k1 1", ["UNLINK k1"]),
        ("SETEX k1 10 v", [f"SET k1 v PXAT {NOW + 10_000}"]),
        ("JSON.SET k1 $ 1", ["JSON.SET k1 $ 1"]),
        ("JSON.MSET x $ 1 y $ 2", []),
        ("BF.ADD x y", []),
    ],
)
def test_only_wanted_keys_are_written(text: str, expected: list[str]) -> None:
    assert sent(text, rules=KEPT) == expected


@pytest.mark.parametrize(
    "text",
    [
        "RENAME x k1",
        "SUNIONSTORE k x k1",
        "SMOVE k1 x m",
        "LMOVE x k1 LEFT LEFT",
        "EVAL s 2 k1 x",
        "COPY x k1",
        "SORT x STORE k1",
        "NEWTHING k1",
    ],
)
def test_what_cannot_be_cut_down_to_the_wanted_keys_stops_the_job(text: str) -> None:
    assert "cannot be repeated" in refused(text, rules=KEPT).message


def test_what_came_before_a_command_that_cannot_be_repeated_is_given_out_first() -> None:
    transformer = Transformer(KEPT, database=0)
    transformer.feed(lines("SET k1 v", "MULTI", "SET k2 v", "SMOVE k1 x m", "EXEC"), NOW)
    piece = transformer.take(1 << 20, 100)
    assert words(piece.data)[1:] == ["SET k1 v"]
    for _ in range(2):
        with pytest.raises(Unsupported, match=r"SMOVE at byte 71 of the stream"):
            transformer.take(1 << 20, 100)


@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"hello", 0),
        (b"\rx", 0),
        (b"*x\r\n", 1),
        (b"*-1\r\n", 1),
        (b"* 1\r\n", 1),
        (b"*99999999999", 1),
        (b"*9999999999\r\n", 1),
        (b"*1\r\n:1\r\n", 4),
        (b"*1\r\n$-1\r\n", 5),
        (b"*1\r\n$x\r\n", 5),
        (b"*1\r\n$1\r\nab\r\n", 9),
        (b"*1\r\n$4\r\nPINGxx", 12),
        (line("MULTI") * 2, 15),
        (line("EXEC"), 0),
        (line("SELECT x"), 0),
        (line("SELECT -1"), 0),
        (line("SET a 1"), 0),
        (lines("SELECT 0", "MOVE a b"), 23),
        (lines("SELECT 0", "COPY a b DB c"), 23),
    ],
)
def test_bytes_that_no_master_sends_are_refused_with_their_place(data: bytes, offset: int) -> None:
    for lead in (b"", line("PING") * 3):
        transformer = Transformer(Rules())
        transformer.feed(lead + data, NOW)
        with pytest.raises(BadData, match=rf"at byte {len(lead) + offset}\b"):
            exhaust(transformer)


def test_numbers_that_are_still_arriving_are_waited_for() -> None:
    for data in (
        b"*",
        b"*1",
        b"*1\r",
        b"*1\r\n",
        b"*1\r\n$",
        b"*1\r\n$4",
        b"*1\r\n$4\r",
        b"*1\r\n$4\r\nPING\r",
        b"\r",
    ):
        transformer = Transformer(Rules())
        transformer.feed(data, NOW)
        assert transformer.take(1 << 20, 100).consumed == 0


def test_an_argument_longer_than_any_is_refused() -> None:
    transformer = Transformer(Rules(), database=0)
    transformer.feed(b"*1\r\n$%d\r\n" % (MOST_BULK + 1), NOW)
    with pytest.raises(Unsupported, match="longer"):
        transformer.take(1, 1)


def test_a_transaction_that_no_memory_could_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_TRANSACTION", 1000)
    for feed_all_at_once in (True, False):
        data = lines("SET a 1", "MULTI") + line("SET b 1") * 100 + line("EXEC")
        transformer = Transformer(Rules(), database=0)
        step = len(data) if feed_all_at_once else 10

        def run(transformer: Transformer = transformer, data: bytes = data, step: int = step) -> None:
            for place in range(0, len(data), step):
                transformer.feed(data[place : place + step], NOW)
                transformer.take(1 << 20, 1 << 20)
            transformer.take(1 << 20, 1 << 20)

        with pytest.raises(Unsupported, match="at byte 27 of the stream is larger than 1000 bytes"):
            run()


def test_a_large_command_that_arrives_in_many_parts_is_looked_at_once(count_looks: Callable[[], int]) -> None:
    data = command(b"MSET", *[b"x" * 12] * 2000)
    transformer = Transformer(Rules(keep=lambda *_: True), database=0)
    for place in range(0, len(data), 10):
        transformer.feed(data[place : place + 10], NOW)
        transformer.take(1 << 20, 100)
    assert count_looks() < 2 * 2000 + len(data) // 10 * 3


@pytest.fixture
def count_looks(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many times the length of an argument was read the slow way."""
    from sterna.engines.redis.wire import resp

    looks = [0]
    length = resp._length

    def counted(buffer: bytearray, at: int, base: int) -> tuple[int, int]:
        looks[0] += 1
        return length(buffer, at, base)

    monkeypatch.setattr(resp, "_length", counted)
    return lambda: looks[0]


@pytest.mark.parametrize("native", [True, False])
def test_a_database_that_the_target_has_not_stops_the_stream_before_anything_goes_astray(
    native: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not native:
        monkeypatch.setattr(module, "_native", None)
    before = lines("SET a 1", "SELECT 15", "SET b 1")
    transformer = Transformer(Rules(count=16), database=0)
    transformer.feed(before + lines("SELECT 16", "SET astray 1"), NOW)
    piece = transformer.take(1 << 30, 1 << 30)
    assert (piece.consumed, piece.database) == (len(before), 15)
    with pytest.raises(Unsupported, match=f"Database 16 .* at byte {len(before)} .* the target has 16"):
        transformer.take(1 << 30, 1 << 30)


@pytest.mark.parametrize("text", ["SWAPDB 0 16", "MOVE a 16", "COPY a b DB 16", "SELECT 16"])
def test_no_command_leads_to_a_database_that_the_target_has_not(text: str) -> None:
    transformer = Transformer(Rules(count=16), database=0)
    transformer.feed(line(text), NOW)
    with pytest.raises(Unsupported, match="Database 16"):
        transformer.take(1 << 30, 1 << 30)


def test_a_mapped_database_counts_by_where_it_goes() -> None:
    rules = Rules(databases={900: 3, 901: 16}, count=16)
    assert sent("SELECT 900", "SET a 1", rules=rules) == ["SET a 1"]
    assert sent("SELECT 5", "SET a 1", rules=rules) == []
    for database in (901, 1 << 16):
        transformer = Transformer(rules, database=900)
        transformer.feed(line(f"SELECT {database}"), NOW)
        with pytest.raises(Unsupported, match=f"Database {database}"):
            transformer.take(1 << 30, 1 << 30)


def test_emptying_all_databases_passes_over_those_that_the_target_has_not() -> None:
    rules = Rules(databases={0: 0, 1: 1, 2: 2}, flush=True, count=2)
    assert words(all_of(line("FLUSHALL"), rules, database=0).data) == [
        "SELECT 0",
        "FLUSHDB",
        "SELECT 1",
        "FLUSHDB",
    ]
