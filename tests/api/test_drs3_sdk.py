"""The vendor's own Python SDK drives a task of DRS v3 from its creation to its end: unmodified client."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs import v3 as sdk

from sterna.core.job import Condition, Phase
from tests.api.drs3 import SUBNET, UNKNOWN, Postgres
from tests.api.drs5 import SECRET, until
from tests.api.service import AK, OTHER_AK, OTHER_SK, PROJECT, SK, Service, serving
from tests.effort import PATIENCE

pytestmark = pytest.mark.filterwarnings("ignore:Method .* of DrsClient is deprecated:DeprecationWarning")
"""The SDK prefers v5 by now."""


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with serving() as running:
        running.desk.engines["postgresql"] = Postgres()  # type: ignore[index]
        yield running


def client_of(service: Service, access_key: str, secret_key: str) -> Any:
    builder = sdk.DrsClient.new_builder().with_credentials(BasicCredentials(access_key, secret_key, PROJECT))
    config = HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)
    return builder.with_endpoint(service.url).with_http_config(config).build()


@pytest.fixture(scope="module")
def drs(service: Service) -> Any:
    return client_of(service, AK, SK)


def side(ip: str) -> Any:
    return sdk.Endpoint(
        db_type="postgresql", ip=ip, db_port=5432, db_user="root", db_password=SECRET, ssl_link=False
    )


def created(drs: Any, name: str) -> str:
    job = sdk.CreateJobReq(
        bind_eip=True,
        db_use_type="sync",
        name=name,
        description="moves the shop",
        engine_type="postgresql",
        job_direction="up",
        net_type="eip",
        node_type="high",
        source_endpoint=sdk.Endpoint(db_type="postgresql"),
        target_endpoint=sdk.Endpoint(db_type="postgresql"),
        tags=[sdk.ResourceTag(key="team", value="shop")],
        task_type="FULL_INCR_TRANS",
        customize_sutnet_id=SUBNET,
        sys_tags=[sdk.ResourceTag(key="_sys_enterprise_project_id", value="0")],
        expired_days="14",
    )
    answer = drs.batch_create_jobs(sdk.BatchCreateJobsRequest(body=sdk.BatchCreateJobReq([job])))
    assert (answer.count, answer.results[0].status) == (1, "CREATING")
    return str(answer.results[0].id)


def status_of(drs: Any, id: str) -> str:
    body = sdk.BatchQueryJobReqPage([id])
    return str(drs.batch_list_job_status(sdk.BatchListJobStatusRequest(body=body)).results[0].status)


def ids(*tasks: str) -> Any:
    return sdk.BatchQueryProgressReq(list(tasks))


def test_a_task_lives_from_creation_to_deletion(service: Service, drs: Any) -> None:
    id = created(drs, "sdk-life")
    assert status_of(drs, id) == "CONFIGURATION"
    tests = [
        sdk.TestEndPoint(
            id=id,
            net_type="eip",
            db_type="postgresql",
            ip=ip,
            db_port=5432,
            db_user="root",
            db_password=SECRET,
            ssl_link=False,
            end_point_type=end,
        )
        for end, ip in (("so", "10.0.0.1"), ("ta", "10.0.0.2"))
    ]
    tried = drs.batch_validate_connections(
        sdk.BatchValidateConnectionsRequest(body=sdk.BatchTestConnectionReq(tests))
    )
    assert [it.success for it in tried.results] == [True, True]

    change = sdk.ModifyJobReq(
        job_id=id,
        name="sdk-life-2",
        source_endpoint=side("10.0.0.1"),
        target_endpoint=side("10.0.0.2"),
        node_type="high",
        engine_type="postgresql",
        net_type="eip",
        store_db_info=True,
        replace_definer=True,
    )
    changed = drs.batch_update_job(sdk.BatchUpdateJobRequest(body=sdk.BatchModifyJobReq([change])))
    assert changed.results[0].status == "success"
    info = sdk.DatabaseInfo(id="shop", object_type="database", object_name="shop", select="true")
    chosen = sdk.UpdateDatabaseObjectReq(job_id=id, selected=True, job=[info])
    body = sdk.BatchUpdateDatabaseObjectReq([chosen])
    assert drs.batch_set_objects(sdk.BatchSetObjectsRequest(body=body)).results[0].status is True
    window = sdk.SpeedLimitInfo(begin="16:00", end="15:59", speed="15")
    speed = sdk.BatchLimitSpeedReq([sdk.LimitSpeedReq(job_id=id, speed_limit=[window])])
    assert drs.batch_set_speed(sdk.BatchSetSpeedRequest(body=speed)).results[0].status == "success"
    policy = sdk.SyncPolicyReq(job_id=id, conflict_policy="ignore", ddl_trans=True, index_trans=True)
    answer = drs.batch_set_policy(sdk.BatchSetPolicyRequest(body=sdk.BatchSetupSyncPolicyReq([policy])))
    assert answer.results[0].status == "success"

    check = sdk.BatchPrecheckReq([sdk.PreCheckInfo(job_id=id, precheck_mode="forStartJob")])
    assert drs.batch_check_jobs(sdk.BatchCheckJobsRequest(body=check)).results[0].precheck_id == id

    def report() -> Any:
        query = sdk.BatchCheckResultsRequest(body=sdk.BatchQueryPrecheckResultReq([id]))
        result = drs.batch_check_results(query).results[0]
        return result if result.process == "100%" else None

    assert until(report).total_passed_rate == "100%"
    start = sdk.BatchStartJobReq([sdk.StartInfo(job_id=id, start_time="")])
    assert drs.batch_start_jobs(sdk.BatchStartJobsRequest(body=start)).results[0].status == "success"
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    assert status_of(drs, id) == "INCRE_TRANSFER_STARTED"

    detail = drs.batch_list_job_details(
        sdk.BatchListJobDetailsRequest(body=sdk.BatchQueryJobReqPage([id]))
    ).results[0]
    assert (detail.name, detail.description, detail.conflict_policy) == ("sdk-life-2", "moves the shop", "ignore")
    assert (detail.source_endpoint.ip, detail.source_endpoint.db_port) == ("10.0.0.1", 5432)
    assert detail.source_endpoint.db_password is None
    assert detail.speed_limit[0].speed == "15"
    assert (detail.tags[0].key, detail.tags[0].value) == ("team", "shop")
    query = sdk.QueryJobsReq(cur_page=1, per_page=10, db_use_type="sync", name=id)
    listed = drs.show_job_list(sdk.ShowJobListRequest(body=query))
    assert (listed.total_record, listed.jobs[0].id, listed.jobs[0].net_type) == (1, id, "eip")
    assert "PAUSE" in listed.jobs[0].job_action.available_actions
    progress = drs.batch_list_progresses(sdk.BatchListProgressesRequest(body=ids(id))).results[0]
    assert (progress.progress, progress.transfer_status) == ("100", "INCRE_TRANSFER_STARTED")
    rpo = drs.batch_list_rpos_and_rtos(sdk.BatchListRposAndRtosRequest(body=ids(id))).results[0]
    assert rpo.rpo_info.gtid_set == "NA"

    pause = sdk.BatchPauseJobReq([sdk.PauseInfo(job_id=id, pause_mode="target")])
    assert drs.batch_stop_jobs(sdk.BatchStopJobsRequest(body=pause)).results[0].status == "success"
    service.play(id, (Phase.FOLLOW, Condition.PAUSED))
    retry = sdk.BatchRetryReq([sdk.RetryInfo(job_id=id)])
    assert drs.batch_restore_task(sdk.BatchRestoreTaskRequest(body=retry)).results[0].status == "success"
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))

    def end(type: str) -> str:
        body = sdk.BatchDeleteJobReq([sdk.DeleteJobReq(delete_type=type, job_id=id)])
        return str(drs.batch_delete_jobs(sdk.BatchDeleteJobsRequest(body=body)).results[0].status)

    assert end("terminate") == "success"
    assert status_of(drs, id) == "RELEASE_RESOURCE_STARTED"
    service.play(id, (Phase.CLOSE, Condition.DONE))
    assert status_of(drs, id) == "RELEASE_RESOURCE_COMPLETE"
    assert end("delete") == "success"
    refused(
        drs.batch_list_job_details,
        sdk.BatchListJobDetailsRequest(body=sdk.BatchQueryJobReqPage([id])),
        "DRS.M05004",
    )


def refused(call: Callable[[Any], Any], request: Any, code: str, status: int = 400) -> None:
    with pytest.raises(ClientRequestException) as no:
        call(request)
    assert (no.value.status_code, no.value.error_code) == (status, code)
    assert no.value.error_msg
    assert no.value.request_id


def test_both_sides_are_compared(service: Service, drs: Any) -> None:
    id = created(drs, "sdk-compare")
    change = sdk.ModifyJobReq(job_id=id, source_endpoint=side("10.0.0.1"), target_endpoint=side("10.0.0.2"))
    drs.batch_update_job(sdk.BatchUpdateJobRequest(body=sdk.BatchModifyJobReq([change])))
    drs.batch_start_jobs(sdk.BatchStartJobsRequest(body=sdk.BatchStartJobReq([sdk.StartInfo(job_id=id)])))
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    rows = sdk.CreateDataLevelCompareReq(conflict_policy="keep", compare_type="contents")
    task = sdk.CreateCompareTaskReq(job_id=id, object_level_compare_type="objects", data_level_compare_info=rows)
    made = drs.create_compare_task(sdk.CreateCompareTaskRequest(body=task))
    content = made.data_level_compare_create_result.compare_task_id
    query = sdk.QueryCompareResultReq(job_id=id, content_compare_id=content, current_page=1, per_page=10)

    def ended() -> Any:
        found = drs.list_compare_result(sdk.ListCompareResultRequest(body=query))
        listed = found.compare_task_list_results.compare_task_list
        return found if all(it.compare_task_status == "SUCCESSFUL" for it in listed) else None

    found = until(ended)
    assert found.content_compare_results.content_compare_overview[0].content_compare_result == "INCONSISTENT"
    jobs = drs.list_data_level_table_compare_jobs(sdk.ListDataLevelTableCompareJobsRequest(job_id=id))
    assert (jobs.count, jobs.compare_jobs[0].id) == (1, content)
    overview = drs.list_obeject_level_compare_overview(sdk.ListObejectLevelCompareOverviewRequest(job_id=id))
    assert overview.compare_result[0].type == "TABLE"
    detail = drs.list_content_compare_detail(
        sdk.ListContentCompareDetailRequest(job_id=id, compare_job_id=content, type="compared")
    )
    assert detail.total_count == 2


def test_what_there_is_to_choose_from(drs: Any) -> None:
    assert drs.show_quotas(sdk.ShowQuotasRequest()).quotas.resource.quota == 9999
    request = sdk.ListAvailableNodeTypesRequest(engine_type="postgresql", db_use_type="sync", job_direction="up")
    assert "high" in [it.node_type for it in drs.list_available_node_types(request).node_types]
    body = sdk.QueryAvailableNodeTypeReq(
        engine_type="postgresql", db_use_type="sync", job_direction="up", node_type="high"
    )
    assert drs.list_available_zone(sdk.ListAvailableZoneRequest(body=body)).az_infos[0].status == "ENABLED"


def test_a_refusal_carries_its_code(service: Service, drs: Any) -> None:
    unknown = sdk.BatchListJobDetailsRequest(body=sdk.BatchQueryJobReqPage([UNKNOWN]))
    refused(drs.batch_list_job_details, unknown, "DRS.M00289")
    stranger = client_of(service, OTHER_AK, OTHER_SK)
    refused(stranger.batch_list_job_details, unknown, "DRS.M00261", 403)
    forger = client_of(service, AK, SK + "x")
    refused(forger.batch_list_job_details, unknown, "APIGW.0301", 401)
