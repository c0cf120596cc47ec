"""All fixtures: ``all_fixtures(folder)`` writes them and tells what a reader must find in each."""

import datetime as clock
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from tests.backups import scenes
from tests.backups.copied import lines
from tests.backups.database import Built, build
from tests.backups.describe import POLISH, Col, Db, File, Group, Index, Tbl
from tests.backups.headers import START, number
from tests.backups.log import Log
from tests.backups.pages import DATA, Page
from tests.backups.records import plain
from tests.backups.writer import Media, Set, write_backup

GROUP_TWO = Group(2, "SECOND")
BORDER = 63904
"""The first extent of the second GAM interval."""


@dataclass(frozen=True)
class Found:
    """What a table must give: its columns in order and its COPY lines."""

    columns: tuple[str, ...]
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Fixture:
    """Files and what is in them, by database and ``schema.table``.

    ``trouble``: tables named as needing SQL Server instead of read. ``refused``: no table can be read at all.
    """

    name: str
    paths: tuple[Path, ...]
    databases: dict[str, dict[str, Found]] = field(default_factory=dict)
    trouble: tuple[str, ...] = ()
    refused: bool = False
    headers: tuple[dict[str, object], ...] = ()


Maker = Callable[[Path], Fixture]
MAKERS: dict[str, Maker] = {}


def fixture(make: Maker) -> Maker:
    """Name a fixture after its function."""
    MAKERS[make.__name__] = make
    return make


def all_fixtures(folder: Path) -> dict[str, Fixture]:
    """Write every fixture into the folder."""
    return {name: make(folder) for name, make in MAKERS.items()}


def told(*sets: Set) -> tuple[dict[str, object], ...]:
    """What the headers must say, in the names of ``inspect``."""
    out = []
    for one in sets:
        major, minor, build_, version = one.built.numbers
        base = one.base.built.checkpoint if one.base else (0, 0, 0)
        minor = 50 if minor == 0x32 else minor
        out.append(
            {
                "backup_name": one.name,
                "database": one.built.db.name,
                "type": one.kind,
                "version": f"{major}.{minor}.{build_}",
                "database_version": version,
                "first_lsn": number(one.first),
                "last_lsn": number(one.last),
                "checkpoint_lsn": number(one.built.checkpoint),
                "database_backup_lsn": number(base),
                "backup_set_guid": str(one.guid),
                "family_guid": str(one.built.family),
                "backup_checksums": one.csum,
                "start": one.start.isoformat(),
            }
        )
    return tuple(out)


def found(table: Tbl, shown: Sequence[str] | None = None) -> Found:
    """What a table must give."""
    names = tuple(col.name for col in table.columns if not col.dropped)
    return Found(names, tuple(lines(table) if shown is None else shown))


def expect(db: Db) -> dict[str, Found]:
    """All tables of a database."""
    return {f"{table.schema}.{table.name}": with_computed(table) for table in db.tables}


def with_computed(table: Tbl) -> Found:
    """A table without the columns that have no place in records."""
    seen = found(table)
    hidden = {col.name for col in table.columns if col.computed and not col.persisted}
    return replace(seen, columns=tuple(name for name in seen.columns if name not in hidden))


def simple(
    folder: Path, name: str, db: Db, version: float = 2016, media: Media | None = None, **more: object
) -> Fixture:
    """One database, one full set, one file."""
    one = Set(build(db, version), name=f"{db.name} full", **more)  # type: ignore[arg-type]
    paths = write_backup(folder / f"{name}.bak", [one], media)
    return Fixture(name, tuple(paths), {db.name: expect(db)}, headers=told(one))


SHOP = Db("Shop", scenes.shop(), scenes.MODULES)


def _versioned(version: float, label: str) -> None:
    def make(folder: Path) -> Fixture:
        return simple(folder, f"shop_{label}", SHOP, version)

    MAKERS[f"shop_{label}"] = make


for _version in (2005, 2008, 2008.5, 2012, 2014, 2016, 2017, 2022):
    _versioned(_version, str(_version).replace(".5", "r2"))


