"""A store that forgets everything at the end of the process: for tests, keeping every promise of the real one."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from sterna.core.change import Position
from sterna.core.errors import IllegalMove, Invalid, NotFound
from sterna.core.event import Event, Level
from sterna.core.finding import Finding
from sterna.core.job import Condition, Failure, Job, JobId, Phase, Wish
from sterna.core.people import AccessKey, Bucket, Domain, Instance, Project, Token, User
from sterna.core.plan import Plan
from sterna.core.progress import Progress
from sterna.store import rules

T = TypeVar("T")


class MemoryJobs:
    """Jobs in dictionaries. No call waits for anything halfway, so each is one transaction."""

    def __init__(self, clock: Callable[[], int] = rules.now_ms) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._positions: dict[str, dict[str, Position]] = {}
        self._progress: dict[str, Progress] = {}
        self._events: dict[str, list[Event]] = {}
        self._findings: dict[str, tuple[Finding, ...]] = {}
        self._notes: dict[str, dict[tuple[str, str], str]] = {}
        """By kind and key, as JSON."""

    async def add_job(self, job: Job) -> None:
        if job.id in self._jobs:
            raise Invalid("id", f"There is a job {job.id} already")
        self._jobs[job.id] = _own(job)
        self._positions[job.id] = {}
        self._progress[job.id] = Progress()
        self._events[job.id] = []
        self._findings[job.id] = ()
        self._notes[job.id] = {}

    async def job(self, id: JobId) -> Job:
        return _own(self._any(id))

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
        found = [
            job
            for job in reversed(self._jobs.values())
            if (deleted or not job.deleted)
            and project_id in (None, job.project_id)
            and (not kinds or job.kind in kinds)
            and name in job.name
        ]
        found.sort(key=lambda job: -job.created_ms)
        return len(found), [_own(job) for job in _page(found, offset, limit)]

    async def due(self) -> Sequence[JobId]:
        return [job.id for job in self._jobs.values() if rules.due(job, self._clock())]

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
        job = self._live(id)
        self._jobs[id] = _own(
            replace(
                job,
                plan=job.plan if plan is None else plan,
                name=job.name if name is None else name,
                description=job.description if description is None else description,
                extra={**job.extra, **(extra or {})},
                starts_ms=job.starts_ms if starts_ms is None else starts_ms,
                updated_ms=self._clock(),
            )
        )

    async def delete_job(self, id: JobId) -> None:
        after = rules.delete(self._live(id), self._clock())
        self._positions[id] = {}
        self._notes[id] = {}
        self._keep(after, rules.deleted(after))

    async def ask(self, id: JobId, wish: Wish) -> None:
        after = rules.ask(self._live(id), wish, self._clock())
        self._keep(after, rules.asked(after))

    async def answer(self, id: JobId, asked: int) -> None:
        self._jobs[id] = rules.answer(self._live(id), asked)

    async def begin(self, id: JobId) -> int:
        before = self._live(id)
        after = rules.begin(before, self._clock())
        if rules.starts_anew(before):
            self._positions[id] = {}
            self._progress[id] = Progress()
        self._keep(after, rules.began(before, after))
        return after.epoch

    async def report(
        self, id: JobId, phase: Phase, condition: Condition, failure: Failure | None = None, *, epoch: int
    ) -> None:
        before = self._mine(id, epoch)
        after = rules.report(before, phase, condition, failure, self._clock())
        if after != before:
            self._keep(after, rules.moved(before, after))

    async def position(self, id: JobId, lane: str) -> Position | None:
        self._any(id)
        return self._positions[id].get(lane)

    async def positions(self, id: JobId) -> Mapping[str, Position]:
        self._any(id)
        return dict(self._positions[id])

    async def advance(self, id: JobId, lane: str, position: Position, *, epoch: int) -> None:
        self._mine(id, epoch)
        self._positions[id][lane] = position

    async def forget(self, id: JobId, *, epoch: int) -> None:
        self._mine(id, epoch)
        self._positions[id] = {}

    async def progress(self, id: JobId) -> Progress:
        self._any(id)
        return self._progress[id]

    async def set_progress(self, id: JobId, progress: Progress, *, epoch: int) -> None:
        self._mine(id, epoch)
        self._progress[id] = progress

    async def add_events(self, events: Sequence[Event]) -> None:
        for event in events:
            self._any(event.job_id)
        for event in events:
            self._note(event)

    async def events(
        self, id: JobId, *, level: Level | None = None, offset: int = 0, limit: int = 100, newest: bool = True
    ) -> tuple[int, Sequence[Event]]:
        self._any(id)
        found = [event for event in self._events[id] if level in (None, event.level)]
        if newest:
            found.reverse()
        return len(found), _page(found, offset, limit)

    async def put_note(self, id: JobId, kind: str, key: str, body: Mapping[str, object]) -> None:
        self._live(id)
        self._notes[id][kind, key] = json.dumps(dict(body))

    async def notes(self, id: JobId, kind: str) -> Mapping[str, Mapping[str, object]]:
        self._any(id)
        return {key: json.loads(body) for (of, key), body in self._notes[id].items() if of == kind}

    async def remove_note(self, id: JobId, kind: str, key: str) -> None:
        self._live(id)
        self._notes[id].pop((kind, key), None)

    async def set_findings(self, id: JobId, findings: Sequence[Finding]) -> None:
        self._live(id)
        self._findings[id] = tuple(findings)

    async def findings(self, id: JobId) -> Sequence[Finding]:
        self._any(id)
        return self._findings[id]

    def _any(self, id: str) -> Job:
        return _find(self._jobs, id, "job")

    def _live(self, id: str) -> Job:
        job = self._any(id)
        if job.deleted:
            raise NotFound(f"There is no job {id}")
        return job

    def _mine(self, id: str, epoch: int) -> Job:
        job = self._live(id)
        rules.fence(job, epoch)
        return job

    def _keep(self, job: Job, event: Event) -> None:
        self._jobs[job.id] = job
        self._note(event)

    def _note(self, event: Event) -> None:
        events = self._events[event.job_id]
        seq = events[-1].seq + 1 if events else 1
        events.append(replace(event, fields=dict(event.fields), seq=seq))
        del events[: -rules.MOST_EVENTS]


class MemoryPeople(MemoryJobs):
    """Domains, projects, users, keys, tokens, instances and buckets in dictionaries."""

    def __init__(self, clock: Callable[[], int] = rules.now_ms) -> None:
        super().__init__(clock)
        self._domains: dict[str, Domain] = {}
        self._projects: dict[str, Project] = {}
        self._users: dict[str, User] = {}
        self._keys: dict[str, AccessKey] = {}
        self._tokens: dict[str, Token] = {}
        self._instances: dict[str, Instance] = {}
        self._buckets: dict[str, Bucket] = {}

    async def add_domain(self, domain: Domain) -> None:
        _free(domain.id in self._domains, "id", domain.id)
        _free(any(other.name == domain.name for other in self._domains.values()), "name", domain.name)
        self._domains[domain.id] = domain

    async def domains(self) -> Sequence[Domain]:
        return list(self._domains.values())

    async def add_project(self, project: Project) -> None:
        _find(self._domains, project.domain_id, "domain")
        _free(project.id in self._projects, "id", project.id)
        _free(_named(self._projects.values(), project), "name", project.name)
        self._projects[project.id] = project

    async def projects(self) -> Sequence[Project]:
        return list(self._projects.values())

    async def remove_project(self, id: str) -> None:
        _find(self._projects, id, "project")
        held: list[Job | Instance | Bucket] = [job for job in self._jobs.values() if not job.deleted]
        held += self._instances.values()
        held += self._buckets.values()
        if any(thing.project_id == id for thing in held):
            raise IllegalMove(f"Project {id} still holds jobs, instances or buckets")
        del self._projects[id]
        self._tokens = {key: token for key, token in self._tokens.items() if token.project_id != id}
        for user in self._users.values():
            left = tuple(project for project in user.project_ids if project != id)
            self._users[user.id] = replace(user, project_ids=left)

    async def add_user(self, user: User) -> None:
        self._fits(user)
        _free(user.id in self._users, "id", user.id)
        self._users[user.id] = rules.distinct(user)

    async def put_user(self, user: User) -> None:
        before = _find(self._users, user.id, "user")
        self._fits(user)
        if rules.voids_tokens(before, user):
            self._tokens = {digest: it for digest, it in self._tokens.items() if it.user_id != user.id}
        self._users[user.id] = rules.distinct(user)

    async def users(self) -> Sequence[User]:
        return list(self._users.values())

    async def remove_user(self, id: str) -> None:
        _find(self._users, id, "user")
        del self._users[id]
        self._keys = {name: key for name, key in self._keys.items() if key.user_id != id}
        self._tokens = {digest: token for digest, token in self._tokens.items() if token.user_id != id}

    async def add_key(self, key: AccessKey) -> None:
        _find(self._users, key.user_id, "user")
        _free(key.access_key in self._keys, "access_key", key.access_key)
        self._keys[key.access_key] = key

    async def key(self, access_key: str) -> AccessKey | None:
        return self._keys.get(access_key)

    async def keys(self, user_id: str | None = None) -> Sequence[AccessKey]:
        return [key for key in self._keys.values() if user_id in (None, key.user_id)]

    async def remove_key(self, access_key: str) -> None:
        _find(self._keys, access_key, "access key")
        del self._keys[access_key]

    async def add_token(self, token: Token) -> None:
        _find(self._users, token.user_id, "user")
        if token.project_id is not None:
            _find(self._projects, token.project_id, "project")
        if token.digest in self._tokens:
            raise Invalid("digest", "There is such a token already")
        self._tokens[token.digest] = token

    async def token(self, digest: str) -> Token | None:
        return self._tokens.get(digest)

    async def revoke_token(self, digest: str) -> bool:
        return self._tokens.pop(digest, None) is not None

    async def sweep_tokens(self, now_ms: int) -> int:
        tokens = [token.digest for token in self._tokens.values() if token.expires_ms <= now_ms]
        keys = [key.access_key for key in self._keys.values() if (key.expires_ms or now_ms + 1) <= now_ms]
        for digest in tokens:
            del self._tokens[digest]
        for name in keys:
            del self._keys[name]
        return len(tokens) + len(keys)

    async def add_instance(self, instance: Instance) -> None:
        _free(instance.id in self._instances, "id", instance.id)
        self._instances[instance.id] = instance

    async def instance(self, id: str) -> Instance:
        return _find(self._instances, id, "instance")

    async def instances(self, project_id: str | None = None) -> Sequence[Instance]:
        return [it for it in self._instances.values() if project_id in (None, it.project_id)]

    async def put_instance(self, instance: Instance) -> None:
        _find(self._instances, instance.id, "instance")
        self._instances[instance.id] = instance

    async def remove_instance(self, id: str) -> None:
        _find(self._instances, id, "instance")
        del self._instances[id]

    async def add_bucket(self, bucket: Bucket) -> None:
        _free(bucket.id in self._buckets, "id", bucket.id)
        self._free_bucket_name(bucket)
        self._buckets[bucket.id] = bucket

    async def bucket(self, id: str) -> Bucket:
        return _find(self._buckets, id, "bucket")

    async def buckets(self, project_id: str | None = None) -> Sequence[Bucket]:
        return [it for it in self._buckets.values() if project_id in (None, it.project_id)]

    async def put_bucket(self, bucket: Bucket) -> None:
        _find(self._buckets, bucket.id, "bucket")
        self._free_bucket_name(bucket)
        self._buckets[bucket.id] = bucket

    async def remove_bucket(self, id: str) -> None:
        _find(self._buckets, id, "bucket")
        del self._buckets[id]

    def _free_bucket_name(self, new: Bucket) -> None:
        same = [it for it in self._buckets.values() if (it.project_id, it.name) == (new.project_id, new.name)]
        _free(any(it.id != new.id for it in same), "name", new.name)

    def _fits(self, user: User) -> None:
        _find(self._domains, user.domain_id, "domain")
        for project in user.project_ids:
            _find(self._projects, project, "project")
        _free(_named(self._users.values(), user), "name", user.name)


class MemoryStore(MemoryPeople):
    """A whole store in memory."""

    async def close(self) -> None:
        """Nothing is held open."""


def _own(job: Job) -> Job:
    """A copy whose ``extra`` nobody else can change, in the form that JSON gives back."""
    extra: dict[str, Any] = json.loads(json.dumps(job.extra))
    return replace(job, extra=extra)


def _page(found: Sequence[T], offset: int, limit: int | None) -> Sequence[T]:
    start = max(0, offset)
    return found[start:] if limit is None else found[start : start + max(0, limit)]


def _find(things: Mapping[str, T], id: str, kind: str) -> T:
    if id not in things:
        raise NotFound(f"There is no {kind} {id}")
    return things[id]


def _free(taken: bool, field: str, value: str) -> None:
    if taken:
        raise Invalid(field, f"{value} is taken")


def _named(things: Iterable[User] | Iterable[Project], new: User | Project) -> bool:
    """Whether another one of the same domain has this name."""
    return any(it.id != new.id and (it.domain_id, it.name) == (new.domain_id, new.name) for it in things)
