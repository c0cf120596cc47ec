"""Two real servers under the contract that every engine keeps."""

from dataclasses import dataclass
from typing import Any

from sterna.core.plan import Endpoint, Plan
from sterna.engines.redis.engine import RedisEngine
from sterna.engines.redis.names import CHECKPOINT_PREFIX
from tests.servers.data import differences, snapshot
from tests.servers.redis import Server


@dataclass
class RedisBench:
    """Rows are hashes. The source keeps its changes until it is restarted, which begins a new history."""

    source: Server
    target: Server

    def __post_init__(self) -> None:
        self.engine = RedisEngine()
        source, target = (Endpoint("redis", ((each.host, each.port),)) for each in (self.source, self.target))
        self.plan = Plan(source, target)

    def put(self, *ids: int) -> None:
        pipe = self.source.client().pipeline(transaction=True)
        for id in ids:
            pipe.hset(f"row:{id}", "n", 0)
        pipe.execute()

    def remove(self, *ids: int) -> None:
        self.source.client().delete(*(f"row:{id}" for id in ids))

    def increase(self, id: int) -> None:
        self.source.client().hincrby(f"row:{id}", "n", 1)

    def same(self) -> bool:
        here, there = snapshot(self.source.client()), snapshot(self.target.client())
        ours = {key: entry for key, entry in there.items() if not key[1].startswith(CHECKPOINT_PREFIX)}
        return not differences(here, ours)

    def lose_log(self) -> None:
        self.source.kill9()
        self.source.restart()

    def hang_up(self) -> None:
        self.source.kill9()

    def clean(self) -> bool:
        client: Any = self.target.client()
        return not client.keys(CHECKPOINT_PREFIX + b"*")
