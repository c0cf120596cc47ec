"""Builds a value again from ordinary commands, in pieces, where one RESTORE would be too large.

Nothing is held but the piece at hand: at most one element, or one flat container of small ones, of 64 MiB, and
32 bytes for each pending entry of the consumer group at hand.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from sterna.core.errors import BadData, NeedsOperator, Unsupported
from sterna.engines.redis.wire import elements, kinds
from sterna.engines.redis.wire.command import command
from sterna.engines.redis.wire.elements import (
    Consumer,
    Owed,
    Pending,
    StreamEntry,
    StreamGroup,
    StreamId,
    StreamTail,
    wait,
)
from sterna.engines.redis.wire.kinds import Kind, is_valkey
from sterna.engines.redis.wire.lzf import Lzf
from sterna.engines.redis.wire.tape import COMPRESSED, Tape, shown

T = TypeVar("T")

PIECE_BYTES = 64 << 10
PIECE_ELEMENTS = 512
MOST_PENDING = 2 << 20
"""So many entries may be pending in one consumer group."""
_LZF_STEP = 1 << 10
_EMPTY = b"sterna:empty"


@dataclass(frozen=True, slots=True)
class Piece:
    """Commands to send together. ``number`` counts from 0 within the value."""

    number: int
    data: bytes
    commands: int


class _Pieces:
    """Gathers commands until they are worth a piece."""

    def __init__(self) -> None:
        self._number = 0
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, *words: bytes) -> None:
        self._parts.append(command(*words))
        self._size += len(self._parts[-1])

    def cut(self) -> Piece:
        piece = Piece(self._number, b"".join(self._parts), len(self._parts))
        self._number += 1
        self._parts, self._size = [], 0
        return piece

    @property
    def full(self) -> bool:
        return len(self._parts) >= PIECE_ELEMENTS or self._size >= PIECE_BYTES

    def __bool__(self) -> bool:
        return bool(self._parts)


def rebuild(
    tape: Tape, kind: Kind, key: bytes, *, target: int, expires_ms: int = 0, delete: bool = True
) -> Iterator[Piece | None]:
    """Commands that make the value that begins at the tape's place; None where more bytes are needed.

    ``target`` is the target's RDB version, ``expires_ms`` the moment when the key expires there (0: never). The
    first piece deletes the key if ``delete``. The same bytes make the same pieces, however they arrive. Raises
    BadData, and Unsupported for what the target cannot hold.
    """
    pieces = _Pieces()
    if delete:
        pieces.add(b"DEL", key)
    build = _BUILDERS.get(kind.type)
    if build is None:
        raise Unsupported(f"Key {shown(key)}: a {kind.type} as large as this cannot be moved")
    try:
        yield from build(tape, kind, key, pieces, target)
    except NeedsOperator as error:
        raise type(error)(f"Key {shown(key)}: {error.message}") from error
    if expires_ms:
        pieces.add(b"PEXPIREAT", key, b"%d" % expires_ms)
    if pieces:
        yield pieces.cut()


def _string(tape: Tape, kind: Kind, key: bytes, pieces: _Pieces, target: int) -> Iterator[Piece | None]:
    held = bytearray()
    for data in content(tape):
        if data is None:
            yield None
            continue
        held += data
        while len(held) >= PIECE_BYTES:
            pieces.add(b"APPEND", key, bytes(held[:PIECE_BYTES]))
            del held[:PIECE_BYTES]
            yield pieces.cut()
    pieces.add(b"APPEND", key, bytes(held))


def content(tape: Tape) -> Iterator[bytes | None]:
    """What a string holds, as it arrives."""
    size, special = yield from wait(tape, tape.head)
    if not special:
        yield from _taken(tape, size, PIECE_BYTES)
    elif size == COMPRESSED:
        packed, length = yield from wait(tape, tape.compressed)
        yield from _expanded(tape, packed, length)
    else:
        yield (yield from wait(tape, lambda: tape.integer(size)))


def _taken(tape: Tape, size: int, most: int) -> Iterator[bytes | None]:
    """``size`` bytes of the tape, at most so many at a time."""
    while size:
        step = min(size, most, len(tape.data) - tape.at)
        if not step:
            yield None
            continue
        yield tape.raw(step)
        size -= step


def _expanded(tape: Tape, packed: int, length: int) -> Iterator[bytes | None]:
    stream = Lzf(length)
    for data in _taken(tape, packed, _LZF_STEP):
        try:
            yield stream.feed(data) if data is not None else None
        except ValueError as error:
            tape.bad(str(error))
    if not stream.complete:
        tape.bad("compressed string is shorter than declared")


def _grouped(items: Iterator[T | None], size: Any) -> Iterator[list[T] | None]:
    """Elements in groups that fit into a piece; ``size`` gives an element's bytes."""
    group: list[T] = []
    total = 0
    for item in items:
        if item is None:
            yield None
            continue
        group.append(item)
        total += size(item)
        if len(group) >= PIECE_ELEMENTS or total >= PIECE_BYTES:
            yield group
            group, total = [], 0
    if group:
        yield group


def _list_or_set(tape: Tape, kind: Kind, key: bytes, pieces: _Pieces, target: int) -> Iterator[Piece | None]:
    verb = b"RPUSH" if kind.type == "list" else b"SADD"
    for group in _grouped(elements.plain(tape, kind), len):
        if group is None:
            yield None
        else:
            pieces.add(verb, key, *group)
            yield pieces.cut()


def _sorted_set(tape: Tape, kind: Kind, key: bytes, pieces: _Pieces, target: int) -> Iterator[Piece | None]:
    for group in _grouped(elements.scored(tape, kind), lambda pair: len(pair[0]) + 24):
        if group is None:
            yield None
        else:
            words = [word for member, score in group for word in (_score(score), member)]
            pieces.add(b"ZADD", key, *words)
            yield pieces.cut()


