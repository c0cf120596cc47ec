"""Jobs, their positions, figures, findings and history in the database."""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Select, Table, and_, delete, func, insert, literal, or_, select, update

from sterna.core.change import Position
from sterna.core.errors import Invalid, NotFound
from sterna.core.event import Event, Level
from sterna.core.finding import Finding
from sterna.core.job import Condition, Failure, Job, JobId, Phase, Wish
from sterna.core.plan import Plan
from sterna.core.progress import Progress
from sterna.store import rules, tables, values
from sterna.store.database import Database
from sterna.store.secrets import Vault

jobs = tables.jobs
_FAR = 2**62  # more than any listing has, and a number that both databases take


class SqlJobs:
    """``JobStore`` on a database. Whoever changes a job holds its row until the end of the transaction."""

    def __init__(self, database: Database, vault: Vault, clock: Callable[[], int] = rules.now_ms) -> None:
        self._database = database
        self._vault = vault
        self._clock = clock

    async def add_job(self, job: Job) -> None:
        await self._database.write(self._add_job, job)

    async def job(self, id: JobId) -> Job:
        return await self._database.read(self._job, id)

    async def jobs(
        self,
        project_id: str | None = None,
        *,
        kinds: Sequence[str] = (),
        name: str = "",
        offset: int = 0,
        limit: int | None = None,
        deleted: bool = False,
    ) -> tuple[int, Sequence[Job]]:
        found = _listing(project_id, kinds, name, deleted=deleted)
        return await self._database.read(self._jobs, found, offset, limit)

    async def due(self) -> Sequence[JobId]:
        return await self._database.read(self._due)

    async def describe(
        self,
        id: JobId,
        *,
        plan: Plan | None = None,
        name: str | None = None,
        description: str | None = None,
        extra: Mapping[str, object] | None = None,
        starts_ms: int | None = None,
    ) -> None:
        given = {"name": name, "description": description, "starts_ms": starts_ms}
        columns = {key: value for key, value in given.items() if value is not None}
        await self._database.write(self._describe, id, plan, columns, dict(extra or {}))

    async def delete_job(self, id: JobId) -> None:
        await self._database.write(self._delete_job, id)

    async def ask(self, id: JobId, wish: Wish) -> None:
        await self._database.write(self._ask, id, wish)

    async def answer(self, id: JobId, asked: int) -> None:
        await self._database.write(self._answer, id, asked)

    async def begin(self, id: JobId) -> int:
        return await self._database.write(self._begin, id)

    async def report(
        self, id: JobId, phase: Phase, condition: Condition, failure: Failure | None = None, *, epoch: int
    ) -> None:
        await self._database.write(self._report, id, phase, condition, failure, epoch)

    async def position(self, id: JobId, lane: str) -> Position | None:
        return (await self._database.read(_positions, id, lane)).get(lane)

    async def positions(self, id: JobId) -> Mapping[str, Position]:
        return await self._database.read(_positions, id, None)

    async def advance(self, id: JobId, lane: str, position: Position, *, epoch: int) -> None:
        await self._database.write(_advance, id, lane, position, epoch)

    async def forget(self, id: JobId, *, epoch: int) -> None:
        await self._database.write(_forget, id, epoch)

    async def progress(self, id: JobId) -> Progress:
        return await self._database.read(_progress, id)

    async def set_progress(self, id: JobId, progress: Progress, *, epoch: int) -> None:
        await self._database.write(_set_progress, id, progress, epoch)

    async def add_events(self, events: Sequence[Event]) -> None:
        await self._database.write(_add_events, events)

    async def events(
        self, id: JobId, *, level: Level | None = None, offset: int = 0, limit: int = 100, newest: bool = True
    ) -> tuple[int, Sequence[Event]]:
        return await self._database.read(_events, id, level, offset, limit, newest)

    async def put_note(self, id: JobId, kind: str, key: str, body: Mapping[str, object]) -> None:
        await self._database.write(_put_note, id, kind, key, dict(body))

    async def notes(self, id: JobId, kind: str) -> Mapping[str, Mapping[str, object]]:
        return await self._database.read(_notes, id, kind)

    async def remove_note(self, id: JobId, kind: str, key: str) -> None:
        await self._database.write(_remove_note, id, kind, key)

    async def set_findings(self, id: JobId, findings: Sequence[Finding]) -> None:
        await self._database.write(_set_findings, id, findings)

    async def findings(self, id: JobId) -> Sequence[Finding]:
        return await self._database.read(_findings, id)

    def _add_job(self, transaction: Connection, job: Job) -> None:
        if transaction.execute(select(jobs.c.id).where(jobs.c.id == job.id)).first():
            raise Invalid("id", f"There is a job {job.id} already")
        transaction.execute(insert(jobs).values(values.columns_of_job(job, self._vault)))
        figures = values.progress_to_json(Progress())
        transaction.execute(insert(tables.progress).values(job_id=job.id, figures=figures))
        transaction.execute(insert(tables.findings).values(job_id=job.id, findings=[]))

    def _job(self, transaction: Connection, id: str) -> Job:
        row = transaction.execute(select(jobs).where(jobs.c.id == id)).first()
        if row is None:
            raise NotFound(f"There is no job {id}")
        return values.job_of(row, self._vault)

    def _jobs(
        self, transaction: Connection, found: Select[Any], offset: int, limit: int | None
    ) -> tuple[int, Sequence[Job]]:
        newest_first = found.order_by(jobs.c.created_ms.desc(), jobs.c.number.desc())
        rows = transaction.execute(_page(newest_first, offset, limit))
        return _total(transaction, found), [values.job_of(row, self._vault) for row in rows]

    def _due(self, transaction: Connection) -> Sequence[JobId]:
        in_time = or_(jobs.c.wish != Wish.RUN.value, jobs.c.starts_ms <= self._clock())
        wished = and_(jobs.c.asked > jobs.c.answered, in_time)
        needed = or_(jobs.c.condition == Condition.RUNNING.value, wished)
        found = select(jobs.c.id).where(jobs.c.deleted.is_(False), needed).order_by(jobs.c.number)
        return [JobId(id) for id in transaction.scalars(found)]

    def _describe(
        self,
        transaction: Connection,
        id: str,
        plan: Plan | None,
        columns: values.Columns,
        extra: dict[str, object],
    ) -> None:
        job = _held(transaction, id)
        if plan is not None:
            columns = {**columns, **values.columns_of_plan(id, plan, self._vault)}
        columns = {**columns, "extra": {**job.extra, **extra}, "updated_ms": self._clock()}
        transaction.execute(update(jobs).where(jobs.c.id == id).values(columns))

    def _delete_job(self, transaction: Connection, id: str) -> None:
        before = _held(transaction, id)
        after = rules.delete(before, self._clock())
        _save(transaction, before, after)
        transaction.execute(update(jobs).where(jobs.c.id == id).values(plan_secrets=None))
        _forget_positions(transaction, id)
        transaction.execute(delete(tables.notes).where(tables.notes.c.job_id == id))
        _note(transaction, id, [rules.deleted(after)])

    def _ask(self, transaction: Connection, id: str, wish: Wish) -> None:
        before = _held(transaction, id)
        after = rules.ask(before, wish, self._clock())
        _save(transaction, before, after)
        _note(transaction, id, [rules.asked(after)])

    def _answer(self, transaction: Connection, id: str, asked: int) -> None:
        before = _held(transaction, id)
        _save(transaction, before, rules.answer(before, asked))

    def _begin(self, transaction: Connection, id: str) -> int:
        before = _held(transaction, id)
        after = rules.begin(before, self._clock())
        if rules.starts_anew(before):
            _forget_positions(transaction, id)
            _write_progress(transaction, id, Progress())
        _save(transaction, before, after)
        _note(transaction, id, [rules.began(before, after)])
        return after.epoch

    def _report(
        self,
        transaction: Connection,
        id: str,
        phase: Phase,
        condition: Condition,
        failure: Failure | None,
        epoch: int,
    ) -> None:
        before = _held(transaction, id)
        rules.fence(before, epoch)
        after = rules.report(before, phase, condition, failure, self._clock())
        if after != before:
            _save(transaction, before, after)
            _note(transaction, id, [rules.moved(before, after)])


