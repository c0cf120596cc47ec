"""Kinds of fields that bodies of v3 and v5 share, and the base of all bodies.

A null counts as left out, and so does an empty text: clients send both for what they do not mean. Numbers are
taken for text and text for numbers where the documents mix them. Unknown fields are passed over.
"""

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{3,49}")
_PLACE_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
_TAG_KEY = re.compile(r"[A-Za-z0-9_\u4e00-\u9fff-]+")
_DESCRIPTION = re.compile(r"""[!<>&'"\\]""")

MOST_ITEMS = 200
MOST_TAGS = 20
LONGEST_KEY = 36
LONGEST_VALUE = 43


class Body(BaseModel):
    """A body or a part of one. Nulls and empty texts are as good as nothing, but for fields in ``empties``."""

    empties: ClassVar[frozenset[str]] = frozenset()
    """Fields for which an empty text means something."""

    @model_validator(mode="before")
    @classmethod
    def _drop_empty(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: it for key, it in data.items() if it is not None and (it != "" or key in cls.empties)}


def _number_as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _no_control(text: str) -> str:
    if any(ord(letter) < 32 and letter not in "\t\r\n" for letter in text):
        raise ValueError("control characters")
    return text


def _no_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a NUL character")
    return text


def _matching(pattern: re.Pattern[str]) -> AfterValidator:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError("malformed")
        return text

    return AfterValidator(check)


def _described(text: str) -> str:
    found = _DESCRIPTION.search(text)
    if found:
        raise PydanticCustomError("DRS.M00273", "forbidden character", {"character": found[0]})
    return text


Text = Annotated[str, BeforeValidator(_number_as_text), Field(max_length=1024), AfterValidator(_no_control)]
LongText = Annotated[str, Field(max_length=65536), AfterValidator(_no_nul)]
TaskName = Annotated[Text, _matching(_NAME)]
TaskId = Annotated[Text, Field(max_length=64)]
"""Not checked further: an id without the form is the id of nothing."""
Description = Annotated[Text, Field(max_length=256), AfterValidator(_described)]
PlaceId = Annotated[Text, _matching(_PLACE_ID)]
"""An id of a network or the like."""
Password = Annotated[str, BeforeValidator(_number_as_text), Field(max_length=512), AfterValidator(_no_nul)]
Port = Annotated[int, Field(ge=0, le=65535)]


class Tag(Body):
    """A tag at a task's creation."""

    empties: ClassVar[frozenset[str]] = frozenset({"value"})

    key: Text
    value: Text = ""

    @model_validator(mode="after")
    def _fits(self) -> "Tag":
        if len(self.key) > LONGEST_KEY or len(self.value) > LONGEST_VALUE:
            raise PydanticCustomError("DRS.M00270", "too long")
        if not _TAG_KEY.fullmatch(self.key):
            raise PydanticCustomError("DRS.M00202", "malformed", {"field": "tags.key"})
        return self


def _distinct(tags: list[Tag]) -> list[Tag]:
    if len(tags) > MOST_TAGS:
        raise PydanticCustomError("DRS.M00271", "too many")
    if len({tag.key for tag in tags}) != len(tags):
        raise PydanticCustomError("DRS.M00269", "twice")
    return tags


Tags = Annotated[list[Tag], AfterValidator(_distinct)]


def once(ids: list[str], name: str = "jobs") -> list[str]:
    """The ids, each once. Raises the refusal of a batch that names a task twice."""
    if len(set(ids)) != len(ids):
        raise PydanticCustomError("DRS.M00301", "twice", {"field": name})
    return ids


Ids = Annotated[list[TaskId], Field(min_length=1, max_length=MOST_ITEMS), AfterValidator(once)]
