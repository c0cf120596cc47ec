"""The command line as an operator and a script meet it: real processes, exit codes, and no secret anywhere."""

import http.client
import json
import re
import shutil
import signal
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sterna.core.job import Condition, Job, JobId, Phase, Wish
from sterna.core.plan import Endpoint, Plan
from sterna.core.stores import Store
from sterna.jobs.desk import Desk
from sterna.main import engines, open_store
from tests.effort import PATIENCE
from tests.journeys.command import Home, Running, files_with

pytestmark = pytest.mark.long


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A data folder that ``sterna init`` made, and what it said."""
    home = Home(tmp_path_factory.mktemp("founded"))
    return home.data, home.good("init")


@pytest.fixture
def facts(home: Home, founded: tuple[Path, dict[str, str]]) -> dict[str, str]:
    """What ``sterna init`` said of the home's data folder."""
    shutil.copytree(founded[0], home.data)
    return founded[1]


async def store_of(home: Home) -> Store:
    return await open_store(str(home.data / "sterna.db"), home.data / "encryption.key")


def test_init_says_everything_once_and_keeps_it_private(home: Home) -> None:
    said = home.good("init", "--project", "eu-1", "--user", "boss", "--domain", "acme")
    assert {said[name] for name in ("project_name", "domain", "user")} == {"eu-1", "acme", "boss"}
    assert re.fullmatch("[A-Z0-9]{20}", said["access_key"])
    assert re.fullmatch("[A-Za-z0-9]{40}", said["secret_key"])
    assert re.fullmatch("[0-9a-f]{32}", said["project_id"])
    assert len(said["password"]) >= 20
    assert home.data.stat().st_mode & 0o777 == 0o700
    assert (home.data / "encryption.key").stat().st_mode & 0o777 == 0o600
    assert not files_with(home.data, said["secret_key"])
    assert not files_with(home.data, said["password"])


def test_init_leaves_an_existing_service_alone(home: Home, facts: dict[str, str]) -> None:
    again = home.run("init", "--json")
    assert again.code == 2
    assert "already" in again.json["error"]["message"]
    assert "already" in again.err
    assert home.good("key", "list")[0]["access_key"] == facts["access_key"]


def test_init_takes_a_given_password(home: Home) -> None:
    assert home.good("init", "--password-env", "MINE", MINE="a given one")["password"] == "a given one"


def test_a_folder_without_a_service_is_named_and_not_made(home: Home) -> None:
    ended = home.run("user", "list", "--data", str(home.folder / "none"), "--json")
    assert ended.code == 2
    assert "sterna init" in ended.json["error"]["hint"]
    assert not (home.folder / "none").exists()


def test_users_projects_and_keys_come_and_go(home: Home, facts: dict[str, str]) -> None:
    project = home.good("project", "add", "eu-2", "--user", "admin")
    user = home.good("user", "add", "ann", "--project", "eu-2")
    assert user["projects"] == ["eu-2"]
    assert len(user["password"]) >= 20
    assert home.good("user", "grant", "ann", facts["project_id"])["projects"] == ["eu-2", "local-1"]
    assert home.good("user", "revoke", "ann", "eu-2")["projects"] == ["local-1"]
    assert "password" not in home.good("user", "passwd", "ann", "--password-env", "NEW", NEW="x" * 12)
    assert home.good("user", "disable", "ann")["enabled"] is False
    assert home.good("user", "enable", "ann")["enabled"] is True
    key = home.good("key", "create", "ann")
    assert [each["access_key"] for each in home.good("key", "list", "--user", "ann")] == [key["access_key"]]
    assert key["secret_key"] not in home.run("key", "list").all
    home.good("key", "remove", key["access_key"])
    assert home.good("key", "list", "--user", "ann") == []
    home.good("user", "remove", "ann")
    home.good("project", "remove", project["id"])
    assert [each["name"] for each in home.good("user", "list")] == ["admin"]
    assert [each["name"] for each in home.good("project", "list")] == ["local-1"]


def test_a_request_that_cannot_be_met_is_one_clear_line(home: Home, facts: dict[str, str]) -> None:
    ended = home.run("user", "remove", "nobody")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == "Error: There is no user nobody\nHint: There are: admin.\n"


def test_an_instance_is_registered_and_its_password_stays_hidden(home: Home, facts: dict[str, str]) -> None:
    words = ("--name", "shop", "--engine", "redis", "--address", "db.example:6379", "--tls", "--user", "mover")
    added = home.run("instance", "add", *words, "--password-env", "PW", "--json", PW="geheim-4711")
    assert added.code == 0, added.all
    listed = home.run("instance", "list", "--json")
    assert listed.json == [added.json]
    assert added.json["id"]
    assert (added.json["address"], added.json["has_password"], added.json["tls"]) == (
        "db.example:6379",
        True,
        True,
    )
    assert "geheim-4711" not in added.all + listed.all + home.run("instance", "list").all
    assert not files_with(home.folder, "geheim-4711")
    home.good("instance", "remove", "shop")
    assert home.good("instance", "list") == []


def test_settings_say_where_they_come_from(home: Home) -> None:
    rows = {row["setting"]: row for row in home.good("settings", STERNA_LISTEN="127.0.0.1:1234")}
    assert (rows["listen"]["value"], rows["listen"]["from"]) == ("127.0.0.1:1234", "environment")
    assert rows["body_limit"]["from"] == "default"


