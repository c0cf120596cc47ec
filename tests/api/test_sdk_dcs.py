"""The vendor's own Python SDK moves a Redis through Sterna: every operation, unmodified client."""

import asyncio
from typing import Any

import pytest
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkcore.http.http_config import HttpConfig
from huaweicloudsdkcore.region.region import Region
from huaweicloudsdkdcs.v2 import (
    BackupFilesBody,
    BatchRestartOnlineMigrationTasksBody,
    BatchRestartOnlineMigrationTasksRequest,
    BatchStopMigrationTasksBody,
    BatchStopMigrationTasksRequest,
    ConfigMigrationInstanceBody,
    CreateMigrationTaskBody,
    CreateMigrationTaskRequest,
    CreateOnlineMigrationTaskBody,
    CreateOnlineMigrationTaskRequest,
    DcsClient,
    DeleteMigrateTaskRequest,
    DeleteMigrationTaskRequest,
    ExchangeInstanceIpRequest,
    Files,
    IpExchangeRequest,
    ListInstancesRequest,
    ListMigrationTaskLogsRequest,
    ListMigrationTaskRequest,
    MigrationUpdateRequestEntity,
    RollbackExchangeInstanceIpRequest,
    SetOnlineMigrationTaskBody,
    SetOnlineMigrationTaskRequest,
    ShowInstanceRequest,
    ShowJobInfoRequest,
    ShowMigrationTaskRequest,
    ShowMigrationTaskStatsRequest,
    SourceInstanceBody,
    StopMigrationTaskRequest,
    StopMigrationTaskSyncRequest,
    TargetInstanceBody,
    UpdateMigrationTaskRequest,
)

from sterna.core.job import Condition, JobId, Phase, Wish
from sterna.core.plan import Mode, Pace, Rename, Resume
from sterna.core.progress import Progress
from tests.api.service import (
    AK,
    INSTANCE,
    INSTANCE_PASSWORD,
    OTHER_AK,
    OTHER_SK,
    PROJECT,
    REGION,
    SECOND_PROJECT,
    SK,
    Service,
)
from tests.effort import PATIENCE

FOLLOWING = (Phase.FOLLOW, Condition.RUNNING)
ENDED = (Phase.CLOSE, Condition.DONE)


def client_of(service: Service, credentials: Any) -> Any:
    builder = DcsClient.new_builder().with_credentials(credentials).with_endpoint(service.url)
    return builder.with_http_config(HttpConfig(timeout=(PATIENCE, PATIENCE), retry_times=0)).build()


@pytest.fixture(scope="module")
def dcs(service: Service) -> Any:
    return client_of(service, BasicCredentials(AK, SK, PROJECT))


def created(dcs: Any, name: str = "sdk-task") -> str:
    body = CreateOnlineMigrationTaskBody(
        name=name, description="说明", vpc_id="vpc-1", subnet_id="subnet-1", security_group_id="group-1"
    )
    answer = dcs.create_online_migration_task(CreateOnlineMigrationTaskRequest(body=body))
    assert answer.status_code == 200
    return str(answer.instance_id)


def configured(dcs: Any, id: str, method: str = "incremental_migration") -> Any:
    body = SetOnlineMigrationTaskBody(
        migration_method=method,
        resume_mode="manual",
        bandwidth_limit_mb="123",
        source_instance=ConfigMigrationInstanceBody(addrs="192.168.1.1:6379,192.168.0.0:6380", password="xxxxxx"),
        target_instance=ConfigMigrationInstanceBody(id=INSTANCE),
    )
    return dcs.set_online_migration_task(SetOnlineMigrationTaskRequest(task_id=id, body=body))


def shown(dcs: Any, id: str) -> Any:
    return dcs.show_migration_task(ShowMigrationTaskRequest(task_id=id))


