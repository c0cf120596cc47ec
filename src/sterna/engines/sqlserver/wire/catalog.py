"""A database's catalogue as the backup holds it: from the boot page to all base tables, in memory, nothing judged.

What the rows mean for a user's tables is said in ``definitions``.
"""

import struct
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sterna.core.errors import BadData, Unsupported
from sterna.engines.sqlserver.wire import base, units
from sterna.engines.sqlserver.wire.base import Pages, Pointer, Row

BOOT_PAGE, BOOT_TYPE = (1, 9), 13
ENCRYPTED_PAGE = 0x8
OLDEST = 611
"""The internal version of SQL Server 2005."""
MOST_ROWS = 4_000_000
"""Of all base tables together: more than any real database has."""

IN_ROW, LOB, OVERFLOW = 1, 2, 3
TEXT_OF_OBJECT, TEXT_OF_COMPUTED, TEXT_OF_FILTER = 1, 2, 66
DECIMALS, TIMES = (106, 108), (41, 42, 43)
FOREIGN_KEY, FOREIGN_COLUMN, REFERENCED_COLUMN = 27, 28, 29
DROPPED = 0x2
"""A status of a column in a rowset."""
DEFAULT_OF_OLDER_ROWS = 1
_TEXTS = (TEXT_OF_OBJECT, TEXT_OF_COMPUTED, TEXT_OF_FILTER)


@dataclass(frozen=True, slots=True)
class Boot:
    """What the boot page tells."""

    version: int
    created_version: int
    name: str
    collation: int
    units: Pointer
    """The first page of sysallocunits."""


@dataclass(frozen=True, slots=True)
class Unit:
    """An allocation unit: the pages of one kind of a rowset."""

    id: int
    kind: int
    first_iam: Pointer


@dataclass(frozen=True, slots=True)
class Rowset:
    """The rows of one partition of a table or index."""

    id: int
    table: int
    index: int
    partition: int
    rows: int
    """As the server counted them."""
    compression: int
    units: Mapping[int, Unit]
    """By kind."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a rowset's records hold a column."""

    column: int
    """The id of the logical column; of what is none, any number."""
    xtype: int
    length: int
    precision: int
    scale: int
    collation: int
    offset: int
    """From the record's start; negative: the variable column of that number; 0: none of both (sparse)."""
    nullbit: int
    """From 1 on; 0: none."""
    bitpos: int
    key: int
    """Its place in the key, from 1 on; 0: not in it."""
    stored_id: int = 0
    """The column's number in the rowset: the default of older rows is found by it."""
    dropped: bool = False
    internal: bool = False


@dataclass
class Catalog:
    """All base tables that matter, by what they are looked up with."""

    boot: Boot
    schemas: dict[int, str] = field(default_factory=dict)
    objects: dict[int, Row] = field(default_factory=dict)
    children: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    columns: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    types: dict[int, Row] = field(default_factory=dict)
    rowsets: dict[int, list[Rowset]] = field(default_factory=lambda: defaultdict(list))
    places: dict[int, list[Place]] = field(default_factory=lambda: defaultdict(list))
    indexes: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    index_columns: dict[tuple[int, int], list[Row]] = field(default_factory=lambda: defaultdict(list))
    references: dict[int, list[Row]] = field(default_factory=lambda: defaultdict(list))
    texts: dict[tuple[int, int, int], Row] = field(default_factory=dict)
    properties: dict[tuple[int, int], list[Row]] = field(default_factory=lambda: defaultdict(list))
    """Extended properties, by their class and what they are of."""
    counted: dict[int, int] = field(default_factory=dict)
    """The rows of each base table that was read."""
    defaults: dict[tuple[int, int], Row] = field(default_factory=dict)
    """Of rows that are older than a column: by rowset and number of the column in it."""


def read_boot(pages: Pages) -> Boot:
    """The boot page. Raises Unsupported for what is encrypted or too old, BadData for what is no boot page."""
    if not pages.has(*BOOT_PAGE):
        raise BadData("The backup lacks the boot page (1:9): a file of a striped backup may be missing.")
    page = pages.page(*BOOT_PAGE)
    flags: int = struct.unpack_from("<H", page, 4)[0]
    if flags & ENCRYPTED_PAGE:
        raise Unsupported(
            "The database is encrypted (TDE): its pages cannot be read without the certificate.",
            hint="Turn encryption of the database off (SET ENCRYPTION OFF), wait for it, then back it up.",
        )
    if page[1] != BOOT_TYPE:
        raise BadData("Page 1:9 is not a boot page: the database is encrypted, or the backup is damaged.")
    version, created = struct.unpack_from("<HH", page, 100)
    if version < OLDEST:
        raise Unsupported(f"The database is of a SQL Server before 2005 (internal version {version}).")
    name = page[148:404].decode("utf-16-le", "replace").split("\u2020")[0].rstrip("\0 ")
    collation: int = struct.unpack_from("<I", page, 488)[0]
    return Boot(version, created, name, collation, base.pointer(page, 612))


