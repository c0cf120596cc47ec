"""The kinds of value in an RDB file: their numbers, their layout, and which target can read them.

Numbers and layouts are those of ``rdb.h`` and ``rdb.c`` of Redis 2.8 to 8.8 and Valkey 7.2 to 9.1. Valkey and
Redis parted after version 11: Redis goes on with 12, 13, …, Valkey with 80, and each refuses the other's
numbers.
"""

from dataclasses import dataclass

REDIS_LAST_COMMON = 11
VALKEY_FIRST = 80
FIRST_WITH_STREAMS = 9

STRING, LIST, SET, ZSET, HASH, ZSET_2, MODULE_PRE_GA, MODULE_2 = range(8)
HASH_ZIPMAP, LIST_ZIPLIST, SET_INTSET, ZSET_ZIPLIST, HASH_ZIPLIST, LIST_QUICKLIST, STREAM_1 = range(9, 16)
HASH_LISTPACK, ZSET_LISTPACK, LIST_QUICKLIST_2, STREAM_2, SET_LISTPACK, STREAM_3 = range(16, 22)
HASH_2 = 22  # Valkey's; Redis 7.4 used 22 and 23 for something else in its release candidates
HASH_METADATA, HASH_LISTPACK_EX, STREAM_4, STREAM_5, ARRAY = range(24, 29)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of value.

    ``since`` is the RDB version that first had it, and so the least that a DUMP payload may claim (the footer
    knows none below 6). ``layout`` is read by ``skipping``.
    """

    number: int
    type: str
    since: int
    layout: bytes


def _stream(head: bytes, group: bytes, tail: bytes = b"") -> bytes:
    return b"(ss)" + head + b"(" + group + b")" + tail


_GROUP_2 = b"slll(4l)(s8(6))"
_GROUP_3 = b"slll(4l)(s88(6))"
_IDEMPOTENCE = b"ll(s(sll))ll"

_KINDS = (
    Kind(STRING, "string", 6, b"s"),
    Kind(LIST, "list", 6, b"(s)"),
    Kind(SET, "set", 6, b"(s)"),
    Kind(ZSET, "zset", 6, b"(sd)"),
    Kind(HASH, "hash", 6, b"(ss)"),
    Kind(ZSET_2, "zset", 8, b"(s8)"),
    Kind(MODULE_2, "module", 8, b"lm"),
    Kind(HASH_ZIPMAP, "hash", 6, b"s"),
    Kind(LIST_ZIPLIST, "list", 6, b"s"),
    Kind(SET_INTSET, "set", 6, b"s"),
    Kind(ZSET_ZIPLIST, "zset", 6, b"s"),
    Kind(HASH_ZIPLIST, "hash", 6, b"s"),
    Kind(LIST_QUICKLIST, "list", 7, b"(s)"),
    Kind(STREAM_1, "stream", 9, _stream(b"lll", b"sll(4l)(s8(6))")),
    Kind(HASH_LISTPACK, "hash", 10, b"s"),
    Kind(ZSET_LISTPACK, "zset", 10, b"s"),
    Kind(LIST_QUICKLIST_2, "list", 10, b"(ls)"),
    Kind(STREAM_2, "stream", 10, _stream(b"llllllll", _GROUP_2)),
    Kind(SET_LISTPACK, "set", 11, b"s"),
    Kind(STREAM_3, "stream", 11, _stream(b"llllllll", _GROUP_3)),
    Kind(HASH_METADATA, "hash", 12, b"8(lss)"),
    Kind(HASH_LISTPACK_EX, "hash", 12, b"8s"),
    Kind(STREAM_4, "stream", 13, _stream(b"llllllll", _GROUP_3, _IDEMPOTENCE)),
    Kind(STREAM_5, "stream", 14, _stream(b"llllllll", _GROUP_3 + b"(6)", _IDEMPOTENCE)),
    Kind(ARRAY, "array", 14, b"ale)"),
)
_COMMON = {kind.number: kind for kind in _KINDS if kind.since <= REDIS_LAST_COMMON}
_REDIS = {kind.number: kind for kind in _KINDS}
_VALKEY = _COMMON | {HASH_2: Kind(HASH_2, "hash", 80, b"(ss8)")}

REFUSED_REDIS = {
    MODULE_PRE_GA: "a module value of a release candidate of Redis 4.0",
    22: "a hash with field expiries of a release candidate of Redis 7.4",
    23: "a hash with field expiries of a release candidate of Redis 7.4",
    29: "a hash kept by a template (Redis 8.10)",
    30: "a hash kept by a template (Redis 8.10)",
    31: "a hash kept by a template (Redis 8.10)",
    32: "a hash kept by a template (Redis 8.10)",
    33: "a rate limiter (GCRA)",
}
REFUSED_VALKEY = {
    MODULE_PRE_GA: "a module value of a release candidate of Redis 4.0",
    23: "a path hash (Valkey 9.2)",
}


def is_valkey(version: int) -> bool:
    return version >= VALKEY_FIRST


def kind_in(version: int, number: int) -> Kind | None:
    """The kind of that number in a file of that RDB version; None: nobody knows it, or it is refused."""
    return (_VALKEY if is_valkey(version) else _REDIS).get(number)


def refusal(version: int, number: int) -> str:
    """What a number without a kind stands for, in words; empty: nothing that is known."""
    return (REFUSED_VALKEY if is_valkey(version) else REFUSED_REDIS).get(number, "")


def readable(kind: Kind, target: int) -> bool:
    """Whether RESTORE of a server with RDB version ``target`` takes a payload of this kind."""
    if kind.number in _COMMON:
        return kind.since <= target
    return (kind.number == HASH_2) == is_valkey(target) and kind.since <= target


def tables(version: int, target: int, most: int) -> tuple[bytes, tuple[bytes, ...]]:
    """For the compiled loop, of each number below ``most`` in a file of that version: the version in a payload's
    footer (0: a value of this kind is not for the loop), and the layout. Version 0: not known yet.
    """
    known = [kind_in(version, number) for number in range(most)] if version else []
    layouts = tuple(kind.layout if kind else b"" for kind in known)
    return bytes(_footer(kind, target) for kind in known).ljust(256, b"\0"), layouts


def _footer(kind: Kind | None, target: int) -> int:
    return kind.since if kind and kind.number != MODULE_2 and readable(kind, target) else 0
