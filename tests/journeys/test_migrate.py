"""``sterna migrate`` between two real servers: to the end, interrupted, killed, refused; no password anywhere."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.effort import PATIENCE
from tests.journeys.command import Home, files_with, wait_for
from tests.servers.fixtures import StartServer
from tests.servers.redis import Server

pytestmark = pytest.mark.server

SECRET = "geheim:@/?#%4711"
ENCODED = "geheim%3A%40%2F%3F%23%254711"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def source(redis_server: StartServer) -> Server:
    server = redis_server("valkey91", password=SECRET)
    server.client().mset({f"key:{number}": "x" * 100 for number in range(2000)})
    server.client(db=3).set("other", "3")
    return server


@pytest.fixture
def target(redis_server: StartServer) -> Server:
    return redis_server("valkey91", password=SECRET)


def url(server: Server, database: str = "", password: str = "") -> str:
    return f"redis://{f':{password}@' if password else ''}{server.address}{database}"


PASSWORDS = {"STERNA_SOURCE_PASSWORD": SECRET, "STERNA_TARGET_PASSWORD": SECRET}


def in_follow(text: str) -> bool:
    return '"phase": "FOLLOW"' in text


def add_until(target: Server, key: str, value: int) -> Callable[[], bool]:
    client = target.client()
    return lambda: int(client.get(key) or 0) == value


def test_a_full_copy_is_equal_and_says_so(home: Home, source: Server, target: Server) -> None:
    words = ("migrate", url(source, "", ENCODED), url(target, "", ENCODED), "--compare", "--json")
    ended = home.run(*words)
    assert ended.code == 0, ended.all
    summary = ended.lines[-1]["summary"]
    assert summary["status"] == "done"
    assert summary["equal"] is True
    assert summary["differences"] == []
    assert (summary["rows"], summary["compared"]) == (2001, 2001)
    assert target.client().dbsize() == 2000
    assert target.client(db=3).get("other") == b"3"
    figures = [line for line in ended.lines if "phase" in line]
    assert {"condition", "rows", "rows_total", "bytes", "changes", "lag_ms", "lag_bytes", "eta_s"} <= set(
        figures[-1]
    )
    assert any("event" in line for line in ended.lines)
    assert any("findings" in line for line in ended.lines)
    for text in (SECRET, ENCODED):
        assert text not in ended.all
        assert not files_with(home.folder, text)


def test_people_see_the_checks_the_progress_and_the_end(home: Home, source: Server, target: Server) -> None:
    ended = home.run("migrate", url(source, "/3"), url(target, "/5"), **PASSWORDS)
    assert ended.code == 0, ended.all
    assert "redis.target.reachable" in ended.out
    assert "Done: 1 rows" in ended.out
    assert target.client(db=5).get("other") == b"3"
    assert target.client().dbsize() == 0


def test_a_cutover_moves_every_change_once(home: Home, source: Server, target: Server) -> None:
    words = ("migrate", url(source), url(target), "--mode", "incremental", "--json")
    with home.running(*words, **PASSWORDS) as migration:
        migration.until(in_follow)
        assert SECRET not in migration.arguments()
        for _ in range(100):
            source.client().incr("counter")
        wait_for(add_until(target, "counter", 100), "the changes to arrive")
        paused = migration.end(signal.SIGINT)
    assert paused.code == 130, paused.all
    summary = paused.lines[-1]["summary"]
    assert summary["status"] == "paused"
    assert summary["resume"] == f"sterna migrate {url(source)} {url(target)} --mode incremental --json"
    for _ in range(100):
        source.client().incr("counter")
    ended = home.run(*words, "--cutover", "--compare")  # without passwords: they are kept, sealed
    assert ended.code == 0, ended.all
    assert ended.lines[-1]["summary"]["equal"] is True
    assert target.client().get("counter") == b"200"
    assert SECRET not in paused.all + ended.all
    assert not files_with(home.folder, SECRET)
    assert target.client().keys("sterna*") == [], "the checkpoint is gone"


def test_sigterm_pauses_too_and_people_are_told_how_to_go_on(home: Home, source: Server, target: Server) -> None:
    with home.running("migrate", url(source), url(target), "--mode", "incremental", **PASSWORDS) as migration:
        migration.until(in_follow_text)
        ended = migration.end(signal.SIGTERM)
    assert ended.code == 130, ended.all
    assert f"To go on: sterna migrate {url(source)} {url(target)} --mode incremental" in ended.err


def in_follow_text(text: str) -> bool:
    return "FOLLOW RUNNING" in text


def test_a_killed_copy_goes_on_with_the_same_command(home: Home, source: Server, target: Server) -> None:
    for number in range(30):
        source.client().set(f"big:{number}", os.urandom(500_000))
    words = ("migrate", url(source), url(target), "--cutover", "--limit-mb", "1", "--json")
    with home.running(*words, **PASSWORDS) as migration:
        migration.until(lambda text: '"phase": "COPY"' in text)
        wait_for(lambda: target.client().dbsize() > 10, "the copy to begin")
        source.client().incr("counter")
        migration.end(signal.SIGKILL)
    ended = home.run("migrate", url(source), url(target), "--cutover", "--compare", "--json")
    assert ended.code == 0, ended.all
    assert ended.lines[-1]["summary"]["equal"] is True
    assert target.client().get("counter") == b"1"


def test_another_migration_does_not_go_on_where_this_one_was(home: Home, source: Server, target: Server) -> None:
    words = ("migrate", url(source), url(target))
    with home.running(*words, "--mode", "incremental", "--json", **PASSWORDS) as migration:
        migration.until(in_follow)
        beside = home.run(*words, "--mode", "incremental", "--json", **PASSWORDS)
        assert beside.code == 2, beside.all
        assert "Another process" in beside.err
        migration.end(signal.SIGINT)
    other = home.run(*words, "--json")
    assert other.code == 2
    assert "mode" in other.json["error"]["message"]
    assert "--restart" in other.json["error"]["hint"]
    anew = home.run(*words, "--restart", "--json")
    assert anew.code == 0, anew.all
    assert target.client().keys("sterna*") == []


def test_a_failed_check_stops_before_anything_is_changed(home: Home, source: Server, target: Server) -> None:
    wrong = {**PASSWORDS, "STERNA_TARGET_PASSWORD": "not-this-geheim"}
    checked = home.run("check", url(source), url(target), "--json", **wrong)
    assert checked.code == 3, checked.all
    assert checked.json["failed"] is True
    assert any(each["severity"] == "FAILED" and each["remedy"] for each in checked.json["findings"])
    moved = home.run("migrate", url(source), url(target), "--json", **wrong)
    assert moved.code == 3, moved.all
    assert moved.lines[-1]["summary"]["status"] == "checks_failed"
    assert target.client().dbsize() == 0
    assert home.run("check", url(source), url(target), **PASSWORDS).code == 0
    assert home.run("migrate", url(source), url(target), "--json", **PASSWORDS).code == 0
    assert "not-this-geheim" not in checked.all + moved.all


def test_an_unreachable_server_fails_a_check_and_a_comparison(home: Home, source: Server) -> None:
    assert home.run("check", url(source), "redis://127.0.0.1:1", **PASSWORDS).code == 3
    ended = home.run("compare", url(source), "redis://127.0.0.1:1", "--json", **PASSWORDS)
    assert ended.code == 4, ended.all
    assert ended.json["error"]["code"] == "STERNA.1001"


def test_a_comparison_names_what_differs_and_repairs_it(home: Home, source: Server, target: Server) -> None:
    assert home.run("migrate", url(source), url(target), **PASSWORDS).code == 0
    target.client().delete("key:7")
    target.client().set("key:8", "changed")
    compared = home.run("compare", url(source), url(target), "--json", **PASSWORDS)
    assert compared.code == 5, compared.all
    assert (compared.json["equal"], compared.json["different"]) == (False, 2)
    assert {each["kind"] for each in compared.json["differences"]} == {"missing", "value"}
    repaired = home.run("compare", url(source), url(target), "--repair", "--json", **PASSWORDS)
    assert (repaired.code, repaired.json["repaired"]) == (0, 2), repaired.all
    assert home.run("compare", url(source), url(target), **PASSWORDS).code == 0


def test_only_what_was_chosen_is_moved(home: Home, source: Server, target: Server) -> None:
    words = (
        "--include-prefix",
        "key:1",
        "--exclude-prefix",
        "key:19",
        "--on-conflict",
        "skip",
        "--limit-mb",
        "50",
    )
    target.client().set("key:1", "mine")
    ended = home.run("migrate", url(source, "/0"), url(target), *words, "--yes", "--json", **PASSWORDS)
    assert ended.code == 0, ended.all
    chosen = set(source.client().keys("key:1*")) - set(source.client().keys("key:19*"))
    assert set(target.client().keys("*")) == chosen
    assert target.client().get("key:1") == b"mine"


def test_a_conflict_can_stop_the_migration(home: Home, source: Server, target: Server) -> None:
    target.client().set("key:1", "mine")
    ended = home.run("migrate", url(source), url(target), "--on-conflict", "stop", "--json", **PASSWORDS)
    assert ended.code in (3, 4), ended.all
    assert ended.lines[-1]["summary"]["failure"]["hint"]
    assert set(target.client().keys("*")) - set(target.client().keys("sterna:*")) == {b"key:1"}
    assert target.client().get("key:1") == b"mine"


def test_a_folder_can_be_named_for_the_state(home: Home, source: Server, target: Server) -> None:
    state = home.folder / "my state"
    ended = home.run("migrate", url(source), url(target), "--state", str(state), "--json", **PASSWORDS)
    assert ended.code == 0, ended.all
    assert (state / "sterna.db").exists()
    assert state.stat().st_mode & 0o777 == 0o700
    assert not (home.folder / "state").exists()


def test_the_reader_of_the_output_may_leave(home: Home, source: Server, target: Server) -> None:
    command = [sys.executable, "-m", "sterna", "check", url(source), url(target), "--json"]
    with subprocess.Popen(
        command, env=home.environment(PASSWORDS), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        errors = process.stderr.read().decode()
        process.wait(PATIENCE)
    assert "Traceback" not in errors
