"""The index of a data set's keys."""

import asyncio
from pathlib import Path

from sterna.engines.redis.preparing import STEP, KeyIndex


async def test_it_knows_all_its_keys_and_others_go_on_while_it_is_filled(tmp_path: Path) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    beside = asyncio.create_task(others())
    index = KeyIndex(tmp_path / "keys.db")
    await index.add((n % 3, b"%d" % n) for n in range(4 * STEP + 1))
    beside.cancel()
    assert turns >= 4
    assert all(index.has(n % 3, b"%d" % n) for n in range(4 * STEP + 1))
    assert not index.has(0, b"1")
    index.close()