def test_a_task_lives_from_creation_to_deletion(service: Service, dcs: Any) -> None:
    id = created(dcs, "sdk-life")
    assert shown(dcs, id).status == "RUNNING"

    answer = configured(dcs, id)
    assert (answer.id, answer.name, answer.status) == (id, "sdk-life", "FULLMIGRATING")
    service.play(id, (Phase.COPY, Condition.RUNNING))
    assert shown(dcs, id).status == "FULLMIGRATING"
    service.play(id, FOLLOWING)
    task = shown(dcs, id)
    assert task.status == "INCRMIGEATING"
    assert task.migration_type == "online_migration"
    assert task.migration_method == "incremental_migration"
    assert (task.tenant_vpc_id, task.tenant_subnet_id, task.tenant_security_group_id) == (
        "vpc-1",
        "subnet-1",
        "group-1",
    )
    assert task.source_instance.addrs == "192.168.1.1:6379,192.168.0.0:6380"
    assert (task.source_instance.ip, task.source_instance.port) == ("192.168.1.1", "6379")
    assert task.source_instance.password is None
    assert (task.target_instance.id, task.target_instance.name) == (INSTANCE, "dcs-test")
    assert task.target_instance.password is None
    assert (task.bandwidth_limit_mb, task.resume_mode, task.description) == ("123", "manual", "说明")

    stopped = dcs.stop_migration_task(StopMigrationTaskRequest(task_id=id))
    assert (stopped.task_id, stopped.status) == (id, "TERMINATING")
    service.play(id, ENDED)
    task = shown(dcs, id)
    assert task.status == "TERMINATED"
    assert task.released_at
    deleted = dcs.delete_migration_task(DeleteMigrationTaskRequest(body=DeleteMigrateTaskRequest([id])))
    assert deleted.task_id_list == [id]
    with pytest.raises(ClientRequestException) as gone:
        shown(dcs, id)
    assert (gone.value.status_code, gone.value.error_code) == (400, "DCS.4133")
    assert gone.value.error_msg == "Instance job is not found."
    assert gone.value.request_id


def test_what_was_configured_is_what_will_be_run(service: Service, dcs: Any) -> None:
    id = created(dcs)
    configured(dcs, id)
    job = service.run(service.store.job(JobId(id)))
    assert job.plan is not None
    assert (job.kind, job.wish, job.wished) == ("dcs-online", Wish.RUN, True)
    assert job.plan.mode is Mode.INCREMENTAL
    assert job.plan.resume is Resume.MANUAL
    assert job.plan.pace == Pace(follow_bytes_per_s=123 * 1024 * 1024)
    assert job.plan.source.addresses == (("192.168.1.1", 6379), ("192.168.0.0", 6380))
    assert job.plan.source.password == "xxxxxx"
    assert job.plan.target.addresses == (("192.168.0.79", 6379),)
    assert job.plan.target.password == INSTANCE_PASSWORD
    assert job.plan.target.instance_id == INSTANCE


def test_a_full_copy_ends_by_itself(service: Service, dcs: Any) -> None:
    id = created(dcs)
    configured(dcs, id, "full_amount_migration")
    service.play(id, (Phase.CLOSE, Condition.RUNNING))
    assert shown(dcs, id).status == "FULLMIGRATING"
    service.play(id, ENDED)
    task = shown(dcs, id)
    assert task.status == "SUCCESS"
    assert task.updated_at.endswith("Z")


def test_the_older_call_creates_and_starts_in_one(service: Service, dcs: Any) -> None:
    body = CreateMigrationTaskBody(
        task_name="older-call",
        migration_type="online_migration",
        migration_method="full_amount_migration",
        backup_files=BackupFilesBody(files=[Files(file_name="none")]),
        network_type="vpn",
        source_instance=SourceInstanceBody(addrs="10.0.0.1:6379", password="p", db="3"),
        target_instance=TargetInstanceBody(id=INSTANCE, name="whatever", db="0"),
    )
    answer = dcs.create_migration_task(CreateMigrationTaskRequest(body=body))
    assert (answer.name, answer.status) == ("older-call", "FULLMIGRATING")
    task = shown(dcs, answer.id)
    assert (task.network_type, task.source_instance.db, task.target_instance.db) == ("vpn", "3", "0")
    plan = service.run(service.store.job(answer.id)).plan
    assert plan
    assert (plan.selection.only, plan.selection.renames) == (("3",), (Rename("3", "0"),))


