"""The stream of a slot is cut into pieces without losing, doubling or reordering anything."""

import struct
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterna.core.change import Command, Ddl, Position
from sterna.core.errors import BadData
from sterna.engines.postgres.position import latest, lsn, lsn_text, parse, text
from sterna.engines.postgres.wire import frames as module
from sterna.engines.postgres.wire.frames import Cutter, Piece
from sterna.engines.postgres.wire.native import compiled
from tests.effort import examples

pytestmark = pytest.mark.long

NATIVE = compiled("_frames")
BOTH = pytest.mark.parametrize(
    "native",
    [
        None,
        pytest.param(compiled("_frames"), marks=pytest.mark.skipif(not compiled("_frames"), reason="not built")),
    ],
    ids=["python", "compiled"],
)


def wrapped(message: bytes, place: int = 0) -> bytes:
    return struct.pack(">cQQQ", b"w", place, place, 0) + message


def alive(end: int, *, ask: bool = False) -> bytes:
    return struct.pack(">cQQB", b"k", end, 0, ask)


def begin(place: int) -> bytes:
    return wrapped(struct.pack(">cQQI", b"B", place, 0, 7))


def commit(place: int) -> bytes:
    return wrapped(struct.pack(">cBQQQ", b"C", 0, place, place + 8, 0))


def relation(id: int, name: str = "t", schema: str = "public") -> bytes:
    body = schema.encode() + b"\0" + name.encode() + b"\0" + b"d" + struct.pack(">H", 0)
    return wrapped(b"R" + struct.pack(">I", id) + body)


def row(id: int, body: bytes = b"N\0\0", kind: bytes = b"I") -> bytes:
    return wrapped(kind + struct.pack(">I", id) + body)


def told(prefix: str, content: str, *, transactional: bool = True) -> bytes:
    body = content.encode()
    return wrapped(
        struct.pack(">cBQ", b"M", transactional, 9) + prefix.encode() + b"\0" + struct.pack(">I", len(body)) + body
    )


def taken(cutter: Cutter) -> list[Piece]:
    pieces = []
    while (piece := cutter.take()) is not None:
        pieces.append(piece)
    return pieces


def split(data: bytes) -> list[bytes]:
    found, at = [], 0
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(data)
    return found


def inside(piece: Piece) -> list[bytes]:
    return [each for change in piece.changes if isinstance(change, Command) for each in split(change.data)]


def shape(pieces: list[Piece]) -> str:
    return "|".join("".join(chr(each[0]) for each in inside(piece)) for piece in pieces)


@pytest.fixture
def cutter(native: object, monkeypatch: pytest.MonkeyPatch) -> Cutter:
    monkeypatch.setattr(module, "_native", native)
    return Cutter("shop", 0, prefix="sterna_job", journal=("sterna", "sterna_job_log"))


@BOTH
def test_transactions_that_came_together_are_written_together(cutter: Cutter) -> None:
    cutter.feed([begin(10), relation(1), row(1), commit(10), begin(20), row(1), row(1), commit(20), begin(30)])
    assert cutter.open
    (piece,) = taken(cutter)
    assert (shape([piece]), piece.end, piece.more) == ("BRICBIIC", 28, False)
    assert [change.count for change in piece.changes if isinstance(change, Command)] == [3]
    cutter.feed([row(1), commit(30)])
    (piece,) = taken(cutter)
    assert (shape([piece]), piece.end) == ("RBIC", 38)
    assert not cutter.pending


@BOTH
def test_transactions_without_changes_only_move_the_place(cutter: Cutter) -> None:
    cutter.feed([begin(10), commit(10), begin(20), relation(1), commit(20), alive(50), alive(40, ask=True)])
    assert (taken(cutter), cutter.waiting, cutter.pending) == ([], 0, False)
    assert (cutter.end, cutter.reached, cutter.asked) == (28, 50, True)
    cutter.feed([begin(60), row(1), commit(60), begin(70), commit(70)])
    assert (shape(taken(cutter)), cutter.end) == ("BRCBIC", 78)


