"""How fast changes of a PostgreSQL arrive: rows a second while behind, and how late a change comes when not.

Sterna against a native subscription, each with a fresh target, measured the same way in the same run. Every change
is a transaction of its own: of twenty, fourteen UPDATEs by key, five INSERTs and one DELETE.

Usage: python -m bench.postgres_follow [--runs 3] [--backlog 500000] [--probes 1000]
"""

import argparse
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.machine import facts
from bench.postgres_data import DATABASE, FLAVOR, TUNING
from bench.processes import Failed, family, in_background, migrate_words, tell
from bench.report import Column, Row, publish
from tests.servers.postgres import PostgresServer, Unavailable, available, running

WAIT_S = 600.0
RATES = (0, 1000)
NATIVE = "native subscription"
CATCHING_UP = (
    Column("rows/s", "rate", 0),
    Column("x native", "rate", against=NATIVE),
    Column("peak MB", "peak_mb", 0),
)
LATENESS = (
    Column("p50 ms", "p50_ms", 2),
    Column("p99 ms", "p99_ms", 2),
    Column("most ms", "most_ms", 2),
    Column("one look ms", "look_ms", 3),
)

_MAKE = (
    "CREATE TABLE public.work (id bigint PRIMARY KEY, balance bigint NOT NULL, note text)",
    "INSERT INTO public.work SELECT n, 0, md5(n::text) FROM generate_series(1, 100000) n",
    "CREATE TABLE public.mark (id int PRIMARY KEY, value bigint)",
    "INSERT INTO public.mark VALUES (1, 0), (2, 0)",
)
_WRITE = """DO $$ BEGIN FOR n IN {first}..{last} LOOP
    IF n % 20 < 14 THEN
        UPDATE public.work SET balance = balance + n, note = md5(n::text)
            WHERE id = 1 + (n::bigint * 7919) % 100000;
    ELSIF n % 20 < 19 THEN INSERT INTO public.work VALUES (1000000 + n, n, md5(n::text));
    ELSE DELETE FROM public.work WHERE id = 1000000 + n - 3; END IF;
    COMMIT; END LOOP; END $$"""
_SUM = "SELECT count(*), sum(hashtextextended(t::text, 0)) FROM public.work t"

_MARK = "UPDATE public.mark SET value = {} WHERE id = 1"

Pids = Callable[[], list[int]]
"""The processes that do the following; raises Failed if they have ended."""


@contextmanager
def native(source: PostgresServer, target: PostgresServer) -> Iterator[Pids]:
    """The target itself, subscribed to the source."""
    source.sql("CREATE PUBLICATION bench FOR ALL TABLES", DATABASE)
    for statement in (_MAKE[0], _MAKE[2]):
        target.sql(statement, DATABASE)
    near = f"host={source.host} port={source.port} user=postgres password={source.password} dbname={DATABASE}"
    target.sql(f"CREATE SUBSCRIPTION bench CONNECTION '{near}' PUBLICATION bench", DATABASE)

    def workers() -> list[int]:
        rows = target.sql("SELECT pid FROM pg_stat_subscription WHERE pid IS NOT NULL", DATABASE)
        return [pid for (pid,) in rows]

    yield workers
    target.sql("DROP SUBSCRIPTION bench", DATABASE)


@contextmanager
def sterna(source: PostgresServer, target: PostgresServer) -> Iterator[Pids]:
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="sterna-bench-"))
        urls = [server.dsn(DATABASE) for server in (source, target)]
        child = stack.enter_context(in_background(migrate_words(urls, Path(state) / "state", "incremental")))

        def members() -> list[int]:
            if child.poll() is not None:
                raise Failed(f"it ended by itself with {child.returncode}")
            return family(child.pid)

        yield members


CONTESTANTS = {NATIVE: native, "Sterna": sterna}


def arrives(source: PostgresServer, target: PostgresServer, who: Pids) -> float:
    """Write a mark on the source and return when it is on the target. Raises Failed if it never is."""
    mark = random.getrandbits(60)
    source.sql(_MARK.format(mark), DATABASE)
    deadline = time.perf_counter() + WAIT_S
    far = target.connect(DATABASE)
    while True:
        there = far.execute("SELECT to_regclass('public.mark')").fetchone()
        if there and there[0]:
            row = far.execute("SELECT value FROM public.mark WHERE id = 1").fetchone()
            if row and row[0] == mark:
                return time.perf_counter()
        who()
        if time.perf_counter() > deadline:
            raise Failed("a change did not arrive")
        time.sleep(0.002)


