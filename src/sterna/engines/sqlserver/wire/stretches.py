"""The log that comes with a backup, stretch by stretch, in order."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire.logrecords import (
    SECTOR,
    Stretch,
    size_before,
)
from sterna.engines.sqlserver.wire.sets import BackupSet


def stretches(stripes: Sequence[BackupSet]) -> list[Stretch]:
    """The log that comes with a backup set, in order. Raises BadData for places in the log that cannot be."""
    found = []
    for stripe in stripes:
        for stream in stripe.logs:
            length = stream.last - stream.first
            offset = stream.first - stream.vlf_start
            if not 0 <= length <= stream.length or offset < 0 or offset % SECTOR:
                raise BadData(f"{stripe.file}: a piece of the log says that it is {length} bytes long.")
            found.append(_stretch(stripe, stream.start, length, stream.vlf_sequence, offset // SECTOR))
    found.sort(key=lambda one: (one.file, one.first_block))
    found = [_linked(one, following) for one, following in pairwise([*found, None]) if one]
    if found:
        file, block = divmod(stripes[0].record.last_lsn // 10**5, 10**10)
        if file == found[-1].file:
            found[-1] = replace(found[-1], reaches=block)
    return found


def _linked(one: Stretch, following: Stretch | None) -> Stretch:
    """With what the one behind it tells of its end: a block that is gone there leaves no other trace."""
    if following is not None and following.file == one.file:
        return replace(one, reaches=following.first_block)
    if following is not None and following.file == one.file + 1:
        return replace(one, last_size=size_before(following))
    return one


def _stretch(stripe: BackupSet, start: int, length: int, file: int, first: int) -> Stretch:
    def read(at: int, size: int) -> bytes:
        return stripe.source.read_at(start + at, size)

    return Stretch(stripe.file, read, length, file, first)