def test_the_exchange_of_addresses_is_refused_in_so_many_words(dcs: Any) -> None:
    id = created(dcs)
    body = IpExchangeRequest(exchanged_ip=["192.168.0.79"], is_exchange_domain=True)
    refused(dcs.exchange_instance_ip, ExchangeInstanceIpRequest(task_id=id, body=body), "DCS.4027")
    refused(dcs.rollback_exchange_instance_ip, RollbackExchangeInstanceIpRequest(task_id=id), "DCS.4027")


def refused(call: Any, request: Any, code: str, status: int = 400) -> None:
    with pytest.raises(ClientRequestException) as no:
        call(request)
    assert (no.value.status_code, no.value.error_code) == (status, code)
    assert no.value.error_msg
    assert no.value.request_id


def test_the_figures_of_a_task_are_text(service: Service, dcs: Any) -> None:
    id = created(dcs)
    configured(dcs, id)
    service.play(id, FOLLOWING)
    figures = Progress(
        phase="FOLLOW",
        source_rows=531221,
        target_rows=531211,
        bytes_per_s=51200,
        changes_per_s=5300,
        lag_bytes=100,
        at_ms=service.soon(),
    )
    service.run(service.store.set_progress(JobId(id), figures, epoch=1))
    stats = dcs.show_migration_task_stats(ShowMigrationTaskStatsRequest(task_id=id))
    assert stats.to_json_object() == {
        "full_migration_progress": "100",
        "offset": "100",
        "source_dbsize": "531221",
        "target_dbsize": "531211",
        "target_input_kbps": "50",
        "target_ops": "5300",
        "is_migrating": True,
    }


def test_an_offset_of_0_means_that_the_target_lacks_nothing(service: Service, dcs: Any) -> None:
    id = created(dcs)

    def offset_at(*facts: tuple[Phase, Condition], age_ms: int = 0, **figures: Any) -> str:
        service.play(id, *facts)
        seen = Progress(at_ms=service.desk.clock() - age_ms if age_ms else service.soon(), **figures)
        service.run(service.store.set_progress(JobId(id), seen, epoch=1))
        return str(dcs.show_migration_task_stats(ShowMigrationTaskStatsRequest(task_id=id)).offset)

    configured(dcs, id)
    copying = (Phase.COPY, Condition.RUNNING)
    assert offset_at(copying) == "1"
    assert offset_at(copying, bytes=100, bytes_total=1000) == "900"
    assert offset_at(FOLLOWING) == "1"
    assert offset_at(FOLLOWING, lag_bytes=0) == "0"
    assert offset_at(FOLLOWING, lag_bytes=0, age_ms=60_000) == "1"
    assert offset_at(FOLLOWING, lag_bytes=70) == "70"
    assert offset_at((Phase.FOLLOW, Condition.FAILED), lag_bytes=0) == "1"


def test_a_task_that_is_to_run_anew_shows_nothing_of_its_last_run(service: Service, dcs: Any) -> None:
    id = created(dcs)
    configured(dcs, id)
    service.play(id, (Phase.CLOSE, Condition.RUNNING), (Phase.CLOSE, Condition.DONE))
    done = Progress(phase="CLOSE", rows=9, source_rows=9, target_rows=9, bytes_per_s=4096, rows_per_s=9)
    service.run(service.store.set_progress(JobId(id), done, epoch=1))
    ended = dcs.show_migration_task_stats(ShowMigrationTaskStatsRequest(task_id=id))
    assert (ended.full_migration_progress, ended.offset, ended.source_dbsize) == ("100", "0", "9")
    assert (ended.target_input_kbps, ended.target_ops, ended.is_migrating) == ("0", "0", False)
    configured(dcs, id)
    again = dcs.show_migration_task_stats(ShowMigrationTaskStatsRequest(task_id=id))
    assert (again.full_migration_progress, again.source_dbsize, again.is_migrating) == ("0", "0", True)
    assert again.offset != "0"


