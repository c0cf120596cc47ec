"""A whole service for tests: the APIs on a free loopback port, a store in memory, and an engine that does nothing.

No runner works here. A test plays the runner itself, through ``Service.play``, and so decides a job's facts.
"""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn

from sterna.api.app import create_app
from sterna.api.settings import ApiSettings
from sterna.api.wire import Wire
from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.job import Condition, Failure, JobId, Phase
from sterna.core.people import AccessKey, Domain, Instance, Project, User, hash_password
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Check, Engine, Room, Sink, Source, Teller
from sterna.jobs.buckets import default_bucket
from sterna.jobs.desk import Desk
from sterna.storage.opening import Buckets
from sterna.store.memory import MemoryStore
from tests.effort import PATIENCE

T = TypeVar("T")

PROJECT = "054ba152d480d55b2f5dc0069e7ddef0"
SECOND_PROJECT = "154ba152d480d55b2f5dc0069e7ddef1"
FOREIGN_PROJECT = "254ba152d480d55b2f5dc0069e7ddef2"
REGION = "eu-test-1"
DOMAIN = "d0000000000000000000000000000001"
USER = "e0000000000000000000000000000001"
OTHER_USER = "e0000000000000000000000000000002"
PASSWORD = "Demo_pass1"
AK, SK = "AKTESTAKTESTAKTEST00", "sKtEsTsKtEsTsKtEsTsKtEsTsKtEsTsKtEsT0000"
OTHER_AK, OTHER_SK = "AKTESTAKTESTAKTEST11", "sKtEsTsKtEsTsKtEsTsKtEsTsKtEsTsKtEsT1111"
INSTANCE = "86157b69-8a62-47f9-8c55-fa6ddc8927e1"
FOREIGN_INSTANCE = "96157b69-8a62-47f9-8c55-fa6ddc8927e2"
INSTANCE_PASSWORD = "of-the-instance"


@dataclass(frozen=True)
class NoEngine:
    """Stands in for an engine where nothing is to run."""

    name: str = "redis"

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]:
        raise NotImplementedError

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]:
        raise NotImplementedError

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        return ()

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        raise NotImplementedError

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        return {}


@dataclass(frozen=True)
class Service:
    """A running service, and its insides."""

    url: str
    store: MemoryStore
    desk: Desk
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something in the service's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def client(self, token: str | None = None) -> httpx.Client:
        return httpx.Client(base_url=self.url, headers={"X-Auth-Token": token} if token else {}, timeout=PATIENCE)

    def token(self, project: str | None = PROJECT, *, name: str = "demo", password: str = PASSWORD) -> str:
        """Log in, scoped to a project, or to nothing."""
        with self.client() as client:
            answer = client.post("/v3/auth/tokens", json=login(name, password, project))
            assert answer.status_code == 201, answer.text
            return answer.headers["X-Subject-Token"]

    def soon(self) -> int:
        """A moment in epoch milliseconds whose figures count as fresh for some minutes, however slow a test is."""
        return self.desk.clock() + round(PATIENCE * 1000)

    def play(self, id: str, *facts: tuple[Phase, Condition], failure: Failure | None = None) -> None:
        """Be the job's runner: begin a run if it was asked for, then report these facts."""
        self.run(self._play(JobId(id), facts, failure))

    async def _play(self, id: JobId, facts: Sequence[tuple[Phase, Condition]], failure: Failure | None) -> None:
        job = await self.store.job(id)
        epoch = await self.store.begin(id) if job.wished else job.epoch
        for phase, condition in facts:
            await self.store.report(id, phase, condition, failure, epoch=epoch)


def login(name: str, password: str, project: str | None) -> dict[str, Any]:
    user = {"name": name, "password": password, "domain": {"name": "acme"}}
    auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
    if project:
        auth["scope"] = {"project": {"id": project}}
    return {"auth": auth}


async def furnish(store: MemoryStore) -> None:
    """A domain with two users and three projects; the first user has the first two projects."""
    await store.add_domain(Domain(DOMAIN, "acme"))
    await store.add_project(Project(PROJECT, REGION, DOMAIN))
    await store.add_project(Project(SECOND_PROJECT, "eu-test-2", DOMAIN))
    await store.add_project(Project(FOREIGN_PROJECT, "eu-test-3", DOMAIN))
    hashed = hash_password(PASSWORD)
    await store.add_user(User(USER, "demo", DOMAIN, hashed, (PROJECT, SECOND_PROJECT)))
    await store.add_user(User(OTHER_USER, "other", DOMAIN, hashed, (FOREIGN_PROJECT,)))
    await store.add_key(AccessKey(AK, SK, USER))
    await store.add_key(AccessKey(OTHER_AK, OTHER_SK, OTHER_USER))
    await store.add_instance(_instance(INSTANCE, PROJECT))
    await store.add_instance(_instance(FOREIGN_INSTANCE, FOREIGN_PROJECT))


def _instance(id: str, project: str) -> Instance:
    addresses = (("192.168.0.79", 6379),)
    return Instance(id, project, "dcs-test", "redis", addresses, password=INSTANCE_PASSWORD, created_ms=1)


@contextmanager
def serving(settings: ApiSettings | None = None, data: Path | None = None) -> Iterator[Service]:
    """Serve until the block ends. ``data``: where projects have a bucket for their backups."""
    store = MemoryStore()
    engines: dict[str, Engine] = {"redis": NoEngine(), "postgresql": NoEngine("postgresql")}
    own_bucket = partial(default_bucket, store, data) if data else None
    desk = Desk(store, engines, opens=Buckets(store) if data else None, backup_bucket=own_bucket)
    listener = socket.socket(proto=socket.IPPROTO_TCP)  # asyncio sends at once on sockets that say so
    listener.bind(("127.0.0.1", 0))
    app = create_app(store, desk, settings)
    config = uvicorn.Config(app, http=Wire, log_config=None, access_log=False, timeout_keep_alive=round(PATIENCE))
    server = uvicorn.Server(config)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=_serve, args=(loop, server, listener, store))
    thread.start()
    try:
        _until_started(server, thread)
        yield Service(f"http://127.0.0.1:{listener.getsockname()[1]}", store, desk, loop)
    finally:
        server.should_exit = True
        thread.join()
        loop.close()


def _serve(
    loop: asyncio.AbstractEventLoop, server: uvicorn.Server, listener: socket.socket, store: MemoryStore
) -> None:
    asyncio.set_event_loop(loop)
    loop.run_until_complete(furnish(store))
    loop.run_until_complete(server.serve(sockets=[listener]))
    loop.run_until_complete(loop.shutdown_default_executor())


def _until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.01)
