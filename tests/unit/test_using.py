"""What is needed is not removed by mistake; what changes is changed in place."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from sterna.cli.app import run
from sterna.cli.context import Tools
from sterna.cli.folder import settings_of
from sterna.core.errors import IllegalMove
from sterna.core.job import Condition, Failure, Job, Wish
from sterna.core.people import Bucket, Instance
from sterna.core.plan import Endpoint, Mode, Plan, Selection, StoredFile
from sterna.core.stores import Store
from sterna.jobs.using import check_bucket, check_instance
from sterna.main import engines, open_bucket, open_store, serve, work
from tests.contract.stores import a_job

T = TypeVar("T")
SECRET = "geheim-the-bucket-secret"
ENDED: dict[str, Any] = {"condition": Condition.DONE, "ended_ms": 5}


def restore(last: str = "true", engine: str = "postgresql", instance: str = "i", **facts: Any) -> Job:
    """A job from the bucket ``b`` into a server."""
    source = Endpoint("sqlserver", (), files=(StoredFile("b", "a.bak"),))
    target = Endpoint(engine, (("db", 5432),), instance_id=instance)
    plan = Plan(source, target, Mode.FULL, Selection(only=("Shop",)), options={"last_backup": last})
    return a_job(**{"plan": plan, "name": "restore-1", **facts})


def needed(*jobs: Job) -> list[str]:
    """What the refusals to remove the bucket and the server say; empty: it may go."""
    said = []
    for check, id in ((check_bucket, "b"), (check_instance, "i")):
        try:
            check(jobs, id, "shop")
            said.append("")
        except IllegalMove as refusal:
            said.append(refusal.message)
    return said


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"condition": Condition.RUNNING},
        {"condition": Condition.PAUSED},
        {"condition": Condition.FAILED, "failure": Failure("C", "why")},
        {"wish": Wish.RUN, "asked": 1},
        {**ENDED, "wish": Wish.RUN, "asked": 2, "answered": 1},
    ],
    ids=str,
)
def test_what_a_job_needs_that_has_not_ended_stays(facts: dict[str, Any]) -> None:
    job = restore(**facts)
    assert needed(job) == [f"The {what} shop is needed by restore-1 ({job.id})" for what in ("bucket", "instance")]


@pytest.mark.parametrize("facts", [ENDED, {**ENDED, "wish": Wish.STOP}, {"plan": None}], ids=str)
def test_what_only_ended_jobs_used_goes(facts: dict[str, Any]) -> None:
    assert needed(restore(**facts)) == needed() == ["", ""]


def test_an_open_chain_needs_its_files_and_its_server_until_the_last_backup() -> None:
    first, last = restore("false", **ENDED), restore("true", **ENDED)
    assert all("whose chain waits for its next backup" in said for said in needed(first))
    assert needed(last, first) == ["", ""]
    assert all(needed(first, last)), "a new chain after one that has ended"
    assert all(needed(restore("true", instance="other", **ENDED), first)), "another server's is another chain"


def test_a_sql_server_has_taken_the_files_of_a_chain_already() -> None:
    bucket, instance = needed(restore("false", "sqlserver", **ENDED))
    assert bucket == ""
    assert "chain" in instance


def test_backups_that_are_kept_in_a_bucket_keep_it() -> None:
    target = Endpoint("redis", (), files=(StoredFile("b", "b.rdb"),))
    plan = Plan(Endpoint("redis", (("h", 6379),), instance_id="other"), target, Mode.FULL)
    bucket, instance = needed(*(a_job(**ENDED, plan=plan, name=f"backup_{n}") for n in range(7)))
    assert "a backup that is kept there" in bucket
    assert "and 2 more" in bucket
    assert instance == ""
    of_it = replace(plan, source=replace(plan.source, instance_id="i"))
    assert "a backup of it" in needed(a_job(**ENDED, plan=of_it))[1]
    assert needed(a_job(**ENDED, failure=Failure("C", "why"), plan=plan))[0] == "", "nothing was kept"


# By the command line.


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """A service with a bucket and a server, both called ``shop``, and a job that needs them."""
    folder = tmp_path_factory.mktemp("using")
    environ = {"STERNA_DATA": str(folder / "data"), "SECRET": SECRET, "NEW": "another-secret"}
    tools = Tools(engines, open_store, serve, work, environ, (), open_bucket)
    for words in (
        ("init",),
        (
            "bucket",
            "add",
            "shop",
            "--endpoint",
            "https://one:9000",
            "--access-key",
            "AK",
            "--secret-env",
            "SECRET",
        ),
        ("bucket", "add", "local", "--folder", str(folder)),
        ("instance", "add", "--name", "shop", "--engine", "postgresql", "--address", "db:5432"),
    ):
        assert run(list(words), tools) == 0
    return tools


@pytest.fixture
def tools(shared: Tools) -> Iterator[Tools]:
    """The same, and afterwards as it was."""
    bucket, instance = known(shared)
    yield shared

    async def back(store: Store) -> None:
        await store.put_bucket(bucket)
        await store.put_instance(instance)

    in_store(shared, back)


def in_store(tools: Tools, ask: Callable[[Store], Awaitable[T]]) -> T:
    async def asked() -> T:
        settings = settings_of(tools, None, None)
        store = await open_store(settings.store_url, settings.key_path)
        try:
            return await ask(store)
        finally:
            await store.close()

    return asyncio.run(asked())


def known(tools: Tools) -> tuple[Bucket, Instance]:
    async def ask(store: Store) -> tuple[Bucket, Instance]:
        return next(it for it in await store.buckets() if it.name == "shop"), (await store.instances())[0]

    return in_store(tools, ask)


def test_the_command_line_refuses_to_remove_what_is_needed(
    shared: Tools, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket, instance = known(shared)
    job = restore(instance=instance.id, project_id=bucket.project_id)
    assert job.plan is not None
    source = replace(job.plan.source, files=(StoredFile(bucket.id, "a.bak"),))
    job = replace(job, plan=replace(job.plan, source=source))
    in_store(shared, lambda store: store.add_job(job))
    for what in ("bucket", "instance"):
        capsys.readouterr()
        assert run([what, "remove", "shop"], shared) == 2
        assert f"is needed by restore-1 ({job.id})" in capsys.readouterr().err
        assert known(shared) == (bucket, instance)
    assert run(["bucket", "remove", "local"], shared) == 0
    assert run(["bucket", "add", "local", "--folder", "/"], shared) == 0
    for what in ("bucket", "instance"):
        assert run([what, "remove", "shop", "--force"], shared) == 0

    async def back(store: Store) -> None:
        await store.add_bucket(bucket)
        await store.add_instance(instance)

    in_store(shared, back)


def test_a_bucket_gets_new_keys_and_stays_the_same(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    before, _ = known(tools)
    capsys.readouterr()
    words = ["bucket", "change", "shop", "--access-key", "AK2", "--secret-env", "NEW", "--region", "r", "--json"]
    assert run(words, tools) == 0
    out, err = capsys.readouterr()
    assert (json.loads(out)["id"], json.loads(out)["access_key"]) == (before.id, "AK2")
    assert SECRET not in out + err
    assert "another-secret" not in out + err
    assert run(["bucket", "change", "shop", "--endpoint", "two:9000", "--style", "virtual"], tools) == 0
    after, _ = known(tools)
    assert after == replace(
        before,
        access_key="AK2",
        secret_key="another-secret",
        region="r",
        endpoint="https://two:9000",
        style="virtual",
    )


WRONG = [
    (("bucket", "change", "shop"), "Nothing was named"),
    (("bucket", "change", "shop", "--style", "odd"), "path or virtual"),
    (("bucket", "change", "shop", "--endpoint", "https://h/path"), "HOST"),
    (("bucket", "change", "shop", "--endpoint", "http://h", "--insecure"), "https"),
    (("bucket", "change", "shop", "--access-key", "AK2"), "--secret-env"),
    (("bucket", "change", "shop", "--secret-env", "UNSET"), "not set"),
    (("bucket", "change", "local", "--region", "r"), "is a folder"),
    (("bucket", "change", "none", "--region", "r"), "none"),
    (("instance", "change", "shop"), "Nothing was named"),
    (("instance", "change", "shop", "--address", "nowhere"), "--address"),
    (("instance", "change", "shop", "--password-env", "UNSET"), "not set"),
]


@pytest.mark.parametrize(("words", "part"), WRONG)
def test_what_cannot_change_is_said_and_changes_nothing(
    tools: Tools, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], part: str
) -> None:
    before = known(tools)
    capsys.readouterr()
    assert run(list(words), tools) == 2
    assert part in capsys.readouterr().err
    assert known(tools) == before


def test_a_server_gets_a_new_password_and_address(tools: Tools, capsys: pytest.CaptureFixture[str]) -> None:
    _, before = known(tools)
    capsys.readouterr()
    words = ["instance", "change", "shop", "--address", "new:5433", "--user", "bob", "--password-env", "NEW"]
    assert run(words, tools) == 0
    assert "another-secret" not in "".join(capsys.readouterr())
    _, after = known(tools)
    assert after == replace(before, addresses=(("new", 5433),), user="bob", password="another-secret")
