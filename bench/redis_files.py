"""How long the import of a file takes: Sterna into a running server, and a server that loads it at its start.

Usage: python -m bench.redis_files [--runs 3] [--scale 1] [--sets A B]
"""

import argparse
import asyncio
import gzip
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench.machine import facts
from bench.processes import Failed, run
from bench.redis_data import FLAVOR, SETS, loaded, same, title
from bench.report import Column, Row, publish
from sterna.core.files import Storage
from sterna.core.job import Condition
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile
from sterna.engines.redis.engine import RedisEngine
from sterna.jobs.desk import Desk
from sterna.jobs.runner import Runner
from sterna.storage.folder import FolderStorage
from sterna.store.memory import MemoryStore
from tests.servers.redis import Server, Unavailable, available, running

NATIVE = "redis-server loads it"
COLUMNS = (
    Column("wall s", "wall_s", 2),
    Column("x native", "wall_s", against=NATIVE),
    Column("MB/s", "mb_s", 0),
    Column("CPU s", "cpu_s", 2),
    Column("peak MB", "peak_mb", 0),
)


async def child(folder: Path, name: str, port: int) -> None:
    """Import one file, as the process of a job does."""

    async def opens(bucket_id: str) -> Storage:
        return FolderStorage(folder)

    source = Endpoint("redis", (), files=(StoredFile("bench", name),))
    plan = Plan(source, Endpoint("redis", (("127.0.0.1", port),)), mode=Mode.FULL)
    store, engines = MemoryStore(), {"redis": RedisEngine(opens)}
    job = await Desk(store, engines).create("0" * 32, "bench", "import", plan=plan, start=True)
    with tempfile.TemporaryDirectory(prefix="sterna-bench-") as room:
        await Runner(store, engines, job.id, Path(room)).run()
    done = await store.job(job.id)
    if done.condition is not Condition.DONE:
        sys.exit(str(done.failure))


def native(folder: Path) -> float:
    """Seconds from the start of the server's process until it answers with all its keys."""
    began = time.perf_counter()
    with running(FLAVOR, folder=folder):
        return time.perf_counter() - began


def measure(row: Row, folder: Path, name: str, source: Server) -> None:
    """One import onto a fresh target, compared afterwards."""
    if row.failure:
        return
    size = (folder / name).stat().st_size / 1e6
    if row.contestant == NATIVE:
        wall = native(folder)
        row.add(wall_s=wall, mb_s=size / wall)
        return
    with running(FLAVOR) as target:
        try:
            usage = run([sys.executable, "-m", "bench.redis_files", "child", str(folder), name, str(target.port)])
            if not same(source, target):
                raise Failed("the two sides differ afterwards")
        except Failed as failure:
            row.failure = str(failure)
            return
    row.add(wall_s=usage.wall_s, mb_s=size / usage.wall_s, cpu_s=usage.cpu_s, peak_mb=usage.peak_mb)


FILES: dict[str, Callable[[Path], str]] = {
    NATIVE: lambda folder: "dump.rdb",
    "Sterna, RDB": lambda folder: "dump.rdb",
    "Sterna, RDB in gzip": lambda folder: _packed(folder),
}


def _packed(folder: Path) -> str:
    if not (folder / "dump.rdb.gz").exists():
        with (folder / "dump.rdb").open("rb") as plain, gzip.open(folder / "dump.rdb.gz", "wb", 1) as packed:
            shutil.copyfileobj(plain, packed)
    return "dump.rdb.gz"


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
        contest = [Row(title(name, asked.scale), contestant) for contestant in FILES]
        rows += contest
        with loaded(name, asked.scale) as source, tempfile.TemporaryDirectory() as home:
            folder = Path(home)
            shutil.copy(source.folder / "prepared.rdb", folder / "dump.rdb")
            for _ in range(asked.runs):
                for row in contest:
                    measure(row, folder, FILES[row.contestant](folder), source)
    publish("redis_files", machine, rows, COLUMNS)
    return any(row.failure for row in rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        asyncio.run(child(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
    else:
        sys.exit(main())
