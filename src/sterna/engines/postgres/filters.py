"""Row filters: what a change means where only the rows that meet a condition are taken.

The condition is the operator's SQL, so PostgreSQL itself evaluates it: the target, over the values that the log
carries, as columns of the source's types and names. It sees the columns of its own row by name; other tables, and
the row as a whole (``t.*``), it does not see.

    row before    row now      what the target does
    meets it      meets it     updates it
    does not      meets it     inserts it
    meets it      does not     deletes it
    not known     meets it     updates it, or inserts it if it is not there
    not known     does not     deletes it if it is there

The row before is not known where the log has only its key, and the condition looks at more than that.
"""

# ruff: noqa: S608 - names go through ``quoted``, the condition is the operator's

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sterna.core.errors import ApplyFailed
from sterna.core.plan import Plan
from sterna.engines.postgres.names import quoted
from sterna.engines.postgres.netting import GONE, UPSERT, complete, filled
from sterna.engines.postgres.ordered import full_identity, refused
from sterna.engines.postgres.pipeline import Pipeline, Statement, Step, StepFailed
from sterna.engines.postgres.shape import Shape
from sterna.engines.postgres.statements import array
from sterna.engines.postgres.wire.pgoutput import UNCHANGED, Cells, Row

_TEXTS, _INT4S = 1009, 1007


@dataclass(frozen=True)
class Condition:
    """A table's condition, ready to be asked for many rows."""

    shape: Shape
    places: tuple[int, ...]
    """Of the columns that it may look at, in the log's rows."""
    statement: Statement

    async def passed(self, pipeline: Pipeline, plan: Plan, rows: Sequence[Row]) -> list[Row | None]:
        """Each change as the target has to make it; None: not at all.

        Raises ApplyFailed where the log does not tell enough.
        """
        rows = [filled(self.shape, row) for row in rows]
        images: list[Cells] = []
        asked = [(self._ask(self._before(row), images), self._ask(row.new, images)) for row in rows]
        met = await self._met(pipeline, plan, images)
        return [
            self._change(row, None if before is None else met[before], now is not None and met[now])
            for row, (before, now) in zip(rows, asked, strict=True)
        ]

    def _before(self, row: Row) -> Cells | None:
        """What the condition sees of the row before, if the log tells all of that."""
        if row.whole:
            return row.old
        known = row.old or row.new
        return known if row.kind != "I" and set(self.places) <= set(self.shape.key_at) else None

    def _ask(self, cells: Cells | None, images: list[Cells]) -> int | None:
        """Put a row among those that are asked about; its number."""
        if cells is None:
            return None
        if any(cells[at] is UNCHANGED for at in self.places):
            raise _too_little(self.shape, cells)
        images.append(cells)
        return len(images) - 1

    async def _met(self, pipeline: Pipeline, plan: Plan, images: list[Cells]) -> list[bool]:
        if not images:
            return []
        numbers = b"{%s}" % b",".join(b"%d" % number for number in range(len(images)))
        columns = [array([cells[at] for cells in images]) for at in self.places]
        try:
            (done,) = await pipeline.run(Step(self.statement, [numbers, *columns]))
        except StepFailed as failure:
            raise refused(plan, self.shape, failure.cause) from failure.cause
        return [met == b"t" for (met,) in done.rows]

    def _change(self, row: Row, before: bool | None, now: bool) -> Row | None:
        if row.kind == "I":
            return row if now else None
        if before is None:
            old = row.old or row.new
            return row._replace(kind=UPSERT) if now else Row(GONE, row.relation, old, row.whole, None)
        if not now:
            return Row("D", row.relation, row.old or row.new, row.whole, None) if before else None
        if before:
            return row
        assert row.new is not None
        if not complete(self.shape, row.new):
            raise _too_little(self.shape, row.new)
        return Row("I", row.relation, None, False, row.new)


def condition(shape: Shape, types: Mapping[str, str]) -> Condition | None:
    """A table's condition; None: all rows are taken.

    ``types``: of the source's columns, as the target writes them.
    """
    where = shape.place.where
    if not where:
        return None
    columns = list(enumerate(shape.relation.columns))
    seen = [(at, each.name) for at, each in columns if each.name.lower() in where.lower()]
    marks = ", ".join(f"${number}" for number in range(1, len(seen) + 2))
    given = ", ".join(["n", *(f"c{number}" for number in range(len(seen)))])
    cast = [f"g.c{number}::{types[name]} AS {quoted(name)}" for number, (_, name) in enumerate(seen)]
    inner = f"SELECT {', '.join(['g.n AS sterna_number', *cast])} FROM unnest({marks}) AS g({given})"
    text = f"SELECT (\n{where}\n) IS TRUE FROM ({inner}) AS {quoted(shape.path[-1])} ORDER BY sterna_number"
    statement = Statement(text, (_INT4S, *([_TEXTS] * len(seen))))
    return Condition(shape, tuple(at for at, _ in seen), statement)


def _too_little(shape: Shape, cells: Cells) -> ApplyFailed:
    return ApplyFailed(
        f"Whether a row is taken cannot be told, since not all of it is in the log: {shape.shown} "
        f"{shape.key_text(cells)}",
        hint=f"Run on the source: {full_identity(shape)} Then start the job again.",
    )