def read_catalog(pages: Pages) -> Catalog:
    """Everything. Raises BadData, Unsupported."""
    return _Reader(pages, read_boot(pages)).read()


class _Reader:
    """Walks the base tables once. Its fields: the pages, what was found so far, and how many rows."""

    def __init__(self, pages: Pages, boot: Boot) -> None:
        self._pages = pages
        self._found = Catalog(boot)
        self._rows = 0
        self._units: dict[int, dict[int, Unit]] = defaultdict(dict)

    def read(self) -> Catalog:
        found = self._found
        self._read_units()
        self._read_rowsets()
        self._collect(base.COLUMNS, found.columns, lambda row: row["id"], lambda row: row["number"] == 0)
        for table in (
            base.OBJECTS,
            base.INDEXES,
            base.INDEX_COLUMNS,
            base.VALUES,
            base.REFERENCES,
            base.ROWSET_VALUES,
        ):
            self._must_know(table)
        self._read_objects()
        self._read_places()
        found.schemas.update(
            (row["id"], row.text("name")) for row in self._table(base.CLASSES) if row["class"] == 50
        )
        found.types.update((row["id"], row) for row in self._table(base.TYPES))
        self._collect(base.INDEXES, found.indexes, lambda row: row["id"])
        self._collect(base.INDEX_COLUMNS, found.index_columns, lambda row: (row["idmajor"], row["idminor"]))
        self._collect(base.REFERENCES, found.references, lambda row: row["depid"], _of_foreign_keys)
        self._collect(base.PROPERTIES, found.properties, lambda row: (row["class"], row["id"]))
        if found.rowsets.get(base.ROWSET_VALUES):
            for row in self._table(base.ROWSET_VALUES):
                if row["valclass"] == DEFAULT_OF_OLDER_ROWS and not row["valnum"]:
                    found.defaults[row["id"], row["subid"]] = row
        for row in self._table(base.VALUES):
            if row["valclass"] in _TEXTS:
                found.texts.setdefault((row["valclass"], row["objid"], row["subobjid"]), row)
        return found

    def _collect(
        self,
        table: int,
        into: dict[Any, list[Row]],
        key: Callable[[Row], Hashable],
        wanted: Callable[[Row], object] = bool,
    ) -> None:
        for row in self._table(table):
            if wanted(row):
                into[key(row)].append(row)

    def _read_units(self) -> None:
        for row in self._count(
            base.rows_of(base.chain(self._pages, self._found.boot.units), base.FIELDS[base.UNITS])
        ):
            unit = Unit(row["auid"], row["type"], row.pointer("pgfirstiam"))
            self._units[row["ownerid"]].setdefault(unit.kind, unit)

    def _read_rowsets(self) -> None:
        for row in self._table(base.ROWSETS):
            self._found.rowsets[row["idmajor"]].append(
                Rowset(
                    row["rowsetid"],
                    row["idmajor"],
                    row["idminor"],
                    row["numpart"],
                    row["rcrows"],
                    row["cmprlevel"],
                    self._units.get(row["rowsetid"], {}),
                )
            )
        for rowsets in self._found.rowsets.values():
            rowsets.sort(key=lambda rowset: (rowset.index, rowset.partition))

    def _read_objects(self) -> None:
        for row in self._table(base.OBJECTS):
            self._found.objects[row["id"]] = row
            if row["pid"]:
                self._found.children[row["pid"]].append(row)

    def _read_places(self) -> None:
        """Columns as rowsets hold them; of user tables alone, as they are most."""
        users = {rowset.id for rowsets in self._found.rowsets.values() for rowset in rowsets if rowset.index <= 1}
        if self._known_rowset(base.ROWSET_COLUMNS):
            for row in self._table(base.ROWSET_COLUMNS):
                if row["rsid"] in users:
                    self._found.places[row["rsid"]].append(_place(row))
        else:
            self._read_places_of_2005(users)

    def _read_places_of_2005(self, users: set[int]) -> None:
        numbers = {
            (row["rowsetid"], row["hobtcolid"]): row["rowsetcolid"]
            for row in self._table(base.ROWSET_COLUMNS_2005)
            if row["rowsetid"] in users
        }
        for row in self._table(base.COLUMNS_2005):
            if row["hobtid"] in users:
                column = numbers.get((row["hobtid"], row["hobtcolumnid"]), 0)
                self._found.places[row["hobtid"]].append(_place_of_2005(row, column))

    def _known_rowset(self, table: int) -> bool:
        return IN_ROW in self._units.get(table << 16, {})

    def _table(self, table: int) -> Iterator[Row]:
        """The rows of a base table. Raises BadData if there is no such table."""
        before = self._rows
        yield from self._count(base.rows_of(self._pages_of(self._unit(table)), base.FIELDS[table]))
        self._found.counted[table] = self._rows - before

    def _pages_of(self, unit: Unit) -> Iterator[bytes]:
        """The pages of rows of a base table."""
        held = units.allocation(self._pages, unit.first_iam)
        for span in held.spans(units.PAGES_OF_MAP):
            for number in held.within(span):
                page = self._pages.page(span.file, number)
                if page[1] == base.DATA_PAGE:
                    if units.owner(page) >> 16 & 0xFFFFFFFF != unit.id >> 16 & 0xFFFFFFFF:
                        raise BadData(f"Page {span.file}:{number} should belong to a base table, and does not.")
                    yield page

    def _unit(self, table: int) -> Unit:
        if table in base.KNOWN_ROWSETS:
            owner = table << 16
        else:
            owner = next((one.id for one in self._found.rowsets.get(table, ()) if one.index == 1), 0)
        unit = self._units.get(owner, {}).get(IN_ROW)
        if unit is None:
            raise BadData(f"The catalogue lacks the base table {table}.")
        return unit

    def _count(self, rows: Iterable[Row]) -> Iterator[Row]:
        for row in rows:
            self._rows += 1
            if self._rows > MOST_ROWS:
                raise BadData(f"The catalogue has more than {MOST_ROWS} rows.")
            yield row

    def _must_know(self, table: int) -> None:
        """Where the database tells how a base table is made, it has to be as it is known here."""
        told = sorted(self._found.columns.get(table, ()), key=lambda row: row["colid"])
        for row, known in zip(told, base.FIELDS[table], strict=False):
            if row.text("name") != known.name:
                raise Unsupported(
                    f"The catalogue (internal version {self._found.boot.version}) is made in an unknown way: "
                    f"column {row.text('name')} of base table {table} should be {known.name}."
                )


