"""Opens the files of a plan, wherever they lie, and finds the databases in them."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from sterna.core.errors import Invalid, NeedsOperator, Unsupported
from sterna.core.files import Blob, Opens
from sterna.core.plan import Plan, Selection, StoredFile
from sterna.engines.sqlserver.wire.database import DatabaseBackup, databases_of
from sterna.engines.sqlserver.wire.media import MediaFile, open_media

SET = "set"
"""The option that names the one backup set, by its position, that is wanted of files with several."""

ALL = "*"
"""The old name of a rename that is for every database."""

STOP_AT = "stop_at"
"""The option that names a moment, by the source's clock, whose state is wanted; it lies in the log backups."""


@dataclass(frozen=True)
class Opened:
    """The files of a plan and what they are."""

    blobs: tuple[Blob, ...]
    media: tuple[MediaFile, ...]
    databases: tuple[DatabaseBackup, ...]
    """Those that the plan takes, by name."""
    others: tuple[str, ...]
    """The names of those that it does not."""
    missing: tuple[str, ...]
    """Databases that were asked for, or were to be called something else, and that no file holds."""
    selection: Selection
    """What of them the plan takes."""


@asynccontextmanager
async def opened(plan: Plan, opens: Opens | None) -> AsyncIterator[Opened]:
    """Everything open for a while. Raises BadData, Unsupported, NotFound, Unreachable, AccessDenied."""
    if not plan.source.files:
        raise Unsupported(
            "A SQL Server is read from its backup files, not live", hint="Take a backup, and name its files."
        )
    with ExitStack() as stack:
        blobs = []
        for file in unique(plan.source.files):
            blobs.append(await _open(file, opens))
            stack.callback(blobs[-1].close)
        media = tuple(await asyncio.gather(*(asyncio.to_thread(open_media, blob) for blob in blobs)))
        yield _chosen(plan, tuple(blobs), media)


def unique(files: Iterable[StoredFile]) -> tuple[StoredFile, ...]:
    """Each file once, in the order in which they were named."""
    return tuple(dict.fromkeys(files))


async def _open(file: StoredFile, opens: Opens | None) -> Blob:
    if opens is None:
        raise NeedsOperator(f"Nobody here can open {file.name}: there is no registry of buckets")
    storage = await opens(file.bucket)
    return await asyncio.to_thread(storage.open, file.name)


def _chosen(plan: Plan, blobs: tuple[Blob, ...], media: tuple[MediaFile, ...]) -> Opened:
    number = plan.options.get(SET, "")
    found = databases_of(
        media,
        set_number=int(number) if number.isdecimal() else None,
        stop_at=_moment(plan.options.get(STOP_AT, "")),
    )
    taken = tuple(each for each in found if takes(plan.selection, each.name))
    others = tuple(each.name for each in found if each not in taken)
    return Opened(blobs, media, taken, others, _missing(plan.selection, found), plan.selection)


def _moment(text: str) -> datetime | None:
    """Raises Invalid, also for a moment with a zone: the log has the source's own clock, and not its zone."""
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        raise Invalid(STOP_AT, f"{text!r} is no moment: 2026-01-31T12:00:00") from None
    if found is not None and found.tzinfo is not None:
        raise Invalid(STOP_AT, f"{text!r} has a zone: the moment is one of the source's clock, without a zone")
    return found


def takes(selection: Selection, database: str) -> bool:
    """Whether anything of a database is taken. SQL Server's names of databases differ not by case alone."""
    return selection.database(database) is not None and selection.touches((database,))


def _missing(selection: Selection, found: Sequence[DatabaseBackup]) -> tuple[str, ...]:
    renamed = (each.old for each in selection.renames if each.old != ALL)
    asked = [*selection.only, *(each.path[0] for each in selection.objects), *renamed]
    there = {each.name.lower() for each in found}
    return tuple(name for name in dict.fromkeys(asked) if name.lower() not in there)