def test_an_unexpected_fault_has_exit_code_1_and_repeats_no_password(home: Home, facts: dict[str, str]) -> None:
    ended = home.run("user", "list", "--json", STERNA_STORE="sqlite:////proc/none/x.db")
    assert ended.code in (1, 2, 4)
    assert ended.json["error"]["message"]


def answer(url: str, body: Any = None, headers: dict[str, str] | None = None) -> tuple[int, Any]:
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", **(headers or {})},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, response
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error


def url_of(service: Running) -> str:
    """Where the service listens, once it does; the port is in its log."""
    text = service.until(_address)
    return f"http://{_address(text)}"


def _address(text: str) -> str:
    """Empty while it was not said, or only in part."""
    found = re.search(r'"address": "([^"]+)"', text) if '"listening"' in text else None
    return found[1] if found else ""


def asks_now_and_then(url: str) -> http.client.HTTPConnection:
    """A client that keeps its connection, which is still good after a while of silence."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=PATIENCE)
    connection.connect()
    connection.auto_open = 0
    for silence in (0, 6):
        time.sleep(silence)
        connection.request("GET", "/healthz")
        assert connection.getresponse().read()
    return connection


def login(facts: dict[str, str], password: str) -> dict[str, Any]:
    user = {"name": facts["user"], "domain": {"name": facts["domain"]}, "password": password}
    scope = {"project": {"id": facts["project_id"]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    return {"auth": {"identity": identity, "scope": scope}}


def test_the_service_answers_and_ends_gracefully(home: Home, facts: dict[str, str]) -> None:
    with home.running("serve", "--listen", "127.0.0.1:0") as service:
        url = url_of(service)
        assert answer(f"{url}/healthz")[0] == 200
        status, response = answer(f"{url}/v3/auth/tokens", login(facts, facts["password"]))
        assert status == 201
        token = response.headers["X-Subject-Token"]
        path = f"{url}/v2/{facts['project_id']}/migration-tasks"
        assert answer(path, headers={"X-Auth-Token": token})[0] == 200
        assert answer(f"{url}/v3/auth/tokens", login(facts, "wrong-geheim"))[0] == 401
        silent = asks_now_and_then(url)
        ended = service.end(signal.SIGTERM)
        silent.close()
    assert ended.code == 0
    assert ended.out == ""
    lines = [json.loads(line) for line in ended.err.splitlines()]
    assert lines[-1]["event"] == "stopped"
    for secret in (token, facts["password"], facts["secret_key"], "wrong-geheim"):
        assert secret not in ended.all


def test_a_port_that_is_taken_is_said_so(home: Home, facts: dict[str, str]) -> None:
    with home.running("serve", "--listen", "127.0.0.1:0") as service:
        address = url_of(service).removeprefix("http://")
        ended = home.run("serve", "--listen", address)
    assert ended.code == 4
    assert "Cannot listen" in ended.err


async def a_job(home: Home, facts: dict[str, str], name: str = "night shift") -> JobId:
    """A described job whose source nobody can reach."""
    store = await store_of(home)
    away = Endpoint("redis", (("127.0.0.1", 1),), password="geheim-0815")
    job = await Desk(store, engines()).create(facts["project_id"], "dcs-online", name, plan=Plan(away, away))
    await store.close()
    return job.id


async def seen(home: Home, id: JobId) -> Job:
    store = await store_of(home)
    try:
        return await store.job(id)
    finally:
        await store.close()


async def test_jobs_are_listed_asked_and_deleted_in_the_store(home: Home, facts: dict[str, str]) -> None:
    id = await a_job(home, facts)
    listed = home.run("job", "list", "--json")
    assert [(row["id"], row["phase"], row["condition"]) for row in listed.json] == [(id, "DRAFT", "IDLE")]
    shown = home.run("job", "show", id[:10], "--json")
    assert shown.json["name"] == "night shift"
    assert home.run("job", "pause", id).code == 2
    assert home.good("job", "resume", id)["wish"] == "RUN"
    assert (await seen(home, id)).wish is Wish.RUN
    assert home.run("job", "delete", id).code == 2
    codes = [event["code"] for event in home.good("job", "log", id)]
    assert codes[0] == "job.created"
    assert "job.run" in codes
    late = home.run("job", "stop", id, "--wait", "0.1", "--json")
    assert late.code == 4, "nobody is there to carry it out"
    assert "geheim-0815" not in listed.all + shown.all + late.all + home.run("job", "show", id).all
    assert not files_with(home.data, "geheim-0815")


async def test_the_service_runs_a_job_in_a_process_of_its_own(home: Home, facts: dict[str, str]) -> None:
    id = await a_job(home, facts)
    with home.running("serve", "--listen", "127.0.0.1:0") as service:
        url_of(service)
        home.good("job", "resume", id)
        watched = home.run("job", "watch", id, "--json")
        assert watched.code == 4, watched.all
        job = await seen(home, id)
        assert (job.phase, job.condition) == (Phase.PREPARE, Condition.FAILED)
        findings = home.good("job", "show", id)["findings"]
        assert "redis.source.reachable" in [each["check"] for each in findings if each["severity"] == "FAILED"]
        service.end(signal.SIGTERM)
    refused = home.run("job", "delete", id)
    assert (refused.code, "Stop it first" in refused.all) == (2, True)
    home.good("job", "delete", id, "--force")
    assert home.good("job", "list") == []
    assert "geheim-0815" not in watched.all
    assert not files_with(home.folder, "geheim-0815")
