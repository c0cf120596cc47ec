"""Which words of a write command are keys.

The positions are those that ``COMMAND`` gives on Redis 8.2 and Valkey 9.1; where it says "movable", the command's
page at https://redis.io/docs/latest/commands/ and https://valkey.io/commands/ tells. Modules' commands are covered
where Redis 8 ships them (JSON, time series, probabilistic types), since their key comes first.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

Words = Sequence[bytes]


class Range(NamedTuple):
    """Keys from ``first`` to ``last`` (negative: from the end) in every ``step``-th word."""

    first: int
    last: int
    step: int


Finder = Callable[[Words], list[int]]

ONE = Range(1, 1, 1)
TWO = Range(1, 2, 1)
ALL = Range(1, -1, 1)
NONE = Range(0, 0, 1)


def counted(at: int, step: int = 1) -> Finder:
    """Keys after their number, which stands at ``at``."""

    def find(words: Words) -> list[int]:
        count = _count(words, at)
        return list(range(at + 1, min(at + 1 + count * step, len(words)), step))

    return find


def stored(at: int, step: int = 1) -> Finder:
    """A destination first, then keys after their number: ``ZUNIONSTORE d 2 a b``."""
    rest = counted(at, step)
    return lambda words: [1, *rest(words)]


def after(word: bytes) -> Finder:
    """The first half of what follows a word: ``XREADGROUP … STREAMS a b 0 0``."""

    def find(words: Words) -> list[int]:
        places = [place for place in range(1, len(words)) if words[place].upper() == word]
        if not places:
            return []
        first = places[0] + 1
        return list(range(first, first + (len(words) - first) // 2))

    return find


def store(*options: bytes, since: int) -> Finder:
    """The first word, and the one after the last of some options: ``SORT a STORE b``."""

    def find(words: Words) -> list[int]:
        places = [place + 1 for place in range(since, len(words) - 1) if words[place].upper() in options]
        return [1, *places[-1:]]

    return find


def _count(words: Words, at: int) -> int:
    try:
        return max(0, int(words[at]))
    except (IndexError, ValueError):
        return 0


_ONE_KEY = """
APPEND BITFIELD DECR DECRBY DELEX DELIFEQ EXPIRE EXPIREAT GEOADD GETDEL GETEX GETSET HDEL HEXPIRE HEXPIREAT
HGETDEL HGETEX HINCRBY HINCRBYFLOAT HMSET HPERSIST HPEXPIRE HPEXPIREAT HSET HSETEX HSETNX INCR INCRBY
INCRBYFLOAT LINSERT LPOP LPUSH LPUSHX LREM LSET LTRIM MOVE PERSIST PEXPIRE PEXPIREAT PFADD PSETEX RESTORE
RESTORE-ASKING RPOP RPUSH RPUSHX SADD SET SETBIT SETEX SETNX SETRANGE SPOP SREM VADD VREM VSETATTR XACK
XACKDEL XADD XAUTOCLAIM XCFGSET XCLAIM XDEL XDELEX XSETID XTRIM ZADD ZINCRBY ZPOPMAX ZPOPMIN ZREM
ZREMRANGEBYLEX ZREMRANGEBYRANK ZREMRANGEBYSCORE
"""

_NO_KEY = "PUBLISH SPUBLISH SCRIPT FUNCTION"

RANGES: dict[bytes, Range] = {
    **{name.encode(): ONE for name in _ONE_KEY.split()},
    **{name.encode(): NONE for name in _NO_KEY.split()},
    **dict.fromkeys((b"DEL", b"UNLINK", b"SUNIONSTORE", b"SINTERSTORE", b"SDIFFSTORE", b"PFMERGE"), ALL),
    **dict.fromkeys((b"RENAME", b"RENAMENX", b"COPY", b"SMOVE", b"LMOVE", b"RPOPLPUSH", b"BLMOVE"), TWO),
    **dict.fromkeys((b"BRPOPLPUSH", b"ZRANGESTORE", b"GEOSEARCHSTORE"), TWO),
    **{name: Range(1, -2, 1) for name in (b"BLPOP", b"BRPOP", b"BZPOPMIN", b"BZPOPMAX")},
    **{name: Range(1, -1, 2) for name in (b"MSET", b"MSETNX")},
    b"BITOP": Range(2, -1, 1),
    b"XGROUP": Range(2, 2, 1),
    b"OBJECT": Range(2, 2, 1),
    b"PFDEBUG": Range(2, 2, 1),
    b"JSON.MSET": Range(1, -1, 3),
    b"TS.MADD": Range(1, -1, 3),
    b"TS.CREATERULE": TWO,
    b"TS.DELETERULE": TWO,
}

FINDERS: dict[bytes, Finder] = {
    **{name: counted(2) for name in (b"EVAL", b"EVALSHA", b"FCALL", b"EVAL_RO", b"EVALSHA_RO", b"FCALL_RO")},
    **{name: stored(2) for name in (b"ZUNIONSTORE", b"ZINTERSTORE", b"ZDIFFSTORE")},
    **{name: stored(2) for name in (b"TDIGEST.MERGE", b"CMS.MERGE")},
    **{name: counted(1) for name in (b"LMPOP", b"ZMPOP")},
    **{name: counted(2) for name in (b"BLMPOP", b"BZMPOP")},
    b"MSETEX": counted(1, 2),
    b"XREADGROUP": after(b"STREAMS"),
    b"SORT": store(b"STORE", since=2),
    b"GEORADIUS": store(b"STORE", b"STOREDIST", since=6),
    b"GEORADIUSBYMEMBER": store(b"STORE", b"STOREDIST", since=5),
}

FAMILIES = (b"JSON", b"TS", b"BF", b"CF", b"CMS", b"TOPK", b"TDIGEST")
"""Modules in Redis 8 whose commands have one key, first, unless named above: ``JSON.SET``, ``BF.ADD`` …"""

DIVISIBLE = frozenset({b"DEL", b"UNLINK", b"MSET", b"MSETNX", b"MSETEX"})
"""Mean the same for each key, so that some of them may be left out."""

ONLY_READ_BEFORE = frozenset({b"COPY", b"SORT", b"GEORADIUS", b"GEORADIUSBYMEMBER"})
"""Write their last key, and only read the others."""

ONLY_READ_AFTER = frozenset(
    b"SUNIONSTORE SINTERSTORE SDIFFSTORE PFMERGE BITOP ZUNIONSTORE ZINTERSTORE ZDIFFSTORE".split()
    + b"ZRANGESTORE GEOSEARCHSTORE TDIGEST.MERGE CMS.MERGE".split()
)
"""Write their first key, and only read the others."""


def keys(name: bytes, words: Words) -> list[int] | None:
    """Where a command's keys are among its words; None if the command is not known. ``name`` in capitals."""
    if found := RANGES.get(name):
        last = found.last if found.last >= 0 else len(words) + found.last
        return list(range(found.first, min(last, len(words) - 1) + 1, found.step)) if found.first else []
    if finder := FINDERS.get(name):
        return [place for place in finder(words) if place < len(words)]
    if b"." in name and name.split(b".")[0] in FAMILIES:
        return [1] if len(words) > 1 else []
    return None


def written(name: bytes, places: Sequence[int]) -> int | None:
    """Of a command's keys, the one that it writes while it only reads the others; None: it may write them all."""
    if name in ONLY_READ_AFTER:
        return places[0]
    return places[-1] if name in ONLY_READ_BEFORE else None
