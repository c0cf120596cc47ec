"""Kinds of fields that the bodies of both versions share."""

import ipaddress
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from sterna.api.drs.backup.asked import FULL, INCREMENTAL
from sterna.api.drs.fields import Tag, Tags, Text

MOST_FILES = 256
MOST_DATABASES = 512

_VALUE = re.compile(r"[\w .:/=+\-@]*")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_MODES = {"1": FULL, "2": INCREMENTAL, FULL: FULL, INCREMENTAL: INCREMENTAL}


def _bucket(name: str) -> str:
    if not _BUCKET.fullmatch(name) or _is_address(name):
        raise ValueError("no name of a bucket")
    return name


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _inside(text: str) -> str:
    """A name or folder that leads nowhere else."""
    steps = text.removesuffix("/").split("/")
    if any(step in ("", ".", "..") for step in steps) or "\\" in text:
        raise ValueError("no name in a bucket")
    return text


def _file(name: str) -> str:
    if name.endswith("/"):
        raise ValueError("a folder")
    return _inside(name)


def _folder(path: str) -> str:
    if not path.endswith("/"):
        raise ValueError("a folder ends with /")
    return _inside(path)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def lower(value: object) -> object:
    """For words that come in any case."""
    return value.lower() if isinstance(value, str) else value


def _mode(value: object) -> object:
    """Both APIs number the modes in some of their answers."""
    word = str(value).lower() if isinstance(value, str | int) and not isinstance(value, bool) else value
    return _MODES.get(word, value) if isinstance(word, str) else value


def _without_empty(value: object) -> object:
    return [it for it in value if it not in (None, "")] if isinstance(value, list) else value


def _as_map(value: object) -> object:
    """A list of maps is taken for one map, nulls and empty new names for nothing."""
    if isinstance(value, list) and all(isinstance(it, dict) for it in value):
        value = {old: new for it in value for old, new in it.items()}
    if isinstance(value, dict):
        return {old: new for old, new in value.items() if new not in (None, "")}
    return value


def _distinct(names: Mapping[str, str]) -> Mapping[str, str]:
    """The only database has one new name, and no two become one. SQL Server's names are the same in any case."""
    if ("" in names and len(names) > 1) or any(
        len({name.lower() for name in side}) != len(names) for side in (names.keys(), names.values())
    ):
        raise ValueError("two names for one database")
    return names


def _each_once(names: list[str]) -> list[str]:
    """SQL Server's names are the same in any case."""
    found: dict[str, str] = {}
    for name in names:
        found.setdefault(name.lower(), name)
    return list(found.values())


def _values(tags: list[Tag]) -> list[Tag]:
    for tag in tags:
        if not _VALUE.fullmatch(tag.value):
            raise PydanticCustomError("DRS.M00202", "malformed", {"field": "tags.value"})
    return tags


BackupTags = Annotated[Tags, AfterValidator(_values)]
"""Tags at the creation: what their values may hold is documented here alone."""
BucketName = Annotated[Text, AfterValidator(_bucket)]
FileName = Annotated[Text, Field(max_length=512), AfterValidator(_file)]
Folder = Annotated[Text, Field(max_length=512), AfterValidator(_folder)]
FileSource = Annotated[Literal["OBS", "RDS"], BeforeValidator(_upper)]
CheckMode = Annotated[Literal["sync", "async", ""], BeforeValidator(lower)]
Mode = Annotated[Literal["full", "incre"], BeforeValidator(_mode)]
DatabaseName = Annotated[Text, Field(max_length=128)]
Databases = Annotated[
    list[DatabaseName],
    Field(max_length=MOST_DATABASES),
    BeforeValidator(_without_empty, json_schema_input_type=list[str]),
    AfterValidator(_each_once),
]
"""Names of databases, each once; clients send an empty one for all of them."""
NewNames = Annotated[
    dict[DatabaseName, DatabaseName],
    Field(max_length=MOST_DATABASES),
    BeforeValidator(_as_map, json_schema_input_type=dict[str, str]),
    AfterValidator(_distinct),
]
"""What databases are called on the target, by their old names, or by the empty one for the only one."""


def fits(names: Mapping[str, str], databases: Sequence[str]) -> bool:
    """Whether new names are given to databases that are restored, none the name of another; no databases: all."""
    if not databases:
        return True
    known = {name.lower() for name in databases}
    if "" in names:
        return len(databases) == 1
    renamed = {old.lower(): new.lower() for old, new in names.items()}
    return renamed.keys() <= known and known.isdisjoint(set(renamed.values()) - renamed.keys())


def twice(names: Sequence[Any]) -> bool:
    """Whether something is there twice."""
    return len(set(names)) != len(names)
