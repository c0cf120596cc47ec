"""The connection under python-tds: what it takes for a socket.

The library's own TLS needs another TLS library and knows no more than a file of authorities, so TLS is done here,
by Python's own, in the way of the protocol: the handshake goes inside PRELOGIN packets ([MS-TDS] 2.2.6.5). The
library sees a connection without encryption. While it waits for an answer, the wire looks up four times a second:
that is when progress is told, and when a request to stop is passed on (attention, [MS-TDS] 2.2.1.7).
"""

import socket
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress

from sterna.core.errors import AccessDenied, Unreachable
from sterna.core.plan import Tls

ATTENTION, PRELOGIN = 6, 18
OFF, ON, NOT_SUPPORTED, REQUIRED = 0, 1, 2, 3
_ENCRYPTION, _END = 1, 0xFF
_HEADER = 8
_PACKET = 4096
_LOOK_UP = 0.25
_PIECE = 65_536
_PATIENCE = 20.0
"""Seconds within which the server must have ended what it was told to stop."""


class LoginFailed(Exception):
    """The library would sleep and try again; its error is the cause."""


class Wire:
    """One connection. Used by one thread; ``stop`` may be called from any."""

    def __init__(self, host: str, port: int, tls: Tls | None, timeout: float) -> None:
        """Raises Unreachable."""
        self._host = host
        try:
            self._socket = socket.create_connection((host, port), timeout)
        except OSError as error:
            raise Unreachable(f"{host}:{port} cannot be reached: {error.strerror or error}") from error
        _keep_alive(self._socket)
        self._socket.settimeout(_LOOK_UP)
        self._tls = tls
        self._secure: _Secure | None = None
        self._ready = b""
        self._limit: float | None = timeout
        self._stop = threading.Event()
        self._stopped_at = 0.0
        self.logged_in = False
        self.look_up: Callable[[], None] = lambda: None
        """Called now and then while an answer is awaited."""

    def stop(self) -> None:
        """Ask the server to end what it is doing; whoever waits for the answer passes it on."""
        self._stop.set()

    def cut(self) -> None:
        """End it from any thread, whatever it is doing."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    # What python-tds calls.

    def setsockopt(self, *words: int) -> None:
        """The options are set already."""

    def settimeout(self, timeout: float | None) -> None:
        """Seconds that an answer may take from its last byte; None: as long as it takes."""
        self._limit = timeout

    def gettimeout(self) -> float | None:
        return self._limit

    def sendall(self, data: bytes | bytearray, flags: int = 0) -> None:
        if self._tls is not None and self._secure is None:
            self._ready = self._negotiate(bytes(data), self._tls)
        else:
            self._send(self._secure.sealed(bytes(data)) if self._secure else bytes(data))

    def recv(self, size: int, flags: int = 0) -> bytes:
        if self._ready:
            piece, self._ready = self._ready[:size], self._ready[size:]
            return piece
        self.look_up()
        if self._secure is None:
            return self._receive(size)
        while not (piece := self._secure.opened(size)):
            data = self._receive(_PIECE)
            if not data:
                return b""
            self._secure.feed(data)
        return piece

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0, flags: int = 0) -> int:
        piece = self.recv(size or len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        """Twice is once. Raises LoginFailed where the library closes because the login failed."""
        self._socket.close()
        error = sys.exc_info()[1]
        if not self.logged_in and isinstance(error, Exception) and not isinstance(error, LoginFailed):
            self.logged_in = True
            raise LoginFailed from error

    # What it is made of.

    def _send(self, data: bytes) -> None:
        self._socket.settimeout(self._limit or _PATIENCE * 3)
        try:
            self._socket.sendall(data)
        finally:
            self._socket.settimeout(_LOOK_UP)

    def _receive(self, size: int) -> bytes:
        """What has come. Raises TimeoutError after the limit, or if the server does not stop when told to."""
        began = time.monotonic()
        while True:
            try:
                return self._socket.recv(size)
            except TimeoutError:
                self.look_up()
                self._pass_on()
                if self._limit is not None and time.monotonic() - began > self._limit:
                    raise

    def _pass_on(self) -> None:
        """The request to stop, once; then the server has a while to obey."""
        if not self._stop.is_set():
            return
        if not self._stopped_at:
            self._stopped_at = time.monotonic()
            packet = _packet(ATTENTION, b"")
            self._send(self._secure.sealed(packet) if self._secure else packet)
        elif time.monotonic() - self._stopped_at > _PATIENCE:
            raise TimeoutError("the server does not stop")

    def _negotiate(self, prelogin: bytes, tls: Tls) -> bytes:
        """The library's PRELOGIN with encryption asked for, the handshake; the answer as the library wants it."""
        self._send(prelogin[:_HEADER] + _with_encryption(prelogin[_HEADER:], ON))
        answer = self._packet()
        if _encryption(answer[_HEADER:]) not in (ON, REQUIRED):
            raise AccessDenied(
                f"{self._host} does not offer TLS",
                hint="Give the SQL Server a certificate, or turn off TLS for it.",
            )
        self._secure = _handshake(context_of(tls), self._host, self._exchange)
        return answer[:_HEADER] + _with_encryption(answer[_HEADER:], NOT_SUPPORTED)

    def _exchange(self, data: bytes) -> bytes:
        """Send a part of the handshake and get one."""
        for start in range(0, len(data), _PACKET - _HEADER):
            piece = data[start : start + _PACKET - _HEADER]
            self._send(_packet(PRELOGIN, piece, last=start + len(piece) == len(data)))
        return self._packet()[_HEADER:]

    def _packet(self) -> bytes:
        """A packet and all that belong with it."""
        head = self._exactly(_HEADER)
        whole = head + self._exactly(max(0, int.from_bytes(head[2:4], "big") - _HEADER))
        while not head[1] & 1:
            head = self._exactly(_HEADER)
            whole += self._exactly(max(0, int.from_bytes(head[2:4], "big") - _HEADER))
        return whole

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._receive(size - len(data))
            if not more:
                raise ConnectionResetError("the server closed the connection")
            data += more
        return data


