"""What happens on the target around a copy: looking for conflicts before it, tidying after it, the end."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from sterna.core.errors import BadData, KeyConflict, NeedsOperator, Trouble, Unsupported
from sterna.core.event import Level
from sterna.core.plan import Conflict, Mode, Plan
from sterna.core.ports import Teller
from sterna.engines.redis.checkpoint import Checkpoint
from sterna.engines.redis.connection import Argument, Connection, Reply, ReplyError, info, trouble
from sterna.engines.redis.disk import on_disk
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import CHECKPOINT_PREFIX, printable, released
from sterna.engines.redis.wire.rewrite import MOST_DATABASES

PAGE = 1000
"""Keys a page of SCAN asks for."""
STEP = 5000
"""Keys that are indexed at once, which takes some ten milliseconds."""
MOST_FOREIGN = 1_000_000
"""How many keys of others the policy ``skip`` can remember; they are held in memory while the job runs."""

Transact = Callable[[int, Sequence[Sequence[Argument]]], Awaitable[None]]


class Preparing:
    """Looks with connections of its own; all it writes goes through the sink's fenced transactions."""

    forgives = True
    """Whether a later run may go on behind a command that the target has refused."""

    def __init__(
        self,
        plan: Plan,
        mapping: Mapping,
        folder: Path,
        dumped: Callable[[], Iterable[tuple[int, bytes]]],
        key: bytes,
        tell: Teller,
    ) -> None:
        self._key = key
        self._plan = plan
        self._mapping = mapping
        self._foreign = ForeignKeys(folder)
        self._folder = folder
        self._dumped = dumped
        self._tell = tell

    @property
    def what(self) -> str:
        """Which databases and keys of the source go along, as the checkpoint notes it."""
        return repr(self._mapping)

    async def look(self) -> bool:
        """Before the first copy: whether the target is empty.

        Raises KeyConflict if the policy says so, or if another job already moves the same.
        """
        async with await Connection.open(self._plan.target) as target:
            await self._refuse_twin(target)
            shared = await self._share(target)
            databases = await used(target, self._mapping)
            empty = not shared and not any(databases.values())
            match self._plan.conflict:
                case Conflict.STOP if not empty:
                    await self._refuse_shared(target, databases)
                case Conflict.SKIP:
                    self._foreign.save([pair async for pair in self._keys(target, databases)])
                case _:
                    pass
        return empty

    async def _refuse_twin(self, target: Connection) -> None:
        """Two jobs that move the same from one source would apply every change twice."""
        async with await Connection.open(self._plan.source) as source:
            facts = info(await call(source, "INFO", "replication"))
        histories = tuple(
            facts[name] for name in ("master_replid", "master_replid2") if facts.get(name, "0").strip("0")
        )
        await call(target, "SELECT", 0)
        async for page in matching(target, CHECKPOINT_PREFIX + b"*"):
            for key in page:
                if key != self._key and await self._is_twin(target, key, histories):
                    job = key.removeprefix(CHECKPOINT_PREFIX).decode("utf-8", "replace")
                    raise KeyConflict(
                        f"Job {job} already moves the same from this source to this target",
                        hint="Let that job go on, or stop it. If it is gone for good, delete the key "
                        f"{printable(key)} in database 0 of the target.",
                    )

    async def _is_twin(self, target: Connection, key: bytes, histories: tuple[str, ...]) -> bool:
        try:
            there = Checkpoint.decode((await many(target, [("GET", key)]))[0] or b"", key)
        except (BadData, NeedsOperator):
            return False  # a user's key that is named like one of ours
        return there.what == self.what and any(lane.startswith(histories) for lane in there.lanes.values())

    async def _share(self, target: Connection) -> bool:
        """Tell the other jobs that write here that not all is theirs any more. Whether there are any."""
        found = False
        await call(target, "SELECT", 0)
        async for page in matching(target, CHECKPOINT_PREFIX + b"*"):
            for key in page:
                found |= key != self._key and await self._mark(target, key)
        return found

    async def _mark(self, target: Connection, key: bytes) -> bool:
        """Note in a checkpoint that its target is shared. False: it is gone, or a user's key named like one."""
        while True:
            _, text = await target.pipeline([("WATCH", key), ("GET", key)])
            try:
                there = Checkpoint.decode(text, key) if isinstance(text, bytes) else None
            except BadData:
                there = None
            if there is None or there.shared:
                await call(target, "UNWATCH")
                return there is not None
            marked = replace(there, shared=True).encode()
            if (await many(target, [("MULTI",), ("SET", key, marked), ("EXEC",)]))[-1] is not None:
                return True

    async def _refuse_shared(self, target: Connection, databases: Iterable[int]) -> None:
        async with await Connection.open(self._plan.source) as source:
            there = list(await used(source, None))
            for database in databases:
                for origin in (db for db in there if self._mapping.target_of(db) == database):
                    async for page in pages(target, database):
                        await call(source, "SELECT", origin)
                        found = await many(source, [("EXISTS", key) for key in page])
                        if shared := [key for key, there in zip(page, found, strict=True) if there]:
                            sample = ", ".join(printable(key) for key in shared[:5])
                            raise KeyConflict(
                                f"The target has keys of the source, in database {database}: {sample}"
                            )

    async def _keys(self, target: Connection, databases: Iterable[int]) -> AsyncIterator[tuple[int, bytes]]:
        count = 0
        for database in databases:
            async for page in pages(target, database):
                for key in page:
                    yield database, key
                count += len(page)
                if count > MOST_FOREIGN:
                    raise Unsupported(
                        f"The target holds over {MOST_FOREIGN} keys: too many for the policy skip",
                        hint="Choose the policy overwrite, or an emptier target.",
                    )

    async def sweep(self, all_ours: bool, transact: Transact) -> None:
        """After a repeated copy: take away what an earlier one wrote and this data set does not have."""
        with on_disk("The keys of the data set cannot be kept"):
            index = KeyIndex(self._folder / "keys.db")
        try:
            with on_disk("The keys of the data set cannot be kept"):
                await index.add(self._dumped())
            async with await Connection.open(self._plan.target) as target:
                stale = 0
                for database in await used(target, self._mapping):
                    async for page in pages(target, database):
                        old = [key for key in page if self._mapping.keep(key) and not index.has(database, key)]
                        stale += len(old)
                        if all_ours and old:
                            await transact(database, [("DEL", key) for key in old])
        finally:
            index.close()
        if stale and all_ours:
            message = f"Removed {stale} keys that an earlier copy wrote and the source has no more"
            self._tell(Level.INFO, "redis.swept", message, keys=str(stale))
        elif stale:
            message = (
                f"The target has {stale} keys that the source does not have. It was not empty at the start, "
                "or another job writes there too, so they are left: compare to see them"
            )
            self._tell(Level.WARN, "redis.left", message, keys=str(stale))

    async def release(self, transact: Transact) -> None:
        """Set all held expiries to the true ones. Keys whose time is over go at once."""
        if self._plan.mode is Mode.FULL:
            return  # nothing was held
        async with await Connection.open(self._plan.target) as target:
            for database in await expiring(target, self._mapping):
                async for page in pages(target, database, others_alone=False):
                    held = [
                        (key, released(at))
                        for key, at in zip(page, await expiries(target, page), strict=True)
                        if released(at) != at
                    ]
                    if held:
                        await transact(database, [("PEXPIREAT", key, at) for key, at in held])

    async def rows(self) -> int:
        """Keys on the target in the databases of the plan."""
        async with await Connection.open(self._plan.target) as target:
            return sum((await used(target, self._mapping)).values())


