"""Changes written one by one, in the source's order, and what a difference between the sides means.

Changes and position are kept together on the target: a row that is missing, or there already, was written by
somebody else. The plan's ``conflict`` says what happens then:

    overwrite   a row to insert that is there is updated; one to update that is missing is inserted, where all of
                it is known; one to delete that is missing is told of
    skip        the target's row stays as it is, and it is told
    stop        ApplyFailed
"""

from dataclasses import dataclass

import psycopg

from sterna.core.errors import ApplyFailed, Trouble
from sterna.core.event import Level
from sterna.core.plan import Conflict, Path, Plan
from sterna.core.ports import Teller
from sterna.engines.postgres.connection import sqlstate, trouble_of
from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.netting import GONE, UPSERT, complete, filled, settable
from sterna.engines.postgres.pipeline import Pipeline, Statement, Step, StepFailed
from sterna.engines.postgres.shape import Field, Shape
from sterna.engines.postgres.statements import Statements
from sterna.engines.postgres.wire.pgoutput import UNCHANGED, Cells, Row

_SAVE = Step(Statement("SAVEPOINT sterna_row"))
_KEEP = Step(Statement("RELEASE SAVEPOINT sterna_row"))
_BACK = Step(Statement("ROLLBACK TO SAVEPOINT sterna_row"))

UNIQUE = "23505"
_NOT_THE_CHANGE = ("08", "40", "53", "57", "58")
"""Classes of errors that say nothing about the statement: the connection, the server, its resources."""
_NOT_ALLOWED = ("42501", "25006")
"""The user lacks a right; the server is read-only."""


@dataclass(frozen=True, slots=True)
class Due:
    """A step, and how many rows it has to touch; None: any number."""

    step: Step
    count: int | None


@dataclass(frozen=True)
class Bound:
    """A table and its statements."""

    shape: Shape
    statements: Statements


def steps(bound: Bound, row: Row) -> list[Due] | None:
    """The statements of one change. None: what to do depends on what is on the target."""
    shape, make = bound.shape, bound.statements
    row = filled(shape, row)
    if row.kind == "I":
        return [Due(make.insert(_known(shape, row.new)), 1)]
    old = _known(shape, row.old or row.new)
    if row.new is None:
        return [Due(make.delete(old), None if row.kind == GONE else 1)]
    if row.kind == UPSERT or _fixed_changed(shape, old, row):
        if not complete(shape, row.new):
            return None
        return [Due(make.delete(old), None if row.kind == UPSERT else 1), Due(make.insert(row.new), 1)]
    fields = changed(shape, row.new, old)
    return [Due(make.update(row.new, fields, old) if fields else make.stays(row.new, old), 1)]


def changed(shape: Shape, new: Cells, old: Cells) -> tuple[Field, ...]:
    """What an update sets: of the key only what changed."""
    if shape.key:
        return (*settable(shape, new), *(each for each in shape.key if new[each.at] != old[each.at]))
    return tuple(each for each in shape.fields if new[each.at] != old[each.at])


def _fixed_changed(shape: Shape, old: Cells, row: Row) -> bool:
    """Whether a column that cannot be updated has another value, as far as the log tells."""
    assert row.new is not None
    known = shape.fields if row.whole else shape.key
    return any(each.column.always and row.new[each.at] != old[each.at] for each in known)


def _known(shape: Shape, cells: Cells | None) -> Cells:
    if cells is None or any(cells[each.at] is UNCHANGED for each in shape.key):
        raise ApplyFailed(
            f"The source's log does not tell the key of a row of {shape.shown}",
            hint=f"Run on the source: {full_identity(shape)} Then start the job again.",
        )
    return cells


def full_identity(shape: Shape) -> str:
    """What makes the source log whole rows."""
    return f"ALTER TABLE {quoted(*shape.path[1:])} REPLICA IDENTITY FULL;"


