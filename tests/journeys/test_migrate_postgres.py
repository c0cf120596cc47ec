"""``sterna migrate``, ``check`` and ``compare`` between two PostgreSQL servers, with everything called anew."""

from pathlib import Path

import psycopg
import pytest

from tests.journeys.command import Home
from tests.servers.fixtures import StartPostgres

pytestmark = pytest.mark.server

WHAT = (
    *("--rename", "public=app", "--table", 'public."My.T"="My ""U"""', "--table", "public.t"),
    *("--where", "public.t:id <= 500", "--columns", "public.t:id,b"),
)


def test_what_is_chosen_arrives_under_its_new_names_and_is_compared_and_mended(
    postgres_server: StartPostgres, tmp_path: Path
) -> None:
    source, target = postgres_server("pg18"), postgres_server("pg18")
    source.sql("CREATE DATABASE shop")
    with psycopg.connect(source.dsn("shop"), autocommit=True) as there:
        there.execute("CREATE TABLE t (id int PRIMARY KEY, b text, c text)")
        there.execute("INSERT INTO t SELECT g, 'x' || g, 'left out' FROM generate_series(1, 1000) g")
        there.execute('CREATE TABLE "My.T" (id int PRIMARY KEY)')
        there.execute('INSERT INTO "My.T" VALUES (1), (2)')
        there.execute("CREATE TABLE log (id int PRIMARY KEY)")
    home, pair = Home(tmp_path), (source.dsn("shop"), target.dsn("store"))

    ended = home.run("migrate", *pair, *WHAT, "--compare", "--json")
    assert ended.code == 0, ended.all
    summary = ended.lines[-1]["summary"]
    assert (summary["status"], summary["equal"], summary["rows"]) == ("done", True, 502)
    assert {(it["name"], it["target"], it["source_rows"], it["target_rows"]) for it in summary["tables"]} == {
        ("shop.public.t", "store.app.t", 500, 500),
        ("shop.public.My.T", 'store.app.My "U"', 2, 2),
    }
    with psycopg.connect(target.dsn("store"), autocommit=True) as here:
        assert here.execute("SELECT * FROM app.t WHERE id = 7").fetchall() == [(7, "x7")]
        assert here.execute('SELECT count(*) FROM app."My ""U"""').fetchall() == [(2,)]
        assert here.execute("SELECT to_regclass('app.log')").fetchall() == [(None,)]
        here.execute("DELETE FROM app.t WHERE id = 3")

        assert home.run("compare", *pair, *WHAT, "--depth", "rows").code == 5
        found = home.run("compare", *pair, *WHAT, "--sql")
        assert found.code == 5
        here.execute(found.out.encode())
        assert here.execute("SELECT * FROM app.t WHERE id = 3").fetchall() == [(3, "x3")]
        here.execute("UPDATE app.t SET b = 'other' WHERE id = 4")
        mended = home.run("compare", *pair, *WHAT, "--repair")
        assert (mended.code, "1 repaired" in mended.all) == (0, True), mended.all
