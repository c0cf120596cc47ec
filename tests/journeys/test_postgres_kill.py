"""PostgreSQL, with workers, services and servers killed at any moment: exact in the end, nothing is left."""

import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from sterna.core.job import JobId
from sterna.core.plan import Mode, Pace, Picked, Plan, Selection
from sterna.jobs.desk import Desk
from sterna.main import engines, open_store
from tests.effort import seed as chosen_seed
from tests.engines.moving import postgres_endpoint
from tests.engines.postgres_shop import DATABASES, assert_same, fill, left, writing
from tests.journeys.command import Home, wait_for
from tests.journeys.test_kill import Runs, Service, finish, kill, workers
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy, proxy

pytestmark = [pytest.mark.server, pytest.mark.timeout(900)]


class Way:
    """A server and the proxy that leads to it."""

    def __init__(self, server: PostgresServer, proxy: Proxy) -> None:
        self.server = server
        self.proxy = proxy

    @property
    def url(self) -> str:
        return self.server.dsn("").rstrip("/").replace(self.server.address, self.proxy.address)

    def disturb(self, chance: random.Random) -> str:
        """Do something bad to the server or to the way to it; afterwards it can be reached again."""
        what = chance.choice(("kill", "drop", "stall", "refuse"))
        if what == "kill":
            self.server.kill9()
            self.server.start()
        elif what == "drop":
            self.proxy.drop()
        elif what == "stall":
            self.proxy.stall()
            time.sleep(chance.uniform(0.0, 1.0))
            self.proxy.flow()
        else:
            self.proxy.refuse()
            self.proxy.drop()
            time.sleep(chance.uniform(0.0, 1.0))
            self.proxy.accept()
        return what


@pytest.mark.parametrize(("seed", "rounds"), [(7, 2), (0, 1)])
def test_a_migration_whose_process_servers_and_network_die_at_any_moment_is_exact_in_the_end(
    postgres_server: StartPostgres, tmp_path: Path, seed: int, rounds: int
) -> None:
    _disturb_again_and_again(postgres_server, tmp_path, seed or chosen_seed(8), rounds=rounds)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("flavors", [("pg18", "pg18"), ("pg15", "pg18"), ("pg16", "pg15")])
def test_a_migration_that_is_disturbed_very_often_is_exact_in_the_end(
    postgres_server: StartPostgres, tmp_path: Path, flavors: tuple[str, str]
) -> None:
    _disturb_again_and_again(postgres_server, tmp_path, random.randrange(1 << 30), rounds=25, flavors=flavors)


def _disturb_again_and_again(
    postgres_server: StartPostgres,
    folder: Path,
    seed: int,
    *,
    rounds: int,
    flavors: tuple[str, str] = ("pg18", "pg18"),
) -> None:
    print(f"seed {seed}")
    chance = random.Random(seed)
    source, target = (postgres_server(flavor) for flavor in flavors)
    fill(source)
    home = Home(folder)
    with proxy(source.host, source.port) as one, proxy(target.host, target.port) as other:
        ways = Way(source, one), Way(target, other)
        words = ["migrate", *(way.url for way in ways), "--state", str(folder / "state"), "--json"]
        words += [word for name in DATABASES for word in ("--database", f'"{name.replace(chr(34), chr(34) * 2)}"')]
        slow = Runs(home, [*words, "--mode", "incremental", "--limit-mb", "2"])
        quick = Runs(home, [*words, "--mode", "incremental"])
        with writing(source, seed=seed, pause=0.01) as writer:
            for _ in range(rounds):
                slow.killed_after(chance.uniform(0.0, 1.5), ("COPY", "FOLLOW"))
                _disturbed(ways, slow, chance, ("COPY", "FOLLOW"))
            for number in range(rounds):
                quick.killed_after(chance.uniform(0.0, 1.5), ("FOLLOW",))
                writer.truncates = number > 0
                _disturbed(ways, quick, chance, ("FOLLOW",))
            wait_for(lambda: writer.error or writer.committed > 100, "hardly anything was written")
            assert writer.error is None
        print(slow.phases, quick.phases)
        ended = home.run(*words, "--cutover", "--compare")
        assert ended.code == 0, ended.all[-4000:]
    assert_same(source, target)
    assert left(source, target) == []


def _disturbed(ways: tuple[Way, Way], runs: Runs, chance: random.Random, phases: tuple[str, ...]) -> None:
    """One process lives through some disturbances, and is killed."""
    with runs.running(phases):
        for _ in range(chance.randrange(1, 3)):
            way = chance.choice(ways)
            print(way.server.port, way.disturb(chance))
            time.sleep(chance.uniform(0.0, 0.7))


# The service


async def _begun(home: Home, source: PostgresServer, target: PostgresServer) -> Service:
    project = home.good("init")["project_id"]
    ends = postgres_endpoint(source), postgres_endpoint(target)
    picked = tuple(Picked((name,)) for name in DATABASES)
    plan = Plan(*ends, Mode.INCREMENTAL, Selection(objects=picked), Pace(copy_bytes_per_s=3 << 20))
    store = await open_store(str(home.data / "sterna.db"), home.data / "encryption.key")
    desk = Desk(store, engines())
    job = await desk.create(project, "drs-v5", "move", plan=plan)
    await desk.run(job)
    await store.close()
    return Service(home, JobId(job.id))


async def test_a_service_whose_workers_stop_or_die_goes_on_by_itself(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg15"), postgres_server("pg18")
    fill(source, 5_000)
    home = Home(tmp_path)
    with writing(source, seed=3, pause=0.02) as writer:
        service = await _begun(home, source, target)
        with service.running() as first:
            wait_for(lambda: workers(service.id), "no worker")
            wait_for(lambda: _figures(service)["rows"], "nothing arrived")
            (worker,) = workers(service.id)
            os.kill(worker, signal.SIGKILL)
            wait_for(lambda: workers(service.id) not in ([], [worker]), "the worker was not started again")
            service.until_it_follows()
            writer.truncates = True
            (stopped,) = workers(service.id)
            os.kill(stopped, signal.SIGSTOP)
            kill(first)
        try:
            with service.running():
                wait_for(lambda: len(workers(service.id)) == 2, "no second worker beside the one that hangs")
                _moves_on(source, target)
                os.kill(stopped, signal.SIGCONT)
                wait_for(lambda: stopped not in workers(service.id), "the old worker did not leave")
                _moves_on(source, target)
                writer.end()
                await finish(service)
        finally:
            with suppress(ProcessLookupError):
                if stopped in workers(service.id):
                    os.kill(stopped, signal.SIGKILL)
    wait_for(lambda: not workers(service.id), "a worker was left")
    assert_same(source, target)
    assert left(source, target) == []


def _figures(service: Service) -> dict[str, Any]:
    """What the service says of the job, which must not have failed."""
    facts = service.facts()
    assert facts["condition"] != "FAILED", facts
    return facts


def _moves_on(source: PostgresServer, target: PostgresServer) -> None:
    """Wait until what is on the source now is on the target."""
    mark = random.randrange(1 << 30)
    source.sql(f"INSERT INTO added VALUES ({mark})", DATABASES[0])
    wait_for(lambda: target.sql(f"SELECT 1 FROM added WHERE a = {mark}", DATABASES[0]), "nothing more arrived")