def _held(transaction: Connection, id: str) -> Job:
    """The job, which nobody else changes until the end of the transaction; without its passwords."""
    row = transaction.execute(select(jobs).where(jobs.c.id == id).with_for_update(key_share=True)).first()
    if row is None or row.deleted:
        raise NotFound(f"There is no job {id}")
    return values.job_of(row, None)


def _hold(transaction: Connection, id: str) -> tuple[int, bool]:
    """The same for writes beside the job: its epoch, and whether it is deleted."""
    wanted = select(jobs.c.epoch, jobs.c.deleted).where(jobs.c.id == id).with_for_update(key_share=True)
    row = transaction.execute(wanted).first()
    if row is None:
        raise NotFound(f"There is no job {id}")
    return row.epoch, row.deleted


def _hold_mine(transaction: Connection, id: str, epoch: int) -> None:
    newest, deleted = _hold(transaction, id)
    if deleted:
        raise NotFound(f"There is no job {id}")
    rules.fence_epoch(id, newest, epoch)


def _there(transaction: Connection, id: str) -> None:
    if not transaction.execute(select(jobs.c.id).where(jobs.c.id == id)).first():
        raise NotFound(f"There is no job {id}")


def _save(transaction: Connection, before: Job, after: Job) -> None:
    changed = values.changed_state(before, after)
    if changed:
        transaction.execute(update(jobs).where(jobs.c.id == after.id).values(changed))


