"""What clients send to v1.0 for backup migration: flags and modes are text, and a sample has a blank in a key."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sterna.api.drs.backup.asked import FULL, Asked, AskedFile
from sterna.api.drs.backup.fields import (
    MOST_FILES,
    BucketName,
    Databases,
    FileName,
    FileSource,
    Folder,
    Mode,
    NewNames,
    fits,
    lower,
    twice,
)
from sterna.api.drs.backup.making import New
from sterna.api.drs.fields import Body, Text

_NAME = re.compile(r"[A-Za-z0-9_-]{4,64}")
_FORBIDDEN = re.compile(r"""[!<>&'"\\]""")


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError("malformed")
    return text


def _described(text: str) -> str:
    if _FORBIDDEN.search(text):
        raise ValueError("a forbidden character")
    return text


def _flag(value: object) -> object:
    return {"true": True, "false": False}.get(value.strip().lower(), value) if isinstance(value, str) else value


def _trimmed(value: Any) -> Any:
    """Without blanks at the ends of keys; a key that needs no trimming wins."""
    if isinstance(value, list):
        return [_trimmed(it) for it in value]
    if not isinstance(value, dict):
        return value
    trimmed = {key.strip(): _trimmed(it) for key, it in value.items() if key != key.strip()}
    return trimmed | {key: _trimmed(it) for key, it in value.items() if key == key.strip()}


Name = Annotated[Text, AfterValidator(_name)]
Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag, json_schema_input_type=Literal["true", "false"])]


class File(Body):
    """One backup file."""

    name: FileName = Field("", examples=["ims.bak"])
    path: Folder = Field("", description="Its folder, ending with a slash; empty: the root.")


class Backup(Body):
    """The backup files."""

    file_source: FileSource
    bucket_name: BucketName = ""
    files: list[File] = Field(min_length=1, max_length=MOST_FILES)


class Options(Body):
    """How it is restored."""

    cover: Flag
    recovery_mode: Mode | None = None
    is_default_restore: Flag | None = None
    is_last_backup: Flag | None = None
    reset_db_name_map: NewNames = Field(default_factory=dict)


class CreateTask(Body):
    """Creates a task of backup migration, which starts at once."""

    source: Annotated[Literal["obs", "rds"], BeforeValidator(lower)]
    engine: Literal["sqlserver"]
    name: Name = Field(examples=["migration-5be2"])
    description: Annotated[Text, Field(max_length=256), AfterValidator(_described)] = ""
    instance_id: Annotated[Text, Field(max_length=128)]
    backup: Backup
    options: Options
    db_names: Databases

    @model_validator(mode="before")
    @classmethod
    def _trim(cls, data: Any) -> Any:
        return _trimmed(data)

    @model_validator(mode="after")
    def _fits(self) -> "CreateTask":
        backup, options = self.backup, self.options
        if "rds" in (self.source, backup.file_source.lower()):
            raise PydanticCustomError("DRS.0100.unsupported", "unsupported", {"field": "source", "what": "rds"})
        for field, given in {
            "backup.bucket_name": backup.bucket_name,
            "backup.files.name": all(file.name for file in backup.files),
            "options.recovery_mode": options.recovery_mode,
            "options.is_default_restore": options.is_default_restore is not None,
            "options.is_last_backup": options.is_last_backup is not None,
            "db_names": options.is_default_restore or self.db_names,
        }.items():
            if not given:
                raise PydanticCustomError("DRS.0099", "missing", {"field": field})
        if twice([file.path + file.name for file in backup.files]):
            raise PydanticCustomError("DRS.0100", "twice", {"field": "backup.files"})
        if options.reset_db_name_map and not self._may_rename():
            raise PydanticCustomError("DRS.0100", "unfit", {"field": "options.reset_db_name_map"})
        return self

    def _may_rename(self) -> bool:
        """One database alone, and only where one full backup is all that there is."""
        options = self.options
        whole = options.recovery_mode == FULL and options.is_last_backup is True
        chosen = [] if options.is_default_restore else self.db_names
        return whole and len(options.reset_db_name_map) == 1 and fits(options.reset_db_name_map, chosen)

    def new(self) -> New:
        """The task that is meant. It is checked before, which v1.0 has no word for."""
        options = self.options
        asked = Asked(
            instance_id=self.instance_id,
            bucket_name=self.backup.bucket_name,
            files=tuple(AskedFile(file.name, file.path) for file in self.backup.files),
            engine_type=self.engine,
            file_source=self.backup.file_source,
            is_cover=options.cover,
            is_default_restore=options.is_default_restore is not False,
            is_last_backup=options.is_last_backup is not False,
            recovery_mode=options.recovery_mode or "",
            db_names=tuple(self.db_names),
            new_names=options.reset_db_name_map,
        )
        return New(self.name, self.description, (), asked)
