"""Settings come from four places, and say which."""

import dataclasses
from pathlib import Path

import pytest

from sterna.core.errors import Invalid
from sterna.settings import Settings, is_loopback, load, refuse_open_door, split_address, without_userinfo


def test_the_defaults_need_nothing_and_stay_on_this_machine(tmp_path: Path) -> None:
    settings = load({}, {"HOME": str(tmp_path)}).settings
    assert settings.data == tmp_path / ".local/share/sterna"
    assert settings.store_url == str(settings.data / "sterna.db")
    assert settings.key_path == settings.data / "encryption.key"
    assert is_loopback(settings.address[0])
    refuse_open_door(settings)


def test_the_command_line_wins_over_the_environment_over_the_file(tmp_path: Path) -> None:
    (tmp_path / "sterna.toml").write_text('listen = "127.0.0.1:1"\nbody_limit = "2MiB"\ntoken_hours = 3\n')
    loaded = load(
        {"data": tmp_path, "listen": "127.0.0.1:3"},
        {"STERNA_LISTEN": "127.0.0.1:2", "STERNA_BODY_LIMIT": "64K", "STERNA_TLS_CERT": ""},
    )
    assert loaded.settings.listen == "127.0.0.1:3"
    assert loaded.settings.body_limit == 65536
    assert loaded.settings.token_hours == 3
    origins = {each.name: each.origin for each in loaded.table}
    assert origins["listen"] == "command line"
    assert origins["body_limit"] == "environment"
    assert origins["token_hours"] == str(tmp_path / "sterna.toml")
    assert origins["store"] == "default"


def test_the_table_lists_every_setting_with_its_name_in_the_environment(tmp_path: Path) -> None:
    table = load({"data": tmp_path}, {}).table
    assert [each.name for each in table] == [field.name for field in dataclasses.fields(Settings)]
    assert all(each.env == f"STERNA_{each.name.upper()}" and each.text for each in table)


def test_paths_in_the_file_start_at_its_folder(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text('data = "here"\nkey_file = "/abs/key"\nstore = "db/jobs.db"\n')
    settings = load({"config": tmp_path / "other.toml"}, {}).settings
    assert settings.data == tmp_path / "here"
    assert settings.key_file == Path("/abs/key")
    assert settings.store_url == str(tmp_path / "db/jobs.db")


def test_the_file_can_be_named_in_the_environment(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text("stop_wait = 3\n")
    assert load({}, {"STERNA_CONFIG": str(tmp_path / "x.toml")}).settings.stop_wait == 3


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("nonsense = 1", "nonsense"),
        ("listen = 80", "listen"),
        ("= 1", "cannot be read"),
        ("insecure = 3", "insecure"),
    ],
)
def test_a_file_with_a_mistake_is_refused_by_name(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "sterna.toml").write_text(text)
    with pytest.raises(Invalid, match=word):
        load({"data": tmp_path}, {})


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no file"):
        load({"config": tmp_path / "none.toml"}, {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LISTEN", "8480"),
        ("LISTEN", "::1:80"),
        ("LISTEN", "host:99999"),
        ("BODY_LIMIT", "-1"),
        ("BODY_LIMIT", "1X"),
        ("CLOCK_WINDOW", "soon"),
        ("TOKEN_HOURS", "0"),
        ("INSECURE", "perhaps"),
        ("LOG_LEVEL", "loud"),
        ("PUBLIC_URL", "sterna.example.org"),
        ("PUBLIC_URL", "https://user:pass@host"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(Invalid, match=f"STERNA_{name}"):
        load({}, {f"STERNA_{name}": value})


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("64K", 65536), ("1MiB", 1 << 20), ("20 GB", 20 << 30), ("0", 0)]
)
def test_sizes_have_units(text: str, size: int) -> None:
    assert load({"spool_limit": text}, {}).settings.spool_limit == size


def test_addresses_may_be_ipv6() -> None:
    assert split_address("[::1]:8480") == ("::1", 8480)
    assert split_address("host.example:1") == ("host.example", 1)


@pytest.mark.parametrize("listen", ["0.0.0.0:80", "[::]:80", "192.0.2.1:80", "example.org:80"])
def test_the_door_is_not_opened_without_tls(listen: str) -> None:
    with pytest.raises(Invalid, match="no TLS") as refused:
        refuse_open_door(load({"listen": listen}, {}).settings)
    assert "--insecure" in refused.value.hint
    refuse_open_door(load({"listen": listen, "insecure": True}, {}).settings)
    refuse_open_door(load({"listen": listen, "tls_cert": "c.pem", "tls_key": "k.pem"}, {}).settings)


@pytest.mark.parametrize("listen", ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "localhost:80"])
def test_this_machine_alone_may_do_without_tls(listen: str) -> None:
    refuse_open_door(load({"listen": listen}, {}).settings)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(Invalid, match="both"):
        load({"tls_cert": "c.pem"}, {})


def test_a_password_in_the_stores_url_is_not_shown() -> None:
    loaded = load({"store": "postgresql://sterna:geheim@db/sterna"}, {})
    shown = next(each for each in loaded.table if each.name == "store").shown
    assert shown == "postgresql://***@db/sterna"
    assert loaded.settings.store_url == "postgresql://sterna:geheim@db/sterna"


@pytest.mark.parametrize("text", ["redis://u:p@h", "redis://:p@h:1/0", "postgresql+psycopg://u:p@ss@h/db"])
def test_userinfo_disappears_from_texts(text: str) -> None:
    assert "p@" not in without_userinfo(f"cannot reach {text} now")
    assert without_userinfo("redis://h:1/0") == "redis://h:1/0"


def test_a_child_process_gets_the_same_settings(tmp_path: Path) -> None:
    given = {
        "data": tmp_path,
        "store": "postgresql://h/db",
        "insecure": True,
        "listen": "0.0.0.0:1",
        "body_limit": "2K",
    }
    settings = load(given, {}).settings
    assert load({}, settings.environment()).settings == settings
