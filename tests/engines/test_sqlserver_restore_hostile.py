"""A SQL Server in odd states, several jobs at once, broken connections. It is a stand-in, not a SQL Server."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
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
from sterna.core.event import Level
from sterna.core.files import Remote
from sterna.core.finding import Severity
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Picked, Plan, Selection
from sterna.core.ports import Restores, Room
from sterna.engines.sqlserver.restoring.checks import Size
from tests.effort import PATIENCE
from tests.engines.sqlserver_scene import (
    ACCESS,
    JOB,
    PASSWORD,
    SECRET,
    USER,
    Scene,
    Shared,
    differential,
    full,
    log,
    scene,
)
from tests.servers.proxy import proxy
from tests.servers.sqlserver import Database, Fault
from tests.servers.tds import HOST

TWO = JobId("job-2")
SIZES = {"Shop": Size(20 << 30, 1 << 20, streams=False)}
TABLE = Picked(("Shop", "dbo", "numbers"))
OLD = {"old": "D:\\data\\old.mdf"}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as it:
        yield it


async def held(stage: Scene) -> None:
    assert await asyncio.to_thread(stage.model.held.wait, PATIENCE)


def messages(stage: Scene, code: str) -> list[str]:
    return [message for _, known, message in stage.told if known == code]


# --- what is on the server already ---


@pytest.mark.parametrize("name", ["master", "MSDB ", "model  ", "tempdb"])
async def test_a_database_of_the_server_s_own_is_never_written_to_whatever_its_spelling(
    stage: Scene, name: str
) -> None:
    stage.write("shop.bak", full())
    plan = stage.plan("shop.bak", renames={"*": name}, cover=True)
    assert "of the server's own" in await stage.failed(plan)
    with pytest.raises(KeyConflict, match="of the server's own"):
        await stage.restore(plan)
    assert stage.restores() == []
    assert stage.model.ran("ALTER") == []


async def test_names_that_differ_by_blanks_at_the_end_are_one_name(stage: Scene) -> None:
    stage.write("both.bak", full("Shop"), full("Other"))
    plan = stage.plan("both.bak", renames={"Shop": "new", "Other": "New  "})
    assert "would both be called" in await stage.failed(plan)
    with pytest.raises(KeyConflict, match="would both be called"):
        await stage.restore(plan)


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("replica", "availability group"),
        ("mirror", "mirrored"),
        ("snapshot", "is a snapshot"),
        ("snapshotted", "has a snapshot, night"),
    ],
)
async def test_what_keeps_a_database_from_being_restored_over_is_named_before_its_users_are_sent_away(
    stage: Scene, how: str, said: str
) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", files=OLD, users=3, held=how)
    plan = stage.plan("shop.bak", cover=True)
    assert said in await stage.failed(plan)
    with pytest.raises(KeyConflict, match=said):
        await stage.restore(plan)
    assert stage.model.ran("ALTER", "RESTORE DATABASE") == []
    assert stage.model.databases["Shop"].users == 3


@pytest.mark.parametrize("state", ["OFFLINE", "SUSPECT", "RECOVERY_PENDING", "EMERGENCY", "RESTORING"])
async def test_a_database_in_any_state_is_in_the_way_and_may_be_covered(stage: Scene, state: str) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", state, OLD)
    assert state in await stage.failed(stage.plan("shop.bak"))
    with pytest.raises(KeyConflict, match=state):
        await stage.restore(stage.plan("shop.bak"))
    assert stage.model.databases["Shop"].files == OLD
    await stage.restore(stage.plan("shop.bak", cover=True))
    assert stage.states() == {"Shop": "ONLINE"}
    assert stage.model.ran("ALTER") == []


async def test_a_database_that_the_server_is_recovering_is_waited_for(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak"))
    stage.model.databases["Shop"].state = "RECOVERING"
    with pytest.raises(ServerBusy, match="being recovered"):
        await stage.restore(stage.plan("shop.bak"))
    stage.model.databases["Shop"].state = "ONLINE"
    await stage.restore(stage.plan("shop.bak"))
    assert len(stage.restores()) == 1


@pytest.mark.parametrize("state", ["OFFLINE", "SUSPECT", "EMERGENCY"])
async def test_what_a_job_has_finished_is_not_thrown_away_by_it_later(stage: Scene, state: str) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    plan = stage.plan("f.bak", "l1.trn")
    await stage.restore(plan)
    stage.model.databases["Shop"].state = state
    with pytest.raises(KeyConflict, match=state):
        await stage.restore(plan)
    assert len(stage.restores()) == 2


async def test_a_database_in_standby_is_named_as_such(stage: Scene) -> None:
    base = full()
    stage.write("l1.trn", log(base, 1))
    stage.model.databases["Shop"] = Database("Shop", files=OLD, standby=True)
    plan = stage.plan("l1.trn", recovery_mode="incre")
    assert "is in standby" in await stage.failed(plan)
    with pytest.raises(ApplyFailed, match="is in standby"):
        await stage.restore(plan)


async def test_a_login_that_may_only_create_databases_restores_its_own_and_no_others(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    stage.model.rights = {"create", "history"}
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    await stage.restore(stage.plan("l1.trn"), TWO)
    assert stage.states() == {"Shop": "ONLINE"}
    stage.model.databases["Old"] = Database("Old", files=OLD, owner="sa")
    plan = stage.plan("f.bak", cover=True, renames={"*": "old"})
    assert "another's" in await stage.failed(plan)
    with pytest.raises(AccessDenied, match="another's"):
        await stage.restore(plan)
    assert stage.model.ran("ALTER") == []


# --- the server ---


@pytest.mark.parametrize(("edition", "name"), [(5, "Azure SQL Database"), (8, "Managed Instance")])
async def test_a_cloud_database_without_such_a_restore_is_named(stage: Scene, edition: int, name: str) -> None:
    stage.write("shop.bak", full())
    stage.model.engine_edition = edition
    assert name in await stage.failed(stage.plan("shop.bak"))


async def test_a_server_older_than_2012_is_refused(stage: Scene) -> None:
    stage.write("shop.bak", full(version=2008))
    stage.model.version = "10.50.6000.34"
    assert "older than 2012" in await stage.failed(stage.plan("shop.bak"))


@pytest.mark.parametrize(("version", "limit"), [("16.0.4135.4", 10), ("17.0.1000.7", 50)])
async def test_an_express_edition_takes_as_much_as_its_version_does(
    stage: Scene, version: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.checks._sizes", lambda plan, pairs: SIZES)
    stage.write("shop.bak", full())
    stage.model.engine_edition, stage.model.version = 4, version
    assert (f"takes {limit << 30}" in await stage.failed(stage.plan("shop.bak"))) is (limit == 10)


async def test_a_login_of_another_language_gets_its_progress_and_its_errors_understood(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.abroad = True
    ends = ((3201, 16, "Cannot open backup device 'x'. Operating system error 5(Zugriff verweigert)."),)
    stage.model.faults = [Fault("RESTORE DATABASE", ends)]
    with pytest.raises(AccessDenied, match="3201"):
        await stage.restore(stage.plan("shop.bak"))
    await stage.restore(stage.plan("shop.bak"))
    assert len({each for each in stage.percents if 30 < each < 100}) >= 15


async def test_volumes_that_the_server_knows_nothing_of_are_an_alarm_and_no_crash(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.free = None  # type: ignore[assignment]
    found = await stage.look(stage.plan("shop.bak"))
    assert "cannot be seen" in "".join(each.evidence for each in found if each.severity is Severity.ALARM)


async def test_a_probe_that_the_server_finds_too_short_was_seen_all_the_same(stage: Scene) -> None:
    stage.write("shop.bak", full())
    short = (3203, 16, 'Read on "D:\\share\\x" failed: 38(Reached the end of the file.)')
    stage.model.faults = [Fault("LABELONLY", (short,))]
    assert await stage.failed(stage.plan("shop.bak")) == ""


async def test_a_contained_database_needs_a_server_that_lets_it_in(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.contains, stage.model.contained = True, 0
    stage.model.databases["Shop"] = Database("Shop", files=OLD, users=1)
    with pytest.raises(Unsupported, match="contained") as refused:
        await stage.restore(stage.plan("shop.bak", cover=True))
    assert "sp_configure" in refused.value.hint
    assert stage.model.ran("ALTER") == []
    stage.model.contained = 1
    await stage.restore(stage.plan("shop.bak", cover=True))
    assert stage.states() == {"Shop": "ONLINE"}


async def test_backup_sets_with_a_password_are_named_and_make_no_database_called_none(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.protected = True
    with pytest.raises(Unsupported, match=r"shop\.bak.*password"):
        await stage.restore(stage.plan("shop.bak"))
    assert stage.states() == {}


# --- room ---


async def test_a_log_needs_no_room_for_the_whole_database_again(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    stage.model.free = 1000
    assert "bytes free" not in await stage.failed(stage.plan("l1.trn", recovery_mode="incre"))
    assert "bytes free" in await stage.failed(stage.plan("f.bak", renames={"*": "New"}))


async def test_what_a_job_left_half_restored_has_its_room_already(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stopped(stage)
    stage.model.free = 1000
    assert await stage.failed(stage.plan("shop.bak")) == ""


async def stopped(stage: Scene) -> None:
    """Cancel a run in the middle of a RESTORE."""
    stage.model.hold_at = 40
    task = asyncio.create_task(stage.restore(stage.plan("shop.bak")))
    await held(stage)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


# --- users ---


async def test_users_without_a_login_are_told_of(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.orphans = tuple(f"u{n:02}" for n in range(23))
    await stage.restore(stage.plan("shop.bak"))
    (message,) = messages(stage, "restore.orphans")
    assert "u00, u01" in message
    assert "and 3 more" in message
    assert (Level.WARN, "restore.orphans", message) in stage.told


async def test_nobody_is_told_of_users_where_all_have_logins_or_nobody_may_look(stage: Scene) -> None:
    stage.write("shop.bak", full())
    await stage.restore(stage.plan("shop.bak"))
    assert messages(stage, "restore.orphans") == []
    stage.model.faults = [Fault("database_principals", ((916, 14, "not able to access the database"),))]
    await stage.restore(stage.plan("shop.bak", cover=True), TWO)
    assert stage.states() == {"Shop": "ONLINE"}
    assert "error 916" in messages(stage, "restore.users")[0]


async def test_users_come_in_again_after_a_run_that_died_between_the_restore_and_that(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", files=OLD, users=3)
    stage.model.faults = [Fault("SET MULTI_USER", ((6005, 16, "SHUTDOWN is in progress."),), times=1)]
    plan = stage.plan("shop.bak", cover=True)
    with pytest.raises(Unreachable):
        await stage.restore(plan)
    assert stage.model.databases["Shop"].single_user
    await stage.restore(plan)
    assert not stage.model.databases["Shop"].single_user
    assert len(stage.restores()) == 1


async def test_somebody_who_slips_in_is_told_of_as_a_busy_database(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.databases["Shop"] = Database("Shop", files=OLD, users=3)
    stage.model.intruders = 1
    plan = stage.plan("shop.bak", cover=True)
    for number in ("3101", "5064"):
        with pytest.raises(ServerBusy, match=number):
            await stage.restore(plan)
    assert "SINGLE_USER" in messages(stage, "restore.single_user")[0]
    stage.model.databases["Shop"].users = 0
    await stage.restore(plan)
    assert not stage.model.databases["Shop"].single_user


# --- two at once, and one twice ---


async def test_a_restore_that_goes_on_without_its_client_is_not_started_a_second_time(
    stage: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.restore._DOOR_MS", 50)
    stage.write("shop.bak", full())
    stage.model.deaf, stage.model.hold_at = True, 40
    plan = stage.plan("shop.bak")
    with proxy(HOST, stage.server.port) as way:
        here = Endpoint("sqlserver", ((HOST, way.port),), user=USER, password=PASSWORD)
        task = asyncio.create_task(stage.restore(replace(plan, target=here)))
        await held(stage)
        way.drop()
        with pytest.raises(Unreachable):
            await task
    for _ in range(2):
        with pytest.raises(ServerBusy, match="still at work on Shop"):
            await stage.restore(plan)
    stage.model.go_on.set()
    while stage.model.databases["Shop"].busy:
        await asyncio.sleep(0.01)
    await no_locks(stage)
    await stage.restore(plan)
    assert stage.states() == {"Shop": "ONLINE"}
    assert len(stage.restores()) == 1


async def test_two_jobs_onto_one_name_do_not_mix(stage: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.restore._DOOR_MS", 50)
    stage.write("shop.bak", full())
    stage.write("other.bak", full("Other"))
    stage.model.hold_at = 40
    task = asyncio.create_task(stage.restore(stage.plan("shop.bak")))
    await held(stage)
    second = stage.plan("other.bak", renames={"Other": "SHOP"}, cover=True)
    with pytest.raises(ServerBusy, match="still at work on SHOP"):
        await stage.restore(second, TWO)
    stage.model.go_on.set()
    await task
    await no_locks(stage)
    assert stage.model.databases["Shop"].sets == [full().guid]
    with pytest.raises(KeyConflict):
        await stage.restore(replace(second, conflict=stage.plan("other.bak").conflict), TWO)
    await stage.restore(second, TWO)
    assert stage.states() == {"SHOP": "ONLINE"}
    assert stage.model.locks
    await no_locks(stage)


@pytest.mark.parametrize(
    ("by_url", "when"),
    [
        pytest.param(False, "before", marks=pytest.mark.slow),
        (False, "after"),
        (True, "before"),
        pytest.param(True, "after", marks=pytest.mark.slow),
    ],
)
@pytest.mark.long
async def test_wherever_the_connection_breaks_the_next_run_ends_it_rightly(
    stage: Scene, by_url: bool, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is covered, gets a full backup and a log; every statement's turn comes."""
    monkeypatch.setattr("sterna.engines.sqlserver.restoring.credentials._BETWEEN_S", 0.01)
    if by_url:
        stage.storage = Shared(stage.bucket)
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    plan = stage.plan("f.bak", "l1.trn", cover=True)
    plan = stage.by_url(plan) if by_url else plan
    number, total = 0, 1
    while number <= total:
        model = stage.model
        model.databases = {"Shop": Database("Shop", files=OLD, users=3)}
        model.history, model.statements, model.count = [], [], 0
        model.cut_before, model.cut_after = (number, 0) if when == "before" else (0, number)
        broke = await breaks(stage, plan)
        total = max(total, model.count) if not number else total
        model.cut_before = model.cut_after = 0
        done = len(model.history)
        if broke:
            model.statements = []
            await stage.restore(plan)
            assert len(stage.restores()) == 2 - done, f"{number}: what was done is not done again"
        assert model.databases["Shop"].sets == [base.guid, log(base, 1).guid], number
        assert stage.states() == {"Shop": "ONLINE"}, number
        assert not model.databases["Shop"].single_user, number
        assert model.credentials == {}, number
        assert list(stage.share.iterdir()) == [], number
        await no_locks(stage)
        number += 1
    assert total > 20


