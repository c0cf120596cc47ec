"""Whether a job writes the source's changes to the target meanwhile, and how far it has come."""

import asyncio
import time
from dataclasses import dataclass

from psycopg import errors as pg

from sterna.engines.postgres.compare.asking import ask
from sterna.engines.postgres.connection import Connection
from sterna.engines.postgres.names import SCHEMA, quoted, slot
from sterna.engines.postgres.position import parse


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
        return _without_header(int(position))

    async def passed(self, mark: int) -> bool:
        """Whether the job has applied everything up to a mark. False too where it cannot be known."""
        applied = await self.applied() if self.job else -1
        return applied >= mark

    async def applied(self) -> int:
        """How far the slowest job of this database has come; -1: there is none that follows.

        The target knows of its last change, the slot also of what came after and was none of the job's business.
        """
        try:
            lanes = await ask(self.target, _LANES)
        except (pg.UndefinedTable, pg.InvalidSchemaName):  # the job has ended meanwhile
            return -1
        places = {job: parse(position).get(self.database, -1) for job, position in lanes}
        names = {job: slot(job, self.database) for job, place in places.items() if place >= 0}
        confirmed: dict[str, int | None] = dict(await ask(self.source, _CONFIRMED, [list(names.values())]))
        return min((max(places[job], confirmed.get(name) or 0) for job, name in names.items()), default=-1)

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


def _without_header(position: int) -> int:
    """The end of the last record: a position just after a page's header says where the next one will be."""
    on_page = position % PAGE
    return position - on_page if on_page <= LONGEST_HEADER else position


PAGE, LONGEST_HEADER = 8192, 40
"""Bytes of a page of the log and of the header of a segment's first (``XLOG_BLCKSZ``, ``SizeOfXLogLongPHD``)."""
_CONFIRMED = """
    SELECT slot_name::text, (confirmed_flush_lsn - '0/0'::pg_lsn)::bigint FROM pg_replication_slots
     WHERE slot_name = ANY ($1::text[])"""
_END = (
    "SELECT (CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END"
    " - '0/0'::pg_lsn)::bigint"
)
_HAS_JOB = f"SELECT to_regclass('{SCHEMA}.lane') IS NOT NULL"
_LANES = f"SELECT job, position FROM {quoted(SCHEMA, 'lane')} WHERE lane = 'follow'"  # noqa: S608 - a name of ours
_SUBSCRIBED = (
    "SELECT EXISTS (SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid "
    "WHERE d.datname = current_database() AND s.subenabled)"
)
