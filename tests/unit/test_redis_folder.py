"""The lock on a job's folder."""

import asyncio
from pathlib import Path

import pytest

from sterna.core.errors import Retryable
from sterna.engines.redis import folder
from sterna.engines.redis.folder import alone_in


async def test_the_next_one_waits_until_the_one_before_has_left(tmp_path: Path) -> None:
    order: list[str] = []

    async def after() -> None:
        async with alone_in(tmp_path):
            order.append("second")

    async with alone_in(tmp_path):
        second = asyncio.create_task(after())
        await asyncio.sleep(3 * folder.LOOK_S)
        order.append("first")
    await second
    assert order == ["first", "second"]


async def test_whoever_waits_for_long_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder, "PATIENCE_S", 0.1)
    async with alone_in(tmp_path):
        with pytest.raises(Retryable, match="earlier process"):
            async with alone_in(tmp_path):
                raise AssertionError("two are alone")
    async with alone_in(tmp_path):
        pass
