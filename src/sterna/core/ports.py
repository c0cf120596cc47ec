"""Who promises what. A reader of this page can write another engine, store or runtime."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from sterna.core.change import Batch, Chunk, Format, Name, Part, Position
from sterna.core.comparison import Compared, Comparison, Depth
from sterna.core.digest import Digest
from sterna.core.event import Level
from sterna.core.finding import Finding
from sterna.core.job import JobId
from sterna.core.plan import Endpoint, Plan
from sterna.core.schema import Schema, Table


@dataclass(frozen=True, slots=True)
class Room:
    """What an engine gets besides the plan: who it works for, where it may keep files, and its epoch."""

    job_id: JobId
    epoch: int
    folder: Path
    """A folder of the job's own on this machine. It may be gone after a move to another machine."""
    spool_limit: int = 0
    """How many bytes the folder may hold; 0: as much as the disk has."""


class Teller(Protocol):
    """Takes what an operator would want to be told; returns at once."""

    def __call__(self, level: Level, code: str, message: str, **fields: str) -> None: ...


class Log(Protocol):
    """Reads what changes."""

    async def anchor(self) -> Position:
        """Set the mark in the source's log from which ``follow`` will go on. Comes before any copy.

        Called again, it replaces the mark: what was copied since the old one must be copied again.
        """
        ...

    async def resume(self, after: Position) -> None:
        """Find out whether the source still keeps everything since ``after``.

        Raises PositionGone if it does not, before anything was changed.
        """
        ...

    def follow(self, after: Position) -> AsyncIterator[Batch]:
        """Every change after the position, in order, for ever.

        Yields a batch without changes about once a second while the source is quiet. A batch ends where a
        source transaction ends. Raises PositionGone, Unreachable.
        """
        ...

    async def confirm(self, upto: Position) -> None:
        """The target keeps everything up to here: the source may forget it."""
        ...

    async def release(self) -> None:
        """Take away what ``anchor`` left on the source. Twice is once. May be called on a new connection."""
        ...

    async def lag(self, applied: Position) -> int:
        """Bytes of the source's log after ``applied``; -1 if not known."""
        ...


class Source(Protocol):
    """Reads what exists. Opened by ``Engine.source``; closing it leaves nothing running.

    After a Retryable, its own or the target's, all of it may be called anew.
    """

    @property
    def log(self) -> Log | None:
        """None: it stands still, like a backup file."""
        ...

    async def names(self) -> Sequence[Name]: ...

    async def parts(self, name: Name) -> Sequence[Part]:
        """Cut it into pieces that can be copied in parallel and each again. The same pieces every time."""
        ...

    def copy(self, part: Part, formats: Sequence[Format], after: Position | None = None) -> AsyncIterator[Chunk]:
        """The part's contents as of the anchor, bounded in memory, going on after a chunk's position.

        Raises StartAgain if it cannot go on from there. After a part's last position there is nothing more, and
        nothing of what ``copied`` gave up is needed to know that.
        """
        ...

    async def copied(self) -> None:
        """The target has all parts: what was held for the copy alone (a snapshot) may go. Twice is once."""
        ...

    async def rows(self) -> int:
        """How many rows or keys there are now, roughly; -1 if not known."""
        ...


class Sink(Protocol):
    """Writes. Everything it returned from is kept by the target; writing twice equals writing once."""

    @property
    def formats(self) -> Sequence[Format]:
        """The forms of chunk that it takes, best first."""
        ...

    async def claim(self) -> None:
        """Take over the target for this epoch. Raises Fenced if a newer one has it.

        Positions that the target holds for the job stay.
        """
        ...

    async def position(self, lane: str) -> Position | None:
        """What the target itself remembers of a lane: the position of record."""
        ...

    async def prepare(self) -> None:
        """Make ready for a copy from the beginning. Raises KeyConflict, Unsupported.

        Forgets the positions of all lanes. What an earlier copy of this job left and the source may have deleted
        since has to go, or be told of: nothing in the log will delete it.
        """
        ...

    async def load(self, part: Part, chunk: Chunk) -> None:
        """Write a chunk and its position, together. Raises Fenced, TargetFull, Unreachable."""
        ...

    async def write(self, batch: Batch) -> None:
        """Write a batch of changes and its position, together. Raises Fenced, ApplyFailed, TargetFull.

        Fenced also where this run's checkpoint is gone. May be cancelled at any moment: all is kept, or none.
        A batch with ``more`` is kept together with those that follow it, up to one without.
        """
        ...

    async def verify(self) -> None:
        """Find out, while there is nothing to write, whether the target still is as this run left it.

        One that restarted may have lost what it had. Raises Unreachable, Fenced.
        """
        ...

    async def copied(self, anchor: Position) -> None:
        """All parts are there; changes follow from ``anchor``. Remembered as the lane ``follow``.

        What is better made after the data is made here: indexes, constraints, triggers. Goes on where it was cut.
        """
        ...

    async def finish(self) -> None:
        """Nothing more will be written: make the data final and take away what is Sterna's own. Twice is once.

        May be called on a new connection, right after ``claim``.
        """
        ...

    async def rows(self) -> int:
        """How many rows or keys there are now, roughly; -1 if not known."""
        ...


class Check(Protocol):
    """Looks at one thing before a start."""

    @property
    def name(self) -> str: ...

    async def run(self) -> Sequence[Finding]:
        """What it found. Raises only where it could not look."""
        ...


