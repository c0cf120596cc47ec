"""Writes to a cluster: each command to the node that has its slot, in order for every slot.

A transaction cannot span slots, so the position is written after the data, on the node that has the job's own key.
What was written after the last position is written again after a break; the source sees to it that this changes
nothing: RDB entries replace whole keys, and a log is read again from its beginning, where each key begins anew.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sterna.core.change import Batch, Chunk, Format, Part, Pieces, Position
from sterna.core.errors import ApplyFailed, BadData, ServerBusy, Trouble, Unsupported
from sterna.core.plan import Conflict, Endpoint, Plan
from sterna.core.ports import Room, Teller
from sterna.engines.redis.connection import Argument, Connection, ReplyError, pack, trouble
from sterna.engines.redis.files.preparing import FilePreparing
from sterna.engines.redis.files.slots import EVERYWHERE, SLOTS, routed, slot
from sterna.engines.redis.mapping import Mapping
from sterna.engines.redis.names import RESP, checkpoint_key
from sterna.engines.redis.preparing import Transact, call
from sterna.engines.redis.sink import RedisSink
from sterna.engines.redis.spilled import Spilled, short

_MOVED = ("MOVED", "ASK", "CLUSTERDOWN", "TRYAGAIN")


@dataclass(frozen=True, slots=True)
class Master:
    """One node that has slots."""

    address: tuple[str, int]
    slots: tuple[range, ...]


async def masters(connection: Connection, address: tuple[str, int]) -> list[Master]:
    """All masters and their slots, as the node at ``address`` has them. Raises ServerBusy if some are missing."""
    found: dict[tuple[str, int], list[range]] = {}
    for first, last, node, *_ in await call(connection, "CLUSTER", "SLOTS"):
        host = node[0].decode() if node[0] else ""
        where = (host if host and host != "?" else address[0], int(node[1]))
        found.setdefault(where, []).append(range(int(first), int(last) + 1))
    covered = sum(len(stretch) for stretches in found.values() for stretch in stretches)
    if covered < SLOTS:
        raise ServerBusy(f"{connection.where}: {SLOTS - covered} slots of the cluster have no node")
    return [Master(where, tuple(stretches)) for where, stretches in sorted(found.items())]


class Nodes:
    """A connection to every master."""

    def __init__(self, connections: Sequence[Connection], known: Sequence[Master]) -> None:
        self._connections = connections
        self._owner = [0] * SLOTS
        for number, master in enumerate(known):
            for stretch in master.slots:
                self._owner[stretch.start : stretch.stop] = [number] * len(stretch)

    def of(self, key: bytes) -> int:
        """The number of the node that has a key."""
        return self._owner[slot(key)]

    async def write(self, data: bytes | Pieces) -> None:
        """Send commands to where they belong; wait for all answers. Raises ServerBusy, ApplyFailed, BadData …"""
        parts: list[list[bytes]] = [[] for _ in self._connections]
        for sent in routed(short(data)):
            for number in self._numbers(sent.slot):
                parts[number].append(sent.data)
        works = [self._send(number, part, data) for number, part in enumerate(parts) if part]
        results = await asyncio.gather(*works, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _numbers(self, number: int) -> Sequence[int]:
        return range(len(self._connections)) if number == EVERYWHERE else (self._owner[number],)

    async def _send(self, number: int, part: Sequence[bytes], whole: bytes | Pieces) -> None:
        connection = self._connections[number]
        data = b"".join(part)
        if isinstance(whole, Spilled):
            await connection.send_pieces(whole.of(data))
        else:
            await connection.send_all(data)
        answers, _ = await connection.count_replies(len(part), 1)
        for wrong in answers.errors:
            raise self._refusal(connection.where, wrong.text, part[wrong.index])

    def _refusal(self, where: str, text: str, data: bytes) -> Trouble:
        error = ReplyError(text)
        name = data.split(b"\r\n", 3)[2].decode("ascii", "replace")
        if error.kind in _MOVED:
            return ServerBusy(f"{where}: the cluster is moving slots or has lost a node: {text}")
        if known := trouble(error, f"{where}, {name}"):
            return known
        if "Bad data format" in text or "DUMP payload" in text:
            return BadData(f"{where}: {text}", hint="The target cannot read this value: use a newer version.")
        return ApplyFailed(f"{where}: {name}: {text}")


class ClusterPreparing(FilePreparing):
    """Does on every node what is to be done on a server."""

    def __init__(
        self, plan: Plan, mapping: Mapping, folder: Path, key: bytes, tell: Teller, each: Sequence[FilePreparing],
        nodes: Nodes,
    ) -> None:  # fmt: skip
        super().__init__(plan, mapping, folder, key, tell)
        self._each = each
        self._nodes = nodes
        self._policy = plan.conflict

    async def look(self) -> bool:
        if self._policy is Conflict.SKIP:
            raise Unsupported(
                "Files cannot be imported into a cluster with the policy skip",
                hint="Choose the policy overwrite, or stop.",
            )
        return all([await one.look() for one in self._each])

    async def release(self, transact: Transact) -> None:
        async def write(database: int, words: Sequence[Sequence[Argument]]) -> None:
            await self._nodes.write(b"".join(pack(*each) for each in words))

        for one in self._each:
            await one.release(write)

    async def rows(self) -> int:
        return sum([await one.rows() for one in self._each])


class ClusterSink:
    """Meets ``core.ports.Sink``, for a source that may be written again from its last position."""

    formats: Sequence[Format] = (RESP,)

    def __init__(self, keeper: RedisSink, nodes: Nodes) -> None:
        self._keeper = keeper
        self._nodes = nodes

    async def claim(self) -> None:
        await self._keeper.claim()

    async def position(self, lane: str) -> Position | None:
        return await self._keeper.position(lane)

    async def prepare(self) -> None:
        await self._keeper.prepare()

    async def load(self, part: Part, chunk: Chunk) -> None:
        """The data, then its position. Another run that took over is seen before and after."""
        assert isinstance(chunk.data, bytes | Pieces), "only commands were offered"
        if chunk.data:
            await self._keeper.verify()
            await self._nodes.write(chunk.data)
        await self._keeper.load(part, replace(chunk, data=b"", count=0))

    async def write(self, batch: Batch) -> None:
        raise Unsupported("Changes cannot be followed into a cluster")

    async def verify(self) -> None:
        await self._keeper.verify()

    async def copied(self, anchor: Position) -> None:
        await self._keeper.copied(anchor)

    async def finish(self) -> None:
        await self._keeper.finish()

    async def rows(self) -> int:
        return await self._keeper.rows()


@asynccontextmanager
async def cluster_sink(plan: Plan, mapping: Mapping, room: Room, tell: Teller) -> AsyncIterator[ClusterSink]:
    """A sink for the cluster that the plan's target is a node of."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(await Connection.open(plan.target))
        known = await masters(first, plan.target.addresses[0])
        ends = [replace(plan.target, addresses=(master.address,)) for master in known]
        connections = [await stack.enter_async_context(await Connection.open(end)) for end in ends]
        nodes, key = Nodes(connections, known), checkpoint_key(room.job_id)
        keeping = await stack.enter_async_context(await Connection.open(ends[nodes.of(key)]))
        each = [FilePreparing(_at(plan, end), mapping, room.folder, key, tell) for end in ends]
        preparing = ClusterPreparing(plan, mapping, room.folder, key, tell, each, nodes)
        yield ClusterSink(RedisSink(keeping, room, preparing, tell), nodes)


def _at(plan: Plan, end: Endpoint) -> Plan:
    return replace(plan, target=end)
