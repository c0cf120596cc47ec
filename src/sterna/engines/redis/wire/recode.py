"""Rewrites a value in a form that an older or the other family's RESTORE can read, keeping everything it holds.

It is still one RESTORE: a container of a newer form becomes the plain form of its type, and a stream loses only
what the older server does not keep. What cannot be expressed is refused, never dropped.
"""

import math
from struct import Struct

from sterna.core.errors import Unsupported
from sterna.engines.redis.wire import kinds
from sterna.engines.redis.wire.elements import Field, fields, plain, scored
from sterna.engines.redis.wire.kinds import Kind, is_valkey, kind_in, readable
from sterna.engines.redis.wire.tape import Short, Tape

_I64, _F64 = Struct("<q"), Struct("<d")
_STREAMS = {kinds.STREAM_1: 1, kinds.STREAM_2: 2, kinds.STREAM_3: 3, kinds.STREAM_4: 4, kinds.STREAM_5: 5}


def recode(kind: Kind, value: bytes, target: int) -> tuple[Kind, bytes]:
    """The value's kind and bytes for a target of RDB version ``target``, which cannot read ``kind``.

    Raises Unsupported where the target has no such thing, BadData where the value is damaged.
    """
    tape = Tape(value)
    try:
        if kind.type in ("list", "set"):
            return _plain(tape, kind)
        if kind.type == "zset":
            return _scored(tape, kind, target)
        if kind.type == "hash":
            return _hash(tape, kind, target)
        if kind.type == "stream":
            return _stream(tape, kind, target)
    except Short:
        tape.bad("a value ends too early")
    raise Unsupported(f"a {kind.type} is not known to the target")


def length(value: int) -> bytes:
    """A length as RDB files write it."""
    if value < 64:
        return b"%c" % value
    if value < 16384:
        return (value | 0x4000).to_bytes(2, "big")
    if value < 1 << 32:
        return b"\x80" + value.to_bytes(4, "big")
    return b"\x81" + value.to_bytes(8, "big")


def string(value: bytes) -> bytes:
    return length(len(value)) + value


def _kind(version: int, number: int) -> Kind:
    kind = kind_in(version, number)
    assert kind
    return kind


def _plain(tape: Tape, kind: Kind) -> tuple[Kind, bytes]:
    parts = [string(element) for element in plain(tape, kind) if element is not None]
    return _kind(9, kinds.LIST if kind.type == "list" else kinds.SET), length(len(parts)) + b"".join(parts)


def _scored(tape: Tape, kind: Kind, target: int) -> tuple[Kind, bytes]:
    binary = target >= 8
    pairs = [pair for pair in scored(tape, kind) if pair]
    parts = [string(member) + (_F64.pack(score) if binary else _text_score(score)) for member, score in pairs]
    return _kind(9, kinds.ZSET_2 if binary else kinds.ZSET), length(len(parts)) + b"".join(parts)


def _text_score(score: float) -> bytes:
    if math.isnan(score):
        return b"\xfd"
    if math.isinf(score):
        return b"\xfe" if score > 0 else b"\xff"
    digits = b"%.17g" % score
    return b"%c" % len(digits) + digits


def _hash(tape: Tape, kind: Kind, target: int) -> tuple[Kind, bytes]:
    rows = [row for row in fields(tape, kind) if row]
    moments = [moment for _, _, moment in rows if moment]
    if not moments:
        parts = [string(name) + string(value) for name, value, _ in rows]
        return _kind(9, kinds.HASH), length(len(parts)) + b"".join(parts)
    if is_valkey(target):
        return _kind(target, kinds.HASH_2), length(len(rows)) + b"".join(map(_valkey_row, rows))
    if target < _kind(12, kinds.HASH_METADATA).since:
        raise Unsupported("the target knows no expiry of single hash fields")
    least = min(moments)
    body = b"".join(length(moment - least + 1 if moment else 0) + string(n) + string(v) for n, v, moment in rows)
    return _kind(12, kinds.HASH_METADATA), _I64.pack(least) + length(len(rows)) + body


def _valkey_row(row: Field) -> bytes:
    name, value, moment = row
    return string(name) + string(value) + _I64.pack(moment or -1)


class _Copy:
    """Reads from a tape and keeps the bytes as they are, or leaves them out."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.out = bytearray()

    def lengths(self, count: int, keep: bool = True) -> int:
        start, value = self.tape.at, 0
        for _ in range(count):
            value = self.tape.length()
        self._keep(start, keep)
        return value

    def string(self) -> None:
        start = self.tape.at
        self.tape.string()
        self._keep(start, True)

    def raw(self, size: int, keep: bool = True) -> None:
        start = self.tape.at
        self.tape.raw(size)
        self._keep(start, keep)

    def _keep(self, start: int, keep: bool) -> None:
        if keep:
            self.out += self.tape.data[start : self.tape.at]


def _stream(tape: Tape, kind: Kind, target: int) -> tuple[Kind, bytes]:
    level = _STREAMS[kind.number]
    known = [k for number in _STREAMS if (k := kind_in(target, number)) and readable(k, target)]
    if not known:
        raise Unsupported("the target knows no streams")
    wanted = _STREAMS[known[-1].number]
    copy = _Copy(tape)
    for _ in range(2 * copy.lengths(1)):
        copy.string()
    copy.lengths(3)
    if level > 1:
        copy.lengths(5, wanted > 1)
    for _ in range(copy.lengths(1)):
        _group(copy, level, wanted)
    return known[-1], bytes(copy.out)


def _group(copy: _Copy, level: int, wanted: int) -> None:
    copy.string()
    copy.lengths(2)
    if level > 1:
        copy.lengths(1, wanted > 1)
    for _ in range(copy.lengths(1)):
        copy.raw(24)
        copy.lengths(1)
    for _ in range(copy.lengths(1)):
        copy.string()
        copy.raw(8)
        if level > 2:
            copy.raw(8, wanted > 2)
        for _ in range(copy.lengths(1)):
            copy.raw(16)
    if level > 4 and copy.lengths(1, wanted > 4):
        raise Unsupported("the target knows no entries that were handed back (XNACK)")
