"""Notes which keys a data set has touched before a place in it, by reading that again."""

import asyncio
from pathlib import Path

from sterna.engines.redis.files.position import FilePosition
from sterna.engines.redis.files.reader import Reader
from sterna.engines.redis.files.scratch import Scratch
from sterna.engines.redis.files.shelf import Content, Entry
from sterna.engines.redis.files.sieve import Sieve
from sterna.engines.redis.files.touched import Touched
from sterna.engines.redis.wire.rdb import End, Needs, Walker

BATCH_BYTES = 1 << 20


async def note_keys(entry: Entry, touched: Touched, upto: FilePosition | None, folder: Path) -> None:
    """Note the keys of a file up to a place in it, which may be passed within an RDB part; None: of all of it.

    ``folder`` is for long words.
    """
    reader = Reader(entry.opened, 0)
    try:
        await reader.open()
        rest, offset = b"", 0
        if entry.content is Content.RDB:
            rest, offset = await _note_rdb(reader, touched, upto.place.offset if upto and upto.place else -1)
            if upto and upto.place:
                return
        sieve = Sieve(entry.name, offset, 0, touched, alone=True, store=Scratch(folder))
        await _note_commands(sieve, reader, rest, upto.offset if upto else -1)
    finally:
        await reader.close()


async def _note_rdb(reader: Reader, touched: Touched, upto: int) -> tuple[bytes, int]:
    """Returns what was read beyond the part's end, and where that is. ``upto`` below 0: all."""

    def note(database: int, key: bytes) -> bool:
        touched.first(database, key)
        return False

    walker = Walker(target_version=0, limit=1 << 62, keep=note, hold_ms=1)
    while upto < 0 or walker.place.offset < upto:
        match walker.walk(BATCH_BYTES):
            case Needs():
                await feed(walker, reader)
            case End() as end:
                return walker.rest(), end.place.offset
            case _:
                pass
    return b"", upto


async def _note_commands(sieve: Sieve, reader: Reader, rest: bytes, upto: int) -> None:
    data = rest or await reader.read()
    while data:
        left = len(data) if upto < 0 else max(0, upto - sieve.at - sieve.waiting)
        sieve.feed(data[:left])
        for _ in sieve.take():
            pass
        await asyncio.sleep(0)
        data = await reader.read() if left >= len(data) else b""


async def feed(walker: Walker, reader: Reader) -> None:
    """Give a walker some more bytes, or tell it that there are none."""
    data = await reader.read()
    walker.feed(data) if data else walker.close()
