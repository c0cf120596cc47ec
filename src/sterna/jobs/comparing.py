"""Comparisons of a job's two sides in the background, a few at a time; each is kept as a note of the job."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sterna.core.change import Name
from sterna.core.comparison import Compared, Comparison, Depth, Difference
from sterna.core.errors import IllegalMove, Invalid, NotFound, Trouble
from sterna.core.job import Failure, Job, JobId
from sterna.core.ports import Engine
from sterna.core.stores import JobStore
from sterna.jobs.background import Background, Body, Key, Page
from sterna.jobs.route import Route
from sterna.jobs.unexpected import unexpected

KIND = "comparison"

MOST = 1000
"""How many differences of a comparison are kept, each with what mends it."""
MOST_BYTES = 256 << 10
"""How long they may be together."""
LONGEST_WAIT = 30.0
"""Seconds until the clock is looked at again while a comparison waits for its time."""


class Stage(StrEnum):
    """Where a comparison is."""

    WAITING = "waiting"  #: for its time, or for its turn
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_OPEN = (Stage.WAITING, Stage.RUNNING)


@dataclass(frozen=True, slots=True)
class ComparisonRun:
    """One comparison: what was asked for, where it is, and what it has found so far. Times in epoch ms."""

    id: str
    depth: Depth
    only: tuple[Name, ...] = ()
    """These tables of the source alone; none: all."""
    repair: bool = False
    starts_ms: int = 0
    """Not before; 0: at once."""
    created_ms: int = 0
    stage: Stage = Stage.WAITING
    begun_ms: int = 0
    """0: not yet."""
    ended_ms: int = 0
    """0: not yet."""
    tables: tuple[Compared, ...] = ()
    """Those that are done."""
    objects: Mapping[str, tuple[int, int]] | None = None
    """Kind of object: how many on the source, how many on the target. None: not known yet."""
    equal: bool = False
    """Once it is done: nothing differs, or everything that did is repaired."""
    compared: int = 0
    different: int = 0
    differences: tuple[Difference, ...] = ()
    """At most a thousand; ``different`` counts all. A remedy holds values of rows."""
    unsettled: int = 0
    repaired: int = 0
    failure: Failure | None = None

    @property
    def open(self) -> bool:
        """Whether it has not ended."""
        return self.stage in _OPEN


@dataclass(frozen=True)
class Comparing:
    """Compares what jobs have moved."""

    store: JobStore
    engines: Mapping[str, Engine]
    clock: Callable[[], int]
    background: Background

    async def begin(
        self, job: Job, depth: Depth, only: Sequence[Name], repair: bool, starts_ms: int, id: str = ""
    ) -> str:
        """Ask for a comparison; it is at work once its time has come and fewer than two others are. Its id.

        ``id``: for one who may ask for the same twice; the second time nothing happens.
        Raises IllegalMove for a job without a plan, Invalid for a repair without contents.
        """
        if job.plan is None:
            raise IllegalMove(f"Job {job.id} has no plan, so there is nothing to compare")
        if repair and depth is not Depth.CONTENTS:
            raise Invalid("depth", "Only a comparison of the contents can repair")
        if id and id in await self.store.notes(job.id, KIND):
            return id
        run = ComparisonRun(id or str(uuid4()), depth, tuple(only), repair, starts_ms, self.clock())
        await self._begin(job.id, run)
        return run.id

    async def all(self, job: Job) -> Sequence[ComparisonRun]:
        """Every comparison of the job, oldest first. Those that were cut begin again."""
        notes = await self.store.notes(job.id, KIND)
        return [await self._seen(job.id, id, body) for id, body in notes.items()]

    async def one(self, job: Job, id: str) -> ComparisonRun:
        """The same for one. Raises NotFound."""
        return await self._seen(job.id, id, await self._body(job, id))

    async def cancel(self, job: Job, id: str) -> None:
        """End it where it is; what it has repaired stays. Raises NotFound, and IllegalMove if it has ended."""
        if not (await self.one(job, id)).open:
            raise IllegalMove(f"Comparison {id} has ended")
        await self.background.end(_key(job.id, id))
        run = await self._told(job, id)
        if not run.open:
            raise IllegalMove(f"Comparison {id} has ended")
        await self._page(job.id, replace(run, stage=Stage.CANCELLED, ended_ms=self.clock())).write()

    async def _told(self, job: Job, id: str) -> ComparisonRun:
        """As the note has it."""
        return _run_of(id, await self._body(job, id))

    async def _body(self, job: Job, id: str) -> Body:
        notes = await self.store.notes(job.id, KIND)
        if id not in notes:
            raise NotFound(f"There is no comparison {id}")
        return notes[id]

    async def _seen(self, job_id: JobId, id: str, body: Body) -> ComparisonRun:
        run = _run_of(id, body)
        if run.open and self.background.cut(_key(job_id, id), body, self.clock()):
            run = replace(run, stage=Stage.WAITING, begun_ms=0, tables=(), objects=None)
            await self._begin(job_id, run)
        return run

    async def _begin(self, job_id: JobId, run: ComparisonRun) -> None:
        key, page = _key(job_id, run.id), self._page(job_id, run)
        async with self.background.entry:
            if not self.background.works(key):
                await page.write()
                self.background.begin(key, page.during(lambda: self._work(page, run)))

    def _page(self, job_id: JobId, run: ComparisonRun) -> Page:
        return Page(self.store, self.background, job_id, KIND, run.id, self.clock, _body_of(run))

    async def _work(self, page: Page, run: ComparisonRun) -> None:
        try:
            await self._until(run.starts_ms)
            async with self.background.turn:
                run = replace(run, stage=Stage.RUNNING, begun_ms=self.clock())
                page.body |= _body_of(run)
                await page.write()
                run = _with(run, await self._compare(page, run))
        except NotFound:
            return
        except Trouble as trouble:
            run = replace(run, stage=Stage.FAILED, failure=trouble.failure())
        except Exception as error:
            failure = unexpected(error, "a comparison failed unexpectedly", page.job_id)
            run = replace(run, stage=Stage.FAILED, failure=failure)
        page.body |= _body_of(replace(run, ended_ms=self.clock()), but=("tables",) if not run.tables else ())
        await page.write()

    async def _compare(self, page: Page, run: ComparisonRun) -> Comparison:
        plan = (await self.store.job(page.job_id)).plan
        if plan is None:
            raise IllegalMove("There is nothing that could be compared")
        tables: list[Any] = []
        page.body["tables"] = tables

        def heard(table: Compared) -> None:
            tables.append(_table_to_json(table))
            page.changed = True

        return await Route.of(plan, self.engines).compare(
            job_id=page.job_id, repair=run.repair, most=MOST, depth=run.depth, only=run.only, heard=heard
        )

    async def _until(self, moment_ms: int) -> None:
        while (wait := (moment_ms - self.clock()) / 1000) > 0:
            await asyncio.sleep(min(wait, LONGEST_WAIT))


def _key(job_id: JobId, id: str) -> Key:
    return KIND, job_id, id


def _with(run: ComparisonRun, found: Comparison) -> ComparisonRun:
    """The run with everything that was found."""
    return replace(
        run,
        stage=Stage.DONE,
        tables=tuple(found.tables),
        objects=found.objects,
        equal=found.equal,
        compared=found.compared,
        different=found.different,
        differences=_bounded(found.differences),
        unsettled=found.unsettled,
        repaired=found.repaired,
    )


def _bounded(differences: Sequence[Difference]) -> tuple[Difference, ...]:
    """The first ones, as many as may be kept. A remedy that would fill the room alone is left out."""
    kept, left = [], MOST_BYTES
    for each in differences[:MOST]:
        brief = each if len(each.remedy) <= MOST_BYTES // 4 else replace(each, remedy="")
        left -= sum(len(text.encode("utf-8", "replace")) for text in asdict(brief).values())
        if left < 0:
            break
        kept.append(brief)
    return tuple(kept)


# The note.


def _body_of(run: ComparisonRun, but: Sequence[str] = ()) -> dict[str, object]:
    body: dict[str, object] = {
        "depth": run.depth,
        "only": [list(name.path) for name in run.only],
        "repair": run.repair,
        "starts_ms": run.starts_ms,
        "created_ms": run.created_ms,
        "state": run.stage,
        "begun_ms": run.begun_ms,
        "ended_ms": run.ended_ms,
        "tables": [_table_to_json(table) for table in run.tables],
        "objects": None if run.objects is None else {kind: list(both) for kind, both in run.objects.items()},
        "equal": run.equal,
        "compared": run.compared,
        "different": run.different,
        "differences": [asdict(each) for each in run.differences],
        "unsettled": run.unsettled,
        "repaired": run.repaired,
        "failure": asdict(run.failure) if run.failure else None,
    }
    return {name: value for name, value in body.items() if name not in but}


def _run_of(id: str, body: Mapping[str, Any]) -> ComparisonRun:
    return ComparisonRun(
        id,
        Depth(body["depth"]),
        tuple(Name(tuple(path)) for path in body["only"]),
        body["repair"],
        body["starts_ms"],
        body["created_ms"],
        Stage(body["state"]),
        body["begun_ms"],
        body["ended_ms"],
        tuple(_table_from_json(table) for table in body["tables"]),
        None if body["objects"] is None else {kind: (both[0], both[1]) for kind, both in body["objects"].items()},
        body["equal"],
        body["compared"],
        body["different"],
        tuple(Difference(**each) for each in body["differences"]),
        body["unsettled"],
        body["repaired"],
        Failure(**body["failure"]) if body["failure"] else None,
    )


def _table_to_json(table: Compared) -> dict[str, Any]:
    return {
        "name": list(table.name.path),
        "target": list(table.target.path),
        "source_rows": table.source_rows,
        "target_rows": table.target_rows,
        "different": table.different,
        "trouble": table.trouble,
    }


def _table_from_json(body: Mapping[str, Any]) -> Compared:
    names = Name(tuple(body["name"])), Name(tuple(body["target"]))
    return Compared(*names, body["source_rows"], body["target_rows"], body["different"], body["trouble"])
