"""The writes of the stream measurements: nine SETs of 100 bytes, then a HINCRBY, over 100,000 keys."""

import random
from collections.abc import Iterator

from bench.redis_wire import pack

KEYS = 100_000
BLOB = 1000


def commands(start: int) -> Iterator[bytes]:
    """Packed commands without end. ``start`` gives another series."""
    dice = random.Random(start)
    while True:
        number = dice.randrange(KEYS)
        if number % 10:
            yield pack(["SET", f"key:{number}", dice.randbytes(100)])
        else:
            yield pack(["HINCRBY", f"counters:{number % 1000}", f"field{number % 17}", 1])


def blobs(count: int, start: int) -> list[bytes]:
    """``count`` commands, packed beforehand in pieces of about 100 kB."""
    work = commands(start)
    return [b"".join(next(work) for _ in range(min(BLOB, count - done))) for done in range(0, count, BLOB)]
