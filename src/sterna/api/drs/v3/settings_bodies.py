"""What clients send to DRS v3 to configure tasks: connections, objects, policies, speed, passwords, alarms."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from sterna.api.drs.fields import (
    MOST_ITEMS,
    Body,
    Description,
    LongText,
    Password,
    Tags,
    TaskId,
    TaskName,
    Text,
    once,
)
from sterna.api.drs.objects import Row
from sterna.api.drs.speed import Limit
from sterna.api.drs.v3.bodies import Database, JobDirection, NetType, NodeType, Side, TaskType, Use

MOST_ENDPOINTS = 64
MOST_OBJECTS = 50_000

_Items = Field(min_length=1, max_length=MOST_ITEMS)


def distinct(items: list[Any]) -> list[Any]:
    """The items, if no two are about the same task."""
    once([item.job_id for item in items], "job_id")
    return items


Once = AfterValidator(distinct)


class Connection(Database):
    """A database to be tried."""

    id: TaskId
    net_type: NetType
    db_type: Text
    end_point_type: Side = "so"


class Connections(Body):
    """Databases to be tried, each for a task."""

    jobs: Annotated[list[Connection], Field(min_length=1, max_length=MOST_ENDPOINTS)]


class ClusterConnection(Body):
    """Databases to be tried, described in JSON text."""

    action: Literal["testConnection"] = "testConnection"
    job_id: TaskId
    property: LongText = Field(description="A JSON array of objects with ip, dbtype, dbuser, dbpassword …")


class ClusterConnections(Body):
    jobs: Annotated[list[ClusterConnection], Field(min_length=1, max_length=MOST_ENDPOINTS)]


class Property(Database):
    """One database of a ``property``, with the names that its keys have there."""

    endpointtype: Literal["so", "ta", "ls"] = "so"

    @model_validator(mode="before")
    @classmethod
    def _usual_names(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {_USUAL.get(key.lower(), key.lower()): value for key, value in data.items()}


_USUAL = {
    "dbtype": "db_type",
    "dbport": "db_port",
    "dbuser": "db_user",
    "dbpassword": "db_password",
    "dbname": "db_name",
    "instid": "inst_id",
    "vpcid": "vpc_id",
    "subnetid": "subnet_id",
    "projectid": "project_id",
    "ssllink": "ssl_link",
    "sslcertkey": "ssl_cert_key",
    "sslcertname": "ssl_cert_name",
    "sslcertchecksum": "ssl_cert_check_sum",
    "sslcertpassword": "ssl_cert_password",
}


class Subscription(Body):
    """Somebody to be told of trouble."""

    endpoints: Annotated[list[Text], Field(max_length=10)] = Field(default_factory=list)
    protocol: Literal["sms", "email"] = "email"


Delay = Annotated[int, Field(ge=0, le=3600)]


def _as_flag(value: object) -> object:
    """Samples send it as text."""
    return value.lower() == "true" if isinstance(value, str) and value.lower() in ("true", "false") else value


class Alarm(Body):
    """Who is to be told of trouble, and after how many seconds of delay. It is kept, and nothing is sent."""

    subscriptions: Annotated[list[Subscription], Field(max_length=2)] = Field(default_factory=list)
    topic_urn: Text = ""
    delay_time: Delay = 0
    rto_delay: Delay = 0
    rpo_delay: Delay = 0
    alarm_to_user: Annotated[bool, BeforeValidator(_as_flag)] = False

    def kept(self) -> dict[str, Any]:
        """As it is kept with the task."""
        return self.model_dump(exclude_defaults=True) | {"alarm_to_user": self.alarm_to_user}


class Modification(Body):
    """A task's new name, description and the like; or its endpoints."""

    empties: ClassVar[frozenset[str]] = frozenset({"description"})

    job_id: TaskId
    name: TaskName | None = None
    description: Description | None = None
    alarm_notify: Alarm | None = None
    task_type: TaskType | None = None
    source_endpoint: Database | None = None
    target_endpoint: Database | None = None
    node_type: NodeType | None = None
    engine_type: Text | None = None
    net_type: NetType | None = None
    store_db_info: bool | None = Field(default=None, description="false: endpoints are not stored.")
    job_direction: JobDirection | None = None
    is_target_readonly: bool | None = None
    replace_definer: bool | None = None
    tags: Tags | None = None
    db_use_type: Use | None = None

    @property
    def configures(self) -> bool:
        """Whether it is about more than how the task is called."""
        endpoints = self.source_endpoint or self.target_endpoint
        return bool(endpoints and self.store_db_info is not False) or self.task_type is not None


