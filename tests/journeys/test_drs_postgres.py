"""The vendor's SDKs drive whole tasks of DRS v3 and v5 that move real PostgreSQL servers, in a real service."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkdrs import v3, v5

from tests.journeys.command import wait_for
from tests.journeys.drs_stand import PASSWORD, Stand, nothing_left, same, shop, until
from tests.journeys.drs_stand import stand as stand
from tests.servers.postgres import PostgresServer

pytestmark = [
    pytest.mark.server,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore:Method .* of DrsClient is deprecated:DeprecationWarning"),
]


@dataclass
class Writer:
    """Writes to a shop while the task goes on; every write is a transaction."""

    server: PostgresServer
    database: str
    _stop: threading.Event = field(default_factory=threading.Event)
    done: int = 0

    def run(self) -> None:
        with self.server.connect(self.database) as connection:
            while not self._stop.is_set():
                n = self.done
                connection.execute("INSERT INTO orders (note, doc) VALUES (%s, '{\"a\": 1}')", (f"live {n}",))
                connection.execute("UPDATE orders SET note = note || '!' WHERE id = %s", (n % 500 + 1,))
                connection.execute("INSERT INTO log VALUES (%s, 'same')", (n % 3,))
                connection.execute("DELETE FROM log WHERE ctid = (SELECT min(ctid) FROM log WHERE v = 1)")
                self.done += 1
                time.sleep(0.005)


@contextmanager
def written(server: PostgresServer, database: str) -> Iterator[Writer]:
    writer = Writer(server, database)
    thread = threading.Thread(target=writer.run)
    thread.start()
    try:
        yield writer
    finally:
        writer._stop.set()
        thread.join()


def test_sdk_v3_moves_a_live_database(stand: Stand) -> None:
    shop(stand, "three")
    drs: Any = stand.client(v3.DrsClient)

    def side(server: PostgresServer) -> Any:
        return v3.Endpoint(
            db_type="postgresql", ip=server.host, db_port=server.port, db_user="postgres", db_password=PASSWORD,
            db_name="three", ssl_link=False,
        )  # fmt: skip

    job = v3.CreateJobReq(
        name="DRS-three", engine_type="postgresql", db_use_type="migration", job_direction="up", net_type="vpc",
        node_type="high", task_type="FULL_INCR_TRANS", source_endpoint=v3.Endpoint(db_type="postgresql"),
        target_endpoint=v3.Endpoint(db_type="postgresql"), customize_sutnet_id="subnet", bind_eip=False,
    )  # fmt: skip
    created = drs.batch_create_jobs(v3.BatchCreateJobsRequest(body=v3.BatchCreateJobReq(jobs=[job])))
    id = created.results[0].id
    assert id.partition("jb")[2].startswith("1")

    def status() -> str:
        body = v3.BatchQueryJobReqPage(jobs=[id])
        return str(drs.batch_list_job_status(v3.BatchListJobStatusRequest(body=body)).results[0].status)

    assert until(status, "CONFIGURATION")
    tests = [
        v3.TestEndPoint(
            id=id, net_type="vpc", db_type="postgresql", ip=server.host, db_port=server.port, db_user="postgres",
            db_password=password, db_name="postgres", ssl_link=False, end_point_type=role,
        )
        for server, role, password in ((stand.source, "so", PASSWORD), (stand.target, "ta", "wrong"))
    ]  # fmt: skip
    tried = drs.batch_validate_connections(
        v3.BatchValidateConnectionsRequest(body=v3.BatchTestConnectionReq(jobs=tests))
    )
    assert [each.status for each in tried.results] == ["success", "failed"]
    assert tried.results[1].error_code == "DRS.KE0002"
    change = v3.ModifyJobReq(
        job_id=id, name="DRS-three", source_endpoint=side(stand.source), target_endpoint=side(stand.target),
        node_type="high", engine_type="postgresql", net_type="vpc", store_db_info=True, replace_definer=False,
    )  # fmt: skip
    changed = drs.batch_update_job(v3.BatchUpdateJobRequest(body=v3.BatchModifyJobReq(jobs=[change])))
    assert changed.results[0].status == "success"
    objects = v3.UpdateDatabaseObjectReq(
        job_id=id,
        selected=True,
        job=[v3.DatabaseInfo(id="three", object_name="three", object_type="database", select="true")],
    )
    drs.batch_set_objects(v3.BatchSetObjectsRequest(body=v3.BatchUpdateDatabaseObjectReq(jobs=[objects])))
    check = v3.PreCheckInfo(job_id=id, precheck_mode="forStartJob")
    drs.batch_check_jobs(v3.BatchCheckJobsRequest(body=v3.BatchPrecheckReq(jobs=[check])))

    def checked() -> Any:
        body = v3.BatchQueryPrecheckResultReq(jobs=[id])
        return drs.batch_check_results(v3.BatchCheckResultsRequest(body=body)).results[0]

    until(lambda: str(checked().process), "100%")
    result = checked()
    assert result.total_passed_rate == "100%", result
    assert {item.result for item in result.precheck_result} <= {"PASSED", "ALARM"}
    start = v3.BatchStartJobReq(jobs=[v3.StartInfo(job_id=id)])
    with written(stand.source, "three") as writer:
        assert drs.batch_start_jobs(v3.BatchStartJobsRequest(body=start)).results[0].status == "success"
        until(status, "INCRE_TRANSFER_STARTED")
        before = writer.done
        wait_for(lambda: writer.done > before + 50, "the writer stopped")
        body = v3.BatchQueryProgressReq(jobs=[id])
        progress = drs.batch_list_progresses(v3.BatchListProgressesRequest(body=body)).results[0]
        assert (progress.progress, progress.transfer_status) == ("100", "INCRE_TRANSFER_STARTED")
    compare = v3.CreateDataLevelTableCompareJobReq(type="contents", compare_mode="static")
    asked = v3.CreateDataLevelTableCompareJobRequest(job_id=id, body=compare)
    drs.create_data_level_table_compare_job(asked)

    def compared() -> str:
        found = drs.list_data_level_table_compare_jobs(v3.ListDataLevelTableCompareJobsRequest(job_id=id))
        return str(found.compare_jobs[0].status)

    until(compared, "SUCCESSFUL")
    end = v3.BatchDeleteJobReq(jobs=[v3.DeleteJobReq(delete_type="terminate", job_id=id)])
    assert drs.batch_delete_jobs(v3.BatchDeleteJobsRequest(body=end)).results[0].status == "success"
    until(status, "RELEASE_RESOURCE_COMPLETE")
    same(stand, "three")
    nothing_left(stand, "three")
    (source,), (target,) = (
        s.sql("SELECT last_value FROM orders_id_seq", "three") for s in (stand.source, stand.target)
    )
    assert target[0] > source[0]
    gone = v3.BatchDeleteJobReq(jobs=[v3.DeleteJobReq(delete_type="delete", job_id=id)])
    assert drs.batch_delete_jobs(v3.BatchDeleteJobsRequest(body=gone)).results[0].status == "success"
    with pytest.raises(ClientRequestException):
        drs.batch_list_job_details(v3.BatchListJobDetailsRequest(body=v3.BatchQueryJobReqPage(jobs=[id])))
    assert PASSWORD not in stand.home.run("job", "list").all


def test_sdk_v5_moves_a_live_database_and_pauses_on_the_way(stand: Stand) -> None:
    shop(stand, "five")
    drs: Any = stand.client(v5.DrsClient)

    def side(role: str, server: PostgresServer) -> Any:
        return v5.JobEndpointInfo(
            db_type="postgresql", endpoint_type="offline", endpoint_role=role,
            ssl=v5.EndpointSslConfig(ssl_link=False),
            endpoint=v5.BaseEndpoint(
                endpoint_name="postgresql", ip=server.host, db_port=str(server.port), db_user="postgres",
                db_password=PASSWORD, db_name="five",
            ),
        )  # fmt: skip

    job = v5.CreateJobReq(
        base_info=v5.JobBaseInfo(
            name="DRS-five", job_type="sync", engine_type="postgresql", job_direction="up",
            task_type="FULL_INCR_TRANS", net_type="vpc",
        ),
        source_endpoint=[side("so", stand.source)],
        target_endpoint=[side("ta", stand.target)],
        node_info=v5.JobNodeInfo(spec=v5.JobNodeSpecInfo(node_type="high")),
    )  # fmt: skip
    id = drs.create_job(v5.CreateJobRequest(body=v5.SingleCreateJobReq(job=job))).id

    def detail(kind: str, **more: Any) -> Any:
        return drs.show_job_detail(v5.ShowJobDetailRequest(job_id=id, type=kind, **more)).job

    def act(name: str, **params: Any) -> Any:
        body = v5.JobActionReq(job=v5.ActionReq(action_name=name, action_params=v5.ActionParams(**params)))
        return drs.execute_job_action(v5.ExecuteJobActionRequest(job_id=id, body=body))

    until(lambda: str(detail("detail").status), "CONFIGURATION")
    info = {"five": v5.DatabaseObject(name="five", all=True)}
    chosen = v5.UpdateJob(db_object=v5.DbObject(object_scope="database", object_info=info))
    update = v5.SingleUpdateJobReq(job=v5.UpdateJobReq(type="db_object", params=chosen))
    drs.update_job(v5.UpdateJobRequest(job_id=id, body=update))
    query = act("precheck", precheck_mode="forStartJob").query_id
    until(lambda: str(detail("precheck", query_id=query).precheck_result.process), "100%")
    assert detail("precheck", query_id=query).precheck_result.total_passed_rate == "100%"
    with written(stand.source, "five") as writer:
        act("start")
        until(lambda: str(detail("detail").status), "INCRE_TRANSFER_STARTED")
        wait_for(lambda: writer.done > 50, "the writer stopped")
        act("stop", pause_mode="target")
        until(lambda: str(detail("detail").status), "PAUSING")
        before = writer.done
        wait_for(lambda: writer.done > before + 50, "the writer stopped")
        act("restart")
        until(lambda: str(detail("detail").status), "INCRE_TRANSFER_STARTED")
    act("terminate")
    until(lambda: str(detail("detail").status), "RELEASE_RESOURCE_COMPLETE")
    same(stand, "five")
    nothing_left(stand, "five")
    drs.delete_job(v5.DeleteJobRequest(job_id=id))
    with pytest.raises(ClientRequestException) as gone:
        detail("detail")
    assert gone.value.error_code == "DRS.10000010"
