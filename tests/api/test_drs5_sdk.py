"""The vendor's own Python SDK drives a task of DRS v5 from its creation to its end: unmodified client."""

from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkdrs.v5 import (
    ActionParams,
    ActionReq,
    BaseEndpoint,
    BatchDeleteJobReq,
    BatchDeleteJobsByIdRequest,
    BatchExecuteJobActionsRequest,
    BatchJobActionReq,
    CheckJobNameReq,
    CollectDbObjectsInfoRequest,
    CompareTaskParams,
    CreateJobReq,
    CreateJobRequest,
    DatabaseObject,
    DbObject,
    DeleteJobRequest,
    DrsClient,
    EndpointSslConfig,
    ExecuteJobActionRequest,
    JobActionReq,
    JobBaseInfo,
    JobEndpointInfo,
    JobNodeInfo,
    JobNodeSpecInfo,
    ListJobsRequest,
    ListSupportLinksRequest,
    QuerySelectObjectInfoReq,
    ResourceTag,
    SchemaObject,
    ShowActionsRequest,
    ShowDbObjectCollectionStatusRequest,
    ShowJobDetailRequest,
    SingleCreateJobReq,
    SingleUpdateJobReq,
    StopJobActionReq,
    StopJobActionRequest,
    TableObject,
    UpdateJob,
    UpdateJobReq,
    UpdateJobRequest,
    ValidateJobNameRequest,
)

from sterna.core.job import Condition, JobId, Phase
from tests.api.drs5 import SECRET, FakePostgres, until
from tests.api.service import AK, OTHER_AK, OTHER_SK, PROJECT, SECOND_PROJECT, SK, Service
from tests.effort import PATIENCE


def client_of(service: Service, access_key: str, secret_key: str, project: str) -> Any:
    builder = DrsClient.new_builder().with_credentials(BasicCredentials(access_key, secret_key, project))
    config = HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)
    return builder.with_endpoint(service.url).with_http_config(config).build()


@pytest.fixture(scope="module")
def drs(service: Service) -> Any:
    service.desk.engines["postgresql"] = FakePostgres()  # type: ignore[index]
    return client_of(service, AK, SK, PROJECT)


def end(role: str, ip: str) -> JobEndpointInfo:
    return JobEndpointInfo(
        db_type="postgresql",
        endpoint_type="offline",
        endpoint_role=role,
        endpoint=BaseEndpoint(
            endpoint_name="postgresql", ip=ip, db_port="5432", db_user="mover", db_password=SECRET, db_name="shop"
        ),
        ssl=EndpointSslConfig(ssl_link=False),
    )


def created(drs: Any, name: str) -> Any:
    base = JobBaseInfo(
        name=name,
        job_type="migration",
        engine_type="postgresql",
        job_direction="up",
        task_type="FULL_INCR_TRANS",
        net_type="vpc",
        tags=[ResourceTag(key="a", value="b")],
    )
    job = CreateJobReq(
        base_info=base,
        source_endpoint=[end("so", "10.1.0.1")],
        target_endpoint=[end("ta", "10.1.0.2")],
        node_info=JobNodeInfo(spec=JobNodeSpecInfo(node_type="high")),
    )
    return drs.create_job(CreateJobRequest(body=SingleCreateJobReq(job=job)))


def shown(drs: Any, id: str, type: str = "detail", **more: Any) -> Any:
    return drs.show_job_detail(ShowJobDetailRequest(job_id=id, type=type, **more)).job


def act(drs: Any, id: str, name: str, **params: Any) -> Any:
    body = JobActionReq(job=ActionReq(action_name=name, action_params=ActionParams(**params)))
    return drs.execute_job_action(ExecuteJobActionRequest(job_id=id, body=body))


def update(drs: Any, id: str, type: str, **params: Any) -> Any:
    body = SingleUpdateJobReq(job=UpdateJobReq(type=type, params=UpdateJob(**params)))
    return drs.update_job(UpdateJobRequest(job_id=id, body=body))


