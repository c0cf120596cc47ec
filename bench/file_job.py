"""One job that reads a file, in a process of its own as the service runs it, so that it can be measured.

Usage: python -m bench.file_job FILE postgresql|redis PORT STATE [USER PASSWORD]
"""

import asyncio
import gc
import sys
from pathlib import Path

from sterna.core.files import Storage
from sterna.core.job import Condition
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile
from sterna.jobs.desk import Desk
from sterna.jobs.runner import Runner
from sterna.main import collect_seldom, engines, open_store
from sterna.storage.folder import FolderStorage

BUCKET = "b" * 32
SOURCES = {"postgresql": "sqlserver", "redis": "redis"}


def plan_of(file: Path, engine: str, port: int, login: tuple[str, str] = ("", "")) -> Plan:
    """A job from a file to a server on this machine; ``login``: its user and password."""
    target = Endpoint(engine, (("127.0.0.1", port),), *login)
    source = Endpoint(SOURCES[engine], (), files=(StoredFile(BUCKET, file.name),))
    return Plan(source, target, mode=Mode.FULL)


async def run(file: Path, engine: str, port: int, folder: Path, login: tuple[str, str] = ("", "")) -> str:
    """Run the job to its end, in a folder that is there; gives why it failed, or nothing."""

    async def opens(bucket_id: str) -> Storage:
        return FolderStorage(file.parent)

    store = await open_store(str(folder / "sterna.db"), folder / "key")
    try:
        able = engines(opens)
        job = await Desk(store, able, opens=opens).create(
            "0" * 32, "bench", "bench", plan=plan_of(file, engine, port, login), start=True
        )
        await Runner(store, able, job.id, folder / "job").run()
        done = await store.job(job.id)
        return "" if done.condition is Condition.DONE else f"{done.phase} {done.condition}: {done.failure}"
    finally:
        await store.close()


if __name__ == "__main__":
    named, kind, number, state, *words = sys.argv[1:]
    collect_seldom()
    Path(state).mkdir(parents=True)
    trouble = asyncio.run(
        run(Path(named), kind, int(number), Path(state), (words[0], words[1]) if words else ("", ""))
    )
    gc.freeze()
    if trouble:
        raise SystemExit(trouble)
