"""One run of a job from a made-up database to PostgreSQL, in a process of its own: to be killed."""

import asyncio
import sys
from pathlib import Path

from sterna.core.job import JobId
from sterna.core.ports import Engine
from sterna.engines.postgres.engine import PostgresEngine
from sterna.jobs.runner import Runner
from sterna.store.sql import open_store
from tests.contract.stores import KEY
from tests.engines.foreign_shop import ShopEngine
from tests.engines.moving import QUICK
from tests.engines.test_foreign_faults import shop_of


async def run(url: str, job: str, folder: str, database: str) -> None:
    store = await open_store(Path(url), KEY)
    try:
        engines: dict[str, Engine] = {
            "shop": ShopEngine(shop_of(database, pause=0.1)),
            "postgresql": PostgresEngine(),
        }
        await Runner(store, engines, JobId(job), Path(folder), tempo=QUICK).run()
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
