"""Which backup sets go into a database, in which order, and from which on: by the rules of RESTORE. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sterna.core.errors import AccessDenied, ApplyFailed, BadData, KeyConflict, ServerBusy, Trouble
from sterna.engines.sqlserver.restoring.values import (
    NONE,
    ONLINE,
    RECOVERING,
    RESTORING,
    BackedUp,
    Existing,
)
from sterna.engines.sqlserver.wire.chain import DIFFERENTIAL, FULL, LOG

SYSTEM = frozenset(("master", "model", "msdb", "tempdb", "mssqlsystemresource"))
CHAIN_HINT = (
    "Name all files of the chain: the full backup with all its stripes, the differential, every log after."
)
WAITING_HINT = "Restore its full backup first, by a job with last_backup false, so that it waits for more."
COVER_HINT = "Choose another name, let the job overwrite the database (is_cover), or drop it."
STANDBY_HINT = (
    "Sterna does not go on with a database in standby. Restore its next backup by hand WITH NORECOVERY, or let a "
    "job overwrite it."
)


@dataclass(frozen=True, slots=True)
class Order:
    """Sets in the order of their restore; what stands in the way; what an operator should know."""

    sets: tuple[BackedUp, ...] = ()
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Todo:
    """What is left to do for one database."""

    source: str
    """What the backups call it."""
    target: str
    sets: tuple[BackedUp, ...]
    """Still to be restored."""
    recover: bool
    """Bring it online at the end."""
    is_done: bool = False
    replace: bool = False
    """There is a database of that name, and it may be overwritten."""
    send_away: bool = False
    """It is in use: its users must be sent away before."""
    is_again: bool = False
    """Its files are this job's own already, so they take no more room."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """How far a database is that waits for more."""

    redo_start: int
    """Up to where in the log it has come."""
    fork: UUID = NONE
    """On which the next log has to begin; none: not known."""
    base: UUID = NONE
    """The full backup that it began with; none: not known."""


def order(sets: Sequence[BackedUp], start: Waiting | None, number: int | None = None) -> Order:
    """The sets that give the newest state, or the one at which set ``number`` ends.

    ``start``: how far the server's database is, if it waits for more.
    """
    strange = [f"{one} is a {one.kind} backup" for one in sets if one.kind not in (FULL, DIFFERENTIAL, LOG)]
    if strange:
        return Order(problems=tuple(f"{each}: it is not restored by itself." for each in strange))
    found = [each for each in _candidates(sets, start) if number is None or (each and each[-1].position == number)]
    if not found:
        return Order(problems=(_nothing_fits(sets, start),))
    best = max(found, key=lambda each: (_end(each, start), _pages(each), -len(each)))
    end = _end(best, start)
    unused = [one for one in sets if not any(one is each for each in best)]
    late = [one for one in unused if one.last_lsn > end and number is None]
    problems = tuple(_why(one, end) for one in late)
    notes = tuple(f"{one} is not needed: the others come as far" for one in unused if one.last_lsn <= end)
    return Order(best, problems, notes)


def _candidates(sets: Sequence[BackedUp], start: Waiting | None) -> Iterator[tuple[BackedUp, ...]]:
    fulls = [one for one in sets if one.kind == FULL]
    for full in fulls:
        for differential in (None, *(one for one in sets if one.kind == DIFFERENTIAL and _is_on(one, full))):
            yield from _with_logs(sets, (full,) if differential is None else (full, differential), None)
    if not fulls and start is not None:
        yield from _with_logs(sets, (), start)
        for one in sets:
            if one.kind == DIFFERENTIAL and one.last_lsn > start.redo_start and _may_be_on(one, start.base):
                yield from _with_logs(sets, (one,), None)