def test_the_history_of_a_task_can_be_paged_and_filtered(service: Service, dcs: Any) -> None:
    id = created(dcs)
    configured(dcs, id)
    service.play(id, FOLLOWING)
    logs = dcs.list_migration_task_logs(ListMigrationTaskLogsRequest(task_id=id, log_level="INFO", limit=1))
    assert logs.log_num > 1
    assert len(logs.migration_logs) == 1
    row = logs.migration_logs[0]
    assert row.log_level == "INFO"
    assert row.message
    assert row.log_code
    assert row.created_at.endswith("Z")
    past = dcs.list_migration_task_logs(ListMigrationTaskLogsRequest(task_id=id, offset=1000))
    assert past.migration_logs == []
    none = dcs.list_migration_task_logs(ListMigrationTaskLogsRequest(task_id=id, log_level="ERROR"))
    assert (none.log_num, none.migration_logs) == (0, [])


def test_several_tasks_are_stopped_and_restarted_each_with_its_own_outcome(service: Service, dcs: Any) -> None:
    running, waiting = created(dcs), created(dcs)
    configured(dcs, running)
    service.play(running, FOLLOWING)
    unknown = "f" * 32
    body = BatchStopMigrationTasksBody(migration_tasks=[running, waiting, unknown])
    answer = dcs.batch_stop_migration_tasks(BatchStopMigrationTasksRequest(body=body))
    assert [(it.task_id, it.result, it.error_code) for it in answer.migration_tasks] == [
        (running, "success", None),
        (waiting, "failed", "DCS.4957"),
        (unknown, "failed", "DCS.4133"),
    ]
    service.play(running, ENDED)
    again = BatchRestartOnlineMigrationTasksBody(migration_tasks=[running, waiting])
    answer = dcs.batch_restart_online_migration_tasks(BatchRestartOnlineMigrationTasksRequest(body=again))
    assert [(it.task_id, it.result, it.error_code) for it in answer.migration_tasks] == [
        (running, "success", None),
        (waiting, "failed", "DCS.4957"),
    ]
    assert shown(dcs, running).status == "FULLMIGRATING"


def test_a_synchronous_stop_answers_once_the_task_has_stopped(service: Service, dcs: Any) -> None:
    id = created(dcs)
    configured(dcs, id)
    service.play(id, FOLLOWING)
    service.loop.call_soon_threadsafe(lambda: service.loop.create_task(_stop_when_asked(service, JobId(id))))
    assert dcs.stop_migration_task_sync(StopMigrationTaskSyncRequest(task_id=id)).status_code == 204
    assert shown(dcs, id).status == "TERMINATED"


async def _stop_when_asked(service: Service, id: JobId) -> None:
    while (await service.store.job(id)).wish is not Wish.STOP:
        await asyncio.sleep(0.01)
    epoch = await service.store.begin(id)
    await service.store.report(id, *ENDED, epoch=epoch)


def test_the_way_of_going_on_can_be_changed_at_any_time(service: Service, dcs: Any) -> None:
    id = created(dcs)
    update = MigrationUpdateRequestEntity(resume_mode="auto")
    dcs.update_migration_task(UpdateMigrationTaskRequest(task_id=id, body=update))
    assert shown(dcs, id).resume_mode == "auto"
    configured(dcs, id)
    service.play(id, FOLLOWING)
    assert shown(dcs, id).resume_mode == "manual"
    dcs.update_migration_task(UpdateMigrationTaskRequest(task_id=id, body=update))
    assert shown(dcs, id).resume_mode == "auto"
    assert shown(dcs, id).status == "INCRMIGEATING"


