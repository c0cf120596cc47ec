"""Takes a backup: becomes a server's replica, receives its data set, looks it through, puts it into a bucket.

Each of several masters gives one file. A file is there complete or not at all. What a crash interrupts is taken
anew: a data set that was received in part is of no use.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sterna.core.change import Batch, Chunk, Format, Name, Part, Position
from sterna.core.errors import BadData, IllegalMove, Invalid, NeedsOperator, StartAgain, Unsupported
from sterna.core.event import Level
from sterna.core.files import Opens
from sterna.core.plan import Endpoint, Plan, StoredFile
from sterna.core.ports import Log, Room, Teller
from sterna.engines.redis.disk import on_disk
from sterna.engines.redis.dump import Dump
from sterna.engines.redis.intake import Intake
from sterna.engines.redis.spool import Spool
from sterna.engines.redis.wire.rdb import End, Functions, Needs, Restored, Walker

RDB = Format("redis-rdb")
"""Chunks that tell how much of a data set was received; its bytes are in the job's folder."""
KEYSPACE = Name(("redis",))
RECEIVED = Position("received")
BLOCK = 1 << 20


@dataclass(frozen=True)
class Node:
    """One server, and the file that it is to become."""

    number: int
    endpoint: Endpoint
    file: StoredFile
    folder: Path
    """Where its data set lies meanwhile."""


def nodes(plan: Plan, room: Room) -> list[Node]:
    """Every server of the plan's source with its file. Raises Invalid where there are not as many of both."""
    addresses, files = plan.source.addresses, plan.target.files
    if len(addresses) != len(files):
        raise Invalid("files", f"{len(addresses)} servers cannot become {len(files)} files")
    return [
        Node(number, replace(plan.source, addresses=(address,)), file, room.folder / f"node{number}")
        for number, (address, file) in enumerate(zip(addresses, files, strict=True))
    ]


class BackupSource:
    """Meets ``core.ports.Source``: receives data sets into the job's folder."""

    def __init__(self, servers: Sequence[Node], tell: Teller) -> None:
        self._servers = servers
        self._tell = tell
        self._keys = -1

    @property
    def log(self) -> Log | None:
        """None: only what is there at one instant."""
        return None

    async def names(self) -> Sequence[Name]:
        return [KEYSPACE]

    async def parts(self, name: Name) -> Sequence[Part]:
        return [Part(f"node{node.number}", name, spec=str(node.number)) for node in self._servers]

    async def copied(self) -> None:
        """Nothing is held on the servers."""

    async def rows(self) -> int:
        return self._keys

    async def copy(
        self, part: Part, formats: Sequence[Format], after: Position | None = None
    ) -> AsyncIterator[Chunk]:
        """Receive one server's data set; each chunk tells how many bytes came. Raises StartAgain after a break."""
        node = self._servers[int(part.spec)]
        with ExitStack() as stack:
            with on_disk("The data set cannot be kept"):
                node.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                dump = Dump(node.folder)
                stack.callback(dump.close)
                spool = Spool.open(node.folder / "spool")
                stack.callback(spool.close)
            if after is not None:
                if after == RECEIVED and dump.facts and dump.facts.complete:
                    return
                raise StartAgain("The data set was not received completely before the interruption")
            intake = Intake(node.endpoint, dump, spool, self._tell, follow=False)
            try:
                await intake.begin()
                async for size in _growing(intake, dump):
                    yield Chunk(RDB, b"", 0, size, Position("receiving"))
            finally:
                await intake.stop()
            keys = max(0, dump.facts.keys) if dump.facts else 0
            yield Chunk(RDB, b"", keys, 0, RECEIVED)


async def _growing(intake: Intake, dump: Dump) -> AsyncIterator[int]:
    """How many bytes came, again and again, until all are there. Raises what ended the link."""
    seen = 0
    while True:
        if intake.failure:
            raise intake.failure
        if dump.written > seen:
            yield dump.written - seen
            seen = dump.written
        elif dump.facts and dump.facts.complete:
            return
        else:
            await dump.grown()


class BackupSink:
    """Meets ``core.ports.Sink``: puts the files into the bucket once all data sets were received."""

    formats: Sequence[Format] = (RDB,)

    def __init__(self, servers: Sequence[Node], opens: Opens | None, tell: Teller) -> None:
        self._servers = servers
        self._opens = opens
        self._tell = tell
        self._stop = threading.Event()

    async def claim(self) -> None:
        """A bucket knows no owners."""

    async def position(self, lane: str) -> Position | None:
        return None

    async def prepare(self) -> None:
        """There is nothing to make ready."""

    async def load(self, part: Part, chunk: Chunk) -> None:
        """The bytes are in the job's folder already."""

    async def write(self, batch: Batch) -> None:
        raise Unsupported("A backup has no changes to follow")

    async def verify(self) -> None:
        """A bucket has no memory to lose."""

    async def copied(self, anchor: Position) -> None:
        """Look each data set through, then write it. Raises BadData, TargetFull, Unreachable, AccessDenied."""
        if self._opens is None:
            raise NeedsOperator("No file can be written here: no storage is set up")
        for node in self._servers:
            storage = await self._opens(node.file.bucket)
            try:
                about = await asyncio.to_thread(storage.write, node.file.name, self._pieces(node))
            except asyncio.CancelledError:
                self._stop.set()
                raise
            self._tell(
                Level.INFO, "redis.backup.written", f"{node.file.name}: {about.size} bytes", file=about.name
            )

    def _pieces(self, node: Node) -> Iterator[bytes]:
        """The data set's bytes, each looked at by the reader of RDB files before it is given out."""
        walker = Walker(target_version=0, limit=1 << 62, keep=lambda _database, _key: False, hold_ms=1)
        ended = False
        with (node.folder / "dump.rdb").open("rb") as file:
            while data := file.read(BLOCK):
                if self._stop.is_set():
                    raise IllegalMove("The job was stopped")
                walker.feed(data)
                ended = ended or _walk(walker)
                yield data
        walker.close()
        if not ended and not _walk(walker):
            raise BadData("The data set does not end")

    async def finish(self) -> None:
        """The data sets in the job's folder are not needed any more."""
        for node in self._servers:
            Dump(node.folder).remove()

    async def rows(self) -> int:
        return -1


def _walk(walker: Walker) -> bool:
    """Look at what was fed. True: the data set has ended. Raises BadData for damage."""
    while True:
        match walker.walk(BLOCK):
            case Needs():
                return False
            case End():
                return True
            case Restored() | Functions():
                pass
            case _:
                raise AssertionError("nothing is kept, so nothing is too big")


@asynccontextmanager
async def backup_source(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[BackupSource]:
    """The source of a backup: its servers."""
    yield BackupSource(nodes(plan, room), tell)


@asynccontextmanager
async def backup_sink(plan: Plan, opens: Opens | None, room: Room, tell: Teller) -> AsyncIterator[BackupSink]:
    """The sink of a backup: its bucket."""
    yield BackupSink(nodes(plan, room), opens, tell)
