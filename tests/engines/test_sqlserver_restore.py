"""Backups go into a SQL Server that restores them by itself: whole conversations, by the real client library.

The server is a stand-in of the tests' own (``tests.servers.tds``, ``tests.servers.sqlserver``), not a SQL Server.
"""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from sterna.core.errors import (
    AccessDenied,
    ApplyFailed,
    BadData,
    KeyConflict,
    NeedsOperator,
    ServerBusy,
    TargetFull,
    Trouble,
    Unreachable,
    Unsupported,
)
from sterna.core.files import Blob
from sterna.core.finding import Severity
from sterna.core.job import JobId
from tests.effort import PATIENCE
from tests.engines.sqlserver_scene import ACCESS, JOB, SECRET, Scene, Shared, differential, full, log, scene
from tests.servers.sqlserver import Database, Fault

PIECE = 12_288
TWO = JobId("job-2")
THREE = JobId("job-3")


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as it:
        yield it


# --- what is restored ---


async def test_a_full_backup_becomes_a_database_with_files_of_its_own(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak"))
    database = stage.model.databases["Shop"]
    assert database.state == "ONLINE"
    assert database.sets == [full().guid]
    data, logs = database.files.values()
    assert data.startswith("D:\\data\\Shop_")
    assert data.endswith("_1.mdf")
    assert logs.startswith("E:\\log\\Shop_")
    assert logs.endswith(".ldf")
    (statement,) = stage.restores()
    assert "REPLACE" not in statement
    assert stage.model.ran("ALTER") == []


async def test_progress_is_told_and_never_goes_back(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak"))
    await asyncio.sleep(0)
    assert stage.percents == sorted(stage.percents)
    assert stage.percents[-1] == 100
    assert len({each for each in stage.percents if each > 30}) >= 15


async def test_the_copies_in_the_shared_folder_go_unless_they_are_to_stay(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak"))
    assert list(stage.share.iterdir()) == []
    await stage.restore(stage.plan("shop.bak", cover=True, delete_backup_file="false"), TWO)
    (whole,) = [each for each in stage.share.iterdir() if not each.name.startswith(".")]
    assert whole.read_bytes() == (stage.bucket / "shop.bak").read_bytes()
    assert (stage.bucket / "shop.bak").exists()


async def test_stripes_are_all_named_in_their_order_whatever_the_order_of_the_files(stage: Scene) -> None:
    stage.write(["c.bak", "a.bak", "b.bak"], full())
    await stage.restore(stage.plan("b.bak", "c.bak", "a.bak"))
    (statement,) = stage.restores()
    assert statement.count("DISK = ") == 3
    assert statement.index("c.bak") < statement.index("a.bak") < statement.index("b.bak")
    assert stage.states() == {"Shop": "ONLINE"}


async def test_several_sets_in_one_file_are_each_restored_by_their_number(stage: Scene) -> None:
    stage.write("both.bak", full("Shop"), full("Other"))
    await stage.restore(stage.plan("both.bak"))
    assert stage.states() == {"Shop": "ONLINE", "Other": "ONLINE"}
    assert [("[Other]" in each, "FILE = 2" in each) for each in stage.restores()] == [(False, False), (True, True)]


async def test_databases_that_are_named_are_taken_alone_and_renamed(stage: Scene) -> None:
    stage.write("both.bak", full("Shop"), full("Other"))
    await stage.restore(stage.plan("both.bak", only="Shop", renames={"Shop": "Neu"}))
    assert stage.states() == {"Neu": "ONLINE"}


async def test_a_chain_in_one_job_is_restored_in_order_and_recovered_once(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("d.bak", differential(base))
    stage.write("l1.trn", log(base, 1))
    stage.write("l2.trn", log(base, 2))
    await stage.restore(stage.plan("l2.trn", "d.bak", "l1.trn", "f.bak"))
    sets = stage.model.databases["Shop"].sets
    assert sets == [base.guid, differential(base).guid, log(base, 1).guid, log(base, 2).guid]
    kinds = [(each.split()[1], "NORECOVERY" in each) for each in stage.restores()]
    assert kinds == [("DATABASE", True), ("DATABASE", True), ("LOG", True), ("LOG", False)]
    assert stage.states() == {"Shop": "ONLINE"}


async def test_the_same_backup_in_two_files_is_restored_once(stage: Scene) -> None:
    stage.write("one.bak", full())
    (stage.bucket / "two.bak").write_bytes((stage.bucket / "one.bak").read_bytes())
    stage.write(["s1.bak", "s2.bak"], full("Striped"))
    (stage.bucket / "s3.bak").write_bytes((stage.bucket / "s2.bak").read_bytes())
    await stage.restore(stage.plan("one.bak", "two.bak", "s2.bak", "s3.bak", "s1.bak"))
    assert stage.states() == {"Shop": "ONLINE", "Striped": "ONLINE"}
    assert len(stage.restores()) == 2


async def test_a_chain_over_several_jobs_waits_until_the_last(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("d.bak", differential(base))
    stage.write("l1.trn", log(base, 1))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    assert stage.states() == {"Shop": "RESTORING"}
    await stage.restore(stage.plan("d.bak", last_backup="false", recovery_mode="incre"), TWO)
    assert stage.states() == {"Shop": "RESTORING"}
    plan = stage.plan("l1.trn", last_backup="true", recovery_mode="incre", precheck="false")
    assert await stage.failed(plan) == ""
    await stage.restore(plan, THREE)
    assert stage.states() == {"Shop": "ONLINE"}
    assert stage.model.databases["Shop"].sets == [base.guid, differential(base).guid, log(base, 1).guid]


async def test_a_job_that_has_nothing_new_only_brings_the_database_online(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    await stage.restore(stage.plan("f.bak", "l1.trn", last_backup="false"))
    await stage.restore(stage.plan("l1.trn"), TWO)
    assert stage.model.ran("RESTORE DATABASE")[-1] == "RESTORE DATABASE [Shop] WITH RECOVERY"
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_database_that_is_covered_loses_its_users_first(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", files={"old": "D:\\data\\old.mdf"}, users=3)
    await stage.restore(stage.plan("shop.bak", cover=True))
    assert stage.model.databases["Shop"].sets == [full().guid]
    assert "REPLACE" in stage.restores()[0]
    assert stage.model.ran("ALTER") == [
        "ALTER DATABASE [Shop] SET SINGLE_USER WITH ROLLBACK IMMEDIATE",
        "ALTER DATABASE [Shop] SET MULTI_USER",
    ]
    assert not stage.model.databases["Shop"].single_user


async def test_a_database_in_the_way_stops_the_job_and_stays_as_it_is(stage: Scene) -> None:
    stage.write("shop.bak", full())
    old = Database("SHOP", files={"old": "D:\\data\\old.mdf"}, users=1)
    stage.model.databases["SHOP"] = old
    with pytest.raises(KeyConflict, match="SHOP"):
        await stage.restore(stage.plan("shop.bak"))
    assert stage.model.databases == {"SHOP": old}
    assert stage.restores() == []
    assert stage.model.ran("ALTER") == []


HOSTILE = ["a]b", "it's", "x]]; DROP DATABASE master;--", "'; SHUTDOWN --", "日本 100%", "a%sb", "[x]", "\u202e\n"]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_names_are_names_and_nothing_else(stage: Scene, name: str) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak", renames={"*": name}))
    assert stage.states() == {name: "ONLINE"}
    await stage.restore(stage.plan("shop.bak", renames={"*": name}, cover=True), TWO)
    assert stage.states() == {name: "ONLINE"}


async def test_hostile_file_names_do_not_leave_the_shared_folder(stage: Scene) -> None:
    odd = "..'; x] & 100%s.bak"
    stage.write(odd, full())
    await stage.restore(stage.plan(odd, delete_backup_file="false"))
    assert stage.states() == {"Shop": "ONLINE"}
    assert all(each.name.lstrip(".").startswith("sterna-") for each in stage.share.iterdir())


@pytest.mark.parametrize("name", ["", "x" * 129, "a\0b"])
async def test_what_can_be_no_name_is_refused_before_anything_is_done(stage: Scene, name: str) -> None:
    stage.write("shop.bak", full())
    plan = stage.plan("shop.bak", renames={"*": name})
    with pytest.raises(Unsupported, match="cannot be a name"):
        await stage.restore(plan)
    assert "cannot be a name" in await stage.failed(plan)
    assert stage.states() == {}


async def test_two_databases_under_one_name_and_the_server_s_own_are_refused(stage: Scene) -> None:
    stage.write("both.bak", full("Shop"), full("Other"))
    twice = stage.plan("both.bak", renames={"Shop": "New", "Other": "new"})
    own = stage.plan("both.bak", only="Shop", renames={"Shop": "msdb"}, cover=True)
    for plan in (twice, own):
        assert await stage.failed(plan)
        with pytest.raises(KeyConflict):
            await stage.restore(plan)
    assert stage.states() == {}


async def test_two_databases_whose_names_look_alike_get_files_of_their_own(stage: Scene) -> None:
    stage.write("both.bak", full("Shop"), full("Other"))
    await stage.restore(stage.plan("both.bak", renames={"Shop": "a b", "Other": "a_b"}))
    assert stage.states() == {"a b": "ONLINE", "a_b": "ONLINE"}


# --- how the files come to the server ---


async def test_a_server_that_reaches_the_store_reads_it_by_itself(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    plan = stage.by_url(stage.plan("shop.bak"))
    assert await stage.failed(plan) == ""
    await stage.restore(plan)
    assert stage.states() == {"Shop": "ONLINE"}
    assert stage.model.credentials == {}
    assert "URL = N's3://store.test:9000/backups/shop.bak'" in stage.restores()[0]
    assert '{"s3": {"region":"eu-1"}}' in stage.restores()[0]
    assert list(stage.share.iterdir()) == []


async def test_a_credential_that_an_operator_made_is_used_and_left(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    stage.model.credentials[stage.model.store] = stage.model.secret
    await stage.restore(stage.by_url(stage.plan("shop.bak")))
    assert list(stage.model.credentials) == [stage.model.store]
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_credential_goes_after_a_failure_too(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    stage.model.secret = "another"
    with pytest.raises(AccessDenied, match="error 3201") as refused:
        await stage.restore(stage.by_url(stage.plan("shop.bak")))
    assert "keys that the bucket is registered with" in refused.value.hint
    assert stage.model.credentials == {}


async def test_a_credential_that_a_crash_left_is_made_anew_and_goes(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    stage.model.hold_at = 50
    plan = stage.by_url(stage.plan("shop.bak"))
    task = asyncio.create_task(stage.restore(plan))
    await asyncio.to_thread(stage.model.held.wait, PATIENCE)
    await asyncio.to_thread(stage.server.stop)
    with pytest.raises(Unreachable):
        await task
    assert list(stage.model.credentials) == [stage.model.store]
    stage.server.start()
    stage.model.credentials[stage.model.store] = "of old keys"
    await stage.restore(plan)
    assert stage.model.credentials == {}
    assert stage.states() == {"Shop": "ONLINE"}


async def test_without_a_way_to_the_files_the_job_is_refused_with_what_to_do(stage: Scene) -> None:
    stage.write("shop.bak", full())
    no_way = stage.by_url(stage.plan("shop.bak"))
    half = stage.plan("shop.bak", shared_path="")
    plain = stage.by_url(stage.plan("shop.bak"))
    for plan in (no_way, half):
        with pytest.raises(Unsupported) as refused:
            await stage.restore(plan)
        assert "shared_folder" in refused.value.hint
        assert "sqlserver.way" in await stage.failed(plan)
    stage.storage = Shared(stage.bucket, "http://store.test")
    assert "no way" in await stage.failed(plain)
    stage.storage, stage.model.version = Shared(stage.bucket), "15.0.4000.1"
    assert "Before 2022" in await stage.failed(plain)


async def test_a_folder_that_the_server_does_not_see_is_found_before(stage: Scene) -> None:
    stage.write("shop.bak", full())
    plan = stage.plan("shop.bak", shared_path="D:\\elsewhere")
    told = await stage.failed(plan)
    assert "error 3201" in told
    assert "D:\\elsewhere" in told
    assert list(stage.share.iterdir()) == []
    with pytest.raises(ApplyFailed, match="Operating system error 2"):
        await stage.restore(plan)


async def test_a_file_is_brought_on_from_where_it_was_left_off(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.folders._PIECE", PIECE)
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.folders._SYNC_EVERY", 2 * PIECE)
    stage.write("shop.bak", full())
    reads: list[int] = []
    stage.storage = Broken(stage.bucket, after=3 * PIECE, reads=reads)
    with pytest.raises(Unreachable, match="the transfer broke"):
        await stage.restore(stage.plan("shop.bak"))
    assert [each.name for each in stage.share.iterdir() if not each.name.startswith(".")] == []
    assert reads == [0, PIECE, 2 * PIECE, 3 * PIECE]
    reads.clear()
    (part,) = stage.share.glob(".*.part")
    part.write_bytes(part.read_bytes()[: 2 * PIECE] + b"\0" * PIECE)  # a power cut: the last bytes were never kept
    stage.storage = Broken(stage.bucket, after=1 << 40, reads=reads)
    await stage.restore(stage.plan("shop.bak", delete_backup_file="false"))
    assert reads[0] == 2 * PIECE
    assert stage.states() == {"Shop": "ONLINE"}
    (copy,) = stage.share.glob("sterna-*")
    assert copy.read_bytes() == (stage.bucket / "shop.bak").read_bytes()


async def test_a_file_that_was_replaced_meanwhile_is_brought_anew(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.faults = [Fault("RESTORE DATABASE", ((3101, 16, "in use"),))]
    with pytest.raises(ServerBusy):
        await stage.restore(stage.plan("shop.bak"))
    assert len(list(stage.share.iterdir())) == 2
    stage.write("shop.bak", full("Other"))
    await stage.restore(stage.plan("shop.bak"))
    assert stage.states() == {"Other": "ONLINE"}


async def test_a_shared_folder_without_room_is_said_so(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.write("shop.bak", full())
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 10})())
    with pytest.raises(TargetFull, match="10 bytes free"):
        await stage.restore(stage.plan("shop.bak"))
    assert stage.restores() == []


async def test_a_server_that_sees_another_file_is_noticed(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak", delete_backup_file="false"))
    (copy,) = [each for each in stage.share.iterdir() if not each.name.startswith(".")]
    stage.write("other.bak", full("Other"))
    data = (stage.bucket / "other.bak").read_bytes()
    size = copy.stat().st_size
    copy.write_bytes(data.ljust(size, b"\0")[:size])
    with pytest.raises(BadData, match="other backup sets"):
        await stage.restore(stage.plan("shop.bak", cover=True))


# --- after a crash, a cut, a stop ---


async def test_a_server_that_dies_halfway_restores_anew_in_the_next_run(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.hold_at = 40
    task = asyncio.create_task(stage.restore(stage.plan("shop.bak")))
    await asyncio.to_thread(stage.model.held.wait, PATIENCE)
    await asyncio.to_thread(stage.server.stop)
    with pytest.raises(Unreachable):
        await task
    assert stage.states() == {"Shop": "RESTORING"}
    with pytest.raises(Unreachable):
        await stage.restore(stage.plan("shop.bak"))
    stage.server.start()
    await stage.restore(stage.plan("shop.bak"))
    assert stage.states() == {"Shop": "ONLINE"}
    assert "REPLACE" in stage.restores()[-1]


async def test_another_job_does_not_take_over_what_this_one_left(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stopped_at(stage, 40)
    with pytest.raises(KeyConflict, match="RESTORING"):
        await stage.restore(stage.plan("shop.bak"), TWO)
    await stage.restore(stage.plan("shop.bak", cover=True), TWO)
    assert stage.states() == {"Shop": "ONLINE"}


async def stopped_at(stage: Scene, percent: int, *files: str) -> None:
    """Cancel a run in the middle of a RESTORE."""
    stage.model.hold_at = percent
    task = asyncio.create_task(stage.restore(stage.plan(*(files or ("shop.bak",)))))
    await asyncio.to_thread(stage.model.held.wait, PATIENCE)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_stop_reaches_the_server_and_the_next_run_begins_that_restore_again(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stopped_at(stage, 40)
    assert stage.states() == {"Shop": "RESTORING"}
    assert stage.model.databases["Shop"].sets == []
    await stage.restore(stage.plan("shop.bak"))
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_chain_goes_on_with_the_set_at_which_it_was_stopped(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    stage.write("l2.trn", log(base, 2))
    stage.model.faults = [Fault("RESTORE LOG", ((3203, 16, "Read on failed: 1117(I/O device error)"),))]
    with pytest.raises(Unreachable, match=r"l1\.trn"):
        await stage.restore(stage.plan("f.bak", "l1.trn", "l2.trn"))
    before = len(stage.restores())
    await stage.restore(stage.plan("f.bak", "l1.trn", "l2.trn"))
    assert [each.split()[1] for each in stage.restores()[before:]] == ["LOG", "LOG"]
    assert stage.model.databases["Shop"].sets == [base.guid, log(base, 1).guid, log(base, 2).guid]


async def test_what_is_restored_already_is_not_restored_again(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    plan = stage.plan("f.bak", "l1.trn")
    await stage.restore(plan)
    count = len(stage.restores())
    await stage.restore(plan)
    assert len(stage.restores()) == count
    incremental = stage.plan("l1.trn", recovery_mode="incre")
    await stage.restore(incremental, TWO)
    assert len(stage.restores()) == count


async def test_the_same_backup_in_a_later_job_is_restored_again(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak"))
    await stage.restore(stage.plan("shop.bak", cover=True), TWO)
    assert len(stage.restores()) == 2
    await stage.restore(stage.plan("shop.bak", cover=True), JOB)
    assert len(stage.restores()) == 3


async def test_users_may_come_back_if_the_restore_could_not_begin(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", files={"old": "D:\\data\\old.mdf"}, users=3)
    stage.model.faults = [Fault("RESTORE DATABASE", ((3257, 16, "There is insufficient free space."),))]
    with pytest.raises(TargetFull):
        await stage.restore(stage.plan("shop.bak", cover=True))
    assert not stage.model.databases["Shop"].single_user
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_database_that_somebody_brought_online_too_early_is_said_so(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    stage.model.databases["Shop"].state, stage.model.databases["Shop"].redo_start = "ONLINE", None
    plan = stage.plan("l1.trn", recovery_mode="incre")
    assert "is online" in await stage.failed(plan)
    with pytest.raises(ApplyFailed, match="is online"):
        await stage.restore(plan, TWO)


# --- errors ---

ERRORS: list[tuple[int, str, type[Trouble]]] = [
    (3201, "Cannot open backup device 'x'. Operating system error 5(Access is denied.).", AccessDenied),
    (3201, "Cannot open backup device 'x'. Operating system error 2(not found).", ApplyFailed),
    (3203, "Read on 'x' failed: 38(Reached the end of the file.) operating system error 38(", BadData),
    (3203, "Read on 'x' failed: 1117(I/O device error.)", Unreachable),
    (3241, "The media family on device 'x' is incorrectly formed.", BadData),
    (3183, "RESTORE detected an error on page (1:7) in database 'Shop'.", BadData),
    (3189, "Damage to the backup set was detected.", BadData),
    (3132, "The media set has 2 media families but only 1 are provided.", BadData),
    (3154, "The backup set holds a backup of a database other than the existing.", KeyConflict),
    (3159, "The tail of the log for the database has not been backed up.", KeyConflict),
    (3169, "The database was backed up on a server running version 16.", Unsupported),
    (3101, "Exclusive access could not be obtained because the database is in use.", ServerBusy),
    (3257, "There is insufficient free space on disk volume.", TargetFull),
    (5133, "Directory lookup failed with the operating system error 2(not found).", ApplyFailed),
    (5123, "CREATE FILE encountered operating system error 5(Access is denied.)", AccessDenied),
    (5149, "MODIFY FILE encountered operating system error 112(not enough space)", TargetFull),
    (4305, "The log in this backup set begins too late.", BadData),
    (3117, "No files are ready to rollforward.", ApplyFailed),
    (3136, "This differential backup cannot be restored.", BadData),
    (3110, "User does not have permission to RESTORE database.", AccessDenied),
    (33111, "Cannot find server certificate with thumbprint '0x12'.", Unsupported),
    (1827, "CREATE DATABASE failed: the resulting size would exceed your licensed limit.", Unsupported),
    (5591, "FILESTREAM feature is disabled.", Unsupported),
    (50123, "Something that nobody has heard of.", ApplyFailed),
]


@pytest.mark.parametrize(("number", "text", "kind"), ERRORS, ids=lambda it: str(it)[:12])
async def test_an_error_of_the_server_s_names_database_file_and_number(
    stage: Scene, number: int, text: str, kind: type[Trouble]
) -> None:
    stage.write("shop.bak", full())
    ends = ((number, 16, text), (3013, 16, "RESTORE DATABASE is terminating abnormally."))
    stage.model.faults = [Fault("RESTORE DATABASE", ends)]
    with pytest.raises(Trouble) as raised:
        await stage.restore(stage.plan("shop.bak"))
    assert type(raised.value) is kind
    for word in ("Shop", "shop.bak", f"error {number}: {text}"):
        assert word in raised.value.message
    assert "3013" not in raised.value.message
    if isinstance(raised.value, NeedsOperator):
        assert raised.value.hint


async def test_what_the_server_really_refuses_is_understood(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.version = "12.0.2000.8"
    with pytest.raises(Unsupported, match="error 3169"):
        await stage.restore(stage.plan("shop.bak"))
    assert "newer than the server" in await stage.failed(stage.plan("shop.bak"))
    stage.model.version, stage.model.free = "16.0.1", 5
    with pytest.raises(TargetFull, match="error 3257"):
        await stage.restore(stage.plan("shop.bak"))
    assert "5 bytes free" in await stage.failed(stage.plan("shop.bak"))
    (stage.bucket / "junk.bak").write_bytes(b"no backup at all")
    with pytest.raises(BadData, match=r"junk\.bak.*error 3241"):
        await stage.restore(stage.plan("junk.bak"))


async def test_a_missing_stripe_a_gap_and_a_missing_file_are_found_before(stage: Scene) -> None:
    base = full()
    stage.write(["s1.bak", "s2.bak"], base)
    stage.write("f.bak", base)
    stage.write("l2.trn", log(base, 2))
    stage.write("l1.trn", log(base, 1))
    assert "file 2 of 2 is missing" in await stage.failed(stage.plan("s1.bak"))
    with pytest.raises(BadData, match="file 2 is missing"):
        await stage.restore(stage.plan("s1.bak"))
    assert "is missing" in await stage.failed(stage.plan("f.bak", "l2.trn"))
    with pytest.raises(BadData, match="the log backup between them is missing"):
        await stage.restore(stage.plan("f.bak", "l2.trn"))
    assert "nobody" not in await stage.failed(stage.plan("l1.trn"))
    assert "no full backup" in await stage.failed(stage.plan("l1.trn"))
    assert "nothing.bak" in await stage.failed(stage.plan("nothing.bak"))
    assert "no database Mine" in await stage.failed(stage.plan("f.bak", only="Mine"))
    assert stage.states() == {}


async def test_a_log_that_comes_too_late_for_a_waiting_database_is_found_before(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l2.trn", log(base, 2))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    plan = stage.plan("l2.trn", recovery_mode="incre")
    assert "the log backup between them is missing" in await stage.failed(plan)
    with pytest.raises(BadData, match="is missing"):
        await stage.restore(plan, TWO)
    assert stage.states() == {"Shop": "RESTORING"}


async def test_rights_edition_and_what_cannot_be_seen_are_told(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.rights = set()
    told = await stage.failed(stage.plan("shop.bak"))
    assert "may not restore" in told
    assert "restorehistory" in told
    stage.model.rights = {"create", "history"}
    stage.model.faults = [Fault("dm_os_volume_stats", ((300, 14, "VIEW SERVER STATE permission was denied"),))]
    found = await stage.look(stage.plan("shop.bak"))
    assert not [each for each in found if each.severity is Severity.FAILED]
    assert "VIEW SERVER STATE" in "".join(each.remedy for each in found if each.severity is Severity.ALARM)


async def test_the_checks_change_nothing_and_a_sound_plan_passes(stage: Scene) -> None:
    stage.write("shop.bak", full())
    found = await stage.look(stage.plan("shop.bak"))
    assert {each.severity for each in found} == {Severity.PASSED}
    assert {each.check for each in found} == {
        "sqlserver.server",
        "sqlserver.way",
        "sqlserver.restore",
        "sqlserver.room",
        "sqlserver.verify",
    }
    assert stage.restores() == []
    assert stage.states() == {}
    assert list(stage.share.iterdir()) == []


# --- secrets ---


async def test_no_secret_is_in_an_error_an_event_a_log_or_a_repr(
    stage: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    plan = stage.by_url(stage.plan("shop.bak"))
    doubled = SECRET.replace("'", "''")
    echo = ((15530, 16, f"Incorrect syntax near '{SECRET}' or {ACCESS}:{doubled}."),)
    stage.model.faults = [Fault("CREATE CREDENTIAL", echo)]
    with pytest.raises(Trouble) as raised:
        await stage.restore(plan)
    stage.model.users = {"sterna": "changed"}
    with pytest.raises(AccessDenied, match="18456") as denied:
        await stage.restore(plan)
    shown = [repr(plan), caplog.text, str(stage.told)]
    for error in (raised.value, denied.value):
        at: BaseException | None = error
        while at is not None:
            shown += [str(at), repr(at), repr(at.args)]
            at = at.__cause__
    for secret in (SECRET, doubled, ACCESS, plan.target.password):
        assert all(secret not in text for text in shown)


class Broken(Shared):
    """A store whose transfers break after some bytes."""

    def __init__(self, folder: Path, after: int, reads: list[int]) -> None:
        super().__init__(folder)
        self.after = after
        self.reads = reads

    def open(self, name: str) -> Blob:
        return Shaky(super().open(name), self)


class Shaky:
    def __init__(self, blob: Blob, of: Broken) -> None:
        self._blob = blob
        self._of = of

    @property
    def name(self) -> str:
        return self._blob.name

    @property
    def size(self) -> int:
        return self._blob.size

    def close(self) -> None:
        self._blob.close()

    def read_at(self, offset: int, length: int) -> bytes:
        if length == PIECE:  # what a copy reads by
            self._of.reads.append(offset)
            if offset >= self._of.after:
                raise Unreachable("the transfer broke")
        return self._blob.read_at(offset, length)
