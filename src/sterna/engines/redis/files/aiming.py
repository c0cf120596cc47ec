"""What the reading of files must know of the target: what it can take, and whether it holds anything."""

from dataclasses import dataclass, replace

from sterna.core.plan import Plan
from sterna.engines.redis.aim import Aim, aim
from sterna.engines.redis.connection import Connection, info
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.preparing import ForeignKeys, call, own_keys, used


@dataclass(frozen=True)
class FileAim:
    """One target, or one cluster."""

    aim: Aim
    empty: bool
    """It holds nothing where the data goes, and no other job writes there."""
    cluster: bool
    checkpoint: bytes
    """The job's own key on the target."""


async def file_aim(plan: Plan, mapping: Mapping, foreign: ForeignKeys, checkpoint: bytes) -> FileAim:
    """Ask the target. Raises Unreachable, AccessDenied, Unsupported."""
    found = await aim(plan, mapping, foreign)
    async with await Connection.open(plan.target) as target:
        if await is_cluster(target):
            return FileAim(replace(found, count=1), False, True, checkpoint)
        others = [key for key in await own_keys(target) if key != checkpoint]
        empty = not others and not any((await used(target, mapping)).values())
    return FileAim(found, empty, False, checkpoint)


async def is_cluster(connection: Connection) -> bool:
    """Whether the server is a node of a cluster."""
    return info(await call(connection, "INFO", "cluster")).get("cluster_enabled") == "1"
