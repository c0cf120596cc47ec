"""The frames of a backup set: pages as they were read from the database, one extent after the other."""

from array import array
from collections.abc import Iterator

from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.faults import damaged
from sterna.engines.sqlserver.wire.mtf import Window
from sterna.engines.sqlserver.wire.page import EXTENT, EXTENT_SIZE, SIZE
from sterna.engines.sqlserver.wire.sets import BackupSet, Region

PLACE_BITS = 48
"""A place is a number: the stripe above these bits, the byte in its file below."""
_WINDOW = 1 << 20


class Frames:
    """The frames of a region of one share, one after the other."""

    def __init__(self, stripe: int, share: BackupSet, region: int = 0) -> None:
        self.stripe = stripe
        self.share = share
        self.window = Window(share.source, _WINDOW)
        self._offsets = array("q")
        self.short: dict[int, int] = {}
        self.next = 0
        if region < len(share.regions):
            self._lay_out(share.regions[region])

    def _lay_out(self, region: Region) -> None:
        for piece in region.pieces:
            if piece.length % SIZE:
                raise damaged(self.share.file, piece.start + piece.length, "the page data end within a page")
            self._offsets.extend(range(piece.start, piece.start + piece.length, EXTENT_SIZE))
            if piece.length % EXTENT_SIZE:
                self.short[len(self._offsets) - 1] = piece.length % EXTENT_SIZE // SIZE

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def left(self) -> int:
        return len(self._offsets) - self.next

    def offset(self, number: int) -> int:
        return self._offsets[number]

    def place(self, number: int) -> int:
        return self.stripe << PLACE_BITS | self._offsets[number]

    def read(self, number: int, length: int = EXTENT_SIZE) -> bytes:
        """The start of a frame. Raises BadData if the file ends within it."""
        length = min(length, self.short.get(number, EXTENT) * SIZE)
        data = self.window.read(self._offsets[number], length)
        if len(data) < length:
            raise damaged(self.share.file, self._offsets[number], "the file ends in the middle of an extent")
        return data

    def skip_fillers(self) -> int:
        """Step over frames that only fill up; gives how many."""
        before = self.next
        while self.left and is_filler(self.read(self.next, pages_.HEAD)):
            self.next += 1
        return self.next - before


def is_filler(frame: bytes) -> bool:
    """Whether a frame only fills the data up to a multiple of 1 MB."""
    return frame[0] == 1 and frame[1] == pages_.FILLER


def file_begun(frame: bytes) -> int | None:
    """The id of the database's file that begins with this frame; None: none does."""
    file_id, page_id = pages_.own_id(frame)
    return file_id if frame[1] == pages_.FILE_HEADER and page_id == 0 and file_id else None


def claims(frame: bytes) -> Iterator[tuple[int, int]]:
    """The file and extent that each page of a frame names, if it may lie at its place in the frame."""
    for within in range(len(frame) // SIZE):
        file_id, page_id = pages_.own_id(frame, within * SIZE)
        if file_id and page_id % EXTENT == within:
            yield file_id, page_id // EXTENT