def _listing(project_id: str | None, kinds: Sequence[str], name: str, *, deleted: bool) -> Select[Any]:
    found = select(jobs) if deleted else select(jobs).where(jobs.c.deleted.is_(False))
    if project_id is not None:
        found = found.where(jobs.c.project_id == project_id)
    if kinds:
        found = found.where(jobs.c.kind.in_(kinds))
    if name:
        # "Contains", telling case apart and without wildcards, in words that both databases have.
        found = found.where(func.replace(jobs.c.name, literal(name, tables.Words), "") != jobs.c.name)
    return found


def _page(found: Select[Any], offset: int, limit: int | None) -> Select[Any]:
    most = _FAR if limit is None else min(max(0, limit), _FAR)
    return found.limit(most).offset(min(max(0, offset), _FAR))


def _total(transaction: Connection, found: Select[Any]) -> int:
    return transaction.execute(select(func.count()).select_from(found.subquery())).scalar_one()


def _positions(transaction: Connection, id: str, lane: str | None) -> dict[str, Position]:
    _there(transaction, id)
    wanted = select(tables.positions.c.lane, tables.positions.c.position).where(tables.positions.c.job_id == id)
    if lane is not None:
        wanted = wanted.where(tables.positions.c.lane == lane)
    return {row.lane: Position(row.position) for row in transaction.execute(wanted)}


def _advance(transaction: Connection, id: str, lane: str, position: Position, epoch: int) -> None:
    _hold_mine(transaction, id, epoch)
    mine = (tables.positions.c.job_id == id, tables.positions.c.lane == lane)
    moved = transaction.execute(update(tables.positions).where(*mine).values(position=position))
    if not moved.rowcount:
        transaction.execute(insert(tables.positions).values(job_id=id, lane=lane, position=position))


def _forget(transaction: Connection, id: str, epoch: int) -> None:
    _hold_mine(transaction, id, epoch)
    _forget_positions(transaction, id)


def _forget_positions(transaction: Connection, id: str) -> None:
    transaction.execute(delete(tables.positions).where(tables.positions.c.job_id == id))


