"""A source that is damaged, or none at all: the job says what is wrong and where, and writes nothing beyond it."""

import asyncio
import contextlib
import resource
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sterna.core.job import Condition, Phase
from sterna.core.plan import Endpoint
from sterna.engines.redis import connection, intake
from sterna.engines.redis.wire.crc64 import crc64
from sterna.engines.redis.wire.resp import command
from tests.effort import PATIENCE
from tests.engines.moving import Move, endpoint, incremental
from tests.engines.test_redis_faults import without_checks
from tests.servers.fixtures import StartServer

pytestmark = pytest.mark.server

REPLID = "a" * 40
Out = asyncio.StreamWriter
Act = Callable[[Out], Awaitable[None]]


def entry(key: bytes, value: bytes) -> bytes:
    return b"\0" + bytes([len(key)]) + key + bytes([len(value)]) + value


def rdb(*records: bytes, end: bool = True) -> bytes:
    body = b"REDIS0010" + b"\xfe\0" + b"".join(records) + (b"\xff" if end else b"")
    return body + struct.pack("<Q", crc64(body)) if end else body


GOOD = rdb(entry(b"a", b"1"), entry(b"b", b"2"))


@dataclass
class Fake:
    """Speaks as much of the protocol as a replica needs; what it says to PSYNC is up to the test."""

    psync: Act
    port: int = 0
    asked: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, out: Out) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while words := await _words(reader):
                self.asked.append(words[0].upper())
                if self.asked[-1] == b"PSYNC":
                    await self.psync(out)
                elif self.asked[-1] == b"INFO":
                    text = f"# Fake\r\nredis_version:7.0.0\r\nmaster_replid:{REPLID}\r\n".encode()
                    out.write(b"$%d\r\n%b\r\n" % (len(text), text))
                elif b"ACK" not in words:
                    out.write(b"+OK\r\n")
        out.close()


async def _words(reader: asyncio.StreamReader) -> list[bytes]:
    line = (await reader.readline()).strip()
    while line == b"" and not reader.at_eof():
        line = (await reader.readline()).strip()  # a sign of life
    if not line.startswith(b"*"):
        return []
    words = []
    for _ in range(int(line[1:])):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


@asynccontextmanager
async def fake(psync: Act) -> AsyncIterator[Fake]:
    source = Fake(psync)
    server = await asyncio.start_server(source.serve, "127.0.0.1", 0)
    source.port = server.sockets[0].getsockname()[1]
    try:
        yield source
    finally:
        server.close()


def sends(*pieces: bytes, close: bool = False) -> Act:
    async def act(out: Out) -> None:
        for piece in pieces:
            out.write(piece)
        await out.drain()
        if close:
            out.close()

    return act


def whole(data: bytes, *stream: bytes, claimed: int | None = None, close: bool = False) -> Act:
    """A full sync with a data set, and then the stream."""
    size = len(data) if claimed is None else claimed
    head = f"+FULLRESYNC {REPLID} 100\r\n${size}\r\n".encode()
    return sends(head, data, *stream, close=close)


@asynccontextmanager
async def moving(source: Fake, target: Any, folder: Path) -> AsyncIterator[Move]:
    move = Move(Endpoint("redis", (("127.0.0.1", source.port),)), endpoint(target), folder, incremental())
    move.engine = without_checks(move)
    await move.start()
    try:
        yield move
    finally:
        await move.cut()


def keys(server: Any) -> list[bytes]:
    return sorted(key for key in server.client().scan_iter() if not key.startswith(b"sterna:checkpoint:"))


HUGE = b"\x81" + struct.pack(">Q", 1 << 50)
BAD_DATA = {
    "the checksum": (GOOD[:-8] + bytes(8).replace(b"\0", b"\1"), "STERNA.2003", "checksum", None),
    "its end": (rdb(entry(b"a", b"1"), end=False), "STERNA.2003", "truncated", None),
    "a length": (rdb(entry(b"a", b"1"), b"\0\1b" + HUGE), "STERNA.2003", "RDB offset", [b"a"]),
    "a length of a key": (rdb(entry(b"a", b"1"), b"\0" + HUGE), "STERNA.2003", "RDB offset", [b"a"]),
    "the number of elements": (rdb(entry(b"a", b"1"), b"\1\1b" + HUGE), "STERNA.2003", "RDB offset", [b"a"]),
    "a type": (rdb(entry(b"a", b"1"), b"\x63\1b\1x"), "STERNA.2003", "type 99", [b"a"]),
    "a record": (rdb(entry(b"a", b"1"), b"\xf2abc"), "STERNA.2005", "RDB offset", [b"a"]),
    "a module": (rdb(entry(b"a", b"1"), b"\7\1m\x81" + bytes(8)), "STERNA.2005", "module", [b"a"]),
    "its name": (b"NOTREDIS!" + GOOD[9:], "STERNA.2003", "no RDB file begins with", []),
    "everything": (b"\0" * 1000, "STERNA.2003", "no RDB file begins with", []),
}


@pytest.mark.parametrize("what", BAD_DATA)
async def test_a_damaged_data_set_ends_the_job_at_the_damage(
    redis_server: StartServer, tmp_path: Path, what: str
) -> None:
    data, code, said, there = BAD_DATA[what]
    target = redis_server()
    async with fake(whole(data)) as source, moving(source, target, tmp_path) as move:
        message = await move.fails(code)
        assert said in message
        if there is not None:
            assert keys(target) == there
        kept: Any = target.client().get(f"sterna:checkpoint:{move.job.id}")
        assert b'"follow"' not in (kept or b"")


