"""What both servers say about themselves, asked once and shared by all checks."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sterna.core.errors import Trouble
from sterna.core.plan import Endpoint, Plan
from sterna.engines.redis.connection import Argument, Connection, Reply, ReplyError, info, trouble
from sterna.engines.redis.names import CHECKPOINT_PREFIX

FRESH_S = 5.0
"""A survey is good for so long; a check that is run later asks again."""
ANSWER_S = 20.0
"""How long a server may take to answer."""
SETTINGS = (
    "client-output-buffer-limit",
    "databases",
    "maxmemory",
    "maxmemory-policy",
    "min-replicas-to-write",
    "min-slaves-to-write",
    "repl-backlog-size",
    "repl-diskless-sync",
    "repl-timeout",
    "stop-writes-on-bgsave-error",
)
"""Asked for one by one: only 7.0 and later take several, and all of them would bring passwords along."""
RATE_S = 0.5
"""How long the source's write rate is measured."""
PROBE_KEY = CHECKPOINT_PREFIX + b"probe"
"""A key that is asked for and never written."""

SOURCE_NEEDS: tuple[tuple[Argument, ...], ...] = (
    ("PING",),
    ("INFO",),
    ("REPLCONF", "capa", "eof"),
)
SOURCE_LIKES: tuple[tuple[Argument, ...], ...] = (
    ("SCAN", 0, "COUNT", 1),
    ("TYPE", PROBE_KEY),
    ("PTTL", PROBE_KEY),
    ("EXISTS", PROBE_KEY),
    ("DUMP", PROBE_KEY),
    ("STRLEN", PROBE_KEY),
    ("TIME",),
)
"""What a comparison asks of the source, beyond what a migration needs."""
TARGET_NEEDS: tuple[tuple[Argument, ...], ...] = (
    ("PING",),
    ("INFO",),
    ("SELECT", 0),
    ("SCAN", 0, "COUNT", 1),
    ("DBSIZE",),
    ("TYPE", PROBE_KEY),
    ("PTTL", PROBE_KEY),
    ("EXISTS", PROBE_KEY),
    ("DUMP", PROBE_KEY),
    ("WATCH", PROBE_KEY),
    ("UNWATCH",),
)
TARGET_WRITES: tuple[tuple[Argument, ...], ...] = (
    ("RESTORE", PROBE_KEY, 0, "x"),
    ("DEL", PROBE_KEY),
    ("SET", PROBE_KEY, "x"),
    ("APPEND", PROBE_KEY, "x"),
    ("INCRBY", PROBE_KEY, 1),
    ("PEXPIREAT", PROBE_KEY, 1),
    ("PERSIST", PROBE_KEY),
    ("RENAME", PROBE_KEY, PROBE_KEY),
    ("RPUSH", PROBE_KEY, "x"),
    ("SADD", PROBE_KEY, "x"),
    ("ZADD", PROBE_KEY, 0, "x"),
    ("HSET", PROBE_KEY, "x", "x"),
    ("EVAL", "return 0", 0),
)
"""Asked inside a transaction that is thrown away: the server judges the right to each and runs none."""


@dataclass(frozen=True, slots=True)
class Facts:
    """One server as it was seen. What could not be read is empty or None; ``trouble`` says why nothing was."""

    where: str
    trouble: Trouble | None = None
    info: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, str] | None = None
    """None: the server does not let its settings be read."""
    modules: tuple[str, ...] | None = None
    functions: int | None = None
    """Libraries; None: the server has no functions, or does not say."""
    denied: tuple[str, ...] = ()
    """Commands that the user lacks or the server does not have, with its words."""
    missing: tuple[str, ...] = ()
    """The same, of the commands that only a comparison needs."""
    used: frozenset[str] = frozenset()
    """Commands that were called since its start."""
    psync: str = ""
    """What the server answered to a PSYNC that it could not serve; empty: not asked."""
    clock_ms: float | None = None
    """How far its clock is ahead of ours at least."""
    write_rate: float = 0.0
    """Bytes a second that it wrote to its replication stream, or took from its clients where it has none."""
    out_of_range: int | None = None
    """The highest database that is needed, where the server has fewer."""

    @property
    def product(self) -> str:
        return "valkey" if "valkey_version" in self.info else "redis"

    @property
    def version(self) -> tuple[int, ...]:
        """Of the product; empty if not known."""
        text = self.info.get("valkey_version") or self.info.get("redis_version", "")
        return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())

    @property
    def label(self) -> str:
        """Product and version, for people."""
        version = ".".join(str(part) for part in self.version) or "of an unknown version"
        return f"{self.product.capitalize()} {version}"

    @property
    def keys(self) -> dict[int, int]:
        """Databases in use, with the number of keys."""
        found = {}
        for name, text in self.info.items():
            if name.startswith("db") and name[2:].isdigit() and text.startswith("keys="):
                found[int(name[2:])] = int(text[5:].partition(",")[0])
        return found

    def number(self, name: str) -> int | None:
        """A number of INFO or, failing that, of CONFIG; None if neither has it."""
        for text in (self.info.get(name), (self.config or {}).get(name)):
            if text and text.lstrip("-").isdigit():
                return int(text)
        return None


