"""Looks through files without writing anything: what they say at their beginning, or all of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from sterna.core.errors import NeedsOperator
from sterna.core.files import Storage
from sterna.core.plan import StoredFile
from sterna.engines.redis.files.scratch import Nowhere
from sterna.engines.redis.files.shelf import Content, Entry, Item, lay_out
from sterna.engines.redis.files.sieve import Sieve
from sterna.engines.redis.files.streams import Stream
from sterna.engines.redis.wire.place import version_of
from sterna.engines.redis.wire.rdb import End, Needs, Walker
from sterna.engines.redis.wire.tape import Short, Tape

BLOCK = 1 << 20
_AUX, _MAGIC_BYTES = 250, 9


@dataclass
class Scanned:
    """What was found. ``databases`` and ``faults`` only by a look at everything."""

    items: Sequence[Item] = ()
    passed_over: Sequence[str] = ()
    size: int = 0
    """Bytes as stored."""
    unpacked: int = 0
    """Bytes, as far as known; packed files whose size is not known count as they are."""
    rdb_versions: dict[str, int] = field(default_factory=dict)
    """By file."""
    written_by: dict[str, str] = field(default_factory=dict)
    """The server's version, by file."""
    memory: int = 0
    """What the servers used that wrote the RDB files, as far as they say."""
    databases: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    """RDB files without a checksum."""


def scan(storages: Mapping[str, Storage], files: Sequence[StoredFile], limit: int, *, all_of_it: bool) -> Scanned:
    """Look at the files. Blocks. Raises what opening them raises; what is wrong within is among the faults."""
    laid = lay_out(storages, files, limit)
    try:
        found = Scanned(laid.items, laid.passed_over, laid.size)
        for entry in (entry for item in laid.items for entry in item.entries):
            found.unpacked += entry.size if entry.size >= 0 else laid.blobs[entry.blob].size
            if entry.content is Content.RDB:
                _opening(entry, found)
            if all_of_it:
                _whole(entry, found)
        return found
    finally:
        laid.close()


def _opening(entry: Entry, found: Scanned) -> None:
    """What an RDB file says of itself before its first key."""
    try:
        found.rdb_versions[entry.name] = version_of(entry.head[:_MAGIC_BYTES])
        tape = Tape(entry.head)
        tape.raw(_MAGIC_BYTES)
        while tape.raw(1)[0] == _AUX:
            name, value = tape.string(), tape.string()
            if name in (b"redis-ver", b"valkey-ver"):
                found.written_by[entry.name] = (
                    f"{name[:-4].decode().capitalize()} {value.decode(errors='replace')}"
                )
            if name == b"used-mem" and value.isdigit():
                found.memory += int(value)
    except Short:
        return
    except NeedsOperator as error:
        found.faults.append(f"{entry.name}: {error.message}")


def _whole(entry: Entry, found: Scanned) -> None:
    try:
        stream = entry.opened(0)
        rest, offset = b"", 0
        if entry.content is Content.RDB:
            rest, offset = _rdb(entry, stream, found)
        data = rest or stream.read(BLOCK)
        if offset and data[:1] not in (b"*", b"#", b"\r", b"\n"):
            return
        sieve = Sieve(entry.name, offset, 0, _Databases(found.databases), alone=True, store=Nowhere())
        while data:
            sieve.feed(data)
            for _ in sieve.take():
                pass
            data = stream.read(BLOCK)
    except NeedsOperator as error:
        found.faults.append(error.message if entry.name in error.message else f"{entry.name}: {error.message}")


def _rdb(entry: Entry, stream: Stream, found: Scanned) -> tuple[bytes, int]:
    def note(database: int, key: bytes) -> bool:
        found.databases.add(database)
        return False

    walker = Walker(target_version=0, limit=1 << 62, keep=note, hold_ms=1)
    while True:
        match walker.walk(BLOCK):
            case Needs():
                data = stream.read(BLOCK)
                walker.feed(data) if data else walker.close()
            case End() as end:
                if not end.checked:
                    found.unchecked.append(entry.name)
                return walker.rest(), end.place.offset
            case _:
                pass


class _Databases:
    """Notes which databases have keys, and nothing else."""

    def __init__(self, seen: set[int]) -> None:
        self._seen = seen

    def first(self, database: int, key: bytes) -> bool:
        self._seen.add(database)
        return False

    def databases(self) -> Sequence[int]:
        return ()

    def pages(self, database: int) -> Iterator[Sequence[bytes]]:
        return iter(())

    def swap(self, one: int, other: int) -> None:
        self._seen |= {one, other}
