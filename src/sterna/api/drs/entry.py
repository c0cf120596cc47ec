"""How a request comes into DRS: proven, within a project of one's own, and with a body of the documented type."""

from typing import ClassVar

from fastapi import Request

from sterna.api.auth import LITERAL_PROJECT, usable
from sterna.api.door import RAW
from sterna.api.drs.operations import JSON
from sterna.api.errors import NotProven, Told
from sterna.api.front import PlainRoute, identified
from sterna.api.signing import RawRequest


class DrsRoute(PlainRoute):
    """A route of DRS v3 and v5."""

    no_body = "DRS.M00201.body"
    bad_body = "DRS.M00007"
    foreign: ClassVar[str] = "DRS.M00261"
    literal: ClassVar[str] = "DRS.M00261.literal"
    bad_type: ClassVar[str] = "DRS.M00300.type"
    takes: ClassVar[str] = JSON

    async def admit(self, request: Request) -> None:
        try:
            identity = await identified(request)
        except NotProven as why:
            raise Told("APIGW.0301", str(why)) from why
        project_id = request.path_params["project_id"]
        if usable(identity, project_id) is None:
            raise Told(self.literal if project_id == LITERAL_PROJECT else self.foreign)
        request.state.identity = identity
        self._check_type(request)

    def _check_type(self, request: Request) -> None:
        """A body that says that it is something else is not read. Raises Told."""
        raw: RawRequest = request.scope[RAW]
        said = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if raw.body and said and said != self.takes:
            raise Told(self.bad_type, self.takes)


class UploadRoute(DrsRoute):
    """A route that takes a file."""

    takes = "multipart/form-data"


class OldDrsRoute(DrsRoute):
    """A route of DRS v1.0."""

    no_body = "DRS.0099.body"
    bad_body = "DRS.0100.body"
    bad_type = "DRS.0100.type"
    foreign = literal = "DRS.0015"