class Survey:
    """Looks at both servers, over one connection each."""

    def __init__(self, plan: Plan, highest: Callable[[Facts], int], clock: Callable[[], float] = time.monotonic):
        self._plan = plan
        self._highest = highest
        self._clock = clock
        self._lock = asyncio.Lock()
        self._seen: tuple[Facts, Facts] | None = None
        self._seen_at = 0.0

    async def look(self) -> tuple[Facts, Facts]:
        """Source and target as they were seen within the last few seconds. Never raises Trouble."""
        async with self._lock:
            if self._seen is None or self._clock() - self._seen_at > FRESH_S:
                source = await _guarded(self._plan.source, _source)
                highest = self._highest(source)
                target = await _guarded(self._plan.target, lambda connection: _target(connection, highest))
                self._seen = (source, target)
                self._seen_at = self._clock()
            return self._seen

    async def look_at_source(self) -> Facts:
        """The source alone, where the target is no server. Never raises Trouble."""
        async with self._lock:
            if self._seen is None or self._clock() - self._seen_at > FRESH_S:
                source = await _guarded(self._plan.source, _source)
                self._seen = (source, Facts(str(self._plan.target)))
                self._seen_at = self._clock()
            return self._seen[0]

    async def look_at_target(self) -> Facts:
        """The target alone, where the source is no server. Never raises Trouble."""
        async with self._lock:
            if self._seen is None or self._clock() - self._seen_at > FRESH_S:
                nobody = Facts(str(self._plan.source))
                highest = self._highest(nobody)
                target = await _guarded(self._plan.target, lambda connection: _target(connection, highest))
                self._seen = (nobody, target)
                self._seen_at = self._clock()
            return self._seen[1]


async def _guarded(endpoint: Endpoint, ask: Callable[[Connection], Coroutine[None, None, Facts]]) -> Facts:
    try:
        async with await Connection.open(endpoint, timeout=ANSWER_S) as connection:
            facts = await ask(connection)
        if ask is _source and not facts.trouble:
            facts = replace(facts, psync=await _psync(endpoint))
        return facts
    except Trouble as found:
        return Facts(str(endpoint), found)
    except ReplyError as error:
        return Facts(str(endpoint), Trouble(f"{endpoint}: {error}"))


async def _source(connection: Connection) -> Facts:
    facts = await _common(connection)
    if facts.trouble:
        return facts
    return replace(
        facts,
        denied=await _refused(connection, SOURCE_NEEDS),
        missing=await _refused(connection, SOURCE_LIKES),
        used=await _used(connection),
        write_rate=await _write_rate(connection, facts.info),
    )


async def _target(connection: Connection, highest: int) -> Facts:
    facts = await _common(connection)
    if facts.trouble:
        return facts
    selected, _ = await connection.pipeline([("SELECT", highest), ("SELECT", 0)])
    beyond = isinstance(selected, ReplyError) and "range" in str(selected)
    denied = await _refused(connection, TARGET_NEEDS) + await _refused_writes(connection)
    return replace(facts, denied=denied, out_of_range=highest if beyond else None)


async def _common(connection: Connection) -> Facts:
    questions: list[Sequence[Argument]] = [("INFO",), ("MODULE", "LIST"), ("FUNCTION", "LIST"), ("TIME",)]
    questions += [("CONFIG", "GET", name) for name in SETTINGS]
    before = time.time()
    said, modules, functions, clock, *settings = await connection.pipeline(questions)
    if isinstance(said, ReplyError):
        return Facts(connection.where, trouble(said, connection.where) or Trouble(f"{connection.where}: {said}"))
    return Facts(
        connection.where,
        info=info(said),
        config=_settings(settings),
        modules=_modules(modules),
        functions=len(functions) if isinstance(functions, list) else None,
        clock_ms=_ahead(clock, before, time.time()),
    )


