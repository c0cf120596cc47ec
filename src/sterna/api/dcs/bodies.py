"""What clients send to DCS: the documented request bodies, with the fields that clients were seen to add.

A null counts as left out, unknown fields are passed over, and numbers are taken where clients send them for text.
Which error code a field's refusal has is in ``codes``.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,63}")
_ID = re.compile(r"[0-9a-fA-F]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_NETWORK_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_HOST = re.compile(r"(?!.{254})[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,62}))*\.?")
_IPV6 = re.compile(r"\[([0-9A-Fa-f:.]{2,45})\]")

MOST_ADDRESSES = 256
MOST_IDS = 50
MOST_FILES = 1000
LARGEST_DATABASE = 255
LONGEST_NAME = 1024
"""Bytes that an object store takes for a name."""


def is_id(text: str) -> bool:
    """Whether this can be an id of a task or instance: 32 hexadecimal digits, or a UUID."""
    return bool(_ID.fullmatch(text))


def parse_addresses(text: str) -> tuple[tuple[str, int], ...]:
    """``host:port[,host:port…]`` as pairs. Raises ValueError. An IPv6 address stands in brackets."""
    pieces = [piece.strip() for piece in text.split(",")]
    if len(pieces) > MOST_ADDRESSES:
        raise ValueError("too many addresses")
    return tuple(dict.fromkeys(_address(piece) for piece in pieces))


def _address(piece: str) -> tuple[str, int]:
    host, colon, port = piece.rpartition(":")
    bracketed = _IPV6.fullmatch(host)
    well_formed = bracketed or _HOST.fullmatch(host)
    if not (colon and well_formed and port.isascii() and port.isdigit() and len(port) <= 5):
        raise ValueError("not host:port")
    if not 1 <= int(port) <= 65535:
        raise ValueError("no such port")
    return (bracketed[1] if bracketed else host, int(port))


def _number_as_text(value: object) -> object:
    """Clients send some numbers where text is documented."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _matching(pattern: re.Pattern[str]) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("malformed")
        return text

    return AfterValidator(check)


def printable(text: str) -> str:
    """The text, if it holds no control characters but tabs and line ends. Raises ValueError."""
    if any(ord(letter) < 32 and letter not in "\t\r\n" for letter in text):
        raise ValueError("control characters")
    return text


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


def _on_one_line(text: str) -> str:
    if any(ord(letter) < 32 for letter in text):
        raise ValueError("control characters")
    return text


def _in_a_bucket(name: str) -> str:
    """The name of a file that a bucket can hold, or of a folder; whether it does is for the task to find out."""
    if {".", ".."} & set(name.split("/")) or len(name.encode()) > LONGEST_NAME:
        raise ValueError("no name in a bucket")
    return name


def _addresses(text: str) -> str:
    parse_addresses(text)
    return text


def _within(lowest: int, highest: int) -> AfterValidator:
    def check(text: str) -> str:
        if not (text.isascii() and text.isdigit() and lowest <= int(text) <= highest):
            raise ValueError("out of range")
        return str(int(text))

    return AfterValidator(check)


Text = Annotated[str, BeforeValidator(_number_as_text)]
TaskName = Annotated[Text, _matching(_NAME)]
Description = Annotated[Text, Field(max_length=1024), AfterValidator(printable)]
NetworkId = Annotated[Text, _matching(_NETWORK_ID)]
ItemId = Annotated[Text, _matching(_ID)]
Addresses = Annotated[Text, Field(max_length=16384), AfterValidator(_addresses)]
Password = Annotated[Text, Field(max_length=512), AfterValidator(_without_nul)]
Bandwidth = Annotated[Text, Field(max_length=5), _within(1, 10240)]
Database = Annotated[Text, Field(max_length=3), _within(0, LARGEST_DATABASE)]

FileName = Annotated[
    Text, Field(min_length=1, max_length=LONGEST_NAME), AfterValidator(_on_one_line), AfterValidator(_in_a_bucket)
]
BucketName = Annotated[Text, Field(min_length=1, max_length=255), AfterValidator(_on_one_line)]
Opaque = Annotated[Text, Field(max_length=128), AfterValidator(printable)]

Method = Literal["full_amount_migration", "incremental_migration"]
ResumeMode = Literal["auto", "manual"]


class Body(BaseModel):
    """A request body. Nulls are as good as nothing."""

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, data: Any) -> Any:
        return {key: value for key, value in data.items() if value is not None} if isinstance(data, dict) else data


