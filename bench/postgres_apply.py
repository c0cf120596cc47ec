"""How fast changes are applied to PostgreSQL, without the stream that brings them.

    python -m bench.postgres_apply [transactions]

A source runs single-row transactions as pgbench does (updates of three tables, inserts into a fourth), a slot
hands them out, and they are applied in batches; then single transactions, each applied for itself, for their
latency.
"""

import asyncio
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from sterna.engines.postgres.wire.pgoutput import framed
from tests.engines.postgres_feeding import changes, pair
from tests.servers import postgres

TABLES = """
    CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
    CREATE TABLE tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
    CREATE TABLE branches (bid int PRIMARY KEY, bbalance int, filler char(88));
    CREATE TABLE history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
    INSERT INTO accounts SELECT i, 1, 0, '' FROM generate_series(1, 100000) i;
    INSERT INTO tellers SELECT i, 1, 0, '' FROM generate_series(1, 10) i;
    INSERT INTO branches VALUES (1, 0, '');
    ANALYZE"""

WORK = (
    "UPDATE accounts SET abalance = abalance + {i} % 7 WHERE aid = {aid}",
    "UPDATE tellers SET tbalance = tbalance + {i} % 7 WHERE tid = {tid}",
    "UPDATE branches SET bbalance = bbalance + {i} % 7",
    "INSERT INTO history VALUES ({tid}, 1, {aid}, {i}, now(), NULL)",
)


def work(source: psycopg.Connection[Any], transactions: int) -> None:
    """Single-row transactions; several go to the server together, and each is committed by itself."""
    chance = random.Random(1)
    for start in range(0, transactions, 100):
        statements = [
            WORK[i % 4].format(i=i, tid=1 + i // 4 % 10, aid=chance.randint(1, 100_000))
            for i in range(start, min(start + 100, transactions))
        ]
        source.execute("".join(f"BEGIN; {each}; COMMIT;" for each in statements).encode())


BATCH = 1 << 20
"""Bytes of frames applied together while behind."""


def batches(messages: list[bytes]) -> Iterator[bytes]:
    """The messages, cut behind commits."""
    waiting: list[bytes] = []
    size = 0
    for message in messages:
        waiting.append(message)
        size += len(message) + 4
        if message[:1] == b"C" and size >= BATCH:
            yield framed(waiting)
            waiting, size = [], 0
    if waiting:
        yield framed(waiting)


def cpu(pid: int) -> float:
    """Seconds of CPU that a process has used."""
    words = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


async def main(transactions: int) -> None:
    server = postgres.start("pg18", "shared_buffers=256MB", "max_wal_size=4GB")
    try:
        async with pair(server, TABLES) as both:
            work(both.source, transactions)
            cut = list(batches(changes(both.source)))
            pid = both.target.info.backend_pid
            theirs = cpu(pid)
            began, used = time.perf_counter(), time.process_time()
            for frames in cut:
                async with both.target.transaction():
                    await both.applier.apply(frames)
            theirs = cpu(pid) - theirs
            took, used = time.perf_counter() - began, time.process_time() - used
            print(
                f"{transactions} transactions in {len(cut)} batches: {transactions / took:,.0f} a second, "
                f"{took / transactions * 1e6:.1f} us each, {used / transactions * 1e6:.1f} us of CPU ours, "
                f"{theirs / transactions * 1e6:.1f} the target's"
            )
            await both.same("accounts", "tellers", "branches", "history")
            assert not both.told.events
            work(both.source, 2000)
            single = list(alone(changes(both.source)))
            times = []
            for frames in single:
                began = time.perf_counter()
                async with both.target.transaction():
                    await both.applier.apply(frames)
                times.append((time.perf_counter() - began) * 1e3)
            cuts = statistics.quantiles(times, n=100)
            print(f"alone: {statistics.median(times):.2f} ms median, {cuts[98]:.2f} ms p99")
            await both.same("accounts", "tellers", "branches", "history")
    finally:
        server.close()


def alone(messages: list[bytes]) -> Iterator[bytes]:
    waiting: list[bytes] = []
    for message in messages:
        waiting.append(message)
        if message[:1] == b"C":
            yield framed(waiting)
            waiting = []


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000))