def test_a_task_from_its_creation_to_its_end(service: Service, drs: Any) -> None:
    name = CheckJobNameReq(name="sdk-v5", type="trans")
    assert drs.validate_job_name(ValidateJobNameRequest(body=name)).is_valid
    answer = created(drs, "sdk-v5")
    assert (answer.status, answer.is_clone_job) == ("CREATING", "false")
    id = answer.id
    assert shown(drs, id).status == "CONFIGURATION"
    assert shown(drs, id).source_endpoint[0].endpoint.db_name == "shop"

    collect = QuerySelectObjectInfoReq(type="source", is_refresh="true")
    query = drs.collect_db_objects_info(CollectDbObjectsInfoRequest(job_id=id, body=collect)).id
    asked = ShowDbObjectCollectionStatusRequest(job_id=id, query_id=query)
    until(lambda: drs.show_db_object_collection_status(asked).status == "success")
    orders = TableObject(type="table", name="orders", all=True)
    info = {"shop": DatabaseObject(name="shop", schemas={"public": SchemaObject(tables={"orders": orders})})}
    assert (
        update(drs, id, "db_object", db_object=DbObject(object_scope="table", object_info=info)).status
        == "pending"
    )

    network = act(drs, id, "network").query_id
    until(lambda: len(shown(drs, id, "network", query_id=network).network_results) == 2)
    precheck = act(drs, id, "precheck", precheck_mode="forStartJob").query_id
    until(lambda: shown(drs, id, "precheck", query_id=precheck).precheck_result.process == "100%")
    assert shown(drs, id, "precheck").precheck_result.total_passed_rate == "100%"

    act(drs, id, "start")
    service.play(id, (Phase.FOLLOW, Condition.RUNNING))
    assert shown(drs, id, "progress").progress_info.transfer_status == "INCRE_TRANSFER_STARTED"
    act(drs, id, "create_compare", compare_task_param=CompareTaskParams(type="lines"))
    listed = {"compare_type": "line_compare", "query_type": "list"}
    until(
        lambda: shown(drs, id, "compare", **listed).compare_result.data_compare_task_list[0].status == "SUCCESSFUL"
    )
    assert "PAUSE" in drs.show_actions(ShowActionsRequest(job_id=id)).job_action.available_actions

    drs.stop_job_action(StopJobActionRequest(job_id=id, body=StopJobActionReq(is_force_stop=False)))
    service.play(id, (Phase.CLOSE, Condition.DONE))
    assert shown(drs, id).status == "RELEASE_RESOURCE_COMPLETE"
    rows = drs.list_jobs(ListJobsRequest(job_type="migration", name="sdk-v5"))
    assert [(row.id, row.status) for row in rows.jobs] == [(id, "RELEASE_RESOURCE_COMPLETE")]
    drs.delete_job(DeleteJobRequest(job_id=id))
    with pytest.raises(ClientRequestException) as gone:
        shown(drs, id)
    assert (gone.value.status_code, gone.value.error_code) == (400, "DRS.10000010")


def test_several_tasks_in_a_call(drs: Any) -> None:
    ids = [created(drs, f"sdk-many-{number}").id for number in range(2)]
    wanted = [ActionReq(job_id=id, action_name="precheck") for id in ids]
    begun = drs.batch_execute_job_actions(BatchExecuteJobActionsRequest(body=BatchJobActionReq(jobs=wanted))).jobs
    assert [it.id for it in begun] == ids
    deleted = drs.batch_delete_jobs_by_id(BatchDeleteJobsByIdRequest(body=BatchDeleteJobReq(jobs=ids))).jobs
    assert [it.status for it in deleted] == ["Success", "Success"]


def test_what_can_be_moved_is_listed(drs: Any) -> None:
    answer = drs.list_support_links(ListSupportLinksRequest(job_type="migration"))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("access_key", "secret_key", "project"), [(OTHER_AK, OTHER_SK, PROJECT), (AK, SK, SECOND_PROJECT)]
)
def test_others_and_other_projects_see_nothing_of_it(
    service: Service, drs: Any, access_key: str, secret_key: str, project: str
) -> None:
    id = created(drs, f"sdk-own-{access_key[-2:]}{project[:1]}").id
    with pytest.raises(ClientRequestException) as refused:
        shown(client_of(service, access_key, secret_key, project), id)
    assert refused.value.error_code in ("DRS.M00261", "DRS.10000010")
    assert not service.run(service.store.job(JobId(id))).deleted
