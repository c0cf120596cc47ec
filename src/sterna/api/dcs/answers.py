"""What DCS answers: the documented response bodies, with every field that a client was seen to need.

All text is text even where samples print numbers, since strict clients decode it so. Passwords are always null.
"""

from pydantic import BaseModel, Field


class BackupRecord(BaseModel):
    backup_id: str | None = None


class FilePart(BaseModel):
    file_name: str | None = None
    size: str | None = None
    update_at: str | None = None


class BackupFilesPart(BaseModel):
    file_source: str | None = None
    bucket_name: str | None = None
    files: list[FilePart] | None = None
    backup_id: str | None = None
    backup_record: BackupRecord | None = None


class InstancePart(BaseModel):
    """One side of a task."""

    id: str | None = Field(None, description="Null for a Redis that is not registered.")
    name: str | None = None
    addrs: str | None = Field(None, examples=["192.168.1.2:6379"])
    ip: str | None = None
    port: str | None = Field(None, examples=["6379"])
    password: None = Field(default=None, description="Never returned.")
    task_status: str | None = Field(None, description="The instance's state.", examples=["RUNNING"])
    proxy_multi_db: bool = False
    db: str | None = Field(None, description="The one database, if one was chosen.", examples=["0"])
    withProxy: bool = False


class Task(BaseModel):
    """A migration task in full."""

    task_id: str = Field(examples=["a276c1ffa0a54c2597fc824b917db317"])
    task_name: str = Field(examples=["migration1"])
    description: str | None = None
    status: str = Field(examples=["INCRMIGEATING"])
    migration_type: str = "online_migration"
    migration_method: str | None = None
    ecs_tenant_private_ip: str = Field(description="Where Sterna connects from; for whitelists.")
    backup_files: BackupFilesPart | None = None
    network_type: str = "vpc"
    source_instance: InstancePart | None = None
    target_instance: InstancePart | None = None
    created_at: str = Field(examples=["2026-11-21T06:12:55.508Z"])
    updated_at: str | None = None
    released_at: str | None = Field(None, examples=["202611211057"])
    version: str
    resume_mode: str | None = None
    supported_features: list[str] = Field(default_factory=list)
    tenant_vpc_id: str | None = None
    tenant_subnet_id: str | None = None
    tenant_security_group_id: str | None = None
    bandwidth_limit_mb: str | None = None
    task_status: str | None = Field(default=None, description="Set while IP addresses are exchanged.")


class ListedTask(BaseModel):
    """A migration task in a list."""

    task_id: str
    task_name: str
    status: str
    migration_type: str = "online_migration"
    migration_method: str | None = None
    ecs_tenant_private_ip: str
    data_source: str | None = None
    source_instance_name: str | None = None
    source_instance_id: str | None = None
    target_instance_addrs: str | None = None
    target_instance_name: str | None = None
    target_instance_id: str | None = None
    created_at: str
    description: str | None = None
    source_instance_status: str | None = None
    target_instance_status: str | None = None
    source_instance_subnet_id: str | None = None
    target_instance_subnet_id: str | None = None
    source_instance_spec_code: str | None = None
    target_instance_spec_code: str | None = None
    error_message: str | None = None
    released_at: str | None = None
    version: str
    resume_mode: str | None = None
    supported_features: list[str] = Field(default_factory=list)


class BackupRow(BaseModel):
    """The record of a backup."""

    backup_id: str
    period: str = ""
    backup_name: str = Field(examples=["backup_20261121061255"])
    instance_id: str
    size: int = Field(description="Bytes.")
    backup_type: str = "manual"
    created_at: str
    updated_at: str | None = Field(None, description="When it was done.")
    progress: str = Field(examples=["100.00"])
    error_code: str | None = None
    remark: str = ""
    status: str = Field(examples=["succeed"])
    is_support_restore: str = Field(examples=["TRUE"])
    backup_format: str = Field(examples=["rdb"])
    execution_at: str


class BackupPage(BaseModel):
    total_num: int
    backup_record_response: list[BackupRow]


class Taken(BaseModel):
    """The new record's id."""

    backup_id: str


class BackupLink(BaseModel):
    file_name: str
    link: str


