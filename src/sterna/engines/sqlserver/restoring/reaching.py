"""How backup files come to where the server can read them: through a folder that both see, or from the store."""

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from sterna.core.errors import Unsupported
from sterna.core.files import Shares
from sterna.core.plan import Plan
from sterna.core.ports import Room, Teller
from sterna.engines.sqlserver.restoring.credentials import WAY_HINT, Web, given
from sterna.engines.sqlserver.restoring.folders import Folder, Located
from sterna.engines.sqlserver.restoring.server import Server

SHARED_FOLDER = "shared_folder"
"""Option: a folder of this machine that the server sees too."""
SHARED_PATH = "shared_path"
"""Option: what the server calls that folder."""
DELETE = "delete_backup_file"
"""Option: ``false`` leaves in the folder what was put there."""
URL_SINCE = 16
"""Major version of SQL Server 2022, which reads from S3 by itself."""
Way = Folder | Web


def tag_of(job_id: str) -> str:
    """What the names of a job's own files on the server have in them."""
    return hashlib.sha256(job_id.encode()).hexdigest()[:12]


def way_of(plan: Plan, files: Sequence[Located], major: int, room: Room) -> Way:
    """The folder if there is one, else the store's address. Raises Unsupported, saying what to do."""
    if folder := folder_of(plan, room):
        return folder
    remotes = [each.storage.remote(each.file.name) for each in files if isinstance(each.storage, Shares)]
    if len(remotes) < len(files) or any(urlsplit(each.endpoint).scheme != "https" for each in remotes):
        raise Unsupported("The server has no way to the backup files", hint=WAY_HINT)
    if major < URL_SINCE:
        raise Unsupported("Before 2022, SQL Server does not read from an object store by itself", hint=WAY_HINT)
    return Web(remotes, note_of(room))


def folder_of(plan: Plan, room: Room) -> Folder | None:
    """The folder that the plan names, if it does. Raises Unsupported for half of one."""
    here, there = plan.options.get(SHARED_FOLDER, ""), plan.options.get(SHARED_PATH, "")
    if bool(here) != bool(there):
        raise Unsupported(f"{SHARED_FOLDER} and {SHARED_PATH} are one folder: both are needed", hint=WAY_HINT)
    if not here:
        return None
    keeps = plan.options.get(DELETE, "").lower() == "false"
    return Folder(Path(here), there, tag_of(room.job_id), keeps)


def note_of(room: Room) -> Path:
    """Where a job remembers the credentials that it made."""
    return room.folder / "credentials"


@asynccontextmanager
async def opened_way(way: Way, server: Server, tell: Teller) -> AsyncIterator[None]:
    """What the server needs for it, for a while."""
    if isinstance(way, Folder):
        yield
        return
    async with given(way, server, tell):
        yield
