"""Which keys a data set has touched so far: on disk, so that there may be any number of them.

It is scratch: whoever goes on in the middle of a data set makes it anew by reading what lies before.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from sterna.engines.redis.disk import on_disk

MOST_CACHED = 200_000
CACHED_BYTES = 16 << 20
PAGE = 500


class Touched:
    """Keys by their database."""

    def __init__(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        self._file = file
        with on_disk("The keys of the file cannot be kept"):
            self._base = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=OFF")
            self._base.execute("PRAGMA synchronous=OFF")
            self._base.execute("PRAGMA cache_size=-16384")
            self._base.execute("CREATE TABLE keys (db INT, name BLOB, PRIMARY KEY (db, name)) WITHOUT ROWID")
            self._base.execute("BEGIN")
        self._cached: set[tuple[int, bytes]] = set()
        self._bytes = 0

    def first(self, database: int, key: bytes) -> bool:
        """Note a key. Whether it was not touched before."""
        if (database, key) in self._cached:
            return False
        self._remember(database, key)
        with on_disk("The keys of the file cannot be kept"):
            found = self._base.execute("INSERT OR IGNORE INTO keys VALUES (?, ?)", (database, key))
        return found.rowcount > 0

    def _remember(self, database: int, key: bytes) -> None:
        if len(self._cached) >= MOST_CACHED or self._bytes > CACHED_BYTES:
            self._cached.clear()
            self._bytes = 0
        self._cached.add((database, key))
        self._bytes += len(key)

    def databases(self) -> Sequence[int]:
        return [number for (number,) in self._base.execute("SELECT DISTINCT db FROM keys ORDER BY db")]

    def pages(self, database: int) -> Iterator[Sequence[bytes]]:
        """All keys of a database, some at a time. Nothing may be noted meanwhile."""
        last = b""
        query = "SELECT name FROM keys WHERE db = ? AND name > ? ORDER BY name LIMIT ?"
        first = self._base.execute("SELECT 1 FROM keys WHERE db = ? AND name = ?", (database, b"")).fetchone()
        if first:
            yield [b""]
        while page := [name for (name,) in self._base.execute(query, (database, last, PAGE))]:
            yield page
            last = page[-1]

    def swap(self, one: int, other: int) -> None:
        """All keys of two databases change places."""
        self._cached.clear()
        self._bytes = 0
        for old, new in ((one, -1), (other, one), (-1, other)):
            self._base.execute("UPDATE keys SET db = ? WHERE db = ?", (new, old))

    def close(self) -> None:
        """Twice is once."""
        self._base.close()
        self._file.unlink(missing_ok=True)
