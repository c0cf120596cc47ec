"""Changes of one of the source's databases, written into one of the target's.

Three ways, each taken where the one before it fails: the net of a batch, in a few statements for many rows; every
change by itself in the source's order, all sent together; one after the other, looking at each. Only the last
decides what a difference between the sides means (``ordered``).
"""

from collections.abc import Iterable, Mapping, Sequence

from sterna.core.errors import ApplyFailed, BadData
from sterna.core.plan import Path, Place, Plan
from sterna.core.ports import Teller
from sterna.engines.postgres.catalogue import OWN, Table, taken
from sterna.engines.postgres.connection import Connection, sqlstate, translated
from sterna.engines.postgres.filters import Condition, condition
from sterna.engines.postgres.names import shown
from sterna.engines.postgres.netting import Net, net, spread
from sterna.engines.postgres.ordered import Bound, Due, OneByOne, refused, steps
from sterna.engines.postgres.pipeline import Pipeline, Statement, Step, StepFailed
from sterna.engines.postgres.shape import (
    Misfit,
    Shape,
    mending,
    misfits,
    read_root,
    read_target,
    shape_of,
    type_name,
)
from sterna.engines.postgres.statements import Statements
from sterna.engines.postgres.wire.pgoutput import Relation, Row, Truncation, Type, changes

_SAVE = Step(Statement("SAVEPOINT sterna_apply"))
_KEEP = Step(Statement("RELEASE SAVEPOINT sterna_apply"))
_BACK = Step(Statement("ROLLBACK TO SAVEPOINT sterna_apply"))
_REPLICA = "SELECT current_setting('session_replication_role') = 'replica'"

_FEW_IMAGES = 4
"""Rows without key that are looked for one by one; for more of them the table is read once."""
_MANY = 1000
_MANY_BYTES = 256 * 1024
_MOST_NETTED = 16 << 20
"""Bytes of frames whose rows are held a second time, as arrays; a larger transaction's rows travel alone."""


class _Differs(Exception):
    """The target is not what the source was, or refuses a statement: go the slower way."""


