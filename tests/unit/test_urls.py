"""A URL becomes an endpoint, and a mistake in one repeats no password."""

from pathlib import Path

import pytest

from sterna.cli.migrate import command_to_go_on
from sterna.cli.plans import Chosen, Manner, plan_of
from sterna.cli.urls import read_url, without_password
from sterna.core.errors import Invalid
from sterna.core.plan import Rename, Tls


@pytest.mark.parametrize(
    ("text", "user", "password", "addresses", "database"),
    [
        ("redis://h", "", "", (("h", 6379),), None),
        ("redis://h/", "", "", (("h", 6379),), None),
        ("REDIS://h:7000/0", "", "", (("h", 7000),), 0),
        ("valkey://h:1/15", "", "", (("h", 1),), 15),
        ("redis://:pass@h:1", "", "pass", (("h", 1),), None),
        ("redis://user:pass@h:1/3", "user", "pass", (("h", 1),), 3),
        ("redis://user@h:1", "user", "", (("h", 1),), None),
        ("redis://us%3Aer:p%40s%2Fs%25@h:1", "us:er", "p@s/s%", (("h", 1),), None),
        ("redis://:p@ss:word@h:1", "", "p@ss:word", (("h", 1),), None),
        ("redis://:p%C3%A4ss@h", "", "päss", (("h", 6379),), None),
        ("redis://a:1,b:2,c", "", "", (("a", 1), ("b", 2), ("c", 6379)), None),
        ("redis://[::1]:7000/1", "", "", (("::1", 7000),), 1),
        ("redis://[fe80::1%eth0],[::2]:5", "", "", (("fe80::1%eth0", 6379), ("::2", 5)), None),
        ("redis://h?db=4", "", "", (("h", 6379),), 4),
    ],
)
def test_a_url_names_a_server(
    text: str, user: str, password: str, addresses: tuple[tuple[str, int], ...], database: int | None
) -> None:
    location = read_url(text, "source")
    assert location.endpoint.engine == "redis"
    assert (location.endpoint.user, location.endpoint.password) == (user, password)
    assert location.endpoint.addresses == addresses
    assert location.endpoint.tls is None
    assert location.database == database


def test_tls_schemes_verify_unless_told_otherwise() -> None:
    assert read_url("rediss://h", "source").endpoint.tls == Tls()
    assert read_url("valkeys://h?ssl_cert_reqs=none", "source").endpoint.tls == Tls(verify=False)
    with_files = read_url("rediss://h/2?ssl_ca_certs=%2Fca.pem&ssl_certfile=c&ssl_keyfile=k", "source")
    assert with_files.endpoint.tls == Tls(ca_file="/ca.pem", cert_file="c", key_file="k")
    assert with_files.database == 2


def test_the_password_of_the_environment_counts_where_the_url_has_none() -> None:
    assert read_url("redis://u@h", "source", "env").endpoint.password == "env"
    assert read_url("redis://:own@h", "source", "env").endpoint.password == "own"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "h:6379",
        "http://s3cret@h",
        "s3cret",
        "redis://",
        "redis://:s3cret",
        "redis://:s3cret/x@h:1",
        "redis://:s3cret?x@h:1",
        "redis://:s3cret%zz@h",
        "redis://:s3cret%ff@h",
        "redis://u:p@h:0",
        "redis://u:p@h:65536",
        "redis://h:1/s3cret",
        "redis://h:1/-1",
        "redis://h:1/1/2",
        "redis://h:1?s3cret=1",
        "redis://h:1?ssl_cert_reqs=none",
        "rediss://h:1?ssl_cert_reqs=s3cret",
        "rediss://h:1?ssl_keyfile=s3cret",
        "redis://h:1,,h:2",
        "redis://::1:6379",
    ],
)
def test_a_mistake_is_refused_without_repeating_anything(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_url(text, "target")
    assert refused.value.field == "target"
    assert "target" in refused.value.message
    assert "s3cret" not in refused.value.message + refused.value.hint + repr(refused.value)


def test_the_database_in_the_urls_selects_and_maps() -> None:
    plan = plan_of("redis://a/3", "redis://b", Chosen(), Manner(), {})
    assert (plan.selection.only, plan.selection.renames) == (("3",), ())
    plan = plan_of("redis://a/3", "redis://b/5", Chosen(), Manner(), {})
    assert (plan.selection.only, plan.selection.renames) == (("3",), (Rename("3", "5"),))
    plan = plan_of("redis://a", "redis://b/0", Chosen(), Manner(), {})
    assert (plan.selection.only, plan.selection.renames) == ((), (Rename("*", "0"),))
    plan = plan_of("redis://a", "redis://b", Chosen(source_database=0), Manner(), {})
    assert (plan.selection.only, plan.selection.renames) == (("0",), ())


def test_the_url_and_the_option_may_not_name_two_databases() -> None:
    with pytest.raises(Invalid, match="--source-db"):
        plan_of("redis://a/3", "redis://b", Chosen(source_database=4), Manner(), {})


def test_limits_prefixes_and_passwords_reach_the_plan() -> None:
    environ = {"STERNA_SOURCE_PASSWORD": "from", "STERNA_TARGET_PASSWORD": "to"}
    chosen = Chosen(include=["a:", "b:"], exclude=["a:x"])
    plan = plan_of("redis://a", "redis://b", chosen, Manner(limit_mb=1.5, replay_flush=True), environ)
    assert (plan.source.password, plan.target.password) == ("from", "to")
    assert plan.selection.rows.include == ("a:", "b:")
    assert plan.selection.rows.exclude == ("a:x",)
    assert plan.pace.copy_bytes_per_s == plan.pace.follow_bytes_per_s == 1572864
    assert plan.options == {"replay_flush": "yes"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("redis://u:p@h:1/2", "redis://u@h:1/2"),
        ("redis://:p@h:1", "redis://h:1"),
        ("redis://h:1", "redis://h:1"),
        ("redis://:p@x@h", "redis://h"),
    ],
)
def test_a_url_can_be_shown_without_its_password(text: str, shown: str) -> None:
    assert without_password(text) == shown


def test_the_command_to_go_on_has_no_password_and_does_not_restart(tmp_path: Path) -> None:
    typed = ["migrate", "redis://:s3cret@a", "rediss://u:s3cret@b/1", "--restart", "--state", f"{tmp_path}/a b"]
    assert command_to_go_on(typed) == f"sterna migrate redis://a rediss://u@b/1 --state '{tmp_path}/a b'"
