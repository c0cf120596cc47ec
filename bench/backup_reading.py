"""Reads a SQL Server backup in a process of its own, so that it can be measured.

Usage: python -m bench.backup_reading text|unpack FILE OUT
"""

import sys
from pathlib import Path

from sterna.engines.sqlserver.wire.container import RecordBlob
from sterna.engines.sqlserver.wire.database import open_databases
from sterna.storage.folder import FolderStorage

STEP = 1 << 20


def text(file: Path, out: Path) -> None:
    """All rows of the only table, as the text of COPY."""
    (database,) = open_databases([FolderStorage(file.parent).open(file.name)])
    (table,) = database.tables
    with out.open("wb") as into:
        for part in database.parts(table.path):
            for piece in database.copy_text(table.path, part):
                into.writelines([piece.data] if isinstance(piece.data, bytes) else piece.data)


def unpack(file: Path, out: Path) -> None:
    """A compressed backup unpacked, and nothing else."""
    blob = RecordBlob(FolderStorage(file.parent).open(file.name))
    with out.open("wb") as into:
        for at in range(0, blob.size, STEP):
            into.write(blob.read_at(at, STEP))


if __name__ == "__main__":
    what, named, written = sys.argv[1:]
    {"text": text, "unpack": unpack}[what](Path(named), Path(written))
