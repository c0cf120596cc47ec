"""The misbehaving proxy misbehaves as told."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from tests.effort import PATIENCE
from tests.servers.proxy import Proxy, proxy


@pytest.fixture
def echo() -> Iterator[Proxy]:
    """A proxy in front of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=_serve_echo, args=(door,), daemon=True).start()
        with proxy(*door.getsockname()) as way:
            yield way


def _serve_echo(door: socket.socket) -> None:
    while True:
        try:
            peer, _ = door.accept()
        except OSError:
            return
        threading.Thread(target=_echo, args=(peer,), daemon=True).start()


def _echo(peer: socket.socket) -> None:
    with peer:
        try:
            while piece := peer.recv(65_536):
                peer.sendall(piece)
        except OSError:
            return


def connect(way: Proxy) -> socket.socket:
    return socket.create_connection((way.host, way.port), timeout=PATIENCE)


def read_all(sock: socket.socket) -> int:
    total = 0
    try:
        while piece := sock.recv(65_536):
            total += len(piece)
    except ConnectionResetError:
        pass
    return total


def test_bytes_go_through_both_ways(echo: Proxy) -> None:
    with connect(echo) as sock:
        sock.sendall(b"hello")
        assert sock.recv(10) == b"hello"
    assert (echo.moved("to_server"), echo.moved("to_client")) == (5, 5)


def test_an_end_of_input_is_passed_on(echo: Proxy) -> None:
    with connect(echo) as sock:
        sock.sendall(b"x" * 300_000)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == 300_000


def test_a_cut_lets_exactly_so_many_bytes_through(echo: Proxy) -> None:
    echo.cut(after=7, direction="to_server")
    with connect(echo) as sock:
        sock.sendall(b"x" * 20)
        assert read_all(sock) <= 7
    assert echo.moved("to_server") == 7
    with connect(echo) as sock:
        sock.sendall(b"again")
        assert sock.recv(10) == b"again"


def test_a_stall_keeps_the_connection_and_ends_with_flow(echo: Proxy) -> None:
    with connect(echo) as sock:
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        echo.stall()
        sock.sendall(b"b")
        sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            sock.recv(1)
        echo.flow()
        sock.settimeout(PATIENCE)
        assert sock.recv(1) == b"b"


def test_refused_until_accepted_again_on_the_same_port(echo: Proxy) -> None:
    port = echo.port
    echo.refuse()
    with pytest.raises(ConnectionRefusedError):
        connect(echo)
    echo.accept()
    assert echo.port == port
    with connect(echo) as sock:
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"


def test_drop_resets_what_is_open(echo: Proxy) -> None:
    with connect(echo) as sock:
        sock.sendall(b"a")
        assert sock.recv(1) == b"a"
        echo.drop()
        assert read_all(sock) == 0


def test_a_limit_slows_down(echo: Proxy) -> None:
    echo.limit(100_000)
    began = time.monotonic()
    with connect(echo) as sock:
        sock.sendall(b"x" * 30_000)
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock) == 30_000
    assert time.monotonic() - began > 0.2
