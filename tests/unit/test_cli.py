"""Every command and option says what it does, and what cannot be met is refused in one clear line."""

import asyncio
import json
from pathlib import Path

import pytest

from sterna.cli.app import run
from sterna.cli.checks import comparison_facts, print_comparison, print_remedies
from sterna.cli.context import Tools
from sterna.cli.exits import MEANING, ExitCode, exit_code_of
from sterna.cli.init import Names, first_things
from sterna.cli.logs import clean_text, redact
from sterna.cli.output import bytes_of, span_of, time_of
from sterna.cli.reference import commands, reference
from sterna.core import errors
from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Difference
from sterna.core.errors import Trouble
from sterna.core.job import Wish
from sterna.core.stores import Store
from sterna.main import engines, serve, work
from sterna.settings import Settings
from sterna.store.memory import MemoryStore
from tests.contract.stores import a_job

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
        (("migrate", "redis://a", "redis://b", "--table", "public.t"), "--table is for PostgreSQL"),
        (("check", "postgresql://a", "postgresql://b", "--source-db", "1"), "--source-db is for Redis"),
        (("compare", "redis://a", "redis://b", "--repair", "--depth", "rows"), "--depth"),
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


def test_a_job_that_waits_for_its_time_shows_it(
    service: tuple[Path, Tools], capsys: pytest.CaptureFixture[str]
) -> None:
    data, given = service

    async def waiting(starts_ms: int) -> str:
        store = await given.open_store("", Path())
        job = a_job(wish=Wish.RUN, asked=1, starts_ms=starts_ms)
        await store.add_job(job)
        return job.id

    asyncio.run(waiting(1))
    assert run(["job", "list", "--data", str(data)], given) == 0
    assert "STARTS" not in capsys.readouterr().out
    id = asyncio.run(waiting(4_000_000_000_000))
    assert run(["job", "list", "--data", str(data)], given) == 0
    listed = capsys.readouterr().out
    assert "STARTS" in listed
    assert "2096-10-02T07:06:40Z" in listed
    assert run(["job", "show", id, "--data", str(data), "--json"], given) == 0
    assert json.loads(capsys.readouterr().out)["starts"] == "2096-10-02T07:06:40Z"


FOUND = Comparison(
    equal=False,
    compared=13,
    differences=(
        Difference("shop.public.t (1)", "value", "b", "UPDATE t SET b = 'geheim' WHERE a = 1;"),
        Difference("shop.public.t (2)", "extra"),
    ),
    different=3,
    counts={"shop.public.t": (10, 11), "shop.public.u": (3, 3)},
    objects={"tables": (3, 2)},
    tables=(
        Compared(Name(("shop", "public", "t")), Name(("shop", "app", "t")), 10, 11, 3),
        Compared(Name(("shop", "public", "u")), Name(("shop", "app", "u")), 3, 3),
        Compared(
            Name(("shop", "public", "v")), Name(("shop", "app", "v")), 5, -1, trouble="there is no such table"
        ),
    ),
)


def test_a_comparison_of_tables_is_told_table_by_table(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(FOUND)
    assert capsys.readouterr().out.splitlines() == [
        "tables: 3 on the source, 2 on the target",
        "shop.public.t: 10 on the source, 11 on the target, 3 different",
        "shop.public.u: 3 on the source, 3 on the target",
        "shop.public.v: 5 on the source, none on the target; not compared: there is no such table",
        "value: shop.public.t (1)  b",
        "extra: shop.public.t (2)",
        "… and 1 more",
        "3 differences: 13 compared",
    ]


def test_statements_that_mend_are_printed_alone_and_only_where_asked_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_remedies(FOUND)
    out, err = capsys.readouterr()
    assert out == "UPDATE t SET b = 'geheim' WHERE a = 1;\n"
    assert "2 differences" in err
    facts = comparison_facts(FOUND)
    assert "geheim" not in json.dumps(facts)
    assert "geheim" in json.dumps(comparison_facts(FOUND, remedies=True))
    assert facts["objects"] == {"tables": {"source": 3, "target": 2}}
    tables = facts["tables"]
    assert isinstance(tables, list)
    assert [(table["name"], table["equal"], table["trouble"]) for table in tables] == [
        ("shop.public.t", False, None),
        ("shop.public.u", True, None),
        ("shop.public.v", False, "there is no such table"),
    ]


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
        if command.path not in ("sterna serve", "sterna demo"):
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