class Modifications(Body):
    jobs: Annotated[list[Modification], _Items, Once]


class ObjectRow(Body):
    """One object of a tree."""

    id: Annotated[Text, Field(max_length=512)]
    parent_id: Annotated[Text, Field(max_length=512)] = ""
    object_type: Literal["database", "schema", "table", "view"]
    object_name: Text = ""
    object_alias_name: Text = ""
    select: Annotated[
        Literal["true", "false", "partial"],
        BeforeValidator(lambda it: str(it).lower() if isinstance(it, bool) else it),
    ] = "false"

    def row(self) -> Row:
        """The same, for whichever version."""
        return Row(
            self.id, self.object_type, self.select, self.object_name, self.parent_id, self.object_alias_name
        )


class Objects(Body):
    """What of a task's source is taken."""

    job_id: TaskId
    selected: bool = Field(default=False, description="false: everything.")
    sync_database: bool = False
    job: Annotated[list[ObjectRow], Field(max_length=MOST_OBJECTS)] = Field(default_factory=list)


class ObjectSelections(Body):
    jobs: Annotated[list[Objects], _Items, Once]


class Policy(Body):
    """How a synchronisation deals with rows that are there, and with changes of tables."""

    job_id: TaskId
    conflict_policy: Literal["stop", "overwrite", "ignore"] | None = None
    filter_ddl_policy: Text | None = None
    ddl_trans: bool | None = Field(default=None, description="Whether changes of tables are carried over.")
    index_trans: bool | None = None
    is_fill_materialized_view: bool | None = None
    export_snapshot: bool | None = None
    topic_policy: Text | None = None
    topic: Text | None = None
    partition_policy: Text | None = None
    kafka_data_format: Text | None = None
    slot_name: Text | None = None
    file_and_position: Text | None = None
    gtid_set: Text | None = None
    ddl_topic: Text | None = None


class Policies(Body):
    jobs: Annotated[list[Policy], _Items, Once]


class Definer(Body):
    job_id: TaskId
    replace_definer: bool


class Definers(Body):
    """Whether owners of objects become the user of the target."""

    jobs: Annotated[list[Definer], _Items, Once]


class Chosen(Body):
    id: Annotated[Text, Field(max_length=512)]
    select: Text = "true"


class Rule(Body):
    transformation_type: Literal["contentConditionalFilter", "configConditionalFilter"]
    value: Annotated[Text, Field(max_length=512)]


class Transformation(Body):
    """Which rows of tables are taken."""

    job_id: TaskId
    object_info: Annotated[list[Chosen], Field(max_length=1000)] = Field(default_factory=list)
    transformation_info: Rule
    config_transformation: dict[str, Any] | None = None


class Transformations(Body):
    jobs: Annotated[list[Transformation], _Items]


class SpeedLimit(Body):
    """A limit for a part of each day."""

    begin: Text = Field(examples=["16:00"])
    end: Text = Field(examples=["15:59"])
    speed: Text = Field(examples=["15"], description="MB/s, 1 to 9999.")
    is_utc: bool = False

    def limit(self) -> Limit:
        """The same, for whichever version."""
        return Limit(self.begin, self.end, self.speed, self.is_utc)


class SpeedOf(Body):
    job_id: TaskId
    speed_limit: Annotated[list[SpeedLimit], Field(max_length=100)] = Field(description="Empty: no limit.")


class Speeds(Body):
    speed_limits: Annotated[list[SpeedOf], _Items, Once]


class NewPassword(Body):
    job_id: TaskId
    db_password: Annotated[Password, Field(max_length=256)]
    end_point_type: Side


class NewPasswords(Body):
    """New passwords for databases."""

    jobs: Annotated[list[NewPassword], Field(min_length=1, max_length=MOST_ITEMS * 2)]


class AlarmedTask(Body):
    job_id: TaskId
    status: Text | None = None
    engine_type: Text | None = None


class Alarms(Body):
    """The same notifications for many tasks."""

    jobs: Annotated[list[AlarmedTask], _Items, Once]
    alarm_notify_info: Alarm
