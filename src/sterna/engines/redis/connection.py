"""One connection to a Redis or Valkey server: commands out, replies in, and raw bytes for replication."""

import asyncio
import ssl
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import hiredis

from sterna.core.errors import AccessDenied, BadData, NeedsOperator, Retryable, ServerBusy, TargetFull, Unreachable
from sterna.core.plan import Endpoint, Tls
from sterna.engines.redis.wire.replies import ReplyCounter, reply_counter

Argument = bytes | str | int | float
Reply = Any  # a reply is bytes, int, None, a nested list of these, or a ReplyError: the protocol is untyped

READ_SIZE = 1 << 20
ANSWER_S = 60.0
"""A server that sends nothing for so long while an answer is due is taken for gone."""
CONNECT_S = 10.0
SEND_AT_ONCE = 4 << 20
_CERTIFICATE = (
    "Give the certificate of the authority that signed the server's (in a URL: ssl_ca_certs), and the name that is"
    " in it; or let it not be checked (ssl_cert_reqs=none)."
)
_TLS_FILES = "Give files in the PEM form that can be read here."

_pack: Any = hiredis.pack_command  # its stub is narrower than what it takes


def pack(*words: Argument) -> bytes:
    """One command in the server's protocol."""
    packed: bytes = _pack(words)
    return packed


class ReplyError(Exception):
    """The server answered with an error. The first word is its kind: ``WRONGTYPE``, ``NOAUTH`` …"""

    @property
    def kind(self) -> str:
        return str(self).partition(" ")[0]


def trouble(error: ReplyError, where: str) -> Retryable | NeedsOperator | None:
    """What a server's error means for a job, or None where that depends on the command."""
    message = f"{where}: {error}"
    kind = error.kind
    if kind == "EXECABORT":  # a whole transaction was refused, for the reason that follows
        kind = str(error).partition(" because of: ")[2].partition(" ")[0]
    if "max number of clients" in str(error):
        return ServerBusy(message, hint="Close connections to the server, or raise its maxclients.")
    match kind:
        case "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED":
            return AccessDenied(message)
        case "OOM":
            return TargetFull(message)
        case "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "NOMASTERLINK" | "NOREPLICAS":
            return ServerBusy(message)
        case "READONLY":
            return ServerBusy(message, hint="The server is a replica now: point the job at the master.")
        case "MISCONF":
            return ServerBusy(message, hint="The server cannot save to its disk: mend that.")
        case _:
            return None


