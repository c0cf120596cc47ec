"""A job from its start to its end, with all that may be asked of it on the way."""

import asyncio
from pathlib import Path

import pytest

from sterna.core.change import Delete, Name, Put
from sterna.engines.memory.database import add
from tests.journeys.stage import ORDERS, STOCK, Condition, Mode, Phase, Stage, fill, reached, until


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    fill(stage.source)
    return stage


async def test_a_full_job_copies_everything_and_ends_by_itself(stage: Stage) -> None:
    job = await stage.job(mode=Mode.FULL)
    await stage.runner(job).run()
    now = await stage.now(job)
    assert (now.phase, now.condition, now.failure) == (Phase.CLOSE, Condition.DONE, None)
    assert stage.target.contents() == stage.source.contents()
    assert [*stage.source.leftovers(), *stage.target.leftovers()] == []
    progress = await stage.store.progress(job.id)
    assert (progress.rows, progress.percent) == (100, 100)


async def test_changes_follow_until_the_cutover(stage: Stage) -> None:
    job = await stage.job()
    run = asyncio.create_task(stage.runner(job).run())
    await reached(stage, job, Phase.FOLLOW)
    stage.source.apply(Put(ORDERS, {"id": 7, "n": 70}), Delete(STOCK, {"id": 3}))
    stage.source.apply(add(STOCK, 4, "n", 5))
    stage.source.apply(Put(Name(("shop", "new")), {"id": "a"}))
    await until(lambda: stage.target.contents() == stage.source.contents())
    await stage.desk.finish(await stage.now(job))
    await run
    assert (await stage.now(job)).condition is Condition.DONE
    assert stage.target.contents() == stage.source.contents()
    assert [*stage.source.leftovers(), *stage.target.leftovers()] == []


async def test_a_quiet_job_can_be_paused_and_goes_on(stage: Stage) -> None:
    job = await stage.job()
    run = asyncio.create_task(stage.runner(job).run())
    await reached(stage, job, Phase.FOLLOW)
    await stage.desk.pause(await stage.now(job))
    await run
    await reached(stage, job, Phase.FOLLOW, Condition.PAUSED)
    stage.source.apply(add(ORDERS, 1, "n", 1))
    await stage.desk.run(await stage.now(job))
    run = asyncio.create_task(stage.runner(job).run())
    await until(lambda: stage.target.contents() == stage.source.contents())
    await stage.desk.finish(await stage.now(job))
    await run
    assert (await stage.now(job)).condition is Condition.DONE
    assert stage.target.contents() == stage.source.contents()