@fixture
def shop_2019_regions(folder: Path) -> Fixture:
    """From 2019 on, extents are read again at the end; the later copy counts."""
    return simple(folder, "shop_2019_regions", SHOP, 2019, later=[[(1, 0), (1, 1)]])


@fixture
def types_2016(folder: Path) -> Fixture:
    """All types."""
    return simple(folder, "types_2016", Db("Types", scenes.types()))


@fixture
def types_2008(folder: Path) -> Fixture:
    """All types, torn pages, 4096-byte device blocks."""
    return simple(folder, "types_2008", Db("Types", scenes.types()), 2008, Media(device=4096), protect="torn")


@fixture
def shapes(folder: Path) -> Fixture:
    """Spatial values, XML, and columns of alias types."""
    phones = Tbl(
        "dbo", "phones", [Col("n", "varchar(20)", alias="Phone"), Col("d", "decimal(9,2)", alias="Dues")],
        [("+49 1234", Decimal("1.50")), (None, None)],
    )  # fmt: skip
    aliases = (("Phone", "varchar(20)"), ("Dues", "decimal(9,2)"))
    return simple(folder, "shapes", Db("Shapes", [*scenes.shapes(), phones], aliases=aliases))


@fixture
def code_pages(folder: Path) -> Fixture:
    """Several code pages."""
    return simple(folder, "code_pages", Db("Pages", [scenes.code_pages()], collation=POLISH), 2019)


@fixture
def odd_rows(folder: Path) -> Fixture:
    """Forwarded, ghost and versioned records."""
    return simple(folder, "odd_rows", Db("Odd", [scenes.odd_rows()]))


@fixture
def many_tables(folder: Path) -> Fixture:
    """A catalogue of several levels."""
    return simple(folder, "many_tables", Db("Größe ]'", scenes.many()), 2014)


@fixture
def many_tables_2005(folder: Path) -> Fixture:
    """The same by the catalogue of 2005."""
    return simple(folder, "many_tables_2005", Db("Many", scenes.many()), 2005, Media(compressed=True))


@fixture
def numbered(folder: Path) -> Fixture:
    """Identities."""
    return simple(folder, "numbered", Db("Numbered", scenes.numbered()))


@fixture
def altered(folder: Path) -> Fixture:
    """Dropped and added columns."""
    return simple(folder, "altered", Db("Altered", [scenes.altered()]))


@fixture
def altered_2005(folder: Path) -> Fixture:
    """The same by the catalogue of 2005."""
    return simple(folder, "altered_2005", Db("Altered", [scenes.altered()]), 2005)


@fixture
def sparse(folder: Path) -> Fixture:
    """Sparse columns."""
    return simple(folder, "sparse", Db("Sparse", [scenes.sparse()]))


@fixture
def lobs(folder: Path) -> Fixture:
    """Large values."""
    return simple(folder, "lobs", Db("Large", scenes.lobs()))


@fixture
def lobs_2005(folder: Path) -> Fixture:
    """Large values in 2005."""
    return simple(folder, "lobs_2005", Db("Large", scenes.lobs()), 2005, protect="none")


@fixture
def row_compression(folder: Path) -> Fixture:
    """Tables under row compression."""
    return simple(folder, "row_compression", Db("Squeezed", scenes.squeezed("row")))


@fixture
def page_compression(folder: Path) -> Fixture:
    """Tables under page compression."""
    return simple(folder, "page_compression", Db("Squeezed", scenes.squeezed("page")), 2022)


@fixture
def tall(folder: Path) -> Fixture:
    """Some thousand rows over mixed and uniform extents, with index levels; partitions; a clustered key twice."""
    tables = [scenes.tall(), scenes.tall(900, "parted", partitions=3), scenes.uniquified()]
    return simple(folder, "tall", Db("Tall", tables))


@fixture
def compressed(folder: Path) -> Fixture:
    """The compressed container."""
    db = Db("Tall", [scenes.tall(1200), *scenes.shop()])
    return simple(folder, "compressed", db, 2016, Media(compressed=True))


@fixture
def compressed_4096(folder: Path) -> Fixture:
    """The compressed container with 4096-byte device blocks, and backup checksums."""
    return simple(folder, "compressed_4096", SHOP, 2017, Media(compressed=True, device=4096), csum=True)


