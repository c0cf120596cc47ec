"""What the catalogue's rows mean: tables with their columns, keys and rules, as every kind of database knows them.

What has no such meaning (views, procedures, indexes of special kinds) is named with its text, and left over.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from sterna.core.errors import BadData
from sterna.core.plan import Path
from sterna.core.schema import (
    Column,
    Condition,
    ForeignKey,
    Index,
    Key,
    Leftover,
    Schema,
    Table,
)
from sterna.engines.sqlserver.wire.base import Row
from sterna.engines.sqlserver.wire.catalog import (
    FOREIGN_COLUMN,
    FOREIGN_KEY,
    IN_ROW,
    REFERENCED_COLUMN,
    TEXT_OF_COMPUTED,
    TEXT_OF_FILTER,
    TEXT_OF_OBJECT,
    Catalog,
    Place,
    Rowset,
)
from sterna.engines.sqlserver.wire.coltypes import describe
from sterna.engines.sqlserver.wire.physical import (
    COMPUTED,
    NOT_NULL,
    can_be,
    default_of,
    held_as,
    is_sealed,
    is_stored,
    physical_of,
)
from sterna.engines.sqlserver.wire.properties import SHIPPED, SYSTEM_SCHEMA, USER_TABLE, Properties
from sterna.engines.sqlserver.wire.records import Layout, Physical
from sterna.engines.sqlserver.wire.saying import by_name, enabled, identity, in_key, referenced, trusted
from sterna.engines.sqlserver.wire.texts import Texts
from sterna.engines.sqlserver.wire.types import (
    OLD_LOBS,
    VARBINARY,
    unreadable,
)

FIRST_USER_TYPE = 257
IDENTITY, FILESTREAM, COLUMN_SET = 0x4, 0x20, 0x2000000
REAL_INDEX, UNIQUE, PRIMARY, UNIQUE_CONSTRAINT = 0x1, 0x8, 0x20, 0x40
DISABLED_INDEX, HYPOTHETICAL = 0x80, 0x100
"""As ``sys.indexes`` reads its ``is_disabled`` and ``is_hypothetical`` from the status of sysidxstats."""
INDEX_COLUMN, DESCENDING = 0x2, 0x4
ACTIONS = ("NO ACTION", "CASCADE", "SET NULL", "SET DEFAULT")
ROW_STORES = (0, 1, 2)
"""No compression, row and page compression."""


_HEAP, _CLUSTERED, _NONCLUSTERED = 0, 1, 2
_KINDS_OF_INDEX = {
    3: "XML index",
    4: "spatial index",
    5: "columnstore index",
    6: "columnstore index",
    7: "hash index",
}
_KINDS = {
    b"V ": "view",
    b"P ": "procedure",
    b"PC": "procedure",
    b"X ": "procedure",
    b"RF": "procedure",
    b"FN": "function",
    b"IF": "function",
    b"TF": "function",
    b"FS": "function",
    b"FT": "function",
    b"AF": "aggregate",
    b"TR": "trigger",
    b"TA": "trigger",
    b"SN": "synonym",
    b"SO": "sequence",
    b"R ": "rule",
    b"TT": "table type",
    b"ET": "external table",
}
_DEFAULT_OBJECT = re.compile(r"^\s*create\s+default\s+.+?\s+as\s+", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Found:
    """A user's table: what it is, and where its rows lie."""

    id: int
    table: Table
    rowsets: tuple[Rowset, ...]
    """One for each partition, in their order."""
    layouts: tuple[Layout, ...]
    """One for each rowset, with the columns that rows hold, in the table's order."""


