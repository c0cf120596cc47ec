"""The catalogue of a made-up database: what the server would have written into its base tables."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.backups.basetables import XTYPES, Base, Cell, tables_of
from tests.backups.describe import Col, Db, ForeignKey, Index, Module, Property, Tbl
from tests.backups.image import Unit
from tests.backups.kinds import PLAIN, Kind, kind_of, variant_bytes
from tests.backups.layout import Layout, clustering, kept, layout_of

MADE = struct.pack("<Ii", 10_000_000, 43000)
INT_TWO = b"\x38\x01\x02\0\0\0"
LEVELS = {"none": 0, "row": 1, "page": 2, "columnstore": 3, "columnstore_archive": 4}
FORMS = {"btree": 2, "xml": 3, "spatial": 4, "columnstore": 6}
USER_ROWSET = 72057594038386688
USER_UNIT = 72057594042646528
SCHEMAS = {"dbo": 1, "guest": 2, "INFORMATION_SCHEMA": 3, "sys": 4}


@dataclass
class Rowset:
    """A rowset to be told in the catalogue: whose it is, its rows, where its columns lie, its units."""

    number: int
    table: int
    index: int
    partition: int
    rows: int
    level: int
    layout: Layout | None
    units: list[Unit] = field(default_factory=list)


@dataclass
class Catalog:
    """Rows of base tables, gathered."""

    db: Db
    version: int
    bases: dict[int, Base] = field(init=False)
    rows: dict[int, list[list[Cell]]] = field(init=False)
    next_object: int = 245575913
    next_rowset: int = USER_ROWSET
    next_unit: int = USER_UNIT

    def __post_init__(self) -> None:
        """Start with empty base tables."""
        self.bases = tables_of(self.version)
        self.rows = {number: [] for number in self.bases}

    def object(self) -> int:
        """A fresh object id; the server counts like this."""
        self.next_object = (self.next_object + 16000057) % 2147483647
        return self.next_object

    def add(self, table: int, *cells: Cell) -> None:
        """A row; columns that are not given (appended by later versions) are 0 or NULL."""
        names = self.bases[table].columns
        rest: list[Cell] = [None if kind in ("vb", "nv", "sv", "lob") else 0 for _, kind in names[len(cells) :]]
        self.rows[table].append([*cells, *rest])

    def schemas_used(self) -> list[str]:
        """The schemas that objects are in."""
        return [*(table.schema for table in self.db.tables), *(module.schema for module in self.db.modules)]

    def schema(self, name: str) -> int:
        """The id of a schema."""
        own = {**SCHEMAS, **self.db.schemas}
        for used in self.schemas_used():
            if used not in own:
                own[used] = 5 + len([n for n in own.values() if 5 <= n < 16384])
        return own[name]

    def system(self) -> None:
        """Schemas, system types, and the base tables' own description."""
        names = {*SCHEMAS, *self.db.schemas, *self.schemas_used()}
        for name in sorted(names, key=self.schema):
            self.add(64, 50, self.schema(name), name, 0, "\0\0", 0, MADE, MADE)
        for name in PLAIN:
            kind = kind_of(name)
            if name != "rowversion":
                self.scalar(kind.utype, 4, name, kind)
        for number, (name, _) in enumerate(self.db.aliases, 257):
            self.scalar(number, 1, name, kind_of(dict(self.db.aliases)[name]))
        for base in self.bases.values():
            self.add(34, base.id, base.name, 4, 0, 1, "S ", 0, 1, len(base.columns), MADE, MADE)
            for number, (name, form) in enumerate(base.columns, 1):
                xtype, length, prec = XTYPES[form]
                self.add(41, base.id, 0, number, name, xtype, xtype, length, prec, 0, 0, 1, length, 0, 0, 0, None)

    def scalar(self, number: int, schema: int, name: str, kind: Kind) -> None:
        """A type of sysscalartypes."""
        collation = self.db.collation.number if kind.xtype in (35, 99, 167, 175, 231, 239) else 0
        self.add(
            50,
            number,
            schema,
            name,
            kind.xtype,
            kind.length,
            kind.prec,
            kind.scale,
            collation,
            0,
            MADE,
            MADE,
            0,
            0,
        )

    def named(self, name: str, schema: str, type_: str, parent: int = 0, **more: int) -> int:
        """An object of sysschobjs."""
        number = more.get("number") or self.object()
        self.add(
            34, number, name, self.schema(schema), 0, more.get("status", 0), type_, parent, 1,
            more.get("property", 0), MADE, MADE,
        )  # fmt: skip
        return number

    def text(self, object_: int, text: str, form: int = 1, part: int = 0) -> None:
        """The text of a default, check, module, computed column or predicate."""
        try:
            raw = text.encode(self.db.collation.codec)
        except UnicodeEncodeError:
            raw = text.encode("utf-16-le")
        self.add(60, form, object_, part, 0, INT_TWO, raw)

    def comment(self, object_: int, part: int, text: str) -> None:
        """An MS_Description."""
        raw = text.encode("utf-16-le")
        value = struct.pack("<BBHI", 231, 1, max(len(raw), 2), self.db.collation.number) + raw
        self.add(49, 1, object_, part, "MS_Description", value)

    def property(self, one: Property) -> None:
        """An extended property."""
        number: Cell = 0
        if one.owner:
            named = {row[1]: row[0] for row in self.rows[34]}
            number = self.schema(one.owner[0]) if one.kind == 3 else named[one.owner[1]]
        self.add(49, one.kind, number, one.part, one.name, variant_bytes(one.value))

    def table(self, table: Tbl) -> tuple[int, list[Rowset]]:
        """A table: its object, columns, indexes and constraints; its rowsets, which have no units yet."""
        number = self.named(table.name, table.schema, "U ", property=len(table.columns), status=0xE0000)
        for colid, col in enumerate(table.columns, 1):
            if not col.dropped:
                self.column(number, table, colid, col)
        for check in table.checks:
            part = [col.name for col in table.columns].index(check.column) + 1 if check.column else 0
            self.text(
                self.named(check.name, table.schema, "C ", number, property=part, status=0x120000), check.text
            )
        if table.comment:
            self.comment(number, 0, table.comment)
        return number, [] if table.memory else self.indexes(number, table)

    def column(self, number: int, table: Tbl, colid: int, col: Col) -> None:
        """A column of syscolpars, its default and its comment."""
        kind = kind_of(col.kind)
        status = (0 if col.nullable else 1) | (4 if col.identity else 0) | (0x10 if col.computed else 0)
        status |= 0x1000000 if col.sparse else 0
        status |= 2 if kind.xtype in (165, 167, 173, 175, 231, 239) else 0
        default = 0
        if col.default:
            default = self.named(col.default.name, table.schema, "D ", number, property=colid, status=0x20000)
            self.text(default, col.default.text)
        if col.computed:
            self.text(number, col.computed, 2, colid)
        if col.comment:
            self.comment(number, colid, col.comment)
        utype = 257 + [name for name, _ in self.db.aliases].index(col.alias) if col.alias else kind.utype
        textual = kind.xtype in (35, 99, 167, 175, 231, 239)
        self.add(
            41, number, 0, colid, col.name, kind.xtype, utype, kind.length, kind.prec, kind.scale,
            col.collation.number if textual else 0, status, 8000 if kind.length == -1 else kind.length, 0,
            default, 0, identity_bytes(kind, col),
        )  # fmt: skip

    def indexes(self, number: int, table: Tbl) -> list[Rowset]:
        """The rowsets of the rows, by partition, and those of the other indexes."""
        layout = layout_of(table)
        key = clustering(table)
        rowsets = []
        count = sum(1 for row in table.rows if not getattr(row, "ghost", False))
        for part in range(1, table.partitions + 1):
            level = LEVELS[table.compression]
            rowsets.append(Rowset(self.rowset(), number, 1 if key or level > 2 else 0, part, 0, level, layout))
        if not key and LEVELS[table.compression] < 3:
            limit = table.text_in_row
            self.add(54, number, 0, None, 0, limit, 0, 0, 0, table.group, 1, rowsets[0].number)
        indid = 1
        for index in table.indexes:
            mine = 1 if index.clustered and not index.hypothetical else (indid := indid + 1)
            rowset = rowsets[0] if mine == 1 else Rowset(self.rowset(), number, mine, 1, count, 0, None)
            rowsets += [rowset] if mine != 1 and not index.hypothetical else []
            self.index(number, table, mine, index, rowset.number)
        return rowsets

    def index(self, number: int, table: Tbl, indid: int, index: Index, rowset: int) -> None:
        """An index and its columns, told in the order of the table; a key is an object, too."""
        names = [col.name for col in table.columns]
        status = 3 | (8 if index.unique or index.primary else 0)
        status |= (0x20 if index.primary else 0) | (0x40 if index.constraint else 0)
        status |= (0x80 if index.disabled else 0) | (0x100 if index.hypothetical else 0)
        form = FORMS[index.form] if not index.clustered else 5 if index.form == "columnstore" else 1
        limit = table.text_in_row if indid == 1 else 0
        self.add(54, number, indid, index.name, status, limit, 0, form, 0, table.group, 0, rowset)
        for place, name in enumerate([*sorted(index.columns, key=names.index), *index.include], 1):
            flags = (0x12 if name in index.include else 3) | (4 if name in index.descending else 0)
            key = list(index.columns).index(name) + 1 if name in index.columns and index.form == "btree" else 0
            self.add(55, number, indid, place, flags, names.index(name) + 1, key, 0)
        if index.primary or index.constraint:
            self.named(index.name, table.schema, "PK" if index.primary else "UQ", number)
        if index.predicate:
            self.text(number, index.predicate, 66, indid)

    def rowset(self) -> int:
        """A fresh rowset id."""
        self.next_rowset += 65536
        return self.next_rowset

    def auid(self) -> int:
        """A fresh allocation unit id."""
        self.next_unit += 65536
        return self.next_unit

    def foreign_key(self, ids: dict[tuple[str, str], int], table: Tbl, key: ForeignKey) -> None:
        """A foreign key and what it refers to."""
        child, parent = ids[table.schema, table.name], ids[key.target]
        target = next(t for t in self.db.tables if (t.schema, t.name) == key.target)
        status = key.on_update << 12 | key.on_delete << 14
        status |= (0 if key.trusted else 0x400) | (0x100 if key.disabled else 0)
        number = self.named(key.name, table.schema, "F ", child, status=status)
        self.add(74, 27, number, 0, parent, referenced(target, key.target_columns), 0)
        for place, (mine, theirs) in enumerate(zip(key.columns, key.target_columns, strict=True), 1):
            self.add(74, 28, number, place, child, position(table.columns, mine), 0)
            self.add(74, 29, number, place, parent, position(target.columns, theirs), 0)

    def module(self, ids: dict[tuple[str, str], int], module: Module) -> None:
        """A view, procedure and so on."""
        parent = ids[module.parent] if module.parent else 0
        number = self.named(module.name, module.schema, module.code.ljust(2), parent)
        if module.encrypted:
            self.add(60, 1, number, int(module.code == "P"), 0, INT_TWO, bytes(range(7, 200, 3)))
        elif module.text is not None:
            self.text(number, module.text, 1, int(module.code == "P"))

    def told(self, rowset: Rowset) -> None:
        """A rowset, its columns and its units into the catalogue."""
        cells: list[Cell] = [
            rowset.number, 1, rowset.table, rowset.index, rowset.partition, 0, 0, rowset.rows,
        ]  # fmt: skip
        if self.version > 2005:
            null = len(rowset.layout.spots) if rowset.layout else 0
            cells += [rowset.level, 0, null, 8060, 0, rowset.layout.fixed if rowset.layout else 0, 0, None, None]
        self.add(5, *cells)
        if rowset.layout:
            self.columns(rowset, rowset.layout)
        for unit in rowset.units:
            self.unit(unit, rowset.number)

    def unit(self, unit: Unit, owner: int) -> None:
        """An allocation unit."""
        used = len(unit.pages) + len(unit.maps)
        reserved = len(unit.singles) + len(unit.maps) + 8 * len(unit.extents)
        self.add(
            7, unit.number, unit.form, owner, 0, unit.group, unit.first, unit.root, unit.map, used,
            len(unit.pages) if unit.form == 1 else 0, reserved,
        )  # fmt: skip

    def columns(self, rowset: Rowset, layout: Layout) -> None:
        """The physical columns of a rowset."""
        dropped = 0
        for spot in layout.spots:
            colid = spot.colid or 0x08000001
            if spot.col.dropped:
                dropped += 1
                colid = 0x04008000 + dropped
            hobt = spot.nullbit or 100 + spot.colid
            cid = spot.col.collation.number if spot.kind.xtype in (35, 99, 167, 175, 231, 239) else 0
            status = 2 if spot.col.dropped else 0 if spot.col.nullable else 128
            if self.version == 2005:
                self.add(4, rowset.number, colid, hobt, 0, 0, 0)
                self.add(
                    13, rowset.number, hobt, 0, spot.ordkey, spot.kind.xtype, spot.kind.length, spot.kind.prec,
                    spot.kind.scale, cid, spot.offset, 0, spot.bitpos, 0, spot.nullbit, 0,
                )  # fmt: skip
                continue
            self.add(
                3, rowset.number, colid, hobt, 0, spot.kind.info, cid, spot.ordkey,
                8000 if spot.kind.length == -1 else 0, status,
                spot.offset & 0xFFFF | (1 << 16 if spot.ordkey else 0),
                spot.nullbit | (spot.ordkey << 16), spot.bitpos, None,
            )  # fmt: skip


def identity_bytes(kind: Kind, col: Col) -> bytes | None:
    """Last value, increment and seed in the column's width, and whether it was never used."""
    if col.identity is None:
        return None
    last = col.identity.seed if col.identity.last is None else col.identity.last
    size = kind.length
    values = (last, col.identity.increment, col.identity.seed)
    if kind.xtype in (106, 108):
        raw = b"".join(bytes([v >= 0]) + abs(v).to_bytes(size - 1, "little") for v in values)
    else:
        raw = b"".join((v & (1 << 8 * size) - 1).to_bytes(size, "little") for v in values)
    return raw + bytes([col.identity.last is None])


def position(columns: Sequence[Col], name: str) -> int:
    """The id of a column."""
    return [col.name for col in columns].index(name) + 1


def referenced(table: Tbl, columns: Sequence[str]) -> int:
    """The id of the unique index over the columns that a foreign key refers to."""
    indid = 1
    for index in table.indexes:
        mine = 1 if index.clustered else (indid := indid + 1)
        if list(index.columns) == list(columns):
            return mine
    return 1


__all__ = ["Catalog", "Rowset", "kept"]