def _with_logs(
    sets: Sequence[BackedUp], begin: tuple[BackedUp, ...], start: Waiting | None
) -> Iterator[tuple[BackedUp, ...]]:
    """The beginning alone, and with each further log that goes on from it."""
    end, fork = _reached(start), start.fork if start else NONE
    if begin:
        end, fork = begin[-1].last_lsn, begin[-1].fork
    chain = begin
    yield chain
    left = [one for one in sets if one.kind == LOG]
    while fitting := [one for one in left if _goes_on(one, end, fork)]:
        log = max(fitting, key=lambda one: one.last_lsn)
        left.remove(log)
        end, fork = log.last_lsn, log.fork
        chain = (*chain, log)
        yield chain


def _is_on(differential: BackedUp, full: BackedUp) -> bool:
    if differential.base_guid != NONE:
        return differential.base_guid == full.guid
    return differential.database_backup_lsn == full.checkpoint_lsn


def _goes_on(log: BackedUp, end: int, fork: object) -> bool:
    begins = log.first_fork if log.first_fork != NONE else log.fork
    return log.first_lsn <= end < log.last_lsn and (fork in (NONE, begins) or begins == NONE)


def _may_be_on(differential: BackedUp, base: UUID) -> bool:
    return NONE in (differential.base_guid, base) or differential.base_guid == base


def _end(sets: tuple[BackedUp, ...], start: Waiting | None) -> int:
    return sets[-1].last_lsn if sets else _reached(start)


def _reached(start: Waiting | None) -> int:
    return start.redo_start if start else 0


def _pages(sets: tuple[BackedUp, ...]) -> int:
    """Up to where in the log the newest pages come: from there on, logs are played."""
    return max((one.last_lsn for one in sets if one.kind != LOG), default=0)


def _nothing_fits(sets: Sequence[BackedUp], start: Waiting | None) -> str:
    named = ", ".join(f"{one.kind} backup {one}" for one in sets[:5])
    if start is None:
        return f"There is no full backup among the files, and no database waits for them: {named}."
    return (
        f"None of the files goes on from LSN {start.redo_start}, where the database on the server waits: {named}."
    )


def _why(one: BackedUp, end: int) -> str:
    if one.kind == LOG and one.first_lsn > end:
        return (
            f"The log backup {one} begins at LSN {one.first_lsn}, and the backups before it end at {end}: "
            f"the log backup between them is missing."
        )
    return f"The {one.kind} backup {one} does not follow on the others, which end at LSN {end}."


def todo(
    sets: Sequence[BackedUp],
    there: Existing | None,
    target: str,
    *,
    tag: str,
    cover: bool,
    last: bool,
    number: int | None = None,
    may_overwrite: bool = True,
    later: bool = False,
) -> Todo:
    """What is left to do, whatever was done before: by this job, or by earlier ones of the chain.

    ``tag``: what the names of the files have in them that this job makes on the server. ``may_overwrite``: also
    databases that the login does not own. ``later``: the files are to follow on a full backup that is there.
    Raises BadData for a chain with gaps, KeyConflict for a database in the way, AccessDenied,
    ApplyFailed, ServerBusy.
    """
    name = sets[0].database
    if target.strip().lower() in SYSTEM or (there and there.own):
        raise KeyConflict(f"{target} is a database of the server's own", hint="Choose another name.")
    if there and there.held_by:
        raise KeyConflict(f"The database {there.name} {there.held_by}", hint="Or choose another name.")
    if len({one.family for one in sets}) > 1:
        hint = "Restore them by two jobs."
        raise BadData(f"The files hold two different databases called {name}", hint=hint)
    if later and there and not there.is_of(tag):
        sets = _without_full(sets, there)
    has_full = any(one.kind == FULL for one in sets)
    start = _start(there) if there and not has_full else None
    if not has_full and there and there.state == ONLINE:
        return _after_the_end(sets, there, target, last)
    if there and there.state == RECOVERING:
        raise ServerBusy(f"The database {there.name} is being recovered by the server")
    plan = order(sets, start, number)
    if plan.problems:
        raise BadData(f"{name}: {plan.problems[0]}", hint=WAITING_HINT if not has_full else CHAIN_HINT)
    if not has_full:
        _may(there, may_overwrite)
        return Todo(name, target, plan.sets, last, notes=plan.notes)
    return _from_full(
        plan, there, Todo(name, target, plan.sets, last, notes=plan.notes), tag, cover, may_overwrite
    )


