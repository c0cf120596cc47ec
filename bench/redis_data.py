"""The data sets of the Redis measurements, prepared once and kept as RDB files."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.redis_wire import pack, pour
from sterna.engines.redis.names import CHECKPOINT_PREFIX
from tests.servers.data import Wire, read_keys
from tests.servers.places import made_once
from tests.servers.redis import Server, running

FLAVOR = "redis70"
SAMPLE = 2000


def strings(count: int) -> Iterator[bytes]:
    """``count`` strings of 100 bytes that do not compress."""
    dice = random.Random(1)
    for first in range(0, count, 1000):
        words: list[bytes | str] = ["MSET"]
        for number in range(first, min(first + 1000, count)):
            words += [f"string:{number:08}", dice.randbytes(100)]
        yield pack(words)


def collections(count: int) -> Iterator[bytes]:
    """``count`` lists, sets, sorted sets and hashes of 20 to 200 elements of 10 to 12 bytes."""
    dice = random.Random(2)
    makers: list[Callable[[int, list[str]], list[str]]] = [
        lambda number, words: ["RPUSH", f"list:{number}", *words],
        lambda number, words: ["SADD", f"set:{number}", *words],
        lambda number, words: ["ZADD", f"zset:{number}", *_with_numbers(words, scores_first=True)],
        lambda number, words: ["HSET", f"hash:{number}", *_with_numbers(words, scores_first=False)],
    ]
    for number in range(count):
        start, size = dice.randrange(10**9), dice.randint(20, 200)
        yield pack(makers[number % 4](number, [f"e{start + step * 7919}" for step in range(size)]))


SETS: dict[str, tuple[str, Callable[[int], Iterator[bytes]], int]] = {
    "A": ("strings of 100 bytes", strings, 1_000_000),
    "B": ("collections of 20-200 elements", collections, 100_000),
}


def title(name: str, scale: float) -> str:
    """E.g. ``A: 1,000,000 strings of 100 bytes``."""
    what, _, count = SETS[name]
    return f"{name}: {round(count * scale):,} {what}"


@contextmanager
def loaded(name: str, scale: float, *options: str) -> Iterator[Server]:
    """A server that holds a data set, read from its prepared file."""
    count = round(SETS[name][2] * scale)
    prepared = made_once(f"bench-{FLAVOR}-{name}-{count}", lambda into: _prepare(name, count, into))
    with running(FLAVOR, "--dbfilename", "prepared.rdb", *options) as server:
        server.stop()
        shutil.copy(prepared / "prepared.rdb", server.folder)
        server.start()
        assert server.client().dbsize() == count
        yield server


def same(source: Server, target: Server, *, under_way: bool = False) -> bool:
    """As many keys on both sides, and a random sample of them equal in type, value and expiry.

    ``under_way``: the target may hold keys besides in which a running migration notes how far it is.
    """
    one, other = source.client(), target.client()
    own = len(list(other.scan_iter(CHECKPOINT_PREFIX + b"*", 10_000))) if under_way else 0
    if one.dbsize() != other.dbsize() - own:
        return False
    with Wire(one, 0) as left, Wire(other, 0) as right:
        keys = list(dict.fromkeys(left.ask_all([("RANDOMKEY",)] * SAMPLE)))
        return read_keys(left, keys) == read_keys(right, keys)


def _prepare(name: str, count: int, into: Path) -> None:
    _, make, _ = SETS[name]
    with running(FLAVOR, "--dbfilename", "prepared.rdb") as server:
        pour(server, make(count))
        server.client().save()
        shutil.copy(server.folder / "prepared.rdb", into)


def _with_numbers(words: list[str], *, scores_first: bool) -> list[str]:
    paired = []
    for number, word in enumerate(words):
        paired += [str(number), word] if scores_first else [word, str(number)]
    return paired
