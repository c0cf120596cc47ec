"""The conversation by which we become a replica: ask for the data set or for the stream from an offset on.

REPLCONF and PSYNC are sent one at a time: servers refuse PSYNC while an answer of theirs is unsent. We announce no
listening port, so that nobody takes us for a server to connect to.
"""

import asyncio
from dataclasses import dataclass

from sterna.core.errors import AccessDenied, BadData, ServerBusy, Unsupported
from sterna.core.plan import Endpoint
from sterna.engines.redis.connection import Connection, ReplyError, info, trouble

FORK_S = 120.0
"""A server that prepares a sync sends at least a newline within this time."""


@dataclass(frozen=True, slots=True)
class FullSync:
    """The server sends its whole data set as of ``offset`` of its history ``replid``, then the stream."""

    replid: str
    offset: int


@dataclass(frozen=True, slots=True)
class PartialSync:
    """The server sends the stream from where we asked; the history may go by a new name since."""

    replid: str


@dataclass(frozen=True, slots=True)
class Payload:
    """How the data set is sent: so many bytes, or until a mark of 40 bytes."""

    size: int = -1
    mark: bytes = b""


async def open_replica(endpoint: Endpoint) -> Connection:
    """A connection that has introduced itself as a replica which takes diskless and partial syncs."""
    connection = await Connection.open(endpoint)
    try:
        await connection.call("PING")
        await _introduce(connection, "capa", "eof", "capa", "psync2")
        # Valkey 9 sends an older replica an older format, which has no place for the expiries of hash fields.
        if version := info(await connection.call("INFO", "server")).get("valkey_version"):
            await _introduce(connection, "version", version)
    except ReplyError as error:
        await connection.close()
        raise trouble(error, connection.where) or AccessDenied(f"{connection.where}: {error}") from None
    except BaseException:
        await connection.close()
        raise
    return connection


async def _introduce(connection: Connection, *words: str) -> None:
    try:
        await connection.call("REPLCONF", *words)
    except ReplyError as error:
        if error.kind != "ERR" or "unknown command" in str(error).lower():
            raise  # Redis 2.8 answers ERR to options that it does not know, and goes on


async def psync(connection: Connection, replid: str, offset: int) -> FullSync | PartialSync:
    """Ask for the stream after ``offset`` of history ``replid``, or with ``?`` and -1 for everything.

    Raises ServerBusy, AccessDenied, Unsupported, Unreachable.
    """
    wanted = offset + 1 if replid != "?" else -1
    connection.send(
        f"*3\r\n$5\r\nPSYNC\r\n${len(replid)}\r\n{replid}\r\n${len(str(wanted))}\r\n{wanted}\r\n".encode()
    )
    await connection.drain()
    line = await _beyond_newlines(connection)
    words = line.decode("latin-1").split()
    match words:
        case ["+FULLRESYNC", found, at] if at.isascii() and at.isdigit() and ":" not in found:
            return FullSync(found, int(at))
        case ["+CONTINUE"]:
            return PartialSync(replid)
        case ["+CONTINUE", found] if ":" not in found:
            return PartialSync(found)
        case _:
            raise _refusal(line.decode("utf-8", "replace"), connection.where)


async def _beyond_newlines(connection: Connection) -> bytes:
    """The next line that says something: newlines only tell that the server is alive and still prepares."""
    while not (line := await connection.line(timeout=FORK_S)):
        await asyncio.sleep(0)  # lines that are there already are read without a pause
    return line


def _refusal(line: str, where: str) -> Exception:
    if not line.startswith("-"):
        return BadData(f"{where} answered PSYNC with something else: {line[:100]!r}")
    error = ReplyError(line[1:])
    if known := trouble(error, where):
        return known
    if "NOMASTERLINK" in line or "not connected" in line:
        return ServerBusy(f"{where}: {error}")
    if "unknown command" in line.lower():
        return Unsupported(
            f"{where} does not know PSYNC", hint="The source must be Redis 2.8 or newer, with PSYNC allowed."
        )
    return AccessDenied(
        f"{where} refused PSYNC: {error}", hint="Let the user run PSYNC and REPLCONF on the source."
    )


async def payload(connection: Connection) -> Payload:
    """How the data set will come; waits while the server prepares it (it sends newlines meanwhile)."""
    line = await _beyond_newlines(connection)
    if line.startswith(b"$EOF:") and len(line) == 45:
        return Payload(mark=line[5:])
    if line.startswith(b"$") and line[1:].isdigit():
        return Payload(size=int(line[1:]))
    if line.startswith(b"-"):  # it could not fork, or not save
        raise ServerBusy(f"{connection.where} cannot send its data set: {line[1:].decode('utf-8', 'replace')}")
    raise _refusal(line.decode("utf-8", "replace"), connection.where)


async def keeps(connection: Connection, replid: str, offset: int) -> bool:
    """Whether the server can go on after ``offset`` of history ``replid``, without asking it to."""
    facts = info(await connection.call("INFO", "replication"))
    try:
        names = {facts["master_replid"]: int(facts["master_repl_offset"])}
        names[facts["master_replid2"]] = int(facts["second_repl_offset"]) - 1
        first = int(facts["repl_backlog_first_byte_offset"])
        size = int(facts["repl_backlog_histlen"])
        active = facts["repl_backlog_active"] == "1"
    except (KeyError, ValueError):
        return True  # before Redis 4 INFO does not tell; PSYNC itself will
    if replid not in names or offset > names[replid]:
        return False
    return active and first <= offset + 1 <= first + size