def test_tasks_are_listed_newest_first_a_page_at_a_time(dcs: Any) -> None:
    ids = [created(dcs, f"sdk-page-{number}") for number in range(3)]
    first = dcs.list_migration_task(ListMigrationTaskRequest(name="sdk-page", limit=2))
    rest = dcs.list_migration_task(ListMigrationTaskRequest(name="sdk-page", limit=2, offset=2))
    past = dcs.list_migration_task(ListMigrationTaskRequest(name="sdk-page", offset=3))
    assert (first.count, rest.count, past.count) == (3, 3, 3)
    assert past.migration_tasks == []
    found = [it.task_id for it in (*first.migration_tasks, *rest.migration_tasks)]
    assert sorted(found) == sorted(ids)
    assert {it.status for it in first.migration_tasks} == {"RUNNING"}


def test_the_creation_of_a_task_can_be_asked_for(service: Service, dcs: Any) -> None:
    with service.client(service.token()) as client:
        places = {"vpc_id": "v", "subnet_id": "s", "security_group_id": "g"}
        body = {"name": "with-job", **places}
        job_id = client.post(f"/v2/{PROJECT}/migration/instance", json=body).json()["job_id"]
    info = dcs.show_job_info(ShowJobInfoRequest(job_id=job_id))
    assert (info.job_id, info.status, info.fail_reason) == (job_id, "SUCCESS", None)
    assert info.begin_time.isdigit()
    refused(dcs.show_job_info, ShowJobInfoRequest(job_id="f" * 32), "DCS.4133")


def test_registered_instances_are_shown_without_their_passwords(dcs: Any) -> None:
    page = dcs.list_instances(ListInstancesRequest())
    assert (page.instance_num, [it.instance_id for it in page.instances]) == (1, [INSTANCE])
    one = dcs.show_instance(ShowInstanceRequest(instance_id=INSTANCE))
    assert (one.name, one.ip, one.port, one.status) == ("dcs-test", "192.168.0.79", 6379, "RUNNING")
    assert INSTANCE_PASSWORD not in str(one)
    refused(dcs.show_instance, ShowInstanceRequest(instance_id="0" * 32), "DCS.3022", 404)


def test_a_key_opens_all_projects_of_its_user_and_no_other(service: Service) -> None:
    second = client_of(service, BasicCredentials(AK, SK, SECOND_PROJECT))
    assert second.list_migration_task(ListMigrationTaskRequest()).count == 0
    stranger = client_of(service, BasicCredentials(OTHER_AK, OTHER_SK, PROJECT))
    refused(stranger.list_migration_task, ListMigrationTaskRequest(), "DCS.1004", 401)
    forger = client_of(service, BasicCredentials(AK, SK + "x", PROJECT))
    refused(forger.list_migration_task, ListMigrationTaskRequest(), "APIGW.0301", 401)
    nobody = client_of(service, BasicCredentials("AKNOBODY", SK, PROJECT))
    refused(nobody.list_migration_task, ListMigrationTaskRequest(), "APIGW.0301", 401)


def test_the_project_is_found_by_its_regions_name(service: Service) -> None:
    credentials = BasicCredentials(AK, SK).with_iam_endpoint(service.url)
    builder = DcsClient.new_builder().with_credentials(credentials)
    client = builder.with_region(Region(REGION, service.url)).build()
    assert client.list_instances(ListInstancesRequest()).instance_num == 1


def test_a_client_without_a_project_is_told_so(service: Service) -> None:
    client = client_of(service, BasicCredentials(AK, SK))
    with pytest.raises(ClientRequestException) as no:
        client.list_migration_task(ListMigrationTaskRequest())
    assert (no.value.status_code, no.value.error_code) == (400, "DCS.4002")
    assert "{project_id}" in no.value.error_msg
