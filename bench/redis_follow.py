"""How fast changes arrive: commands a second while behind, and how late a change comes when not.

Sterna against a native replica, each with a fresh target, measured the same way in the same run.

Usage: python -m bench.redis_follow [--runs 3] [--backlog 1000000] [--probes 1000]
"""

import argparse
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bench.machine import facts
from bench.processes import Failed, family, in_background, sterna_words, tell
from bench.redis_data import FLAVOR, same
from bench.redis_wire import Line, pack, pour
from bench.redis_work import blobs
from bench.report import Column, Row, publish
from tests.servers.redis import Server, Unavailable, available, running

WAIT_S = 300.0
RATES = (0, 1000, 5000)
REPLICA = "native replica"
# What is held back for a follower that is halted: as much as it takes.
SOURCE_OPTIONS = ("--client-output-buffer-limit", "replica 0 0 0", "--repl-timeout", "600")
CATCHING_UP = (Column("commands/s", "rate", 0), Column("x replica", "rate", against=REPLICA))
LATENESS = (
    Column("p50 ms", "p50_ms", 2),
    Column("p99 ms", "p99_ms", 2),
    Column("most ms", "most_ms", 2),
    Column("one look ms", "look_ms", 3),
)


Pids = Callable[[], list[int]]
"""The processes that do the following; raises Failed if they have ended."""


@contextmanager
def native(source: Server, target: Server) -> Iterator[Pids]:
    """The target itself, as a replica of the source."""
    target.client().replicaof(source.host, str(source.port))
    yield lambda: [target.pid]


@contextmanager
def sterna(source: Server, target: Server) -> Iterator[Pids]:
    with ExitStack() as stack:
        state = stack.enter_context(tempfile.TemporaryDirectory(prefix="sterna-bench-"))
        words = sterna_words(source, target, Path(state), "incremental")
        child = stack.enter_context(in_background(words))
        yield lambda: family(_alive(child).pid)


CONTESTANTS = {REPLICA: native, "Sterna": sterna}


def arrives(source: Server, target: Server, who: Pids) -> float:
    """Write a mark on the source and return when it is on the target. Raises Failed if it never is."""
    mark = str(random.getrandbits(60)).encode()
    with Line(source.host, source.port) as near, Line(target.host, target.port) as far:
        assert near.exchange(pack(["SET", "bench:mark", mark])) == b"+OK\r\n"
        wanted, look = b"$%d\r\n%s\r\n" % (len(mark), mark), pack(["GET", "bench:mark"])
        deadline = time.perf_counter() + WAIT_S
        while far.exchange(look) != wanted:
            if not who() or time.perf_counter() > deadline:
                raise Failed("a change did not arrive")
            time.sleep(0.001)
        return time.perf_counter()


def catch_up(source: Server, target: Server, who: Pids, backlog: int, start: int) -> float:
    """Commands a second that a follower applies which was halted while the backlog was written."""
    work, members = blobs(backlog, start), who()
    tell(members, signal.SIGSTOP)
    try:
        pour(source, work)
    finally:
        began = time.perf_counter()
        tell(members, signal.SIGCONT)
    return backlog / (arrives(source, target, who) - began)


def lateness(source: Server, target: Server, probes: int) -> dict[str, float]:
    """How long after its SET on the source a change is seen on the target, looking without rest.

    Measured from before the SET is sent, so that it holds one round trip to the source as well.
    """
    took, looks = [], 0
    dice = random.Random(3)
    with Line(source.host, source.port) as near, Line(target.host, target.port) as far:
        look = pack(["GET", "bench:probe"])
        began_all = time.perf_counter()
        resting = 0.0
        for number in range(1_000_000, 1_000_000 + probes):
            write, wanted = pack(["SET", "bench:probe", number]), b"$7\r\n%d\r\n" % number
            began = time.perf_counter()
            near.exchange(write)
            while far.exchange(look) != wanted:
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


def measure(rows: list[Row], contestant: str, backlog: int, probes: int, start: int) -> None:
    """All measurements of one contestant, on fresh servers."""
    first, *late = [row for row in rows if row.contestant == contestant]
    with running(FLAVOR, *SOURCE_OPTIONS) as source, running(FLAVOR) as target:
        with CONTESTANTS[contestant](source, target) as who:
            arrives(source, target, who)
            arrives(source, target, who)  # the first may have come with the copy
            first.add(rate=catch_up(source, target, who, backlog, start))
            for row, rate in zip(late, RATES, strict=True):
                with pacing(source, rate):
                    row.add(**lateness(source, target, probes))
            arrives(source, target, who)
            if not same(source, target, under_way=True):
                raise Failed("the two sides differ afterwards")
        print(f"{contestant}: {first.measured['rate'][-1]:,.0f} commands/s", file=sys.stderr, flush=True)


@contextmanager
def pacing(source: Server, rate: int) -> Iterator[None]:
    """Writes at a steady rate beside the block."""
    if not rate:
        yield
        return
    with in_background([sys.executable, "-m", "bench.pacer", str(source.port), str(rate)]):
        time.sleep(0.5)  # let it find its pace
        yield


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--backlog", type=int, default=1_000_000, help="commands written while it is halted")
    words.add_argument("--probes", type=int, default=1000)
    asked = words.parse_args()
    if reason := available(FLAVOR):
        raise Unavailable(reason)
    machine = facts()
    works = [
        f"behind by {asked.backlog:,} commands",
        *(f"at {rate:,} commands/s" if rate else "idle" for rate in RATES),
    ]
    rows = [Row(work, contestant) for work in works for contestant in CONTESTANTS]
    for run in range(asked.runs):
        for contestant in CONTESTANTS:
            try:
                measure(rows, contestant, asked.backlog, asked.probes, run)
            except Failed as failure:
                for row in rows:
                    row.failure = row.failure or (str(failure) if row.contestant == contestant else "")
    publish("redis_follow_behind", machine, rows[:2], CATCHING_UP)
    publish("redis_follow_late", machine, rows[2:], LATENESS)
    return any(row.failure for row in rows)


def _alive(child: subprocess.Popen[bytes]) -> subprocess.Popen[bytes]:
    if child.poll() is not None:
        raise Failed(f"it ended by itself with {child.returncode}")
    return child


if __name__ == "__main__":
    sys.exit(main())
