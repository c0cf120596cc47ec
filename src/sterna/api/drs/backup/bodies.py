"""What clients send to v5 for backup migration: the documented bodies, with what their samples add.

What only a restore from a bucket needs is asked for only there: the sample of a restore from a backup of the
cloud's own leaves it empty, and has to be refused for what it is.
"""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from sterna.api.drs.backup.asked import Asked, AskedFile
from sterna.api.drs.backup.fields import (
    MOST_FILES,
    BackupTags,
    BucketName,
    CheckMode,
    Databases,
    FileName,
    FileSource,
    Folder,
    Mode,
    NewNames,
    fits,
    twice,
)
from sterna.api.drs.backup.making import New
from sterna.api.drs.fields import Body, Text

_NAME = re.compile(r"[A-Za-z0-9_-]{4,50}")


def is_name(text: str) -> bool:
    """Whether a task may be called so."""
    return bool(_NAME.fullmatch(text))


def _name(text: str) -> str:
    if not is_name(text):
        raise ValueError("malformed")
    return text


Name = Annotated[Text, AfterValidator(_name)]


class BaseInfo(Body):
    """What a task is called."""

    name: Name = Field(examples=["DRS-7526"])
    engine_type: Literal["sqlserver"]
    description: Text = ""
    tags: BackupTags = Field(default_factory=list)
    enterprise_project_id: Text = "0"


class TargetInfo(Body):
    """The registered instance to restore into: a SQL Server, or a PostgreSQL server."""

    target_instance_id: Annotated[Text, Field(max_length=128)]
    ms_file_stream_status: Annotated[Text, Field(max_length=128)] = ""
    file_id: Annotated[Text, Field(max_length=128)] = ""


class File(Body):
    """One backup file."""

    name: FileName = Field("", examples=["sales.bak"])
    obs_path: Folder = Field("", description="Its folder, ending with a slash; empty: the root.")


class BackupInfo(Body):
    """The backup files; all of them belong to one restore."""

    file_source: FileSource
    bucket_name: BucketName = Field("", description="A registered bucket.", examples=["backups"])
    files: list[File] = Field(min_length=1, max_length=MOST_FILES)


class Options(Body):
    """How it is restored."""

    is_cover: bool = False
    is_default_restore: bool | None = None
    is_last_backup: bool | None = None
    is_precheck: bool | None = None
    is_delete_backup_file: bool = True
    recovery_mode: Mode | None = None
    db_names: Databases = Field(default_factory=list)
    reset_db_name_map: NewNames = Field(default_factory=dict)
    consistency_check_mode: CheckMode = ""

    @property
    def everything(self) -> bool:
        """Whether all databases are restored: unless it is said otherwise, or names are and nothing else."""
        return not self.db_names if self.is_default_restore is None else self.is_default_restore


class CreateBackup(Body):
    """Creates a task of backup migration, which starts at once."""

    base_info: BaseInfo
    target_db_info: TargetInfo
    backup_info: BackupInfo
    options: Options

    @model_validator(mode="after")
    def _fits(self) -> "CreateBackup":
        backup, options = self.backup_info, self.options
        if backup.file_source == "RDS":
            what = "backup_info.file_source RDS"
            raise PydanticCustomError("DRS.M00305.unsupported", "unsupported", {"what": what})
        for field, given in {
            "backup_info.bucket_name": backup.bucket_name,
            "backup_info.files.name": all(file.name for file in backup.files),
            "options.is_last_backup": options.is_last_backup is not None,
            "options.is_precheck": options.is_precheck is not None,
            "options.recovery_mode": options.recovery_mode,
            "options.db_names": options.everything or options.db_names,
        }.items():
            if not given:
                raise PydanticCustomError("DRS.M00201", "missing", {"field": field})
        if twice([file.obs_path + file.name for file in backup.files]):
            raise PydanticCustomError("DRS.M00301", "twice", {"field": "backup_info.files"})
        if not fits(options.reset_db_name_map, [] if options.everything else options.db_names):
            raise PydanticCustomError("DRS.M00202", "unfit", {"field": "options.reset_db_name_map"})
        return self

    def new(self) -> New:
        """The task that is meant."""
        base, target, backup, options = self.base_info, self.target_db_info, self.backup_info, self.options
        asked = Asked(
            instance_id=target.target_instance_id,
            bucket_name=backup.bucket_name,
            files=tuple(AskedFile(file.name, file.obs_path) for file in backup.files),
            engine_type=base.engine_type,
            file_source=backup.file_source,
            is_cover=options.is_cover,
            is_default_restore=options.everything,
            is_last_backup=bool(options.is_last_backup),
            is_precheck=bool(options.is_precheck),
            is_delete_backup_file=options.is_delete_backup_file,
            recovery_mode=options.recovery_mode or "",
            db_names=tuple(options.db_names),
            new_names=options.reset_db_name_map,
            consistency_check_mode=options.consistency_check_mode,
            file_stream=target.ms_file_stream_status,
            file_id=target.file_id,
            enterprise_project_id=base.enterprise_project_id,
        )
        return New(base.name, base.description, [tag.model_dump() for tag in base.tags], asked)


class UpdateBackup(Body):
    """Gives a task another name and description."""

    empties = frozenset({"description"})

    name: Annotated[Text, Field(max_length=64)] = Field(examples=["DRS-7526"])
    description: Text | None = None