@BOTH
def test_a_large_transaction_is_cut_and_stays_alone(cutter: Cutter) -> None:
    cutter.large = 100
    cutter.feed([begin(10), relation(1), row(1), commit(10), begin(20), *[row(1)] * 20, commit(20)])
    cutter.feed([begin(30), row(1), commit(30)])
    pieces = taken(cutter)
    assert [piece.more for piece in pieces] == [False, True, True, False, False]
    assert [piece.end for piece in pieces] == [18, 18, 18, 28, 38]
    assert shape(pieces[:2]).startswith("BRIC|RBI")
    assert all(shape([piece])[0] == "R" for piece in pieces[1:])
    assert shape(pieces).count("I") == 22


@BOTH
def test_a_piece_is_described_as_things_were_where_it_begins(cutter: Cutter) -> None:
    cutter.feed([begin(10), relation(1, "old"), row(1), commit(10)])
    taken(cutter)
    cutter.feed([begin(20), row(1), commit(20), begin(30), relation(1, "new"), row(1), commit(30)])
    (piece,) = taken(cutter)
    assert shape([piece]) == "RBICBRIC"
    assert b"old" in inside(piece)[0]
    cutter.feed([begin(40), relation(1, "newest"), row(1), commit(40)])
    assert shape(taken(cutter)) == "BRIC"


@BOTH
def test_words_of_our_own_come_in_their_place_and_those_of_others_are_left_out(cutter: Cutter) -> None:
    cutter.feed([begin(10), relation(1), row(1), told("sterna_job", '{"ü": 1}'), told("other", "x"), row(1)])
    cutter.feed([told("sterna_job", ""), told("sterna_job", "x", transactional=False), commit(10)])
    (piece,) = taken(cutter)
    assert [type(change) for change in piece.changes] == [Command, Ddl, Command]
    assert piece.changes[1] == Ddl("shop", '{"ü": 1}')
    assert shape([piece]) == "BRIIC"


@BOTH
def test_rows_of_the_journal_are_words_of_our_own(cutter: Cutter) -> None:
    body = b"N" + struct.pack(">HcI", 1, b"t", 3) + b"abc"
    cutter.feed([begin(10), relation(5, "sterna_job_log", "sterna"), row(5, body), commit(10)])
    cutter.feed([begin(20), row(5, body), commit(20)])
    for piece in taken(cutter):
        assert [change for change in piece.changes if isinstance(change, Ddl)] == [Ddl("shop", "abc")]
        assert shape([piece]) == "BC"


@BOTH
def test_a_transaction_that_changes_a_shape_is_a_piece_of_its_own(cutter: Cutter) -> None:
    cutter.feed([begin(10), relation(1), row(1), commit(10), begin(20), row(1), told("sterna_job", "abc")])
    cutter.feed([row(1), commit(20), begin(30), row(1), commit(30)])
    pieces = taken(cutter)
    assert [shape([piece]) for piece in pieces] == ["BRIC", "RBIIC", "RBIC"]
    assert [piece.end for piece in pieces] == [18, 28, 38]


@BOTH
@pytest.mark.parametrize(
    "payloads",
    [
        [b""],
        [b"x"],
        [b"k"],
        [wrapped(b"")],
        [wrapped(b"?")],
        [begin(10), begin(20)],
        [commit(10)],
        [begin(10), row(77)],
        [begin(10), wrapped(b"C")],
        [begin(10), wrapped(b"T" + struct.pack(">IB", 3, 0))],
        [begin(10), wrapped(b"M\1")],
        [begin(10), wrapped(b"R\0\0\0\1abc")],
        [begin(10), relation(5, "sterna_job_log", "sterna"), row(5)],
    ],
    ids=repr,
)
def test_what_the_format_does_not_allow_is_refused(cutter: Cutter, payloads: list[bytes]) -> None:
    with pytest.raises(BadData, match="shop"):
        cutter.feed(payloads)


