"""A made-up database as pages: rows of tables, the catalogue, boot and header pages."""

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.backups.basetables import Base, row_bytes
from tests.backups.catalog import LEVELS, Catalog, Rowset
from tests.backups.compressed import Compressor
from tests.backups.describe import Db, Put, Row, Tbl
from tests.backups.image import Image, Unit
from tests.backups.kinds import POINTED, stored
from tests.backups.layout import Layout, Spot, clustering
from tests.backups.lobs import Lobs
from tests.backups.pages import BOOT, DATA, HEADER, INDEX, Lsn, Page, Place
from tests.backups.records import FORWARDED, GHOST, LIMIT, Piece, back_pointer, plain, stub

VERSIONS = {
    2005: (9, 0, 1399, 611),
    2008: (10, 0, 1600, 655),
    2008.5: (10, 0x32, 1600, 661),
    2012: (11, 0, 2100, 706),
    2014: (12, 0, 2000, 782),
    2016: (13, 0, 1742, 852),
    2017: (14, 0, 1000, 869),
    2019: (15, 0, 2000, 904),
    2022: (16, 0, 1000, 957),
}
"""Product: major, minor, build, version of its databases. 2008.5 is 2008 R2."""

BOOT_PAGE = (1, 9)
SELF = (3, 4, 5, 7, 13)
TAG = struct.pack("<QIH", 0x1234, 99, 1)


@dataclass
class Filler:
    """Fills pages of an allocation unit one after the other."""

    image: Image
    unit: Unit
    fixed: int
    linked: bool
    lsn: Lsn | None = None
    pages: list[Page] = field(default_factory=list)

    def page(self) -> Page:
        """A new page at the end."""
        page = self.image.add(self.unit, DATA, fixed=self.fixed)
        if self.lsn:
            page.lsn = self.lsn
        if self.pages and self.linked:
            self.pages[-1].next, page.previous = page.place, self.pages[-1].place
        self.pages.append(page)
        return page

    def put(self, record: bytes) -> tuple[Page, int]:
        """A record at the end."""
        page = self.pages[-1] if self.pages and self.pages[-1].fits(record) else self.page()
        return page, page.add(record)


def rooted(image: Image, unit: Unit, pages: Sequence[Page], level: int = 1) -> None:
    """Build the index pages above a leaf level and tell the unit where it begins."""
    if not pages:
        return
    unit.first, leaves = pages[0].place, list(pages)
    depth = 1
    while len(leaves) > 1:
        above: list[Page] = []
        for leaf in leaves:
            record = index_record(leaf)
            if not above or not above[-1].fits(record):
                above.append(image.add(unit, INDEX, fixed=15, level=level and depth))
            above[-1].add(record)
        leaves, depth = above, depth + 1
    unit.root = leaves[0].place


def index_record(leaf: Page) -> bytes:
    """An index record for a page: the first bytes of its first row stand for the key."""
    first = next((record for record in leaf.records if record), b"")
    key = first[4:12].ljust(8, b"\0") if leaf.type == DATA else first[1:9]
    return b"\x06" + key + struct.pack("<IH", leaf.place[1], leaf.place[0])


