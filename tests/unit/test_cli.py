"""Every command and option says what it does, and what cannot be met is refused in one clear line."""

import asyncio
from pathlib import Path

import pytest

from sterna.cli.app import run
from sterna.cli.context import Tools
from sterna.cli.exits import MEANING, ExitCode, exit_code_of
from sterna.cli.init import Names, first_things
from sterna.cli.logs import clean_text, redact
from sterna.cli.output import bytes_of, span_of, time_of
from sterna.cli.reference import commands, reference
from sterna.core import errors
from sterna.core.errors import Trouble
from sterna.core.ports import Store
from sterna.main import engines, serve, work
from sterna.settings import Settings
from sterna.store.memory import MemoryStore

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"


def tools(store: Store) -> Tools:
    async def open_store(url_or_path: str, key_file: Path) -> Store:
        return store

    return Tools(engines, open_store, serve, work, {})


@pytest.fixture
def service(tmp_path: Path) -> tuple[Path, Tools]:
    """A data folder, and tools whose store is in memory."""
    store = MemoryStore()
    asyncio.run(first_things(store, Names("sterna", "local-1", "admin"), "a password"))
    (tmp_path / "encryption.key").touch()
    return tmp_path, tools(store)


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("user", "add", "admin"), "taken"),
        (("user", "add", "a/b"), "slash"),
        (("user", "remove", "nobody"), "nobody"),
        (("user", "passwd", "admin", "--password-env", "UNSET"), "not set"),
        (("project", "remove", "nowhere"), "nowhere"),
        (("key", "create", "nobody"), "nobody"),
        (("key", "remove", "NONE"), "access key"),
        (("instance", "add", "--name", "a", "--address", "here"), "HOST:PORT"),
        (("instance", "add", "--name", "a", "--address", "h:1", "--engine", "oracle"), "oracle"),
        (("instance", "add", "--name", "a", "--address", "h:1", "--tls-ca", "/none"), "no file"),
        (("instance", "remove", "nothing"), "nothing"),
        (("job", "show", "0" * 32), "no job"),
        (("serve", "--listen", "0.0.0.0:0"), "no TLS"),
        (("serve", "--listen", "nonsense"), "HOST:PORT"),
        (("settings", "--config", "/none.toml"), "no file"),
        (("migrate", "redis://a", "mongodb://b"), "target"),
        (("migrate", "redis://a", "redis://b", "--mode", "full", "--cutover"), "--cutover"),
        (("migrate", "redis://a", "redis://b", "redis://:hidden@c"), "unexpected"),
        (("user", "frobnicate"), "frobnicate"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_what_cannot_be_met_is_one_clear_line(
    service: tuple[Path, Tools], capsys: pytest.CaptureFixture[str], words: tuple[str, ...], part: str
) -> None:
    data, given = service
    given = Tools(given.engines, given.open_store, given.serve, given.work, {"STERNA_DATA": str(data)})
    assert run(words, given) == 2
    out, err = capsys.readouterr()
    assert err.startswith("Error: ")
    assert part in err
    assert len(err.splitlines()) <= 2
    assert "Traceback" not in err
    assert "hidden" not in err
    assert out == ""


def test_an_unexpected_fault_says_so_and_hides_secrets(
    service: tuple[Path, Tools], capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(url_or_path: str, key_file: Path) -> Store:
        raise RuntimeError("postgresql://sterna:geheim@db refused password=geheim")

    data, _ = service
    assert run(["user", "list", "--data", str(data), "--json"], Tools(engines, broken, serve, work, {})) == 1
    out, err = capsys.readouterr()
    assert "RuntimeError" in out
    assert "geheim" not in out + err


def test_a_listing_is_a_table_or_json(service: tuple[Path, Tools], capsys: pytest.CaptureFixture[str]) -> None:
    data, given = service
    assert run(["user", "list", "--data", str(data)], given) == 0
    assert "admin" in capsys.readouterr().out
    assert run(["user", "list", "--data", str(data), "--json"], given) == 0
    assert capsys.readouterr().out.startswith('[{"id":')


def test_every_command_and_option_has_help() -> None:
    found = list(commands())
    assert len(found) > 25
    for command in found:
        assert command.text.strip(), command.path
        for parameter in command.node.params:
            assert parameter.help, f"{command.path} {parameter.name}"


def test_every_setting_is_an_option_of_serve() -> None:
    serving = next(each for each in commands() if each.path == "sterna serve")
    options = {parameter.name for parameter in serving.node.params}
    assert set(Settings.__dataclass_fields__) <= options


def test_every_command_that_prints_can_print_json() -> None:
    for command in commands():
        if command.path != "sterna serve":
            assert any("--json" in parameter.opts for parameter in command.node.params), command.path


def test_the_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "run scripts/cli_reference.py"


def test_every_error_has_an_exit_code_and_every_code_a_meaning() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Trouble)]
    assert len(kinds) > 15
    for kind in kinds:
        trouble = kind("field") if kind is errors.Invalid else kind()
        assert exit_code_of(trouble) is not ExitCode.DONE
    assert exit_code_of(errors.ChecksFailed()) == 3
    assert exit_code_of(errors.Unreachable()) == 4
    assert exit_code_of(errors.NotFound()) == 2
    assert exit_code_of(Trouble()) == 1
    assert set(MEANING) == set(ExitCode)


def test_the_log_hides_what_sounds_secret() -> None:
    event = {
        "event": "asked redis://u:geheim@h with password=geheim",
        "password": "geheim",
        "sk": "geheim",
        "X-Auth-Token": "geheim",
        "headers": {"Authorization": "geheim", "accept": "json", "list": [{"secret_key": "geheim"}]},
        "error": ValueError('{"adminPass": "x", "password": "geheim"}'),
        "host": "db.example",
        "count": 3,
    }
    cleaned = redact(None, "info", event)
    assert "geheim" not in str(cleaned)
    assert cleaned["host"] == "db.example"
    assert cleaned["count"] == 3
    assert cleaned["headers"]["accept"] == "json"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: SDK-HMAC-SHA256 Access=AK, Signature=geheim",
        "{'password': 'geheim with spaces'}",
        '"secret_key":"geheim"',
        "postgresql+psycopg://u:geheim@h/db",
        "masterauth=geheim",
        "X-Auth-Token: geheim",
        "security_token=geheim&x=1",
    ],
)
def test_a_text_loses_its_secrets(text: str) -> None:
    assert "geheim" not in clean_text(f"it said {text}\nand went")
    assert clean_text(f"it said {text}\nand went").endswith("and went")


def test_figures_are_written_for_people() -> None:
    assert [bytes_of(each) for each in (-1, 0, 1023, 1024, 5 << 30, 3 << 40)] == [
        "?",
        "0 B",
        "1023 B",
        "1.0 KiB",
        "5.0 GiB",
        "3.0 TiB",
    ]
    assert [span_of(each) for each in (-1, 0, 59.9, 61, 3661)] == ["?", "0:00", "0:59", "1:01", "1:01:01"]
    assert time_of(0) is None
    assert time_of(1_700_000_000_999) == "2023-11-14T22:13:20Z"
