"""Configuring tasks in v3: connections, objects, policies, speed, passwords, notifications."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from pydantic import TypeAdapter, ValidationError

from sterna.api.drs import settings, tasks
from sterna.api.drs.actions import Action, check
from sterna.api.drs.codes import of_fields
from sterna.api.drs.endpoints import endpoint_of
from sterna.api.drs.facts import facts_of
from sterna.api.drs.links import Link, mode_of
from sterna.api.drs.objects import path_of
from sterna.api.drs.operations import PARTLY
from sterna.api.drs.v3 import answers, settings_answers
from sterna.api.drs.v3 import settings_bodies as bodies
from sterna.api.drs.v3.batch import Call, CallDep, outcomes
from sterna.api.drs.v3.bodies import Database
from sterna.api.drs.v3.router import router
from sterna.api.errors import Told
from sterna.api.front import read_json
from sterna.core.job import Job

routes = router()

AT_ONCE = 8
"""How many connections of a request are tried at the same time."""

_PROPERTIES = TypeAdapter(list[bodies.Property])


@routes.post("/jobs/batch-connection", name="BatchValidateConnections", response_model_exclude_none=True)
async def try_connections(call: CallDep, body: bodies.Connections) -> settings_answers.AllTried:
    """Log in to databases. Nothing is stored."""
    turn = asyncio.Semaphore(AT_ONCE)

    async def one(it: bodies.Connection) -> settings_answers.Tried:
        async with turn:
            return await _tried(call, it.id, [(it.end_point_type, it)], ("success", "failed"))

    results = await asyncio.gather(*map(one, body.jobs))
    return settings_answers.AllTried(results=results, count=len(results))


@routes.post(
    "/jobs/cluster/batch-connection", name="BatchValidateClustersConnections", response_model_exclude_none=True
)
async def try_clusters(call: CallDep, body: bodies.ClusterConnections) -> settings_answers.AllTried:
    """Log in to databases that are described in JSON text; each text succeeds as a whole."""
    results = []
    for it in body.jobs:
        words = ("true", "false")
        try:
            sides = [(each.endpointtype, each) for each in _properties(it.property)]
        except Told as told:
            results.append(_untried(call, it.job_id, told, words[1]))
            continue
        results.append(await _tried(call, it.job_id, sides, words))
    return settings_answers.AllTried(results=results, count=len(results))


@routes.put("/jobs/batch-modification", name="BatchUpdateJob", response_model_exclude_none=True)
async def modify(call: CallDep, body: bodies.Modifications) -> answers.Outcomes:
    """Change how tasks are called, or store their endpoints."""
    return outcomes([await call.outcome(it.job_id, _modify(call, it)) for it in body.jobs])


@routes.put(
    "/jobs/batch-select-objects", name="BatchSetObjects", status_code=202, response_model_exclude_none=True
)
async def select(call: CallDep, body: bodies.ObjectSelections) -> settings_answers.ObjectsOutcomes:
    """Choose what of the sources is taken, and what it is called on the targets."""
    results = [await _selected(call, it) for it in body.jobs]
    return settings_answers.ObjectsOutcomes(all_counts=len(results), results=results)


@routes.post(
    "/jobs/batch-sync-policy",
    name="BatchSetPolicy",
    response_model_exclude_none=True,
    openapi_extra={
        PARTLY: "conflict_policy and ddl_trans; what is for Kafka or for a start in the middle is refused"
    },
)
async def set_policies(call: CallDep, body: bodies.Policies) -> answers.Outcomes:
    """Say how synchronisations deal with rows that are there, and with changes of tables."""
    return outcomes([await call.outcome(it.job_id, _set_policy(call, it)) for it in body.jobs])


@routes.post("/jobs/batch-replace-definer", name="BatchSetDefiner", response_model_exclude_none=True)
async def set_definers(call: CallDep, body: bodies.Definers) -> answers.Outcomes:
    """Say whether owners of objects become the user of the target. For databases that have definers; kept."""
    return outcomes([await call.outcome(it.job_id, _set_definer(call, it)) for it in body.jobs])


@routes.post(
    "/jobs/batch-transformation",
    name="BatchChangeData",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "contentConditionalFilter; configConditionalFilter is refused"},
)
async def filter_rows(call: CallDep, body: bodies.Transformations) -> answers.Outcomes:
    """Take only some rows of selected tables."""
    return outcomes([await call.outcome(it.job_id, _filter(call, it)) for it in body.jobs])


@routes.put("/jobs/batch-limit-speed", name="BatchSetSpeed", response_model_exclude_none=True)
async def limit_speed(call: CallDep, body: bodies.Speeds) -> answers.Outcomes:
    """Limit how fast tasks move, by the hour."""
    return outcomes([await call.outcome(it.job_id, _limit(call, it)) for it in body.speed_limits])


@routes.put("/jobs/batch-modify-pwd", name="BatchResetPassword", response_model_exclude_none=True)
async def set_passwords(call: CallDep, body: bodies.NewPasswords) -> settings_answers.PasswordOutcomes:
    """New passwords for databases of tasks that have been started. They count from the next connection on."""
    results = [await _set_password(call, it) for it in body.jobs]
    return settings_answers.PasswordOutcomes(results=results, count=len(results))


@routes.post(
    "/jobs/batch-set-smn",
    name="BatchSetSmn",
    response_model_exclude_none=True,
    openapi_extra={PARTLY: "kept and shown; nothing is sent"},
)
async def set_alarms(call: CallDep, body: bodies.Alarms) -> answers.Outcomes:
    """Say who is to be told of trouble."""
    kept = body.alarm_notify_info.kept()
    return outcomes([await call.outcome(it.job_id, _set_alarm(call, it.job_id, kept)) for it in body.jobs])


# Connections.


async def _tried(
    call: Call, id: str, sides: Sequence[tuple[str, Database]], words: tuple[str, str]
) -> settings_answers.Tried:
    """Log in to all of these. ``words``: what success and failure are called."""

    async def work() -> None:
        job = await tasks.find(call.front, call.project_id, id)
        for side, database in sides:
            await _log_in(call, job, side, database)

    wrong = await call.tried(work())
    if wrong is None:
        return settings_answers.Tried(id=id, status=words[0], success=True)
    return settings_answers.Tried(
        id=id, status=words[1], success=False, error_code=wrong.code, error_msg=wrong.text
    )


def _untried(call: Call, id: str, told: Told, word: str) -> settings_answers.Tried:
    wrong = call.wrong(told)
    return settings_answers.Tried(id=id, status=word, success=False, error_code=wrong.code, error_msg=wrong.text)


async def _log_in(call: Call, job: Job, side: str, database: Database) -> None:
    """What is not said is as the task has it. Raises Told."""
    kind = tasks.link(call.front, job)
    check_type(kind, side, database.db_type or "")
    stored = tasks.plan(job).target if side == "ta" else tasks.plan(job).source
    endpoint = await endpoint_of(call.front.store, job.project_id, kind, database.said(), stored)
    if not endpoint.addresses:
        raise Told("DRS.M00201", "ip")
    failure = await call.front.desk.check_endpoint(endpoint)
    if failure is None:
        return
    if failure.code == "STERNA.2001":
        raise Told("DRS.KE0002")
    raise Told("DRS.M00305", failure.message)


def check_type(kind: Link, side: str, db_type: str) -> None:
    """Raises Told for a kind of database that the task does not move."""
    fitting = kind.target_types if side == "ta" else kind.source_types
    if db_type and db_type not in fitting:
        raise Told("DRS.M00302.side", db_type, "destination" if side == "ta" else "source", kind.engine_type)


def _properties(text: str) -> list[bodies.Property]:
    try:
        found = _PROPERTIES.validate_python(read_json(text.encode()))
    except ValidationError as wrong:
        raise of_fields([{**it, "loc": ("body", "property", *it["loc"])} for it in wrong.errors()]) from wrong
    except (ValueError, RecursionError) as wrong:
        raise Told("DRS.M00202", "property") from wrong
    if not found:
        raise Told("DRS.M00201", "property")
    return found


# The rest.


async def _modify(call: Call, wanted: bodies.Modification) -> None:
    front = call.front
    job = await tasks.find(front, call.project_id, wanted.job_id)
    check(job, Action.RENAME, front.desk.clock(), "DRS.M01504")
    _check_same(job, wanted)
    if wanted.name is not None:
        await tasks.check_name(front, call.project_id, wanted.name, but=job.id)
    if wanted.configures:
        job = await _configure(call, job, wanted)
    async with front.turn:
        if wanted.name is not None:  # once more: nobody else may take it now
            await tasks.check_name(front, call.project_id, wanted.name, but=job.id)
        await front.store.describe(job.id, name=wanted.name, description=wanted.description, extra=_said(wanted))


def _check_same(job: Job, wanted: bodies.Modification) -> None:
    """What a task is for does not change."""
    facts = facts_of(job)
    for field, before in (("engine_type", facts.engine_type), ("db_use_type", facts.db_use_type)):
        if getattr(wanted, field) not in (None, before):
            raise Told("DRS.M00202", field)


async def _configure(call: Call, job: Job, wanted: bodies.Modification) -> Job:
    check(job, Action.CONFIGURE, call.front.desk.clock(), "DRS.M01504")
    kind = tasks.link(call.front, job)
    said = []
    for side, database in (("so", wanted.source_endpoint), ("ta", wanted.target_endpoint)):
        check_type(kind, side, (database and database.db_type) or "")
        said.append(database.said() if database and wanted.store_db_info is not False else None)
    job = await tasks.set_endpoints(call.front, job, *said)
    if wanted.task_type is None:
        return job
    told = replace(tasks.plan(job), mode=mode_of(wanted.task_type))
    return await call.front.desk.configure(job, told, task_type=wanted.task_type)


def _said(wanted: bodies.Modification) -> dict[str, object]:
    """What is only kept."""
    names = ("node_type", "net_type", "job_direction", "is_target_readonly", "replace_definer")
    kept = {name: getattr(wanted, name) for name in names if getattr(wanted, name) is not None}
    if wanted.tags is not None:
        kept["tags"] = [{"key": tag.key, "value": tag.value} for tag in wanted.tags]
    if wanted.alarm_notify is not None:
        kept["alarm_notify"] = wanted.alarm_notify.kept()
    return kept


async def _selected(call: Call, wanted: bodies.Objects) -> settings_answers.ObjectsOutcome:
    async def work() -> None:
        job = await tasks.find(call.front, call.project_id, wanted.job_id)
        rows = [it.row() for it in wanted.job] if wanted.selected else []
        if wanted.selected and not rows:
            raise Told("DRS.M00201", "job")
        await settings.select(call.front, job, rows, sync_database=wanted.sync_database)

    wrong = await call.tried(work())
    if wrong is None:
        return settings_answers.ObjectsOutcome(job_id=wanted.job_id, status=True)
    return settings_answers.ObjectsOutcome(
        job_id=wanted.job_id, status=False, error_code=wrong.code, error_msg=wrong.text
    )


_NOT_HERE = (
    "topic_policy",
    "topic",
    "partition_policy",
    "kafka_data_format",
    "slot_name",
    "file_and_position",
    "gtid_set",
    "ddl_topic",
)
"""Parts of a policy that are for other databases, or for a start in the middle of a log."""


async def _set_policy(call: Call, wanted: bodies.Policy) -> None:
    job = await tasks.find(call.front, call.project_id, wanted.job_id)
    for field in _NOT_HERE:
        if getattr(wanted, field) is not None:
            raise Told("DRS.M00305.unsupported", field)
    if wanted.index_trans is False:
        raise Told("DRS.M00305.unsupported", "index_trans=false")
    await settings.set_policy(call.front, job, wanted.conflict_policy, wanted.ddl_trans, wanted.filter_ddl_policy)


async def _set_definer(call: Call, wanted: bodies.Definer) -> None:
    job = await tasks.find(call.front, call.project_id, wanted.job_id)
    check(job, Action.CONFIGURE, call.front.desk.clock())
    await call.front.store.describe(job.id, extra={"replace_definer": wanted.replace_definer})


async def _filter(call: Call, wanted: bodies.Transformation) -> None:
    job = await tasks.find(call.front, call.project_id, wanted.job_id)
    rule = wanted.transformation_info
    if rule.transformation_type != "contentConditionalFilter":
        raise Told("DRS.M00305.unsupported", rule.transformation_type)
    ids = [it.id for it in wanted.object_info if it.select != "false"]
    if not ids:
        raise Told("DRS.M00201", "object_info")
    kept = {
        "object_infos": [_shown_object(id, rule.transformation_type) for id in ids],
        "transformation_info": {"transformation_type": rule.transformation_type, "value": rule.value},
    }
    await settings.filter_rows(call.front, job, ids, rule.value, kept)


def _shown_object(id: str, kind: str) -> dict[str, str]:
    path = path_of(id, table=True)
    return {
        "id": id,
        "data_transformation_type": kind,
        "db_name": path[0],
        "schema_name": path[1] if len(path) == 3 else "",
        "table_name": path[-1],
    }


async def _limit(call: Call, wanted: bodies.SpeedOf) -> None:
    job = await tasks.find(call.front, call.project_id, wanted.job_id)
    await settings.limit_speed(call.front, job, [it.limit() for it in wanted.speed_limit])


async def _set_password(call: Call, wanted: bodies.NewPassword) -> settings_answers.PasswordOutcome:
    async def work() -> None:
        job = await tasks.find(call.front, call.project_id, wanted.job_id)
        side = "source" if wanted.end_point_type == "so" else "target"
        await settings.set_password(call.front, job, side, wanted.db_password)

    wrong = await call.tried(work())
    return settings_answers.PasswordOutcome(
        id=wanted.job_id,
        status="failed" if wrong else "success",
        end_point_type=wanted.end_point_type,
        error_code=wrong.code if wrong else None,
        error_msg=wrong.text if wrong else None,
    )


async def _set_alarm(call: Call, id: str, kept: dict[str, object]) -> None:
    job = await tasks.find(call.front, call.project_id, id)
    check(job, Action.RENAME, call.front.desk.clock())
    await call.front.store.describe(job.id, extra={"alarm_notify": kept})
