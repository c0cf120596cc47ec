"""Records anew the RDB files that unit tests read, from real servers: ``python -m tests.engines.record_rdb``."""

import shutil
from typing import Any

from tests.engines.redis_values import fill
from tests.servers.redis import running
from tests.unit.rdb_files import DATA, RECORDED


def record(flavor: str, policy: str) -> None:
    """One file; ``policy`` makes the server write idle times or frequencies."""
    with running(flavor) as server:
        client: Any = server.client(single_connection_client=True)
        fill(client)
        client.config_set("maxmemory-policy", policy)
        client.save()
        shutil.copy(server.folder / "dump.rdb", DATA / f"{flavor}.rdb")


if __name__ == "__main__":
    for number, name in enumerate(RECORDED):
        record(name, "allkeys-lru" if number % 2 else "allkeys-lfu")