class OneByOne:
    """Writes a change and looks at what it did, with a round trip for each."""

    def __init__(self, pipeline: Pipeline, plan: Plan, tell: Teller) -> None:
        self._pipeline = pipeline
        self._plan = plan
        self._tell = tell
        self._odd: dict[tuple[str, Path], int] = {}

    async def write(self, bound: Bound, row: Row) -> None:
        """Write one change. Raises ApplyFailed, and the Retryables of a lost server."""
        row = filled(bound.shape, row)
        if row.kind == "I":
            return await self._insert(bound, _known(bound.shape, row.new))
        old = _known(bound.shape, row.old or row.new)
        if row.new is None:
            return await self._delete(bound, old, sure=row.kind != GONE)
        return await self._update(bound, row, old, row.new)

    async def _insert(self, bound: Bound, new: Cells) -> None:
        shape = bound.shape
        if await self._tried(bound, bound.statements.insert(new), new) is not None:
            return
        self._conflict(bound, "A row to insert is already there", new)
        if self._plan.conflict is Conflict.SKIP:
            return
        if not shape.key:
            raise self._failed(bound, "A row to insert is already there", new)
        fields = settable(shape, new)
        step = bound.statements.update(new, fields, new) if fields else bound.statements.exists(new)
        if await self._tried(bound, step, new) != 1:
            raise self._failed(bound, "A row with another key has the unique values of one to insert", new)

    async def _update(self, bound: Bound, row: Row, old: Cells, new: Cells) -> None:
        for due in steps(bound, row._replace(kind="U")) or []:
            count = await self._tried(bound, due.step, old)
            if count is None:
                self._conflict(bound, "A row to update takes unique values that another row has", old)
                if self._plan.conflict is Conflict.SKIP:
                    return None
                raise self._failed(bound, "A row to update takes unique values that another row has", old)
            if count > 1:
                raise self._failed(bound, f"{count} rows have the key of one", old)
            if count == 0:
                return await self._missing(bound, row, old, new)
        return None

    async def _missing(self, bound: Bound, row: Row, old: Cells, new: Cells) -> None:
        """An update found no row: it is not there, or its column that no update can set was set anew."""
        shape, make = bound.shape, bound.statements
        there = shape.key and await self._tried(bound, make.exists(old), old)
        if there and complete(shape, new):
            await self._delete(bound, old, sure=True)
            return await self._insert(bound, new)
        if row.kind != UPSERT:
            self._conflict(bound, "A row to update is missing", old)
            if self._plan.conflict is Conflict.SKIP:
                return None
        if not complete(shape, new):
            raise self._failed(
                bound, "A row to update is missing, and not all of it is in the log", old, full_identity(shape)
            )
        return await self._insert(bound, new)

    async def _delete(self, bound: Bound, old: Cells, *, sure: bool) -> None:
        count = await self._tried(bound, bound.statements.delete(old), old)
        if count is None or count > 1:
            raise self._failed(bound, f"{count or 'Other'} rows have the key of one", old)
        if count == 0 and sure:
            self._conflict(bound, "A row to delete is missing", old)

    async def _tried(self, bound: Bound, step: Step, cells: Cells) -> int | None:
        """Run a step; how many rows it touched, or None if a unique value is taken."""
        try:
            return (await self._pipeline.run(_SAVE, step, _KEEP))[1].count
        except StepFailed as failure:
            if sqlstate(failure.cause) != UNIQUE:
                raise refused(self._plan, bound.shape, failure.cause, cells) from failure.cause
        await self._pipeline.run(_BACK, _KEEP)
        return None

    def _conflict(self, bound: Bound, what: str, cells: Cells) -> None:
        """Tell of it at the first time, and then ever more rarely. Raises ApplyFailed where the plan says stop."""
        if self._plan.conflict is Conflict.STOP:
            raise self._failed(bound, what, cells)
        place = (what, bound.shape.place.to)
        count = self._odd[place] = self._odd.get(place, 0) + 1
        if str(count).strip("0") == "1":
            self._tell(
                Level.WARN,
                "postgres.conflict",
                f"{what}: {bound.shape.shown} {bound.shape.key_text(cells)}, {count} so far. "
                "Something else writes to the target.",
                table=bound.shape.shown,
                count=str(count),
            )

    def _failed(self, bound: Bound, what: str, cells: Cells, mend: str = "") -> ApplyFailed:
        shape = bound.shape
        hint = f"Run on the source: {mend} Then start the job again." if mend else ""
        return ApplyFailed(f"{what}: {shape.shown} {shape.key_text(cells)}", hint=hint)


def refused(plan: Plan, shape: Shape | None, error: psycopg.Error, cells: Cells | None = None) -> Trouble:
    """What an error of the target means for a change: a passing fault, or ApplyFailed without any value."""
    state = sqlstate(error)
    if not about_the_change(error):
        return trouble_of(error, plan.target)
    said = (error.diag.message_primary or str(error)).partition("\n")[0]
    if state[:2] == "22":  # these quote the value that they do not take
        said = said.partition(":")[0]
    where = f" a change of {shape.shown}" if shape else " a change"
    row = f" {shape.key_text(cells)}" if shape and cells else ""
    return ApplyFailed(f"The target refused{where}{row}: {said} ({state})")


def about_the_change(error: psycopg.Error) -> bool:
    """Whether an error of the target is about the statement, and not a passing fault."""
    state = sqlstate(error)
    return bool(state) and state[:2] not in _NOT_THE_CHANGE and state not in _NOT_ALLOWED
