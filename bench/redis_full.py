"""How long a full copy takes: Sterna, a native replica, and the loop that people write by hand.

Usage: python -m bench.redis_full [--runs 3] [--scale 1] [--sets A B]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import facts
from bench.processes import Failed, Usage, run, sterna_words
from bench.redis_data import FLAVOR, SETS, loaded, same, title
from bench.report import Column, Row, publish
from tests.servers.redis import Server, Unavailable, available, running

REPLICA = "REPLICAOF, default"
WAIT_S = 600
SOURCE_OPTIONS = ("--client-output-buffer-limit", "replica 0 0 0", "--repl-backlog-size", "64mb")
COLUMNS = (
    Column("wall s", "wall_s", 2),
    Column("x REPLICAOF", "wall_s", against=REPLICA),
    Column("CPU s", "cpu_s", 2),
    Column("peak MB", "peak_mb", 0),
)

Copy = Callable[[Server, Server], Usage]


def replica(source: Server, target: Server) -> Usage:
    """A native replica, until its link is up and it has everything. It has no process of its own to measure."""
    client = target.client()
    began = time.perf_counter()
    client.replicaof(source.host, str(source.port))
    while time.perf_counter() - began < WAIT_S:
        state = client.info("replication")
        if state["master_link_status"] == "up" and state["slave_repl_offset"] >= _offset(source):
            wall = time.perf_counter() - began
            client.replicaof("NO", "ONE")
            return Usage(wall, 0, 0)
        time.sleep(0.005)
    raise Failed("the replica did not come up")


def loop(source: Server, target: Server) -> Usage:
    return run([sys.executable, "-m", "bench.dump_restore", str(source.port), str(target.port)])


def sterna(source: Server, target: Server) -> Usage:
    with tempfile.TemporaryDirectory(prefix="sterna-bench-") as state:
        return run(sterna_words(source, target, Path(state), "full"))


CONTESTANTS: dict[str, tuple[Copy, tuple[str, ...]]] = {
    REPLICA: (replica, ()),
    "REPLICAOF, diskless load": (replica, ("--repl-diskless-load", "on-empty-db")),
    "SCAN + DUMP/RESTORE, redis-py": (loop, ()),
    "Sterna": (sterna, ()),
}


def measure(source: Server, row: Row, copy: Copy, options: tuple[str, ...]) -> None:
    """One run onto a fresh target, both sides compared afterwards."""
    if row.failure:
        return
    with running(FLAVOR, *options) as target:
        try:
            usage = copy(source, target)
            if not same(source, target):
                raise Failed("the two sides differ afterwards")
        except Failed as failure:
            row.failure = str(failure)
            return
    row.add(wall_s=usage.wall_s)
    if usage.cpu_s:
        row.add(cpu_s=usage.cpu_s, peak_mb=usage.peak_mb)
    print(f"{row.work} | {row.contestant} | {usage.wall_s:.2f} s", file=sys.stderr, flush=True)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--scale", type=float, default=1, help="size of the data sets")
    words.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    asked = words.parse_args()
    if reason := available(FLAVOR):
        raise Unavailable(reason)
    machine, rows = facts(), []
    for name in asked.sets:
        contest = [Row(title(name, asked.scale), contestant) for contestant in CONTESTANTS]
        rows += contest
        with loaded(name, asked.scale, *SOURCE_OPTIONS) as source:
            for _ in range(asked.runs):  # in turn, so that a passing load falls on all alike
                for row in contest:
                    measure(source, row, *CONTESTANTS[row.contestant])
    publish("redis_full", machine, rows, COLUMNS)
    return any(row.failure for row in rows)


def _offset(source: Server) -> int:
    return int(source.client().info("replication")["master_repl_offset"])


if __name__ == "__main__":
    sys.exit(main())
