"""From what a client wants imported to a plan: which files of which bucket, or the files of which backup."""

from sterna.api.dcs.backups import record_of, word
from sterna.api.dcs.bodies import BackupFiles, CreateTask
from sterna.api.dcs.plans import ENGINE, database_selection, endpoint_of
from sterna.api.errors import Told
from sterna.core.errors import NotFound
from sterna.core.plan import Endpoint, Mode, Plan, StoredFile
from sterna.jobs.desk import Desk


async def import_plan(desk: Desk, project_id: str, wanted: CreateTask) -> tuple[Plan, dict[str, object]]:
    """The plan, and what is to be told again of the request. Raises Told."""
    asked = wanted.backup_files
    if asked is None:
        raise Told("DCS.4063", "backup_files")
    files, bucket = await (_recorded if asked.from_record else _listed)(desk, project_id, asked)
    source_db = wanted.source_instance.db if wanted.source_instance else None
    plan = Plan(
        source=Endpoint(ENGINE, (), files=files),
        target=await endpoint_of(desk.store, project_id, wanted.target_instance),
        mode=Mode.FULL,
        selection=database_selection(source_db, wanted.target_instance.db),
    )
    told: dict[str, object] = {
        "migration_method": wanted.migration_method,
        "network_type": wanted.network_type,
        "bucket_name": bucket,
        "backup_files": {
            **asked.model_dump(exclude_none=True),
            "file_source": "backup_record" if asked.from_record else "self_build_obs",
        },
    }
    return plan, told


async def _listed(desk: Desk, project_id: str, asked: BackupFiles) -> tuple[tuple[StoredFile, ...], str]:
    """Files of a registered bucket; whether they are there, the task finds out."""
    if not asked.bucket_name:
        raise Told("DCS.4063", "backup_files.bucket_name")
    if not asked.files:
        raise Told("DCS.4063", "backup_files.files")
    try:
        bucket = await desk.bucket(project_id, asked.bucket_name)
    except NotFound as missing:
        raise Told("DCS.4063", "backup_files.bucket_name") from missing
    names = dict.fromkeys(file.file_name for file in asked.files)
    return tuple(StoredFile(bucket.id, name) for name in names), bucket.name


async def _recorded(desk: Desk, project_id: str, asked: BackupFiles) -> tuple[tuple[StoredFile, ...], str]:
    """The files of a backup that has been taken."""
    try:
        job = await record_of(desk, project_id, asked.backup_id or "")
    except Told as missing:
        raise Told("DCS.4063", "backup_files.backup_id") from missing
    if word(job) != "succeed" or job.plan is None:
        raise Told("DCS.4087")
    return job.plan.target.files, str(job.extra.get("bucket_name", ""))
