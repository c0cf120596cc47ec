"""How long an RDB file takes into a server: Sterna's import, and a server that loads the file itself.

Usage: python -m bench.redis_file [--runs 3] [--scale 1] [--sets A B]
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import facts
from bench.processes import Failed, Usage, run
from bench.redis_data import FLAVOR, SETS, loaded, same, title
from bench.report import Column, Row, publish
from tests.servers.redis import Server, Unavailable, available, running

RESTART = "redis-server, start with the file"
RELOAD = "redis-server, DEBUG RELOAD NOSAVE"
FILE = "prepared.rdb"
MEMORY_MB = 200
"""What no process of ours may exceed, however large the file is."""
COLUMNS = (
    Column("wall s", "wall_s", 2),
    Column("x start", "wall_s", against=RESTART),
    Column("x reload", "wall_s", against=RELOAD),
    Column("keys/s", "keys_s", 0),
    Column("MB/s", "mb_s"),
    Column("CPU s", "cpu_s", 2),
    Column("peak MB", "peak_mb", 0),
)

Load = Callable[[Path, Server], Usage]


def restart(file: Path, target: Server) -> Usage:
    """A server starts with the file, until it answers."""
    target.stop()
    shutil.copy(file, target.folder / FILE)
    began = time.perf_counter()
    target.start()
    return Usage(time.perf_counter() - began, 0, 0)


def reload(file: Path, target: Server) -> Usage:
    """A server that runs empties itself and reads the file again."""
    restart(file, target)
    client = target.client(socket_timeout=600)
    began = time.perf_counter()
    client.execute_command("DEBUG", "RELOAD", "NOSAVE")  # type: ignore[no-untyped-call]
    return Usage(time.perf_counter() - began, 0, 0)


def sterna(file: Path, target: Server) -> Usage:
    """All that a job does, from the start of its process to its end."""
    with tempfile.TemporaryDirectory(prefix="sterna-bench-") as folder:
        state = Path(folder) / "state"
        return run([sys.executable, "-m", "bench.file_job", str(file), "redis", str(target.port), str(state)])


CONTESTANTS: dict[str, Load] = {RESTART: restart, RELOAD: reload, "Sterna": sterna}


def measure(source: Server, row: Row, load: Load, keys: int) -> None:
    """One run into a fresh server, which has to hold then what wrote the file."""
    if row.failure:
        return
    file = source.folder / FILE
    with running(FLAVOR, "--dbfilename", FILE, "--enable-debug-command", "yes") as target:
        try:
            usage = load(file, target)
            if not same(source, target):
                raise Failed("the server does not hold what the file does")
            if usage.peak_mb > MEMORY_MB:
                raise Failed(f"it took {usage.peak_mb:.0f} MB of memory")
        except Failed as failure:
            row.failure = str(failure)
            return
    row.add(wall_s=usage.wall_s, keys_s=keys / usage.wall_s, mb_s=file.stat().st_size / usage.wall_s / 1e6)
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
        with loaded(name, asked.scale) as source:
            keys = source.client().dbsize()
            for _ in range(asked.runs):  # in turn, so that a passing load falls on all alike
                for row in contest:
                    measure(source, row, CONTESTANTS[row.contestant], keys)
    publish("redis_file", machine, rows, COLUMNS)
    return any(row.failure for row in rows)


if __name__ == "__main__":
    sys.exit(main())