class _Secure:
    """TLS over what is fed and taken, once the handshake is done."""

    def __init__(self, session: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._session = session
        self._incoming = incoming
        self._outgoing = outgoing

    def sealed(self, data: bytes) -> bytes:
        if data:
            self._session.write(data)
        return self._outgoing.read()

    def feed(self, data: bytes) -> None:
        self._incoming.write(data)

    def opened(self, size: int) -> bytes:
        """Empty: more has to be fed."""
        try:
            return self._session.read(size)
        except ssl.SSLWantReadError:
            return b""


def _handshake(context: ssl.SSLContext, host: str, exchange: Callable[[bytes], bytes]) -> _Secure:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname=host)
    while True:
        try:
            session.do_handshake()
            return _Secure(session, incoming, outgoing)
        except ssl.SSLWantReadError:
            incoming.write(exchange(outgoing.read()))


def context_of(tls: Tls) -> ssl.SSLContext:
    """TLS 1.2: this form of the protocol (TDS 7.4) has no later one. Raises AccessDenied for unusable files."""
    try:
        context = ssl.create_default_context(cafile=tls.ca_file or None, cadata=tls.authority or None)
        if tls.cert_file:
            context.load_cert_chain(tls.cert_file, tls.key_file or None)
    except (OSError, ValueError) as error:
        raise AccessDenied(f"The TLS files of the instance cannot be used: {error}") from error
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    if not tls.verify or not tls.host_name:
        context.check_hostname = False
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    return context


def _packet(kind: int, data: bytes, *, last: bool = True) -> bytes:
    return struct.pack(">BBHHBB", kind, int(last), _HEADER + len(data), 0, 1, 0) + data


def _encryption(options: bytes) -> int:
    place = _place(options)
    return options[place] if place else NOT_SUPPORTED


def _with_encryption(options: bytes, value: int) -> bytes:
    place = _place(options)
    return options[:place] + bytes([value]) + options[place + 1 :] if place else options


def _place(options: bytes) -> int:
    """Where the byte for encryption is in a PRELOGIN message; 0: it has none."""
    for at in range(0, len(options) - 4, 5):
        if options[at] == _END:
            break
        offset, length = struct.unpack_from(">HH", options, at + 1)
        if options[at] == _ENCRYPTION and length and offset < len(options):
            return int(offset)
    return 0


def _keep_alive(connection: socket.socket) -> None:
    """A restore is silent for hours; a server that is gone is noticed within a minute all the same."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 20), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