def catch_up(source: PostgresServer, target: PostgresServer, who: Pids, backlog: int) -> float:
    """Rows a second that a follower applies which was halted while the backlog was written."""
    members = who()
    tell(members, signal.SIGSTOP)
    try:
        for first in range(1, backlog + 1, 100_000):
            source.sql(_WRITE.format(first=first, last=min(first + 99_999, backlog)), DATABASE)
    finally:
        began = time.perf_counter()
        tell(members, signal.SIGCONT)
    return backlog / (arrives(source, target, who) - began)


def lateness(source: PostgresServer, target: PostgresServer, probes: int) -> dict[str, float]:
    """How long after its UPDATE was sent a change is seen on the target, looking without rest."""
    took, looks = [], 0
    dice = random.Random(3)
    near, far = source.connect(DATABASE), target.connect(DATABASE)
    began_all, resting = time.perf_counter(), 0.0
    for number in range(1, probes + 1):
        began = time.perf_counter()
        near.execute("UPDATE public.mark SET value = %s WHERE id = 2", (number,))
        while far.execute("SELECT value FROM public.mark WHERE id = 2").fetchone() != (number,):
            looks += 1
            if time.perf_counter() - began > 30:
                raise Failed("a probe did not arrive in 30 s")
        took.append((time.perf_counter() - began) * 1000)
        rest = dice.uniform(0.001, 0.009)
        resting += rest
        time.sleep(rest)
    waited = time.perf_counter() - began_all - resting
    cuts = statistics.quantiles(took, n=100)
    look_ms = 1000 * waited / (looks + 2 * probes)
    return {"p50_ms": cuts[49], "p99_ms": cuts[98], "most_ms": max(took), "look_ms": look_ms}


@contextmanager
def pacing(source: PostgresServer, rate: int) -> Iterator[None]:
    """Transactions at a steady rate beside the block."""
    if not rate:
        yield
        return
    with in_background([sys.executable, "-m", "bench.postgres_pacer", source.dsn(DATABASE), str(rate)]):
        time.sleep(0.5)  # let it find its pace
        yield


def measure(rows: list[Row], contestant: str, backlog: int, probes: int) -> None:
    """All measurements of one contestant, on fresh servers."""
    first, *late = [row for row in rows if row.contestant == contestant]
    with running(FLAVOR, *TUNING) as source, running(FLAVOR, *TUNING) as target:
        for server in (source, target):
            server.create_database(DATABASE)
        for statement in _MAKE:
            source.sql(statement, DATABASE)
        with CONTESTANTS[contestant](source, target) as who:
            arrives(source, target, who)
            arrives(source, target, who)  # the first may have come with the copy
            first.add(rate=catch_up(source, target, who, backlog))
            if contestant != NATIVE:
                first.add(peak_mb=max(map(_peak_mb, who())))
            for row, rate in zip(late, RATES, strict=True):
                with pacing(source, rate):
                    row.add(**lateness(source, target, probes))
            arrives(source, target, who)
            if source.sql(_SUM, DATABASE) != target.sql(_SUM, DATABASE):
                raise Failed("the two sides differ afterwards")
        print(f"{contestant}: {first.measured['rate'][-1]:,.0f} rows/s", file=sys.stderr, flush=True)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--backlog", type=int, default=500_000, help="transactions written while it is halted")
    words.add_argument("--probes", type=int, default=1000)
    words.add_argument("--only", nargs="+", default=[""], help="contestants whose names hold one of these")
    asked = words.parse_args()
    if reason := available(FLAVOR):
        raise Unavailable(reason)
    machine = facts()
    chosen = [name for name in CONTESTANTS if any(word in name for word in asked.only)]
    works = [
        f"behind by {asked.backlog:,} rows",
        *(f"at {rate:,} transactions/s" if rate else "idle" for rate in RATES),
    ]
    rows = [Row(work, contestant) for work in works for contestant in chosen]
    for _ in range(asked.runs):
        for contestant in chosen:
            try:
                measure(rows, contestant, asked.backlog, asked.probes)
            except Failed as failure:
                for row in rows:
                    row.failure = row.failure or (str(failure) if row.contestant == contestant else "")
    publish("postgres_follow_behind", machine, rows[: len(chosen)], CATCHING_UP)
    publish("postgres_follow_late", machine, rows[len(chosen) :], LATENESS)
    return any(row.failure for row in rows)


def _peak_mb(pid: int) -> float:
    """The largest resident set that a process ever had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


if __name__ == "__main__":
    sys.exit(main())
