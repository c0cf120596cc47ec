"""The data set as received from the source, in a file of the job's folder: written by one, read by another."""

import asyncio
import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from sterna.engines.redis.disk import on_disk


@dataclass(frozen=True, slots=True)
class DumpFacts:
    """What is known of the file; kept beside it, so that a later run can use it."""

    replid: str
    offset: int
    """The stream goes on after this offset."""
    expected: int = -1
    """Bytes announced; -1 if the source did not say."""
    keys: int = -1
    """Keys on the source when it began."""
    complete: bool = False
    size: int = 0


class Dump:
    """Grows while it is read."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "dump.rdb"
        self._facts_file = folder / "dump.json"
        self._grown = asyncio.Event()
        self._writing: int | None = None
        self._reading: int | None = None
        self.written = 0
        self.facts = self._known()
        if self.facts and self.facts.complete:
            self.written = self.facts.size

    def _known(self) -> DumpFacts | None:
        try:
            facts = DumpFacts(**json.loads(self._facts_file.read_text()))
            return facts if self._file.stat().st_size >= facts.size else None
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def begin(self, facts: DumpFacts) -> None:
        """Forget what was there."""
        self.close()
        self._facts_file.unlink(missing_ok=True)
        with on_disk("The data set cannot be kept"):
            self._writing = os.open(self._file, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
        self.facts, self.written = facts, 0

    def append(self, data: bytes) -> None:
        """Raises DiskFull; what was written before can still be read."""
        assert self._writing is not None, "begin comes first"
        view = memoryview(data)
        with on_disk("The data set cannot be kept"):
            while view:
                done = os.write(self._writing, view)
                self.written += done
                view = view[done:]
        self._grown.set()

    def complete(self) -> None:
        """All is there. From now on a later run can go on from it."""
        assert self.facts is not None
        assert self._writing is not None
        facts = replace(self.facts, complete=True, size=self.written)
        with on_disk("The data set cannot be kept"):
            os.fsync(self._writing)
            partial = self._facts_file.with_suffix(".tmp")
            partial.write_text(json.dumps(asdict(facts)))
            partial.replace(self._facts_file)
        self.facts = facts
        self._grown.set()

    def read(self, offset: int, most: int) -> bytes:
        """Bytes that are there from an offset on; none: not yet, or the end."""
        if self._reading is None:
            self._reading = os.open(self._file, os.O_RDONLY)
        return os.pread(self._reading, min(most, max(0, self.written - offset)), offset)

    async def grown(self) -> None:
        """Wait until something was appended or it was completed."""
        self._grown.clear()
        await self._grown.wait()

    def wake(self) -> None:
        """Let a waiting reader look again."""
        self._grown.set()

    def close(self) -> None:
        """Let go of it. What is not complete is of no use to a later run, and may be what has filled the disk."""
        if self._writing is not None and not (self.facts and self.facts.complete):
            self._file.unlink(missing_ok=True)
        for handle in (self._writing, self._reading):
            if handle is not None:
                os.close(handle)
        self._writing = self._reading = None

    def remove(self) -> None:
        self.close()
        self._facts_file.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)
        self.facts, self.written = None, 0
