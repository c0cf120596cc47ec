"""What a value holds, added up element by element: the same for a value in a file and for one on a server.

The order counts in strings, lists and a stream's entries, and nowhere else. At most one element is held, or one
flat container of small ones, whatever the value's size.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from sterna.core.errors import BadData, Unsupported
from sterna.engines.redis import windows
from sterna.engines.redis.connection import Connection
from sterna.engines.redis.windows import Element, packed
from sterna.engines.redis.wire import elements
from sterna.engines.redis.wire.elements import (
    Consumer,
    Owed,
    Pending,
    StreamEntry,
    StreamGroup,
    StreamId,
    StreamTail,
)
from sterna.engines.redis.wire.kinds import VALKEY_FIRST, Kind, is_valkey, kind_in
from sterna.engines.redis.wire.tape import Short, Tape
from sterna.engines.redis.wire.values import MOST_PENDING, content

FOOTER = 10
"""Bytes behind a DUMP's value: two of the RDB version, eight of the checksum."""
_ORDERED = ("string", "list")


@dataclass(slots=True)
class Tally:
    """Equal for equal contents, whatever the encoding."""

    type: str
    count: int = 0
    """Elements; of a string its bytes, of a stream also what its groups hold."""
    _sum: int = 0
    _row: Any = field(default_factory=lambda: blake2b(digest_size=16))

    def add(self, element: Element, *, in_order: bool | None = None) -> None:
        """One more element, as ``windows.elements`` gives them."""
        if self.type == "string":
            self._row.update(element[0])
            self.count += len(element[0])
            return
        self.count += 1
        if self.type in _ORDERED if in_order is None else in_order:
            self._row.update(packed(element))
        else:
            self._sum += int.from_bytes(blake2b(packed(element), digest_size=16).digest(), "big")

    @property
    def seen(self) -> tuple[str, int, int, bytes]:
        """What can be compared with another's."""
        return self.type, self.count, self._sum % (1 << 128), self._row.digest()


def of_payload(payload: bytes, now_ms: int) -> Tally:
    """What a DUMP payload holds; fields of a hash whose time is over at ``now_ms`` do not count.

    Raises BadData, and Unsupported for a type whose contents are not known.
    """
    version = int.from_bytes(payload[-FOOTER : 2 - FOOTER], "little")
    kind = kind_in(VALKEY_FIRST if is_valkey(version) else VALKEY_FIRST - 1, payload[0]) if payload else None
    if kind is None:
        raise Unsupported(f"values of the type {payload[0]} cannot be compared")
    tape = Tape(payload[1:-FOOTER])
    tally = Tally(kind.type)
    try:
        for _ in adding(tally, tape, kind, now_ms):
            raise Short(1)
    except Short:
        tape.bad("a value ends too early")
    return tally


def adding(tally: Tally, tape: Tape, kind: Kind, now_ms: int) -> Iterator[None]:
    """Add what stands on the tape; gives None where more bytes are needed, and lets go of what was read."""
    for element in _elements(tape, kind, now_ms):
        if element is None:
            tape.drop()
            yield None
        else:
            tally.add(element[1:], in_order=element[0] == b"entry") if kind.type == "stream" else tally.add(
                element
            )


def _elements(tape: Tape, kind: Kind, now_ms: int) -> Iterator[Element | None]:
    """As ``windows.elements``, scores as eight bytes; each of a stream's with its sort in front."""
    match kind.type:
        case "string":
            for piece in content(tape):
                yield None if piece is None else (piece,)
        case "list" | "set":
            for each in elements.plain(tape, kind):
                yield None if each is None else (each,)
        case "zset":
            for pair in elements.scored(tape, kind):
                yield None if pair is None else (pair[0], score(pair[1]))
        case "hash":
            for row in elements.fields(tape, kind):
                if row is None:
                    yield None
                elif not 0 < row[2] <= now_ms:
                    yield row[0], row[1], b"%d" % row[2] if row[2] else b""
        case "stream":
            yield from _stream(tape, kind)
        case other:
            raise Unsupported(f"values of the type {other} cannot be compared")


def score(value: float) -> bytes:
    """Servers write the same number in different ways."""
    return struct.pack(">d", value + 0.0)


def _stream(tape: Tape, kind: Kind) -> Iterator[Element | None]:
    group = consumer = b""
    pending = _Delivered()
    for item in elements.stream(tape, kind):
        if item is None:
            yield None
        elif isinstance(item, StreamEntry):
            yield b"entry", _id(item.id), *item.fields
        elif isinstance(item, StreamTail):
            yield b"state", b"last", _id(item.last)
        elif isinstance(item, StreamGroup):
            group, pending = item.name, _Delivered()
            yield b"state", b"group", group, _id(item.last)
        elif isinstance(item, Pending):
            pending.add(item)
        elif isinstance(item, Consumer):
            consumer = item.name
            yield b"state", b"consumer", group, consumer
        elif isinstance(item, Owed):
            yield b"state", b"pending", group, _id(item.id), consumer, b"%d" % pending.times(item.id)


class _Delivered:
    """How often each pending entry of a group was delivered; they come in the order of their ids."""

    def __init__(self) -> None:
        self._ms, self._seq, self._times = array("Q"), array("Q"), array("Q")

    def add(self, item: Pending) -> None:
        if len(self._ms) >= MOST_PENDING:
            raise Unsupported(f"a consumer group has more than {MOST_PENDING} pending entries")
        self._ms.append(item.id[0])
        self._seq.append(item.id[1])
        self._times.append(item.deliveries)

    def times(self, id: StreamId) -> int:
        at = bisect_left(range(len(self._ms)), id, key=lambda at: (self._ms[at], self._seq[at]))
        if at == len(self._ms) or (self._ms[at], self._seq[at]) != id:
            raise BadData("a consumer of a stream owes what is not pending")
        return self._times[at]


def _id(id: StreamId) -> bytes:
    return b"%d-%d" % id


async def of_server(connection: Connection, key: bytes, kind: str, field_expiries: bool) -> Tally:
    """What a key of the selected database holds, read in windows.

    A scan may bring an element twice while the server resizes: then it is made again.
    """
    tally = Tally(kind)
    for _ in range(windows.TRIES):
        tally = Tally(kind)
        async for window in windows.elements(connection, key, kind, field_expiries):
            for element in window:
                plain = (element[0], score(float(element[1]))) if kind == "zset" else element
                tally.add(plain, in_order=True if kind == "stream" else None)
        if kind not in ("set", "hash") or tally.count == await connection.call(windows.LENGTHS[kind], key):
            break
    if kind == "stream":
        async for what, *facts in windows.stream_state(connection, key):
            tally.add((what, *_told(what, facts)), in_order=False)
    return tally


def _told(what: bytes, facts: list[bytes]) -> list[bytes]:
    """Without the time of delivery, which a server tells as the time since, rounded by its clock."""
    return facts[:-1] if what == b"pending" else facts
