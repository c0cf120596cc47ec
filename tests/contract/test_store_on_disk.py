"""What the store in a database promises besides: crashes, many processes, secrets, keys, migrations."""

import asyncio
import importlib
import logging
import os
import pkgutil
import sqlite3
import stat
import sys
from asyncio.subprocess import PIPE, Process
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine

import sterna
import tests.contract.writer
from sterna.core.errors import BadData, Invalid, NeedsOperator, Trouble, Unreachable
from sterna.core.finding import Finding, Severity
from sterna.core.job import Job, JobId
from sterna.core.people import AccessKey, Bucket, Domain, Instance, User
from sterna.core.plan import Pace, Selection
from sterna.store.database import connect
from sterna.store.migrate import HEAD, VERSION_TABLE
from sterna.store.secrets import WrongKey
from sterna.store.sql import SqlStore, open_store
from sterna.store.tables import metadata
from tests.contract.stores import KEY, PASSWORD, PLAN, a_job

pytestmark = pytest.mark.long

WRITER = tests.contract.writer.__file__


async def writer(url: str, job: Job, name: str, rounds: int) -> Process:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [url, KEY.hex(), job.id, name, str(rounds)]
    return await asyncio.create_subprocess_exec(sys.executable, WRITER, *arguments, stdout=PIPE, env=environment)


async def one_job(url: str) -> Job:
    """A store at this address that holds one job."""
    store = await open_store(url, KEY)
    job = a_job()
    await store.add_job(job)
    await store.close()
    return job


async def fill(store: SqlStore) -> Job:
    """Put every kind of secret into a store."""
    job = a_job()
    await store.add_job(job)
    await store.describe(job.id, plan=replace(PLAN, target=replace(PLAN.target, password=PASSWORD + "2")))
    await store.add_domain(Domain("d", "home"))
    await store.add_user(User("a", "anna", "d", "scrypt$hash"))
    await store.add_key(AccessKey("AK1", PASSWORD + "sk1", "a", 0, PASSWORD + "st"))
    await store.add_key(AccessKey("AK2", PASSWORD + "sk2", "a"))
    await store.add_instance(Instance("i", "p", "cache", "redis", (("h", 1),), "u", PASSWORD + "instance"))
    await store.add_bucket(Bucket("b", "p", "backups", "s3", access_key="AK", secret_key=PASSWORD + "bucket"))
    return job


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir())


async def test_many_processes_write_at_once_and_nothing_is_lost(url: str) -> None:
    job = await one_job(url)
    names, rounds = ["one", "two", "three"], 60
    writers = [await writer(url, job, name, rounds) for name in names]
    outputs = [(await process.communicate())[0] for process in writers]
    assert [process.returncode for process in writers] == [0, 0, 0]
    assert all(output.split()[-1] == b"60" for output in outputs)
    store = await open_store(url, KEY)
    total, events = await store.events(job.id, limit=1000, newest=False)
    assert total == len(names) * rounds
    for name in names:
        assert [event.message for event in events if event.code == name] == [str(n) for n in range(1, rounds + 1)]
    assert await store.positions(job.id) == dict.fromkeys(names, str(rounds))
    await store.close()


async def test_a_killed_writer_leaves_everything_it_was_told_is_kept(url: str) -> None:
    job = await one_job(url)
    for turn in range(3):
        process = await writer(url, job, f"w{turn}", 100_000)
        assert process.stdout
        for _ in range(15):
            kept = int(await process.stdout.readline())
        process.kill()
        rest = await process.stdout.read()
        await process.wait()
        kept = max([kept, *(int(line) for line in rest.splitlines(keepends=True) if line.endswith(b"\n"))])
        store = await open_store(url, KEY)
        total, events = await store.events(job.id, limit=1)
        assert int((await store.positions(job.id))[f"w{turn}"]) in (kept, kept + 1)
        assert int(events[0].message) in (kept, kept + 1)
        assert total == events[0].seq
        await store.close()


