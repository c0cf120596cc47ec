"""Makes RDB files by hand, walks through them, and reads the commands that come out."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sterna.engines.redis.wire import crc64, lzf, native, rdb, skipping
from sterna.engines.redis.wire.rdb import Big, End, Functions, Needs, Place, Restored, Walker
from sterna.engines.redis.wire.recode import length, string

DATA = Path(__file__).parent / "data"
RECORDED = {"redis62": 9, "redis70": 10, "redis80": 12, "valkey81": 11, "valkey91": 80}
"""Server, and its RDB version; the files hold what ``tests/engines/redis_values.py`` writes."""

Words = list[bytes]
NOW_MS = 1_700_000_000_000


def recorded(server: str) -> bytes:
    return (DATA / f"{server}.rdb").read_bytes()


def key(name: bytes, number: int, value: bytes) -> bytes:
    """One record."""
    return b"%c" % number + string(name) + value


def text_key(name: bytes, value: bytes) -> bytes:
    return key(name, 0, string(value))


def expiring(at_ms: int, record: bytes) -> bytes:
    return b"\xfc" + at_ms.to_bytes(8, "little", signed=True) + record


def database(number: int) -> bytes:
    return b"\xfe" + length(number)


def sealed(*records: bytes, magic: bytes = b"REDIS0011", checksum: bool = True) -> bytes:
    """A whole file."""
    data = magic + b"".join(records) + b"\xff"
    return data + (crc64.crc64(data) if checksum else 0).to_bytes(8, "little")


def listpack(*entries: bytes) -> bytes:
    """Of strings below 64 bytes."""
    body = b"".join(b"%c%b%c" % (0x80 | len(entry), entry, 1 + len(entry)) for entry in entries)
    return (len(body) + 7).to_bytes(4, "little") + len(entries).to_bytes(2, "little") + body + b"\xff"


def many(*strings: bytes) -> bytes:
    return b"".join(map(string, strings))


def commands(data: bytes) -> list[Words]:
    """What RESP bytes ask for."""
    found, at = [], 0
    while at < len(data):
        count, at = _number(data, at, b"*")
        words = []
        for _ in range(count):
            size, at = _number(data, at, b"$")
            words.append(data[at : at + size])
            assert data[at + size : at + size + 2] == b"\r\n"
            at += size + 2
        found.append(words)
    return found


def _number(data: bytes, at: int, mark: bytes) -> tuple[int, int]:
    end = data.index(b"\r\n", at)
    assert data[at : at + 1] == mark
    return int(data[at + 1 : end]), end + 2


@dataclass
class Walked:
    """Everything that came out of a file."""

    data: bytes = b""
    keys: int = 0
    expired: int = 0
    left_out: int = 0
    replies: int = 0
    bigs: list[Big] = field(default_factory=list)
    functions: list[bytes] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    end: End | None = None
    walker: Walker | None = None

    @property
    def commands(self) -> list[Words]:
        return commands(self.data)

    @property
    def keyed(self) -> list[Words]:
        """Without the choices of a database, which depend on where a walk began."""
        return [words for words in self.commands if words[0] != b"SELECT"]


def walker(**options: Any) -> Walker:
    words: dict[str, Any] = {"target_version": 11, "limit": 1 << 20, "now_ms": lambda: NOW_MS}
    return Walker(**(words | options))


def walk(data: bytes, chunk: int = 1 << 20, most: int = 1 << 20, **options: Any) -> Walked:
    """Feed a file in chunks of one size until it is over; errors come through."""
    seen = Walked(walker=walker(**options))
    for _ in steps(seen, data, chunk, most):
        pass
    return seen


def steps(seen: Walked, data: bytes, chunk: int, most: int) -> Iterator[None]:
    """As ``walk``, stopping after each result."""
    assert seen.walker
    at, selected = seen.walker.place.offset, None
    while seen.end is None:
        result = seen.walker.walk(most, selected)
        if isinstance(result, Needs):
            assert result.missing > 0
            if at >= len(data):
                seen.walker.close()
            seen.walker.feed(data[at : at + chunk])
            at += chunk
        elif isinstance(result, Restored):
            seen.data += result.data
            seen.keys += result.keys
            seen.expired += result.expired
            seen.left_out += result.left_out
            seen.replies += result.commands
            selected = result.selected
            seen.places.append(result.place)
        elif isinstance(result, Functions):
            seen.functions.append(result.code)
            seen.places.append(result.place)
        elif isinstance(result, Big):
            seen.bigs.append(result)
            for piece in seen.walker.pieces():
                if piece is None:
                    if at >= len(data):
                        seen.walker.close()
                    seen.walker.feed(data[at : at + chunk])
                    at += chunk
                else:
                    seen.data += piece.data
                    seen.replies += piece.commands
            seen.places.append(seen.walker.place)
        else:
            seen.end = result
        yield


@contextmanager
def pure_python() -> Iterator[None]:
    """Without the compiled module, for the length of a block."""
    homes: Iterable[Any] = (rdb, skipping, lzf)
    before = native.native
    portable, chosen = crc64.portable_crc64, crc64._chosen
    for home in homes:
        home.native = None
    crc64._chosen = portable
    try:
        yield
    finally:
        for home in homes:
            home.native = before
        crc64._chosen = chosen
