"""A process that writes to a store as fast as it can: ``writer.py URL KEY JOB NAME ROUNDS``.

Each round adds an event and moves the lane NAME, then prints its number: what was printed was kept.
"""

import asyncio
import sys

from sterna.core.change import Position
from sterna.core.event import Event, Level
from sterna.core.job import JobId
from sterna.store.sql import open_store


async def main(url: str, key: str, job: str, name: str, rounds: int) -> None:
    store = await open_store(url, bytes.fromhex(key))
    id = JobId(job)
    for number in range(1, rounds + 1):
        await store.add_events([Event(id, number, Level.INFO, name, str(number))])
        await store.advance(id, name, Position(str(number)), epoch=0)
        print(number, flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4], int(sys.argv[5])))
