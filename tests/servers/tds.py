"""A TDS server of the tests' own. It is a stand-in, and no SQL Server: what it answers comes from a small model.

It speaks [MS-TDS] 7.4 as far as python-tds does: PRELOGIN with or without TLS, LOGIN7, SQL batches,
sp_executesql, attention; row sets, INFO and ERROR messages, DONE. Written by the open specification.

    with serving(Model(...)) as server: ...    # server.port; server.stop() and start() are a crash and its end
"""

import datetime
import itertools
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol
from uuid import UUID

from tests.effort import PATIENCE
from tests.servers.redis import free_port

HOST = "127.0.0.1"
BATCH, RPC, REPLY, ATTENTION, LOGIN7, PRELOGIN = 1, 3, 4, 6, 16, 18
MORE, ERROR, COUNT, ATTN = 1, 2, 0x10, 0x20
OFF, ON, NOT_SUPPORTED, REQUIRED = 0, 1, 2, 3
SIZE = 4096
_NUMBERS = itertools.count(51)
NO_COLLATION = bytes(5)
Value = str | int | bool | Decimal | UUID | datetime.datetime | None
Rows = Sequence[Mapping[str, Value]]


@dataclass(frozen=True)
class Kind:
    """A column and its type."""

    name: str
    type: str = "nvarchar"
    """nvarchar, int, lsn (numeric(25,0)), guid, bit, datetime."""


class SqlError(Exception):
    """What a statement ends with: messages as (number, severity, text)."""

    def __init__(self, *messages: tuple[int, int, str]) -> None:
        super().__init__(str(messages))
        self.messages = messages


class Stopped(Exception):
    """The client sent an attention."""


class Gone(Exception):
    """The connection is closed."""


class Talk(Protocol):
    """What a statement may do while it runs."""

    session: int
    """Which connection it came by."""

    def info(self, number: int, text: str) -> None:
        """Send a message at once. Raises Stopped where the client wants an end, Gone where it is away."""
        ...

    def check(self) -> None:
        """Raises Stopped, Gone."""
        ...


class Answers(Protocol):
    """What is behind the protocol."""

    def log_in(self, user: str, password: str) -> None:
        """Raises SqlError."""
        ...

    def execute(self, text: str, values: Mapping[str, Value], talk: Talk) -> tuple[Sequence[Kind], Rows] | None:
        """A row set, or none. Raises SqlError, and lets Stopped and Gone through."""
        ...

    def log_out(self, session: int) -> None:
        """A connection has ended."""
        ...