@fixture
def compressed_2008(folder: Path) -> Fixture:
    """The first version of the container."""
    return simple(folder, "compressed_2008", SHOP, 2008, Media(compressed=True, form=1))


@fixture
def checksums(folder: Path) -> Fixture:
    """CSUM streams over data and log."""
    return simple(folder, "checksums", SHOP, csum=True)


@fixture
def pieces(folder: Path) -> Fixture:
    """The pages in several MQDA streams, padded to 1 MB with filler pages."""
    return simple(folder, "pieces", SHOP, 2008.5, pieces=2, filler=16)


@fixture
def uniform(folder: Path) -> Fixture:
    """No mixed extents."""
    return simple(folder, "uniform", Db("Uniform", scenes.shop(), uniform=True))


@fixture
def stale(folder: Path) -> Fixture:
    """Pages that nobody has hold what was there before: pages that name another place."""
    built = build(SHOP)
    built.image.finish()
    old = Page((1, 16), DATA, 77, records=[b"\x10\0\x08\0\1\2\3\4\1\0\0"]).bytes()
    used = set(built.image.pages)
    extents = list(built.image.allocated(1))
    spots = {(1, e * 8 + n): old for e in extents for n in range(8) if (1, e * 8 + n) not in used}
    one = Set(built, stale=spots)
    write_backup(folder / "stale.bak", [one])
    return Fixture("stale", (folder / "stale.bak",), {"Shop": expect(SHOP)}, headers=told(one))


def _striped(count: int, media: Media) -> None:
    name = f"stripes_{count}{'_compressed' if media.compressed else ''}"

    def make(folder: Path) -> Fixture:
        db = Db("Striped", [scenes.tall(1200), *scenes.shop()])
        paths = [folder / f"{name}_{n}.bak" for n in range(1, count + 1)]
        one = Set(build(db))
        write_backup(paths, [one], replace(media, seed=count))
        return Fixture(name, tuple(paths), {db.name: expect(db)}, headers=told(one))

    MAKERS[name] = make


for _count in (2, 3, 4):
    _striped(_count, Media())
_striped(2, Media(compressed=True))


@fixture
def files_and_groups(folder: Path) -> Fixture:
    """Three data files in two file groups."""
    files = (File(1, 1), File(3, 2), File(4, 2))
    tables = [scenes.tall(2000, "second", group=2), *scenes.shop(), *scenes.lobs()]
    return simple(folder, "files_and_groups", Db("Files", tables, files=files, groups=(Group(), GROUP_TWO)))


@fixture
def beyond_4_gb(folder: Path) -> Fixture:
    """A file of several GAM intervals of which little is allocated: rows before and after the border."""
    files = (File(1, 1), File(3, 2, first_free=BORDER - 3))
    tables = [scenes.tall(3500, "second", group=2), *scenes.shop()]
    db = Db("Vast", tables, files=files, groups=(Group(), GROUP_TWO))
    used = build(db).image.files[3].extents
    assert min(used - {0}) < BORDER < max(used)
    return simple(folder, "beyond_4_gb", db)


@fixture
def several_sets(folder: Path) -> Fixture:
    """Two databases in one file."""
    other = Db("Other", [scenes.uniquified()], database_id=6)
    sets = [Set(build(SHOP), name="one"), Set(build(other), name="two", start=later(5))]
    write_backup(folder / "several_sets.bak", sets)
    return Fixture(
        "several_sets",
        (folder / "several_sets.bak",),
        {"Shop": expect(SHOP), "Other": expect(other)},
        headers=told(*sets),
    )


def later(minutes: int) -> clock.datetime:
    """A moment after the first backup."""
    return START + clock.timedelta(minutes=minutes)


def states() -> tuple[Db, Db]:
    """A database, and what it is later: rows changed, more rows, a new table."""
    before = Db("Chained", [scenes.tall(600), *scenes.shop()])
    rows = list(before.tables[0].rows)
    rows[5] = (5, "changed", Decimal("1.23"), "now", True)
    more = replace(before.tables[0], rows=[*rows, *((n, "added", None, None, None) for n in range(600, 900))])
    return before, Db("Chained", [more, *scenes.shop(), scenes.uniquified()])


