"""The pages of an allocation unit, found by its allocation maps: no order of keys, no chains of rows to trust."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import base
from sterna.engines.sqlserver.wire.base import Pages, Pointer

ALLOCATION_MAP, FREE_SPACE = 10, 11
PAGES_OF_MAP = 511232
"""How many pages one allocation map covers: 4 GB."""
PAGES_OF_FREE_SPACE = 8088
ALLOCATED = 0x40
EXTENT = 8
_BITMAP = PAGES_OF_MAP // EXTENT // 8
_MOST_MAPS = 1 << 20
_FIRST, _SINGLES = 40, 46


@dataclass(frozen=True, slots=True)
class Span:
    """Pages of one file, from ``first`` up to ``stop``, which is not one of them."""

    file: int
    first: int
    stop: int


@dataclass(frozen=True)
class Allocation:
    """What an allocation unit holds: single pages, and extents marked in maps of 4 GB each."""

    singles: tuple[Pointer, ...]
    maps: tuple[tuple[int, int, bytes], ...]
    """File, first page and a bit for each extent, in their order."""
    pages: Pages = field(compare=False)

    @property
    def most(self) -> int:
        """How many pages it has at most: some of the extents' may not be in use."""
        return len(self.singles) + EXTENT * sum(
            int.from_bytes(bits, "little").bit_count() for _, _, bits in self.maps
        )

    def spans(self, size: int) -> Iterator[Span]:
        """Stretches of about ``size`` pages of the unit each, which hold all of it, in order of file and page."""
        file = first = last = count = 0
        for place, width in self._blocks():
            if count and (place[0] != file or count >= size):
                yield Span(file, first, last)
                count = 0
            if not count:
                file, first = place
            last = place[1] + width
            count += width
        if count:
            yield Span(file, first, last)

    def within(self, span: Span) -> Iterator[int]:
        """The pages in use within the span, ascending. Raises BadData."""
        found = 0, b""
        for (file, start), width in self._blocks(span):
            if file != span.file:
                continue
            for page in range(max(start, span.first), min(start + width, span.stop)):
                number = page // PAGES_OF_FREE_SPACE
                if found[0] != number or not found[1]:
                    found = number, self._free_space(file, number)
                if found[1][100 + page - number * PAGES_OF_FREE_SPACE] & ALLOCATED:
                    yield page

    def _blocks(self, span: Span | None = None) -> Iterator[tuple[Pointer, int]]:
        """Single pages and extents by file and page, each with how many pages it is."""
        waiting = 0
        for file, start, bits in self.maps:
            if span and (file != span.file or start >= span.stop or start + PAGES_OF_MAP <= span.first):
                continue
            for extent in _marked(bits):
                place = file, start + EXTENT * extent
                while waiting < len(self.singles) and self.singles[waiting] < place:
                    yield self.singles[waiting], 1
                    waiting += 1
                while waiting < len(self.singles) and self.singles[waiting] < (file, place[1] + EXTENT):
                    waiting += 1
                yield place, EXTENT
        for single in self.singles[waiting:]:
            yield single, 1

    def _free_space(self, file: int, number: int) -> bytes:
        place = file, number * PAGES_OF_FREE_SPACE or 1
        page = self.pages.page(*place)
        if page[1] != FREE_SPACE:
            raise BadData(f"Page {place[0]}:{place[1]} should tell of free space, and is of type {page[1]}.")
        return page


def _marked(bits: bytes) -> Iterator[int]:
    """The numbers of the bits that are set."""
    for at, byte in enumerate(bits):
        if byte:
            yield from (8 * at + bit for bit in range(8) if byte >> bit & 1)


def allocation(pages: Pages, first: Pointer) -> Allocation:
    """An allocation unit from its first allocation map. Raises BadData for a ring, or for other pages."""
    singles: set[Pointer] = set()
    maps: dict[Pointer, bytes] = {}
    seen: set[Pointer] = set()
    place = first
    while place != (0, 0):
        if place in seen or len(seen) >= _MOST_MAPS:
            raise BadData(f"The chain of allocation maps from {first[0]}:{first[1]} is a ring.")
        seen.add(place)
        page = pages.page(*place)
        if page[1] != ALLOCATION_MAP:
            raise BadData(f"Page {place[0]}:{place[1]} should be an allocation map, and is of type {page[1]}.")
        covered, found, bits = _read_map(page, place)
        singles.update(found)
        if covered in maps:
            raise BadData(f"Two allocation maps cover the pages from {covered[0]}:{covered[1]}.")
        maps[covered] = bits
        place = base.pointer(page, 16)
    ordered = tuple((file, start, maps[file, start]) for file, start in sorted(maps))
    return Allocation(tuple(sorted(singles)), ordered, pages)


def _read_map(page: bytes, place: Pointer) -> tuple[Pointer, list[Pointer], bytes]:
    """Where it begins, its single pages, and its bits."""
    try:
        head, body = base.slots(page)
    except ValueError:
        raise BadData(f"The allocation map {place[0]}:{place[1]} has not two records.") from None
    if head + _SINGLES + 48 > base.PAGE or body + 4 + _BITMAP > base.PAGE:
        raise BadData(f"The allocation map {place[0]}:{place[1]} does not fit in its page.")
    covered = base.pointer(page, head + _FIRST)
    if covered[1] % PAGES_OF_MAP:
        raise BadData(f"The allocation map {place[0]}:{place[1]} begins at page {covered[1]}.")
    found = [base.pointer(page, head + _SINGLES + 6 * slot) for slot in range(8)]
    return covered, [one for one in found if one != (0, 0)], page[body + 4 : body + 4 + _BITMAP]


def owner(page: bytes) -> int:
    """The allocation unit that the page says it belongs to."""
    thing, index = struct.unpack_from("<I", page, 24)[0], struct.unpack_from("<H", page, 6)[0]
    return int(index << 48 | thing << 16)
