"""What a fault of the disk under a job's folder means for the job."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sterna.core.errors import DiskFull, NeedsOperator

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def on_disk(what: str) -> Iterator[None]:
    """Raises DiskFull where there is no room, NeedsOperator for any other fault of the file system.

    ``what`` could not be done, e.g. ``The data set cannot be kept``.
    """
    try:
        yield
    except OSError as error:
        message = f"{what} in the job's folder: {error.strerror or error}"
        if error.errno in FULL:
            raise DiskFull(message) from error
        hint = "Let the service write to its data folder, then let the job go on."
        raise NeedsOperator(f"{message} ({error.filename})" if error.filename else message, hint=hint) from error
    except sqlite3.Error as error:
        message = f"{what} in the job's folder: {error}"
        raise (DiskFull if "full" in str(error) else NeedsOperator)(message) from error