class Applier:
    """Writes changes through a connection, inside the transaction that its owner has opened there.

    After an error the owner rolls that transaction back; what was told stays told.
    """

    def __init__(
        self, connection: Connection, plan: Plan, database: str, tables: Mapping[Path, Table], tell: Teller
    ) -> None:
        """``database`` and ``tables`` are the source's; of a table that is not among them less is known."""
        self._connection = connection
        self._pipeline = Pipeline(connection)
        self._one_by_one = OneByOne(self._pipeline, plan, tell)
        self._plan = plan
        self._database = database
        self._tables = tables
        self._relations: dict[int, Relation] = {}
        self._bound: dict[int, Bound | None] = {}
        self._conditions: dict[int, Condition | None] = {}
        self._types: dict[int, str] = {}
        self._stale: set[int] = set()
        self._replica: bool | None = None

    @property
    def pipeline(self) -> Pipeline:
        """What the changes are sent through."""
        return self._pipeline

    async def apply(self, frames: bytes) -> None:
        """Write the changes of some frames, all or none.

        Raises ApplyFailed, which names the table and the row's key; BadData; and the Retryables of a lost server.
        """
        with translated(self._plan.target):
            waiting: list[Row] = []
            netted = len(frames) <= _MOST_NETTED
            for message in changes(frames):
                if isinstance(message, Row):
                    waiting.append(message)
                elif isinstance(message, Relation):
                    if self._relations.get(message.oid) != message:
                        waiting = await self._flush(waiting, netted=netted)
                        await self._bind(message)
                elif isinstance(message, Type):
                    self._types[message.oid] = f"{message.schema}.{message.name}"
                elif isinstance(message, Truncation):
                    waiting = await self._flush(waiting, netted=netted)
                    await self._truncate(message)
            await self._flush(waiting, netted=netted)

    # -- tables -------------------------------------------------------------------------------------------------

    async def _bind(self, relation: Relation) -> None:
        path = (self._database, relation.schema, relation.table)
        table = self._tables.get(path)
        self._pipeline.forget()
        self._stale.discard(relation.oid)
        self._bound[relation.oid] = None
        if relation.schema not in OWN:
            place = await self._place(path, table)
            target = await read_target(self._connection, place)
            if amiss := misfits(relation, place, target):
                raise mending(place, amiss, await self._type_names(amiss))
            shape = shape_of(path, relation, place, target, table.primary if table else ())
            self._bound[relation.oid] = Bound(shape, Statements(shape))
            self._conditions[relation.oid] = condition(shape, await self._seen_as(shape))
        self._relations[relation.oid] = relation

    async def _place(self, path: Path, table: Table | None) -> Place:
        """Where a table goes. What comes is selected; of a partition that is new, the target knows whose it is."""
        root = table.root if table else None
        if table is None and (above := await read_root(self._connection, *path[1:])):
            root = (path[0], *above)
        place = taken(self._plan.selection, path, root)
        if place is None:
            raise ApplyFailed(
                f"Changes of a table come that is not selected under this name: {shown(path)}",
                hint="It was renamed on the source: give it its name back, or begin anew with the new one.",
            )
        return place

    def describe(self, frames: bytes) -> None:
        """Of changes that are on the target already, what they say of tables: later ones may need it."""
        for message in changes(frames):
            if isinstance(message, Relation):
                self._relations[message.oid] = message
                self._stale.add(message.oid)
            elif isinstance(message, Type):
                self._types[message.oid] = f"{message.schema}.{message.name}"

    def reshaped(self) -> None:
        """The target's tables are no longer as they were: look at each again before the next of its changes."""
        self._stale |= set(self._relations)

    async def _renew(self, oids: Iterable[int]) -> None:
        for oid in self._stale.intersection(oids):
            await self._bind(self._relations[oid])

    async def _type_names(self, amiss: list[Misfit]) -> dict[tuple[int, int], str]:
        """What the source's types are called."""
        kinds = {(own.type_oid, own.typmod) for own, _ in amiss}
        return {kind: await type_name(self._connection, *kind) or self._types.get(kind[0], "") for kind in kinds}

    async def _seen_as(self, shape: Shape) -> dict[str, str]:
        """The types that a condition sees the source's columns as: a type that is not built in, by its name."""
        if not shape.place.where:
            return {}
        theirs = {each.name: each.type for each in shape.target.columns}
        return {
            each.name: await type_name(self._connection, each.type_oid, -1)
            or theirs.get(each.name)
            or self._types.get(each.type_oid, "text")
            for each in shape.relation.columns
        }

    def _table(self, oid: int) -> Bound | None:
        try:
            return self._bound[oid]
        except KeyError:
            raise BadData(f"The source's log changes a table that it did not describe ({oid})") from None

    async def _truncate(self, message: Truncation) -> None:
        """Empty the selected ones of the tables. CASCADE is not repeated: the log names every table it reached,
        and on the target it could reach others."""
        await self._renew(message.relations)
        found = [bound for oid in message.relations if (bound := self._table(oid))]
        if not found:
            return
        names = ", ".join(
            f"{'' if each.shape.target.kind == 'p' else 'ONLY '}{each.shape.table}" for each in found
        )
        restart = " RESTART IDENTITY" if message.restart_identity else ""
        try:
            await self._pipeline.run(Step(Statement(f"TRUNCATE {names}{restart}")))
        except StepFailed as failure:
            raise refused(self._plan, found[0].shape, failure.cause) from failure.cause

    # -- rows ---------------------------------------------------------------------------------------------------

    async def _flush(self, rows: list[Row], *, netted: bool) -> list[Row]:
        """Write what is waiting; gives a new, empty list."""
        if self._stale:
            await self._renew({row.relation for row in rows})
        pairs = [(bound, row) for row in rows if (bound := self._table(row.relation))]
        if pairs:
            pairs = await self._filtered(pairs)
        if pairs:
            await self._write(pairs, netted=netted and await self._orderless(pairs))
        return []

    async def _filtered(self, pairs: list[tuple[Bound, Row]]) -> list[tuple[Bound, Row]]:
        """The changes as the tables' conditions make them."""
        filtered: dict[int, Row | None] = {}
        for oid in {row.relation for _, row in pairs}:
            asked = self._conditions[oid]
            if asked:
                numbers = [number for number, (_, row) in enumerate(pairs) if row.relation == oid]
                rows = [pairs[number][1] for number in numbers]
                passed = await asked.passed(self._pipeline, self._plan, rows)
                filtered.update(zip(numbers, passed, strict=True))
        if not filtered:
            return pairs
        found = [(bound, filtered.get(number, row)) for number, (bound, row) in enumerate(pairs)]
        return [(bound, row) for bound, row in found if row]

    async def _write(self, pairs: list[tuple[Bound, Row]], *, netted: bool) -> None:
        if netted:
            try:
                return await self._together(_netted(pairs))
            except _Differs:
                pass
        try:
            return await self._together(_in_order(pairs))
        except _Differs:
            for bound, row in pairs:
                await self._one_by_one.write(bound, row)

    async def _together(self, dues: list[Due] | None) -> None:
        """Run them all, or none and raise _Differs. None: that way was not possible.

        The savepoint is left for the transaction's end to release, which saves a round trip; in one that goes on
        for long, so many would be in one another that each slows the next.
        """
        if dues is None:
            raise _Differs
        if not dues:
            return
        try:
            done = await self._pipeline.run(_SAVE, *(due.step for due in dues))
        except StepFailed as failure:
            if not sqlstate(failure.cause) or self._connection.closed:
                raise failure.cause from None
            await self._pipeline.run(_BACK)
            raise _Differs from failure
        if any(due.count not in (None, each.count) for due, each in zip(dues, done[1:], strict=True)):
            await self._pipeline.run(_BACK)
            raise _Differs
        if len(dues) > _MANY or sum(map(_size, dues)) > _MANY_BYTES:
            await self._pipeline.run(_KEEP)

    async def _orderless(self, pairs: Sequence[tuple[Bound, Row]]) -> bool:
        """Whether the order of different tables' changes is free: no trigger and no foreign key sees it."""
        if self._replica is None:
            row = await (await self._connection.execute(_REPLICA)).fetchone()
            self._replica = bool(row and row[0])
        return self._replica or not any(bound.shape.target.triggers for bound, _ in pairs)


