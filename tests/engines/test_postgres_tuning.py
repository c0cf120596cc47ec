"""The settings of real servers side by side, and changes of the target's."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from sterna.core.errors import AccessDenied, Invalid
from sterna.core.plan import Endpoint, Plan
from sterna.core.ports import Parameter, Tunes
from sterna.engines.postgres.engine import PostgresEngine
from tests.servers.postgres import PostgresServer, Unavailable, running

pytestmark = pytest.mark.server

ENGINE = PostgresEngine()


def endpoint(server: PostgresServer, user: str = "postgres") -> Endpoint:
    return Endpoint("postgresql", ((server.host, server.port),), user, server.password)


@dataclass(frozen=True)
class Pair:
    source: PostgresServer
    target: PostgresServer

    @property
    def plan(self) -> Plan:
        return Plan(endpoint(self.source), endpoint(self.target))

    def seen(self) -> dict[str, Parameter]:
        return {each.name: each for each in asyncio.run(ENGINE.parameters(self.plan))}

    def set(self, **values: str) -> bool:
        return asyncio.run(ENGINE.set_parameters(self.plan, values))

    def shown(self, name: str) -> str:
        """What a new session has."""
        with self.target.connect() as connection:
            row = connection.execute(f"SELECT current_setting('{name}')").fetchone()
        assert row
        return str(row[0])


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    try:
        with running("pg15", "work_mem=8MB", "datestyle=German") as source, running("pg18") as target:
            yield Pair(source, target)
    except Unavailable as reason:
        pytest.skip(str(reason))


def test_both_sides_are_seen_as_sessions_of_others_see_them(pair: Pair) -> None:
    assert isinstance(ENGINE, Tunes)
    seen = pair.seen()
    work = seen["work_mem"]
    assert (work.source, work.target, work.unit, work.kind) == ("8192", "4096", "kB", "integer")
    assert (work.group, work.allowed, work.needs_restart) == ("performance", "64-2147483647", False)
    assert (seen["DateStyle"].source, seen["DateStyle"].target) == ("German, DMY", "ISO, MDY")
    assert seen["search_path"].source == '"$user", public'
    assert seen["lc_collate"].source == seen["lc_collate"].target == "C.UTF-8"
    assert seen["server_encoding"].allowed == seen["lc_ctype"].allowed == ""
    assert seen["bytea_output"].allowed == "escape|hex"
    assert seen["autovacuum"].allowed == "on|off"
    assert seen["shared_buffers"].needs_restart
    assert seen["statement_timeout"].target == "0"
    assert {each.group for each in seen.values()} == {"common", "performance"}


def test_a_change_counts_for_new_sessions_at_once_or_after_a_restart(pair: Pair) -> None:
    assert not pair.set(
        work_mem="12 MB", random_page_cost="1.5", bytea_output="ESCAPE", search_path='"Ü""x", Public'
    )
    assert [pair.shown(name) for name in ("work_mem", "random_page_cost", "bytea_output")] == [
        "12MB",
        "1.5",
        "escape",
    ]
    assert pair.shown("search_path") == '"Ü""x", public'
    assert pair.set(max_connections="123", work_mem="4096")
    assert (pair.shown("max_connections"), pair.shown("work_mem")) == ("100", "4MB")
    assert not pair.set(max_connections="100"), "the last word is what the server runs with"
    assert not pair.set(search_path="", bytea_output="hex", random_page_cost="4")
    assert pair.seen()["search_path"].target == '""'


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("work_mem", "63"),
        ("work_mem", "1kB"),
        ("work_mem", "9e99"),
        ("work_mem", "lots"),
        ("work_mem", "5min"),
        ("statement_timeout", "3MB"),
        ("autovacuum", "maybe"),
        ("bytea_output", "base64"),
        ("random_page_cost", "-1"),
        ("TimeZone", "Nowhere/Else"),
        ("DateStyle", "Klingon"),
        ("lc_monetary", "xx_YY"),
        ("search_path", "a\nb"),
        ("server_encoding", "LATIN1"),
        ("lc_collate", "C"),
        ("archive_command", "true"),
        ("work_mem; DROP", "1MB"),
    ],
)
def test_what_the_server_would_not_take_is_refused_and_nothing_is_changed(
    pair: Pair, name: str, value: str
) -> None:
    before = {name: each.target for name, each in pair.seen().items()}
    with pytest.raises(Invalid) as refused:
        pair.set(checkpoint_timeout="10min", **{name: value})
    assert refused.value.field == name
    assert {name: each.target for name, each in pair.seen().items()} == before


def test_quotes_in_a_value_stay_a_value(pair: Pair) -> None:
    nasty = "'; ALTER SYSTEM SET fsync = on; --"
    pair.set(search_path=f'"{nasty}"')
    assert pair.shown("search_path") == f'"{nasty}"'
    assert pair.shown("fsync") == "off"
    pair.set(search_path="public")


def test_a_user_without_the_right_is_refused_before_anything_changes(pair: Pair) -> None:
    pair.target.sql(f"CREATE ROLE plain LOGIN PASSWORD '{pair.target.password}'")
    plan = replace(pair.plan, target=endpoint(pair.target, "plain"))
    assert asyncio.run(ENGINE.parameters(plan)), "reading needs no right"
    with pytest.raises(AccessDenied, match="work_mem"):
        asyncio.run(ENGINE.set_parameters(plan, {"work_mem": "5MB"}))
    pair.target.sql("GRANT ALTER SYSTEM ON PARAMETER work_mem TO plain")
    with pytest.raises(AccessDenied, match="read its settings"):
        asyncio.run(ENGINE.set_parameters(plan, {"work_mem": "5MB"}))
    pair.target.sql("GRANT EXECUTE ON FUNCTION pg_reload_conf() TO plain")
    with pytest.raises(AccessDenied, match=r"autovacuum"):
        asyncio.run(ENGINE.set_parameters(plan, {"autovacuum": "off", "work_mem": "5MB"}))
    assert pair.shown("work_mem") == "4MB"
    asyncio.run(ENGINE.set_parameters(plan, {"work_mem": "5MB"}))
    assert pair.shown("work_mem") == "5MB"
