"""The frames of a backup set: pages as they were read from the database, one extent after the other."""

from bisect import bisect_right
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
        self._starts: list[int] = []
        """Of each piece of the region: its byte in the file,"""
        self._firsts: list[int] = []
        """and the number of its first frame."""
        self._count = 0
        self.short: dict[int, int] = {}
        self.next = 0
        if region < len(share.regions):
            self._lay_out(share.regions[region])

    def _lay_out(self, region: Region) -> None:
        for piece in region.pieces:
            if piece.length % SIZE:
                raise damaged(self.share.file, piece.start + piece.length, "the page data end within a page")
            self._starts.append(piece.start)
            self._firsts.append(self._count)
            self._count += -(-piece.length // EXTENT_SIZE)
            if piece.length % EXTENT_SIZE:
                self.short[self._count - 1] = piece.length % EXTENT_SIZE // SIZE

    def __len__(self) -> int:
        return self._count

    @property
    def left(self) -> int:
        return self._count - self.next

    def offset(self, number: int) -> int:
        piece = bisect_right(self._firsts, number) - 1
        return self._starts[piece] + (number - self._firsts[piece]) * EXTENT_SIZE

    def place(self, number: int) -> int:
        return self.stripe << PLACE_BITS | self.offset(number)

    def read(self, number: int, length: int = EXTENT_SIZE) -> bytes:
        """The start of a frame. Raises BadData if the file ends within it."""
        length = min(length, self.short.get(number, EXTENT) * SIZE)
        data = self.window.read(self.offset(number), length)
        if len(data) < length:
            raise damaged(self.share.file, self.offset(number), "the file ends in the middle of an extent")
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