async def no_locks(stage: Scene) -> None:
    """The server has noticed that the sessions ended, and nothing is held any more."""
    async with asyncio.timeout(PATIENCE):
        while any(stage.model.locks.values()):
            await asyncio.sleep(0.01)


async def breaks(stage: Scene, plan: Plan) -> bool:
    try:
        await stage.restore(plan)
    except Unreachable:
        return True
    return False


# --- chains ---


async def test_a_differential_on_another_full_backup_is_found_before(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("d.bak", differential(replace(base, name="another", start=base.start.replace(minute=2))))
    stage.write("d.ok.bak", differential(base))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    wrong = stage.plan("d.bak", recovery_mode="incre")
    assert "does not follow" in await stage.failed(wrong)
    with pytest.raises(BadData, match="does not follow"):
        await stage.restore(wrong, TWO)
    assert await stage.failed(stage.plan("d.ok.bak", recovery_mode="incre")) == ""
    await stage.restore(stage.plan("d.ok.bak", recovery_mode="incre"), TWO)
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_log_that_came_already_changes_nothing_and_is_said_so(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    plan = stage.plan("l1.trn", last_backup="false", recovery_mode="incre")
    await stage.restore(plan)
    count = len(stage.restores())
    await stage.restore(plan, TWO)
    assert len(stage.restores()) == count
    assert any("is not needed" in each for each in messages(stage, "restore.note"))
    assert stage.states() == {"Shop": "RESTORING"}


async def test_a_chain_goes_on_whoever_restored_its_full_backup_and_under_its_new_name(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    stage.write("l2.trn", log(base, 2))
    await stage.restore(stage.plan("f.bak", last_backup="false", renames={"Shop": "Neu"}))
    stage.model.history.clear()
    later = stage.plan("l2.trn", "l1.trn", recovery_mode="incre", renames={"Shop": "Neu", "Absent": "x"})
    await stage.restore(later, TWO)
    assert stage.states() == {"Neu": "ONLINE"}
    lost = stage.plan("l1.trn", recovery_mode="incre")
    assert "no database waits" in await stage.failed(lost)


async def test_a_file_that_got_another_name_in_between_is_not_moved_and_a_new_one_is(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    stage.write("l2.trn", log(base, 2))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    database = stage.model.databases["Shop"]
    database.files = {f"older {logical}": path for logical, path in database.files.items()}
    await stage.restore(stage.plan("l1.trn", last_backup="false", recovery_mode="incre"), TWO)
    assert "MOVE" not in stage.restores()[-1]
    gone = next(path for path in database.guids if path.endswith("mdf"))
    del database.guids[gone]
    await stage.restore(stage.plan("l2.trn", recovery_mode="incre"), TWO)
    assert stage.restores()[-1].count("MOVE") == 1
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_chain_that_failed_in_its_middle_goes_on_in_another_job(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    for number in (1, 2):
        stage.write(f"l{number}.trn", log(base, number))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    stage.model.faults = [Fault("WITH FILE = 1, RECOVERY", ((3183, 16, "RESTORE detected an error"),))]
    with pytest.raises(BadData, match=r"l2\.trn"):
        await stage.restore(stage.plan("l1.trn", "l2.trn", recovery_mode="incre"), TWO)
    assert stage.states() == {"Shop": "RESTORING"}
    await stage.restore(stage.plan("l2.trn", recovery_mode="incre"), JobId("job-3"))
    assert stage.model.databases["Shop"].sets == [base.guid, log(base, 1).guid, log(base, 2).guid]
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_full_backup_among_later_ones_does_not_throw_away_what_came_since(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    stage.write("l2.trn", log(base, 2))
    await stage.restore(stage.plan("f.bak", "l1.trn", last_backup="false"))
    await stage.restore(stage.plan("f.bak", "l2.trn", recovery_mode="incre", cover=True), TWO)
    assert stage.model.databases["Shop"].sets == [base.guid, log(base, 1).guid, log(base, 2).guid]
    again = stage.plan("f.bak", recovery_mode="incre", cover=True)
    with pytest.raises(BadData, match=r"f\.bak is a full backup.*ONLINE"):
        await stage.restore(again, JobId("job-3"))
    assert stage.model.ran("ALTER") == []
    assert len(stage.restores()) == 3


async def test_another_full_backup_does_not_begin_a_waiting_database_anew(stage: Scene) -> None:
    base = full()
    stage.write("f.bak", base)
    stage.write("other.bak", replace(base, name="another", start=base.start.replace(minute=2)))
    await stage.restore(stage.plan("f.bak", last_backup="false"))
    plan = stage.plan("other.bak", recovery_mode="incre", cover=True)
    with pytest.raises(BadData, match="does not begin anew"):
        await stage.restore(plan, TWO)
    assert stage.model.databases["Shop"].sets == [base.guid]
    await stage.restore(replace(plan, options=stage.plan("other.bak").options), TWO)
    assert stage.states() == {"Shop": "ONLINE"}


# --- what was asked for ---


async def test_a_database_that_is_renamed_and_not_there_is_named(stage: Scene) -> None:
    stage.write("shop.bak", full())
    plan = stage.plan("shop.bak", renames={"Shpo": "New"})
    assert "no database Shpo" in await stage.failed(plan)
    with pytest.raises(BadData, match="no database Shpo"):
        await stage.restore(plan)
    assert stage.states() == {}


async def test_less_than_whole_databases_and_moments_are_refused_and_not_passed_over(stage: Scene) -> None:
    stage.write("shop.bak", full())
    moment = stage.plan("shop.bak", stop_at="2026-01-31T12:00:00")
    tables = replace(moment, options=stage.plan("x").options, selection=Selection(objects=(TABLE,)))
    without = replace(tables, selection=Selection(without=(TABLE.path,)))
    for plan, said in ((moment, "moment"), (tables, "whole databases"), (without, "whole databases")):
        assert said in await stage.failed(plan)
        with pytest.raises(Unsupported, match=said):
            await stage.restore(plan)
    assert stage.states() == {}


# --- what is left behind ---


async def test_what_was_brought_for_a_job_that_failed_for_good_goes(stage: Scene) -> None:
    stage.write("shop.bak", full())
    stage.model.faults = [Fault("RESTORE DATABASE", ((3257, 16, "insufficient free space"),))]
    with pytest.raises(TargetFull):
        await stage.restore(stage.plan("shop.bak"))
    assert list(stage.share.iterdir()) == []


async def forget(stage: Scene, plan_by_url: bool, job: JobId = JOB) -> None:
    plan = stage.plan("shop.bak")
    engine = stage.engine
    assert isinstance(engine, Restores)
    room = Room(job, 2, stage.folder / "room" / job)

    def tell(level: Level, code: str, message: str, **fields: str) -> None:
        stage.told.append((level, code, message))

    async with engine.restoring(stage.by_url(plan) if plan_by_url else plan, room, tell) as restoring:
        await restoring.forget()
        await restoring.forget()


async def test_a_job_that_is_given_up_leaves_no_copies_of_its_files(stage: Scene) -> None:
    stage.write("shop.bak", full())
    (stage.share / "sterna-other-1-shop.bak").write_bytes(b"another job's")
    await stopped(stage)
    assert len(list(stage.share.iterdir())) == 3
    await forget(stage, plan_by_url=False)
    assert [each.name for each in stage.share.iterdir()] == ["sterna-other-1-shop.bak"]


async def test_a_job_that_is_given_up_leaves_no_credential(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    await crashed_by_url(stage)
    assert list(stage.model.credentials) == [stage.model.store]
    await forget(stage, plan_by_url=True)
    assert stage.model.credentials == {}


async def crashed_by_url(stage: Scene) -> None:
    stage.model.hold_at = 50
    task = asyncio.create_task(stage.restore(stage.by_url(stage.plan("shop.bak"))))
    await held(stage)
    await asyncio.to_thread(stage.server.stop)
    with pytest.raises(Unreachable):
        await task
    stage.server.start()


# --- the object store ---


async def test_jobs_that_need_one_credential_at_once_share_it_and_the_last_takes_it_away(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    base = full()
    stage.write("f.bak", base)
    stage.write("l1.trn", log(base, 1))
    stage.write("other.bak", full("Other"))
    stage.model.hold_at = 40
    first = asyncio.create_task(stage.restore(stage.by_url(stage.plan("other.bak"))))
    await held(stage)
    await stage.restore(stage.by_url(stage.plan("f.bak", last_backup="false")), TWO)
    assert list(stage.model.credentials) == [stage.model.store]
    stage.model.held.clear()
    stage.model.hold_at = 40
    second = asyncio.create_task(stage.restore(stage.by_url(stage.plan("l1.trn")), TWO))
    await asyncio.sleep(0)
    stage.model.go_on.set()
    await first
    await second
    assert stage.states() == {"Other": "ONLINE", "Shop": "ONLINE"}
    assert stage.model.credentials == {}


async def test_an_operator_s_credential_that_two_jobs_use_at_once_stays(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    stage.write("other.bak", full("Other"))
    stage.model.credentials[stage.model.store] = stage.model.secret
    plans = [stage.by_url(stage.plan(name)) for name in ("shop.bak", "other.bak")]
    await asyncio.gather(stage.restore(plans[0]), stage.restore(plans[1], TWO))
    assert list(stage.model.credentials) == [stage.model.store]
    assert stage.states() == {"Other": "ONLINE", "Shop": "ONLINE"}


async def test_a_second_set_of_a_file_in_the_store_is_an_alarm_before_the_server_refuses_it(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("both.bak", full("Shop"), full("Other"))
    plan = stage.by_url(stage.plan("both.bak"))
    found = [each.evidence for each in await stage.look(plan) if each.severity is Severity.ALARM]
    assert found == [
        "both.bak (set 2) is not the first in its file: from an object store, SQL Server is documented to read no "
        "other"
    ]
    with pytest.raises(ApplyFailed, match="error 155"):
        await stage.restore(plan)
    assert stage.states() == {"Shop": "ONLINE"}


async def test_a_login_without_the_right_to_make_credentials_uses_the_one_that_is_there(stage: Scene) -> None:
    stage.storage = Shared(stage.bucket)
    stage.write("shop.bak", full())
    stage.model.rights = {"create", "history"}
    plan = stage.by_url(stage.plan("shop.bak"))
    alarms = [each.remedy for each in await stage.look(plan) if each.severity is Severity.ALARM]
    assert "ALTER ANY CREDENTIAL" in alarms[0]
    with pytest.raises(AccessDenied, match="error 15247"):
        await stage.restore(plan)
    stage.model.credentials[stage.model.store] = stage.model.secret
    await stage.restore(plan)
    assert stage.states() == {"Shop": "ONLINE"}
    stage.model.rights.add("credential")
    assert [each for each in await stage.look(plan) if each.severity is Severity.ALARM] == []


class Colon(Shared):
    def remote(self, name: str) -> Remote:
        return replace(super().remote(name), secret_key="with:colon")


async def test_keys_with_a_colon_are_refused_before_the_server_sees_them(stage: Scene) -> None:
    stage.storage = Colon(stage.bucket)
    stage.write("shop.bak", full())
    plan = stage.by_url(stage.plan("shop.bak"))
    told = await stage.failed(plan)
    assert "colon" in told
    assert "with:colon" not in told
    with pytest.raises(Unsupported, match="colon"):
        await stage.restore(plan)
    assert stage.model.credentials == {}


ODD: list[tuple[tuple[tuple[int, int, str], ...], type[Trouble], str]] = [
    (((3634, 16, "The operating system returned the error '5(Access is denied.)' while attempting 'x'."),
      (3156, 16, "File 'a' cannot be restored to 'y'."), (3119, 16, "Problems")), AccessDenied, "data folders"),
    (((1834, 16, "The file 'y' cannot be overwritten. It is being used by database 'z'."),
      (3156, 16, "File 'a' cannot be restored to 'y'.")), ApplyFailed, "Look at where"),
    (((3104, 16, "RESTORE cannot operate on database: availability group."),), KeyConflict, "availability group"),
    (((4319, 16, "A previous restore operation was interrupted."),), ApplyFailed, "whole chain anew"),
    (((15581, 16, "Please create a master key in the database."),), Unsupported, "certificate"),
    (((12824, 16, "The sp_configure value must be set to 1."),), Unsupported, "sp_configure"),
    (((3182, 16, "The backup set cannot be restored because the database was damaged."),), BadData, "new backup"),
    (((3201, 16, "Cannot open backup device 'D:\\x'. Operating system error 32(in use)."),), Unreachable, "again"),
    (((3201, 16, "Cannot open backup device 's3://h/b'. Operating system error 50(no)."),), ApplyFailed, "https"),
]  # fmt: skip


@pytest.mark.parametrize(("ends", "kind", "hint"), ODD, ids=lambda it: str(it)[2:6])
async def test_errors_say_what_to_do(
    stage: Scene, ends: tuple[tuple[int, int, str], ...], kind: type[Trouble], hint: str
) -> None:
    stage.write("shop.bak", full())
    stage.model.faults = [Fault("RESTORE DATABASE", (*ends, (3013, 16, "terminating abnormally.")))]
    with pytest.raises(Trouble) as raised:
        await stage.restore(stage.plan("shop.bak"))
    assert type(raised.value) is kind
    assert hint in raised.value.hint
    assert f"error {ends[0][0]}" in raised.value.message
    assert isinstance(raised.value, NeedsOperator) is (kind is not Unreachable)
    assert all(secret not in str(stage.told) for secret in (PASSWORD, ACCESS, SECRET))