class BackupLinks(BaseModel):
    file_path: str
    bucket_name: str
    links: list[BackupLink]


class TaskPage(BaseModel):
    count: int
    migration_tasks: list[ListedTask]


class Created(BaseModel):
    """The new task's id is called instance_id."""

    instance_id: str
    job_id: str = Field(description="Ask for it at /jobs/{job_id}.")


class Started(BaseModel):
    id: str
    name: str
    status: str
    error: str = ""


class Stats(BaseModel):
    full_migration_progress: str = Field(description="Percent.", examples=["100"])
    offset: str = Field(
        description="Bytes that the target lacks; 0 only where it is known to lack none.", examples=["0"]
    )
    source_dbsize: str = Field(description="Keys.", examples=["531221"])
    target_dbsize: str = Field(description="Keys.", examples=["531211"])
    target_input_kbps: str = Field(description="KB/s.", examples=["50"])
    target_ops: str = Field(description="Operations per second.", examples=["5300"])
    is_migrating: bool


class LogRow(BaseModel):
    created_at: str
    log_level: str
    message: str
    log_code: str
    keyword: list[str]


class LogPage(BaseModel):
    log_num: int
    migration_logs: list[LogRow]


class Outcome(BaseModel):
    task_id: str
    result: str = Field(examples=["success"])
    error_code: str | None = None
    error_msg: str | None = None


class Outcomes(BaseModel):
    migration_tasks: list[Outcome]


class Deleted(BaseModel):
    task_id_list: list[str]


class JobInfo(BaseModel):
    job_id: str
    job_type: str
    status: str
    begin_time: str = Field(description="Epoch milliseconds.")
    end_time: str
    fail_reason: str | None = None


class Features(BaseModel):
    support_acl: bool = False
    support_transparent_client_ip: bool = False
    support_ssl: bool = False
    support_audit_log: bool = False


class Tag(BaseModel):
    key: str
    value: str | None = None


class Instance(BaseModel):
    """A registered Redis, with what Sterna knows of it; the rest of the documented fields is null."""

    instance_id: str
    name: str
    engine: str = "Redis"
    engine_version: str | None = None
    status: str = "RUNNING"
    sub_status: str = "normal"
    ip: str
    port: int
    domain_name: str | None = None
    readonly_domain_name: str | None = None
    backend_addrs: str
    access_user: str | None = None
    no_password_access: str = Field(examples=["false"])
    enable_ssl: bool
    enable_publicip: bool = False
    publicip_id: str | None = None
    publicip_address: str | None = None
    created_at: str
    description: str | None = None
    vpc_id: str | None = None
    vpc_name: str | None = None
    subnet_id: str | None = None
    subnet_name: str | None = None
    subnet_cidr: str | None = None
    security_group_id: str | None = None
    security_group_name: str | None = None
    charging_mode: int = 0
    max_memory: int | None = None
    used_memory: int | None = None
    capacity: int | None = None
    capacity_minor: str | None = None
    maintain_begin: str | None = None
    maintain_end: str | None = None
    user_id: str | None = None
    user_name: str | None = None
    spec_code: str | None = None
    order_id: str | None = None
    service_upgrade: bool = False
    service_task_id: str | None = None
    enterprise_project_id: str | None = None
    enterprise_project_name: str | None = None
    az_codes: list[str] = Field(default_factory=list)
    available_zones: list[str] = Field(default_factory=list)
    features: Features
    tags: list[Tag] = Field(default_factory=list)
    cpu_type: str | None = None
    updated_at: str | None = None
    update_at: str | None = None
    cache_mode: str
    instance_backup_policy: None = None
    domain_name_info: None = None
    transparent_client_ip_enable: bool = False
    product_type: str | None = None
    storage_type: str | None = None
    launched_at: str | None = None
    support_slow_log_flag: str | None = None
    db_number: int | None = None
    replica_count: int | None = None
    sharding_count: int | None = None
    bandwidth_info: None = None
    cloud_service_type_code: str | None = None
    cloud_resource_type_code: str | None = None
    inquery_spec_code: str | None = None


class InstancePage(BaseModel):
    instance_num: int
    instances: list[Instance]
