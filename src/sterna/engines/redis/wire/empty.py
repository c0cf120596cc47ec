"""Tells which values of an RDB file hold nothing.

Servers had bugs that left keys of no elements. Servers of today pass such a key over when they load a file, and
RESTORE refuses it (``rdbLoadObject`` in ``rdb.c``: ``emptykey``); streams and strings may be empty.
"""

from sterna.engines.redis.wire.kinds import (
    HASH_ZIPLIST,
    HASH_ZIPMAP,
    LIST_QUICKLIST,
    LIST_QUICKLIST_2,
    LIST_ZIPLIST,
    SET_INTSET,
    ZSET_ZIPLIST,
    Kind,
)
from sterna.engines.redis.wire.tape import read_length

_COLLECTIONS = ("list", "set", "zset", "hash")
_EMPTY_LISTPACK, _EMPTY_ZIPLIST = 7, 11
"""Bytes of a container without elements."""
_SIZES = {
    LIST_ZIPLIST: _EMPTY_ZIPLIST,
    ZSET_ZIPLIST: _EMPTY_ZIPLIST,
    HASH_ZIPLIST: _EMPTY_ZIPLIST,
    LIST_QUICKLIST: _EMPTY_ZIPLIST,
}
_PLAIN_NODE = 1


def is_empty(kind: Kind, value: bytes) -> bool:
    """Whether a whole value, as it stands in the file, is a collection of no elements.

    An empty intset or zipmap is none: servers take it for damage.
    """
    if kind.type not in _COLLECTIONS or kind.number in (SET_INTSET, HASH_ZIPMAP):
        return False
    at = 8 if kind.layout[:1] == b"8" else 0
    if kind.layout in (b"s", b"8s"):
        return _packed(kind, value, at)[0]
    count, at, _ = read_length(value, at)
    if kind.number not in (LIST_QUICKLIST, LIST_QUICKLIST_2):
        return count == 0
    for _ in range(count):
        if kind.number == LIST_QUICKLIST_2:
            form, at, _ = read_length(value, at)
            if form == _PLAIN_NODE:
                return False
        nothing, at = _packed(kind, value, at)
        if not nothing:
            return False
    return True


def _packed(kind: Kind, value: bytes, at: int) -> tuple[bool, int]:
    """Whether the container at ``at`` is as small as one without elements, and where it ends if it is."""
    size, at, special = read_length(value, at)
    return not special and size == _SIZES.get(kind.number, _EMPTY_LISTPACK), at + size
