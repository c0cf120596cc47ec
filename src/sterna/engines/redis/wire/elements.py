"""Values as their elements: what stands in a list, set, sorted set, hash or stream, one after the other.

The generators read from a tape whose bytes may still be arriving; they give None where more are needed. At most
one element (or one flat container of small ones) is held at a time.
"""

import math
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from itertools import islice
from struct import Struct
from typing import TypeVar

from sterna.core.errors import BadData
from sterna.engines.redis.wire import kinds
from sterna.engines.redis.wire.kinds import Kind
from sterna.engines.redis.wire.packed import Entry, intset, listpack, text, ziplist, zipmap
from sterna.engines.redis.wire.tape import Short, Tape

T = TypeVar("T")
StreamId = tuple[int, int]
"""Milliseconds and sequence number."""

_I64, _U64, _BIG_ID, _F64 = Struct("<q"), Struct("<Q"), Struct(">QQ"), Struct("<d")
_FLAT = {
    kinds.HASH_ZIPMAP: zipmap,
    kinds.LIST_ZIPLIST: ziplist,
    kinds.SET_INTSET: intset,
    kinds.ZSET_ZIPLIST: ziplist,
    kinds.HASH_ZIPLIST: ziplist,
    kinds.HASH_LISTPACK: listpack,
    kinds.ZSET_LISTPACK: listpack,
    kinds.SET_LISTPACK: listpack,
}
_TEXT_SCORES = {253: math.nan, 254: math.inf, 255: -math.inf}
_DELETED, _SAME_FIELDS = 1, 2


@dataclass(frozen=True, slots=True)
class StreamEntry:
    id: StreamId
    fields: tuple[bytes, ...]
    """Field, value, field, value …"""


@dataclass(frozen=True, slots=True)
class StreamTail:
    """What a stream remembers apart from its entries."""

    length: int
    last: StreamId
    deleted: StreamId | None = None
    """The greatest id that was ever deleted; None: the source does not keep it (before Redis 7.0)."""
    added: int | None = None
    """How many entries there ever were; None likewise."""


@dataclass(frozen=True, slots=True)
class StreamGroup:
    """A consumer group; what is pending follows."""

    name: bytes
    last: StreamId
    read: int | None
    """How many entries it has read; None: not known."""


@dataclass(frozen=True, slots=True)
class Pending:
    """An entry that was delivered and not acknowledged, as the group knows it."""

    id: StreamId
    delivered_ms: int
    deliveries: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer of the latest group; the ids that it owes follow."""

    name: bytes


@dataclass(frozen=True, slots=True)
class Owed:
    """The latest consumer has not acknowledged this id, which was among the group's pending ones."""

    id: StreamId


Scored = tuple[bytes, float]
Field = tuple[bytes, bytes, int]
"""Field, value, and when it expires in epoch milliseconds (0: never)."""
StreamItem = StreamEntry | StreamTail | StreamGroup | Pending | Consumer | Owed


def wait(tape: Tape, read: Callable[[], T]) -> Generator[None, None, T]:
    """What ``read`` gives, once there are bytes enough."""
    while True:
        try:
            return read()
        except Short:
            yield None


def plain(tape: Tape, kind: Kind) -> Iterator[bytes | None]:
    """The elements of a list or set."""
    if kind.number in _FLAT:
        entries = yield from _flat(tape, kind)
        yield from map(text, entries)
    elif kind.number in (kinds.LIST_QUICKLIST, kinds.LIST_QUICKLIST_2):
        yield from _quicklist(tape, kind.number == kinds.LIST_QUICKLIST_2)
    else:
        for _ in range((yield from wait(tape, tape.count))):
            yield (yield from wait(tape, tape.string))


def scored(tape: Tape, kind: Kind) -> Iterator[Scored | None]:
    """The members of a sorted set and their scores."""
    if kind.number in _FLAT:
        entries = yield from _flat(tape, kind)
        for member, score in _rows(tape, entries, 2):
            yield text(member), _number(tape, score)
        return
    score_of = _binary_score if kind.number == kinds.ZSET_2 else _text_score
    for _ in range((yield from wait(tape, tape.count))):
        member = yield from wait(tape, tape.string)
        yield member, (yield from wait(tape, lambda: score_of(tape)))