class Definitions:
    """Tables and leftovers of one database. Its fields: the catalogue, the texts and the database's name."""

    def __init__(self, catalog: Catalog, texts: Texts, database: str) -> None:
        self._catalog = catalog
        self._texts = texts
        self._database = database
        self._properties = Properties(catalog, texts, database)
        self._column_names = lru_cache(64)(self._names_of_columns)

    def tables(self) -> tuple[Found, ...]:
        """All user tables by schema and name. Raises BadData for a catalogue that contradicts itself."""
        found = [self._table(row) for row in self._catalog.objects.values() if self._ours(row, USER_TABLE)]
        return tuple(sorted(found, key=lambda one: one.table.path))

    def schema(self, tables: Sequence[Found]) -> Schema:
        """The same with what is left over."""
        return Schema("tsql", tuple(one.table for one in tables), tuple(self._leftovers()))

    def _ours(self, row: Row, kind: bytes) -> bool:
        return row.raw("type") == kind and row["id"] > 0 and row["nsid"] != SYSTEM_SCHEMA

    def _path(self, row: Row) -> Path:
        return (self._database, self._catalog.schemas.get(row["nsid"], str(row["nsid"])), row.text("name"))

    def _table(self, row: Row) -> Found:
        number = row["id"]
        rowsets = tuple(one for one in self._catalog.rowsets.get(number, ()) if one.index <= _CLUSTERED)
        logical = [column for column in self._columns(number) if not column["status"] & COLUMN_SET]
        places = [self._places(rowset) for rowset in rowsets]
        stored = {column["colid"] for column in logical if is_stored(column, places)}
        columns = tuple(
            self._column(number, column, column["colid"] in stored, held_as(column, places)) for column in logical
        )
        path = self._path(row)
        layouts = tuple(
            self._layout(
                rowset, [column for column in logical if column["colid"] in stored], here, ".".join(path[1:])
            )
            for rowset, here in zip(rowsets, places, strict=True)
        )
        table = Table(
            path,
            columns,
            primary=next(iter(self._keys(number, PRIMARY)), None),
            uniques=tuple(self._keys(number, UNIQUE_CONSTRAINT)),
            indexes=tuple(self._indexes(number)),
            checks=tuple(self._checks(number)),
            foreign=tuple(self._foreign_keys(number)),
            comment=self._properties.comment(number, 0),
            rows=sum(rowset.rows for rowset in rowsets) if rowsets else -1,
            trouble=self._trouble(number, logical, rowsets, places) or self._unreadable(layouts),
        )
        return Found(number, table, rowsets, layouts)

    def _places(self, rowset: Rowset) -> dict[int, Place]:
        places = self._catalog.places.get(rowset.id, ())
        return {place.column: place for place in places if not place.dropped and not place.internal}

    def _layout(self, rowset: Rowset, columns: Sequence[Row], places: dict[int, Place], table: str) -> Layout:
        found = [(row, places[row["colid"]]) for row in columns if row["colid"] in places]
        physical = tuple(self._physical(rowset, row, place) for row, place in found)
        return Layout(physical, rowset.compression, table)

    def _physical(self, rowset: Rowset, row: Row, place: Place) -> Physical:
        """The column, with the value of rows that are older than it.

        Where one is kept and cannot be read, such rows must not be taken for ones with NULL.
        """
        kept = self._catalog.defaults.get((rowset.id, place.stored_id))
        is_kept = kept is not None and bool(kept.raw("value") or kept.raw("imageval"))
        default = default_of(kept.raw("value"), place) if kept is not None and is_kept else None
        physical = physical_of(row, place, default, self._catalog.boot.collation)
        if is_kept and default is None:
            physical = replace(physical, nullable=False)
        in_row = place.xtype in OLD_LOBS and self._has_text_in_row(rowset.table)
        return replace(physical, text_in_row=True) if in_row else physical

    def _has_text_in_row(self, table: int) -> bool:
        """Whether the option ``text in row`` has a limit: a property of the heap or the clustered index."""
        rows = (row for row in self._catalog.indexes.get(table, ()) if row["indid"] <= _CLUSTERED)
        return any(row["intprop"] for row in rows)

    def _trouble(
        self, table: int, columns: Sequence[Row], rowsets: Sequence[Rowset], places: Sequence[dict[int, Place]]
    ) -> str:
        """Why the rows of a table cannot be read; empty: they can."""
        clustered = {
            row["type"]
            for row in self._catalog.indexes.get(table, ())
            if row["indid"] <= _CLUSTERED and not row["status"] & HYPOTHETICAL
        }
        if clustered & {5, 6} or any(rowset.compression not in ROW_STORES for rowset in rowsets):
            return "Its rows are kept in a columnstore, which is not read."
        if not rowsets or any(IN_ROW not in rowset.units for rowset in rowsets):  # empty tables have units too
            return "It has no pages of rows: it is memory-optimised or external."
        if not {number for here in places for number in here} - {0} <= set(self._column_names(table)):
            return "The catalogue lacks a column that its rows hold: it is damaged."  # 0: what makes keys unique
        for column in columns:
            if column["status"] & FILESTREAM:
                return f"Column {column.text('name')} is kept outside the database (FILESTREAM)."
            missing = any(column["colid"] not in here for here in places)
            if missing and not column["status"] & COMPUTED:
                return f"The catalogue does not say where column {column.text('name')} is kept."
            if any(column["colid"] in here and not can_be(here[column["colid"]]) for here in places):
                return f"The catalogue says of column {column.text('name')} what cannot be: it is damaged."
        return ""

    def _unreadable(self, layouts: Sequence[Layout]) -> str:
        """Why a column's type cannot be read; empty: all can."""
        reasons = (unreadable(column) for layout in layouts for column in layout.columns)
        return next((f"{reason[0].upper()}{reason[1:]}." for reason in reasons if reason), "")

    def _column(self, table: int, row: Row, stored: bool, held: tuple[int, int]) -> Column:
        """``held``: the type as which records hold it, and how long it is."""
        default = row["dflt"]
        native = describe(row["xtype"], row["utype"], row["length"], row["prec"], row["scale"])
        return Column(
            row.text("name"),
            describe(VARBINARY, VARBINARY, held[1], 0, 0) if is_sealed(row, held[0]) else native,
            nullable=not row["status"] & NOT_NULL,
            default=_DEFAULT_OBJECT.sub("", self._texts.find(TEXT_OF_OBJECT, default)) if default else "",
            default_name=self._name_of(default) if default else "",
            computed=self._texts.find(TEXT_OF_COMPUTED, table, row["colid"]) if row["status"] & COMPUTED else "",
            stored=stored,
            identity=identity(row) if row["status"] & IDENTITY else None,
            comment=self._properties.comment(table, row["colid"]),
        )

    def _name_of(self, number: int) -> str:
        row = self._catalog.objects.get(number)
        return row.text("name") if row else ""

    def _columns(self, table: int) -> list[Row]:
        """In their logical order."""
        return sorted(self._catalog.columns.get(table, ()), key=lambda column: column["colid"])

    def _names_of_columns(self, table: int) -> dict[int, str]:
        return {row["colid"]: row.text("name") for row in self._catalog.columns.get(table, ())}

    def _real_indexes(self, table: int, *, disabled: bool = False) -> list[Row]:
        """Those that are kept up, or those that are not. Hypothetical ones, which tools of tuning leave behind,
        have never been made by any server.
        """
        rows = [
            row
            for row in self._catalog.indexes.get(table, ())
            if row["indid"]
            and row["status"] & (REAL_INDEX | HYPOTHETICAL) == REAL_INDEX
            and bool(row["status"] & DISABLED_INDEX) == disabled
        ]
        return sorted(rows, key=lambda row: row["indid"])

    def _index_columns(self, table: int, index: int) -> list[Row]:
        rows = [row for row in self._catalog.index_columns.get((table, index), ()) if row["status"] & INDEX_COLUMN]
        return sorted(rows, key=lambda row: row["tinyprop1"] or 1000 + row["subid"])

    def _keys(self, table: int, which: int) -> Iterator[Key]:
        names = self._column_names(table)
        for row in self._real_indexes(table):
            if row["status"] & which:
                columns = self._index_columns(table, row["indid"])
                yield Key(row.text("name"), tuple(names.get(one["intprop"], "") for one in columns if in_key(one)))

    def _indexes(self, table: int) -> Iterator[Index]:
        for row in self._real_indexes(table):
            if not row["status"] & (PRIMARY | UNIQUE_CONSTRAINT) and row["type"] in (_CLUSTERED, _NONCLUSTERED):
                yield self._index(table, row)

    def _index(self, table: int, row: Row) -> Index:
        names = self._column_names(table)
        columns = self._index_columns(table, row["indid"])
        return Index(
            row.text("name"),
            tuple(
                (names.get(one["intprop"], ""), bool(one["status"] & DESCENDING)) for one in columns if in_key(one)
            ),
            tuple(names.get(one["intprop"], "") for one in columns if not in_key(one)),
            bool(row["status"] & UNIQUE),
            self._texts.find(TEXT_OF_FILTER, table, row["indid"]),
        )

    def _checks(self, table: int) -> Iterator[Condition]:
        for row in by_name(self._catalog.children.get(table, ()), b"C "):
            yield Condition(
                row.text("name"), self._texts.find(TEXT_OF_OBJECT, row["id"]), enabled(row), trusted(row)
            )

    def _foreign_keys(self, table: int) -> Iterator[ForeignKey]:
        names = self._column_names(table)
        for row in by_name(self._catalog.children.get(table, ()), b"F "):
            references = self._catalog.references.get(row["id"], ())
            target = next((one["indepid"] for one in references if one["class"] == FOREIGN_KEY), 0)
            there = self._catalog.objects.get(target)
            if there is None:
                continue
            theirs = self._column_names(target)
            yield ForeignKey(
                row.text("name"),
                referenced(references, FOREIGN_COLUMN, names),
                self._path(there)[1:],
                referenced(references, REFERENCED_COLUMN, theirs),
                on_delete=ACTIONS[row["status"] >> 14 & 3],
                on_update=ACTIONS[row["status"] >> 12 & 3],
                enabled=enabled(row),
                trusted=trusted(row),
            )

    def _leftovers(self) -> Iterator[Leftover]:
        for row in sorted(self._catalog.objects.values(), key=lambda row: (row["nsid"], row.text("name"))):
            kind = _KINDS.get(row.raw("type"), "")
            if kind and self._ours(row, row.raw("type")) and not row["status"] & SHIPPED:
                yield Leftover(kind, self._path(row), *self._module(row["id"]))
            elif self._ours(row, USER_TABLE):
                yield from self._special_indexes(row)
                yield from self._disabled_indexes(row)
                yield from self._column_sets(row)
        for row in sorted(self._catalog.types.values(), key=lambda row: row.text("name")):
            if row["id"] >= FIRST_USER_TYPE and row["xtype"] not in (240, 243):
                native = describe(row["xtype"], row["xtype"], row["length"], row["prec"], row["scale"]).native
                schema = self._catalog.schemas.get(row["schid"], "")
                yield Leftover(
                    "type",
                    (self._database, schema, row.text("name")),
                    native,
                    "Its columns take the type it stands for.",
                )
        yield from self._properties.leftovers()

    def _module(self, number: int) -> tuple[str, str]:
        """The text of a module, and why it has none."""
        try:
            text = self._texts.module(number)
        except BadData as wrong:
            return "", f"Its text is damaged: {wrong.message}"
        return text, "Its text is encrypted." if not text and self._texts.kept(number) else ""

    def _column_sets(self, table: Row) -> Iterator[Leftover]:
        for column in self._columns(table["id"]):
            if column["status"] & COLUMN_SET:
                why = "It shows sparse columns together, which are moved one by one."
                yield Leftover("column set", (*self._path(table), column.text("name")), why=why)

    def _special_indexes(self, table: Row) -> Iterator[Leftover]:
        for row in self._real_indexes(table["id"]):
            if row["type"] in _KINDS_OF_INDEX:
                yield Leftover(_KINDS_OF_INDEX[row["type"]], (*self._path(table), row.text("name")))

    def _disabled_indexes(self, table: Row) -> Iterator[Leftover]:
        """With their columns: rows that came since need not hold to them."""
        for row in self._real_indexes(table["id"], disabled=True):
            status, index = row["status"], self._index(table["id"], row)
            kind = "primary key" if status & PRIMARY else "unique constraint" if status & UNIQUE_CONSTRAINT else ""
            columns = ", ".join(f"{name}{' DESC' if descending else ''}" for name, descending in index.columns)
            yield Leftover(
                f"disabled {kind or _KINDS_OF_INDEX.get(row['type'], 'index')}",
                (*self._path(table), row.text("name")),
                f"({columns})" + (f" WHERE {index.where}" if index.where else ""),
                "It is disabled: the server does not keep it up.",
            )