@fixture
def differential(folder: Path) -> Fixture:
    """A full backup and a differential one, in two files."""
    before, after = states()
    full = Set(build(before), name="full")
    second = build(after, moment=1)
    diff = Set(second, "differential", base=full, changed=differing(full.built, second), start=later(10))
    paths = [folder / "differential_full.bak", folder / "differential_diff.bak"]
    write_backup(paths[0], [full])
    write_backup(paths[1], [diff])
    return Fixture("differential", tuple(paths), {"Chained": expect(after)}, headers=told(full, diff))


@fixture
def differential_beyond_4_gb(folder: Path) -> Fixture:
    """Changes on both sides of the border of GAM intervals, in two stripes."""
    files = (File(1, 1), File(3, 2, first_free=BORDER - 3))
    groups = (Group(), GROUP_TWO)
    before = Db("Vast", [scenes.tall(2000, "second", group=2), *scenes.shop()], files=files, groups=groups)
    rows = list(before.tables[0].rows)
    rows[::900] = [(n, "changed", None, "x", True) for n in range(0, len(rows), 900)]
    more = [*rows, *((n, "added", None, None, None) for n in range(2000, 2600))]
    after = replace(before, tables=[replace(before.tables[0], rows=more), *scenes.shop()])
    full = Set(build(before), name="full")
    second = build(after, moment=1)
    diff = Set(second, "differential", base=full, changed=differing(full.built, second), start=later(10))
    paths = [folder / f"differential_beyond_4_gb_{n}.bak" for n in range(4)]
    write_backup(paths[:2], [full])
    write_backup(paths[2:], [diff], Media(seed=5))
    return Fixture("differential_beyond_4_gb", tuple(paths), {"Vast": expect(after)}, headers=told(full, diff))


@fixture
def stripes_few(folder: Path) -> Fixture:
    """Four stripes for a handful of extents: some hold none."""
    one = Set(build(Db("Few", [Tbl("dbo", "one", [Col("a", "int")], [(1,)])])))
    paths = [folder / f"stripes_few_{n}.bak" for n in range(4)]
    write_backup(paths, [one], Media(seed=11))
    return Fixture("stripes_few", tuple(paths), {"Few": expect(one.built.db)}, headers=told(one))


@fixture
def differential_in_one(folder: Path) -> Fixture:
    """Both sets in one compressed file."""
    before, after = states()
    full = Set(build(before), name="full")
    second = build(after, moment=1)
    diff = Set(second, "differential", base=full, changed=differing(full.built, second), start=later(10))
    path = folder / "differential_in_one.bak"
    write_backup(path, [full, diff], Media(compressed=True))
    return Fixture("differential_in_one", (path,), {"Chained": expect(after)}, headers=told(full, diff))


