"""Where the extents of a file of the database lie: a terabyte has sixteen million of them.

They are kept in stretches. Most backups hold stretches that lie as they are numbered, or hold nothing of them at
all: such take no memory.
"""

from array import array
from collections.abc import Iterator
from typing import TypeAlias

from sterna.engines.sqlserver.wire.page import EXTENT_SIZE

ABSENT = -1
STRETCH = 1 << 12
"""Extents."""
_NOTHING = array("q", [ABSENT]) * STRETCH
_SPAN = STRETCH * EXTENT_SIZE

_Stretch: TypeAlias = "array[int] | int | None"
"""The places; where the first lies if the others follow it; None: none is there."""


class Places:
    """The place of each extent by its number, ABSENT for those that are not there."""

    def __init__(self) -> None:
        self._stretches: list[_Stretch] = []
        self._size = 0

    def __len__(self) -> int:
        """One more than the highest number."""
        return self._size

    def __getitem__(self, number: int) -> int:
        if not 0 <= number < self._size:
            return ABSENT
        stretch, within = self._stretches[number // STRETCH], number % STRETCH
        if stretch is None:
            return ABSENT
        return stretch + within * EXTENT_SIZE if isinstance(stretch, int) else stretch[within]

    def __setitem__(self, number: int, place: int) -> None:
        index, within = divmod(number, STRETCH)
        self._stretches += [None] * (index + 1 - len(self._stretches))
        self._size = max(self._size, number + 1)
        stretch = self._stretches[index]
        if not isinstance(stretch, array):
            stretch = self._stretches[index] = _spread(stretch)
        stretch[within] = place
        if within == STRETCH - 1:
            self._stretches[index] = _shrunk(stretch)

    def __iter__(self) -> Iterator[int]:
        """The places of all numbers, in their order."""
        left = self._size
        for stretch in self._stretches:
            yield from _spread(stretch)[:left]
            left -= STRETCH

    def count(self) -> int:
        """How many extents are there."""
        return sum(_counted(stretch) for stretch in self._stretches)

    def under(self, other: "Places", shift: int) -> "Places":
        """These with those of the other laid over them, which are moved by ``shift``. Both stay as they are."""
        made = Places()
        made._size = max(self._size, other._size)
        count = max(len(self._stretches), len(other._stretches))
        mine, theirs = (each._stretches + [None] * (count - len(each._stretches)) for each in (self, other))
        made._stretches = [_laid_over(one, two, shift) for one, two in zip(mine, theirs, strict=True)]
        return made


def _spread(stretch: _Stretch) -> "array[int]":
    """As an array of its own, but for one that is an array already."""
    if isinstance(stretch, array):
        return stretch
    return _NOTHING[:] if stretch is None else array("q", range(stretch, stretch + _SPAN, EXTENT_SIZE))


def _shrunk(stretch: "array[int]") -> _Stretch:
    first = stretch[0]
    follows = stretch[-1] == first + _SPAN - EXTENT_SIZE and first != ABSENT
    return first if follows and stretch == _spread(first) else stretch


def _counted(stretch: _Stretch) -> int:
    if isinstance(stretch, array):
        return STRETCH - stretch.count(ABSENT)
    return 0 if stretch is None else STRETCH


def _laid_over(below: _Stretch, above: _Stretch, shift: int) -> _Stretch:
    if above is None:
        return below
    if isinstance(above, int):
        return above + shift
    made = _spread(below)[:]
    for within, place in enumerate(above):
        if place != ABSENT:
            made[within] = place + shift
    return made
