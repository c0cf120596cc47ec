"""Tasks of DRS between real PostgreSQL servers off the straight way: waits, limits, failures, resets, ends."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from huaweicloudsdkdrs import v3, v5

from tests.journeys.command import wait_for
from tests.journeys.drs_stand import PASSWORD, Stand, nothing_left, same, shop, until
from tests.journeys.drs_stand import stand as stand

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:Method .* of DrsClient is deprecated:DeprecationWarning"),
]
WAITING, RELEASED, FOLLOWING = "WAITING_FOR_START", "RELEASE_RESOURCE_COMPLETE", "INCRE_TRANSFER_STARTED"
FAILED = "INCRE_TRANSFER_FAILED"
HOUR_MS = 3_600_000
MEGABYTE = 1 << 20
COPIED = 100
"""Megabytes: even a very busy machine copies them in less than so many seconds once nothing holds it up."""
CHANGED = 24
"""Megabytes: a test may be held up for almost so many seconds."""


@dataclass(frozen=True)
class Task:
    """A task that moves the one database of its name, and the clients that ask for it."""

    stand: Stand
    database: str
    id: str
    three: Any
    five: Any

    def status(self) -> str:
        body = v3.BatchQueryJobReqPage(jobs=[self.id])
        return str(self.three.batch_list_job_status(v3.BatchListJobStatusRequest(body=body)).results[0].status)

    def until(self, *wanted: str, despite: Sequence[str] = ()) -> str:
        return until(self.status, *wanted, despite=tuple(despite))

    def act(self, name: str, **params: Any) -> Any:
        body = v5.JobActionReq(job=v5.ActionReq(action_name=name, action_params=v5.ActionParams(**params)))
        return self.five.execute_job_action(v5.ExecuteJobActionRequest(job_id=self.id, body=body))

    def end(self, how: str = "terminate") -> None:
        body = v3.BatchDeleteJobReq(jobs=[v3.DeleteJobReq(delete_type=how, job_id=self.id)])
        done(self.three.batch_delete_jobs(v3.BatchDeleteJobsRequest(body=body)))
        self.until(RELEASED, despite=("START_JOB_FAILED", FAILED))

    def limit(self, megabytes: int) -> None:
        """All day long; 0: no limit."""
        window = v3.SpeedLimitInfo(begin="00:00", end="23:59", speed=str(megabytes), is_utc=False)
        job = v3.LimitSpeedReq(job_id=self.id, speed_limit=[window] if megabytes else [])
        body = v3.BatchLimitSpeedReq(speed_limits=[job])
        done(self.three.batch_set_speed(v3.BatchSetSpeedRequest(body=body)))

    def policy(self, **policy: Any) -> None:
        body = v3.BatchSetupSyncPolicyReq(jobs=[v3.SyncPolicyReq(job_id=self.id, **policy)])
        done(self.three.batch_set_policy(v3.BatchSetPolicyRequest(body=body)))

    def password(self, side: str, password: str) -> None:
        job = v3.ModifyPwdEndPoint(job_id=self.id, db_password=password, end_point_type=side)
        body = v3.BatchModifyPwdReq(jobs=[job])
        done(self.three.batch_reset_password(v3.BatchResetPasswordRequest(body=body)))

    def retry(self) -> None:
        body = v3.BatchRetryReq(jobs=[v3.RetryInfo(job_id=self.id)])
        done(self.three.batch_restore_task(v3.BatchRestoreTaskRequest(body=body)))

    def checked(self) -> str:
        """The rate of the checks of a task that has begun."""
        query = self.act("precheck", precheck_mode="forRetryJob").query_id

        def result() -> Any:
            asked = v5.ShowJobDetailRequest(job_id=self.id, type="precheck", query_id=query)
            return self.five.show_job_detail(asked).job.precheck_result

        until(lambda: str(result().process), "100%")
        return str(result().total_passed_rate)

    def rows(self, query: str) -> tuple[Any, Any]:
        return self.stand.source.sql(query, self.database), self.stand.target.sql(query, self.database)


def done(answer: Any) -> None:
    (result,) = answer.results
    assert result.status in ("success", True), result


def task(stand: Stand, name: str, *, kind: str = "FULL_INCR_TRANS", user: str = "postgres", **more: Any) -> Task:
    """A new task of a synchronisation. ``user``: of the target."""
    five = stand.client(v5.DrsClient)

    def side(role: str, server: Any, user: str) -> Any:
        return v5.JobEndpointInfo(
            db_type="postgresql", endpoint_type="offline", endpoint_role=role,
            ssl=v5.EndpointSslConfig(ssl_link=False),
            endpoint=v5.BaseEndpoint(
                endpoint_name="postgresql", ip=server.host, db_port=str(server.port), db_user=user,
                db_password=more.get("password", PASSWORD) if role == "ta" else PASSWORD,
            ),
        )  # fmt: skip

    job = v5.CreateJobReq(
        base_info=v5.JobBaseInfo(
            name=f"DRS-{name}-{uuid4().hex[:8]}", job_type="sync", engine_type="postgresql", job_direction="up",
            task_type=kind, net_type="vpc",
        ),
        source_endpoint=[side("so", stand.source, "postgres")],
        target_endpoint=[side("ta", stand.target, user)],
        node_info=v5.JobNodeInfo(spec=v5.JobNodeSpecInfo(node_type="high")),
    )  # fmt: skip
    id = five.create_job(v5.CreateJobRequest(body=v5.SingleCreateJobReq(job=job))).id
    made = Task(stand, name, str(id), stand.client(v3.DrsClient), five)
    made.until("CONFIGURATION")
    info = {name: v5.DatabaseObject(name=name, all=True)}
    chosen = v5.UpdateJob(db_object=v5.DbObject(object_scope="database", object_info=info))
    update = v5.SingleUpdateJobReq(job=v5.UpdateJobReq(type="db_object", params=chosen))
    five.update_job(v5.UpdateJobRequest(job_id=made.id, body=update))
    return made


def in_ms(ms: int) -> str:
    return str(time.time_ns() // 1_000_000 + ms)


def source_is_clean(stand: Stand, name: str) -> None:
    assert stand.source.sql(f"SELECT slot_name FROM pg_replication_slots WHERE database = '{name}'") == []
    assert stand.source.sql("SELECT pubname FROM pg_publication", name) == []
    assert stand.source.sql("SELECT evtname FROM pg_event_trigger", name) == []
    assert stand.source.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'", name) == []
    assert (
        stand.source.sql("SELECT relname FROM pg_class WHERE relname = 'log' AND relreplident <> 'd'", name) == []
    )
    ours = "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'sterna\\_%'"
    wait_for(lambda: stand.source.sql(ours) == [], "a connection is left")


def test_a_task_waits_for_its_time_and_then_starts_by_itself(stand: Stand) -> None:
    shop(stand, "waits")
    moved = task(stand, "waits")
    moved.act("start", start_time=in_ms(HOUR_MS))
    assert moved.status() == WAITING
    assert stand.source.sql("SELECT slot_name FROM pg_replication_slots WHERE database = 'waits'") == []
    at = time.time() + 4
    moved.act("start", start_time=in_ms(4000))
    moved.until(FOLLOWING)
    assert time.time() >= at
    moved.end()
    same(stand, "waits")
    nothing_left(stand, "waits")


def test_a_task_that_waits_is_started_at_once_or_ended(stand: Stand) -> None:
    shop(stand, "hurries")
    moved = task(stand, "hurries", kind="FULL_TRANS")
    moved.act("start", start_time=in_ms(HOUR_MS))
    assert moved.status() == WAITING
    moved.act("start")
    moved.until("FULL_TRANSFER_COMPLETE")
    moved.end()
    never = task(stand, "hurries")
    never.act("start", start_time=in_ms(HOUR_MS))
    assert never.status() == WAITING
    never.act("terminate")
    never.until(RELEASED)
    source_is_clean(stand, "hurries")


def test_a_limit_of_speed_holds_in_the_copy_and_after_it_and_can_be_lifted(stand: Stand) -> None:
    stand.source.create_database("slow")
    fill = "INSERT INTO big (body) SELECT repeat(md5(g::text), 2048) FROM generate_series(1, {}) g"
    stand.source.sql("CREATE TABLE big (id serial PRIMARY KEY, body text)", "slow")
    stand.source.sql(fill.format(COPIED * 16), "slow")
    size = "SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM big"
    assert stand.source.sql(size, "slow")[0][0] == COPIED * MEGABYTE
    moved = task(stand, "slow")

    def arrived() -> int:
        return int(stand.target.sql(size, "slow")[0][0])

    moved.limit(1)
    moved.act("start")
    moved.until("STARTJOBING", "FULL_TRANSFER_STARTED")
    began = time.monotonic()
    moved.until("FULL_TRANSFER_STARTED")
    wait_for(lambda: arrived() > MEGABYTE, "nothing comes")
    time.sleep(2)
    found, passed = arrived(), time.monotonic() - began
    assert found <= (passed + 3) * MEGABYTE
    assert moved.status() == "FULL_TRANSFER_STARTED"
    moved.limit(0)
    lifted = time.monotonic()
    moved.until(FOLLOWING)
    took, rest = time.monotonic() - lifted, COPIED - found / MEGABYTE
    assert took < rest, "it goes on faster than it was allowed before"
    moved.limit(1)
    _is_held(moved, fill, arrived)
    before, began = arrived(), time.monotonic()
    for _ in range(4):
        stand.source.sql(fill.format(16 * CHANGED // 4), "slow")
    wait_for(lambda: arrived() >= before + 2 * MEGABYTE, "no changes come")
    found, passed = arrived() - before, time.monotonic() - began
    assert found <= (passed + 3) * MEGABYTE
    assert found < CHANGED * MEGABYTE
    moved.limit(0)
    wait_for(lambda: arrived() == before + CHANGED * MEGABYTE, "the changes do not come")
    moved.end()
    source_is_clean(stand, "slow")


def _is_held(moved: Task, fill: str, arrived: Callable[[], int]) -> None:
    """Wait until a limit holds for changes, of which the runner hears some time after it was set.

    It does where the second of two megabytes is kept waiting for the first; at the end, nothing is on the way.
    """

    def takes() -> float:
        began, wanted = time.monotonic(), arrived() + 2 * MEGABYTE
        for _ in range(2):
            moved.stand.source.sql(fill.format(16), moved.database)
        wait_for(lambda: arrived() >= wanted, "no changes come")
        return time.monotonic() - began

    wait_for(lambda: takes() > 1, "nothing is held up")


def test_a_task_that_failed_goes_on_once_its_password_or_rights_are_mended(stand: Stand) -> None:
    shop(stand, "fails")
    stand.target.sql(f"CREATE ROLE mover SUPERUSER LOGIN PASSWORD {quoted(PASSWORD)}")
    moved = task(stand, "fails", user="mover")
    moved.act("start")
    moved.until(FOLLOWING)
    stand.target.sql("ALTER ROLE mover PASSWORD 'changed'")
    stand.target.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mover'")
    stand.source.sql("INSERT INTO orders (note) VALUES ('while it has failed')", "fails")
    until(moved.status, FAILED, despite=(FAILED,))
    moved.password("ta", "changed")
    assert moved.status() == FAILED
    moved.retry()
    moved.until(FOLLOWING, despite=(FAILED,))
    arrived = "SELECT count(*) FROM orders WHERE note = 'while it has failed'"
    wait_for(lambda: moved.rows(arrived)[1] == [(1,)], "the change does not come")

    stand.target.sql("ALTER ROLE mover NOSUPERUSER")
    stand.source.sql("INSERT INTO orders (note) VALUES ('without rights')", "fails")
    until(moved.status, FAILED, despite=(FAILED,))
    stand.target.sql("ALTER ROLE mover SUPERUSER")
    moved.retry()
    moved.until(FOLLOWING, despite=(FAILED,))
    both = "SELECT count(*) FROM orders WHERE note = 'without rights'"
    wait_for(lambda: moved.rows(both)[1] == [(1,)], "the change does not come")
    same(stand, "fails")

    stand.target.sql("ALTER ROLE mover NOLOGIN")
    stand.target.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mover'")
    until(moved.status, FAILED, despite=(FAILED,))
    moved.end("force_terminate")
    source_is_clean(stand, "fails")
    # Nobody could log in to the target to clean it, which holds up nothing; other tests want it clean.
    stand.target.sql("SELECT pg_replication_origin_drop(roname) FROM pg_replication_origin")


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def test_a_task_that_has_copied_passes_its_checks_and_copies_anew_after_a_reset(stand: Stand) -> None:
    shop(stand, "anew")
    moved = task(stand, "anew")
    moved.policy(conflict_policy="stop", ddl_trans=True, filter_ddl_policy="drop_database", index_trans=True)
    moved.act("start")
    moved.until(FOLLOWING)
    moved.act("stop", pause_mode="target")
    moved.until("PAUSING")
    stand.target.sql(
        "DELETE FROM items; UPDATE orders SET note = 'spoilt'; INSERT INTO log VALUES (7, 'spoilt')", "anew"
    )
    stand.source.sql("DELETE FROM orders WHERE id > 19000; UPDATE log SET w = 'new' WHERE v = 2", "anew")
    assert moved.checked() == "100%"
    moved.act("reset")
    moved.until(FOLLOWING)
    stand.source.sql("INSERT INTO orders (note) VALUES ('after it')", "anew")
    wait_for(
        lambda: len(set(map(str, moved.rows("SELECT count(*) FROM orders")))) == 1, "the change does not come"
    )
    same(stand, "anew")
    moved.end()
    same(stand, "anew")
    nothing_left(stand, "anew")


def test_a_task_that_copies_once_rests_until_it_is_ended(stand: Stand) -> None:
    shop(stand, "once")
    moved = task(stand, "once", kind="FULL_TRANS")
    moved.act("start")
    moved.until("FULL_TRANSFER_COMPLETE")
    same(stand, "once")
    nothing_left(stand, "once")
    stand.source.sql("DELETE FROM items", "once")
    time.sleep(1)
    assert moved.status() == "FULL_TRANSFER_COMPLETE"
    assert moved.rows("SELECT count(*) FROM items") == ([(0,)], [(1000,)])
    moved.end("force_terminate")
    nothing_left(stand, "once")


@pytest.mark.parametrize(
    "state",
    [
        "CONFIGURATION",
        WAITING,
        "STARTJOBING",
        "START_JOB_FAILED",
        "FULL_TRANSFER_STARTED",
        FOLLOWING,
        "PAUSING",
    ],
)
def test_a_task_that_is_ended_by_force_leaves_nothing_on_the_source(stand: Stand, state: str) -> None:
    name = f"force_{state.lower()}"
    shop(stand, name)
    moved = task(stand, name, password="wrong" if state == "START_JOB_FAILED" else PASSWORD)
    if state == "FULL_TRANSFER_STARTED":
        stand.source.sql(
            "CREATE TABLE big AS SELECT g, repeat(md5(g::text), 50) FROM generate_series(1, 20000) g", name
        )
        moved.limit(1)
    if state == WAITING:
        moved.act("start", start_time=in_ms(HOUR_MS))
    elif state != "CONFIGURATION":
        moved.act("start")
    if state == "PAUSING":
        moved.until(FOLLOWING)
        moved.act("stop", pause_mode="all")
    later = {"STARTJOBING": ("FULL_TRANSFER_STARTED", FOLLOWING), "FULL_TRANSFER_STARTED": (FOLLOWING,)}
    until(moved.status, state, *later.get(state, ()), despite=("START_JOB_FAILED",))  # it may be over so soon
    moved.end("force_terminate")
    source_is_clean(stand, name)
    if name in {row[0] for row in stand.target.sql("SELECT datname FROM pg_database")}:
        assert stand.target.sql("SELECT nspname FROM pg_namespace WHERE nspname = 'sterna'", name) == []
