"""A file that is there complete or not at all."""

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from sterna.core.errors import DiskFull, NeedsOperator

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Written beside its place, flushed to disk, then renamed; folders are made. Any error takes it away again.

    Raises DiskFull, and NeedsOperator if the file cannot be written.
    """
    beside = path.with_name(f".{path.name[:100]}.{secrets.token_hex(6)}.part")
    with said_plainly(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("xb", buffering=1 << 20) as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def said_plainly(path: Path) -> Iterator[None]:
    """Raises DiskFull or NeedsOperator for an OSError of what is done here."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise DiskFull(
                f"The disk is full: {path} could not be written", hint="Free room, then again."
            ) from error
        raise NeedsOperator(f"{path} cannot be written: {error.strerror or error}") from error
