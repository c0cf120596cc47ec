"""What clients send to DRS v5: the documented request bodies, with what clients were seen to send.

Names of objects are the databases' own, so they may hold any letter but NUL.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from sterna.api.drs.fields import (
    MOST_ITEMS,
    Body,
    Description,
    Ids,
    LongText,
    Password,
    Port,
    Tags,
    TaskId,
    TaskName,
    Text,
)
from sterna.api.drs.v5.reading import moment_ms


def _as_text(value: object) -> object:
    """Numbers and booleans are taken for text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else value


def _days(text: str) -> str:
    if not (text.isascii() and text.isdigit() and 14 <= int(text[:4]) <= 100):
        raise ValueError("14 to 100")
    return str(int(text))


def _moment(text: str) -> str:
    moment_ms(text)
    return text


Flag = Annotated[str, BeforeValidator(_as_text), Field(max_length=16)]
"""``true`` or ``false``, as text or not."""
Days = Annotated[Text, AfterValidator(_days)]
Moment = Annotated[Text, AfterValidator(_moment)]
Places = Annotated[dict[Text, Text | bool | int], Field(max_length=16)]
"""Facts of the cloud's, kept and returned."""

Direction = Literal["up", "down", "non-dbs"]
NetType = Literal["eip", "vpc", "vpn"]
TaskType = Literal["FULL_TRANS", "FULL_INCR_TRANS", "INCR_TRANS"]
JobType = Literal["migration", "sync", "cloudDataGuard", "replay"]


class BaseInfo(Body):
    """What a task is called and what it does."""

    name: TaskName = Field(examples=["DRS-1234"])
    job_type: JobType
    multi_write: bool = False
    engine_type: Text = Field(examples=["postgresql"])
    job_direction: Direction
    task_type: TaskType
    net_type: NetType
    charging_mode: Literal["period", "on_demand"] = "on_demand"
    enterprise_project_id: Text = "0"
    description: Description = ""
    start_time: Moment = ""
    expired_days: Days = "14"
    tags: Tags = Field(default_factory=list)
    is_open_fast_clean: bool = False


class NewBaseInfo(Body):
    """What of it is to be changed."""

    name: TaskName | None = None
    description: Description | None = None
    expired_days: Days | None = None


class Server(Body):
    """Where a database is and who logs in. The password is never returned."""

    id: Text = ""
    endpoint_name: Text = Field("", examples=["postgresql"])
    ip: Text = Field("", examples=["192.168.0.27"])
    db_port: Port = Field(0, examples=["5432"])
    db_user: Text = ""
    db_password: Password | None = None
    instance_id: Text = ""
    instance_name: Text = ""
    db_name: Text = ""
    source_sharding: "list[Server]" = Field(default_factory=list, max_length=32)


class Ssl(Body):
    ssl_link: bool = False
    ssl_cert_name: Text = ""
    ssl_cert_key: LongText = ""
    ssl_cert_check_sum: Text = ""
    ssl_cert_password: Password = ""


class Side(Body):
    """One side of a task."""

    db_type: Text = Field(examples=["postgresql"])
    endpoint_type: Literal["offline", "ecs", "cloud"] = "offline"
    endpoint_role: Literal["so", "ta"]
    endpoint: Server
    cloud: Places = Field(default_factory=dict)
    vpc: Places = Field(default_factory=dict)
    config: Places = Field(default_factory=dict)
    ssl: Ssl = Ssl()


class NodeInfo(Body):
    """The machine that the cloud would rent; kept and returned."""

    spec: Places = Field(default_factory=dict)
    vpc: Places = Field(default_factory=dict)
    base_info: Places = Field(default_factory=dict)


class NewJob(Body):
    base_info: BaseInfo
    source_endpoint: list[Side] = Field(min_length=1, max_length=1)
    target_endpoint: list[Side] = Field(min_length=1, max_length=1)
    node_info: NodeInfo = NodeInfo()


class CreateJob(Body):
    """Creates a task."""

    job: NewJob


class AlarmNotify(Body):
    alarm_to_user: bool = False
    topic_urn: Text = ""
    delay_time: Annotated[int, Field(ge=0, le=3600)] = 0
    rpo_delay: Annotated[int, Field(ge=0, le=3600)] = 0
    rto_delay: Annotated[int, Field(ge=0, le=3600)] = 0


class SpeedLimit(Body):
    begin: Text
    end: Text
    speed: Text


class Policy(Body):
    filter_ddl_policy: Text = ""
    conflict_policy: Literal["ignore", "stop", "overwrite"] | None = None
    index_trans: bool | None = None
    ddl_trans: bool | None = None
    data_sync_topology_type: Text = ""
    support_ddl_info: Text = ""


class Column(Body):
    name: Text = ""
    filtered: bool = False
    additional: bool = False
    value: Text = ""


class Table(Body):
    type: Text = "table"
    name: Text = ""
    all: bool = False
    db_alias_name: Text = ""
    schema_alias_name: Text = ""
    filtered: bool = False
    filter_conditions: list[LongText] = Field(default_factory=list, max_length=100)
    config_conditions: list[LongText] = Field(default_factory=list, max_length=100)
    columns: dict[Text, Column] = Field(default_factory=dict, max_length=1600)


class Schema(Body):
    name: Text = ""
    all: bool = False
    tables: dict[Text, Table] = Field(default_factory=dict, max_length=50000)


