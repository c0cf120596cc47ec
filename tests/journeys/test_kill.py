"""Processes that are killed at any moment: what they moved is exact in the end, and nothing of ours is left."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sterna.core.job import Condition, Job, JobId, Phase
from sterna.core.plan import Endpoint, Mode, Plan
from sterna.jobs.desk import Desk
from sterna.main import engines, open_store
from tests.effort import PATIENCE
from tests.effort import seed as chosen_seed
from tests.engines.test_redis_move import Writer, assert_counts, held, own_keys, writing
from tests.journeys.command import Home, Running, wait_for
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]

KEYS = 200_000


def load(source: Server, count: int = KEYS) -> None:
    client = source.client()
    for start in range(0, count, 10_000):
        client.mset({f"key:{n}": f"{n:040d}" for n in range(start, start + 10_000)})
    pipe = client.pipeline(transaction=False)
    for n in range(0, count, 20):
        pipe.pexpire(f"key:{n}", 3_600_000 + n)
    pipe.execute()


def migrate(source: Server, target: Server, state: Path, *more: str) -> Sequence[str]:
    ends = f"redis://{source.address}", f"redis://{target.address}"
    return ("migrate", *ends, "--mode", "incremental", "--state", str(state), "--json", *more)


class Runs:
    """The same command again and again, each killed at a moment that chance chooses."""

    def __init__(self, home: Home, words: Sequence[str]) -> None:
        self._home = home
        self._words = words
        self.phases: list[str] = []
        """What the killed process last said of its phase; empty where it had said nothing."""

    def killed_after(self, seconds: float, phases: Sequence[str] = ()) -> None:
        """Start it, and kill it so long after it has said that it is in one of the phases, or after its start."""
        with self.running(phases) as process, suppress(subprocess.TimeoutExpired):
            process.wait(seconds)

    @contextmanager
    def running(self, phases: Sequence[str] = ()) -> Iterator["subprocess.Popen[bytes]"]:
        """Start it, and wait until it says that it is in one of the phases; killed at the end of the block."""
        path = self._home.folder / "killed.out"

        def said() -> str:
            return path.read_text(errors="replace")

        with path.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "sterna", *self._words],
                env=self._home.environment({}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        try:
            wait_for(
                lambda: (
                    process.poll() is not None
                    or not phases
                    or _last_phase(path.read_text(errors="replace")) in phases
                ),
                f"it never said {phases}",
            )
            yield process
            assert process.poll() is None, (
                f"it ended with {process.returncode}: {path.read_text(errors='replace')[-2000:]}"
            )
        finally:
            process.kill()
            process.wait()
        self.phases.append(_last_phase(said()))


def _last_phase(text: str) -> str:
    phase = ""
    for line in text.splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue  # the kill tore the line
        phase = said.get("phase", phase) if isinstance(said, dict) else phase
    return str(phase)


def cut_over(home: Home, words: Sequence[str], target: Server, writer: Writer) -> None:
    """The last call: it ends the migration, and everything is exact."""
    ended = home.run(*words, "--cutover", "--compare")
    assert ended.code == 0, ended.all
    summary = ended.lines[-1]["summary"]
    assert summary["equal"] is True
    assert summary["condition"] == "DONE"
    assert_counts(target, writer)
    assert own_keys(target) == []
    assert held(target) == 0


def test_a_migration_that_is_killed_at_any_moment_is_exact_in_the_end(
    redis_server: StartServer, tmp_path: Path
) -> None:
    _kill_again_and_again(redis_server, tmp_path, seed=chosen_seed(5), rounds=12)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flavors", [("redis70", "valkey91"), ("valkey91", "redis70"), ("redis62", "redis62")])
def test_a_migration_that_is_killed_very_often_is_exact_in_the_end(
    redis_server: StartServer, tmp_path: Path, flavors: tuple[str, str]
) -> None:
    _kill_again_and_again(redis_server, tmp_path, seed=random.randrange(1 << 30), rounds=60, flavors=flavors)


def _kill_again_and_again(
    redis_server: StartServer,
    folder: Path,
    *,
    seed: int,
    rounds: int,
    flavors: tuple[str, str] = ("redis70", "valkey91"),
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    source, target = (redis_server(flavor) for flavor in flavors)
    source.client().config_set("repl-backlog-size", 64 << 20)
    load(source)
    home = Home(folder)
    words = migrate(source, target, folder / "state")
    with writing(source, pause=0.002) as writer:
        slow = Runs(home, (*words, "--limit-mb", "2"))
        quick = Runs(home, words)
        for _ in range(rounds // 3):
            slow.killed_after(chance.uniform(0.2, 3.0))
            slow.killed_after(chance.uniform(0.0, 1.0), ("COPY", "FOLLOW"))
        for _ in range(rounds // 3):
            quick.killed_after(chance.uniform(0.0, 1.5), ("FOLLOW",))
        print(slow.phases, quick.phases)
    cut_over(home, words, target, writer)


# The service


def workers(id: JobId) -> list[int]:
    """The processes that run the job."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
            alive = b"\nState:\tZ" not in (path.parent / "status").read_bytes()
        except OSError:
            continue
        if b"worker" in words and id.encode() in words and alive:
            found.append(int(path.parent.name))
    return found


