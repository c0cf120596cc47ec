"""Redis and Valkey, as the rest of Sterna sees them."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.errors import BadData, Unsupported
from sterna.core.event import Level
from sterna.core.files import Opens
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Mode, Plan
from sterna.core.ports import Check, Found, Room, Sink, Source, Teller
from sterna.engines.redis.checks import backup_checks, checks
from sterna.engines.redis.compare import compare
from sterna.engines.redis.connection import READ_SIZE, Connection, info
from sterna.engines.redis.disk import on_disk
from sterna.engines.redis.dump import Dump
from sterna.engines.redis.files.aiming import is_cluster
from sterna.engines.redis.files.backup import backup_sink, backup_source
from sterna.engines.redis.files.checks import file_checks
from sterna.engines.redis.files.cluster import cluster_sink
from sterna.engines.redis.files.comparing import compare_files
from sterna.engines.redis.files.preparing import FilePreparing
from sterna.engines.redis.files.source import FileSource
from sterna.engines.redis.folder import alone_in
from sterna.engines.redis.intake import Intake
from sterna.engines.redis.mapping import Mapping as Databases
from sterna.engines.redis.names import checkpoint_key
from sterna.engines.redis.preparing import ForeignKeys, Preparing, call
from sterna.engines.redis.sink import RedisSink
from sterna.engines.redis.source import RedisSource
from sterna.engines.redis.spool import Spool
from sterna.engines.redis.wire.rdb import Big, End, Needs, Walker


class RedisEngine:
    """Meets ``core.ports.Engine``."""

    name = "redis"

    def __init__(self, opens: Opens | None = None) -> None:
        """``opens`` finds the buckets that hold RDB and AOF files; without it, there are none."""
        self._opens = opens

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        if plan.source.files:
            return _file_source(plan, self._opens, room, tell)
        return _backup_source(plan, room, tell) if plan.target.files else _source(plan, room, tell)

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        if plan.source.files:
            return _file_sink(plan, room, tell)
        return backup_sink(plan, self._opens, room, tell) if plan.target.files else _sink(plan, room, tell)

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        if plan.source.files:
            return file_checks(plan, self._opens)
        return backup_checks(plan) if plan.target.files else checks(plan)

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        if plan.target.files:
            raise Unsupported("A backup is not compared: it is looked through as it is written")
        if plan.source.files:
            if repair:
                raise Unsupported(
                    "A target is not repaired from files: import them again, with the policy overwrite"
                )
            return await compare_files(plan, self._opens, most=most, depth=depth, only=only, heard=heard)
        return await compare(plan, room=room, repair=repair, most=most, depth=depth, only=only, heard=heard)

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        async with await Connection.open(endpoint) as connection:
            facts = info(await call(connection, "INFO"))
        known = {
            "version": facts.get("valkey_version") or facts.get("redis_version", ""),
            "product": "valkey" if "valkey_version" in facts else "redis",
            "role": facts.get("role", ""),
            "mode": facts.get("redis_mode") or facts.get("server_mode", ""),
            "memory": facts.get("used_memory", ""),
        }
        return {name: value for name, value in known.items() if value}

    async def browse(self, endpoint: Endpoint, databases: Sequence[str] = ()) -> Sequence[Found]:
        """The databases that hold keys."""
        async with await Connection.open(endpoint) as connection:
            facts = info(await call(connection, "INFO", "keyspace"))
        numbers = sorted(int(name[2:]) for name in facts if name.startswith("db") and name[2:].isdigit())
        return [Found((str(it),), "database") for it in numbers if not databases or str(it) in databases]


@asynccontextmanager
async def _source(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[Source]:
    with on_disk("Nothing can be kept"):
        room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (room.folder / "lock").touch(0o600)
    async with alone_in(room.folder), _source_alone(plan, room, tell) as source:
        yield source


@asynccontextmanager
async def _source_alone(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[Source]:
    with on_disk("Nothing can be kept"):
        spool = _spool(room, tell)
        dump = Dump(room.folder)
    intake = Intake(plan.source, dump, spool, tell, follow=plan.mode is Mode.INCREMENTAL)
    key, foreign = checkpoint_key(room.job_id), ForeignKeys(room.folder)
    source = RedisSource(plan, Databases.of(plan.selection), intake, spool, dump, foreign, key, tell)
    try:
        yield source
    finally:
        await source.close()
        spool.close()
        dump.close()


@asynccontextmanager
async def _file_source(plan: Plan, opens: Opens | None, room: Room, tell: Teller) -> AsyncIterator[Source]:
    with on_disk("Nothing can be kept"):
        room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (room.folder / "lock").touch(0o600)
    async with alone_in(room.folder):
        source = FileSource(plan, Databases.of(plan.selection), opens, room, tell)
        try:
            yield source
        finally:
            await source.close()


@asynccontextmanager
async def _backup_source(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[Source]:
    with on_disk("Nothing can be kept"):
        room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (room.folder / "lock").touch(0o600)
    async with alone_in(room.folder), backup_source(plan, room, tell) as source:
        yield source


@asynccontextmanager
async def _file_sink(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[Sink]:
    with on_disk("Nothing can be kept"):
        room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mapping = Databases.of(plan.selection)
    async with await Connection.open(plan.target) as connection:
        if await is_cluster(connection):
            async with cluster_sink(plan, mapping, room, tell) as sink:
                yield sink
            return
        preparing = FilePreparing(plan, mapping, room.folder, checkpoint_key(room.job_id), tell)
        yield RedisSink(connection, room, preparing, tell)


def _spool(room: Room, tell: Teller) -> Spool:
    """The spool as it was left; one that is damaged is thrown away, and the source asked for the stream again."""
    folder = room.folder / "spool"
    try:
        return Spool.open(folder, limit_bytes=room.spool_limit)
    except BadData as error:
        message = f"{error.message}. It is thrown away, and the stream is fetched from the source again"
        tell(Level.WARN, "redis.spool.damaged", message)
        shutil.rmtree(folder)
        return Spool.open(folder, limit_bytes=room.spool_limit)


@asynccontextmanager
async def _sink(plan: Plan, room: Room, tell: Teller) -> AsyncIterator[Sink]:
    with on_disk("Nothing can be kept"):
        room.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    mapping = Databases.of(plan.selection)
    preparing = Preparing(
        plan, mapping, room.folder, _dumped(room.folder, mapping), checkpoint_key(room.job_id), tell
    )
    async with await Connection.open(plan.target) as connection:
        yield RedisSink(connection, room, preparing, tell)


def _dumped(folder: Path, mapping: Databases) -> Callable[[], Iterator[tuple[int, bytes]]]:
    """All keys of the data set that was received, with the target's database of each."""

    def keys() -> Iterator[tuple[int, bytes]]:
        dump = Dump(folder)
        seen: list[tuple[int, bytes]] = []

        def note(database: int, key: bytes) -> bool:
            target = mapping.target_of(database)
            if target is not None:
                seen.append((target, key))
            return False

        walker = Walker(target_version=0, limit=1 << 62, keep=note, hold_ms=1)
        offset = 0
        try:
            while True:
                result = walker.walk(READ_SIZE)
                yield from seen
                seen.clear()
                match result:
                    case Needs():
                        data = dump.read(offset, READ_SIZE)
                        offset += len(data)
                        walker.feed(data) if data else walker.close()
                    case End():
                        return
                    case Big():
                        raise AssertionError("nothing is kept, so nothing is too big")
        finally:
            dump.close()

    return keys