class TableWriter:
    """Writes the rows of one partition of a table."""

    def __init__(self, image: Image, catalog: Catalog, table: Tbl, rowset: Rowset) -> None:
        assert rowset.layout is not None
        self.image, self.catalog, self.table, self.rowset = image, catalog, table, rowset
        self.layout: Layout = rowset.layout
        self.filler = Filler(image, self._unit(1), self.layout.fixed, clustering(table) is not None)
        self._lobs: dict[int, Lobs] = {}
        self._pushed: set[int] = set()

    def _unit(self, form: int) -> Unit:
        unit = self.image.unit(self.catalog.auid(), form, self.table.group)
        self.rowset.units.append(unit)
        return unit

    def lobs(self, form: int) -> Lobs:
        """The unit of large values (2) or of what overflows rows (3), made when it is needed."""
        if form not in self._lobs:
            table = self.table
            self._lobs[form] = Lobs(self.image, self._unit(form), table.lob_leaf, table.lob_fan, table.root_links)
        return self._lobs[form]

    def off(self, spot: Spot, raw: bytes) -> Piece | None:
        """Where a value goes that is large, or pushed out of its row."""
        if spot.kind.xtype in POINTED:
            return None if len(raw) <= self.table.text_in_row else (self.lobs(2).pointed(raw), True)
        if spot.kind.length == -1 and (len(raw) > 8000 or spot.offset in self._pushed):
            return self.lobs(2).inline(raw), True
        return (self.lobs(3).overflow(raw), True) if spot.offset in self._pushed else None

    def too_large(self, layout: Layout, row: Put) -> set[int]:
        """The variable columns that must leave the row so that it fits, the longest first."""
        sizes = {}
        for spot in layout.spots:
            value = row.values[spot.source] if spot.source is not None else row.uniquifier
            if spot.offset < 0 and value is not None:
                size = len(stored(spot.kind, value, spot.col.collation))
                sizes[spot.offset] = 16 if spot.kind.xtype in POINTED else 72 if size > 8000 else size
        total = layout.fixed + 40 + 2 * len(sizes) + len(layout.spots) // 8 + sum(sizes.values())
        pushed: set[int] = set()
        while total > LIMIT:
            worst = max(sizes, key=lambda spot: sizes[spot])
            total -= sizes.pop(worst) - 24
            pushed.add(worst)
        return pushed

    def measure(self, row: Put) -> None:
        """Note what must leave a row."""
        self._pushed = self.too_large(self.layout.until(row.columns), row)

    def record(self, row: Put, form: int = 0, trailer: Piece | None = None) -> bytes:
        """A row as bytes."""
        layout = self.layout.until(row.columns)
        self.measure(row)
        tag = TAG if row.versioned else b""
        return plain(layout, row.values, self.off, form, tag, row.uniquifier, trailer)

    def write(self, rows: Sequence[Row]) -> None:
        """All rows, in their order."""
        if self.table.maker is not None:
            self.rowset.rows = self.table.maker.rows
            self.image.reserve(self.filler.unit, self.table.maker)
            return
        puts = [row if isinstance(row, Put) else Put(row) for row in rows]
        self.rowset.rows = sum(not row.ghost for row in puts)
        if self.rowset.level in (1, 2):
            compressor = Compressor(self.layout, self.off, self.measure)
            for page in compressor.pages(puts, self.rowset.level == 2, self.filler.page):
                page.fixed = 5
        else:
            self._plain(puts)
        pages, unit = self.filler.pages, self.filler.unit
        if clustering(self.table) is not None:
            rooted(self.image, unit, pages)
        elif pages:
            unit.first, unit.root = pages[0].place, pages[-1].place

    def _plain(self, rows: Sequence[Put]) -> None:
        moved: list[tuple[Put, Page, int]] = []
        for row in rows:
            if row.forwarded:
                moved.append((row, *self.filler.put(bytes(9))))
                continue
            page, _ = self.filler.put(self.record(row, GHOST if row.ghost else 0))
            page.ghosts += row.ghost
        if moved:
            self.filler.page()
        for row, page, slot in moved:
            to, at = self.filler.put(self.record(row, FORWARDED, back_pointer(page.place, slot)))
            page.records[slot] = stub(to.place, at)