class Service:
    """A data folder with one job, and what can be asked about it."""

    def __init__(self, home: Home, id: JobId) -> None:
        self.home = home
        self.id = id

    @classmethod
    async def begun(cls, home: Home, source: Server, target: Server) -> "Service":
        project = home.good("init")["project_id"]
        ends = [Endpoint("redis", ((server.host, server.port),)) for server in (source, target)]
        store = await open_store(str(home.data / "sterna.db"), home.data / "encryption.key")
        desk = Desk(store, engines())
        job = await desk.create(project, "dcs-online", "move", plan=Plan(ends[0], ends[1], Mode.INCREMENTAL))
        await desk.run(job)
        await store.close()
        return cls(home, job.id)

    def running(self) -> Any:
        return self.home.running("serve", "--listen", "127.0.0.1:0")

    async def job(self) -> Job:
        store = await open_store(str(self.home.data / "sterna.db"), self.home.data / "encryption.key")
        try:
            return await store.job(self.id)
        finally:
            await store.close()

    def facts(self) -> dict[str, Any]:
        shown: dict[str, Any] = self.home.good("job", "show", self.id)
        return shown

    def until_it_follows(self) -> None:
        wait_for(lambda: self.facts()["phase"] == Phase.FOLLOW.value, "it never followed")


def moves_on(target: Server) -> None:
    """Wait until something more has arrived on the target."""
    client: Any = target.client()
    before = int(client.get("w:counter") or 0)
    wait_for(lambda: int(client.get("w:counter") or 0) > before, "nothing more arrived")


async def test_a_killed_service_and_killed_workers_go_on_by_themselves(
    redis_server: StartServer, tmp_path: Path
) -> None:
    source, target = redis_server(), redis_server()
    load(source, 50_000)
    home = Home(tmp_path)
    with writing(source, pause=0.002) as writer:
        service = await Service.begun(home, source, target)
        with service.running() as first:
            wait_for(lambda: workers(service.id), "no worker")
            moves_on(target)
            (worker,) = workers(service.id)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: workers(service.id) not in ([], [worker]), "the worker was not started again")
            moves_on(target)
            (orphan,) = workers(service.id)
            kill(first)
        wait_for(lambda: orphan not in workers(service.id), "the orphan went on")
        with service.running():
            moves_on(target)
            service.until_it_follows()
            with service.running() as second:  # on the same folder: it waits, and touches nothing
                second.until(lambda text: '"listening"' in text)
                moves_on(target)
                assert len(workers(service.id)) == 1
            writer.end()
            await finish(service)
    wait_for(lambda: not workers(service.id), "a worker was left")
    assert_counts(target, writer)
    assert own_keys(target) == []
    assert held(target) == 0


def kill(service: Running) -> None:
    service.process.kill()
    service.process.wait()


async def finish(service: Service) -> None:
    """Cut over, and wait for the end."""
    service.home.good("job", "finish", service.id)
    end = time.monotonic() + PATIENCE
    while (job := await service.job()).condition is not Condition.DONE:
        assert job.condition is not Condition.FAILED, job.failure
        assert time.monotonic() < end, job
        await asyncio.sleep(0.1)
