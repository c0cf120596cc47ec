"""Which extents of a file a backup set holds: by the allocation maps at the start of each 4 GB."""

from collections.abc import Iterator

from sterna.core.errors import Unsupported
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.faults import damaged
from sterna.engines.sqlserver.wire.frames import Frames
from sterna.engines.sqlserver.wire.page import EXTENT, EXTENT_SIZE, SIZE
from sterna.engines.sqlserver.wire.sets import BackupSet

INTERVAL = 63_904
"""Extents that one allocation map covers: 4 GB."""
_PFS_EVERY = 1011
"""Extents between pages that tell of free space."""
_BITMAP = 194
_BITMAP_SIZE = INTERVAL // 8


def interval_begins(frame: bytes, file_id: int, interval: int) -> bool:
    """Whether a frame holds the maps of this interval; those of the first lie behind the file's header."""
    page_id = 0 if interval == 0 else interval * INTERVAL * EXTENT
    kind = pages_.FILE_HEADER if interval == 0 else pages_.GAM
    return frame[1] == kind and pages_.own_id(frame) == (file_id, page_id)


def expected(frames: Frames, frame: int, file_id: int, interval: int) -> list[int]:
    """The extents of an interval that the set holds, ascending, by the maps in its first frame."""
    extent = frames.read(frame)
    base = interval * INTERVAL
    first = 2 if interval == 0 else 0
    place = frames.offset(frame)
    if "differential" in frames.share.record.kind:
        bits = _bitmap(frames, extent, 6, pages_.DIFF_MAP, file_id, base, place)
        chosen = int.from_bytes(bits, "little")
    else:
        gam = _bitmap(frames, extent, first, pages_.GAM, file_id, base, place)
        sgam = _bitmap(frames, extent, first + 1, pages_.SGAM, file_id, base, place)
        everything = (1 << INTERVAL) - 1
        chosen = int.from_bytes(gam, "little") ^ everything | int.from_bytes(sgam, "little")
        for pfs in _space_maps(frames.share, file_id, base):
            chosen |= 1 << pfs - base
    return [base + number for number in _ones((chosen | 1).to_bytes(_BITMAP_SIZE, "little"))]


def _bitmap(frames: Frames, extent: bytes, index: int, kind: int, file_id: int, base: int, place: int) -> bytes:
    page_id = base * EXTENT + index
    name = f"{file_id}:{page_id}"
    page = extent[index * SIZE : (index + 1) * SIZE]
    if len(page) < SIZE:
        raise damaged(frames.share.file, place, "an allocation map is missing", name)
    if page[4] & pages_.ENCRYPTED:
        raise Unsupported(
            f"The pages of {frames.share.record.database} in {frames.share.file} are encrypted (TDE)",
            hint="Turn encryption of the database off (SET ENCRYPTION OFF), wait for it, then back it up.",
        )
    if page[1] != kind or pages_.own_id(page) != (file_id, page_id):
        raise damaged(frames.share.file, place + index * SIZE, "an allocation map is not where it should be", name)
    if not pages_.checksum_ok(page):
        raise damaged(frames.share.file, place + index * SIZE, pages_.check_failed(page), name)
    return pages_.untorn(page)[_BITMAP : _BITMAP + _BITMAP_SIZE]


def _space_maps(share: BackupSet, file_id: int, base: int) -> Iterator[int]:
    """The extents of an interval in which a page tells of free space."""
    size = next((each.size for each in share.files if each.file_id == file_id), 0)
    end = min(base + INTERVAL, size // EXTENT_SIZE)
    yield from range(-(-base // _PFS_EVERY) * _PFS_EVERY, end, _PFS_EVERY)


_ONES = tuple(tuple(bit for bit in range(8) if byte >> bit & 1) for byte in range(256))


def _ones(bits: bytes) -> Iterator[int]:
    for place, byte in enumerate(bits):
        if byte:
            for bit in _ONES[byte]:
                yield place * 8 + bit
