"""The data files of a made-up database: which pages exist, who has them, and the maps that tell so."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from tests.backups.describe import File
from tests.backups.pages import BULK, DIFF, GAM, IAM, NOWHERE, PFS, SGAM, Page, Place

INTERVAL = 511232
PFS_STEP = 8088
BITMAP = 7988
Extent = tuple[int, int]
"""(file id, extent number)."""


class Maker(Protocol):
    """Makes the pages of a table one by one, so that they need not be held."""

    rows: int
    pages: int
    hint: int
    """The object id of its unit, told before the first page is asked for."""

    def page(self, number: int, place: Place) -> bytes:
        """The page of that number, counted from 0."""
        ...


@dataclass
class DataFile:
    """What is allocated in one file.

    ``mixed`` are extents of single pages, with what is left of them; ``made`` those whose pages are made only when
    they are written, with the number of the first one.
    """

    file: File
    extents: set[int] = field(default_factory=set)
    mixed: dict[int, list[int]] = field(default_factory=dict)
    status: dict[int, int] = field(default_factory=dict)
    made: dict[int, tuple[Maker, int]] = field(default_factory=dict)
    next: int = 1

    def reserved(self, extent: int) -> bool:
        """Whether an extent holds maps."""
        first = extent * 8
        return first % INTERVAL == 0 or any(page % PFS_STEP == 0 for page in range(first, first + 8))

    def take(self) -> int:
        """A fresh extent."""
        while self.reserved(self.next):
            self.next += 1
        self.next += 1
        self.extents.add(self.next - 1)
        return self.next - 1

    def single(self) -> int:
        """A page of a mixed extent."""
        for left in self.mixed.values():
            if left:
                return left.pop(0)
        extent = self.take()
        self.mixed[extent] = list(range(extent * 8, extent * 8 + 8))
        return self.mixed[extent].pop(0)

    @property
    def pages(self) -> int:
        """The size of the file in pages."""
        last = max(self.extents, default=0) * 8 + 8
        return max(self.file.pages, -(-last // 64) * 64)


@dataclass
class Unit:
    """An allocation unit: its pages, in the order in which they were taken, and its IAM chain."""

    number: int
    form: int
    group: int
    pages: list[Place] = field(default_factory=list)
    singles: list[Place] = field(default_factory=list)
    extents: list[Extent] = field(default_factory=list)
    maps: dict[tuple[int, int], Page] = field(default_factory=dict)
    spare: list[Place] = field(default_factory=list)
    root: Place = NOWHERE
    first: Place = NOWHERE

    @property
    def hint(self) -> int:
        """The object id that the headers of its pages carry."""
        return self.number >> 16 & 0xFFFFFFFF

    @property
    def index(self) -> int:
        """The index id that the headers of its pages carry."""
        return self.number >> 48

    @property
    def map(self) -> Place:
        """The first page of the IAM chain."""
        return next(iter(self.maps.values())).place if self.maps else NOWHERE


class Image:
    """Pages of all data files. Allocation units take pages from it; ``finish`` draws the maps."""

    def __init__(self, files: list[File], uniform: bool = False) -> None:
        self.files = {file.number: DataFile(file, next=max(file.first_free, 1)) for file in files}
        self.pages: dict[Place, Page] = {}
        self.uniform = uniform
        self.units: list[Unit] = []
        self._turn = 0
        for number, data in self.files.items():
            data.extents.add(0)
            for page in range(8):
                if page not in (4, 5):
                    data.status[page] = 0x44
            self._maps(number, 0)

    def _maps(self, file: int, interval: int) -> None:
        base = interval * INTERVAL
        for at, form in (
            (2 if interval == 0 else 0, GAM),
            (3 if interval == 0 else 1, SGAM),
            (6, DIFF),
            (7, BULK),
        ):
            self.pages[file, base + at] = Page((file, base + at), form, fixed=90)

    def unit(self, number: int, form: int, group: int = 1) -> Unit:
        """A new allocation unit."""
        self.units.append(Unit(number, form, group))
        return self.units[-1]

    def file_of(self, group: int) -> DataFile:
        """The files of a group take turns."""
        mine = [data for data in self.files.values() if data.file.group == group and data.file.form == 1]
        self._turn += 1
        return mine[self._turn % len(mine)]

    def add(self, unit: Unit, type_: int, fixed: int = 0, level: int = 0) -> Page:
        """One more page of an allocation unit."""
        place = self._take(unit)
        page = Page(place, type_, unit.hint, unit.index, fixed=fixed, level=level)
        self.pages[place] = page
        unit.pages.append(place)
        return page

    def _take(self, unit: Unit) -> Place:
        data = self.file_of(unit.group)
        if not unit.spare and (self.uniform or len(unit.singles) >= 8):
            extent = data.take()
            unit.spare = [(data.file.number, page) for page in range(extent * 8, extent * 8 + 8)]
            self._map(unit, data, extent * 8)
            unit.extents.append((data.file.number, extent))
        if unit.spare:
            place = unit.spare.pop(0)
            self.files[place[0]].status[place[1]] = 0x44 if unit.form != 1 else 0x40
            return place
        place = (data.file.number, data.single())
        data.status[place[1]] = 0x60 | (4 if unit.form != 1 else 0)
        self._map(unit, data, place[1])
        unit.singles.append(place)
        return place

    def reserve(self, unit: Unit, maker: Maker) -> None:
        """Extents for pages that are made later."""
        data = self.file_of(unit.group)
        maker.hint = unit.hint
        for number in range(0, maker.pages, 8):
            extent = data.take()
            self._map(unit, data, extent * 8)
            unit.extents.append((data.file.number, extent))
            data.made[extent] = (maker, number)
        unit.first = unit.root = (data.file.number, unit.extents[0][1] * 8)

    def page(self, place: Place) -> bytes | None:
        """A page without its checksum; None where nothing is allocated."""
        page = self.pages.get(place)
        if page is not None:
            return page.bytes()
        maker, first = self.files[place[0]].made.get(place[1] // 8, (None, 0))
        number = first + place[1] % 8
        return maker.page(number, place) if maker and number < maker.pages else None

    def _map(self, unit: Unit, data: DataFile, page: int) -> None:
        key = (data.file.number, page // INTERVAL)
        if key in unit.maps:
            return
        place = (data.file.number, data.single())
        data.status[place[1]] = 0x70
        made = Page(place, IAM, unit.hint, unit.index, fixed=90)
        if unit.maps:
            last = list(unit.maps.values())[-1]
            last.next, made.previous = place, last.place
        unit.maps[key] = made
        self.pages[place] = made

    def finish(self, changed: set[Extent] | None = None) -> None:
        """Draw GAM, SGAM, PFS, difference and IAM pages; ``changed``: extents that the difference map names."""
        for number, data in self.files.items():
            for interval in range(data.pages // INTERVAL + 1):
                if (number, interval * INTERVAL + 6) not in self.pages:
                    self._maps(number, interval)
                    data.extents.add(interval * INTERVAL // 8)
            self._draw(number, data, changed or set())
        for unit in self.units:
            self._draw_iam(unit)

    def _draw(self, number: int, data: DataFile, changed: set[Extent]) -> None:
        whole = INTERVAL // 8
        for interval in range(data.pages // INTERVAL + 1):
            base, low = interval * INTERVAL, interval * whole
            taken = bitmap(e - low for e in data.extents if low <= e < low + whole)
            free = bytes(byte ^ 0xFF for byte in taken)
            single = bitmap(e - low for e, left in data.mixed.items() if left and low <= e < low + whole)
            mine = (e for f, e in changed if f == number)
            differs = bitmap(e - low for e in mine if low <= e < low + whole)
            gam = 2 if interval == 0 else 0
            for at, bits in ((gam, free), (gam + 1, single), (6, differs), (7, bitmap(()))):
                self.pages[number, base + at].records = map_records(bits, NOWHERE)
        marks = {base: bytearray(PFS_STEP) for base in range(0, data.pages, PFS_STEP)}
        for page, mark in data.status.items():
            marks[page // PFS_STEP * PFS_STEP][page % PFS_STEP] = mark
        for extent, (maker, first) in data.made.items():
            for page in range(extent * 8, extent * 8 + min(8, maker.pages - first)):
                marks[page // PFS_STEP * PFS_STEP][page % PFS_STEP] = 0x44
        for base, bytes_ in marks.items():
            place = (number, base or 1)
            self.pages[place] = Page(place, PFS, records=[struct.pack("<HH", 0, 0x1F9C) + bytes(bytes_)])

    def _draw_iam(self, unit: Unit) -> None:
        for turn, ((number, interval), page) in enumerate(unit.maps.items()):
            base = interval * INTERVAL
            marked = bitmap(
                e - base // 8 for f, e in unit.extents if f == number and base <= e * 8 < base + INTERVAL
            )
            page.records = map_records(marked, (number, base), unit.singles if turn == 0 else [], turn)

    def allocated(self, number: int) -> Iterator[int]:
        """The extents of a file that a full backup holds, in order."""
        data = self.files[number]
        maps = {base // 8 for base in range(0, data.pages, PFS_STEP)}
        yield from sorted(data.extents | maps | {e for e, left in data.mixed.items() if left})


def bitmap(numbers: Iterator[int] | tuple[int, ...]) -> bytes:
    """A bitmap of a whole interval."""
    bits = bytearray(BITMAP)
    for number in numbers:
        bits[number >> 3] |= 1 << (number & 7)
    return bytes(bits)


def map_records(bits: bytes, base: Place, singles: list[Place] | None = None, turn: int = 0) -> list[bytes | None]:
    """The two records of a map page; ``singles`` and ``turn`` (place in the chain) are an IAM page's."""
    head = bytearray(94)
    head[0:4] = struct.pack("<HH", 0, 94)
    struct.pack_into("<I", head, 4, turn)
    struct.pack_into("<IH", head, 40, base[1], base[0])
    for number, (file, page) in enumerate(singles or []):
        struct.pack_into("<IH", head, 46 + 6 * number, page, file)
    return [bytes(head), struct.pack("<HH", 0, BITMAP + 4) + bits]