@dataclass
class TdsServer:
    """Made by ``serving``."""

    model: Answers
    tls: ssl.SSLContext | None = None
    must_encrypt: bool = False
    host: str = HOST
    port: int = 0
    logins: list[tuple[str, bool]] = field(default_factory=list)
    """Users that came, and whether encrypted."""
    _listener: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        self.port = self.port or free_port()  # one of the kernel's choice others could take while it is closed
        listener = socket.create_server((self.host, self.port))
        self._listener = listener
        self._run(lambda: self._accept(listener))

    def stop(self) -> None:
        """Everything breaks at once, as in a crash."""
        listener, self._listener = self._listener, None
        if listener:
            with suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for number, thread in enumerate(self._threads):  # the first one took the connections in
            if number == 1:
                self._break()
            thread.join(PATIENCE)
            assert not thread.is_alive(), "a connection of the stand-in does not end"
        self._threads.clear()

    def _break(self) -> None:
        for each in list(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._open.add(connection)
                self._run(lambda it=connection: self._serve(it))  # type: ignore[misc]

    def _serve(self, connection: socket.socket) -> None:
        session = _Session(self, connection)
        try:
            session.run()
        except (Gone, OSError, ssl.SSLError):
            pass  # the client's own affair
        finally:
            self.model.log_out(session.session)
            self._open.discard(connection)
            connection.close()


@contextmanager
def serving(
    model: Answers, *, tls: ssl.SSLContext | None = None, must_encrypt: bool = False, host: str = HOST
) -> Iterator[TdsServer]:
    server = TdsServer(model, tls, must_encrypt, host)
    server.start()
    try:
        yield server
    finally:
        server.stop()


class _Session:
    """One connection."""

    def __init__(self, server: TdsServer, connection: socket.socket) -> None:
        self.session = next(_NUMBERS)
        self._server = server
        self._socket = connection
        self._secure: ssl.SSLObject | None = None
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._buffer = b""
        self._out = b""

    def run(self) -> None:
        self._prelogin()
        if not self._log_in():
            return
        while True:
            kind, data = self._message()
            if kind == ATTENTION:
                self._send(done(ATTN))
            elif kind in (BATCH, RPC):
                self._request(kind, data)

    # Talk

    def info(self, number: int, text: str) -> None:
        self._send(message(0xAB, number, 0, text), last=False)
        self.check()

    def check(self) -> None:
        readable, _, _ = select.select([self._socket], [], [], 0)
        if self._buffer or readable:
            kind, _ = self._message()
            if kind == ATTENTION:
                raise Stopped

    # The steps of a connection

    def _prelogin(self) -> None:
        _, data = self._message()
        wanted = option(data, 1, NOT_SUPPORTED)
        server = self._server
        if server.tls is None:
            answer = NOT_SUPPORTED
        elif wanted == NOT_SUPPORTED:
            answer = REQUIRED if server.must_encrypt else NOT_SUPPORTED
        else:
            answer = ON
        self._send(prelogin(answer))
        if server.tls is not None and answer == ON:
            self._handshake(server.tls)

    def _handshake(self, context: ssl.SSLContext) -> None:
        session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush_handshake()
                kind, data = self._message()
                assert kind == PRELOGIN, "the handshake is inside PRELOGIN"
                self._incoming.write(data)
        self._flush_handshake()
        self._secure = session

    def _flush_handshake(self) -> None:
        if data := self._outgoing.read():
            self._socket.sendall(packets(PRELOGIN, data))

    def _log_in(self) -> bool:
        kind, data = self._message()
        assert kind == LOGIN7
        user, password = login_of(data)
        self._server.logins.append((user, self._secure is not None))
        try:
            self._server.model.log_in(user, password)
        except SqlError as error:
            self._send(errors(error) + done(ERROR))
            return False
        self._send(environment(1, "master", "master") + environment(4, str(SIZE), str(SIZE)) + LOGIN_ACK + done())
        return True

    def _request(self, kind: int, data: bytes) -> None:
        (length,) = struct.unpack_from("<I", data)
        body = data[length:]
        text, values = (body.decode("utf-16-le"), {}) if kind == BATCH else executesql(body)
        end = (lambda *a: done(*a)) if kind == BATCH else in_procedure
        try:
            found = self._server.model.execute(text, values, self)
        except SqlError as error:
            self._send(errors(error) + end(ERROR))
            return
        except Stopped:
            self._send(done(ATTN))
            return
        self._send(end(0) if found is None else row_set(*found) + end(COUNT, len(found[1])))

    # Bytes

    def _message(self) -> tuple[int, bytes]:
        data = b""
        while True:
            head = self._exactly(8)
            kind, status, length = struct.unpack_from(">BBH", head)
            data += self._exactly(length - 8)
            if status & 1:
                return kind, data

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            piece = self._receive()
            if not piece:
                raise Gone
            self._buffer += piece
        taken, self._buffer = self._buffer[:size], self._buffer[size:]
        return taken

    def _receive(self) -> bytes:
        if self._secure is None:
            return self._socket.recv(65_536)
        while True:
            try:
                return self._secure.read(65_536)
            except ssl.SSLWantReadError:
                data = self._socket.recv(65_536)
                if not data:
                    return b""
                self._incoming.write(data)

    def _send(self, data: bytes, *, last: bool = True) -> None:
        whole = packets(REPLY, data, last=last)
        if self._secure is not None:
            self._secure.write(whole)
            whole = self._outgoing.read()
        try:
            self._socket.sendall(whole)
        except OSError as error:
            raise Gone from error


def packets(kind: int, data: bytes, *, last: bool = True) -> bytes:
    out = b""
    for start in range(0, len(data) or 1, SIZE - 8):
        piece = data[start : start + SIZE - 8]
        final = last and start + len(piece) >= len(data)
        out += struct.pack(">BBHHBB", kind, int(final), 8 + len(piece), 51, 1, 0) + piece
    return out


def option(data: bytes, kind: int, other: int) -> int:
    for at in range(0, len(data), 5):
        if data[at] == 0xFF:
            break
        if data[at] == kind:
            return data[int(struct.unpack_from(">H", data, at + 1)[0])]
    return other


def prelogin(encryption: int) -> bytes:
    values = {0: struct.pack(">BBHH", 16, 0, 4135, 0), 1: bytes([encryption]), 2: b"\0", 3: b"", 4: b"\0"}
    at, table, tail = 5 * len(values) + 1, b"", b""
    for kind, value in values.items():
        table += struct.pack(">BHH", kind, at + len(tail), len(value))
        tail += value
    return table + b"\xff" + tail


def login_of(data: bytes) -> tuple[str, str]:
    def at(place: int) -> bytes:
        start, length = struct.unpack_from("<HH", data, place)
        return data[start : start + length * 2]

    clear = bytes(((byte ^ 0xA5) << 4 | (byte ^ 0xA5) >> 4) & 0xFF for byte in at(44))
    return at(40).decode("utf-16-le"), clear.decode("utf-16-le")


def short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("utf-16-le")


def environment(kind: int, new: str, old: str) -> bytes:
    body = bytes([kind]) + short(new) + short(old)
    return b"\xe3" + struct.pack("<H", len(body)) + body


_ACK = b"\x01" + struct.pack(">I", 0x74000004) + short("Stand-in, no SQL Server") + bytes([16, 0, 16, 39])
LOGIN_ACK = b"\xad" + struct.pack("<H", len(_ACK)) + _ACK


def message(token: int, number: int, severity: int, text: str) -> bytes:
    words = text.encode("utf-16-le")
    body = struct.pack("<iBB", number, 1, severity) + struct.pack("<H", len(words) // 2) + words
    body += short("STANDIN") + short("") + struct.pack("<I", 1)
    return bytes([token]) + struct.pack("<H", len(body)) + body


def errors(error: SqlError) -> bytes:
    return b"".join(message(0xAA if level > 10 else 0xAB, no, level, text) for no, level, text in error.messages)


def done(status: int = 0, rows: int = 0, token: int = 0xFD) -> bytes:
    return struct.pack("<BHHQ", token, status, 0xC1, rows)


def in_procedure(status: int, rows: int = 0) -> bytes:
    """How a call of sp_executesql ends."""
    inner = done(status | MORE, rows, 0xFF)
    return inner + b"\x79" + struct.pack("<i", int(bool(status & ERROR))) + done(status & ERROR, 0, 0xFE)


def row_set(kinds: Sequence[Kind], rows: Rows) -> bytes:
    out = b"\x81" + struct.pack("<H", len(kinds))
    for kind in kinds:
        out += struct.pack("<IH", 0, 9) + TYPES[kind.type] + short(kind.name)
    for row in rows:
        out += b"\xd1" + b"".join(cell(kind.type, row.get(kind.name)) for kind in kinds)
    return out


TYPES = {
    "nvarchar": b"\xe7" + struct.pack("<H", 8000) + NO_COLLATION,
    "int": b"\x26\x08",
    "lsn": b"\x6c\x0d\x19\x00",
    "guid": b"\x24\x10",
    "bit": b"\x68\x01",
    "datetime": b"\x6f\x08",
}


def cell(kind: str, value: Value) -> bytes:
    if kind == "nvarchar":
        if value is None:
            return b"\xff\xff"
        words = str(value).encode("utf-16-le")
        return struct.pack("<H", len(words)) + words
    if value is None:
        return b"\0"
    if kind == "int":
        assert isinstance(value, int)
        return b"\x08" + struct.pack("<q", value)
    if kind == "lsn":
        assert isinstance(value, int)
        return b"\x0d\x01" + value.to_bytes(12, "little")
    if kind == "guid":
        assert isinstance(value, UUID)
        return b"\x10" + value.bytes_le
    if kind == "bit":
        return b"\x01" + bytes([int(bool(value))])
    assert isinstance(value, datetime.datetime)
    since = value - datetime.datetime(1900, 1, 1)
    return b"\x08" + struct.pack("<iI", since.days, since.seconds * 300)


def executesql(body: bytes) -> tuple[str, dict[str, Value]]:
    """The statement of a call of sp_executesql, and its values by their names."""
    marker, number = struct.unpack_from("<HH", body)
    assert (marker, number) == (0xFFFF, 10), "only sp_executesql is called here"
    at, found = 6, []
    while at < len(body):
        length = body[at]
        name = body[at + 1 : at + 1 + 2 * length].decode("utf-16-le")
        at, value = parameter(body, at + 2 + 2 * length)
        found.append((name, value))
    return str(found[0][1]), dict(found[2:])


def parameter(body: bytes, at: int) -> tuple[int, Value]:
    kind = body[at]
    if kind == 0xE7:
        (largest,) = struct.unpack_from("<H", body, at + 1)
        at += 8
        if largest == 0xFFFF:
            return pieces(body, at)
        (length,) = struct.unpack_from("<H", body, at)
        if length == 0xFFFF:
            return at + 2, None
        return at + 2 + length, body[at + 2 : at + 2 + length].decode("utf-16-le")
    assert kind == 0x26, f"a parameter of type {kind:x}"
    length = body[at + 2]
    return at + 3 + length, int.from_bytes(body[at + 3 : at + 3 + length], "little", signed=True)


def pieces(body: bytes, at: int) -> tuple[int, str]:
    """A text of no fixed length: its size, pieces, and an empty one."""
    at += 8
    data = b""
    while True:
        (length,) = struct.unpack_from("<I", body, at)
        at += 4
        if not length:
            return at, data.decode("utf-16-le")
        data += body[at : at + length]
        at += length
