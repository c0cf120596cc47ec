"""Who still needs a registered bucket or server, so that it is not taken away under them by mistake."""

from collections.abc import Iterator, Sequence

from sterna.core.errors import IllegalMove
from sterna.core.job import Condition, Job, Wish
from sterna.core.plan import Endpoint

MOST = 5
"""How many jobs a refusal names."""


def check_bucket(jobs: Sequence[Job], id: str, name: str) -> None:
    """Raises IllegalMove if one of the jobs, newest first, needs the bucket.

    Needed are the files of a job that has not ended and of a chain that waits for its next backup, and backups
    that are kept in the bucket.
    """
    _refuse(f"The bucket {name}", _of_bucket(jobs, id))


def check_instance(jobs: Sequence[Job], id: str, name: str) -> None:
    """Raises IllegalMove if one of the jobs, newest first, needs the server.

    They are those that have not ended, or whose chain has not, and backups of it.
    """
    _refuse(f"The instance {name}", _of_instance(jobs, id))


def _of_bucket(jobs: Sequence[Job], id: str) -> Iterator[str]:
    waiting = [job.id for job in _chains(jobs) if job.plan and job.plan.target.engine != "sqlserver"]
    for job in jobs:
        source, target = (_in(job.plan.source, id), _in(job.plan.target, id)) if job.plan else (False, False)
        if (source or target) and not _ended(job):
            yield _named(job)
        elif target and _well(job):
            yield f"{_named(job)}, a backup that is kept there"
        elif source and job.id in waiting:
            yield f"{_named(job)}, whose chain waits for its next backup"


def _of_instance(jobs: Sequence[Job], id: str) -> Iterator[str]:
    waiting = [job.id for job in _chains(jobs)]
    for job in jobs:
        if job.plan is None or id not in (job.plan.source.instance_id, job.plan.target.instance_id):
            continue
        if not _ended(job):
            yield _named(job)
        elif id == job.plan.source.instance_id and job.plan.target.files and _well(job):
            yield f"{_named(job)}, a backup of it, which is listed and deleted by it"
        elif job.id in waiting:
            yield f"{_named(job)}, whose chain waits for its next backup"


def _refuse(what: str, users: Iterator[str]) -> None:
    found = list(users)
    if not found:
        return
    named = "; ".join(found[:MOST]) + (f"; and {len(found) - MOST} more" if len(found) > MOST else "")
    raise IllegalMove(
        f"{what} is needed by {named}",
        hint="End or delete them first (sterna job stop, sterna job delete); --force removes it all the same.",
    )


def _chains(jobs: Sequence[Job]) -> Iterator[Job]:
    """The last jobs of chains that have not had their last backup yet: of each instance and its databases."""
    seen: set[tuple[str, frozenset[str]]] = set()
    for job in jobs:
        if job.plan is None or "last_backup" not in job.plan.options or not _well(job):
            continue
        databases = frozenset(name.lower() for name in job.plan.selection.only)
        key = (job.plan.target.instance_id, databases)
        if key not in seen and job.plan.options["last_backup"] == "false":
            yield job
        seen.add(key)


def _ended(job: Job) -> bool:
    return job.condition is Condition.DONE and not job.wished


def _well(job: Job) -> bool:
    return _ended(job) and job.wish is not Wish.STOP and job.failure is None


def _in(endpoint: Endpoint, bucket: str) -> bool:
    return any(file.bucket == bucket for file in endpoint.files)


def _named(job: Job) -> str:
    return f"{job.name} ({job.id})"
