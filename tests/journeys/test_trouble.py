"""What goes wrong on the way, and what becomes of the job then."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sterna.core.change import Delete, Put
from sterna.core.errors import Fenced
from sterna.core.event import Level
from sterna.core.finding import Severity
from sterna.core.job import Job, JobId
from sterna.core.plan import Conflict, Mode, Pace, Resume
from sterna.engines.memory.database import Database, add
from sterna.jobs.tempo import Backoff, Tempo
from sterna.jobs.unexpected import UNEXPECTED
from tests.effort import PATIENCE
from tests.journeys.stage import ORDERS, STOCK, Condition, Phase, Stage, Wish, fill, reached, until

pytestmark = pytest.mark.long


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    stage = Stage(tmp_path)
    fill(stage.source)
    return stage


def running(stage: Stage, job: Job) -> "asyncio.Task[None]":
    return asyncio.create_task(stage.runner(job).run())


async def following(stage: Stage, **plan: object) -> tuple[Job, "asyncio.Task[None]"]:
    job = await stage.job(**plan)
    run = running(stage, job)
    await reached(stage, job, Phase.FOLLOW)
    return job, run


async def finished(stage: Stage, job: Job, run: "asyncio.Task[None]") -> None:
    await stage.desk.finish(await stage.now(job))
    await run
    assert (await stage.now(job)).condition is Condition.DONE
    assert stage.target.contents() == stage.source.contents()
    assert [*stage.source.leftovers(), *stage.target.leftovers()] == []


async def warnings(stage: Stage, job: Job) -> Sequence[str]:
    return [event.code for event in (await stage.store.events(job.id, level=Level.WARN))[1]]


@pytest.mark.parametrize("resume", list(Resume))
@pytest.mark.parametrize("side", ["source", "target"])
async def test_any_lost_connection_is_made_good(stage: Stage, side: str, resume: Resume) -> None:
    server = stage.source if side == "source" else stage.target
    job = await stage.job(resume=resume)
    server.cut(*range(4, 400, 7))
    run = running(stage, job)
    await reached(stage, job, Phase.FOLLOW)
    for turn in range(20):
        stage.source.apply(add(ORDERS, turn, "n", 1))
    await until(lambda: stage.target.contents() == stage.source.contents())
    server.cut()
    await finished(stage, job, run)
    assert "run.retry" in await warnings(stage, job)
    assert (await stage.store.progress(job.id)).retries > 0


async def test_a_server_that_is_away_for_a_while_is_waited_for_and_a_pause_is_heard(stage: Stage) -> None:
    job, run = await following(stage)
    stage.target.down()
    stage.source.apply(add(ORDERS, 1, "n", 1))
    while "run.retry" not in await warnings(stage, job):
        await asyncio.sleep(0.005)
    await stage.desk.pause(await stage.now(job))
    await run
    assert (await stage.now(job)).condition is Condition.PAUSED
    stage.target.down(False)
    await stage.desk.run(await stage.now(job))
    await finished(stage, job, running(stage, job))


async def test_a_position_that_is_gone_means_a_new_copy_where_the_plan_says_so(stage: Stage) -> None:
    job, run = await following(stage)
    stage.source.replace("elsewhere")
    stage.source.apply(Delete(ORDERS, {"id": 1}))
    await until(lambda: stage.target.contents() == stage.source.contents())
    assert "run.again" in await warnings(stage, job)
    await reached(stage, job, Phase.FOLLOW)
    await finished(stage, job, run)


async def test_a_position_that_is_gone_fails_the_job_otherwise_and_it_can_be_stopped(stage: Stage) -> None:
    job, run = await following(stage, resume=Resume.MANUAL)
    stage.source.replace("elsewhere")
    await run
    now = await stage.now(job)
    assert (now.phase, now.condition) == (Phase.FOLLOW, Condition.FAILED)
    assert now.failure
    assert now.failure.code == "STERNA.2002"
    assert now.failure.hint
    await stage.desk.stop(now)
    await running(stage, job)
    await reached(stage, job, Phase.CLOSE, Condition.DONE)
    assert stage.target.leftovers() == []


@pytest.mark.parametrize("resume", list(Resume))
async def test_a_target_that_lost_its_data_is_not_written_on_as_if_nothing_was(
    stage: Stage, resume: Resume
) -> None:
    job, run = await following(stage, resume=resume)
    await stage.desk.pause(await stage.now(job))
    await run
    stage.target.wipe()
    await stage.desk.run(await stage.now(job))
    run = running(stage, job)
    if resume is Resume.MANUAL:
        await run
        assert (await stage.now(job)).condition is Condition.FAILED
        return
    await until(lambda: stage.target.contents() == stage.source.contents())
    await reached(stage, job, Phase.FOLLOW)
    await finished(stage, job, run)


async def test_a_snapshot_that_is_lost_on_the_way_means_a_new_copy(tmp_path: Path) -> None:
    stage = Stage(tmp_path, source=Database("s", lasting=False))
    fill(stage.source)
    stage.target.slow(0.01)
    job = await stage.job()
    run = running(stage, job)
    await reached(stage, job, Phase.COPY)
    # The source stays open over one fault, and its snapshot with it; not over another while rows are read again.
    stage.target.cut(1, 9, 14)
    await reached(stage, job, Phase.FOLLOW)
    assert "run.again" in await warnings(stage, job)
    await finished(stage, job, run)


async def test_what_must_be_mended_first_is_said_with_the_remedy(stage: Stage) -> None:
    stage.target.apply(Put(STOCK, {"id": "own"}))
    job = await stage.job(conflict=Conflict.STOP)
    await running(stage, job)
    now = await stage.now(job)
    assert (now.phase, now.condition) == (Phase.PREPARE, Condition.FAILED)
    assert now.failure
    assert "holds 1 rows" in now.failure.message
    assert "Empty the target." in now.failure.hint
    assert Severity.FAILED in {finding.severity for finding in await stage.store.findings(job.id)}
    assert [*stage.source.leftovers(), *stage.target.leftovers()] == []


async def test_a_server_that_is_not_there_at_the_start_is_a_finding(stage: Stage) -> None:
    stage.source.down()
    job = await stage.job()
    await running(stage, job)
    failure = (await stage.now(job)).failure
    assert failure
    assert failure.code == "STERNA.2008"
    stage.source.down(False)
    await stage.desk.run(await stage.now(job))
    run = running(stage, job)
    await reached(stage, job, Phase.FOLLOW)
    await finished(stage, job, run)


async def test_a_stop_ends_the_job_even_if_nobody_answers_and_says_what_is_left(stage: Stage) -> None:
    job, run = await following(stage)
    stage.source.down()
    stage.target.down()
    await stage.desk.stop(await stage.now(job))
    await run
    assert (await stage.now(job)).condition is Condition.DONE
    events = (await stage.store.events(job.id, level=Level.WARN))[1]
    left = [event.message for event in events if event.code == "clean.left"]
    assert len(left) == 2
    assert any(job.id in message and "target:0" in message for message in left)


async def test_a_stop_cleans_the_target_though_the_source_is_gone(stage: Stage) -> None:
    job, run = await following(stage)
    stage.source.down()
    await stage.desk.stop(await stage.now(job))
    await run
    assert (await stage.now(job)).condition is Condition.DONE
    assert stage.target.leftovers() == []


async def test_a_job_that_never_ran_is_stopped_without_touching_a_server(stage: Stage) -> None:
    job = await stage.job()
    await stage.desk.stop(await stage.now(job))
    calls = stage.source.calls(), stage.target.calls()
    await running(stage, job)
    assert (await stage.now(job)).condition is Condition.DONE
    assert (stage.source.calls(), stage.target.calls()) == calls


async def test_an_ended_job_runs_anew_from_the_beginning(stage: Stage) -> None:
    job = await stage.job(mode=Mode.FULL)
    await running(stage, job)
    stage.source.apply(Put(ORDERS, {"id": "later"}))
    await stage.desk.run(await stage.now(job))
    await running(stage, job)
    assert (await stage.now(job)).condition is Condition.DONE
    assert stage.target.contents() == stage.source.contents()


async def test_a_wish_that_came_too_late_is_settled_by_the_end(stage: Stage) -> None:
    job = await stage.job(mode=Mode.FULL)
    await stage.store.begin(job.id)
    epoch = (await stage.now(job)).epoch
    await stage.store.report(job.id, Phase.COPY, Condition.RUNNING, epoch=epoch)
    await stage.desk.pause(await stage.now(job))
    await stage.store.report(job.id, Phase.CLOSE, Condition.DONE, epoch=epoch)
    await running(stage, job)
    now = await stage.now(job)
    assert (now.condition, now.wished, now.epoch) == (Condition.DONE, False, epoch)


async def test_a_stop_that_comes_while_a_pause_is_answered_is_kept(stage: Stage) -> None:
    job, run = await following(stage)
    right = stage.store.answer

    async def answer(id: JobId, asked: int) -> None:
        await stage.store.ask(id, Wish.STOP)
        await right(id, asked)

    stage.store.answer = answer  # type: ignore[method-assign]
    await stage.desk.pause(await stage.now(job))
    await run
    stage.store.answer = right  # type: ignore[method-assign]
    now = await stage.now(job)
    assert (now.condition, now.wish, now.wished) == (Condition.PAUSED, Wish.STOP, True)
    await running(stage, job)
    await reached(stage, job, Phase.CLOSE, Condition.DONE)


async def test_a_stop_that_comes_while_the_job_fails_is_kept(stage: Stage) -> None:
    job, run = await following(stage, resume=Resume.MANUAL)
    right = stage.store.report

    async def report(id: JobId, phase: Phase, condition: Condition, *rest: object, epoch: int) -> None:
        await stage.store.ask(id, Wish.STOP)
        await right(id, phase, condition, *rest, epoch=epoch)  # type: ignore[arg-type]

    stage.store.report = report  # type: ignore[method-assign, assignment]
    stage.source.replace("elsewhere")
    await run
    stage.store.report = right  # type: ignore[method-assign]
    now = await stage.now(job)
    assert (now.condition, now.wish, now.wished) == (Condition.FAILED, Wish.STOP, True)
    await running(stage, job)
    await reached(stage, job, Phase.CLOSE, Condition.DONE)


async def test_a_pause_is_heard_while_a_large_chunk_is_being_written(stage: Stage) -> None:
    stage.tempo = replace(stage.tempo, grace=0.05)
    stage.target.slow(3600)
    job = await stage.job()
    run = running(stage, job)
    await reached(stage, job, Phase.COPY)
    await stage.desk.pause(await stage.now(job))
    async with asyncio.timeout(PATIENCE):
        await run
    assert (await stage.now(job)).condition is Condition.PAUSED
    stage.target.slow(0)
    await stage.desk.run(await stage.now(job))
    run = running(stage, job)
    await reached(stage, job, Phase.FOLLOW)
    await finished(stage, job, run)


async def test_a_run_that_was_overtaken_ends_without_a_word(stage: Stage) -> None:
    job, run = await following(stage)
    later = running(stage, job)
    await run
    stage.source.apply(add(ORDERS, 1, "n", 1))
    await until(lambda: stage.target.contents() == stage.source.contents())
    now = await stage.now(job)
    assert (now.condition, now.epoch, now.failure) == (Condition.RUNNING, 2, None)
    await finished(stage, job, later)


async def test_a_target_that_somebody_else_took_over_fails_the_job(stage: Stage) -> None:
    job, run = await following(stage)
    stage.target.claim(job.id, 99)
    stage.source.apply(add(ORDERS, 1, "n", 1))
    await run
    failure = (await stage.now(job)).failure
    assert failure
    assert failure.code == Fenced.code


async def test_a_busy_source_is_cut_over_at_the_first_moment_without_lag(stage: Stage) -> None:
    stage.tempo = replace(stage.tempo, quiet=60.0, patience=0.2)
    job, run = await following(stage)
    await stage.desk.finish(await stage.now(job))
    while not run.done():
        stage.source.apply(add(ORDERS, 1, "n", 1))
        await asyncio.sleep(0.005)
    await run
    assert (await stage.now(job)).condition is Condition.DONE
    assert "cutover.busy" in await warnings(stage, job)


async def test_a_busy_source_is_waited_for_until_it_is_quiet(stage: Stage) -> None:
    now = [0.0]  # not the machine's time: a test that is held up would make the source a quiet one
    stage.clock = lambda: now[0]
    stage.tempo = replace(stage.tempo, quiet=0.2, patience=60.0)
    job, run = await following(stage)
    await stage.desk.finish(await stage.now(job))
    for turn in range(60):
        stage.source.apply(add(ORDERS, turn, "n", 1))
        now[0] += 0.01
        await until(lambda: stage.target.contents() == stage.source.contents())
        assert not run.done()
    now[0] += 0.1
    await asyncio.sleep(0.05)
    assert not run.done()
    while not run.done():
        now[0] += 0.1
        await asyncio.sleep(0.01)
    await run
    assert stage.target.contents() == stage.source.contents()


async def test_a_run_that_leaves_lets_the_job_be_picked_up(stage: Stage) -> None:
    job = await stage.job()
    runner = stage.runner(job)
    run = asyncio.create_task(runner.run())
    await reached(stage, job, Phase.FOLLOW)
    runner.leave()
    await run
    assert (await stage.now(job)).condition is Condition.RUNNING
    stage.source.apply(add(ORDERS, 1, "n", 1))
    run = running(stage, job)
    await until(lambda: stage.target.contents() == stage.source.contents())
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await stage.now(job)).condition is Condition.RUNNING
    await finished(stage, job, running(stage, job))


async def test_an_unexpected_fault_fails_the_job_and_tells_no_secret(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    job = await stage.job(target=replace(stage.plan.target, password="hunter2"))

    def broken(*_: object) -> object:
        raise RuntimeError("password=hunter2")

    stage.target.load = broken  # type: ignore[assignment, method-assign]
    await running(stage, job)
    now = await stage.now(job)
    assert now.failure
    assert (now.condition, now.failure.code) == (Condition.FAILED, UNEXPECTED)
    told = repr((now.failure, await stage.store.events(job.id, limit=999)))
    printed = "".join(capsys.readouterr())
    assert "hunter2" not in told + printed
    assert "RuntimeError: password=***" in printed


async def test_a_source_that_forgot_what_held_nothing_for_the_target_is_no_reason_to_begin_again(
    stage: Stage,
) -> None:
    """The log moves on by what the target never sees; after a pause it goes on behind that."""
    job, run = await following(stage, resume=Resume.MANUAL)
    stage.source.apply(add(ORDERS, 1, "n", 1))
    await until(lambda: stage.target.contents() == stage.source.contents())
    stage.source.skip(5)
    await until(lambda: stage.source.kept() == 0)
    await stage.desk.pause(await stage.now(job))
    await run
    await stage.desk.run(await stage.now(job))
    await finished(stage, job, running(stage, job))


async def test_a_copy_keeps_to_its_pace(stage: Stage) -> None:
    job = await stage.job(mode=Mode.FULL, pace=Pace(copy_bytes_per_s=8000))
    started = asyncio.get_running_loop().time()
    await running(stage, job)
    size = (await stage.store.progress(job.id)).bytes
    assert asyncio.get_running_loop().time() - started > size / 8000 * 0.5


async def test_changes_that_wait_for_a_limit_go_on_once_it_is_lifted(stage: Stage) -> None:
    job, run = await following(stage, pace=Pace(follow_bytes_per_s=1))
    for number in range(20):
        stage.source.apply(*(Put(ORDERS, {"id": id, "n": number}) for id in range(100)))
    await until(lambda: stage.target.contents()[ORDERS].get(99))
    assert stage.target.contents() != stage.source.contents()
    seen = (await stage.store.progress(job.id)).at_ms
    while (await stage.store.progress(job.id)).at_ms <= seen:  # the wait is told of
        await asyncio.sleep(0.005)
    assert stage.source.kept() > 0
    lifted = replace(stage.plan, pace=Pace())
    await stage.store.describe(job.id, plan=lifted)
    await until(lambda: stage.target.contents() == stage.source.contents())
    await finished(stage, job, run)


def test_waiting_doubles_up_to_its_most_and_begins_again_after_a_calm() -> None:
    now = [0.0]
    backoff = Backoff(Tempo(first_wait=1, longest_wait=8, calm=60), lambda: now[0], lambda: 1.0)
    waits = []
    for _ in range(6):
        waits.append(backoff.next())
        now[0] += waits[-1]
    assert waits == [1, 2, 4, 8, 8, 8]
    now[0] += 61
    assert backoff.next() == 1
