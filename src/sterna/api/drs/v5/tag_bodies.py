"""Bodies of requests about tags, by DRS v5."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from sterna.api.drs.fields import MOST_ITEMS, Body, Text

_TAG_KEY = re.compile(r"(?!_sys_)(?! )[\w .:=+\-@/]{1,128}(?<! )")
_TAG_VALUE = re.compile(r"[\w .:=+\-@/]{0,255}")


def _tag_key(text: str) -> str:
    if len(text) > 128:
        raise PydanticCustomError("DRS.M00270", "too long")
    if not _TAG_KEY.fullmatch(text):
        raise PydanticCustomError("DRS.M00202", "malformed", {"field": "tags.key"})
    return text


def _tag_value(text: str) -> str:
    if len(text) > 255:
        raise PydanticCustomError("DRS.M00270", "too long")
    if not _TAG_VALUE.fullmatch(text):
        raise PydanticCustomError("DRS.M00202", "malformed", {"field": "tags.value"})
    return text


class ResourceTag(Body):
    """A tag of something that is there already; it may be longer than at the creation."""

    empties: ClassVar[frozenset[str]] = frozenset({"value"})

    key: Annotated[Text, AfterValidator(_tag_key)]
    value: Annotated[Text, AfterValidator(_tag_value)] = ""


def _distinct(tags: list[ResourceTag]) -> list[ResourceTag]:
    if len({tag.key for tag in tags}) != len(tags):
        raise PydanticCustomError("DRS.M00269", "twice")
    return tags


class TagList(Body):
    tags: Annotated[list[ResourceTag], Field(min_length=1, max_length=MOST_ITEMS), AfterValidator(_distinct)]


class TagAction(TagList):
    action: Literal["create", "delete"]


class TagFilter(Body):
    key: Text
    values: list[Text] = Field(default_factory=list, max_length=100)


class TagMatch(Body):
    key: Text
    value: Text = ""


class FindByTags(Body):
    without_any_tag: bool = False
    tags: list[TagFilter] = Field(default_factory=list, max_length=20)
    matches: list[TagMatch] = Field(default_factory=list, max_length=20)