Transaction = list[bytes]


@st.composite
def streams(draw: st.DrawFn) -> list[bytes]:
    """Transactions as a walsender sends them: a relation is described before its first use, and sometimes anew."""
    known: set[int] = set()
    found: list[bytes] = []
    places = count(16, 16)
    for _ in range(draw(st.integers(0, 12))):
        place = next(places)
        found.append(begin(place))
        for number in range(draw(st.integers(0, 6))):
            id = draw(st.integers(1, 4))
            if id not in known or draw(st.integers(0, 9)) == 0:
                known.add(id)
                found.append(relation(id, f"t{place}_{number}"))
            found.append(draw(st.sampled_from([row(id, str(place).encode()), alive(place), _truncated(id)])))
        found.append(commit(place))
        if draw(st.booleans()):
            found.append(alive(next(places)))
    return found


def _truncated(id: int) -> bytes:
    return wrapped(b"T" + struct.pack(">IBI", 1, 0, id))


@settings(deadline=None, max_examples=examples(300))
@given(streams(), st.lists(st.integers(1, 9), max_size=30), st.sampled_from([60, 1 << 20]))
def test_however_it_arrives_all_of_it_comes_out_once_in_order_and_described(
    stream: list[bytes], cuts: list[int], large: int
) -> None:
    outcomes = []
    for native in {None, NATIVE}:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_native", native)
            outcomes.append(_run(stream, cuts, large))
    assert outcomes[0] == outcomes[-1] == _expected(stream)


def _run(stream: list[bytes], cuts: list[int], large: int) -> list[tuple[bytes, bytes]]:
    """Each row with the description that holds for it, taking pieces after every arrival."""
    cutter, found, at, more = Cutter("shop", 0, large=large), [], 0, False
    for size in [*cuts, len(stream) or 1]:
        cutter.feed(stream[at : at + size])
        at += size
        for piece in taken(cutter):
            described: dict[bytes, bytes] = {}
            for message in inside(piece):
                if message[:1] == b"R":
                    described[message[1:5]] = message
                elif message[:1] == b"B":
                    assert not more
                elif message[:1] in b"IT":
                    id = message[1:5] if message[:1] == b"I" else message[6:10]
                    found.append((described[id], message))
            more = piece.more
    assert not cutter.pending
    assert not more
    return found


def _expected(stream: list[bytes]) -> list[tuple[bytes, bytes]]:
    described: dict[bytes, bytes] = {}
    found = []
    for payload in stream:
        message = payload[25:]
        if message[:1] == b"R":
            described[message[1:5]] = message
        elif message[:1] == b"I":
            found.append((described[message[1:5]], message))
        elif message[:1] == b"T":
            found.append((described[message[6:10]], message))
    return found


@given(st.dictionaries(st.text(min_size=1), st.integers(0, 2**64 - 1)))
def test_positions_are_read_as_they_were_written(places: dict[str, int]) -> None:
    assert parse(text(places)) == places


@pytest.mark.parametrize(
    "broken", ["", "[]", "1-2", '{"a": 1}', '{"a": "x/y"}', '{"a": "0/0 "}', '{"a": "0/123456789"}']
)
def test_a_position_of_something_else_is_refused(broken: str) -> None:
    with pytest.raises(BadData):
        parse(Position(broken))


def test_places_look_as_postgresql_writes_them() -> None:
    assert lsn("16/B374D848") == 0x16B374D848
    assert lsn_text(0x16B374D848) == "16/B374D848"
    assert text({"b": 1, "a": 1 << 32}) == '{"a": "1/0", "b": "0/1"}'
    assert latest({"a": 1, "b": 5}, {"a": 3}) == {"a": 3, "b": 5}