async def test_many_processes_may_make_the_store_at_once(url: str) -> None:
    async def make() -> None:
        store = await open_store(url, KEY)
        await store.add_domain(Domain(os.urandom(4).hex(), os.urandom(4).hex()))
        await store.close()

    script = f"""import asyncio, os
from sterna.store.sql import open_store
asyncio.run(open_store({url!r}, {KEY!r}))"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    others = [
        await asyncio.create_subprocess_exec(sys.executable, "-c", script, env=environment) for _ in range(3)
    ]
    await asyncio.gather(*(make() for _ in range(4)))
    assert [await process.wait() for process in others] == [0, 0, 0]
    store = await open_store(url, KEY)
    assert len(await store.domains()) == 4
    await store.close()


async def test_another_key_is_refused_at_once_and_harms_nothing(url: str) -> None:
    job = await one_job(url)
    with pytest.raises(WrongKey) as refusal:
        await open_store(url, bytes(32))
    assert isinstance(refusal.value, NeedsOperator)
    assert str(refusal.value) == "The encryption key does not fit this data folder."
    assert refusal.value.hint
    store = await open_store(url, KEY)
    assert await store.job(job.id) == job
    await store.close()


async def test_a_key_of_the_wrong_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NeedsOperator):
        await open_store(tmp_path / "db", b"short")
    assert not (tmp_path / "db").exists()


async def test_no_secret_is_in_the_files_in_clear(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "sterna.db", KEY)
    job = await fill(store)
    while_open = everything_in(tmp_path)
    assert (await store.job(job.id)).plan != PLAN
    await store.close()
    closed = everything_in(tmp_path)
    for written in (while_open, closed):
        assert job.id.encode() in written
        for form in (PASSWORD.encode(), PASSWORD.encode().hex().encode(), PASSWORD.encode("utf-16-le")):
            assert form not in written


async def test_the_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "new" / "sterna.db", KEY)
    await store.add_domain(Domain("d", "home"))
    files = list((tmp_path / "new").iterdir())
    assert len(files) > 1
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    await store.close()


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE access_keys SET secret_key = (SELECT secret_key FROM access_keys WHERE access_key = 'AK2')",
        "UPDATE access_keys SET secret_key = security_token WHERE access_key = 'AK1'",
        "UPDATE access_keys SET secret_key = (SELECT password FROM instances)",
        "UPDATE access_keys SET secret_key = (SELECT secret_key FROM buckets)",
        "UPDATE access_keys SET secret_key = x'01'",
        "UPDATE access_keys SET secret_key = CAST(x'02' || substr(secret_key, 2) AS BLOB)",
    ],
)
async def test_a_sealed_secret_opens_only_where_it_was_put(tmp_path: Path, swap: str) -> None:
    path = tmp_path / "sterna.db"
    store = await open_store(path, KEY)
    await fill(store)
    with sqlite3.connect(path) as connection:
        connection.execute(swap)
    connection.close()
    with pytest.raises(WrongKey):
        await store.key("AK1")
    await store.close()


async def test_the_same_secret_is_never_sealed_to_the_same_bytes(tmp_path: Path) -> None:
    path = tmp_path / "sterna.db"
    store = await open_store(path, KEY)
    job = await fill(store)
    seen = set()
    for _ in range(5):
        await store.describe(job.id, plan=PLAN)
        with sqlite3.connect(path) as connection:
            seen.add(connection.execute("SELECT plan_secrets FROM jobs").fetchone()[0])
        connection.close()
    assert len(seen) == 5
    await store.close()


async def test_deleting_a_job_takes_its_sealed_passwords_away(tmp_path: Path) -> None:
    path = tmp_path / "sterna.db"
    store = await open_store(path, KEY)
    job = await fill(store)
    await store.delete_job(job.id)
    await store.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT plan_secrets FROM jobs").fetchall() == [(None,)]
    connection.close()


async def test_no_secret_is_in_what_is_logged(url: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    store = await open_store(url, KEY)
    await fill(store)
    await store.close()
    assert PASSWORD not in caplog.text
    assert KEY.hex() not in caplog.text


async def test_a_commit_waits_for_the_disk(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "sterna.db", KEY)

    def settings(pragma: str) -> object:
        with store._database._engine.connect() as connection:
            return connection.exec_driver_sql(f"PRAGMA {pragma}").scalar()

    assert [settings(pragma) for pragma in ("journal_mode", "synchronous", "foreign_keys")] == ["wal", 2, 1]
    await store.close()


async def test_opening_twice_is_fine_and_keeps_everything(url: str) -> None:
    job = await one_job(url)
    for _ in range(2):
        store = await open_store(url, KEY)
        assert await store.job(job.id) == job
        await store.close()


async def test_the_migrations_build_what_the_tables_say(url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    store = await open_store(url, KEY)
    with store._database._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
        assert context.get_current_revision() == HEAD
    await store.close()


@pytest.mark.parametrize("made_by", ["0001", None])
async def test_a_store_of_an_older_version_is_brought_up_to_date(url: str, made_by: str | None) -> None:
    """None: from nothing, by the revisions alone."""
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    database = connect(url)
    await database.write(revise, made_by or HEAD)
    if made_by:
        await database.write(add_old_job)
    await database.close()
    store = await open_store(url, KEY)
    with store._database._engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []
    if made_by:
        job = await store.job(JobId("old"))
        assert (job.starts_ms, job.name) == (0, "old")
        assert list(await store.due()) == ["old"]
        await store.put_note(job.id, "comparison", "a", {"n": 1})
        assert await store.notes(job.id, "comparison") == {"a": {"n": 1}}
    await store.close()


def revise(transaction: Connection, revision: str) -> None:
    """Make the tables of a version as that version did."""
    import sterna.store.migrations as migrations

    config = Config(attributes={"connection": transaction})
    config.set_main_option("script_location", migrations.__path__[0])
    command.upgrade(config, revision)


def add_old_job(transaction: Connection) -> None:
    transaction.exec_driver_sql(
        "INSERT INTO jobs (id, project_id, kind, name, description, extra, phase, condition, wish, asked,"
        " answered, epoch, created_ms, updated_ms, deleted)"
        " VALUES ('old', 'p', 'cli', 'old', '', '{}', 'DRAFT', 'IDLE', 'RUN', 1, 0, 0, 1, 1, FALSE)"
    )


def test_the_newest_migration_is_the_one_that_is_asked_for() -> None:
    from alembic.script import ScriptDirectory

    import sterna.store.migrations as migrations

    assert ScriptDirectory(migrations.__path__[0]).get_heads() == [HEAD]


async def test_a_store_of_a_newer_version_is_left_alone(url: str) -> None:
    store = await open_store(url, KEY)
    with store._database._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sterna_revision SET version_num = '9999'")
    await store.close()
    with pytest.raises(NeedsOperator, match="newer"):
        await open_store(url, KEY)


async def test_a_damaged_file_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "sterna.db"
    path.write_bytes(b"this is not a database" * 500)
    with pytest.raises(BadData):
        await open_store(path, KEY)


async def test_a_place_that_cannot_hold_a_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NeedsOperator, match="file"):
        await open_store(tmp_path / "file" / "sterna.db", KEY)


@pytest.mark.parametrize(
    "url", ["mysql://h/db", "sqlite://", "postgresql+asyncpg://h/db", "::://", "sqlite:///:memory:"]
)
async def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(Invalid) as refusal:
        await open_store(url, KEY)
    assert refusal.value.field == "store"


async def test_a_server_that_is_not_there_is_unreachable_and_its_password_stays_hidden() -> None:
    with pytest.raises(Unreachable) as trouble:
        await open_store(f"postgresql://user:{PASSWORD}@127.0.0.1:1/none", KEY)
    error: BaseException | None = trouble.value
    while error:
        assert PASSWORD not in f"{error!s}{error!r}"
        error = error.__cause__


@pytest.mark.server
async def test_a_database_that_does_not_exist_is_said_not_to_exist(store_server: str) -> None:
    for scheme in ("postgresql", "postgres", "postgresql+psycopg"):
        with pytest.raises(Unreachable, match=r"nowhere.*does not exist"):
            await open_store(f"{scheme}://{store_server.split('://')[1].rsplit('/', 1)[0]}/nowhere", KEY)


async def test_a_writer_waits_for_one_who_holds_the_file(tmp_path: Path) -> None:
    path = tmp_path / "sterna.db"
    job = await one_job(str(path))
    store = await open_store(path, KEY)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    begun = asyncio.create_task(store.begin(job.id))
    assert (await store.job(job.id)).epoch == 0
    assert not begun.done()
    other.execute("COMMIT")
    other.close()
    assert await begun == 1
    await store.close()


async def test_a_row_of_an_older_version_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "sterna.db"
    job = await one_job(str(path))
    plan = '{"source": {"engine": "redis", "addresses": [["h", 1]]}, "target": {"engine": "redis"}}'
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE jobs SET plan = ?, plan_secrets = NULL", (plan,))
        connection.exec_driver_sql("""UPDATE progress SET figures = '{"rows": 3, "unknown": 4}'""")
        found = '[{"check": "c", "severity": "PASSED", "evidence": "e"}]'
        connection.exec_driver_sql("UPDATE findings SET findings = ?", (found,))
    engine.dispose()
    store = await open_store(path, KEY)
    read = (await store.job(job.id)).plan
    assert read is not None
    assert (read.source.addresses, read.target.tls, read.mode) == ((("h", 1),), None, "incremental")
    assert (read.selection, read.pace, read.source.database) == (Selection(), Pace(), "")
    assert (await store.progress(job.id)).rows == 3
    assert list(await store.findings(job.id)) == [Finding("c", Severity.PASSED, "e")]
    await store.close()


def test_every_error_has_a_code_of_its_own() -> None:
    for module in pkgutil.walk_packages(sterna.__path__, "sterna."):
        if not module.name.endswith(("__main__", "migrations.env")):  # these run when they are imported
            importlib.import_module(module.name)
    kinds: list[type[Trouble]] = [Trouble]
    for kind in kinds:
        kinds += kind.__subclasses__()
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))
