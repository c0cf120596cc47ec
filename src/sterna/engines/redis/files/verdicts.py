"""What a comparison of files has found of each key: on disk, so that there may be any number of them."""

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from sterna.engines.redis.disk import on_disk

SHOWN = 256
"""Bytes of a key that are kept to name it."""
_UPSERT = (
    "INSERT INTO keys VALUES (?, ?, ?, ?, ?) ON CONFLICT(digest) DO UPDATE SET"
    " state = excluded.state, name = excluded.name, detail = excluded.detail"
)
_KNOWN = "SELECT digest FROM keys WHERE state <> ? AND digest IN "


class State(IntEnum):
    """Of one key."""

    GONE = 0  #: its time was over, and the target does not have it
    EQUAL = 1
    MISSING = 2  #: from here on they differ
    TYPE = 3
    VALUE = 4
    EXPIRY = 5
    EXTRA = 6  #: the target alone has it


_ON_FILE = (State.EQUAL, State.MISSING, State.TYPE, State.VALUE, State.EXPIRY)
_ON_TARGET = (State.EQUAL, State.TYPE, State.VALUE, State.EXPIRY, State.EXTRA)
DIFFERENT = (State.MISSING, State.TYPE, State.VALUE, State.EXPIRY, State.EXTRA)


@dataclass(frozen=True, slots=True)
class Verdict:
    """One key of a target database. ``detail`` is for people."""

    database: int
    key: bytes
    state: State
    detail: str = ""


class Verdicts:
    """The latest verdict of each key counts: of several files, that of the last one which has it."""

    def __init__(self, file: Path) -> None:
        with on_disk("What was compared cannot be kept"):
            self._base = sqlite3.connect(file, isolation_level=None)
            self._base.execute("PRAGMA journal_mode=OFF")
            self._base.execute("PRAGMA synchronous=OFF")
            self._base.execute("PRAGMA cache_size=-16384")
            self._base.execute(
                "CREATE TABLE keys"
                " (digest BLOB PRIMARY KEY, db INT, state INT, name BLOB, detail TEXT) WITHOUT ROWID"
            )
            self._base.execute("BEGIN")

    def note(self, verdicts: Iterable[Verdict]) -> None:
        """Raises DiskFull."""
        with on_disk("What was compared cannot be kept"):
            self._base.executemany(_UPSERT, map(_row, verdicts))

    def unknown(self, database: int, keys: Sequence[bytes]) -> list[bytes]:
        """Those that no file has, or whose time is over; each once."""
        digests = {_digest(database, key): key for key in keys}
        found: set[bytes] = set()
        asked = list(digests)
        for at in range(0, len(asked), 500):
            some = asked[at : at + 500]
            marks = ",".join("?" * len(some))
            rows = self._base.execute(f"{_KNOWN}({marks})", (State.GONE, *some))
            found.update(digest for (digest,) in rows)
        return [key for digest, key in digests.items() if digest not in found]

    def counts(self, database: int) -> tuple[int, int, int]:
        """Keys of the files, keys of the target, and how many are different."""
        rows = dict(
            self._base.execute("SELECT state, count(*) FROM keys WHERE db = ? GROUP BY state", (database,))
        )
        of_file, of_target, different = (
            sum(rows.get(state, 0) for state in states) for states in (_ON_FILE, _ON_TARGET, DIFFERENT)
        )
        return of_file, of_target, different

    def different(self, most: int) -> list[Verdict]:
        """Some of those that differ."""
        query = "SELECT db, name, state, detail FROM keys WHERE state >= ? ORDER BY db, name LIMIT ?"
        return [
            Verdict(db, name, State(state), detail)
            for db, name, state, detail in self._base.execute(query, (State.MISSING, most))
        ]

    def close(self) -> None:
        self._base.close()


def _row(verdict: Verdict) -> tuple[bytes, int, int, bytes | None, str | None]:
    name = verdict.key[:SHOWN] if verdict.state in DIFFERENT else None
    return _digest(verdict.database, verdict.key), verdict.database, verdict.state, name, verdict.detail or None


def _digest(database: int, key: bytes) -> bytes:
    return hashlib.blake2b(b"%d:%b" % (database, key), digest_size=16).digest()