def _without_full(sets: Sequence[BackedUp], there: Existing) -> Sequence[BackedUp]:
    """The backups that follow; a full one may be among them if the database began with it. Raises BadData.

    Otherwise what came since would be thrown away, though nobody asked for that.
    """
    for one in sets:
        if one.kind == FULL and (there.state != RESTORING or one.guid != there.base):
            raise BadData(
                f"{one} is a full backup, and the database {there.name} ({there.state}) does not begin anew in a "
                "job for later backups",
                hint="Leave it out; or send it with recovery_mode full, with is_cover to overwrite the database.",
            )
    return [one for one in sets if one.kind != FULL]


def _start(there: Existing) -> Waiting | None:
    if there.state != RESTORING or there.redo_start is None:
        return None
    return Waiting(there.redo_start, there.redo_fork, there.base)


def _after_the_end(sets: Sequence[BackedUp], there: Existing, target: str, last: bool) -> Todo:
    """The database is online: it takes nothing more. That is right if it has got everything."""
    newest = max(sets, key=lambda one: one.last_lsn)
    if last and there.history and there.history[0].guid == newest.guid:
        return Todo(sets[0].database, target, (), last, is_done=True)
    if there.standby:
        raise ApplyFailed(f"The database {target} is in standby", hint=STANDBY_HINT)
    raise ApplyFailed(
        f"The database {target} is online: {newest} cannot be restored into it any more", hint=WAITING_HINT
    )


def _from_full(
    plan: Order, there: Existing | None, fresh: Todo, tag: str, cover: bool, may_overwrite: bool
) -> Todo:
    full, rest = plan.sets[0], plan.sets[1:]
    if there is None:
        return fresh
    mine = there.is_of(tag)
    if mine and there.has_got(full.guid, tag):
        if there.state == ONLINE:
            return _online(plan, there, fresh)
        if there.redo_start is not None:
            left = tuple(one for one in rest if one.last_lsn > there.redo_start)
            return Todo(fresh.source, fresh.target, left, fresh.recover, notes=plan.notes)
        ended = there.state != RESTORING and fresh.recover and there.has_got(plan.sets[-1].guid)
        if ended and not cover:
            raise _conflict(there)  # restored to its end: what came into it since is nobody's to throw away
    if not cover and not (mine and there.state != ONLINE):
        raise _conflict(there)
    _may(there, may_overwrite)
    return Todo(
        fresh.source,
        fresh.target,
        plan.sets,
        fresh.recover,
        replace=True,
        send_away=there.state == ONLINE,
        is_again=mine,
        notes=plan.notes,
    )


def _online(plan: Order, there: Existing, fresh: Todo) -> Todo:
    """This job's own database came online: by the job, at its end, or by somebody else before."""
    if fresh.recover and there.has_got(plan.sets[-1].guid):
        return Todo(fresh.source, fresh.target, (), fresh.recover, is_done=True)
    raise ApplyFailed(
        f"The database {fresh.target} was brought online before all its backups were restored",
        hint="Drop it, then start the job again.",
    )


def _may(there: Existing | None, may_overwrite: bool) -> None:
    if there and not there.mine and not may_overwrite:
        raise AccessDenied(
            f"The login may restore over databases that it owns, and {there.name} is another's",
            hint="Make it a member of dbcreator, or of sysadmin.",
        )


def _conflict(there: Existing) -> Trouble:
    return KeyConflict(f"The server has a database {there.name} already ({there.state})", hint=COVER_HINT)
