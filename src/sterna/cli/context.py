"""What the commands need from the rooms they must not know: filled once, by ``main``."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from sterna.core.errors import Unsupported
from sterna.core.files import Opens, Storage
from sterna.core.job import JobId
from sterna.core.people import Bucket
from sterna.core.ports import Engine
from sterna.core.stores import Store
from sterna.settings import Settings

if TYPE_CHECKING:
    from sterna.cli.backup import Backups


def no_buckets(bucket: Bucket) -> Storage:
    """Where no way to open buckets was handed in. Raises Unsupported."""
    raise Unsupported(f"The bucket {bucket.name} cannot be opened from here")


def no_backups() -> "Backups":
    """Where no reader of backup files was handed in. Raises Unsupported."""
    raise Unsupported("Backup files cannot be read from here")


class Engines(Protocol):
    """Gives the engines."""

    def __call__(self, opens: Opens | None = None) -> Mapping[str, Engine]: ...


@dataclass(frozen=True)
class Tools:
    """Functions that a command may call. None is called before a command needs it, so that all start quickly."""

    engines: Engines
    """Every kind of database by its name; with what opens buckets, those that read files read those of buckets."""
    open_store: Callable[[str, Path], Awaitable[Store]]
    """From a URL or a file's path, and the path of the key file, which is made if it is missing."""
    serve: Callable[[Settings], Coroutine[None, None, None]]
    """Serves until SIGTERM or SIGINT."""
    work: Callable[[Settings, JobId], Coroutine[None, None, int]]
    """Runs one job as a child of the service; returns the exit code."""
    environ: Mapping[str, str]
    """The environment, for passwords and defaults."""
    arguments: Sequence[str] = ()
    """What was typed after the command's name, to say how to go on."""
    open_bucket: Callable[[Bucket], Storage] = no_buckets
    """The storage of a bucket. Raises Invalid."""
    backups: "Callable[[], Backups]" = no_backups
    """What reads backup files."""


def tools_of(context: typer.Context) -> Tools:
    """The tools that ``main`` handed in."""
    tools = context.obj
    assert isinstance(tools, Tools)
    return tools