class Database(Body):
    name: Text = ""
    all: bool = False
    schemas: dict[Text, Schema] = Field(default_factory=dict, max_length=5000)
    tables: dict[Text, Table] = Field(default_factory=dict, max_length=50000)


class DbObject(Body):
    """What of the source is taken, keyed by its names there; ``name`` is what it is called on the target."""

    object_scope: Literal["all", "database", "table"]
    target_root_db: dict[str, Text] = Field(default_factory=dict, max_length=8)
    object_info: dict[Text, Database] = Field(default_factory=dict, max_length=1000)


class Params(Body):
    """What an update changes; which of it counts is said by its type."""

    base_info: NewBaseInfo = NewBaseInfo()
    source_endpoint: list[Side] = Field(default_factory=list, max_length=1)
    target_endpoint: list[Side] = Field(default_factory=list, max_length=1)
    alarm_notify: AlarmNotify | None = None
    speed_limit: Annotated[list[SpeedLimit], Field(max_length=10)] | None = None
    policy_config: Policy | None = None
    db_object: DbObject | None = None
    node_info: NodeInfo | None = None


UpdateKind = Literal[
    "name", "description", "re_create", "expired_days", "notify", "endpoint", "db_object",
    "all", "network", "policy", "precheck",
]  # fmt: skip


class Update(Body):
    type: UpdateKind
    params: Params = Params()


class UpdateJob(Body):
    """Changes one thing about a task."""

    job: Update


class CompareParam(Body):
    compare_task_id: Text = ""
    type: Literal["object", "lines", "contents"] | None = None
    start_time: Moment = ""
    db_object: dict[Text, Database] = Field(default_factory=dict, max_length=1000)
    data_process_info: list[dict[str, Any]] = Field(default_factory=list, max_length=100)


class SkipPrecheck(Body):
    skipped_precheck_list: list[Text] = Field(max_length=200)
    skip_reason: Text = ""


class RepairObject(Body):
    database: Text
    schema_name: Text = Field("", alias="schema")
    table: Text = ""


class RepairInfo(Body):
    query_id: Text = ""
    objects: list[RepairObject] = Field(default_factory=list, max_length=1000)


class ActionParams(Body):
    endpoints: list[Side] = Field(default_factory=list, max_length=2)
    precheck_mode: Literal["forStartJob", "forRetryJob"] | None = None
    skip_precheck_info: SkipPrecheck | None = None
    pause_mode: Literal["target", "all"] | None = None
    start_time: Moment = ""
    compare_task_param: CompareParam = CompareParam()
    is_sync_re_edit: bool = False
    force_delete: bool = False
    repair_info: RepairInfo = RepairInfo()


ActionName = Literal[
    "network", "precheck", "start", "stop", "restart", "reset", "terminate", "skip_precheck", "create_compare",
    "cancel_compare", "column_limit", "reload_parameters", "bind_eip", "unbind_eip", "set_writable",
    "cloud_connection", "set_readonly", "diagnosis", "start_repair", "stop_repair",
]  # fmt: skip


class Action(Body):
    job_id: TaskId = ""
    action_name: ActionName
    action_params: ActionParams = ActionParams()


class ExecuteAction(Body):
    """Does something with a task."""

    job: Action


class ExecuteActions(Body):
    """Does something with each of some tasks."""

    jobs: list[Action] = Field(min_length=1, max_length=MOST_ITEMS)


class Stop(Body):
    """Ends a task: once it is drained, or at once."""

    is_force_stop: bool = False


class StopItem(Stop):
    job_id: TaskId


class StopMany(Body):
    jobs: list[StopItem] = Field(min_length=1, max_length=MOST_ITEMS)


class DeleteMany(Body):
    jobs: Ids


class CheckName(Body):
    name: Text
    type: Literal["trans", "subscription", "offline"]


class Clone(Body):
    job_id: TaskId
    name: TaskName
    task_version: Text = ""


class Collect(Body):
    """Asks for what can be selected."""

    type: Literal["source", "modified", "synchronized"]
    is_refresh: Flag = ""
    db_names: list[Text] = Field(default_factory=list, max_length=1000)


ConnectionName = Annotated[Text, Field(min_length=4, max_length=50)]
ConnectionText = Annotated[Text, Field(max_length=255)]


class NewConnection(Body):
    """Registers a database server."""

    name: ConnectionName
    db_type: Text = Field(examples=["postgresql"])
    config: Places = Field(default_factory=dict)
    description: ConnectionText = ""
    endpoint: Server
    vpc: Places = Field(default_factory=dict)
    ssl: Ssl | None = None
    cloud: Places = Field(default_factory=dict)
    enterprise_project_id: Text = "0"


class ChangedConnection(Body):
    """What of it changes."""

    name: ConnectionName | None = None
    db_type: Text | None = None
    config: Places | None = None
    description: ConnectionText | None = None
    endpoint: Server | None = None
    vpc: Places | None = None
    ssl: Ssl | None = None
    cloud: Places | None = None
    enterprise_project_id: Text | None = None


def kept(model: BaseModel) -> dict[str, Any]:
    """What of a body is stored and shown again: what was given, without passwords and certificates."""
    given: dict[str, Any] = _without_secrets(model.model_dump(exclude_unset=True, by_alias=True))
    return given


_SECRET = ("db_password", "ssl_cert_key", "ssl_cert_password")


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_secrets(it) for key, it in value.items() if key not in _SECRET}
    return [_without_secrets(it) for it in value] if isinstance(value, list) else value
