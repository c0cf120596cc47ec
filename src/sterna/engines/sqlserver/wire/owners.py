"""Which extent of a database lies where in a backup file."""

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

from sterna.engines.sqlserver.wire.frames import PLACE_BITS
from sterna.engines.sqlserver.wire.places import ABSENT
from sterna.engines.sqlserver.wire.weave import Woven


class Owners:
    """Which extent of which database file lies at a place of a backup file; 16 bytes for each."""

    def __init__(self) -> None:
        self._offsets = array("q")
        self._extents = array("q")
        self._sets: list[tuple[int, Woven]] = []

    def learn(self, woven: Woven, stripe: int) -> None:
        """Take in what lies in this stripe; sets come in the order in which they lie in the file."""
        mask = (1 << PLACE_BITS) - 1
        self._sets.append((woven.stripes[stripe].at, woven))
        offsets, extents = array("q"), array("q")
        for file_id, places in woven.files.items():
            for number, place in enumerate(places):
                if place != ABSENT and place >> PLACE_BITS == stripe:
                    offsets.append(place & mask)
                    extents.append(file_id << PLACE_BITS | number)
        order: Sequence[int] = range(len(offsets))
        if any(later < offset for offset, later in pairwise(offsets)):  # most backups are in order
            order = sorted(order, key=offsets.__getitem__)
        self._offsets.extend(map(offsets.__getitem__, order))
        self._extents.extend(map(extents.__getitem__, order))

    def at(self, offset: int) -> tuple[int, int] | None:
        """File and extent; None: not known, or read again later."""
        number = bisect_right(self._offsets, offset) - 1
        if number < 0 or self._offsets[number] != offset:
            return None
        extent = self._extents[number]
        return extent >> PLACE_BITS, extent & ((1 << PLACE_BITS) - 1)

    def expects(self, offset: int, file_id: int, number: int) -> bool:
        """Whether the set around this place holds the extent."""
        place = bisect_right(self._sets, offset, key=lambda each: each[0]) - 1
        places = self._sets[place][1].files.get(file_id) if place >= 0 else None
        return places is not None and places[number] != ABSENT
