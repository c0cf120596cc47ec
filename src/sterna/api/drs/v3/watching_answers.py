"""What DRS v3 answers about how far tasks are, and about what there is to choose from."""

from pydantic import BaseModel, Field


class Part(BaseModel):
    completed: str = Field(examples=["94%"])
    remaining_time: str | None = None


class TaskProgress(BaseModel):
    """How far a task is. Numbers are text."""

    job_id: str
    progress: str | None = Field(default=None, description="Percent of the copy.", examples=["0"])
    incre_trans_delay: str | None = Field(default=None, description="Seconds; -1: not known.", examples=["-1"])
    incre_trans_delay_millis: str | None = None
    task_mode: str | None = None
    transfer_status: str | None = None
    process_time: str | None = Field(default=None, description="Epoch milliseconds; 0: never.")
    remaining_time: str | None = Field(default=None, description="Seconds until the copy is complete.")
    progress_map: dict[str, Part] | None = None
    apply_rows_rate: int | None = None
    apply_bytes_rate: int | None = None
    error_code: str | None = None
    error_msg: str | None = None


class TaskProgresses(BaseModel):
    count: int
    results: list[TaskProgress]


class Objective(BaseModel):
    """How far one side is."""

    check_point: str
    delay: str = Field(description="Seconds; -1: not known.")
    gtid_set: str = "NA"
    time: str = Field(description="The service's local time.")


class Objectives(BaseModel):
    job_id: str
    rpo_info: Objective | None = None
    rto_info: Objective | None = None
    error_code: str | None = None
    error_msg: str | None = None


class AllObjectives(BaseModel):
    count: int
    results: list[Objectives]


class StructKind(BaseModel):
    type: str = Field(examples=["table"])
    status: int = Field(description="0: to come, 1: at work, 2: done.")
    src_count: int
    dst_count: int
    start_time: int = Field(description="Epoch milliseconds.")
    end_time: int | None = None


class StructPart(BaseModel):
    create_time: str
    result: list[StructKind]


class Struct(BaseModel):
    job_id: str
    struct_process: StructPart | None = None
    error_code: str | None = None
    error_message: str | None = None


class Structs(BaseModel):
    results: list[Struct]
    count: int


class StructRow(BaseModel):
    progress: int
    src_DB: str
    src_TB: str
    dst_DB: str
    dst_TB: str


class StructList(BaseModel):
    total_record: int
    create_time: str
    list: list[StructRow]


class StructDetail(BaseModel):
    job_id: str
    struct_detail: StructList | None = None
    error_code: str | None = None
    error_message: str | None = None


class StructDetails(BaseModel):
    results: list[StructDetail]
    count: int


class Monitor(BaseModel):
    """Figures of the moment. Those of the machine are not known here."""

    bandwidth: str = "0"
    cpuUsed_percent: str = "0"
    dst_delay: int
    dst_io: str = "0"
    dst_normal: bool
    dst_offset: str
    dst_rps: str
    mem_used_inMB: str = "0"
    node_mem_inMB: int = 0
    node_offset: str
    node_volume_inGB: int = 0
    sr_delay: int
    sr_offset: str
    src_io: str = "0"
    src_normal: bool
    src_rps: str
    trans_inMB: str
    trans_lines: str
    volume_used_inGB: str = "0"
    migration_bytes_per_second: int


class Monitored(BaseModel):
    id: str
    data_guard_minitor: Monitor | None = Field(default=None, description="Spelt so.")
    error_code: str | None = None
    error_msg: str | None = None


class AllMonitored(BaseModel):
    results: list[Monitored]
    count: int


class Resource(BaseModel):
    type: str = "instances"
    min: int = 0
    max: int
    quota: int
    used: int


class Quota(BaseModel):
    resource: Resource


class Quotas(BaseModel):
    quotas: Quota


class NodeType(BaseModel):
    node_type: str
    is_sellout: bool = False


class NodeTypes(BaseModel):
    node_types: list[NodeType]


class Zone(BaseModel):
    code: str
    name: str
    status: str = "ENABLED"


class Zones(BaseModel):
    az_infos: list[Zone]
