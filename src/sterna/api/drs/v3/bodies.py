"""What clients send to DRS v3 about tasks as a whole: creating, configuring, starting, ending, finding them."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sterna.api.drs.certificates import certificate_of
from sterna.api.drs.endpoints import FACTS, Said
from sterna.api.drs.fields import (
    MOST_ITEMS,
    Body,
    Description,
    Ids,
    LongText,
    Password,
    PlaceId,
    Port,
    Tag,
    Tags,
    TaskName,
    Text,
)
from sterna.api.drs.times import ms_of
from sterna.api.errors import Told

NetType = Literal["vpn", "vpc", "eip"]
Direction = Literal["up", "down", "non-dbs"]
Use = Literal["migration", "sync", "cloudDataGuard"]
NodeType = Literal["micro", "small", "medium", "high", "xlarge", "2xlarge"]
TaskType = Literal["FULL_TRANS", "FULL_INCR_TRANS", "INCR_TRANS"]
Side = Literal["so", "ta"]


def _no_direction_slip(value: object) -> object:
    """One document spells it without its second n."""
    return "non-dbs" if value == "no-dbs" else value


JobDirection = Annotated[Direction, BeforeValidator(_no_direction_slip)]


def _days(text: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 14 <= int(text) <= 100):
        raise ValueError("14 to 100")
    return text


def _moment(text: str) -> str:
    ms_of(text)
    return text


Days = Annotated[Text, AfterValidator(_days)]
Moment = Annotated[Text, AfterValidator(_moment)]
"""Epoch milliseconds as text."""


class Database(Body):
    """One database server, as far as it is said: in Endpoint and in connection tests alike."""

    db_type: Text | None = Field(default=None, examples=["postgresql"])
    inst_id: PlaceId | None = Field(default=None, description="A registered instance: its address is used.")
    ip: Annotated[Text, Field(max_length=8192)] | None = Field(default=None, examples=["192.168.0.27"])
    db_port: Port | None = Field(default=None, description="0 where addresses name their ports.", examples=[5432])
    db_user: Text | None = None
    db_password: Password | None = Field(default=None, description="Never returned.")
    db_name: Text | None = Field(default=None, description="The database to log in to.")
    inst_name: Text | None = None
    region: Text | None = None
    project_id: Text | None = None
    vpc_id: Text | None = None
    subnet_id: Text | None = None
    security_group_id: Text | None = None
    az_code: Text | None = None
    ssl_link: bool | None = None
    ssl_cert_key: LongText | None = Field(default=None, description="Certificates to trust: PEM, in base64.")
    ssl_cert_name: Text | None = None
    ssl_cert_check_sum: Text | None = Field(
        default=None, description="SHA-256 of the certificate, in hexadecimal digits."
    )
    ssl_cert_password: Password | None = None

    def said(self) -> Said:
        """The same, for whichever version."""
        return Said(
            db_type=self.db_type or "",
            inst_id=self.inst_id or "",
            ip=self.ip or "",
            port=self.db_port or 0,
            user=self.db_user or "",
            password=self.db_password,
            database=self.db_name or "",
            ssl=self.ssl_link,
            certificate=certificate_of(self.ssl_cert_key, self.ssl_cert_check_sum) if self.ssl_link else "",
            facts=tuple((name, getattr(self, name)) for name in FACTS if getattr(self, name)),
        )


class PageRequest(Body):
    """Which of the ids of a call are meant. An empty object is as good as none."""

    cur_page: Annotated[int, Field(ge=1, le=MOST_ITEMS)] | None = None
    per_page: Annotated[int, Field(ge=0, le=100)] | None = Field(
        default=None, description="0: all; 5 unless said."
    )

    def cut(self, ids: list[str]) -> list[str]:
        """The ids on the page. Raises the refusal of a page behind the last."""
        if self.cur_page is None and self.per_page is None:
            return ids
        size = (5 if self.per_page is None else self.per_page) or len(ids)
        first = ((self.cur_page or 1) - 1) * size
        if first >= len(ids):
            raise Told("DRS.M00211")
        return ids[first : first + size]


class TaskIds(Body):
    """Tasks that are asked about."""

    jobs: Ids


class TaskIdsPaged(TaskIds):
    page_req: PageRequest = PageRequest()

    @model_validator(mode="before")
    @classmethod
    def _either_spelling(cls, data: Any) -> Any:
        """A sample spells it pageReq."""
        return {"page_req": data["pageReq"], **data} if isinstance(data, dict) and data.get("pageReq") else data

    def asked(self) -> list[str]:
        """The ids on the page that is asked for."""
        return self.page_req.cut(self.jobs)


class NewTask(Body):
    """A task to be created."""

    name: TaskName = Field(examples=["DRS-9228"])
    description: Description = ""
    db_use_type: Use
    engine_type: Text = Field(examples=["postgresql"])
    job_direction: JobDirection
    net_type: NetType
    node_type: NodeType
    task_type: TaskType
    source_endpoint: Database
    target_endpoint: Database
    customize_sutnet_id: PlaceId = Field(description="The subnet; spelt so.")
    bind_eip: bool = False
    is_target_readonly: bool = True
    multi_write: bool = False
    node_num: Annotated[int, Field(ge=0, le=32)] = 0
    expired_days: Days = "14"
    tags: Tags = Field(default_factory=list)
    sys_tags: Annotated[list[Tag], Field(max_length=1)] = Field(default_factory=list)
    master_az: Text = ""
    slave_az: Text = ""
    charging_mode: Literal["period", "on_demand"] = "on_demand"
    is_open_fast_clean: bool = False


class NewTasks(Body):
    """Creates tasks that wait to be configured."""

    jobs: Annotated[list[NewTask], Field(min_length=1, max_length=MOST_ITEMS)]


class Find(Body):
    """Looks for tasks. What is left out, null or empty does not narrow the search."""

    cur_page: Annotated[int, Field(ge=0, le=1_000_000)] = Field(1, description="0: everything.")
    per_page: Annotated[int, Field(ge=0, le=100)] = Field(10, description="0: everything.")
    db_use_type: Use
    engine_type: Text | None = None
    enterprise_project_id: Text | None = None
    name: Annotated[Text, Field(max_length=8192)] | None = Field(
        default=None, description="A part of the name, an id, or several ids with commas between."
    )
    net_type: NetType | None = None
    service_name: Text | None = None
    status: Text | None = None
    tags: list[Tag] | dict[str, str | None] | None = None
    instance_ids: Annotated[list[Text], Field(max_length=10)] | None = None
    instance_ip: Text | None = None

    @model_validator(mode="after")
    def _pages(self) -> "Find":
        if self.per_page == 0 and self.cur_page > 1:
            raise PydanticCustomError("DRS.M00210", "no pages", {"reason": "cur_page"})
        return self

    def wanted_tags(self) -> dict[str, str | None]:
        """Tags that a task must have, and with which values; both documented shapes are one."""
        if isinstance(self.tags, dict):
            return self.tags
        return {tag.key: tag.value or None for tag in self.tags or []}
