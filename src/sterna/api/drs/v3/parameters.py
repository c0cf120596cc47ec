"""The settings of the databases of tasks of v3: compared, and those of the targets changed."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field

from sterna.api.drs import tasks
from sterna.api.drs.actions import Action, check
from sterna.api.drs.endpoints import complete
from sterna.api.drs.fields import Body, Ids, Text, once
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.v3.batch import Call, CallDep
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.core.errors import NotFound, Refused, Trouble, Unsupported
from sterna.core.job import Job
from sterna.core.ports import Parameter

routes = router()

_FIGURES = ("integer", "real")
Group = Literal["common", "performance"]


def _as_text(value: object) -> object:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ParameterQuery(Body):
    """Tasks whose databases' settings are to be compared."""

    jobs: Ids
    refresh: Annotated[Literal["0", "1"], BeforeValidator(_as_text)] = Field(
        description="1: ask the databases; 0: give what they answered last."
    )


class ParameterValue(Body):
    empties: ClassVar[frozenset[str]] = frozenset({"target_value"})

    key: Text
    target_value: Text


def _each_once(values: list[ParameterValue]) -> list[ParameterValue]:
    once([it.key for it in values], "params")
    return values


class ParameterValues(Body):
    """Settings to be changed on the target."""

    group: Group
    params: Annotated[list[ParameterValue], Field(min_length=1, max_length=100), AfterValidator(_each_once)]


class ParameterPart(BaseModel):
    """A setting of the databases on both sides. Truths are text."""

    group: Group
    key: str
    source_value: str = Field(description="As the server keeps it: a number in the setting's own unit.")
    target_value: str
    compare_result: Literal["true", "false"]
    data_type: str | None = Field(description="``figure`` or nothing.")
    value_range: str = Field(examples=["4096-16777216", "on|off"])
    need_restart: Literal["true", "false"]


class ParameterWrong(BaseModel):
    """Why there are none, in the place of one."""

    error_code: str
    error_message: str


class ParameterList(BaseModel):
    params: list[ParameterPart | ParameterWrong]


class ParameterLists(BaseModel):
    params_list: list[ParameterList]
    count: int


class ParametersSet(BaseModel):
    success: bool
    should_restart: Literal["true", "false"]


@routes.post(
    "/jobs/batch-get-params",
    name="BatchShowParams",
    status_code=202,
    openapi_extra={PARTLY: "a list of settings that matter for a move"},
)
async def parameters(call: CallDep, body: ParameterQuery) -> ParameterLists:
    """The settings of both databases of tasks, side by side."""
    found = [await _listed(call, id, kept=body.refresh == "0") for id in body.jobs]
    return ParameterLists(params_list=found, count=len(found))


@routes.post("/jobs/{job_id}/params", name="UpdateParams", status_code=202)
async def set_parameters(call: CallDep, job_id: str, body: ParameterValues) -> ParametersSet:
    """Change settings of the target's server, all or none. Refused where the task's user may not."""
    job = await tasks.find(call.front, call.project_id, job_id)
    check(job, Action.CONFIGURE, call.front.desk.clock())
    values = {it.key: it.target_value for it in body.params}
    await _check_group(call, job, body.group, list(values))
    try:
        restart = await call.front.desk.set_parameters(job, values)
    except Refused:
        raise
    except Trouble as trouble:
        raise _told(trouble) from trouble
    return ParametersSet(success=True, should_restart=_truth(restart))


async def _check_group(call: Call, job: Job, group: str, names: list[str]) -> None:
    """Raises Told for a setting that is not in the group."""
    known = {it.name: it.group for it in await _read(call, job, kept=False)}
    for name in names:
        if known.get(name) != group:
            raise Told("DRS.M00305.parameter", name, group)


async def _listed(call: Call, id: str, *, kept: bool) -> ParameterList:
    try:
        job = await tasks.find(call.front, call.project_id, id)
        check(job, Action.RENAME, call.front.desk.clock())
        found = await _read(call, job, kept=kept)
    except Told as told:
        wrong = call.wrong(told)
        return ParameterList(params=[ParameterWrong(error_code=wrong.code, error_message=wrong.text)])
    return ParameterList(params=[_part(it) for it in found])


async def _read(call: Call, job: Job, *, kept: bool) -> list[Parameter]:
    """Raises Told."""
    if not complete(job.plan):
        raise Told("DRS.M00305.endpoint")
    try:
        return list(await call.front.desk.parameters(job, kept=kept))
    except NotFound as missing:
        raise Told("DRS.M00303") from missing
    except Trouble as trouble:
        raise _told(trouble) from trouble


def _told(trouble: Trouble) -> Told:
    if isinstance(trouble, Unsupported):
        return Told("DRS.M00305.unsupported", "comparing settings of this engine")
    return Told("DRS.M00305", f"{trouble.message} {trouble.hint}".strip())


def _part(it: Parameter) -> ParameterPart:
    return ParameterPart(
        group="common" if it.group == "common" else "performance",
        key=it.name,
        source_value=it.source,
        target_value=it.target,
        compare_result=_truth(it.source == it.target),
        data_type="figure" if it.kind in _FIGURES else None,
        value_range=it.allowed,
        need_restart=_truth(it.needs_restart),
    )


def _truth(it: bool) -> Literal["true", "false"]:
    return "true" if it else "false"