def _of_foreign_keys(row: Row) -> bool:
    return row["class"] in (FOREIGN_KEY, FOREIGN_COLUMN, REFERENCED_COLUMN)


def _signed(value: int) -> int:
    """The low 16 bits as a signed number."""
    return (value & 0x7FFF) - (value & 0x8000)


def _place(row: Row) -> Place:
    kind, flags = row["ti"], row["rscolid"] >> 24 & 0xFF
    xtype = kind & 0xFF
    length, precision, scale = _signed(kind >> 8), 0, 0
    if xtype in DECIMALS:
        length, precision, scale = 0, kind >> 8 & 0xFF, kind >> 16 & 0xFF
    elif xtype in TIMES:
        length, scale = 0, kind >> 8 & 0xFF
    return Place(
        row["rscolid"] & 0xFFFFFF,
        xtype,
        length,
        precision,
        scale,
        row["cid"],
        _signed(row["offset"]),
        row["nullbit"] & 0xFFFF,
        row["bitpos"] & 0xFF,
        row["ordkey"],
        row["hbcolid"],
        dropped=bool(flags & 0x04 or row["status"] & DROPPED),
        internal=bool(flags & ~0x04),
    )


def _place_of_2005(row: Row, column: int) -> Place:
    flags = column >> 24 & 0xFF
    return Place(
        column & 0xFFFFFF,
        row["xtype"],
        row["length"],
        row["prec"],
        row["scale"],
        row["collationid"],
        row["offsetleaf"],
        row["nullbitleaf"] & 0xFFFF,
        row["bitposleaf"],
        row["ordkey"],
        row["hobtcolumnid"],
        dropped=bool(flags & 0x04),
        internal=not column or bool(flags & ~0x04),
    )