def _score(score: float) -> bytes:
    """Digits that give the same double again."""
    if score != score:
        raise BadData("a sorted set has a score that is no number")
    return repr(score).encode()


def _hash(tape: Tape, kind: Kind, key: bytes, pieces: _Pieces, target: int) -> Iterator[Piece | None]:
    for group in _grouped(elements.fields(tape, kind), lambda row: len(row[0]) + len(row[1])):
        if group is None:
            yield None
            continue
        pieces.add(b"HSET", key, *(word for name, value, _ in group for word in (name, value)))
        moments: dict[int, list[bytes]] = {}
        for name, _, moment in group:
            if moment:
                moments.setdefault(moment, []).append(name)
        if moments and not (target >= 12 or is_valkey(target)):
            raise Unsupported("the target knows no expiry of single hash fields")
        for moment, names in moments.items():
            pieces.add(b"HPEXPIREAT", key, b"%d" % moment, b"FIELDS", b"%d" % len(names), *names)
        yield pieces.cut()


def _stream(tape: Tape, kind: Kind, key: bytes, pieces: _Pieces, target: int) -> Iterator[Piece | None]:
    """Entries with their ids, then the ids it remembers, then the groups with what is pending."""
    if target < kinds.FIRST_WITH_STREAMS:
        raise Unsupported("the target knows no streams")
    group = _Group(key, target)
    any_entry = False
    for item in elements.stream(tape, kind):
        if item is None:
            yield None
        elif isinstance(item, StreamEntry):
            pieces.add(b"XADD", key, _id(item.id), *item.fields)
            any_entry = True
        elif isinstance(item, StreamTail):
            if not any_entry:
                pieces.add(b"XGROUP", b"CREATE", key, _EMPTY, b"0", b"MKSTREAM")
                pieces.add(b"XGROUP", b"DESTROY", key, _EMPTY)
            pieces.add(*_set_id(key, item, target))
        else:
            group.add(item, pieces)
        if pieces.full:
            yield pieces.cut()
    group.end()


def _id(id: StreamId) -> bytes:
    return b"%d-%d" % id


def _set_id(key: bytes, tail: StreamTail, target: int) -> list[bytes]:
    words = [b"XSETID", key, _id(tail.last)]
    if target >= 10 and tail.added is not None and tail.deleted is not None:
        words += [b"ENTRIESADDED", b"%d" % tail.added, b"MAXDELETEDID", _id(tail.deleted)]
    return words


class _Group:
    """The consumer group at hand: what is pending comes before the consumers that it belongs to."""

    def __init__(self, key: bytes, target: int) -> None:
        self._key = key
        self._target = target
        self._name = self._consumer = b""
        self._clear()

    def _clear(self) -> None:
        self._ms, self._seq, self._times, self._counts = (array("Q") for _ in range(4))
        self._owned = 0

    def add(self, item: StreamGroup | Pending | Consumer | Owed, pieces: _Pieces) -> None:
        if isinstance(item, StreamGroup):
            self.end()
            self._clear()
            self._name = item.name
            pieces.add(*self._create(item))
        elif isinstance(item, Pending):
            self._remember(item)
        elif isinstance(item, Consumer):
            self._consumer = item.name
            pieces.add(*self._create_consumer())
        else:
            pieces.add(*self._claim(item.id))

    def end(self) -> None:
        """Raises Unsupported if something is pending that belongs to nobody."""
        if self._owned != len(self._ms):
            raise Unsupported("a consumer group has entries that were handed back (XNACK)")

    def _create(self, group: StreamGroup) -> list[bytes]:
        words = [b"XGROUP", b"CREATE", self._key, group.name, _id(group.last)]
        if self._target >= 10 and group.read is not None:
            words += [b"ENTRIESREAD", b"%d" % group.read]
        return words

    def _create_consumer(self) -> list[bytes]:
        """XGROUP CREATECONSUMER came with Redis 6.2, which shares its RDB version with 5.0: reading does it
        too.
        """
        if self._target >= 10:
            return [b"XGROUP", b"CREATECONSUMER", self._key, self._name, self._consumer]
        names = (self._name, self._consumer)
        return [b"XREADGROUP", b"GROUP", *names, b"COUNT", b"1", b"STREAMS", self._key, b"0"]

    def _remember(self, item: Pending) -> None:
        if len(self._ms) >= MOST_PENDING:
            raise Unsupported(f"a consumer group has more than {MOST_PENDING} pending entries")
        if self._ms and item.id <= (self._ms[-1], self._seq[-1]):
            raise BadData("pending entries of a stream are not in order")
        self._ms.append(item.id[0])
        self._seq.append(item.id[1])
        self._times.append(item.delivered_ms)
        self._counts.append(item.deliveries)

    def _claim(self, id: StreamId) -> list[bytes]:
        at = bisect_left(range(len(self._ms)), id, key=lambda at: (self._ms[at], self._seq[at]))
        if at == len(self._ms) or (self._ms[at], self._seq[at]) != id:
            raise BadData("a consumer of a stream owes what is not pending")
        self._owned += 1
        words = [b"XCLAIM", self._key, self._name, self._consumer, b"0", _id(id), b"TIME", b"%d" % self._times[at]]
        return [*words, b"RETRYCOUNT", b"%d" % self._counts[at], b"FORCE", b"JUSTID"]


_BUILDERS = {
    "string": _string,
    "list": _list_or_set,
    "set": _list_or_set,
    "zset": _sorted_set,
    "hash": _hash,
    "stream": _stream,
}
