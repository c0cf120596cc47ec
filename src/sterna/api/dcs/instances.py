"""The routes of DCS for registered instances, and for the backups that are taken of them."""

from typing import Annotated

from fastapi import Depends, Query

from sterna.api.dcs import answers, backups, bodies, views
from sterna.api.dcs.entry import LARGEST_PAGE, REFUSED, Offset, router
from sterna.api.dcs.plans import ENGINES, instance_of
from sterna.api.errors import Told
from sterna.api.front import FrontDep

routes = router("v2")

TimeFilter = Annotated[str, Query(pattern=r"^(\d{14})?$", description="UTC, yyyyMMddHHmmss.")]


def _instance_id(instance_id: str) -> str:
    if not bodies.is_id(instance_id):
        raise Told("DCS.4061")
    return instance_id


InstanceId = Annotated[str, Depends(_instance_id)]


@routes.get("/instances", name="ListInstances")
async def list_instances(
    front: FrontDep,
    project_id: str,
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 100,
    instance_id: str = "",
    name: str = "",
    name_equal: str = "",
    status: str = "",
    ip: str = "",
) -> answers.InstancePage:
    """The registered instances of the project that a task may name by id."""
    exact = name_equal.lower() == "true"
    found = [
        one
        for it in await front.store.instances(project_id)
        if it.engine in ENGINES
        for one in (views.instance(it),)
        if instance_id in ("", it.id)
        and (it.name == name if exact and name else name in it.name)
        and status in ("", one.status)
        and ip in one.ip
    ]
    return answers.InstancePage(instance_num=len(found), instances=found[offset : offset + limit])


@routes.get("/instances/{instance_id}", name="ShowInstance")
async def show_instance(front: FrontDep, project_id: str, instance_id: str) -> answers.Instance:
    """One registered instance."""
    if not bodies.is_id(instance_id):
        raise Told("DCS.4061")
    found = await instance_of(front.store, project_id, instance_id)
    if found.engine not in ENGINES:
        raise Told("DCS.3022")
    return views.instance(found)


@routes.get("/instances/{instance_id}/backups", name="ListBackupRecords")
async def list_backups(
    front: FrontDep,
    project_id: str,
    instance_id: InstanceId,
    begin_time: TimeFilter = "",
    end_time: TimeFilter = "",
    offset: Offset = 0,
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = 10,
) -> answers.BackupPage:
    """The backups of an instance, newest first."""
    return await backups.page(front.desk, project_id, instance_id, begin_time, end_time, offset, limit)


@routes.post("/instances/{instance_id}/backups", name="CopyInstance")
async def take_backup(
    front: FrontDep, project_id: str, instance_id: InstanceId, body: bodies.TakeBackup
) -> answers.Taken:
    """Take a backup: the instance's data set as it sends it to a replica, put into the project's own bucket."""
    async with front.turn:  # two that ask at once must not both find that nobody takes one
        return answers.Taken(backup_id=await backups.take(front.desk, project_id, instance_id, body))


@routes.delete("/instances/{instance_id}/backups/{backup_id}", name="DeleteBackupFile", status_code=204)
async def delete_backup(front: FrontDep, project_id: str, instance_id: InstanceId, backup_id: str) -> None:
    """Delete a backup and its files."""
    await backups.remove(front.desk, await backups.record_of(front.desk, project_id, backup_id, instance_id))


@routes.post(
    "/instances/{instance_id}/backups/{backup_id}/links", name="ListBackupFileLinks", openapi_extra=REFUSED
)
async def link_backup(
    front: FrontDep, project_id: str, instance_id: InstanceId, backup_id: str, body: bodies.Links
) -> answers.BackupLinks:
    """Refused (DCS.4027): buckets make no links; the file is in the project's bucket, by the record's id."""
    await backups.record_of(front.desk, project_id, backup_id, instance_id)
    raise Told("DCS.4027")
