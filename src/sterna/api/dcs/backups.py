"""Backups of registered instances: jobs that receive a data set as a replica and put it into the project's bucket.

A record is its job: it has the job's id, and goes with it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sterna.api.dcs.answers import BackupPage, BackupRow
from sterna.api.dcs.bodies import TakeBackup, is_id
from sterna.api.dcs.plans import ENGINE, IMPORT, endpoint_of_instance, instance_of
from sterna.api.dcs.states import MIGRATING, status
from sterna.api.dcs.views import iso
from sterna.api.errors import Told
from sterna.core.errors import NotFound, Trouble, Unsupported
from sterna.core.job import Condition, Job, Wish
from sterna.core.people import new_id
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile
from sterna.core.progress import Progress
from sterna.jobs.desk import Desk

BACKUP = "dcs-backup"
FAILED = "dcs.08.0001"
"""The documented code of a backup that could not be taken."""


async def take(desk: Desk, project_id: str, instance_id: str, wanted: TakeBackup) -> str:
    """Begin a backup of an instance; returns the record's id. Raises Told, also while another one is taken."""
    instance = await instance_of(desk.store, project_id, instance_id)
    for job in await _all(desk, project_id, instance_id):
        if word(job) in ("waiting", "backuping"):
            raise Told("DCS.4096")
    try:
        bucket, id = await desk.own_bucket(project_id), new_id()
    except Unsupported as none:
        raise Told("DCS.4095") from none
    ending, several = wanted.backup_format, len(instance.addresses) > 1
    names = [
        f"{instance_id}/{id}/node{number}.{ending}" if several else f"{instance_id}/{id}.{ending}"
        for number in range(len(instance.addresses))
    ]
    plan = Plan(
        source=endpoint_of_instance(instance),
        target=Endpoint(ENGINE, (), files=tuple(StoredFile(bucket.id, name) for name in names)),
        mode=Mode.FULL,
    )
    extra = {"backup_format": wanted.backup_format, "instance_id": instance_id, "bucket_name": bucket.name}
    name = f"backup_{datetime.fromtimestamp(desk.clock() / 1000, UTC):%Y%m%d%H%M%S}"
    await desk.create(
        project_id, BACKUP, name, description=wanted.remark, plan=plan, extra=extra, id=id, start=True
    )
    return id


async def page(
    desk: Desk, project_id: str, instance_id: str, begin: str, end: str, offset: int, limit: int
) -> BackupPage:
    """The backups of an instance, newest first, of those that were begun between two times."""
    await instance_of(desk.store, project_id, instance_id)
    jobs = [
        job
        for job in await _all(desk, project_id, instance_id)
        if (not begin or _compact(job.created_ms) >= begin) and (not end or _compact(job.created_ms) <= end)
    ]
    shown = [_row(job, await desk.progress(job)) for job in jobs[offset : offset + limit]]
    return BackupPage(total_num=len(jobs), backup_record_response=shown)


async def record_of(desk: Desk, project_id: str, backup_id: str, instance_id: str = "") -> Job:
    """The job of a record. Raises Told."""
    try:
        job = await desk.get(project_id, backup_id if is_id(backup_id) else "")
    except NotFound as missing:
        raise Told("DCS.4031.backup") from missing
    if job.kind != BACKUP or instance_id not in ("", job.extra.get("instance_id")):
        raise Told("DCS.4031.backup")
    return job


async def remove(desk: Desk, job: Job) -> None:
    """Delete a record and its files. Raises Told while it is taken or imported, or where the bucket refuses."""
    if word(job) in ("waiting", "backuping"):
        raise Told("DCS.4096")
    files = job.plan.target.files if job.plan else ()
    if await _imported(desk, job.project_id, files):
        raise Told("DCS.4097")
    try:
        await desk.remove_stored(files)
    except Trouble as trouble:
        raise Told("DCS.4101") from trouble
    await desk.delete(job, forced=True)


async def _imported(desk: Desk, project_id: str, files: Sequence[StoredFile]) -> bool:
    """Whether an import that runs, or is about to, reads one of the files."""
    _, jobs = await desk.store.jobs(project_id, kinds=(IMPORT,))
    at_work = [job for job in jobs if status(job) in MIGRATING and job.plan]
    return any(file in files for job in at_work if job.plan for file in job.plan.source.files)


def word(job: Job) -> str:
    """How a backup is, in the service's words."""
    if job.wished and job.wish is Wish.RUN:
        return "waiting"
    match job.condition:
        case Condition.IDLE:
            return "waiting"
        case Condition.RUNNING:
            return "backuping"
        case Condition.DONE if job.wish is not Wish.STOP and not job.failure:
            return "succeed"
        case _:
            return "failed"


def _row(job: Job, progress: Progress) -> BackupRow:
    now = word(job)
    done = now == "succeed"
    ended = iso(job.ended_ms or job.updated_ms) if now in ("succeed", "failed") else None
    return BackupRow(
        backup_id=job.id,
        period=f"{iso(job.created_ms)}-{ended}" if ended else "",
        backup_name=job.name,
        instance_id=str(job.extra.get("instance_id", "")),
        size=progress.bytes if done else 0,
        created_at=iso(job.created_ms),
        updated_at=ended,
        progress="100.00" if done else f"{progress.percent:.2f}",
        error_code=FAILED if now == "failed" else None,
        remark=job.description,
        status=now,
        is_support_restore="TRUE" if done else "FALSE",
        backup_format=str(job.extra.get("backup_format", "rdb")),
        execution_at=iso(job.created_ms),
    )


async def _all(desk: Desk, project_id: str, instance_id: str) -> list[Job]:
    _, jobs = await desk.store.jobs(project_id, kinds=(BACKUP,))
    return [job for job in jobs if job.extra.get("instance_id") == instance_id]


def _compact(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y%m%d%H%M%S}"
