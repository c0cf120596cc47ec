"""Buckets as people register them: by the command line, found by name, and one that is there without asking."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from sterna.cli.app import run
from sterna.cli.context import Tools
from sterna.cli.files import open_file
from sterna.cli.folder import settings_of
from sterna.core.errors import Invalid, NotFound, Unsupported
from sterna.core.files import Opens
from sterna.core.people import Bucket, Domain, Project
from sterna.core.stores import Store
from sterna.jobs.buckets import DEFAULT, default_bucket
from sterna.jobs.desk import Desk
from sterna.main import engines, open_bucket, open_store, opens_of, serve, work
from sterna.store.memory import MemoryStore
from tests.servers.certificates import make_certificates
from tests.servers.recording import Answer, recording

SECRET = "geheim-the-bucket-secret"


@pytest.fixture
def tools(tmp_path: Path) -> Tools:
    """A service in an empty folder; its store is a real one."""
    environ = {"STERNA_DATA": str(tmp_path / "data"), "BUCKET_SECRET": SECRET}
    tools = Tools(engines, open_store, serve, work, environ, (), open_bucket)
    assert run(["init"], tools) == 0
    return tools


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "files" / "sql").mkdir(parents=True)
    (tmp_path / "files/sql/full.bak").write_bytes(b"0123456789")
    return tmp_path / "files"


def told(tools: Tools, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert run(["bucket", *words, "--json"], tools) == 0
    out, err = capsys.readouterr()
    assert SECRET not in out + err
    return json.loads(out)


def kept(tools: Tools) -> list[Bucket]:
    async def ask() -> list[Bucket]:
        settings = settings_of(tools, None, None)
        store = await open_store(settings.store_url, settings.key_path)
        try:
            return list(await store.buckets())
        finally:
            await store.close()

    return asyncio.run(ask())


def test_a_folder_is_registered_tried_shown_and_removed(
    tools: Tools, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    added = told(tools, capsys, "add", "backups", "--folder", str(folder), "--prefix", "/sql")
    assert (added["kind"], added["place"], added["prefix"]) == ("folder", str(folder), "sql/")
    assert told(tools, capsys, "list") == [added]
    assert told(tools, capsys, "show", "backups") == told(tools, capsys, "show", added["id"]) == added
    tried = told(tools, capsys, "test", "backups", "--write")
    assert (tried["files"], tried["bytes"], tried["read"], tried["written"]) == (1, 10, "full.bak", True)
    assert [path.name for path in folder.rglob("*.*")] == ["full.bak"]
    told(tools, capsys, "remove", "backups")
    assert told(tools, capsys, "list") == []
    assert (folder / "sql/full.bak").exists()


def test_an_object_store_is_registered_with_what_fits_it(
    tools: Tools, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    make_certificates(tmp_path)
    obs = told(tools, capsys, "add", "one", "--endpoint", "obs.eu-de.otc.t-systems.com", *KEYS)
    assert (obs["endpoint"], obs["style"]) == ("https://obs.eu-de.otc.t-systems.com", "virtual")
    more = ("--remote-name", "corp", "--region", "r", "--prefix", "a/b/", "--ca-file", str(tmp_path / "ca.crt"))
    own = told(tools, capsys, "add", "two", "--endpoint", "https://minio:9000/", *KEYS, *more)
    assert (own["style"], own["place"], own["prefix"]) == ("path", "https://minio:9000/corp", "a/b/")
    told(tools, capsys, "add", "three", "--endpoint", "https://minio:9000", *KEYS, "--style", "virtual")
    buckets = kept(tools)
    assert [bucket.secret_key for bucket in buckets] == [SECRET] * 3
    assert json.loads(buckets[1].tls)["ca_file"] == str(tmp_path / "ca.crt")
    assert buckets[2].style == "virtual"


KEYS = ("--access-key", "AK", "--secret-env", "BUCKET_SECRET")
REFUSED = [
    (("add", "a/b", "--folder", "."), "slash"),
    (("add", "a", "--folder", "/none"), "no folder"),
    (("add", "a"), "--folder PATH"),
    (("add", "a", "--folder", ".", "--endpoint", "https://h"), "--prefix alone"),
    (("add", "a", "--folder", ".", "--prefix", "../up"), "prefix"),
    (("add", "a", "--endpoint", "https://h"), "--access-key"),
    (("add", "a", "--endpoint", "https://h", "--access-key", "AK"), "--secret-env"),
    (("add", "a", "--endpoint", "https://h", "--access-key", "AK", "--secret-env", "UNSET"), "not set"),
    (("add", "a", "--endpoint", "https://h/path", *KEYS), "HOST"),
    (("add", "a", "--endpoint", "ftp://h", *KEYS), "HOST"),
    (("add", "a", "--endpoint", "https://h", "--style", "odd", *KEYS), "path or virtual"),
    (("add", "a", "--endpoint", "http://h", "--insecure", *KEYS), "https"),
    (("add", "a", "--endpoint", "https://h", "--ca-file", "/none.pem", *KEYS), "no file"),
    (("add", "a", "--endpoint", "https://h", "--ca-file", __file__, *KEYS), "cannot be used"),
    (("test", "nothing"), "nothing"),
    (("show", "nothing"), "nothing"),
    (("remove", "nothing"), "nothing"),
]


@pytest.mark.parametrize(("words", "part"), REFUSED)
def test_what_cannot_be_met_is_one_clear_line(
    tools: Tools, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], part: str
) -> None:
    capsys.readouterr()
    assert run(["bucket", *words], tools) == 2
    out, err = capsys.readouterr()
    assert err.startswith("Error: ")
    assert part in err
    assert len(err.splitlines()) <= 2
    assert SECRET not in out + err


def test_a_secret_key_is_asked_for_and_not_shown_on_a_terminal(
    tools: Tools, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden: list[bool] = []

    def prompt(text: str, *, hide_input: bool) -> str:
        hidden.append(hide_input)
        return SECRET

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.prompt", prompt)
    told(tools, capsys, "add", "a", "--endpoint", "https://h", "--access-key", "AK")
    assert hidden == [True]
    assert kept(tools)[0].secret_key == SECRET


def test_a_name_is_taken_once(tools: Tools, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    told(tools, capsys, "add", "backups", "--folder", str(folder))
    assert run(["bucket", "add", "backups", "--folder", str(folder)], tools) == 2
    assert "taken" in capsys.readouterr().err


def test_a_name_that_requests_of_drs_cannot_have_is_said(
    tools: Tools, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    for name, said in (("My_Bucket", True), ("my-bucket", False)):
        capsys.readouterr()
        assert run(["bucket", "add", name, "--folder", str(folder)], tools) == 0
        assert ("DRS cannot name it" in capsys.readouterr().err) is said


def test_trying_a_bucket_says_what_is_wrong(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    body = b"<Error><Code>SignatureDoesNotMatch</Code></Error>"
    with recording(lambda request: Answer(403, body)) as server:
        told(tools, capsys, "add", "far", "--endpoint", server.endpoint, *KEYS)
        assert run(["bucket", "test", "far"], tools) not in (0, 1)
    out, err = capsys.readouterr()
    assert "does not accept the signature" in err
    assert "The secret key is not the one" in err
    assert SECRET not in out + err


def test_files_are_named_by_path_and_by_bucket(
    tools: Tools, capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    told(tools, capsys, "add", "backups", "--folder", str(folder))
    settings = settings_of(tools, None, None)

    def read(text: str) -> bytes:
        blob = asyncio.run(open_file(tools, settings, text))
        try:
            return blob.read_at(0, 100)
        finally:
            blob.close()

    assert read(str(folder / "sql/full.bak")) == read("bucket:backups/sql/full.bak") == b"0123456789"
    (folder / "alias.bak").symlink_to(folder / "sql/full.bak")
    assert read(str(folder / "alias.bak")) == b"0123456789"
    (folder / "odd:name").write_bytes(b"local")
    assert read(str(folder / "odd:name")) == b"local"
    for text in ("/none", "bucket:other/f", "bucket:backups/none", "s3://backups/sql/full.bak"):
        with pytest.raises(NotFound):
            read(text)
    for text in ("bucket:backups", "bucket:", "s3://", "bucket:backups/", "bucket:backups/../../etc/passwd"):
        with pytest.raises(Invalid):
            read(text)


def test_a_file_in_an_object_store_is_named_as_the_store_does(
    tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    with recording() as server:
        common = ("--endpoint", server.endpoint, *KEYS)
        told(tools, capsys, "add", "one", *common, "--remote-name", "corp")
        told(tools, capsys, "add", "two", *common, "--remote-name", "corp", "--prefix", "in/deep")
        blob = asyncio.run(open_file(tools, settings_of(tools, None, None), "s3://corp/in/deep/a b.bak"))
        assert (blob.name, blob.size, blob.read_at(0, 5)) == ("a b.bak", 5, b"xxxxx")
        blob.close()
        assert {request.path for request in server.requests} == {"/corp/in/deep/a%20b.bak"}


async def filled(store: Store) -> None:
    await store.add_domain(Domain("d", "home"))
    for id in ("n", "s"):
        await store.add_project(Project(id, f"project {id}", "d"))


@pytest.mark.parametrize(
    "typed", ["s3://AKIA:geheim@shop/a.bak", "https://user:geheim@host/a.bak", "https://host/a.bak?sig=geheim"]
)
def test_secrets_in_the_name_of_a_file_are_never_repeated(
    typed: str, tools: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["inspect"], ["load", "--to", "postgresql://nobody@localhost/x"]):
        assert run(["backup", *command, typed, "--json"], tools) == 2
        said = capsys.readouterr()
        assert json.loads(said.out)["error"]["code"] == "STERNA.3003"
        assert "geheim" not in said.out + said.err


async def test_a_bucket_is_found_by_its_name_in_its_project_alone(tmp_path: Path) -> None:
    store = MemoryStore()
    await filled(store)
    desk = Desk(store, {})
    bucket = Bucket("b", "n", "backups", "folder", folder=str(tmp_path))
    await store.add_bucket(bucket)
    assert await desk.bucket("n", "backups") == bucket
    for project, name in (("s", "backups"), ("n", "b"), ("n", "Backups"), ("n", "")):
        with pytest.raises(NotFound):
            await desk.bucket(project, name)


async def test_every_project_has_a_bucket_for_backups_from_its_first_use(tmp_path: Path) -> None:
    store = MemoryStore()
    await filled(store)
    buckets = await asyncio.gather(*(default_bucket(store, tmp_path, id) for id in ("n", "s", "n")))
    assert [bucket.folder for bucket in buckets] == [str(tmp_path / "buckets" / id) for id in ("n", "s", "n")]
    assert len(await store.buckets()) == 2
    assert (await Desk(store, {}).bucket("n", DEFAULT)) == buckets[0]
    assert (tmp_path / "buckets/n").stat().st_mode & 0o777 == 0o700
    opens: Opens = opens_of(store)
    storage = await opens(buckets[0].id)
    storage.write("a.rdb", [b"1"])
    assert (tmp_path / "buckets/n/a.rdb").read_bytes() == b"1"
    with pytest.raises(NotFound, match="no longer registered"):
        await opens("nothing")
    with pytest.raises(Invalid):
        await default_bucket(store, tmp_path, "../n")


async def test_a_bucket_for_backups_that_was_registered_is_taken(tmp_path: Path) -> None:
    store = MemoryStore()
    await filled(store)
    mine = Bucket("b", "n", DEFAULT, "folder", folder="/srv/mine")
    await store.add_bucket(mine)
    assert await default_bucket(store, tmp_path, "n") == mine
    assert not (tmp_path / "buckets").exists()


def test_without_a_way_to_open_buckets_none_is_opened(tools: Tools, folder: Path) -> None:
    blind = Tools(tools.engines, tools.open_store, tools.serve, tools.work, tools.environ)
    with pytest.raises(Unsupported):
        blind.open_bucket(Bucket("b", "p", "n", "folder", folder=str(folder)))
