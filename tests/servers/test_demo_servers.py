"""The demonstration's own servers."""

import socket
from pathlib import Path

import pytest
import redis

from sterna.cli import demo_servers
from sterna.cli.demo_servers import valkey
from sterna.core.errors import Unreachable, Unsupported

pytestmark = pytest.mark.server


@pytest.fixture
def program() -> Path:
    try:
        return demo_servers.find_program()
    except Unsupported as reason:
        pytest.skip(str(reason))


@pytest.mark.usefixtures("program")
def test_two_servers_run_side_by_side_and_end_with_their_blocks(tmp_path: Path) -> None:
    with valkey(tmp_path / "one") as one, valkey(tmp_path / "other") as other:
        for port, value in ((one, b"1"), (other, b"2")):
            with redis.Redis(port=port) as client:
                client.set("a", value)
                assert client.get("a") == value
    for port in (one, other):
        with pytest.raises(redis.ConnectionError), redis.Redis(port=port) as client:
            client.ping()


def test_a_program_that_ends_at_once_is_an_error_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "valkey-server"
    fake.write_text("#!/bin/sh\necho cannot do that; exit 1\n")
    fake.chmod(0o755)
    monkeypatch.setattr(demo_servers, "find_program", lambda: fake)
    with pytest.raises(Unreachable, match="cannot do that"), valkey(tmp_path):
        pass


def test_a_port_that_somebody_took_first_is_not_insisted_on(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = demo_servers.free_port
    with socket.create_server((demo_servers.HOST, 0)) as taken:
        ports = iter([taken.getsockname()[1]])
        monkeypatch.setattr(demo_servers, "free_port", lambda: next(ports, None) or free())
        with valkey(tmp_path) as port, redis.Redis(port=port) as client:
            assert client.ping()
            assert port != taken.getsockname()[1]


def test_without_a_program_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(Unsupported) as caught:
        demo_servers.find_program()
    assert "sterna[demo]" in caught.value.hint