def _size(due: Due) -> int:
    return sum(map(len, filter(None, due.step.values)))


def _in_order(pairs: Sequence[tuple[Bound, Row]]) -> list[Due] | None:
    """Every change by itself."""
    dues: list[Due] = []
    for bound, row in pairs:
        made = steps(bound, row)
        if made is None:
            return None
        dues += made
    return dues


def _netted(pairs: Sequence[tuple[Bound, Row]]) -> list[Due] | None:
    """The net of each table."""
    tables: dict[int, tuple[Bound, list[Row]]] = {}
    for bound, row in pairs:
        tables.setdefault(row.relation, (bound, []))[1].append(row)
    dues: list[Due] = []
    for bound, rows in tables.values():
        found = net(bound.shape, rows)
        if found is None:
            return None
        dues += _of_net(bound, found)
    return dues


def _of_net(bound: Bound, found: Net) -> list[Due]:
    make = bound.statements
    dues = []
    if found.deletes:
        dues.append(Due(make.delete_many(found.deletes), len(found.deletes)))
    if found.gone:
        dues.append(Due(make.delete_many(found.gone), None))
    if found.images:
        dues += _of_images(bound, found)
    for fields, rows in found.updates.items():
        dues.append(Due(make.update_many(fields, rows), len(rows)))
    if found.inserts:
        dues.append(Due(make.insert_many(found.inserts), len(found.inserts)))
    return dues


def _of_images(bound: Bound, found: Net) -> list[Due]:
    total = sum(found.images.values())
    if total > _FEW_IMAGES:
        rows, copies = list(found.images), list(found.images.values())
        return [Due(bound.statements.delete_images([spread(bound.shape, row) for row in rows], copies), total)]
    images = [spread(bound.shape, image) for image, copies in found.images.items() for _ in range(copies)]
    return [Due(bound.statements.delete(image), 1) for image in images]