def differing(before: Built, after: Built) -> set[tuple[int, int]]:
    """The extents in which two states of a database are not equal."""
    before.image.finish()
    after.image.finish()
    changed = set()
    for place, page in after.image.pages.items():
        old = before.image.pages.get(place)
        if old is None or old.bytes() != page.bytes():
            changed.add((place[0], place[1] // 8))
    return changed


NUMBERS = Tbl("dbo", "numbers", [Col("n", "int"), Col("t", "varchar(20)")], [(n, f"row {n}") for n in range(20)])


def number_record(built: Built, n: int, text: str) -> bytes:
    """A row of the table as its record."""
    layout = built.tables["dbo", "numbers"][1][0].layout
    assert layout is not None
    return plain(layout, (n, text), lambda spot, raw: None)


def heap_page(built: Built) -> Page:
    """The page of the table."""
    unit = built.tables["dbo", "numbers"][1][0].units[0]
    return built.image.pages[unit.pages[0]]


def started(built: Built) -> Log:
    """A log that goes on where the backup's checkpoint is."""
    log = Log(built.last[0], built.checkpoint[1], rowset=built.tables["dbo", "numbers"][1][0].number)
    log.checkpoint()
    return log


def work(log: Log, built: Built, first: int, applied: bool, open_: bool = False) -> None:
    """Insert, change and delete rows in one transaction, and commit it unless it is to stay open."""
    page = heap_page(built)
    mine = log.begin()
    slot = len(page.records)
    for n in range(first, first + 3):
        log.insert(mine, page, slot, number_record(built, n, f"log {n}"), applied)
        slot += 1
    log.modify(mine, page, 2, 4, (1000 + first).to_bytes(4, "little"), applied)
    log.delete(mine, page, 7, applied)
    if not open_:
        log.end(mine)
    log.cut()


def changed_rows(first: int, base: Sequence[tuple[int, str]]) -> list[tuple[int, str]]:
    """What ``work`` makes of the rows."""
    rows = [(1000 + first if i == 2 else n, t) for i, (n, t) in enumerate(base) if i != 7]
    return rows + [(n, f"log {n}") for n in range(first, first + 3)]


def shown(rows: Sequence[tuple[int, str]]) -> dict[str, dict[str, Found]]:
    """The expectation for the table of numbers."""
    return {"Logged": {"dbo.numbers": Found(("n", "t"), tuple(f"{n}\t{t}" for n, t in rows))}}


ROWS = [(n, f"row {n}") for n in range(20)]
LOGGED = Db("Logged", [NUMBERS])


@fixture
def redo_in_full(folder: Path) -> Fixture:
    """The pages were copied before rows changed: the log of the full backup has what is missing."""
    built = build(LOGGED, 2008.5)
    log = started(built)
    work(log, built, 500, applied=False)
    path = folder / "redo_in_full.bak"
    one = Set(built, log=log.bytes(), log_to=log.next)
    write_backup(path, [one])
    return Fixture("redo_in_full", (path,), shown(changed_rows(500, ROWS)), headers=told(one))


@fixture
def undo_in_full(folder: Path) -> Fixture:
    """The pages have changes of a transaction that was open at the end: they must go."""
    built = build(LOGGED)
    log = started(built)
    work(log, built, 600, applied=True, open_=True)
    path = folder / "undo_in_full.bak"
    one = Set(built, log=log.bytes(), log_to=log.next)
    write_backup(path, [one])
    return Fixture("undo_in_full", (path,), shown(ROWS), headers=told(one))


@fixture
def log_chain(folder: Path) -> Fixture:
    """A full backup and two log backups."""
    built = build(LOGGED)
    paths = [folder / f"log_chain_{n}.{'trn' if n else 'bak'}" for n in range(3)]
    full = Set(built)
    write_backup(paths[0], [full])
    first = Log(built.last[0], built.last[1], rowset=built.tables["dbo", "numbers"][1][0].number)
    work(first, built, 700, applied=True)
    middle = first.next
    one = Set(built, "log", base=full, log=first.bytes(), log_from=built.last, log_to=middle, start=later(1))
    write_backup(paths[1], [one])
    second = Log(middle[0], middle[1], rowset=first.rowset)
    mine = second.begin("DELETE")
    page = heap_page(built)
    second.delete(mine, page, 0, applied=True)
    second.delete(mine, page, 1, applied=True)
    second.end(mine)
    second.cut()
    last = second.next
    two = Set(built, "log", base=full, log=second.bytes(), log_from=middle, log_to=last, start=later(2))
    write_backup(paths[2], [two])
    rows = changed_rows(700, ROWS)[2:]
    return Fixture("log_chain", tuple(paths), shown(rows), headers=told(full, one, two))


@fixture
def log_of_all_kinds(folder: Path) -> Fixture:
    """A log over two virtual log files: a transaction taken back, a page formatted and filled, row counts."""
    built = build(LOGGED)
    rowset = built.tables["dbo", "numbers"][1][0]
    unit, page = rowset.units[0], heap_page(built)
    paths = [folder / f"log_of_all_kinds_{n}.{'trn' if n else 'bak'}" for n in range(2)]
    full = Set(built)
    write_backup(paths[0], [full])
    first = Log(built.last[0], built.last[1], rowset=rowset.number)
    taken_back = first.begin()
    gone = number_record(built, 66, "taken back")
    first.insert(taken_back, page, 20, gone, applied=True)
    first.count(page)
    first.delete(taken_back, page, 20, applied=True)
    first.end(taken_back, op=0x82)
    first.cut()
    second = Log(
        built.last[0] + 1, 0, parity=0x80, previous=first.previous, rowset=rowset.number, lsns=first.lsns,
        transactions=700,
    )  # fmt: skip
    mine = second.begin("INSERT")
    free, chain = built.image.pages[1, 1], next(iter(unit.maps.values()))
    before = (free.records, chain.records)
    fresh = built.image.add(unit, DATA, fixed=page.fixed)
    built.image.finish()
    free, mapped = built.image.pages[1, 1], chain.records[0] or b""
    free.records, chain.records = before
    second.modify(mine, free, 0, 4 + fresh.place[1], b"\x60", context=11)
    second.format(mine, fresh)
    second.modify(mine, chain, 0, 46 + 6, mapped[52:58], context=10)
    second.fill(mine, free, 4 + fresh.place[1], 0x61, 0x60)
    for n in range(3):
        second.insert(mine, fresh, n, number_record(built, 900 + n, "fresh"), applied=False)
    second.end(mine)
    second.cut()
    one = Set(
        built, "log", base=full, earlier=(built.last, first.bytes()), log=second.bytes(), log_from=built.last,
        log_to=second.next, start=later(1),
    )  # fmt: skip
    write_backup(paths[1], [one], Media(compressed=True))
    rows = [*ROWS, *((900 + n, "fresh") for n in range(3))]
    return Fixture("log_of_all_kinds", tuple(paths), shown(rows), headers=told(full, one))


@fixture
def log_of_new_extents(folder: Path) -> Fixture:
    """Rows come on pages of an extent that the full backup does not hold."""
    built = build(replace(LOGGED, uniform=True), 2014)
    rowset = built.tables["dbo", "numbers"][1][0]
    unit, page = rowset.units[0], heap_page(built)
    paths = [folder / f"log_of_new_extents_{n}.{'trn' if n else 'bak'}" for n in range(2)]
    full = Set(built)
    write_backup(paths[0], [full])
    log = Log(built.last[0], built.last[1], rowset=rowset.number)
    mine = log.begin()
    free, gam, chain = built.image.pages[1, 1], built.image.pages[1, 2], next(iter(unit.maps.values()))
    old = len(unit.extents)
    for n in range(10):
        fresh = built.image.add(unit, DATA, fixed=page.fixed)
        if len(unit.extents) > old:
            old += 1
            log.bits(mine, gam, fresh.place[1] // 8, 0, context=8)
            log.bits(mine, chain, fresh.place[1] // 8, 1, context=10)
        log.modify(mine, free, 0, 4 + fresh.place[1], b"\x40", context=11)
        log.format(mine, fresh)
        log.insert(mine, fresh, 0, number_record(built, 300 + n, "new page"))
    log.end(mine)
    log.cut()
    one = Set(built, "log", base=full, log=log.bytes(), log_from=built.last, log_to=log.next, start=later(1))
    write_backup(paths[1], [one])
    rows = [*ROWS, *((300 + n, "new page") for n in range(10))]
    return Fixture("log_of_new_extents", tuple(paths), shown(rows), headers=told(full, one))


@fixture
def log_not_understood(folder: Path) -> Fixture:
    """A change that cannot be replayed: its table is named, the other one is read."""
    db = replace(LOGGED, tables=[NUMBERS, *scenes.shop()])
    built = build(db)
    paths = [folder / f"log_not_understood_{n}.{'trn' if n else 'bak'}" for n in range(2)]
    full = Set(built)
    write_backup(paths[0], [full])
    log = Log(built.last[0], built.last[1], rowset=built.tables["dbo", "numbers"][1][0].number)
    mine = log.begin("UPDATE")
    log.odd(mine, heap_page(built), 3)
    log.end(mine)
    log.cut()
    one = Set(built, "log", base=full, log=log.bytes(), log_from=built.last, log_to=log.next, start=later(1))
    write_backup(paths[1], [one])
    wanted = {"Logged": expect(replace(db, tables=scenes.shop()))}
    return Fixture("log_not_understood", tuple(paths), wanted, trouble=("dbo.numbers",), headers=told(full, one))


@fixture
def log_rolled_back(folder: Path) -> Fixture:
    """A log whose last transaction is open: its rows must not appear."""
    built = build(LOGGED)
    paths = [folder / f"log_rolled_back_{n}.{'trn' if n else 'bak'}" for n in range(2)]
    full = Set(built)
    write_backup(paths[0], [full])
    log = Log(built.last[0], built.last[1], rowset=built.tables["dbo", "numbers"][1][0].number)
    mine = log.begin()
    page = heap_page(built)
    log.insert(mine, page, 20, number_record(built, 77, "committed"), applied=True)
    log.end(mine)
    other = log.begin()
    log.insert(other, page, 21, number_record(built, 88, "open"), applied=True)
    log.modify(other, page, 0, 4, (99).to_bytes(4, "little"), applied=True)
    log.cut()
    one = Set(built, "log", base=full, log=log.bytes(), log_from=built.last, log_to=log.next, start=later(1))
    write_backup(paths[1], [one])
    return Fixture("log_rolled_back", tuple(paths), shown([*ROWS, (77, "committed")]), headers=told(full, one))


@fixture
def encrypted_pages(folder: Path) -> Fixture:
    """TDE: pages flagged, their bodies garbage."""
    return replace(simple(folder, "encrypted_pages", SHOP, encrypted_pages=True), databases={}, refused=True)


@fixture
def encrypted_container(folder: Path) -> Fixture:
    """WITH ENCRYPTION: records of garbage."""
    dice = random.Random(3)
    media = Media(compressed=True, pack=lambda plain: dice.randbytes(min(len(plain) // 2 + 300, 40000)))
    made = simple(folder, "encrypted_container", SHOP, media=media)
    return replace(made, databases={}, refused=True)


@fixture
def columnstore(folder: Path) -> Fixture:
    """A clustered columnstore table is named; its neighbours are read."""
    table = Tbl(
        "dbo", "store", [Col("a", "int"), Col("b", "int")], [(1, 2)],
        [Index("CCI", ["a", "b"], clustered=True, form="columnstore")], compression="columnstore",
    )  # fmt: skip
    db = Db("Columns", [table, *scenes.shop()])
    made = simple(folder, "columnstore", db)
    return replace(made, databases={"Columns": expect(replace(db, tables=scenes.shop()))}, trouble=("dbo.store",))


@fixture
def memory_optimised(folder: Path) -> Fixture:
    """A memory-optimised table has no rowset."""
    files = (File(1, 1), File(3, 3, form=3))
    table = Tbl("dbo", "quick", [Col("a", "int")], memory=True)
    db = Db("Memory", [table, *scenes.shop()], files=files, groups=(Group(), Group(3, "MEM")))
    made = simple(folder, "memory_optimised", db)
    return replace(made, databases={"Memory": expect(replace(db, tables=scenes.shop()))}, trouble=("dbo.quick",))


@fixture
def media_password(folder: Path) -> Fixture:
    """WITH MEDIAPASSWORD: a flag, nothing is encrypted."""
    return simple(folder, "media_password", SHOP, 2008, Media(password=True, name="média", description="about it"))


@fixture
def incomplete(folder: Path) -> Fixture:
    """A whole set, and one that was cut off in its log."""
    other = Db("Other", [scenes.uniquified()], database_id=6)
    sets = [Set(build(SHOP), name="whole"), Set(build(other), name="cut", incomplete=True, start=later(5))]
    write_backup(folder / "incomplete.bak", sets)
    return Fixture("incomplete", (folder / "incomplete.bak",), {"Shop": expect(SHOP)}, headers=told(*sets))


@fixture
def empty(folder: Path) -> Fixture:
    """A database without tables, and one table without rows."""
    return simple(folder, "empty", Db("Empty", [Tbl("dbo", "nothing", [Col("a", "int"), Col("b", "text")])]))
