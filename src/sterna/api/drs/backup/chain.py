"""Which backups an incremental one follows: a chain begins with a full backup and ends with the last one.

Until the last one a database is being restored: a SQL Server keeps it so, for other targets the chain is kept
here, with each job, and all its files are read again with the last one. A database that is being restored stays so
when the record of a task is deleted, so chains are found among deleted tasks too.
"""

from collections.abc import Sequence
from enum import Enum, auto

from sterna.api.drs.backup.asked import asked_of
from sterna.api.drs.backup.states import Status, status
from sterna.core.job import Job
from sterna.core.plan import Plan


class Why(Enum):
    """Why an incremental backup cannot be restored now."""

    NONE = auto()  #: nothing is there that it could follow
    WAITS = auto()  #: the backup before has not been restored yet
    SEVERAL = auto()  #: more than one chain is there that it could follow


class Unchained(Exception):
    """An incremental backup cannot be restored now."""

    def __init__(self, why: Why) -> None:
        self.why = why
        super().__init__(why.name)


def before(jobs: Sequence[Job], instance_id: str, databases: Sequence[str]) -> Job:
    """The job that an incremental backup of these databases follows. Raises Unchained.

    ``jobs``: the project's tasks of backup migration, newest first, those that were deleted too. ``databases``:
    none for all of the chain's. Of several chains those whose tasks are still there go first.
    """
    wanted = _key(databases)
    newest = _newest(jobs, instance_id)
    open_ends = {
        key: job for key, job in newest.items() if not asked_of(job).is_last_backup and _fits(key, wanted)
    }
    if not open_ends:
        raise Unchained(Why.NONE)
    shown = [job for job in open_ends.values() if not job.deleted]
    likely = shown or list(open_ends.values())
    if wanted not in open_ends and len(likely) > 1:
        raise Unchained(Why.SEVERAL)
    found = open_ends.get(wanted) or likely[0]
    if status(found) is Status.TRANSFERRING:
        raise Unchained(Why.WAITS)
    return found


def of_chain(jobs: Sequence[Job], job: Job) -> set[str]:
    """The names, in small letters, of the jobs of the same target and databases, which a chain may share."""
    same = [it for it in jobs if _instance(it) == _instance(job) and _key(_chosen(it)) == _key(_chosen(job))]
    return {it.name.lower() for it in same}


def _newest(jobs: Sequence[Job], instance_id: str) -> dict[frozenset[str], Job]:
    """By databases, the newest job of an instance that has not failed: what failed changed nothing of a chain."""
    found: dict[frozenset[str], Job] = {}
    for job in jobs:
        if _instance(job) == instance_id and status(job) in (Status.SUCCESS, Status.TRANSFERRING):
            found.setdefault(_key(_chosen(job)), job)
    return found


def _fits(key: frozenset[str], wanted: frozenset[str]) -> bool:
    """Whether a chain holds the databases that are wanted. An empty set is all of them."""
    return not wanted or not key or wanted <= key


def _key(databases: Sequence[str]) -> frozenset[str]:
    """SQL Server's names are the same in whatever case."""
    return frozenset(name.lower() for name in databases)


def _instance(job: Job) -> str:
    return _plan(job).target.instance_id


def _chosen(job: Job) -> tuple[str, ...]:
    return _plan(job).selection.only


def _plan(job: Job) -> Plan:
    assert job.plan is not None, "a task of backup migration has its plan from its creation on"
    return job.plan
