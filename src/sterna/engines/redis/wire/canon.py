"""What a value holds, as a small fingerprint that does not depend on how a server keeps it.

Two DUMPs of different versions or encodings have equal fingerprints exactly where clients would see the same:
the order counts in lists, strings and streams, and not in sets, hashes and sorted sets.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis.wire import elements
from sterna.engines.redis.wire.elements import (
    Consumer,
    Owed,
    Pending,
    StreamEntry,
    StreamGroup,
    StreamId,
    StreamItem,
    StreamTail,
)
from sterna.engines.redis.wire.kinds import VALKEY_FIRST, Kind, is_valkey, kind_in
from sterna.engines.redis.wire.tape import Short, Tape

FOOTER = 10
"""Bytes behind a DUMP's value: two of the RDB version, eight of the checksum."""
_NEWEST_REDIS = VALKEY_FIRST - 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Canon:
    """A value's type, how many elements it has (bytes of a string), and a digest of them."""

    type: str
    count: int
    digest: bytes


def canonical(payload: bytes) -> Canon:
    """The fingerprint of a whole DUMP payload.

    Of a hash it includes when fields expire; of a stream the last id, groups, consumers and what is pending,
    but not what only some versions keep. The checksum at its end is not looked at. Raises BadData, Unsupported.
    """
    if len(payload) <= FOOTER:
        raise BadData("a DUMP payload is too short")
    version = int.from_bytes(payload[-FOOTER : 2 - FOOTER], "little")
    kind = kind_in(VALKEY_FIRST if is_valkey(version) else _NEWEST_REDIS, payload[0])
    if kind is None or kind.type in ("module", "array"):
        raise Unsupported(f"values of the type {payload[0]} cannot be compared")
    tape = Tape(payload[1:-FOOTER])
    try:
        canon = _canon(tape, kind)
    except Short:
        tape.bad("a value ends too early")
    if tape.at != len(tape.data):
        tape.bad("a value ends before its last byte")
    return canon


def _canon(tape: Tape, kind: Kind) -> Canon:
    if kind.type == "string":
        text = tape.string(len(tape.data) * 100)
        return Canon(kind.type, len(text), _digest(text))
    if kind.type in ("list", "set"):
        rows = (_digest(element) for element in _present(elements.plain(tape, kind)))
        return _ordered(kind, rows) if kind.type == "list" else _unordered(kind, rows)
    if kind.type == "zset":
        pairs = _present(elements.scored(tape, kind))
        return _unordered(kind, (_digest(member, struct.pack("<d", score + 0.0)) for member, score in pairs))
    if kind.type == "hash":
        triples = _present(elements.fields(tape, kind))
        return _unordered(kind, (_digest(name, value, b"%d" % moment) for name, value, moment in triples))
    return _stream(kind, _present(elements.stream(tape, kind)))


def _present(items: Iterable[T | None]) -> Iterable[T]:
    for item in items:
        if item is None:
            raise Short(1)
        yield item


def _digest(*words: bytes) -> bytes:
    digest = blake2b(digest_size=16)
    for word in words:
        digest.update(b"%d:" % len(word))
        digest.update(word)
    return digest.digest()


def _ordered(kind: Kind, rows: Iterable[bytes]) -> Canon:
    digest, count = blake2b(digest_size=16), 0
    for row in rows:
        digest.update(row)
        count += 1
    return Canon(kind.type, count, digest.digest())


def _unordered(kind: Kind, rows: Iterable[bytes]) -> Canon:
    """The sum of the elements' digests: no order, and no two elements that cancel out as with xor."""
    total = count = 0
    for row in rows:
        total += int.from_bytes(row, "little")
        count += 1
    return Canon(kind.type, count, _digest(b"%d" % total))


def _stream(kind: Kind, items: Iterable[StreamItem]) -> Canon:
    rows: list[bytes] = []
    pending: dict[StreamId, Pending] = {}
    group = consumer = b""
    count = 0
    for item in items:
        if isinstance(item, StreamEntry):
            count += 1
            rows.append(_digest(b"entry", _id(item.id), *item.fields))
        elif isinstance(item, StreamTail):
            rows.append(_digest(b"last", _id(item.last)))
        elif isinstance(item, StreamGroup):
            group, pending = item.name, {}
            rows.append(_digest(b"group", group, _id(item.last)))
        elif isinstance(item, Pending):
            pending[item.id] = item
        elif isinstance(item, Consumer):
            consumer = item.name
            rows.append(_digest(b"consumer", group, consumer))
        elif isinstance(item, Owed):
            found = pending.get(item.id)
            if found is None:
                raise BadData("a consumer of a stream owes what is not pending")
            facts = b"%d %d" % (found.delivered_ms, found.deliveries)
            rows.append(_digest(b"owed", group, consumer, _id(item.id), facts))
    return Canon(kind.type, count, _digest(*rows))


def _id(id: StreamId) -> bytes:
    return b"%d-%d" % id
