"""Whether a job writes the source's changes to the target meanwhile, and how far it has come."""

import asyncio
import json
import time
from dataclasses import dataclass

from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import SCHEMA, quoted


@dataclass(frozen=True)
class Following:
    """What is known of jobs that follow from one database of the source to one of the target."""

    source: Connection
    target: Connection
    database: str
    """The source's name of its database."""
    job: bool
    """Whether a job keeps a checkpoint on the target."""
    other: bool
    """Whether the target subscribes to something itself."""

    @property
    def possible(self) -> bool:
        return self.job or self.other

    async def mark(self) -> int:
        """The end of the source's log: whatever a query has seen is before it. Raises psycopg.Error."""
        ((position,),) = await ask(self.source, _END)
        return int(position)

    async def passed(self, mark: int) -> bool:
        """Whether the job has applied everything up to a mark. False too where it cannot be known."""
        applied = await self.applied() if self.job else -1
        return applied >= mark

    async def applied(self) -> int:
        """How far the slowest job of this database has come; -1: there is none that follows."""
        rows = await ask(self.target, _LANES)
        positions = [dict(json.loads(position)).get(self.database) for (position,) in rows]
        return min((_number(each) for each in positions if each), default=-1)

    async def wait(self, mark: int, seconds: float) -> bool:
        """Wait until the job has applied everything up to a mark. Whether it has."""
        until = time.monotonic() + seconds
        while not await self.passed(mark):
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.1)
        return True


async def following(source: Connection, target: Connection, database: str) -> Following:
    """Look for jobs that follow. Raises psycopg.Error."""
    ((job,),) = await ask(target, _HAS_JOB)
    ((other,),) = await ask(target, _SUBSCRIBED)
    return Following(source, target, database, bool(job), bool(other))


def _number(position: str) -> int:
    """The number of ``16/B3748``."""
    high, _, low = position.partition("/")
    return (int(high, 16) << 32) + int(low, 16)


_END = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END"
    " - '0/0'::pg_lsn)::bigint"
)
_HAS_JOB = f"SELECT to_regclass('{SCHEMA}.lane') IS NOT NULL"
_LANES = f"SELECT position FROM {quoted(SCHEMA, 'lane')} WHERE lane = 'follow'"  # noqa: S608 - a name of ours
_SUBSCRIBED = (
    "SELECT EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "
    "WHERE d.datname = current_database() AND s.subenabled)"
)
