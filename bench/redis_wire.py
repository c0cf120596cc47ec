"""Redis protocol by the megabyte: commands packed once, sent as they are, answers switched off."""

import socket
from collections.abc import Iterable, Sequence

from tests.servers.redis import Server

Word = bytes | str | int


def pack(words: Sequence[Word]) -> bytes:
    """One command as the server takes it."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded)


class Line:
    """A bare connection."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=600)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def exchange(self, packed: bytes) -> bytes:
        """Send one command and return its answer, which must come in one piece (a short one does)."""
        self._socket.sendall(packed)
        return self._socket.recv(4096)

    def mute(self) -> None:
        """No answers from now on."""
        self._socket.sendall(pack(["CLIENT", "REPLY", "OFF"]))

    def send(self, packed: bytes) -> None:
        """Send commands whose answers are switched off."""
        self._socket.sendall(packed)

    def settle(self) -> None:
        """Wait until the server has done everything that was sent; answers are on again."""
        answer = self.exchange(pack(["CLIENT", "REPLY", "ON"]))
        assert answer == b"+OK\r\n", answer


def pour(server: Server, blobs: Iterable[bytes]) -> None:
    """Send packed commands as fast as the server takes them, and return when it has done them all."""
    with Line(server.host, server.port) as line:
        line.mute()
        for blob in blobs:
            line.send(blob)
        line.settle()
