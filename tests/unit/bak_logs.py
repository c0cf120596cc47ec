"""Pages and logs made by hand, for tests of what plays a log onto pages."""

import struct
from collections.abc import Iterable, Iterator, Sequence

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import redo
from sterna.engines.sqlserver.wire.log import Replay, replay
from sterna.engines.sqlserver.wire.logrecords import Lsn, Stretch
from sterna.engines.sqlserver.wire.rowpage import RowPage
from tests.backups.log import Log, Transaction
from tests.backups.pages import Page

VLF, BLOCK = 7, 16
UNIT = 0x0100_0000_0042_0000
PLACE = 1, 80


class Held:
    """Pages in memory."""

    def __init__(self, *pages: bytes) -> None:
        self.held = {
            (struct.unpack_from("<H", page, 36)[0], struct.unpack_from("<I", page, 32)[0]): page for page in pages
        }

    def has(self, file_id: int, page_id: int) -> bool:
        return (file_id, page_id) in self.held

    def page(self, file_id: int, page_id: int) -> bytes:
        if not self.has(file_id, page_id):
            raise BadData(f"Page {file_id}:{page_id} is not here.")
        return self.held[file_id, page_id]

    def pages(self, file_id: int, page_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        return ((page_id, self.page(file_id, page_id)) for page_id in page_ids)


def record(text: str, key: int = 0) -> bytes:
    """A row: a number, and letters in a column of varying length."""
    data = text.encode()
    end = 8 + 2 + 1 + 2 + 2 + len(data)
    return struct.pack("<BBHiHBHH", 0x30, 0, 8, key, 2, 0, 1, end) + data


def page_of(
    records: Sequence[bytes | None], place: tuple[int, int] = PLACE, kind: int = 1, lsn: Lsn = 1 << 48
) -> bytes:
    """A page with these records."""
    head = bytearray(96)
    head[:2] = bytes((1, kind))
    struct.pack_into("<H", head, 6, UNIT >> 48)
    struct.pack_into("<I", head, 24, UNIT >> 16 & 0xFFFFFFFF)
    struct.pack_into("<IH", head, 32, place[1], place[0])
    struct.pack_into("<IIH", head, 40, lsn >> 48, lsn >> 16 & 0xFFFFFFFF, lsn & 0xFFFF)
    return RowPage(head, list(records)).render()


class Script:
    """A log that is being written, and the page that it tells of."""

    def __init__(self, place: tuple[int, int] = PLACE, lsn: Lsn = 1 << 48) -> None:
        self.log = Log(VLF, BLOCK)
        triple = lsn >> 48, lsn >> 16 & 0xFFFFFFFF, lsn & 0xFFFF
        self.page = Page(place, 1, UNIT >> 16 & 0xFFFFFFFF, UNIT >> 48, lsn=triple)

    def begin(self) -> Transaction:
        return self.log.begin()

    def commit(self, mine: Transaction) -> None:
        self.log.end(mine)

    def row(
        self, mine: Transaction, operation: int, context: int, slot: int, parts: list[bytes], at: int = 0
    ) -> None:
        """Any change of a row."""
        self.log.row(mine, operation, self.page, slot, at, parts, context)

    def insert(self, mine: Transaction, slot: int, *rows: bytes, context: int = redo.CLUSTERED) -> None:
        self.row(mine, redo.INSERT, context, slot, [*rows, b"", bytes(8)])

    def delete(self, mine: Transaction, slot: int, row: bytes, context: int = redo.CLUSTERED) -> None:
        self.row(mine, redo.DELETE, context, slot, [row, b"", bytes(8)])

    def modify(
        self, mine: Transaction, slot: int, at: int, old: bytes, new: bytes, context: int = redo.CLUSTERED
    ) -> None:
        self.row(mine, redo.MODIFY, context, slot, [old, new, b"", bytes(8)], at)

    def take_back(self, mine: Transaction, to: tuple[int, int, int], slot: int, row: bytes) -> None:
        """A record that takes an insert back: what comes before it is what comes before the insert."""
        mine.last = to
        self.delete(mine, slot, row)

    def stretch(self) -> Stretch:
        """What was written so far."""
        self.log.cut()
        data = self.log.out
        return Stretch("a.trn", lambda at, size: data[at : at + size], len(data), VLF, BLOCK)

    def play(self, *pages: bytes) -> Replay:
        return replay(Held(*pages), [self.stretch()])


def records_of(played: Replay, place: tuple[int, int] = PLACE) -> list[bytes | None]:
    """The records of the page after all."""
    return RowPage.parse(played.pages.page(*place)).records
