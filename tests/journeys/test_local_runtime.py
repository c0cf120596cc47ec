"""Jobs in real child processes: what is killed comes back, what is asked is done, and nothing is left running."""

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sterna.core.change import Put
from sterna.core.job import Job, JobId
from sterna.core.plan import Resume
from sterna.engines.memory.database import add
from sterna.runtime.local import KEEPS_DYING, LocalRuntime
from tests.journeys import child
from tests.journeys.stage import ORDERS, STOCK, Condition, Phase, Stage, fill, reached, restarted, until

pytestmark = pytest.mark.long


def children(folder: Path) -> Sequence[int]:
    """The processes whose command line names the folder and a job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if str(folder) in words and words.index(str(folder)) + 2 < len(words):
            found.append(int(path.parent.name))
    return found


@dataclass
class House(Stage):
    """A stage whose jobs run in processes of their own."""

    breaks: bool = False
    idles: bool = False
    runtime: LocalRuntime = field(init=False)

    async def open(self) -> None:
        self.store = await child.store_of(self.folder)  # type: ignore[assignment]
        Stage.__post_init__(self)
        self.runtime = LocalRuntime(self.store, self.command, self.folder, child.PATIENT)

    def command(self, id: JobId) -> Sequence[str]:
        if self.breaks or self.idles:
            return [sys.executable, "-c", f"raise SystemExit({3 if self.breaks else 0})"]
        return child.command(self.folder, id)

    async def same(self) -> None:
        await until(lambda: self.target.contents() == self.source.contents())

    async def finish(self, job: Job) -> None:
        await self.desk.finish(await self.now(job))
        await reached(self, job, Phase.CLOSE, Condition.DONE)
        assert self.target.contents() == self.source.contents()
        assert [*self.source.leftovers(), *self.target.leftovers()] == []


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    house = House(tmp_path)
    await house.open()
    fill(house.source)
    child.serve(tmp_path, house.source, house.target)
    yield house
    await house.runtime.stop()
    await house.store.close()
    assert children(tmp_path) == []


async def test_a_job_runs_in_a_child_to_its_cutover(house: House) -> None:
    await house.runtime.start()
    job = await house.job()
    await reached(house, job, Phase.FOLLOW)
    house.source.apply(add(ORDERS, 1, "n", 5))
    await house.same()
    assert len(children(house.folder)) == 1
    await house.finish(job)


async def test_a_killed_child_goes_on_where_it_was(house: House) -> None:
    await house.runtime.start()
    job = await house.job(resume=Resume.MANUAL)
    await reached(house, job, Phase.FOLLOW)
    for turn in range(2):
        epoch = (await house.now(job)).epoch
        house.source.apply(add(ORDERS, turn, "n", 5))
        for pid in children(house.folder):
            os.kill(pid, signal.SIGKILL)
        house.source.apply(add(STOCK, turn, "n", 7))
        await house.same()
        assert (await house.now(job)).epoch > epoch
    died = [e for e in (await house.store.events(job.id, limit=999))[1] if e.code == "run.died"]
    assert "SIGKILL" in died[0].message
    await house.finish(job)


async def test_a_quiet_job_is_paused_goes_on_and_is_stopped(house: House) -> None:
    await house.runtime.start()
    job = await house.job()
    await reached(house, job, Phase.FOLLOW)
    await house.desk.pause(await house.now(job))
    await reached(house, job, Phase.FOLLOW, Condition.PAUSED)
    house.source.apply(Put(ORDERS, {"id": "late"}))
    await house.desk.run(await house.now(job))
    await house.same()
    await house.desk.stop(await house.now(job))
    await reached(house, job, Phase.CLOSE, Condition.DONE)
    assert [*house.source.leftovers(), *house.target.leftovers()] == []


async def test_a_paused_job_is_stopped_by_a_child_of_its_own(house: House) -> None:
    await house.runtime.start()
    job = await house.job()
    await reached(house, job, Phase.FOLLOW)
    await house.desk.pause(await house.now(job))
    await reached(house, job, Phase.FOLLOW, Condition.PAUSED)
    await until(lambda: not children(house.folder))
    await house.desk.stop(await house.now(job))
    await reached(house, job, Phase.CLOSE, Condition.DONE)
    assert [*house.source.leftovers(), *house.target.leftovers()] == []


async def test_a_stopped_service_leaves_jobs_that_the_next_one_picks_up(house: House) -> None:
    await house.runtime.start()
    job = await house.job(resume=Resume.MANUAL)
    await reached(house, job, Phase.FOLLOW)
    await house.runtime.stop()
    assert children(house.folder) == []
    assert (await house.now(job)).condition is Condition.RUNNING
    house.source.apply(add(ORDERS, 1, "n", 5))
    await house.runtime.start()
    await house.same()
    await house.finish(job)


async def test_a_killed_service_takes_its_children_along_and_another_takes_over(house: House) -> None:
    service = serving(house.folder)
    try:
        job = await house.job(resume=Resume.MANUAL)
        await reached(house, job, Phase.FOLLOW)
        await house.runtime.start()
        assert house.runtime.running == []
    finally:
        service.kill()
        service.wait()
    house.source.apply(add(ORDERS, 1, "n", 5))
    await house.same()
    await until(lambda: len(children(house.folder)) == 1)
    await house.finish(job)


async def test_a_job_whose_child_cannot_live_fails_with_a_reason(house: House) -> None:
    house.breaks = True
    await house.runtime.start()
    job = await house.job()
    await reached(house, job, Phase.PREPARE, Condition.FAILED)
    failure = (await house.now(job)).failure
    assert failure
    assert failure.code == KEEPS_DYING
    assert "exit code 3" in failure.message


async def test_a_child_that_leaves_politely_without_doing_what_was_asked_is_not_started_for_ever(
    house: House,
) -> None:
    house.idles = True
    await house.runtime.start()
    job = await house.job()
    await reached(house, job, Phase.PREPARE, Condition.FAILED)
    assert not (await house.now(job)).wished
    deaths = [event for event in (await house.store.events(job.id))[1] if event.code == "run.died"]
    assert len(deaths) == child.PATIENT.deaths


async def test_two_jobs_run_beside_each_other_and_one_death_touches_no_other(house: House) -> None:
    await house.runtime.start()
    jobs = [await house.job(), await house.job()]
    for job in jobs:
        await reached(house, job, Phase.FOLLOW)
    epochs = [(await house.now(job)).epoch for job in jobs]
    [victim] = [pid for pid in children(house.folder) if jobs[0].id.encode() in _words(pid)]
    os.kill(victim, signal.SIGKILL)
    await restarted(house, jobs[0], epochs[0])
    assert (await house.now(jobs[1])).epoch == epochs[1]


def serving(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "tests.journeys.child", str(folder)])


def _words(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
