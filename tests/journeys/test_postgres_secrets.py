"""Passwords of every letter: they open the door, and stand nowhere in clear."""

import signal
import string
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from tests.journeys.command import Ended, Home, files_with
from tests.servers.fixtures import StartPostgres
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.server

PASSWORD = string.printable[:95] + "密码 Ä"
"""Every letter of ASCII that can be printed, and some others."""


def without_password(server: PostgresServer) -> str:
    return f"postgresql://postgres@{server.address}/shop"


@pytest.mark.parametrize("how", ["in the URL", "in the environment"])
def test_a_password_of_every_letter_opens_both_servers_and_is_shown_nowhere(
    postgres_server: StartPostgres, tmp_path: Path, how: str
) -> None:
    source, target = (postgres_server(password=PASSWORD) for _ in range(2))
    source.create_database("shop")
    source.sql("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)", "shop")
    home = Home(tmp_path)
    if how == "in the URL":
        pair, more = [source.dsn("shop"), target.dsn("shop")], {}
        assert quote(PASSWORD, safe="") in pair[0]
    else:
        pair = [without_password(source), without_password(target)]
        more = {"STERNA_SOURCE_PASSWORD": PASSWORD, "STERNA_TARGET_PASSWORD": PASSWORD}
    words = ("migrate", *pair, "--mode", "incremental", "--json", "--state", str(tmp_path / "kept"))
    with home.running(*words, STERNA_LOG_LEVEL="debug", **more) as running:
        running.until(lambda text: '"FOLLOW"' in text)
        said = running.end(signal.SIGTERM)
    _hidden([said], home)
    again = home.run("migrate", *map(without_password, (source, target)), *words[3:], "--cutover", "--compare")
    assert again.code == 0, again.all
    assert again.lines[-1]["summary"]["equal"] is True
    for server in (source, target):
        with psycopg.connect(server.dsn(), autocommit=True) as line:
            line.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal("another")))
    failed = home.run("migrate", *pair, *words[3:], STERNA_LOG_LEVEL="debug", **more)
    assert failed.code != 0
    assert "password authentication failed" in failed.all
    _hidden([again, failed], home)


def _hidden(ended: Sequence[Ended], home: Home) -> None:
    for spelled in (PASSWORD, quote(PASSWORD, safe=""), PASSWORD[20:60], repr(PASSWORD)[1:-1]):
        assert all(spelled not in each.all for each in ended)
        assert files_with(home.folder, spelled) == []