async def test_a_data_set_that_breaks_off_is_asked_for_again(redis_server: StartServer, tmp_path: Path) -> None:
    target = redis_server()
    async with (
        fake(whole(GOOD[:-3], claimed=len(GOOD), close=True)) as source,
        moving(source, target, tmp_path) as move,
    ):
        await _told(move, "run.again", 3)
        source.psync = whole(GOOD, command(b"SELECT", b"0"), command(b"SET", b"c", b"3"))
        await _until(lambda: keys(target) == [b"a", b"b", b"c"])
        assert (await move.now()).phase is Phase.FOLLOW


async def test_a_source_that_cannot_fork_is_asked_again(redis_server: StartServer, tmp_path: Path) -> None:
    answer = f"+FULLRESYNC {REPLID} 1\r\n-ERR BGSAVE failed, replication can't continue\r\n".encode()
    async with fake(sends(answer)) as source, moving(source, redis_server(), tmp_path) as move:
        await _told(move, "run.retry", 2)
        assert "BGSAVE failed" in (await move.events("run.retry"))[0].message


async def _told(move: Move, code: str, times: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(await move.events(code)) < times:
            await asyncio.sleep(0.02)


async def _until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.02)


SELECT = command(b"SELECT", b"0")
BAD_STREAM = {
    "garbage": (b"garbage!", "STERNA.2003"),
    "html": (b"<html><body>502</body></html>\r\n", "STERNA.2003"),
    "a wrong length": (b"*2\r\n$3\r\nSET\r\n$1\r\nabc\r\n", "STERNA.2003"),
    "a huge length": (b"*2\r\n$3\r\nSET\r\n$2147483000\r\n", "STERNA.2005"),
    "a huge number of words": (b"*99999999999\r\n", "STERNA.2003"),
    "no name": (command(b"EXEC"), "STERNA.2003"),
    "a database": (command(b"SELECT", b"16"), "STERNA.2005"),
}


@pytest.mark.parametrize("what", BAD_STREAM)
async def test_a_damaged_stream_ends_the_job_at_the_damage(
    redis_server: StartServer, tmp_path: Path, what: str
) -> None:
    bad, code = BAD_STREAM[what]
    target = redis_server()
    act = whole(GOOD, SELECT, command(b"SET", b"before", b"1"), bad, command(b"SET", b"beyond", b"1"))
    async with fake(act) as source, moving(source, target, tmp_path) as move:
        message = await move.fails(code)
        assert "byte" in message
        assert keys(target) == [b"a", b"b", b"before"]


ANSWERS = {
    "+CONTINUE\r\n": ("STERNA.2003", "a part of its stream"),
    f"+CONTINUE {REPLID}\r\n": ("STERNA.2003", "a part of its stream"),
    "+FULLRESYNC\r\n": ("STERNA.2003", "FULLRESYNC"),
    f"+FULLRESYNC {REPLID} many\r\n": ("STERNA.2003", "FULLRESYNC"),
    "HTTP/1.1 400 Bad Request\r\n": ("STERNA.2003", "HTTP/1.1"),
    "-ERR unknown command 'PSYNC'\r\n": ("STERNA.2005", "PSYNC"),
    "-NOPERM no\r\n": ("STERNA.2001", "NOPERM"),
    f"+FULLRESYNC {REPLID} 1\r\n+what\r\n": ("STERNA.2003", "+what"),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_wrong_answer_to_psync_ends_the_job(
    redis_server: StartServer, tmp_path: Path, answer: str
) -> None:
    code, said = ANSWERS[answer]
    target = redis_server()
    async with fake(sends(answer.encode())) as source, moving(source, target, tmp_path) as move:
        assert said in await move.fails(code)
        assert keys(target) == []


async def _closes(out: Out) -> None:
    out.close()


async def _says_nothing(out: Out) -> None:
    await out.drain()


async def _newlines(out: Out) -> None:
    out.write(f"+FULLRESYNC {REPLID} 1\r\n".encode())
    while True:
        out.write(b"\n" * 100_000)
        await out.drain()


async def _one_endless_line(out: Out) -> None:
    while True:
        out.write(b"x" * 100_000)
        await out.drain()


@pytest.mark.parametrize("psync", [_closes, _says_nothing, _one_endless_line])
async def test_a_source_that_never_comes_to_the_point_is_tried_again(
    redis_server: StartServer, tmp_path: Path, psync: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_S", 0.3)
    monkeypatch.setattr(intake, "QUIET_S", 0.3)
    monkeypatch.setattr("sterna.engines.redis.replica.FORK_S", 0.3)
    target = redis_server()
    async with fake(psync) as source, moving(source, target, tmp_path) as move:
        await _told(move, "run.retry", 2)
        await move.pause()  # and it still listens


async def test_a_source_that_only_shows_signs_of_life_can_be_left_and_takes_no_memory(
    redis_server: StartServer, tmp_path: Path
) -> None:
    target = redis_server()
    async with fake(_newlines) as source, moving(source, target, tmp_path) as move:
        await _until(lambda: b"PSYNC" in source.asked)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        await asyncio.sleep(1)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000
        await move.pause()
        assert (await move.now()).condition is Condition.PAUSED
