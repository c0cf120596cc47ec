"""Changes of what a task does, for all versions of the API. They raise Told, and IllegalMove if it moved on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sterna.api.drs.actions import Action, check
from sterna.api.drs.facts import facts_of
from sterna.api.drs.objects import Row, keep_filters, kept_row, path_of, selection_of, with_filter
from sterna.api.drs.speed import Limit, windows_of
from sterna.api.drs.states import Status
from sterna.api.drs.tasks import link, now, plan
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.job import Job
from sterna.core.plan import Conflict, Plan, Selection

CONFLICTS = {"overwrite": Conflict.OVERWRITE, "ignore": Conflict.SKIP, "stop": Conflict.STOP}

_MOVING = (Status.INCRE_TRANSFER_STARTED, Status.INCRE_TRANSFER_FAILED, Status.PAUSING)


async def limit_speed(front: Front, job: Job, limits: Sequence[Limit]) -> None:
    """Limit both the copy and the changes by the hour; none: no limit. A task that runs heeds it at once."""
    check(job, Action.SPEED, front.desk.clock())
    windows = windows_of(limits, front.desk.clock())
    kept = [{"begin": it.begin, "end": it.end, "speed": it.speed} for it in limits]
    told = replace(plan(job), pace=replace(plan(job).pace, windows=windows))
    await front.store.describe(job.id, plan=told, extra={"speed_limit": kept})


async def set_password(front: Front, job: Job, side: str, password: str) -> None:
    """The password of ``source`` or ``target``. A task that runs heeds it the next time that it goes on."""
    check(job, Action.PASSWORD, front.desk.clock())
    before = plan(job)
    if side == "source":
        told = replace(before, source=replace(before.source, password=password))
    else:
        told = replace(before, target=replace(before.target, password=password))
    await front.store.describe(job.id, plan=told)


async def select(front: Front, job: Job, rows: Sequence[Row], *, sync_database: bool = False) -> None:
    """Take these objects; none: everything. Only before the start: objects are not edited later."""
    if now(front, job) in _MOVING:
        raise Told("DRS.M00401", facts_of(job).engine_type)
    selection = keep_filters(plan(job).selection, selection_of(rows, link(front, job).engine))
    infos = [kept_row(row) for row in rows if row.select != "false"]
    await choose(front, job, selection, infos, sync_database=sync_database)


async def choose(
    front: Front, job: Job, selection: Selection, infos: Sequence[Mapping[str, object]], *, sync_database: bool
) -> None:
    """The same with a selection that is made already; ``infos`` is what the task's details show of it."""
    check(job, Action.CONFIGURE, front.desk.clock())
    switch = bool(selection.objects or selection.only)
    said = {"object_switch": switch, "sync_database": sync_database, "object_infos": list(infos)}
    await front.desk.configure(job, replace(plan(job), selection=selection), **said)


async def set_policy(
    front: Front, job: Job, conflict: str | None, ddl: bool | None, ddl_filter: str | None
) -> None:
    """What happens with rows that are there already, and with changes of tables. None: as it is."""
    check(job, Action.CONFIGURE, front.desk.clock())
    before, said = plan(job), dict[str, object]()
    options = dict(before.options)
    if ddl is not None:
        options["ddl"] = "apply" if ddl else "stop"
        said["ddl_trans"] = ddl
    if conflict is not None:
        said["conflict_policy"] = conflict
    if ddl_filter is not None:
        said["filter_ddl_policy"] = ddl_filter
    policy = before.conflict if conflict is None else CONFLICTS[conflict]
    await front.desk.configure(job, replace(before, conflict=policy, options=options), **said)


async def filter_rows(front: Front, job: Job, ids: Sequence[str], where: str, rule: Mapping[str, object]) -> None:
    """Take of these tables only the rows for which an SQL condition holds."""
    check(job, Action.CONFIGURE, front.desk.clock())
    told: Plan = plan(job)
    for id in ids:
        told = with_filter(told, path_of(id, table=True), where)
    rules = [it for it in facts_of(job).transformations if it.get("object_infos") != rule.get("object_infos")]
    await front.desk.configure(job, told, transformations=[*rules, rule])
