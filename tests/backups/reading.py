"""Reads fixtures with the product's reader, for the tests that compare."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sterna.core.change import Pieces
from sterna.core.errors import BadData
from sterna.core.schema import Table
from sterna.engines.sqlserver.wire.base import Pages
from sterna.engines.sqlserver.wire.database import DatabaseBackup, open_databases
from sterna.engines.sqlserver.wire.tables import Piece


@dataclass(frozen=True)
class MemoryBlob:
    """A file that is in memory."""

    name: str
    data: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    def read_at(self, offset: int, length: int) -> bytes:
        """Bytes from there."""
        return self.data[offset : offset + length] if offset >= 0 else b""

    def close(self) -> None:
        """Nothing to close."""


def blobs(paths: Sequence[Path]) -> list[MemoryBlob]:
    """Files as blobs."""
    return [MemoryBlob(path.name, path.read_bytes()) for path in paths]


def opened(paths: Sequence[Path]) -> dict[str, DatabaseBackup]:
    """The databases of which the files hold backups, by name."""
    return {database.name: database for database in open_databases(blobs(paths))}


def read(database: DatabaseBackup, table: Table) -> list[str]:
    """All COPY lines of a table."""
    pieces = (piece for part in database.parts(table.path) for piece in database.copy_text(table.path, part))
    return joined(pieces).decode().split("\n")[:-1]


def joined(pieces: Iterable[Piece]) -> bytes:
    """Their text."""
    return b"".join(each for piece in pieces for each in in_bytes(piece.data))


def in_bytes(data: bytes | Pieces) -> Iterable[bytes]:
    """Rows that are held or made piece by piece."""
    return [data] if isinstance(data, bytes) else data


def page_or_blank(pages: Pages, number: int) -> bytes:
    """The page of file 1 as it is read; zeros for one that is not there or was never used."""
    try:
        return pages.page(1, number)
    except BadData:
        return bytes(8192)