class ForeignKeys:
    """The keys that the target held before the first copy, kept in the job's folder for the policy ``skip``."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "foreign-keys"

    def save(self, keys: Iterable[tuple[int, bytes]]) -> None:
        partial = self._file.with_suffix(".tmp")
        with on_disk("The keys of the target cannot be kept"):
            with partial.open("wb") as file:
                for database, key in keys:
                    file.write(database.to_bytes(4, "big") + len(key).to_bytes(4, "big") + key)
            partial.replace(self._file)

    def load(self) -> frozenset[tuple[int, bytes]]:
        """Raises NeedsOperator where the list is gone: without it keys of others would be overwritten."""
        try:
            data = self._file.read_bytes()
        except FileNotFoundError:
            raise NeedsOperator(
                "The list of keys that the target held before is gone with the job's folder",
                hint="Run the job anew from the start, on the machine where it stays.",
            ) from None
        keys, at = set(), 0
        while at < len(data):
            size = int.from_bytes(data[at + 4 : at + 8], "big")
            keys.add((int.from_bytes(data[at : at + 4], "big"), data[at + 8 : at + 8 + size]))
            at += 8 + size
        return frozenset(keys)


class KeyIndex:
    """A set of keys on disk, by digest: bounded in memory whatever their number."""

    def __init__(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._file = file
        self._base = sqlite3.connect(file)
        self._base.execute("PRAGMA journal_mode=OFF")
        self._base.execute("PRAGMA synchronous=OFF")
        self._base.execute("CREATE TABLE keys (digest BLOB PRIMARY KEY) WITHOUT ROWID")

    async def add(self, keys: Iterable[tuple[int, bytes]]) -> None:
        """In small steps: the source and the API must not wait until all keys are through."""
        rows = ((_digest(database, key),) for database, key in keys)
        while some := list(islice(rows, STEP)):
            self._base.executemany("INSERT OR IGNORE INTO keys VALUES (?)", some)
            await asyncio.sleep(0)

    def has(self, database: int, key: bytes) -> bool:
        query = "SELECT 1 FROM keys WHERE digest = ?"
        return self._base.execute(query, (_digest(database, key),)).fetchone() is not None

    def close(self) -> None:
        self._base.close()
        self._file.unlink(missing_ok=True)


def _digest(database: int, key: bytes) -> bytes:
    return hashlib.blake2b(b"%d:%b" % (database, key), digest_size=16).digest()


async def call(connection: Connection, *words: Argument) -> Reply:
    """As ``Connection.call``, with every error as Trouble."""
    try:
        return await connection.call(*words)
    except ReplyError as error:
        raise Trouble(f"{connection.where}: {words[0]!s}: {error}") from None


async def many(connection: Connection, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
    """A pipeline in which no command may fail."""
    replies = await connection.pipeline(commands)
    for words, reply in zip(commands, replies, strict=True):
        if isinstance(reply, ReplyError):
            raise trouble(reply, connection.where) or NeedsOperator(f"{connection.where}: {words[0]!s}: {reply}")
    return replies


async def used(connection: Connection, mapping: Mapping | None) -> dict[int, int]:
    """Databases that hold keys (of those a mapping leads to), and how many.

    On a target, which has a mapping, Sterna's own keys do not count, where there are few enough to look for them.
    """
    facts = info(await call(connection, "INFO", "keyspace"))
    found = {
        int(name[2:]): int(value.partition("keys=")[2].partition(",")[0])
        for name, value in facts.items()
        if name.startswith("db") and name[2:].isdigit()
    }
    if mapping is not None and not mapping.identity:
        targets = {mapping.target_of(database) for database in range(MOST_DATABASES)}
        found = {database: count for database, count in found.items() if database in targets}
    if mapping is not None and 0 < found.get(0, 0) <= PAGE:
        found[0] -= len(await own_keys(connection))
    return found


async def expiring(connection: Connection, mapping: Mapping) -> list[int]:
    """Databases that hold keys with an expiry (of those a mapping leads to)."""
    facts = info(await call(connection, "INFO", "keyspace"))
    return [
        database for database in await used(connection, mapping) if ",expires=0," not in facts[f"db{database}"]
    ]


async def own_keys(connection: Connection) -> list[bytes]:
    """Checkpoint keys."""
    await call(connection, "SELECT", 0)
    return [key async for page in matching(connection, CHECKPOINT_PREFIX + b"*") for key in page]


async def matching(connection: Connection, pattern: bytes) -> AsyncIterator[list[bytes]]:
    """The keys of the selected database that match, by pages."""
    cursor = b"0"
    while True:
        cursor, page = await call(connection, "SCAN", cursor, "MATCH", pattern, "COUNT", 10 * PAGE)
        yield page
        if cursor == b"0":
            return


async def pages(
    connection: Connection, database: int, count: int = PAGE, *, others_alone: bool = True
) -> AsyncIterator[list[bytes]]:
    """All keys of a database by pages, but for those that are, or look like, Sterna's own. One may come twice."""
    cursor = b"0"
    while True:
        _, (cursor, page) = await many(connection, [("SELECT", database), ("SCAN", cursor, "COUNT", count)])
        if keys := [key for key in page if not (others_alone and key.startswith(CHECKPOINT_PREFIX))]:
            yield keys
        if cursor == b"0":
            return


async def expiries(connection: Connection, keys: Sequence[bytes]) -> list[int]:
    """Absolute expiry of each key in ms; negative for none. Keys are of the selected database."""
    replies = await connection.pipeline([("PEXPIRETIME", key) for key in keys])
    if not isinstance(replies[0], ReplyError):
        return replies
    words: list[Sequence[Argument]] = [("MULTI",), ("TIME",), *(("PTTL", key) for key in keys), ("EXEC",)]
    (seconds, micros), *left = (await many(connection, words))[-1]  # before Redis 7 there is only the time left
    now = int(seconds) * 1000 + int(micros) // 1000
    return [now + ttl if ttl >= 0 else ttl for ttl in left]
