"""What the reading side must know of the target: what it can take, and where everything goes."""

from collections.abc import Callable
from dataclasses import dataclass

from sterna.core.errors import Unsupported
from sterna.core.plan import Conflict, Mode, Plan
from sterna.engines.redis.connection import Connection, ReplyError, info
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import HOLD_MS
from sterna.engines.redis.preparing import ForeignKeys, call
from sterna.engines.redis.wire.rewrite import MOST_DATABASES


@dataclass(frozen=True)
class Aim:
    """One target, as the walker of a dump and the transformer of a stream need to know it."""

    rdb_version: int
    """The newest RDB version that its RESTORE reads."""
    modern: bool
    """Redis 5 or newer: RESTORE knows ABSTTL, IDLETIME and FREQ."""
    count: int
    """How many databases it has."""
    mapping: Mapping
    hold_ms: int
    keep: Callable[[int, bytes], bool] | None
    """Which keys go along; None: all."""

    @property
    def databases(self) -> dict[int, int] | None:
        """Every source database with its target; None where all keep their number."""
        if self.mapping.identity:
            return None
        pairs = ((source, self.mapping.target_of(source)) for source in range(MOST_DATABASES))
        return {source: target for source, target in pairs if target is not None}

    def of(self, source: int) -> int | None:
        """The target's database for one of the source. Raises Unsupported where the target has too few."""
        target = self.mapping.target_of(source)
        if target is not None and target >= self.count:
            raise Unsupported(
                f"Database {source} of the source belongs into database {target}, but the target has {self.count}",
                hint="Raise 'databases' on the target, or map the databases.",
            )
        return target


async def aim(plan: Plan, mapping: Mapping, foreign: ForeignKeys) -> Aim:
    """Ask the target."""
    async with await Connection.open(plan.target) as target:
        facts = info(await call(target, "INFO", "server"))
        version = facts.get("redis_version", "0")
        modern = int(version.partition(".")[0]) >= 5
        rdb = rdb_version(facts)
        count = await _databases(target)
    aimed = Aim(rdb, modern, count, mapping, HOLD_MS if plan.mode is Mode.INCREMENTAL else 0, None)
    return Aim(rdb, modern, count, mapping, aimed.hold_ms, _keeper(plan, aimed, foreign))


def _keeper(plan: Plan, aimed: Aim, foreign: ForeignKeys) -> Callable[[int, bytes], bool] | None:
    mapping = aimed.mapping
    if plan.conflict is Conflict.SKIP:
        others = foreign.load()
        if others:
            return lambda database, key: mapping.keep(key) and (aimed.of(database), key) not in others
    return (lambda _, key: mapping.keep(key)) if mapping.filtered else None


_RDB_VERSIONS = (("2.8", 6), ("3.2", 7), ("4.0", 8), ("5.0", 9), ("7.0", 10), ("7.2", 11), ("7.4", 12))
"""First Redis version, and the RDB version that it reads (rdb.h of each release)."""


def rdb_version(facts: dict[str, str]) -> int:
    """The newest RDB version that a server's RESTORE reads, by its INFO.

    By the server's version: asking with a value of each version would write to the target.
    """
    if "valkey_version" in facts:
        return 80 if _number(facts["valkey_version"]) >= (9, 0) else 11
    ours = _number(facts.get("redis_version", "2.8"))
    return max((rdb for first, rdb in _RDB_VERSIONS if _number(first) <= ours), default=6)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdigit())


async def _databases(target: Connection) -> int:
    """By its setting, or where that may not be read by trying."""
    try:
        _, count = await target.call("CONFIG", "GET", "databases")
        return int(count)
    except (ReplyError, ValueError):
        return await _tried(target)
    except Exception as error:
        if "NOPERM" not in str(error):
            raise
        return await _tried(target)


async def _tried(target: Connection) -> int:
    """The highest database that can be selected, by bisection; 1 for servers that have only one."""
    low, high = 1, 1
    while high < MOST_DATABASES and await _selects(target, high):
        low, high = high + 1, high * 2
    while low < high:
        middle = (low + high) // 2
        if await _selects(target, middle):
            low = middle + 1
        else:
            high = middle
    await call(target, "SELECT", 0)
    return low


async def _selects(target: Connection, database: int) -> bool:
    try:
        await target.call("SELECT", database)
    except ReplyError:
        return False
    return True
