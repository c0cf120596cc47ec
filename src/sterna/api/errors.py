"""How a refusal looks to a client: a shape for each service, chosen by the code.

    APIGW.*   the gateway in front of the services    {"error_msg", "error_code", "request_id"}
    DCS.*     the service itself                      {"error_msg", "error_code", "error_ext_msg"}
    DRS.*     the service itself                      {"error_code", "error_msg"}
    DRS.0123  its first version                       {"err code", "error msg"}
    IAM.*     Keystone                                {"error": {"code", "message", "title"}}

A code may have variants of its text, named after a second dot, which clients do not see.
"""

import re
from collections.abc import Mapping
from http import HTTPStatus

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from sterna.api.language import MESSAGES

_PROJECT_PATH = re.compile(r"/(v2|v1\.0)/[0-9a-fA-F]{32}(/|$)")
_DRS_PATH = re.compile(r"/(v3|v5|v5\.1)/[^/]+/[^/]+")
_OLD_DRS_PATH = re.compile(r"/(v1\.0|v2\.0)/[^/]+/replication_tasks?(/|$)")
_OLD_DRS_CODE = re.compile(r"DRS\.[0-9]{4}(\.|$)")


class Told(Exception):
    """A refusal as clients are told it: a code of ``language.MESSAGES``, and what fills the places in its text."""

    def __init__(self, code: str, *values: str, headers: Mapping[str, str] | None = None) -> None:
        self.code = code
        self.values = values
        self.headers = dict(headers or {})
        super().__init__(code)

    @property
    def status(self) -> int:
        return MESSAGES[self.code].status

    @property
    def shown_code(self) -> str:
        """The code as clients know it."""
        return ".".join(self.code.split(".")[:2])

    def text(self, language: str) -> str:
        return MESSAGES[self.code].text(language, self.values)


class NotProven(Exception):
    """Nobody is behind this request, and why. The services say it each in their own shape."""


class ServiceError(BaseModel):
    """What DCS answers when it refuses."""

    error_msg: str = Field(examples=["Instance job is not found."])
    error_code: str = Field(examples=["DCS.4133"])
    error_ext_msg: None = Field(None, description="Not used.")


class DrsError(BaseModel):
    """What DRS answers when it refuses."""

    error_code: str = Field(examples=["DRS.10000010"])
    error_msg: str = Field(examples=["Job does not exist, please check job ID."])


class OldDrsError(BaseModel):
    """What the first version of DRS answers when it refuses: the keys hold a space."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    code: str = Field(serialization_alias="err code", examples=["DRS.0015"])
    message: str = Field(
        serialization_alias="error msg", examples=["The resource does not exist or you cannot access it."]
    )


class GatewayError(BaseModel):
    """What is answered before a request reaches a service."""

    error_msg: str = Field(examples=["Incorrect IAM authentication information: x-auth-token not found"])
    error_code: str = Field(examples=["APIGW.0301"])
    request_id: str


class KeystoneFault(BaseModel):
    """The inside of a Keystone error."""

    code: int = Field(examples=[401])
    message: str = Field(examples=["The username or password is wrong."])
    title: str = Field(examples=["Unauthorized"])


class KeystoneError(BaseModel):
    """What IAM answers when it refuses."""

    error: KeystoneFault


def answer(told: Told, language: str, request_id: str) -> JSONResponse:
    """The response for a refusal."""
    body = _body(told, told.text(language), request_id).model_dump(by_alias=True)
    return JSONResponse(body, told.status, headers=told.headers)


def unknown_path(path: str) -> Told:
    """A path that no route has."""
    if is_drs(path):
        return Told("APIGW.0101")
    return Told("DCS.4001") if is_dcs(path) else Told("IAM.404", "the URL") if is_iam(path) else Told("APIGW.0101")


def wrong_method(path: str, allow: str) -> Told:
    """A path that has routes, but not for this method."""
    headers = {"Allow": allow} if allow else {}
    if is_old_drs(path):
        return Told("DRS.0100.method", headers=headers)
    if is_drs(path):
        return Told("DRS.M00300.method", headers=headers)
    if is_dcs(path):
        return Told("DCS.5001", headers=headers)
    return Told("IAM.405", headers=headers) if is_iam(path) else Told("APIGW.0101")


def broken(path: str) -> Told:
    """Something that should not have happened."""
    if is_old_drs(path):
        return Told("DRS.0005")
    if is_drs(path):
        return Told("DRS.M00004")
    return Told("DCS.5000") if is_dcs(path) else Told("IAM.500") if is_iam(path) else Told("APIGW.0500")


def is_dcs(path: str) -> bool:
    """Whether a path is one of DCS: a version, then a well-formed project id."""
    return bool(_PROJECT_PATH.match(path))


def is_drs(path: str) -> bool:
    """Whether a path is one of DRS, without the ``/drs`` that it may begin with."""
    return bool(_DRS_PATH.match(path) and not is_iam(path)) or is_old_drs(path)


def is_old_drs(path: str) -> bool:
    """Whether a path is one of the first version of DRS."""
    return bool(_OLD_DRS_PATH.match(path))


def is_iam(path: str) -> bool:
    """Whether a path belongs to IAM. DRS shares its ``/v3``, behind a project id."""
    words = path.strip("/").split("/")
    return words[0] in ("v3", "v3.0") and (len(words) == 1 or words[1] in _IAM_WORDS)


_IAM_WORDS = frozenset(
    (
        "auth",
        "projects",
        "domains",
        "regions",
        "services",
        "endpoints",
        "users",
        "roles",
        "groups",
        "OS-CREDENTIAL",
    )
)


def _body(told: Told, text: str, request_id: str) -> BaseModel:
    if told.code.startswith("APIGW."):
        return GatewayError(error_msg=text, error_code=told.shown_code, request_id=request_id)
    if told.code.startswith("IAM."):
        return KeystoneError(
            error=KeystoneFault(code=told.status, message=text, title=HTTPStatus(told.status).phrase)
        )
    if _OLD_DRS_CODE.match(told.code):
        return OldDrsError(code=told.shown_code, message=text)
    if told.code.startswith("DRS."):
        return DrsError(error_code=told.shown_code, error_msg=text)
    return ServiceError(error_msg=text, error_code=told.shown_code, error_ext_msg=None)
