"""Opens a file that a command line names: on this machine, or in a registered bucket."""

import re
from pathlib import Path

from sterna.cli.context import Tools
from sterna.cli.folder import one_of, opened, the_project
from sterna.core.errors import Invalid, NotFound
from sterna.core.files import Blob
from sterna.core.people import Bucket
from sterna.settings import Settings

_FORMS = "A file in a bucket is bucket:NAME/FILE or s3://BUCKET/FILE"
_KEYS = "The bucket's keys and endpoint are given once: sterna bucket add."
_URL = re.compile(r"(?!bucket:)[A-Za-z][A-Za-z0-9+.-]+:/")
"""How a URL begins, its slashes made one."""

HERE = "here:"
"""What the id of a folder of this machine begins with, where no bucket is registered for it."""


async def open_file(tools: Tools, settings: Settings, text: str, project: str | None = None) -> Blob:
    """The file that ``text`` names: ``bucket:NAME/file``, ``s3://BUCKET/file``, or a path of this machine.

    The buckets are those registered in the service's data folder, ``NAME`` as Sterna and ``BUCKET`` as the object
    store calls it. Raises Invalid, NotFound, AccessDenied, Unreachable.
    """
    bucket, name = await find_file(tools, settings, text, project)
    return tools.open_bucket(bucket).open(name)


async def find_file(tools: Tools, settings: Settings, text: str, project: str | None = None) -> tuple[Bucket, str]:
    """The bucket and the name in it, as ``open_file`` takes them; a file of this machine is in
    a bucket of its own folder.

    Raises Invalid, NotFound.
    """
    where, found, name = text.partition("://" if text.startswith("s3://") else ":")
    if not found or where not in ("s3", "bucket"):
        return _local(Path(text))
    called, slash, name = name.partition("/")
    if not called or not slash or not name or (where == "s3" and "@" in called):  # keys: never repeated
        raise Invalid("file", _FORMS, hint=_KEYS if "@" in called else "")
    async with opened(tools, settings) as store:
        home = (await the_project(store, project)).id if project else None
        known = await store.buckets(home)
    if where == "bucket":
        return one_of(known, "bucket", called), name
    bucket = _remote(tuple(known), called, name)
    return bucket, name.removeprefix(bucket.prefix)


def with_slash(bucket: Bucket, name: str) -> str:
    """The name; of a folder on this machine as the name of all files below it."""
    return f"{name}/" if bucket.id.startswith(HERE) and (Path(bucket.folder) / name).is_dir() else name


def _local(path: Path) -> tuple[Bucket, str]:
    try:
        real = path.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        if _URL.match(str(path)):  # of which a part may be secret
            raise Invalid("file", f"A URL of that kind is not read. {_FORMS}", hint=_KEYS) from None
        raise NotFound(f"There is no file {path}") from None
    folder = Bucket(f"{HERE}{real.parent}", "", "here", "folder", folder=str(real.parent))
    return folder, real.name


def _remote(known: tuple[Bucket, ...], called: str, name: str) -> Bucket:
    """The registered bucket that the object store calls so and that the file lies in, by the longest prefix."""
    fitting = [
        each
        for each in known
        if each.kind == "s3" and (each.remote_name or each.name) == called and name.startswith(each.prefix)
    ]
    if not fitting:
        raise NotFound(
            f"No bucket {called} that holds this file is registered", hint="Register it with: sterna bucket add."
        )
    return max(fitting, key=lambda each: len(each.prefix))
