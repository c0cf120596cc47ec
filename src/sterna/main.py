"""Puts the rooms together: the only module that knows them all.

What a command does not need is not even imported: the help appears at once, a worker loads no web server.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from sterna.cli.app import run
from sterna.cli.context import Tools
from sterna.core.job import JobId
from sterna.core.ports import Engine, Store
from sterna.settings import Settings


def cli() -> None:
    """The ``sterna`` command."""
    arguments = tuple(sys.argv[1:])
    raise SystemExit(int(run(arguments, Tools(engines, open_store, serve, work, dict(os.environ), arguments))))


def engines() -> Mapping[str, Engine]:
    """Every kind of database that can be moved, by its name."""
    return {}


async def open_store(url_or_path: str, key_file: Path) -> Store:
    """The store in a database, with the key in a file, which is made if it is missing."""
    from sterna.store.secrets import load_or_make_key
    from sterna.store.sql import open_store

    return await open_store(url_or_path, load_or_make_key(key_file))


async def serve(settings: Settings) -> None:
    """The service, until SIGTERM or SIGINT."""
    raise NotImplementedError


async def work(settings: Settings, job_id: JobId) -> int:
    """One job as a child of the service."""
    raise NotImplementedError
