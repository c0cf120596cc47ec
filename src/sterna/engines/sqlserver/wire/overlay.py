"""Pages that the log has changed, laid over those of the backup: in memory while they are few, then in a file."""

import tempfile
import weakref
from collections.abc import Iterable, Iterator
from threading import Lock

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire.base import PAGE, Pointer
from sterna.engines.sqlserver.wire.tables import BulkPages

IN_MEMORY = 64 << 20
"""Bytes; beyond them, all changed pages go into a temporary file without a name."""
MOST_PAGES = 1 << 21
"""Changed pages: 16 GB. A log that changes more is for SQL Server to play."""


class Overlay:
    """The pages of a backup with changes. Safe to use from several threads."""

    def __init__(self, below: BulkPages, in_memory: int = IN_MEMORY) -> None:
        self._below = below
        self._places: dict[Pointer, int] = {}
        self._file = tempfile.SpooledTemporaryFile(max_size=in_memory)  # noqa: SIM115 # closed with the overlay
        self._lock = Lock()
        weakref.finalize(self, self._file.close)

    def __len__(self) -> int:
        """How many pages are changed."""
        return len(self._places)

    def has(self, file_id: int, page_id: int) -> bool:
        return (file_id, page_id) in self._places or self._below.has(file_id, page_id)

    def page(self, file_id: int, page_id: int) -> bytes:
        """As changed. Raises BadData for one that is not there."""
        changed = self._changed((file_id, page_id))
        return self._below.page(file_id, page_id) if changed is None else changed

    def pages(self, file_id: int, page_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """As changed, in the order asked for. Raises BadData for one that is not there."""
        run: list[int] = []
        for page_id in page_ids:
            if (file_id, page_id) not in self._places:
                run.append(page_id)
                if len(run) < 1024:
                    continue
            yield from self._unchanged(file_id, run)
            run = []
            changed = self._changed((file_id, page_id))
            if changed is not None:
                yield page_id, changed
        yield from self._unchanged(file_id, run)

    def _unchanged(self, file_id: int, run: list[int]) -> Iterator[tuple[int, bytes]]:
        return self._below.pages(file_id, run) if run else iter(())

    def put(self, place: Pointer, page: bytes) -> None:
        """From now on the page is this. Raises Unsupported where too many are changed."""
        with self._lock:
            if len(self._places) >= MOST_PAGES and place not in self._places:
                raise Unsupported(
                    f"The log changes more than {MOST_PAGES * PAGE >> 30} GB of pages: restore it with SQL Server."
                )
            at = self._places.setdefault(place, len(self._places))
            self._file.seek(at * PAGE)
            self._file.write(page)

    def _changed(self, place: Pointer) -> bytes | None:
        with self._lock:
            at = self._places.get(place)
            if at is None:
                return None
            self._file.seek(at * PAGE)
            return self._file.read(PAGE)