@runtime_checkable
class Guards(Protocol):
    """A check that is also carried out where the operator wanted none, if ``guards`` is true: without it, data
    might be lost or loaded wrongly."""

    guards: bool


class Engine(Protocol):
    """One kind of database. Knows no other."""

    @property
    def name(self) -> str: ...

    def source(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Source]: ...

    def sink(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Sink]: ...

    def checks(self, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        """What to look at before a start. What the job itself left on the servers so far is not in its way."""
        ...

    async def compare(
        self,
        plan: Plan,
        *,
        room: Room | None = None,
        repair: bool = False,
        most: int = 100,
        depth: Depth = Depth.CONTENTS,
        only: Sequence[Name] = (),
        heard: Callable[[Compared], None] | None = None,
    ) -> Comparison:
        """Compare what the plan selects, bounded in memory, while writes go on.

        ``only``: these tables of the source alone. ``heard`` is told of each table when it is done. ``repair``
        mends the target. Raises Unsupported for a depth that the engine does not have.
        """
        ...

    async def probe(self, endpoint: Endpoint) -> Mapping[str, str]:
        """Connect and say what is there: ``version``, ``role``, ``rows`` …

        Raises Unreachable, AccessDenied.
        """
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """One thing that a server holds and that can be selected."""

    path: tuple[str, ...]
    kind: str
    """``database``, ``schema``, ``table`` or ``view``."""


@runtime_checkable
class Browses(Protocol):
    """An engine that can also tell what a server holds, for a person to choose from."""

    async def browse(self, endpoint: Endpoint, databases: Sequence[str] = ()) -> Sequence[Found]:
        """Databases, schemas, tables and views, by name; ``databases``: of these alone, none: of all.

        What holds something comes before it. Raises Unreachable, AccessDenied.
        """
        ...


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting of both servers."""

    name: str
    group: str
    """``common``: what values mean and how sessions behave; ``performance``: how fast."""
    source: str
    """In ``unit``. Empty also where the server has no such setting."""
    target: str
    kind: str
    """``bool``, ``integer``, ``real``, ``enum`` or ``string``, of the target."""
    unit: str
    """What one is of a number: ``8kB``, ``ms`` …; may be empty."""
    allowed: str
    """What the target takes: ``1-100`` in ``unit``, ``on|off``; empty: any text, or it cannot be changed."""
    needs_restart: bool
    """A change counts once the target has restarted."""


@runtime_checkable
class Tunes(Protocol):
    """An engine that can also compare the servers' settings, and change the target's."""

    async def parameters(self, plan: Plan) -> Sequence[Parameter]:
        """The settings that matter for a move and for behaviour after it. Raises Unreachable, AccessDenied."""
        ...

    async def set_parameters(self, plan: Plan, values: Mapping[str, str]) -> bool:
        """Change settings of the target's server, of those that ``parameters`` names. True: one needs a restart.

        Nothing is changed unless all may be. Raises Invalid with the name of a setting that does not exist,
        cannot be changed or does not take the value, AccessDenied where the user may not, Unreachable.
        """
        ...


@runtime_checkable
class Describes(Protocol):
    """A source that can say how its tables are made, for a target of another kind."""

    async def schema(self) -> Schema:
        """What the plan selects, by the names of the source. Raises BadData, Unsupported."""
        ...


@runtime_checkable
class Takes(Protocol):
    """An engine whose servers can take what a source of another kind describes."""

    def sink_for(
        self, source: Describes, plan: Plan, room: Room, tell: Teller
    ) -> AbstractAsyncContextManager[Sink]:
        """The sink of the plan's target for that source."""
        ...

    def checks_for(self, source: Describes, plan: Plan, job_id: JobId | None = None) -> Sequence[Check]:
        """What to look at on the plan's target before a start. What the job itself left there is not in its way.

        The source is asked for its schema when a check runs, not before.
        """
        ...

    async def digest(self, plan: Plan, table: Table) -> Digest:
        """What the plan's target holds of a table that such a source described, as rows of ``postgresql-text``.

        Of the columns that are ``stored``, in their order, whatever the rows' order. Raises NotFound where the
        target has no such table, Unsupported where it has other columns, Unreachable, AccessDenied.
        """
        ...


class Restoring(Protocol):
    """One server reading files by itself."""

    async def run(self, heard: Callable[[int], None]) -> None:
        """Restore everything; ``heard`` is told the percentage done. May run again after any end, or a crash.

        Raises Unreachable, AccessDenied, TargetFull, Unsupported, BadData, ApplyFailed.
        """
        ...

    async def forget(self) -> None:
        """The job was given up: take away what runs left for the next one. Twice is once. Raises as ``run``."""
        ...


@runtime_checkable
class Restores(Protocol):
    """An engine whose servers read the source's files by themselves: there is nothing to pump."""

    def restoring(self, plan: Plan, room: Room, tell: Teller) -> AbstractAsyncContextManager[Restoring]: ...


class Runtime(Protocol):
    """Which process runs which job."""

    async def start(self) -> None:
        """Begin looking for jobs that should run, and run each in a process of its own until ``stop``."""
        ...

    async def stop(self) -> None:
        """End all processes; jobs that ran go on at the next ``start``."""
        ...
