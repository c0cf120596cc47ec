"""From what a client asked for to a job that runs: the bucket, the files, the target and the chain are found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sterna.api.drs.backup import chain
from sterna.api.drs.backup.asked import INCREMENTAL, Asked, AskedFile
from sterna.api.drs.backup.finding import KIND, all_of
from sterna.api.drs.endpoints import endpoint_of_instance
from sterna.api.errors import Told
from sterna.api.front import Front
from sterna.core.errors import NotFound
from sterna.core.event import Level
from sterna.core.files import Entry
from sterna.core.job import Job
from sterna.core.people import Bucket
from sterna.core.plan import Conflict, Endpoint, Mode, Plan, Rename, Selection, StoredFile

SQLSERVER = "sqlserver"
SHARED = ("shared_folder", "shared_path")
"""Facts of an instance that a restore needs."""
TARGETS: Mapping[str, str] = {
    "sqlserver": SQLSERVER,
    "mssql": SQLSERVER,
    "postgresql": "postgresql",
    "postgres": "postgresql",
}
"""What engine a registered instance has, and which of ours restores into it."""

UNCHECKED = (
    "consistency_check_mode has no effect here: no DBCC CHECKDB is run. Run it on a SQL Server when the task has "
    "ended; what was loaded into PostgreSQL is compared by sterna backup load --compare."
)
"""What the history of a task tells whoever asked for a check that is not made."""


@dataclass(frozen=True, slots=True)
class Codes:
    """How one version of the API refuses; the names are those of its fields."""

    taken: str
    instance: tuple[str, str]
    bucket: tuple[str, str]
    chain: Mapping[chain.Why, str]


@dataclass(frozen=True, slots=True)
class New:
    """A task to be made."""

    name: str
    description: str
    tags: Sequence[Mapping[str, str]]
    asked: Asked


async def make(front: Front, project_id: str, id: str, new: New, codes: Codes) -> Job:
    """Create the job, which starts at once. Raises Told, and Invalid where its engines do not exist here.

    Whether the files are there is found by its checks; what is known of them now is kept to be shown.
    """
    asked = new.asked
    target = await _target(front, project_id, asked.instance_id, codes)
    await _fitting(front, project_id, new, target, codes)
    bucket = await _bucket(front, project_id, asked.bucket_name, codes)
    own = [StoredFile(bucket.id, file.path + file.name) for file in asked.files]
    found = await front.desk.stored(own)
    files = tuple(_known(file, entry) for file, entry in zip(asked.files, found, strict=True))
    async with front.turn:
        # Once more: the bucket may have taken its time, and a client that did not wait may have asked again.
        earlier = await _fitting(front, project_id, new, target, codes)
        plan = plan_of(asked, own, target, earlier.plan if earlier else None)
        plan = replace(plan, options={**plan.options, **await _shared(front, asked.instance_id)})
        job = await front.desk.create(
            project_id,
            KIND,
            new.name,
            description=new.description,
            plan=plan,
            extra=replace(asked, files=files).extra(new.tags),
            id=id,
            start=True,
        )
    if asked.consistency_check_mode:
        await front.desk.tell(job.id, Level.WARN, "backup.unchecked", UNCHECKED)
    return job


async def _fitting(front: Front, project_id: str, new: New, target: Endpoint, codes: Codes) -> Job | None:
    """The job that an incremental backup follows; None for a full one. Raises Told, also where a name is taken."""
    everything = await all_of(front, project_id, deleted=new.asked.recovery_mode == INCREMENTAL)
    jobs = [job for job in everything if not job.deleted]
    earlier = _earlier(everything, new.asked, target, codes)
    free = chain.of_chain(jobs, earlier) if earlier else set()
    check_name(jobs, new.name, codes.taken, allowed=free)
    return earlier


def check_name(jobs: Sequence[Job], name: str, taken: str, *, allowed: set[str] | None = None) -> None:
    """Raises Told if one of the tasks has the name, in whatever case, unless it is one of those allowed."""
    small = name.lower()
    if small not in (allowed or set()) and any(job.name.lower() == small for job in jobs):
        raise Told(taken)


def plan_of(asked: Asked, files: Sequence[StoredFile], target: Endpoint, earlier: Plan | None) -> Plan:
    """The whole restore. An incremental backup goes where its chain goes, however the chain was to be restored.

    A SQL Server restores each file when it comes; any other target gets everything at the end, so its plan holds
    the files of the whole chain.
    """
    chained = earlier.source.files if earlier and target.engine != SQLSERVER else ()
    source = Endpoint(SQLSERVER, (), files=tuple(dict.fromkeys((*chained, *files))))
    conflict = Conflict.OVERWRITE if asked.is_cover else Conflict.STOP
    selection = Selection(only=asked.chosen, renames=renames_of(asked))
    if earlier:
        conflict = earlier.conflict
        selection = Selection(
            only=selection.only or earlier.selection.only,
            renames=selection.renames or earlier.selection.renames,
        )
    return Plan(source, target, Mode.FULL, selection, conflict=conflict, options=options_of(asked))


def renames_of(asked: Asked) -> tuple[Rename, ...]:
    """What databases are called on the target. The empty old name is the only one's, ``*`` if not known."""
    only = asked.chosen[0] if len(asked.chosen) == 1 else "*"
    return tuple(Rename(old or only, new) for old, new in asked.new_names.items())


def options_of(asked: Asked) -> dict[str, str]:
    """What only the engine knows, all as text."""
    return {
        "recovery_mode": asked.recovery_mode,
        "last_backup": _text(asked.is_last_backup),
        "precheck": _text(asked.is_precheck),
        "delete_backup_file": _text(asked.is_delete_backup_file),
    }


def _text(flag: bool) -> str:
    return "true" if flag else "false"


async def _target(front: Front, project_id: str, id: str, codes: Codes) -> Endpoint:
    endpoint = await endpoint_of_instance(front.store, project_id, id)
    if endpoint is None or endpoint.engine not in TARGETS:
        raise Told(*codes.instance)
    return replace(endpoint, engine=TARGETS[endpoint.engine])


async def _shared(front: Front, id: str) -> dict[str, str]:
    """Where a SQL Server finds files that are put there for it, as whoever registered it said."""
    instance = await front.store.instance(id)
    return {name: str(instance.facts[name]) for name in SHARED if instance.facts.get(name)}


async def _bucket(front: Front, project_id: str, name: str, codes: Codes) -> Bucket:
    try:
        return await front.desk.bucket(project_id, name)
    except NotFound as missing:
        raise Told(*codes.bucket) from missing


def _earlier(jobs: Sequence[Job], asked: Asked, target: Endpoint, codes: Codes) -> Job | None:
    """The job that an incremental backup follows; None for a full one. Raises Told."""
    if asked.recovery_mode != INCREMENTAL:
        return None
    try:
        return chain.before(jobs, target.instance_id, asked.chosen)
    except chain.Unchained as trouble:
        raise Told(codes.chain[trouble.why], asked.instance_id) from trouble


def _known(file: AskedFile, entry: Entry | None) -> AskedFile:
    return replace(file, size=entry.size, modified_ms=entry.modified_ms) if entry else file
