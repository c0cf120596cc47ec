"""What DRS v3 answers about tasks. Fields without a value are left out, as clients test for that."""

from typing import Any

from pydantic import BaseModel, Field


class Created(BaseModel):
    """One new task, or why there is none."""

    id: str = Field(examples=["140b5236-88ad-43c8-811c-1268453jb10p"])
    name: str
    status: str = Field(examples=["CREATING"])
    create_time: str | None = Field(default=None, description="Epoch milliseconds.", examples=["1599188556112"])
    error_code: str | None = None
    error_msg: str | None = None


class CreatedTasks(BaseModel):
    results: list[Created]
    count: int


class Outcome(BaseModel):
    """What came of a request for one task."""

    id: str
    status: str = Field(examples=["success"])
    error_code: str | None = None
    error_msg: str | None = None


class Outcomes(BaseModel):
    results: list[Outcome]
    count: int


class TaskStatus(BaseModel):
    id: str
    status: str | None = Field(default=None, examples=["INCRE_TRANSFER_STARTED"])
    error_code: str | None = None
    error_message: str | None = None


class TaskStatuses(BaseModel):
    results: list[TaskStatus]
    count: int


class Tag(BaseModel):
    key: str
    value: str


class EndpointPart(BaseModel):
    """One side of a task. Passwords and certificates are never given back."""

    db_type: str
    az_code: str | None = None
    region: str | None = None
    inst_id: str | None = None
    vpc_id: str | None = None
    subnet_id: str | None = None
    security_group_id: str | None = None
    project_id: str | None = None
    db_name: str | None = None
    db_port: int | None = None
    db_user: str | None = None
    inst_name: str | None = None
    ip: str | None = None
    ssl_cert_check_sum: str | None = None
    ssl_cert_name: str | None = None
    ssl_link: bool = False


class WorkerPart(BaseModel):
    """The service itself, where the documents have a replication instance."""

    engine_type: str
    inst_type: str
    ip: str
    public_ip: str
    start_time: str = "0"
    status: str = "ACTIVE"
    volume_size: int = 100


class SpeedWindow(BaseModel):
    begin: str
    end: str
    speed: str = Field(description="MB/s.")


class ChosenObject(BaseModel):
    id: str
    parent_id: str | None = None
    type: str
    name: str
    alias_name: str | None = None


class AlarmPart(BaseModel):
    """Who would be told of trouble. It is kept, and nothing is sent."""

    subscriptions: list[dict[str, Any]] | None = None
    topic_name: str | None = None
    delay_time: int = 0
    rto_delay: int = 0
    rpo_delay: int = 0
    alarm_to_user: bool = False


class TaskDetail(BaseModel):
    """A task in full."""

    id: str
    name: str | None = None
    status: str | None = None
    description: str | None = None
    create_time: str | None = None
    task_type: str | None = None
    source_endpoint: EndpointPart | None = None
    target_endpoint: EndpointPart | None = None
    failed_reason: str | None = None
    inst_info: WorkerPart | None = None
    actual_start_time: str | None = None
    full_transfer_complete_time: str | None = None
    update_time: str | None = None
    job_direction: str | None = None
    original_job_direction: str | None = None
    db_use_type: str | None = None
    need_restart: bool | None = None
    is_target_readonly: bool | None = None
    conflict_policy: str | None = None
    filter_ddl_policy: str | None = None
    speed_limit: list[SpeedWindow] | None = None
    schema_type: str | None = None
    object_switch: bool | None = None
    index_trans: bool | None = None
    struct_trans: bool | None = None
    replace_definer: bool | None = None
    migrate_user: bool | None = None
    sync_database: bool | None = None
    error_code: str | None = None
    error_message: str | None = None
    az_code: str | None = None
    vpc_id: str | None = None
    subnet_id: str | None = None
    security_group_id: str | None = None
    multi_write: bool | None = None
    support_ip_v6: bool | None = None
    alarm_notify: AlarmPart | None = None
    is_multi_az: bool | None = None
    master_az: str | None = None
    slave_az: str | None = None
    object_infos: list[ChosenObject] | None = None
    data_transformation: dict[str, Any] | None = None
    tags: list[Tag] | None = None
    is_open_fast_clean: bool | None = None


class TaskDetails(BaseModel):
    count: int
    results: list[TaskDetail]


class JobAction(BaseModel):
    available_actions: list[str]
    unavailable_actions: list[str]
    current_action: str | None = None


class ListedTask(BaseModel):
    """A task in a list."""

    id: str
    name: str
    status: str
    description: str
    create_time: str = Field(description="The service's local time.", examples=["2020-12-21 10:57:49"])
    error_msg: str | None = None
    engine_type: str
    net_type: str
    billing_tag: bool = False
    job_direction: str
    db_use_type: str
    task_type: str
    node_newFramework: bool = False
    job_action: JobAction


class FoundTasks(BaseModel):
    jobs: list[ListedTask]
    total_record: int