def fields(tape: Tape, kind: Kind) -> Iterator[Field | None]:
    """The fields of a hash, their values and expiries."""
    if kind.number in _FLAT:
        entries = yield from _flat(tape, kind)
        for name, value in _rows(tape, entries, 2):
            yield text(name), text(value), 0
    elif kind.number == kinds.HASH_LISTPACK_EX:
        yield from _expiring_listpack(tape)
    elif kind.number == kinds.HASH_METADATA:
        yield from _expiring_relative(tape)
    else:
        with_expiry = kind.number == kinds.HASH_2
        for _ in range((yield from wait(tape, tape.count))):
            name = yield from wait(tape, tape.string)
            value = yield from wait(tape, tape.string)
            moment = (yield from wait(tape, lambda: _moment(tape))) if with_expiry else 0
            yield name, value, max(moment, 0)


def _flat(tape: Tape, kind: Kind) -> Generator[None, None, Iterator[Entry]]:
    data = yield from wait(tape, tape.string)
    return _guarded(tape, _FLAT[kind.number](data))


def _guarded(tape: Tape, entries: Iterator[Entry]) -> Iterator[Entry]:
    try:
        yield from entries
    except ValueError as error:
        raise BadData(f"RDB offset {tape.offset}: {error}") from error


def _rows(tape: Tape, entries: Iterator[Entry], width: int) -> Iterator[tuple[Entry, ...]]:
    while row := tuple(islice(entries, width)):
        if len(row) < width:
            tape.bad("a flat container ends in the middle of an element")
        yield row


def _quicklist(tape: Tape, second: bool) -> Iterator[bytes | None]:
    for _ in range((yield from wait(tape, tape.count))):
        form = (yield from wait(tape, tape.length)) if second else 2
        if form not in (1, 2):
            tape.bad(f"a list has no node of kind {form}")
        data = yield from wait(tape, tape.string)
        if form == 1:
            yield data
        else:
            yield from map(text, _guarded(tape, listpack(data) if second else ziplist(data)))


def _expiring_listpack(tape: Tape) -> Iterator[Field | None]:
    yield from wait(tape, lambda: _skip_moment(tape))
    data = yield from wait(tape, tape.string)
    for name, value, moment in _rows(tape, _guarded(tape, listpack(data)), 3):
        if not isinstance(moment, int) or moment < 0:
            tape.bad("a field's expiry is no moment")
        yield text(name), text(value), moment


def _skip_moment(tape: Tape) -> None:
    tape.raw(8)


def _expiring_relative(tape: Tape) -> Iterator[Field | None]:
    least = yield from wait(tape, lambda: _moment(tape))
    for _ in range((yield from wait(tape, tape.count))):
        after = yield from wait(tape, tape.length)
        name = yield from wait(tape, tape.string)
        value = yield from wait(tape, tape.string)
        yield name, value, least + after - 1 if after else 0


def _moment(tape: Tape) -> int:
    moment: int = _I64.unpack(tape.raw(8))[0]
    return moment


def _binary_score(tape: Tape) -> float:
    score: float = _F64.unpack(tape.raw(8))[0]
    return score


def _text_score(tape: Tape) -> float:
    start = tape.at
    size = tape.raw(1)[0]
    if size in _TEXT_SCORES:
        return _TEXT_SCORES[size]
    try:
        return _number(tape, tape.raw(size))
    except Short:
        tape.at = start
        raise


def _number(tape: Tape, entry: Entry) -> float:
    try:
        return float(entry)
    except ValueError:
        tape.bad(f"a score is no number: {entry!r:.50}")


# Streams


def stream(tape: Tape, kind: Kind) -> Iterator[StreamItem | None]:
    """A stream: its entries, its tail, and each group with what is pending and its consumers."""
    for _ in range((yield from wait(tape, tape.count))):
        master = yield from wait(tape, tape.string)
        data = yield from wait(tape, tape.string)
        yield from _node(tape, master, data)
    yield (yield from _tail(tape, kind))
    for _ in range((yield from wait(tape, tape.count))):
        yield from _group(tape, kind)
    if kind.number in (kinds.STREAM_4, kinds.STREAM_5):
        yield from _idempotence(tape)