class CreateOnline(Body):
    """Creates a task that waits to be configured."""

    name: TaskName = Field(examples=["dcs-migration-thrc"], description="4 to 64 letters, digits, - and _")
    description: Description = Field("", examples=["moves the session store"])
    vpc_id: NetworkId = Field(examples=["5e37b3be-950a-48e1-b498-65b63d336481"])
    subnet_id: NetworkId = Field(examples=["40f15ed6-7f85-49d5-ba0e-65b940d4812c"])
    security_group_id: NetworkId = Field(examples=["9df96622-24b7-4813-84b8-ab74552a21d7"])


class Side(Body):
    """One Redis: a registered instance by its id, or any by address."""

    id: ItemId | None = Field(None, description="A registered instance; its address and password are used.")
    addrs: Addresses | None = Field(None, examples=["192.168.1.1:6379,192.168.0.0:6379"])
    password: Password | None = Field(None, description="Wins over the registered one. Never returned.")
    db: Database | None = Field(None, description="One database only, 0 to 255.", examples=["0"])
    name: Annotated[Text, Field(max_length=256), AfterValidator(printable)] | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> "Side":
        if not self.id and not self.addrs:
            raise ValueError("id or addrs")
        return self


class ConfigureOnline(Body):
    """Says from where to where, and starts the task."""

    migration_method: Method
    resume_mode: ResumeMode = Field(description="auto: reconnect for ever, copying anew if it must; manual: stop.")
    bandwidth_limit_mb: Bandwidth | None = Field(
        None, description="MB/s of the incremental part, 1 to 10240.", examples=["123"]
    )
    source_instance: Side
    target_instance: Side


class UpdateTask(Body):
    """Changes how a task goes on after a lost connection."""

    resume_mode: ResumeMode = "auto"


class BackupFile(Body):
    """A file in a bucket. What is said of it is handed back as it is: the bucket knows better."""

    file_name: FileName = Field(examples=["appendonly.aof"])
    size: Opaque | None = Field(None, examples=["754.0MB"])
    update_at: Opaque | None = Field(None, examples=["2025-07-22T11:57:24.401Z"])


class BackupFiles(Body):
    """Files in a bucket, or the record of a backup."""

    file_source: Literal["self_build_obs", "backup_record"] | None = Field(
        None, description="A bucket, or a backup of an instance; left out: whichever is named."
    )
    bucket_name: BucketName | None = Field(None, description="A bucket that is registered for the project.")
    files: list[BackupFile] | None = Field(None, max_length=MOST_FILES)
    backup_id: ItemId | None = None

    @property
    def from_record(self) -> bool:
        """Whether a backup record is meant; some documents have the two sources the wrong way round."""
        if self.bucket_name and self.backup_id:
            return self.file_source == "backup_record"
        return bool(self.backup_id) or (self.file_source == "backup_record" and not self.bucket_name)


class TakeBackup(Body):
    """Takes a backup of an instance."""

    remark: Annotated[Text, Field(max_length=128), AfterValidator(printable)] = ""
    backup_format: Literal["rdb", "aof"] = "rdb"


class Links(Body):
    """For how many seconds the links are to be valid."""

    expiration: int = Field(ge=300, le=86400)


class CreateTask(Body):
    """Creates, configures and starts in one: an import of files, or in the older form an online migration."""

    task_name: TaskName = Field(examples=["migration1"])
    description: Description = ""
    migration_type: Literal["backupfile_import", "online_migration"]
    migration_method: Method
    network_type: Literal["vpc", "vpn"] = "vpc"
    resume_mode: ResumeMode = "auto"
    bandwidth_limit_mb: Bandwidth | None = None
    backup_files: BackupFiles | None = None
    source_instance: Side | None = None
    target_instance: Side


class TaskIds(Body):
    """Tasks to stop or to restart."""

    migration_tasks: list[ItemId] = Field(min_length=1, max_length=MOST_IDS)


class DeleteTasks(Body):
    """Tasks to delete. Ids that are not known are passed over."""

    task_id_list: list[ItemId] = Field(min_length=1, max_length=MOST_IDS)


class Exchange(Body):
    """Which addresses to swap."""

    exchanged_ip: list[Text] = Field(default_factory=list, max_length=MOST_IDS)
    is_exchange_domain: bool = False
