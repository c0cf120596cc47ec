"""Finds the buckets of a project by name, and makes the one that every project may have without asking."""

import time
from pathlib import Path

from sterna.core.errors import Invalid, NotFound
from sterna.core.people import Bucket, new_id
from sterna.core.stores import PeopleStore

DEFAULT = "sterna-backups"
"""The name of the folder that a project gets for backups at their first use."""


async def resolve(store: PeopleStore, project_id: str, name: str) -> Bucket:
    """The project's bucket of that name. Raises NotFound, also for another project's."""
    for bucket in await store.buckets(project_id):
        if bucket.name == name:
            return bucket
    raise NotFound(f"There is no bucket {name}", hint="Register it with: sterna bucket add.")


async def default_bucket(store: PeopleStore, data: Path, project_id: str) -> Bucket:
    """The project's own bucket for backups, ``<data>/buckets/<project id>``, made if there is none yet.

    One of that name that somebody registered is taken instead.
    """
    try:
        return await resolve(store, project_id, DEFAULT)
    except NotFound:
        bucket = _folder(data, project_id)
    try:
        await store.add_bucket(bucket)
    except Invalid:  # somebody else was first
        return await resolve(store, project_id, DEFAULT)
    return bucket


def _folder(data: Path, project_id: str) -> Bucket:
    if not project_id.isalnum():
        raise Invalid("project_id", f"{project_id!r} is not the id of a project")
    folder = data.absolute() / "buckets" / project_id
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    now = time.time_ns() // 1_000_000
    return Bucket(new_id(), project_id, DEFAULT, "folder", folder=str(folder), created_ms=now)