def shares(rows: Sequence[Row], parts: int) -> Iterator[Sequence[Row]]:
    """Rows dealt out to partitions, in runs."""
    size = -(-len(rows) // parts) if rows else 0
    for part in range(parts):
        yield rows[part * size : (part + 1) * size]


@dataclass
class Built:
    """A database as pages, and what a backup of it tells: its GUIDs and log sequence numbers."""

    db: Db
    version: float
    image: Image
    family: uuid.UUID
    checkpoint: Lsn
    last: Lsn
    tables: dict[tuple[str, str], tuple[int, list[Rowset]]] = field(default_factory=dict)

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """Major, minor, build, database version."""
        return VERSIONS[self.version]


def build(db: Db, version: float = 2016, moment: int = 0) -> Built:
    """The pages of a database; ``moment`` shifts its log sequence numbers, for later states of it."""
    image = Image(list(db.files), db.uniform)
    image.files[1].extents.add(1)
    image.files[1].mixed[1] = [8, 10, 11, 12, 13, 14, 15]
    image.files[1].next = max(image.files[1].next, 2)
    image.files[1].status[9] = 0x64
    made = Built(
        db, version, image, uuid.uuid5(uuid.NAMESPACE_DNS, db.name), (35 + moment, 1856, 1),
        (35 + moment, 1858, 1),
    )  # fmt: skip
    catalog = Catalog(db, int(version))
    catalog.system()
    rowsets = []
    for table in db.tables:
        number, mine = catalog.table(table)
        made.tables[table.schema, table.name] = (number, mine)
        rowsets += mine
        data = [rowset for rowset in mine if rowset.layout is not None]
        for rowset, rows in zip(data, shares(table.rows, table.partitions), strict=False):
            if rowset.level not in (LEVELS["columnstore"], LEVELS["columnstore_archive"]):
                TableWriter(image, catalog, table, rowset).write(rows)
    ids = {name: number for name, (number, _) in made.tables.items()}
    for table in db.tables:
        for key in table.foreign_keys:
            catalog.foreign_key(ids, table, key)
    for module in db.modules:
        catalog.module(ids, module)
    for one in db.properties:
        catalog.property(one)
    write_catalog(made, catalog, rowsets)
    return made


def write_catalog(made: Built, catalog: Catalog, rowsets: Sequence[Rowset]) -> None:
    """All base tables, the two that tell of themselves last."""
    groups_and_files(made.db, catalog)
    own = {base.id: own_rowset(made.image, base) for base in catalog.bases.values()}
    for rowset in rowsets:
        catalog.told(rowset)
    last = (5, 7)
    for number, (rowset, unit) in own.items():
        if number not in last:
            fill(made.image, catalog, number, unit)
            rowset.rows = len(catalog.rows[number])
    own[5][0].rows = len(catalog.rows[5]) + len(own)
    own[7][0].rows = len(catalog.rows[7]) + len(own)
    for rowset, _ in own.values():
        rowset.units.clear()
        catalog.told(rowset)
    sort(catalog)
    fill(made.image, catalog, 5, own[5][1])
    allocunits(made, catalog, {number: unit for number, (_, unit) in own.items()})


def sort(catalog: Catalog) -> None:
    """Rows of sysrowsets in the order of their key."""
    catalog.rows[5].sort(key=lambda row: number_of(row[0]))


def number_of(cell: object) -> int:
    """A cell that is a number."""
    assert isinstance(cell, int)
    return cell


def own_rowset(image: Image, base: Base) -> tuple[Rowset, Unit]:
    """The rowset of a base table and its unit; rowset ids of a few are fixed."""
    number = base.id << 16 if base.id in SELF else 1 << 48 | base.id << 16
    return Rowset(number, base.id, 1, 1, 0, 0, None), image.unit(number, 1)


def fill(image: Image, catalog: Catalog, number: int, unit: Unit) -> list[Page]:
    """Write the rows of a base table."""
    base = catalog.bases[number]
    filler = Filler(image, unit, base.fixed, linked=True)
    lobs = Lobs(image, unit)
    for cells in catalog.rows[number]:
        pieces = {}
        for (name, form), cell in zip(base.columns, cells, strict=True):
            if form == "lob" and isinstance(cell, bytes) and len(cell) > 7000:
                lobs.unit = lob_unit(image, catalog, number)
                pieces[name] = (lobs.inline(cell), True)
        filler.put(row_bytes(base, cells, pieces))
    rooted(image, unit, filler.pages, level=int(number in SELF))
    return filler.pages


def lob_unit(image: Image, catalog: Catalog, number: int) -> Unit:
    """The LOB unit of a base table, made and told once."""
    owner = 1 << 48 | number << 16
    auid = 0xFF << 48 | number << 16
    for unit in image.units:
        if unit.number == auid:
            return unit
    unit = image.unit(auid, 2)
    catalog.add(7, auid, 2, owner, 0, 1, (0, 0), (0, 0), (0, 0), 1, 0, 1)
    return unit


def allocunits(made: Built, catalog: Catalog, own: dict[int, Unit]) -> None:
    """sysallocunits: its rows tell where its own pages lie, so the pages are taken first."""
    for unit in own.values():
        catalog.unit(unit, unit.number)
    rows = catalog.rows[7]
    pages = fill(made.image, catalog, 7, own[7])
    place = next(row for row in rows if row[0] == own[7].number)
    unit = own[7]
    place[5:9] = [unit.first, unit.root, unit.map, len(unit.pages) + len(unit.maps)]
    rows.sort(key=lambda row: number_of(row[0]))
    base = catalog.bases[7]
    records = iter([row_bytes(base, cells) for cells in rows])
    for page in pages:
        page.records = [next(records) for _ in page.records]
    boot_pages(made, unit.first)


def groups_and_files(db: Db, catalog: Catalog) -> None:
    """File groups and files."""
    if catalog.version == 2005:
        for file in db.files:
            catalog.add(76, 1, file.number, file.group, 0, file.pages, -1, 0, db.name, f"C:\\{db.name}.mdf")
        return
    for group in db.groups:
        catalog.add(23, 1, group.number, group.number, "FG", None, None, 0, group.name)
    for file in db.files:
        catalog.add(24, 1, file.number, file.group, 512, 0, 0, file.pages, -1, 8192, db.name, f"C:\\{db.name}.mdf")


def boot_pages(made: Built, entry: Place) -> None:
    """The boot page and the file header pages."""
    body = bytearray(0x654)
    struct.pack_into("<HHHH", body, 0, 0, 0x654, made.numbers[3], made.numbers[3])
    name = made.db.name.encode("utf-16-le")
    body[52 : 52 + 256] = name + b"\x20" * (256 - len(name))
    struct.pack_into("<IIH", body, 348, *made.checkpoint)
    struct.pack_into("<I", body, 392, made.db.collation.number)
    body[404:420] = made.family.bytes_le
    struct.pack_into("<IH", body, 516, entry[1], entry[0])
    struct.pack_into("<IIH", body, 640, *made.checkpoint)
    made.image.pages[BOOT_PAGE] = Page(BOOT_PAGE, BOOT, records=[bytes(body)])
    for number, data in made.image.files.items():
        head = struct.pack("<BBH", 0x30, 0, 8) + struct.pack("<IH", number, data.file.group) + name
        made.image.pages[number, 0] = Page((number, 0), HEADER, records=[head])