def tls_context(tls: Tls) -> ssl.SSLContext:
    """What ``ssl`` needs to know, TLS 1.2 at least."""
    context = ssl.create_default_context(cafile=tls.ca_file or None, cadata=tls.authority or None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = tls.verify and tls.host_name
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    if tls.cert_file:
        context.load_cert_chain(tls.cert_file, tls.key_file or None)
    return context


class Connection:
    """Not for use by two tasks at once."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, where: str, timeout: float):
        self._reader = reader
        self._writer = writer
        self._parser = hiredis.Reader(replyError=ReplyError)
        self.where = where
        """Address, for messages."""
        self._timeout = timeout

    @classmethod
    async def open(
        cls,
        endpoint: Endpoint,
        *,
        address: tuple[str, int] | None = None,
        database: int = 0,
        timeout: float | None = None,
        connect_timeout: float | None = None,
    ) -> "Connection":
        """Connect and log in. Raises Unreachable, AccessDenied, ServerBusy."""
        host, port = address or endpoint.addresses[0]
        where = f"{host}:{port}"
        try:
            context = tls_context(endpoint.tls) if endpoint.tls else None
        except (OSError, ssl.SSLError) as error:
            raise AccessDenied(f"{where}: the TLS files cannot be used: {error}", hint=_TLS_FILES) from error
        try:
            async with asyncio.timeout(connect_timeout or CONNECT_S):
                reader, writer = await asyncio.open_connection(host, port, ssl=context, limit=READ_SIZE)
        except ssl.SSLCertVerificationError as error:
            why = f"{where}: certificate not accepted: {error.verify_message}"
            raise AccessDenied(why, hint=_CERTIFICATE) from error
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{where}: {_reason(error)}") from error
        connection = cls(reader, writer, where, timeout or ANSWER_S)
        try:
            await connection._log_in(endpoint, database)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _log_in(self, endpoint: Endpoint, database: int) -> None:
        if endpoint.password or endpoint.user:
            words = [endpoint.user, endpoint.password] if endpoint.user else [endpoint.password]
            try:
                await self.call("AUTH", *words)
            except ReplyError as error:
                raise AccessDenied(f"{self.where}: {_without(str(error), endpoint.password)}") from None
        if database:
            await self.call("SELECT", database)

    async def call(self, *words: Argument) -> Reply:
        """Send one command and return its reply. Raises ReplyError, Unreachable, AccessDenied, ServerBusy."""
        self.send(pack(*words))
        (reply,) = await self.replies(1)
        if isinstance(reply, ReplyError):
            raise trouble(reply, self.where) or reply
        return reply

    async def pipeline(self, commands: Sequence[Sequence[Argument]]) -> list[Reply]:
        """Send many commands at once and return their replies; errors are among them as values."""
        if not commands:
            return []
        self.send(b"".join(pack(*words) for words in commands))
        return await self.replies(len(commands))

    def send(self, data: bytes) -> None:
        """Hand bytes to the socket; they are buffered without limit until ``drain`` or ``replies``."""
        self._writer.write(data)

    async def send_all(self, *parts: bytes) -> None:
        """Send parts as one; much of it goes out piece by piece, so that it is not held in memory again and again.

        Raises Unreachable.
        """
        if sum(len(part) for part in parts) <= SEND_AT_ONCE:
            self.send(b"".join(parts))
            return
        for part in parts:
            for place in range(0, len(part), SEND_AT_ONCE):
                self.send(part[place : place + SEND_AT_ONCE])
                await self.drain()

    async def send_pieces(self, *parts: Iterable[bytes]) -> None:
        """Send what is made piece by piece, in a thread, since that may take a disk's time. Raises Unreachable."""
        pieces = chain(*parts)
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            await self.send_all(piece)
            await self.drain()

    async def drain(self) -> None:
        """Wait until the socket has taken most of what was sent."""
        try:
            async with asyncio.timeout(self._timeout):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise Unreachable(f"{self.where}: {_reason(error)}") from error

    async def replies(self, count: int) -> list[Reply]:
        """The next replies, errors among them as values. Raises Unreachable."""
        found: list[Reply] = []
        while True:
            while len(found) < count:
                try:
                    reply = self._parser.gets()
                except hiredis.ProtocolError as error:
                    raise Unreachable(f"{self.where}: not a Redis server, or bytes were lost: {error}") from error
                if reply is False:
                    break
                found.append(reply)
            if len(found) >= count:
                return found
            self._parser.feed(await self.read(READ_SIZE))

    async def count_replies(self, count: int, last_bytes: int) -> tuple[ReplyCounter, bytes]:
        """Take in so many replies, keeping only the errors among them, and the last bytes as they came.

        Far cheaper than ``replies`` where almost all are ``QUEUED`` and ``OK``. Raises Unreachable.
        """
        counter, last = reply_counter(), b""
        while counter.complete < count:
            data = await self.read(READ_SIZE)
            try:
                counter.feed(data)
            except BadData as error:
                raise Unreachable(f"{self.where}: {error.message}") from error
            last = (last + data)[-last_bytes:]
        return counter, last

    async def read(self, most: int, timeout: float | None = None) -> bytes:
        """Some raw bytes, at least one. Raises Unreachable at the end of the stream or after the timeout (s).

        While what was sent before is still going out, the time begins anew: nobody answers what he has not got.
        """
        limit = timeout or self._timeout
        while True:
            unsent = self._writer.transport.get_write_buffer_size()
            try:
                async with asyncio.timeout(limit):
                    data = await self._reader.read(most)
                break
            except TimeoutError as error:
                if self._writer.transport.get_write_buffer_size() >= unsent:
                    raise Unreachable(f"{self.where}: no answer for {limit:g} s") from error
            except (OSError, ssl.SSLError) as error:
                raise Unreachable(f"{self.where}: {_reason(error)}") from error
        if not data:
            raise Unreachable(f"{self.where}: the server closed the connection")
        return data

    async def line(self, timeout: float | None = None) -> bytes:
        """One raw line without its end. Only before anything else was read with ``replies``."""
        try:
            async with asyncio.timeout(timeout or self._timeout):
                line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            raise Unreachable(f"{self.where}: the server closed the connection") from error
        except (OSError, TimeoutError, ssl.SSLError, asyncio.LimitOverrunError) as error:
            raise Unreachable(f"{self.where}: {_reason(error)}") from error
        return line.rstrip(b"\r\n")

    async def close(self) -> None:
        """Close it; what was not sent is dropped."""
        self._writer.transport.abort()
        try:
            await self._writer.wait_closed()
        except (OSError, ssl.SSLError):
            pass  # it was broken already

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__


def _without(text: str, secret: str) -> str:
    return text.replace(secret, "***") if secret else text


def info(text: bytes) -> dict[str, str]:
    """What INFO answers, as a dictionary."""
    lines = (line.partition(":") for line in text.decode("utf-8", "replace").splitlines())
    return {key: value for key, colon, value in lines if colon}
