"""Where each page of a database lies in the files of a backup.

A page is found by the allocation bitmaps that were backed up with it and never by what it says of itself: extents
that are allocated but not in use hold pages of earlier owners. See ``weave`` for how bitmaps give the order.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from threading import Lock

from sterna.core.errors import BadData
from sterna.engines.sqlserver.wire import page as pages_
from sterna.engines.sqlserver.wire.faults import damaged
from sterna.engines.sqlserver.wire.frames import PLACE_BITS
from sterna.engines.sqlserver.wire.mtf import Source
from sterna.engines.sqlserver.wire.page import EXTENT, EXTENT_SIZE, SIZE
from sterna.engines.sqlserver.wire.places import ABSENT, Places
from sterna.engines.sqlserver.wire.sets import BackupSet
from sterna.engines.sqlserver.wire.weave import Woven, weave

_KEPT = 64
"""Extents that single pages were read from and that stay in memory: 4 MB."""
_AHEAD = 32
"""Extents that are read in one go where they lie side by side: 2 MB."""


class PageMap:
    """The pages of one database as a backup holds them. Safe to use from several threads."""

    def __init__(self, sources: Sequence[Source], files: dict[int, Places], short: dict[int, int]) -> None:
        """``files``: for each file of the database where each of its extents lies (see Woven); ``short``: pages of
        extents that have fewer than eight, by place."""
        self._sources = tuple(sources)
        self._files = files
        self._short = short
        self._lock = Lock()
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    @classmethod
    def of(cls, stripes: Sequence[BackupSet]) -> "PageMap":
        """The map of one backup set, from its shares in all files over which it is striped, in any order.

        Raises BadData if it does not fit together, Unsupported if its pages are encrypted.
        """
        woven: Woven = weave(stripes)
        return cls([each.source for each in woven.stripes], woven.files, woven.short)

    @property
    def file_ids(self) -> tuple[int, ...]:
        """The database's files of which there are pages."""
        return tuple(sorted(self._files))

    @property
    def extent_count(self) -> int:
        """How many extents there are, in all files."""
        return sum(places.count() for places in self._files.values())

    def extents(self, file_id: int) -> Iterator[int]:
        """The numbers of the extents of a file, ascending."""
        places = self._files.get(file_id, Places())
        return (number for number, place in enumerate(places) if place != ABSENT)

    def has(self, file_id: int, page_id: int) -> bool:
        """Whether the backup holds the page."""
        place = self._place(file_id, page_id // EXTENT)
        return place != ABSENT and page_id % EXTENT < self._short.get(place, EXTENT)

    def page(self, file_id: int, page_id: int) -> bytes:
        """A page, its torn bits undone. Raises BadData if the backup does not hold it."""
        number, within = divmod(page_id, EXTENT)
        place = self._place(file_id, number)
        if place == ABSENT:
            raise self._missing(file_id, page_id)
        with self._lock:
            extent = self._kept.get(place)
            if extent is not None:
                self._kept.move_to_end(place)
        if extent is None:
            extent = self._read(place, 1)
            self._check(extent, 0, file_id, number)
            self._keep(place, extent)
        return self._cut(extent, within * SIZE, file_id, page_id)

    def pages(self, file_id: int, page_ids: Iterable[int]) -> Iterator[tuple[int, bytes]]:
        """Pages of one file with their numbers, in the order asked for: ascending is quick. Reads ahead.

        Raises BadData if the backup does not hold one of them.
        """
        wanted: dict[int, list[int]] = {}
        last = -1
        for page_id in page_ids:
            number = page_id // EXTENT
            if number != last and (len(wanted) == _AHEAD or number in wanted):
                yield from self._together(file_id, wanted)
                wanted = {}
            wanted.setdefault(number, []).append(page_id)
            last = number
        if wanted:
            yield from self._together(file_id, wanted)

    def overlay(self, differential: "PageMap") -> "PageMap":
        """This map with the pages of a differential backup laid over it. Both stay as they are."""
        shift = len(self._sources) << PLACE_BITS
        files = dict(self._files)
        for file_id, places in differential._files.items():
            files[file_id] = files.get(file_id, Places()).under(places, shift)
        short = self._short | {place + shift: count for place, count in differential._short.items()}
        return PageMap(self._sources + differential._sources, files, short)

    def place_of(self, file_id: int, page_id: int) -> tuple[str, int]:
        """The file of the backup and the byte in it where a page lies. Raises BadData if there is none."""
        place = self._place(file_id, page_id // EXTENT)
        if place == ABSENT:
            raise self._missing(file_id, page_id)
        source, offset = self._sources[place >> PLACE_BITS], place & ((1 << PLACE_BITS) - 1)
        return source.name, offset + page_id % EXTENT * SIZE

    def _place(self, file_id: int, number: int) -> int:
        places = self._files.get(file_id)
        return ABSENT if places is None else places[number]

    def _together(self, file_id: int, wanted: dict[int, list[int]]) -> Iterator[tuple[int, bytes]]:
        """The wanted pages of some extents; extents that lie side by side are read in one go."""
        numbers = list(wanted)
        places = [self._place(file_id, number) for number in numbers]
        starts = [0] + [k + 1 for k, (one, two) in enumerate(pairwise(places)) if two != one + EXTENT_SIZE]
        for start, end in pairwise([*starts, len(places)]):
            data = b"" if places[start] == ABSENT else self._read(places[start], end - start)
            for k in range(start, end):
                base = (k - start) * EXTENT_SIZE
                if places[k] == ABSENT:
                    raise self._missing(file_id, wanted[numbers[k]][0])
                self._check(data, base, file_id, numbers[k])
                for page_id in wanted[numbers[k]]:
                    yield page_id, self._cut(data, base + page_id % EXTENT * SIZE, file_id, page_id)

    def _read(self, place: int, count: int) -> bytes:
        source, offset = self._sources[place >> PLACE_BITS], place & ((1 << PLACE_BITS) - 1)
        short = self._short.get(place + (count - 1) * EXTENT_SIZE, EXTENT)
        length = (count - 1) * EXTENT_SIZE + short * SIZE
        data = source.read_at(offset, length)
        if len(data) < length:
            raise damaged(source.name, offset + len(data), "the file ends in the middle of an extent")
        return data

    def _keep(self, place: int, extent: bytes) -> None:
        with self._lock:
            self._kept[place] = extent
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)

    def _cut(self, data: bytes, start: int, file_id: int, page_id: int) -> bytes:
        """One page. Raises BadData for one that is damaged, or another page in its place."""
        page = data[start : start + SIZE]
        if len(page) < SIZE:
            raise self._missing(file_id, page_id)
        if pages_.own_id(page) != (file_id, page_id):
            raise self._wrong("the page does not say that it is the one that should be here", file_id, page_id)
        if not pages_.checksum_ok(page):
            raise self._wrong(pages_.check_failed(page), file_id, page_id)
        return pages_.untorn(page)

    def _check(self, data: bytes, base: int, file_id: int, number: int) -> None:
        """Raises BadData if an extent holds pages of a later one and none of its own: the map is wrong then."""
        later = False
        for within in range(min(EXTENT, (len(data) - base) // SIZE)):
            owner, page_id = pages_.own_id(data, base + within * SIZE)
            if owner != file_id or page_id % EXTENT != within:
                continue
            if page_id // EXTENT == number:
                return
            later = later or (page_id // EXTENT > number and self._place(file_id, page_id // EXTENT) != ABSENT)
        if later:
            name, offset = self.place_of(file_id, number * EXTENT)
            raise damaged(
                name, offset, "other pages lie here than the allocation maps say", f"{file_id}:{number * 8}"
            )

    def _wrong(self, message: str, file_id: int, page_id: int) -> BadData:
        return damaged(*self.place_of(file_id, page_id), message, f"{file_id}:{page_id}")

    def _missing(self, file_id: int, page_id: int) -> BadData:
        names = ", ".join(dict.fromkeys(each.name for each in self._sources))
        return BadData(f"Page {file_id}:{page_id} is not in the backup ({names})")