def _settings(replies: Sequence[Reply]) -> dict[str, str] | None:
    found: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, list):
            found.update(
                (k.decode(), v.decode("utf-8", "replace")) for k, v in zip(*[iter(reply)] * 2, strict=True)
            )
    return found or None


def _modules(reply: Reply) -> tuple[str, ...] | None:
    if not isinstance(reply, list):
        return None
    rows = (dict(zip(*[iter(row)] * 2, strict=False)) for row in reply)
    return tuple(sorted(row.get(b"name", b"?").decode("utf-8", "replace") for row in rows))


def _ahead(reply: Reply, before: float, after: float) -> float | None:
    """Milliseconds at least, of a clock that was read between two moments: a slow answer makes it no other."""
    if not isinstance(reply, list) or len(reply) != 2:
        return None
    theirs = int(reply[0]) + int(reply[1]) / 1e6
    return (max(0.0, theirs - after) + min(0.0, theirs - before)) * 1000


async def _refused(connection: Connection, commands: Sequence[Sequence[Argument]]) -> tuple[str, ...]:
    return _no(commands, await connection.pipeline(commands))


async def _refused_writes(connection: Connection) -> tuple[str, ...]:
    begun, ended = (await connection.pipeline([("MULTI",)]), await connection.pipeline([("EXEC",)]))
    refused = _no([("MULTI",), ("EXEC",)], begun + ended)
    if refused:
        return refused  # without a transaction to throw away, nothing may be tried
    (begun_again,) = await connection.pipeline([("MULTI",)])
    if isinstance(begun_again, ReplyError):
        return (f"MULTI: {begun_again}",)
    replies = await connection.pipeline([*TARGET_WRITES, ("DISCARD",)])
    return _no(TARGET_WRITES, replies[:-1])


def _no(commands: Sequence[Sequence[Argument]], replies: Sequence[Reply]) -> tuple[str, ...]:
    """Those that were refused for want of a right, or because the server has no such command."""
    return tuple(
        f"{_word(command)}: {reply}"
        for command, reply in zip(commands, replies, strict=True)
        if isinstance(reply, ReplyError) and (reply.kind == "NOPERM" or "unknown command" in str(reply).lower())
    )


async def _used(connection: Connection) -> frozenset[str]:
    (reply,) = await connection.pipeline([("INFO", "commandstats")])
    if isinstance(reply, ReplyError):
        return frozenset()
    return frozenset(name.removeprefix("cmdstat_").upper() for name in info(reply))


async def _write_rate(connection: Connection, before: Mapping[str, str]) -> float:
    """Bytes a second, from the replication offset; a source without replicas has only its input to go by."""
    began = time.monotonic()
    (first,) = await connection.pipeline([("INFO", "replication")])
    if isinstance(first, ReplyError):
        return 0.0
    if info(first).get("repl_backlog_active") != "1":
        return float(before.get("instantaneous_input_kbps") or 0) * 1024
    await asyncio.sleep(RATE_S)
    (last,) = await connection.pipeline([("INFO", "replication")])
    if isinstance(last, ReplyError):
        return 0.0
    grown = int(info(last).get("master_repl_offset", 0)) - int(info(first).get("master_repl_offset", 0))
    return max(0, grown) / (time.monotonic() - began)


async def _psync(endpoint: Endpoint) -> str:
    """Find out whether PSYNC is allowed without making the source fork.

    A server refuses PSYNC on a connection that still has an answer to send (``replication.c``, syncCommand), and
    does so after it has looked at the user's rights: a PING in the same packet makes it so.
    """
    async with await Connection.open(endpoint, timeout=ANSWER_S) as connection:
        connection.send(b"*1\r\n$4\r\nPING\r\n*3\r\n$5\r\nPSYNC\r\n$1\r\n?\r\n$2\r\n-1\r\n")
        _, reply = await connection.replies(2)
    return reply.decode("utf-8", "replace") if isinstance(reply, bytes) else str(reply)


def _word(command: Sequence[Argument]) -> str:
    """The command's name; all of ours are text."""
    return str(command[0])