def _node(tape: Tape, master: bytes, data: bytes) -> Iterator[StreamEntry]:
    if len(master) != 16:
        tape.bad("a stream's node has no id")
    try:
        yield from _node_entries(_BIG_ID.unpack(master), listpack(data))
    except ValueError as error:
        raise BadData(f"RDB offset {tape.offset}: a stream's node is damaged: {error}") from error


def _integer(entries: Iterator[Entry]) -> int:
    entry = next(entries, b"")
    if isinstance(entry, bytes):
        raise ValueError("an integer is missing")
    return entry


def _texts(entries: Iterator[Entry], count: int) -> tuple[bytes, ...]:
    found = tuple(map(text, islice(entries, max(count, 0))))
    if len(found) != count:
        raise ValueError("fields are missing")
    return found


def _node_entries(master: StreamId, entries: Iterator[Entry]) -> Iterator[StreamEntry]:
    """The first entry of the listpack is the pattern: counts, and the names that most entries share."""
    left = _integer(entries) + _integer(entries)
    names = _texts(entries, _integer(entries))
    _integer(entries)
    for _ in range(left):
        flags = _integer(entries)
        id = (master[0] + _integer(entries), master[1] + _integer(entries))
        if flags & _SAME_FIELDS:
            values = _texts(entries, len(names))
            pairs = tuple(word for pair in zip(names, values, strict=True) for word in pair)
        else:
            pairs = _texts(entries, 2 * _integer(entries))
        _integer(entries)
        if not 0 <= min(id) <= max(id) < 1 << 64:
            raise ValueError("an id is out of range")
        if not flags & _DELETED:
            yield StreamEntry(id, pairs)


def _tail(tape: Tape, kind: Kind) -> Generator[None, None, StreamTail]:
    length = yield from wait(tape, tape.length)
    last = yield from _short_id(tape)
    if kind.number == kinds.STREAM_1:
        return StreamTail(length, last)
    yield from _short_id(tape)
    deleted = yield from _short_id(tape)
    added = yield from wait(tape, tape.length)
    return StreamTail(length, last, deleted, added)


def _short_id(tape: Tape) -> Generator[None, None, StreamId]:
    ms = yield from wait(tape, tape.length)
    return ms, (yield from wait(tape, tape.length))


def _group(tape: Tape, kind: Kind) -> Iterator[StreamItem | None]:
    name = yield from wait(tape, tape.string)
    last = yield from _short_id(tape)
    read = (yield from wait(tape, tape.length)) if kind.number != kinds.STREAM_1 else 1 << 63
    yield StreamGroup(name, last, read if read < 1 << 63 else None)
    for _ in range((yield from wait(tape, tape.count))):
        yield (yield from _pending(tape))
    for _ in range((yield from wait(tape, tape.count))):
        yield Consumer((yield from wait(tape, tape.string)))
        yield from wait(tape, lambda: tape.raw(16 if kind.number not in (kinds.STREAM_1, kinds.STREAM_2) else 8))
        for _ in range((yield from wait(tape, tape.count))):
            yield Owed(_BIG_ID.unpack((yield from wait(tape, lambda: tape.raw(16)))))
    if kind.number == kinds.STREAM_5:
        for _ in range((yield from wait(tape, tape.count))):
            yield from wait(tape, lambda: tape.raw(16))


def _pending(tape: Tape) -> Generator[None, None, Pending]:
    raw = yield from wait(tape, lambda: tape.raw(24))
    deliveries = yield from wait(tape, tape.length)
    return Pending(_BIG_ID.unpack(raw[:16]), _U64.unpack(raw[16:])[0], deliveries)


def _idempotence(tape: Tape) -> Iterator[None]:
    """What Redis 8.6 remembers of producers, so that they may send again; not part of the contents."""
    yield from _lengths(tape, 2)
    for _ in range((yield from wait(tape, tape.count))):
        yield from wait(tape, tape.string)
        for _ in range((yield from wait(tape, tape.count))):
            yield from wait(tape, tape.string)
            yield from _lengths(tape, 2)
    yield from _lengths(tape, 2)


def _lengths(tape: Tape, count: int) -> Iterator[None]:
    for _ in range(count):
        yield from wait(tape, tape.length)