def _progress(transaction: Connection, id: str) -> Progress:
    return values.progress_from_json(_beside(transaction, tables.progress, "figures", id))


def _set_progress(transaction: Connection, id: str, progress: Progress, epoch: int) -> None:
    _hold_mine(transaction, id, epoch)
    _write_progress(transaction, id, progress)


def _write_progress(transaction: Connection, id: str, progress: Progress) -> None:
    figures = values.progress_to_json(progress)
    transaction.execute(update(tables.progress).where(tables.progress.c.job_id == id).values(figures=figures))


def _set_findings(transaction: Connection, id: str, findings: Sequence[Finding]) -> None:
    _held(transaction, id)
    found = values.findings_to_json(findings)
    transaction.execute(update(tables.findings).where(tables.findings.c.job_id == id).values(findings=found))


def _findings(transaction: Connection, id: str) -> Sequence[Finding]:
    return values.findings_from_json(_beside(transaction, tables.findings, "findings", id))


def _the_note(id: str, kind: str, key: str) -> Any:
    notes = tables.notes
    return and_(notes.c.job_id == id, notes.c.kind == kind, notes.c.key == key)


def _put_note(transaction: Connection, id: str, kind: str, key: str, body: dict[str, object]) -> None:
    _held(transaction, id)
    replaced = transaction.execute(update(tables.notes).where(_the_note(id, kind, key)).values(body=body))
    if not replaced.rowcount:
        transaction.execute(insert(tables.notes).values(job_id=id, kind=kind, key=key, body=body))


def _notes(transaction: Connection, id: str, kind: str) -> dict[str, Mapping[str, object]]:
    _there(transaction, id)
    notes = tables.notes
    wanted = select(notes.c.key, notes.c.body).where(notes.c.job_id == id, notes.c.kind == kind)
    return {row.key: row.body for row in transaction.execute(wanted.order_by(notes.c.number))}


def _remove_note(transaction: Connection, id: str, kind: str, key: str) -> None:
    _held(transaction, id)
    transaction.execute(delete(tables.notes).where(_the_note(id, kind, key)))


def _beside(transaction: Connection, table: Table, column: str, id: str) -> Any:
    """The one value that a table keeps for each job."""
    row = transaction.execute(select(table.c[column]).where(table.c.job_id == id)).first()
    if row is None:
        raise NotFound(f"There is no job {id}")
    return row[0]


def _add_events(transaction: Connection, events: Sequence[Event]) -> None:
    # In the order of the ids, so that two writers never wait for each other's jobs.
    for id, own in groupby(sorted(events, key=_job_id), key=_job_id):
        _hold(transaction, id)
        _note(transaction, id, list(own))


def _job_id(event: Event) -> str:
    return event.job_id


def _note(transaction: Connection, id: str, events: Sequence[Event]) -> None:
    """Append to the history of a job that is held, and drop the oldest beyond the limit."""
    history = tables.events
    last = transaction.execute(select(func.max(history.c.seq)).where(history.c.job_id == id)).scalar() or 0
    rows = [values.columns_of_event(event, last + place) for place, event in enumerate(events, 1)]
    transaction.execute(insert(history), rows)
    oldest = last + len(events) - rules.MOST_EVENTS
    if oldest > 0:
        transaction.execute(delete(history).where(history.c.job_id == id, history.c.seq <= oldest))


def _events(
    transaction: Connection, id: str, level: Level | None, offset: int, limit: int, newest: bool
) -> tuple[int, Sequence[Event]]:
    _there(transaction, id)
    history = tables.events
    found = select(history).where(history.c.job_id == id)
    if level is not None:
        found = found.where(history.c.level == level)
    order = history.c.seq.desc() if newest else history.c.seq.asc()
    rows = transaction.execute(_page(found.order_by(order), offset, limit))
    return _total(transaction, found), [values.event_of(row) for row in rows]
