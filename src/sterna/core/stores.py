"""What a store promises: it keeps jobs, people and what they own; a reader of this page can write another one."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from sterna.core.change import Position
from sterna.core.event import Event, Level
from sterna.core.finding import Finding
from sterna.core.job import Condition, Failure, Job, JobId, Phase, Wish
from sterna.core.people import AccessKey, Bucket, Domain, Instance, Project, Token, User
from sterna.core.plan import Plan
from sterna.core.progress import Progress


class JobStore(Protocol):
    """Keeps jobs, their positions and their history. Each call is one transaction."""

    async def add_job(self, job: Job) -> None: ...

    async def job(self, id: JobId) -> Job:
        """Raises NotFound. Deleted jobs are found too, with ``deleted`` set."""
        ...

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
        """How many there are, and one page of them, newest first. ``name``: contained in the name.

        ``deleted``: those that were deleted too.
        """
        ...

    async def due(self) -> Sequence[JobId]:
        """The jobs that need a run: those that are RUNNING, and those with a wish that is not answered.

        A wish to RUN counts once the job's ``starts_ms`` is reached.
        """
        ...

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
        """Change what the operator described; ``extra`` is merged. A new plan for an ended job is legal."""
        ...

    async def delete_job(self, id: JobId) -> None:
        """Hide it. Raises IllegalMove while it runs."""
        ...

    async def ask(self, id: JobId, wish: Wish) -> None:
        """Note a wish. Raises IllegalMove if it is not allowed now (``core.job.allowed``)."""
        ...

    async def answer(self, id: JobId, asked: int) -> None:
        """The runner has seen the wish with this number."""
        ...

    async def begin(self, id: JobId) -> int:
        """A run begins: RUNNING, wishes answered, no failure, and an epoch one higher, which is returned.

        An ended job begins in PREPARE with its positions forgotten, any other goes on where it was. The run must
        still carry out a last wish of PAUSE, STOP or FINISH: it came after the RUN, or before a crash.
        """
        ...

    async def report(
        self, id: JobId, phase: Phase, condition: Condition, failure: Failure | None = None, *, epoch: int
    ) -> None:
        """Where the job is now. Raises Fenced if a later run has begun."""
        ...

    async def position(self, id: JobId, lane: str) -> Position | None: ...

    async def positions(self, id: JobId) -> Mapping[str, Position]: ...

    async def advance(self, id: JobId, lane: str, position: Position, *, epoch: int) -> None:
        """Remember a lane's position. Raises Fenced if a later run has begun."""
        ...

    async def forget(self, id: JobId, *, epoch: int) -> None:
        """Forget all positions: the job starts from nothing."""
        ...

    async def progress(self, id: JobId) -> Progress: ...

    async def set_progress(self, id: JobId, progress: Progress, *, epoch: int) -> None: ...

    async def add_events(self, events: Sequence[Event]) -> None: ...

    async def events(
        self, id: JobId, *, level: Level | None = None, offset: int = 0, limit: int = 100, newest: bool = True
    ) -> tuple[int, Sequence[Event]]: ...

    async def put_note(self, id: JobId, kind: str, key: str, body: Mapping[str, object]) -> None:
        """Keep a small document with the job, e.g. a comparison; one with the same kind and key is replaced."""
        ...

    async def notes(self, id: JobId, kind: str) -> Mapping[str, Mapping[str, object]]:
        """All documents of a kind by key, oldest first. They go with the job."""
        ...

    async def remove_note(self, id: JobId, kind: str, key: str) -> None:
        """Twice is once."""
        ...

    async def set_findings(self, id: JobId, findings: Sequence[Finding]) -> None: ...

    async def findings(self, id: JobId) -> Sequence[Finding]: ...


class PeopleStore(Protocol):
    """Keeps domains, projects, users, keys, tokens, instances and buckets. Each call is one transaction."""

    async def add_domain(self, domain: Domain) -> None: ...
    async def domains(self) -> Sequence[Domain]: ...
    async def add_project(self, project: Project) -> None: ...
    async def projects(self) -> Sequence[Project]: ...
    async def remove_project(self, id: str) -> None:
        """Raises NotFound, and IllegalMove while it holds jobs, instances or buckets."""
        ...

    async def add_user(self, user: User) -> None: ...
    async def put_user(self, user: User) -> None:
        """Replace a user's facts. Another password, or being disabled, voids all tokens. Raises NotFound."""
        ...

    async def users(self) -> Sequence[User]: ...
    async def remove_user(self, id: str) -> None:
        """With all keys and tokens."""
        ...

    async def add_key(self, key: AccessKey) -> None: ...
    async def key(self, access_key: str) -> AccessKey | None: ...
    async def keys(self, user_id: str | None = None) -> Sequence[AccessKey]: ...
    async def remove_key(self, access_key: str) -> None: ...
    async def add_token(self, token: Token) -> None: ...
    async def token(self, digest: str) -> Token | None: ...
    async def revoke_token(self, digest: str) -> bool: ...
    async def sweep_tokens(self, now_ms: int) -> int:
        """Remove what has expired."""
        ...

    async def add_instance(self, instance: Instance) -> None: ...
    async def instance(self, id: str) -> Instance:
        """Raises NotFound."""
        ...

    async def instances(self, project_id: str | None = None) -> Sequence[Instance]: ...
    async def put_instance(self, instance: Instance) -> None:
        """Replace an instance's facts. Raises NotFound."""
        ...

    async def remove_instance(self, id: str) -> None: ...

    async def add_bucket(self, bucket: Bucket) -> None:
        """Raises Invalid if its id is taken, or its name in its project."""
        ...

    async def bucket(self, id: str) -> Bucket:
        """Raises NotFound."""
        ...

    async def buckets(self, project_id: str | None = None) -> Sequence[Bucket]: ...
    async def put_bucket(self, bucket: Bucket) -> None:
        """Replace a bucket's facts. Raises NotFound, and Invalid if its project has another of that name."""
        ...

    async def remove_bucket(self, id: str) -> None: ...


class Store(JobStore, PeopleStore, Protocol):
    """Everything Sterna remembers about itself."""

    async def close(self) -> None: ...
